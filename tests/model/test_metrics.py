import subprocess
import sys

import numpy as np
import pytest
from sklearn import metrics as sk

from mlp_jax.errors import InputError, UnknownNameError
from mlp_jax.model.metrics import (
    METRICS,
    check_metrics,
    classification_metrics,
    default_metrics,
    higher_is_better,
    multilabel_metrics,
    regression_metrics,
    undefined,
)

RNG = np.random.default_rng(0)
CLASSIFICATION = [name for name, metric in METRICS.items() if "classification" in metric.tasks]
MULTILABEL = [name for name, metric in METRICS.items() if "multilabel" in metric.tasks]
REGRESSION = [name for name, metric in METRICS.items() if "regression" in metric.tasks]


def class_data(n=300, n_classes=6, dtype=np.float32):
    p = RNG.dirichlet(np.ones(n_classes), n).astype(dtype)
    return p, RNG.integers(0, n_classes, n).astype(np.int32)


def wide(p):
    p = np.asarray(p, np.float64)
    return p / p.sum(axis=1, keepdims=True)


def test_metrics_of_many_classes_are_those_of_scikit_learn():
    p, y = class_data()
    expected = {
        "accuracy": sk.accuracy_score(y, p.argmax(axis=1)),
        **{f"top{k}": sk.top_k_accuracy_score(y, p, k=k) for k in (2, 3, 4, 5)},
        "log_loss": sk.log_loss(y, wide(p)),
        "roc_auc": sk.roc_auc_score(y, wide(p), multi_class="ovr"),
        "average_precision": sk.average_precision_score(np.eye(6, dtype=int)[y], p),
        "f1": sk.f1_score(y, p.argmax(axis=1), average="macro"),
    }
    found = classification_metrics(p, y, [*CLASSIFICATION, "top4"], 6)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert type(found[name]) is float
        np.testing.assert_allclose(found[name], value, rtol=1e-7, err_msg=name)


@pytest.mark.parametrize("columns", [1, 2])
def test_metrics_of_two_classes_are_those_of_class_1(columns):
    p, y = class_data(n_classes=2, dtype=np.float64)
    names = ["accuracy", "log_loss", "roc_auc", "average_precision", "f1"]
    found = classification_metrics(p[:, -columns:], y, names, 2)
    expected = {
        "accuracy": sk.accuracy_score(y, p[:, 1] > 0.5),
        "log_loss": sk.log_loss(y, p),
        "roc_auc": sk.roc_auc_score(y, p[:, 1]),
        "average_precision": sk.average_precision_score(y, p[:, 1]),
        "f1": sk.f1_score(y, p[:, 1] > 0.5),
    }
    assert found == pytest.approx(expected, rel=1e-12)


def test_metrics_of_several_labels_are_those_of_scikit_learn():
    y = RNG.integers(0, 2, (200, 4)).astype(np.float32)
    p = np.clip(RNG.normal(0.3 + 0.3 * y, 0.3), 0, 1)
    found = multilabel_metrics(p, y, MULTILABEL)
    losses = [sk.log_loss(a, np.stack([1 - b, b], 1)) for a, b in zip(y.T, p.T, strict=True)]
    expected = {
        "accuracy": 1 - sk.hamming_loss(y, p > 0.5),
        "log_loss": sum(losses),
        "roc_auc": sk.roc_auc_score(y, p),
        "average_precision": sk.average_precision_score(y, p),
        "f1": sk.f1_score(y, p > 0.5, average="macro"),
    }
    assert found == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("shape", [(50,), (50, 1), (50, 3)])
