import io
import re
from datetime import UTC, datetime, timedelta

import pytest
from rich.console import Console

from mlp_jax.charts.figures import shortened
from mlp_jax.reports.folder import find_runs, read_run
from mlp_jax.reports.listing import (
    as_json,
    cells,
    clock,
    console_for,
    ordered,
    print_runs,
    short,
    when,
)


def printed(runs, width=None):
    stream = io.StringIO()
    console = console_for(stream) if width is None else Console(file=stream, width=width)
    print_runs(runs, console)
    return stream.getvalue()


def test_a_row_says_what_the_run_was_and_what_came_of_it(make_run):
    row = cells(read_run(make_run()), datetime(2026, 3, 1, tzinfo=UTC))
    row.pop("when")
    assert row == {
        "run": "a", "data": "digits", "network": "64-8-8-10 relu", "epochs": "3/3",
        "best (epoch)": "accuracy 0.9000 (2)", "test": "0.8500", "status": "finished",
        "took": "1:05",
    }  # fmt: skip


def test_into_a_pipe_every_column_is_whole_and_without_colour(make_run, tmp_path):
    make_run("a-run-whose-name-is-so-long-that-no-terminal-would-show-the-whole-of-it")
    text = printed(find_runs(tmp_path))
    assert "whole-of-it" in text
    assert "\x1b" not in text
    assert text.splitlines()[0].split() == [
        "run", "data", "network", "epochs", "best", "(epoch)", "test", "status", "when", "took",
    ]  # fmt: skip
    assert "Not shown" not in text


@pytest.mark.parametrize("width", [60, 80, 100, 120])
def test_no_line_is_wider_than_the_terminal_and_what_is_left_out_is_named(
    make_run, tmp_path, width
):
    make_run("20260102-030405-california_housing")
    text = printed(find_runs(tmp_path), width)
    assert max(map(len, text.splitlines())) <= width
    named = re.search(r"Not shown at this width: (.*)\.", text)
    for column in ("run", "epochs", "best (epoch)", "test", "status"):
        assert column in text.splitlines()[0]
    for column in ("took", "when", "network", "data"):
        assert (column in text.splitlines()[0]) != (bool(named) and column in named[1])
    assert "finished" in text


def test_sorted_by_metric_the_best_of_each_comes_first(make_run, tmp_path):
    for name, metric, value in (
        ("a", "accuracy", 0.7), ("b", "rmse", 2.0), ("c", "accuracy", 0.9), ("d", "rmse", 1.0),
    ):  # fmt: skip
        make_run(name, history=[{"epoch": 1, "train_loss": 1, f"validation_{metric}": value}])
    make_run("e", history=[])
    names = [run.name for run in ordered(find_runs(tmp_path), "metric")]
    assert names == ["c", "a", "d", "b", "e"]


def test_a_program_gets_every_figure_unrounded(make_run):
    found = as_json(read_run(make_run()))
    assert found["best"] == 0.9
    assert found["best_epoch"] == 2
    assert found["seconds"] == 65.0
    assert found["test"] == {"loss": 0.3, "accuracy": 0.85}
    assert found["status"] == "finished"


def test_numbers_and_times_are_short():
    assert [short(v) for v in (None, 0.0, 0.97777, 12.3456, 123456.0, 1e-5)] == [
        "–", "0.0000", "0.9778", "12.346", "1.23e+05", "1.00e-05",
    ]  # fmt: skip
    lengths = [None, *(timedelta(seconds=s) for s in (4.25, 200, 7400))]
    assert [clock(length) for length in lengths] == ["–", "4.2 s", "3:20", "2:03:20"]
    now = datetime(2026, 1, 2, 12, tzinfo=UTC)
    assert when(now - timedelta(hours=2), now) == "today 10:00"
    assert when(now - timedelta(days=2), now) == "2025-12-31 12:00"
    assert shortened("20260102-digits-long", 11) == "20260…-long"
