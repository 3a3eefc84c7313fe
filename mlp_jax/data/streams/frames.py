"""Tables on disk in blocks of rows, as columns: Parquet files, a folder of them, CSV and TSV.

A block is what is decoded at once, at most 32 MiB of features: row groups of a Parquet file, or a
part of one that is larger; or a piece of text that ends where a row ends, whose place one pass over
the file has found.

Letters: N rows, K blocks.
"""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
import polars as pl
from jaxtyping import Int64

from mlp_jax.data.streams.row_groups import row_groups
from mlp_jax.data.tables.columns import RowNumbers, shown
from mlp_jax.data.tables.delimited import cut_delimited, read_format, read_piece
from mlp_jax.data.tables.encode import missing_text
from mlp_jax.data.tables.options import TextOptions
from mlp_jax.data.tables.read import (
    check_parquet,
    has_decimal_commas,
    reading_parquet,
    separator_notes,
    separator_of,
    unnamed_notes,
)
from mlp_jax.data.tables.text_format import DelimitedFormat, check_names
from mlp_jax.errors import DataFileError, InputError, UnknownNameError

SUFFIXES = (".parquet", ".csv", ".tsv")
_BLOCK_BYTES = 1 << 25  # as float32, a feature a column
_TEXT_BYTES = 1 << 24
_LEAST_ROWS = 1024


@runtime_checkable
class Frames(Protocol):
    """The columns of a table in K blocks of rows."""

    @property
    def name(self) -> str:
        """Name in messages."""

    @property
    def schema(self) -> dict[str, Any]:
        """The type of each column."""

    @property
    def header(self) -> bool:
        """True if the file names its columns; else they are "0", "1", …."""

    @property
    def written(self) -> bool:
        """True if the file is text, whose types are inferred."""

    @property
    def separator(self) -> str:
        """Of the fields of a file of text; "" of others."""

    @property
    def starts(self) -> Int64[np.ndarray, " K1"]:
        """(K + 1,): the first row of each block, and N."""

    def read(self, number: int, columns: Sequence[str]) -> pl.DataFrame:
        """These columns of the rows of a block."""

    def numbers(self, number: int) -> RowNumbers:
        """Return the numbers of a block's rows in messages."""


def open_frames(
    path: Path,
    *,
    header: bool = True,
    as_text: tuple[str, ...] = (),
    text: TextOptions = TextOptions(),  # noqa: B008 - frozen
) -> Frames:
    """A folder of Parquet files, in the order of their names, or a Parquet, CSV or TSV file.

    header, as_text and text: of delimited text, as `read_table` takes them; its types are found in
    one pass over the file. Raises DataFileError for what is missing, empty, cut off, compressed or
    no table, InputError for a table without rows, and for files whose columns differ.
    """
    if path.is_dir():
        files = sorted(path.glob("*.parquet"))
        if not files:
            raise DataFileError(f"The folder '{path}' has no .parquet file.")
        return ParquetFrames(path.resolve().name, files)
    if path.name.lower().endswith(".gz"):
        raise DataFileError(
            f"'{path}' is gzipped, so its rows cannot be read block by block: gunzip it first."
        )
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise UnknownNameError("kind of table file", path.name, SUFFIXES)
    if not path.is_file():
        raise DataFileError(f"There is no file '{path}'.")
    if suffix == ".parquet":
        return ParquetFrames(path.stem, [path])
    return DelimitedFrames(path, header, as_text, text)


class _Slice(NamedTuple):
    """Rows of a file."""

    path: Path
    first: int
    rows: int


class _Numbered:
    """Rows that messages number as the files have them, one after the other."""

    starts: Int64[np.ndarray, " K1"]

    def numbers(self, number: int) -> RowNumbers:
        """Return the number of a block's first row in messages."""
        return int(self.starts[number])


