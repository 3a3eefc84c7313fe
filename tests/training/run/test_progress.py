import io
from contextlib import redirect_stdout

import pytest

from mlp_jax.training.run.progress import EpochProgress


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def file():
    return io.StringIO()


@pytest.fixture
def terminal():
    return Terminal()


@pytest.fixture(autouse=True)
def _a_capable_terminal(monkeypatch):
    for name in ("FORCE_COLOR", "NO_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "120")


def run(stdout, epochs=3, enabled=True):
    seconds = iter(range(0, 1000, 10))
    with (
        redirect_stdout(stdout),
        EpochProgress(epochs, enabled, clock=lambda: next(seconds)) as progress,
    ):
        for epoch in range(1, epochs + 1):
            progress.update(epoch, 0.5, 0.25, "accuracy", None, 41_234.0)
            progress.update(epoch, 1.0, 0.125, "accuracy", 0.9, 41_234.0)


def test_a_file_gets_one_plain_line_an_epoch(file):
    run(file)
    # 10 s for each half epoch: after epoch 1 four halves are left, after epoch 2 two.
    assert file.getvalue() == (
        "epoch 1/3  train loss 0.1250  accuracy 0.9000  41.2k samples/s  0:40 left\n"
        "epoch 2/3  train loss 0.1250  accuracy 0.9000  41.2k samples/s  0:20 left\n"
        "epoch 3/3  train loss 0.1250  accuracy 0.9000  41.2k samples/s\n"
    )


def test_the_time_of_epochs_before_a_resume_is_not_counted(file):
    times = iter([100.0, 103.0])
    with redirect_stdout(file), EpochProgress(10, clock=lambda: next(times)) as progress:
        progress.update(8, 1.0, 1.0, None, None, 987.0)
        progress.update(9, 1.0, 1.0, None, None, 1_300_000.0)
    assert file.getvalue() == (
        "epoch  8/10  train loss 1.0000  987 samples/s\n"
        "epoch  9/10  train loss 1.0000  1.30M samples/s  0:03 left\n"
    )


def test_an_epoch_that_is_said_to_end_twice_has_one_line(file):
    with redirect_stdout(file), EpochProgress(1) as progress:
        for _ in range(2):
            progress.update(1, 1.0, 1.0, None, None, 1.0)
    assert len(file.getvalue().splitlines()) == 1


@pytest.mark.parametrize(
    ("loss", "text"),
    [
        (2.5e-7, "2.500e-07"),
        (0.0, "0.0000"),
        (52341.25, "52341.2"),
        (float("nan"), "nan"),
        (-3.5, "-3.5000"),
        (float("inf"), "inf"),
    ],
)
def test_losses_of_any_size_are_readable(loss, text, file):
    with redirect_stdout(file), EpochProgress(1) as progress:
        progress.update(1, 1.0, loss, None, None, 1.0)
    assert f"train loss {text}  " in file.getvalue()


def test_long_runs_show_hours(file):
    times = iter([0.0, 1800.0])
    with redirect_stdout(file), EpochProgress(4, clock=lambda: next(times)) as progress:
        progress.update(1, 1.0, 1.0, None, None, 1.0)
        progress.update(2, 1.0, 1.0, None, None, 1.0)
    assert "1:00:00 left" in file.getvalue()


@pytest.mark.parametrize("kind", ["file", "terminal"])
def test_nothing_is_shown_when_it_is_not_enabled(kind, request):
    stdout = request.getfixturevalue(kind)
    run(stdout, enabled=False)
    assert stdout.getvalue() == ""


def test_a_terminal_gets_a_bar_that_keeps_the_last_metric(terminal):
    run(terminal)
    last = terminal.getvalue().rsplit("\r", 1)[-1]
    assert "epoch 3/3" in last
    assert "━" in last
    assert "accuracy 0.9000" in last


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_the_cursor_is_back_after_an_exception(error, terminal):
    def interrupted():
        with redirect_stdout(terminal), EpochProgress(2) as progress:
            progress.update(1, 0.5, 1.0, None, None, 1.0)
            raise error

    with pytest.raises(error):
        interrupted()
    hidden, shown = terminal.getvalue().rfind("\x1b[?25l"), terminal.getvalue().rfind("\x1b[?25h")
    assert 0 <= hidden < shown
    assert terminal.getvalue().rstrip("\x1b[?25h").endswith("\n")


def test_a_dumb_terminal_gets_plain_lines(monkeypatch, terminal):
    monkeypatch.setenv("TERM", "dumb")
    run(terminal)
    assert "\x1b" not in terminal.getvalue()
    assert len(terminal.getvalue().splitlines()) == 3
