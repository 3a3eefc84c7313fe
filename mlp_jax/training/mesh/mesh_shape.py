"""The mesh that is asked for: how many devices, and how many along each axis."""

import re
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from mlp_jax.errors import DeviceError, InputError
from mlp_jax.training.mesh.layout import DATA, Layout
from mlp_jax.training.mesh.partition_rules import MODEL
from mlp_jax.training.mesh.processes import read
from mlp_jax.training.mesh.processes import to_mesh as to_mesh

MEMBERS = "members"
_AXIS = re.compile(r"\s*([a-z]+)\s*=\s*([0-9]+)\s*")


def parse_mesh(text: str) -> dict[str, int]:
    """ "data=4,model=2" as {"data": 4, "model": 2}; what is not named is 1. InputError."""
    found = {DATA: 1, MODEL: 1}
    for part in text.split(","):
        match = _AXIS.fullmatch(part)
        if match is None or match[1] not in found or int(match[2]) < 1:
            raise InputError(
                f"A mesh is said as data=4,model=2, with the axes {DATA} and {MODEL} and numbers"
                f" of devices, not as '{text}'."
            )
        found[match[1]] = int(match[2])
    return found


def choose_devices(devices: int | None, first: jax.Device) -> list[jax.Device]:
    """So many devices of the kind of `first`; None takes all GPUs, or one CPU.

    Several processes take all that they have. InputError for less than one, or for some of several
    processes', DeviceError where there are fewer.
    """
    there = jax.devices(first.platform)
    together = jax.process_count() > 1
    if devices is None:
        return there if together or first.platform == "gpu" else [first]
    if devices < 1:
        raise InputError(f"A training needs at least 1 device, not {devices}.")
    if devices > len(there):
        raise DeviceError(
            f"{devices} devices are asked for, but JAX sees {len(there)} of kind {first.platform}."
            + _how_to_simulate(first, devices)
        )
    if together and devices < len(there):
        raise InputError(
            f"{jax.process_count()} processes train on all of their {len(there)} devices, not on"
            f" {devices}: start fewer processes."
        )
    return there[:devices]


def choose_layout(
    devices: int | None,
    mesh: str | None,
    shard_optimizer: bool,
    first: jax.Device,
    batch_size: int,
) -> Layout | None:
    """The layout over `devices` devices of the kind of `first`, or None for that one alone.

    devices: as `visible` takes it, or None for as many as `mesh` says. mesh: as `parse_mesh` takes
    it; without it all are along data. Where neither says how many, as many are taken as divide the
    batch evenly. One device has nothing to split over. InputError for numbers that do not fit.
    """
    sizes = None if mesh is None else parse_mesh(mesh)
    if sizes is not None:
        count = sizes[DATA] * sizes[MODEL]
        if devices not in (None, count):
            raise InputError(f"The mesh {mesh} has {count} devices, not the {devices} asked for.")
        devices = count
    chosen = choose_devices(devices, first)
    if devices is None and jax.process_count() == 1:
        chosen = _dividing(chosen, batch_size)
    if len(chosen) == 1:
        return None
    sizes = sizes or {DATA: len(chosen), MODEL: 1}
    grid = np.asarray(chosen).reshape(sizes[DATA], sizes[MODEL])
    return Layout(Mesh(grid, (DATA, MODEL), axis_types=(AxisType.Auto,) * 2), shard_optimizer)


def _dividing(devices: list[jax.Device], count: int) -> list[jax.Device]:
    """As many of the devices as divide `count` evenly."""
    return devices[: max(d for d in range(1, len(devices) + 1) if count % d == 0)]


def member_sharding(devices: int | None, first: jax.Device, count: int) -> NamedSharding | None:
    """Where the first axis of `count` networks that train together lies: in equal parts on devices.

    As many devices are taken as `visible` has and divide the count evenly; None for one. Several
    processes take all of theirs, each a part without gaps; InputError where they do not divide it.
    """
    used = choose_devices(devices, first)
    if jax.process_count() == 1:
        used = _dividing(used, count)
    elif count % len(used):
        raise InputError(
            f"{count} networks train together here, which do not lie evenly on the {len(used)}"
            f" devices of {jax.process_count()} processes: take a number of devices that divides"
            f" {count}."
        )
    if len(used) == 1:
        return None
    used = sorted(used, key=lambda device: device.process_index)
    axis = Mesh(np.asarray(used), (MEMBERS,), axis_types=(AxisType.Auto,))
    return NamedSharding(axis, PartitionSpec(MEMBERS))


def multiple_of_members(devices: int | None, first: jax.Device) -> int:
    """What the networks that train together are filled up to: the devices of several processes, 1
    on one; `devices` and `first` as `visible` takes them.
    """
    return len(choose_devices(devices, first)) if jax.process_count() > 1 else 1


def shard_members(tree: Any, where: NamedSharding | None) -> Any:
    """Arrays whose first axis is the members', on their devices; every process holds them all."""
    if where is None or where.is_fully_addressable:
        return tree if where is None else jax.device_put(tree, where)
    return _over_processes(tree, where)


def replicate_to_members(tree: Any, where: NamedSharding | None) -> Any:
    """Arrays that every device of the members needs, whole on each; NumPy's stay on the host."""
    if where is None:
        return tree
    whole = NamedSharding(where.mesh, PartitionSpec())
    put = jax.device_put if where.is_fully_addressable else _over_processes
    return jax.tree.map(
        lambda leaf: put(leaf, whole) if isinstance(leaf, jax.Array) else leaf, tree
    )


def _over_processes(tree: Any, where: NamedSharding) -> Any:
    """`jax.device_put` without comparing what the processes hold, which is the same."""

    def put(leaf: Any) -> jax.Array:
        if isinstance(leaf, jax.Array) and not leaf.is_fully_addressable:
            return jax.device_put(leaf, where)
        return to_mesh(np.asarray(leaf), where)

    return jax.tree.map(put, tree)


def local_members(tree: Any, where: NamedSharding | None) -> tuple[int, Any]:
    """(the number of the first member that this process holds, the arrays of those), on the host.

    where: as `apart` takes it. One process holds all. Every process must ask.
    """
    if where is None or where.is_fully_addressable:
        return 0, read(tree)
    firsts = []

    def own(leaf: jax.Array) -> np.ndarray:
        parts = sorted(leaf.addressable_shards, key=lambda part: part.index[0].start or 0)
        firsts.append(parts[0].index[0].start or 0)
        return np.concatenate([np.asarray(part.data) for part in parts])

    found = jax.tree.map(own, shard_members(tree, where))
    return firsts[0], found


def check_batch_size(layout: Layout, batch_size: int) -> None:
    """InputError where a batch cannot be split evenly over the devices along data."""
    if batch_size % layout.data:
        raise InputError(
            f"A batch of {batch_size} examples cannot be split evenly over {layout.data} devices:"
            f" take a multiple of {layout.data}."
        )


def _how_to_simulate(first: jax.Device, count: int) -> str:
    if first.platform != "cpu":
        return ""
    return f" To simulate them: XLA_FLAGS=--xla_force_host_platform_device_count={count}."
