"""Sentinels for missing numbers, such as -999 and 9999: one value in several rows, far out.

Letters: N rows.
"""

import numpy as np

FARTHER = 3.0  # distance of such a value, in units of the range of all others
_LEAST_ROWS = 2
_LEAST_OTHERS = 10  # different values
_MOST_SHARE = 0.5  # of the rows
_TAKEN = 3  # different values at either end, so that each may have one such value
_SAMPLE = 1000


class ExtremeValues:
    """The smallest and largest distinct numbers of a column, with their rows.

    For nearly every column a sample of the first numbers shows that none can be far from all
    others; then only the range of a chunk is computed.
    """

    def __init__(self) -> None:
        self._rows: dict[float, int] = {}
        self._n = 0
        self._sample = np.zeros(0)  # its different numbers
        self._sampled = 0

    def add(self, v: np.ndarray, times: np.ndarray | None = None) -> None:
        """Add finite numbers (N,), each `times` times."""
        if not len(v):
            return
        if self._sampled < _SAMPLE:
            more = v[:: -(-len(v) // _SAMPLE)]
            self._sample = np.union1d(self._sample, more)
            self._sampled += len(more)
        self._n += len(v) if times is None else int(times.sum())
        found = {float(v.min()): 0, float(v.max()): 0}
        if self._possible([*self._rows, *found]):
            found = {**_ends(v, times, 1.0), **_ends(v, times, -1.0)}
        for value, rows in found.items():
            self._rows[value] = self._rows.get(value, 0) + rows
        values = sorted(self._rows)
        for value in values[_TAKEN:-_TAKEN]:
            del self._rows[value]

    def notes(self, name: str) -> tuple[str, ...]:
        """Return a note on each number far from the others that occurs in several rows."""
        values = sorted(self._rows)
        notes = []
        while len(values) > 2 and (far := self._far(values)) is not None:
            values.remove(far)
            if len(self._others(far, far)) >= _LEAST_OTHERS:
                notes.append(
                    f"Column '{name}': {self._rows[far]} rows hold {far:.6g}, far from all others"
                    f" (--na-values default {far:.6g} counts it as missing)."
                )
        return tuple(notes)

    def _others(self, low: float, high: float) -> np.ndarray:
        return self._sample[(self._sample != low) & (self._sample != high)]

    def _possible(self, values: list[float]) -> bool:
        """Return True if a number between these ends could be far from the sample."""
        low, high = min(values), max(values)
        others = self._others(low, high)
        if len(others) < _LEAST_OTHERS:
            return self._sampled < _SAMPLE
        return bool((1 + FARTHER) * (others[-1] - others[0]) < high - low)

    def _far(self, values: list[float]) -> float | None:
        """Return the number at either end that is far from the others, in several rows."""
        low, high = values[0], values[-1]
        for far, near, last in (low, values[1], high), (high, values[-2], low):
            enough = _LEAST_ROWS <= self._rows[far] <= _MOST_SHARE * self._n
            if far and enough and abs(far - near) > FARTHER * abs(near - last):
                return far
        return None


def _ends(v: np.ndarray, times: np.ndarray | None, sign: float) -> dict[float, int]:
    """Return the first distinct numbers of v (N,) and their rows, from below for sign 1."""
    found: dict[float, int] = {}
    rest = v * sign
    for _ in range(_TAKEN):
        least = rest.min()
        here = rest == least
        rows = np.count_nonzero(here) if times is None else times[here].sum()
        found[float(sign * least)] = int(rows)
        if here.all():
            break
        rest, times = rest[~here], None if times is None else times[~here]
    return found
