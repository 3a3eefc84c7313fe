"""Parameters of the estimators beyond scikit-learn's: their ranges and exclusions."""

from collections.abc import Callable, Iterable, Iterator
from collections.abc import Set as AbstractSet
from numbers import Integral, Real
from typing import Any

import numpy as np
import optax
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions

from mlp_jax.backprop import ACTIVATIONS, LOSSES, NORMS
from mlp_jax.errors import InputError
from mlp_jax.estimators.solvers import ADAM, NESTEROV, SGD
from mlp_jax.estimators.specify import Specification
from mlp_jax.model.precision import DEVICES, PRECISIONS
from mlp_jax.training.callbacks import Callback, as_callbacks
from mlp_jax.training.optim.open_optimizer import Hyperparameters, hyperparameters, open_optimizer
from mlp_jax.training.optim.optimizers import OPTIMIZERS, Optimizer
from mlp_jax.training.optim.schedules import SCHEDULES


class KnownNames(AbstractSet[str]):
    """The names that a table has now, with those that users register later."""

    def __init__(self, names: Callable[[], Iterable[str]]) -> None:
        self._names = names

    @classmethod
    def _from_iterable(cls, names: Iterable[Any]) -> AbstractSet[Any]:
        """Return the result of a set operation, which no table stands behind."""
        return set(names)

    def __contains__(self, name: object) -> bool:
        return name in set(self._names())

    def __iter__(self) -> Iterator[str]:
        return iter(set(self._names()))

    def __len__(self) -> int:
        return len(set(self._names()))


ACTIVATION_NAMES = KnownNames(lambda: [*ACTIVATIONS, "logistic"])
CLASS_LOSSES = KnownNames(
    lambda: ["log_loss", *(name for name, f in LOSSES.items() if f.targets != "real")]
)
NUMBER_LOSSES = KnownNames(lambda: [name for name, f in LOSSES.items() if f.targets == "real"])
ELSEWHERE = ("lbfgs", "kfac")  # optimizers of ours that want more than an epoch here gives

CONSTRAINTS: dict[str, list[Any]] = {
    "device": [StrOptions(set(DEVICES)), None],
    "precision": [StrOptions(set(PRECISIONS)), None],
    "dropout": [Interval(Real, 0, 1, closed="left")],
    "norm": [StrOptions(set(NORMS)), None],
    "residual": ["boolean"],
    "validation_data": [tuple, list, None],
    "optimizer": [
        StrOptions(set(OPTIMIZERS)), Optimizer, HasMethods(["init", "update"]), None,
    ],
    "schedule": [StrOptions(set(SCHEDULES)), None],
    "weight_decay": [Interval(Real, 0, None, closed="left"), None],
    "ema": [Interval(Real, 0, 1, closed="neither"), None],
    "ensemble": [Interval(Integral, 1, None, closed="left")],
    "callbacks": ["array-like", callable, Callback, None],
    "tensorboard": [str, HasMethods(["__fspath__"]), None],
    "preset": [str, None],
}  # fmt: skip


def check_extras(estimator: Any, specification: Specification, *, incremental: bool) -> None:
    """Raise InputError for parameters that exclude each other."""
    asked = [
        name
        for name in ("optimizer", "schedule", "weight_decay", "ema", "tensorboard", "callbacks")
        if getattr(estimator, name) is not None
    ]
    if estimator.ensemble > 1:
        asked.append("ensemble")
    if specification.network.draws:
        asked.append("dropout")
    if specification.network.couples_examples:
        asked.append("norm='batch'")
    if estimator.solver == "lbfgs" and asked:
        raise InputError(
            f"The solver lbfgs uses all rows in every step and does not support {asked[0]}; use"
            " solver='adam'."
        )
    if incremental:
        _check_incremental(estimator)
    if estimator.solver == "sgd" and estimator.optimizer is None:
        for name in ("schedule", "weight_decay"):
            if name in asked:
                raise InputError(f"{name} needs solver='adam' or an optimizer.")
    if isinstance(estimator.optimizer, Optimizer) or not isinstance(
        estimator.optimizer, str | None
    ):
        for name in ("schedule", "weight_decay"):
            if name in asked:
                raise InputError(f"An optimizer object has its own {name}: leave {name} out.")
    if estimator.ensemble > 1:
        _check_ensemble(estimator)


