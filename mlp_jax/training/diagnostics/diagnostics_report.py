"""Records of diagnostics, and the location of a non-finite value."""

import math
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from mlp_jax.backprop import Layer
from mlp_jax.backprop.moments import is_noise
from mlp_jax.backprop.specification import Params
from mlp_jax.proof.check import layer_label
from mlp_jax.proof.observe import Path, at, path_name, walk
from mlp_jax.training.diagnostics.batch_diagnostics import (
    BatchDiagnostics,
    LayerFigures,
    observed_pass,
)
from mlp_jax.training.engine.batches import Batch, DeviceStack, rows_at
from mlp_jax.training.engine.bounded import BoundedJit
from mlp_jax.training.engine.importance import next_batch
from mlp_jax.training.engine.program import Keys, Program, Seed, TrainState
from mlp_jax.training.input.loaders import Data

TITLES = {
    "dead": "dead_units",
    "saturated": "saturated",
    "norm_a": "norm_a",
    "norm_grad_z": "norm_grad_z",
    "signal_to_noise": "signal_to_noise",
}


@np.errstate(over="ignore", invalid="ignore", divide="ignore")
def noise_record(seen: BatchDiagnostics) -> dict[str, float]:
    """Return the gradient noise for an epoch's record; empty if none was measured.

    gradient_variance: tr Σ, and gradient_signal: |G|², of these batches. noise_scale: their
    quotient in examples, each averaged over all diagnostics so far; infinite if noise dominates.
    """
    by_layers, average = jax.device_get((seen.noise, seen.average))
    if not average.share > 0:
        return {}
    layers = jax.tree.leaves(by_layers, is_leaf=is_noise)
    variance, signal = (sum(map(float, parts)) for parts in zip(*layers, strict=True))
    scale = float(average.noise / average.signal) if average.signal > 0 else math.inf
    return {"gradient_variance": variance, "gradient_signal": signal, "noise_scale": scale}


class ParameterNorms(NamedTuple):
    """Norms ‖∇W‖, ‖W‖ and ‖ΔW‖ of one parameter."""

    gradient: float
    weight: float
    update: float


class Diagnosis(NamedTuple):
    """Diagnostics on the host: layers by path, noise and norms as trees.

    examples: number of examples.
    """

    examples: int
    figures: dict[Path, LayerFigures]
    noise: Any
    norms: Any


@np.errstate(over="ignore", invalid="ignore")
def summarize(params: Params, seen: BatchDiagnostics) -> Diagnosis:
    """Return the diagnostics on the host, with the norms of every parameter."""
    trees = jax.device_get((seen.grads, params, seen.updates))
    norms = jax.tree.map(lambda *leaves: ParameterNorms(*map(_norm, leaves)), *trees)
    examples, figures, noise = jax.device_get((seen.examples, seen.layers, seen.noise))
    return Diagnosis(int(examples), figures, noise, norms)


def _norm(values: np.ndarray) -> float:
    """Return ‖values‖ in float64, where the squares of float32 neither overflow nor vanish.

    A plain sum: NumPy's norm uses BLAS threads, which compete with those of XLA.
    """
    return math.sqrt(np.sum(np.square(values, dtype=np.float64)))


@np.errstate(over="ignore", invalid="ignore", divide="ignore")
def layers(network: Layer, found: Diagnosis) -> list[dict[str, Any]]:
    """Return a record per layer with neurons or parameters, in network order.

    layer: path and description. dead, saturated, norm_a, norm_grad_z: as in `LayerFigures`.
    signal_to_noise: |G|²/tr Σ of its gradient, for one example. update_to_weight: ‖ΔW‖/‖W‖ over its
    parameters. Values that a layer does not have are left out.
    """
    records = []
    for path, layer in walk(network):
        record: dict[str, Any] = {}
        if path in found.figures:
            figures = found.figures[path]._asdict()
            record |= {name: float(v) for name, v in figures.items() if v is not None}
        record |= _of_parameters(found, path)
        if record:
            records.append({"layer": f"{path_name(path)} {layer}"} | record)
    return records


