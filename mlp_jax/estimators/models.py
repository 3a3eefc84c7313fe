"""Conversion of an estimator to a `Model`, and its uncertainty.

Letters: N rows, I features, C outputs.
"""

from typing import Any

import numpy as np
from sklearn.base import is_classifier

from mlp_jax.backprop import Ensemble, Loss
from mlp_jax.data.arrays import label_type_of
from mlp_jax.data.encoding import ArrayEncoding, LabelType, TargetEncoding, scaled_target
from mlp_jax.errors import InputError
from mlp_jax.estimators.specify import as_type
from mlp_jax.model.labels import as_words
from mlp_jax.model.laplace import check_kind
from mlp_jax.model.laplace_fit import fit_curvature
from mlp_jax.model.precision import known_precision
from mlp_jax.model.saved import Model
from mlp_jax.model.uncertain import with_laplace


def as_model(estimator: Any) -> Model:
    """Return the fitted estimator as a `Model`: its network, weights, inputs and target."""
    specification = estimator._specification
    names = tuple(map(str, getattr(estimator, "feature_names_in_", ())))
    inputs = estimator._encoding or ArrayEncoding(
        n_features=specification.n_in, feature_names=names
    )
    precision = estimator.precision or (
        "float64" if estimator.coefs_[0].dtype == np.float64 else "float32"
    )
    dtype = known_precision(precision).params
    params, state = (as_type(tree, dtype) for tree in (estimator._params(), estimator._layer_state))
    loss = Loss(specification.loss.name, specification.loss.options)
    return Model(
        network=specification.network,
        loss=loss,
        params=params,
        layer_state=state,
        inputs=inputs,
        target=_target(estimator),
        precision=precision,
    )


def _target(estimator: Any) -> TargetEncoding:
    if not is_classifier(estimator):
        scaling = estimator._target_scaling
        if scaling is None:
            return TargetEncoding("regression")
        return scaled_target(1 / scaling.scale, -scaling.offset / scaling.scale)
    labels = tuple(as_words(np.asarray(estimator.classes_)).tolist())
    if estimator._label_binarizer.y_type_.startswith("multilabel"):
        return TargetEncoding(task="multilabel", names=labels)
    kind = _label_type(np.asarray(estimator.classes_))
    return TargetEncoding(task="classification", classes=labels, label_type=kind)


def _label_type(classes: np.ndarray) -> LabelType:
    """Return the type of labels that are text, whole numbers, numbers or booleans, boxed or not."""
    if classes.dtype == object:
        distinct = {np.asarray(label).dtype.kind for label in classes}
        classes = np.array(list(classes)) if len(distinct) == 1 else classes
    return label_type_of(classes.dtype)


def learn_laplace(estimator: Any, x: np.ndarray, y: np.ndarray, kind: str) -> Any:
    """Fit the Laplace approximation at the estimator's weights to its encoded training rows."""
    model = as_model(estimator)
    if model.target.task == "classification":
        y = y.argmax(axis=1) if y.shape[1] > 1 else y.ravel().astype(np.int64)
    return fit_curvature(model, x, y, check_kind(kind), None)


def uncertainty(estimator: Any, x: np.ndarray) -> np.ndarray:
    """Return the uncertainty of each encoded row: the members' disagreement, or by Laplace.

    InputError if there is neither.
    """
    model = as_model(estimator)
    if isinstance(model.network, Ensemble):
        return model.disagreements(x)
    if getattr(estimator, "laplace_", None) is None:
        raise InputError(
            "A single network has no uncertainty: use ensemble=8, or call"
            " fit_laplace with the training rows first."
        )
    return with_laplace(model, estimator.laplace_).uncertainties(x)
