"""Checked rows of an estimator, for training and for prediction.

Letters: N rows, I features.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import scipy.sparse
from sklearn.utils import check_X_y
from sklearn.utils.validation import validate_data

from mlp_jax.errors import DataWarning, InputError
from mlp_jax.estimators.frames import (
    check_names,
    encoded,
    has_words,
    is_frame,
    learn_encoding,
    without_polars,
)
from mlp_jax.estimators.presets import learn_preset_encoding
from mlp_jax.model.given_columns import kind_of
from mlp_jax.model.inference import CHUNK

_NO_NUMBERS = {
    "moment": "dates: give numbers derived from them, such as the days since a fixed date",
    "date": "dates: give numbers derived from them, such as the days since a fixed date",
    "time": "times of day: give numbers derived from them, such as the seconds since midnight",
    "span": "durations: give numbers, such as y / np.timedelta64(1, 's')",
    "complex": "complex numbers: give real and imaginary parts, as two columns",
}
LARGE = 20.0  # a column of numbers that reaches more is warned of
FAR_APART = 100.0  # and one that reaches so many times what another does


def check_numbers(y: Any) -> None:
    """InputError for targets that are dates, spans of time or complex, boxed or not.

    As whole numbers they would train, on a unit that nobody chose.
    """
    values = np.asarray(y)
    kind = {"M": "moment", "m": "span", "c": "complex"}.get(values.dtype.kind, "")
    if values.dtype == object:
        kinds = [kind_of(each) for each in set(map(type, values.ravel()))]
        kind = next((each for each in kinds if each in _NO_NUMBERS), "")
    if kind:
        said = "Complex data not supported: " if kind == "complex" else ""
        raise InputError(f"{said}y holds {_NO_NUMBERS[kind]}.")


def checked_arrays(
    estimator: Any, X: Any, y: Any, *, reset: bool, **options: Any
) -> tuple[Any, Any]:
    """Return checked X and y; encode a frame with text, learning the encoding if `reset`."""
    check_names(X)
    if reset:
        if estimator.preset is not None:
            estimator._encoding = learn_preset_encoding(estimator.preset, X)
        else:
            estimator._encoding = learn_encoding(X) if has_words(X) else None
    options |= {"dtype": (np.float64, np.float32), "multi_output": True}
    if estimator._encoding is None:
        with ways_out(X):
            x, y = validate_data(
                estimator, X, y, accept_sparse=["csr", "csc"], reset=reset, **options
            )
        if reset:
            warn_of_scales(X, x)
        return x, y
    validate_data(estimator, X, skip_check_array=True, reset=reset)
    return check_X_y(encoded(estimator._encoding, X), y, **options)


def checked_inputs(estimator: Any, X: Any) -> Any:
    """Return checked rows to predict; of a frame with text, look up the columns by name."""
    check_names(X)
    if estimator._encoding is not None:
        return encoded(estimator._encoding, X)
    X = without_polars(X)
    with ways_out(X):
        x = validate_data(estimator, X, accept_sparse=["csr", "csc"], reset=False)
    return x.astype(np.float64) if x.dtype.kind == "O" else x  # objects of polars


def warn_of_scales(X: Any, x: Any) -> None:
    """Warn if the columns x (N, I) of a frame X of numbers are far from standardized.

    They are used unchanged, as in scikit-learn, whereas a frame with text has its numbers
    standardized.
    """
    if not is_frame(X) or scipy.sparse.issparse(x):
        return
    low, high = x.min(axis=0), x.max(axis=0)
    varying = np.flatnonzero(low < high)
    if not len(varying):
        return
    sizes = np.maximum(np.abs(low), np.abs(high))[varying]
    order = np.argsort(sizes)
    (small, least), (large, most) = (
        (X.columns[varying[place]], sizes[place]) for place in (order[0], order[-1])
    )
    if most <= LARGE and most <= FAR_APART * least:
        return
    apart = f", '{small}' only {least:.3g}" if len(varying) > 1 else ""
    warnings.warn(
        "A frame with only numeric columns is not scaled, as in scikit-learn, but these columns are"
        f" far from standardized: '{large}' reaches {most:.3g}{apart}. Put a StandardScaler before"
        " the estimator, or use preset='tabular', which standardizes them.",
        DataWarning,
        stacklevel=2,
    )


@contextmanager
def ways_out(X: Any) -> Iterator[None]:
    """Add the alternatives to scikit-learn's refusal of missing values in a frame of numbers."""
    try:
        yield
    except ValueError as refusal:
        if not is_frame(X) or "contains NaN" not in str(refusal):
            raise
        raise InputError(
            f"{refusal}\nMissing values are supported with preset='tabular', and in a frame that"
            " also has a text or category column; otherwise fill them in first"
            " (sklearn.impute.SimpleImputer)."
        ) from None


def dense_parts(X: Any) -> Iterator[np.ndarray]:
    """Yield the rows as one dense array, or, where they are sparse, a few rows at a time."""
    if not scipy.sparse.issparse(X):
        yield X
        return
    X = X.tocsr()
    for start in range(0, X.shape[0], CHUNK):
        yield X[start : start + CHUNK].toarray()
