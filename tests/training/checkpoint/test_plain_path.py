"""Paths with letters that libraries read as patterns, separators or places in a cloud."""

import os

from mlp_jax.training.checkpoint.plain_path import PlainPath


def test_a_plain_path_is_taken_as_it_is(tmp_path):
    plain = PlainPath(tmp_path / "a run, 50% = x")
    plain.close()
    assert plain.path == tmp_path / "a run, 50% = x"


def test_any_other_is_reached_by_a_link_that_goes_when_it_is_closed(tmp_path):
    for name in ("exp[lr=0.1]", "a\\b", "{a,b}", "new\nline", "gs:", os.fsdecode(b"caf\xe9")):
        folder = tmp_path / name
        folder.mkdir()
        plain = PlainPath(folder)
        (plain.path / "file").write_text("here")
        assert (folder / "file").read_text() == "here"
        assert "[" not in str(plain.path)
        plain.close()
        assert not plain.path.exists()
        assert (folder / "file").exists()
