"""Labels compared by value: 1, 1.0, True and "1" are one label, as in scikit-learn's scores.

Letters: N rows, C classes.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from functools import lru_cache

import numpy as np

_WORDS = {"true": Decimal(1), "false": Decimal(0)}


def as_words(y: np.ndarray) -> np.ndarray:
    """Return labels (N,) of any type as text."""
    if y.dtype.kind == "S":
        return np.char.decode(y, "utf-8", "backslashreplace")
    if y.dtype.kind == "f":
        y = y.astype(np.float64)  # as a table spells them
    words = y.astype(np.str_)
    return np.char.replace(words, "T", " ") if y.dtype.kind == "M" else words


def find_classes(classes: tuple[str, ...], labels: Iterable[str]) -> list[int | None]:
    """Return the class index of each label, None for an unknown label.

    A label is matched by text first, then by value (a number, or true and false as 1 and 0) if
    exactly one class has that value.
    """
    by_text, by_value = _tables(classes)
    found = []
    for label in labels:
        index = by_text.get(label)
        value = None if index is not None else value_of(label)
        found.append(index if value is None else by_value.get(value))
    return found


@lru_cache(maxsize=256)
def _tables(classes: tuple[str, ...]) -> tuple[Mapping[str, int], Mapping[Decimal, int]]:
    values = [value_of(name) for name in classes]
    times = Counter(values)
    distinct = {
        value: index
        for index, value in enumerate(values)
        if value is not None and times[value] == 1
    }
    return {name: index for index, name in enumerate(classes)}, distinct


def value_of(label: str) -> Decimal | None:
    """Return the number that a label represents; None for words and non-finite values."""
    text = label.strip().lower()
    if text in _WORDS:
        return _WORDS[text]
    try:
        value = Decimal(text.replace("_", "?"))
    except InvalidOperation:
        return None
    return value if value.is_finite() else None


def unknown_label(label: str, row: int, classes: Sequence[str]) -> str:
    """Return the error message for an unknown label."""
    named = ", ".join(classes[:20]) + (
        f" and {len(classes) - 20} more" if len(classes) > 20 else ""
    )
    return (
        f"The label '{label}' in row {row} is not a class of the model, whose classes are {named}."
    )
