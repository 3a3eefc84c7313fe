"""`mlp-jax export`: a saved model as one file that other programs run."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from mlp_jax.cli.options import parse


@dataclass(frozen=True)
class ExportOptions:
    """Everything that `mlp-jax export` can be told."""

    run: Annotated[
        tyro.conf.Positional[str], tyro.conf.arg(help_behavior_hint="", metavar="RUN")
    ] = ""
    """the run's folder, or the model/ in it"""
    format: Annotated[str, tyro.conf.arg(help_behavior_hint="", metavar="NAME")] = "onnx"
    """onnx (columns go in as they are in the table), or stablehlo (for JAX)"""
    output: Annotated[str, tyro.conf.arg(help_behavior_hint="", metavar="FILE")] = ""
    """the file to write"""
    overwrite: bool = False
    """replace it if it exists"""


def export(words: list[str]) -> int:
    """Writes the file, and says what goes in and what comes out."""
    from mlp_jax.errors import InputError

    about = (
        "Write a saved model as one file for other programs. It is run and compared with the\n"
        "model before it gets its name.\n\n"
        "Example: mlp-jax export runs/20260101-120000-adult --format onnx --output adult.onnx"
    )
    options: ExportOptions = parse(ExportOptions, "export", about, words, ExportOptions())
    if not options.run or not options.output:
        raise InputError("Name the run and the file: mlp-jax export RUN --output FILE")
    from mlp_jax.model.export import export_model
    from mlp_jax.model.saved import load_model

    model = load_model(options.run)
    output = Path(options.output)
    print(export_model(model, options.format, output, overwrite=options.overwrite))
    print(f"export: {output}")
    return 0
