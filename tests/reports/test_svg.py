import math

import numpy as np
import pytest

from mlp_jax.reports.svg import Axis, Chart, padded, px, spread_apart, tick_text


def test_an_axis_maps_its_ends_to_its_ends():
    axis = Axis(10, 20, 0, 100)
    assert [axis(v) for v in (10, 15, 20)] == [0, 50, 100]
    assert Axis(1, 100, 0, 100, logarithmic=True)(10) == pytest.approx(50)


@pytest.mark.parametrize(
    ("low", "high", "about", "ticks"),
    [
        (0, 1, 5, [0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (1, 8, 6, [2, 4, 6, 8]),
        (-0.03, 0.03, 3, [-0.02, 0, 0.02]),
        (0.9301, 0.9799, 5, [0.94, 0.95, 0.96, 0.97]),
        (1000, 9000, 4, [2000, 4000, 6000, 8000]),
    ],
)
def test_ticks_are_round(low, high, about, ticks):
    assert Axis(low, high, 0, 1).ticks(about) == pytest.approx(ticks)


def test_ticks_of_a_logarithmic_axis_are_few_and_inside():
    assert Axis(0.02, 1.2, 0, 1, logarithmic=True).ticks() == pytest.approx(
        [0.02, 0.05, 0.1, 0.2, 0.5, 1]
    )
    wide = Axis(1e-20, 1e3, 0, 1, logarithmic=True).ticks()
    assert 3 <= len(wide) <= 6
    assert all(math.log10(tick) == pytest.approx(round(math.log10(tick))) for tick in wide)
    assert Axis(2.1, 2.2, 0, 1, logarithmic=True).ticks() == [2.1, 2.2]


def test_a_line_is_broken_where_a_value_is_missing():
    chart = Chart(Axis(0, 4, 0, 4), Axis(0, 1, 10, 0), 10, 10)
    assert 'd="M0 10 L1 0 M3 10"' in chart.line([0, 1, 2, 3], [0, 1, math.nan, 0], "train")


def test_labels_do_not_overlap():
    moved = spread_apart([50, 52, 10], gap=15)
    assert moved[1] - moved[0] == pytest.approx(15)
    assert sum(moved[:2]) == pytest.approx(102)
    assert moved[2] == 10


def test_an_interval_is_never_empty():
    assert padded(np.array([])) == (0, 1)
    assert padded(np.array([math.nan, math.inf])) == (0, 1)
    assert padded(np.array([0.0])) == (-0.5, 0.5)
    assert padded(np.array([0.0, 10.0]), 0.1) == (-1, 11)


def test_numbers_are_short():
    assert [tick_text(v) for v in (0, 0.25, 1200, 25000, 1e-4, 2.5e7)] == [
        "0", "0.25", "1200", "25,000", "1e-4", "2.5e7",
    ]  # fmt: skip
    assert [px(v) for v in (1.0, 1.26, -0.04)] == ["1", "1.3", "-0"]
