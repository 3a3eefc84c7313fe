"""How many steps K-FAC takes to the training loss that Adam has after 20 epochs, and how long.

Fashion-MNIST, 784-512-512-10 with ReLU, batch 512, float32, constant learning rates. Adam runs 20
epochs at each of five rates; the goal is its lowest loss at the end. K-FAC runs 7 epochs, a third
of them rounded up, at five rates of its own. The loss is that of all 60000 training rows, in
inference, at the end of each epoch. A call carries out the runs that it is asked for and adds them
to the file; seconds a step are measured apart, an epoch of one and an epoch of the other in turn:

    python benchmarks/kfac_steps.py adam 2.5e-4 5e-4 1e-3 --json benchmarks/results/kfac_steps.json
    python benchmarks/kfac_steps.py --rounds 7 --json benchmarks/results/kfac_steps.json
    python benchmarks/kfac_steps.py --picture benchmarks/results/kfac_steps.png --json …
"""

import argparse
import importlib
import json
import os
from pathlib import Path
from typing import Any

import jax

from mlp_jax.backprop import mlp
from mlp_jax.bench.machine import describe, machine_title, median_and_quartiles
from mlp_jax.bench.results import check_places, write_result
from mlp_jax.charts.figures import PALE, new_figure, plain_frame, row_of_axes, save
from mlp_jax.data import load
from mlp_jax.proof import Report
from mlp_jax.training import Optimizer, fit
from mlp_jax.training.callbacks import EpochEnd

EPOCHS = {"adam": 20, "kfac": 7}
COLORS = {"adam": "#D55E00", "kfac": "#0072B2"}
NAMES = {"adam": "Adam", "kfac": "K-FAC"}
FACTS = {
    "command": "python benchmarks/kfac_steps.py OPTIMIZER RATE … --json FILE",
    "what": "784-512-512-10, ReLU, batch 512, float32, constant rates, one seed",
    "loss": "of all training rows, in inference, at the end of each epoch",
    "goal": "K-FAC has the loss of Adam's best rate after 20 epochs in a third of the steps",
}


def train(name: str, rate: float, epochs: int, *, judged: bool) -> list[EpochEnd]:
    """The ends of the epochs of one training; judged: with the loss of all training rows."""
    rows, ends = load("fashion_mnist").train, []
    fit(
        mlp([512, 512], 10),
        "softmax_cross_entropy",
        Optimizer(name, rate),
        rows,
        epochs=epochs,
        batch_size=512,
        validation=rows if judged else None,
        metrics=(),
        callbacks=[lambda end: ends.append(end._replace(state=None))],
    )
    return ends


def run(name: str, rate: float) -> dict[str, Any]:
    """The steps and the loss of one training at the end of each epoch."""
    ends = train(name, rate, EPOCHS[name], judged=True)
    curve = [{"step": e.metrics["step"], "loss": e.metrics["validation_loss"]} for e in ends]
    print(f"{name} {rate:g}: {[round(point['loss'], 4) for point in curve]}", flush=True)
    return {"optimizer": name, "rate": rate, "curve": curve}


def seconds_a_step(rounds: int) -> dict[str, Any]:
    """Milliseconds a step of each, an epoch in turn after one that compiles, and their ratio."""
    found: dict[str, list[float]] = {name: [] for name in EPOCHS}
    for _ in range(rounds):
        for name, times in found.items():
            last = train(name, 1e-3, 2, judged=False)[-1]
            times.append(2 * last.seconds / last.metrics["step"])
    ratios = [k / a for k, a in zip(found["kfac"], found["adam"], strict=True)]
    milliseconds = {
        name: median_and_quartiles([1e3 * t for t in times]) for name, times in found.items()
    }
    return {
        "rounds": rounds,
        "load_after": os.getloadavg()[0],
        "milliseconds": milliseconds,
        "ratio": median_and_quartiles(ratios),
    }


