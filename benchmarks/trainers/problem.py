"""The arrays of one point of the grid: made once, saved, and read by every contender alike.

Letters: N rows, I inputs, J and C widths out, B rows a batch.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int, Shaped

from mlp_jax.data import Scaling, apply, fit_scaling
from trainers.grid import Point

TRIAL_STEPS = 20
JUDGED_ROWS = 2048
LEARNING_RATE = 1e-3
BETAS = (0.9, 0.999)
EPSILON = 1e-8

Weights = list[tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class Problem:
    """What a contender trains on.

    raw (N, I): rows as a user has them, uint8 for images; inputs (N, I): the same in float32,
    scaled. y (N,): classes int32, or 0 and 1 in float32 for one output. weights: W (I, J), b (J,)
    of each layer to start from. trial: the rows of the first TRIAL_STEPS batches in order, the
    last of them as short as an epoch's last.
    """

    point: Point
    data: str
    raw: Shaped[np.ndarray, "N I"]
    inputs: Float[np.ndarray, "N I"]
    y: Shaped[np.ndarray, " N"]
    scaling: Scaling | None
    weights: Weights
    trial: Int[np.ndarray, " M"]

    @property
    def binary(self) -> bool:
        """One output, judged by the sigmoid cross-entropy."""
        return self.point.widths[-1] == 1

    def first_rows(self, steps: int) -> Int[np.ndarray, " M"]:
        """The rows of the first batches of the trial."""
        return self.trial[: steps * self.point.batch]

    def loss(self, weights: Weights) -> float:
        """The mean loss of the first rows with these weights, in float64: one judge for all."""
        a, y = self.inputs[:JUDGED_ROWS].astype(np.float64), self.y[:JUDGED_ROWS]
        for index, (W, b) in enumerate(weights):
            a = a @ W.astype(np.float64) + b.astype(np.float64)
            if index < len(weights) - 1:
                a = np.maximum(a, 0)
        if self.binary:
            return float(np.mean(np.logaddexp(0, a[:, 0]) - a[:, 0] * y))
        highest = a.max(axis=1)
        log_sum = highest + np.log(np.exp(a - highest[:, None]).sum(axis=1))
        return float(np.mean(log_sum - a[np.arange(len(y)), y]))


def make_problem(point: Point, seed: int = 0) -> Problem:
    """The point with data, weights and order drawn; Fashion-MNIST where it fits and is here."""
    rng = np.random.default_rng(seed)
    raw, y, data = _rows(point, rng)
    scaling = fit_scaling(raw) if raw.dtype == np.uint8 else None
    inputs = raw if scaling is None else apply(scaling, raw, np.float32)
    length = (TRIAL_STEPS - 1) * point.batch + (point.rows % point.batch or point.batch)
    orders = [rng.permutation(point.rows) for _ in range(-(-length // point.rows))]
    trial = np.concatenate(orders)[:length].astype(np.int32)
    return Problem(point, data, raw, inputs, y, scaling, _weights(point, rng), trial)


def _weights(point: Point, rng: np.random.Generator) -> Weights:
    """He's normal weights (He 2015), no bias."""
    return [
        (
            (rng.standard_normal((n_in, n_out)) * np.sqrt(2 / n_in)).astype(np.float32),
            np.zeros(n_out, np.float32),
        )
        for n_in, n_out in point.layers
    ]


def _rows(point: Point, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, str]:
    n_in, n_out = point.widths[0], point.widths[-1]
    if (n_in, n_out) == (784, 10):
        found = _fashion(point.rows)
        if found is not None:
            return *found, "Fashion-MNIST"
        images = rng.integers(0, 256, (point.rows, n_in), dtype=np.uint8)
        return images, rng.integers(0, n_out, point.rows, dtype=np.int32), "synthetic images"
    x = rng.standard_normal((point.rows, n_in), dtype=np.float32)
    truth = x[:, : min(n_in, 64)] @ rng.standard_normal((min(n_in, 64), n_out), dtype=np.float32)
    if n_out == 1:
        return x, (truth[:, 0] > 0).astype(np.float32), "synthetic rows"
    return x, truth.argmax(axis=1).astype(np.int32), "synthetic rows"


def _fashion(rows: int) -> tuple[np.ndarray, np.ndarray] | None:
    from mlp_jax.data.sources.catalog import ENTRIES
    from mlp_jax.data.sources.places import data_folder

    entry = ENTRIES["fashion_mnist"]
    if not entry.is_here(data_folder(None)):
        return None
    train: Any = entry.load(None)
    x, y = train.train.x, train.train.y
    return x[:rows], y[:rows].astype(np.int32)


def save_problem(problem: Problem, folder: Path) -> None:
    """Arrays as .npy, the rest as JSON."""
    for name in ("raw", "inputs", "y", "trial"):
        np.save(folder / f"{name}.npy", getattr(problem, name))
    save_weights(problem.weights, folder, "start")
    scaling = None if problem.scaling is None else [float(v) for v in problem.scaling]
    rest = {"point": asdict(problem.point), "data": problem.data, "scaling": scaling}
    (folder / "problem.json").write_text(json.dumps(rest))


def load_problem(folder: Path) -> Problem:
    """What `save_problem` wrote, the rows mapped and not read."""
    rest = json.loads((folder / "problem.json").read_text())
    point = Point(**{**rest["point"], "widths": tuple(rest["point"]["widths"])})
    scaling = None if rest["scaling"] is None else Scaling(*map(np.asarray, rest["scaling"]))
    arrays = {
        name: np.load(folder / f"{name}.npy", mmap_mode="c")
        for name in ("raw", "inputs", "y", "trial")
    }
    weights = load_weights(folder, "start", len(point.layers))
    return Problem(point=point, data=rest["data"], scaling=scaling, weights=weights, **arrays)


def save_weights(weights: Weights, folder: Path, name: str) -> None:
    """W and b of each layer as `NAME-W0.npy` and so on."""
    for index, (W, b) in enumerate(weights):
        np.save(folder / f"{name}-W{index}.npy", W)
        np.save(folder / f"{name}-b{index}.npy", b)


def load_weights(folder: Path, name: str, layers: int) -> Weights:
    """What `save_weights` wrote."""
    return [
        (np.load(folder / f"{name}-W{index}.npy"), np.load(folder / f"{name}-b{index}.npy"))
        for index in range(layers)
    ]
