import numpy as np
import pytest

from mlp_jax.reports.calibration import reliability


def test_the_error_is_the_gap_of_each_bin_weighed_by_its_rows():
    confidence = np.array([0.9, 0.9, 0.9, 0.9, 0.6])
    right = np.array([True, True, True, False, True])
    found = reliability(confidence, right, n_bins=10)
    # bin (0.8, 0.9]: 4 rows, 75 % right; bin (0.5, 0.6]: 1 row, right
    assert found.ece == pytest.approx(4 / 5 * 0.15 + 1 / 5 * 0.4)
    assert found.counts.tolist() == [0, 0, 0, 0, 0, 1, 0, 0, 4, 0]
    assert found.right[8] == pytest.approx(0.75)
    assert np.isnan(found.right[0])


def test_confidences_of_0_and_1_have_a_bin():
    found = reliability(np.array([0.0, 1.0]), np.array([False, True]), n_bins=4)
    assert found.counts.tolist() == [1, 0, 0, 1]
    assert found.ece == 0


def test_what_is_drawn_from_its_own_probabilities_is_calibrated():
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0, 1, 100_000)
    assert reliability(confidence, rng.uniform(0, 1, 100_000) < confidence).ece < 0.01


def test_no_rows_have_no_error():
    assert reliability(np.zeros(0), np.zeros(0, bool)).ece == 0
