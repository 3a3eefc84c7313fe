from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from training_cases import batches, labelled, named_weights, tanh_cross_entropy

from mlp_jax import Activation, Dense, LayerNorm, Sequential, mlp
from mlp_jax.backprop import Layer, NoiseAverage, get_loss
from mlp_jax.training.diagnostics import batch_diagnostics
from mlp_jax.training.diagnostics import diagnostics_report as report
from mlp_jax.training.engine.batches import DeviceData
from mlp_jax.training.engine.program import Program, initial_state

SEED, EPOCH = np.uint32(0), np.int32(1)
RATE = 0.1


def looked_at(network, loss="softmax_cross_entropy", y=None):
    """(program, state, data) of a network before its first step, four rows a batch."""
    sgd = optax.with_extra_args_support(optax.sgd(RATE))
    program = Program(network, get_loss(loss), sgd, 4)
    x, labels = labelled(10)
    data = DeviceData(jnp.asarray(x), jnp.asarray(labels if y is None else y), None)
    return program, initial_state(program, SEED, 4), data


def test_a_look_is_due_after_a_thousand_steps_and_early_in_a_run_after_ever_more_epochs():
    def due(n, epochs):
        return [epoch for epoch in range(1, epochs + 1) if batch_diagnostics.is_due(epoch, n, 10)]

    assert due(10_000, 4) == [1, 2, 3, 4]
    assert due(3330, 10) == [1, 2, 4, 8]
    assert due(3340, 10) == [1, 2, 3, 6, 9]
    assert due(95, 300) == [1, 2, 4, 8, 16, 32, 64, 100, 200, 300]


def with_param(state, layer, name, value):
    params = list(state.params)
    params[layer] = params[layer] | {name: jnp.asarray(value, jnp.float32)}
    return state._replace(params=tuple(params))


def look_at(program, state, data, average=None):
    return batch_diagnostics.diagnose_batches(
        program, state, data, SEED, EPOCH, average or NoiseAverage.start()
    )


def diagnosis_of(program, state, data):
    return report.summarize(state.params, look_at(program, state, data))


def scalars_of(network, found):
    return report.scalars(report.layers(network, found), found.norms)


def test_norms_are_those_of_the_gradient_by_jax_on_the_batch():
    program, state, data = looked_at(mlp([5], 3, "tanh"))
    seen = look_at(program, state, data)
    rows = batches(10, 4, 0, 1)[1]
    grads = jax.grad(tanh_cross_entropy)(state.params, data.x[rows], data.y[rows])
    scalars = scalars_of(program.network, report.summarize(state.params, seen))
    for (name, grad), (_, weight) in zip(
        named_weights(grads), named_weights(state.params), strict=True
    ):
        norm, size = np.sqrt((grad**2).sum()), np.sqrt((weight**2).sum())
        assert scalars[f"gradient_norm/{name}"] == pytest.approx(norm, rel=1e-5)
        assert scalars[f"weight_norm/{name}"] == pytest.approx(size, rel=1e-5)
        assert scalars[f"update_norm/{name}"] == pytest.approx(RATE * norm, rel=1e-5)
        if size:
            share = RATE * norm / size
            assert scalars[f"update_to_weight/{name}"] == pytest.approx(share, rel=1e-5)
    assert "update_to_weight/0.b" not in scalars
    histograms = report.histograms(state, seen)
    assert set(histograms) == {
        f"{title}/{name}" for title in ("weights", "gradients") for name, _ in named_weights(grads)
    }
    assert np.array_equal(histograms["weights/1.W"], np.asarray(state.params[1]["W"]))


def test_a_unit_that_is_zero_for_every_example_is_dead():
    network = Sequential((Dense(4, "relu"), Dense(4), LayerNorm(), Activation("relu"), Dense(3)))
    program, state, data = looked_at(network)
    state = with_param(state, 0, "b", [-100, 100, -100, 100])
    state = with_param(state, 2, "shift", [-100, 100, 100, 100])
    scalars = scalars_of(network, diagnosis_of(program, state, data))
    dead = {name: value for name, value in scalars.items() if name.startswith("dead_units")}
    assert dead == {"dead_units/0": 0.5, "dead_units/3": 0.25}


def test_a_unit_is_dead_only_where_no_batch_wakes_it():
    """One of the ten rows is 5 in its first feature, the others -5: in one batch of four."""
    program, state, data = looked_at(Sequential((Dense(1, "relu"), Dense(3))))
    seen = np.concatenate(batches(10, 4, 0, 1)[:2])
    x = np.full((10, 4), -5, np.float32)
    state = with_param(state, 0, "W", np.ones((4, 1)))
    for row, dead in ((seen[0], 0), (seen[7], 0), (np.setdiff1d(range(10), seen)[0], 1)):
        one = x.copy()
        one[row] = 5
        found = look_at(program, state, data._replace(x=jnp.asarray(one)))
        assert found.layers[0,].dead == dead


