"""The README's Python runs as it stands, and does what it says."""

import contextlib
import io
import re
from pathlib import Path

import jax
import pytest

README = Path(__file__).parents[2] / "README.md"
BLOCKS = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)


def run(block: str) -> tuple[dict[str, object], str]:
    """What a block defines and prints, under JAX's usual promotion, as a reader has it."""
    scope: dict[str, object] = {}
    said = io.StringIO()
    usual = (jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"))
    with usual[0], usual[1], contextlib.redirect_stdout(said):
        exec(compile(block, "README.md", "exec"), scope)
    return scope, said.getvalue()


def test_the_optax_loop_lowers_the_loss_of_digits_and_its_gradient_is_proved():
    scope, said = run(BLOCKS[0])
    assert float(re.fullmatch(r"loss ([0-9.]+)\n", said).group(1)) < 0.1
    data = (scope["x"], scope["y"])
    report = scope["check_gradients"](scope["network"], scope["loss"], scope["params"], data)
    assert report.ok


def test_the_optax_loop_is_ten_lines_after_its_imports():
    assert len(BLOCKS[0].split("\n\n", 1)[1].strip().splitlines()) == 10


def test_fit_reaches_a_good_accuracy_on_digits():
    scope, _ = run(BLOCKS[1])
    found, _ = scope["fitted"].evaluate(scope["rows"].test, ["accuracy"])
    assert found["accuracy"] > 0.96


def test_there_is_no_block_of_python_that_no_test_runs():
    assert len(BLOCKS) == 2


@pytest.mark.parametrize("command", ["train", "check", "explain", "datasets"])
def test_every_command_is_in_the_table(command):
    assert f"| `mlp-jax {command}` |" in README.read_text(encoding="utf-8")
