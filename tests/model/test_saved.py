"""A model predicts what its equations say, in its own words and units, also after the disk."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
from model_cases import (
    COLOURS,
    binary_model,
    colour_model,
    dense_chain,
    multilabel_model,
    pixel_model,
    regression_model,
    sigmoid,
    softmax,
)
from sklearn.metrics import accuracy_score, f1_score, log_loss, r2_score

import mlp_jax
from mlp_jax.data import Dataset, Split, from_arrays
from mlp_jax.errors import InputError
from mlp_jax.model.model_folder import load_model, save_model

RNG = np.random.default_rng(5)
MODELS = {
    "colours": colour_model,
    "regression": regression_model,
    "two outputs": lambda: regression_model(2, "huber"),
    "counts": lambda: regression_model(1, "poisson", scaled=False),
    "one logit": binary_model,
    "multilabel": multilabel_model,
    "pixels": pixel_model,
    "norms": lambda: colour_model(norm="layer", residual=True, dropout=0.5),
}


def rows_for(model, n=40):
    if model.inputs.pixels:
        return RNG.integers(0, 256, (n, model.inputs.n_features), np.uint8)
    return RNG.standard_normal((n, model.inputs.n_features)).astype(np.float32)


@pytest.mark.parametrize("name", MODELS)
def test_the_model_that_comes_back_predicts_the_same_bits(name, tmp_path):
    model = MODELS[name]()
    save_model(tmp_path / "model", model)
    x = rows_for(model)
    back = mlp_jax.load(tmp_path)
    np.testing.assert_array_equal(back.predict(x), model.predict(x))
    assert (back.network, back.loss) == (model.network, model.loss)
    assert (back.inputs, back.target) == (model.inputs, model.target)
    assert back.metrics == model.metrics
    assert {**back.about, "versions": None} == {**model.about, "versions": None}
    assert {"mlp_jax", "jax", "python"} <= back.about["versions"].keys()


def test_labels_and_probabilities_are_those_of_the_equations():
    model = colour_model()
    x = rows_for(model)
    scaled = x * np.array(model.inputs.scale) + np.array(model.inputs.offset)
    expected = softmax(dense_chain(model.params, ["tanh", "tanh"], scaled))
    np.testing.assert_allclose(model.predict_proba(x), expected, atol=2e-6)
    np.testing.assert_array_equal(model.predict(x), np.array(COLOURS)[expected.argmax(axis=1)])
    assert model.predict(x).dtype.kind == "U"


def test_one_logit_gives_two_probabilities_that_sum_to_one():
    model = binary_model()
    x = rows_for(model)
    p = sigmoid(dense_chain(model.params, ["silu"], x))
    np.testing.assert_allclose(model.predict_proba(x), np.hstack([1 - p, p]), atol=2e-6)
    np.testing.assert_array_equal(model.predict(x), np.where(p[:, 0] > 0.5, "yes", "no"))


def test_several_labels_a_row_are_zeros_and_ones():
    model = multilabel_model()
    x = rows_for(model)
    p = sigmoid(dense_chain(model.params, ["relu"], x))
    np.testing.assert_array_equal(model.predict(x), (p > 0.5).astype(int))
    np.testing.assert_allclose(model.predict_proba(x), p, atol=2e-6)


def test_a_standardized_target_comes_back_in_its_own_units():
    model = regression_model(2)
    x = rows_for(model)
    expected = dense_chain(model.params, ["gelu_exact"], x) * [20.0, 3.0] + [2000.0, -5.0]
    np.testing.assert_allclose(model.predict(x), expected, atol=2e-4)
    assert regression_model(1).predict(x).shape == (len(x),)


def test_counts_are_rates_and_have_no_units_to_undo():
    model = regression_model(1, "poisson", scaled=False)
    x = rows_for(model)
    expected = np.exp(dense_chain(model.params, ["gelu_exact"], x))[:, 0]
    np.testing.assert_allclose(model.predict(x), expected, rtol=2e-5)
    with pytest.raises(InputError, match="no probabilities"):
        model.predict_proba(x)


def test_pixels_go_in_as_bytes_or_images_and_give_the_same():
    model = pixel_model()
    x = rows_for(model)
    np.testing.assert_array_equal(model.predict(x.reshape(-1, 4, 3)), model.predict(x))
    np.testing.assert_array_equal(model.predict(x.astype(np.float64)), model.predict(x))


@pytest.mark.parametrize("n", [0, 1, 16, 17, 4096, 4097, 9000])
def test_any_number_of_rows_goes_through_and_padding_changes_nothing(n):
    model = pixel_model()
    x = rows_for(model, n)
    found = model.predict_proba(x)
    assert found.shape == (n, 10)
    alone = [model.predict_proba(x[i : i + 1]) for i in {0, n // 2, n - 1} if 0 <= i < n]
    for i, row in zip([i for i in {0, n // 2, n - 1} if 0 <= i < n], alone, strict=True):
        np.testing.assert_allclose(found[i : i + 1], row, atol=1e-6)


def test_columns_are_found_by_name_whatever_holds_them():
    model = colour_model()
    names = ("a", "b", "c", "d")
    named = type(model)(
        **{**vars(model), "inputs": type(model.inputs)(**{**vars(model.inputs),
                                                         "feature_names": names})}
    )  # fmt: skip
    x = rows_for(model)
    expected = model.predict(x)
    columns = {name: x[:, "abcd".index(name)] for name in "dbxac" if name != "x"} | {"x": x[:, 0]}
    for rows in (columns, pl.DataFrame(columns), pd.DataFrame(columns), pl.LazyFrame(columns)):
        np.testing.assert_array_equal(named.predict(rows), expected)
    with pytest.raises(InputError, match="no column 'c', which the model needs"):
        named.predict({"a": [1.0], "b": [1.0], "d": [1.0]})


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (np.zeros((3, 5)), "rows of 4 features"),
        (np.zeros(4), "rows of 4 features"),
        (np.array([["a"] * 4]), "rows of numbers"),
        (np.array([[0.0, 1.0, np.nan, 2.0]]), "Row 0, column 2 of x is nan"),
        (pl.DataFrame({"a": ["x"], "b": [1], "c": [1], "d": [1]}), "column 'a' holds String"),
    ],
)
def test_rows_that_the_network_cannot_take_are_refused(rows, words):
    with pytest.raises(InputError) as caught:
        colour_model().predict(rows)
    assert words in str(caught.value)


def test_evaluation_agrees_with_scikit_learn():
    model = colour_model()
    x = rows_for(model, 300)
    y = RNG.integers(0, 3, 300)
    labels = np.array(COLOURS)[y]
    found = model.evaluate((x, labels))
    p = model.predict_proba(x).astype(np.float64)
    p /= p.sum(axis=1, keepdims=True)
    guess = model.predict(x)
    assert list(found) == ["loss", "accuracy", "log_loss", "f1", "roc_auc", "average_precision"]
    assert found["accuracy"] == pytest.approx(accuracy_score(labels, guess))
    assert found["log_loss"] == pytest.approx(log_loss(y, p), rel=1e-6)
    assert found["loss"] == pytest.approx(log_loss(y, p), rel=1e-5)
    assert found["f1"] == pytest.approx(f1_score(labels, guess, average="macro"))
    assert model.evaluate(Split(x, y.astype(np.int32)), ["accuracy"]).keys() == {"loss", "accuracy"}


def test_a_data_sets_own_classes_are_matched_by_name_and_its_test_rows_judged():
    model = colour_model()
    x = rows_for(model, 60)
    guess = model.predict(x)
    data = from_arrays(
        "shuffled", x[:10], np.array(["blue", "red"] * 5), test=(x, guess), task="classification"
    )
    assert isinstance(data, Dataset)
    assert data.classes != COLOURS
    assert model.evaluate(data)["accuracy"] == 1.0


def test_regression_is_judged_in_its_own_units_and_its_loss_in_the_networks():
    model = regression_model(1)
    x = rows_for(model, 50)
    y = model.predict(x) + RNG.standard_normal(50)
    found = model.evaluate((x, y))
    error = y - model.predict(x)
    assert found["rmse"] == pytest.approx(np.sqrt(np.mean(error**2)), rel=1e-6)
    assert found["r2"] == pytest.approx(r2_score(y, model.predict(x)), rel=1e-6)
    assert found["loss"] == pytest.approx(np.mean((error / 20) ** 2), rel=1e-3)


def test_targets_of_another_width_are_refused():
    with pytest.raises(InputError, match=r"predicts 2 values per row, but the targets have shape"):
        regression_model(2).evaluate((np.zeros((3, 3)), np.zeros((3, 1))))


def test_several_labels_are_judged_one_by_one():
    model = multilabel_model()
    x = rows_for(model, 30)
    assert model.evaluate((x, model.predict(x)))["accuracy"] == 1.0


@pytest.mark.parametrize(
    ("targets", "words"),
    [
        (["red", "pink"], "The label 'pink' in row 1 is not a class of the model"),
        (["red"], "one target per row: 2 rows, 1 targets"),
        ([["red"], ["red"]], "predicts labels (N,)"),
    ],
)
def test_targets_that_do_not_fit_are_refused(targets, words):
    with pytest.raises(InputError) as caught:
        colour_model().evaluate((np.zeros((2, 4)), np.array(targets)))
    assert words in str(caught.value)


def test_a_model_in_double_precision_keeps_its_doubles(tmp_path):
    import jax

    model = colour_model()
    wide = type(model)(
        **{**vars(model), "precision": "float64",
           "params": jax.tree.map(lambda p: p.astype(np.float64) + 1e-12, model.params)}
    )  # fmt: skip
    save_model(tmp_path / "model", wide)
    x = rows_for(model)
    scaled = x * np.array(model.inputs.scale) + np.array(model.inputs.offset)
    found = load_model(tmp_path).predict_proba(x)
    expected = softmax(dense_chain(wide.params, ["tanh", "tanh"], scaled))
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, expected, atol=1e-13)
