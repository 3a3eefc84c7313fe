"""Learn from a table on disk, in one pass, how its columns become features and a target.

What comes out is what `fit_encoding` and `fit_target` would learn of all rows in memory; of the
scalings of numbers only "standard" can be had in a pass. Letters: N rows.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from mlp_jax.data.encoding import TableEncoding, TargetEncoding
from mlp_jax.data.streams.frames import Frames
from mlp_jax.data.streams.passes import ColumnPass, Numbers, column_pass
from mlp_jax.data.tables.columns import (
    RowNumbers,
    check_type,
    is_missing,
    is_text,
    numbers,
    row_number,
)
from mlp_jax.data.tables.encode import missing_text
from mlp_jax.data.tables.fit import check_kinds
from mlp_jax.data.tables.options import ColumnOptions
from mlp_jax.data.tables.read import listed
from mlp_jax.data.tables.targets import FoundTask, classes_of, find_task, standardized
from mlp_jax.errors import InputError

_MOST_DISTINCT = 100_000


def fit_table(
    frames: Frames,
    targets: Sequence[str],
    *,
    task: str = "auto",
    kinds: Mapping[str, str] | None = None,
    drop: Sequence[str] = (),
    options: ColumnOptions = ColumnOptions(),  # noqa: B008 - frozen
) -> tuple[TableEncoding, TargetEncoding, tuple[str, ...]]:
    """The encodings of features and target, and notes for the user.

    Raises InputError for a column that is not there, a target that has no value in a row, a column
    with too many words, a scaling that cannot be had in one pass, and no column of use.
    """
    if options.scaling != "standard":
        raise InputError(
            f"A table that streams is scaled by 'standard' in one pass, not by '{options.scaling}'."
        )
    schema = frames.schema
    for name in (*targets, *drop):
        if name not in schema:
            raise InputError(
                f"'{frames.name}' has no column {missing_text([name], list(schema))}; its columns:"
                f" {listed(list(schema))}."
            )
    known = check_kinds(kinds or {}, list(schema))
    features: dict[str, ColumnPass] = {}
    for name, dtype in schema.items():
        if name not in targets and name not in drop:
            check_type(pl.Series(name, [], dtype))
            features[name] = column_pass(name, dtype, known.get(name))
    target = [_TargetPass(name, schema[name]) for name in targets]
    for number in range(len(frames.starts) - 1):
        frame, first_row = frames.read(number, [*features, *targets]), frames.numbers(number)
        for name, column in features.items():
            column.add(frame.get_column(name), first_row)
        for output in target:
            output.add(frame.get_column(output.name), first_row)
    inputs, notes = _encoding(frames, features, options)
    predicted, note = _target(target, task, int(frames.starts[-1]))
    return inputs, predicted, notes + note


def _encoding(
    frames: Frames, features: Mapping[str, ColumnPass], options: ColumnOptions
) -> tuple[TableEncoding, tuple[str, ...]]:
    found = {name: column.found(options) for name, column in features.items()}
    numeric = tuple(column for one in found.values() for column in one.numeric)
    categorical = tuple(one.categorical for one in found.values() if one.categorical is not None)
    if not numeric and not categorical:
        raise InputError(
            f"No column of '{frames.name}' is of use as a feature: each is predicted, constant,"
            " missing or an identifier."
        )
    unused = tuple(n for n, one in found.items() if not one.numeric and one.categorical is None)
    notes = tuple(note for one in found.values() for note in one.notes)
    return TableEncoding(numeric, categorical, unused, frames.header), notes


class _TargetPass:
    """The distinct values of a target, as far as they are few, and its numbers."""

    def __init__(self, name: str, dtype: Any) -> None:
        check_type(pl.Series(name, [], dtype))
        self.name = name
        self.distinct: pl.Series | None = pl.Series(name, [], _plain(dtype))
        self.numbers = Numbers()
        self.not_a_number: InputError | None = None
        self._missing: dict[str, list[int]] = {"label": [], "number": []}  # first row, count

    def add(self, values: pl.Series, first_row: RowNumbers) -> None:
        """The values of the next block; first_row: of their first, or those of all."""
        values = values.cast(_plain(values.dtype))
        self._note("label", is_missing(values).to_numpy(), first_row)
        if self.distinct is not None:
            found = pl.concat([self.distinct, values.unique()]).unique()
            self.distinct = found if len(found) <= _MOST_DISTINCT else None
        if self.not_a_number is None:
            try:
                v = numbers(values, first_row)
            except InputError as error:
                self.not_a_number = error
                return
            self.numbers.add(v)
            self._note("number", ~np.isfinite(v), first_row)

    def check_whole(self, task: str) -> None:
        """InputError for the first row without a value."""
        missing = self._missing["number" if task == "regression" else "label"]
        if missing:
            raise InputError(
                f"Target '{self.name}' has no value in row {missing[0]} ({missing[1]} such rows): a"
                " table that streams has one in every row."
            )

    def _note(self, what: str, missing: np.ndarray, first_row: RowNumbers) -> None:
        if missing.any():
            known = self._missing[what] or [row_number(first_row, int(np.argmax(missing))), 0]
            self._missing[what] = [known[0], known[1] + int(np.count_nonzero(missing))]


def _plain(dtype: Any) -> Any:
    """Words as text, whatever a reader holds them as."""
    return pl.String() if is_text(dtype) else dtype


def _target(
    columns: Sequence[_TargetPass], task: str, n_rows: int
) -> tuple[TargetEncoding, tuple[str, ...]]:
    if not columns:
        raise InputError("No target is named: say which column is to be predicted.")
    distinct = [column.distinct for column in columns if column.distinct is not None]
    many = next((column for column in columns if column.distinct is None), None)
    if many is None:
        found = find_task(distinct, task, n_rows)
    elif task == "classification" or many.not_a_number is not None:
        raise InputError(
            f"Target '{many.name}' has more than {_MOST_DISTINCT} different values, which are too"
            " many for labels."
        )
    else:
        found = FoundTask("regression")
    for column in columns:
        column.check_whole(found.task)
    names = tuple(column.name for column in columns)
    if found.task == "classification":
        return TargetEncoding("classification", names, classes_of(distinct[0])), found.notes
    if found.task == "multilabel":
        return TargetEncoding("multilabel", names), found.notes
    return standardized([_figures(column) for column in columns]), found.notes


def _figures(column: _TargetPass) -> tuple[str, float, float]:
    """Name, mean and standard deviation of numbers."""
    if column.not_a_number is not None:
        raise column.not_a_number
    moments, (low, high) = column.numbers.moments, column.numbers.range
    spread = 0.0 if low == high else float(moments.deviation[0])
    return column.name, float(moments.mean[0]), spread
