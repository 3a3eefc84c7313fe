"""Losses Eₙ of one example and their gradients ∇Eₙ with respect to the output, by hand, in a table.

The network's output s (N, C) is linear: logits for classes, the logarithm of the rate for counts.
`value` returns Eₙ (N,), `gradient` returns ∂Eₙ/∂s (N, C) of each example's own loss; the mean over
the batch and every other weight is c, applied later. A loss is fused with its link: softmax with
cross-entropy gives ∇s = p − y without dividing by p, and is finite at any logit.

Targets y: real numbers (N, C) or (N,) for regression, where Eₙ is the mean over the C outputs;
labels (N,) of integers, or probabilities (N, C), for classes; 0 or 1, (N, C) or (N,), for binary
and multi-label losses, where Eₙ is the sum over the outputs. `hinge` and `focal` take labels (N,)
for C > 1 classes, and one binary problem per output otherwise.
"""

import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from mlp_jax.backprop import loss_functions as formulas
from mlp_jax.backprop.loss_functions import softmax
from mlp_jax.errors import InputError, UnknownNameError, check_new_name


class LossFunction(NamedTuple):
    """A row of the table: Eₙ, ∇Eₙ, the kind of targets, and the link from output to prediction.

    predict: "identity", "exp", or "probabilities" (softmax for classes, sigmoid for binary).
    """

    value: Callable[..., Array]
    gradient: Callable[..., Array]
    targets: Literal["real", "classes", "binary"]
    predict: Literal["identity", "exp", "softmax", "sigmoid"]


LOSSES: dict[str, LossFunction] = {
    "squared_error": LossFunction(
        formulas.squared_error, formulas.squared_error_gradient, "real", "identity"
    ),
    "absolute_error": LossFunction(
        formulas.absolute_error, formulas.absolute_error_gradient, "real", "identity"
    ),
    "huber": LossFunction(formulas.huber, formulas.huber_gradient, "real", "identity"),
    "log_cosh": LossFunction(formulas.log_cosh, formulas.log_cosh_gradient, "real", "identity"),
    "quantile": LossFunction(formulas.quantile, formulas.quantile_gradient, "real", "identity"),
    "poisson": LossFunction(formulas.poisson, formulas.poisson_gradient, "real", "exp"),
    "softmax_cross_entropy": LossFunction(
        formulas.softmax_cross_entropy,
        formulas.softmax_cross_entropy_gradient,
        "classes",
        "softmax",
    ),
    "sigmoid_cross_entropy": LossFunction(
        formulas.sigmoid_cross_entropy, formulas.sigmoid_cross_entropy_gradient, "binary", "sigmoid"
    ),
    "hinge": LossFunction(formulas.hinge, formulas.hinge_gradient, "classes", "softmax"),
    "focal": LossFunction(formulas.focal, formulas.focal_gradient, "classes", "softmax"),
}


OPTION_RANGES: dict[str, tuple[str, Callable[[float], bool]]] = {
    "delta": ("must be positive and finite", lambda v: 0 < v < math.inf),
    "q": ("must lie in (0, 1)", lambda v: 0 < v < 1),
    "label_smoothing": ("must lie in [0, 1)", lambda v: 0 <= v < 1),
    "gamma": ("must be at least 0 and finite", lambda v: 0 <= v < math.inf),
}


ALIASES = {
    "mse": "squared_error",
    "mae": "absolute_error",
    "cross_entropy": "softmax_cross_entropy",
    "bce": "sigmoid_cross_entropy",
}


