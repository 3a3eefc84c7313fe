"""Findings for every row: label, prediction, and three measures of suspicion.

Letters: N rows, C classes or outputs, K columns of the network's output.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mlp_jax.files import write_bytes_atomic
from mlp_jax.model.examples import (
    Examples,
    Reference,
    TrainedNetwork,
    examine,
    reference_of,
    suspects_first,
)
from mlp_jax.model.saved import Model, label_indices, scaling_of
from mlp_jax.reports.inspect.rows import Inspected, Part

if TYPE_CHECKING:
    from pathlib import Path

    import polars as pl


@dataclass(frozen=True, eq=False)
class Findings:
    """Every inspected row, as arrays (N,) in the order of parts and rows.

    part, row: its place in the data.  label, predicted: as text, or numbers of one output.  p: the
    probability of the given label, NaN without one.  wrong: whether the network predicts another
    label; False for numbers.  x (N, I): the network's inputs.  labelled: whether the targets are
    labels.
    """

    part: np.ndarray
    row: np.ndarray
    label: np.ndarray
    predicted: np.ndarray
    p: np.ndarray
    wrong: np.ndarray
    x: np.ndarray
    examples: Examples
    labelled: bool

    def __len__(self) -> int:
        return len(self.row)

    def frame(self, order: np.ndarray) -> "pl.DataFrame":
        """Return the rows in that order as a table."""
        import polars as pl

        columns = {
            "row": self.row,
            "part": self.part,
            "label": self.label,
            "predicted": self.predicted,
            "p": self.p,
            "loss": self.examples.loss,
            "gradient_norm": self.examples.gradient_norm,
            "influence": self.examples.influence,
        }
        found = pl.DataFrame({name: values[order] for name, values in columns.items()})
        return found.with_columns(pl.col("p").fill_nan(None))


def trained_of(model: Model) -> TrainedNetwork:
    """Convert a saved model to the form that `examine` takes."""
    return TrainedNetwork(
        network=model.network,
        loss=model.loss,
        params=model.params,
        state=model.layer_state,
        scaling=scaling_of(model.inputs),
        precision=model.precision,
    )


def find(model: Model, inspected: Inspected) -> tuple[Findings, Reference]:
    """Examine every row; also return the reference for influence."""
    trained = trained_of(model)
    parts, own = inspected.parts, inspected.reference
    if own is None:
        own = _together(parts)
        parts = (own,)
    reference = reference_of(trained, own.x, model.coded_targets(own.y))
    found = [
        examine(trained, p.x, model.coded_targets(p.y), reference, among=p is own) for p in parts
    ]
    whole = _together(inspected.parts)
    examples = Examples(*(np.concatenate(values) for values in zip(*found, strict=True)))
    label, predicted, p, wrong = _in_words(model, examples.output, whole.y)
    part = np.repeat([one.name for one in inspected.parts], [len(o.x) for o in inspected.parts])
    labelled = model.target.task != "regression"
    words = (part, whole.numbers, label, predicted, p, wrong)
    return Findings(*words, whole.x, examples, labelled), reference


def write_csv(path: "Path", findings: Findings, by: str) -> None:
    """Write every row, the most suspicious first. Raises RunFolderError."""
    table = findings.frame(suspects_first(findings.examples, by))
    write_bytes_atomic(path, table.write_csv().encode())


def _together(parts: Sequence[Part]) -> Part:
    """Concatenate the parts."""
    if len(parts) == 1:
        return parts[0]
    arrays = ([getattr(p, name) for p in parts] for name in ("x", "y", "numbers"))
    return Part("all", *(np.concatenate(values) for values in arrays))


def _in_words(
    model: Model, output: np.ndarray, y: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return (label, predicted, p, wrong) of every row."""
    predictions = model.predictions_of(output)
    nowhere = np.full(len(y), np.nan)
    if model.target.task == "classification":
        classes, said = np.array(model.target.classes, np.str_), label_indices(predictions)
        shares = model.probabilities(predictions)
        p = np.take_along_axis(shares, y.astype(np.int64)[:, None], axis=1)[:, 0]
        p = nowhere if model.loss.name == "hinge" else p
        return classes[y], classes[said], p, said != y
    columns = y.reshape(predictions.shape)
    if model.target.task == "multilabel":
        given, yes = columns > 0.5, predictions > 0.5
        p = np.where(given, predictions, 1 - predictions).prod(axis=1)
        names = model.classes
        return _joined(names, given), _joined(names, yes), p, (given != yes).any(axis=1)
    never = np.zeros(len(y), bool)
    if predictions.shape[1] == 1:
        return columns[:, 0], predictions[:, 0], nowhere, never
    return _listed(columns), _listed(predictions), nowhere, never


def _joined(names: Sequence[str], there: np.ndarray) -> np.ndarray:
    """Format the labels of each row as text, each distinct label once."""
    distinct, index = np.unique(there, axis=0, return_inverse=True)
    texts = [
        "; ".join(name for name, yes in zip(names, row, strict=True) if yes) or "none"
        for row in distinct
    ]
    return np.array(texts)[index.reshape(-1)]


def _listed(values: np.ndarray) -> np.ndarray:
    return np.array(["; ".join(f"{value:.6g}" for value in row) for row in values])
