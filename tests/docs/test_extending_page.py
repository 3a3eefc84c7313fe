import re
from pathlib import Path

import pytest

import mlp_jax
from mlp_jax.backprop.activations import ACTIVATIONS
from mlp_jax.backprop.losses import LOSSES
from mlp_jax.model.metrics import METRICS
from mlp_jax.model.store import CLASSES

PAGE = Path(mlp_jax.__file__).parents[1] / "docs" / "extending.md"


@pytest.mark.usefixtures("optax_promotes")
def test_the_code_of_the_page_runs_and_trains():
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    scope = {"__name__": "page"}
    try:
        for block in blocks:
            exec(compile(block, str(PAGE), "exec"), scope)
    finally:
        for table in (ACTIVATIONS, LOSSES, METRICS, CLASSES):
            for name in ("sine", "squared", "confidence_error", "Scale"):
                table.pop(name, None)
    result = scope["result"]
    assert result.report.ok
    assert result.history[-1]["train_loss"] < result.history[0]["train_loss"]
    assert result.history[-1]["validation_accuracy"] > 0.6  # the largest class has half
    assert "validation_confidence_error" in result.history[-1]