def summary(record: dict[str, Any]) -> dict[str, Any]:
    """Adam's best loss at the end, and when each K-FAC run had it."""
    adam = [r for r in record["runs"] if r["optimizer"] == "adam"]
    if not adam:
        return {}
    best = min(adam, key=lambda r: r["curve"][-1]["loss"])
    goal = best["curve"][-1]
    reached = {}
    for other in (r for r in record["runs"] if r["optimizer"] == "kfac"):
        there = next((p for p in other["curve"] if p["loss"] <= goal["loss"]), None)
        told: dict[str, Any] = {} if there is None else dict(there)
        if there is not None:
            told["share_of_steps"] = there["step"] / goal["step"]
            if "time" in record:
                ratio = record["time"]["ratio"]["median"]
                told["share_of_time"] = told["share_of_steps"] * ratio
        reached[f"{other['rate']:g}"] = told or "not reached"
    return {"adam_best_rate": best["rate"], "adam_best": goal, "kfac_reaches_it": reached}


def draw(record: dict[str, Any], path: Path) -> None:
    """The loss over steps and over seconds; the best of each optimizer strong."""
    figure = new_figure(10.4, 4.2)
    axes_row = row_of_axes(figure, 2)
    milliseconds = record["time"]["milliseconds"]
    for axes, scale in zip(axes_row, ("steps of 512 examples", "seconds of training"), strict=True):
        axes.axhline(record["summary"]["adam_best"]["loss"], color="#000000", lw=0.9, ls="--")
        for name in EPOCHS:
            unit = 1.0 if scale.startswith("steps") else milliseconds[name]["median"] / 1e3
            _curves(axes, [r for r in record["runs"] if r["optimizer"] == name], name, unit)
        axes.set(xlabel=scale, yscale="log")
        axes.grid(axis="y", which="both", color=PALE, linewidth=0.6)
        plain_frame(axes)
    axes_row[0].set_ylabel("training loss (cross-entropy in nats)")
    axes_row[1].legend(frameon=False, fontsize=8, loc="upper right")
    title = "dashed: Adam's best after 20 epochs; faint: the other rates of each grid"
    figure.suptitle(f"{title}\n{machine_title(record['machine'])}", fontsize=9)
    save(figure, path)


def _curves(axes: Any, runs: list[dict[str, Any]], name: str, unit: float) -> None:
    best = min(runs, key=lambda r: r["curve"][-1]["loss"])
    for each in runs:
        x, y = zip(*((unit * p["step"], p["loss"]) for p in each["curve"]), strict=True)
        if each is best:
            label = f"{NAMES[name]}, rate {each['rate']:g}"
            marker = "os"[name == "kfac"]
            axes.plot(x, y, color=COLORS[name], lw=2, marker=marker, ms=3.5, label=label)
        else:
            axes.plot(x, y, color=COLORS[name], lw=0.7, alpha=0.5)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("optimizer", nargs="?", choices=tuple(EPOCHS))
    parser.add_argument("rates", nargs="*", type=float)
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--picture", type=Path)
    options = parser.parse_args()
    check_places(options.json, None if options.picture is None else options.picture.parent)
    importlib.import_module("mlp_jax.training.plan").check_gradients = lambda *_, **__: Report(())
    old = json.loads(options.json.read_text()) if options.json.exists() else {"runs": []}
    record = FACTS | {"machine": describe(jax.devices()[0])} | {"runs": old["runs"]}
    record |= {"time": old["time"]} if "time" in old else {}
    for rate in options.rates:
        others = [
            r for r in record["runs"] if (r["optimizer"], r["rate"]) != (options.optimizer, rate)
        ]
        record["runs"] = [*others, run(options.optimizer, rate)]
    if options.rounds:
        record["time"] = seconds_a_step(options.rounds)
    record["runs"].sort(key=lambda r: (r["optimizer"], r["rate"]))
    record["summary"] = summary(record)
    write_result(options.json, record)
    print(json.dumps(record["summary"], indent=1), json.dumps(record.get("time"), indent=1))
    if options.picture is not None:
        draw(record, options.picture)


if __name__ == "__main__":
    main()