class ParquetFrames(_Numbered):
    """Parquet files of the same columns, one after the other."""

    header = True
    written = False
    separator = ""

    def __init__(self, name: str, files: Sequence[Path]) -> None:
        self.name = name
        self.schema: dict[str, Any] = {}
        self._slices: list[_Slice] = []
        for path in files:
            check_parquet(path)
            with reading_parquet(path):
                lazy = pl.scan_parquet(path, glob=False)
                schema = dict(lazy.collect_schema())
                n_rows = int(lazy.select(pl.len()).collect().item())
            check_names(path, list(schema))
            if self.schema:
                _check_same(files[0], self.schema, path, schema)
            else:
                self.schema = schema
            most = max(_LEAST_ROWS, _BLOCK_BYTES // (4 * len(schema)))
            groups = row_groups(path)
            self._slices += _slices(path, groups if sum(groups) == n_rows else [n_rows], most)
        if not self._slices:
            raise InputError(f"'{name}' has no rows.")
        self.starts = np.cumsum([0, *(part.rows for part in self._slices)])

    def read(self, number: int, columns: Sequence[str]) -> pl.DataFrame:
        """These columns of the rows of a block."""
        path, first, rows = self._slices[number]
        with reading_parquet(path):
            lazy = pl.scan_parquet(path, glob=False).slice(first, rows)
            frame = lazy.select(list(columns)).collect()
        if frame.height != rows:
            raise DataFileError(f"'{path}' was changed after it was opened.")
        return frame


class DelimitedFrames(_Numbered):
    """A file of delimited text.

    likely: the decimal mark that it uses where only one explains the text. notes: what was
    inferred when it was opened.
    """

    written = True

    def __init__(
        self, path: Path, header: bool, as_text: tuple[str, ...], text: TextOptions
    ) -> None:
        self.name, self.header = path.stem, header
        self.likely = text.likely
        self._path = path
        self._form: DelimitedFormat = read_format(path, separator_of(path, text), header)
        self.separator = self._form.separator
        self.notes = tuple(separator_notes(self._form))
        written = None if text.decimal == "," else as_text
        self._cut(written)
        self.notes += tuple(unnamed_notes(len(self._form.names) - len(self.schema)))
        floats = tuple(name for name, dtype in self.schema.items() if dtype.is_float())
        if not text.decimal and has_decimal_commas(self.read(0, list(self.schema))):
            self.likely = ","
            if floats:
                self._cut((*as_text, *floats))

    def _cut(self, as_text: tuple[str, ...] | None) -> None:
        """Find the pieces and the types, in one pass."""
        cut = cut_delimited(self._path, self._form, _TEXT_BYTES, as_text)
        self._pieces, self.schema, self._form = cut
        self.starts = np.cumsum([0, *(piece.rows for piece in self._pieces)])

    def read(self, number: int, columns: Sequence[str]) -> pl.DataFrame:
        """These columns of the rows of a block."""
        piece = self._pieces[number]
        return read_piece(self._path, self._form, piece, self.schema, list(columns))


def _slices(path: Path, groups: Sequence[int], most: int) -> list[_Slice]:
    """A file of these row groups in slices of at most `most` rows: groups together, or parts."""
    found: list[_Slice] = []
    first = open_from = 0
    for rows in groups:
        if first > open_from and first + rows - open_from > most:
            found.append(_Slice(path, open_from, first - open_from))
            open_from = first
        first += rows
        if rows > most:
            edges = np.linspace(open_from, first, -(-rows // most) + 1, dtype=np.int64).tolist()
            found += [_Slice(path, a, b - a) for a, b in pairwise(edges)]
            open_from = first
    if first > open_from:
        found.append(_Slice(path, open_from, first - open_from))
    return found


def _check_same(first: Path, known: dict[str, Any], path: Path, found: dict[str, Any]) -> None:
    """InputError for the first column that the files do not have in common."""
    for one, other, a, b in ((known, found, first, path), (found, known, path, first)):
        absent = [name for name in one if name not in other]
        if absent:
            raise InputError(
                f"'{b}' has no column {missing_text(absent[:1], list(other))}, which '{a}' has."
            )
    for name, dtype in known.items():
        if found[name] != dtype:
            raise InputError(
                f"Column {shown(name)} holds {dtype} in '{first}', but {found[name]} in '{path}'."
            )
