"""Delimited text (CSV, TSV, plain or gzip), read in little more memory than its frame.

The dtype of a column is inferred from the first piece; a piece that does not fit widens it: whole
numbers to floats in place, numbers to text by reading again, so that text stays as written. polars
fills short rows silently; a count of separators detects them. Lines count from 1.
"""

import csv
import io
import warnings
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import numpy as np
import polars as pl

from mlp_jax.data.file_errors import data_file_errors
from mlp_jax.data.tables.columns import is_text, trimmed
from mlp_jax.data.tables.forms import LEADING_ZERO
from mlp_jax.data.tables.text_format import (
    QUOTED,
    DelimitedFormat,
    decoded,
    open_text,
    read_format_of,
    with_unnamed,
    without_blank_lines,
)
from mlp_jax.errors import DataFileError, InputError

PIECE = 1 << 22  # bytes
_INFERRED_ROWS = 1000
_REPEATED = 4  # rows per distinct word above which words become Categorical
_EXACT = 2.0**53  # larger floats do not hold every whole number
_ZERO, _NINE = ord("0"), ord("9")


class Piece(NamedTuple):
    """Complete rows of a file.

    offset: first byte. size: number of bytes. line: number of the first line. rows: number of rows.
    """

    offset: int
    size: int
    line: int
    rows: int


class DelimitedPieces(NamedTuple):
    """Pieces of a file, the dtypes that fit all of them, and the file's format."""

    pieces: tuple[Piece, ...]
    types: dict[str, Any]
    form: DelimitedFormat


class _WiderError(Exception):
    """A piece needs wider numeric dtypes than the previous ones."""

    def __init__(self, schema: dict[str, Any]) -> None:
        super().__init__()
        self.schema = schema


class _TextFoundError(Exception):
    """A numeric column holds text further down: read again with these dtypes."""

    def __init__(self, schema: dict[str, Any]) -> None:
        super().__init__()
        self.schema = schema


def read_delimited(
    path: Path,
    *,
    separator: str | None,
    header: bool = True,
    as_text: tuple[str, ...] | None = (),
) -> pl.DataFrame:
    """Read a table from a file of delimited UTF-8 text.

    Blank lines are skipped, but in a file of one column they are missing values. Words are stripped
    of spaces, and columns with neither a name nor a value are dropped.

    Args:
        separator: None detects ",", ";", tab or "|".
        header: the first line has the names; else they are "0", "1", ….
        as_text: columns that stay as written, None for all. Columns with a value like 007 always
            do, since a number would lose the zeros.

    Raises:
        DataFileError: for a file that is missing, empty, or has rows of another length or broken
            encoding.
        InputError: for duplicate names, or no rows.
    """
    with data_file_errors(path):
        with open_text(path) as file:
            form = read_format_of(path, file, separator, header)
        written = form.names if as_text is None else as_text
        overrides: dict[str, Any] = dict.fromkeys(written, pl.String)
        while True:
            try:
                return _named(path, form, _read(path, form, overrides))
            except _TextFoundError as found:
                overrides |= found.schema


def read_format(path: Path, separator: str | None, header: bool = True) -> DelimitedFormat:
    """Detect the format of a file; DataFileError or InputError for an invalid header."""
    with data_file_errors(path), open_text(path) as file:
        return read_format_of(path, file, separator, header)


def stream_delimited(
    path: Path, form: DelimitedFormat, types: dict[str, Any], size: int
) -> Iterator[pl.DataFrame]:
    """Iterate over some columns, about `size` bytes at a time, in these dtypes or as text.

    All columns are text, as written, from the first piece that does not fit. Raises DataFileError
    as `read_delimited`.
    """
    last = form.names[-1]
    wanted = [k for k, name in enumerate(form.names) if name in types or name == last]
    schema = dict.fromkeys(form.names, pl.String) | types
    with data_file_errors(path), open_text(path) as file:
        for line, piece, rows in _pieces(file, form, size):
            try:
                frame = _parse(rows, form, schema=schema, columns=wanted)
            except pl.exceptions.PolarsError:
                schema = dict.fromkeys(form.names, pl.String)
                try:
                    frame = _parse(rows, form, schema=schema, columns=wanted)
                except pl.exceptions.PolarsError as error:
                    _diagnose(path, piece, line, form)
                    _refuse(path, piece, line, error)
            if frame.get_column(last).null_count():
                _check_short_rows(path, piece, line, form, frame.height)
            yield frame.select(list(types))


