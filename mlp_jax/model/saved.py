"""A trained network with all that it needs to meet new rows: `Model`, on disk and back.

Letters: N rows, I features, C classes or outputs, K columns of the network's output (1 for two
classes told apart by one logit, C else).
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Shaped

from mlp_jax.backprop import Ensemble, Layer, Loss
from mlp_jax.data.encoding import ArrayEncoding, InputEncoding, TargetEncoding
from mlp_jax.errors import InputError, ModelFileError
from mlp_jax.files import user_path
from mlp_jax.model import store
from mlp_jax.model.consistent import check_consistent, expected_shapes
from mlp_jax.model.disagreement import between_classes, between_labels, between_values
from mlp_jax.model.forked import jax_is_inherited
from mlp_jax.model.inference import Outputs, losses, outputs, runnable_precision
from mlp_jax.model.judge import encode_targets, scores
from mlp_jax.model.metrics import TEST_METRICS, check_metrics
from mlp_jax.model.precision import Precision, known_precision


@dataclass(frozen=True, eq=False)
class Model:
    """A trained network, what was learned from its training rows, and what it predicts.

    params, layer_state: arrays in the type of `precision`.  inputs, target: how rows and targets
    are encoded.  metrics: on the test rows.  about: anything else worth knowing, as JSON takes it.

    `rows` are a path (CSV, TSV, Parquet, NPY, NPZ), a polars or pandas DataFrame, a dict of
    columns, an array (N, I) or of images, a Table, a Dataset or a Split. Columns are found by
    name, in any order; InputError names the one that is missing.
    """

    network: Layer
    loss: Loss
    params: Any = field(repr=False)
    layer_state: Any = field(repr=False)
    inputs: InputEncoding = field(repr=False)
    target: TargetEncoding
    precision: str = "float32"
    metrics: Mapping[str, float | None] = field(default_factory=dict)
    about: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def n_outputs(self) -> int:
        """C of the network's output; 1 for two classes told apart by one logit."""
        return self.network.width_out(self.inputs.n_features)

    @property
    def classes(self) -> tuple[str, ...]:
        """The labels of a classification; the names of the outputs otherwise."""
        if self.target.task == "classification":
            return self.target.classes
        names = self.target.names or self.target.classes
        return names or tuple(map(str, range(self.n_outputs)))

    def predict(self, rows: Any) -> np.ndarray:
        """Labels (N,) of the type of the training data's; 0 or 1 (N, C) for several labels; values.

        Labels are str, int64, float64, bool, or the type of NumPy that the training rows had them
        in (`TargetEncoding.label_type`), so that they compare equal to those; `classes` names them
        as text.
        Values of a regression are (N,), or (N, C) for several outputs, in the target's own units.
        A category that the training did not have raises no warning here, where rows may come one
        by one; `evaluate` and the commands tell of it.
        """
        return self.decided(self.predictions(self.features(rows)))

    def predict_proba(self, rows: Any) -> Float[np.ndarray, "N C"]:
        """The probability of each class (N, C); InputError for a regression."""
        if self.target.task == "regression":
            raise InputError("A regression predicts values; it has no probabilities.")
        return self.probabilities(self.predictions(self.features(rows)))

    def evaluate(self, rows: Any, names: Sequence[str] = ()) -> dict[str, float]:
        """{"loss": …, metric: …} of rows with their targets; all that the task has by default.

        Of a Table or a Dataset the test rows are judged where it has some, else all. The loss is
        in the network's own terms: of standardized targets where they were. A DataWarning tells of
        rows left out, and of categories that the training did not have.
        """
        from mlp_jax.model.judged_rows import labelled_rows
        from mlp_jax.model.rows import load_for

        if isinstance(rows, str | os.PathLike):
            rows = load_for(self.inputs, self.target, os.fspath(rows))
        task = self.target.task
        names = names or TEST_METRICS[task]
        check_metrics(task, names)
        x, y, _ = labelled_rows(self.inputs, self.target, rows, self._dtype, new=True)
        found = self._outputs(x)
        coded = self.coded_targets(y)
        if task == "regression":
            y = y.reshape(len(y), self.n_outputs)
        each = losses(self.loss, runnable_precision(self.precision), found.linear, coded)
        n_classes = len(self.target.classes) if task == "classification" else 0
        judged = scores(self.loss, self._in_units(found.predicted), y, names, n_classes)
        return {"loss": float(np.mean(each.astype(np.float64))), **judged}

    def disagreement(self, rows: Any) -> Float[np.ndarray, " N"]:
        """How much the members of an ensemble disagree about each row.

        Of classes the entropy of the mean less the mean entropy (nats, 0 where all agree), of
        values the standard deviation. InputError for a network by itself.
        """
        return self.disagreements(self.features(rows))

    def disagreements(self, x: Shaped[np.ndarray, "N I"]) -> Float[np.ndarray, " N"]:
        """`disagreement` of encoded rows x."""
        if not isinstance(self.network, Ensemble):
            raise InputError(
                "Only an ensemble has members that can disagree; this model is one network."
                " Train one with mlp-jax train --ensemble 8."
            )
        members = zip(self.network.members, self.params, self.layer_state, strict=True)
        each = [
            replace(self, network=network, params=params, layer_state=state).predictions(x)
            for network, params, state in members
        ]
        if self.target.task == "regression":
            return between_values(np.stack(each))
        if self.target.task == "multilabel":
            return between_labels(np.stack(each))
        return between_classes(np.stack([self.probabilities(found) for found in each]))

    def predictions(self, x: Shaped[np.ndarray, "N I"]) -> Float[np.ndarray, "N K"]:
        """Of encoded rows x: probabilities, of class 1 alone for a single logit; or values."""
        return self._in_units(self._outputs(x).predicted)

    def predictions_of(self, output: Float[np.ndarray, "N K"]) -> Float[np.ndarray, "N K"]:
        """`predictions` from the network's own output, as `examine` gives it."""
        multilabel = self.target.task == "multilabel"
        with runnable_precision(self.precision).active():
            predicted = self.loss.predict(jnp.asarray(output), multilabel=multilabel)
        return self._in_units(np.asarray(predicted))

    def decided(self, predictions: Float[np.ndarray, "N K"]) -> np.ndarray:
        """What `predict` gives for these predictions."""
        if self.target.task == "regression":
            return predictions[:, 0] if predictions.shape[1] == 1 else predictions
        if self.target.task == "multilabel":
            return (predictions > 0.5).astype(np.int64)
        return self.target.label_values()[self._places(predictions)]

    def decided_text(self, predictions: Float[np.ndarray, "N K"]) -> np.ndarray:
        """The predicted labels (N,) of a classification as the text of `classes`."""
        return np.array(self.target.classes, np.str_)[self._places(predictions)]

    def _places(self, predictions: Float[np.ndarray, "N K"]) -> np.ndarray:
        """The predicted class of each row; of a single class there is but one."""
        return np.minimum(label_indices(predictions), len(self.target.classes) - 1)

    def probabilities(self, predictions: Float[np.ndarray, "N K"]) -> Float[np.ndarray, "N C"]:
        """One column a class: of a single logit both, P(class 0) and P(class 1)."""
        if self.target.task == "classification" and predictions.shape[1] == 1:
            return np.concatenate([1 - predictions, predictions], axis=1)
        return predictions

    def features(self, rows: Any) -> Shaped[np.ndarray, "N I"]:
        """x of rows of any kind, as `predictions` takes it: encoded, or pixels as they are."""
        from mlp_jax.model.rows import features

        return features(self.inputs, rows, self._dtype)

    def coded_targets(self, y: np.ndarray) -> np.ndarray:
        """Targets as the loss takes them: numbers standardized, labels in columns if need be.

        InputError where the model predicts another number of values a row.
        """
        if self.target.task != "regression":
            return encode_targets(self.loss, y, self.n_outputs)
        if y.size != len(y) * self.n_outputs:
            raise InputError(
                f"The model predicts {self.n_outputs} values a row, but the targets have shape"
                f" {y.shape}."
            )
        columns = y.reshape(len(y), self.n_outputs)
        scale, offset = np.array(self.target.scale), np.array(self.target.offset)
        return (columns - offset) / scale if self.target.scale else columns

    @property
    def _dtype(self) -> Any:
        return known_precision(self.precision).params

    def _outputs(self, x: np.ndarray) -> Outputs:
        if jax_is_inherited():
            precision, weights = known_precision(self.precision), (self.params, self.layer_state)
        else:
            precision = runnable_precision(self.precision)
            weights = _placed_weights(self, precision)
        return outputs(
            self.network,
            self.loss,
            self.target.task == "multilabel",
            precision,
            *weights,
            scaling_of(self.inputs),
            x,
        )

    def _in_units(self, predicted: np.ndarray) -> np.ndarray:
        """The predictions of a regression in float64, brought back to the target's own units."""
        if self.target.task != "regression":
            return predicted
        wide = predicted.astype(np.float64)
        scale, offset = np.array(self.target.scale), np.array(self.target.offset)
        return wide * scale + offset if self.target.scale else wide