@dataclass(frozen=True)
class Loss:
    """A loss by name with its options, hashable; `get_loss("huber", delta=2.0)` makes one.

    Args:
        name: a key of `LOSSES`, or one of `ALIASES`: mse, mae, cross_entropy, bce.
        options: pairs of name and value, such as (("delta", 2.0),).
    """

    name: str
    options: tuple[tuple[str, float], ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", ALIASES.get(self.name, self.name))
        if self.name not in LOSSES:
            raise UnknownNameError("loss", self.name, (*LOSSES, *ALIASES))
        known = list(inspect.signature(self.function.value).parameters)[2:]
        for option, value in self.options:
            if option not in known:
                raise UnknownNameError(f"option of the loss '{self.name}'", option, known)
            where, fits = OPTION_RANGES.get(option, ("is finite", math.isfinite))
            if not fits(value):
                raise InputError(f"The {option} of the loss {self.name} {where}, not {value}.")

    def __str__(self) -> str:
        options = ", ".join(f"{name}={value:g}" for name, value in self.options)
        return f"{self.name}({options})" if options else self.name

    @property
    def function(self) -> LossFunction:
        """Row of the table."""
        return LOSSES[self.name]

    def value(self, output: Float[Array, "N C"], y: Array) -> Float[Array, " N"]:
        """Eₙ of each example."""
        return self.function.value(output, y, **dict(self.options))

    def gradient(self, output: Float[Array, "N C"], y: Array) -> Float[Array, "N C"]:
        """∂Eₙ/∂s of each example's own loss."""
        return self.function.gradient(output, y, **dict(self.options))

    def predict(
        self, output: Float[Array, "N C"], *, multilabel: bool = False
    ) -> Float[Array, "N C"]:
        """Return the prediction: probabilities, a rate, or the output itself.

        One output of a classification loss gives P(class 1). The scores of `hinge` are no
        probabilities; their predictions only rank the classes.

        Args:
            output: outputs (N, C).
            multilabel: each of several outputs gives P(class 1), as for `hinge` and `focal` on
                columns of 0 and 1.
        """
        link = self.function.predict
        if link == "softmax" and (multilabel or output.shape[1] == 1):
            link = "sigmoid"
        links = {"identity": lambda s: s, "exp": jnp.exp, "sigmoid": jax.nn.sigmoid}
        return softmax(output) if link == "softmax" else links[link](output)


def get_loss(name: str, **options: float) -> Loss:
    """Return a loss by name.

    Args:
        name: a key of `LOSSES`.
        **options: options of that loss.

    Returns:
        The loss.

    Raises:
        UnknownNameError: for a name or an option that does not exist.
    """
    return Loss(name, tuple(sorted(options.items())))


def as_loss(loss: Loss | str) -> Loss:
    """Return the loss; a name gives that loss with its default options."""
    return get_loss(loss) if isinstance(loss, str) else loss


def register_loss(
    name: str,
    value: Callable[..., Array],
    gradient: Callable[..., Array],
    *,
    targets: str,
    predict: str,
) -> None:
    """Add a loss, to be used by its name like the built-in ones.

    The gradient check before each run compares the gradient with `jax.grad` of the value. A model
    with it can be loaded where the same name is registered.

    Args:
        name: the name, a Python identifier.
        value: f(output (N, C), y, **options) → Eₙ of each example, (N,), written with `jax.numpy`.
            Its options are keyword arguments with defaults.
        gradient: f(output, y, **options) → ∂Eₙ/∂s of each example's own loss, (N, C).
        targets: "real" for numbers (N, C), "classes" for labels (N,), "binary" for 0 and 1 (N, C).
        predict: link from the output to the prediction.

    Raises:
        InputError: for a name that exists already or is no identifier, and for an option without a
            default.
    """
    check_new_name("loss", name, (*LOSSES, *ALIASES))
    for option in list(inspect.signature(value).parameters.values())[2:]:
        if option.default is inspect.Parameter.empty:
            raise InputError(f"The option {option.name} of the loss {name} needs a default.")
    for what, given, known in (
        ("kind of targets", targets, ("real", "classes", "binary")),
        ("link", predict, ("identity", "exp", "softmax", "sigmoid")),
    ):
        if given not in known:
            raise UnknownNameError(what, given, known)
    LOSSES[name] = LossFunction(value, gradient, targets, predict)  # type: ignore[arg-type]


def check_targets(loss: Loss, y: Any, n_outputs: int, *, numbered: bool = True) -> None:
    """Raise InputError unless shape and values of the targets fit the loss and the outputs.

    Values are not checked while tracing. numbered: an error names the row by its index in y.
    """
    kind = loss.function.targets
    if loss.name == "softmax_cross_entropy" and n_outputs == 1:
        raise InputError(
            "softmax_cross_entropy needs an output for each class, at least 2; "
            "for a single output use sigmoid_cross_entropy."
        )
    labels = kind == "classes" and y.ndim == 1 and n_outputs > 1
    column = y.ndim == 1 and n_outputs == 1
    if not (labels or column or (y.ndim == 2 and y.shape[1] == n_outputs)):
        given = "labels (N,) or " if kind == "classes" else ""
        raise InputError(
            f"The loss {loss} over {n_outputs} outputs cannot take targets of shape "
            f"{tuple(y.shape)}; give {given}(N, {n_outputs})."
        )
    if isinstance(y, jax.core.Tracer) or not getattr(y, "is_fully_addressable", True):
        return
    if labels:
        check_labels(f"The loss {loss}", np.asarray(y), n_outputs, numbered=numbered)
    else:
        _check_numbers(loss, np.asarray(y), numbered)


def check_labels(whose: str, y: np.ndarray, n_classes: int, *, numbered: bool = True) -> None:
    """Raise InputError for a label (N,) that is not one of 0 … n_classes − 1."""
    wrong = ~((y >= 0) & (y < n_classes))
    if not np.issubdtype(y.dtype, np.integer) and y.dtype != bool:
        wrong |= y != np.trunc(y)
    if wrong.any():
        raise InputError(
            f"{whose} needs whole numbers from 0 to {n_classes - 1} as labels, but"
            f" {_first(wrong, y, numbered)}; number the classes from 0, with an output for each."
        )


def _check_numbers(loss: Loss, y: np.ndarray, numbered: bool) -> None:
    """Raise InputError for a target that is not finite, or outside the domain of the loss."""
    if loss.function.targets in ("binary", "classes"):
        wrong, allowed = ~((y >= 0) & (y <= 1)), "from 0 to 1"
    elif loss.name == "poisson":
        wrong, allowed = ~((y >= 0) & (y < np.inf)), "that are finite and not negative"
    else:
        wrong, allowed = ~np.isfinite(y), "that are finite"
    if wrong.any():
        raise InputError(
            f"The loss {loss} needs targets {allowed}, but {_first(wrong, y, numbered)}; correct"
            " that row or leave it out."
        )


def _first(wrong: np.ndarray, y: np.ndarray, numbered: bool) -> str:
    """Describe the first invalid target: "row 3 has 7"."""
    place = tuple(int(i) for i in np.argwhere(wrong)[0])
    return f"{f'row {place[0]}' if numbered else 'a row'} has {y[place]:g}"
