"""Figures of one pass over files against those of the whole arrays."""

import numpy as np
import pytest

from mlp_jax.data import Dataset, Split, fit_scaling, from_arrays, prepare
from mlp_jax.data.source import Rows
from mlp_jax.data.streams import statistics
from mlp_jax.data.streams.arrays import ArraySource, open_npy
from mlp_jax.data.streams.moments import Moments
from mlp_jax.data.streams.parts import ArrayPart
from mlp_jax.data.streams.statistics import fit_arrays, streaming_scaling
from mlp_jax.errors import InputError

RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    monkeypatch.setattr(statistics, "_CHUNK_BYTES", 1 << 12)


def saved(folder, x, y=None, **options) -> ArraySource:
    np.save(folder / "x.npy", x)
    np.save(folder / "y.npy", np.arange(len(x)) % 3 if y is None else y)
    return open_npy(folder / "x.npy", folder / "y.npy", **options)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int16])
def test_the_scaling_of_columns_is_that_of_the_whole_array(tmp_path, dtype):
    x = RNG.normal(size=(3000, 4)) * [1, 100, 1e4, 0] + [0, 1e4, -3, 7]
    x = x.astype(dtype)
    found = streaming_scaling(saved(tmp_path, x))
    wide = x.astype(np.float64)
    deviation = np.where(wide.std(axis=0) == 0, 1, wide.std(axis=0))
    np.testing.assert_allclose(found.scale, 1 / deviation, rtol=1e-12)
    np.testing.assert_allclose(found.offset, -wide.mean(axis=0) / deviation, rtol=1e-12, atol=1e-12)
    expected = fit_scaling(x.astype(np.float32) if dtype == np.int16 else x)
    np.testing.assert_allclose(found.scale, expected.scale, rtol=1e-12)
    np.testing.assert_allclose(found.offset, expected.offset, rtol=1e-12, atol=1e-12)


def test_a_mean_far_from_0_costs_no_digits(tmp_path):
    x = 1e9 + RNG.normal(size=(5000, 2))
    found = streaming_scaling(saved(tmp_path, x))
    np.testing.assert_allclose(found.scale, 1 / (x - 1e9).std(axis=0), rtol=1e-12)


def test_pixels_have_one_scale_exactly(tmp_path):
    x = RNG.integers(0, 256, (500, 6, 5)).astype(np.uint8)
    assert streaming_scaling(saved(tmp_path, x)) == fit_scaling(x.reshape(500, 30))


def test_float_pixels_have_one_scale(tmp_path):
    x = RNG.random((500, 6, 5)).astype(np.float32)
    found = streaming_scaling(saved(tmp_path, x), pixels=True)
    assert found.scale.shape == ()
    np.testing.assert_allclose(found.scale, 1 / x.astype(np.float64).std(), rtol=1e-12)


def test_blocks_are_measured_too():
    x = RNG.normal(size=(100, 2))

    class Blocks:
        name, n_features, starts = "blocks", 2, np.array([0, 1, 40, 100])

        def __len__(self):
            return 100

        def read_block(self, number):
            rows = slice(self.starts[number], self.starts[number + 1])
            return Rows(x[rows], np.zeros(len(x[rows]), np.int32))

    np.testing.assert_allclose(streaming_scaling(Blocks()).scale, 1 / x.std(axis=0), rtol=1e-12)


def test_rows_count_as_often_as_they_are_said_to():
    x, times = RNG.normal(size=(50, 2)), RNG.integers(1, 9, 50)
    found = Moments(2)
    found.add(x[:20], times[:20])
    found.add(x[20:], times[20:])
    every = np.repeat(x, times, axis=0)
    assert found.n == len(every)
    np.testing.assert_allclose(found.mean, every.mean(axis=0), rtol=1e-13)
    np.testing.assert_allclose(found.deviation, every.std(axis=0), rtol=1e-13)


@pytest.mark.parametrize(
    "y",
    [
        RNG.integers(3, 7, 900),
        np.arange(900) % 2 == 0,
        RNG.normal(5, 3, 900),
        RNG.normal(5, 3, (900, 2)).astype(np.float32),
        RNG.integers(0, 2, (900, 3)).astype(np.float32),
    ],
    ids=["labels", "booleans", "numbers", "several", "multilabel"],
)
def test_encodings_are_those_of_the_arrays_in_memory(tmp_path, y):
    x = RNG.normal(size=(900, 3)).astype(np.float32)
    inputs, target = fit_arrays(saved(tmp_path, x, y))
    expected = from_arrays("x", x, y)
    known = prepare(
        Dataset("x", expected.train, Split(x[:1], expected.train.y[:1]), expected.classes, None),
        test=0,
        validation=0,
        seed=0,
    )
    assert (target.task, target.classes) == (known.target.task, known.target.classes)
    for a, b in ((inputs, known.inputs), (target, known.target)):
        np.testing.assert_allclose(a.scale, b.scale, rtol=1e-12)
        np.testing.assert_allclose(a.offset, b.offset, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_is_named_with_its_row(tmp_path, bad):
    x = np.zeros((900, 3), np.float32)
    x[777, 2] = bad
    with pytest.raises(InputError, match=f"NaN or infinite \\({bad}\\) in row 777, column 2"):
        streaming_scaling(saved(tmp_path, x))
    y = np.zeros(900)
    y[666] = bad
    with pytest.raises(InputError, match=r"row 666 has nan|row 666 has inf|in row 666\."):
        streaming_scaling(saved(tmp_path, np.zeros((900, 3)), y))


def test_a_column_beyond_float64_is_refused(tmp_path):
    x = np.zeros((900, 2))
    x[::2, 1] = 1e300
    with pytest.raises(InputError, match=r"Row 0, column 1 of x is 1e\+300, too widely spread"):
        streaming_scaling(saved(tmp_path, x))


@pytest.mark.parametrize("letter", ["x", "y"])
def test_a_number_too_far_out_to_be_standardized_is_named_by_its_row(tmp_path, letter):
    x, y = np.random.default_rng(0).normal(size=(2, 500, 2))
    (x if letter == "x" else y)[433, 1] = 1e200
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "y.npy", y)
    source = open_npy(tmp_path / "x.npy", tmp_path / "y.npy")
    said = rf"Row 433, column 1 of {letter} is 1e\+200, too widely spread from the others"
    with pytest.raises(InputError, match=said):
        fit_arrays(source)
    with pytest.raises(InputError, match=said):
        fit_arrays(ArrayPart(source, np.array([3, 7, 400])))