def _check_incremental(estimator: Any) -> None:
    """Raise InputError for parameters that `partial_fit` does not support."""
    for name in ("ema", "schedule", "preset", "validation_data"):
        if getattr(estimator, name) is not None:
            raise InputError(f"partial_fit does not support {name}, which needs a whole fit.")
    if estimator.ensemble > 1:
        raise InputError("partial_fit trains one network, not an ensemble.")
    if getattr(estimator, "class_weight", None) == "balanced":
        raise InputError(
            "class_weight='balanced' needs all rows; give partial_fit a weight for each class."
        )


def _check_ensemble(estimator: Any) -> None:
    """Raise InputError for parameters that ensembles do not support."""
    if estimator.warm_start:
        raise InputError("An ensemble starts from random weights: use warm_start=False.")
    if estimator.alpha not in (0, 0.0001):
        raise InputError("An ensemble does not support alpha: use weight_decay instead.")
    if estimator.optimizer is None and estimator.solver == "sgd":
        raise InputError("An ensemble does not support solver='sgd': use 'adam' or an optimizer.")
    if not estimator.shuffle:
        raise InputError("An ensemble shuffles the rows of each member: use shuffle=True.")


def transformation(
    estimator: Any, steps: int
) -> tuple[optax.GradientTransformationExtraArgs | None, Hyperparameters | None]:
    """Return the requested Optax transformation for that many steps; None: the solver.

    An optimizer by name uses `learning_rate_init`, `schedule` and `weight_decay`; it gives an open
    optimizer and the numbers for its state.
    """
    chosen = estimator.optimizer
    if chosen is not None and not isinstance(chosen, str | Optimizer):
        return optax.with_extra_args_support(chosen), None
    named = named_optimizer(estimator)
    if named is None:
        return None, None
    numbers = hyperparameters(named, steps)
    return (named.build(steps) if numbers is None else open_optimizer(named)), numbers


def named_optimizer(estimator: Any) -> Optimizer | None:
    """Return the requested `mlp_jax.Optimizer`, by name or implied by other parameters."""
    chosen = estimator.optimizer
    if chosen is None and estimator.schedule is None and estimator.weight_decay is None:
        return None
    if not isinstance(chosen, Optimizer):
        chosen = Optimizer(
            name=chosen or "adam",
            learning_rate=None if chosen in ELSEWHERE else estimator.learning_rate_init,
            schedule=estimator.schedule or "constant",
            weight_decay=estimator.weight_decay,
        )
    if chosen.name in ELSEWHERE:
        instead = "solver='lbfgs'" if chosen.name == "lbfgs" else "mlp_jax.fit"
        raise InputError(f"The optimizer {chosen.name} cannot train an estimator: use {instead}.")
    return chosen


def is_elementwise(estimator: Any, optimizer: Any) -> bool:
    """Return True if the optimizer treats a matrix and its transpose alike."""
    if optimizer in (ADAM, SGD, NESTEROV):
        return True
    if not isinstance(estimator.optimizer, str | Optimizer | None):
        return False
    named = named_optimizer(estimator)
    return named is not None and not named.knows_matrices


def callbacks_of(estimator: Any) -> tuple[Callback, ...]:
    """Return the callbacks of the estimator."""
    given = estimator.callbacks
    if given is None:
        return ()
    return as_callbacks((given,) if callable(given) or isinstance(given, Callback) else given)


def class_weights_of(estimator: Any, labels: Any, weights: Any) -> Any:
    """Multiply the rows' weights by those of their classes."""
    from sklearn.utils.class_weight import compute_sample_weight

    each = compute_sample_weight(estimator.class_weight, labels)
    return each if weights is None else np.asarray(weights) * each


def keep_parameters(estimator: Any, given: dict[str, Any]) -> None:
    """Store a constructor's arguments as attributes, as scikit-learn requires."""
    for name in estimator._get_param_names():
        setattr(estimator, name, given[name])
