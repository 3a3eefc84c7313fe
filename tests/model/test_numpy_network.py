"""The NumPy forward pass against the layers' own, in JAX."""

import jax
import numpy as np
import pytest
from model_cases import perturbed

from mlp_jax.backprop import (
    ACTIVATIONS,
    LOSSES,
    Activation,
    Beside,
    BlockDense,
    Categories,
    Cosines,
    Dense,
    Ensemble,
    FeatureScale,
    Loss,
    MeanOfMembers,
    Members,
    NTKScale,
    ParametricActivation,
    Periodic,
    PiecewiseLinear,
    Residual,
    Sequential,
    SharedDense,
    mlp,
)
from mlp_jax.backprop.ensemble import LINKS
from mlp_jax.model import numpy_network

X = np.random.default_rng(0).normal(size=(40, 4)) * 3
CODES = np.c_[X[:, :2], np.arange(40) % 4, np.arange(40) % 3]
NETWORKS = {
    **{f"norm {norm}": (mlp([6, 6], 3, norm=norm, dropout=0.3, residual=True), X)
       for norm in ("batch", "layer", "rms")},
    "categories": (Sequential((Categories(2, (3, 2), (0, 5)), Dense(3))), CODES),
    "blocks": (Sequential((BlockDense(2, 3, "silu"), Dense(2))), X),
    "periodic": (Sequential((Beside(Sequential((Periodic(3, 0.5), BlockDense(2, 2, "relu"))), 2),
                             Dense(2))), X),
    "cosines": (Sequential((Beside(Cosines(3, (0.5, 2.0)), 2, keep=True), Dense(2))), X),
    "bins": (PiecewiseLinear(((-1.0, 0.0, 1.0), (-2.0, 0.5), (0.0, 1.0, 2.0, 3.0), (0.0, 1.0))), X),
    "scales": (Sequential((FeatureScale(), NTKScale(), Dense(3, initializer="standard_normal"),
                           ParametricActivation("selu"))), X),
    "no bias": (Sequential((Dense(5, "tanh", bias=False), Activation("mish"))), X),
    "shortcut": (Residual(Dense(5, "relu"), Dense(5)), X),
    **{f"ensemble {link}": (Ensemble((mlp([3], 2), mlp([4], 2)), link), X) for link in LINKS},
    **{f"members {link}": (Sequential((Members(3), SharedDense(5, 3, "relu", "normal"),
                                       BlockDense(3, 2), MeanOfMembers(3, link))), X)
       for link in LINKS},
}  # fmt: skip


def started(network, x, dtype):
    params, state = jax.device_get(network.init(jax.random.key(0), x.shape[1]))
    return jax.tree.map(lambda leaf: leaf.astype(dtype), (perturbed(params), perturbed(state, 1)))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", NETWORKS)
def test_a_layer_gives_what_it_gives_in_jax(name, dtype):
    network, x = NETWORKS[name]
    with jax.enable_x64(True), jax.default_matmul_precision("highest"):
        params, state = started(network, x, dtype)
        rows = x.astype(dtype)
        expected, _, _ = network.forward(
            *jax.tree.map(jax.numpy.asarray, (params, state, rows)),
            train=False,
            key=None,
            mask=None,
        )
        found = numpy_network.forward(network, params, state, rows)
    assert found.dtype == dtype
    size = np.abs(np.asarray(expected)).max()
    bound = 1e-13 if dtype == "float64" else 2e-6
    np.testing.assert_allclose(found, expected, rtol=0, atol=bound * max(size, 1))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_an_activation_gives_what_it_gives_in_jax(name, dtype):
    z = np.concatenate([np.linspace(-8, 8, 1001), [-1e4, -60, -0.0, 0, 60, 1e4]]).astype(dtype)
    with jax.enable_x64(True):
        expected = np.asarray(ACTIVATIONS[name].function(jax.numpy.asarray(z)))
    found = numpy_network.ACTIVATIONS[name](z)
    assert found.dtype == dtype
    bound = 1e-14 if dtype == "float64" else 1e-6
    np.testing.assert_allclose(found, expected, rtol=10 * bound, atol=bound)


@pytest.mark.parametrize("multilabel", [False, True])
@pytest.mark.parametrize("width", [1, 3])
@pytest.mark.parametrize("name", LOSSES)
def test_a_prediction_is_that_of_the_loss(name, width, multilabel):
    if name == "softmax_cross_entropy" and width == 1:
        return
    output, loss = X[:, :width] * 10, Loss(name)
    with jax.enable_x64(True):
        expected = np.asarray(loss.predict(jax.numpy.asarray(output), multilabel=multilabel))
    _, found = numpy_network.infer(Activation("identity"), loss, multilabel, {}, (), output)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_every_layer_has_a_forward_pass():
    from mlp_jax.model.onnx_graph import _LAYERS

    assert numpy_network._LAYERS.keys() == _LAYERS.keys()
