import csv

import jax
import numpy as np
import pytest

from mlp_jax.backprop import get_loss
from mlp_jax.model.model_folder import save_model
from mlp_jax.model.saved import Model
from mlp_jax.training.run.build import build
from mlp_jax.training.run.config import read_config


@pytest.fixture
def people(tmp_path):
    """A table sorted by age in people.csv, with a wrong label in row 280 and none in row 7."""
    rng = np.random.default_rng(0)
    lines = [["age", "city", "rich"]]
    for k, years in enumerate(np.sort(rng.uniform(20, 60, 300))):
        rich = "yes" if (years > 40) != (k == 280) else "no"
        lines.append([f"{years:.2f}", rng.choice(["Bern", "Basel"]), "" if k == 7 else rich])
    with (tmp_path / "people.csv").open("w", newline="") as file:
        csv.writer(file).writerows(lines)
    return lines


@pytest.mark.usefixtures("unproved", "optax_promotes")
def test_a_wrong_label_comes_out_on_top_with_its_place_in_the_file(mlp_jax, people, tmp_path):
    said = mlp_jax(
        "train", "--data", "people.csv", "--target", "rich", "--hidden", "8", "--epochs", "15",
        "--batch-size", "32", "--test", "0", "--validation", "0.2", "--seed", "1", "--out", "run",
        "--optimizer", "sgd", "--learning-rate", "0.3",
    )  # fmt: skip
    assert said.code == 0
    said = mlp_jax("inspect", "run", "--part", "train", "validation", "--top", "3")
    assert (said.code, said.err) == (0, "")
    assert "people.csv: 239 training rows, 60 validation rows" in said.out
    assert "row 0 is line 2 of people.csv" in said.out
    text = (tmp_path / "run/inspect/inspect.csv").read_text()
    table = list(csv.DictReader(text.splitlines()))
    assert len(table) == 299
    first = table[0]
    assert (first["row"], first["label"], first["predicted"]) == ("280", "no", "yes")
    assert (tmp_path / "people.csv").read_text().splitlines()[280 + 1].split(",") == people[281]
    shown = next(text for text in said.out.splitlines() if text.strip().startswith("280 "))
    assert shown.split()[1:4] == [first["part"], "no", "yes"]
    assert said.out.endswith("inspection: run/inspect\n")
    assert max(table, key=lambda row: float(row["gradient_norm"]))["row"] == "280"
    assert min(table, key=lambda row: float(row["influence"]))["row"] == "280"


@pytest.fixture
def beside_the_run(people, tmp_path):
    """A run with a model of random weights, and files that do not suit it."""
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "config.toml").write_text(
        f'data = "{tmp_path}/people.csv"\ntarget = ["rich"]\nhidden = [4]\ntest = 0.0\n'
    )
    parts = build(read_config(folder / "config.toml"))
    network = parts.network
    params, state = network.init(jax.random.key(0), parts.data.inputs.n_features)
    loss, data = get_loss("softmax_cross_entropy"), parts.data
    save_model(folder / "model", Model(network, loss, params, state, data.inputs, data.target))
    (tmp_path / "bare.csv").write_text("age,city\n30,Bern\n")
    (tmp_path / "other.csv").write_text("age,rich\n30,yes\n")
    (tmp_path / "strange.csv").write_text("age,city,rich\n30,Bern,maybe\n")
    return tmp_path


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ((), "Name the run to inspect"),
        (("absent",), "There is no run 'absent'"),
        (("run", "--data", "absent.csv"), "There is no file 'absent.csv'"),
        (("run", "--data", "bare.csv"), "no column 'rich'"),
        (("run", "--data", "other.csv"), "no column 'city'"),
        (("run", "--data", "strange.csv"), "'maybe'"),
        (("run", "--by", "los"), "Did you mean 'loss'"),
        (("run", "--part", "test"), "no test rows; it has train and validation rows"),
        (("run", "--out", "people.csv"), "it is a file"),
    ],
)
def test_what_cannot_be_inspected_is_one_sentence(mlp_jax, beside_the_run, words, sentence):
    said = mlp_jax("inspect", *words)
    assert (said.code, said.out) == (2, "")
    assert sentence in said.err
    assert len(said.err.splitlines()) == 1
    assert not (beside_the_run / "run" / "inspect").exists()