def test_metrics_of_regression_are_those_of_scikit_learn(shape):
    y = RNG.normal(size=shape) * 10 + 5
    s = y + RNG.normal(size=shape)
    expected = {
        "rmse": sk.root_mean_squared_error(y, s),
        "mae": sk.mean_absolute_error(y, s),
        "r2": sk.r2_score(y, s),
    }
    assert regression_metrics(s, y, REGRESSION) == pytest.approx(expected, rel=1e-12)
    if y.size == len(y):
        found = regression_metrics(s.reshape(-1, 1), y.ravel(), REGRESSION)
        assert found == pytest.approx(expected, rel=1e-12)


def test_r2_of_a_constant_output_follows_scikit_learn():
    y = np.stack([np.full(5, 2.0), np.full(5, 3.0), np.arange(5.0)], axis=1)
    s = y + np.array([0.0, 1.0, 0.5])
    assert regression_metrics(s, y, ["r2"])["r2"] == pytest.approx(sk.r2_score(y, s))


def test_a_constant_prediction_has_no_luck_with_ties():
    y = np.array([0, 1, 2, 3, 4, 5])
    found = classification_metrics(np.full((6, 6), 1 / 6), y, ["accuracy", "top2", "top5"], 6)
    assert found == pytest.approx({"accuracy": 1 / 6, "top2": 2 / 6, "top5": 5 / 6})


def test_top_k_of_no_more_than_k_classes_is_1():
    p, y = class_data(n_classes=4)
    assert classification_metrics(p, y, ["top5", "top4"], 4) == {"top5": 1.0, "top4": 1.0}


def test_log_loss_of_a_probability_of_0_is_finite():
    p = np.array([[1.0, 0.0], [0.0, 1.0]])
    y = np.array([1, 1])
    found = classification_metrics(p, y, ["log_loss"], 2)["log_loss"]
    assert found == pytest.approx(sk.log_loss(y, p, labels=[0, 1]))


def test_f1_leaves_out_a_class_that_neither_occurs_nor_is_predicted():
    p = np.array([[0.9, 0.1, 0.0], [0.2, 0.8, 0.0], [0.6, 0.4, 0.0]])
    # Class 0: TP 1, FP 1, FN 0, so 2/3. Class 1: TP 1, FN 1, so 2/3.
    assert classification_metrics(p, np.array([0, 1, 1]), ["f1"], 3)["f1"] == pytest.approx(2 / 3)


def test_what_one_class_leaves_undefined_is_nan():
    p, _ = class_data(n=20, n_classes=2)
    y = np.zeros(20, np.int32)
    found = classification_metrics(p, y, ["roc_auc", "average_precision", "accuracy"], 2)
    assert np.isnan([found["roc_auc"], found["average_precision"]]).all()
    assert found["accuracy"] == sk.accuracy_score(y, p.argmax(axis=1))


def test_an_absent_class_leaves_areas_over_all_classes_undefined():
    p, y = class_data()
    found = classification_metrics(p, np.where(y == 3, 2, y), ["roc_auc", "average_precision"], 6)
    assert np.isnan(list(found.values())).all()


def test_an_output_that_is_always_1_has_a_precision_but_no_roc_curve():
    y = np.ones((10, 2))
    y[:5, 1] = 0
    found = multilabel_metrics(RNG.random((10, 2)), y, ["roc_auc", "average_precision"])
    assert np.isnan(found["roc_auc"])
    assert 0 < found["average_precision"] <= 1


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_outputs_that_are_not_finite_give_nan(bad):
    p, y = class_data(n=10)
    p[3, 2] = bad
    assert np.isnan(list(classification_metrics(p, y, CLASSIFICATION, 6).values())).all()
    found = regression_metrics(np.array([1.0, bad]), np.array([1.0, 2.0]), REGRESSION)
    assert np.isnan(list(found.values())).all()


def test_no_examples_give_nan():
    none = np.zeros((0, 3))
    y = np.zeros(0, np.int32)
    assert np.isnan(list(classification_metrics(none, y, CLASSIFICATION, 3).values())).all()
    assert np.isnan(list(multilabel_metrics(none, none, MULTILABEL).values())).all()
    assert np.isnan(list(regression_metrics(none, none, REGRESSION).values())).all()


