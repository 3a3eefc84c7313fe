"""scikit-learn's interface: drop-in `MLPClassifier` and `MLPRegressor`.

`MLPSearchCV` is `GridSearchCV` for them, with the candidates trained together.
"""

from mlp_jax.estimators.classifier import MLPClassifier
from mlp_jax.estimators.regressor import MLPRegressor
from mlp_jax.estimators.search import MLPSearchCV

__all__ = ["MLPClassifier", "MLPRegressor", "MLPSearchCV"]
