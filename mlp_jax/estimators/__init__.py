"""scikit-learn's interface: `MLPClassifier` and `MLPRegressor`, drop-in for scikit-learn's own."""

from mlp_jax.estimators.classifier import MLPClassifier
from mlp_jax.estimators.regressor import MLPRegressor

__all__ = ["MLPClassifier", "MLPRegressor"]
