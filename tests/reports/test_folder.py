import json
from datetime import UTC, datetime, timedelta

import pytest
from report_cases import CONFIG, proof_row

from mlp_jax.errors import RunFolderError
from mlp_jax.reports.folder import find_runs, read_run


def test_a_finished_run_is_read_whole(make_run):
    run = read_run(make_run())
    assert (run.name, run.status, run.data) == ("a", "finished", "digits")
    assert run.network == "64-8-8-10 relu"
    assert run.epochs == (3, 3)
    assert run.best == ("validation_accuracy", 0.9, 2, True)
    assert run.best.metric == "accuracy"
    assert run.test == {"loss": 0.3, "accuracy": 0.85}
    assert run.started == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert run.duration == timedelta(seconds=65)
    assert run.speed == 300.0  # of 200 and 300: the first epoch compiles


def test_a_run_before_run_json_says_what_its_configuration_does(make_run):
    config = CONFIG.replace("dropout = 0.0", 'dropout = 0.25\nnorm = "batch"\nresidual = true')
    run = read_run(make_run(config=config, facts={}))
    assert run.status == "finished"
    assert run.network == "8-8 relu, batch norm, dropout 0.25, residual"
    assert run.metric == "validation_accuracy"
    assert run.duration == timedelta(seconds=6)
    assert run.started is not None


def test_a_run_with_a_preset_is_named_by_it(make_run):
    run = read_run(make_run(config=CONFIG + '\npreset = "tabular"\n'))
    assert run.network == "64-8-8-10, preset tabular"


def test_lower_is_better_where_the_metric_says_so(make_run):
    history = [{"epoch": e, "train_loss": 1.0, "validation_rmse": v} for e, v in ((1, 3), (2, 5))]
    assert read_run(make_run(history=history)).best == ("validation_rmse", 3.0, 1, False)


def test_without_validation_the_training_loss_is_judged_by(make_run):
    history = [{"epoch": 1, "train_loss": 2.0}, {"epoch": 2, "train_loss": 1.0}]
    assert read_run(make_run(history=history)).best == ("train_loss", 1.0, 2, False)


def test_a_run_that_was_killed_is_interrupted(make_run):
    facts = {"data": "digits", "started": "2026-01-02T03:04:05+00:00"}
    run = read_run(make_run(facts=facts, test={}))
    assert run.status == "interrupted"
    assert run.duration == timedelta(seconds=6)


@pytest.mark.parametrize(
    "broken",
    [
        {"facts": {"failed": "diverged"}},
        {"rows": [proof_row(ok=False, error=None)]},
        {"history": [{"epoch": 1, "train_loss": None}]},
    ],
    ids=["said so", "proof", "loss"],
)
def test_a_run_that_went_wrong_has_failed(make_run, broken):
    assert read_run(make_run(**broken)).status == "failed"


@pytest.mark.parametrize("name", ["config.toml", "run.json", "check.json", "test.json"])
@pytest.mark.parametrize("content", [None, b"", b'{"ok": tr', b"\xff\xfe", b"[1, 2]"])
def test_a_missing_or_torn_file_is_as_if_never_written(make_run, name, content):
    folder = make_run()
    (folder / name).unlink()
    if content is not None:
        (folder / name).write_bytes(content)
    run = read_run(folder)
    assert run.epochs[0] == 3
    assert run.best.epoch == 2


@pytest.mark.parametrize("name", ["metrics.jsonl", "timing.jsonl"])
def test_torn_logs_keep_what_is_whole(make_run, name):
    folder = make_run()
    path = folder / name
    path.write_bytes(path.read_bytes()[:-9])
    assert (
        len(read_run(folder).history if name == "metrics.jsonl" else read_run(folder).timing) == 2
    )
    path.write_bytes(b"\x00\x00\nnothing\n")
    assert read_run(folder).best is None or name == "timing.jsonl"


def test_an_empty_run_folder_of_a_killed_start_is_listed(tmp_path):
    (tmp_path / "config.toml").write_text(CONFIG)
    run = read_run(tmp_path)
    assert (run.status, run.best, run.duration, run.speed) == ("interrupted", None, None, None)
    assert run.epochs == (0, 3)


def test_whoever_holds_the_lock_is_running(make_run):
    fcntl = pytest.importorskip("fcntl", reason="this system has no such locks")
    folder = make_run(facts={"data": "digits"}, test={})
    (folder / ".lock").touch()
    assert read_run(folder).status == "interrupted"
    with (folder / ".lock").open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # another open file, as another process would have
        assert read_run(folder).status == "running"
    assert read_run(folder).status == "interrupted"


def test_a_folder_that_is_no_run_is_one_sentence(tmp_path):
    with pytest.raises(RunFolderError, match=r"There is no run .*absent: no such folder\."):
        read_run(tmp_path / "absent")
    with pytest.raises(RunFolderError, match="is a folder, but not a run"):
        read_run(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(RunFolderError, match="is a file, but not a run"):
        read_run(tmp_path / "file")
    with pytest.raises(RunFolderError, match="no such folder"):
        find_runs(tmp_path / "absent")


def test_runs_are_found_newest_first(make_run, tmp_path):
    for name, day in (("old", 1), ("new", 3), ("middle", 2)):
        facts = {"started": f"2026-01-0{day}T00:00:00+00:00"}
        make_run(name, facts=facts)
    (tmp_path / "notes").mkdir()
    (tmp_path / "letter.txt").touch()
    assert [run.name for run in find_runs(tmp_path)] == ["new", "middle", "old"]
    assert [run.name for run in find_runs(tmp_path / "old")] == ["old"]


def test_numbers_of_other_kinds_are_none(make_run):
    history = [{"epoch": "x", "train_loss": "low", "validation_accuracy": True}]
    run = read_run(make_run(history=history, facts={"monitor": 3, "widths": "wide"}))
    assert run.best is None
    assert run.epochs == (0, 3)
    assert json.dumps(run.test)