def cut_delimited(
    path: Path, form: DelimitedFormat, size: int, as_text: tuple[str, ...] | None = ()
) -> DelimitedPieces:
    """Cut a file that is not gzipped into pieces of about `size` bytes, and infer its types.

    Reads the file once, piece by piece. Types and errors are those of `read_delimited`.
    """
    pieces: list[Piece] = []
    schema: dict[str, Any] = {}
    filled: dict[str, None] = {}
    with data_file_errors(path), open_text(path) as file:
        written = dict.fromkeys(form.names if as_text is None else as_text, pl.String)
        offset = form.offset
        for line, piece, rows in _pieces(file, form, size):
            if not schema:
                schema = _first_schema(path, rows, line, form, written)
            frame = None
            while frame is None:
                try:
                    frame = _parsed(path, piece, rows, line, form, schema)
                except _TextFoundError as found:
                    schema |= found.schema
                except _WiderError as wider:
                    schema = wider.schema
            if frame.get_column(form.names[-1]).null_count():
                _check_short_rows(path, piece, line, form, frame.height)
            filled |= dict.fromkeys(_filled(form, frame))
            if frame.height:
                pieces.append(Piece(offset, len(piece), line, frame.height))
            offset += len(piece)
    if not pieces:
        raise InputError(f"'{path}' has no rows{' below its header' if form.header else ''}.")
    named = with_unnamed(path, form, list(filled))
    types = dict(zip(named.names, pl.Schema(schema).values(), strict=True))
    return DelimitedPieces(
        tuple(pieces), {n: t for n, t in types.items() if n not in _aside(named)}, named
    )


def _filled(form: DelimitedFormat, frame: pl.DataFrame) -> list[str]:
    """Return the unnamed columns that hold a value."""
    return [
        name
        for name in form.unnamed
        if not frame.get_column(name).cast(pl.String).str.strip_chars().fill_null("").eq("").all()
    ]


def _aside(form: DelimitedFormat) -> list[str]:
    """Return the columns with neither a name nor a value."""
    return [name for name in form.unnamed if name]


def _named(path: Path, form: DelimitedFormat, frame: pl.DataFrame) -> pl.DataFrame:
    """Drop the columns with neither a name nor a value from the frame of a whole file."""
    if not form.unnamed:
        return frame
    named = with_unnamed(path, form, _filled(form, frame))
    frame.columns = named.names
    return frame.drop(_aside(named))


def _trimmed(frame: pl.DataFrame) -> pl.DataFrame:
    """Strip spaces around words."""
    return frame.with_columns([trimmed(column) for column in frame if is_text(column.dtype)])


def read_piece(
    path: Path, form: DelimitedFormat, piece: Piece, schema: dict[str, Any], columns: list[str]
) -> pl.DataFrame:
    """Read some columns of a piece of `cut_delimited`; DataFileError if the file was changed."""
    with data_file_errors(path), path.open("rb") as file:
        file.seek(piece.offset)
        text = without_blank_lines(file.read(piece.size), form)
    wanted = [k for k, name in enumerate(form.names) if name in columns]
    schema = dict.fromkeys(form.names, pl.String()) | schema
    try:
        frame = _parse(text, form, schema=schema, columns=wanted)
    except pl.exceptions.PolarsError:
        frame = pl.DataFrame()
    if frame.height != piece.rows:
        raise DataFileError(f"'{path}' was changed after it was opened, before line {piece.line}.")
    return _trimmed(frame.select(columns))


def _read(path: Path, form: DelimitedFormat, overrides: dict[str, Any]) -> pl.DataFrame:
    frames: list[pl.DataFrame] = []
    schema: dict[str, Any] = {}
    with open_text(path) as file:
        for line, piece, rows in _pieces(file, form):
            if not schema:
                schema = _first_schema(path, rows, line, form, overrides)
            frame = None
            while frame is None:
                try:
                    frame = _parsed(path, piece, rows, line, form, schema)
                except _WiderError as wider:
                    schema = wider.schema
            frames.append(_trimmed(frame).rechunk())  # polars leaves spare capacity
            if frame.get_column(form.names[-1]).null_count():
                _check_short_rows(path, piece, line, form, frame.height)
    if not frames or not any(frame.height for frame in frames):
        raise InputError(f"'{path}' has no rows{' below its header' if form.header else ''}.")
    return pl.concat([frame.cast(pl.Schema(schema)) for frame in frames])


def _pieces(
    file: Any, form: DelimitedFormat, size: int = PIECE
) -> Iterator[tuple[int, bytes, bytes]]:
    """Iterate over (line, bytes, rows) of pieces of about `size` bytes that end where a row ends.

    rows: the bytes without blank lines. A piece without rows is part of the next.
    """
    file.seek(form.offset)
    line, before = form.line, b""
    while block := file.read(size):
        lines = [before, block, file.readline()]
        inside = sum(part.count(b'"') for part in lines) % 2
        while inside and (more := file.readline()):
            lines.append(more)
            inside ^= more.count(b'"') % 2
        piece = b"".join(lines)
        rows = without_blank_lines(piece, form)
        if not rows.strip(b"\r\n") and len(form.names) > 1:
            before = piece
            continue
        yield line, piece, rows
        line, before = line + piece.count(b"\n"), b""


