"""Inspect a model on its run's rows or on others, and write the findings."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mlp_jax.data.encoding import ArrayEncoding, TableEncoding
from mlp_jax.errors import InputError, RunFolderError, UnknownNameError
from mlp_jax.files import as_run_folder_error, write_json_atomic
from mlp_jax.model.examples import RANKINGS, Reference, suspects_first
from mlp_jax.model.model_folder import load_model
from mlp_jax.model.saved import Model
from mlp_jax.reports.inspect.findings import Findings, find, trained_of, write_csv
from mlp_jax.reports.inspect.layers import NetworkDiagnostics, diagnose_layers
from mlp_jax.reports.inspect.pictures import SUSPECTS, draw_distribution, draw_suspects
from mlp_jax.reports.inspect.rows import GIVEN, Inspected, rows_given, rows_of_run
from mlp_jax.reports.inspect.terminal import layers_table, suspects_table

DEFAULT = "inspect"
CSV, FACTS, DISTRIBUTION, GALLERY = (
    "inspect.csv", "inspect.json", "distribution.png", "suspects.png",
)  # fmt: skip
TEXT_FILES = (".csv", ".tsv", ".csv.gz", ".tsv.gz")


@dataclass(frozen=True)
class Wanted:
    """Options of an inspection.

    data: rows with targets; None for the run's own, of these parts.  by: the main ranking in files,
    pictures and text.  top: number of rows to print.
    """

    data: str | None = None
    targets: Sequence[str] = ()
    parts: Sequence[str] = ("train",)
    by: str = "loss"
    top: int = 20
    data_dir: Path | None = None


def inspect_model(
    path: Path, wanted: Wanted, out: Path | None = None, say: Callable[[str], None] = print
) -> Path:
    """Inspect a run, or a model without one, print the findings, and return the folder of files.

    out: their folder; None is inspect/ in the run. Errors are raised before anything is written.
    """
    if wanted.by not in RANKINGS:
        raise UnknownNameError("ranking", wanted.by, RANKINGS)
    if wanted.top < 1:
        raise InputError(f"The number of rows to show must be at least 1, not {wanted.top}.")
    folder = path / DEFAULT if out is None else out
    if folder.exists() and not folder.is_dir():
        raise RunFolderError(f"Cannot write into {folder}: it is a file; name a folder.")
    model = load_model(path)
    if wanted.data is None:
        inspected = rows_of_run(path, model, wanted.parts, wanted.data_dir)
    else:
        inspected = rows_given(model, wanted.data, wanted.targets, wanted.data_dir)
    findings, reference = find(model, inspected)
    first = inspected.parts[0]
    diagnostics = diagnose_layers(trained_of(model), first.x, model.coded_targets(first.y))
    for text in (
        _headline(inspected, findings, reference),
        layers_table(diagnostics),
        _summary(model, inspected, findings, wanted.by, wanted.top),
        suspects_table(findings, wanted.by, wanted.top),
    ):
        say(text + "\n")
    with as_run_folder_error("make the folder", folder):
        folder.mkdir(parents=True, exist_ok=True)
    _write(folder, model, inspected, findings, reference, diagnostics, wanted)
    return folder


def _write(
    folder: Path,
    model: Model,
    inspected: Inspected,
    findings: Findings,
    reference: Reference,
    diagnostics: NetworkDiagnostics,
    wanted: Wanted,
) -> None:
    write_csv(folder / CSV, findings, wanted.by)
    draw_distribution(findings, _loss_in_words(model), folder / DISTRIBUTION)
    if isinstance(model.inputs, ArrayEncoding) and model.inputs.image_shape:
        draw_suspects(findings, wanted.by, model.inputs.image_shape, folder / GALLERY)
    facts = _facts(model, inspected, findings, reference, diagnostics, wanted)
    write_json_atomic(folder / FACTS, facts)


def _facts(
    model: Model,
    inspected: Inspected,
    findings: Findings,
    reference: Reference,
    diagnostics: NetworkDiagnostics,
    wanted: Wanted,
) -> dict[str, Any]:
    """Return the findings as a record."""
    quantiles = (0.0, 0.25, 0.5, 0.75, 0.95, 1.0)
    measures = findings.examples._asdict()
    return {
        "data": inspected.data,
        "network": str(model.network),
        "loss": str(model.loss),
        "task": model.target.task,
        "rows": {part.name: len(part.x) for part in inspected.parts},
        "network_says_otherwise": int(findings.wrong.sum()),
        "ranked_by": wanted.by,
        "influence_on": {
            "part": "the other rows" if inspected.reference is None else inspected.reference.name,
            "rows": reference.n_rows,
            "all_count": reference.all_count,
        },
        "quantiles": {
            name: {f"{q:g}": float(v) for q, v in zip(quantiles, values, strict=True)}
            for name in RANKINGS
            for values in [np.quantile(measures[name].astype(np.float64), quantiles)]
        },
        "layers": [asdict(layer) for layer in diagnostics.layers],
        "layers_rows": diagnostics.n_rows,
        "gradient_noise_scale": diagnostics.noise_scale,
        "suspects": {
            by: findings.frame(suspects_first(findings.examples, by)[:SUSPECTS]).to_dicts()
            for by in RANKINGS
        },
    }


def _loss_in_words(model: Model) -> str:
    """Format the loss with its unit."""
    name = str(model.loss).replace("_", " ")
    if model.loss.name.endswith("cross_entropy"):
        return f"{name}, nats"
    return f"{name} of standardized targets" if model.target.scale else name


def _headline(inspected: Inspected, findings: Findings, reference: Reference) -> str:
    """Describe the inspected rows and the reference for influence."""
    names = {"train": "training rows", GIVEN: "rows"}
    parts = ", ".join(
        f"{len(part.x):,} {names.get(part.name, f'{part.name} rows')}" for part in inspected.parts
    )
    named = inspected.reference
    where = "other rows" if named is None else f"{named.name} rows"
    which = "" if reference.all_count or not findings.labelled else " with correct predictions"
    return f"{inspected.data}: {parts}; influence on {reference.n_rows:,} {where}{which}"


def _first_line(model: Model, path: Path) -> int:
    """Return the line of a text file that contains row 0."""
    header = not isinstance(model.inputs, TableEncoding) or model.inputs.header
    if not path.is_file():  # a file of the web
        return 1 + header
    from mlp_jax.data.tables.delimited import read_format

    return read_format(path, None, header).line


def _summary(model: Model, inspected: Inspected, findings: Findings, by: str, top: int) -> str:
    """Describe the number of suspect labels and the numbering of rows in the table below."""
    lines = []
    if findings.labelled:
        wrong = int(findings.wrong.sum())
        lines.append(
            f"The prediction differs from the label in {wrong:,} of {len(findings):,} rows"
            f" ({wrong / len(findings):.1%})."
        )
    names = {"loss": "loss", "gradient_norm": "gradient norm", "influence": "harmful influence"}
    shown = min(top, len(findings))
    line = f"The {shown} most suspicious rows by {names[by]}, numbered from 0"
    if inspected.data.lower().endswith(TEXT_FILES):
        first_line = _first_line(model, Path(inspected.data))
        line += f"; row 0 is line {first_line} of {Path(inspected.data).name}"
    return "\n".join([*lines, f"{line}."])
