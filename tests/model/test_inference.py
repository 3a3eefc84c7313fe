"""Few shapes are compiled, and every row comes out once and in its place."""

import numpy as np
import pytest
from model_cases import colour_model, pixel_model

from mlp_jax.model import inference


@pytest.fixture
def shapes(monkeypatch):
    """The shapes of the rows that the compiled function was called with."""
    seen = []
    compiled = inference._compiled

    def noted(*arguments):
        seen.append(arguments[-1].shape)
        return compiled(*arguments)

    monkeypatch.setattr(inference, "_compiled", noted)
    return seen


def test_small_inputs_share_a_few_shapes(shapes):
    model = colour_model()
    for n in range(1, 200, 7):
        assert len(model.predict(np.zeros((n, 4)))) == n
    assert {shape[0] for shape in shapes} == {16, 32, 64, 128, 256}


def test_large_inputs_are_cut_into_chunks_of_one_shape(shapes):
    x = np.random.default_rng(0).integers(0, 256, (3 * inference.CHUNK + 5, 12), np.uint8)
    model = pixel_model()
    found = model.predict_proba(x)
    assert [shape[0] for shape in shapes] == [inference.CHUNK] * 3 + [16]
    np.testing.assert_array_equal(found[-5:], model.predict_proba(x[-5:]))


def test_an_equal_model_compiles_nothing_new():
    x = np.zeros((9, 4))
    colour_model((3, 2), "softsign").predict(x)
    before = inference._compiled._cache_size()
    colour_model((3, 2), "softsign").predict(x)
    assert inference._compiled._cache_size() == before
