"""Files as a Table: CSV, TSV, Parquet, NPY; and the choice of the target columns."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl

from mlp_jax.data.arrays import TASKS
from mlp_jax.data.table import Kind, Table
from mlp_jax.data.tables.columns import is_text
from mlp_jax.data.tables.delimited import read_delimited, read_format
from mlp_jax.data.tables.encode import missing_text
from mlp_jax.data.tables.fit import check_kinds
from mlp_jax.data.tables.forms import number_form
from mlp_jax.data.tables.options import TextOptions
from mlp_jax.data.tables.reading import word_counts
from mlp_jax.data.tables.text_format import NAMES, DelimitedFormat, check_names
from mlp_jax.errors import DataFileError, InputError, UnknownNameError

SUFFIXES = (".csv", ".csv.gz", ".tsv", ".tsv.gz", ".parquet", ".npy")
USUAL_TARGETS = ("target", "label", "class", "y")
_SAMPLE_ROWS = 1000
_PARQUET = b"PAR1"


def read_table(
    path: Path,
    *,
    targets: Sequence[str] = (),
    task: str = "auto",
    kinds: Mapping[str, str] | None = None,
    drop: Sequence[str] = (),
    header: bool = True,
    text: TextOptions = TextOptions(),  # noqa: B008 - frozen
) -> Table:
    """Read a table by its suffix (SUFFIXES; a .npy holds numbers (N, I)).

    Args:
        targets: columns by name, or by index from 0 or, from the end, −1 (default: the only one
            called target, label, class or y). Without a header, and in a .npy, columns are "0",
            "1", ….
        drop: columns to leave out.
        text: format of text.

    Raises:
        DataFileError: for a file that cannot be read.
        InputError: for a name that is unknown, ambiguous or duplicate, or no rows.
    """
    if task not in TASKS:
        raise UnknownNameError("task", task, TASKS)
    said = tuple(name for name, kind in (kinds or {}).items() if kind == "categorical")
    categories = (*said, *text.as_text)
    written = is_delimited(path) and path.is_file()
    form = read_fitting_format(path, text, header) if written else None
    if form is not None:
        text = replace(text, separator=form.separator)
    frame = read_frame(path, header=header, as_text=categories, text=text)
    notes: list[str] = []
    likely: Literal[".", ","] = "."
    if form is not None:
        notes += separator_notes(form)
        notes += unnamed_notes(len(form.names) - frame.width)
        if not text.decimal and has_decimal_commas(frame):
            likely = ","
            floats = tuple(name for name, dtype in frame.schema.items() if dtype.is_float())
            if floats:
                frame = read_frame(path, header=header, as_text=(*categories, *floats), text=text)
    declared = {} if written else declared_categories(frame.schema)
    known = check_kinds({**declared, **(kinds or {})}, frame.columns)
    found = chosen_targets(path, targets, drop, frame.columns)
    if not targets:
        notes.append(target_note(found[0]))
    return Table(
        name=Path(path.name.removesuffix(".gz")).stem,
        frame=frame.drop(drop),
        targets=found,
        kinds={name: kind for name, kind in known.items() if name not in drop},
        task=task,
        header=header,
        written=written,
        separator="" if form is None else form.separator,
        likely=likely,
        notes=tuple(notes),
    )


def declared_categories(schema: Mapping[str, Any]) -> dict[str, Kind]:
    """Return the categorical columns of a typed file."""
    return {n: "categorical" for n, kind in schema.items() if isinstance(kind, pl.Categorical)}


def target_note(name: str) -> str:
    """Return a note on a target that was chosen by its name."""
    return f"Column '{name}' is the target, by its name: --target sets another."


def separator_notes(form: DelimitedFormat) -> list[str]:
    """Return a note on a detected separator, unless it is the comma."""
    if not form.found or form.separator == ",":
        return []
    name = NAMES[form.separator]
    return [f"The fields are separated by {name} (--separator sets another)."]


def unnamed_notes(n_columns: int) -> list[str]:
    """Return a note on columns with neither a name nor a value."""
    if not n_columns:
        return []
    are = "column without a name is" if n_columns == 1 else "columns without a name are"
    return [f"{n_columns} {are} left out: no row has a value there."]


def is_delimited(path: Path) -> bool:
    """Return True if the suffix is that of delimited text."""
    return path.name.lower().endswith((".csv", ".csv.gz", ".tsv", ".tsv.gz"))


def separator_of(path: Path, text: TextOptions) -> str | None:
    """Return the separator that the user or the suffix sets; None to detect it."""
    return text.separator or ("\t" if ".tsv" in path.name.lower() else None)


def read_fitting_format(path: Path, text: TextOptions, header: bool) -> DelimitedFormat:
    """Detect the format of a file with a separator that gives the needed columns.

    Raises DataFileError for an unreadable header, InputError for duplicate names, or if no needed
    column is present.
    """
    form = read_format(path, separator_of(path, text), header)
    needed = set(text.needed)
    if text.separator is None and text.usual and not needed <= set(form.names):
        other = read_format(path, text.usual, header)
        form = other if needed <= set(other.names) else form
    if needed and not needed & set(form.names):
        raise InputError(
            f"'{path}' has none of the columns that the model needs ({listed(text.needed, 6)});"
            f" its columns are {listed(form.names, 6)}. If its fields are not separated by"
            f" {NAMES.get(form.separator, form.separator)}, set --separator."
        )
    return form


def has_decimal_commas(frame: pl.DataFrame) -> bool:
    """Return True if some text column is numbers that only fit a decimal comma."""
    for column in frame.head(_SAMPLE_ROWS):
        if is_text(column.dtype):
            counts = word_counts(column)
            words = counts.get_column("text").str.strip_chars()
            if words.str.contains(",", literal=True).any():
                found = number_form(words, counts.get_column("rows").to_numpy())
                if found is not None and found.form.decimal == "," and not found.other:
                    return True
    return False


def chosen_targets(
    path: Path, targets: Sequence[str], drop: Sequence[str], columns: Sequence[str]
) -> tuple[str, ...]:
    """Return the target columns as in `read_table`; InputError for an unknown one."""
    absent = [name for name in drop if name not in columns]
    if absent:
        raise InputError(f"'{path}' has no column {missing_text(absent, columns)} to drop.")
    found = tuple(dict.fromkeys(find_column(path, name, columns) for name in targets))
    found = found or (_usual_target(path, columns),)
    both = [name for name in found if name in drop]
    if both:
        raise InputError(f"Column '{both[0]}' is the target, so it cannot be dropped.")
    return found


def read_frame(
    path: Path,
    *,
    header: bool = True,
    as_text: tuple[str, ...] = (),
    text: TextOptions = TextOptions(),  # noqa: B008 - frozen
) -> pl.DataFrame:
    """Read the columns of a table's file."""
    name = path.name.lower()
    if not name.endswith(SUFFIXES):
        raise UnknownNameError("kind of table file", path.name, SUFFIXES)
    if not path.exists():
        raise DataFileError(f"There is no file '{path}'.")
    if path.is_dir():
        raise DataFileError(f"'{path}' is a folder, not a file.")
    if name.endswith(".npy"):
        return _read_npy(path)
    if name.endswith(".parquet"):
        return _read_parquet(path)
    return read_delimited(
        path,
        separator=separator_of(path, text),
        header=header,
        as_text=None if text.decimal == "," else as_text,
    )


