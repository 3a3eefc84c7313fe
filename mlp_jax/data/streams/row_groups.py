"""Number of rows of each row group of a Parquet file, which polars does not report.

The end of the file holds its metadata in Thrift's compact protocol (Apache Parquet,
`parquet.thrift`: field 4 of FileMetaData is the list of row groups, field 3 of a RowGroup its
number of rows). To read a row with its row group costs a fifth of what it costs in a slice through
a large one.
"""

from pathlib import Path

from mlp_jax.errors import DataFileError

_TRUE, _FALSE, _BYTE, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT = 1, 2, 3, 7, 8, 9, 10, 11, 12
_WHOLE = (4, 5, 6)  # i16, i32, i64
_ROW_GROUPS, _NUM_ROWS = 4, 3


def row_groups(path: Path) -> list[int]:
    """The rows of each row group. DataFileError for metadata that cannot be read."""
    with path.open("rb") as file:
        size = file.seek(-8, 2)
        length = int.from_bytes(file.read(4), "little")
        if length > size:
            raise DataFileError(f"'{path}' is a damaged Parquet file: its metadata are cut off.")
        file.seek(size - length)
        data = file.read(length)
    try:
        return _Compact(data).row_groups()
    except (IndexError, ValueError, RecursionError):
        raise DataFileError(
            f"'{path}' is a damaged Parquet file: its metadata cannot be read."
        ) from None


class _Compact:
    """A walk over metadata, that keeps the numbers it came for and skips all else."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def row_groups(self) -> list[int]:
        field = 0
        while (head := self._byte()) != 0:
            field = field + (head >> 4) if head >> 4 else self._signed()
            if field == _ROW_GROUPS and head & 15 == _LIST:
                size, _ = self._list()
                return [self._num_rows() for _ in range(size)]
            self._skip(head & 15)
        return []

    def _num_rows(self) -> int:
        """The rows of the row group that begins here."""
        field, rows = 0, 0
        while (head := self._byte()) != 0:
            field = field + (head >> 4) if head >> 4 else self._signed()
            if field == _NUM_ROWS and head & 15 in _WHOLE:
                rows = self._signed()
            else:
                self._skip(head & 15)
        return rows

    def _skip(self, kind: int, element: bool = False) -> None:
        if kind in (_TRUE, _FALSE):
            self._at += element  # as a field, the kind is the value
        elif kind == _BYTE:
            self._at += 1
        elif kind in _WHOLE:
            self._number()
        elif kind == _DOUBLE:
            self._at += 8
        elif kind == _BINARY:
            size = self._number()
            self._at += size
        elif kind in (_LIST, _SET):
            size, of = self._list()
            for _ in range(size):
                self._skip(of, element=True)
        elif kind == _MAP:
            size = self._number()
            kinds = self._byte() if size else 0
            for _ in range(size):
                self._skip(kinds >> 4, element=True)
                self._skip(kinds & 15, element=True)
        elif kind == _STRUCT:
            while (head := self._byte()) != 0:
                if not head >> 4:
                    self._signed()
                self._skip(head & 15)
        else:
            raise ValueError(kind)

    def _list(self) -> tuple[int, int]:
        """Size of a list, and the kind of its elements."""
        head = self._byte()
        return (self._number() if head >> 4 == 15 else head >> 4), head & 15

    def _byte(self) -> int:
        byte = self._data[self._at]
        self._at += 1
        return byte

    def _number(self) -> int:
        number = shift = 0
        while (byte := self._byte()) & 0x80:
            number |= (byte & 0x7F) << shift
            shift += 7
        return number | byte << shift

    def _signed(self) -> int:
        number = self._number()
        return number >> 1 if not number & 1 else -(number >> 1) - 1
