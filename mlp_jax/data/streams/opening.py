"""From what a user writes, a file or a folder, to rows that stream, and those held out in memory.

Letters: N rows, I features.
"""

import os
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import polars as pl

from mlp_jax.data.arrays import TASKS
from mlp_jax.data.dataset import Split
from mlp_jax.data.encoding import ArrayEncoding, TableEncoding, TargetEncoding
from mlp_jax.data.idx import FILES, find_idx
from mlp_jax.data.load import refuse_columns
from mlp_jax.data.prepare import Known, Prepared
from mlp_jax.data.scaling import check_targets_near
from mlp_jax.data.source import SHARDS, Streamed
from mlp_jax.data.splits import as_share, usual_validation
from mlp_jax.data.streams.arrays import ArraySource, open_idx, open_npy_folder
from mlp_jax.data.streams.fitting import fit_table, with_stray_words
from mlp_jax.data.streams.frames import SUFFIXES, DelimitedFrames, Frames, open_frames
from mlp_jax.data.streams.parts import ArrayPart, FramesPart, HeldOut, drawn_rows
from mlp_jax.data.streams.statistics import check_finite, learn_arrays
from mlp_jax.data.streams.tables import TableSource
from mlp_jax.data.tables.encode import encode
from mlp_jax.data.tables.options import ColumnOptions
from mlp_jax.data.tables.read import chosen_targets, declared_categories, target_note
from mlp_jax.data.tables.targets import among_classes, encode_target
from mlp_jax.errors import InputError, UnknownNameError

FORMS = (
    "a folder of Parquet files",
    "a folder of x….npy and y….npy",
    "a folder of IDX files",
    "a .parquet, .csv or .tsv file",
)
HELD_BYTES = 1 << 27  # what validation rows and test rows may each take in memory, as float32
_ENDS = 1 << 20  # bytes at either end of a file that its fingerprint is made of


class StreamSettings(NamedTuple):
    """Options for reading and splitting a stream, as in `load` and `prepare`."""

    test: float
    validation: float | None
    seed: int
    task: str = "auto"
    targets: tuple[str, ...] = ()
    kinds: Mapping[str, str] = MappingProxyType({})
    drop: tuple[str, ...] = ()
    header: bool = True
    options: ColumnOptions = ColumnOptions()
    shards: int = SHARDS


def prepare_stream(spec: str, asked: StreamSettings, known: Known | None = None) -> Prepared:
    """Open what `spec` names, draw the rows to hold out, and learn the encodings of the others.

    The rows held out are drawn without regard to their class, and stay in memory: where a share
    would take more than 128 MiB there are fewer, which a note says. An IDX folder's own test rows
    are the test rows if it has some. Raises InputError for what does not stream, and what the
    readers of the files raise.
    """
    if asked.task not in TASKS:
        raise UnknownNameError("task", asked.task, TASKS)
    path = Path(spec.removeprefix("idx:")).expanduser()
    if path.is_dir() and not any(path.glob("*.parquet")):
        return _of_arrays(*_open_arrays(path, asked.task), asked, known)
    if not path.is_dir() and path.suffix.lower() not in SUFFIXES:
        raise InputError(f"'{spec}' cannot be streamed: --stream reads {', '.join(FORMS)}.")
    written = tuple(name for name, kind in asked.kinds.items() if kind == "categorical")
    text = asked.options.text
    frames = open_frames(path, header=asked.header, as_text=written, text=text)
    opened: tuple[str, ...] = ()
    if isinstance(frames, DelimitedFrames):
        options = replace(asked.options, text=replace(text, likely=frames.likely))
        asked, opened = asked._replace(options=options), frames.notes
    files = sorted(path.glob("*.parquet")) if path.is_dir() else [path]
    found = _of_table(frames, path, fingerprint(files), asked, known)
    return replace(found, notes=opened + found.notes)


