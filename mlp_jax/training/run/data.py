"""From a configuration to its data: loaded, split and encoded, or streaming."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import jax

from mlp_jax.codec import decode, encode
from mlp_jax.data.dataset import Dataset
from mlp_jax.data.encoding import MISSING_WORDS, InputEncoding, TargetEncoding
from mlp_jax.data.load import load
from mlp_jax.data.prepare import Known, Prepared, prepare
from mlp_jax.data.source import LANES
from mlp_jax.data.table import Kind, Table
from mlp_jax.data.tables.options import ColumnOptions, TextOptions, separator
from mlp_jax.errors import InputError
from mlp_jax.model.store import CLASSES
from mlp_jax.training.mesh.processes import on_first, told
from mlp_jax.training.presets import column_options
from mlp_jax.training.private.inputs import known_encoding, unscaled_targets
from mlp_jax.training.run.config import TrainConfig
from mlp_jax.training.run.options import DataOptions


def _kinds(config: TrainConfig) -> Mapping[str, Kind]:
    return {
        **dict.fromkeys(config.numeric, "numeric"),
        **dict.fromkeys(config.categorical, "categorical"),
        **dict.fromkeys(config.date, "date"),
    }


def source(config: TrainConfig) -> Dataset | Table:
    """The data that the configuration names, before it is split and encoded."""
    return load(
        config.data,
        task=config.task or "auto",
        targets=config.target,
        data_dir=config.data_dir,
        kinds=_kinds(config),
        drop=config.drop,
        header=not config.no_header,
        text=text_options(config),
    )


def prepared(
    config: TrainConfig,
    known: Known | None = None,
    rows: Dataset | Table | None = None,
) -> Prepared:
    """The data of a run, split and encoded as the run has them.

    known: encodings to apply instead of learning them. rows: the data, where they are loaded. A
    private run learns none, and holds no validation rows out unless it is told to.
    """
    if config.stream:
        return _streamed(config, known)
    if config.lanes is not None:
        raise InputError("--lanes goes with --stream.")
    rows = source(config) if rows is None else rows
    validation = config.validation
    if config.private:
        known = known or (known_encoding(rows, config.input_range), None)
        validation = validation or 0.0
    found = prepare(
        rows,
        test=config.test,
        validation=validation,
        seed=config.seed,
        split_column=config.split_column,
        group_column=config.group_column,
        options=_columns(config),
        known=known,
    )
    return unscaled_targets(found) if config.private else found


def _streamed(config: TrainConfig, known: Known | None) -> Prepared:
    """The data of a run whose training rows stay in their files."""
    from mlp_jax.data.streams.opening import StreamOptions, prepare_stream

    asked = StreamOptions(
        config.test,
        config.validation,
        config.seed,
        config.task or "auto",
        config.target,
        _kinds(config),
        config.drop,
        not config.no_header,
        _columns(config),
        config.lanes or LANES,
    )
    return _learned_once(lambda known: prepare_stream(config.data, asked, known), known)


def _learned_once(prepare: Callable[[Known | None], Prepared], known: Known | None) -> Prepared:
    """What each process prepares, with the encodings that the first one alone has learned."""
    if jax.process_count() == 1:
        return prepare(known)
    found: list[Prepared] = []
    on_first(lambda: found.append(prepare(known)))
    records = told([encode(one, CLASSES) for p in found for one in (p.inputs, p.target)])
    if found:
        return found[0]
    inputs, target = records
    return prepare(
        (
            decode(inputs, InputEncoding, CLASSES, "the inputs"),
            decode(target, TargetEncoding, CLASSES, "the target"),
        )
    )


def _columns(config: TrainConfig) -> ColumnOptions:
    if config.preset is not None:
        options = column_options(config.preset)
    else:
        options = ColumnOptions(scaling=config.scaling)
    rare = options.rare if config.rare is None else config.rare
    return replace(options, text=text_options(config), rare=rare)


def text_options(config: DataOptions) -> TextOptions:
    """How the text of a table is written, as the options say."""
    return TextOptions(
        separator=separator(config.separator),
        decimal=config.decimal or "",
        date_format=config.date_format or "",
        na_values=config.na_values or MISSING_WORDS,
    )