_placed: "WeakKeyDictionary[Model, tuple[Any, Any]]" = WeakKeyDictionary()


def _placed_weights(model: Model, precision: Precision) -> tuple[Any, Any]:
    """(params, layer_state) on the device, where they stay as long as the model lives."""
    if model not in _placed:
        with precision.active():
            _placed[model] = jax.tree.map(jnp.asarray, (model.params, model.layer_state))
    return _placed[model]


def label_indices(predictions: Float[np.ndarray, "N K"]) -> np.ndarray:
    """The most probable class of each row, the lowest of equals."""
    if predictions.shape[1] == 1:
        return (predictions[:, 0] > 0.5).astype(np.int64)
    return np.argmax(predictions, axis=1)


def scaling_of(inputs: InputEncoding) -> tuple[np.ndarray, np.ndarray] | None:
    """(scale, offset), each (1, 1) or (1, I), that pixels go through on the device; or None."""
    if not isinstance(inputs, ArrayEncoding) or not inputs.pixels or not inputs.scale:
        return None
    return np.array([inputs.scale]), np.array([inputs.offset])


def save_model(folder: str | os.PathLike[str], model: Model) -> None:
    """Write `folder` (a run's model/), whole or absent whatever kills the process.

    ModelFileError for a model that could not be read back, RunFolderError where the folder cannot
    be written.
    """
    try:
        check_consistent(model.network, model.loss, model.inputs, model.target)
        dtype = known_precision(model.precision).params
        expected = store.named_leaves(*expected_shapes(model.network, model.inputs.n_features))
    except InputError as error:
        raise ModelFileError(f"This model cannot be saved: {error}") from None
    leaves = store.named_leaves(model.params, model.layer_state)
    tensors = {name: np.asarray(leaf) for name, leaf in leaves.items()}
    for problem in store.problems(tensors, expected, dtype):
        raise ModelFileError(f"This model cannot be saved: {problem}.")
    parts = {name: getattr(model, name) for name in store.PARTS}
    about = {name: value for name, value in model.about.items() if name != "versions"}
    store.write(Path(folder), parts, tensors, model.metrics, about)


def load_model(path: str | os.PathLike[str]) -> Model:
    """The model of a run, given its folder or the model/ in it. Runs no code from the files.

    about["versions"] says what wrote it. ModelFileError, in one sentence, for files that are
    missing, damaged, or do not belong together.
    """
    folder = store.find(user_path(path))
    parts, description = store.read_description(folder)
    try:
        check_consistent(parts["network"], parts["loss"], parts["inputs"], parts["target"])
        precision = known_precision(parts["precision"])
        shapes = expected_shapes(parts["network"], parts["inputs"].n_features)
    except InputError as error:
        raise ModelFileError(f"'{folder}' holds parts that do not fit: {error}") from None
    expected = store.named_leaves(*shapes)
    tensors = store.read_tensors(folder, description, expected, precision.params)
    leaves = [tensors[name] for name in expected]
    params, layer_state = jax.tree.unflatten(jax.tree.structure(shapes), leaves)
    return Model(
        **parts,
        params=params,
        layer_state=layer_state,
        metrics=description["metrics"],
        about={**description["about"], "versions": description["versions"]},
    )
