"""The estimators among scikit-learn's own tools, and what they say on the way."""

import joblib
import numpy as np
import pytest
import sklearn.neural_network
from estimator_cases import BLOBS, targets
from sklearn.calibration import CalibratedClassifierCV
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import mlp_jax
import mlp_jax.estimators
from mlp_jax.errors import ProofError
from mlp_jax.estimators import MLPClassifier, gradient_check
from mlp_jax.estimators.specify import specify

pytestmark = pytest.mark.usefixtures("optax_promotes")
BOTH = (sklearn.neural_network, mlp_jax.estimators)
quiet = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@quiet
def test_a_grid_a_pipeline_and_folds_choose_what_they_choose_for_scikit_learn():
    found = []
    for library in BOTH:
        pipeline = make_pipeline(
            StandardScaler(), library.MLPClassifier((6,), max_iter=5, random_state=0)
        )
        grid = {"mlpclassifier__alpha": [1e-4, 10.0], "mlpclassifier__learning_rate_init": [0.1]}
        search = GridSearchCV(pipeline, grid, cv=3).fit(BLOBS, targets()["words"])
        scores = cross_val_score(pipeline, BLOBS, targets()["words"], cv=3)
        found.append((search.cv_results_["mean_test_score"], scores))
    np.testing.assert_array_equal(found[0][0], found[1][0])
    np.testing.assert_array_equal(found[0][1], found[1][1])


@quiet
def test_calibration_gives_scikit_learns_probabilities():
    found = [
        CalibratedClassifierCV(library.MLPClassifier((6,), max_iter=5, random_state=0), cv=3)
        .fit(BLOBS, targets()["words"])
        .predict_proba(BLOBS)
        for library in BOTH
    ]
    np.testing.assert_allclose(found[1], found[0], atol=1e-8)


@quiet
def test_joblib_writes_and_reads_a_fitted_estimator(tmp_path):
    fitted = MLPClassifier((6,), max_iter=5, random_state=0).fit(BLOBS, targets()["words"])
    joblib.dump(fitted, tmp_path / "fitted")
    again = joblib.load(tmp_path / "fitted")
    np.testing.assert_array_equal(again.predict(BLOBS), fitted.predict(BLOBS))


@pytest.mark.parametrize(
    "options", [{"solver": "sgd", "learning_rate": "adaptive"}, {"early_stopping": True}]
)
@quiet
def test_what_is_printed_is_what_scikit_learn_prints(options, capsys):
    said = []
    for library in BOTH:
        library.MLPClassifier(
            (5,), max_iter=12, tol=0.1, n_iter_no_change=2, random_state=0, verbose=True, **options
        ).fit(BLOBS, targets()["classes"])
        said.append(capsys.readouterr().out)
    assert said[1] == said[0] != ""


def test_an_end_without_convergence_warns_in_scikit_learns_words():
    with pytest.warns(ConvergenceWarning, match=r"Maximum iterations \(2\) reached and the"):
        MLPClassifier((5,), max_iter=2, random_state=0).fit(BLOBS, targets()["classes"])
    with pytest.warns(ConvergenceWarning, match="lbfgs failed to converge after 2"):
        MLPClassifier((5,), max_iter=2, solver="lbfgs").fit(BLOBS, targets()["classes"])
    with pytest.warns(UserWarning, match="Got `batch_size` less than 1 or larger"):
        MLPClassifier((5,), max_iter=99, tol=1e3, n_iter_no_change=1, batch_size=999).fit(
            BLOBS, targets()["classes"]
        )


def test_ctrl_c_keeps_the_weights_so_far():
    def interrupt(end):
        if end.epoch == 3:
            raise KeyboardInterrupt

    estimator = MLPClassifier((5,), max_iter=9, random_state=0, callbacks=interrupt)
    with pytest.warns(UserWarning, match="Training interrupted by user"):
        estimator.fit(BLOBS, targets()["classes"])
    assert estimator.n_iter_ == 3  # the epoch that had just ended
    assert estimator.predict(BLOBS).shape == (len(BLOBS),)


@quiet
def test_weights_that_are_not_finite_are_an_error():
    with pytest.raises(ValueError, match="non-finite parameter weights"):
        MLPClassifier((5,), max_iter=5, solver="sgd", learning_rate_init=1e300).fit(
            BLOBS, targets()["classes"]
        )


def test_partial_fit_is_there_for_stochastic_solvers_only():
    assert hasattr(MLPClassifier(), "partial_fit")
    assert not hasattr(MLPClassifier(solver="lbfgs"), "partial_fit")


def test_a_gradient_that_fails_the_proof_keeps_no_weight(monkeypatch):
    class Failed:
        ok, fault = False, "layer 0"

    monkeypatch.setattr(gradient_check, "check_gradients", lambda *_, **__: Failed())
    monkeypatch.setattr(gradient_check, "_proofs", {})
    estimator = MLPClassifier((5,), max_iter=2, random_state=0)
    with pytest.raises(ProofError, match="layer 0"):
        estimator.fit(BLOBS, targets()["classes"])
    assert estimator.n_iter_ == 0


def test_equal_networks_are_proved_once(monkeypatch):
    calls = []
    monkeypatch.setattr(gradient_check, "_proofs", {})
    monkeypatch.setattr(gradient_check, "_prove", lambda *arguments: calls.append(arguments))
    for hidden, width in ((4, 3), (4, 9), (5, 3)):
        specification = specify([hidden], width, 2, "relu", "softmax_cross_entropy")
        gradient_check.check_once(specification, "float64")
    assert len(calls) == 2


def test_the_estimators_stand_at_the_top_of_the_package():
    assert mlp_jax.MLPClassifier is MLPClassifier
    with pytest.raises(AttributeError, match="no attribute 'MLPTransformer'"):
        mlp_jax.MLPTransformer  # noqa: B018
