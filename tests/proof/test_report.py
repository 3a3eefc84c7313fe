"""The report: what it says, and what a program can read from it."""

import dataclasses
import json
import math

import pytest

from mlp_jax.proof.report import Report, Row

GOOD = Row("0 Dense(4, tanh)", "∇a = W ∇z", "local", "training", "float64", 2e-16, 1.5, 1.5, 1e-12)
BAD = dataclasses.replace(GOOD, layer="1 Dense(3, identity)", error=0.5, ours=1.0, expected=2.0)
WHOLE = dataclasses.replace(BAD, witness="whole", layer="0 Dense(4, tanh)", error=0.9)
NAN = dataclasses.replace(GOOD, error=math.nan, ours=math.nan)


def test_a_row_holds_up_to_its_bound_and_nan_never():
    assert GOOD.ok
    assert dataclasses.replace(GOOD, error=1e-12).ok
    assert not dataclasses.replace(GOOD, error=1.1e-12).ok
    assert not NAN.ok
    assert not dataclasses.replace(GOOD, error=math.inf).ok


def test_a_report_is_ok_when_every_row_is():
    assert Report((GOOD, GOOD)).ok
    assert not Report((GOOD, BAD)).ok
    assert not Report((GOOD, NAN)).ok


def test_the_worst_row_is_the_one_farthest_over_its_bound():
    loose = dataclasses.replace(GOOD, error=1e-9, bound=1e-7)
    tight = dataclasses.replace(GOOD, error=5e-13)
    assert Report((GOOD, loose, tight)).worst is tight
    assert Report((GOOD, BAD, loose)).worst is BAD
    assert Report((BAD, NAN, GOOD)).worst is NAN


def test_the_fault_is_the_first_that_a_local_witness_finds():
    assert Report((GOOD,)).fault is None
    assert Report((WHOLE, GOOD, BAD)).fault is BAD
    assert Report((GOOD, WHOLE)).fault is WHOLE
    loops = dataclasses.replace(BAD, witness="loops")
    assert Report((WHOLE, loops)).fault is loops


def test_a_row_says_what_was_found_what_was_expected_and_by_whom():
    assert str(BAD) == (
        "1 Dense(3, identity), ∇a = W ∇z: 1 here, 2 by jax.vjp "
        "(relative error 5.0e-01, bound 1e-12, float64, training)"
    )


@pytest.mark.parametrize("rows", [(GOOD,), (GOOD, BAD, NAN, WHOLE)])
def test_json_gives_back_every_row(rows):
    body = json.loads(Report(rows, 1.25).to_json())
    assert body["seconds"] == 1.25
    assert body["ok"] == all(row.ok for row in rows)
    for found, row in zip(body["rows"], rows, strict=True):
        assert found["ok"] == row.ok
        assert found["error"] == (None if math.isnan(row.error) else row.error)
        for name in ("layer", "equation", "witness", "mode", "dtype", "bound"):
            assert found[name] == getattr(row, name)


def test_what_is_not_finite_is_null_in_json():
    endless = dataclasses.replace(GOOD, error=math.inf, ours=math.nan, expected=-math.inf)
    (found,) = json.loads(Report((endless,)).to_json())["rows"]
    assert found["error"] is found["ours"] is found["expected"] is None
    assert found["ok"] is False


def test_the_table_has_a_line_an_equation_and_a_column_a_witness():
    rows = [
        dataclasses.replace(GOOD, error=error, witness=witness, equation=equation)
        for equation, witness, error in (
            ("∇W = a ∇zᵀ", "whole", 3e-16),
            ("∇a = W ∇z", "loops", 4e-16),
            ("∇W = a ∇zᵀ", "local", 1e-16),
            ("∇a = W ∇z", "local", 2e-16),
        )
    ]
    lines = str(Report(tuple(rows), 0.4)).splitlines()
    words = [" ".join(line.split()) for line in lines]
    assert words[0] == "layer equation jax.vjp jax.grad differences index loops"
    assert words[1] == "0 Dense(4, tanh) ∇a = W ∇z 2.0e-16 4.0e-16"
    assert words[2] == "∇W = a ∇zᵀ 1.0e-16 3.0e-16"
    assert lines[2].index("3.0e-16") > lines[1].index("2.0e-16")
    assert lines[-1] == "verified: all 4 comparisons pass (0.4 s)"


def test_the_table_shows_the_worst_of_both_modes_and_marks_what_fails():
    inference = dataclasses.replace(BAD, mode="inference", layer=GOOD.layer)
    shown = str(Report((GOOD, inference)))
    assert "✗ 5.0e-01" in shown
    assert "2.0e-16" not in shown.splitlines()[1]
    assert "1/2 pass" in shown
    assert shown.splitlines()[-1] == f"FAULT in {inference}"


def test_a_nan_is_shown_and_not_hidden_by_a_better_row():
    for rows in ((GOOD, NAN), (NAN, GOOD)):
        shown = str(Report(rows))
        assert "✗ nan" in shown
        assert "worst nan" in shown