def fingerprint(files: Sequence[Path]) -> str:
    """A checksum of the files' names, sizes, and first and last bytes: without a pass."""
    total = 0
    for path in files:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            total = zlib.crc32(f"{path.name} {size}".encode(), total)
            for start in (0, max(0, size - _ENDS)):
                file.seek(start)
                total = zlib.crc32(file.read(_ENDS), total)
    return f"ends:{total:08x}"


def _open_arrays(folder: Path, task: str) -> tuple[ArraySource, Split | None, str]:
    """The rows, the folder's own test rows, and the fingerprint of its files."""
    idx = [path for name in FILES if (path := find_idx(folder, name)) is not None]
    if not idx:
        source = open_npy_folder(folder, task=task)
        return source, None, fingerprint(sorted(folder.glob("*.npy")))
    if task == "regression":
        raise InputError(f"'{folder}' holds classes, so it cannot be used for regression.")
    test = None
    if len(idx) == len(FILES):
        own = open_idx(folder, test=True)
        test = _finite(own, np.arange(len(own)))
    return open_idx(folder), test, fingerprint(idx)


def _of_arrays(
    source: ArraySource,
    own_test: Split | None,
    told: str,
    asked: StreamSettings,
    known: Known | None,
) -> Prepared:
    """The rows of arrays. told: the fingerprint of their files."""
    refuse_columns(source.name, asked.targets, asked.kinds, asked.drop)
    asked = asked if own_test is None else asked._replace(test=0.0)
    held = _drawn(source.name, len(source), source.n_features, asked)
    part = ArrayPart(source, held.all)
    notes: tuple[str, ...] = ()
    inputs, target = (None, None) if known is None else known
    if inputs is None or target is None:
        fitted = learn_arrays(part)
        inputs, target, notes = inputs or fitted[0], target or fitted[1], fitted[2]
    if not isinstance(inputs, ArrayEncoding) or inputs.n_features != source.n_features:
        raise InputError(f"The features of '{source.name}' are not those of the trained model.")
    validation, test = (
        _finite(source, rows) if len(rows) else None for rows in (held.validation, held.test)
    )
    return Prepared(
        name=source.name,
        train=Streamed(part, told),
        validation=validation,
        test=own_test or test,
        inputs=inputs,
        target=target,
        notes=source.notes + notes + held.notes,
        part=None,
    )


def _of_table(
    frames: Frames, path: Path, told: str, asked: StreamSettings, known: Known | None
) -> Prepared:
    """The rows of a table. told: the fingerprint of its files."""
    columns = list(frames.schema)
    targets = chosen_targets(path, asked.targets, asked.drop, columns)
    held = _drawn(frames.name, int(frames.starts[-1]), len(columns), asked)
    held_out = held.all
    passing = HeldOut(frames, held_out, 2 * HELD_BYTES)
    notes: tuple[str, ...] = () if asked.targets else (target_note(targets[0]),)
    inputs, target = (None, None) if known is None else known
    if inputs is None or target is None:
        declared = {} if frames.written else declared_categories(frames.schema)
        declared = {name: kind for name, kind in declared.items() if name not in asked.drop}
        found = fit_table(
            passing,
            targets,
            task=asked.task,
            kinds={**declared, **asked.kinds},
            drop=asked.drop,
            options=asked.options,
        )
        learned, target = found[0], target or found[1]
        inputs = inputs or with_stray_words(learned, frames.schema, passing)
        notes += found[2]
    if not isinstance(inputs, TableEncoding):
        raise InputError(f"'{frames.name}' is a table, but the model was trained on arrays.")
    source = TableSource(FramesPart(frames, held_out), inputs, target)
    used = held.within(inputs.n_features)
    (validation, test), unknown = _encoded(passing, used, inputs, target)
    return Prepared(
        name=frames.name,
        train=Streamed(source, told, asked.shards),
        validation=validation,
        test=test,
        inputs=inputs,
        target=target,
        notes=notes + used.notes + unknown,
        part=None,
    )


