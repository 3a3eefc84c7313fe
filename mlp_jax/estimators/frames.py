"""Frames of pandas and polars whose columns are not all numbers: encoded as the tables are.

Letters: N rows, I features.
"""

from typing import TYPE_CHECKING, Any

import numpy as np

from mlp_jax.backprop import Categories, Layer
from mlp_jax.data.encoding import TableEncoding
from mlp_jax.errors import InputError
from mlp_jax.model.rows import as_frame

if TYPE_CHECKING:
    import polars as pl


def has_words(X: Any) -> bool:
    """Whether X is a frame with a column that is not of numbers."""
    library = type(X).__module__.partition(".")[0]
    if library == "pandas" and hasattr(X, "columns"):
        return any(getattr(kind, "kind", "O") not in "biuf" and not _is_numeric(kind)
                   for kind in X.dtypes)  # fmt: skip
    if library == "polars" and hasattr(X, "schema"):
        return any(not (kind.is_numeric() or str(kind) == "Boolean") for kind in X.dtypes)
    return False


def _is_numeric(kind: Any) -> bool:
    """Whether a type of pandas' own holds numbers (Int64, Float32, boolean)."""
    return bool(getattr(kind, "_is_numeric", False) or getattr(kind, "_is_boolean", False))


def learn_encoding(X: Any) -> TableEncoding:
    """How the columns of a training frame become features: numbers standardized, words as codes."""
    from mlp_jax.data.tables.fit import fit_encoding

    return fit_encoding(_frame(X))[0]


def encoded(encoding: TableEncoding, X: Any) -> np.ndarray:
    """x (N, I) float32 of a frame that has the columns, in any order.

    InputError for a column that is missing, and for what is no frame.
    """
    from mlp_jax.data.tables.encode import encode

    return encode(encoding, _frame(X))


def _frame(X: Any) -> "pl.DataFrame":
    frame = as_frame(X)
    if frame is None:
        raise InputError(
            "The estimator was fitted to a frame with categories; it needs one to predict too."
        )
    return frame


def first_layer(encoding: TableEncoding | None) -> Layer | None:
    """The layer that takes the codes apart; None where there are none."""
    if encoding is None or not encoding.categorical:
        return None
    return Categories(
        encoding.n_numeric,
        tuple(column.n_codes for column in encoding.categorical),
        tuple(column.width for column in encoding.categorical),
    )
