"""`mlp-jax export`: export a saved model to ONNX or StableHLO."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from mlp_jax.cli.options import parse


@dataclass(frozen=True)
class ExportOptions:
    """Options of `mlp-jax export`."""

    run: Annotated[
        tyro.conf.Positional[str], tyro.conf.arg(help_behavior_hint="", metavar="RUN")
    ] = ""
    """run folder, or its model/"""
    format: Annotated[str, tyro.conf.arg(help_behavior_hint="", metavar="NAME")] = "onnx"
    """file format: onnx (inputs are the columns of the table) or stablehlo (for JAX)"""
    output: Annotated[str, tyro.conf.arg(help_behavior_hint="", metavar="FILE")] = ""
    """file to write"""
    overwrite: bool = False
    """replace an existing file"""


def export(words: list[str]) -> int:
    """Run `mlp-jax export`: write the file, and print its inputs and outputs."""
    from mlp_jax.errors import InputError

    about = (
        "Export a saved model to one file for other programs. The file is run and compared\n"
        "with the model before it is saved.\n\n"
        "Example: mlp-jax export runs/20260101-120000-adult --format onnx --output adult.onnx"
    )
    options: ExportOptions = parse(ExportOptions, "export", about, words, ExportOptions())
    if not options.run or not options.output:
        raise InputError("Name the run and the file: mlp-jax export RUN --output FILE")
    from mlp_jax.model.export import export_model
    from mlp_jax.model.model_folder import load_model

    model = load_model(options.run)
    output = Path(options.output)
    print(export_model(model, options.format, output, overwrite=options.overwrite))
    print(f"export: {output}")
    return 0
