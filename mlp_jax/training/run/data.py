"""Load, split and encode the data of a run, or open them as a stream."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import jax

from mlp_jax.codec import decode, encode
from mlp_jax.data.dataset import Dataset
from mlp_jax.data.encoding import MISSING_WORDS, ArrayEncoding, InputEncoding, TargetEncoding
from mlp_jax.data.load import load
from mlp_jax.data.prepare import Known, Prepared, prepare
from mlp_jax.data.source import SHARDS
from mlp_jax.data.table import Kind, Table
from mlp_jax.data.tables.options import ColumnOptions, TextOptions, separator
from mlp_jax.errors import InputError
from mlp_jax.model.store import CLASSES
from mlp_jax.training.mesh.processes import broadcast_json, on_first
from mlp_jax.training.presets import column_options
from mlp_jax.training.private.private_inputs import known_encoding, unscaled_targets
from mlp_jax.training.run.config import TrainConfig
from mlp_jax.training.run.options import DataOptions


def _kinds(config: TrainConfig) -> Mapping[str, Kind]:
    """Return the column kinds that the options set."""
    return {
        **dict.fromkeys(config.numeric, "numeric"),
        **dict.fromkeys(config.categorical, "categorical"),
        **dict.fromkeys(config.date, "date"),
    }


def source(config: TrainConfig) -> Dataset | Table:
    """Return the data set or table that the configuration names, neither split nor encoded."""
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
    """Return the data of a run, split and encoded.

    Args:
        config: configuration of the run.
        known: encodings to apply instead of fitting them to the training rows.
        rows: the data, if they are loaded already.

    Returns:
        The prepared rows. A private run fits no encoding, and has no validation rows by default.
    """
    if config.stream:
        return _streamed(config, known)
    if config.shards is not None:
        raise InputError("The option --shards needs --stream.")
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
    _check_used(config, rows, found)
    return unscaled_targets(found) if config.private else found


TABLE_ONLY = (
    "numeric", "categorical", "date", "drop", "no_header", "separator", "decimal", "date_format",
    "na_values", "rare", "scaling", "split_column", "group_column",
)  # fmt: skip
"""Options that only a table uses."""


def _check_used(config: TrainConfig, rows: Dataset | Table | None, found: Prepared) -> None:
    """Raise InputError for options that the data would ignore."""
    usual = TrainConfig()
    if isinstance(found.inputs, ArrayEncoding):
        given = [name for name in TABLE_ONLY if getattr(config, name) != getattr(usual, name)]
        if given:
            options = ", ".join(f"--{name.replace('_', '-')}" for name in given)
            raise InputError(
                f"{options} is for tables, and '{found.name}' holds arrays: leave it out."
            )
    if rows is not None and rows.test is not None and config.test != usual.test:
        raise InputError(f"'{found.name}' has its own test rows: leave out --test.")


def _streamed(config: TrainConfig, known: Known | None) -> Prepared:
    """Return the data of a run whose training rows stay in their files."""
    from mlp_jax.data.streams.opening import StreamSettings, prepare_stream

    asked = StreamSettings(
        test=config.test,
        validation=config.validation,
        seed=config.seed,
        task=config.task or "auto",
        targets=config.target,
        kinds=_kinds(config),
        drop=config.drop,
        header=not config.no_header,
        options=_columns(config),
        shards=config.shards or SHARDS,
    )
    found = _learned_once(lambda known: prepare_stream(config.data, asked, known), known)
    _check_used(config, None, found)
    return found


def _learned_once(prepare: Callable[[Known | None], Prepared], known: Known | None) -> Prepared:
    """Prepare the data in each process, with encodings that process 0 fits."""
    if jax.process_count() == 1:
        return prepare(known)
    found: list[Prepared] = []
    on_first(lambda: found.append(prepare(known)))
    records = broadcast_json([encode(one, CLASSES) for p in found for one in (p.inputs, p.target)])
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
    """Return the encoding options of table columns."""
    if config.preset is not None:
        options = column_options(config.preset)
    else:
        options = ColumnOptions(scaling=config.scaling)
    rare = options.rare if config.rare is None else config.rare
    return replace(options, text=text_options(config), rare=rare)


def text_options(config: DataOptions) -> TextOptions:
    """Return the text format of a table that the options set."""
    return TextOptions(
        separator=separator(config.separator),
        decimal=config.decimal or "",
        date_format=config.date_format or "",
        na_values=config.na_values or MISSING_WORDS,
    )
