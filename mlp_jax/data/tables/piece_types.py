"""Column types of the pieces of a delimited file: inferred, widened, or refused with the reason."""

import csv
import io
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import polars as pl

from mlp_jax.data.tables.forms import LEADING_ZERO
from mlp_jax.data.tables.text_format import (
    QUOTED,
    DelimitedFormat,
    blocks,
    decoded,
)
from mlp_jax.errors import DataFileError

_INFERRED_ROWS = 1000
_REPEATED = 4  # rows per distinct word above which words become Categorical
_EXACT = 2.0**53  # larger floats do not hold every whole number
_ZERO = ord("0")


class WiderError(Exception):
    """A piece needs wider numeric dtypes than the previous ones."""

    def __init__(self, schema: dict[str, Any]) -> None:
        super().__init__()
        self.schema = schema


class TextFoundError(Exception):
    """A numeric column holds text further down: read again with these dtypes."""

    def __init__(self, schema: dict[str, Any]) -> None:
        super().__init__()
        self.schema = schema


def parsed_rows(
    path: Path, piece: bytes, rows: bytes, line: int, form: DelimitedFormat, schema: dict[str, Any]
) -> pl.DataFrame:
    """Parse a piece with these dtypes; WiderError or TextFoundError if it needs others."""
    try:
        frame = parse(rows, form, schema=schema)
    except pl.exceptions.PolarsError as error:
        raise WiderError(_wider(path, piece, rows, line, form, schema, error)) from None
    codes = _codes(rows, form, schema) + _lengthy(rows, form, frame)
    if codes:
        raise TextFoundError(dict.fromkeys(codes, pl.String()))
    return frame


def _codes(rows: bytes, form: DelimitedFormat, schema: dict[str, Any]) -> list[str]:
    """Return the numeric columns with a value like 007, whose leading zeros are significant."""
    marks = form.separator.encode() + b'\n" \t'
    if not any(_leading_zero(block, marks) for block in blocks(b"\n" + rows, 3)):
        return []
    numeric = [name for name, dtype in schema.items() if dtype.is_numeric()]
    if not numeric:
        return []
    columns = [form.names.index(name) for name in numeric]
    text = parse(rows, form, schema=dict.fromkeys(form.names, pl.String), columns=columns)
    return [name for name in numeric if text.get_column(name).str.contains(LEADING_ZERO).any()]


def _leading_zero(data: np.ndarray, marks: bytes) -> bool:
    """Return whether a mark is followed by 0 and another digit."""
    found = (data[1:-1] == _ZERO) & (data[2:] - _ZERO < 10)
    begins = data[:-2] == marks[0]
    for mark in marks[1:]:
        begins |= data[:-2] == mark
    return bool((begins & found).any())


def _lengthy(rows: bytes, form: DelimitedFormat, frame: pl.DataFrame) -> list[str]:
    """Return the float columns with a whole number too long for a float."""
    floats = frame.select(pl.col(pl.Float64).abs().max() >= _EXACT)
    large = [form.names.index(column.name) for column in floats if column[0]]
    if not large:
        return []
    text = parse(rows, form, schema=dict.fromkeys(form.names, pl.String), columns=large)
    found = []
    for column in text:
        words = column.str.strip_chars().unique()
        digits = words.filter(words.str.contains(r"^[+-]?\d{16,}$").fill_null(False))
        if any(int(float(word)) != int(word) for word in digits):
            found.append(column.name)
    return found


