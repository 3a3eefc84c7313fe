"""Rows, weights and targets of every kind that `fit` trains on, and what is asked of them."""

import numpy as np
import pytest
from sklearn import metrics as sk
from training_cases import assert_close, digits, labelled

from mlp_jax import mlp
from mlp_jax.data import Split, apply, fit_scaling, from_arrays, split
from mlp_jax.errors import InputError
from mlp_jax.training.fit import fit
from mlp_jax.training.optim.optimizers import Optimizer

TANH = mlp([6], 3, "tanh")
CROSS_ENTROPY = "softmax_cross_entropy"


@pytest.mark.usefixtures("unproved")
def test_whole_weights_are_as_rows_that_occur_so_often(x64):
    x, y = labelled(12)
    times = np.array([1, 2, 3, 0, 1, 1, 2, 1, 1, 3, 0, 1])
    options = {"epochs": 3, "precision": "float64"}
    weighed = fit(TANH, CROSS_ENTROPY, "sgd", (x, y), batch_size=12, sample_weight=times, **options)
    again = np.repeat(np.arange(12), times)
    repeated = fit(TANH, CROSS_ENTROPY, "sgd", (x[again], y[again]), batch_size=16, **options)
    assert_close(weighed.params, repeated.params, 1e-12)
    for ours, expected in zip(weighed.history, repeated.history, strict=True):
        assert ours["train_loss"] == pytest.approx(expected["train_loss"], rel=1e-12)


@pytest.mark.usefixtures("unproved")
def test_weights_follow_their_rows_through_the_validation_split():
    x, y = labelled(40)
    weights = np.random.default_rng(1).uniform(0.1, 2, 40)
    options = {"epochs": 2, "batch_size": 8}
    held_out = fit(
        TANH, CROSS_ENTROPY, "sgd", (x, y), validation=0.25, sample_weight=weights, **options
    )
    numbered = from_arrays("rows", np.hstack([x, weights[:, None].astype(np.float32)]), y)
    parts = split(numbered, test=None, validation=0.25, seed=0)
    rows = parts.train
    given = fit(
        TANH, CROSS_ENTROPY, "sgd", (rows.x[:, :4], rows.y), sample_weight=rows.x[:, 4],
        validation=(parts.validation.x[:, :4], parts.validation.y), **options,
    )  # fmt: skip
    assert held_out.history == given.history


@pytest.mark.usefixtures("unproved")
def test_class_weights_are_weights_of_the_rows_of_a_class():
    x, y = labelled(30)
    each = np.array([1.0, 0.25, 3.0])
    options = {"epochs": 2, "batch_size": 8}
    by_class = fit(TANH, CROSS_ENTROPY, "sgd", (x, y), class_weight=tuple(each), **options)
    by_row = fit(TANH, CROSS_ENTROPY, "sgd", (x, y), sample_weight=each[y], **options)
    assert by_class.history == by_row.history
    balanced = fit(TANH, CROSS_ENTROPY, "sgd", (x, y), class_weight="balanced", **options)
    usual = 30 / (3 * np.bincount(y))
    by_row = fit(TANH, CROSS_ENTROPY, "sgd", (x, y), sample_weight=usual[y], **options)
    assert [r["train_loss"] for r in balanced.history] == pytest.approx(
        [r["train_loss"] for r in by_row.history], rel=1e-6
    )


