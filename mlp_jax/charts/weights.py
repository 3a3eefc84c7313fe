"""Charts of the weights of a first layer.

Letters: I features, J units.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from jaxtyping import Float

from mlp_jax.charts.figures import TRAIN, VALIDATION, PathLike, new_figure, save, shortened
from mlp_jax.errors import InputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.cm import ScalarMappable
    from matplotlib.figure import Figure

MOST_UNITS = 64
_MOST_NAMES = 40  # names on an axis
_MANY_WEIGHTS = 1000
_WIDTH = 7.2  # inches of a mosaic


def first_layer(
    W: Float[np.ndarray, "I J"],
    image_shape: tuple[int, ...] | None,
    path: PathLike,
    max_units: int = MOST_UNITS,
    *,
    feature_names: Sequence[str] = (),
) -> None:
    """Draw the incoming weights of the units of largest norm, on one scale symmetric about 0.

    Args:
        W: weights, (I, J).
        image_shape: (height, width) draws each unit as an image, (height, width, 3) as a colour
            image with middle grey for weight 0; None draws a heat map of features by units.
        path: PNG file to write.
        max_units: number of units to draw.
        feature_names: labels of the heat map.

    Raises:
        InputError: if the product of image_shape is not I.
    """
    shown = _largest(W, max_units)
    if image_shape is None:
        figure, drawn = _feature_map(shown, feature_names)
    else:
        figure, drawn = _mosaic_figure(shown, image_shape)
    axes = figure.axes[0]
    if drawn is not None:
        clipped = np.nanmax(np.abs(shown), initial=0.0) > drawn.norm.vmax
        bar = figure.colorbar(
            drawn, ax=axes, shrink=0.8, pad=0.02, extend="both" if clipped else "neither"
        )
        bar.set_label("weight")
        bar.outline.set_visible(False)
    n_shown, n_units = shown.shape[1], W.shape[1]
    which = f"all {n_units} units" if n_shown == n_units else f"{n_shown} of {n_units} units"
    if n_units == 1:
        which = "one unit"
    order = ", largest norm first" if n_units > 1 else ""
    axes.set_title(f"Weights of the first layer: {which}{order}")
    save(figure, path)


def mosaic_figure(
    W: Float[np.ndarray, "I J"], image_shape: tuple[int, ...], max_units: int = MOST_UNITS
) -> "Figure":
    """Return a figure of the max_units units of largest norm as images, the largest first.

    Orange is above 0, blue below, the more opaque the larger; zero is transparent.

    Raises:
        InputError: if the product of image_shape is not I.
    """
    return _mosaic_figure(_largest(W, max_units), image_shape)[0]


def _largest(W: np.ndarray, max_units: int) -> np.ndarray:
    """Return the columns of the units of largest norm, the largest first."""
    weights = np.asarray(W, np.float64)
    norms = np.linalg.norm(np.nan_to_num(weights), axis=0)
    return weights[:, np.argsort(-norms, kind="stable")[:max_units]]


def _mosaic_figure(
    shown: np.ndarray, image_shape: tuple[int, ...]
) -> tuple["Figure", "ScalarMappable | None"]:
    if math.prod(image_shape) != len(shown):
        raise InputError(f"{len(shown)} features do not form an image of shape {image_shape}.")
    images = shown.T.reshape(-1, *image_shape)
    if images.ndim == 4 and images.shape[-1] != 3:
        images = images.mean(axis=-1)
    tiles = _mosaic(images)
    height = np.clip(_WIDTH * tiles.shape[0] / tiles.shape[1], 2, 12)
    figure = new_figure(_WIDTH + 0.2, height + 0.2)
    axes = figure.add_subplot()
    axes.axis("off")
    return figure, _weight_image(axes, tiles, shown, aspect="equal")


def _mosaic(tiles: np.ndarray) -> np.ndarray:
    """Arrange images (J, H, W) or (J, H, W, 3) in a grid about half as high as wide.

    There is NaN between them.
    """
    n, height, width, *channels = tiles.shape
    columns = max(1, min(n, round(math.sqrt(2 * n * height / width))))
    rows = -(-n // columns)
    gap = 1
    size = (rows * (height + gap) - gap, columns * (width + gap) - gap)
    grid = np.full((*size, *channels), np.nan)
    for i, tile in enumerate(tiles):
        top, left = i // columns * (height + gap), i % columns * (width + gap)
        grid[top : top + height, left : left + width] = tile
    return grid


def _weight_image(
    axes: "Axes", image: np.ndarray, weights: np.ndarray, *, aspect: Literal["equal", "auto"]
) -> "ScalarMappable | None":
    """Draw weights in two colours and return their scale, or an RGB image, which has none.

    For many weights the scale ends at the 99.5th percentile.
    """
    from matplotlib.colors import LinearSegmentedColormap, to_rgba

    sizes = np.abs(weights[np.isfinite(weights)])
    share = 0.995 if sizes.size >= _MANY_WEIGHTS else 1.0
    limit = float(np.quantile(sizes, share) or sizes.max()) if sizes.size else 0.0
    limit = limit or 1.0
    if image.ndim == 3:
        known = np.isfinite(image).all(axis=-1, keepdims=True)
        colors = np.nan_to_num(np.clip(0.5 + image / (2 * limit), 0, 1))
        axes.imshow(np.concatenate([colors, known], -1), aspect=aspect, interpolation="none")
        return None
    ends: list[tuple[float, Any]] = [(0, TRAIN), (0.5, to_rgba(TRAIN, 0))]
    ends += [(0.5, to_rgba(VALIDATION, 0)), (1, VALIDATION)]
    scale = LinearSegmentedColormap.from_list("weights", ends)
    return axes.imshow(
        image, cmap=scale, vmin=-limit, vmax=limit, aspect=aspect, interpolation="none"
    )


def _feature_map(
    weights: np.ndarray, feature_names: Sequence[str]
) -> tuple["Figure", "ScalarMappable | None"]:
    n_features, n_units = weights.shape
    height = float(np.clip(1.4 + 0.24 * n_features, 2.8, 9))
    figure = new_figure(float(np.clip(3 + 0.11 * n_units, 4.8, 9)), height)
    axes = figure.add_subplot()
    drawn = _weight_image(axes, weights, weights, aspect="auto")
    axes.set(xlabel="unit, by norm", ylabel="feature")
    axes.set_xticks([0, n_units - 1] if n_units > 1 else [0])
    axes.set_xticklabels(["1", str(n_units)] if n_units > 1 else ["1"])
    if len(feature_names) == n_features <= _MOST_NAMES:
        names = [shortened(name) for name in feature_names]
        axes.set_yticks(range(n_features), names, fontsize=8, parse_math=False)
        axes.set_ylabel("")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return figure, drawn
