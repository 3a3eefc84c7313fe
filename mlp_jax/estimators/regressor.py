"""`MLPRegressor`: scikit-learn's interface on the hand-written gradient."""

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
from sklearn.base import RegressorMixin, _fit_context
from sklearn.metrics import r2_score
from sklearn.utils import column_or_1d
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from mlp_jax.backprop.specification import Saved
from mlp_jax.data import Scaling, unscaled
from mlp_jax.estimators.base import BaseMLP
from mlp_jax.estimators.extras import NUMBER_LOSSES, keep_parameters
from mlp_jax.estimators.inputs import check_numbers
from mlp_jax.estimators.presets import learn_target_scaling


class MLPRegressor(RegressorMixin, BaseMLP):
    """A multi-layer perceptron for regression, with the interface of scikit-learn's class.

    The parameters up to `max_fun` are those of scikit-learn; docs/estimators.md describes the
    others.
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **BaseMLP._parameter_constraints,
        "loss": [StrOptions(NUMBER_LOSSES)],
    }

    def __init__(
        self,
        loss: Any = "squared_error",
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
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> "MLPRegressor":
        """Train one epoch.

        Args:
            X: rows (N, I).
            y: targets (N,) or (N, C).
            sample_weight: weights of the rows (N,).

        Returns:
            The estimator.
        """
        self._fit(X, y, sample_weight, incremental=True)
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Predict targets.

        Args:
            X: rows (N, I).

        Returns:
            Predictions (N,) or (N, C), in the units of the targets.
        """
        check_is_fitted(self)
        found = self._forward(X)
        if self._target_scaling is not None:
            found = unscaled(self._target_scaling, found)
        return self._numbers(found)

    def _numbers(self, p: np.ndarray) -> np.ndarray:
        return p.ravel() if p.shape[1] == 1 else p

    def _checked(self, X: Any, y: Any, incremental: bool, *, reset: bool) -> tuple[Any, Any]:
        """Check X and y; return the targets as numbers."""
        check_numbers(y)
        X, y = self._arrays(X, y, reset=reset, y_numeric=True)
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        return X, y

    def _checked_targets(self, y: np.ndarray) -> np.ndarray:
        return y

    def _learn_target_scaling(self, y: np.ndarray, weights: Any) -> Scaling | None:
        return None if self.preset is None else learn_target_scaling(y, weights)

    def _loss_name(self) -> str:
        return str(self.loss)

    def _encoded(self, y: np.ndarray) -> np.ndarray:
        """Return the targets (N, C) in a floating type."""
        return y if np.issubdtype(y.dtype, np.floating) else y.astype(np.float64)

    def _scorer(self, y: np.ndarray, weights: Any) -> Callable[[np.ndarray], float]:
        truth = self._numbers(y)

        def score(p: np.ndarray) -> float:
            if not np.isfinite(p).all():
                return np.nan
            return float(r2_score(truth, self._numbers(p), sample_weight=weights))

        return score
