"""Rows, targets and options that the two libraries are compared on."""

import functools

import numpy as np

N = 333
BLOBS = np.random.default_rng(0).standard_normal((N, 7))


@functools.cache
def targets():
    """One of each kind of target over `BLOBS`."""
    rng = np.random.default_rng(1)
    number = BLOBS @ rng.standard_normal(7) + 0.1 * rng.standard_normal(N)
    return {
        "classes": rng.integers(0, 4, N),
        "words": np.where(BLOBS[:, 0] + 0.3 * rng.standard_normal(N) > 0, "yes", "no"),
        "labels": (rng.random((N, 3)) < 0.4).astype(int),
        "number": number,
        "numbers": np.c_[number, number**2],
        "counts": rng.poisson(np.exp(0.3 * BLOBS[:, 0])).astype(float),
    }


WEIGHTS = np.random.default_rng(2).uniform(0.1, 2, N)
STEPS = {"batch_size": 50, "max_iter": 8}  # 56 steps, the last of each epoch short
SGD = {"solver": "sgd", "learning_rate_init": 0.05, "n_iter_no_change": 2, "batch_size": 50}
LBFGS = {"solver": "lbfgs", "max_iter": 50}

PARITY = {
    "adam": ("MLPClassifier", "classes", STEPS),
    "adam weighted": ("MLPClassifier", "classes", STEPS | {"sample_weight": WEIGHTS}),
    "adam binary": ("MLPClassifier", "words", STEPS | {"activation": "tanh", "beta_1": 0.0}),
    "adam multi-label": ("MLPClassifier", "labels", STEPS | {"activation": "logistic"}),
    "adam in order": ("MLPClassifier", "classes", STEPS | {"shuffle": False, "alpha": 1.0}),
    "early stopping": ("MLPClassifier", "classes", STEPS | {"early_stopping": True, "tol": 0.05,
                                                            "n_iter_no_change": 2}),
    "early stopping weighted": ("MLPClassifier", "words", STEPS | {"early_stopping": True,
                                                                   "sample_weight": WEIGHTS}),
    "regression": ("MLPRegressor", "number", STEPS | {"activation": "identity"}),
    "two numbers": ("MLPRegressor", "numbers", STEPS | {"sample_weight": WEIGHTS}),
    "regression early stopping": ("MLPRegressor", "numbers", STEPS | {"early_stopping": True}),
    "poisson": ("MLPRegressor", "counts", STEPS | {"loss": "poisson"}),
    "sgd": ("MLPClassifier", "classes", SGD | {"nesterovs_momentum": False, "max_iter": 8}),
    "sgd nesterov": ("MLPClassifier", "classes", SGD | {"max_iter": 8}),
    "sgd invscaling": ("MLPClassifier", "classes", SGD | {"learning_rate": "invscaling"}),
    "sgd adaptive": ("MLPClassifier", "classes", SGD | {"learning_rate": "adaptive",
                                                        "max_iter": 60, "tol": 1e-2}),
    "lbfgs": ("MLPClassifier", "classes", LBFGS),
    "lbfgs number": ("MLPRegressor", "number", LBFGS | {"sample_weight": WEIGHTS}),
    "lbfgs poisson": ("MLPRegressor", "counts", LBFGS | {"loss": "poisson"}),
}  # fmt: skip