def _of_parameters(found: Diagnosis, path: Path) -> dict[str, float]:
    """Return signal-to-noise and update-to-weight ratio of the layer at `path`."""
    own = at(found.norms, path)
    if not isinstance(own, dict) or not own:
        return {}
    record = {}
    noise = None if found.noise is None else at(found.noise, path)
    if noise is not None and noise.noise > 0:
        record["signal_to_noise"] = max(float(noise.signal / noise.noise), 0.0)
    weight, update = (
        math.hypot(*(getattr(norms, name) for norms in own.values()))
        for name in ("weight", "update")
    )
    return record | ({"update_to_weight": update / weight} if weight > 0 else {})


def scalars(records: list[dict[str, Any]], norms: Any) -> dict[str, float]:
    """Return TensorBoard scalars: the diagnostics of every layer, and the norms of every parameter.

    records: as `layers` returns them. norms: of a `Diagnosis`.
    """
    named: dict[str, float] = {}
    for record in records:
        name = record["layer"].partition(" ")[0]
        named |= {f"{TITLES[key]}/{name}": v for key, v in record.items() if key in TITLES}
    for keys, own in jax.tree_util.tree_leaves_with_path(norms, is_leaf=_is_norms):
        name = f"{path_name(tuple(key.idx for key in keys[:-1]))}.{keys[-1].key}"
        named |= {f"{title}_norm/{name}": value for title, value in own._asdict().items()}
        if own.weight > 0:
            named[f"update_to_weight/{name}"] = own.update / own.weight
    return named


def _is_norms(node: Any) -> bool:
    return isinstance(node, ParameterNorms)


def histograms(state: TrainState, seen: BatchDiagnostics) -> dict[str, np.ndarray]:
    """Return the values and gradients of every parameter, by name."""
    found = {}
    for title, tree in (("weights", state.params), ("gradients", seen.grads)):
        for keys, leaf in jax.tree_util.tree_leaves_with_path(tree):
            path = tuple(key.idx for key in keys[:-1])
            found[f"{title}/{path_name(path)}.{keys[-1].key}"] = np.asarray(leaf, np.float32)
    return found


@partial(BoundedJit, static=1)
def _batch_at(
    program: Program,
    state: TrainState,
    data: Data,
    seed: Seed,
    epoch: Any,
    first: Any,
    index: Any,
    draws: Array,
) -> Batch:
    n, size = data.n, program.batch_size
    if isinstance(data, DeviceStack):
        rows = jax.tree.map(lambda leaf: leaf[index - first], data.batches)
    else:
        (rows,) = rows_at(seed, epoch, n, size, index, 1, program.pool)
    return next_batch(program, state.params, state.layer_state, data, rows, index, draws)


def first_not_finite(
    program: Program,
    state: TrainState,
    data: Data,
    seed: Seed,
    epoch: int,
    first: int,
    index: int,
) -> str:
    """Return where the first non-finite value occurred: output, loss, gradient or update.

    index: of the batch in the epoch. first: of the first batch of its call.
    """
    dropout, draws = Keys.of(seed).at(state.step)
    places = (np.int32(value) for value in (epoch, first, index))
    batch = _batch_at(program, state, data, seed, *places, draws)
    value, grads, _, log = observed_pass(program, state, batch, dropout, per_example=False)
    simple = [(path, layer) for path, layer in walk(program.network) if not layer.children]
    for path, _ in simple:
        if not bool(jnp.all(jnp.isfinite(log[path].a_next))):
            return f"the output of layer {layer_label(program.network, path, 'local')}"
    if not bool(jnp.isfinite(value)):
        return f"the loss {program.loss}, at finite outputs,"
    for path, _ in reversed(simple):
        values = jax.tree.leaves((log[path].grad_a, at(grads, path)))
        if not all(bool(jnp.all(jnp.isfinite(v))) for v in values):
            return f"the gradient at layer {layer_label(program.network, path, 'local')}"
    return "the update of the optimizer"
