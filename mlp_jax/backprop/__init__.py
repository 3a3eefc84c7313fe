"""Layers, losses and gradients: pure functions, frozen specifications, and the tape of records."""

from mlp_jax.backprop.activations import ACTIVATIONS, register_activation
from mlp_jax.backprop.beside import Beside
from mlp_jax.backprop.block_records import BlockProduct, SharedProduct
from mlp_jax.backprop.blocks import BlockDense
from mlp_jax.backprop.columns import Categories
from mlp_jax.backprop.curvature import (
    gauss_newton_diagonal,
    gauss_newton_product,
    hessian_product,
    sampled_gauss_newton_diagonal,
)
from mlp_jax.backprop.curvature_tape import expected_tape, loss_and_sampled_tape
from mlp_jax.backprop.dense import Activation, Dense
from mlp_jax.backprop.ensemble import Ensemble
from mlp_jax.backprop.gradient import (
    apply,
    loss_and_tape,
    loss_with_manual_gradient,
    value_and_grad,
)
from mlp_jax.backprop.gram import gram_matrix, inner_products, tangent_kernel, tape_of_outputs
from mlp_jax.backprop.hessians import hessian_root
from mlp_jax.backprop.initializers import INITIALIZERS
from mlp_jax.backprop.kronecker import KroneckerFactors, kronecker_factors
from mlp_jax.backprop.losses import LOSSES, Loss, get_loss, register_loss
from mlp_jax.backprop.members import MeanOfMembers, Members, SharedDense
from mlp_jax.backprop.moments import (
    GradientNoise,
    NoiseAverage,
    gradient_noise,
    gradient_noise_by_layer,
    second_moment,
    signal_to_noise,
    variance,
)
from mlp_jax.backprop.network import NORMS, Residual, Sequential, mlp
from mlp_jax.backprop.normalization import BatchNorm, LayerNorm, RMSNorm
from mlp_jax.backprop.numbers import (
    Cosines,
    FeatureScale,
    NTKScale,
    Periodic,
    PiecewiseLinear,
)
from mlp_jax.backprop.parametric import ParametricActivation
from mlp_jax.backprop.records import LookUp, OuterProduct, PerExample, Tape, contract
from mlp_jax.backprop.regularizers import Dropout
from mlp_jax.backprop.sampling import drawn_gradient
from mlp_jax.backprop.specification import Layer
from mlp_jax.backprop.statistics import (
    Clipped,
    clip_per_example,
    per_example_gradient,
    per_example_gradients,
    squared_norms,
    squared_norms_by_layer,
    squared_norms_by_parameter,
)

__all__ = [
    "ACTIVATIONS",
    "INITIALIZERS",
    "LOSSES",
    "NORMS",
    "Activation",
    "BatchNorm",
    "Beside",
    "BlockDense",
    "BlockProduct",
    "Categories",
    "Clipped",
    "Cosines",
    "Dense",
    "Dropout",
    "Ensemble",
    "FeatureScale",
    "GradientNoise",
    "KroneckerFactors",
    "Layer",
    "LayerNorm",
    "LookUp",
    "Loss",
    "MeanOfMembers",
    "Members",
    "NTKScale",
    "NoiseAverage",
    "OuterProduct",
    "ParametricActivation",
    "PerExample",
    "Periodic",
    "PiecewiseLinear",
    "RMSNorm",
    "Residual",
    "Sequential",
    "SharedDense",
    "SharedProduct",
    "Tape",
    "apply",
    "clip_per_example",
    "contract",
    "drawn_gradient",
    "expected_tape",
    "gauss_newton_diagonal",
    "gauss_newton_product",
    "get_loss",
    "gradient_noise",
    "gradient_noise_by_layer",
    "gram_matrix",
    "hessian_product",
    "hessian_root",
    "inner_products",
    "kronecker_factors",
    "loss_and_sampled_tape",
    "loss_and_tape",
    "loss_with_manual_gradient",
    "mlp",
    "per_example_gradient",
    "per_example_gradients",
    "register_activation",
    "register_loss",
    "sampled_gauss_newton_diagonal",
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
