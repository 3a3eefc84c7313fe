"""What examples are to a network, held against `jax.vmap(jax.grad)` and leave-one-out by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mlp_jax.backprop import Categories, Ensemble, Sequential, get_loss, mlp
from mlp_jax.errors import InputError, UnknownNameError
from mlp_jax.model import examples
from mlp_jax.model.examples import TrainedNetwork, examine, gets_right, reference_of, suspects_first

RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 5))
LABELS = RNG.integers(0, 3, 40).astype(np.int32)
YES_NO = RNG.integers(0, 2, (40, 3)).astype(np.float32)
NUMBERS = RNG.normal(size=(40, 3))
CASES = {
    "classes": (mlp([7, 6], 3, "tanh", dropout=0.4), "softmax_cross_entropy", LABELS),
    "batch norm": (mlp([7], 3, "gelu", norm="batch"), "softmax_cross_entropy", LABELS),
    "labels": (mlp([7], 3, "tanh"), "sigmoid_cross_entropy", YES_NO),
    "one logit": (mlp([7], 1, "tanh"), "sigmoid_cross_entropy", (LABELS > 0).astype(np.int32)),
    "numbers": (mlp([7], 3, "tanh"), "huber", NUMBERS),
    "categories": (
        Sequential((Categories(4, (3,), (2,)), *mlp([6], 3, "tanh").layers)),
        "softmax_cross_entropy", LABELS,
    ),
    "ensemble": (Ensemble((mlp([5], 3), mlp([4], 3, "tanh")), "softmax"), "softmax_cross_entropy",
                 LABELS),
}  # fmt: skip


def case(name):
    """(trained in float64, x, targets as given, those in the loss's terms)."""
    network, loss, y = CASES[name]
    x = X.copy()
    if name == "categories":
        x[:, 4] = RNG.integers(0, 4, len(x))
    params, state = network.init(jax.random.key(1), 5)
    params = jax.tree.map(
        lambda p: p + 0.1 * RNG.normal(size=p.shape).astype(np.float64), jax.device_get(params)
    )
    state = jax.tree.map(lambda s: np.abs(np.float64(s) + 0.3), jax.device_get(state))
    coded = y.astype(np.float64)[:, None] if name == "one logit" else y
    trained = TrainedNetwork(network, get_loss(loss), params, state, precision="float64")
    return trained, x, y, coded


def gradients_by_jax(trained, x, y):
    """(gₙ as rows (N, P), Eₙ, outputs), each example by itself."""

    def one(params, row, target):
        output = trained.network.forward(
            params, state, row[None], train=False, key=None, mask=None
        )[0]
        return trained.loss.value(output, target[None])[0], output[0]

    with jax.enable_x64(True), jax.default_matmul_precision("highest"):
        params, state = jax.tree.map(jnp.asarray, (trained.params, trained.state))
        y = jnp.asarray(y, jnp.float64 if y.dtype.kind == "f" else None)
        each = jax.vmap(jax.value_and_grad(one, has_aux=True), in_axes=(None, 0, 0))
        values, grads = jax.jit(each)(params, jnp.asarray(x), y)
        rows = [np.asarray(leaf).reshape(len(x), -1) for leaf in jax.tree.leaves(grads)]
    return np.concatenate(rows, axis=1), np.asarray(values[0]), np.asarray(values[1])


def right(loss, output, y):
    """Which rows the network gets right, in plain words of NumPy."""
    if loss.function.targets == "real":
        return np.ones(len(y), bool)
    if y.ndim == 1:
        return output.argmax(axis=1) == y
    return ((output > 0) == (y > 0.5)).all(axis=1)


@pytest.mark.parametrize("name", CASES)
def test_loss_norm_and_influence_are_those_of_jax_example_by_example(name):
    trained, x, y, coded = case(name)
    grads, losses, outputs = gradients_by_jax(trained, x, coded)
    counted = right(trained.loss, outputs[20:], coded[20:])
    assert counted.any()
    mean = grads[20:][counted].mean(axis=0)
    held_out = reference_of(trained, x[20:], y[20:])
    assert held_out.n_rows == counted.sum()
    found = examine(trained, x[:20], y[:20], held_out)
    np.testing.assert_allclose(found.output, outputs[:20], rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(found.loss, losses[:20], rtol=1e-10)
    np.testing.assert_allclose(found.gradient_norm, np.linalg.norm(grads[:20], axis=1), rtol=1e-10)
    np.testing.assert_allclose(found.influence, grads[:20] @ mean, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", ["classes", "numbers"])
def test_a_row_among_the_reference_is_measured_on_the_others(name):
    trained, x, y, coded = case(name)
    grads, _, outputs = gradients_by_jax(trained, x, coded)
    counted = right(trained.loss, outputs, coded)
    others = [counted & (np.arange(40) != n) for n in range(40)]
    expected = [grads[n] @ grads[others[n]].mean(axis=0) for n in range(40)]
    np.testing.assert_allclose(examine(trained, x, y).influence, expected, rtol=1e-9, atol=1e-12)


def test_rows_come_in_chunks_and_each_is_itself(monkeypatch):
    trained, x, y, _ = case("classes")
    whole = examine(trained, x, y)
    monkeypatch.setattr(examples, "CHUNK", 16)
    for one, other in zip(whole, examine(trained, x, y), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-14)


def test_a_network_that_is_always_wrong_still_has_a_reference():
    trained, x, _, _ = case("classes")
    output = gradients_by_jax(trained, x, LABELS)[2]
    y = output.argmin(axis=1).astype(np.int32)
    grads = gradients_by_jax(trained, x, y)[0]
    held_out = reference_of(trained, x, y)
    assert (held_out.n_rows, held_out.all_count) == (40, True)
    expected = [(grads[n] @ (grads.sum(axis=0) - grads[n])) / 39 for n in range(40)]
    np.testing.assert_allclose(examine(trained, x, y).influence, expected, rtol=1e-9)


def test_pixels_are_scaled_on_the_way():
    trained, _, y, _ = case("classes")
    pixels = RNG.integers(0, 256, (40, 5)).astype(np.uint8)
    scaled = examine(trained, pixels * 0.01 - 1.0, y)
    found = examine(trained._replace(scaling=(0.01, -1.0)), pixels, y)
    np.testing.assert_allclose(found.gradient_norm, scaled.gradient_norm, rtol=1e-10)


@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_lower_precision_gives_nearly_the_same(precision):
    trained, x, y, _ = case("classes")
    exact = examine(trained, x, y)
    narrow = jax.tree.map(lambda p: p.astype(np.float32), trained.params)
    found = examine(trained._replace(params=narrow, precision=precision), x, y)
    assert found.loss.dtype == np.float32
    tolerance = {"float32": 1e-5, "bf16": 5e-2}[precision]
    np.testing.assert_allclose(found.gradient_norm, exact.gradient_norm, rtol=tolerance)


def test_the_most_suspicious_come_first():
    trained, x, y, _ = case("classes")
    found = examine(trained, x, y)
    assert suspects_first(found, "loss")[0] == found.loss.argmax()
    assert suspects_first(found, "gradient_norm")[-1] == found.gradient_norm.argmin()
    assert suspects_first(found, "influence")[0] == found.influence.argmin()
    with pytest.raises(UnknownNameError, match="'loss'"):
        suspects_first(found, "los")


def test_what_is_right_is_decided_as_the_loss_predicts():
    output = jnp.asarray([[2.0, 1.0], [-1.0, 3.0]])
    shares = jnp.asarray([[0.9, 0.1], [0.6, 0.4]])
    assert gets_right(get_loss("hinge"), output, jnp.asarray([0, 0])).tolist() == [True, False]
    assert gets_right(get_loss("hinge"), output, jnp.ones((2, 2))).tolist() == [
        True, False,
    ]  # fmt: skip
    found = gets_right(get_loss("softmax_cross_entropy"), output, shares)
    assert found.tolist() == [True, False]


def test_rows_that_do_not_fit_are_refused():
    trained, x, y, _ = case("classes")
    with pytest.raises(InputError, match="N rows"):
        examine(trained, x, y[:3])
    with pytest.raises(InputError, match="at least one"):
        examine(trained, x[:0], y[:0])