def check_parquet(path: Path) -> None:
    """Raise DataFileError for a file without the first and last bytes of Parquet."""
    with path.open("rb") as file:
        head = file.read(4)
        size = file.seek(0, 2)
        file.seek(max(0, size - 4))
        tail = file.read()
    if head != _PARQUET:
        raise DataFileError(
            f"'{path}' is empty." if not size else f"'{path}' is not a Parquet file."
        )
    if tail != _PARQUET or size < 12:
        raise DataFileError(
            f"'{path}' is a truncated Parquet file: its end is missing after {size} bytes."
        )


@contextmanager
def reading_parquet(path: Path) -> Iterator[None]:
    """Turn polars' errors for a damaged file into a DataFileError."""
    try:
        yield
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        reason = str(error).partition("\n")[0].rstrip(".")
        raise DataFileError(f"'{path}' is a damaged Parquet file: {reason}.") from None


def _read_parquet(path: Path) -> pl.DataFrame:
    check_parquet(path)
    with reading_parquet(path):
        frame = pl.read_parquet(path, glob=False)
    check_names(path, frame.columns)
    if not frame.height:
        raise InputError(f"'{path}' has no rows.")
    return frame


def _read_npy(path: Path) -> pl.DataFrame:
    try:
        array = np.load(path, allow_pickle=False, mmap_mode="r")
    except (ValueError, EOFError, OSError) as error:
        if "allow_pickle" in str(error) or "object" in str(error).lower():
            raise InputError(
                f"'{path}' holds objects, which need pickle: save it as numbers."
            ) from None
        reason = " ".join(str(error).split()).rstrip(".")
        raise DataFileError(f"'{path}' is a damaged .npy file: {reason}.") from None
    if not isinstance(array, np.ndarray) or array.ndim != 2 or array.dtype.kind not in "biufU":
        raise InputError(
            f"A table in an .npy file must hold numbers (rows, columns), but '{path}' holds"
            f" {getattr(array, 'dtype', 'arrays')} of shape {getattr(array, 'shape', ())}."
        )
    if not array.size:
        raise InputError(f"'{path}' has no rows or no columns: its shape is {array.shape}.")
    return pl.DataFrame({str(k): _column(array[:, k]) for k in range(array.shape[1])})


def _column(values: np.ndarray) -> np.ndarray:
    """Return a contiguous column in a dtype that polars has."""
    values = np.ascontiguousarray(values)
    return values.astype(np.float32) if values.dtype == np.float16 else values


def find_column(path: Path, name: str, columns: Sequence[str]) -> str:
    """Return the column of that name or index; InputError for an unknown or ambiguous one."""
    index = int(name) if name.removeprefix("-").isdecimal() else None
    inside = index is not None and -len(columns) <= index < len(columns)
    by_index = columns[index] if index is not None and inside else None
    if name in columns:
        if by_index is not None and by_index != name:
            raise InputError(
                f"'{name}' is ambiguous in '{path}': it is the name of column"
                f" {list(columns).index(name)} and the index of column '{by_index}'."
            )
        return name
    if by_index is not None:
        return by_index
    if index is not None:
        raise InputError(
            f"'{path}' has no column {name}: its {len(columns)} columns are 0 to"
            f" {len(columns) - 1}, or −{len(columns)} to −1 from the end."
        )
    stripped = [column for column in columns if column.strip() == name.strip()]
    if len(stripped) == 1:
        return stripped[0]
    raise InputError(
        f"'{path}' has no column {missing_text([name], columns)}; its columns: {listed(columns)}."
    )


def _usual_target(path: Path, columns: Sequence[str]) -> str:
    usual = [name for name in columns if name.lower() in USUAL_TARGETS]
    if len(usual) == 1:
        return usual[0]
    several = f" ({', '.join(usual)} are candidates)" if usual else ""
    raise InputError(
        f"Which column of '{path}' is the target{several}? Name it with --target; the columns"
        f" are: {listed(columns)}."
    )


def listed(names: Sequence[str], most: int = 30) -> str:
    """List names for a message, the first of them if there are many."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(f"'{name}'" for name in names[:most]) + more
