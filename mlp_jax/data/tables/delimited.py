"""Read delimited text (CSV, TSV, plain or gzip) piece by piece, in little more than its frame.

The type of a column is found from the first piece; a piece that does not fit widens it: whole
numbers to floats on the spot, numbers to text by reading again, so that text stays as written.
polars fills short rows silently; a count of separators finds them. Lines count from 1.
"""

import csv
import gzip
import io
import re
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import polars as pl

from mlp_jax.errors import DataFileError, InputError, MlpJaxError

PIECE = 1 << 22  # bytes
_INFERRED_ROWS = 1000
_REPEATED = 4  # rows a distinct word from which on words are held as numbers
_QUOTED = re.compile(rb'"[^"]*"')
_OPENED = re.compile(rb'(^|[,;\t|])"')
_HEADER_LINES = 100  # a quote still open then is never closed
_BOM = b"\xef\xbb\xbf"


class Format(NamedTuple):
    """How a file is written: separator, names of the columns, whether they are its first line."""

    separator: str
    names: list[str]
    header: bool


class Piece(NamedTuple):
    """Whole rows of a file: the bytes they take, the line they begin in, how many they are."""

    offset: int
    size: int
    line: int
    rows: int


class _TextFoundError(Exception):
    """A column of numbers holds text further down: read again with these types."""

    def __init__(self, schema: dict[str, Any]) -> None:
        super().__init__()
        self.schema = schema


def read_delimited(
    path: Path, *, separator: str | None, header: bool = True, as_text: tuple[str, ...] = ()
) -> pl.DataFrame:
    """The table in a file of delimited UTF-8 text.

    separator: None finds it, "," before ";", tab and "|". header: the first line holds the names;
    else they are "0", "1", …. as_text: columns that stay as they are written.
    Raises DataFileError for a file that is missing, empty, has rows of another length or broken
    encoding; InputError for duplicate names and a table without rows.
    """
    with _reading(path):
        with open_text(path) as file:
            form = _format(path, _first_row(file), separator, header)
        overrides: dict[str, Any] = dict.fromkeys(as_text, pl.String)
        while True:
            try:
                return _read(path, form, overrides)
            except _TextFoundError as found:
                overrides |= found.schema


def read_format(path: Path, separator: str | None, header: bool = True) -> Format:
    """How a file is written. Raises DataFileError and InputError."""
    with _reading(path), open_text(path) as file:
        return _format(path, _first_row(file), separator, header)


def stream_delimited(
    path: Path, form: Format, types: dict[str, Any], size: int
) -> Iterator[pl.DataFrame]:
    """Some columns of a file, about `size` bytes at a time: of these types, or all text.

    They are text from a piece on that does not fit the types. Raises DataFileError as
    `read_delimited` does.
    """
    last = form.names[-1]
    wanted = [k for k, name in enumerate(form.names) if name in types or name == last]
    schema = dict.fromkeys(form.names, pl.String) | types
    with _reading(path), open_text(path) as file:
        line = 1 + (_first_row(file).count(b"\n") if form.header else 0)
        for piece in _pieces(file, size):
            piece = _without_mark(piece, form, line)
            try:
                frame = _parse(piece, form, schema=schema, columns=wanted)
            except pl.exceptions.PolarsError:
                schema = dict.fromkeys(form.names, pl.String)
                try:
                    frame = _parse(piece, form, schema=schema, columns=wanted)
                except pl.exceptions.PolarsError as error:
                    _diagnose(path, piece, line, form)
                    _refuse(path, piece, line, error)
            if frame.get_column(last).null_count():
                _check_short_rows(path, piece, line, form, frame.height)
            line += piece.count(b"\n")
            yield frame.select(list(types))


def cut_delimited(
    path: Path, form: Format, size: int, as_text: tuple[str, ...] = ()
) -> tuple[list[Piece], dict[str, Any]]:
    """Pieces of about `size` bytes of a file that is not gzipped, and the types that fit them all.

    Reads the file once, a piece at a time. Types and errors are those of `read_delimited`.
    """
    pieces: list[Piece] = []
    schema: dict[str, Any] = {}
    with _reading(path), open_text(path) as file:
        first = _first_row(file) if form.header else b""
        offset, line = len(first), 1 + first.count(b"\n")
        file.seek(offset)
        for piece in _pieces(file, size):
            text = _without_mark(piece, form, line)
            if not schema:
                schema = _first_schema(path, text, line, form, dict.fromkeys(as_text, pl.String))
            frame = None
            while frame is None:
                try:
                    frame = _parse(text, form, schema=schema)
                except pl.exceptions.PolarsError as error:
                    try:
                        schema = _wider(path, text, line, form, schema, error)
                    except _TextFoundError as found:
                        schema |= found.schema
            if frame.get_column(form.names[-1]).null_count():
                _check_short_rows(path, text, line, form, frame.height)
            if frame.height:
                pieces.append(Piece(offset, len(piece), line, frame.height))
            offset, line = offset + len(piece), line + piece.count(b"\n")
    if not pieces:
        raise InputError(f"'{path}' has no rows{' below its header' if form.header else ''}.")
    return pieces, dict(pl.Schema(schema))


