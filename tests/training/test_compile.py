import jax.numpy as jnp
import optax
import pytest

from mlp_jax import mlp
from mlp_jax.backprop import get_loss
from mlp_jax.training import compile as calls
from mlp_jax.training.engine.program import Program

WIDE = [{"W": jnp.zeros((1000, 1000)), "b": jnp.zeros(1000)}]


def program(batch_size):
    network, loss = mlp([4], 3), get_loss("softmax_cross_entropy")
    return Program(network, loss, optax.with_extra_args_support(optax.identity()), batch_size)


@pytest.mark.parametrize(
    ("steps", "seconds", "length"),
    [(1, 1.0, 1), (1000, 1e9, 1000), (1000, 1e-9, 1), (7, 1e-9, 1)],
)
def test_a_call_is_the_epoch_or_as_much_as_the_seconds_allow(monkeypatch, steps, seconds, length):
    monkeypatch.setattr(calls, "SECONDS_A_CALL", seconds)
    assert calls.steps_a_call(program(128), WIDE, steps) == length


@pytest.mark.parametrize("steps", [10, 99, 100, 101, 1000])
def test_a_cut_epoch_has_calls_of_about_one_length(monkeypatch, steps):
    monkeypatch.setattr(calls, "SECONDS_A_CALL", 0.2)
    length = calls.steps_a_call(program(128), WIDE, steps)
    count = -(-steps // length)
    rest = steps - (count - 1) * length
    assert 0 < rest <= length
    assert length - rest <= count
    assert calls.steps_a_call(program(256), WIDE, steps) <= length
