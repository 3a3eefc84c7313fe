"""Choice of the task from a target: one rule for tables and arrays, with its reason.

Text and booleans are classes. Whole numbers are classes only if they look like labels, since
treating numbers as classes is the costlier mistake; other numbers are regression targets.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

FEW = 5  # distinct whole numbers that are always classes
SOME = 9  # that are classes if they count up from 0 or 1
NAMED = 100  # that are classes if the column is called class or label
COUNTED = 1000  # that are classes if an integer array counts up from 0
ROWS_A_CLASS = 3  # on average
RAREST = 0.01  # of the rows, in the rarest of SOME classes
_NAMES = re.compile(r"^(?i:(?:.*[ _-])?(?:class|classes|label|labels)|\w*[a-z](?:Class|Label))$")


class TaskDecision(NamedTuple):
    """TaskDecision on whether whole numbers are classes; the reason follows "since" in notes."""

    is_class: bool
    reason: str


def decide(
    name: str, values: np.ndarray, rows: np.ndarray, *, whole_array: bool = False
) -> TaskDecision:
    """Decide whether the numbers of a target are classes.

    name: name of the target. values: its distinct finite numbers (C,), sorted. rows: number of rows
    of each (C,). whole_array: the values come from an array of an integer dtype.
    """
    n, total = len(values), int(rows.sum())
    if (values != np.floor(values)).any():
        return TaskDecision(False, "it holds numbers with fractions")
    counts_up = n and values[0] in (0, 1) and values[-1] - values[0] == n - 1
    enough = total >= ROWS_A_CLASS * n or (counts_up and n <= FEW)
    if n < 2:
        return TaskDecision(whole_array, f"it holds {_different(n)}")
    if n == 2:
        return TaskDecision(True, f"it holds {_different(n)}")
    if n <= FEW and enough:
        return TaskDecision(True, f"it holds only {_different(n)}")
    if n <= SOME and enough and counts_up and rows.min() >= RAREST * total:
        return TaskDecision(True, f"it holds only {_different(n)}, from {values[0]:g} up")
    if n <= NAMED and enough and _NAMES.match(name.strip()):
        return TaskDecision(True, f"it is called '{name}' and holds only {_different(n)}")
    if whole_array and counts_up and values[0] == 0 and n <= COUNTED and enough:
        return TaskDecision(True, f"it is an array of whole numbers, with all from 0 to {n - 1}")
    return TaskDecision(False, f"it holds {_different(n)}")


def constant_notes(
    low: Sequence[float], high: Sequence[float], names: Sequence[str] = ()
) -> tuple[str, ...]:
    """Return a note for each regression target that is constant over the training rows.

    low, high: minimum and maximum of each output. names: of the outputs.
    """
    alone = len(low) == 1
    called = [f"'{n}'" for n in names] or [f"y{'' if alone else f'[{k}]'}" for k in range(len(low))]
    return tuple(
        f"Target {name} is {least:.6g} in every training row: there is nothing to learn."
        for name, least, greatest in zip(called, low, high, strict=True)
        if least == greatest
    )


def _different(n: int) -> str:
    return f"{n} different whole number{'s' * (n != 1)}"
