"""Results of a finished training: test metrics, saved model,"""

from dataclasses import asdict
from pathlib import Path

import numpy as np

from mlp_jax.charts.curves import learning_curve
from mlp_jax.charts.predictions import confusion_matrix, regression_scatter
from mlp_jax.charts.weights import first_layer
from mlp_jax.data.encoding import ArrayEncoding
from mlp_jax.files import write_json_atomic
from mlp_jax.model.first_dense import first_dense
from mlp_jax.model.metrics import TEST_METRICS
from mlp_jax.model.model_folder import save_model
from mlp_jax.model.saved import Model
from mlp_jax.proof.observe import at
from mlp_jax.training.result import TrainResult
from mlp_jax.training.run.build import RunComponents
from mlp_jax.training.run.config import TrainConfig
from mlp_jax.training.run.folder import TEST_FILE

MODEL = "model"


def finish(
    folder: Path, config: TrainConfig, components: RunComponents, fitted: TrainResult
) -> dict[str, float]:
    """Evaluate the test rows, write test.json, model/ and report/, and return the metrics."""
    found, predictions = tested(fitted, components)
    write_json_atomic(folder / TEST_FILE, found)
    save_model(folder / MODEL, trained_model(config, components, fitted, found))
    draw(folder, components, fitted, predictions)
    return found


def tested(fitted: TrainResult, components: RunComponents) -> tuple[dict[str, float], np.ndarray]:
    """Return the metrics and the predictions of the test rows; both empty without test rows."""
    if components.data.test is None:
        return {}, np.zeros((0, 1))
    names = tuple(dict.fromkeys((*TEST_METRICS[components.task], *components.metrics)))
    found = fitted.evaluate(components.data.test, names)
    return dict(found), found.predictions


def trained_model(
    config: TrainConfig, components: RunComponents, fitted: TrainResult, metrics: dict[str, float]
) -> Model:
    """Return the model to save."""
    about = {
        "data": components.data.name,
        "epoch": fitted.best_epoch,
        "private": fitted.private,
        "config": {name: value for name, value in asdict(config).items() if value is not None},
    }
    return Model(
        network=fitted.network,
        loss=components.loss,
        params=fitted.params,
        layer_state=fitted.layer_state,
        inputs=components.data.inputs,
        target=components.data.target,
        precision=fitted.precision,
        metrics=metrics,
        about=about,
    )


def draw(folder: Path, components: RunComponents, fitted: TrainResult, found: np.ndarray) -> None:
    """Draw the plots of a run into report/."""
    report, data = folder / "report", components.data
    report.mkdir(exist_ok=True)
    learning_curve(fitted.history, report / "learning_curve.png", best=fitted.best_epoch)
    arrays = data.inputs if isinstance(data.inputs, ArrayEncoding) else None
    path = first_dense(fitted.network)
    if arrays is not None and path is not None:
        first_layer(
            np.asarray(at(fitted.params, path)["W"], np.float32),
            arrays.image_shape or None,
            report / "first_layer.png",
            feature_names=arrays.feature_names,
        )
    if data.test is None:
        return
    if components.task == "classification":
        guess = found[:, 0] > 0.5 if found.shape[1] == 1 else np.argmax(found, axis=1)
        confusion_matrix(
            data.test.y,
            guess.astype(np.int64),
            data.target.classes,
            report / "confusion_matrix.png",
        )
    elif components.task == "regression":
        regression_scatter(
            data.test.y.reshape(found.shape), found, report / "predicted_and_true.png"
        )
