"""laplace, and predict and evaluate with --uncertainty, as somebody types them."""

import json

import numpy as np
import polars as pl
import pytest

from mlp_jax.model.uncertain import load_laplace

pytestmark = pytest.mark.usefixtures("optax_promotes")
TRAIN = ("--hidden", "6", "--epochs", "3", "--validation", "0.25", "--test", "0.2", "--out", "run")


@pytest.fixture
def flower_run(optax_promotes, mlp_jax, unproved, flowers):
    said = mlp_jax("train", "--data", "flowers.npz", *TRAIN)
    assert said.code == 0, said.err


@pytest.mark.usefixtures("flower_run")
def test_a_run_gets_its_uncertainty_and_uses_it(mlp_jax, tmp_path):
    x = np.load("flowers.npz")["x"]
    np.save("new.npy", np.vstack([x[:5], 1000 * np.ones((1, 2))]).astype(np.float32))
    before = mlp_jax("predict", "run", "--input", "new.npy", "--uncertainty")
    assert (before.code, before.out) == (2, "")
    assert "There is no Laplace approximation in 'run/model'; run mlp-jax laplace to" in before.err
    for kind in ("last-layer", "diagonal"):
        said = mlp_jax("laplace", "run", "--kind", kind)
        assert (said.code, said.err) == (0, "")
        assert said.out.startswith(f"{kind}: ")
        assert "by validation" in said.out
        assert said.out.endswith("laplace: run/model/laplace.safetensors\n")
    words = ("--input", "new.npy", "--output", "out.csv", "--uncertainty", "--probabilities")
    assert mlp_jax("predict", "run", *words).code == 0
    found, model = pl.read_csv("out.csv"), load_laplace("run")
    assert found.columns[-1] == "uncertainty"
    rows = np.load("new.npy")
    assert found["prediction"].cast(pl.String).to_list() == model.predict(rows).astype(str).tolist()
    np.testing.assert_allclose(found["uncertainty"].to_numpy(), model.uncertainty(rows), rtol=1e-5)
    said = mlp_jax("evaluate", "run", "--data", "flowers.npz", "--uncertainty", "--json", "m.json")
    assert said.code == 0, said.err
    judged = json.loads((tmp_path / "m.json").read_text())
    assert judged["log_loss"] == pytest.approx(model.evaluate("flowers.npz")["log_loss"])


def test_a_table_of_numbers_gets_deviations_in_its_own_units(mlp_jax, unproved):
    rng = np.random.default_rng(0)
    table = pl.DataFrame({"a": rng.normal(size=60), "b": rng.choice(["x", "y"], 60)})
    table = table.with_columns(price=1000 + 100 * table["a"] + 50 * rng.normal(size=60))
    table.write_csv("prices.csv")
    assert mlp_jax("train", "--data", "prices.csv", "--target", "price", *TRAIN).code == 0
    said = mlp_jax("laplace", "run", "--prior", "evidence")
    assert said.code == 0, said.err
    assert "by evidence" in said.out
    said = mlp_jax("predict", "run", "--input", "prices.csv", "--uncertainty", "--keep", "b")
    assert said.out.splitlines()[0] == "b,prediction,uncertainty"
    deviations = [float(line.split(",")[2]) for line in said.out.splitlines()[1:]]
    assert 30 < np.median(deviations) < 300
    said = mlp_jax("evaluate", "run", "--data", "prices.csv", "--uncertainty")
    assert [line.split()[0] for line in said.out.splitlines()[-2:]] == ["nll", "within_95"]
    table.head(50).write_csv("prices.csv")
    said = mlp_jax("laplace", "run")
    assert said.code == 2
    assert "differ from those that this run was trained on." in said.err


@pytest.mark.usefixtures("flower_run")
def test_a_run_that_lost_its_file_is_one_sentence(mlp_jax, tmp_path):
    assert mlp_jax("laplace", "run").code == 0
    path = tmp_path / "run/model/laplace.safetensors"
    path.write_bytes(path.read_bytes()[:-10])
    said = mlp_jax("evaluate", "run", "--data", "flowers.npz", "--uncertainty")
    assert said.code == 2
    assert "damaged or truncated safetensors file" in said.err
    assert said.err.count("\n") == 1
    assert mlp_jax("evaluate", "run", "--data", "flowers.npz").code == 0


@pytest.mark.usefixtures("flower_run")
def test_a_private_run_gets_none(mlp_jax, tmp_path):
    config = tmp_path / "run/config.toml"
    config.write_text(config.read_text().replace("private = false", "private = true"))
    said = mlp_jax("laplace", "run")
    assert said.code == 2
    assert "than this private run allows" in said.err


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ((), "Name the run: mlp-jax laplace RUN"),
        (("nowhere",), "There is no run 'nowhere'."),
        (("run", "--kind", "diagnal"), "Did you mean 'diagonal'?"),
        (("run", "--prior", "evident"), "Did you mean 'evidence'?"),
    ],
)
def test_what_cannot_be_fitted_is_one_sentence(mlp_jax, words, sentence):
    said = mlp_jax("laplace", *words)
    assert said.code == 2
    assert sentence in said.err
    assert said.err.count("\n") == 1
