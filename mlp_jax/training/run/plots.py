"""Plots of a run as PNG files; matplotlib is imported when one is drawn.

Figures are built without pyplot: no window, no global state. Files are written atomically.
Letters: N examples, I features, J units, C classes or outputs.
"""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from jaxtyping import Float, Int

from mlp_jax.errors import InputError, UnknownNameError
from mlp_jax.model.metrics import higher_is_better
from mlp_jax.training.run.figures import (
    FRAME,
    INK,
    PALE,
    PathLike,
    finish_curve,
    log_if_wide,
    new_figure,
    plain_frame,
    row_of_axes,
    save,
    shortened,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TRAIN, VALIDATION = "#3b6ea8", "#d1651f"
_OUTPUTS = ("#3b6ea8", "#d1651f", "#3f8f5b", "#8a5aa8", "#b8942a", "#a83b52")
_MOST_COUNTS = 20  # classes up to which a confusion matrix shows its counts
_MOST_NAMES = 40  # names on an axis
_MOST_POINTS = 5000  # points in a scatter plot
_MANY_WEIGHTS = 1000


def learning_curve(
    history: Sequence[Mapping[str, float | None]], path: PathLike, *, best: int | None = None
) -> None:
    """Draw loss and metric by epoch, with the best epoch marked.

    Args:
        history: a record per epoch with `train_` and `validation_` before "loss" and the name of a
            metric; entries may be missing, None or NaN. `epoch` counts from 1 if it is missing. The
            first metric found is drawn.
        path: PNG file to write.
        best: epoch to mark (default: best validation metric, or lowest validation loss if the
            metric is unknown).
    """
    epochs = np.array([record.get("epoch", i) for i, record in enumerate(history, start=1)])
    metric = _first_metric(history)
    panels = ["loss"] if metric is None else ["loss", metric]
    curves = {
        (part, name): np.array([_number(record.get(f"{part}_{name}")) for record in history])
        for name in panels
        for part in ("train", "validation")
    }
    if best is None:
        judge = panels[-1] if _is_known(panels[-1]) else "loss"
        best = _best_epoch(epochs, curves["validation", judge], higher_is_better(judge))
    figure = new_figure(5.2 * len(panels), 3.9)
    for axes, name in zip(row_of_axes(figure, len(panels)), panels, strict=True):
        for part, color in (("train", TRAIN), ("validation", VALIDATION)):
            _curve(axes, epochs, curves[part, name], part, color)
        _mark_best(axes, epochs, curves["validation", name], best)
        values = np.concatenate([curves["train", name], curves["validation", name]])
        if name == "loss":
            log_if_wide(axes, values)
        finish_curve(axes, epochs, _title(name))
    save(figure, path)


def confusion_matrix(
    labels: Int[np.ndarray, " N"],
    predicted: Int[np.ndarray, " N"],
    classes: Sequence[str],
    path: PathLike,
) -> None:
    """Draw how often each class (row) is predicted as each class (column), as shares of the row.

    Args:
        labels, predicted: classes as numbers from 0 to C-1.
        classes: names of the classes; counts are written in the cells up to 20 classes.
        path: PNG file to write.
    """
    n = len(classes)
    flat = np.asarray(labels, np.int64) * n + np.asarray(predicted, np.int64)
    counts = np.bincount(flat, minlength=n * n).reshape(n, n)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = float(np.clip(2.6 + 0.48 * n, 4.2, 9.5))
    figure = new_figure(side + 1.2, side)
    axes = figure.add_subplot()
    image = _share_image(axes, shares)
    if n <= _MOST_COUNTS:
        _write_counts(axes, counts, shares)
    _name_classes(axes, classes)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    right = int(np.trace(counts))
    total = int(counts.sum())
    axes.set_title(f"{right:,} of {total:,} correct ({right / max(total, 1):.1%})")
    bar = figure.colorbar(image, ax=axes, shrink=0.8, pad=0.02, ticks=[0, 0.02, 0.1, 0.25, 0.5, 1])
    bar.ax.set_yticklabels(["0%", "2%", "10%", "25%", "50%", "100%"])
    bar.set_label("share of the true class")
    bar.outline.set_visible(False)
    save(figure, path)


def first_layer(
    W: Float[np.ndarray, "I J"],
    image_shape: tuple[int, ...] | None,
    path: PathLike,
    a_max: int = 64,
    *,
    feature_names: Sequence[str] = (),
) -> None:
    """Draw the incoming weights of the a_max units of largest norm, on one scale symmetric about 0.

    Args:
        W: weights, (I, J).
        image_shape: (height, width) draws each unit as an image, (height, width, 3) as a colour
            image with middle grey for weight 0; None draws a heat map of features by units.
        path: PNG file to write.
        a_max: number of units to draw.
        feature_names: labels of the heat map.

    Raises:
        InputError: if the product of image_shape is not I.
    """
    weights = np.asarray(W, np.float64)
    n_features, n_units = weights.shape
    if image_shape is not None and math.prod(image_shape) != n_features:
        raise InputError(f"{n_features} features do not form an image of shape {image_shape}.")
    norms = np.linalg.norm(np.nan_to_num(weights), axis=0)
    shown = weights[:, np.argsort(-norms, kind="stable")[:a_max]]
    if image_shape is None:
        figure, axes = _feature_map(shown, feature_names)
    else:
        tiles = _mosaic(shown.T.reshape(-1, *image_shape))
        width = 6.4
        figure = new_figure(
            width + 0.9, np.clip(width * tiles.shape[0] / tiles.shape[1], 2, 12) + 0.4
        )
        axes = figure.add_subplot()
        _weight_image(figure, axes, tiles, shown, aspect="equal")
        axes.axis("off")
    n_shown = shown.shape[1]
    which = f"all {n_units} units" if n_shown == n_units else f"{n_shown} of {n_units} units"
    if n_units == 1:
        which = "one unit"
    order = ", largest norm first" if n_units > 1 else ""
    axes.set_title(f"Weights of the first layer: {which}{order}")
    save(figure, path)


def regression_scatter(
    targets: Float[np.ndarray, "N ..."], predictions: Float[np.ndarray, "N ..."], path: PathLike
) -> None:
    """Draw predictions (N, C) over true values (N, C) with the diagonal; (N,) is read as (N, 1).

    At most 5000 evenly spaced points are drawn.
    """
    y, s = (np.asarray(values, np.float64) for values in (targets, predictions))
    y, s = (values[:, None] if values.ndim == 1 else values for values in (y, s))
    finite = (np.isfinite(y) & np.isfinite(s)).all(axis=1)
    y, s = y[finite], s[finite]
    total, outputs = y.shape
    rows = np.unique(np.linspace(0, max(total - 1, 0), min(total, _MOST_POINTS)).astype(int))
    figure = new_figure(5.2, 5.2)
    axes = figure.add_subplot()
    low, high = _limits(np.concatenate([y[rows].ravel(), s[rows].ravel()]))
    axes.plot([low, high], [low, high], color=INK, linewidth=1.2, linestyle=(0, (4, 3)), zorder=3)
    alpha = float(np.clip(30 / math.sqrt(max(len(rows) * outputs, 1)), 0.25, 0.8))
    for c in range(outputs):
        color = _OUTPUTS[c % len(_OUTPUTS)]
        axes.scatter(
            y[rows, c],
            s[rows, c],
            s=10,
            color=color,
            alpha=alpha,
            linewidths=0,
            label=f"output {c}",
        )
    if 1 < outputs <= len(_OUTPUTS):
        axes.legend(frameon=False, markerscale=2)
    axes.set(xlim=(low, high), ylim=(low, high), aspect="equal", xlabel="true", ylabel="predicted")
    n_shown = f"{total:,}" if len(rows) == total else f"{len(rows):,} of {total:,}"
    axes.set_title(f"Predicted and true values, {n_shown} examples")
    plain_frame(axes)
    save(figure, path)


def _number(value: float | None) -> float:
    return float("nan") if value is None else float(value)


def _first_metric(history: Sequence[Mapping[str, float | None]]) -> str | None:
    for record in history:
        for prefix in ("validation_", "train_"):
            for key in record:
                if key.startswith(prefix) and key != f"{prefix}loss":
                    return key.removeprefix(prefix)
    return None


def _is_known(metric: str) -> bool:
    try:
        higher_is_better(metric)
    except UnknownNameError:
        return False
    return True


def _best_epoch(epochs: np.ndarray, values: np.ndarray, higher: bool) -> int | None:
    finite = np.flatnonzero(np.isfinite(values))
    if not finite.size:
        return None
    seen = values[finite]
    return int(epochs[finite[seen.argmax() if higher else seen.argmin()]])


def _curve(axes: "Axes", epochs: np.ndarray, values: np.ndarray, label: str, color: str) -> None:
    finite = np.isfinite(values)
    if finite.any():
        marker = "o" if finite.sum() <= 25 else ""
        shown = np.where(finite, values, np.nan)
        axes.plot(epochs, shown, color=color, label=label, marker=marker, markersize=3.5)


def _mark_best(axes: "Axes", epochs: np.ndarray, values: np.ndarray, best: int | None) -> None:
    at = np.flatnonzero(epochs == best)
    if best is None or not at.size or not np.isfinite(values[at[0]]):
        return
    value = values[at[0]]
    label = f"best: epoch {best}, {value:.4g}"
    axes.axvline(best, color=PALE, linewidth=1, zorder=0)
    axes.plot(
        [best], [value], "o", markersize=8, color=FRAME, fillstyle="none", label=label, zorder=4
    )


def _title(name: str) -> str:
    return name.replace("_", " ")


def _share_image(axes: "Axes", shares: np.ndarray) -> Any:
    """Draw shares as colours; the square-root scale makes rare confusions visible."""
    from matplotlib.colors import PowerNorm

    return axes.imshow(shares, cmap="Blues", norm=PowerNorm(0.5, vmin=0, vmax=1))


def _write_counts(axes: "Axes", counts: np.ndarray, shares: np.ndarray) -> None:
    longest = len(str(counts.max()))
    size = float(np.clip(40 / max(longest, 3), 6, 9.5)) if len(counts) > 4 else 11
    for row, column in zip(*counts.nonzero(), strict=True):
        color = "white" if shares[row, column] > 0.3 else INK
        text = str(counts[row, column])
        axes.text(column, row, text, ha="center", va="center", color=color, fontsize=size)


def _name_classes(axes: "Axes", classes: Sequence[str]) -> None:
    n = len(classes)
    ticks = range(0, n, -(-n // _MOST_NAMES))
    names = [shortened(classes[tick]) for tick in ticks]
    size = 9.5 if n <= _MOST_COUNTS else 7
    slanted = max(map(len, names), default=0) > 3
    axes.set_yticks(ticks, names, fontsize=size, parse_math=False)
    axes.set_xticks(
        ticks,
        names,
        fontsize=size,
        parse_math=False,
        rotation=45 if slanted else 0,
        ha="right" if slanted else "center",
        rotation_mode="anchor",
    )
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    if n <= _MOST_COUNTS:
        edges = np.arange(n - 1) + 0.5
        axes.hlines(edges, -0.5, n - 0.5, color="white", linewidth=1)
        axes.vlines(edges, -0.5, n - 0.5, color="white", linewidth=1)


def _mosaic(tiles: np.ndarray) -> np.ndarray:
    """Arrange images (J, H, W) or (J, H, W, 3) in a square-like grid, with NaN between them."""
    n, height, width, *channels = tiles.shape
    columns = max(1, min(n, round(math.sqrt(n * height / width))))
    rows = -(-n // columns)
    gap = 1
    size = (rows * (height + gap) - gap, columns * (width + gap) - gap)
    grid = np.full((*size, *channels), np.nan)
    for i, tile in enumerate(tiles):
        top, left = i // columns * (height + gap), i % columns * (width + gap)
        grid[top : top + height, left : left + width] = tile
    return grid


def _weight_image(
    figure: "Figure",
    axes: "Axes",
    image: np.ndarray,
    weights: np.ndarray,
    *,
    aspect: Literal["equal", "auto"],
) -> None:
    """Draw an image, with a colour bar unless it is an RGB image.

    For many weights the scale ends at the 99.5th percentile.
    """
    sizes = np.abs(weights[np.isfinite(weights)])
    share = 0.995 if sizes.size >= _MANY_WEIGHTS else 1.0
    limit = float(np.quantile(sizes, share) or sizes.max()) if sizes.size else 0.0
    limit = limit or 1.0
    if image.ndim == 3:
        colors = np.nan_to_num(np.clip(0.5 + image / (2 * limit), 0, 1), nan=1.0)
        axes.imshow(colors, aspect=aspect, interpolation="nearest")
        return
    drawn = axes.imshow(
        image, cmap="RdBu_r", vmin=-limit, vmax=limit, aspect=aspect, interpolation="nearest"
    )
    ends = "both" if sizes.size and sizes.max() > limit else "neither"
    bar = figure.colorbar(drawn, ax=axes, shrink=0.8, pad=0.02, extend=ends)
    bar.set_label("weight")
    bar.outline.set_visible(False)


def _feature_map(weights: np.ndarray, feature_names: Sequence[str]) -> tuple["Figure", "Axes"]:
    n_features, n_units = weights.shape
    height = float(np.clip(1.4 + 0.24 * n_features, 2.8, 9))
    figure = new_figure(float(np.clip(3 + 0.11 * n_units, 4.8, 9)), height)
    axes = figure.add_subplot()
    _weight_image(figure, axes, weights, weights, aspect="auto")
    axes.set(xlabel="unit, by norm", ylabel="feature")
    axes.set_xticks([0, n_units - 1] if n_units > 1 else [0])
    axes.set_xticklabels(["1", str(n_units)] if n_units > 1 else ["1"])
    if len(feature_names) == n_features <= _MOST_NAMES:
        names = [shortened(name) for name in feature_names]
        axes.set_yticks(range(n_features), names, fontsize=8, parse_math=False)
        axes.set_ylabel("")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return figure, axes


def _limits(values: np.ndarray) -> tuple[float, float]:
    """Return a non-empty interval around all values, 4 % wider on each side."""
    if not values.size:
        return 0.0, 1.0
    low, high = float(values.min()), float(values.max())
    margin = 0.04 * (high - low) or 0.5 * abs(high) or 0.5
    return low - margin, high + margin
