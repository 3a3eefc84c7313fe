"""Turns a tenth of the labels of Fashion-MNIST wrong, trains on them, and finds the wrong ones.

    python scripts/find_flipped_labels.py
    python scripts/find_flipped_labels.py --data digits --share 0.05 --seeds 0 1 2 \
        --json found.json --picture found.png

A flipped label is one of the other classes, each as likely. The network is small, with dropout, and
stops where its validation rows, flipped like the others, are predicted best: it must not learn the
wrong labels by heart. Training rows are then ranked as `mlp-jax inspect` does, by loss, by the norm
of their gradient and by influence on validation rows; what is told is the share of the flipped ones
among the first 15 %. A guess finds 15 %.
"""

import argparse
import time
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from mlp_jax import Optimizer, fit, get_loss, mlp
from mlp_jax.bench.machine import describe, median_and_quartiles
from mlp_jax.bench.results import check_places
from mlp_jax.data import Dataset, fit_scaling, load
from mlp_jax.data.splits import TRAIN, VALIDATION, part_of_rows
from mlp_jax.files import write_json_atomic
from mlp_jax.model.examples import (
    RANKINGS,
    Examples,
    TrainedNetwork,
    examine,
    reference_of,
    suspects_first,
)

TOP, VALIDATION_SHARE = 0.15, 0.1
FLIPS = 1  # the stream of random numbers that flips; splits and training draw from others


class Search(NamedTuple):
    """One seed: the data with wrong labels, which training rows have one, and what was found."""

    dataset: Dataset
    y: np.ndarray
    rows: np.ndarray
    flipped: np.ndarray
    examples: Examples
    test_accuracy: float | None
    epoch: int


def flipped_labels(y: np.ndarray, n_classes: int, share: float, seed: int) -> np.ndarray:
    """The labels with that share of them, drawn at random, changed to another class."""
    rng = np.random.default_rng([seed, FLIPS])
    chosen = rng.permutation(len(y))[: round(share * len(y))]
    changed = y.copy()
    changed[chosen] = (y[chosen] + rng.integers(1, n_classes, len(chosen))) % n_classes
    return changed


def search(dataset: Dataset, share: float, seed: int, epochs: int) -> Search:
    """Flips, trains, and looks at the training rows."""
    x, classes = dataset.train.x, len(dataset.classes)
    y = flipped_labels(dataset.train.y, classes, share, seed)
    part = part_of_rows(len(y), y, test=None, validation=VALIDATION_SHARE, seed=seed)
    train, held_out = part == TRAIN, part == VALIDATION
    scaling = fit_scaling(x[train], pixels=dataset.image_shape is not None)
    fitted = fit(
        mlp([256, 256], classes, dropout=0.2),
        get_loss("softmax_cross_entropy"),
        Optimizer("adamw", 2e-3, schedule="one-cycle"),
        (x[train], y[train]),
        validation=(x[held_out], y[held_out]),
        epochs=epochs,
        batch_size=min(256, int(train.sum())),
        seed=seed,
        scaling=scaling,
        select="best",
    )
    trained = TrainedNetwork(
        fitted.network, fitted.loss, fitted.params, fitted.layer_state, scaling
    )
    reference = reference_of(trained, x[held_out], y[held_out])
    found = examine(trained, x[train], y[train], reference)
    tested = None
    if dataset.test is not None:
        tested = fitted.evaluate(dataset.test, ["accuracy"])[0]["accuracy"]
    wrong = y[train] != dataset.train.y[train]
    return Search(dataset, y, np.flatnonzero(train), wrong, found, tested, fitted.best_epoch)


def found_share(one: Search, by: str, top: float = TOP) -> float:
    """The share of the flipped labels that is among the first `top` of a ranking."""
    first = suspects_first(one.examples, by)[: int(top * len(one.rows))]
    return float(one.flipped[first].sum() / one.flipped.sum())


