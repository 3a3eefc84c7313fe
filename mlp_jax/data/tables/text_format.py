"""Format of delimited text: separator, names of columns, blank lines.

Lines count from 1.
"""

import csv
import gzip
import io
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mlp_jax.errors import DataFileError, InputError

SEPARATORS = ",;\t|"
NAMES = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "|"}
QUOTED = re.compile(rb'"[^"]*"')
_OPENED = re.compile(rb'(^|[,;\t|])"')
_HEADER_LINES = 100  # a quote still open then is not closed
_BOM = b"\xef\xbb\xbf"
_SEPARATOR_LINE = re.compile(rb"^sep=(.)\r?\n$", re.IGNORECASE)  # Excel's
_SAMPLE_BYTES = 1 << 16
_SAMPLE_ROWS = 21
_NUMBER = re.compile(r"^\s*[+-]?\d+([.,]\d+)?\s*$")


class DelimitedFormat(NamedTuple):
    """Format of a file of delimited text.

    Attributes:
        separator: separator of fields.
        names: stripped names of the columns; an unnamed column has its number after a space until
            `with_unnamed`.
        header: the first row has the names.
        offset: first byte of the values.
        line: first line of the values.
        found: the separator was detected.
    """

    separator: str
    names: list[str]
    header: bool
    offset: int
    line: int
    found: bool = False

    @property
    def unnamed(self) -> list[str]:
        """The columns without a name."""
        return [name for name in self.names if name[:1] in ("", " ")]


def with_unnamed(path: Path, form: DelimitedFormat, filled: Sequence[str]) -> DelimitedFormat:
    """Update the format, given the unnamed columns that hold a value.

    The one that does is called ""; the others are empty, as those that Excel leaves behind. Raises
    InputError if there are several.
    """
    if len(filled) > 1:
        places = " and ".join(str(form.names.index(name)) for name in filled[:2])
        raise InputError(
            f"'{path}' has more than one column without a name: columns {places} hold values, so"
            " name them in its first line."
        )
    aside = {name: f" {k}" for k, name in enumerate(form.names) if name in form.unnamed}
    aside.update(dict.fromkeys(filled, ""))
    return form._replace(names=[aside.get(name, name) for name in form.names])


def open_text(path: Path) -> Any:
    """Open a file for reading bytes, decompressed if it is named .gz."""
    return gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")


def read_format_of(path: Path, file: Any, separator: str | None, header: bool) -> DelimitedFormat:
    """Detect the format of an open file from its first lines.

    separator: None detects it. Excel's first line sep=; takes precedence, and blank lines before
    the header are skipped. Raises DataFileError for a file without a first row, InputError for
    duplicate names.
    """
    offset, line = _skip_to_first_row(file)
    mark = None
    first = _first_row(file)
    if own := _SEPARATOR_LINE.match(first):
        mark = own.group(1).decode("latin-1")
        offset, line = offset + len(first), line + 1
        first = _first_row(file)
    text = decoded(path, first, line).rstrip("\r\n")
    if not text.strip("\r\n"):
        raise DataFileError(f"'{path}' is empty.")
    found = separator is None and mark is None
    separator = separator or mark or _find_separator(path, file, first, line)
    try:
        names = next(csv.reader([text], delimiter=separator))
    except csv.Error as error:
        ends = " (lines must end in a line feed)" if "\r" in text else ""
        raise DataFileError(
            f"The first line of '{path}' is not a valid row: {error}{ends}."
        ) from None
    if not header:
        return DelimitedFormat(
            separator=separator,
            names=[str(k) for k in range(len(names))],
            header=False,
            offset=offset,
            line=line,
            found=found,
        )
    names = [name.strip() for name in names]
    check_names(path, [name for name in names if name])
    names = [name or f" {k}" for k, name in enumerate(names)]
    rows = first.count(b"\n")
    return DelimitedFormat(
        separator=separator,
        names=names,
        header=True,
        offset=offset + len(first),
        line=line + rows,
        found=found,
    )


def check_names(path: Path, names: list[str]) -> None:
    """Raise InputError for duplicate names."""
    twice = [name for k, name in enumerate(names) if name in names[:k]]
    if twice:
        raise InputError(f"'{path}' has more than one column called '{twice[0]}'.")


