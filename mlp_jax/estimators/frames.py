"""Frames of pandas and polars whose columns are not all numbers: encoded as the tables are.

Letters: N rows, I features.
"""

from typing import TYPE_CHECKING, Any

import numpy as np

from mlp_jax.backprop import Categories, Layer
from mlp_jax.data.encoding import ArrayEncoding, InputEncoding, TableEncoding
from mlp_jax.errors import InputError
from mlp_jax.model.rows import as_frame

if TYPE_CHECKING:
    import polars as pl


def is_frame(X: Any) -> bool:
    """Whether X is a frame of pandas or polars."""
    library = type(X).__module__.partition(".")[0]
    return library in ("pandas", "polars") and hasattr(X, "columns")


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

    return fit_encoding(frame_of(X))[0]


def encoded(encoding: InputEncoding, X: Any) -> np.ndarray:
    """x (N, I) float32 of rows as those that the encoding was learnt from.

    Of a frame in any order of columns; InputError for a column that is missing, and for an array
    where there was a frame with categories.
    """
    if isinstance(encoding, ArrayEncoding):
        scale, offset = (np.asarray(part) for part in (encoding.scale, encoding.offset))
        return (np.asarray(X, np.float64) * scale + offset).astype(np.float32)
    from mlp_jax.data.tables.encode import encode

    if encoding.categorical and as_frame(X) is None:
        raise InputError(
            "The estimator was fitted to a frame with categories; it needs one to predict too."
        )
    return encode(encoding, frame_of(X))


def frame_of(X: Any) -> "pl.DataFrame":
    """The rows as a frame; an array's columns are named by their numbers."""
    frame = as_frame(X)
    if frame is not None:
        return frame
    import polars as pl

    x = np.asarray(X, np.float64)
    return pl.DataFrame({str(place): x[:, place] for place in range(x.shape[1])})


def first_layer(encoding: InputEncoding | None) -> Layer | None:
    """The layer that takes the codes apart; None where there are none."""
    if not isinstance(encoding, TableEncoding) or not encoding.categorical:
        return None
    return Categories(
        encoding.n_numeric,
        tuple(column.n_codes for column in encoding.categorical),
        tuple(column.width for column in encoding.categorical),
    )
