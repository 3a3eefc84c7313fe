"""What the tape tells about a step: norms per layer, dead units, and where a number blew up."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from mlp_jax.backprop import Dense
from mlp_jax.backprop.dense import Activation
from mlp_jax.backprop.gradient import cast_weights, forward_backward
from mlp_jax.proof.check import layer_label
from mlp_jax.proof.observe import Path, Seen, at, observe, path_name, walk
from mlp_jax.training.batches import DeviceData, rows_at, take_batch
from mlp_jax.training.program import DROPOUT, Program, Seed, TrainState, stream


class StepLook(NamedTuple):
    """One step looked at and not taken: gradient, update, and each activation's dead share."""

    grads: Any
    updates: Any
    dead: dict[Path, Array]


def _observed_pass(
    program: Program, state: TrainState, data: DeviceData, seed: Seed, epoch: Any, index: Any
) -> tuple[Any, dict[Path, Seen], Array]:
    (rows,) = rows_at(seed, epoch, data.x.shape[0], program.batch_size, index, 1)
    batch = take_batch(program, data, rows, index)
    log: dict[Path, Seen] = {}
    value, _, grads, _ = forward_backward(
        observe(program.network, log),
        program.loss,
        True,
        cast_weights(state.params, program.products),
        state.layer_state,
        batch.x,
        batch.y,
        batch.c,
        batch.mask,
        jax.random.fold_in(stream(seed, DROPOUT), state.step),
        per_example=False,
    )
    return grads, log, value


@partial(jax.jit, static_argnums=0)
def look(
    program: Program, state: TrainState, data: DeviceData, seed: Seed, epoch: Any, index: Any
) -> StepLook:
    """The gradient and update that the batch at `index` of an epoch would give."""
    grads, log, value = _observed_pass(program, state, data, seed, epoch, index)
    updates, _ = program.optimizer.update(
        grads, state.opt_state, state.params, value=value, grad=grads, value_fn=lambda p: value
    )
    dead = {}
    for path, layer in walk(program.network):
        name = getattr(layer, "activation", getattr(layer, "name", "identity"))
        if isinstance(layer, (Dense, Activation)) and name != "identity":
            silent = jnp.all(log[path].a_next == 0, axis=0)
            dead[path] = jnp.mean(silent.astype(jnp.float32))
    return StepLook(grads, updates, dead)


def scalars(state: TrainState, seen: StepLook) -> dict[str, float]:
    """TensorBoard scalars: ‖∇W‖, ‖W‖, ‖ΔW‖ and ‖ΔW‖/‖W‖ per parameter, share of dead units.

    A unit is dead when its activation is exactly 0 for every example of the batch.
    """
    grads, updates, params, dead = jax.device_get(
        (seen.grads, seen.updates, state.params, seen.dead)
    )
    found: dict[str, float] = {}
    for keys, grad in jax.tree_util.tree_leaves_with_path(grads):
        path = tuple(key.idx for key in keys[:-1])
        name = f"{path_name(path)}.{keys[-1].key}"
        weight, moved = (_norm(at(tree, path)[keys[-1].key]) for tree in (params, updates))
        found[f"gradient_norm/{name}"] = _norm(grad)
        found[f"weight_norm/{name}"] = weight
        found[f"update_norm/{name}"] = moved
        if weight > 0:
            found[f"update_to_weight/{name}"] = moved / weight
    for path, share in dead.items():
        found[f"dead_units/{path_name(path)}"] = float(share)
    return found


def _norm(values: np.ndarray) -> float:
    """‖values‖ in float64, where the squares of float32 do not overflow."""
    return float(np.linalg.norm(np.asarray(values, np.float64)))


def histograms(state: TrainState, seen: StepLook) -> dict[str, np.ndarray]:
    """Every parameter's values and gradient, by name."""
    found = {}
    for title, tree in (("weights", state.params), ("gradients", seen.grads)):
        for keys, leaf in jax.tree_util.tree_leaves_with_path(tree):
            path = tuple(key.idx for key in keys[:-1])
            found[f"{title}/{path_name(path)}.{keys[-1].key}"] = np.asarray(leaf, np.float32)
    return found


def first_not_finite(
    program: Program, state: TrainState, data: DeviceData, seed: Seed, epoch: int, index: int
) -> str:
    """Where the step that was not applied blew up, in words: forward first, then from the loss."""
    place = jnp.asarray(index, jnp.int32)
    grads, log, value = _observed_pass(program, state, data, seed, np.int32(epoch), place)
    simple = [(path, layer) for path, layer in walk(program.network) if not layer.children]
    for path, _ in simple:
        if not bool(jnp.all(jnp.isfinite(log[path].a_next))):
            return f"the output of layer {layer_label(program.network, path, 'local')}"
    if not bool(jnp.isfinite(value)):
        return f"the loss {program.loss}, after outputs that are finite,"
    for path, _ in reversed(simple):
        values = jax.tree.leaves((log[path].grad_a, at(grads, path)))
        if not all(bool(jnp.all(jnp.isfinite(v))) for v in values):
            return f"the gradient at layer {layer_label(program.network, path, 'local')}"
    return "the update of the optimizer"