def draw(one: Search, path: Path) -> None:
    """The share found over the share of rows looked at, and the first suspects of the loss."""
    from mlp_jax.charts.figures import PALE, new_figure, plain_frame, save

    figure = new_figure(10.4, 3.9)
    curves, gallery = figure.subfigures(1, 2, width_ratios=(1, 1.25))
    axes = curves.subplots()
    looked_at = np.arange(1, len(one.rows) + 1) / len(one.rows)
    colors = dict(zip(RANKINGS, ("#3b6ea8", "#d1651f", "#3f8f5b"), strict=True))
    for by in RANKINGS:
        order = suspects_first(one.examples, by)
        share = np.cumsum(one.flipped[order]) / one.flipped.sum()
        label = f"by {by.replace('_', ' ')}: {found_share(one, by):.1%}"
        axes.plot(100 * looked_at, 100 * share, color=colors[by], label=label)
    axes.axvline(100 * TOP, color="#2b2b2b", linewidth=1, linestyle=(0, (4, 3)))
    axes.set(xlim=(0, 50), ylim=(0, 101))
    axes.set(xlabel="rows looked at, the most suspicious first (%)")
    axes.set(ylabel="flipped labels among them (%)")
    axes.legend(frameon=False, fontsize=9, loc="lower right", title=f"found in the top {TOP:.0%}")
    axes.grid(axis="y", color=PALE, linewidth=0.6)
    plain_frame(axes)
    if one.dataset.image_shape is not None:
        _draw_first(one, gallery)
    save(figure, path)


def _draw_first(one: Search, gallery) -> None:
    """The first suspects by loss: the label that they have, and the one that they had."""
    names = one.dataset.classes
    first = suspects_first(one.examples, "loss")[:15]
    gallery.suptitle("highest loss: given label, and the true one", fontsize=10)
    for axes, place in zip(gallery.subplots(3, 5).ravel(), first, strict=True):
        row = one.rows[place]
        axes.imshow(one.dataset.train.x[row].reshape(one.dataset.image_shape), cmap="gray_r")
        axes.set(xticks=[], yticks=[])
        given, true = names[one.y[row]], names[one.dataset.train.y[row]]
        text = f"{given}\n({true})" if one.flipped[place] else f"{given}\n(as it was)"
        axes.set_xlabel(text, fontsize=7.5, labelpad=2)
        axes.spines[:].set_color("#d1651f" if one.flipped[place] else "#4a4a4a")


def told(one: Search, seconds: float, seed: int) -> dict:
    """A seed's figures."""
    found = {by: found_share(one, by) for by in RANKINGS}
    text = ", ".join(f"{by.replace('_', ' ')} {share:.1%}" for by, share in found.items())
    said = "" if one.test_accuracy is None else f"; test accuracy {one.test_accuracy:.4f}"
    print(
        f"seed {seed}: of {one.flipped.sum()} flipped labels in {len(one.rows)} training rows the"
        f" first {TOP:.0%} hold by {text} (epoch {one.epoch}{said}; {seconds:.0f} s)",
        flush=True,
    )
    figures = {"test_accuracy": one.test_accuracy, "epoch": one.epoch}
    return {"seed": seed, "flipped": int(one.flipped.sum()), "found": found, **figures}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", default="fashion_mnist", help="fashion_mnist, digits, mnist, …")
    parser.add_argument("--share", type=float, default=0.1, help="of the labels that is flipped")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--picture", type=Path, help="of the first seed")
    options = parser.parse_args()
    if not 0 < options.share < 1:
        parser.error(f"--share lies between 0 and 1, not {options.share}")
    check_places(options.json, None)
    dataset = load(options.data)
    if not isinstance(dataset, Dataset) or not dataset.is_classification:
        parser.error(f"'{options.data}' has no labels beside arrays to flip")
    records = []
    for seed in options.seeds:
        began = time.perf_counter()
        one = search(dataset, options.share, seed, options.epochs)
        seconds = time.perf_counter() - began
        records.append(told(one, seconds, seed) | {"seconds": round(seconds, 1)})
        if options.picture and seed == options.seeds[0]:
            draw(one, options.picture)
    spread = {by: [record["found"][by] for record in records] for by in RANKINGS}
    summary = {
        by: median_and_quartiles(v) | {"least": min(v), "most": max(v)} for by, v in spread.items()
    }
    for by, of in summary.items():
        name = by.replace("_", " ")
        print(f"{name}: {of['median']:.1%} found ({of['least']:.1%} to {of['most']:.1%})")
    if options.json:
        seeds = " ".join(map(str, options.seeds))
        asked = f"--data {options.data} --share {options.share:g} --epochs {options.epochs}"
        command = f"python scripts/find_flipped_labels.py {asked} --seeds {seeds}"
        record = {
            "command": command,
            "machine": describe(jax.devices()[0]),
            "repeats": len(records),
            "spread": "median, quartiles, least and most over the seeds",
            "what": f"{options.data}, {options.share:.0%} of the labels flipped, 256-256",
            "goal": f"0.8 of the flipped labels in the top {TOP:.0%}",
            "found": summary,
            "seeds": records,
        }
        write_json_atomic(options.json, record)


if __name__ == "__main__":
    main()
