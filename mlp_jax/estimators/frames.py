"""Encoding of pandas and polars frames with columns that are not numeric, as tables are encoded.

Letters: N rows, I features.
"""

import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from mlp_jax.backprop import Categories, Layer
from mlp_jax.data.encoding import ArrayEncoding, InputEncoding, TableEncoding
from mlp_jax.data.scaling import Scaling, apply
from mlp_jax.data.tables.notes import without_options
from mlp_jax.data.tables.options import ColumnOptions
from mlp_jax.errors import DataWarning, InputError
from mlp_jax.model.forked import check_polars_not_inherited, polars_is_inherited
from mlp_jax.model.given_columns import (
    check_distinct,
    given_columns,
    holds_numbers,
    library_of,
)
from mlp_jax.model.rows import as_frame

if TYPE_CHECKING:
    import polars as pl


def is_frame(X: Any) -> bool:
    """Return True if X is a frame of pandas or polars."""
    return library_of(X) in ("pandas", "polars") and hasattr(type(X), "columns")


def check_names(X: Any) -> None:
    """Raise InputError for duplicate column names, and for a LazyFrame."""
    if type(X).__name__ == "LazyFrame":
        raise InputError("A LazyFrame has no rows yet: give the frame that X.collect() returns.")
    if is_frame(X):
        check_distinct(X.columns)


def has_words(X: Any) -> bool:
    """Return True if X is a frame with a column that is not numeric.

    Numeric are columns of numbers and booleans, objects that are all numbers, and categories whose
    levels are floats; categories with whole numbers for levels are categories.
    """
    if not is_frame(X):
        return False
    if library_of(X) == "polars":
        return any(not _is_number_of_polars(X, place, kind) for place, kind in enumerate(X.dtypes))
    return any(not _is_number(X, place, kind) for place, kind in enumerate(X.dtypes))


def _is_number_of_polars(X: Any, place: int, kind: Any) -> bool:
    if str(kind) == "Object":
        return holds_numbers(X.to_series(place).to_list())
    return bool(kind.is_numeric() or str(kind) == "Boolean")


def _is_number(X: Any, place: int, kind: Any) -> bool:
    """Return True if a pandas column is numeric; complex ones are refused by scikit-learn."""
    if kind == np.dtype(object):
        return holds_numbers(X.iloc[:, place].to_numpy().tolist())
    if isinstance(kind, np.dtype):
        return kind.kind in "biufc"
    if type(kind).__name__ == "CategoricalDtype":
        return getattr(kind.categories.dtype, "kind", "O") == "f"
    numeric = getattr(kind, "_is_numeric", False) or getattr(kind, "_is_boolean", False)
    return bool(numeric) or type(kind).__name__ == "SparseDtype"


def learn_encoding(X: Any, options: ColumnOptions | None = None) -> TableEncoding:
    """Learn to encode the columns of a training frame: numbers standardized, text as codes.

    A declared category is one, whatever its values. Warns with a DataWarning of columns that are
    dropped and of categories that share a code.
    """
    check_polars_not_inherited("learn from a frame")
    import polars as pl

    from mlp_jax.data.tables.fit import fit_encoding

    frame = frame_of(X)
    kind_of_category = "categorical" if has_words(X) else "numeric"  # of floats among numbers
    declared = {
        name: kind_of_category
        for name, kind in frame.schema.items()
        if isinstance(kind, pl.Enum | pl.Categorical)
    }
    encoding, notes = fit_encoding(frame, kinds=declared, options=options or ColumnOptions())
    if notes:
        said = " ".join(map(without_options, notes))
        warnings.warn(said, DataWarning, stacklevel=2)
    return encoding


def encoded(encoding: InputEncoding, X: Any) -> np.ndarray:
    """Return x (N, I) float32 of rows like those that the encoding was learned from.

    The columns of a frame may be in any order; InputError for a missing column, and for an array in
    place of a frame with categories.
    """
    if isinstance(encoding, ArrayEncoding):
        scaling = Scaling(np.asarray(encoding.scale), np.asarray(encoding.offset))
        return apply(scaling, np.asarray(X, np.float64), np.float32)
    from mlp_jax.data.tables.encode import encode

    if encoding.categorical and not _is_named(X):
        raise InputError(
            "The estimator was fitted to a frame with categories; it needs one to predict too."
        )
    if polars_is_inherited():
        from mlp_jax.model.plain_features import plain_features

        return plain_features(encoding, given_columns(X) or _numbered(X))
    return encode(encoding, frame_of(X))


def _is_named(X: Any) -> bool:
    """Return True if X has named columns, or is a Series, which is refused as such."""
    return is_frame(X) or isinstance(X, Mapping) or type(X).__name__ == "Series"


def without_polars(X: Any) -> Any:
    """Convert a polars frame of numbers to pandas in a process without polars' threads."""
    if not polars_is_inherited() or library_of(X) != "polars":
        return X
    import pandas as pd

    from mlp_jax.model.plain_features import plain_numbers

    return pd.DataFrame(
        {name: plain_numbers(name, column) for name, column in (given_columns(X) or {}).items()}
    )


def frame_of(X: Any) -> "pl.DataFrame":
    """Return the rows as a frame; the columns of an array are named by their indices."""
    frame = as_frame(X)
    if frame is not None:
        return frame
    import polars as pl

    return pl.DataFrame(_numbered(X))


def _numbered(X: Any) -> dict[str, np.ndarray]:
    """Name the columns of an array by their indices."""
    x = np.asarray(X, np.float64)
    return {str(place): x[:, place] for place in range(x.shape[1])}


def first_layer(encoding: InputEncoding | None) -> Layer | None:
    """Return the layer that decodes the codes; None without any."""
    if not isinstance(encoding, TableEncoding) or not encoding.categorical:
        return None
    return Categories(
        encoding.n_numeric,
        tuple(column.n_codes for column in encoding.categorical),
        tuple(column.width for column in encoding.categorical),
    )