def _parsed(
    path: Path, piece: bytes, rows: bytes, line: int, form: DelimitedFormat, schema: dict[str, Any]
) -> pl.DataFrame:
    """Parse a piece with these dtypes; _WiderError or _TextFoundError if it needs others."""
    try:
        frame = _parse(rows, form, schema=schema)
    except pl.exceptions.PolarsError as error:
        raise _WiderError(_wider(path, piece, rows, line, form, schema, error)) from None
    codes = _codes(rows, form, schema) + _lengthy(rows, form, frame)
    if codes:
        raise _TextFoundError(dict.fromkeys(codes, pl.String()))
    return frame


def _codes(rows: bytes, form: DelimitedFormat, schema: dict[str, Any]) -> list[str]:
    """Return the numeric columns with a value like 007, whose leading zeros are significant."""
    data = np.frombuffer(rows, np.uint8)
    at = np.flatnonzero(data[:-1] == _ZERO)
    follows = data[at + 1]
    at = at[(follows >= _ZERO) & (follows <= _NINE)]
    begins = np.isin(data[at - 1], np.frombuffer(form.separator.encode() + b'\n" \t', np.uint8))
    if not (begins | (at == 0)).any():
        return []
    numeric = [name for name, dtype in schema.items() if dtype.is_numeric()]
    if not numeric:
        return []
    columns = [form.names.index(name) for name in numeric]
    text = _parse(rows, form, schema=dict.fromkeys(form.names, pl.String), columns=columns)
    return [name for name in numeric if text.get_column(name).str.contains(LEADING_ZERO).any()]


def _lengthy(rows: bytes, form: DelimitedFormat, frame: pl.DataFrame) -> list[str]:
    """Return the float columns with a whole number too long for a float."""
    floats = frame.select(pl.col(pl.Float64).abs().max() >= _EXACT)
    large = [form.names.index(column.name) for column in floats if column[0]]
    if not large:
        return []
    text = _parse(rows, form, schema=dict.fromkeys(form.names, pl.String), columns=large)
    found = []
    for column in text:
        words = column.str.strip_chars().unique()
        digits = words.filter(words.str.contains(r"^[+-]?\d{16,}$").fill_null(False))
        if any(int(float(word)) != int(word) for word in digits):
            found.append(column.name)
    return found


def _parse(piece: bytes, form: DelimitedFormat, **options: Any) -> pl.DataFrame:
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
        sample = _parse(
            piece,
            form,
            n_rows=rows,
            infer_schema_length=rows,
            truncate_ragged_lines=True,
            ignore_errors=True,
        )
    except pl.exceptions.PolarsError as error:
        _diagnose(path, piece, line, form)
        _refuse(path, piece, line, error)
    types: list[Any] = []
    for column in sample:
        words = column.dtype in (pl.String, pl.Boolean)
        often = rows is not None and len(column) == rows and column.n_unique() < rows // _REPEATED
        types.append((pl.Categorical() if often else pl.String()) if words else column.dtype)
    types += [pl.String()] * (len(form.names) - len(types))
    return dict(zip(form.names, types, strict=False))


def _first_schema(
    path: Path, piece: bytes, line: int, form: DelimitedFormat, overrides: dict[str, Any]
) -> dict[str, Any]:
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
    _diagnose(path, piece, line, form)
    found = _inferred(path, rows, line, form, None)
    wider = {name: _common(dtype, found[name]) for name, dtype in schema.items()}
    if wider == schema:  # a whole number may exceed Int128
        wider = {n: pl.String if t == pl.Int128 else t for n, t in wider.items()}
    if wider == schema:
        _refuse(path, piece, line, error)
    text = {n: pl.String for n, t in wider.items() if t == pl.String and schema[n] != pl.String}
    if text:
        raise _TextFoundError(text)
    return wider


def _common(known: Any, found: Any) -> Any:
    """Return the dtype that holds values of both."""
    if known == found or known == pl.Categorical:
        return known
    if not (known.is_numeric() and found.is_numeric()):
        return pl.String
    both_whole = known.is_integer() and found.is_integer()
    return pl.Int128 if both_whole else pl.Float64


def _diagnose(path: Path, piece: bytes, line: int, form: DelimitedFormat) -> None:
    """Raise the errors that polars does not locate: broken encoding, rows of another length."""
    decoded(path, piece, line)
    _check_lengths(path, piece, line, form)


def _refuse(path: Path, piece: bytes, line: int, error: pl.exceptions.PolarsError) -> NoReturn:
    reason = str(error).partition("\n")[0].rstrip(".")
    quote = b'"' in piece and (
        ", perhaps because of a quote that is not closed or is inside an unquoted field"
    )
    raise DataFileError(
        f"'{path}' cannot be read from line {line} on{quote or ''}: {reason}."
    ) from None


def _check_short_rows(
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
