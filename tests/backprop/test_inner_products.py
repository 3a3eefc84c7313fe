"""⟨gₙ, v⟩ of each example with one direction, against `jax.jvp`: the slope of Eₙ along v."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from agreement import TOLERANCE, error

from mlp_jax.backprop import (
    Categories,
    Dense,
    Ensemble,
    Sequential,
    get_loss,
    inner_products,
    loss_and_tape,
    mlp,
)
from mlp_jax.errors import InputError

LOSS = get_loss("softmax_cross_entropy")
NETWORKS = {
    "dense": mlp([6, 4], 3, "tanh", norm="layer"),
    "residual": mlp([4, 4], 3, "gelu", residual=True),
    "categories": Sequential((Categories(3, (4, 3), (2, 0)), Dense(4, "tanh"), Dense(3))),
    "ensemble": Ensemble((mlp([4], 3, "tanh"), mlp([3], 3, "silu")), "softmax"),
}


def case(name, dtype):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(9, 5))
    x[:, 3:] = rng.integers(0, 5, (9, 2))
    y = jnp.asarray(rng.integers(0, 3, 9), jnp.int32)
    params, _ = NETWORKS[name].init(jax.random.key(0), 5)
    params = jax.tree.map(lambda p: p.astype(dtype), params)
    direction = jax.tree.map(lambda p: jnp.asarray(rng.normal(size=p.shape), dtype), params)
    return params, direction, jnp.asarray(x, dtype), y


@pytest.mark.parametrize(
    ("name", "dtype"), [*((name, "float64") for name in NETWORKS), ("categories", "float32")]
)
def test_the_product_with_a_direction_is_the_slope_along_it(name, dtype):
    network = NETWORKS[name]
    with jax.enable_x64(True), jax.default_matmul_precision("highest"):
        params, direction, x, y = case(name, dtype)

        def losses(candidate):
            state = network.without_state()
            return LOSS.value(
                network.forward(candidate, state, x, train=False, key=None, mask=None)[0], y
            )

        slopes = jax.jvp(losses, (params,), (direction,))[1]
        tape = loss_and_tape(network, LOSS)(params, x, y)[2]
        assert error(inner_products(tape, direction), slopes) <= TOLERANCE[dtype]


def test_a_direction_of_another_network_is_refused():
    params, direction, x, y = case("dense", "float32")
    tape = loss_and_tape(NETWORKS["dense"], LOSS)(params, x, y)[2]
    for other in (direction[:-1], jax.tree.map(lambda v: v[:2], direction)):
        with pytest.raises(InputError, match="does not match the tape's parameters"):
            inner_products(tape, other)
