import numpy as np
import pytest

from mlp_jax.backprop import get_loss
from mlp_jax.model.judge import (
    class_count,
    encode_targets,
    labels_of,
    scores,
    task_of,
)

LABELS = np.array([0, 2, 1, 1], np.int32)
NUMBERS = np.array([0.5, 2.0, 1.0, -1.0], np.float32)
COLUMNS = np.array([[0, 1, 0], [1, 1, 0], [0, 0, 1], [1, 0, 0]], np.float32)


@pytest.mark.parametrize(
    ("loss", "y", "outputs", "count", "task"),
    [
        ("softmax_cross_entropy", LABELS, 3, 3, "classification"),
        ("softmax_cross_entropy", COLUMNS, 3, 3, "classification"),
        ("hinge", LABELS % 2, 1, 2, "classification"),
        ("sigmoid_cross_entropy", LABELS % 2, 1, 2, "classification"),
        ("sigmoid_cross_entropy", LABELS, 3, 3, "classification"),
        ("sigmoid_cross_entropy", COLUMNS, 3, 0, "multilabel"),
        ("squared_error", LABELS, 3, 3, "classification"),
        ("squared_error", LABELS, 1, 0, "regression"),
        ("squared_error", NUMBERS, 1, 0, "regression"),
        ("poisson", COLUMNS, 3, 0, "regression"),
    ],
)
def test_loss_and_targets_tell_the_task(loss, y, outputs, count, task):
    loss = get_loss(loss)
    assert class_count(loss, y, outputs) == count
    assert task_of(loss, y, count) == task


def test_labels_become_columns_where_the_loss_takes_columns():
    squared = get_loss("squared_error")
    assert encode_targets(squared, LABELS, 3).tolist() == [
        [1, 0, 0],
        [0, 0, 1],
        [0, 1, 0],
        [0, 1, 0],
    ]
    binary = encode_targets(get_loss("sigmoid_cross_entropy"), LABELS % 2, 1)
    assert binary.tolist() == [[0], [0], [1], [1]]
    assert encode_targets(get_loss("softmax_cross_entropy"), LABELS, 3) is LABELS
    assert encode_targets(squared, NUMBERS, 1) is NUMBERS


@pytest.mark.parametrize("outputs", [1, 3])
def test_labels_are_read_back_from_their_columns(outputs):
    labels = LABELS if outputs == 3 else LABELS % 2
    columns = encode_targets(get_loss("sigmoid_cross_entropy"), labels, outputs)
    assert labels_of(columns).tolist() == labels.tolist()
    assert labels_of(labels).tolist() == labels.tolist()


def test_scores_are_those_of_the_task():
    p = np.array([[0.6, 0.3, 0.1], [0.2, 0.3, 0.5], [0.5, 0.4, 0.1], [0.1, 0.8, 0.1]])
    softmax, squared = get_loss("softmax_cross_entropy"), get_loss("squared_error")
    assert scores(softmax, p, LABELS, ("accuracy", "top2"), 3) == {"accuracy": 0.75, "top2": 1.0}
    columns = encode_targets(squared, LABELS, 3)
    assert scores(squared, p, columns, ("accuracy",), 3) == {"accuracy": 0.75}
    many = scores(get_loss("sigmoid_cross_entropy"), p, COLUMNS, ("accuracy",), 0)
    assert many["accuracy"] == np.mean((p > 0.5) == COLUMNS)
    found = scores(squared, NUMBERS[:, None] + 1, NUMBERS, ("mae", "rmse"), 0)
    assert found == {"mae": 1.0, "rmse": 1.0}
    assert scores(softmax, p, LABELS, (), 3) == {}
