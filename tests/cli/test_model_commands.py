"""evaluate, predict and export, as somebody types them."""

import json
import sys
from pathlib import Path

import jax
import numpy as np
import polars as pl
import pytest

from mlp_jax.backprop import get_loss, mlp
from mlp_jax.data.encoding import (
    ArrayEncoding,
    CategoricalColumn,
    NumericColumn,
    TableEncoding,
    TargetEncoding,
)
from mlp_jax.errors import DataWarning
from mlp_jax.model.model_folder import load_model, save_model
from mlp_jax.model.saved import Model

pytestmark = pytest.mark.filterwarnings("ignore:Column 'colour'. 1 row has a category")

ANIMALS = pl.DataFrame(
    {
        "weight": [4.0, 30.0, 4.5, None, 28.0, 5.0],
        "colour": ["black", "brown", None, "black", "white", "green"],
        "animal": ["cat", "dog", "cat", "dog", "dog", "cat"],
    }
)


@pytest.fixture
def run(tmp_path):
    """A run's folder with a model of random weights on animals."""
    inputs = TableEncoding(
        (NumericColumn("weight", 10.0, True, center=10.0, scale=0.1),),
        (CategoricalColumn("colour", ("black", "brown", "white"), 0, 4, 4),),
    )
    network = mlp([5], 2, "tanh")
    params, state = network.init(jax.random.key(3), inputs.n_features)
    target = TargetEncoding("classification", ("animal",), ("cat", "dog"))
    loss = get_loss("softmax_cross_entropy")
    model = Model(
        network, loss, params, state, inputs, target, metrics={"accuracy": 0.5, "log_loss": None}
    )
    save_model(tmp_path / "run/model", model)
    ANIMALS.write_csv(tmp_path / "animals.csv")
    return model


@pytest.mark.usefixtures("run")
def test_predict_writes_a_line_a_row_and_says_so(mlp_jax, run, tmp_path):
    said = mlp_jax("predict", "run", "--input", "animals.csv", "--output", "out.csv")
    assert (said.code, said.out, said.err) == (0, "6 rows predicted: out.csv\n", "")
    found = pl.read_csv(tmp_path / "out.csv")
    assert found["prediction"].to_list() == run.predict(ANIMALS).tolist()


def test_shuffled_columns_give_the_same_predictions(mlp_jax, run, tmp_path):
    ANIMALS.select("animal", "colour", "weight").write_csv(tmp_path / "shuffled.csv")
    mlp_jax("predict", "run", "--input", "animals.csv", "--output", "a.csv", "--probabilities")
    mlp_jax("predict", "run", "--input", "shuffled.csv", "--output", "b.csv", "--probabilities")
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()
    columns = pl.read_csv(tmp_path / "a.csv").columns
    assert columns == ["prediction", "probability_cat", "probability_dog"]


@pytest.mark.usefixtures("run")
@pytest.mark.parametrize("words", [("predict", "run", "--input"), ("evaluate", "run", "--data")])
def test_a_category_that_training_did_not_have_is_told(mlp_jax, words):
    with pytest.warns(DataWarning) as told:
        assert mlp_jax(*words, "animals.csv").code == 0
    assert [str(warning.message) for warning in told] == [
        "Column 'colour': 1 row has a category that was absent in training, such as 'green';"
        " such categories are encoded as zeros."
    ]


@pytest.mark.usefixtures("run")
def test_a_missing_column_is_one_sentence_and_exit_code_2(mlp_jax, tmp_path):
    ANIMALS.rename({"weight": "wieght"}).write_csv(tmp_path / "typo.csv")
    said = mlp_jax("predict", "run", "--input", "typo.csv", "--output", "out.csv")
    assert (said.code, said.out) == (2, "")
    assert said.err.startswith("mlp-jax: 'typo.csv' has no column 'weight', which the model needs.")
    assert said.err.count("\n") == 1
    assert not (tmp_path / "out.csv").exists()


@pytest.mark.usefixtures("run")
def test_without_an_output_the_predictions_are_printed_with_what_is_kept(mlp_jax):
    for words in ((), ("--output", "-")):
        said = mlp_jax("predict", "run", "--input", "animals.csv", "--keep", "colour", *words)
        lines = said.out.splitlines()
        assert (lines[0], len(lines)) == ("colour,prediction", 7)
        assert [line.partition(",")[0] for line in lines[1:]] == [
            "black", "brown", "", "black", "white", "green",
        ]  # fmt: skip


@pytest.mark.usefixtures("run")
def test_an_output_that_exists_is_not_touched(mlp_jax, tmp_path):
    (tmp_path / "out.csv").write_text("mine")
    said = mlp_jax("predict", "run", "--input", "animals.csv", "--output", "out.csv")
    assert said.code == 2
    assert "--overwrite replaces it" in said.err
    assert (tmp_path / "out.csv").read_text() == "mine"


@pytest.mark.usefixtures("run")
def test_a_read_only_folder_is_told(mlp_jax, tmp_path, monkeypatch):
    folder = tmp_path / "locked"
    folder.mkdir()
    touch = Path.open

    def refuse(self, mode="r", *rest, **named):
        if self.parent == Path("locked") and "x" in mode:
            raise PermissionError(13, "Permission denied")
        return touch(self, mode, *rest, **named)

    monkeypatch.setattr(Path, "open", refuse)
    said = mlp_jax("predict", "run", "--input", "animals.csv", "--output", "locked/out.csv")
    assert (said.code, said.err) == (
        2, "mlp-jax: Could not write locked/out.csv: Permission denied.\n",
    )  # fmt: skip


