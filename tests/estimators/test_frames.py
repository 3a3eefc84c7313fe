"""Frames of every type go into the estimators, and what they say of their types is believed."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.neural_network import MLPClassifier as ScikitClassifier

from mlp_jax.errors import InputError
from mlp_jax.estimators import MLPClassifier
from mlp_jax.estimators.frames import encoded
from mlp_jax.estimators.presets import learn_preset_encoding

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore::mlp_jax.DataWarning"),
]
N = 120
RNG = np.random.default_rng(0)
NUMBERS = pd.DataFrame({"a": RNG.normal(size=N) * 100, "b": RNG.normal(size=N)})
Y = (NUMBERS["a"] > 0).to_numpy().astype(int)
WORDS = RNG.choice(["u", "v"], N)
QUICK = {"hidden_layer_sizes": (4,), "max_iter": 4, "random_state": 0}


@pytest.mark.parametrize(
    "convert",
    [
        lambda frame: frame,
        lambda frame: frame.astype(object),
        lambda frame: frame.round().astype("Int64"),
        lambda frame: frame.round().astype("category"),
        lambda frame: frame.assign(b=frame["b"] > 0),
        lambda frame: frame.assign(b=(frame["b"] > 0).astype(object)),
        lambda frame: frame.astype(pd.SparseDtype(float, 0.0)),
        lambda frame: frame.astype({"a": object, "b": "Float64"}),
    ],
)
def test_a_frame_of_numbers_is_what_it_is_to_scikit_learn(convert):
    rows = convert(NUMBERS)
    ours = MLPClassifier(**QUICK).fit(rows, Y)
    theirs = ScikitClassifier(**QUICK).fit(rows, Y)
    np.testing.assert_allclose(ours.predict_proba(rows), theirs.predict_proba(rows), atol=1e-9)
    np.testing.assert_allclose(
        ours.to_model().predict_proba(rows), theirs.predict_proba(rows), atol=1e-9
    )


def test_boxed_numbers_of_polars_are_numbers():
    rows = pl.DataFrame({"a": pl.Series(NUMBERS["a"].tolist(), dtype=pl.Object), "b": NUMBERS["b"]})
    theirs = ScikitClassifier(**QUICK).fit(NUMBERS, Y).predict_proba(NUMBERS)
    found = MLPClassifier(**QUICK).fit(rows, Y).predict_proba(rows)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, theirs, atol=1e-9)


def found_kinds(rows):
    encoding = MLPClassifier(**QUICK).fit(rows, Y)._encoding
    return {c.name for c in encoding.numeric}, {c.name for c in encoding.categorical}


CODES = RNG.integers(0, 4, N)
DECLARED = {
    "whole numbers": pd.Categorical(CODES),
    "digits": pd.Categorical(CODES.astype(str)),
    "halves": pd.Categorical(CODES / 2),
    "intervals": pd.cut(NUMBERS["b"], 3),
    "dates": pd.Categorical(np.array(["2020-01-01", "2020-02-01"])[Y]),
    "moments": pd.Categorical(pd.to_datetime(np.array(["2020-01-01", "2020-02-01"])[Y])),
    "truths": pd.Categorical(Y > 0),
}


@pytest.mark.parametrize("name", DECLARED)
def test_a_declared_category_is_one_beside_words(name):
    numeric, categorical = found_kinds(
        pd.DataFrame({"code": DECLARED[name], "w": WORDS, "x": NUMBERS["a"]})
    )
    assert categorical == {"code", "w"}
    assert numeric == {"x"}


@pytest.mark.parametrize("name", sorted(set(DECLARED) - {"halves"}))
def test_a_declared_category_is_one_among_numbers_too(name):
    assert found_kinds(pd.DataFrame({"code": DECLARED[name], "x": NUMBERS["a"]}))[1] == {"code"}
    assert found_kinds(pd.DataFrame({"code": DECLARED[name]}))[1] == {"code"}


def test_many_levels_that_are_numbers_are_categories_without_a_word_among_them():
    codes = pd.Categorical(np.arange(6 * 60) % 60)
    rows = pd.DataFrame({"code": codes, "x": np.arange(360.0)})
    one = MLPClassifier(**QUICK).fit(rows, np.arange(360) % 2)
    assert len(one._encoding.categorical[0].categories) == 60


@pytest.mark.parametrize("kind", [pl.Categorical, pl.Enum(["0", "1", "2", "3"])])
def test_polars_categories_of_digits_are_categories(kind):
    codes = pl.Series(CODES).cast(pl.String).cast(kind)
    assert found_kinds(pl.DataFrame({"code": codes, "x": NUMBERS["a"]}))[1] == {"code"}


def test_a_category_of_floats_among_numbers_is_a_number_to_a_preset_too():
    rows = NUMBERS.assign(a=NUMBERS["a"].round(-2).astype("category"))
    encoding = learn_preset_encoding("tabular", rows)
    assert [column.name for column in encoding.numeric] == ["a", "b"]
    floats = NUMBERS.assign(a=NUMBERS["a"].round(-2))
    expected = encoded(learn_preset_encoding("tabular", floats), floats)
    np.testing.assert_array_equal(encoded(encoding, rows), expected)


def test_a_category_is_met_again_in_any_type():
    rows = pd.DataFrame({"code": pd.Categorical(CODES), "w": WORDS})
    one = MLPClassifier(**QUICK).fit(rows, Y)
    expected = one.predict_proba(rows)
    for same in (CODES, CODES.astype(float), CODES.astype(str), CODES.astype(object)):
        np.testing.assert_array_equal(one.predict_proba(rows.assign(code=same)), expected)


@pytest.mark.parametrize("beside", [{"w": WORDS}, {}], ids=["words", "numbers"])
def test_boxed_numbers_give_to_the_last_bit_what_floats_give(beside):
    plain = NUMBERS.assign(**beside)
    expected = MLPClassifier(**QUICK).fit(plain, Y).predict_proba(plain)
    rows = plain.astype({"a": object, "b": object})
    found = MLPClassifier(**QUICK).fit(rows, Y).predict_proba(rows)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("names", [["a", "w", "a"], ["a", "b", "a"], [1, "w", "1"]])
def test_two_columns_of_one_name_are_refused_in_fit_and_predict(names):
    twice = pd.DataFrame({"p": NUMBERS["a"], "q": WORDS, "r": NUMBERS["b"]})
    if "b" in names:
        twice["q"] = NUMBERS["b"]
    single = twice.set_axis(["a", "b", "c"], axis=1)
    twice = twice.set_axis(names, axis=1)
    with pytest.raises(InputError, match=f"Two columns are called '{names[2]}'"):
        MLPClassifier(**QUICK).fit(twice, Y)
    fitted = MLPClassifier(**QUICK).fit(single, Y)
    for predicts in (fitted, fitted.to_model()):
        with pytest.raises(InputError, match=f"Two columns are called '{names[2]}'"):
            predicts.predict(twice)


def test_a_series_is_refused_in_one_sentence():
    rows = NUMBERS.assign(w=WORDS)
    fitted = MLPClassifier(**QUICK).fit(rows, Y)
    with pytest.raises(ValueError, match="A Series is a single column"):
        fitted.predict(rows.iloc[0])
    with pytest.raises(ValueError, match="A Series is a single column"):
        fitted.to_model().predict(rows["w"])


def test_a_lazy_frame_is_refused_in_one_sentence():
    rows = pl.DataFrame({"a": NUMBERS["a"], "w": WORDS})
    with pytest.raises(InputError, match="A LazyFrame has no rows yet"):
        MLPClassifier(**QUICK).fit(rows.lazy(), Y)
    with pytest.raises(InputError, match="A LazyFrame has no rows yet"):
        MLPClassifier(**QUICK).fit(rows, Y).predict(rows.lazy())
