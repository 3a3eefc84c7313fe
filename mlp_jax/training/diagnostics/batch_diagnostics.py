"""Diagnostics between two epochs, computed by a separate program over a few batches.

It uses the first batches of the next epoch with the current parameters, and changes nothing. It
sees at most 1/128 of the rows, and runs at most every thousand steps (`is_due`), because it has a
fixed cost and an epoch may be short. Its result depends only on the state, the epoch and the
average, so it is the same in equal runs.
"""

import contextlib
import functools
import math
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from mlp_jax.backprop import GradientNoise, NoiseAverage, Tape, gradient_noise_by_layer
from mlp_jax.backprop.gradient import cast_weights, forward_backward
from mlp_jax.backprop.moments import total_noise
from mlp_jax.backprop.specification import Params
from mlp_jax.model.health import LayerHealth, layer_health
from mlp_jax.proof.observe import Path, Seen, observe
from mlp_jax.training.engine.batches import Batch, DeviceData, rows_at, take_batch
from mlp_jax.training.engine.bounded import BoundedJit
from mlp_jax.training.engine.program import (
    DROPOUT,
    Program,
    Seed,
    Shapes,
    TrainState,
    abstract,
    signature,
    stream,
)

SHARE = 128  # one in this many rows
LEAST_ROWS = 32
MOST_BATCHES = 64
STEPS_BETWEEN = 1000
AVERAGED = 8  # batches in the average of noise, or those of four diagnostics if they are more


class LayerFigures(NamedTuple):
    """Diagnostics of a layer: share of dead units, of saturated activations, ‖a‖ and ‖∇z‖.

    The norms are root mean squares over the examples. The shares are None without an activation.
    """

    dead: Float[Array, ""] | None
    saturated: Float[Array, ""] | None
    norm_a: Float[Array, ""]
    norm_grad_z: Float[Array, ""]


class BatchDiagnostics(NamedTuple):
    """Diagnostics of a few batches.

    grads, updates: of one step on the last batch, which is not applied. layers: by path, over all
    batches. noise: gradient noise per layer, over all batches; None if batch norm couples the
    examples. average: noise of the whole network relative to the mean of ‖gₙ‖², averaged over all
    diagnostics so far. examples: number of examples.
    """

    grads: Params
    updates: Any
    layers: dict[Path, LayerFigures]
    noise: Any
    average: NoiseAverage
    examples: Int[Array, ""]


class ObservedPass(NamedTuple):
    """Forward and backward pass with a log of the layers."""

    loss: Float[Array, ""]
    grads: Params
    tape: Tape
    log: dict[Path, Seen]


def observed_pass(
    program: Program,
    state: TrainState,
    batch: Batch,
    draw: Array,
    *,
    per_example: bool,
) -> ObservedPass:
    """Run the pass of a step on a batch, with a log; dropout is drawn from `draw`."""
    log: dict[Path, Seen] = {}
    loss, _, grads, tape = forward_backward(
        observe(program.network, log),
        program.loss,
        True,
        cast_weights(state.params, program.products),
        state.layer_state,
        batch.x,
        batch.y,
        batch.c,
        batch.mask,
        draw,
        per_example=per_example,
    )
    return ObservedPass(loss, grads, tape, log)


