"""The trajectory is scikit-learn's: the same weights, curves and scores from the same seed."""

import numpy as np
import pytest
import scipy.sparse
import sklearn.neural_network
from estimator_cases import BLOBS, PARITY, targets

import mlp_jax.estimators

pytestmark = [
    pytest.mark.usefixtures("optax_promotes"),
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
]


def both(kind, x, y, **options):
    """The two libraries' estimators after the same fit."""
    weights = options.pop("sample_weight", None)
    options = {"random_state": 3, "hidden_layer_sizes": (11, 6)} | options
    return [
        getattr(library, kind)(**options).fit(x, y, sample_weight=weights)
        for library in (sklearn.neural_network, mlp_jax.estimators)
    ]


def check_equal(theirs, ours, x, rtol=1e-10):
    assert ours.n_iter_ == theirs.n_iter_
    for name in ("coefs_", "intercepts_"):
        for mine, other in zip(getattr(ours, name), getattr(theirs, name), strict=True):
            assert mine.dtype == other.dtype
            np.testing.assert_allclose(mine, other, rtol=0, atol=rtol)
    np.testing.assert_allclose(ours.loss_, theirs.loss_, rtol=rtol)
    for name in ("loss_curve_", "validation_scores_", "best_loss_", "best_validation_score_", "t_"):
        mine, other = getattr(ours, name, None), getattr(theirs, name, None)
        assert (mine is None) == (other is None)
        if other is not None:
            np.testing.assert_allclose(mine, other, rtol=rtol, err_msg=name)
    for name in ("n_layers_", "n_outputs_", "out_activation_", "n_features_in_"):
        assert getattr(ours, name) == getattr(theirs, name)
    if hasattr(theirs, "predict_proba"):
        np.testing.assert_allclose(ours.predict_proba(x), theirs.predict_proba(x), atol=rtol)
        np.testing.assert_array_equal(ours.predict(x), theirs.predict(x))
    else:
        np.testing.assert_allclose(ours.predict(x), theirs.predict(x), rtol=1e-8)


@pytest.mark.parametrize("name", PARITY)
def test_fifty_steps_and_more_are_those_of_scikit_learn(name):
    kind, target, options = PARITY[name]
    theirs, ours = both(kind, BLOBS, targets()[target], **options)
    check_equal(theirs, ours, BLOBS)


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_sparse_rows_train_as_dense_ones_do(solver):
    thinned = np.where(np.abs(BLOBS) > 0.5, BLOBS, 0)
    options = {"solver": solver, "batch_size": 50, "max_iter": 10}
    theirs, ours = both("MLPClassifier", scipy.sparse.csr_matrix(thinned), targets()["classes"],
                        **options)  # fmt: skip
    check_equal(theirs, ours, thinned)


def test_a_warm_start_goes_on_where_scikit_learn_does():
    options = {"warm_start": True, "max_iter": 6, "batch_size": 64}
    theirs, ours = both("MLPRegressor", BLOBS, targets()["number"], **options)
    for estimator in (theirs, ours):
        estimator.fit(BLOBS, targets()["number"])
    check_equal(theirs, ours, BLOBS)


@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_partial_fits_go_on_where_scikit_learn_does(solver):
    y = targets()["classes"]
    estimators = []
    for library in (sklearn.neural_network, mlp_jax.estimators):
        estimator = library.MLPClassifier((9,), solver=solver, learning_rate="invscaling",
                                          random_state=1, batch_size=40)  # fmt: skip
        for start in (0, 100, 200):
            part = slice(start, start + 100)
            estimator.partial_fit(BLOBS[part], y[part], classes=np.arange(4))
        estimators.append(estimator)
    check_equal(*estimators, BLOBS)


def test_float32_stays_float32_and_near_scikit_learn():
    x = BLOBS.astype(np.float32)
    theirs, ours = both("MLPClassifier", x, targets()["classes"], batch_size=50, max_iter=8)
    assert {leaf.dtype for leaf in ours.coefs_} == {np.dtype(np.float32)}
    assert ours.predict_proba(x).dtype == np.float32
    np.testing.assert_allclose(ours.loss_curve_, theirs.loss_curve_, rtol=1e-5)
    np.testing.assert_allclose(ours.predict_proba(x), theirs.predict_proba(x), atol=1e-5)


WIDTHS = [
    (3.7,), 3.7, (3.0,), 3.0, [4, 2.5], np.array([3.0]), np.float64(3.0), (np.float64(3.0),),
    True, (True,), (np.int32(3),), np.int64(3), np.array([3, 2]), "3", ("3",), (None,), None, (0,),
    -1, (-1, 3), (), (3, "a"), range(2, 4), (np.float32(2),), {3}, 1e300,
]  # fmt: skip


def outcome(kind, widths):
    """The widths of the layers, or the type and words of the error."""
    try:
        fitted = kind(hidden_layer_sizes=widths, max_iter=1, random_state=0)
        return [coefs.shape for coefs in fitted.fit(np.eye(4), [0, 1, 0, 1]).coefs_]
    except Exception as error:
        return type(error).__name__, str(error).partition("Got")[2] or str(error)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("widths", WIDTHS, ids=repr)
def test_widths_of_any_type_are_taken_or_refused_as_by_scikit_learn(widths):
    ours, theirs = (
        outcome(library.MLPClassifier, widths)
        for library in (mlp_jax.estimators, sklearn.neural_network)
    )
    assert ours == theirs
