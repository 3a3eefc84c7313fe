"""The rows that a network predicts worst, with their inputs.

Letters: N rows, I features, C classes or outputs.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from mlp_jax.reports.evidence import JudgedRows, Mistake
from mlp_jax.reports.listing import short

MOST_ROWS, MOST_PICTURES = 12, 24
_SMALLEST = float(np.finfo(np.float64).eps)

# The inputs of some judged rows, as people know them: a picture, or values by name.
Inputs = Callable[[np.ndarray], Sequence[np.ndarray | Mapping[str, str]]]


def worst(judged: JudgedRows, inputs: Inputs, most: int) -> JudgedRows:
    """Add the worst rows: wrong ones by their loss; for a regression, by their error."""
    losses = row_losses(judged)
    candidates = np.arange(len(losses))
    n_wrong = None
    if judged.task != "regression":
        candidates = np.flatnonzero(wrong_rows(judged))
        n_wrong = len(candidates)
    order = candidates[np.argsort(-losses[candidates], kind="stable")][:most]
    found = []
    for row, shown in zip(order, inputs(order), strict=True):
        picture = shown if isinstance(shown, np.ndarray) else None
        values = {} if isinstance(shown, np.ndarray) else shown
        true, predicted, confidence = _in_words(judged, int(row))
        loss = float(losses[row])
        found.append(
            Mistake(
                row=int(row),
                true=true,
                predicted=predicted,
                loss=loss,
                confidence=confidence,
                picture=picture,
                values=values,
            )
        )
    return replace(judged, mistakes=tuple(found), n_wrong=n_wrong)


def wrong_rows(judged: JudgedRows) -> np.ndarray:
    """Mask (N,) of the rows with a wrong label."""
    if judged.task == "multilabel":
        return ((judged.predictions > 0.5) != (judged.targets > 0.5)).any(axis=1)
    return judged.labels != judged.targets


def row_losses(judged: JudgedRows) -> np.ndarray:
    """Loss (N,) of each row: −log of the true label's probability, summed over labels.

    For a regression the root mean square over outputs of the error, each in standard deviations of
    its true values.
    """
    s = np.asarray(judged.predictions, np.float64)
    if judged.task == "classification":
        own = np.take_along_axis(s, judged.targets.astype(np.int64)[:, None], axis=1)[:, 0]
        return -np.log(np.clip(own, _SMALLEST, 1))
    if judged.task == "multilabel":
        own = np.where(judged.targets > 0.5, s, 1 - s)
        return -np.log(np.clip(own, _SMALLEST, 1)).sum(axis=1)
    spread = np.asarray(judged.targets, np.float64).std(axis=0)
    error = (s - judged.targets) / np.where(spread > 0, spread, 1)
    return np.sqrt(np.mean(error**2, axis=1))


def _in_words(judged: JudgedRows, row: int) -> tuple[str, str, float | None]:
    """Return (truth, prediction, its probability) of a row."""
    s, y = judged.predictions[row], judged.targets[row]
    if judged.task == "classification":
        said = int(np.argmax(s))
        return judged.names[int(y)], judged.names[said], float(s[said])
    if judged.task == "multilabel":
        return _labels(judged.names, y > 0.5), _labels(judged.names, s > 0.5), None
    return ", ".join(short(float(v)) for v in y), ", ".join(short(float(v)) for v in s), None


def _labels(names: Sequence[str], there: np.ndarray) -> str:
    return ", ".join(name for name, yes in zip(names, there, strict=True) if yes) or "none"
