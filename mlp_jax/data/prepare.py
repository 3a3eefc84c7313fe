"""Preparation for training: rows are split, and encodings are fitted to the training rows only.

Letters: N rows, I features, C classes or outputs.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Int8

from mlp_jax.data.dataset import Dataset, Split
from mlp_jax.data.encoding import (
    ArrayEncoding,
    InputEncoding,
    TableEncoding,
    TargetEncoding,
    scaled_target,
)
from mlp_jax.data.scaling import check_targets_near, farthest, fit_scaling, refuse_far
from mlp_jax.data.source import Streamed
from mlp_jax.data.splits import TEST, TRAIN, VALIDATION, part_of_rows, usual_validation
from mlp_jax.data.table import Table
from mlp_jax.data.tables.options import ColumnOptions
from mlp_jax.data.task import constant_notes
from mlp_jax.errors import InputError

if TYPE_CHECKING:
    import polars as pl

    from mlp_jax.data.tables.split import TableSplit


@dataclass(frozen=True, eq=False)
class Prepared:
    """Split rows, and the encodings fitted to the training rows.

    Attributes:
        name: name in messages.
        train: training rows. x of a table is encoded, float32; arrays are unscaled (`inputs` is
            applied later). y are labels (N,) int32, 0 and 1 (N, C), or numbers in their units.
        validation: validation rows, or None.
        test: test rows, or None.
        inputs: encoding of rows.
        target: encoding of targets.
        notes: what was inferred, for the user.
        part: TRAIN, VALIDATION or TEST of each of the source's training rows, negative for unused
            ones, None if they stream. Each part keeps the order of the rows.
    """

    name: str
    train: Split | Streamed
    validation: Split | None
    test: Split | None
    inputs: InputEncoding
    target: TargetEncoding
    notes: tuple[str, ...]
    part: Int8[np.ndarray, " M"] | None

    @property
    def test_rows(self) -> np.ndarray | None:
        """Indices of the test rows among the source's training rows.

        None if the source has separate test rows, there are none, or the rows stream.
        """
        if self.part is None:
            return None
        found = np.flatnonzero(self.part == TEST)
        return found if len(found) else None


Known = tuple[InputEncoding, TargetEncoding | None]


def prepare(
    source: Dataset | Table,
    *,
    test: float,
    validation: float | None,
    seed: int,
    split_column: str | None = None,
    group_column: str | None = None,
    options: ColumnOptions = ColumnOptions(),  # noqa: B008 - frozen
    known: Known | None = None,
) -> Prepared:
    """Split the rows and fit the encodings to the training rows.

    Args:
        source: the data.
        test: fraction of test rows, stratified by class.
        validation: fraction of validation rows, stratified by class (default: a tenth, at most 2000
            rows).
        seed: seed of the split.
        split_column: column of a table with train, validation (valid, val) or test for each row; it
            is not a feature. Validation rows are drawn by fraction if it names none.
        group_column: column whose values stay within one part; it is not a feature.
        options: encoding of columns.
        known: encodings (inputs, target or None) to apply instead of fitting.

    Returns:
        The parts and encodings.

    Raises:
        InputError: for data that cannot be split or encoded.
    """
    if isinstance(source, Table):
        from mlp_jax.data.tables.split import split_table

        text = replace(options.text, likely=source.likely)
        options = replace(options, text=text)
        parts = split_table(source, test, validation, seed, split_column, group_column, text)
        return _prepare_table(source, parts, options, known)
    named = split_column or group_column
    if named is not None:
        raise InputError(
            f"'{source.name}' has no column '{named}' to split by: its rows are arrays without"
            " named columns."
        )
    return _prepare_dataset(source, test, validation, seed, known)


def _prepare_dataset(
    source: Dataset, test: float, validation: float | None, seed: int, known: Known | None
) -> Prepared:
    n_rows = len(source.train)
    part = part_of_rows(
        n_rows,
        source.train.y if source.is_classification else None,
        test=None if source.test is not None else test,
        validation=usual_validation(n_rows) if validation is None else validation,
        seed=seed,
    )
    train = _take(source.train, part == TRAIN)
    held_out = _take(source.train, part == TEST) or None
    inputs, target = (None, None) if known is None else known
    numbers = np.flatnonzero(part == TRAIN)
    inputs = _array_encoding(source, train, numbers) if inputs is None else inputs
    target = array_target(source, train.y, numbers) if target is None else target
    if target.task == "regression":
        check_targets_near(source.train.y, target.scale, target.offset, np.arange(n_rows))
    if not isinstance(inputs, ArrayEncoding):
        raise InputError(f"'{source.name}' holds arrays, but the model was trained on a table.")
    if inputs.n_features != source.n_features:
        raise InputError(
            f"'{source.name}' has {source.n_features} features, but the model takes"
            f" {inputs.n_features}."
        )
    return Prepared(
        name=source.name,
        train=train,
        validation=_take(source.train, part == VALIDATION) or None,
        test=source.test if source.test is not None else held_out,
        inputs=inputs,
        target=target,
        notes=source.notes + _constant(train.y, ()) * (target.task == "regression"),
        part=part,
    )


def _constant(y: np.ndarray, names: Sequence[str]) -> tuple[str, ...]:
    """Return notes on targets (N,) or (N, C) that are constant over the training rows."""
    columns = y.reshape(len(y), -1)
    return constant_notes(columns.min(axis=0).tolist(), columns.max(axis=0).tolist(), names)


def _take(rows: Split, chosen: np.ndarray) -> Split:
    return rows if chosen.all() else Split(rows.x[chosen], rows.y[chosen])


def _array_encoding(source: Dataset, train: Split, rows: np.ndarray) -> ArrayEncoding:
    scaling = fit_scaling(train.x, pixels=source.image_shape is not None, rows=rows)
    return ArrayEncoding(
        n_features=source.n_features,
        scale=tuple(scaling.scale.reshape(-1).tolist()),
        offset=tuple(scaling.offset.reshape(-1).tolist()),
        pixels=train.x.dtype == np.uint8,
        image_shape=source.image_shape or (),
        feature_names=source.feature_names,
    )


def array_target(source: Dataset, y: np.ndarray, rows: np.ndarray | None = None) -> TargetEncoding:
    """Return the target encoding of a data set: classes, columns of 0 and 1, or scaled numbers.

    rows: the numbers of y's rows (N,) in messages (default: their index).
    """
    if source.is_classification:
        return TargetEncoding(
            task="classification", classes=source.classes, label_type=source.label_type
        )
    if y.ndim == 2 and y.shape[1] > 1 and np.isin(y, (0, 1)).all():
        return TargetEncoding("multilabel")
    columns = y.reshape(len(y), -1).astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        spread = np.where(np.ptp(columns, axis=0) == 0, 0.0, columns.std(axis=0))
    far = farthest(spread, columns.min(axis=0), columns.max(axis=0))
    if far is not None:
        output = int(np.argmin(np.isfinite(spread)))
        refuse_far(columns, far, output, np.arange(len(y)) if rows is None else rows, "y")
    return scaled_target(np.where(spread == 0, 1.0, spread), columns.mean(axis=0))


def _prepare_table(
    source: Table, parts: "TableSplit", options: ColumnOptions, known: Known | None
) -> Prepared:
    from mlp_jax.data.tables.split import encode_parts
    from mlp_jax.data.tables.targets import encode_target, fit_target

    frame, part = source.frame, parts.part
    chosen = part == TRAIN
    target = None if known is None else known[1]
    if target is None:
        target, _ = fit_target(
            frame,
            source.targets,
            task=parts.task,
            rows=chosen,
            options=options.text,
            written=source.written,
        )
    inputs, found = _table_encoding(source, parts, options, known)
    notes = [*source.notes, *parts.notes, *found]
    y = encode_target(target, frame, missing_allowed=True)
    if target.task == "regression":
        notes += _constant(y[chosen], target.names)
        known_y = np.where(part.reshape(-1, *[1] * (y.ndim - 1)) >= 0, y, np.nan)
        check_targets_near(known_y, target.scale, target.offset, np.arange(len(y)), target.names)
    train, validation, test = (
        Split(x, y[part == number]) if len(x) else None
        for number, x in enumerate(encode_parts(inputs, frame, part))
    )
    assert train is not None
    return Prepared(
        name=source.name,
        train=train,
        validation=validation,
        test=test if source.test is None else _table_test(source.test, inputs, target),
        inputs=inputs,
        target=target,
        notes=tuple(notes),
        part=part,
    )


def _table_encoding(
    source: Table, parts: "TableSplit", options: ColumnOptions, known: Known | None
) -> tuple[TableEncoding, Sequence[str]]:
    """Return the known encoding of rows, or the one fitted to the training rows, with notes."""
    from mlp_jax.data.tables.fit import fit_encoding

    if known is not None:
        if not isinstance(known[0], TableEncoding):
            raise InputError(f"'{source.name}' is a table, but the model was trained on arrays.")
        return known[0], ()
    inputs, notes = fit_encoding(
        source.frame,
        targets=source.targets,
        kinds=source.kinds,
        options=options,
        rows=parts.part == TRAIN,
        ignored=parts.columns,
    )
    return replace(inputs, header=source.header, separator=source.separator), notes


def _table_test(frame: "pl.DataFrame", inputs: TableEncoding, target: TargetEncoding) -> Split:
    """Encode the rows of a separate test set that have a target."""
    from mlp_jax.data.tables.encode import encode
    from mlp_jax.data.tables.split import labelled_rows
    from mlp_jax.data.tables.targets import encode_target

    rows = frame.filter(labelled_rows(frame, target))
    return Split(encode(inputs, rows), encode_target(target, rows))
