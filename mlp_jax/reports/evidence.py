"""What a report shows of a trained network, as plain arrays and text: the page is made from this.

Letters: N rows, I features, J units, C classes or outputs.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from mlp_jax.model.metrics import Task


@dataclass(frozen=True, eq=False)
class Mistake:
    """One row that the network got wrong, with its input: a picture or named values.

    confidence: the probability that it gave its prediction; None for a regression.
    """

    row: int
    true: str
    predicted: str
    loss: float
    confidence: float | None = None
    picture: np.ndarray | None = None
    values: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Judged:
    """Rows that the network was judged on.

    part: which ones, as words.  targets: labels (N,); 0 and 1, or values, (N, C).  predictions:
    probabilities (N, C), one column a class; or values.  names: of the C columns.
    calibrated: whether the predictions are meant as probabilities.  mistakes: the worst first;
    n_wrong: how many there are in all, None for a regression.
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
        """The predicted class of each row (N,)."""
        return np.argmax(self.predictions, axis=1)


@dataclass(frozen=True, eq=False)
class FirstLayer:
    """What the inputs are to the first layer.

    W (I, J), a row a feature.  image_shape: (height, width[, channels]) of a row of I pixels.
    columns: of other inputs, each one's name and how far it moves z, the farthest first.
    """

    W: np.ndarray
    image_shape: tuple[int, ...] = ()
    columns: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True)
class LayerFlow:
    """The backward pass at one weight matrix: root mean square over rows of ‖∇z‖; ‖∇W‖; ‖W‖."""

    layer: str
    grad_z: float
    grad_W: float  # noqa: N815 (the name of the mathematics)
    W: float


@dataclass(frozen=True, eq=False)
class Evidence:
    """All that was found out beyond the run's own records; what is None could not be.

    missing: why, in sentences.  flow_rows: how many rows the backward pass went over.
    """

    judged: Judged | None = None
    first_layer: FirstLayer | None = None
    flow: tuple[LayerFlow, ...] = ()
    flow_rows: int = 0
    versions: Mapping[str, str] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