def _finite(source: ArraySource, rows: np.ndarray) -> Split:
    """These rows, of which none may be NaN or infinite."""
    x, y = source.read(rows)
    for letter, values in (("x", x), ("y", y)):
        check_finite(values, letter, source.name, rows)
    return Split(x, y)


def _encoded(
    passing: HeldOut, held: "_HeldOutRows", inputs: TableEncoding, target: TargetEncoding
) -> tuple[list[Split | None], tuple[str, ...]]:
    """The validation and the test rows, encoded block by block, and what there is to say of them.

    A row whose class no training row has is left out: nothing could be learned of it.
    """
    parts: list[list[Split]] = [[], []]
    unknown = 0
    columns = list(dict.fromkeys([*inputs.column_names, *target.names]))
    for numbers, frame in passing.rows(columns):
        known = among_classes(target, frame)
        unknown += int(np.count_nonzero(~known))
        rows = frame.filter(pl.Series(known))
        x = encode(inputs, rows, first_row=numbers[known])
        y = encode_target(target, rows, first_row=numbers[known])
        if target.task == "regression":
            check_targets_near(y, target.scale, target.offset, numbers[known], target.names)
        for part, chosen in zip(parts, (held.validation, held.test), strict=True):
            inside = np.isin(numbers[known], chosen)
            if inside.any():
                part.append(Split(x[inside], y[inside]))
    notes: tuple[str, ...] = ()
    if unknown:
        which = "row is" if unknown == 1 else "rows are"
        notes = (f"{unknown} held-out {which} left out: no training row has their class.",)
    return [_joined(part) for part in parts], notes


def _joined(parts: Sequence[Split]) -> Split | None:
    if not parts:
        return None
    return Split(np.concatenate([p.x for p in parts]), np.concatenate([p.y for p in parts]))


class _HeldOutRows(NamedTuple):
    """The rows held out, each in order, and what there is to say of them."""

    validation: np.ndarray
    test: np.ndarray
    notes: tuple[str, ...]

    @property
    def all(self) -> np.ndarray:
        """Both, in order."""
        return np.sort(np.concatenate([self.validation, self.test]))

    def within(self, n_features: int) -> "_HeldOutRows":
        """As many of each as memory is to hold at this width, and a note where that is fewer."""
        most = _most(n_features)
        kept, notes = [], list(self.notes)
        for part, rows in (("validation", self.validation), ("test", self.test)):
            if len(rows) > most:
                notes.append(_bounded(part, most, len(rows)))
                rows = rows[np.linspace(0, len(rows) - 1, most).astype(np.int64)]
            kept.append(rows)
        return _HeldOutRows(kept[0], kept[1], tuple(notes))


def _most(n_features: int) -> int:
    return max(1, HELD_BYTES // (4 * n_features))


def _bounded(part: str, most: int, count: int) -> str:
    return f"{part}: {most} rows instead of {count}, because held-out rows stay in memory."


def _drawn(name: str, n_rows: int, n_features: int, asked: StreamSettings) -> _HeldOutRows:
    """The rows to hold out, by the shares that are asked for as far as memory is to hold them."""
    validation = usual_validation(n_rows) if asked.validation is None else asked.validation
    most = _most(n_features)
    counts, notes = [], []
    for part, share in (("validation", validation), ("test", asked.test)):
        count = round(as_share(part, share) * n_rows)
        if share and not count:
            raise InputError(f"A {part} fraction of {share} leaves no {part} row of {n_rows}.")
        if count > most:
            notes.append(_bounded(part, most, count))
        counts.append(min(count, most))
    if sum(counts) >= n_rows:
        raise InputError(
            f"A validation fraction of {validation} and a test fraction of {asked.test} leave no"
            f" training row of {n_rows} in '{name}'."
        )
    if asked.seed < 0:
        raise InputError(f"The seed of a split must not be negative, but is {asked.seed}.")
    validation_rows, test_rows = drawn_rows(n_rows, counts, asked.seed)
    return _HeldOutRows(validation_rows, test_rows, tuple(notes))
