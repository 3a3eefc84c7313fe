"""Models written out by hand, and their forward pass again in NumPy float64, no JAX in it."""

from dataclasses import replace

import jax
import numpy as np
from scipy.special import erf

from mlp_jax.backprop import get_loss, mlp
from mlp_jax.data.encoding import ArrayEncoding, TargetEncoding
from mlp_jax.model.saved import Model

COLOURS = ("red", "green", "blue")
NUMPY_ACTIVATIONS = {
    "identity": lambda z: z,
    "relu": lambda z: np.maximum(z, 0),
    "tanh": np.tanh,
    "gelu_exact": lambda z: 0.5 * z * (1 + erf(z / np.sqrt(2))),
    "silu": lambda z: z / (1 + np.exp(-z)),
}


def perturbed(tree, seed=0):
    """The arrays moved off their initial values, where a lost bias or scale would not show."""
    rng = np.random.default_rng(seed)
    return jax.tree.map(
        lambda leaf: np.asarray(leaf + 0.2 * np.abs(rng.standard_normal(leaf.shape)), np.float32),
        tree,
    )


def model_of(network, loss, inputs, target, **more):
    """A model with random weights, biases and running statistics."""
    params, state = network.init(jax.random.key(1), inputs.n_features)
    return Model(network, loss, perturbed(params), perturbed(state, 1), inputs, target, **more)


def colour_model(hidden=(7, 5), activation="tanh", **options):
    """Three classes from four numbers, each with a scale of its own."""
    return model_of(
        mlp(list(hidden), 3, activation, **options),
        get_loss("softmax_cross_entropy"),
        ArrayEncoding(4, (0.5, 2.0, 1.0, 0.1), (0.1, -0.2, 0.3, 0.0)),
        TargetEncoding("classification", classes=COLOURS),
        metrics={"accuracy": 0.75},
        about={"data": "colours"},
    )


def regression_model(n_outputs=1, loss="squared_error", scaled=True, **options):
    """Numbers from three numbers, standardized far from 0."""
    target = TargetEncoding("regression")
    if scaled:
        target = replace(target, scale=(20.0, 3.0)[:n_outputs], offset=(2000.0, -5.0)[:n_outputs])
    return model_of(
        mlp([6], n_outputs, "gelu_exact", **options), get_loss(loss), ArrayEncoding(3), target
    )


def binary_model():
    """Two classes told apart by one logit."""
    return model_of(
        mlp([6], 1, "silu"),
        get_loss("sigmoid_cross_entropy"),
        ArrayEncoding(3),
        TargetEncoding("classification", classes=("no", "yes")),
    )


def multilabel_model():
    """Two yes-or-no answers a row."""
    return model_of(
        mlp([6], 2, "relu"),
        get_loss("sigmoid_cross_entropy"),
        ArrayEncoding(3),
        TargetEncoding("multilabel", names=("a", "b")),
    )


def pixel_model():
    """Ten classes of uint8 images of 4 × 3 pixels."""
    return model_of(
        mlp([8], 10, norm="batch"),
        get_loss("softmax_cross_entropy"),
        ArrayEncoding(12, (1 / 70.0,), (-1.5,), pixels=True, image_shape=(4, 3)),
        TargetEncoding("classification", classes=tuple("0123456789")),
    )


def dense_chain(params, activations, x):
    """Z = X W + b and A = f(Z), layer after layer; the last is linear."""
    a = np.asarray(x, np.float64)
    for layer, name in zip(params, (*activations, "identity"), strict=True):
        z = a @ np.asarray(layer["W"], np.float64) + np.asarray(layer["b"], np.float64)
        a = NUMPY_ACTIVATIONS[name](z)
    return a


def softmax(s):
    e = np.exp(s - s.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def sigmoid(s):
    return 1 / (1 + np.exp(-s))
