"""Data: load a name or a file as arrays, check, split and scale them."""

from mlp_jax.data.arrays import from_arrays
from mlp_jax.data.dataset import Dataset, Split
from mlp_jax.data.digits import load_digits
from mlp_jax.data.idx import read_folder, read_idx
from mlp_jax.data.load import load
from mlp_jax.data.npz import read_npz
from mlp_jax.data.prepare import Prepared, prepare
from mlp_jax.data.scaling import Scaling, apply, fit_scaling, scaling_of_range, unscaled
from mlp_jax.data.splits import Splits, class_weights, split
from mlp_jax.data.table import Table
from mlp_jax.data.tables.options import ColumnOptions

__all__ = [
    "ColumnOptions",
    "Dataset",
    "Prepared",
    "Scaling",
    "Split",
    "Splits",
    "Table",
    "apply",
    "class_weights",
    "fit_scaling",
    "from_arrays",
    "load",
    "load_digits",
    "prepare",
    "read_folder",
    "read_idx",
    "read_npz",
    "scaling_of_range",
    "split",
    "unscaled",
]