def read_piece(
    path: Path, form: Format, piece: Piece, schema: dict[str, Any], columns: list[str]
) -> pl.DataFrame:
    """Some columns of a piece that `cut_delimited` found. DataFileError if the file was changed."""
    with _reading(path), path.open("rb") as file:
        file.seek(piece.offset)
        text = _without_mark(file.read(piece.size), form, piece.line)
    wanted = [k for k, name in enumerate(form.names) if name in columns]
    try:
        frame = _parse(text, form, schema=schema, columns=wanted)
    except pl.exceptions.PolarsError:
        frame = pl.DataFrame()
    if frame.height != piece.rows:
        raise DataFileError(f"'{path}' was changed after it was opened, before line {piece.line}.")
    return frame.select(columns)


def _without_mark(piece: bytes, form: Format, line: int) -> bytes:
    """The piece without the byte order mark that a file without header may begin with."""
    return piece if form.header or line > 1 else piece.removeprefix(_BOM)


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Turns what a file that cannot be read raises into a DataFileError."""
    try:
        yield
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataFileError(f"'{path}' is a damaged or truncated gzip file: {error}.") from None
    except OSError as error:
        if isinstance(error, MlpJaxError):
            raise
        raise DataFileError(f"'{path}' cannot be read: {error.strerror}.") from None


def open_text(path: Path) -> Any:
    """The bytes of a file, decompressed if it is named .gz."""
    return gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")


def _format(path: Path, first: bytes, separator: str | None, header: bool) -> Format:
    """Separator and names from the first line."""
    line = _decoded(path, first.removeprefix(_BOM), 1).rstrip("\r\n")
    if not line:
        raise DataFileError(f"'{path}' is empty{'' if not first else ' in its first line'}.")
    if separator is None:
        separator = next((mark for mark in ",;\t|" if mark in line), ",")
    try:
        names = next(csv.reader([line], delimiter=separator))
    except csv.Error as error:
        ends = " (lines must end in a line feed)" if "\r" in line else ""
        raise DataFileError(f"The first line of '{path}' is no row: {error}{ends}.") from None
    if not header:
        return Format(separator, [str(k) for k in range(len(names))], False)
    check_names(path, names)
    return Format(separator, names, True)


def check_names(path: Path, names: list[str]) -> None:
    """InputError where two columns have one name."""
    twice = [name for k, name in enumerate(names) if name in names[:k]]
    if twice:
        raise InputError(f"'{path}' has more than one column called '{twice[0]}'.")


def _read(path: Path, form: Format, overrides: dict[str, Any]) -> pl.DataFrame:
    frames: list[pl.DataFrame] = []
    schema: dict[str, Any] = {}
    line = 1
    with open_text(path) as file:
        if form.header:
            line += _first_row(file).count(b"\n")
        for piece in _pieces(file):
            piece = _without_mark(piece, form, line)
            if not schema:
                schema = _first_schema(path, piece, line, form, overrides)
            frame = None
            while frame is None:
                try:
                    frame = _parse(piece, form, schema=schema)
                except pl.exceptions.PolarsError as error:
                    schema = _wider(path, piece, line, form, schema, error)
            frames.append(frame.rechunk())  # polars leaves room behind what it parsed
            if frame.get_column(form.names[-1]).null_count():
                _check_short_rows(path, piece, line, form, frame.height)
            line += piece.count(b"\n")
    if not frames or not any(frame.height for frame in frames):
        raise InputError(f"'{path}' has no rows{' below its header' if form.header else ''}.")
    return pl.concat([frame.cast(pl.Schema(schema)) for frame in frames])


def _first_row(file: Any) -> bytes:
    """The first row with its end, on several lines where a quoted name has line ends in it."""
    lines = [file.readline()]
    while (
        len(lines) < _HEADER_LINES
        and _OPENED.search(_QUOTED.sub(b"", b"".join(lines)))
        and (line := file.readline())
    ):
        lines.append(line)
    return b"".join(lines)


def _pieces(file: Any, size: int = PIECE) -> Iterator[bytes]:
    """The file in pieces of about `size` bytes that end where a row ends: outside of quotes."""
    while block := file.read(size):
        lines = [block, file.readline()]
        inside = (block.count(b'"') + lines[1].count(b'"')) % 2
        while inside and (line := file.readline()):
            lines.append(line)
            inside ^= line.count(b'"') % 2
        yield b"".join(lines)


def _parse(piece: bytes, form: Format, **options: Any) -> pl.DataFrame:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what is malformed raises as well
        return pl.read_csv(piece, has_header=False, separator=form.separator, **options)


def _inferred(
    path: Path, piece: bytes, line: int, form: Format, rows: int | None
) -> dict[str, Any]:
    """The type of each column by the first rows of a piece, None for all.

    true and false stay words; words that come again and again are held as numbers (Categorical).
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
    path: Path, piece: bytes, line: int, form: Format, overrides: dict[str, Any]
) -> dict[str, Any]:
    known = {name: dtype for name, dtype in overrides.items() if name in form.names}
    return _inferred(path, piece, line, form, _INFERRED_ROWS) | known


