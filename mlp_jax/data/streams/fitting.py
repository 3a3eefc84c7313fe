"""Learn from a table on disk, in one pass, how its columns become features and a target.

What comes out is what `fit_encoding` and `fit_target` would learn of all rows in memory; of the
scalings of numbers only "standard" can be had in a pass. Letters: N rows.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl

from mlp_jax.data.encoding import TableEncoding, TargetEncoding, TextForm
from mlp_jax.data.streams.frames import Frames
from mlp_jax.data.streams.parts import HeldOut
from mlp_jax.data.streams.passes import ColumnPass, NumberStatistics, column_pass
from mlp_jax.data.tables.columns import (
    RowNumbers,
    check_type,
    is_missing,
    is_stray,
    is_text,
    numbers,
    present,
    row_number,
)
from mlp_jax.data.tables.encode import missing_text
from mlp_jax.data.tables.fit import check_kinds, joined
from mlp_jax.data.tables.forms import (
    PLAIN,
    STRAY_SHARE,
    STRAY_WORDS,
    text_days,
    text_numbers,
)
from mlp_jax.data.tables.notes import MissingWords
from mlp_jax.data.tables.options import ColumnOptions, TextOptions
from mlp_jax.data.tables.read import listed
from mlp_jax.data.tables.target_task import (
    FoundTask,
    TargetCounts,
    find_task,
    target_counts,
)
from mlp_jax.data.tables.targets import labels_encoding, standardized, target_columns
from mlp_jax.data.task import constant_notes
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
            f"A streamed table can only be scaled by 'standard', not by '{options.scaling}'."
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
            features[name] = column_pass(name, dtype, known.get(name), options.text)
    target = [_TargetPass(name, schema[name], options.text) for name in targets]
    missing = MissingWords(options.text.na_values)
    for number in range(len(frames.starts) - 1):
        frame, first_row = frames.read(number, [*features, *targets]), frames.numbers(number)
        for name, column in features.items():
            came = frame.get_column(name)
            values = present(came, options.text.na_values)
            missing.add(came, values)
            column.add(values, first_row)
        for output in target:
            output.add(frame, first_row)
    found = {name: column.found(options) for name, column in features.items()}
    inputs = replace(joined(found, options), header=frames.header, separator=frames.separator)
    notes = missing.notes() + tuple(note for one in found.values() for note in one.notes)
    predicted, note = _target(target, task, options.text, frames.written)
    return inputs, predicted, note + notes


def with_stray_words(
    inputs: TableEncoding, schema: Mapping[str, Any], held: HeldOut
) -> TableEncoding:
    """The encoding, with the few words among numbers that stand in rows held out alone.

    They count as missing as those of the training rows do.
    """
    written = [c for c in inputs.numeric if is_text(schema[c.name]) and not c.boolean]
    if not written:
        return inputs
    counts: dict[str, Counter[str]] = {column.name: Counter() for column in written}
    n_rows = 0
    for _, frame in held.rows(list(counts), again=True):
        n_rows += frame.height
        for column in written:
            values = present(frame.get_column(column.name), inputs.na_values).cast(pl.String)
            read = text_days(values, column.form) if column.part else None
            found = text_numbers(values, column.form) if read is None else pl.Series(read)
            odd = (found.is_null() | found.is_nan()) & ~is_stray(values, column.form)
            counts[column.name].update(values.filter(odd).str.to_lowercase().to_list())
    few = {
        name: tuple(words)
        for name, words in counts.items()
        if words and len(words) <= STRAY_WORDS and words.total() <= STRAY_SHARE * n_rows
    }
    numeric = tuple(
        replace(c, form=replace(c.form, missing=c.form.missing + few.get(c.name, ())))
        for c in inputs.numeric
    )
    return replace(inputs, numeric=numeric)


class _TargetPass:
    """The distinct values of a target, as far as they are few, and its numbers."""

    def __init__(self, name: str, dtype: Any, text: TextOptions) -> None:
        check_type(pl.Series(name, [], dtype))
        self.name = name
        self.counts: pl.DataFrame | None = None
        self.too_many = False
        self.numbers = NumberStatistics()
        self.not_a_number: InputError | None = None
        self._text = text
        self._missing: dict[str, list[int]] = {"label": [], "number": []}  # first row, count

    @property
    def found(self) -> TargetCounts:
        """Its distinct values and their rows."""
        assert self.counts is not None
        values = self.counts.get_column("value").alias(self.name)
        rows, first = (self.counts.get_column(name).to_numpy() for name in ("rows", "row"))
        return TargetCounts(values, rows, first)

    def add(self, frame: pl.DataFrame, first_row: RowNumbers) -> None:
        """The values of the next block; first_row: of their first, or those of all."""
        (values,) = target_columns(frame, [self.name], self._text.na_values)
        values = values.cast(_plain(values.dtype))
        self._note("label", is_missing(values).to_numpy(), first_row)
        if not self.too_many:
            found = target_counts(values, first_row)
            counts = pl.DataFrame({"value": found.values, "rows": found.rows, "row": found.first})
            if self.counts is not None:
                groups = pl.concat([self.counts, counts]).group_by("value")
                counts = groups.agg(pl.col("rows").sum(), pl.col("row").min()).sort("row")
            self.counts = counts
            self.too_many = counts.height > _MOST_DISTINCT
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
                f"Target '{self.name}' has no value in row {missing[0]} ({missing[1]} such"
                " training rows). A streamed table needs a target in every row: remove these"
                " rows, or train without --stream."
            )

    def _note(self, what: str, missing: np.ndarray, first_row: RowNumbers) -> None:
        if missing.any():
            known = self._missing[what] or [row_number(first_row, int(np.argmax(missing))), 0]
            self._missing[what] = [known[0], known[1] + int(np.count_nonzero(missing))]


def _plain(dtype: Any) -> Any:
    """Words as text, whatever a reader holds them as."""
    return pl.String() if is_text(dtype) else dtype


def _target(
    columns: Sequence[_TargetPass], task: str, text: TextOptions, written: bool
) -> tuple[TargetEncoding, tuple[str, ...]]:
    if not columns:
        raise InputError("No target is named: name the column to predict.")
    many = next((column for column in columns if column.too_many), None)
    if many is None:
        found = find_task([column.found for column in columns], task, text)
    elif task == "classification" or many.not_a_number is not None:
        raise InputError(
            f"Target '{many.name}' has more than {_MOST_DISTINCT} different values, which are too"
            " many for labels."
        )
    else:
        why = f"it holds more than {_MOST_DISTINCT} different numbers"
        found = FoundTask("regression", (f"Target '{many.name}': regression, since {why}.",))
    for column in columns:
        column.check_whole(found.task)
    names = tuple(column.name for column in columns)
    if found.task == "classification":
        labels = columns[0].found.values
        return labels_encoding(names[0], labels, text.na_values, written), found.notes
    if found.task == "multilabel":
        return TargetEncoding(task="multilabel", names=names, na_values=text.na_values), found.notes
    forms = found.forms or (PLAIN,) * len(columns)
    each = [_numbers_of(column, form) for column, form in zip(columns, forms, strict=True)]
    low, high = zip(*(one.range for one in each), strict=True)
    figures = [
        (name, float(one.moments.mean[0]), 0.0 if a == b else float(one.moments.deviation[0]))
        for name, one, a, b in zip(names, each, low, high, strict=True)
    ]
    notes = found.notes + constant_notes(low, high, names)
    return standardized(figures, forms, text.na_values), notes


def _numbers_of(column: _TargetPass, form: TextForm) -> NumberStatistics:
    """The moments of a target's numbers."""
    moments = column.numbers
    if column.not_a_number is not None:
        if form == PLAIN:
            raise column.not_a_number
        moments = NumberStatistics()
        moments.add(numbers(column.found.values, 0, form), column.found.rows)
    return moments