def test_the_layers_are_those_of_numpy_over_all_the_batches():
    program, state, data = looked_at(mlp([5], 3, "tanh"))
    state = with_param(state, 0, "W", 3 * np.asarray(state.params[0]["W"]))
    found = diagnosis_of(program, state, data)
    record, last = report.layers(program.network, found)
    assert found.examples == 8
    rows = np.concatenate(batches(10, 4, 0, 1)[:2])
    x, y = np.asarray(data.x, np.float64)[rows], np.asarray(data.y)[rows]
    (W1, b1), (W2, b2) = ([np.asarray(p[k], np.float64) for k in "Wb"] for p in state.params)
    a = np.tanh(x @ W1 + b1)
    z = a @ W2 + b2
    grad_last = np.exp(z) / np.exp(z).sum(1, keepdims=True) - np.eye(3)[y]
    grad_first = (grad_last @ W2.T) * (1 - a**2)
    assert (record["layer"], last["layer"]) == ("0 Dense(5, tanh)", "1 Dense(3, identity)")
    assert record["dead"] == 0
    assert record["saturated"] == pytest.approx((1 - a**2 < 0.01).mean()) != 0
    assert "dead" not in last
    for found, values, grad_z in ((record, a, grad_first), (last, z, grad_last)):
        norm, grad = (np.sqrt(np.mean(np.sum(v**2, 1))) for v in (values, grad_z))
        assert found["norm_a"] == pytest.approx(norm, rel=1e-5)
        assert found["norm_grad_z"] == pytest.approx(grad, rel=1e-5)
    flat = np.concatenate([(x[:, :, None] * grad_first[:, None]).reshape(8, -1), grad_first], 1)
    noise = np.mean([np.trace(np.cov(part.T)) for part in (flat[:4], flat[4:])])
    means = [np.sum(part.mean(0) ** 2) - np.trace(np.cov(part.T)) / 4
             for part in (flat[:4], flat[4:])]  # fmt: skip
    expected = max(np.mean(means) / noise, 0)
    assert record["signal_to_noise"] == pytest.approx(expected, rel=1e-4)
    both = grad_first[4:], x[4:]
    moved = RATE * np.hypot(
        np.linalg.norm(both[1].T @ both[0] / 4), np.linalg.norm(both[0].mean(0))
    )
    size = np.hypot(np.linalg.norm(W1), np.linalg.norm(b1))
    assert record["update_to_weight"] == pytest.approx(moved / size, rel=1e-5)


def known_noise(rows, spread=2.0, seed=0):
    """A network whose gradients are known: one weight with a = 1, and no bias.

    At s = 0 the gradient of ½-free squared error is −2y: y = −(1 + spread · normal)/2 makes it
    1 + spread · normal, so |G|² = 1 and tr Σ = spread².
    """
    network = Sequential((Dense(1, bias=False),))
    normal = np.random.default_rng(seed).normal(size=rows)
    y = -(1 + spread * normal) / 2
    sgd = optax.with_extra_args_support(optax.sgd(RATE))
    program = Program(network, get_loss("squared_error"), sgd, 64)
    data = DeviceData(jnp.ones((rows, 1)), jnp.asarray(y, jnp.float32)[:, None], None)
    return program, with_param(initial_state(program, SEED, 1), 0, "W", [[0.0]]), data, -2 * y


def test_the_noise_scale_is_that_of_gradients_that_are_known():
    program, state, data, _ = known_noise(128 * 64 * 40)
    found = report.noise_record(look_at(program, state, data))
    assert found["gradient_variance"] == pytest.approx(4, rel=0.1)
    assert found["gradient_signal"] == pytest.approx(1, rel=0.1)
    assert found["noise_scale"] == pytest.approx(4, rel=0.2)


def test_numerator_and_denominator_are_averaged_apart_over_the_looks():
    program, state, data, gradients = known_noise(96)
    program = replace(program, batch_size=8)
    assert batch_diagnostics.diagnosed_rows(96, 8) == (4, 8)
    average, sums, decay = NoiseAverage.start(), np.zeros(3), 1 - 1 / 16
    for epoch in (1, 2):
        seen = batch_diagnostics.diagnose_batches(
            program, state, data, SEED, np.int32(epoch), average
        )
        average, looked_at = seen.average, []
        for rows in batches(96, 8, 0, epoch)[:4]:
            g = gradients[rows]
            told = np.array([np.var(g, ddof=1), g.mean() ** 2 - np.var(g, ddof=1) / 8])
            looked_at.append(told)
            relative = [*told / np.mean(g**2), 1]
            sums = decay * sums + (1 - decay) * np.array(relative)
    np.testing.assert_allclose(average, sums, rtol=1e-4)
    record = report.noise_record(seen)
    own = [record[name] for name in ("gradient_variance", "gradient_signal")]
    np.testing.assert_allclose(own, np.mean(looked_at, axis=0), rtol=1e-4)
    assert record["noise_scale"] == pytest.approx(sums[0] / sums[1], rel=1e-4)


