import numpy as np
import pytest

from mlp_jax.data import Scaling, apply, fit_scaling
from mlp_jax.errors import InputError

RNG = np.random.default_rng(0)


def test_pixels_get_one_scale_from_all_of_them():
    x = RNG.integers(0, 200, (70, 30)).astype(np.uint8)
    scaling = fit_scaling(x)
    wide = x.astype(np.float64)
    assert scaling.scale.shape == scaling.offset.shape == ()
    np.testing.assert_allclose(scaling.scale, 1 / wide.std(), rtol=1e-14)
    np.testing.assert_allclose(scaling.offset, -wide.mean() / wide.std(), rtol=1e-14)


def test_scaled_pixels_have_mean_0_and_deviation_1():
    x = RNG.integers(0, 256, (40, 10)).astype(np.uint8)
    scaled = apply(fit_scaling(x), x, np.float64)
    assert abs(scaled.mean()) < 1e-14
    assert abs(scaled.std() - 1) < 1e-14


def test_pixels_are_measured_exactly_past_one_chunk():
    x = np.zeros((5000, 300), np.uint8)
    x[4000:] = 255
    # A fifth of the pixels at 255: mean 51, variance 255² · 0.2 · 0.8 = 102².
    scaling = fit_scaling(x)
    assert scaling.scale == 1 / 102
    np.testing.assert_allclose(scaling.offset, -0.5, rtol=1e-15)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_columns_of_a_table_are_standardized_one_by_one(dtype):
    x = (RNG.normal(size=(500, 3)) * [1, 1e-3, 1e3] + [0, 5, -1e4]).astype(dtype)
    scaling = fit_scaling(x)
    wide = x.astype(np.float64)
    np.testing.assert_allclose(scaling.scale, 1 / wide.std(axis=0), rtol=1e-9)
    np.testing.assert_allclose(scaling.offset, -wide.mean(axis=0) / wide.std(axis=0), rtol=1e-9)
    scaled = apply(scaling, x, np.float64)
    np.testing.assert_allclose(scaled, (wide - wide.mean(axis=0)) / wide.std(axis=0), atol=1e-9)


def test_columns_are_measured_past_one_chunk():
    x = RNG.normal(3.0, 2.0, (3, 2**19)).T.copy()
    np.testing.assert_allclose(fit_scaling(x).scale, 1 / x.std(axis=0), rtol=1e-12)


def test_a_constant_column_is_centred_and_keeps_its_unit():
    x = np.array([[0.1, 1], [0.1, 2], [0.1, 3]])
    scaling = fit_scaling(x)
    assert scaling.scale[0] == 1
    assert np.all(np.abs(apply(scaling, x, np.float64)[:, 0]) < 1e-16)


def test_constant_pixels_are_centred():
    x = np.full((4, 3), 7, np.uint8)
    scaling = fit_scaling(x)
    assert (scaling.scale, scaling.offset) == (1, -7)


def test_float_pixels_get_one_scale():
    x = RNG.random((20, 6)).astype(np.float32)
    scaling = fit_scaling(x, pixels=True)
    assert scaling.scale.shape == ()
    np.testing.assert_allclose(scaling.scale, 1 / x.astype(np.float64).std(), rtol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_applying_multiplies_then_adds_and_gives_the_dtype_asked(dtype):
    pixels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    one = apply(Scaling(np.array(0.5), np.array(-3.0)), pixels, dtype)
    assert one.dtype == dtype
    np.testing.assert_array_equal(one, pixels * 0.5 - 3.0)
    scale = np.linspace(1, 2, 16)
    columns = apply(Scaling(scale, -scale), pixels, dtype)
    assert columns.dtype == dtype
    np.testing.assert_array_equal(columns, (pixels * scale - scale).astype(dtype))


def test_a_column_too_wide_for_float64_is_named():
    x = np.array([[0.0, -1e300], [1.0, 1e300]])
    said = r"Row {}{} of x is -1e\+300, too widely spread from the others to be standardized"
    with pytest.raises(InputError, match=said.format(0, ", column 1")):
        fit_scaling(x)
    with pytest.raises(InputError, match=said.format(70, ", column 1")):
        fit_scaling(x, pixels=True, rows=np.array([70, 80]))
    with pytest.raises(InputError, match=said.format(0, "")):
        fit_scaling(x[:, 1:])
