import os
import subprocess
import sys
import warnings

import jax
import pytest

import mlp_jax as package
from mlp_jax.cli import commands
from mlp_jax.model.compilation_cache import use_compilation_cache
from mlp_jax.training.run.config import TrainConfig
from mlp_jax.training.sweep.config import SweepConfig


def test_without_a_command_the_usage_is_shown(mlp_jax):
    said = mlp_jax()
    assert said.code == 2
    assert said.out.startswith("usage: mlp-jax COMMAND")
    for words in (["--help"], ["-h"]):
        assert mlp_jax(*words) == (0, said.out, "")
    for command in commands.COMMANDS:
        assert f"  {command} " in said.out


def test_the_version_is_that_of_the_package(mlp_jax):
    assert mlp_jax("--version") == (0, f"mlp-jax {package.__version__}\n", "")


@pytest.mark.parametrize("command", commands.COMMANDS)
def test_help_has_an_example_and_fits_on_a_screen(mlp_jax, monkeypatch, command):
    monkeypatch.setenv("COLUMNS", "80")
    said = mlp_jax(command, "--help")
    assert (said.code, said.err) == (0, "")
    assert f"Example: mlp-jax {command} " in said.out
    lines = said.out.splitlines()
    most = {"train": 180, "sweep": 140}  # 71 and 58 options in groups, two lines each at most
    assert len(lines) <= most.get(command, 45)
    assert all(len(line) <= 80 for line in lines if line.startswith("│"))


@pytest.mark.parametrize(("command", "record"), [("train", TrainConfig), ("sweep", SweepConfig)])
def test_the_help_of_a_training_names_every_option(mlp_jax, command, record):
    said = mlp_jax(command, "--help")
    for name, field in record.__dataclass_fields__.items():
        switched_off = "no-" if field.default is True else ""
        assert f"--{switched_off}{name.replace('_', '-')}" in said.out
    assert "--config" in said.out


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (KeyboardInterrupt(), 130, "mlp-jax: interrupted.\n"),
        (PermissionError(13, "Permission denied", "/x"), 2, "mlp-jax: Permission denied (/x).\n"),
        (OSError("disk gone"), 2, "mlp-jax: disk gone.\n"),
    ],
)
def test_what_goes_wrong_outside_is_one_line_too(mlp_jax, monkeypatch, error, code, words):
    def fail(_):
        raise error

    monkeypatch.setitem(commands.COMMANDS, "train", fail)
    assert mlp_jax("train") == (code, "", words)


def test_a_closed_pipe_ends_quietly(tmp_path):
    words = [sys.executable, "-m", "mlp_jax", "check", "--list-faults"]
    ended = subprocess.run(
        f"{' '.join(words)} | head -1", shell=True, capture_output=True, text=True, check=False,
        env=os.environ | {"JAX_PLATFORMS": "cpu"},
    )  # fmt: skip
    assert ended.stderr == ""
    assert ended.stdout.count("\n") == 1


def test_a_cache_that_the_user_chose_is_kept(monkeypatch, tmp_path):
    before = jax.config.jax_compilation_cache_dir
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "mine")
    use_compilation_cache()
    assert jax.config.jax_compilation_cache_dir == before


def test_a_cache_that_cannot_be_made_is_done_without(monkeypatch, tmp_path):
    before = jax.config.jax_compilation_cache_dir
    (tmp_path / "file").write_text("")
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    use_compilation_cache()
    assert jax.config.jax_compilation_cache_dir == before


def test_a_chosen_cache_that_is_no_folder_is_switched_off(tmp_path):
    before = jax.config.jax_compilation_cache_dir
    (tmp_path / "file").write_text("")
    try:
        jax.config.update("jax_compilation_cache_dir", str(tmp_path / "file"))
        use_compilation_cache()
        assert jax.config.jax_compilation_cache_dir is None
    finally:
        jax.config.update("jax_compilation_cache_dir", before)


def test_a_user_without_a_home_goes_without_a_cache(monkeypatch):
    before = jax.config.jax_compilation_cache_dir
    for name in ("JAX_COMPILATION_CACHE_DIR", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)

    def none(*_):
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr("pathlib.Path.home", none)
    use_compilation_cache()
    assert jax.config.jax_compilation_cache_dir == before


def test_a_warning_is_shown_as_what_it_says_alone(mlp_jax, monkeypatch):
    def warn(_):
        place = ("/a/file.py", 3)
        print(warnings.formatwarning("the weather changes", UserWarning, *place), end="")
        overflow = "overflow encountered in square"
        print(warnings.formatwarning(overflow, RuntimeWarning, *place), end="")
        return 0

    before = warnings.formatwarning
    monkeypatch.setitem(commands.COMMANDS, "check", warn)
    assert mlp_jax("check") == (0, "mlp-jax: the weather changes\n", "")
    assert warnings.formatwarning is before


def test_the_usual_names_of_options_are_accepted(monkeypatch):
    found = []
    monkeypatch.setattr("mlp_jax.training.run.run.train", lambda config: found.append(config))
    words = ["--lr", "0.5", "--ema=0.9", "--grad-checkpointing", "--loss", "mse"]
    with pytest.raises(AttributeError):  # there is no run to report on
        commands.COMMANDS["train"](words)
    config = found[0]
    assert (config.learning_rate, config.average, config.recompute) == (0.5, 0.9, True)
    assert config.loss == "mse"
