"""The mathematics: pure functions over arrays, layers as specifications, the tape as records."""

from mlp_jax.backprop.activations import ACTIVATIONS
from mlp_jax.backprop.columns import Categories
from mlp_jax.backprop.dense import Activation, Dense
from mlp_jax.backprop.ensemble import Ensemble
from mlp_jax.backprop.gradient import (
    apply,
    loss_and_tape,
    loss_with_manual_gradient,
    value_and_grad,
)
from mlp_jax.backprop.initializers import INITIALIZERS
from mlp_jax.backprop.losses import LOSSES, Loss, get_loss
from mlp_jax.backprop.network import NORMS, Residual, Sequential, mlp
from mlp_jax.backprop.normalization import BatchNorm, LayerNorm, RMSNorm
from mlp_jax.backprop.records import LookUp, OuterProduct, PerExample, Tape, contract
from mlp_jax.backprop.regularizers import Dropout
from mlp_jax.backprop.specification import Layer

__all__ = [
    "ACTIVATIONS",
    "INITIALIZERS",
    "LOSSES",
    "NORMS",
    "Activation",
    "BatchNorm",
    "Categories",
    "Dense",
    "Dropout",
    "Ensemble",
    "Layer",
    "LayerNorm",
    "LookUp",
    "Loss",
    "OuterProduct",
    "PerExample",
    "RMSNorm",
    "Residual",
    "Sequential",
    "Tape",
    "apply",
    "contract",
    "get_loss",
    "loss_and_tape",
    "loss_with_manual_gradient",
    "mlp",
    "value_and_grad",
]