def _wider(
    path: Path,
    piece: bytes,
    line: int,
    form: Format,
    schema: dict[str, Any],
    error: pl.exceptions.PolarsError,
) -> dict[str, Any]:
    """The schema that the piece fits into as well; an error where it fits none."""
    _diagnose(path, piece, line, form)
    found = _inferred(path, piece, line, form, None)
    wider = {name: _common(dtype, found[name]) for name, dtype in schema.items()}
    if wider == schema:  # what looks like a whole number may have more digits than Int128 holds
        wider = {n: pl.Float64 if t == pl.Int128 else t for n, t in wider.items()}
    if wider == schema:
        _refuse(path, piece, line, error)
    text = {n: pl.String for n, t in wider.items() if t == pl.String and schema[n] != pl.String}
    if text:
        raise _TextFoundError(text)
    return wider


def _common(known: Any, found: Any) -> Any:
    """The type that holds values of both."""
    if known == found or known == pl.Categorical:
        return known
    if not (known.is_numeric() and found.is_numeric()):
        return pl.String
    both_whole = known.is_integer() and found.is_integer()
    return pl.Int128 if both_whole else pl.Float64


def _diagnose(path: Path, piece: bytes, line: int, form: Format) -> None:
    """The errors that polars does not place: broken encoding, rows of another length."""
    _decoded(path, piece, line)
    _check_lengths(path, piece, line, form)


def _refuse(path: Path, piece: bytes, line: int, error: pl.exceptions.PolarsError) -> NoReturn:
    reason = str(error).partition("\n")[0].rstrip(".")
    quote = b'"' in piece and (
        ", perhaps for a quote that is never closed or stands inside a field without quotes"
    )
    raise DataFileError(
        f"'{path}' cannot be read from line {line} on{quote or ''}: {reason}."
    ) from None


def _decoded(path: Path, data: bytes, line: int) -> str:
    """The bytes as text; DataFileError says where they are not UTF-8."""
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        place = line + data.count(b"\n", 0, error.start)
        byte = data[error.start]
        kind = " (it looks like UTF-16)" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else ""
        raise DataFileError(
            f"'{path}' is not UTF-8: line {place} has the byte 0x{byte:02x}{kind};"
            " save it as UTF-8."
        ) from None


def _check_short_rows(path: Path, piece: bytes, line: int, form: Format, n_rows: int) -> None:
    """DataFileError for a row that polars filled up: then the separators do not add up."""
    bare = _QUOTED.sub(b"", piece) if b'"' in piece else piece
    if bare.count(form.separator.encode()) != n_rows * (len(form.names) - 1):
        _check_lengths(path, piece, line, form)


def _check_lengths(path: Path, piece: bytes, line: int, form: Format) -> None:
    """DataFileError for the first row with more or fewer fields than there are columns."""
    rows = csv.reader(
        io.StringIO(piece.decode(errors="replace"), newline=""), delimiter=form.separator
    )
    before, wanted = 0, len(form.names)
    with suppress(csv.Error):  # a field without end: polars' own words say more
        for row in rows:
            if row and len(row) != wanted:
                first = f"the {'header' if form.header else 'first row'} has {wanted}"
                fields = f"{len(row)} field{'s' * (len(row) != 1)}"
                raise DataFileError(f"Line {line + before} of '{path}' has {fields}, but {first}.")
            before = rows.line_num
