"""A program whose forked children use estimators and models that were fitted before the fork.

It prints one line of JSON: for each case whether a child gave what the parent has, or the error.
"""

import json
import multiprocessing
import sys
import warnings
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import joblib
import numpy as np
import pandas as pd
import polars as pl

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


def same(found, expected, single=False):
    if isinstance(found, str):
        return found
    found, expected = np.asarray(found), np.asarray(expected)
    if found.shape != expected.shape or found.dtype != expected.dtype:
        return f"{found.dtype} {found.shape} in place of {expected.dtype} {expected.shape}"
    if expected.dtype.kind != "f":
        return bool((found == expected).all())
    bound = 2e-6 if single or expected.dtype == np.float32 else 1e-12
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


def frames():
    """Frames of pandas and polars, which polars' threads would have to encode."""
    n = 400
    moments = pd.date_range("2020", periods=n, freq="7h")
    frame = pd.DataFrame(
        {
            "age": np.where(np.arange(n) % 9, RNG.normal(size=n), np.nan),
            "job": RNG.choice(["cook", "nurse", "3"], n),
            "code": pd.Categorical(RNG.integers(0, 4, n)),
            "when": moments,
            "day": moments.strftime("%Y-%m-%d"),
            "ok": RNG.random(n) < 0.5,
            "maybe": RNG.choice(["yes", "no"], n),
            "text": RNG.normal(size=n).round(2).astype(str),
            "boxed": pd.Series(RNG.integers(0, 9, n), dtype=object),
            "lasts": pd.to_timedelta(np.arange(n), unit="min"),
        }
    )
    y = (frame["age"].fillna(0) + frame["ok"] > 0).to_numpy()
    met = frame.copy()
    met["job"] = met["job"].astype(object).where(np.arange(n) % 7 > 0, None)
    met.loc[::5, "job"] = "unseen"
    met["code"] = met["code"].astype(float)
    met["maybe"] = met["maybe"] == "yes"
    as_polars = pl.DataFrame(
        {name: met[name].astype(object).tolist() for name in met}, strict=False
    )
    for name, estimator in {
        "frame": MLPClassifier((6,), **QUICK),
        "preset": MLPClassifier(preset="tabular", max_iter=2, random_state=0),
        "regressor": MLPRegressor(preset="tabular", max_iter=2, random_state=0),
    }.items():
        fitted = estimator.fit(frame, y)
        model = fitted.to_model()
        probabilities = getattr(fitted, "predict_proba", fitted.predict)
        for library, rows in {"pandas": met, "polars": as_polars}.items():
            for what, call in {"estimator": probabilities, "model": model.predict}.items():
                expected = call(rows)
                found = in_child(lambda call=call, rows=rows: call(rows))
                yield f"{name} {library} {what}", same(found, expected, single=True)
        columns = {each: met[each] for each in met}
        found = in_child(partial(model.predict, columns))
        yield f"{name} dict", same(found, model.predict(columns), single=True)
    plain = pl.DataFrame({"a": X[:, 0], "b": X[:, 1], "c": X[:, 2]})
    fitted = MLPClassifier((6,), **QUICK).fit(plain, Y)
    for rows in (plain, pd.DataFrame(X, columns=list("abc"))):
        library = type(rows).__module__.partition(".")[0]
        model = fitted.to_model()
        for what, call in {"estimator": fitted.predict_proba, "model": model.predict_proba}.items():
            found = in_child(lambda call=call, rows=rows: call(rows))
            yield f"numbers {library} {what}", same(found, call(rows))


def saved(folder):
    fitted = ESTIMATORS["norm and dropout"].fit(X, Y)
    from mlp_jax.model.model_folder import save_model

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
    pl.DataFrame({"a": ["b"]}).group_by("a").len()  # polars starts its threads
    yield "file", in_child(lambda: model.predict(__file__))
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
    """Children forked before JAX has started train by themselves, and before polars has, too."""
    frame = pd.DataFrame({"x": X[:, 0], "w": np.where(Y, "u", "v")})

    def fit(rows):
        return MLPClassifier((4,), **QUICK).fit(rows, Y).predict(rows).shape

    yield "array", same(in_child(partial(fit, X)), (200,))
    yield "frame", same(in_child(partial(fit, frame)), (200,))
    pl.DataFrame({"a": ["b"]}).group_by("a").len()  # polars starts its threads
    yield "array after polars", same(in_child(partial(fit, X)), (200,))
    yield "frame after polars", in_child(partial(fit, frame))


if __name__ == "__main__":
    part = {
        "predictions": predictions,
        "frames": frames,
        "refused": refused,
        "early": early,
        "saved": saved,
    }
    print(json.dumps(dict(part[sys.argv[1]](*sys.argv[2:]))))
