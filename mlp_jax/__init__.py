"""mlp-jax: multi-layer perceptrons whose backward pass is written by hand, and proved.

network = mlp([512, 512], 10, activation="relu")
loss = get_loss("softmax_cross_entropy")
value, grads = value_and_grad(network, loss)(params, x, y)
print(check_gradients(network, loss, params, (x, y)))
"""

from mlp_jax.backprop import (
    Activation,
    BatchNorm,
    Clipped,
    Dense,
    Dropout,
    GradientNoise,
    Layer,
    LayerNorm,
    Loss,
    NoiseAverage,
    Residual,
    RMSNorm,
    Sequential,
    apply,
    clip_per_example,
    get_loss,
    gradient_noise,
    gradient_noise_by_layer,
    gram_matrix,
    inner_products,
    loss_and_tape,
    mlp,
    per_example_gradient,
    per_example_gradients,
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
from mlp_jax.model.saved import Model
from mlp_jax.model.saved import load_model as load
from mlp_jax.proof import Report, check_gradients
from mlp_jax.training import Fitted, Optimizer, fit

__version__ = "0.1.0"

__all__ = [
    "Activation",
    "BatchNorm",
    "Clipped",
    "Dense",
    "Dropout",
    "Fitted",
    "GradientNoise",
    "Layer",
    "LayerNorm",
    "Loss",
    "Model",
    "NoiseAverage",
    "Optimizer",
    "RMSNorm",
    "Report",
    "Residual",
    "Sequential",
    "apply",
    "check_gradients",
    "clip_per_example",
    "fit",
    "get_loss",
    "gradient_noise",
    "gradient_noise_by_layer",
    "gram_matrix",
    "inner_products",
    "load",
    "loss_and_tape",
    "mlp",
    "per_example_gradient",
    "per_example_gradients",
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
