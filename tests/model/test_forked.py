"""TrainResult estimators and models in processes forked after JAX has started."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).with_name("forked_program.py")
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="nothing forks on Windows")


def told(*arguments):
    done = subprocess.run(
        [sys.executable, str(PROGRAM), *map(str, arguments)],
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_a_forked_child_predicts_what_its_parent_does():
    found = told("predictions")
    assert len(found) == 5 * 3 + 4 * 2 + 3
    assert {name: value for name, value in found.items() if value is not True} == {}


def test_frames_are_encoded_in_a_forked_child_as_in_its_parent():
    found = told("frames")
    assert len(found) == 3 * 5 + 4
    assert {name: value for name, value in found.items() if value is not True} == {}


def test_a_saved_model_predicts_in_a_forked_child(tmp_path):
    assert set(told("saved", tmp_path).values()) == {True}


def test_what_needs_jax_is_refused_at_once_with_the_remedy():
    found = told("refused")
    assert len(found) == 6
    for name, said in found.items():
        library = "polars" if name == "file" else "JAX"
        assert said.startswith(f"ForkError: {library} cannot"), (name, said)
        assert "spawn" in said
        assert "loky" in said


def test_a_child_forked_before_jax_has_started_trains_by_itself():
    found = told("early")
    assert found.pop("frame after polars").startswith("ForkError: polars cannot learn from a frame")
    assert found == {"array": True, "frame": True, "array after polars": True}
