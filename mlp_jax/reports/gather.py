"""Gather a report's evidence beyond the run's own files: load its model and its data.

Each part that is not available becomes a sentence. Letters: N rows, I features, C classes or
outputs.
"""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from mlp_jax.backprop import loss_and_tape
from mlp_jax.backprop.records import OuterProduct, is_record
from mlp_jax.data.dataset import Dataset, Split
from mlp_jax.data.encoding import ArrayEncoding
from mlp_jax.data.prepare import Prepared
from mlp_jax.data.source import some_rows
from mlp_jax.data.table import Table
from mlp_jax.errors import InputError, MlpJaxError, ModelFileError
from mlp_jax.model.inference import runnable_precision
from mlp_jax.model.model_folder import load_model
from mlp_jax.model.saved import Model
from mlp_jax.proof.check import layer_label
from mlp_jax.proof.observe import at
from mlp_jax.reports.evidence import Evidence, JudgedRows, LayerFlow
from mlp_jax.reports.features import column_effects, pictured
from mlp_jax.reports.folder import RunRecord
from mlp_jax.reports.inputs import array_inputs, frame_of_test_rows, table_inputs
from mlp_jax.reports.mistakes import MOST_PICTURES, MOST_ROWS, Inputs, worst
from mlp_jax.training.run.config import read_config
from mlp_jax.training.run.data import prepared, source
from mlp_jax.training.run.metadata import digest

FLOW_ROWS = 256
SWAY_ROWS = 4096


def gather(run: RunRecord, data: str | None = None) -> Evidence:
    """Return the evidence of a run; `data` is the current place of its data, if they were moved.

    Training rows of a private run are not used.
    """
    try:
        model = load_model(run.folder)
    except ModelFileError as error:
        return Evidence(missing=(f"{error} Sections that need the trained weights are omitted.",))
    known = Evidence(first_layer=pictured(model), versions=dict(model.about.get("versions", {})))
    try:
        config = read_config(run.folder / "config.toml")
        if data is not None:
            config = replace(config, data=data)
        rows = None if config.stream else source(config)
        parts = prepared(config, (model.inputs, model.target), rows)
        _check_same(run, parts)
        judged = judge(model, parts, rows, may_train=not run.private)
        if run.private:
            return replace(known, judged=judged)
        passed = some_rows(parts.train, FLOW_ROWS)
        return replace(
            known,
            first_layer=known.first_layer
            or column_effects(model, network_rows(model, some_rows(parts.train, SWAY_ROWS).x)),
            judged=judged,
            flow=flow(model, passed),
            flow_rows=len(passed),
        )
    except MlpJaxError as error:
        sentence = (
            f"The run's data cannot be loaded, so sections that need them are omitted: {error}"
        )
        hint = "" if data is not None else " If the data were moved, use --data."
        return replace(known, missing=(sentence + hint,))


def judge(
    model: Model, parts: Prepared, table: Dataset | Table | None, *, may_train: bool = True
) -> JudgedRows | None:
    """Return the network's predictions on the test rows, or on the best substitute.

    may_train: whether the training rows may replace them, None if not. table: None for streamed
    rows.
    """
    train = parts.train if may_train and isinstance(parts.train, Split) else None
    found = [
        (name, split)
        for name, split in (
            ("test rows", parts.test),
            ("validation rows (there are no test rows)", parts.validation),
            ("training rows (there are no others)", train),
        )
        if split is not None and len(split)
    ]
    if not found:
        return None
    part, rows = found[0]
    predictions = model.probabilities(model.predictions(network_rows(model, rows.x)))
    targets = np.asarray(rows.y)
    if model.target.task != "classification":
        targets = targets.reshape(predictions.shape)
    names = tuple(map(str, model.classes))
    calibrated = model.loss.name != "hinge"
    judged = JudgedRows(
        part=part,
        task=model.target.task,
        names=names,
        targets=targets,
        predictions=predictions,
        calibrated=calibrated,
        mistakes=(),
    )
    pictures = isinstance(model.inputs, ArrayEncoding) and bool(model.inputs.image_shape)
    most = MOST_PICTURES if pictures else MOST_ROWS
    return worst(judged, _inputs(model, parts, rows, table), most)


def _inputs(model: Model, parts: Prepared, rows: Split, table: Dataset | Table | None) -> Inputs:
    """Describe the inputs of the judged rows; a table's with their original values."""
    if isinstance(model.inputs, ArrayEncoding):
        return partial(array_inputs, rows.x, model.inputs)
    if not isinstance(table, Table) or rows is not parts.test:
        return lambda chosen: [{} for _ in chosen]
    return partial(table_inputs, frame_of_test_rows(table, parts), model.target.names)


def network_rows(model: Model, x: np.ndarray) -> np.ndarray:
    """Return rows of a split as the network's inputs: arrays are scaled, pixels are not."""
    inputs = model.inputs
    if not isinstance(inputs, ArrayEncoding) or inputs.pixels or not inputs.scale:
        return x
    scaled = x.astype(np.float64) * np.asarray(inputs.scale) + np.asarray(inputs.offset)
    return scaled.astype(np.float32)


def flow(model: Model, rows: Split) -> tuple[LayerFlow, ...]:
    """Return norms of the backward pass at every weight matrix, in inference mode, input first."""
    precision = runnable_precision(model.precision)
    x, y = network_rows(model, rows.x), np.asarray(rows.y)
    if isinstance(model.inputs, ArrayEncoding) and model.inputs.pixels and model.inputs.scale:
        x = x * np.asarray(model.inputs.scale) + np.asarray(model.inputs.offset)
    y = model.coded_targets(y)
    y = y.astype(precision.params) if np.issubdtype(y.dtype, np.floating) else y
    with precision.active():
        _, grads, tape = loss_and_tape(model.network, model.loss, train=False)(
            model.params,
            jnp.asarray(x.astype(precision.params)),
            jnp.asarray(y),
            state=model.layer_state,
        )
    found = []
    for keys, record in jax.tree_util.tree_flatten_with_path(tape.records, is_leaf=is_record)[0]:
        *steps, last = keys
        if last.key != "W" or not isinstance(record, OuterProduct):
            continue
        path = tuple(step.idx for step in steps)
        delta = np.asarray(record.delta, np.float64)
        size = float(np.sqrt(np.mean(np.sum(delta**2, axis=tuple(range(1, delta.ndim))))))
        norms = [float(np.linalg.norm(at(tree, path)["W"])) for tree in (grads, model.params)]
        found.append(LayerFlow(layer_label(model.network, path, "local"), size, *norms))
    return tuple(found)


def _check_same(run: RunRecord, parts: Prepared) -> None:
    """Raise InputError if the checksum of the data differs from that of the training data."""
    said = run.metadata.get("digest")
    if said is not None and said != digest(parts):
        raise InputError(f"'{parts.name}' is not the data of this run: its rows have changed.")
