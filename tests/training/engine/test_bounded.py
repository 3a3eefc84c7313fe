"""Programs of the last few specifications are kept, and not of all there ever were."""

import jax
import jax.numpy as jnp

from mlp_jax.training.engine.bounded import BoundedJit


def counting():
    traces = []

    def scaled(factor, x):
        traces.append(factor)
        return factor * x

    return BoundedJit(scaled, 1, most=3), traces


def test_a_specification_compiles_once():
    call, traces = counting()
    assert [float(call(2.0, jnp.float32(k))) for k in range(3)] == [0, 2, 4]
    assert traces == [2.0]
    assert call.count == 1


def test_the_number_of_specifications_that_are_held_is_bounded():
    call, traces = counting()
    for factor in range(10):
        assert float(call(float(factor), jnp.float32(1))) == factor
        assert call.count <= 3
    assert len(traces) == 10


def test_what_is_lowered_is_as_of_jax():
    call, _ = counting()
    compiled = call.lower(3.0, jax.ShapeDtypeStruct((), jnp.float32)).compile()
    assert float(compiled(jnp.float32(2))) == 6
