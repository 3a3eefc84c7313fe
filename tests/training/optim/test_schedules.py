import math

import pytest

from mlp_jax.errors import InputError, UnknownNameError
from mlp_jax.training.optim.schedules import SCHEDULES, make_schedule

# Optax's one-cycle schedule takes the dot product of booleans and floats.
pytestmark = pytest.mark.usefixtures("optax_promotes")


def values(name, steps, peak=1.0, warm_up=0.0):
    schedule = make_schedule(name, peak, steps, warm_up)
    return [float(schedule(step)) for step in range(steps)]


def cosine(step, steps):
    return 0.5 * (1 + math.cos(math.pi * step / steps))


def one_cycle(step):
    """Over 10 steps: up from 1/25 over 3, down to 1/250000 over 7, each half a cosine."""
    if step < 3:
        return 1 + (1 / 25 - 1) * cosine(step, 3)
    return 1 / 250000 + (1 - 1 / 250000) * cosine(step - 3, 7)


def coslog4(t):
    """Holzmüller 2024: four waves, with the rate 0 at t = 0, 1/15, 3/15, 7/15 and 1."""
    return 0.5 * (1 - math.cos(2 * math.pi * math.log2(1 + 15 * t)))


@pytest.mark.parametrize(
    ("name", "steps", "warm_up", "expected"),
    [
        ("constant", 4, 0.0, [1, 1, 1, 1]),
        ("linear", 4, 0.0, [1, 0.75, 0.5, 0.25]),
        ("cosine", 4, 0.0, [cosine(step, 4) for step in range(4)]),
        ("step", 8, 0.0, [1, 1, 1, 1, 0.1, 0.1, 0.01, 0.01]),
        ("warm-up", 20, 0.0, [0, 0.5] + [1] * 18),
        ("warm-up", 8, 0.5, [0, 0.25, 0.5, 0.75, 1, 1, 1, 1]),
        ("one-cycle", 10, 0.0, [one_cycle(step) for step in range(10)]),
        ("constant", 4, 0.5, [0, 0.5, 1, 1]),
        ("cosine", 10, 0.2, [0, 0.5] + [cosine(step, 8) for step in range(8)]),
        ("linear", 6, 1 / 3, [0, 0.5, 1, 0.75, 0.5, 0.25]),
        ("coslog4", 4, 0.0, [coslog4((step + 0.5) / 4) for step in range(4)]),
        ("step", 10, 0.2, [0, 0.5, 1, 1, 1, 1, 0.1, 0.1, 0.01, 0.01]),
    ],
)
def test_a_schedule_has_the_values_that_a_hand_calculates(name, steps, warm_up, expected):
    assert values(name, steps, 1.0, warm_up) == pytest.approx(expected, abs=1e-6)
    assert values(name, steps, 0.25, warm_up) == pytest.approx(
        [0.25 * value for value in expected], abs=1e-6
    )


def test_the_one_cycle_ends_at_a_tiny_rate():
    assert float(make_schedule("one-cycle", 1.0, 10)(10)) == pytest.approx(4e-6, rel=1e-2)


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("steps", [1, 2, 3])
def test_a_run_of_a_few_steps_has_rates_too(name, steps):
    rates = values(name, steps)
    assert all(0 <= rate <= 1 + 1e-6 for rate in rates)
    assert max(rates) > 0


@pytest.mark.parametrize("warm_up", [-0.1, 1.0, math.nan])
def test_a_warm_up_is_a_fraction(warm_up):
    with pytest.raises(InputError, match="fraction of the run"):
        make_schedule("cosine", 1.0, 10, warm_up)


def test_an_unknown_schedule_lists_the_known_ones():
    with pytest.raises(UnknownNameError, match="Known: constant, cosine, coslog4, linear, one-"):
        make_schedule("onecycle", 1.0, 10)


@pytest.mark.parametrize("name", SCHEDULES)
def test_any_warm_up_of_a_short_run_leaves_it_a_rate_between_0_and_the_peak(name):
    """Of 1 to 12 steps; the one that has the highest rate is never crowded out."""
    for steps in range(1, 13):
        for warm_up in (0.05, 0.1, 0.3, 0.5, 0.9, 0.999):
            rates = values(name, steps, 1.0, warm_up)
            assert all(0 <= rate <= 1 + 1e-6 for rate in rates), (steps, warm_up)
            assert max(rates) > 0.05, (steps, warm_up)
            if name == "constant":
                assert rates[-1] == 1
