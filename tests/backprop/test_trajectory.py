"""Ten steps of gradient descent, beside the same ten written in plain NumPy."""

from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
from agreement import assert_agree

from mlp_jax.backprop import get_loss, mlp, value_and_grad

STEPS, N, RATE = 10, 6, 0.3
WIDTHS = (4, 7, 5, 3)


def drawn():
    rng = np.random.default_rng(0)
    params = [
        {"W": rng.normal(size=(i, j)) / np.sqrt(i), "b": 0.1 * rng.normal(size=j)}
        for i, j in pairwise(WIDTHS)
    ]
    x = rng.normal(size=(STEPS, N, WIDTHS[0]))
    y = rng.integers(0, WIDTHS[-1], (STEPS, N))
    return params, x, y


def numpy_step(params, x, y):
    """(loss, parameters after the step) of a tanh network with softmax cross-entropy."""
    activations = [x]
    for layer in params[:-1]:
        activations.append(np.tanh(activations[-1] @ layer["W"] + layer["b"]))
    logits = activations[-1] @ params[-1]["W"] + params[-1]["b"]
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    loss = -np.mean(np.log(p[np.arange(N), y]))
    delta = (p - np.eye(WIDTHS[-1])[y]) / N
    moved = []
    for a, layer in zip(reversed(activations), reversed(params), strict=True):
        moved.append(
            {"W": layer["W"] - RATE * a.T @ delta, "b": layer["b"] - RATE * delta.sum(axis=0)}
        )
        delta = (delta @ layer["W"].T) * (1 - a**2)
    return loss, moved[::-1]


def test_ten_steps_of_gradient_descent_are_those_of_plain_numpy(x64):
    theirs, x, y = drawn()
    ours = tuple(jax.tree.map(jnp.asarray, layer) for layer in theirs)
    f = value_and_grad(mlp(WIDTHS[1:-1], WIDTHS[-1], "tanh"), get_loss("softmax_cross_entropy"))
    for step in range(STEPS):
        value, grads = f(ours, jnp.asarray(x[step]), jnp.asarray(y[step]))
        ours = jax.tree.map(lambda p, g: p - RATE * g, ours, grads)
        loss, theirs = numpy_step(theirs, x[step], y[step])
        assert_agree(value, loss)
    assert_agree(ours, tuple(theirs))
