"""The covariance of the output is J diag(v) Jᵀ with the Jacobian that JAX forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from agreement import assert_agree
from jax.flatten_util import ravel_pytree

from mlp_jax.backprop import BatchNorm, Categories, Dense, LayerNorm, Residual, Sequential, apply
from mlp_jax.backprop.output_covariance import output_covariance

N, I, C = 5, 5, 3  # noqa: E741
NETWORKS = {
    "dense": Sequential((Dense(4, "tanh"), Dense(C))),
    "norms": Sequential((Residual(Dense(I, "gelu")), LayerNorm(), BatchNorm(), Dense(C))),
    "categories": Sequential((Categories(I - 2, (4, 3), (2, 0)), Dense(C, bias=False))),
}


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.usefixtures("x64")
def test_it_is_the_jacobian_times_the_variances_times_the_jacobian(name):
    rng = np.random.default_rng(0)
    network = NETWORKS[name]
    params, state = network.init(jax.random.key(0), I)
    params = jax.tree.map(lambda p: jnp.asarray(rng.normal(0.2, 0.6, p.shape)), params)
    x = rng.normal(size=(N, I))
    if name == "categories":
        x[:, -2:] = rng.integers(0, 5, (N, 2))  # some codes unknown
    variances = jax.tree.map(lambda p: jnp.asarray(rng.uniform(0, 1, p.shape)), params)
    flat, unravel = ravel_pytree(params)
    v = ravel_pytree(variances)[0]

    @jax.jit
    def jacobian(flat):
        return jax.jacobian(lambda f: apply(network, unravel(f), jnp.asarray(x), state=state))(flat)

    J = jacobian(flat)
    output, found = jax.jit(output_covariance, static_argnums=0)(
        network, params, state, jnp.asarray(x), variances
    )
    assert_agree(output, apply(network, params, jnp.asarray(x), state=state))
    assert_agree(found, np.einsum("ncp,p,ndp->ncd", J, v, J, optimize=True))
