"""Choice of the measured points: lines through the grid, all of it, or as requested."""

import itertools
from collections.abc import Iterable
from dataclasses import dataclass

from mlp_jax.backprop import ACTIVATIONS
from mlp_jax.bench.gradients.contenders import Point

BASE = Point(width=256, depth=2, batch_size=128)
# Large enough that the memory of the residuals dominates.
DEEP = Point(width=256, depth=8, batch_size=4096, n_in=256)
DEEP_ACTIVATIONS = ("relu", "elu", "gelu")
DEPTHS = (2, 4, 8, 16)


@dataclass(frozen=True)
class Grid:
    """Values of each axis; the points are their product."""

    widths: tuple[int, ...] = (64, 256, 1024)
    depths: tuple[int, ...] = (1, 2, 4, 8)
    batch_sizes: tuple[int, ...] = (32, 256, 2048)
    activations: tuple[str, ...] = ("relu", "tanh", "softplus", "elu", "gelu")
    precisions: tuple[str, ...] = ("float32", "bf16", "float64")

    def points(self) -> list[Point]:
        """Product of the axes, 784 inputs each, the small ones first."""
        product = itertools.product(
            self.precisions, self.widths, self.depths, self.batch_sizes, self.activations
        )
        return [
            Point(width=w, depth=d, batch_size=b, activation=a, precision=p)
            for p, w, d, b, a in product
        ]


def preset_points() -> list[Point]:
    """Lines through 784-256×2-10 at batch 128: width, batch size, depth, activation, precision."""
    return [
        BASE,
        *(Point(width=width, depth=2, batch_size=128) for width in (64, 1024)),
        *(Point(width=256, depth=2, batch_size=size) for size in (32, 1024)),
        *(Point(width=256, depth=depth, batch_size=512, activation="gelu") for depth in (1, 4, 8)),
        *(
            Point(width=256, depth=2, batch_size=128, activation=activation)
            for activation in ("tanh", "softplus", "elu", "gelu")
        ),
        *(
            Point(width=256, depth=2, batch_size=128, precision=precision)
            for precision in ("bf16", "float64")
        ),
    ]


def memory_points() -> list[Point]:
    """Every activation at 8×256 and batch 4096, and three of them over the depth."""
    deep = [(DEEP.depth, name) for name in sorted(ACTIVATIONS)]
    over_depth = [(d, name) for d in DEPTHS for name in DEEP_ACTIVATIONS if d != DEEP.depth]
    return [
        Point(
            width=DEEP.width,
            depth=depth,
            batch_size=DEEP.batch_size,
            activation=name,
            n_in=DEEP.n_in,
        )
        for depth, name in [*deep, *over_depth]
    ]


def asked_points(
    widths: Iterable[int],
    depths: Iterable[int],
    batch_sizes: Iterable[int],
    activations: Iterable[str],
    precisions: Iterable[str],
) -> list[Point]:
    """Return the product of the requested values; other axes stay at `BASE`."""
    return Grid(
        widths=tuple(widths) or (BASE.width,),
        depths=tuple(depths) or (BASE.depth,),
        batch_sizes=tuple(batch_sizes) or (BASE.batch_size,),
        activations=tuple(activations) or (BASE.activation,),
        precisions=tuple(precisions) or (BASE.precision,),
    ).points()