def test_evaluate_shows_the_metrics_beside_those_of_the_run(mlp_jax, run, tmp_path):
    said = mlp_jax("evaluate", "run", "--data", "animals.csv", "--json", "found.json")
    assert (said.code, said.err) == (0, "")
    found = json.loads((tmp_path / "found.json").read_text())
    expected = np.mean(run.predict(ANIMALS) == ANIMALS["animal"].to_numpy())
    assert found["accuracy"] == pytest.approx(expected)
    line = next(line for line in said.out.splitlines() if "accuracy" in line)
    assert line.split() == ["accuracy", f"{expected:.4f}", "0.5000"]


@pytest.mark.usefixtures("run")
def test_the_target_may_have_another_name(mlp_jax, tmp_path):
    ANIMALS.rename({"animal": "kind"}).write_csv(tmp_path / "renamed.csv")
    said = mlp_jax("evaluate", "run", "--data", "renamed.csv", "--target", "kind")
    assert said.code == 0, said.err
    said = mlp_jax("evaluate", "run", "--data", "renamed.csv")
    assert said.code == 2
    assert "'animal'" in said.err


@pytest.mark.usefixtures("run")
def test_a_label_unknown_to_the_model_is_one_sentence(mlp_jax, tmp_path):
    odd = ANIMALS.with_columns(animal=pl.Series(["cat", "dog", "cow", "cat", "dog", "cat"]))
    odd.write_csv(tmp_path / "odd.csv")
    said = mlp_jax("evaluate", "run", "--data", "odd.csv")
    assert said.code == 2
    assert "Column 'animal' has 'cow' in row 2, which is not one of the classes" in said.err
    assert said.err.count("\n") == 1


def test_a_model_of_digits_is_judged_on_the_set_by_name(mlp_jax, tmp_path):
    network, inputs = mlp([4], 10), ArrayEncoding(64, (0.1,), (-0.5,), True, (8, 8))
    params, state = network.init(jax.random.key(0), 64)
    target = TargetEncoding("classification", classes=tuple("0123456789"))
    loss = get_loss("softmax_cross_entropy")
    save_model(tmp_path / "run/model", Model(network, loss, params, state, inputs, target))
    said = mlp_jax("evaluate", "run", "--data", "digits", "--metrics", "accuracy", "top3")
    assert said.code == 0, said.err
    assert [line.split()[0] for line in said.out.splitlines()[2:]] == ["loss", "accuracy", "top3"]


@pytest.mark.usefixtures("run")
def test_export_says_what_goes_in_and_comes_out(mlp_jax, tmp_path):
    said = mlp_jax("export", "run", "--format", "onnx", "--output", "m.onnx")
    assert (said.code, said.err) == (0, "")
    assert said.out.splitlines() == [
        "in  weight: double (N, 1)",
        "in  colour: string (N, 1)",
        "out label: string (N)",
        "out probabilities: float (N, 2)",
        "export: m.onnx",
    ]
    assert (tmp_path / "m.onnx").exists()
    said = mlp_jax("export", "run", "--format", "stablehlo", "--output", "m.bin")
    assert said.code == 0
    assert said.out.startswith("x (N, 3) -> predictions (N, 2): jax.export.deserialize(")


@pytest.mark.usefixtures("run")
def test_export_without_onnx_names_the_extra(mlp_jax, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    said = mlp_jax("export", "run", "--output", "m.onnx")
    assert said.code == 2
    assert "pip install 'mlp-jax[onnx]'" in said.err
    assert not (tmp_path / "m.onnx").exists()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("predict",), "Name the run and the rows: mlp-jax predict RUN --input FILE"),
        (("evaluate", "run"), "Name the run and the data: mlp-jax evaluate RUN --data DATA"),
        (("export", "run"), "Name the run and the file: mlp-jax export RUN --output FILE"),
        (("predict", "nowhere", "--input", "animals.csv"), "There is no run 'nowhere'."),
        (("export", "run", "--format", "onx", "--output", "m"), "Did you mean 'onnx'?"),
        (("predict", ".", "--input", "animals.csv"), "There is no saved model in '.'"),
    ],
)
@pytest.mark.usefixtures("run")
def test_what_cannot_be_done_is_one_sentence(mlp_jax, words, sentence):
    said = mlp_jax(*words)
    assert said.code == 2
    assert sentence in said.err
    assert said.err.count("\n") == 1


@pytest.mark.usefixtures("run")
def test_a_tampered_model_is_one_sentence(mlp_jax, tmp_path):
    path = tmp_path / "run/model/model.safetensors"
    path.write_bytes(path.read_bytes()[:-10])
    said = mlp_jax("predict", "run", "--input", "animals.csv")
    assert said.code == 2
    assert "damaged or truncated safetensors file" in said.err
    assert said.err.count("\n") == 1
    with pytest.raises(OSError, match="damaged"):
        load_model(tmp_path / "run")
