"""Layer diagnostics of a trained network on some rows.

Letters: N rows, I features, J units of a layer.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from mlp_jax.backprop import GradientNoise, Layer, Loss
from mlp_jax.backprop.gradient import cast_weights, forward_backward, known_state, mean_weights
from mlp_jax.backprop.moments import gradient_noise_by_layer
from mlp_jax.backprop.specification import State
from mlp_jax.model.examples import TrainedNetwork
from mlp_jax.model.health import LayerHealth, layer_health
from mlp_jax.model.inference import runnable_precision
from mlp_jax.proof.check import layer_label
from mlp_jax.proof.observe import Path, Seen, at, observe

MOST_ROWS = 4096


@dataclass(frozen=True)
class LayerDiagnostics:
    """Diagnostics of one layer over the inspected rows, in inference.

    dead: how many of its `units` are 0 on every row.  saturated: the share of activations where f
    is flat; all three None without an activation.  a, grad_z: root mean squares over the rows of
    ‖a‖ of the layer's output, and of ‖∇z‖.  weight: ‖W‖, None without one.  signal_to_noise:
    |G|²/tr Σ of the layer's gradient, per row; 0 if the noise dominates, None without parameters.
    """

    layer: str
    dead: int | None
    units: int | None
    saturated: float | None
    a: float
    grad_z: float
    weight: float | None
    signal_to_noise: float | None


@dataclass(frozen=True)
class NetworkDiagnostics:
    """Diagnostics of all layers with neurons, input first, over n_rows.

    noise_scale: of the gradient, B = tr Σ/|G|² (McCandlish 2018), infinite if the noise dominates.
    """

    layers: tuple[LayerDiagnostics, ...]
    noise_scale: float
    n_rows: int


def diagnose_layers(trained: TrainedNetwork, x: np.ndarray, y: np.ndarray) -> NetworkDiagnostics:
    """Diagnose the layers on at most 4096 rows, evenly spaced; x and y as `examine` takes them."""
    chosen = np.unique(np.linspace(0, len(x) - 1, min(len(x), MOST_ROWS)).astype(int))
    policy = runnable_precision(trained.precision)
    with policy.active():
        scale, offset = (np.atleast_2d(v) for v in trained.scaling or (1.0, 0.0))
        rows = jnp.asarray(x[chosen] * scale + offset, policy.params)
        kind = policy.params if np.issubdtype(y.dtype, np.floating) else np.int32
        health, noise = jax.device_get(
            _watched(
                trained.network,
                trained.loss,
                cast_weights(trained.params, policy.products),
                known_state(trained.network, trained.state),
                rows,
                jnp.asarray(y[chosen], kind),
            )
        )
    layers = tuple(_diagnostics(trained, path, one, noise) for path, one in health.items())
    each = jax.tree.leaves(noise, is_leaf=_is_noise)
    total, signal = (float(sum(values)) for values in zip(*each, strict=True))
    return NetworkDiagnostics(layers, _ratio(total, signal), len(chosen))


def _is_noise(node: Any) -> bool:
    return isinstance(node, GradientNoise)


@partial(jax.jit, static_argnums=(0, 1))
def _watched(
    network: Layer, loss: Loss, weights: Any, state: State, x: Array, y: Array
) -> tuple[dict[Path, LayerHealth], Any]:
    """Compute health and gradient noise of every layer in one observed pass."""
    log: dict[Path, Seen] = {}
    c = mean_weights(len(x), None, x.dtype)
    tape = forward_backward(
        observe(network, log), loss, False, weights, state, x, y, c, None, None
    )[3]
    return layer_health(network, log), gradient_noise_by_layer(tape)


def _diagnostics(
    trained: TrainedNetwork, path: Path, health: LayerHealth, noise: Any
) -> LayerDiagnostics:
    own, weight = at(noise, path), at(trained.params, path).get("W")
    saturated = health.saturated
    return LayerDiagnostics(
        layer=layer_label(trained.network, path, "local"),
        dead=None if health.active is None else int(np.sum(~np.asarray(health.active))),
        units=None if health.active is None else health.active.size,
        saturated=None if saturated is None else float(saturated),
        a=float(np.sqrt(health.a_square)),
        grad_z=float(np.sqrt(health.grad_z_square)),
        weight=None if weight is None else float(np.linalg.norm(np.asarray(weight, np.float64))),
        signal_to_noise=None
        if own is None
        else _ratio(max(float(own.signal), 0.0), float(own.noise)),
    )


def _ratio(over: float, under: float) -> float:
    """over/under, infinite unless under is positive."""
    return over / under if under > 0 else float("inf")
