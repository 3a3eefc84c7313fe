"""What is measured: networks, batch sizes and rows, and the least work that an epoch of them is.

Letters: N rows, I and J widths in and out of a layer, P parameters.
"""

import itertools
from dataclasses import dataclass, replace

from mlp_jax.errors import InputError, UnknownNameError

_FLOAT32 = 4
_ADAM_PASSES = 7  # reads gradient, parameter and two moments; writes parameter and two moments
QUICK_FLOPS = 5e10
PRECISIONS = ("float32", "tf32", "bf16")


@dataclass(frozen=True)
class Point:
    """A network with its batch size on N rows: a point of the grid.

    widths: from the inputs to the outputs; one output means sigmoid cross-entropy, more softmax.
    precision: "float32" (IEEE), "tf32" or "bf16" (products in bfloat16, all else in float32).
    """

    widths: tuple[int, ...]
    batch: int
    rows: int
    precision: str = "float32"

    def __post_init__(self) -> None:
        if len(self.widths) < 2 or min(self.widths) < 1:
            raise InputError(f"A network has two widths or more, each at least 1: {self.widths}.")
        if not 1 <= self.batch <= self.rows:
            raise InputError(f"A batch has 1 to {self.rows} rows, not {self.batch}.")

    @property
    def name(self) -> str:
        """As `--points` takes it: 784-512-512-10@128."""
        special = "" if self.precision == "float32" else f":{self.precision}"
        return f"{'-'.join(map(str, self.widths))}@{self.batch}{special}"

    @property
    def layers(self) -> tuple[tuple[int, int], ...]:
        """(I, J) of each layer."""
        return tuple(itertools.pairwise(self.widths))

    @property
    def steps(self) -> int:
        """Updates an epoch; the last batch may be short."""
        return -(-self.rows // self.batch)

    @property
    def parameters(self) -> int:
        """P, weights and biases."""
        return sum(n_in * n_out + n_out for n_in, n_out in self.layers)

    @property
    def flops(self) -> int:
        """Of an epoch's matrix products: 2·I·J a row forward, for ∇W, and for ∇a but at layer 1."""
        products = [n_in * n_out for n_in, n_out in self.layers]
        return 2 * self.rows * (3 * sum(products) - products[0])

    @property
    def optimizer_bytes(self) -> int:
        """What Adam must read and write in an epoch."""
        return self.steps * self.parameters * _ADAM_PASSES * _FLOAT32

    def floor_seconds(self, product_rate: float, copy_rate: float) -> float:
        """The least time of an epoch: products at so many FLOP/s, then Adam at so many bytes/s."""
        return self.flops / product_rate + self.optimizer_bytes / copy_rate

    def quick(self) -> "Point":
        """The same on rows of at most QUICK_FLOPS, but at least one batch."""
        steps = int(QUICK_FLOPS * self.rows / self.flops / self.batch)
        return replace(self, rows=min(self.rows, max(steps, 1) * self.batch))


IMAGES = 60_000
GRID = (
    Point((784, 100, 10), 200, IMAGES),
    Point((784, 512, 512, 10), 128, IMAGES),
    Point((784, 32, 32, 10), 32, IMAGES),
    Point((784, 1024, 1024, 1024, 10), 1024, IMAGES),
    Point((28, 256, 256, 256, 256, 1), 1024, 200_000),
    Point((64, 64, 10), 32, 20_000),
)
GPU_GRID = (
    Point((8192,) * 9, 16_384, 65_536, "bf16"),
    Point((64, 64, 64, 10), 2**14, 2**20),
    Point((64, 64, 64, 10), 2**17, 2**21),
    Point((64, 64, 64, 10), 2**20, 2**22),
)


def choose_points(
    names: tuple[str, ...], gpu: bool, precision: str | None = None
) -> tuple[Point, ...]:
    """The points of those names; without names the whole grid, with the GPU's where there is one.

    precision: of all points, in place of their own. UnknownNameError for a name or a precision
    that there is not.
    """
    known = {point.name: point for point in (*GRID, *GPU_GRID)}
    for name in names:
        if name not in known:
            raise UnknownNameError("point", name, known)
    if precision is not None and precision not in PRECISIONS:
        raise UnknownNameError("precision", precision, PRECISIONS)
    points = tuple(known[name] for name in names) or ((*GRID, *GPU_GRID) if gpu else GRID)
    if precision is None:
        return points
    return tuple(replace(point, precision=precision) for point in points)
