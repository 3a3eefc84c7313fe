"""Signal and noise of a gradient are those of the sample covariance of its examples."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from statistics_cases import KEY, LOSS, WEIGHTS, Case, N, summed_squares

from mlp_jax.backprop import (
    Dense,
    GradientNoise,
    NoiseAverage,
    Sequential,
    get_loss,
    gradient_noise,
    gradient_noise_by_layer,
    loss_and_tape,
    signal_to_noise,
    variance,
)


def test_signal_to_noise_is_by_layer_the_mean_over_the_variance(x64):
    case = Case("layer norm")
    for c, used in ((None, np.ones(N)), (jnp.asarray(WEIGHTS), WEIGHTS)):
        p = used / used.sum()
        for ours, layer in zip(signal_to_noise(case.tape, c), case.apart(), strict=True):
            if not layer:
                assert ours is None
                continue
            mean = {k: np.tensordot(p, g, 1) for k, g in layer.items()}
            signal = sum(np.sum(m**2) for m in mean.values())
            noise = sum(p @ summed_squares(g - mean[k]) for k, g in layer.items())
            np.testing.assert_allclose(ours, signal / noise, rtol=1e-11)


def test_examples_that_agree_have_no_noise(x64):
    case = Case("dense")
    same = jnp.repeat(case.x[:1], 4, axis=0), jnp.repeat(case.y[:1], 4)
    tape = loss_and_tape(case.network, LOSS)(case.params, *same)[2]
    found = gradient_noise(tape)
    assert abs(found.noise) < 1e-12 * found.signal
    assert all(np.all(v < 1e-12) for v in jax.tree.leaves(variance(tape)))
    assert all(v > 1e12 for v in jax.tree.leaves(signal_to_noise(tape)))


@pytest.mark.parametrize("c", [None, WEIGHTS], ids=["plain", "weighted"])
def test_the_noise_scale_is_that_of_the_sample_covariance(c, x64):
    case = Case("dense")
    flat, used = case.flat(), np.ones(N) if c is None else c
    found = gradient_noise(case.tape, None if c is None else jnp.asarray(c))
    if c is None:
        noise = np.trace(np.cov(flat.T))
        np.testing.assert_allclose(found.signal, np.sum(flat.mean(axis=0) ** 2) - noise / N)
    else:
        noise = np.trace(np.cov(flat.T, aweights=used, ddof=1))
    np.testing.assert_allclose(found.noise, noise, rtol=1e-11)
    ratio = found.noise / found.signal if found.signal > 0 else np.inf
    np.testing.assert_allclose(found.scale, ratio)


@pytest.mark.parametrize("c", [None, WEIGHTS], ids=["plain", "weighted"])
def test_the_noise_of_each_layer_is_that_of_its_sample_covariance(c, x64):
    case = Case("layer norm")
    used = np.ones(N) if c is None else c
    p = used / used.sum()
    found = gradient_noise_by_layer(case.tape, None if c is None else jnp.asarray(c))
    total = gradient_noise(case.tape, None if c is None else jnp.asarray(c))
    layers = [layer for layer in case.apart() if layer]
    ours = [noise for noise in found if noise is not None]
    assert len(ours) == len(layers) < len(found)
    for noise, layer in zip(ours, layers, strict=True):
        flat = np.concatenate([g.reshape(N, -1) for g in layer.values()], axis=1)
        trace = np.trace(np.cov(flat.T, aweights=used, ddof=1))
        np.testing.assert_allclose(noise.noise, trace, rtol=1e-11)
        signal = np.sum((p @ flat) ** 2) - np.sum(p**2) * trace
        np.testing.assert_allclose(noise.signal, signal, rtol=1e-9, atol=1e-15)
    np.testing.assert_allclose(sum(noise.noise for noise in ours), total.noise, rtol=1e-12)


def test_numerator_and_denominator_are_without_bias(x64):
    """Over many batches from a known distribution of gradients, bias records alone."""
    rng, (true, spread) = np.random.default_rng(0), (np.array([0.3, -0.2]), np.array([1.0, 2.0]))
    batches = jnp.asarray(true + spread * rng.normal(size=(20_000, 4, 2)))
    network = Sequential((Dense(2),))
    records = jax.eval_shape(lambda k: network.init(k, 1)[0], KEY)
    assert set(records[0]) == {"W", "b"}
    params = ({"W": jnp.zeros((1, 2)), "b": jnp.zeros(2)},)
    loss = get_loss("squared_error")  # at s = 0 its gradient for C = 2 is −y

    def noise(batch):
        return gradient_noise(loss_and_tape(network, loss)(params, jnp.zeros((4, 1)), -batch)[2])

    found = jax.jit(jax.vmap(noise))(batches)
    np.testing.assert_allclose(np.mean(found.noise), np.sum(spread**2), rtol=0.02)
    np.testing.assert_allclose(np.mean(found.signal), np.sum(true**2), atol=0.02)


def test_the_average_smooths_numerator_and_denominator_apart():
    average = NoiseAverage.start()
    assert all(np.isnan(v) for v in average.average)
    steps = [GradientNoise(*map(jnp.float32, v)) for v in ((4, 1), (np.nan, 5), (2, -0.5))]
    for step in steps:
        average = average.updated(step, 0.5)
    np.testing.assert_allclose(average.average, [(4 + 2 * 2) / 3, (1 - 2 * 0.5) / 3], atol=1e-6)
    assert np.isinf(average.average.scale)
    assert np.isinf(steps[2].scale)
    assert steps[0].scale == 4
