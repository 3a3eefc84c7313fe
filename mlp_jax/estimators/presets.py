"""Presets for an estimator: their encoding of the rows, their network, and their training.

Letters: N rows, I features, C outputs.
"""

from typing import Any

import jax
import numpy as np
import scipy.sparse
from sklearn.base import is_classifier

from mlp_jax.backprop import Loss
from mlp_jax.data import Scaling, fit_scaling
from mlp_jax.data.encoding import ArrayEncoding, InputEncoding
from mlp_jax.data.scaling import farthest, refuse_far
from mlp_jax.errors import InputError
from mlp_jax.estimators.frames import learn_encoding
from mlp_jax.estimators.loader import TrainingRows
from mlp_jax.estimators.losses import ScikitLoss
from mlp_jax.estimators.specify import Specification
from mlp_jax.training.fit import fit
from mlp_jax.training.many.ensemble import fit_ensemble
from mlp_jax.training.presets import Preset, check_preset, column_options, preset

SETTLED = (
    "hidden_layer_sizes", "activation", "solver", "alpha", "learning_rate", "learning_rate_init",
    "dropout", "norm", "residual", "optimizer", "schedule", "weight_decay", "warm_start",
    "early_stopping", "tensorboard", "loss",
)  # fmt: skip


def check_alone(estimator: Any) -> None:
    """Raise InputError for an unknown preset, and for parameters that the preset sets itself."""
    check_preset(estimator.preset)
    usual = type(estimator)().get_params(deep=False)
    given = [name for name in SETTLED if getattr(estimator, name) != usual[name]]
    if given:
        options = ", ".join(given)
        raise InputError(f"The preset {estimator.preset} sets its own values: leave out {options}.")


def learn_preset_encoding(name: str, X: Any) -> InputEncoding:
    """Learn the preset's encoding of training rows: a table's columns, or pixels on one scale."""
    if scipy.sparse.issparse(X):
        raise InputError(f"The preset {name} needs dense rows: pass X.toarray().")
    if name == "tabular":
        return learn_encoding(X, column_options(name))
    x = np.asarray(X)
    scaling = fit_scaling(x, pixels=True)
    scale, offset = (tuple(np.ravel(part).tolist()) for part in scaling)
    return ArrayEncoding(n_features=x.shape[1], scale=scale, offset=offset)


def learn_target_scaling(y: np.ndarray, weights: np.ndarray | None) -> Scaling:
    """Learn the scaling of targets y (N, C) to mean 0 and standard deviation 1 per column.

    weights (N,): of the rows. A column that is constant over rows of positive weight keeps its
    spread. InputError for one whose spread exceeds float64.
    """
    y = y.astype(np.float64)
    counted = y if weights is None else y[weights != 0]
    with np.errstate(over="ignore", invalid="ignore"):
        mean = np.average(y, axis=0, weights=weights)
        variance = np.average((y - mean) ** 2, axis=0, weights=weights)
    far = farthest(variance, counted.min(axis=0), counted.max(axis=0))
    if far is not None:
        refuse_far(y, far, int(np.argmin(np.isfinite(variance))), np.arange(len(y)), "y")
    varies = (counted.min(axis=0) < counted.max(axis=0)) & (variance > 0)
    scale = 1 / np.sqrt(np.where(varies, variance, 1.0))
    return Scaling(scale, -mean * scale)


def preset_of(estimator: Any, n_in: int, n_rows: int, x: Any = None) -> Preset:
    """Return the preset for the estimator's encoded rows x (N, n_in) and its targets."""
    task: Any = {
        "softmax_cross_entropy": "classification",
        "sigmoid_cross_entropy": "multilabel",
    }.get(estimator._loss_name(), "regression")
    return preset(
        estimator.preset,
        inputs=estimator._encoding,
        n_in=n_in,
        n_out=estimator.n_outputs_,
        task=task,
        n_rows=n_rows,
        x=x,
    )


def train_preset(
    estimator: Any,
    specification: Specification,
    rows: TrainingRows,
    judged: TrainingRows | None,
    callbacks: Any,
) -> tuple[Specification, Any, Any, tuple[dict[str, float], ...]]:
    """Return (specification, params, layer_state, epoch records) of a training by the preset.

    The estimator's own max_iter and batch_size override the preset's. For numbers the best epoch is
    that of the lowest loss, in which outputs of any unit have equal weight. If the preset uses the
    best epoch and there is no validation_data, a share of the rows (validation_fraction) is held
    out.
    """
    found = preset_of(estimator, specification.n_in, rows.n, rows.x)
    usual, options = type(estimator)().get_params(deep=False), dict(found.options)
    if estimator.max_iter != usual["max_iter"]:
        options["epochs"] = estimator.max_iter
    if estimator.batch_size != usual["batch_size"]:
        options["batch_size"] = min(estimator.batch_size, rows.n)
    validation: Any = None
    if judged is not None:
        validation = (judged.x, estimator._encoded(judged.y))
    elif options.get("select") != "last":
        validation = estimator.validation_fraction
        kept = rows.n - int(np.ceil(validation * rows.n))
        options["batch_size"] = max(min(options["batch_size"], kept), 1)
    options |= {
        "seed": int(estimator._random_state.randint(np.iinfo(np.int32).max)),
        "validation": validation,
        "sample_weight": rows.weights,
        "target_scaling": estimator._target_scaling,
        "monitor": None if is_classifier(estimator) else "loss",
        "average": estimator.ema,
        "precision": estimator.precision,
        "device": estimator.device,
    }
    parts = (found.network, found.loss, found.optimizer, (rows.x, rows.y))
    if estimator.ensemble > 1:
        trained = fit_ensemble(*parts, size=estimator.ensemble, callbacks=callbacks, **options)
    else:
        trained = fit(*parts, callbacks=callbacks, **options)
    loss = ScikitLoss(trained.loss.name, trained.loss.options)
    together = Specification(trained.network, loss, specification.n_in)
    weights = jax.device_get((trained.params, trained.layer_state))
    return together, *weights, trained.history


def specification_of(estimator: Any, n_in: int, n_rows: int) -> Specification:
    """Return the preset's network and loss as a specification of the estimator."""
    found = preset_of(estimator, n_in, n_rows)
    loss: Loss = found.loss
    return Specification(found.network, ScikitLoss(loss.name, loss.options), n_in)
