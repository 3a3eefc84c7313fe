"""mlp-jax: multi-layer perceptrons whose backward pass is written by hand, and proved.

network = mlp([512, 512], 10, activation="relu")
loss = get_loss("softmax_cross_entropy")
value, grads = value_and_grad(network, loss)(params, x, y)
print(check_gradients(network, loss, params, (x, y)))
"""

from mlp_jax.backprop import (
    Activation,
    BatchNorm,
    Dense,
    Dropout,
    Layer,
    LayerNorm,
    Loss,
    Residual,
    RMSNorm,
    Sequential,
    apply,
    get_loss,
    loss_and_tape,
    mlp,
    value_and_grad,
)
from mlp_jax.model.saved import Model
from mlp_jax.model.saved import load_model as load
from mlp_jax.proof import Report, check_gradients
from mlp_jax.training import Fitted, Optimizer, fit

__version__ = "0.1.0"

__all__ = [
    "Activation",
    "BatchNorm",
    "Dense",
    "Dropout",
    "Fitted",
    "Layer",
    "LayerNorm",
    "Loss",
    "Model",
    "Optimizer",
    "RMSNorm",
    "Report",
    "Residual",
    "Sequential",
    "apply",
    "check_gradients",
    "fit",
    "get_loss",
    "load",
    "loss_and_tape",
    "mlp",
    "value_and_grad",
]
