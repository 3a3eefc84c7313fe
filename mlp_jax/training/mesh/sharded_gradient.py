"""Gradient computed on a mesh, for the gradient check."""

from typing import Any

import jax
import numpy as np

from mlp_jax.backprop import Layer, Loss
from mlp_jax.backprop.gradient import forward_backward
from mlp_jax.backprop.specification import Params, State
from mlp_jax.proof.quick import jit_proof
from mlp_jax.training.mesh.layout import Layout
from mlp_jax.training.mesh.processes import to_host, to_mesh


def split_gradient(
    layout: Layout,
    network: Layer,
    loss: Loss,
    train: bool,
    params: Params,
    state: State,
    x: np.ndarray,
    y: np.ndarray,
    c: np.ndarray,
    mask: np.ndarray | None,
    seed: np.uint32,
) -> Any:
    """Return the gradient of Σ cₙEₙ, with parameters and examples split as in training.

    The batch is padded to equal shards with rows of weight 0. Dropout draws depend on the position
    of an example in the batch, so padding does not change them.
    """
    n = len(x)
    places = np.arange(n + layout.padding(n)) % n
    padded = np.arange(len(places)) >= n
    c = np.where(padded, 0, c[places]).astype(c.dtype)
    if network.couples_examples:
        mask = ~padded if mask is None else mask[places] & ~padded
    where, kept = layout.parameter_shardings(network, params, state)

    def gradient(params: Params, state: State, batch: Any, seed: Any) -> Any:
        x, y, c, mask = layout.split_rows(batch)
        _, _, grads, _ = forward_backward(
            network, loss, train, params, state, x, y, c, mask, jax.random.key(seed),
            per_example=False,
        )  # fmt: skip
        return grads

    batch = (x[places], y[places], c, mask)
    run = jit_proof(gradient, out_shardings=where)
    on_mesh = jax.tree.map(to_mesh, (params, state), (where, kept))
    return to_host(run(*on_mesh, batch, seed))
