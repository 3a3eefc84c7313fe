"""Run folders and their files, written by hand."""

import json
from pathlib import Path

CONFIG = """data = "digits"
hidden = [8, 8]
activation = "relu"
dropout = 0.0
epochs = 3
seed = 0
"""


def proof_row(layer="0 Dense(8, relu)", equation="∇W = a ∇zᵀ", witness="local", **other):
    row = {
        "layer": layer, "equation": equation, "witness": witness, "mode": "training",
        "dtype": "float64", "error": 1e-16, "ours": 1.0, "expected": 1.0, "bound": 1e-12,
        "ok": True,
    }  # fmt: skip
    return row | other


def write_run(
    parent: Path, name="a", *, config=CONFIG, history=None, facts=None, test=None, rows=None
) -> Path:
    """A finished run of three epochs unless told; an empty record leaves its file out."""
    folder = parent / name
    folder.mkdir()
    (folder / "config.toml").write_text(config)
    rows = [proof_row(), proof_row(witness="whole")] if rows is None else rows
    proof = {"ok": all(row["ok"] for row in rows), "seconds": 0.5, "rows": rows}
    (folder / "check.json").write_text(json.dumps(proof))
    if history is None:
        history = [
            {
                "epoch": e, "step": 10 * e, "train_loss": 1 / e, "validation_loss": 1.2 / e,
                "validation_accuracy": [0.5, 0.9, 0.8][e - 1],
            }
            for e in (1, 2, 3)
        ]  # fmt: skip
    lines = "".join(json.dumps(record) + "\n" for record in history)
    (folder / "metrics.jsonl").write_text(lines)
    times = [
        {"epoch": e, "seconds": 2.0, "samples_per_second": 100.0 * e}
        for e in range(1, len(history) + 1)
    ]
    (folder / "timing.jsonl").write_text("".join(json.dumps(t) + "\n" for t in times))
    if facts is None:
        facts = {
            "data": "digits", "widths": [64, 8, 8, 10], "task": "classification",
            "monitor": "accuracy", "started": "2026-01-02T03:04:05+00:00",
            "finished": "2026-01-02T03:05:10+00:00",
        }  # fmt: skip
    if facts:
        (folder / "run.json").write_text(json.dumps(facts))
    test = {"loss": 0.3, "accuracy": 0.85} if test is None else test
    if test:
        (folder / "test.json").write_text(json.dumps(test))
    return folder