def parse(piece: bytes, form: DelimitedFormat, **options: Any) -> pl.DataFrame:
    """Return the rows of a piece as polars reads them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # malformed text raises as well
        return pl.read_csv(piece, has_header=False, separator=form.separator, **options)


def _inferred(
    path: Path, piece: bytes, line: int, form: DelimitedFormat, rows: int | None
) -> dict[str, Any]:
    """Infer the dtype of each column from the first rows of a piece, None for all.

    true and false stay words; frequent words become Categorical.
    """
    try:
        sample = parse(
            piece,
            form,
            n_rows=rows,
            infer_schema_length=rows,
            truncate_ragged_lines=True,
            ignore_errors=True,
        )
    except pl.exceptions.PolarsError as error:
        diagnose(path, piece, line, form)
        refuse(path, piece, line, error)
    types: list[Any] = []
    for column in sample:
        words = column.dtype in (pl.String, pl.Boolean)
        often = rows is not None and len(column) == rows and column.n_unique() < rows // _REPEATED
        types.append((pl.Categorical() if often else pl.String()) if words else column.dtype)
    types += [pl.String()] * (len(form.names) - len(types))
    return dict(zip(form.names, types, strict=False))


def first_schema(
    path: Path, piece: bytes, line: int, form: DelimitedFormat, overrides: dict[str, Any]
) -> dict[str, Any]:
    """Return the column types of the first piece, with those that are given."""
    known = {name: dtype for name, dtype in overrides.items() if name in form.names}
    return _inferred(path, piece, line, form, _INFERRED_ROWS) | known


def _wider(
    path: Path,
    piece: bytes,
    rows: bytes,
    line: int,
    form: DelimitedFormat,
    schema: dict[str, Any],
    error: pl.exceptions.PolarsError,
) -> dict[str, Any]:
    """Return the schema widened to fit the piece; raise DataFileError if there is none."""
    diagnose(path, piece, line, form)
    found = _inferred(path, rows, line, form, None)
    wider = {name: _common(dtype, found[name]) for name, dtype in schema.items()}
    if wider == schema:  # a whole number may exceed Int128
        wider = {n: pl.String if t == pl.Int128 else t for n, t in wider.items()}
    if wider == schema:
        refuse(path, piece, line, error)
    text = {n: pl.String for n, t in wider.items() if t == pl.String and schema[n] != pl.String}
    if text:
        raise TextFoundError(text)
    return wider


def _common(known: Any, found: Any) -> Any:
    """Return the dtype that holds values of both."""
    if known == found or known == pl.Categorical:
        return known
    if not (known.is_numeric() and found.is_numeric()):
        return pl.String
    both_whole = known.is_integer() and found.is_integer()
    return pl.Int128 if both_whole else pl.Float64


def diagnose(path: Path, piece: bytes, line: int, form: DelimitedFormat) -> None:
    """Raise the errors that polars does not locate: broken encoding, rows of another length."""
    decoded(path, piece, line)
    _check_lengths(path, piece, line, form)


def refuse(path: Path, piece: bytes, line: int, error: pl.exceptions.PolarsError) -> NoReturn:
    """Raise DataFileError for a piece that polars cannot read, with its first line."""
    reason = str(error).partition("\n")[0].rstrip(".")
    quote = b'"' in piece and (
        ", perhaps because of a quote that is not closed or is inside an unquoted field"
    )
    raise DataFileError(
        f"'{path}' cannot be read from line {line} on{quote or ''}: {reason}."
    ) from None


def check_short_rows(
    path: Path, piece: bytes, line: int, form: DelimitedFormat, n_rows: int
) -> None:
    """Raise DataFileError for a row that polars filled, detected by the number of separators."""
    bare = QUOTED.sub(b"", piece) if b'"' in piece else piece
    if bare.count(form.separator.encode()) != n_rows * (len(form.names) - 1):
        _check_lengths(path, piece, line, form)


def _check_lengths(path: Path, piece: bytes, line: int, form: DelimitedFormat) -> None:
    """Raise DataFileError for the first row with a different number of fields than columns."""
    rows = csv.reader(
        io.StringIO(piece.decode(errors="replace"), newline=""), delimiter=form.separator
    )
    before, wanted = 0, len(form.names)
    with suppress(csv.Error):  # an unclosed field: the message of polars is clearer
        for row in rows:
            blank = not row or (len(row) == 1 and not row[0].strip())
            if len(row) != wanted and not blank:
                first = f"the {'header' if form.header else 'first row'} has {wanted}"
                fields = f"{len(row)} field{'s' * (len(row) != 1)}"
                raise DataFileError(f"Line {line + before} of '{path}' has {fields}, but {first}.")
            before = rows.line_num
