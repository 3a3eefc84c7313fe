"""The README's Python runs as it stands, and does what it says."""

import contextlib
import io
import re
from pathlib import Path

import jax
import numpy as np
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
    found = scope["fitted"].evaluate(scope["rows"].test, ["accuracy"])
    assert found["accuracy"] > 0.96


def test_the_estimators_are_imported_as_shown():
    scope, _ = run(BLOCKS[2])
    assert scope["MLPClassifier"]().get_params()
    assert scope["MLPRegressor"]().get_params()


def test_there_is_no_block_of_python_that_no_test_runs():
    assert len(BLOCKS) == 4


@pytest.mark.parametrize("command", ["train", "check", "explain", "datasets"])
def test_every_command_is_in_the_table(command):
    assert f"| `mlp-jax {command}` |" in README.read_text(encoding="utf-8")


def test_the_tape_gives_norms_and_a_clipped_sum_that_jax_confirms():
    scope, said = run(BLOCKS[3])
    assert re.fullmatch(r"longest [0-9.]+, noise scale [0-9]+\n", said)
    network, loss_of, params = (scope[name] for name in ("network", "loss_of", "params"))

    def one(x, y):
        def objective(candidate):
            output = network.forward(
                candidate, network.without_state(), x[None], train=False, key=None, mask=None
            )[0]
            return loss_of.value(output, y[None])[0]

        return jax.grad(objective)(params)

    each = jax.tree.leaves(jax.vmap(one)(scope["x"], scope["y"]))
    norms = sum((leaf**2).reshape(256, -1).sum(axis=1) for leaf in each) ** 0.5
    assert np.asarray(scope["norms"]) == pytest.approx(np.asarray(norms), rel=1e-5)
    factors = 1 / norms.clip(1.0)
    for ours, leaf in zip(jax.tree.leaves(scope["clipped"].grads), each, strict=True):
        expected = (factors.reshape(-1, *[1] * (leaf.ndim - 1)) * leaf).sum(axis=0)
        assert np.asarray(ours) == pytest.approx(np.asarray(expected), rel=1e-4, abs=1e-4)
