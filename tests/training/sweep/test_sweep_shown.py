"""What a sweep shows: the best so far, its picture."""

import math

import numpy as np
import pytest

from mlp_jax.training.sweep.progress import BestSoFar
from mlp_jax.training.sweep.search import SweepTrial, TrialScore
from mlp_jax.training.sweep.sweep_plot import RankingColumns, sweep_plot


@pytest.mark.parametrize(("metric", "expected"), [("accuracy", 0.9), ("log_loss", 0.2)])
def test_the_best_so_far_is_that_of_any_network_in_any_epoch(metric, expected):
    best = BestSoFar(metric)
    assert math.isnan(best.value)
    for values in ((0.2, math.nan), (0.9, 0.5), (0.4, 0.3)):
        best.note({f"member_{k}_validation_{metric}": value for k, value in enumerate(values)})
        best.note({f"validation_{metric}": 0.0, "member_0_validation_loss": -1.0})
    assert best.value == expected


@pytest.mark.parametrize("numbers", [(), ("dropout",), ("learning_rate", "dropout", "decay")])
def test_the_picture_has_a_panel_a_number_and_leaves_out_what_diverged(tmp_path, numbers):
    rng = np.random.default_rng(0)
    ranked = [
        TrialScore(
            SweepTrial(k, (8,) * (k % 3), {name: rng.uniform(0.1, 1) for name in numbers}),
            30 if k < 4 else 10,
            math.nan if k in (3, 7) else 0.9,
            math.nan if k in (3, 7) else 0.1,
            0,
            0.0,
        )
        for k in range(9)
    ]
    columns = RankingColumns(numbers, numbers[:1], "accuracy", 4)
    sweep_plot(ranked, columns, tmp_path / "sweep.png")
    assert (tmp_path / "sweep.png").read_bytes()[:4] == b"\x89PNG"
    assert [path.name for path in tmp_path.iterdir()] == ["sweep.png"]
