"""Ensembles for an estimator, trained by `mlp_jax.fit` with the estimator's options."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import scipy.sparse
from sklearn.base import is_classifier

from mlp_jax.backprop import Loss
from mlp_jax.errors import InputError
from mlp_jax.estimators.extras import named_optimizer
from mlp_jax.estimators.loader import TrainingRows
from mlp_jax.estimators.losses import ScikitLoss
from mlp_jax.estimators.progress import Progress
from mlp_jax.estimators.specify import Specification
from mlp_jax.training.callbacks import Callback, EpochEnd
from mlp_jax.training.many.ensemble import fit_ensemble
from mlp_jax.training.optim.optimizers import Optimizer


def train_committee(
    estimator: Any,
    specification: Specification,
    rows: TrainingRows,
    judged: TrainingRows | None,
    batch_size: int,
    callbacks: tuple[Callback, ...],
) -> tuple[Specification, Any, Any, tuple[dict[str, float], ...]]:
    """Return (specification, params, layer_state, epoch records) of the members as one network.

    Training stops when the mean loss, or with early stopping the validation score, has not improved
    for `n_iter_no_change` epochs, as the estimator's does.
    """
    if scipy.sparse.issparse(rows.x):
        raise InputError("An ensemble needs dense rows: pass X.toarray().")
    optimizer = named_optimizer(estimator)
    if optimizer is None:
        if estimator.optimizer is not None:
            raise InputError("An ensemble takes an optimizer by name, or as mlp_jax.Optimizer.")
        optimizer = Optimizer(name="adam", learning_rate=estimator.learning_rate_init)
    patience = estimator.n_iter_no_change
    early = estimator.early_stopping and np.isfinite(patience)
    fitted = fit_ensemble(
        specification.network,
        Loss(specification.loss.name, specification.loss.options),
        optimizer,
        (rows.x, rows.y),
        size=estimator.ensemble,
        seed=int(estimator._random_state.randint(np.iinfo(np.int32).max)),
        epochs=estimator.max_iter,
        batch_size=batch_size,
        validation=None if judged is None else (judged.x, estimator._encoded(judged.y)),
        sample_weight=rows.weights,
        patience=int(patience) if early else None,
        monitor=None if is_classifier(estimator) else "r2",
        average=estimator.ema,
        precision=estimator.precision or ("float64" if rows.x.dtype == np.float64 else None),
        device=estimator.device,
        callbacks=[*callbacks, *([] if early else [_until_stale(estimator)])],
    )
    loss = ScikitLoss(specification.loss.name, specification.loss.options)
    together = Specification(fitted.network, loss, specification.n_in)
    weights = jax.device_get((fitted.params, fitted.layer_state))
    return together, *weights, fitted.history


def _until_stale(estimator: Any) -> Callable[[EpochEnd], bool]:
    """Return a callback that stops training on the training loss, as scikit-learn does."""
    progress = Progress()

    def told(end: EpochEnd) -> bool:
        nonlocal progress
        progress, _ = progress.after_loss(end.metrics["train_loss"], estimator.tol)
        return progress.stale > estimator.n_iter_no_change

    return told
