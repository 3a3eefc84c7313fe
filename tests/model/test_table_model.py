"""A model on a table: its encodings live through the disk, and ONNX has all of them."""

import json

import numpy as np
import onnxruntime
import polars as pl
import pytest
from model_cases import dense_chain, softmax
from people_cases import people, people_encoding, people_model, wage_model

import mlp_jax
from mlp_jax.data.table import Table
from mlp_jax.errors import DataWarning, InputError, ModelFileError
from mlp_jax.model.export import export_model
from mlp_jax.model.model_folder import save_model
from mlp_jax.model.specimens import feeds, specimens

pytestmark = pytest.mark.filterwarnings(
    "ignore:Column 'town'. . rows? ha.+ a category"
)  # rare ones

SCALINGS = ("standard", "robust", "quantile")


@pytest.mark.parametrize("scaling", SCALINGS)
def test_a_table_model_comes_back_with_everything_it_learned(scaling, tmp_path):
    model = people_model(scaling)
    save_model(tmp_path / "model", model)
    back = mlp_jax.load(tmp_path)
    assert back.inputs == model.inputs
    np.testing.assert_array_equal(back.predict_proba(people()), model.predict_proba(people()))


def test_a_row_written_out_by_hand():
    """Standardized numbers, then the town's embedding and the grade's one-hot vector."""
    model = people_model()
    frame = people()
    row = frame[7]
    wage, age = frame["wage"].drop_nulls(), frame["age"]
    numbers = [
        (row["age"][0] - age.mean()) / age.std(ddof=0),
        (row["wage"][0] - wage.mean()) / wage.std(ddof=0),
        0.0,
        2.0 * row["member"][0] - 1,
    ]
    x = model.features(row)
    np.testing.assert_allclose(x[0, :4], numbers, rtol=1e-5)
    town, grade = (c.categories.index(str(row[c.name][0])) for c in model.inputs.categorical)
    wide = np.concatenate(
        [x[0, : model.inputs.n_numeric], model.params[0]["embedding_0"][town], np.eye(3)[grade]]
    )
    expected = softmax(dense_chain(model.params[1:], ["tanh"], wide[None]))
    np.testing.assert_allclose(model.predict_proba(row), expected, atol=1e-6)


def test_a_layer_of_categories_that_does_not_fit_the_table_is_refused(tmp_path):
    model = people_model()
    save_model(tmp_path / "model", model)
    path = tmp_path / "model/model.json"
    said = json.loads(path.read_text())
    said["inputs"]["categorical"][0]["n_codes"] += 1
    path.write_text(json.dumps(said))
    with pytest.raises(ModelFileError, match="does not take"):
        mlp_jax.load(tmp_path)


def test_evaluation_finds_the_target_in_the_table_and_leaves_out_rows_without_one():
    model, frame = people_model(), people()
    judged = frame.with_columns(answer=pl.Series(model.predict(frame)))
    assert model.evaluate(judged)["accuracy"] == 1.0
    some = judged.with_columns(
        answer=pl.when(pl.int_range(pl.len()) < 5).then(None).otherwise(pl.col("answer"))
    )
    with pytest.warns(DataWarning, match="5 rows are left out: the target is missing"):
        assert model.evaluate(some)["accuracy"] == 1.0
    table = Table("people", frame, ("answer",), test=judged[:50])
    assert model.evaluate(table, ["accuracy"])["accuracy"] == 1.0
    renamed = Table("people", judged.rename({"answer": "age group"}), ("age group",))
    assert model.evaluate(renamed)["accuracy"] == 1.0


def test_rows_to_judge_with_categories_that_training_did_not_have_are_told():
    model = people_model()
    frame = people().with_columns(grade=pl.Series([7, 7, 9, *people()["grade"][3:]]))
    with pytest.warns(DataWarning, match="'grade': 3 rows have .* absent in training, such as '7'"):
        model.evaluate(frame)
    model.predict(frame)  # rows may come one by one: no word


def test_a_label_that_training_never_saw_is_named():
    frame = people().with_columns(answer=pl.lit("ancient"))
    with pytest.raises(InputError, match="Column 'answer' has 'ancient' in row 0"):
        people_model().evaluate(frame)


def test_a_regression_on_a_table_is_judged_in_its_own_units():
    model, frame = wage_model(), people().filter(pl.col("wage").is_not_null())
    error = frame["wage"].to_numpy() - model.predict(frame)
    assert model.evaluate(frame)["mae"] == pytest.approx(np.abs(error).mean())


def run_onnx(path, feed):
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return dict(zip([o.name for o in session.get_outputs()], session.run(None, feed), strict=True))


def named_feed(frame):
    """The inputs as somebody without this package would write them."""
    day = 86_400e6
    numbers = {name: frame[name].cast(pl.Float64).to_numpy() for name in ("age", "wage", "member")}
    numbers["since"] = frame["since"].dt.timestamp("us").cast(pl.Float64).to_numpy() / day
    feed = {name: values[:, None] for name, values in numbers.items()}
    for name in ("town", "grade"):
        text = frame[name].cast(pl.String).fill_null("").to_list()
        feed[name] = np.array(text, object)[:, None]
    return feed


@pytest.mark.parametrize("scaling", SCALINGS)
def test_onnx_takes_the_columns_as_they_stand_in_the_table(scaling, tmp_path):
    model = people_model(scaling)
    said = export_model(model, "onnx", tmp_path / "m.onnx")
    assert "in  town: string (N, 1)" in said
    frame = people(300, seed=9).with_columns(
        town=pl.when(pl.int_range(pl.len()) % 7 == 0).then(pl.lit("Unseen")).otherwise("town"),
        age=pl.when(pl.int_range(pl.len()) % 5 == 0).then(None).otherwise("age"),
    )
    found = run_onnx(tmp_path / "m.onnx", named_feed(frame))
    np.testing.assert_allclose(found["probabilities"], model.predict_proba(frame), atol=1e-5)
    assert found["label"].tolist() == model.predict(frame).tolist()


def test_a_regression_on_a_table_in_onnx(tmp_path):
    model, frame = wage_model(), people(200, seed=4)
    export_model(model, "onnx", tmp_path / "m.onnx")
    feed = {k: v for k, v in named_feed(frame).items() if k in model.inputs.column_names}
    feed["grade"] = frame["grade"].cast(pl.Float64).to_numpy()[:, None]
    found = run_onnx(tmp_path / "m.onnx", feed)["prediction"][:, 0]
    np.testing.assert_allclose(found, model.predict(frame), rtol=1e-5, atol=1e-4)


def test_stablehlo_takes_the_features_of_a_table(tmp_path):
    import jax

    model = people_model()
    export_model(model, "stablehlo", tmp_path / "m.bin")
    function = jax.export.deserialize(bytearray((tmp_path / "m.bin").read_bytes()))
    found = function.call(model.features(people()))
    np.testing.assert_allclose(found, model.predict_proba(people()), atol=1e-6)


@pytest.mark.parametrize("scaling", SCALINGS)
def test_specimens_hold_what_a_table_may_hold(scaling):
    inputs = people_encoding(scaling)
    rows = specimens(inputs, 256)
    town = next(c for c in inputs.categorical if c.name == "town")
    words = set(rows["town"])
    assert {None, *town.categories} <= words
    assert len(words - {None, *town.categories}) == 1
    assert rows["wage"].null_count() > 0
    assert feeds(inputs, rows).keys() == set(inputs.column_names)
