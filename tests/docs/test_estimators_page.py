"""The Python of docs/estimators.md runs as it stands."""

import contextlib
import io
import re
from pathlib import Path

import jax
import pytest

PAGE = Path(__file__).parents[2] / "docs" / "estimators.md"


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_the_example_reaches_a_good_accuracy_on_iris():
    block = re.search(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL).group(1)
    said = io.StringIO()
    usual = (jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"))
    with usual[0], usual[1], contextlib.redirect_stdout(said):
        exec(compile(block, "estimators.md", "exec"), {})
    assert float(re.fullmatch(r"accuracy ([0-9.]+)\n", said.getvalue()).group(1)) > 0.94
