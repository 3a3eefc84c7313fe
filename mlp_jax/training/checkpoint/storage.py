"""A snapshot as Orbax keeps it: the leaves by number, and a record of all else as JSON.

Of several processes each writes the parts that its devices hold, and reads those that they are to
hold, on whatever mesh they were written. All call these functions in the same order, and `begin`
and `read` on the thread that trains: Orbax lets them wait for one another by programs on the
devices. `finish` waits on any thread, and one process alone does all on any.
"""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding

from mlp_jax.errors import RunFolderError
from mlp_jax.training.engine.snapshot import Best, Position, Snapshot


def open_checkpointer() -> Any:
    """What writes and reads: on one process at once, on several by a thread of Orbax's own."""
    import orbax.checkpoint as ocp

    handler = ocp.CompositeCheckpointHandler("leaves", "position")
    several = jax.process_count() > 1
    return ocp.AsyncCheckpointer(handler) if several else ocp.Checkpointer(handler)


def begin(checkpointer: Any, folder: Path, snapshot: Snapshot) -> None:
    """Writes the snapshot; of several processes each copies its part, and `finish` has it written.

    A checkpoint that the folder holds is replaced.
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
    """Waits until all processes have written. Any thread may."""
    if jax.process_count() > 1:
        checkpointer.wait_until_finished()


def read(checkpointer: Any, folder: Path, like: Any, *, on_host: bool = False) -> Snapshot:
    """The snapshot in a folder, over the devices as `like`, a state of the same shapes.

    on_host: as NumPy's arrays instead. RunFolderError where its arrays are not of these shapes.
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
            f"The checkpoint of step {folder.name} holds other arrays than this run's: it comes"
            " from another network or optimizer, or from other versions of JAX or Optax."
        )
    target = {name: _target(leaf) for name, leaf in leaves_expected.items()}
    request = ocp.args.Composite(leaves=ocp.args.StandardRestore(target))
    leaves = checkpointer.restore(folder.absolute(), args=request)["leaves"]
    placed = [leaves[name] if on_host else _placed(leaves[name]) for name in shapes]
    state, weights = jax.tree.unflatten(jax.tree.structure(expected), placed)
    position = Position.of(record["position"])
    return Snapshot(state, position, None if best is None else Best(*best, *weights))


def check_read_back(checkpointer: Any, folder: Path, snapshot: Snapshot) -> None:
    """RunFolderError unless the folder gives back, bit for bit, the snapshot of the host's arrays.

    Of one process; what is read comes from the system's memory of the file, so it costs little.
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
    """The arrays of the best weights, as a tree."""
    return () if best is None else (best.params, best.layer_state)


def _named(tree: Any) -> dict[str, Any]:
    return {f"{i:04d}": leaf for i, leaf in enumerate(jax.tree.leaves(tree))}


def _target(leaf: Any) -> Any:
    """What Orbax is to read: an array over a mesh by its parts, any other whole on the host."""
    where = getattr(leaf, "sharding", None)
    if isinstance(where, NamedSharding):
        return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=where)
    return np.empty(leaf.shape, leaf.dtype)


def _placed(leaf: Any) -> jax.Array:
    """What was read on the host, in memory of JAX's own."""
    return leaf if isinstance(leaf, jax.Array) else jnp.array(leaf, copy=True)