def _skip_to_first_row(file: Any) -> tuple[int, int]:
    """Return (byte, line) of the first line that is not blank, after the byte order mark."""
    offset, line = 0, 1
    if file.read(len(_BOM)) == _BOM:
        offset = len(_BOM)
    file.seek(offset)
    while (text := file.readline()) and not text.strip(b" \t\r\n"):
        offset, line = offset + len(text), line + 1
    file.seek(offset)
    return offset, line


def _first_row(file: Any) -> bytes:
    """Return the next row with its end; a quoted name may span several lines."""
    lines = [file.readline()]
    while (
        len(lines) < _HEADER_LINES
        and _OPENED.search(QUOTED.sub(b"", b"".join(lines)))
        and (line := file.readline())
    ):
        lines.append(line)
    return b"".join(lines)


def _find_separator(path: Path, file: Any, first: bytes, line: int) -> str:
    """Return the separator that gives the first rows the same number of fields, more than one.

    Ties go to the separator whose fields contain no others, except numbers with a decimal comma,
    then to the first of "," ";" tab "|". If none fits all rows, the one that fits most.
    """
    sample = first + file.read(_SAMPLE_BYTES)
    if len(sample) >= _SAMPLE_BYTES:
        sample = sample[: sample.rfind(b"\n") + 1] or sample
    text = sample.decode("utf-8", "replace")
    scores = {mark: _evenness(text, mark) for mark in SEPARATORS}
    return max(scores, key=lambda mark: scores[mark])  # the first of equals


def _evenness(text: str, mark: str) -> tuple[float, float]:
    """Return (share of rows with the most common width above 1, share of simple fields)."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=mark)
    try:
        rows = list(islice((row for row in reader if any(f.strip() for f in row)), _SAMPLE_ROWS))
    except csv.Error:
        return 0.0, 0.0
    widths = Counter(len(row) for row in rows if len(row) > 1)
    if not widths:
        return 0.0, 0.0
    _, count = widths.most_common(1)[0]
    others = [other for other in SEPARATORS if other != mark]
    fields = [field for row in rows for field in row]
    simple = sum(bool(_NUMBER.match(f)) or not any(o in f for o in others) for f in fields)
    return count / len(rows), simple / len(fields)


_LINE_END, _SPACE = ord("\n"), ord(" ")
_BLOCK = 1 << 17  # bytes


def without_blank_lines(piece: bytes, form: DelimitedFormat) -> bytes:
    """Remove blank lines outside quotes from complete rows.

    In a file of one column a blank line is a missing value, and is kept.
    """
    if len(form.names) == 1:
        return piece
    blank = _blank(form.separator)
    if not _may_hold_blank_lines(piece) or not blank.search(piece):
        return piece
    if b'"' not in piece:
        return blank.sub(b"", piece)
    return b"".join(_outside_quotes(piece, blank))


def _may_hold_blank_lines(piece: bytes) -> bool:
    """Return whether a line begins with white space: a quick test that most pieces fail."""
    return any(
        bool(((data[:-1] == _LINE_END) & (data[1:] <= _SPACE)).any())
        for data in blocks(b"\n" + piece, 2)
    )


def blocks(data: bytes, length: int) -> Iterator[np.ndarray]:
    """Iterate over parts that fit a processor's cache; each `length` bytes in a row are in one."""
    values = np.frombuffer(data, np.uint8)
    for start in range(0, len(values) - length + 1, _BLOCK):
        yield values[start : start + _BLOCK + length - 1]


def _outside_quotes(piece: bytes, blank: "re.Pattern[bytes]") -> Iterator[bytes]:
    """Iterate over the parts of the piece without the blank lines outside quotes."""
    start = counted = quotes = 0
    for match in blank.finditer(piece):
        quotes += piece.count(b'"', counted, match.start())
        counted = match.start()
        if quotes % 2 == 0:
            yield piece[start : match.start()]
            start = match.end()
    yield piece[start:]


def _blank(separator: str) -> "re.Pattern[bytes]":
    white = b"[ ]" if separator == "\t" else b"[ \\t]"
    return re.compile(rb"(?m)^" + white + rb"*\r?\n|^" + white + rb"+\r?\Z")


def decoded(path: Path, data: bytes, line: int) -> str:
    """Decode UTF-8; DataFileError with the place of an invalid byte."""
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
