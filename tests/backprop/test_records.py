"""The tape's records: what contraction gives, and that a tape passes through JAX."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from agreement import assert_agree

from mlp_jax.backprop import OuterProduct, PerExample, Tape, contract
from mlp_jax.backprop.records import is_record

N, I, J = 6, 4, 3  # noqa: E741
RNG = np.random.default_rng(0)
A, DELTA, C = RNG.normal(size=(N, I)), RNG.normal(size=(N, J)), RNG.uniform(size=N)


@pytest.mark.parametrize("c", [None, C, np.zeros(N), -C])
def test_contraction_is_the_weighted_sum_of_each_examples_gradient(c, x64):
    records = (
        {"W": OuterProduct(jnp.asarray(A), jnp.asarray(DELTA))},
        {},
        PerExample(jnp.asarray(DELTA)),
    )
    w = np.ones(N) if c is None else c
    expected = (
        {"W": sum(w[n] * np.outer(A[n], DELTA[n]) for n in range(N))},
        {},
        sum(w[n] * DELTA[n] for n in range(N)),
    )
    assert_agree(contract(records, None if c is None else jnp.asarray(c)), expected)


def test_a_tape_is_a_tree_whose_kind_is_static():
    tape = Tape({"b": PerExample(jnp.ones((2, 3)))}, weighted=True)
    doubled = jax.jit(lambda tape: jax.tree.map(lambda leaf: 2 * leaf, tape))(tape)
    assert doubled.weighted is True
    np.testing.assert_array_equal(doubled.records["b"].g, 2 * np.ones((2, 3)))
    assert is_record(doubled.records["b"])
    assert not is_record(doubled.records)
