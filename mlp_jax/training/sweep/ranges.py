"""Search ranges, such as "1e-4:1e-1:log", "0,0.1,0.2" or a number, and network shapes."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mlp_jax.errors import InputError


@dataclass(frozen=True)
class Range:
    """Interval on a linear or logarithmic scale, or a list of choices."""

    low: float = 0.0
    high: float = 0.0
    log: bool = False
    choices: tuple[float, ...] = ()

    @classmethod
    def parse(cls, name: str, text: str) -> "Range":
        """Parse `low:high`, `low:high:log`, `a,b,c` or `a`; raise InputError for any other text."""
        parts = text.split(":")
        try:
            if len(parts) == 1:
                return cls(choices=tuple(float(part) for part in text.split(",")))
            low, high = float(parts[0]), float(parts[1])
        except ValueError:
            raise _unreadable(name, text) from None
        if len(parts) > 3 or parts[2:] not in ([], ["log"]):
            raise _unreadable(name, text)
        log = len(parts) == 3
        if not (low < high and math.isfinite(low) and math.isfinite(high)):
            raise InputError(f"The range {name} {text} needs a low end below its high end.")
        if log and low <= 0:
            raise InputError(f"The range {name} {text} is logarithmic, so it must start above 0.")
        return cls(low, high, log)

    @property
    def fixed(self) -> bool:
        """True if there is a single value."""
        return len(self.choices) == 1

    @property
    def ends(self) -> tuple[float, ...]:
        """Ends of the interval, or the choices."""
        return self.choices or (self.low, self.high)

    def draw(self, rng: np.random.Generator, n: int) -> list[float]:
        """Draw n numbers."""
        if self.choices:
            return [float(value) for value in rng.choice(self.choices, n)]
        if self.log:
            return np.exp(rng.uniform(math.log(self.low), math.log(self.high), n)).tolist()
        return rng.uniform(self.low, self.high, n).tolist()


def _unreadable(name: str, text: str) -> InputError:
    """Return the error for an invalid range."""
    return InputError(
        f"{name} must be LOW:HIGH, LOW:HIGH:log, a list A,B,C or a number, not '{text}'."
    )


def parse_shapes(words: Sequence[str]) -> list[tuple[int, ...]]:
    """Parse hidden widths: "64 64" is one shape, "64,64 128,128" are two.

    Raises:
        InputError: for an invalid width.
    """
    texts = [word.split(",") for word in words] if any("," in w for w in words) else [list(words)]
    try:
        shapes = [tuple(int(width) for width in text if width) for text in texts]
    except ValueError:
        raise InputError(
            f"Hidden layers must be widths, such as 64 64, or shapes, such as 64,64 128,128, not"
            f" '{' '.join(words)}'."
        ) from None
    if any(width < 1 for shape in shapes for width in shape):
        raise InputError(f"Widths must be at least 1, not '{' '.join(words)}'.")
    return list(dict.fromkeys(shapes))
