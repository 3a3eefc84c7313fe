"""Compile the calls of an epoch: number of steps of each, one compilation for equal fits."""

import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from mlp_jax.backprop.specification import Params
from mlp_jax.proof.quick import platform
from mlp_jax.training.engine.bounded import MOST
from mlp_jax.training.engine.epoch import run_steps
from mlp_jax.training.engine.program import (
    Program,
    Seed,
    Shapes,
    Totals,
    TrainState,
    abstract,
    signature,
)
from mlp_jax.training.input.loaders import Loader

SECONDS_A_CALL = 1.0
STEP_OVERHEAD = 2e-5
FLOPS_A_SECOND = {"cpu": 1.5e11, "gpu": 2e13}

Calls = dict[int, Callable[..., tuple[TrainState, Totals]]]


def steps_a_call(program: Program, params: Params, steps: int, bound: int | None = None) -> int:
    """Return the steps of a compiled call: an epoch, or equal parts of it of about a second.

    bound: largest number of steps, if it is limited.
    """
    multiplied = sum(p.size for p in jax.tree.leaves(params) if p.ndim > 1)
    rate = FLOPS_A_SECOND.get(platform(), 1.5e11)
    products = 6 + 2 * (program.pool or 0)  # a pool is scored by a forward pass
    seconds = STEP_OVERHEAD + products * multiplied * program.batch_size / rate
    most = max(int(SECONDS_A_CALL / seconds), 1)
    most = most if bound is None else min(most, bound)
    return math.ceil(steps / math.ceil(steps / most))


def compile_calls(
    program: Program, state: TrainState, loader: Loader, seed: Seed, done: int = 0
) -> Calls:
    """Return the compiled calls of an epoch by number of steps: one, or two if it does not divide.

    The longest comes first; an epoch uses as many of it as fit, and the other for the rest. done:
    finished steps of the first epoch; if another kind of device ran them, the rest may need a call
    of another length.
    """
    steps = -(-loader.n // program.batch_size)
    length = steps_a_call(program, state.params, steps, loader.most)
    settings = ("jax_enable_x64", "jax_default_matmul_precision", "jax_default_device")
    how = tuple(getattr(jax.config, name, None) for name in settings)
    calls = {}
    for count in (length, steps % length or length, (steps - done) % length or length):
        if count not in calls:
            arguments = (state, loader.like(count), seed, np.int32(0), np.int32(0))
            calls[count] = _compiled(program, count, *signature(program, arguments), how)
    return calls


@functools.lru_cache(maxsize=MOST)
def _compiled(
    program: Program, count: int, structure: Any, shapes: Shapes, how: tuple[Any, ...]
) -> Callable[..., tuple[TrainState, Totals]]:
    """Compile a call of `count` steps for these shapes; equal ones are compiled once.

    how: settings of JAX that the program depends on.
    """
    arguments = abstract(structure, shapes)
    return run_steps(program).lower(program, count, *arguments).compile()
