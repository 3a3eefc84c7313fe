"""Runs whose training rows stay in their files."""

import json
from dataclasses import replace

import jax
import numpy as np
import polars as pl
import pytest
from training_cases import digits

from mlp_jax.errors import InputError
from mlp_jax.model.evaluation import judge
from mlp_jax.model.model_folder import load_model
from mlp_jax.reports.folder import read_run
from mlp_jax.reports.gather import gather
from mlp_jax.reports.inspect.rows import rows_of_run
from mlp_jax.training.run import run
from mlp_jax.training.run.config import TrainConfig, read_config
from mlp_jax.training.run.uncertainty import fit_run


@pytest.fixture(autouse=True, scope="module")
def _optax_promotes():
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    """300 digits as a table of 64 columns in a folder of three Parquet files."""
    rows = digits(300)
    folder = tmp_path_factory.mktemp("data") / "digits"
    folder.mkdir()
    names = [f"p{k}" for k in range(64)]
    frame = pl.from_numpy(np.asarray(rows.x, np.float32), names)
    frame = frame.with_columns(digit=pl.Series(rows.y))
    for k in range(3):
        frame[100 * k : 100 * (k + 1)].write_parquet(folder / f"{k}.parquet")
    return TrainConfig(
        data=str(folder), target=("digit",), stream=True, hidden=(16,), epochs=4, batch_size=32,
        learning_rate=1e-2, task="classification",
    )  # fmt: skip


@pytest.fixture(scope="module")
def made(config, tmp_path_factory):
    """(what a run said, its folder)."""
    said = []
    folder = tmp_path_factory.mktemp("run") / "a"
    run.train(replace(config, out=str(folder)), said.append, bar=False)
    return said, folder


def test_a_run_says_that_its_rows_stream(made):
    assert made[0][0].startswith("digits: 210 training rows (streamed), 55 columns; 55-16-10 relu")


def test_its_model_is_judged_by_the_rows_held_out_and_by_a_file(made, config, tmp_path):
    _, folder = made
    test = json.loads((folder / "test.json").read_text())
    assert test["accuracy"] > 0.6  # by chance 0.1
    parts = [pl.read_parquet(f"{config.data}/{k}.parquet") for k in range(3)]
    pl.concat(parts).write_parquet(tmp_path / "all.parquet")
    found = judge(load_model(folder), str(tmp_path / "all.parquet"))
    assert found["accuracy"] > 0.6


def test_its_configuration_says_it_again(made):
    assert read_config(made[1] / "config.toml").stream


def test_its_report_shows_the_test_rows_and_the_backward_pass(made):
    evidence = gather(read_run(made[1]))
    assert evidence.missing == ()
    assert evidence.judged.part == "test rows"
    assert len(evidence.judged.targets) == 60
    assert len(evidence.flow) == 2


def test_what_looks_at_single_training_rows_says_that_it_cannot(made):
    _, folder = made
    with pytest.raises(InputError, match="training rows are streamed"):
        rows_of_run(folder, load_model(folder), ["train"])
    with pytest.raises(InputError, match="training rows are streamed"):
        fit_run(folder, "last-layer")


def test_a_run_whose_files_have_changed_does_not_go_on(made, config, tmp_path):
    folder = tmp_path / "run"
    changed = tmp_path / "digits"
    changed.mkdir()
    for k in range(3):
        pl.read_parquet(f"{config.data}/{k}.parquet").write_parquet(changed / f"{k}.parquet")
    asked = replace(config, data=str(changed), out=str(folder))
    run.train(asked, lambda _: None, bar=False)
    pl.read_parquet(changed / "1.parquet")[:99].write_parquet(changed / "1.parquet")
    with pytest.raises(InputError, match="have changed since it started"):
        run.resume(
            folder,
            replace(read_config(folder / "config.toml"), epochs=6),
            lambda _: None,
            bar=False,
        )


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            {"preset": "tabular", "hidden": (256, 256), "learning_rate": None},
            "A preset cannot be combined with streamed rows",
        ),
        ({"ensemble": 3}, "n ensemble cannot be combined with streamed rows"),
        ({"split_column": "p1"}, "split_column cannot be combined with streamed rows"),
        ({"histograms": True}, "histograms cannot be combined with streamed rows"),
        ({"scaling": "robust"}, "not by 'robust'"),
        ({"class_weight": "balanced"}, "class_weight cannot be combined with streamed rows"),
        ({"optimizer": "lbfgs"}, "lbfgs cannot be combined with streamed rows"),
        ({"stream": False, "shards": 2}, "The option --shards needs --stream"),
        ({"shards": -1}, "at least 1 shard, not -1"),
        ({"data": "digits"}, "'digits' cannot be streamed"),
    ],
    ids=str,
)
def test_options_that_do_not_go_with_streams_are_refused(config, tmp_path, options, words):
    with pytest.raises(InputError, match=words):
        run.train(replace(config, **options, out=str(tmp_path / "run")), lambda _: None, bar=False)
    assert not (tmp_path / "run").exists()
