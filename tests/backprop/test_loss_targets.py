"""Targets that a loss has no meaning for are refused wherever a gradient is asked for."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mlp_jax.backprop import (
    gauss_newton_diagonal,
    get_loss,
    hessian_product,
    loss_and_sampled_tape,
    loss_and_tape,
    mlp,
    value_and_grad,
)
from mlp_jax.errors import InputError
from mlp_jax.model.examples import TrainedNetwork, examine
from mlp_jax.proof import check_gradients

X = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
CLASSES = mlp([3], 3)
PARAMS, _ = CLASSES.init(jax.random.key(0), 4)
DRAW = jax.random.key(1)

CALLS = {
    "value_and_grad": lambda network, loss, p, y: value_and_grad(network, loss)(p, X, y),
    "loss_and_tape": lambda network, loss, p, y: loss_and_tape(network, loss)(p, X, y),
    "sampled tape": lambda network, loss, p, y: loss_and_sampled_tape(network, loss)(p, X, y, DRAW),
    "diagonal": lambda network, loss, p, y: gauss_newton_diagonal(network, loss)(p, X, y),
    "hessian": lambda network, loss, p, y: hessian_product(network, loss)(p, p, X, y),
    "check_gradients": lambda network, loss, p, y: check_gradients(network, loss, p, (X, y)),
    "examine": lambda network, loss, p, y: examine(TrainedNetwork(network, loss, p), X, y),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    ("bad", "said"),
    [(3, "row 4 has 3"), (-1, "row 4 has -1"), (1.5, r"row 4 has 1\.5"), (np.nan, "row 4 has nan")],
)
def test_a_label_that_is_no_class_is_refused_with_its_row(call, bad, said):
    y = np.array([0, 1, 2, 0, bad, 1], type(bad))
    with pytest.raises(InputError, match=f"from 0 to 2 as labels, but {said}"):
        CALLS[call](CLASSES, get_loss("softmax_cross_entropy"), PARAMS, y)


@pytest.mark.parametrize("name", ["hinge", "focal"])
def test_every_loss_of_labels_refuses_what_is_no_class(name):
    with pytest.raises(InputError, match="row 0 has 3"):
        value_and_grad(CLASSES, get_loss(name))(PARAMS, X, np.array([3, 0, 1, 2, 0, 1]))


def test_a_label_too_large_for_32_bits_is_refused_too():
    y = np.array([0, 1, 2, 0, 2**32, 1])
    with pytest.raises(InputError, match="row 4 has"):
        value_and_grad(CLASSES, get_loss("softmax_cross_entropy"))(PARAMS, X, y)


@pytest.mark.parametrize(
    ("name", "bad", "allowed"),
    [
        ("sigmoid_cross_entropy", 1.5, "from 0 to 1"),
        ("sigmoid_cross_entropy", -1, "from 0 to 1"),
        ("sigmoid_cross_entropy", np.nan, "from 0 to 1"),
        ("hinge", -1, "from 0 to 1"),
        ("focal", np.nan, "from 0 to 1"),
        ("poisson", -2.0, "not negative"),
        ("poisson", np.inf, "finite"),
        ("squared_error", np.nan, "finite"),
        ("huber", -np.inf, "finite"),
    ],
)
@pytest.mark.parametrize("columns", [1, 3])
def test_a_target_that_the_loss_has_no_meaning_for_is_refused(name, bad, allowed, columns):
    network = mlp([3], columns)
    params, _ = network.init(jax.random.key(0), 4)
    y = np.zeros((6, columns), type(bad))
    y[2, -1] = bad
    with pytest.raises(InputError, match=f"{allowed}.*row 2 has"):
        value_and_grad(network, get_loss(name))(params, X, y)
    with pytest.raises(InputError, match="row 2 has"):
        check_gradients(network, get_loss(name), params, (X, jnp.asarray(y)))


def test_a_share_of_a_class_is_from_0_to_1():
    y = np.full((6, 3), 1 / 3)
    y[5, 0] = -0.1
    with pytest.raises(InputError, match=r"from 0 to 1, but row 5 has -0\.1"):
        value_and_grad(CLASSES, get_loss("softmax_cross_entropy"))(PARAMS, X, y)


@pytest.mark.parametrize("kind", [np.int64, np.uint8, np.float32, np.float64])
def test_whole_numbers_of_any_type_are_labels(kind):
    y = np.array([0, 1, 2, 0, 1, 2])
    f = value_and_grad(CLASSES, get_loss("softmax_cross_entropy"))
    assert float(f(PARAMS, X, y.astype(kind))[0]) == float(f(PARAMS, X, y)[0])


def test_a_trace_passes_every_target():
    f = jax.jit(value_and_grad(CLASSES, get_loss("softmax_cross_entropy")))
    assert np.isfinite(f(PARAMS, X, jnp.asarray([0, 1, 2, 0, 7, 1]))[0])
