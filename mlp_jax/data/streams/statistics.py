"""Statistics learned in one pass over a stream: the scaling of features, the target.

Letters: N rows, I features.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from mlp_jax.data.encoding import ArrayEncoding, TargetEncoding
from mlp_jax.data.scaling import Scaling, farthest, refuse_far, scaling_of, scaling_of_counts
from mlp_jax.data.source import BlockSource, Rows, Source
from mlp_jax.data.streams.arrays import ArraySource
from mlp_jax.data.streams.moments import Moments
from mlp_jax.data.streams.parts import ArrayPart
from mlp_jax.data.tables.columns import RowNumbers, row_number
from mlp_jax.data.task import constant_notes
from mlp_jax.errors import InputError

_CHUNK_BYTES = 1 << 24


def streaming_scaling(source: Source, *, pixels: bool = False) -> Scaling:
    """`fit_scaling` of all rows of a source, in one pass.

    Raises InputError as `fit_scaling` does, and for a value that is NaN or infinite, with its row.
    """
    return _pass_over(source, pixels).scaling


def fit_arrays(source: ArraySource | ArrayPart) -> tuple[ArrayEncoding, TargetEncoding]:
    """Learn the encodings of arrays that are all training rows, in one pass, as `prepare` does.

    Numbers to predict are standardized, one pair of figures an output. Raises InputError as
    `streaming_scaling` does.
    """
    return learn_arrays(source)[:2]


def learn_arrays(
    source: ArraySource | ArrayPart,
) -> tuple[ArrayEncoding, TargetEncoding, tuple[str, ...]]:
    """`fit_arrays`, and notes for the user."""
    found = _pass_over(source, source.image_shape is not None)
    scaling, y = found.scaling, found.y
    inputs = ArrayEncoding(
        n_features=source.n_features,
        scale=tuple(scaling.scale.reshape(-1).tolist()),
        offset=tuple(scaling.offset.reshape(-1).tolist()),
        pixels=found.dtype == np.uint8,
        image_shape=source.image_shape or (),
    )
    if y is None:
        return (
            inputs,
            TargetEncoding(
                task="classification",
                names=(),
                classes=source.classes,
                label_type=source.label_type,
            ),
            (),
        )
    if found.binary and len(y.mean) > 1:
        return inputs, TargetEncoding("multilabel"), ()
    spread = np.where(y.low == y.high, 0.0, y.deviation)
    if (far := farthest(spread, y.low, y.high)) is not None:
        _refuse_far(source, "y", far)
    scale = np.where(spread == 0, 1.0, spread)
    target = TargetEncoding(
        task="regression",
        names=(),
        classes=(),
        scale=tuple(scale.tolist()),
        offset=tuple(y.mean.tolist()),
    )
    return inputs, target, constant_notes(y.low.tolist(), y.high.tolist())


def chunks(source: Source) -> Iterator[tuple[int, Rows]]:
    """All rows in their order, as they can be read best, each with the number of its first row."""
    if isinstance(source, BlockSource):
        for number, start in enumerate(source.starts[:-1].tolist()):
            yield start, source.read_block(number)
        return
    step = max(1, _CHUNK_BYTES // (8 * source.n_features))
    for start in range(0, len(source), step):
        yield start, source.read(np.arange(start, min(start + step, len(source))))


class _Found(NamedTuple):
    """The scaling and type of x; the moments of y where it holds numbers, and whether only 0, 1."""

    scaling: Scaling
    dtype: np.dtype
    y: Moments | None
    binary: bool


def _pass_over(source: Source, pixels: bool) -> _Found:
    counts = np.zeros(256, np.int64)
    x_moments: Moments | None = None
    y_moments: Moments | None = None
    dtype, binary = np.dtype(np.float32), True
    for start, (x, y) in chunks(source):
        dtype = x.dtype
        first_row: RowNumbers = start
        if isinstance(source, ArrayPart):
            first_row = source.numbers(np.arange(start, start + len(x)))
        if dtype == np.uint8:
            counts += np.bincount(x.ravel(), minlength=256)
        else:
            check_finite(x, "x", source.name, first_row)
            columns = x.reshape(-1, 1) if pixels else x
            x_moments = x_moments or Moments(columns.shape[1])
            x_moments.add(columns)
        if y.dtype.kind == "f":
            check_finite(y, "y", source.name, first_row)
            outputs = y.reshape(len(y), -1)
            y_moments = y_moments or Moments(outputs.shape[1])
            y_moments.add(outputs)
            binary = binary and bool(np.isin(outputs, (0, 1)).all())
    if x_moments is None:
        return _Found(scaling_of_counts(counts), dtype, y_moments, binary)
    far = farthest(x_moments.deviation, x_moments.low, x_moments.high)
    if far is not None:
        _refuse_far(source, "x", far)
    scaling = scaling_of(x_moments.mean, x_moments.deviation, x_moments.low == x_moments.high)
    if pixels:
        scaling = Scaling(scaling.scale.reshape(()), scaling.offset.reshape(()))
    return _Found(scaling, dtype, y_moments, binary)


def _refuse_far(source: Source, letter: str, far: float) -> None:
    """InputError for a number too far out to be standardized: another pass finds its row."""
    for start, (x, y) in chunks(source):
        numbers = np.arange(start, start + len(x))
        if isinstance(source, ArrayPart):
            numbers = source.numbers(numbers)
        values = x if letter == "x" else y.reshape(len(y), -1)
        refuse_far(values, far, None, numbers, letter)


def check_finite(values: np.ndarray, letter: str, name: str, first_row: RowNumbers) -> None:
    """InputError for a value that is NaN or infinite, with its row, numbered by `first_row`."""
    finite = np.isfinite(values)
    if finite.all():
        return
    row, *column = (int(i) for i in np.unravel_index(int(np.argmin(finite)), values.shape))
    place = f"row {row_number(first_row, row)}" + (f", column {column[0]}" if column else "")
    raise InputError(
        f"In '{name}', {letter} has a value that is NaN or infinite"
        f" ({values[(row, *column)]}) in {place}."
    )
