"""Recipes by name: `tabular` for tables, `images` for images. `docs/presets.md` says why each part.

`preset` gives what a fit needs, `column_options` how the columns of a table become features before.
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
    """`name` if it is a preset; UnknownNameError lists them."""
    if name not in PRESETS:
        raise UnknownNameError("preset", name, PRESETS)
    return name


def column_options(name: str) -> ColumnOptions:
    """How the preset has the columns of a table encoded."""
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
    """The preset of that name for n_rows training rows x (N, n_in), as `fit` has them.

    inputs: how rows became x; None where x is numbers alone. n_out: classes, or columns to predict.
    x: the rows, where they are there, for what the recipe reads off them.
    Raises InputError for a name that is none, and for a task that the preset is not made for.
    """
    if check_preset(name) == "images":
        return images(n_in, n_out, n_rows, task)
    return tabular(inputs, n_in, n_out, task, n_rows, x)
