"""Which task a target sets: the one rule for tables and arrays, with its reason in words.

Text and booleans are classes. Whole numbers are classes only where they look like labels, for to
take numbers for classes is the costlier mistake; all other numbers are numbers to predict.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

FEW = 5  # whole numbers that are classes wherever they lie
SOME = 9  # that are classes where they count up from 0 or 1
NAMED = 100  # that are classes where the column is called a class or label
COUNTED = 1000  # that are classes where an array of whole numbers counts up from 0
ROWS_A_CLASS = 3  # on average
RAREST = 0.01  # of the rows, in the rarest of SOME classes
_NAMES = re.compile(r"^(?i:(?:.*[ _-])?(?:class|classes|label|labels)|\w*[a-z](?:Class|Label))$")


class Decision(NamedTuple):
    """Decision on whether whole numbers are classes; reason: the end of a sentence with "since"."""

    is_class: bool
    reason: str


def decide(
    name: str, values: np.ndarray, rows: np.ndarray, *, whole_array: bool = False
) -> Decision:
    """Decide whether the numbers of a target are classes.

    Args:
        name: the target's.
        values: its distinct finite numbers (C,), in order.
        rows: how many rows have each (C,).
        whole_array: whether they come from an array of a whole-number type, which a program made.
    """
    n, total = len(values), int(rows.sum())
    if (values != np.floor(values)).any():
        return Decision(False, "it holds numbers with fractions")
    counts_up = n and values[0] in (0, 1) and values[-1] - values[0] == n - 1
    enough = total >= ROWS_A_CLASS * n or (counts_up and n <= FEW)
    if n < 2:
        return Decision(whole_array, f"it holds {_different(n)}")
    if n == 2:
        return Decision(True, f"it holds {_different(n)}")
    if n <= FEW and enough:
        return Decision(True, f"it holds only {_different(n)}")
    if n <= SOME and enough and counts_up and rows.min() >= RAREST * total:
        return Decision(True, f"it holds only {_different(n)}, from {values[0]:g} up")
    if n <= NAMED and enough and _NAMES.match(name.strip()):
        return Decision(True, f"it is called '{name}' and holds only {_different(n)}")
    if whole_array and counts_up and values[0] == 0 and n <= COUNTED and enough:
        return Decision(True, f"it is an array of whole numbers, all of 0 to {n - 1}")
    return Decision(False, f"it holds {_different(n)}")


def constant_notes(
    low: Sequence[float], high: Sequence[float], names: Sequence[str] = ()
) -> tuple[str, ...]:
    """A note on each number to predict that is the same in every training row.

    low, high: the least and the greatest of each output. names: of the outputs.
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
