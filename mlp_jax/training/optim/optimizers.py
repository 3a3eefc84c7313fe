"""Named optimizers of Optax: direction, decoupled weight decay, learning rate."""

import functools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array

from mlp_jax.backprop import Layer, Loss
from mlp_jax.backprop.curvature_tape import check_curvature
from mlp_jax.backprop.specification import Params, State
from mlp_jax.errors import InputError, UnknownNameError
from mlp_jax.training.optim.kfac import Kfac
from mlp_jax.training.optim.schedules import WARM_UP, flat_cosine, make_schedule

_DIRECTIONS: dict[str, Callable[[], optax.GradientTransformation]] = {
    "sgd": optax.identity,
    "momentum": lambda: optax.trace(decay=0.9),
    "adam": optax.scale_by_adam,
    "adamw": optax.scale_by_adam,
    "rmsprop": lambda: optax.scale_by_rms(decay=0.9),
    "adagrad": lambda: optax.scale_by_rss(initial_accumulator_value=0.1),
    "lion": optax.scale_by_lion,
    "lamb": lambda: optax.scale_by_adam(eps=1e-6),
}
OPTIMIZERS = (*_DIRECTIONS, "muon", "kfac", "lbfgs")
"""Names of the optimizers."""

LEARNING_RATES = {
    "sgd": 0.1,
    "momentum": 0.02,
    "adagrad": 0.05,
    "lion": 1e-4,
    "lamb": 5e-3,
    "muon": 5e-3,
    "kfac": 1e-3,
    "lbfgs": 1.0,
}
ADAMS = ("adam", "adamw")
ADAMW_DECAY = 1e-2
DECAY_SCHEDULES = ("constant", "flat-cosine")


def is_matrix(params: Params) -> Any:
    """Return True at weight matrices and False elsewhere, as the mask of weight decay."""
    return jax.tree.map(lambda p: p.ndim > 1, params)


def project_columns(bound: Any) -> optax.GradientTransformation:
    """Return max-norm: after each update the incoming weights of each unit have at most this norm.

    w ← w · min(1, bound/‖w‖) for every column w of a weight matrix W (I, J), a projection after the
    update (Srivastava 2014, section 5.1). Biases, norms and embeddings are unchanged. It must be
    the last transformation, because it needs the final updates.
    """

    def bounded(path: Any, update: Array, param: Array) -> Array:
        if path[-1] != jax.tree_util.DictKey("W"):
            return update
        moved = param + update
        norm = jnp.sqrt(jnp.sum(moved**2, axis=-2, keepdims=True))
        return moved * (bound / jnp.maximum(norm, bound)) - param

    def update(updates: Any, state: State, params: Params = None) -> tuple[Any, Any]:
        return jax.tree_util.tree_map_with_path(bounded, updates, params), state

    return optax.GradientTransformation(optax.init_empty_state, update)


def scale_by_name(factors: Mapping[str, float]) -> optax.GradientTransformation:
    """Return per-parameter learning rates: each update times the factor of its parameter's name.

    Parameters of other names have the factor 1.
    """

    def scaled(path: Any, update: Array) -> Array:
        return update * factors.get(getattr(path[-1], "key", ""), 1.0)

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        return jax.tree_util.tree_map_with_path(scaled, updates), state

    return optax.GradientTransformation(optax.init_empty_state, update)


def add_falling_decay(decay: Any, steps: Any) -> optax.GradientTransformation:
    """Return weight decay of matrices that follows `flat_cosine` over the steps.

    Optax's own takes a schedule too, but does not cast it to the type of each parameter.
    """

    def init(params: Any) -> optax.ScaleByScheduleState:
        return optax.ScaleByScheduleState(jnp.zeros((), jnp.int32))

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        share = flat_cosine(jnp.asarray(state.count, jnp.result_type(float)), steps)

        def decayed(update: Array, param: Array) -> Array:
            if param.ndim < 2:
                return update
            return update + jnp.asarray(decay * share, param.dtype) * param

        after = optax.ScaleByScheduleState(optax.safe_increment(state.count))
        return jax.tree.map(decayed, updates, params), after

    return optax.GradientTransformation(init, update)


