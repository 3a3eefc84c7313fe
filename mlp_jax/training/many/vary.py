"""Hyperparameters that may differ between networks that train together, as traced numbers.

K members. A number that differs is an argument of the compiled program, one per member, and not
part of its static specification.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool

from mlp_jax.backprop import Dropout, Layer, Loss, get_loss
from mlp_jax.backprop.loss_functions import class_probabilities
from mlp_jax.backprop.specification import Params, State
from mlp_jax.errors import InputError, UnknownNameError
from mlp_jax.training.engine.program import Program, numbers_of
from mlp_jax.training.optim.open_optimizer import Hyperparameters, open_optimizer
from mlp_jax.training.optim.optimizers import Optimizer

VARIES = ("learning_rate", "weight_decay", "dropout", "label_smoothing", "initial_scale")
Vary = Mapping[str, Sequence[float]]


class MemberNumbers(NamedTuple):
    """Traced numbers of the members, (K,), or of one; None where all use those of the program.

    optimizer: those of an open optimizer. dropout: the rate. threshold: dropout rate as a threshold
    of 16-bit draws. average: decay of the moving average, as in `Average`.
    """

    optimizer: Hyperparameters | None = None
    dropout: Array | None = None
    threshold: Array | None = None
    label_smoothing: Array | None = None
    initial_scale: Array | None = None
    average: Array | None = None


@dataclass(frozen=True)
class Recipe:
    """Static specification of many trainings; equal recipes compile once.

    program: that of a single member. optimizer, steps: specification of its optimizer, whose
    numbers are arguments. shared_order: all members see the same batches.
    """

    program: Program
    optimizer: Optimizer | optax.GradientTransformation = field(compare=False)
    steps: int = field(compare=False)
    shared_order: bool


@dataclass(frozen=True)
class TracedDropout(Dropout):
    """Dropout with a traced rate; it exists only during tracing."""

    rate: Any
    threshold: Any

    def __post_init__(self) -> None:
        """Skip the check of the rate: it was checked before it was traced."""

    def forward(
        self,
        params: Params,
        state: State,
        a: Array,
        *,
        train: bool,
        key: Array | None,
        mask: Bool[Array, " N"] | None,
    ) -> tuple[Array, Any, Array | None]:
        """Apply dropout like `Dropout`, with a traced threshold."""
        if not train:
            return a, state, None
        assert key is not None, "the program gives a key in training"
        keep = jax.random.bits(key, a.shape, jnp.uint16) >= self.threshold
        return self._scaled(keep, a), state, keep


@dataclass(frozen=True)
class SmoothedLoss(Loss):
    """Cross-entropy with traced label smoothing."""

    smoothing: Any = 0.0

    def value(self, output: Array, y: Array) -> Array:
        """Return Eₙ at the smoothed targets."""
        return super().value(output, self._smoothed(output, y))

    def gradient(self, output: Array, y: Array) -> Array:
        """Return ∂Eₙ/∂s at the smoothed targets."""
        return super().gradient(output, self._smoothed(output, y))

    def _smoothed(self, output: Array, y: Array) -> Array:
        """Return (1 − ε) y + ε/C, with C = 2 for binary outputs."""
        if self.name == "softmax_cross_entropy":
            target, n = class_probabilities(output, y, 0.0), output.shape[1]
        else:
            target, n = y.reshape(output.shape).astype(output.dtype), 2
        return (1 - self.smoothing) * target + self.smoothing / n


def numbers(vary: Vary, recipe: Recipe, count: int) -> MemberNumbers:
    """Return the numbers of `count` members as arrays (K,), in the type of the parameters."""
    dtype = recipe.program.dtype

    def array(name: str) -> Array | None:
        return jnp.asarray(np.asarray(vary[name]), dtype) if name in vary else None

    threshold = None
    if "dropout" in vary:
        draws = [min(round(rate * 2**16), 2**16 - 1) for rate in vary["dropout"]]
        threshold = jnp.asarray(draws, jnp.uint16)
    own, decay = numbers_of(recipe.program)
    if own is not None:
        each = own._asdict()
        each |= {
            name: vary[varied]
            for name, varied in (("rate", "learning_rate"), ("weight_decay", "weight_decay"))
            if varied in vary
        }
        wide = jnp.result_type(float)
        own = Hyperparameters(
            **{
                name: None if value is None else jnp.asarray(np.broadcast_to(value, count), wide)
                for name, value in each.items()
            }
        )
    return MemberNumbers(
        optimizer=own,
        dropout=array("dropout"),
        threshold=threshold,
        label_smoothing=array("label_smoothing"),
        initial_scale=array("initial_scale"),
        average=None if decay is None else jnp.asarray(np.tile(decay, (count, 1)), dtype),
    )


def with_varied_decay(program: Program, vary: Vary, optimizer: Any) -> Program:
    """Return the program with weight decay among its numbers if members differ in it."""
    numbers = program.numbers
    if numbers is None or numbers.weight_decay is not None or "weight_decay" not in vary:
        return program
    opened = open_optimizer(replace(optimizer, weight_decay=1.0))
    return replace(program, optimizer=opened, numbers=numbers._replace(weight_decay=0.0))


def bind(recipe: Recipe, own: MemberNumbers) -> Program:
    """Return the program of one member inside a trace, with its traced numbers."""
    program = recipe.program
    network, loss = program.network, program.loss
    if own.dropout is not None:
        network = _with_dropout(network, TracedDropout(own.dropout, own.threshold))
    if own.label_smoothing is not None:
        loss = SmoothedLoss(loss.name, (), own.label_smoothing)
    return replace(program, network=network, loss=loss)


def member_program(recipe: Recipe, vary: Vary, k: int) -> Program:
    """Return the program of member k alone, with its numbers in the specification."""
    program, own = recipe.program, {name: float(values[k]) for name, values in vary.items()}
    network, loss, optimizer = program.network, program.loss, program.optimizer
    if "dropout" in own:
        network = _with_dropout(network, Dropout(own["dropout"]))
    if "label_smoothing" in own:
        loss = get_loss(loss.name, label_smoothing=own["label_smoothing"])
    rates: dict[str, Any] = {
        name: own[name] for name in ("learning_rate", "weight_decay") if name in own
    }
    if rates:
        assert isinstance(recipe.optimizer, Optimizer)
        optimizer = replace(recipe.optimizer, **rates).build(recipe.steps)
    return replace(program, network=network, loss=loss, optimizer=optimizer)


def _with_dropout(layer: Layer, dropout: Dropout) -> Layer:
    """Return the layer with every Dropout replaced."""
    if isinstance(layer, Dropout):
        return dropout
    return layer.with_children(tuple(_with_dropout(child, dropout) for child in layer.children))


def _has_dropout(layer: Layer) -> bool:
    return isinstance(layer, Dropout) or any(map(_has_dropout, layer.children))


def check_vary(
    vary: Vary, count: int, program: Program, optimizer: Optimizer | optax.GradientTransformation
) -> None:
    """Raise InputError for hyperparameters that cannot vary, or invalid values."""
    for name, values in vary.items():
        if name not in VARIES:
            raise UnknownNameError("hyperparameter that can vary", name, VARIES)
        if len(values) != count:
            raise InputError(
                f"There are {count} members, but {len(values)} values of {name}: give one each."
            )
    if "dropout" in vary and not _has_dropout(program.network):
        raise InputError(
            "Dropout can vary only in a network with a Dropout layer; this one has none."
        )
    cross_entropies = ("softmax_cross_entropy", "sigmoid_cross_entropy")
    if "label_smoothing" in vary and program.loss.name not in cross_entropies:
        raise InputError(f"Label smoothing needs a cross-entropy loss, not {program.loss}.")
    if vary.keys() & {"learning_rate", "weight_decay"}:
        if not isinstance(optimizer, Optimizer) or optimizer.full_batch:
            raise InputError(
                "Learning rate and weight decay can vary only for a named optimizer that has them,"
                " not for lbfgs or an Optax transformation."
            )
        for rate in vary.get("learning_rate", ()):
            replace(optimizer, learning_rate=float(rate))
        for decay in vary.get("weight_decay", ()):
            replace(optimizer, weight_decay=float(decay))
    for rate in vary.get("dropout", ()):
        Dropout(float(rate))
    for smoothing in vary.get("label_smoothing", ()):
        get_loss(program.loss.name, label_smoothing=float(smoothing))
    for scale in vary.get("initial_scale", ()):
        if not 0 < scale < np.inf:
            raise InputError(f"An initial scale must be positive, not {scale}.")


def bootstrap_weights(seeds: Sequence[int], n: int) -> np.ndarray:
    """Return bootstrap counts (K, n): how often each row occurs in each seed's sample of n rows."""
    each = [np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n)) for seed in seeds]
    return np.stack(each).astype(np.float64)
