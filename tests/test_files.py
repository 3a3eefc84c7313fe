"""Paths as users name them, and JSON with what is left of a name that is no UTF-8."""

import json
import os
from pathlib import Path

from mlp_jax.files import json_bytes, user_path, write_json_atomic


def test_a_tilde_is_the_home_unless_a_file_has_that_name(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", "/home/someone")
    monkeypatch.chdir(tmp_path)
    assert user_path("~/runs/a") == Path("/home/someone/runs/a")
    (tmp_path / "~").mkdir()
    assert user_path("~") == Path("~")


def test_a_tilde_of_no_user_stays_a_letter(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert user_path("~nobody-of-that-name/x") == Path("~nobody-of-that-name/x")


def test_json_keeps_a_name_that_is_no_utf_8(tmp_path):
    name = os.fsdecode(b"caf\xe9 \xff")
    assert json.loads(json_bytes(json.dumps({"größe": name}, ensure_ascii=False))) == {
        "größe": name
    }
    write_json_atomic(tmp_path / "file.json", {"name": name})
    assert json.loads((tmp_path / "file.json").read_text(encoding="utf-8")) == {"name": name}
