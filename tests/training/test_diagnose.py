from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from training_cases import batches, labelled, named_weights, tanh_cross_entropy

from mlp_jax import Activation, Dense, LayerNorm, Sequential, mlp
from mlp_jax.backprop import Layer, get_loss
from mlp_jax.training import diagnose
from mlp_jax.training.batches import DeviceData
from mlp_jax.training.program import Program, initial_state

SEED, EPOCH, INDEX = np.uint32(0), np.int32(1), np.int32(1)
RATE = 0.1


def looked_at(network, loss="softmax_cross_entropy", y=None):
    """(program, state, data) of a network before its first step, four rows a batch."""
    sgd = optax.with_extra_args_support(optax.sgd(RATE))
    program = Program(network, get_loss(loss), sgd, 4)
    x, labels = labelled(10)
    data = DeviceData(jnp.asarray(x), jnp.asarray(labels if y is None else y), None)
    return program, initial_state(program, SEED, 4), data


def with_param(state, layer, name, value):
    params = list(state.params)
    params[layer] = params[layer] | {name: jnp.asarray(value, jnp.float32)}
    return state._replace(params=tuple(params))


def test_norms_are_those_of_the_gradient_by_jax_on_the_batch():
    program, state, data = looked_at(mlp([5], 3, "tanh"))
    seen = diagnose.look(program, state, data, SEED, EPOCH, INDEX)
    rows = batches(10, 4, 0, 1)[1]
    grads = jax.grad(tanh_cross_entropy)(state.params, data.x[rows], data.y[rows])
    scalars = diagnose.scalars(state, seen)
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
    histograms = diagnose.histograms(state, seen)
    assert set(histograms) == {
        f"{title}/{name}" for title in ("weights", "gradients") for name, _ in named_weights(grads)
    }
    assert np.array_equal(histograms["weights/1.W"], np.asarray(state.params[1]["W"]))


def test_a_unit_that_is_zero_for_every_example_is_dead():
    network = Sequential((Dense(4, "relu"), Dense(4), LayerNorm(), Activation("relu"), Dense(3)))
    program, state, data = looked_at(network)
    state = with_param(state, 0, "b", [-100, 100, -100, 100])
    state = with_param(state, 2, "shift", [-100, 100, 100, 100])
    scalars = diagnose.scalars(state, diagnose.look(program, state, data, SEED, EPOCH, INDEX))
    dead = {name: value for name, value in scalars.items() if name.startswith("dead_units")}
    assert dead == {"dead_units/0": 0.5, "dead_units/3": 0.25}


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
    where = diagnose.first_not_finite(program, state, data, SEED, 1, 1)
    assert where == "the output of layer 1 Dense(5, relu)"


def test_a_loss_that_overflows_after_finite_outputs_is_named():
    program, state, data = looked_at(mlp([5], 1), "squared_error", np.zeros(10, np.float32))
    state = with_param(state, 1, "b", [1e30])
    where = diagnose.first_not_finite(program, state, data, SEED, 1, 1)
    assert where == "the loss squared_error, after outputs that are finite,"


def test_the_layer_whose_gradient_is_not_finite_is_named():
    network = Sequential((Dense(5, "relu"), EndlessGradient(), Dense(3)))
    program, state, data = looked_at(network)
    where = diagnose.first_not_finite(program, state, data, SEED, 1, 1)
    assert where == "the gradient at layer 1 EndlessGradient"


def test_where_all_is_finite_the_optimizer_is_left():
    program, state, data = looked_at(mlp([5], 3))
    where = diagnose.first_not_finite(program, state, data, SEED, 1, 0)
    assert where == "the update of the optimizer"
