"""What the estimators take beyond scikit-learn's parameters."""

import copy
import pickle

import numpy as np
import optax
import pandas as pd
import polars as pl
import pytest
from estimator_cases import BLOBS, targets
from sklearn.base import clone
from sklearn.utils.class_weight import compute_sample_weight

from mlp_jax.errors import DeviceError, InputError
from mlp_jax.estimators import MLPClassifier, MLPRegressor
from mlp_jax.training import Optimizer

pytestmark = [
    pytest.mark.usefixtures("optax_promotes"),
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
]


def classifier(**options):
    return MLPClassifier((6, 6), max_iter=3, random_state=0, batch_size=111, **options)


def regressor(**options):
    return MLPRegressor(hidden_layer_sizes=(6,), max_iter=3, random_state=0, **options)


@pytest.mark.parametrize(
    "options",
    [
        {"dropout": 0.2, "norm": "batch"},
        {"norm": "layer", "residual": True},
        {"activation": "gelu", "loss": "focal"},
        {"optimizer": "muon", "schedule": "one-cycle", "weight_decay": 0.1},
        {"optimizer": Optimizer("lion", 1e-3)},
        {"schedule": "cosine"},
        {"ema": 0.9},
        {"precision": "bf16"},
        {"device": "cpu", "precision": "float32"},
        {"ensemble": 2, "early_stopping": True},
    ],
    ids=lambda options: " ".join(options),
)
def test_an_extra_trains_and_survives_clone_and_pickle(options):
    y = targets()["classes"]
    fitted = clone(classifier(**options)).fit(BLOBS, y)
    assert fitted.loss_curve_[-1] < fitted.loss_curve_[0]
    assert all(type(leaf) is np.ndarray for leaf in (*fitted.coefs_, *fitted.intercepts_))
    p = fitted.predict_proba(BLOBS)
    np.testing.assert_allclose(p.sum(axis=1), 1, rtol=1e-5)
    again = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(again.predict_proba(BLOBS), p)


@pytest.mark.parametrize("loss", ["huber", "absolute_error", "log_cosh", "quantile"])
def test_a_regression_takes_every_loss_of_real_numbers(loss):
    fitted = regressor(loss=loss).fit(BLOBS, targets()["numbers"])
    assert fitted.loss_curve_[-1] < fitted.loss_curve_[0]
    assert fitted.predict(BLOBS).shape == (len(BLOBS), 2)


def test_sgd_of_optax_takes_the_steps_of_the_solver_sgd():
    options = {"learning_rate_init": 0.05}
    ours = classifier(solver="sgd", momentum=0.0, nesterovs_momentum=False, **options)
    theirs = classifier(optimizer=optax.sgd(0.05))
    for estimator in (ours, theirs):
        estimator.fit(BLOBS, targets()["classes"])
    for mine, other in zip(ours.coefs_, theirs.coefs_, strict=True):
        np.testing.assert_allclose(mine, other, atol=1e-12)


def test_class_weights_are_sample_weights():
    y = targets()["words"]
    weights = {"yes": 3.0, "no": 1.0}
    by_class = classifier(class_weight=weights).fit(BLOBS, y)
    by_row = classifier().fit(BLOBS, y, sample_weight=compute_sample_weight(weights, y))
    np.testing.assert_array_equal(by_class.coefs_[0], by_row.coefs_[0])


def test_validation_data_are_judged_each_epoch_and_choose_the_best_weights():
    y = targets()["classes"]
    judged = (BLOBS[:50], y[:50])
    watched = classifier(validation_data=judged).fit(BLOBS, y)
    chosen = classifier(validation_data=judged, early_stopping=True).fit(BLOBS, y)
    assert len(watched.validation_scores_) == 3
    assert watched.validation_scores_[-1] == watched.score(*judged)
    assert chosen.validation_scores_ == watched.validation_scores_
    assert chosen.score(*judged) == chosen.best_validation_score_ == max(chosen.validation_scores_)


def test_the_moving_average_is_that_of_the_weights_after_each_step():
    y = targets()["classes"]
    seen = []

    def look(end):
        seen.append(np.asarray(end.state.params[0]["W"]))

    plain = classifier(callbacks=[look]).set_params(batch_size=len(BLOBS)).fit(BLOBS, y)
    averaged = classifier(ema=0.5).set_params(batch_size=len(BLOBS)).fit(BLOBS, y)
    expected = np.average(seen, axis=0, weights=0.5 ** np.arange(len(seen) - 1, -1, -1))
    np.testing.assert_array_equal(plain.coefs_[0], seen[-1])
    np.testing.assert_allclose(averaged.coefs_[0], expected, atol=1e-12)


def test_a_callback_that_says_true_ends_the_training():
    assert classifier(callbacks=lambda end: end.epoch == 2).fit(
        BLOBS, targets()["classes"]).n_iter_ == 2  # fmt: skip


def test_tensorboard_gets_a_file_of_events(tmp_path):
    classifier(tensorboard=str(tmp_path / "log")).fit(BLOBS, targets()["classes"])
    assert next((tmp_path / "log").iterdir()).stat().st_size > 100


def people(library):
    columns = {
        "age": BLOBS[:, 0].tolist(),
        "town": np.where(BLOBS[:, 1] > 0, "Ulm", "Bern").tolist(),
        "job": [f"job {number}" for number in np.digitize(BLOBS[:, 2], [-1, 0, 1])],
    }
    return library.DataFrame(columns)


