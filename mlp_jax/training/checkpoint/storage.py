"""Snapshot in Orbax format: numbered leaves, and a JSON record of everything else.

In distributed training each process writes the shards of its devices and reads those that it needs,
on any mesh. All processes must call these functions in the same order, and `begin` and `read` from
the training thread, because Orbax synchronizes them by programs on the devices. `finish` may run in
any thread. A single process may call all of them from any thread.
"""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding
from jaxtyping import PyTree

from mlp_jax.errors import RunFolderError
from mlp_jax.training.engine.snapshot import Best, Position, Snapshot


def open_checkpointer() -> Any:
    """Return the Orbax checkpointer: synchronous in a single process, else asynchronous."""
    import orbax.checkpoint as ocp

    handler = ocp.CompositeCheckpointHandler("leaves", "position")
    several = jax.process_count() > 1
    return ocp.AsyncCheckpointer(handler) if several else ocp.Checkpointer(handler)


def begin(checkpointer: Any, folder: Path, snapshot: Snapshot) -> None:
    """Write the snapshot; in distributed training start to write it, and let `finish` wait.

    An existing checkpoint in the folder is replaced.
    """
    import orbax.checkpoint as ocp

    leaves = _named((snapshot.state, weights_of(snapshot.best)))
    best = snapshot.best
    record = {
        "position": snapshot.position._asdict(),
        "best": None if best is None else [best.score, best.loss, best.epoch],
        "leaves": {
            name: {"shape": leaf.shape, "dtype": str(leaf.dtype)} for name, leaf in leaves.items()
        },
    }
    items = ocp.args.Composite(
        leaves=ocp.args.StandardSave(leaves), position=ocp.args.JsonSave(record)
    )
    checkpointer.save(folder.absolute(), args=items, force=True)


def finish(checkpointer: Any) -> None:
    """Wait until all processes have written, from any thread."""
    if jax.process_count() > 1:
        checkpointer.wait_until_finished()


def read(checkpointer: Any, folder: Path, like: Any, *, on_host: bool = False) -> Snapshot:
    """Return the snapshot of a folder.

    Args:
        checkpointer: as `open_checkpointer` returns it.
        folder: folder of the checkpoint.
        like: state with the expected shapes, types and placement.
        on_host: return NumPy arrays.

    Raises:
        RunFolderError: if the shapes or types differ.
    """
    import orbax.checkpoint as ocp

    request = ocp.args.Composite(position=ocp.args.JsonRestore())
    record = checkpointer.restore(folder.absolute(), args=request)["position"]
    best = record["best"]
    expected = (like, () if best is None else (like.params, like.layer_state))
    leaves_expected = _named(expected)
    shapes = {
        name: (list(leaf.shape), np.dtype(leaf.dtype).name)
        for name, leaf in leaves_expected.items()
    }
    saved = {name: (of["shape"], of["dtype"]) for name, of in record["leaves"].items()}
    if shapes != saved:
        raise RunFolderError(
            f"The checkpoint of step {folder.name} has arrays of other shapes than this run: it"
            " was written with another network or optimizer, or other versions of JAX or Optax."
        )
    target = {name: _target(leaf) for name, leaf in leaves_expected.items()}
    request = ocp.args.Composite(leaves=ocp.args.StandardRestore(target))
    leaves = checkpointer.restore(folder.absolute(), args=request)["leaves"]
    placed = [leaves[name] if on_host else _placed(leaves[name]) for name in shapes]
    state, weights = jax.tree.unflatten(jax.tree.structure(expected), placed)
    position = Position.of(record["position"])
    return Snapshot(state, position, None if best is None else Best(*best, *weights))


def check_read_back(checkpointer: Any, folder: Path, snapshot: Snapshot) -> None:
    """Raise RunFolderError unless the folder holds the snapshot, bit for bit.

    For a single process. It reads from the page cache, so it costs little.
    """
    found = read(checkpointer, folder, snapshot.state, on_host=True)
    pairs = zip(
        *(jax.tree.leaves((of.state, weights_of(of.best))) for of in (snapshot, found)),
        strict=True,
    )
    same = all(np.asarray(a).tobytes() == np.asarray(b).tobytes() for a, b in pairs)
    if not same or found.position.epoch != snapshot.position.epoch:
        raise RunFolderError(f"the checkpoint of step {folder.name} does not read back as written")


def weights_of(best: Best | None) -> Any:
    """Return the arrays of the best weights as a tree."""
    return () if best is None else (best.params, best.layer_state)


def _named(tree: PyTree) -> dict[str, Any]:
    return {f"{i:04d}": leaf for i, leaf in enumerate(jax.tree.leaves(tree))}


def _target(leaf: Any) -> Any:
    """Return the restore target: the sharding of an array on a mesh, else a NumPy array."""
    where = getattr(leaf, "sharding", None)
    if isinstance(where, NamedSharding):
        return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=where)
    return np.empty(leaf.shape, leaf.dtype)


def _placed(leaf: Any) -> jax.Array:
    """Return a restored leaf in memory owned by JAX."""
    return leaf if isinstance(leaf, jax.Array) else jnp.array(leaf, copy=True)