@dataclass(frozen=True)
class Optimizer:
    """Named optimizer with its schedule: `Optimizer("adamw", 2e-3, schedule="one-cycle")`.

    Args:
        name: one of `OPTIMIZERS`.
        learning_rate: peak learning rate (default: chosen by the optimizer).
        schedule: learning-rate schedule, one of `SCHEDULES`.
        warm_up: fraction of the steps in which the learning rate rises from 0.
        weight_decay: decoupled weight decay (Loshchilov & Hutter 2019) of weight matrices (default:
            0.01 for adamw, otherwise 0).
        clip_norm: bound on the global norm of the gradient (Pascanu 2013).
        max_norm: bound on the norm of the incoming weights of each unit (Srivastava 2014).
        beta_2: decay of the squared gradients of adam and adamw (default: 0.999).
        decay_schedule: schedule of the weight decay, on top of the learning rate's: constant, or
            flat-cosine, which falls to 0 in the second half of the steps.
        rate_factors: factors of the learning rate for parameters by name, as in (("b", 0.1),).

    Raises:
        UnknownNameError: for an unknown optimizer or schedule.
        InputError: for a value out of range.
    """

    name: str = "adam"
    learning_rate: float | None = None
    schedule: str = "constant"
    warm_up: float = 0.0
    weight_decay: float | None = None
    clip_norm: float | None = None
    max_norm: float | None = None
    beta_2: float | None = None
    decay_schedule: str = "constant"
    rate_factors: tuple[tuple[str, float], ...] = ()

    def __post_init__(self) -> None:
        if self.name not in OPTIMIZERS:
            raise UnknownNameError("optimizer", self.name, OPTIMIZERS)
        make_schedule(self.schedule, self.peak, 10, self.warm_up)
        for label, value in (
            ("learning rate", self.peak),
            ("gradient clip", self.clip_norm),
            ("bound on the norm of weights", self.max_norm),
        ):
            if value is not None and not (value > 0 and math.isfinite(value)):
                raise InputError(f"The {label} must be positive, not {value}.")
        if self.beta_2 is not None and not (self.name in ADAMS and 0 <= self.beta_2 < 1):
            raise InputError(
                f"beta_2 needs {' or '.join(ADAMS)} and a value in [0, 1), not {self.name} with"
                f" {self.beta_2}."
            )
        if not 0 <= self.decay < math.inf:
            raise InputError(f"The weight decay must be at least 0, not {self.weight_decay}.")
        if self.decay_schedule not in DECAY_SCHEDULES:
            raise UnknownNameError("decay schedule", self.decay_schedule, DECAY_SCHEDULES)
        for name, factor in self.rate_factors:
            if not 0 <= factor < math.inf:
                raise InputError(f"The rate factor of {name} must be at least 0, not {factor}.")
        if self.name in ("muon", "lbfgs") and (
            self.rate_factors or self.decay_schedule != "constant"
        ):
            raise InputError(f"Rate factors and decay schedules are not for {self.name}.")

    @property
    def peak(self) -> float:
        """Peak learning rate."""
        usual = LEARNING_RATES.get(self.name, 1e-3)
        return usual if self.learning_rate is None else self.learning_rate

    @property
    def decay(self) -> float:
        """Weight decay, 0 for none."""
        usual = ADAMW_DECAY if self.name == "adamw" else 0.0
        return usual if self.weight_decay is None else self.weight_decay

    @property
    def usual_warm_up(self) -> float:
        """Fraction of the steps for warm-up, with the default of the schedule warm-up."""
        return self.warm_up or (WARM_UP if self.schedule == "warm-up" else 0.0)

    @property
    def full_batch(self) -> bool:
        """True if each step needs all training rows (L-BFGS)."""
        return self.name == "lbfgs"

    @property
    def knows_matrices(self) -> bool:
        """True if it treats a matrix differently from its transpose or its elements."""
        return self.name in ("muon", "kfac", "lbfgs") or self.max_norm is not None

    @property
    def inverts_curvature(self) -> bool:
        """True if it needs the Kronecker factors of the batch and inverts them (K-FAC).

        It may turn finite gradients into non-finite updates.
        """
        return self.name == "kfac"

    def check_fits(self, network: Layer, loss: Loss) -> None:
        """Raise InputError if it cannot train this network with this loss."""
        if self.name != "kfac":
            return
        try:
            check_curvature(network, loss, True)
        except InputError as error:
            raise InputError(f"The optimizer kfac cannot train this network. {error}") from None

    def build(self, steps: int) -> optax.GradientTransformationExtraArgs:
        """Return the Optax transformation for a run of `steps` steps, one object for equal ones."""
        return _built(self, steps)

    def chain(
        self,
        rate: optax.Schedule,
        decay: Any = None,
        clip_norm: Any = None,
        max_norm: Any = None,
        *,
        steps: Any = 1,
    ) -> optax.GradientTransformationExtraArgs:
        """Return the transformation with these numbers, Python's or traced.

        None leaves a part out; a traced 0 does not. steps: those that a decay schedule spans.
        """
        parts = [self._unbounded(rate, decay, clip_norm, steps)]
        if max_norm is not None:
            parts.append(project_columns(max_norm))
        return parts[0] if len(parts) == 1 else optax.chain(*parts)

    def _unbounded(
        self, rate: optax.Schedule, decay: Any, clip_norm: Any, steps: Any
    ) -> optax.GradientTransformationExtraArgs:
        """Return the transformation without max-norm, which must come last."""
        if self.name == "lbfgs":
            chosen = (self.learning_rate, self.weight_decay, self.clip_norm, self.max_norm)
            if any(chosen) or self.warm_up or self.schedule != "constant":
                raise InputError(
                    "lbfgs finds its step sizes by a line search: leave out learning rate, "
                    "schedule, warm-up, gradient clip, weight decay and bound on the weights."
                )
            return optax.lbfgs()
        parts = [] if clip_norm is None else [optax.clip_by_global_norm(clip_norm)]
        if self.name == "muon":
            decay = 0.0 if decay is None else decay
            muon = optax.contrib.muon(rate, weight_decay=decay, weight_decay_mask=is_matrix)
            return optax.with_extra_args_support(optax.chain(*parts, muon))
        if self.beta_2 is not None:
            parts.append(optax.scale_by_adam(b2=self.beta_2))
        else:
            parts.append(Kfac().build(rate) if self.name == "kfac" else _DIRECTIONS[self.name]())
        if decay is not None:
            if self.decay_schedule == "flat-cosine":
                parts.append(add_falling_decay(decay, steps))
            else:
                parts.append(optax.add_decayed_weights(decay, is_matrix))
        if self.name == "lamb":
            parts.append(optax.scale_by_trust_ratio())
        if self.rate_factors:
            parts.append(scale_by_name(dict(self.rate_factors)))
        parts.append(optax.scale_by_learning_rate(rate))
        return optax.with_extra_args_support(optax.chain(*parts))


def _in_full_width(schedule: optax.Schedule) -> optax.Schedule:
    """Return the schedule in float64 if JAX allows it; JAX divides integers in float32."""
    return lambda count: schedule(jnp.asarray(count, jnp.result_type(float)))


@functools.lru_cache(maxsize=128)
def _built(optimizer: Optimizer, steps: int) -> optax.GradientTransformationExtraArgs:
    """Return one object per optimizer, so that equal programs compile once.

    Optax transformations compare by identity.
    """
    schedule = make_schedule(optimizer.schedule, optimizer.peak, steps, optimizer.warm_up)
    decay = optimizer.decay if optimizer.decay > 0 else None
    bounds = (decay, optimizer.clip_norm, optimizer.max_norm)
    return optimizer.chain(_in_full_width(schedule), *bounds, steps=steps)
