"""mlp-jax: multi-layer perceptrons whose backward pass is written by hand and verified.

network = mlp([512, 512], 10, activation="relu")
loss = get_loss("softmax_cross_entropy")
value, grads = value_and_grad(network, loss)(params, x, y)
print(check_gradients(network, loss, params, (x, y)))
"""

from typing import TYPE_CHECKING, Any

from mlp_jax.backprop import (
    Activation,
    BatchNorm,
    Clipped,
    Dense,
    Dropout,
    GradientNoise,
    KroneckerFactors,
    Layer,
    LayerNorm,
    Loss,
    NoiseAverage,
    Residual,
    RMSNorm,
    Sequential,
    apply,
    clip_per_example,
    expected_tape,
    gauss_newton_diagonal,
    gauss_newton_product,
    get_loss,
    gradient_noise,
    gradient_noise_by_layer,
    gram_matrix,
    hessian_product,
    inner_products,
    kronecker_factors,
    loss_and_sampled_tape,
    loss_and_tape,
    mlp,
    per_example_gradient,
    per_example_gradients,
    register_activation,
    register_loss,
    sampled_gauss_newton_diagonal,
    second_moment,
    signal_to_noise,
    squared_norms,
    squared_norms_by_layer,
    squared_norms_by_parameter,
    tangent_kernel,
    tape_of_outputs,
    value_and_grad,
    variance,
)
from mlp_jax.errors import DataWarning
from mlp_jax.model.laplace_file import save_laplace
from mlp_jax.model.metrics import register_metric
from mlp_jax.model.model_folder import load_model as load
from mlp_jax.model.model_folder import save
from mlp_jax.model.saved import Model
from mlp_jax.model.store import register_layer
from mlp_jax.model.uncertain import LaplaceModel, fit_laplace, load_laplace
from mlp_jax.proof import Report, check_gradients
from mlp_jax.training import (
    Callback,
    Checkpoints,
    EarlyStopping,
    FitOptions,
    ManyResult,
    Optimizer,
    Privacy,
    TrainResult,
    fit,
    fit_many,
)

if TYPE_CHECKING:
    from mlp_jax.estimators import MLPClassifier, MLPRegressor, MLPSearchCV

__version__ = "0.1.0"

_ESTIMATORS = ("MLPClassifier", "MLPRegressor", "MLPSearchCV")

__all__ = [
    "Activation",
    "BatchNorm",
    "Callback",
    "Checkpoints",
    "Clipped",
    "DataWarning",
    "Dense",
    "Dropout",
    "EarlyStopping",
    "FitOptions",
    "GradientNoise",
    "KroneckerFactors",
    "LaplaceModel",
    "Layer",
    "LayerNorm",
    "Loss",
    "MLPClassifier",
    "MLPRegressor",
    "MLPSearchCV",
    "ManyResult",
    "Model",
    "NoiseAverage",
    "Optimizer",
    "Privacy",
    "RMSNorm",
    "Report",
    "Residual",
    "Sequential",
    "TrainResult",
    "apply",
    "check_gradients",
    "clip_per_example",
    "expected_tape",
    "fit",
    "fit_laplace",
    "fit_many",
    "gauss_newton_diagonal",
    "gauss_newton_product",
    "get_loss",
    "gradient_noise",
    "gradient_noise_by_layer",
    "gram_matrix",
    "hessian_product",
    "inner_products",
    "kronecker_factors",
    "load",
    "load_laplace",
    "loss_and_sampled_tape",
    "loss_and_tape",
    "mlp",
    "per_example_gradient",
    "per_example_gradients",
    "register_activation",
    "register_layer",
    "register_loss",
    "register_metric",
    "sampled_gauss_newton_diagonal",
    "save",
    "save_laplace",
    "second_moment",
    "signal_to_noise",
    "squared_norms",
    "squared_norms_by_layer",
    "squared_norms_by_parameter",
    "tangent_kernel",
    "tape_of_outputs",
    "value_and_grad",
    "variance",
]


def __getattr__(name: str) -> Any:
    """Import the estimators on first use: scikit-learn takes seconds to import."""
    if name in _ESTIMATORS:
        from mlp_jax import estimators

        return getattr(estimators, name)
    raise AttributeError(f"module 'mlp_jax' has no attribute '{name}'")
