"""Evidence of a report on a trained network, as plain arrays and text.

Letters: N rows, I features, J units, C classes or outputs.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from mlp_jax.model.metrics import Task


@dataclass(frozen=True, eq=False)
class Mistake:
    """One wrong row, with its input: a picture or named values.

    confidence: the probability of its prediction; None for a regression.
    """

    row: int
    true: str
    predicted: str
    loss: float
    confidence: float | None = None
    picture: np.ndarray | None = None
    values: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class JudgedRows:
    """Rows with targets and predictions.

    part: description of the rows.  targets: labels (N,); 0 and 1, or values, (N, C).  predictions:
    probabilities (N, C), one column per class; or values.  names: of the C columns.  calibrated:
    whether the predictions are probabilities.  mistakes: the worst first; n_wrong: their total
    number, None for a regression.
    """

    part: str
    task: Task
    names: tuple[str, ...]
    targets: np.ndarray
    predictions: np.ndarray
    calibrated: bool
    mistakes: tuple[Mistake, ...]
    n_wrong: int | None = None

    @property
    def labels(self) -> np.ndarray:
        """Predicted class of each row (N,)."""
        return np.argmax(self.predictions, axis=1)


@dataclass(frozen=True, eq=False)
class FirstLayer:
    """Weights of the first layer, or the effect of each column on it.

    W (I, J), a row per feature.  image_shape: (height, width[, channels]) of a row of I pixels.
    columns: of other inputs, each one's name and effect on z, the largest first.
    """

    W: np.ndarray
    image_shape: tuple[int, ...] = ()
    columns: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True)
class LayerFlow:
    """Backward pass at one weight matrix: root mean square over rows of ‖∇z‖; ‖∇W‖; ‖W‖."""

    layer: str
    grad_z: float
    grad_W: float  # noqa: N815 (the name of the mathematics)
    W: float


@dataclass(frozen=True, eq=False)
class Evidence:
    """Everything in the report beyond the run's own records; None for what is not available.

    missing: the reasons, in sentences.  flow_rows: number of rows in the backward pass.
    """

    judged: JudgedRows | None = None
    first_layer: FirstLayer | None = None
    flow: tuple[LayerFlow, ...] = ()
    flow_rows: int = 0
    versions: Mapping[str, str] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
