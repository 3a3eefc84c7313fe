"""Delimited text (CSV, TSV, plain or gzip), read in little more memory than its frame.

The dtype of a column is inferred from the first piece; a piece that does not fit widens it: whole
numbers to floats in place, numbers to text by reading again, so that text stays as written. polars
fills short rows silently; a count of separators detects them. Lines count from 1.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from mlp_jax.data.file_errors import data_file_errors
from mlp_jax.data.tables.columns import is_text, trimmed
from mlp_jax.data.tables.piece_types import (
    TextFoundError,
    WiderError,
    check_short_rows,
    diagnose,
    first_schema,
    parse,
    parsed_rows,
    refuse,
)
from mlp_jax.data.tables.text_format import (
    DelimitedFormat,
    open_text,
    read_format_of,
    with_unnamed,
    without_blank_lines,
)
from mlp_jax.errors import DataFileError, InputError

PIECE = 1 << 22  # bytes


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
            except TextFoundError as found:
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
                frame = parse(rows, form, schema=schema, columns=wanted)
            except pl.exceptions.PolarsError:
                schema = dict.fromkeys(form.names, pl.String)
                try:
                    frame = parse(rows, form, schema=schema, columns=wanted)
                except pl.exceptions.PolarsError as error:
                    diagnose(path, piece, line, form)
                    refuse(path, piece, line, error)
            if frame.get_column(last).null_count():
                check_short_rows(path, piece, line, form, frame.height)
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
                schema = first_schema(path, rows, line, form, written)
            frame = None
            while frame is None:
                try:
                    frame = parsed_rows(path, piece, rows, line, form, schema)
                except TextFoundError as found:
                    schema |= found.schema
                except WiderError as wider:
                    schema = wider.schema
            if frame.get_column(form.names[-1]).null_count():
                check_short_rows(path, piece, line, form, frame.height)
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
        frame = parse(text, form, schema=schema, columns=wanted)
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
                schema = first_schema(path, rows, line, form, overrides)
            frame = None
            while frame is None:
                try:
                    frame = parsed_rows(path, piece, rows, line, form, schema)
                except WiderError as wider:
                    schema = wider.schema
            frames.append(_trimmed(frame).rechunk())  # polars leaves spare capacity
            if frame.get_column(form.names[-1]).null_count():
                check_short_rows(path, piece, line, form, frame.height)
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
