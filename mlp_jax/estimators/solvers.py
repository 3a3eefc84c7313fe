"""scikit-learn's stochastic solvers as Optax transformations, with their numbers in the state.

Learning rate, momentum, βs and ε are arrays of the state and not constants of the program, so
that one compiled epoch serves every value of them, and the host may change the rate between epochs.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int

from mlp_jax.backprop.specification import Params


class AdamState(NamedTuple):
    """Step count t, first and second moments, and Adam's numbers.

    rest_1 is 1 − β₁, rest_2 is 1 − β₂, stored because float32 must not round 1 − β.
    """

    step: Int[Array, ""]
    first: Params
    second: Params
    rate: Float[Array, ""]
    rest_1: Float[Array, ""]
    rest_2: Float[Array, ""]
    epsilon: Float[Array, ""]


class SgdState(NamedTuple):
    """Velocities, and the numbers of gradient descent with momentum."""

    velocity: Params
    rate: Float[Array, ""]
    momentum: Float[Array, ""]


def _numbers(params: Params, *values: float) -> tuple[Any, ...]:
    """Convert the values to the type of the parameters."""
    dtype = jax.tree.leaves(params)[0].dtype
    return tuple(np.asarray(value, dtype) for value in values)


def _zeros(params: Params) -> Params:
    return jax.tree.map(lambda p: np.zeros(p.shape, p.dtype), params)


def adam_state(
    params: Params,
    rate: float = 1e-3,
    beta_1: float = 0.9,
    beta_2: float = 0.999,
    epsilon: float = 1e-8,
) -> AdamState:
    """Return the state of Adam before its first step."""
    numbers = _numbers(params, rate, 1 - beta_1, 1 - beta_2, epsilon)
    step: Any = np.zeros((), np.int32)
    return AdamState(step, _zeros(params), _zeros(params), *numbers)


def sgd_state(params: Params, rate: float = 1e-3, momentum: float = 0.9) -> SgdState:
    """Return the state of gradient descent before its first step."""
    return SgdState(_zeros(params), *_numbers(params, rate, momentum))


def _decay_so_far(rest: Array, step: Array) -> Array:
    """1 − βᵗ = −expm1(t log β), with β = 1 − rest."""
    return -jnp.expm1(step.astype(rest.dtype) * jnp.log1p(-rest))


def _adam_update(
    grads: Params, state: AdamState, params: Params = None, **extra: Any
) -> tuple[Params, AdamState]:
    """−η √(1 − β₂ᵗ)/(1 − β₁ᵗ) · m/(√v + ε) (Kingma & Ba 2015, before its section 2.1's reordering).

    ε is added to √v, as in scikit-learn; in `optax.adam` to √(v/(1 − β₂ᵗ)).
    """
    step = state.step + 1
    rest_1, rest_2 = state.rest_1, state.rest_2
    first = jax.tree.map(lambda m, g: (1 - rest_1) * m + rest_1 * g, state.first, grads)
    second = jax.tree.map(lambda v, g: (1 - rest_2) * v + rest_2 * g**2, state.second, grads)
    rate = state.rate * jnp.sqrt(_decay_so_far(rest_2, step)) / _decay_so_far(rest_1, step)
    updates = jax.tree.map(lambda m, v: -rate * m / (jnp.sqrt(v) + state.epsilon), first, second)
    return updates, state._replace(step=step, first=first, second=second)


def _velocity(grads: Params, state: SgdState) -> Params:
    """μ u − η g, where u is the velocity."""
    return jax.tree.map(lambda u, g: state.momentum * u - state.rate * g, state.velocity, grads)


def _sgd_update(
    grads: Params, state: SgdState, params: Params = None, **extra: Any
) -> tuple[Params, SgdState]:
    """u ← μ u − η g, and the parameters move by u."""
    velocity = _velocity(grads, state)
    return velocity, state._replace(velocity=velocity)


def _nesterov_update(
    grads: Params, state: SgdState, params: Params = None, **extra: Any
) -> tuple[Params, SgdState]:
    """u ← μ u − η g, and the parameters move by μ u − η g once more (Nesterov 1983)."""
    state = state._replace(velocity=_velocity(grads, state))
    return _velocity(grads, state), state


ADAM = optax.GradientTransformationExtraArgs(adam_state, _adam_update)
SGD = optax.GradientTransformationExtraArgs(sgd_state, _sgd_update)
NESTEROV = optax.GradientTransformationExtraArgs(sgd_state, _nesterov_update)