def diagnosed_rows(n: int, batch_size: int) -> tuple[int, int]:
    """Return (batches, rows per batch) for n rows: at most 1/128 of them, and at least 32."""
    rows = max(n // SHARE, min(n, LEAST_ROWS))
    size = min(batch_size, rows)
    return min(rows // size, MOST_BATCHES), size


def is_due(epoch: int, n: int, batch_size: int) -> bool:
    """Return whether diagnostics are due after this epoch (from 1).

    They are due once a thousand steps have passed since the last time, and before that after epochs
    1, 2, 4, 8 and so on. The length of the run does not matter, because resuming may change it.
    """
    every = math.ceil(STEPS_BETWEEN / math.ceil(n / batch_size))
    return epoch % every == 0 or (epoch < every and epoch.bit_count() == 1)


@partial(BoundedJit, static=1)
def diagnose_batches(
    program: Program,
    state: TrainState,
    data: DeviceData,
    seed: Seed,
    epoch: Any,
    average: NoiseAverage,
) -> BatchDiagnostics:
    """Compute the diagnostics before `epoch`, on its first batches."""
    n = data.n
    count, size = diagnosed_rows(n, program.batch_size)
    rows = rows_at(seed, epoch, n, size, np.int32(0), count)
    diagnosed, key = replace(program, batch_size=size), stream(seed, DROPOUT)

    def body(
        carry: tuple[NoiseAverage, Array, Any], batch: tuple[Int[Array, " B"], Array]
    ) -> tuple[Any, Any]:
        chosen, index = batch
        taken = take_batch(diagnosed, data, chosen, index)
        draw = jax.random.fold_in(key, state.step + index)
        seen = observed_pass(diagnosed, state, taken, draw, per_example=True)
        health = layer_health(program.network, seen.log, taken.c, weighted=seen.tape.weighted)
        noise, average = None, carry[0]
        if not seen.tape.weighted:
            noise = gradient_noise_by_layer(seen.tape, taken.c, seen.grads)
            decay = 1 - 1 / max(AVERAGED, 4 * count)
            average = average.updated(_relative(total_noise(noise)), decay)
        return (average, seen.loss, seen.grads), (health, noise)

    start = average, jnp.zeros((), program.dtype), jax.tree.map(jnp.zeros_like, state.params)
    indices = jnp.arange(count, dtype=jnp.int32)
    (average, loss, grads), (health, noise) = jax.lax.scan(body, start, (rows, indices))
    updates, _ = program.optimizer.update(
        grads, state.opt_state, state.params, value=loss, grad=grads, value_fn=lambda p: loss
    )
    noise = jax.tree.map(lambda values: jnp.nanmean(values, axis=0), noise)
    layers = {path: _figures(each) for path, each in health.items()}
    return BatchDiagnostics(
        grads=grads,
        updates=updates,
        layers=layers,
        noise=noise,
        average=average,
        examples=jnp.asarray(count * size, jnp.int32),
    )


def _relative(noise: GradientNoise) -> GradientNoise:
    """Divide both by their sum, the mean of ‖gₙ‖², so that all epochs weigh the same.

    The gradient may shrink a thousandfold over a training, and the average would be dominated by
    early epochs.
    """
    square = noise.noise + noise.signal
    return GradientNoise(noise.noise / square, noise.signal / square)


DiagnosticsCall = Callable[[TrainState, DeviceData, Seed, Any, NoiseAverage], BatchDiagnostics]


def compile_in_background(
    program: Program, state: TrainState, data: DeviceData, seed: Seed
) -> Callable[[], DiagnosticsCall]:
    """Compile the diagnostics for these shapes in a thread; return a function that waits for them.

    The first epoch need not wait for the compilation. Equal programs are compiled once.
    """
    arguments = (state, data, seed, np.int32(0), NoiseAverage.start(np.float32))
    structure, shapes = signature(program, arguments)
    values = [getattr(jax.config, f"jax_{name}", None) for name in _SETTINGS]
    return _compiled(program, structure, shapes, tuple(values)).result


_SETTINGS = (
    "enable_x64",
    "default_matmul_precision",
    "default_device",
    "numpy_dtype_promotion",
    "numpy_rank_promotion",
)


@functools.lru_cache(maxsize=16)
def _compiled(
    program: Program, structure: Any, shapes: Shapes, settings: tuple[Any, ...]
) -> Future[DiagnosticsCall]:
    """Start the compilation, with the caller's JAX settings, which threads do not inherit."""
    arguments = abstract(structure, shapes)

    def compiled() -> DiagnosticsCall:
        with contextlib.ExitStack() as stack:
            for name, value in zip(_SETTINGS, settings, strict=True):
                stack.enter_context(getattr(jax, name)(value))
            call: DiagnosticsCall = diagnose_batches.lower(program, *arguments).compile()
        return call

    worker = ThreadPoolExecutor(1, "look")
    under_way = worker.submit(compiled)
    worker.shutdown(wait=False)
    return under_way


def _figures(health: LayerHealth) -> LayerFigures:
    """Combine the diagnostics of a layer over all batches."""
    dead = saturated = None
    if health.active is not None and health.saturated is not None:
        dead = 1 - jnp.mean(jnp.any(health.active, axis=0).astype(jnp.float32))
        saturated = jnp.mean(health.saturated)
    a, grad_z = jnp.mean(health.a_square), jnp.mean(health.grad_z_square)
    return LayerFigures(dead, saturated, jnp.sqrt(a), jnp.sqrt(grad_z))
