"""`MLPClassifier`: scikit-learn's interface on the hand-written gradient."""

import warnings
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
from sklearn.base import ClassifierMixin, _fit_context
from sklearn.metrics import accuracy_score
from sklearn.preprocessing import LabelBinarizer
from sklearn.utils import column_or_1d
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import (
    _check_partial_fit_first_call,
    type_of_target,
    unique_labels,
)
from sklearn.utils.validation import check_is_fitted

from mlp_jax.backprop.specification import Saved
from mlp_jax.errors import DataWarning, InputError
from mlp_jax.estimators.base import BaseMLP
from mlp_jax.estimators.extras import CLASS_LOSSES, keep_parameters
from mlp_jax.estimators.specify import Specification

# As in the target of a table: whole numbers are labels up to FEW_VALUES distinct ones; above, they
# are numbers if there are more than MANY_VALUES, or fewer than ROWS_A_VALUE rows each.
FEW_VALUES = 50
MANY_VALUES = 1000
ROWS_A_VALUE = 20


class MLPClassifier(ClassifierMixin, BaseMLP):
    """A multi-layer perceptron for classification, with the interface of scikit-learn's class.

    The parameters up to `max_fun` are those of scikit-learn; docs/estimators.md describes the
    others.
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **BaseMLP._parameter_constraints,
        "loss": [StrOptions(CLASS_LOSSES)],
        "class_weight": [StrOptions({"balanced"}), dict, None],
    }

    def __init__(
        self,
        hidden_layer_sizes: Any = (100,),
        activation: Any = "relu",
        *,
        solver: Any = "adam",
        alpha: Any = 0.0001,
        batch_size: Any = "auto",
        learning_rate: Any = "constant",
        learning_rate_init: Any = 0.001,
        power_t: Any = 0.5,
        max_iter: Any = 200,
        shuffle: Any = True,
        random_state: Any = None,
        tol: Any = 1e-4,
        verbose: Any = False,
        warm_start: Any = False,
        momentum: Any = 0.9,
        nesterovs_momentum: Any = True,
        early_stopping: Any = False,
        validation_fraction: Any = 0.1,
        beta_1: Any = 0.9,
        beta_2: Any = 0.999,
        epsilon: Any = 1e-8,
        n_iter_no_change: Any = 10,
        max_fun: Any = 15000,
        loss: Any = "log_loss",
        class_weight: Any = None,
        device: Any = None,
        precision: Any = None,
        dropout: Any = 0.0,
        norm: Any = None,
        residual: Saved = False,
        validation_data: Any = None,
        optimizer: Any = None,
        schedule: Any = None,
        weight_decay: Any = None,
        ema: Any = None,
        ensemble: Any = 1,
        callbacks: Any = None,
        tensorboard: Any = None,
        preset: Any = None,
    ) -> None:
        keep_parameters(self, locals())

    @available_if(lambda estimator: estimator._check_solver())
    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(
        self, X: Any, y: Any, sample_weight: Any = None, classes: Any = None
    ) -> "MLPClassifier":
        """Train one epoch.

        Args:
            X: rows (N, I).
            y: labels (N,) or 0 and 1 (N, C).
            sample_weight: weights of the rows (N,).
            classes: all labels that will occur; required in the first call.

        Returns:
            The estimator.
        """
        if _check_partial_fit_first_call(self, classes):
            self._label_binarizer = LabelBinarizer()
            self._label_binarizer.fit(y if type_of_target(y).startswith("multilabel") else classes)
        self._fit(X, y, sample_weight, incremental=True)
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Predict labels.

        Args:
            X: rows (N, I).

        Returns:
            The class of each row (N,), or 0 and 1 for each label (N, C).
        """
        check_is_fitted(self)
        return self._labels(self._forward(X))

    def predict_proba(self, X: Any) -> np.ndarray:
        """Predict the probability of each class.

        Args:
            X: rows (N, I).

        Returns:
            Probabilities (N, C), classes in the order of `classes_`.
        """
        check_is_fitted(self)
        p = self._forward(X)
        return np.hstack([1 - p, p]) if self.n_outputs_ == 1 else p

    def predict_log_proba(self, X: Any) -> np.ndarray:
        """Predict the logarithm of the probability of each class.

        Args:
            X: rows (N, I).

        Returns:
            Logarithms (N, C).
        """
        p = self.predict_proba(X)
        return np.log(p, out=p)

    def _labels(self, p: np.ndarray) -> np.ndarray:
        """Return the labels for predictions (N, C)."""
        return self._label_binarizer.inverse_transform(p.ravel() if self.n_outputs_ == 1 else p)

    def _checked(self, X: Any, y: Any, incremental: bool, *, reset: bool) -> tuple[Any, Any]:
        """Check X and y; return the targets as columns (N, C) of 0 and 1."""
        X, y = self._arrays(X, y, reset=reset)
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        if not hasattr(self, "classes_") or (not self.warm_start and not incremental):
            self._label_binarizer = LabelBinarizer()
            self._label_binarizer.fit(y)
            self.classes_ = self._label_binarizer.classes_
            if y.ndim == 1:
                _warn_of_numbers(self.classes_, len(y))
        else:
            self._check_classes(unique_labels(y))
        return X, self._label_binarizer.transform(y).astype(bool)

    def _check_classes(self, classes: np.ndarray) -> None:
        """Raise ValueError for labels that a continued fit does not know."""
        if self.warm_start and set(classes) != set(self.classes_):
            raise ValueError(
                "warm_start can only be used where `y` has the same classes as in the previous call"
                f" to fit. Previously got {self.classes_}, `y` has {classes}"
            )
        if len(np.setdiff1d(classes, self.classes_, assume_unique=True)):
            raise ValueError(
                f"`y` has classes not in `self.classes_`. `self.classes_` has {self.classes_}. 'y'"
                f" has {classes}."
            )

    def _checked_targets(self, y: np.ndarray) -> np.ndarray:
        unknown = np.setdiff1d(unique_labels(y), self.classes_)
        if len(unknown):
            raise InputError(f"The targets have classes that were not in training: {unknown}.")
        return self._label_binarizer.transform(y).astype(bool)

    def _named(self, y: np.ndarray) -> np.ndarray:
        if self._label_binarizer.y_type_.startswith("multilabel"):
            raise InputError("class_weight needs one class per row, not several labels.")
        return self._label_binarizer.inverse_transform(y)

    def _out_activation(self, specification: Specification) -> str:
        """Softmax for one class of several, logistic for independent outputs."""
        return "softmax" if self._label_binarizer.y_type_ == "multiclass" else "logistic"

    def _loss_name(self) -> str:
        multiclass = self._label_binarizer.y_type_ == "multiclass"
        usual = "softmax_cross_entropy" if multiclass else "sigmoid_cross_entropy"
        if self.loss == "log_loss":
            return usual
        if self.loss.endswith("cross_entropy") and self.loss != usual:
            raise InputError(
                f"The loss {self.loss} does not fit these targets; log_loss takes {usual}."
            )
        return str(self.loss)

    def _encoded(self, y: np.ndarray) -> np.ndarray:
        """Labels (N,) for one class of several, columns of 0 and 1 otherwise."""
        if self.out_activation_ == "softmax":
            return y.argmax(axis=1).astype(np.int32)
        return y.astype(np.float32)

    def _scorer(self, y: np.ndarray, weights: Any) -> Callable[[np.ndarray], float]:
        truth = self._label_binarizer.inverse_transform(y)

        def score(p: np.ndarray) -> float:
            labels = self._labels(p)
            if np.issubdtype(labels.dtype, np.floating) and not np.isfinite(labels).all():
                return np.nan
            return float(accuracy_score(truth, labels, sample_weight=weights))

        return score

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags


def _warn_of_numbers(classes: np.ndarray, n_rows: int) -> None:
    """Warn if there are so many distinct whole numbers that they are probably not labels."""
    if classes.dtype.kind not in "iuf" or len(classes) <= FEW_VALUES:
        return
    if len(classes) <= min(MANY_VALUES, max(FEW_VALUES, n_rows // ROWS_A_VALUE)):
        return
    warnings.warn(
        f"y has {len(classes)} different whole numbers in {n_rows} rows, and each becomes a class."
        " To predict them as numbers, use MLPRegressor; if they are labels, convert them to text"
        " to silence this warning.",
        DataWarning,
        stacklevel=2,
    )
