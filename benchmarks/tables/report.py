"""Tables, JSON and picture of the benchmark's results."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tables.score import floored, mean_ranks, relative

Results = Mapping[str, Mapping[str, Any]]


def errors(results: Results, contenders: Sequence[str], key: str = "error") -> np.ndarray:
    """Return the errors (sets, contenders) to rank; NaN where a contender has none."""
    rows = []
    for about in results.values():
        found = [about["found"][name].get(key, np.nan) for name in contenders]
        if key == "error":
            found = [floored(value, about["test"], about["task"]) for value in found]
        rows.append(found)
    return np.asarray(rows, float)


def summary(results: Results, contenders: Sequence[str]) -> list[dict[str, Any]]:
    """Return for each contender its mean rank, relative error, seconds, and number of sets.

    Ranks and means are over the sets on which every contender finished.
    """
    found, seconds = errors(results, contenders), errors(results, contenders, "seconds")
    losses = errors(results, contenders, "log_loss")
    whole = np.isfinite(found).all(axis=1)
    classes = whole & np.isfinite(losses).all(axis=1)
    ranks, ratio = mean_ranks(found[whole]), relative(found[whole])
    loss = relative(losses[classes]) if classes.any() else np.full(len(contenders), np.nan)
    return [
        {
            "contender": name,
            "sets": int(np.isfinite(found[:, k]).sum()),
            "mean_rank": float(ranks[k]),
            "relative_error": float(ratio[k]),
            "relative_log_loss": float(loss[k]),
            "seconds_mean": float(np.nanmean(seconds[:, k])),
            "seconds_median": float(np.nanmedian(seconds[:, k])),
        }
        for k, name in enumerate(contenders)
    ]


def markdown(results: Results, contenders: Sequence[str]) -> str:
    """Return the two tables: the contenders over all sets, and the errors set by set."""
    names = ("contender", "mean rank", "error / best", "log-loss / best", "seconds, median",
             "seconds, mean", "sets")  # fmt: skip
    lines = ["| " + " | ".join(names) + " |", "|---" * len(names) + "|"]
    for row in sorted(summary(results, contenders), key=lambda row: row["mean_rank"]):
        lines.append(
            f"| {row['contender']} | {row['mean_rank']:.2f} | {row['relative_error']:.3f} | "
            f"{_shown(row['relative_log_loss'])} | {row['seconds_median']:.1f} | "
            f"{row['seconds_mean']:.1f} | {row['sets']} |"
        )
    lines += ["", "1 − accuracy, or R² where marked:", ""]
    lines += ["| set | rows | columns | " + " | ".join(contenders) + " |"]
    lines += ["|---" * (3 + len(contenders)) + "|"]
    for name, about in results.items():
        key = "r2" if about["task"] == "regression" else "error"
        values = [about["found"][c].get(key) for c in contenders]
        known = [v for v in values if v is not None]
        best = (max if key == "r2" else min)(known) if known else None
        shown = ["–" if v is None else f"**{v:.4f}**" if v == best else f"{v:.4f}" for v in values]
        label = f"{name}, R²" if key == "r2" else name
        lines.append(f"| {label} | {about['train'] + about['test']:,} | {about['columns']} | "
                     + " | ".join(shown) + " |")  # fmt: skip
    return "\n".join(lines)


def _shown(value: float) -> str:
    """Return a dash for a figure that no set has."""
    return f"{value:.3f}" if np.isfinite(value) else "–"


def print_tables(results: Results, contenders: Sequence[str]) -> None:
    """Print both tables."""
    print(markdown(results, contenders))


def write_results(path: Path, results: Results, contenders: Sequence[str], command: str) -> None:
    """Write the figures as JSON, the tables as Markdown and error against time as a picture."""
    from mlp_jax.bench.machine import describe
    from mlp_jax.bench.results import write_result

    rows = summary(results, contenders)
    record = {"command": command, "machine": describe(), "contenders": rows, "sets": dict(results)}
    write_result(path, record)
    path.with_suffix(".md").write_text(markdown(results, contenders) + "\n")
    draw(path.with_suffix(".png"), rows)


def draw(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Draw the relative error of each contender against its median seconds."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    for row in rows:
        ours = row["contender"].startswith("mlp-jax")
        place = (row["seconds_median"], row["relative_error"])
        axes.plot(*place, "o", color="tab:red" if ours else "tab:gray")
        axes.annotate(row["contender"], place, xytext=(5, 4), textcoords="offset points")
    axes.set(xscale="log", xlabel="seconds of the whole process, median over sets",
             ylabel="error relative to the best, geometric mean")  # fmt: skip
    axes.grid(alpha=0.3)
    figure.savefig(path, dpi=150)
