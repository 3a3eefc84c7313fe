import numpy as np
import pytest

from mlp_jax.reports.evidence import JudgedRows
from mlp_jax.reports.mistakes import row_losses, worst


def judged(task, targets, predictions, names):
    return JudgedRows("test rows", task, names, np.array(targets), np.array(predictions), True, ())


def numbered(rows):
    return [{"number": str(row)} for row in rows]


def test_the_surest_wrong_rows_come_first():
    found = worst(
        judged(
            "classification",
            [0, 1, 1, 0],
            [[0.9, 0.1], [0.6, 0.4], [0.99, 0.01], [0.4, 0.6]],
            ("cat", "dog"),
        ),
        numbered,
        most=2,
    )
    assert found.n_wrong == 3
    assert [(m.row, m.true, m.predicted, m.confidence) for m in found.mistakes] == [
        (2, "dog", "cat", 0.99), (1, "dog", "cat", 0.6),
    ]  # fmt: skip
    assert found.mistakes[0].loss == pytest.approx(-np.log(0.01))
    assert found.mistakes[0].values == {"number": "2"}


def test_a_row_of_several_labels_is_wrong_where_any_is():
    found = worst(
        judged("multilabel", [[1, 0], [1, 1]], [[0.8, 0.1], [0.9, 0.2]], ("red", "round")),
        numbered,
        most=5,
    )
    (mistake,) = found.mistakes
    assert (mistake.true, mistake.predicted, mistake.confidence) == ("red, round", "red", None)
    assert mistake.loss == pytest.approx(-np.log(0.9) - np.log(0.2))


def test_errors_of_a_regression_are_measured_in_spreads_of_each_output():
    rows = judged("regression", [[0.0, 0.0], [2.0, 200.0]], [[1.0, 0.0], [2.0, 210.0]], ("a", "b"))
    assert row_losses(rows) == pytest.approx([np.sqrt(0.5), 0.1 / np.sqrt(2)])
    found = worst(rows, lambda chosen: [np.zeros((2, 2), np.uint8) for _ in chosen], most=1)
    assert found.n_wrong is None
    (mistake,) = found.mistakes
    assert (mistake.row, mistake.true, mistake.predicted) == (0, "0.0000, 0.0000", "1.0000, 0.0000")
    assert mistake.picture.shape == (2, 2)


def test_a_probability_of_0_has_a_finite_loss():
    rows = judged("classification", [0], [[0.0, 1.0]], ("a", "b"))
    assert np.isfinite(row_losses(rows)).all()
