"""Output in an encoding that has not every letter: spelled, and never an exception."""

import io
import json
import os
import subprocess
import sys

import pytest
from rich.console import Console
from rich.table import Table

from mlp_jax.cli.letters import spell_what_is_missing
from mlp_jax.reports import listing
from mlp_jax.reports.folder import RunRecord


def written(encoding, text, errors="strict"):
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding, errors)
    spell_what_is_missing([stream])
    print(text, file=stream, flush=True)
    return raw.getvalue()


@pytest.mark.parametrize(
    ("text", "ascii"),
    [
        ("∇W = a ∇zᵀ", b"grad W = a grad z^T"),
        ("‖gₙ‖² ≤ ε · 3", b"||gn||2 <= eps * 3"),
        ("Größe – “Café”", b'Groesse - "Cafe"'),
        ("│ ━━ ╭", b"| -- +"),
        ("東京", b"??"),
    ],
)
def test_a_letter_that_ascii_lacks_is_spelled(text, ascii):
    assert written("ascii", text) == ascii + b"\n"


def test_an_encoding_keeps_the_letters_that_it_has():
    assert written("latin-1", "Größe ∇") == "Größe grad ".encode("latin-1") + b"\n"
    assert written("cp1252", "5 € – ∇") == "5 € – grad ".encode("cp1252") + b"\n"
    assert written("utf-8", "東京 ∇") == "東京 ∇\n".encode()


@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "cp1252"])
def test_a_name_that_is_no_utf_8_goes_out_as_it_came_in(encoding):
    name = b"caf\xe9".decode("utf-8", "surrogateescape")
    assert written(encoding, name) == b"caf\xe9\n"


def test_a_choice_of_the_user_stays():
    assert written("ascii", "∇", errors="backslashreplace") == b"\\u2207\n"


def test_a_table_of_rich_goes_out_too():
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, "ascii")
    spell_what_is_missing([stream])
    table = Table("‖∇z‖")
    table.add_row("東京")
    Console(file=stream).print(table)
    stream.flush()
    assert b"||grad z||" in raw.getvalue()


def test_json_is_escaped_and_not_spelled_where_the_output_lacks_a_letter(monkeypatch):
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, "ascii"))
    monkeypatch.setattr(listing, "as_json", lambda run: {"name": "Größe"})
    print(listing.json_text([object.__new__(RunRecord)]), end="")
    sys.stdout.flush()
    assert json.loads(raw.getvalue()) == [{"name": "Größe"}]


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_a_command_ends_as_ever_in_such_an_encoding(encoding):
    words = ["explain", "--inputs", "4", "--hidden", "3", "--outputs", "2"]
    done = subprocess.run(
        [sys.executable, "-m", "mlp_jax", *words],
        env={**os.environ, "PYTHONIOENCODING": encoding}, capture_output=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, b"")
    assert "grad W".encode(encoding) in done.stdout
