"""`Model`: a trained network with the encodings of its rows and targets, saved and loaded.

Letters: N rows, I features, C classes or outputs, K columns of the network's output (1 for two
classes with a single logit, else C).
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
from mlp_jax.backprop.specification import Params, State
from mlp_jax.data.encoding import ArrayEncoding, InputEncoding, TargetEncoding
from mlp_jax.errors import InputError
from mlp_jax.model.disagreement import between_classes, between_labels, between_values
from mlp_jax.model.forked import jax_is_inherited
from mlp_jax.model.inference import Outputs, losses, outputs, runnable_precision
from mlp_jax.model.judge import Evaluation, encode_targets, scores
from mlp_jax.model.metrics import TEST_METRICS, check_metrics
from mlp_jax.model.precision import Precision, known_precision


@dataclass(frozen=True, eq=False, repr=False)
class Model:
    """A trained network with the encodings fitted to its training rows.

    Rows are a path (CSV, TSV, Parquet, NPY, NPZ), a polars or pandas DataFrame, a dict of columns,
    an array (N, I) or of images, a Table, a Dataset or a Split. Columns are matched by name, in any
    order; InputError names one that is missing.

    Attributes:
        network: the layers.
        loss: the loss that it was trained with.
        params: parameters, in the dtype of `precision`.
        layer_state: running statistics of the layers, in the same dtype.
        inputs: encoding of rows.
        target: encoding of targets.
        precision: name of the arithmetic, such as "float32".
        metrics: metrics on the test rows.
        about: other metadata, JSON values.
    """

    network: Layer
    loss: Loss
    params: Params = field(repr=False)
    layer_state: State = field(repr=False)
    inputs: InputEncoding = field(repr=False)
    target: TargetEncoding
    precision: str = "float32"
    metrics: Mapping[str, float | None] = field(default_factory=dict)
    about: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def __repr__(self) -> str:
        width = self.network.width_out(self.inputs.n_features)
        what: str = self.target.task
        if what == "classification":
            what += f" of {len(self.target.classes)} classes"
        return (
            f"{type(self).__name__}({self.inputs.n_features} inputs, {width} outputs, {what},"
            f" {self.loss}, {self.precision})"
        )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the model as a folder that `mlp_jax.load` reads.

        Args:
            path: the folder. The write is atomic: a killed process leaves no partial folder.

        Raises:
            ModelFileError: for a model that could not be read back.
            RunFolderError: if the folder cannot be written.
        """
        from mlp_jax.model.model_folder import save_model

        save_model(path, self)

    def export(
        self, path: str | os.PathLike[str], format: str = "onnx", *, overwrite: bool = False
    ) -> str:
        """Write the model as one file for other runtimes.

        Args:
            path: the file.
            format: "onnx" or "stablehlo".
            overwrite: replace an existing file.

        Returns:
            A readable description of the exported function.

        Raises:
            InputError: for a model that the format cannot express.
            RunFolderError: if the file exists or cannot be written.
        """
        from mlp_jax.model.export import export_model

        return export_model(self, format, Path(path), overwrite=overwrite)

    @property
    def n_outputs(self) -> int:
        """Number of network outputs; 1 for two classes with a single logit."""
        return self.network.width_out(self.inputs.n_features)

    @property
    def classes(self) -> tuple[str, ...]:
        """Class labels of a classification; names of the outputs otherwise."""
        if self.target.task == "classification":
            return self.target.classes
        names = self.target.names or self.target.classes
        return names or tuple(map(str, range(self.n_outputs)))

    def predict(self, rows: Any) -> np.ndarray:
        """Predict labels or values.

        Unseen categories raise no warning here, since rows may come one by one; `evaluate` and the
        commands warn.

        Args:
            rows: rows of any kind that `Model` lists.

        Returns:
            Labels (N,) in the type of the training labels (`classes` has them as text); 0 or 1 (N,
            C) for several labels; values (N,) or (N, C) of a regression, in the target's units.

        Raises:
            InputError: for rows that the model cannot encode.
        """
        return self.decided(self.predictions(self.features(rows)))

    def predict_proba(self, rows: Any) -> Float[np.ndarray, "N C"]:
        """Predict class probabilities.

        Args:
            rows: rows of any kind that `Model` lists.

        Returns:
            Probabilities (N, C).

        Raises:
            InputError: for a regression, or rows that the model cannot encode.
        """
        if self.target.task == "regression":
            raise InputError("A regression predicts values; it has no probabilities.")
        return self.probabilities(self.predictions(self.features(rows)))

    def evaluate(self, rows: Any, names: Sequence[str] = ()) -> Evaluation:
        """Evaluate the loss and metrics of rows with targets.

        A DataWarning reports rows without a target, which are skipped, and unseen categories.

        Args:
            rows: a path, DataFrame, Table, Dataset, Split or pair (x, y). The test rows of a Table
                or Dataset are used if it has some, else all rows.
            names: metrics (default: all metrics of the task).

        Returns:
            {"loss": …, metric: …}, with the predictions as its attribute `predictions`. The loss is
            that of the standardized targets if training standardized them.

        Raises:
            InputError: for rows or targets that do not fit the model.
            UnknownNameError: for a metric that the task does not have.
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
        return self._evaluation(found, coded, y, names)

    def _evaluation(
        self, found: Outputs, coded: np.ndarray, y: np.ndarray, names: Sequence[str]
    ) -> Evaluation:
        """Return the loss and the metrics of outputs; coded: the targets as the loss takes them."""
        each = losses(self.loss, runnable_precision(self.precision), found.linear, coded)
        n_classes = len(self.target.classes) if self.target.task == "classification" else 0
        predictions = self._in_units(found.predicted)
        judged = scores(self.loss, predictions, y, names, n_classes)
        return Evaluation({"loss": float(np.mean(each.astype(np.float64))), **judged}, predictions)

    def disagreement(self, rows: Any) -> Float[np.ndarray, " N"]:
        """Return the disagreement of an ensemble's members on each row.

        Args:
            rows: rows of any kind that `Model` lists.

        Returns:
            (N,): for classes the entropy of the mean minus the mean entropy, in nats, 0 if all
            agree; for values the standard deviation.

        Raises:
            InputError: for a model that is not an ensemble.
        """
        return self.disagreements(self.features(rows))

    def disagreements(self, x: Shaped[np.ndarray, "N I"]) -> Float[np.ndarray, " N"]:
        """Return the `disagreement` of encoded rows.

        Args:
            x: encoded rows, as `features` returns them.

        Returns:
            Disagreement (N,).

        Raises:
            InputError: for a model that is not an ensemble.
        """
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
        """Return probabilities or values of encoded rows.

        Args:
            x: encoded rows, as `features` returns them.

        Returns:
            (N, K): probabilities, of class 1 only for a single logit; or values in the target's
            units.
        """
        return self._in_units(self._outputs(x).predicted)

    def predictions_of(self, output: Float[np.ndarray, "N K"]) -> Float[np.ndarray, "N K"]:
        """Return `predictions` from the network's output.

        Args:
            output: linear output of the network, as `examine` returns it.

        Returns:
            (N, K) as `predictions`.
        """
        multilabel = self.target.task == "multilabel"
        with runnable_precision(self.precision).active():
            predicted = self.loss.predict(jnp.asarray(output), multilabel=multilabel)
        return self._in_units(np.asarray(predicted))

    def decided(self, predictions: Float[np.ndarray, "N K"]) -> np.ndarray:
        """Return the labels or values of predictions, as `predict` does.

        Args:
            predictions: what `predictions` returns.

        Returns:
            Labels (N,), 0 or 1 (N, C), or values.
        """
        if self.target.task == "regression":
            return predictions[:, 0] if predictions.shape[1] == 1 else predictions
        if self.target.task == "multilabel":
            return (predictions > 0.5).astype(np.int64)
        return self.target.label_values()[self._places(predictions)]

    def decided_text(self, predictions: Float[np.ndarray, "N K"]) -> np.ndarray:
        """Return the predicted labels of a classification as text.

        Args:
            predictions: what `predictions` returns.

        Returns:
            Labels (N,), entries of `classes`.
        """
        return np.array(self.target.classes, np.str_)[self._places(predictions)]

    def _places(self, predictions: Float[np.ndarray, "N K"]) -> np.ndarray:
        """Return the index of each row's predicted class; 0 if there is a single class."""
        return np.minimum(label_indices(predictions), len(self.target.classes) - 1)

    def probabilities(self, predictions: Float[np.ndarray, "N K"]) -> Float[np.ndarray, "N C"]:
        """Expand predictions to one column per class.

        Args:
            predictions: what `predictions` returns.

        Returns:
            (N, C); a single logit becomes P(class 0) and P(class 1).
        """
        if self.target.task == "classification" and predictions.shape[1] == 1:
            return np.concatenate([1 - predictions, predictions], axis=1)
        return predictions

    def features(self, rows: Any) -> Shaped[np.ndarray, "N I"]:
        """Encode rows for `predictions`.

        Args:
            rows: rows of any kind that `Model` lists.

        Returns:
            x (N, I); pixels stay uint8.

        Raises:
            InputError: for rows that the model cannot encode.
        """
        from mlp_jax.model.rows import features

        return features(self.inputs, rows, self._dtype)

    def coded_targets(self, y: np.ndarray) -> np.ndarray:
        """Encode targets for the loss: numbers standardized, labels one-hot if the loss needs it.

        Args:
            y: labels (N,), or targets (N,) or (N, C).

        Returns:
            Targets in the loss's form.

        Raises:
            InputError: for another number of outputs than the model has.
        """
        if self.target.task != "regression":
            return encode_targets(self.loss, y, self.n_outputs)
        if y.size != len(y) * self.n_outputs:
            raise InputError(
                f"The model predicts {self.n_outputs} values per row, but the targets have shape"
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
        """Return predictions of a regression in float64 and the target's units."""
        if self.target.task != "regression":
            return predicted
        wide = predicted.astype(np.float64)
        scale, offset = np.array(self.target.scale), np.array(self.target.offset)
        return wide * scale + offset if self.target.scale else wide


_placed: "WeakKeyDictionary[Model, tuple[Any, Any]]" = WeakKeyDictionary()


def _placed_weights(model: Model, precision: Precision) -> tuple[Any, Any]:
    """Return (params, layer_state) on the device, cached while the model lives."""
    if model not in _placed:
        with precision.active():
            _placed[model] = jax.tree.map(jnp.asarray, (model.params, model.layer_state))
    return _placed[model]


def label_indices(predictions: Float[np.ndarray, "N K"]) -> np.ndarray:
    """Return the most probable class of each row, the lowest on ties."""
    if predictions.shape[1] == 1:
        return (predictions[:, 0] > 0.5).astype(np.int64)
    return np.argmax(predictions, axis=1)


def scaling_of(inputs: InputEncoding) -> tuple[np.ndarray, np.ndarray] | None:
    """Return (scale, offset), each (1, 1) or (1, I), of pixels scaled on the device; else None."""
    if not isinstance(inputs, ArrayEncoding) or not inputs.pixels or not inputs.scale:
        return None
    return np.array([inputs.scale]), np.array([inputs.offset])
