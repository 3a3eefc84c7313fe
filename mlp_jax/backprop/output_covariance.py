"""Covariance of the output under uncertain weights: J Σ Jᵀ for a diagonal Σ, without forming J.

Letters: N examples, I inputs and J outputs of a layer, C outputs of the network, Jₙ (C, P) the
Jacobian of the output of example n, v the variance of each of the P parameters.
"""

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from mlp_jax.backprop.block_records import BlockProduct, SharedProduct
from mlp_jax.backprop.columns import look_up
from mlp_jax.backprop.records import LookUp, OuterProduct, PerExample, Record, is_record
from mlp_jax.backprop.row_products import wide
from mlp_jax.backprop.specification import Layer, Params, Records, State
from mlp_jax.backprop.statistics import by_parameter, summed
from mlp_jax.errors import InputError


def output_covariance(
    network: Layer, params: Params, state: State, x: Float[Array, "N I"], variances: Params
) -> tuple[Float[Array, "N C"], Float[Array, "N C C"]]:
    """(s, Jₙ diag(v) Jₙᵀ): the output in inference, and its covariance to first order.

    variances has the shape of the parameter tree. One backward pass starts from each output c; for
    a weight matrix, whose gradients are aₙ ⊗ δₙc,

        cov[n, c, d] = Σ_j ((A∘A) V)_nj δ_ncj δ_ndj,

    so that one product (N, I)·(I, J) per layer serves all pairs of outputs.
    """
    output, _, residual = network.forward(params, state, x, train=False, key=None, mask=None)

    def records_of(seed: Float[Array, " C"]) -> Records:
        seeds = jnp.broadcast_to(seed[None], output.shape)
        return network.backward(params, residual, seeds, need_grad_a=False)[1]

    units = jnp.eye(output.shape[1], dtype=output.dtype)
    deltas = jax.vmap(lambda seed: by_parameter(records_of(seed), _delta))(units)
    inputs = records_of(units[0])  # what does not depend on the seed
    spread = jax.tree.map(_spread, inputs, variances, is_leaf=is_record)
    each = jax.tree.map(_covariance, spread, deltas)
    return output, summed(each)


def _delta(record: Record) -> Array:
    if isinstance(record, SharedProduct):
        raise InputError(
            "The covariance of the output needs one outer product an example, and the members of a"
            " BatchEnsemble put a sum of them into a shared weight."
        )
    if isinstance(record, BlockProduct):
        return wide(record.delta).reshape(record.delta.shape[0], -1)
    return wide(record.g if isinstance(record, PerExample) else record.delta)


def _spread(record: Record, variance: Array) -> Array:
    """Combine the variances with an example's inputs: ((A∘A) V) (N, J), or v of its row."""
    if isinstance(record, OuterProduct):
        return jnp.matmul(wide(record.a) ** 2, wide(variance), precision=lax.Precision.HIGHEST)
    if isinstance(record, BlockProduct):
        a, v = wide(record.a) ** 2, wide(variance)
        blocks = jnp.einsum("ngi,gij->ngj", a, v, precision=lax.Precision.HIGHEST)
        return blocks.reshape(a.shape[0], -1)
    if isinstance(record, LookUp):
        return look_up(wide(variance), record.index)
    return jnp.broadcast_to(wide(variance[None]), _delta(record).shape)


def _covariance(spread: Float[Array, "N J"], delta: Float[Array, "C N J"]) -> Float[Array, "N C C"]:
    return jnp.einsum("cnj,dnj->ncd", spread[None] * delta, delta, precision=lax.Precision.HIGHEST)
