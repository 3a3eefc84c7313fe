"""Number of networks that train at once within the device's memory."""

import math
import os
from typing import Any

import jax
import numpy as np

from mlp_jax.training.many.member_steps import first_states
from mlp_jax.training.many.vary import MemberNumbers, Recipe
from mlp_jax.training.mesh.processes import allreduce_max, count_machines

SHARE = 0.5  # of the free memory of the device
UNKNOWN = 2 << 30  # bytes, if the device does not report its memory


def free_memory(device: jax.Device) -> int:
    """Return the free bytes of a device, or an estimate if it does not report them."""
    stats = device.memory_stats()
    if stats and "bytes_limit" in stats:
        return int(stats["bytes_limit"] - stats.get("bytes_in_use", 0))
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):
        return UNKNOWN


def room(device: jax.Device, devices: int) -> int:
    """Return the bytes that members may use on these devices, the same in all processes.

    CPU devices share the memory of their machine.
    """
    free = free_memory(device)
    if jax.process_count() > 1:
        free = -allreduce_max(-(free >> 20))[0] << 20
    return int(SHARE * free) * (devices if device.platform == "gpu" else count_machines())


def bytes_a_member(recipe: Recipe, n_in: int, keeps_best: bool, n_judged: int) -> int:
    """Return an upper estimate of the bytes of a member.

    It counts the state twice, because an update is written beside it, the activations of a batch,
    forward and backward, and the outputs of the validation rows.
    """
    program = recipe.program
    seeds = jax.ShapeDtypeStruct((1,), np.uint32)
    shapes: Any = jax.eval_shape(
        lambda seeds: first_states(recipe, n_in, keeps_best, seeds, MemberNumbers()), seeds
    )
    state = sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in jax.tree.leaves(shapes))
    item = np.dtype(program.dtype).itemsize
    neurons = n_in + sum(
        leaf.shape[-1] for leaf in jax.tree.leaves(shapes.members.params) if leaf.ndim == 3
    )
    judged = min(n_judged, 4096) * neurons + n_judged * program.network.width_out(n_in)
    rows = (6 + (program.pool or 0)) * program.batch_size
    return 2 * state + item * (rows * neurons + judged)


def chunk_size(count: int, each: int, bound: int) -> int:
    """Return the members per chunk: all, or equal chunks that fit into `bound` bytes."""
    most = max(int(bound // each), 1)
    return math.ceil(count / math.ceil(count / most))


def filled(size: int, multiple: int) -> int:
    """Return the size, rounded up to a multiple."""
    return math.ceil(size / multiple) * multiple