def test_where_noise_drowns_the_signal_the_scale_is_infinite_and_nothing_is_made_up():
    program, state, data = looked_at(mlp([5], 3))
    drowned = NoiseAverage(*map(np.float32, (100, -100, 0.5)))
    assert report.noise_record(look_at(program, state, data, drowned))["noise_scale"] == np.inf


def test_a_gradient_that_shrinks_does_not_leave_the_average_to_the_past():
    program, state, data, _ = known_noise(64 * 64)
    before = batch_diagnostics.diagnose_batches(
        program, state, data, SEED, EPOCH, NoiseAverage.start()
    )
    small = data._replace(y=data.y / 1000)
    after = batch_diagnostics.diagnose_batches(
        program, state, small, SEED, EPOCH, NoiseAverage.start()
    )
    scales = [report.noise_record(seen)["noise_scale"] for seen in (before, after)]
    assert scales[1] == pytest.approx(scales[0], rel=1e-3)
    np.testing.assert_allclose(after.average, before.average, rtol=1e-3)


@pytest.mark.parametrize("case", ["batch norm", "one example"])
def test_what_has_no_noise_leaves_it_out(case):
    network = mlp([5], 3, norm="batch") if case == "batch norm" else mlp([5], 3)
    program, state, data = looked_at(network)
    if case == "one example":
        program = replace(program, batch_size=1)
    seen = look_at(program, state, data)
    assert report.noise_record(seen) == {}
    for record in report.layers(network, report.summarize(state.params, seen)):
        assert "signal_to_noise" not in record
        assert "update_to_weight" in record or "norm_a" in record


def test_a_look_sees_at_most_one_row_in_128_or_32_of_few():
    assert batch_diagnostics.diagnosed_rows(54_000, 128) == (3, 128)
    assert batch_diagnostics.diagnosed_rows(5120, 64) == (1, 40)
    assert batch_diagnostics.diagnosed_rows(100, 64) == (1, 32)
    assert batch_diagnostics.diagnosed_rows(10, 4) == (2, 4)
    assert batch_diagnostics.diagnosed_rows(1, 1) == (1, 1)
    assert batch_diagnostics.diagnosed_rows(10**8, 128) == (64, 128)


@dataclass(frozen=True)
class EndlessGradient(Layer):
    """The identity with a backward that overflows."""

    def __str__(self) -> str:
        return "EndlessGradient"

    def forward(
        self, params: Any, state: Any, a: jax.Array, *, train: bool, key: Any, mask: Any
    ) -> tuple[jax.Array, Any, None]:
        return a, state, None

    def backward(
        self, params: Any, residual: Any, grad_a_next: jax.Array, *, need_grad_a: bool
    ) -> tuple[jax.Array, dict[str, Any]]:
        return grad_a_next * jnp.inf, {}


def test_the_first_layer_whose_output_is_not_finite_is_named():
    program, state, data = looked_at(mlp([5, 5], 3))
    state = with_param(state, 0, "b", [1e20] * 5)
    state = with_param(state, 1, "W", np.full((5, 5), 1e20))
    where = report.first_not_finite(program, state, data, SEED, 1, 0, 1)
    assert where == "the output of layer 1 Dense(5, relu)"


def test_a_loss_that_overflows_after_finite_outputs_is_named():
    program, state, data = looked_at(mlp([5], 1), "squared_error", np.zeros(10, np.float32))
    state = with_param(state, 1, "b", [1e30])
    where = report.first_not_finite(program, state, data, SEED, 1, 0, 1)
    assert where == "the loss squared_error, at finite outputs,"


def test_the_layer_whose_gradient_is_not_finite_is_named():
    network = Sequential((Dense(5, "relu"), EndlessGradient(), Dense(3)))
    program, state, data = looked_at(network)
    where = report.first_not_finite(program, state, data, SEED, 1, 0, 1)
    assert where == "the gradient at layer 1 EndlessGradient"


def test_where_all_is_finite_the_optimizer_is_left():
    program, state, data = looked_at(mlp([5], 3))
    where = report.first_not_finite(program, state, data, SEED, 1, 0, 0)
    assert where == "the update of the optimizer"
