"""SciPy's L-BFGS-B over the compiled loss and gradient, in float64.

Letters: N rows, I features, P parameters.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy.optimize
from jaxtyping import Array, Float
from sklearn.utils.optimize import _check_optimize_result

from mlp_jax.backprop.gradient import forward_backward, mean_weights
from mlp_jax.backprop.specification import Params
from mlp_jax.estimators.epoch import with_penalty
from mlp_jax.estimators.loader import TrainingRows
from mlp_jax.estimators.specify import Specification, put_together, taken_apart
from mlp_jax.training.engine.batches import DeviceData


def _flat(params: Params) -> Float[Array, " P"]:
    """Concatenate matrices, then biases, then the remaining leaves, to one vector."""
    return jnp.concatenate([jnp.ravel(leaf) for part in taken_apart(params) for leaf in part])


def _tree(specification: Specification, flat: Any) -> Any:
    """Invert `_flat`."""
    parts: list[list[Any]] = []
    start = 0
    for part in taken_apart(specification.shapes[0]):
        parts.append([])
        for leaf in part:
            parts[-1].append(flat[start : start + leaf.size].reshape(leaf.shape))
            start += leaf.size
    return put_together(specification, *parts)


@partial(jax.jit, static_argnums=0)
def _value_and_gradient(
    specification: Specification, flat: Float[Array, " P"], data: DeviceData, alpha: Array
) -> tuple[Array, Float[Array, " P"]]:
    """E and ∇E of all rows, with the penalty α/2Σw Σ‖W‖²."""
    n, network = data.x.shape[0], specification.network
    params = _tree(specification, flat)
    c = mean_weights(n, data.weights, flat.dtype)
    total = jnp.asarray(n, flat.dtype) if data.weights is None else jnp.sum(data.weights)
    state = network.without_state()
    value, _, grads, _ = forward_backward(
        network, specification.loss, True, params, state, data.x, data.y, c, None, None,
        per_example=False,
    )  # fmt: skip
    value, grads = with_penalty(value, grads, params, alpha / total)
    return value, _flat(grads)


def minimize(
    specification: Specification,
    params: Params,
    rows: TrainingRows,
    alpha: float,
    *,
    max_fun: int,
    max_iter: int,
    tol: float,
) -> tuple[Any, float, int]:
    """Return (parameters, loss, iterations) of L-BFGS-B; warn if it has not converged."""
    data, strength = rows.placed(np.float64), np.float64(alpha)

    def objective(flat: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = jax.device_get(_value_and_gradient(specification, flat, data, strength))
        return float(value), np.asarray(gradient)

    found = scipy.optimize.minimize(
        objective,
        np.concatenate([np.ravel(leaf) for part in taken_apart(params) for leaf in part]),
        method="L-BFGS-B",
        jac=True,
        options={"maxfun": max_fun, "maxiter": max_iter, "gtol": tol},
    )
    iterations = _check_optimize_result("lbfgs", found, max_iter)
    return _tree(specification, found.x), float(found.fun), int(iterations)
