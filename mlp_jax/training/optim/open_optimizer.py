"""Optimizers whose hyperparameters are arguments of the compiled program instead of constants.

Another learning rate is then another call of the same program: nothing is recompiled, and a process
that fits many times keeps one program.
"""

import functools
import math
from dataclasses import replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array

from mlp_jax.backprop.specification import Params
from mlp_jax.training.optim.optimizers import Optimizer

_ONE_CYCLE_RISE, _ONE_CYCLE_FIRST, _ONE_CYCLE_LAST = 0.3, 25.0, 25e4


class Hyperparameters(NamedTuple):
    """Numbers of an optimizer and its schedule, Python's or arrays; None for unused ones.

    rising: steps of the warm-up, or of the rise of one-cycle. falling: steps of the schedule after
    it.
    """

    rate: Any
    rising: Any
    falling: Any
    weight_decay: Any = None
    clip_norm: Any = None
    max_norm: Any = None


class OpenState(NamedTuple):
    """State of an open optimizer: its numbers, and the state of the transformation."""

    numbers: Hyperparameters
    inner: Any


def hyperparameters(optimizer: Optimizer, steps: int) -> Hyperparameters | None:
    """Return the numbers for a run of this many steps; None for L-BFGS, which has none."""
    if optimizer.full_batch:
        return None
    if optimizer.schedule == "one-cycle":
        steps = max(steps, 2)
        rising = int(_ONE_CYCLE_RISE * steps)
    else:
        rising = min(round(optimizer.usual_warm_up * steps), steps - 1)
    return Hyperparameters(
        rate=optimizer.peak,
        rising=float(rising),
        falling=float(max(steps - rising, 1)),
        weight_decay=optimizer.decay if optimizer.decay > 0 else None,
        clip_norm=optimizer.clip_norm,
        max_norm=optimizer.max_norm,
    )


def open_optimizer(optimizer: Optimizer) -> optax.GradientTransformationExtraArgs:
    """Return the transformation without numbers, the same object for all that differ only in them.

    Its `init` returns zeros as numbers, which `with_numbers` replaces.
    """
    kind = replace(
        optimizer,
        learning_rate=1.0,
        warm_up=0.5 if optimizer.usual_warm_up else 0.0,
        weight_decay=1.0 if optimizer.decay > 0 else 0.0,
        clip_norm=None if optimizer.clip_norm is None else 1.0,
        max_norm=None if optimizer.max_norm is None else 1.0,
    )
    return _opened(kind)


def with_numbers(opt_state: Any, numbers: Hyperparameters | None) -> Any:
    """Return the optimizer state with these numbers, in the type of the present ones."""
    if numbers is None or not isinstance(opt_state, OpenState):
        return opt_state
    placed = jax.tree.map(
        lambda value, held: jnp.asarray(value, held.dtype), numbers, opt_state.numbers
    )
    return opt_state._replace(numbers=placed)


def with_numbers_of(now: Any, restored: Any) -> Any:
    """Return a restored optimizer state with the numbers of the current run, `now`.

    The schedule of a resumed run may have another length.
    """
    if not isinstance(now, OpenState):
        return restored
    return restored._replace(numbers=now.numbers)


@functools.lru_cache(maxsize=64)
def _opened(kind: Optimizer) -> optax.GradientTransformationExtraArgs:
    """Return one object per kind, so that equal programs compile once.

    Optax transformations compare by identity.
    """
    shape = hyperparameters(kind, 10)

    def init(params: Params) -> OpenState:
        numbers = jax.tree.map(lambda _: jnp.zeros((), jnp.result_type(float)), shape)
        return OpenState(numbers, kind.build(1).init(params))

    def update(
        grads: Params, state: OpenState, params: Params = None, **extra: Any
    ) -> tuple[Any, OpenState]:
        numbers = state.numbers
        dtype = jax.tree.leaves(grads)[0].dtype
        bounds = (numbers.weight_decay, numbers.clip_norm, numbers.max_norm)
        bounds = jax.tree.map(lambda bound: bound.astype(dtype), bounds)
        steps = numbers.rising + numbers.falling
        inner = kind.chain(functools.partial(rate_at, kind, numbers), *bounds, steps=steps)
        updates, held = inner.update(grads, state.inner, params, **extra)
        return updates, OpenState(numbers, held)

    return optax.GradientTransformationExtraArgs(init, update)


def rate_at(kind: Optimizer, numbers: Hyperparameters, step: Array) -> Array:
    """Return the learning rate of a step (from 0), as `make_schedule` computes it."""
    peak, rising, falling = numbers.rate, numbers.rising, numbers.falling
    count = jnp.asarray(step, peak.dtype)
    if kind.schedule == "one-cycle":
        rise = _cosine(peak / _ONE_CYCLE_FIRST, peak, count / jnp.maximum(rising, 1))
        fall = _cosine(peak, peak / _ONE_CYCLE_LAST, jnp.minimum((count - rising) / falling, 1))
        return jnp.where(count < rising, rise, fall)
    if not kind.usual_warm_up:
        return _after_warm_up(kind.schedule, peak, count, falling)
    after = _after_warm_up(kind.schedule, peak, jnp.maximum(count - rising, 0), falling)
    return jnp.where(count < rising, peak * count / jnp.maximum(rising, 1), after)


def _cosine(start: Array, end: Array, share: Array) -> Array:
    return end + (start - end) / 2 * (jnp.cos(math.pi * share) + 1)


def _after_warm_up(name: str, peak: Array, count: Array, steps: Array) -> Array:
    """Return the learning rate of a step after the warm-up, over `steps` steps."""
    if name in ("constant", "warm-up"):
        return peak
    share = jnp.minimum(count / steps, 1)
    if name == "cosine":
        return peak * (0.5 * (1 + jnp.cos(math.pi * share)))
    if name == "linear":
        return peak * (1 - share)
    if name == "coslog4":
        waves = jnp.log1p(15 * jnp.minimum((count + 0.5) / steps, 1)) / math.log(2)
        return 0.5 * peak * (1 - jnp.cos(2 * math.pi * waves))
    drops = sum((count >= jnp.floor(steps * part)).astype(peak.dtype) for part in (0.5, 0.75))
    return peak * jnp.where(steps >= 4, jnp.power(jnp.asarray(0.1, peak.dtype), drops), 1)
