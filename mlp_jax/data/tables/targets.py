"""Targets from the columns of a table: labels, several 0/1 labels, or numbers.

Letters: N rows, C classes or outputs. Rows count from 0.
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np
import polars as pl
from jaxtyping import Bool

from mlp_jax.data.arrays import label_type_of
from mlp_jax.data.encoding import MISSING_WORDS, LabelType, TargetEncoding, TextForm
from mlp_jax.data.tables.columns import (
    RowNumbers,
    as_codes,
    as_text,
    booleans,
    check_type,
    distinct_text,
    is_missing,
    is_text,
    numbers,
    present,
    refuse,
    row_number,
    shown,
    trimmed,
)
from mlp_jax.data.tables.encode import enum_of, missing_text
from mlp_jax.data.tables.forms import LEADING_ZERO, PLAIN, plain_numbers
from mlp_jax.data.tables.options import TextOptions
from mlp_jax.data.tables.target_task import find_task, target_counts
from mlp_jax.errors import InputError

_DIGITS = r"^[+-]?\d+$"
_FAR = 1 << 63  # beyond int64
_WHOLE = (pl.Int8, pl.Int16, pl.Int32, pl.Int64, pl.UInt8, pl.UInt16, pl.UInt32, pl.UInt64)


def fit_target(
    frame: pl.DataFrame,
    targets: Sequence[str],
    *,
    task: str = "auto",
    rows: np.ndarray | None = None,
    options: TextOptions = TextOptions(),  # noqa: B008 - frozen
    written: bool = False,
) -> tuple[TargetEncoding, tuple[str, ...]]:
    """Fit the encoding of the target columns to training rows; return it with notes for the user.

    Several columns of 0 and 1 are multilabel. Numbers are standardized.

    Args:
        task: as in `Table`.
        rows: mask (N,) of the training rows, None for all; missing values are skipped.
        written: the columns come from a text file.

    Raises:
        InputError: for a single class, a missing column, or text among numbers.
    """
    whole = target_columns(frame, targets, options.na_values)
    found = find_task([target_counts(column) for column in whole], task, options)
    columns = whole if rows is None else [column.filter(pl.Series(rows)) for column in whole]
    if found.task == "classification":
        encoding = labels_encoding(columns[0].name, columns[0], options.na_values, written)
    elif found.task == "multilabel":
        encoding = TargetEncoding("multilabel", tuple(targets), na_values=options.na_values)
    else:
        if rows is not None:
            for column, form in zip(whole, found.forms, strict=True):
                numbers(column, 0, form)  # an error names the row of the whole table
        figures = [
            _figures(column, form, all_rows)
            for column, form, all_rows in zip(columns, found.forms, whole, strict=True)
        ]
        encoding = standardized(figures, found.forms, options.na_values)
    return encoding, found.notes


def labels_encoding(
    name: str, labels: pl.Series, na_values: Sequence[str], written: bool
) -> TargetEncoding:
    """Return the encoding of a column of labels, from its values or its distinct ones."""
    classes = classes_of(labels)
    kind = label_type(labels, written)
    return TargetEncoding(
        "classification", (name,), classes, label_type=kind, na_values=tuple(na_values)
    )


def label_type(labels: pl.Series, written: bool) -> LabelType:
    """Return the type of the labels in the table, or of their spelling in a text file."""
    if isinstance(labels.dtype, pl.Boolean):
        return "boolean"
    if labels.dtype.is_numeric():
        return _number_type(labels)
    if isinstance(labels.dtype, pl.Date):
        return "datetime64[D]"
    if isinstance(labels.dtype, pl.Datetime) and labels.dtype.time_zone is None:
        units: dict[str, LabelType] = {"ms": "datetime64[ms]", "ns": "datetime64[ns]"}
        return units.get(labels.dtype.time_unit, "datetime64[us]")
    words = distinct_text(labels)
    if not written or not is_text(labels.dtype) or words.str.contains(LEADING_ZERO).any():
        return "text"
    if words.str.to_lowercase().is_in(["true", "false"]).all():
        return "boolean"
    digits = words.filter(words.str.contains(_DIGITS))
    if len(digits) == len(words):
        return "integer" if all(-_FAR <= int(word) < _FAR for word in digits) else "text"
    value = plain_numbers(words)
    numbers_all = (value.is_not_null() & value.is_finite()).fill_null(False).all()
    return "number" if numbers_all and all(int(float(w)) == int(w) for w in digits) else "text"


def _number_type(labels: pl.Series) -> LabelType:
    """Return the type of numeric labels: their NumPy dtype if it exists and holds all of them."""
    dtype = labels.dtype
    if dtype in (*_WHOLE, pl.Float32, pl.Float64):
        return label_type_of(labels.head(0).to_numpy().dtype)
    if not dtype.is_integer():
        return "number"
    held = labels.cast(pl.Int64, strict=False).null_count() == labels.null_count()
    return "integer" if held else "text"


def target_columns(
    frame: pl.DataFrame, targets: Sequence[str], na_values: Sequence[str] = MISSING_WORDS
) -> list[pl.Series]:
    """Return the columns to predict, missing values as null and words stripped.

    Raises InputError for a column that is missing or cannot be a target.
    """
    if not targets:
        raise InputError("No target is named: name the column to predict.")
    absent = [name for name in targets if name not in frame.columns]
    if absent:
        raise InputError(f"The table has no target column {missing_text(absent, frame.columns)}.")
    columns = [frame.get_column(name) for name in targets]
    for column in columns:
        check_type(column)
    return [trimmed(present(column, na_values)) for column in columns]


def classes_of(column: pl.Series) -> tuple[str, ...]:
    """Return the distinct labels: numbers in numeric order, others sorted as text."""
    names = distinct_text(column).to_list()
    if len(names) < 2:
        only = f": {shown(names[0])}" if names else ""
        raise InputError(
            f"Target '{column.name}' has {'a single class' if names else 'no class'} in the"
            f" training rows{only}; classification needs at least two."
        )
    values = plain_numbers(pl.Series(names)).to_list()
    if all(value is not None for value in values):
        names = [name for _, name in sorted(zip(values, names, strict=True))]
    return tuple(names)


def standardized(
    figures: Sequence[tuple[str, float, float]],
    forms: tuple[TextForm, ...] = (),
    na_values: Sequence[str] = MISSING_WORDS,
) -> TargetEncoding:
    """Return the encoding of numbers from name, mean and standard deviation of each column."""
    for name, _, spread in figures:
        if not np.isfinite(spread):
            raise InputError(f"Target '{name}' is too widely spread to be standardized.")
    names, means, spreads = zip(*figures, strict=True)
    return TargetEncoding(
        "regression",
        names,
        scale=tuple(s or 1.0 for s in spreads),
        offset=means,
        forms=forms if any(form != PLAIN for form in forms) else (),
        na_values=tuple(na_values),
    )


def _figures(column: pl.Series, form: TextForm, whole: pl.Series) -> tuple[str, float, float]:
    """Return name, mean and standard deviation of the training rows; whole: all rows."""
    y = _finite(column, form)
    with np.errstate(over="ignore", invalid="ignore"):
        spread = float(y.std()) if y.min() != y.max() else 0.0
    if not np.isfinite(spread):
        far = float(max(y.min(), y.max(), key=abs))
        row = int(np.argmax(numbers(whole, 0, form) == far))
        raise InputError(
            f"Target '{column.name}' has {far:.6g} in row {row}, too far from the others to be"
            " standardized: correct it, or leave its row out."
        )
    return column.name, float(y.mean()), spread


def _finite(column: pl.Series, form: TextForm) -> np.ndarray:
    y = numbers(column, 0, form)
    y = y[np.isfinite(y)]
    if not len(y):
        raise InputError(f"Target '{column.name}' has no number in the training rows.")
    return y


def known_rows(
    columns: Sequence[pl.Series], task: str, forms: Sequence[TextForm] = ()
) -> np.ndarray:
    """Return a mask (N,) of the rows with a value in every target column."""
    known = np.ones(len(columns[0]), bool)
    for place, column in enumerate(columns):
        if task == "classification":
            known &= ~is_missing(column).to_numpy()
        else:
            known &= np.isfinite(_read(task, column, 0, forms[place] if forms else PLAIN))
    return known


def _read(task: str, column: pl.Series, first_row: RowNumbers, form: TextForm) -> np.ndarray:
    if task == "multilabel":
        return booleans(column, first_row)
    return numbers(column, first_row, form)


def encode_target(
    encoding: TargetEncoding,
    frame: pl.DataFrame,
    *,
    first_row: RowNumbers = 0,
    missing_allowed: bool = False,
) -> np.ndarray:
    """Encode as int32 labels (N,), float32 0 and 1 (N, C), or unscaled float64 (N,) or (N, C).

    Missing values are −1 or NaN if allowed. Raises InputError with column, row and value, for a
    missing value, a missing column, an unseen label, or text among numbers.
    """
    columns = target_columns(frame, encoding.names, encoding.na_values)
    if encoding.task == "classification":
        y = _labels(encoding, columns[0], first_row)
        missing = y[:, None] < 0
    else:
        forms = encoding.forms or (PLAIN,) * len(columns)
        outputs = [
            _read(encoding.task, column, first_row, form)
            for column, form in zip(columns, forms, strict=True)
        ]
        y = np.stack(outputs, axis=1)
        missing = ~np.isfinite(y)
        if encoding.task == "multilabel":
            y = y.astype(np.float32)
        elif len(outputs) == 1:
            y = outputs[0]
    if not missing_allowed:
        for column, absent in zip(columns, missing.T, strict=True):
            _check_known(column, absent, first_row)
    return y


def _labels(encoding: TargetEncoding, column: pl.Series, first_row: RowNumbers) -> np.ndarray:
    """Return labels (N,) int32, −1 if missing; InputError for an unseen label."""
    found = _found(encoding, column)
    unknown = found.is_null() & ~is_missing(column)
    refuse(column, unknown, f"one of the classes: {_listed(encoding.classes)}", first_row)
    return found.fill_null(-1).to_numpy()


def among_classes(encoding: TargetEncoding, frame: pl.DataFrame) -> Bool[np.ndarray, " N"]:
    """Return a mask of the rows with a known or missing label; all True for numbers."""
    if encoding.task != "classification":
        return np.ones(frame.height, bool)
    (column,) = target_columns(frame, encoding.names, encoding.na_values)
    return (_found(encoding, column).is_not_null() | is_missing(column)).to_numpy()


def _found(encoding: TargetEncoding, column: pl.Series) -> pl.Series:
    """Return labels as int32, null if missing or unseen."""
    found = as_codes(column, enum_of(encoding.classes)).cast(pl.Int32)
    if found.null_count():
        found = found.fill_null(_labels_by_number(encoding.classes, as_text(column)))
    return found


def _labels_by_number(classes: tuple[str, ...], text: pl.Series) -> pl.Series:
    """Match labels by value: 3 and 3.0, True and true, and 2139 and 02139 if unambiguous."""
    values = plain_numbers(pl.Series(classes)).to_list()
    times = Counter(values)
    by_number = {v: k for k, v in enumerate(values) if v is not None and times[v] == 1}
    by_word = {
        word.lower(): k for k, word in enumerate(classes) if word.lower() in ("true", "false")
    }
    words = text.str.to_lowercase().replace_strict(by_word, default=None, return_dtype=pl.Int32)
    if not by_number:
        return words
    plain = plain_numbers(text.set(text.str.contains(LEADING_ZERO).fill_null(False), None))
    found = plain.replace_strict(by_number, default=None, return_dtype=pl.Int32)
    return found.fill_null(words)


def _check_known(column: pl.Series, missing: np.ndarray, first_row: RowNumbers) -> None:
    if missing.any():
        row = row_number(first_row, int(np.argmax(missing)))
        raise InputError(
            f"Target '{column.name}' has no value in row {row}"
            f" ({np.count_nonzero(missing)} such rows)."
        )


def _listed(names: Sequence[str]) -> str:
    shown_names = ", ".join(f"'{name}'" for name in names[:10])
    return shown_names + (f" and {len(names) - 10} more" if len(names) > 10 else "")