@pytest.mark.parametrize("library", [pd, pl])
def test_a_frame_with_words_goes_straight_in(library):
    frame = people(library)
    y = np.asarray(frame["town"])
    fitted = MLPClassifier((8,), max_iter=40, learning_rate_init=0.02, random_state=0)
    fitted.fit(frame, y)
    assert fitted.score(frame, y) == 1.0
    assert list(fitted.feature_names_in_) == ["age", "town", "job"]
    assert fitted.n_features_in_ == 3
    with pytest.raises(InputError, match="needs one to predict"):
        fitted.predict(np.zeros((2, 3)))
    turned = frame[["job", "age", "town"]]
    np.testing.assert_array_equal(fitted.predict(turned), fitted.predict(frame))
    np.testing.assert_array_equal(fitted.to_model().predict(frame), fitted.predict(frame))


def test_the_members_of_an_ensemble_disagree_and_laplace_tells_one_network():
    x, y = BLOBS, targets()["number"]
    many = regressor(ensemble=3).fit(x, y)
    one = regressor(alpha=0).fit(x, y)
    assert many.predict_uncertainty(x).shape == (len(x),)
    with pytest.raises(InputError, match="fit_laplace"):
        one.predict_uncertainty(x)
    known = one.fit_laplace(x, y).predict_uncertainty(x)
    assert (known > 0).all()
    assert (one.predict_uncertainty(10 * x) > known).mean() > 0.9


REFUSED = {
    "lbfgs with dropout": ({"solver": "lbfgs", "dropout": 0.1}, "does not support dropout"),
    "sgd with a schedule": ({"solver": "sgd", "schedule": "cosine"}, "solver='adam'"),
    "built with a decay": ({"optimizer": optax.sgd(0.1), "weight_decay": 0.1}, "own weight_decay"),
    "ensemble of alpha": ({"ensemble": 2, "alpha": 1.0}, "use weight_decay instead"),
    "kfac": ({"optimizer": "kfac"}, "use mlp_jax.fit"),
    "no preset": ({"preset": "tables"}, "preset"),
    "loss of one": ({"loss": "sigmoid_cross_entropy"}, "does not fit"),
    "half a pair": ({"validation_data": (BLOBS,)}, "a pair"),
}


@pytest.mark.parametrize(("options", "words"), REFUSED.values(), ids=REFUSED)
def test_what_has_no_meaning_is_refused_in_one_sentence(options, words):
    with pytest.raises(ValueError, match=words):
        classifier(**options).fit(BLOBS, targets()["classes"])


def test_a_device_that_is_not_there_is_said():
    with pytest.raises(DeviceError, match="No gpu found"):
        classifier(device="gpu").fit(BLOBS, targets()["classes"])


@pytest.mark.parametrize("options", [{"ema": 0.9}, {"ensemble": 2}, {"class_weight": "balanced"}])
def test_partial_fit_refuses_what_is_of_a_whole_fit(options):
    with pytest.raises(InputError):
        classifier(**options).partial_fit(BLOBS, targets()["words"], classes=["no", "yes"])


def test_validation_rows_of_an_unknown_class_are_refused():
    judged = (BLOBS[:2], np.array([0, 9]))
    with pytest.raises(InputError, match="not in training"):
        classifier(validation_data=judged).fit(BLOBS, targets()["classes"])


def test_a_deep_copy_of_a_fitted_estimator_predicts_the_same():
    fitted = classifier().fit(BLOBS, targets()["classes"])
    same = copy.deepcopy(fitted)
    np.testing.assert_array_equal(same.predict_proba(BLOBS), fitted.predict_proba(BLOBS))


DAYS = np.array(["2024-02-29", "2024-03-01"], "datetime64[D]")[np.arange(60) % 2]


@pytest.mark.parametrize(
    ("y", "words"),
    [
        (DAYS, "y holds dates: give numbers derived from them"),
        (DAYS.astype("datetime64[ns]"), "y holds dates"),
        (DAYS.astype(object), "y holds dates"),
        (pd.Series(DAYS.astype("datetime64[ns]")).dt.tz_localize("UTC"), "y holds dates"),
        (pl.Series(DAYS), "y holds dates"),
        (DAYS - DAYS[0], r"y holds durations: give numbers, such as y / np\.timedelta64"),
        (np.arange(60) + 1j, "Complex data not supported: y holds complex numbers"),
    ],
    ids=["days", "moments", "boxed", "zoned", "polars", "spans", "complex"],
)
@pytest.mark.parametrize("preset", [None, "tabular"])
def test_a_regressor_refuses_targets_that_are_no_numbers(y, words, preset):
    x = np.random.default_rng(0).normal(size=(60, 2))
    model = MLPRegressor(max_iter=1, preset=preset)
    with pytest.raises(InputError, match=words):
        model.fit(x, y)
    if preset is None:
        with pytest.raises(InputError, match=words):
            model.partial_fit(x, y)


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
def test_a_classifier_takes_days_for_labels_and_its_model_gives_them_back():
    x = np.random.default_rng(0).normal(size=(60, 2)) + (np.arange(60) % 2)[:, None]
    estimator = MLPClassifier((3,), max_iter=2, random_state=0).fit(x, DAYS)
    model = estimator.to_model()
    assert model.predict(x).dtype == DAYS.dtype
    np.testing.assert_array_equal(model.predict(x), estimator.predict(x))
    accuracy = model.evaluate((x, DAYS.astype("datetime64[ns]")), ["accuracy"])["accuracy"]
    assert accuracy == pytest.approx(estimator.score(x, DAYS))
