"""The model of a fitted estimator: it predicts and judges as the estimator does."""

import numpy as np
import pytest
from estimator_cases import BLOBS

from mlp_jax.estimators import MLPClassifier
from mlp_jax.model.model_folder import load_model, save_model

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
TRUTH = (BLOBS[:, 0] > 0).astype(int)


@pytest.mark.parametrize(
    "y",
    [
        TRUTH * 5 - 2,
        TRUTH.astype(np.uint8),
        TRUTH.astype(bool),
        TRUTH.astype(np.float32),
        np.where(TRUTH, "yes", "no"),
        np.where(TRUTH, "yes", "no").astype(object),
    ],
    ids=lambda y: f"{y.dtype} {type(y[0]).__name__}",
)
def test_a_model_predicts_the_labels_of_the_estimator(y, tmp_path):
    fitted = MLPClassifier((4,), max_iter=5, random_state=0).fit(BLOBS, y)
    save_model(tmp_path / "model", fitted.to_model())
    found = load_model(tmp_path).predict(BLOBS)
    np.testing.assert_array_equal(found == y, fitted.predict(BLOBS) == y)
    assert 0 < np.mean(found == y) < 1
    assert fitted.to_model().evaluate((BLOBS, y))["accuracy"] == pytest.approx(
        fitted.score(BLOBS, y)
    )
