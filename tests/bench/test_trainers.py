"""`bench trainers`: what agrees is timed, what does not is told."""

import json
from importlib.metadata import Distribution

import pytest

from trainers.entrants import ENTRANTS, Entrant
from trainers.grid import Point
from trainers.measure import bench_trainers
from trainers.processes import AbsentError
from trainers.report import draw_result, print_result

TINY = (Point((12, 8, 3), 16, 70), Point((5, 4, 4, 1), 8, 64))
NUMPY = Entrant("numpy", "NumPy", "numpy_contender", "numpy")
WRONG = Entrant("wrong", "Wrong", "wrong_contender", "numpy")
ABSENT = Entrant("absent", "Absent", "absent_contender", "numpy")
FAILING = Entrant("failing", "Failing", "failing_contender", "numpy")


@pytest.fixture(scope="module")
def result():
    """One run for all tests, told in `said`."""
    from pathlib import Path

    said = []
    with pytest.MonkeyPatch.context() as patch:
        here = Path(__file__).parent
        patch.setenv("PYTHONPATH", f"{here}:{here.parents[1]}")
        entrants = (ENTRANTS[0], NUMPY, WRONG, ABSENT, FAILING)
        found = bench_trainers(TINY, 3, said.append, entrants)
    return found | {"said": said}


def test_an_independent_trainer_agrees_after_the_first_steps_and_is_timed(result):
    for point in result["points"]:
        ours, theirs = (point["results"][name] for name in ("mlp-jax", "numpy"))
        assert theirs["status"] == "ok"
        assert theirs["loss_after_1"] == pytest.approx(ours["loss_after_1"], rel=1e-5)
        assert theirs["loss_after_20"] == pytest.approx(ours["loss_after_20"], rel=1e-4)
        assert ours["loss_after_20"] < point["loss_before"]
        assert len(theirs["seconds"]) == len(ours["seconds"]) == 3


def test_a_contender_that_disagrees_is_reported_and_not_timed(result):
    for point in result["points"]:
        wrong = point["results"]["wrong"]
        assert wrong["status"] == "disagrees"
        assert "after 1 step its loss is" in wrong["reason"]
        assert "seconds" not in wrong


def test_what_is_not_installed_is_skipped_with_the_reason(result):
    absent = result["points"][0]["results"]["absent"]
    assert absent["status"] == "skipped"
    assert "a_library_that_nobody_has is not installed" in absent["reason"]
    assert any("Absent: skipped: a_library_that" in line for line in result["said"])


def test_a_process_that_ends_is_reported_by_its_last_words_and_the_others_go_on(result):
    for point in result["points"]:
        failed = point["results"]["failing"]
        assert failed["status"] == "failed"
        assert "code 3" in failed["reason"]
    assert "out of luck" in result["points"][0]["results"]["failing"]["reason"]


def test_the_result_says_speed_floor_and_ratio_of_every_point(result):
    text = json.dumps(result)
    assert json.loads(text)["threads"] >= 1
    for point in result["points"]:
        ours = point["results"]["mlp-jax"]
        for figure in ("samples_per_second", "fraction_of_floor"):
            assert 0 < ours[figure]["quartile_1"] <= ours[figure]["median"]
        assert point["floor"]["product_rate"]["median"] > 0
        assert point["ratio_to_best"]["contender"] == "numpy"
        assert point["ratio_to_scan"] is None
    assert result["geometric_mean"] > 0
    assert result["geometric_mean_scans"] is None


def test_the_tables_and_the_picture_show_it(result, tmp_path, capsys):
    print_result(result)
    shown = capsys.readouterr().out
    assert "12-8-3, batch 16" in shown
    assert "Wrong: disagrees: after 1 step" in shown
    draw_result(result, tmp_path / "speed.png")
    assert (tmp_path / "speed.png").read_bytes()[:4] == b"\x89PNG"


def test_without_our_own_trainer_there_is_nothing_to_compare():
    with pytest.raises(AbsentError, match="not installed"):
        bench_trainers(TINY[:1], 1, entrants=(ABSENT, NUMPY))


def test_every_contender_that_is_installed_takes_the_same_steps():
    installed = [e for e in ENTRANTS if any(Distribution.discover(name=e.library))]
    assert installed[0] == ENTRANTS[0]
    found = bench_trainers(TINY, 1, entrants=installed)
    for point in found["points"]:
        for entrant in installed:
            taken = point["results"][entrant.name]
            unfit = taken["status"] == "skipped" and " needs " in taken["reason"]  # a GPU, say
            assert unfit or taken["status"] == "ok", (entrant.name, taken)