def test_r2_of_one_example_is_nan():
    assert np.isnan(regression_metrics(np.array([1.0]), np.array([2.0]), ["r2"])["r2"])


def test_an_unknown_metric_is_named_with_its_nearest():
    with pytest.raises(UnknownNameError, match=r"'acuracy'\. Did you mean 'accuracy'"):
        classification_metrics(*class_data(), ["acuracy"], 6)
    with pytest.raises(UnknownNameError, match="Unknown metric 'top0'"):
        check_metrics("classification", ["top5", "top0"])


@pytest.mark.parametrize(
    ("task", "name"),
    [("classification", "r2"), ("regression", "top3"), ("multilabel", "top3")],
)
def test_a_metric_of_another_task_is_refused_with_the_task_named(task, name):
    with pytest.raises(UnknownNameError, match=f"Unknown {task} metric '{name}'"):
        check_metrics(task, [name])


def test_shapes_and_labels_that_do_not_fit_are_refused():
    p, y = class_data(n=4)
    with pytest.raises(InputError, match=r"probabilities \(4, 5\)"):
        classification_metrics(p, y, ["accuracy"], 5)
    with pytest.raises(InputError, match="Labels 0 to 6 are not all in the allowed 0 to 5"):
        classification_metrics(p, np.array([0, 1, 2, 6]), ["accuracy"], 6)
    with pytest.raises(InputError, match="0 or 1"):
        multilabel_metrics(p, p, ["accuracy"])
    with pytest.raises(InputError, match="one shape"):
        regression_metrics(p, p[:, :2], ["rmse"])


def test_which_way_is_better_is_known_for_every_metric():
    assert not any(map(higher_is_better, ("loss", "log_loss", "rmse", "mae")))
    assert all(map(higher_is_better, ("accuracy", "top7", "roc_auc", "f1", "r2")))
    with pytest.raises(UnknownNameError, match="'los'"):
        higher_is_better("los")


@pytest.mark.parametrize("task", ["classification", "multilabel", "regression"])
def test_default_metrics_belong_to_their_task(task):
    check_metrics(task, default_metrics(task))


def test_the_metrics_of_every_epoch_do_not_import_scikit_learn():
    code = (
        "import sys, numpy as np; from mlp_jax.model import metrics as m;"
        "y = np.array([0, 1]); p = np.eye(2);"
        "m.classification_metrics(p, y, m.default_metrics('classification'), 2);"
        "m.regression_metrics(p, p, m.default_metrics('regression'));"
        "m.multilabel_metrics(p, p, m.default_metrics('multilabel'));"
        "sys.exit('sklearn' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_what_is_undefined_is_told_with_its_reason():
    assert undefined({"loss": 1.0, "accuracy": 0.5}, "the test rows") == []
    found = {"loss": 1.0, "accuracy": 0.5, "roc_auc": np.nan, "average_precision": np.nan}
    sentences = undefined(found, "the test rows")
    names = [sentence.partition(" is undefined on the test rows: ")[0] for sentence in sentences]
    assert names == ["roc_auc", "average_precision"]
    assert "all rows are of one class" in sentences[0]
    assert undefined({"r2": np.nan, "rmse": 0.1}, "these rows") == [
        "r2 is undefined on these rows: it needs at least 2 rows."
    ]
    assert undefined({"loss": np.inf, "rmse": np.nan, "r2": np.nan}, "these rows") == [
        "No metric is defined on these rows: the network's outputs are not finite."
    ]


def test_predictions_that_overflow_give_no_warning():
    """The suite turns NumPy's warnings into errors."""
    s, y = np.array([[1e200], [-1e200]]), np.zeros((2, 1))
    found = regression_metrics(s, y, ("rmse", "mae", "r2"))
    assert (found["rmse"], found["mae"]) == (np.inf, 1e200)
