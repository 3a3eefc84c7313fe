"""Metadata of a run: its headline, the checksum of its data, and what `run.json` says of it."""

import zlib
from typing import Any

import jax
import numpy as np

from mlp_jax.data.encoding import TableEncoding
from mlp_jax.data.prepare import Prepared
from mlp_jax.data.source import Streamed
from mlp_jax.model.store import versions
from mlp_jax.training.result import TrainResult
from mlp_jax.training.run import folder as run_folder
from mlp_jax.training.run.build import RunComponents, widths
from mlp_jax.training.run.config import TrainConfig


def headline(config: TrainConfig, parts: RunComponents) -> str:
    """Return a line that says what is trained on what."""
    data = parts.data
    shape = "-".join(map(str, widths(parts.network, data.inputs.n_features)))
    columns, streamed = "", " that stream" if isinstance(data.train, Streamed) else ""
    if isinstance(data.inputs, TableEncoding):
        count = len(data.inputs.column_names)
        columns = f", {count} column{'s' * (count != 1)}"
    return (
        f"{data.name}: {len(data.train)} training rows{streamed}{columns};"
        f" {shape} {config.preset or config.activation}, {parts.loss}"
    )


def digest(data: Prepared) -> str:
    """Return a checksum of the training and validation rows, or of their files."""
    if isinstance(data.train, Streamed):
        return data.train.fingerprint
    total = 0
    for part in (data.train, data.validation):
        for array in () if part is None else (part.x, part.y):
            total = zlib.crc32(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data, total)
    return f"crc32:{total:08x}"


def metadata_at_start(config: TrainConfig, parts: RunComponents) -> dict[str, Any]:
    """Return what `run.json` says of a run before it trains."""
    data, n_in = parts.data, parts.data.inputs.n_features
    shapes = jax.eval_shape(lambda key: parts.network.init(key, n_in)[0], jax.random.key(0))
    return {
        "data": data.name,
        "network": str(parts.network),
        "widths": widths(parts.network, n_in),
        "parameters": sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(shapes)),
        "loss": str(parts.loss),
        "task": parts.task,
        "monitor": parts.metrics[0],
        "rows": {
            name: 0 if part is None else len(part)
            for name, part in (
                ("train", data.train), ("validation", data.validation), ("test", data.test)
            )
        },
        "versions": versions(),
    }  # fmt: skip


def metadata_at_end(parts: RunComponents, result: TrainResult) -> dict[str, Any]:
    """Return what `run.json` says of a run that has ended, above all the defaults it used."""
    layout = result.program.layout
    return {
        "finished": run_folder.now(),
        "epochs": len(result.history),
        "batch_size": result.program.batch_size,
        "learning_rate": parts.optimizer.peak,
        "weight_decay": parts.optimizer.decay,
        "private": result.private,
        "precision": result.precision.name,
        "device": result.device.device_kind,
        "mesh": None if layout is None else {"data": layout.data, "model": layout.model},
    }
