"""Mesh shape: number of devices, and their number along each axis."""

import re
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from jaxtyping import PyTree

from mlp_jax.errors import DeviceError, InputError
from mlp_jax.training.mesh.layout import DATA, Layout
from mlp_jax.training.mesh.partition_rules import MODEL
from mlp_jax.training.mesh.processes import read
from mlp_jax.training.mesh.processes import to_mesh as to_mesh

MEMBERS = "members"
_AXIS = re.compile(r"\s*([a-z]+)\s*=\s*([0-9]+)\s*")


def parse_mesh(text: str) -> dict[str, int]:
    """Parse a mesh: "data=4,model=2" as {"data": 4, "model": 2}, with 1 for omitted axes.

    Raises:
        InputError: for any other text.
    """
    found = {DATA: 1, MODEL: 1}
    for part in text.split(","):
        match = _AXIS.fullmatch(part)
        if match is None or match[1] not in found or int(match[2]) < 1:
            raise InputError(
                f"A mesh must be like data=4,model=2, with the axes {DATA} and {MODEL} and numbers"
                f" of devices, not '{text}'."
            )
        found[match[1]] = int(match[2])
    return found


def choose_devices(devices: int | None, first: jax.Device) -> list[jax.Device]:
    """Return the devices to use, of the kind of `first`.

    Args:
        devices: their number; None for all GPUs, or one CPU. In distributed training, all devices
            are used.
        first: a device of the chosen kind.

    Raises:
        InputError: for fewer than one, or for fewer than all in distributed training.
        DeviceError: if there are fewer devices.
    """
    there = jax.devices(first.platform)
    together = jax.process_count() > 1
    if devices is None:
        return there if together or first.platform == "gpu" else [first]
    if devices < 1:
        raise InputError(f"A training needs at least 1 device, not {devices}.")
    if devices > len(there):
        raise DeviceError(
            f"{devices} devices were requested, but JAX sees {len(there)} of kind {first.platform}."
            + _how_to_simulate(first, devices)
        )
    if together and devices < len(there):
        raise InputError(
            f"{jax.process_count()} processes use all of their {len(there)} devices, not {devices}:"
            " start fewer processes."
        )
    return there[:devices]


def choose_layout(
    devices: int | None,
    mesh: str | None,
    shard_optimizer: bool,
    first: jax.Device,
    batch_size: int,
) -> Layout | None:
    """Return the layout over devices of the kind of `first`; None for a single device.

    Args:
        devices: their number, as for `choose_devices`; None for that of `mesh`.
        mesh: as for `parse_mesh`; None puts all devices along data. If the number is not given
            either, the largest that divides the batch size is used.
        shard_optimizer: as for `Layout`.
        first: a device of the chosen kind.
        batch_size: examples per step.

    Raises:
        InputError: for numbers that do not fit.
    """
    sizes = None if mesh is None else parse_mesh(mesh)
    if sizes is not None:
        count = sizes[DATA] * sizes[MODEL]
        if devices not in (None, count):
            raise InputError(f"The mesh {mesh} has {count} devices, but {devices} were requested.")
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
    """Return the largest number of devices that divides `count`."""
    return devices[: max(d for d in range(1, len(devices) + 1) if count % d == 0)]


def member_sharding(devices: int | None, first: jax.Device, count: int) -> NamedSharding | None:
    """Return the sharding of networks that train together, by members; None on one device.

    The largest number of devices that divides `count` is used. Distributed training uses all
    devices, each process a contiguous range of members.

    Raises:
        InputError: if the devices of a distributed training do not divide the count.
    """
    used = choose_devices(devices, first)
    if jax.process_count() == 1:
        used = _dividing(used, count)
    elif count % len(used):
        raise InputError(
            f"{count} networks cannot be split evenly over the {len(used)} devices of"
            f" {jax.process_count()} processes: use a number of devices that divides {count}."
        )
    if len(used) == 1:
        return None
    used = sorted(used, key=lambda device: device.process_index)
    axis = Mesh(np.asarray(used), (MEMBERS,), axis_types=(AxisType.Auto,))
    return NamedSharding(axis, PartitionSpec(MEMBERS))


def multiple_of_members(devices: int | None, first: jax.Device) -> int:
    """Return the number that the count of members is padded to a multiple of.

    It is the number of devices in distributed training, otherwise 1.
    """
    return len(choose_devices(devices, first)) if jax.process_count() > 1 else 1


def shard_members(tree: PyTree, where: NamedSharding | None) -> Any:
    """Place arrays by members on their devices; every process holds all of them."""
    if where is None or where.is_fully_addressable:
        return tree if where is None else jax.device_put(tree, where)
    return _over_processes(tree, where)


def replicate_to_members(tree: PyTree, where: NamedSharding | None) -> Any:
    """Replicate arrays to all devices of the members; NumPy arrays stay on the host."""
    if where is None:
        return tree
    whole = NamedSharding(where.mesh, PartitionSpec())
    put = jax.device_put if where.is_fully_addressable else _over_processes
    return jax.tree.map(
        lambda leaf: put(leaf, whole) if isinstance(leaf, jax.Array) else leaf, tree
    )


def _over_processes(tree: PyTree, where: NamedSharding) -> Any:
    """Place arrays like `jax.device_put`, without comparing the equal copies of the processes."""

    def put(leaf: Any) -> jax.Array:
        if isinstance(leaf, jax.Array) and not leaf.is_fully_addressable:
            return jax.device_put(leaf, where)
        return to_mesh(np.asarray(leaf), where)

    return jax.tree.map(put, tree)


def local_members(tree: PyTree, where: NamedSharding | None) -> tuple[int, Any]:
    """Return the index of the first member of this process, and its members' arrays on the host.

    A single process holds all members. Every process must call this.
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
    """Raise InputError if the devices along data do not divide the batch size."""
    if batch_size % layout.data:
        raise InputError(
            f"A batch of {batch_size} examples cannot be split evenly over {layout.data} devices:"
            f" use a multiple of {layout.data}."
        )


def _how_to_simulate(first: jax.Device, count: int) -> str:
    """Return a hint on how to simulate CPU devices."""
    if first.platform != "cpu":
        return ""
    return f" To simulate them: XLA_FLAGS=--xla_force_host_platform_device_count={count}."
