"""Metadata of a run: headline, checksum of the data, content of `run.json`."""

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


def headline(config: TrainConfig, components: RunComponents) -> str:
    """Return one line that names the data and the network."""
    data = components.data
    shape = "-".join(map(str, widths(components.network, data.inputs.n_features)))
    columns, streamed = "", " (streamed)" if isinstance(data.train, Streamed) else ""
    if isinstance(data.inputs, TableEncoding):
        count = len(data.inputs.column_names)
        columns = f", {count} column{'s' * (count != 1)}"
    kind = f", preset {config.preset}" if config.preset else f" {config.activation}"
    return (
        f"{data.name}: {len(data.train)} training rows{streamed}{columns};"
        f" {shape}{kind}, {components.loss}"
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


def metadata_at_start(config: TrainConfig, components: RunComponents) -> dict[str, Any]:
    """Return the content of `run.json` before training."""
    data, n_in = components.data, components.data.inputs.n_features
    shapes = jax.eval_shape(lambda key: components.network.init(key, n_in)[0], jax.random.key(0))
    return {
        "data": data.name,
        "network": str(components.network),
        "widths": widths(components.network, n_in),
        "parameters": sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(shapes)),
        "loss": str(components.loss),
        "task": components.task,
        "monitor": components.metrics[0],
        "rows": {
            name: 0 if part is None else len(part)
            for name, part in (
                ("train", data.train), ("validation", data.validation), ("test", data.test)
            )
        },
        "versions": versions(),
    }  # fmt: skip


def metadata_at_end(components: RunComponents, result: TrainResult) -> dict[str, Any]:
    """Return the content of `run.json` after training, including the defaults that were used."""
    return {
        "finished": run_folder.now(),
        "epochs": len(result.history),
        "batch_size": result.about["batch_size"],
        "learning_rate": components.optimizer.peak,
        "weight_decay": components.optimizer.decay,
        "private": result.private,
        "precision": result.precision,
        "device": result.about["device"],
        "mesh": result.about["mesh"],
    }