@pytest.mark.usefixtures("unproved")
def test_validation_metrics_are_those_of_scikit_learn():
    x, y = labelled(60)
    fitted = fit(
        TANH, CROSS_ENTROPY, "sgd", (x[:40], y[:40]), epochs=2, batch_size=8,
        validation=(x[40:], y[40:]),
        metrics=("accuracy", "log_loss", "f1", "roc_auc", "top2"),
    )  # fmt: skip
    p, found = fitted.predict_proba(x[40:]).astype(np.float64), fitted.history[-1]
    truth = y[40:]
    p /= p.sum(axis=1, keepdims=True)
    expected = {
        "validation_accuracy": sk.accuracy_score(truth, p.argmax(1)),
        "validation_log_loss": sk.log_loss(truth, p),
        "validation_loss": sk.log_loss(truth, p),
        "validation_f1": sk.f1_score(truth, p.argmax(1), average="macro"),
        "validation_roc_auc": sk.roc_auc_score(truth, p, multi_class="ovr"),
        "validation_top2": sk.top_k_accuracy_score(truth, p, k=2),
    }
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, rel=1e-5), name


@pytest.mark.usefixtures("unproved")
def test_the_validation_fraction_has_its_share_of_every_class():
    x, y = labelled(200)
    sizes = []
    y = np.repeat(np.arange(3), (100, 60, 40)).astype(np.int32)
    fit(
        TANH, CROSS_ENTROPY, "sgd", (x, y), epochs=1, batch_size=160, validation=0.2,
        metrics=("accuracy",),
        callbacks=[lambda end: sizes.append(end.metrics["validation_accuracy"] * 40)],
    )  # fmt: skip
    assert sizes[0] == pytest.approx(round(sizes[0]))  # of the 40 rows that were held out
    rows = split(from_arrays("all", x, y), test=None, validation=0.2, seed=0)
    assert np.bincount(rows.validation.y).tolist() == [20, 12, 8]


@pytest.mark.usefixtures("unproved")
@pytest.mark.parametrize("loss", ["squared_error", "sigmoid_cross_entropy", "hinge", "focal"])
def test_labels_train_by_losses_of_other_kinds(loss):
    rows = digits(120)
    optimizer = Optimizer("rmsprop", 0.01)
    fitted = fit(mlp([16], 10), loss, optimizer, rows, epochs=20, batch_size=32, validation=0.2)
    assert fitted.history[-1]["train_loss"] < fitted.history[0]["train_loss"]
    assert fitted.history[-1]["validation_accuracy"] > 0.2
    found, scores = fitted.evaluate(rows, ("accuracy",)), fitted.predict_proba(rows.x)
    assert scores.shape == (120, 10)
    assert found["accuracy"] == pytest.approx((scores.argmax(1) == rows.y).mean())
    assert found["accuracy"] == pytest.approx((fitted.predict(rows.x) == rows.y).mean())


@pytest.mark.usefixtures("unproved")
def test_numbers_train_and_are_predicted():
    x, _ = labelled(60)
    y = (x @ np.array([[1.0, 0.5], [0, 1], [2, 0], [0, 0]], np.float32)).astype(np.float32)
    fitted = fit(
        mlp([16], 2, "tanh"), "squared_error", "sgd", (x, y), epochs=40, batch_size=20,
        validation=0.2,
    )  # fmt: skip
    assert set(fitted.history[0]) >= {"validation_rmse", "validation_r2"}
    assert fitted.history[-1]["validation_r2"] > 0.8
    s = fitted.predict(x)
    assert fitted.evaluate((x, y))["loss"] == pytest.approx(np.mean((s - y) ** 2), rel=1e-5)


@pytest.mark.usefixtures("unproved")
def test_one_column_of_targets_may_be_flat():
    x, _ = labelled(32)
    y = np.exp(x[:, 0]).round()
    flat, column = (
        fit(mlp([4], 1), "poisson", Optimizer("sgd", 0.01), (x, target), epochs=2, batch_size=16)
        for target in (y, y[:, None])
    )
    assert flat.history == column.history
    rates = flat.predict(x)
    assert rates.shape == (32,)
    assert (rates > 0).all()


