"""A program whose forked children use estimators and models that were fitted before the fork.

It prints one line of JSON: for each case whether a child gave what the parent has, or the error.
"""

import json
import multiprocessing
import sys
import warnings
from concurrent.futures import ProcessPoolExecutor

import joblib
import numpy as np

import mlp_jax
from mlp_jax import MLPClassifier, MLPRegressor, get_loss, mlp

warnings.simplefilter("ignore")
RNG = np.random.default_rng(0)
X = RNG.normal(size=(200, 3))
Y = (X[:, 0] + 0.5 * RNG.normal(size=200) > 0).astype(int)
FORK = multiprocessing.get_context("fork")
QUICK = {"max_iter": 3, "random_state": 0}
ESTIMATORS = {
    "classifier": MLPClassifier((6,), **QUICK),
    "float32": MLPClassifier((6,), **QUICK),
    "norm and dropout": MLPClassifier((6, 6), norm="batch", dropout=0.2, residual=True, **QUICK),
    "ensemble": MLPClassifier((6,), ensemble=3, **QUICK),
    "regressor": MLPRegressor(hidden_layer_sizes=(6,), **QUICK),
}


def answer(queue, call):
    try:
        queue.put(call())
    except Exception as error:
        queue.put(f"{type(error).__name__}: {error}")


def in_child(call):
    """What the call gives in a forked process, or "no answer"."""
    queue = FORK.Queue()
    child = FORK.Process(target=answer, args=(queue, call))
    child.start()
    try:
        return queue.get(timeout=30)
    except Exception:
        return "no answer"
    finally:
        child.kill()
        child.join()


def same(found, expected):
    if isinstance(found, str):
        return found
    found, expected = np.asarray(found), np.asarray(expected)
    if found.shape != expected.shape or found.dtype != expected.dtype:
        return f"{found.dtype} {found.shape} in place of {expected.dtype} {expected.shape}"
    if expected.dtype.kind != "f":
        return bool((found == expected).all())
    bound = 1e-12 if expected.dtype == np.float64 else 2e-6
    return bool(np.abs(found - expected).max() <= bound * max(1, np.abs(expected).max()))


def calls(fitted, rows, y):
    """Everything that predicts."""
    model = fitted.to_model()
    found = {
        "predict": lambda: fitted.predict(rows),
        "score": lambda: fitted.score(rows, y),
        "model": lambda: model.predict(rows),
    }
    if isinstance(fitted, MLPClassifier):
        found["probabilities"] = lambda: fitted.predict_proba(rows)
        found["model's probabilities"] = lambda: model.predict_proba(rows)
    return found


def predictions():
    for name, estimator in ESTIMATORS.items():
        rows = X.astype(np.float32) if name == "float32" else X
        fitted = estimator.fit(rows, Y)
        for what, call in calls(fitted, rows, Y).items():
            yield f"{name}: {what}", same(in_child(call), call())
    fitted, expected = ESTIMATORS["classifier"], ESTIMATORS["classifier"].predict_proba(X)
    with ProcessPoolExecutor(1, mp_context=FORK) as pool:
        yield "pool", same(pool.submit(fitted.predict_proba, X).result(30), expected)
    parallel = joblib.Parallel(2, backend="multiprocessing", timeout=30)
    found = parallel(joblib.delayed(fitted.predict_proba)(part) for part in (X[:90], X[90:]))
    yield "joblib", same(np.concatenate(found), expected)
    yield (
        "spread",
        same(
            in_child(lambda: ESTIMATORS["ensemble"].predict_uncertainty(X)),
            ESTIMATORS["ensemble"].predict_uncertainty(X),
        ),
    )


def saved(folder):
    fitted = ESTIMATORS["norm and dropout"].fit(X, Y)
    from mlp_jax.model.saved import save_model

    save_model(f"{folder}/model", fitted.to_model())
    model = mlp_jax.load(folder)
    expected = model.predict_proba(X)
    yield "loaded before", same(in_child(lambda: model.predict_proba(X)), expected)
    yield (
        "loaded in the child",
        same(in_child(lambda: mlp_jax.load(folder).predict_proba(X)), expected),
    )
    with ProcessPoolExecutor(1, mp_context=FORK) as pool:
        yield "pickled", same(pool.submit(model.predict_proba, X).result(30), expected)


def refused():
    fitted = ESTIMATORS["classifier"].fit(X, Y)
    model = fitted.to_model()
    data = (X, Y.astype(np.int32))
    yield "fit", in_child(lambda: MLPClassifier((4,)).fit(X, Y))
    yield "partial_fit", in_child(lambda: fitted.partial_fit(X, Y))
    yield "fit_laplace", in_child(lambda: fitted.fit_laplace(X, Y))
    yield "evaluate", in_child(lambda: model.evaluate((X, Y)))
    yield (
        "function",
        in_child(
            lambda: mlp_jax.fit(
                mlp([4], 2), get_loss("softmax_cross_entropy"), "adam", data, epochs=1
            )
        ),
    )


def early():
    """Children forked before JAX has started train by themselves."""
    yield (
        "fit",
        same(in_child(lambda: MLPClassifier((4,), **QUICK).fit(X, Y).predict(X).shape), (200,)),
    )


if __name__ == "__main__":
    part = {"predictions": predictions, "refused": refused, "early": early, "saved": saved}
    print(json.dumps(dict(part[sys.argv[1]](*sys.argv[2:]))))
