"""Named learning-rate schedules of Optax, over the steps of a run."""

import math
from typing import Any

import jax.numpy as jnp
import optax

from mlp_jax.errors import InputError, UnknownNameError

SCHEDULES = ("constant", "cosine", "one-cycle", "linear", "step", "warm-up", "coslog4")
"""Names of the learning-rate schedules; see `make_schedule`."""

WARM_UP = 0.1


def _coslog4(peak: float, steps: int) -> optax.Schedule:
    """Return the schedule ½(1 − cos 2π log₂(1 + 15t)) · peak, t = (step + ½)/steps.

    It is evaluated in the middle of a step, because it is 0 at the start of the first one.
    """

    def rate(count: Any) -> Any:
        waves = jnp.log1p(15 * jnp.minimum((count + 0.5) / steps, 1)) / math.log(2)
        return 0.5 * peak * (1 - jnp.cos(2 * math.pi * waves))

    return rate


def flat_cosine(count: Any, steps: Any) -> Any:
    """Return 1 in the first half of the steps, then a fall to 0 as a cosine (Holzmüller 2024)."""
    late = jnp.clip(2 * (count + 0.5) / steps - 1, 0, 1)
    return 0.5 * (1 + jnp.cos(math.pi * late))


def make_schedule(name: str, peak: float, steps: int, warm_up: float = 0.0) -> optax.Schedule:
    """Return the schedule: step (from 0) -> learning rate.

    - constant.
    - cosine, linear: fall to 0.
    - one-cycle: rises from peak/25 over the first 30 % and falls to peak/250000 (Smith 2018, cosine
      form).
    - step: divides by 10 at one half and at three quarters (He 2016). - warm-up: rises to the peak
    over the first tenth, then stays. - coslog4: peak times ½(1 − cos 2π log₂(1 + 15t)) at the
    fraction t of the steps, four waves that
      grow longer (Holzmüller 2024, RealMLP).

    Args:
        name: one of `SCHEDULES`.
        peak: highest learning rate.
        steps: steps of the run.
        warm_up: fraction of the steps, at least one less than all, in which the rate rises from 0;
            not for one-cycle.

    Raises:
        UnknownNameError: for an unknown name.
        InputError: for a warm-up outside [0, 1).
    """
    if name not in SCHEDULES:
        raise UnknownNameError("schedule", name, SCHEDULES)
    if not 0 <= warm_up < 1:
        raise InputError(f"The warm-up must be a fraction of the run in [0, 1), not {warm_up}.")
    if name == "one-cycle":
        return optax.cosine_onecycle_schedule(max(steps, 2), peak, pct_start=0.3)
    if name == "warm-up":
        name, warm_up = "constant", warm_up or WARM_UP
    rising = min(round(warm_up * steps), steps - 1)
    after = max(steps - rising, 1)
    schedule = {
        "constant": lambda: optax.constant_schedule(peak),
        "cosine": lambda: optax.cosine_decay_schedule(peak, after),
        "linear": lambda: optax.linear_schedule(peak, 0.0, after),
        "step": lambda: optax.piecewise_constant_schedule(
            peak, {after // 2: 0.1, after * 3 // 4: 0.1} if after >= 4 else None
        ),
        "coslog4": lambda: _coslog4(peak, after),
    }[name]()
    if not rising:
        return schedule
    return optax.join_schedules([optax.linear_schedule(0.0, peak, rising), schedule], [rising])
