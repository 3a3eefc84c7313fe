"""The script that flips labels and finds them, on the digits."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from mlp_jax.data import load_digits
from mlp_jax.proof import Report

SCRIPT = Path(__file__).parents[1] / "scripts" / "find_flipped_labels.py"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("find_flipped_labels", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.usefixtures("optax_promotes")
def test_most_of_the_flipped_digits_are_among_the_first(script, monkeypatch, tmp_path):
    plan = importlib.import_module("mlp_jax.training.plan")
    monkeypatch.setattr(plan, "check_gradients", lambda *_, **__: Report(()))
    digits = load_digits()
    one = script.search(digits, 0.05, seed=0, epochs=6)
    assert abs(one.flipped.mean() - 0.05) < 0.01
    assert np.array_equal(one.flipped, one.y[one.rows] != digits.train.y[one.rows])
    first = np.argsort(-one.examples.loss)[: int(0.15 * len(one.rows))]
    assert script.found_share(one, "loss") == one.flipped[first].sum() / one.flipped.sum() > 0.95
    assert script.found_share(one, "gradient_norm") > 0.95
    assert script.found_share(one, "influence") > 0.5
    script.draw(one, tmp_path / "found.png")
    assert (tmp_path / "found.png").read_bytes().startswith(b"\x89PNG")


def test_a_flipped_label_is_one_of_the_other_classes_each_as_likely(script):
    y = np.repeat(np.arange(4, dtype=np.int32), 10_000)
    changed = script.flipped_labels(y, 4, 0.3, seed=0)
    wrong = changed != y
    assert wrong.sum() == 12_000
    counts = np.bincount((changed - y)[wrong] % 4, minlength=4)
    assert counts[0] == 0
    assert np.abs(counts[1:] / 4000 - 1).max() < 0.05
    assert changed.dtype == y.dtype
    assert np.array_equal(changed, script.flipped_labels(y, 4, 0.3, seed=0))
    assert not np.array_equal(changed, script.flipped_labels(y, 4, 0.3, seed=1))
