"""Named recipes: `tabular` for tables, `images` for images; see `docs/presets.md`.

`preset` returns the arguments of a fit, `column_options` the encoding of a table's columns.
"""

import numpy as np

from mlp_jax.data.encoding import InputEncoding
from mlp_jax.data.tables.options import ColumnOptions
from mlp_jax.errors import UnknownNameError
from mlp_jax.model.metrics import Task
from mlp_jax.training.presets.images import images
from mlp_jax.training.presets.preset import Preset
from mlp_jax.training.presets.tabular import tabular, tabular_columns

__all__ = ["PRESETS", "Preset", "check_preset", "column_options", "preset"]

PRESETS = ("tabular", "images")


def check_preset(name: str) -> str:
    """Return the name; raise UnknownNameError that lists the presets for any other."""
    if name not in PRESETS:
        raise UnknownNameError("preset", name, PRESETS)
    return name


def column_options(name: str) -> ColumnOptions:
    """Return the encoding options of table columns for a preset."""
    return tabular_columns() if check_preset(name) == "tabular" else ColumnOptions()


def preset(
    name: str,
    *,
    inputs: InputEncoding | None,
    n_in: int,
    n_out: int,
    task: Task,
    n_rows: int,
    x: np.ndarray | None = None,
) -> Preset:
    """Return the preset for n_rows training rows x (N, n_in).

    Args:
        name: one of `PRESETS`.
        inputs: encoding of the rows; None if x is numeric only.
        n_in: width of the inputs.
        n_out: number of classes or targets.
        task: task of the targets.
        n_rows: number of training rows.
        x: training rows, from which the recipe derives its embeddings.

    Raises:
        UnknownNameError: for an unknown name.
        InputError: for a task that the preset does not support.
    """
    if check_preset(name) == "images":
        return images(n_in, n_out, n_rows, task)
    return tabular(inputs, n_in, n_out, task, n_rows, x)
