"""Report of the gradient check: a row for every equation of every layer and every witness."""

import json
import math
from dataclasses import dataclass
from typing import Any, Literal

from mlp_jax.proof.oracles import (
    ACTIVATE,
    BIAS,
    EQUATION_1,
    EQUATION_2,
    EQUATION_3,
    FORWARD,
    INPUT,
    NORM,
)

Witness = Literal["local", "whole", "differences", "loops", "one_device"]

WITNESSES: dict[str, str] = {
    "local": "jax.vjp",
    "whole": "jax.grad",
    "differences": "differences",
    "loops": "index loops",
    "one_device": "one device",
}
READING_ORDER = (FORWARD, ACTIVATE, NORM, EQUATION_1, EQUATION_2, EQUATION_3, BIAS, INPUT)


@dataclass(frozen=True)
class Row:
    """One comparison: the relative error of one equation of one layer by one witness.

    Attributes:
        layer: label, such as "2 Dense(10, identity)".
        equation: name of the equation.
        witness: name of the witness.
        mode: "train" or "inference".
        dtype: type of the computation.
        error: ‖ours − witness‖ / max(‖witness‖, s), s the same contraction over absolute values.
        ours: our value where they differ most.
        expected: the witness's value there.
        bound: the largest error that passes.
    """

    layer: str
    equation: str
    witness: Witness
    mode: str
    dtype: str
    error: float
    ours: float
    expected: float
    bound: float

    @property
    def ok(self) -> bool:
        """True if the error is within the bound; NaN is not."""
        return self.error <= self.bound

    def __str__(self) -> str:
        return (
            f"{self.layer}, {self.equation}: {self.ours:.9g} here, {self.expected:.9g} by "
            f"{WITNESSES[self.witness]} (relative error {self.error:.1e}, bound {self.bound:.0e}, "
            f"{self.dtype}, {self.mode})"
        )


@dataclass(frozen=True)
class Report:
    """All rows of a check; printable.

    Attributes:
        rows: the comparisons.
        seconds: time that the check took.
    """

    rows: tuple[Row, ...]
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        """True if every row passes."""
        return all(row.ok for row in self.rows)

    @property
    def worst(self) -> Row:
        """Row whose error is largest relative to its bound."""
        return max(self.rows, key=lambda row: _badness(row) / row.bound)

    @property
    def fault(self) -> Row | None:
        """First fault: the failed local row nearest to the loss, else any failed row.

        Local witnesses and loops test a layer at its own inputs, so they locate a fault; the whole
        gradient and the differences only detect one. A wrong forward pass makes the backward pass
        of its layer fail too, so the forward row of a layer comes first.
        """
        failed = [row for row in self.rows if not row.ok]
        located = [row for row in failed if row.witness in ("local", "loops")]
        first = next(iter(located or failed), None)
        same = [row for row in located if first is not None and row.layer == first.layer]
        return min(same, key=lambda row: _place(row.equation), default=first)

    def to_json(self) -> str:
        """Return the report as JSON; errors that are not finite are null."""
        rows = [
            {
                key: (None if isinstance(value, float) and not math.isfinite(value) else value)
                for key, value in {**vars(row), "ok": row.ok}.items()
            }
            for row in self.rows
        ]
        body: dict[str, Any] = {"ok": self.ok, "seconds": round(self.seconds, 3), "rows": rows}
        return json.dumps(body, indent=1, ensure_ascii=False) + "\n"

    def __str__(self) -> str:
        return "\n".join([*self._table(), "", *self._summary()])

    def _table(self) -> list[str]:
        """Format layer × equation × witness, the worst error over modes and dtypes in float64."""
        shown = [row for row in self.rows if row.dtype == "float64"] or list(self.rows)
        layers = list(dict.fromkeys(row.layer for row in shown))
        ordered = sorted(shown, key=lambda row: (layers.index(row.layer), _place(row.equation)))
        cells: dict[tuple[str, str], dict[str, Row]] = {}
        for row in ordered:
            group = cells.setdefault((row.layer, row.equation), {})
            before = group.get(row.witness)
            if before is None or _badness(row) > _badness(before):
                group[row.witness] = row
        width_l = max([len("layer"), *(len(layer) for layer, _ in cells)])
        width_e = max([len("equation"), *(len(equation) for _, equation in cells)])
        apart = any(row.witness == "one_device" for row in shown)
        witnesses = [w for w in WITNESSES if apart or w != "one_device"]
        heads = "".join(f"{WITNESSES[witness]:>13}" for witness in witnesses)
        lines = [f"{'layer':<{width_l}}  {'equation':<{width_e}}{heads}"]
        previous = None
        for (layer, equation), group in cells.items():
            name = "" if layer == previous else layer
            marks = "".join(_cell(group.get(witness)) for witness in witnesses)
            lines.append(f"{name:<{width_l}}  {equation:<{width_e}}{marks}")
            previous = layer
        return [line.rstrip() for line in lines]

    def _summary(self) -> list[str]:
        lines = []
        for dtype in dict.fromkeys(row.dtype for row in self.rows):
            for witness, title in WITNESSES.items():
                rows = [r for r in self.rows if r.dtype == dtype and r.witness == witness]
                if rows:
                    worst = max(rows, key=_badness)
                    lines.append(
                        f"{dtype}  {title:<12} worst {worst.error:.1e}  bound {worst.bound:.0e}  "
                        f"{sum(r.ok for r in rows)}/{len(rows)} pass"
                    )
        fault = self.fault
        if fault is None:
            lines.append(f"verified: all {len(self.rows)} comparisons pass ({self.seconds:.1f} s)")
        else:
            lines.append(f"FAULT in {fault}")
        return lines


def _badness(row: Row) -> float:
    """Error with NaN as the largest."""
    return math.inf if math.isnan(row.error) else row.error


def _place(equation: str) -> int:
    return READING_ORDER.index(equation) if equation in READING_ORDER else len(READING_ORDER)


def _cell(row: Row | None) -> str:
    if row is None:
        return f"{'':>13}"
    return f"{'' if row.ok else '✗ '}{row.error:.1e}".rjust(13)
