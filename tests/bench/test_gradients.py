import json

import jax
import numpy as np
import pytest

from mlp_jax.bench.gradients import measure as gradients
from mlp_jax.bench.gradients.contenders import (
    BY_HAND,
    BY_JAX,
    CONTENDERS,
    CUSTOM_VJP,
    Point,
    by_hand,
)
from mlp_jax.bench.gradients.grid import Grid, asked_points, memory_points, preset_points
from mlp_jax.bench.gradients.measure import BOUNDS, Effort, distance, kept_for_backward, measure
from mlp_jax.bench.gradients.run import draw, run
from mlp_jax.bench.gradients.tables import gradient_table, memory_table
from mlp_jax.errors import InputError, ProofError, RunFolderError, UnknownNameError
from mlp_jax.model.precision import PRECISIONS

TINY = Point(4, 2, 6, "gelu", n_in=5)
QUICK = Effort(repeats=2, sample=0.0, compiles=1)
PARTS = {
    "network", "disagreement", "error_against_float64", "gradient", "adam_step",
    "compile_seconds", "flops", "bytes_accessed", "temporary_bytes", "peak_bytes",
}  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def _usual_promotion():
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


@pytest.fixture(scope="module")
def measured():
    return [measure(Point(4, 2, 6, "gelu", name, 5), QUICK) for name in ("float32", "bf16")]


@pytest.fixture(scope="module")
def kept():
    return [kept_for_backward(Point(4, depth, 6, "elu", n_in=5)) for depth in (1, 2)]


def test_every_precision_has_a_bound():
    assert set(BOUNDS) == set(PRECISIONS)


def test_a_point_is_measured_with_everything_that_a_result_tells(measured):
    for point in measured:
        assert set(point) >= PARTS
        for part in ("gradient", "adam_step"):
            assert set(point[part]["seconds"]) == {BY_HAND, BY_JAX, CUSTOM_VJP}
            assert set(point[part]["ratio"]) == {BY_HAND, CUSTOM_VJP}
        assert all(value > 0 for value in point["flops"].values())
    assert measured[0]["error_against_float64"][BY_HAND] < 1e-5
    assert 1e-4 < measured[1]["error_against_float64"][BY_HAND] < 0.1
    json.dumps(measured)


def test_float64_agrees_to_rounding():
    found = measure(Point(4, 1, 6, "tanh", "float64", 5), QUICK)
    assert found["disagreement"] < 1e-13
    assert found["error_against_float64"][BY_HAND] < 1e-13


@pytest.mark.parametrize("who", [BY_HAND, CUSTOM_VJP])
def test_nothing_is_timed_that_disagrees(monkeypatch, who):
    def faulty(point):
        right = by_hand(point)

        def gradient(params, x, y):
            value, grads = right(params, x, y)
            first, *rest = grads
            return value, (first | {"b": 1.01 * first["b"]}, *rest)

        return gradient

    monkeypatch.setattr(gradients, "interleaved", lambda *_: pytest.fail("it was timed"))
    with pytest.raises(ProofError, match=rf"'b'\] by '{who}' differs .* by 1.0e-02") as raised:
        measure(TINY, QUICK, CONTENDERS | {who: faulty})
    assert "Nothing is timed at 5-4×2-10, batch 6, gelu, float32" in str(raised.value)


def test_a_gradient_that_is_not_finite_disagrees(monkeypatch):
    def broken(point):
        right = by_hand(point)
        return lambda *given: (0.0, jax.tree.map(lambda g: g * np.nan, right(*given)[1]))

    with pytest.raises(ProofError, match="by nan"):
        measure(TINY, QUICK, CONTENDERS | {BY_HAND: broken})


def test_distance_names_the_parameter_and_forgives_a_dead_one():
    right = {"W": np.array([3.0, 4.0]), "b": np.array([0.0])}
    assert distance(right | {"W": np.array([3.0, 4.5])}, right) == (0.1, "['W']")
    error, name = distance(right | {"b": np.array([5e-9])}, right)
    assert (name, round(error, 12)) == ("['b']", 1e-6)


def test_what_is_kept_for_the_backward_pass_is_compiled_and_not_run(kept):
    for point in kept:
        ours, theirs = (point["temporary_bytes"][who] for who in (BY_HAND, BY_JAX))
        assert point["ratio"] == ours / theirs


@pytest.mark.parametrize(
    ("point", "error"),
    [
        ((0, 1, 1), InputError),
        ((1, 1, 1, "rellu"), UnknownNameError),
        ((1, 1, 1, "relu", "float23"), UnknownNameError),
    ],
)
def test_a_point_that_cannot_be_is_refused(point, error):
    with pytest.raises(error):
        Point(*point)


def test_the_preset_has_every_axis_and_no_point_twice():
    points = preset_points()
    assert len(set(points)) == len(points)
    for axis in ("width", "depth", "batch_size", "activation", "precision"):
        assert len({getattr(point, axis) for point in points}) >= 3
    assert {"8×256" for p in memory_points() if (p.depth, p.width) == (8, 256)}
    assert len(Grid().points()) == 3 * 4 * 3 * 5 * 3


def test_an_axis_of_which_nothing_was_said_stays_where_it_is():
    points = asked_points((32, 64), (), (), ("tanh",), ())
    assert [(p.width, p.depth, p.batch_size, p.activation) for p in points] == [
        (32, 2, 128, "tanh"),
        (64, 2, 128, "tanh"),
    ]


def test_the_tables_have_a_row_a_point(measured, kept):
    said = gradient_table(measured)
    assert all(point["network"] in said for point in measured)
    assert "below 1 the former costs less" in said
    assert all(f"{point['ratio']:.2f}" in memory_table(kept) for point in kept)


def test_a_run_prints_writes_and_draws(tmp_path, capsys, measured, kept, monkeypatch):
    monkeypatch.setattr("mlp_jax.bench.gradients.run.measure", lambda *_, **__: measured[0])
    path = tmp_path / "found.json"
    run([TINY], [TINY], "mlp-jax bench gradients", effort=QUICK, json=path, plots=tmp_path)
    record = json.loads(path.read_text())
    assert record["command"] == "mlp-jax bench gradients"
    assert record["repeats"] == 2
    assert record["points"][0]["network"] == str(TINY)
    assert len(record["memory"]) == 1
    said = capsys.readouterr().out
    assert str(TINY) in said
    for name in ("gradient_ratio.png", "gradient_memory.png"):
        assert str(tmp_path / name) in said
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")


def test_pictures_of_several_points_are_drawn(tmp_path, measured, kept):
    record = {"points": measured, "memory": kept, "machine": {"cores": 2, "processor": "x",
              "versions": {}, "python": "3"}}  # fmt: skip
    assert [path.name for path in draw(record, tmp_path)] == [
        "gradient_ratio.png",
        "gradient_memory.png",
    ]


def test_nothing_is_measured_where_the_result_has_no_place(tmp_path):
    with pytest.raises(RunFolderError):
        run([TINY], [], "", json=tmp_path / "none" / "x.json")