@pytest.mark.usefixtures("unproved")
def test_two_classes_may_have_a_single_output():
    x, y = labelled(60)
    labels = (y > 0).astype(np.int32)
    fitted = fit(
        mlp([8], 1), "sigmoid_cross_entropy", "sgd", (x, labels), epochs=15, batch_size=12,
        validation=0.2, metrics=("accuracy", "roc_auc"),
    )  # fmt: skip
    p = fitted.predict_proba(x)
    assert p.shape == (60, 2)
    assert ((p > 0) & (p < 1)).all()
    found = fitted.evaluate((x, labels), ("accuracy", "roc_auc"))
    assert found["accuracy"] == pytest.approx(((p[:, 1] > 0.5) == labels).mean())
    assert found["roc_auc"] == pytest.approx(sk.roc_auc_score(labels, p[:, 1]))
    assert found["accuracy"] > 0.75


@pytest.mark.usefixtures("unproved")
def test_a_row_may_have_several_labels():
    x, _ = labelled(60)
    y = (x[:, :2] > 0).astype(np.float32)
    fitted = fit(
        mlp([8], 2), "sigmoid_cross_entropy", "sgd", (x, y), epochs=15, batch_size=12,
        validation=0.2,
    )  # fmt: skip
    found, p = fitted.evaluate((x, y), ("accuracy", "f1")), fitted.predict_proba(x)
    assert fitted.predict(x).tolist() == (p > 0.5).astype(int).tolist()
    assert found["accuracy"] == pytest.approx(((p > 0.5) == y).mean())
    assert found["f1"] == pytest.approx(sk.f1_score(y, p > 0.5, average="macro"))
    assert found["accuracy"] > 0.75


@pytest.mark.usefixtures("unproved")
def test_bytes_train_as_the_scaled_floats_do():
    rows = digits(100)
    scaling = fit_scaling(rows.x)
    by_hand = (rows.x - rows.x.mean()) / rows.x.std()
    assert apply(scaling, rows.x, np.float64) == pytest.approx(by_hand, abs=1e-12)
    options = {"epochs": 2, "batch_size": 32}
    pixels = fit(mlp([8], 10), CROSS_ENTROPY, "sgd", rows, **options)
    floats = fit(
        mlp([8], 10), CROSS_ENTROPY, "sgd", (by_hand.astype(np.float32), rows.y), **options
    )
    assert_close(pixels.params, floats.params, 1e-5)
    assert pixels.predict_proba(rows.x) == pytest.approx(
        floats.predict_proba(by_hand.astype(np.float32)), abs=1e-5
    )


@pytest.mark.parametrize(
    ("loss", "y", "words"),
    [
        ("sigmoid_cross_entropy", np.array([[0.0], [5.0]] * 10), "from 0 to 1, but row 1 has 5"),
        ("poisson", np.array([[0.0], [-2.0]] * 10), "not negative, but row 1 has -2"),
    ],
)
def test_a_target_that_the_loss_has_no_meaning_for_is_refused(loss, y, words):
    with pytest.raises(InputError, match=words):
        fit(mlp([4], 1), loss, "sgd", (labelled(20)[0], y), batch_size=10)


@pytest.mark.usefixtures("unproved")
def test_other_rows_must_fit_the_trained_network():
    x, y = labelled(20)
    fitted = fit(TANH, CROSS_ENTROPY, "sgd", Split(x, y), epochs=1, batch_size=10)
    with pytest.raises(InputError, match=r"\(N, 4\), not of shape \(20, 3\)"):
        fitted.predict(x[:, :3])
    with pytest.raises(InputError, match=r"not of shape \(4,\)"):
        fitted.predict(x[0])
    with pytest.raises(InputError, match="one target per row: 20 rows, 19 targets"):
        fitted.evaluate((x, y[:-1]))
    with pytest.raises(InputError, match="label '3' in row 0 is not a class"):
        fitted.evaluate((x, y + 1))
    with pytest.raises(InputError, match=r"label '0\.5' in row 6 is not a class"):
        fitted.evaluate((x, y + 0.5))
    p = fitted.predict_proba(x)
    assert p.sum(axis=1) == pytest.approx(np.ones(20), rel=1e-5)
