"""The commands: options in typed records, read by tyro, handed to the rooms below."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import tyro

from mlp_jax.cli.compare import compare
from mlp_jax.cli.datasets import datasets
from mlp_jax.cli.evaluate import evaluate
from mlp_jax.cli.export import export
from mlp_jax.cli.predict import predict
from mlp_jax.cli.report import report
from mlp_jax.cli.runs import runs
from mlp_jax.errors import InputError, RunFolderError
from mlp_jax.proof.loops import SAMPLES
from mlp_jax.proof.trial import Trial, check_trial, fault_list
from mlp_jax.training.config import TrainConfig, read_config, run_config

Options = TypeVar("Options")
_MARKERS = (
    tyro.conf.FlagCreatePairsOff,
    tyro.conf.HelptextFromCommentsOff,
    tyro.conf.DisallowNone,
)


@dataclass(frozen=True)
class CheckOptions(Trial):
    """Everything that `mlp-jax check` can be told."""

    precision: str = "float32"
    """checked besides float64: float32 or bf16; float64 alone"""
    seed: int = 0
    """of the weights and examples"""
    all_entries: bool = False
    """index loops over every entry, not a sample (slow)"""
    inject: str | None = None
    """make this deliberate fault, to see it found"""
    list_faults: bool = False
    """the faults that can be injected"""
    json: str | None = None
    """write the report to this file too"""


@dataclass(frozen=True)
class ExplainOptions(Trial):
    """Everything that `mlp-jax explain` can be told."""

    batch_size: int = 128
    """examples, for the bytes that are kept"""


def _parse(record: type[Options], command: str, about: str, words: list[str], default: Any) -> Any:
    """The record with what the words say; tyro explains itself and exits with 2 where it cannot."""
    return tyro.cli(
        record,
        prog=f"mlp-jax {command}",
        description=about,
        args=words,
        default=default,
        config=_MARKERS,
    )


def _take_config(words: list[str]) -> tuple[TrainConfig, list[str]]:
    """The defaults, from --config FILE or the run to --resume if the words name one, and the rest.

    The run is among the rest too.
    """
    default, rest = TrainConfig(), []
    remaining = iter(words)
    for word in remaining:
        name, given, value = word.partition("=")
        if name not in ("--config", "--resume"):
            rest.append(word)
            continue
        if not given:
            following = next(remaining, None)
            if following is None:
                what = "a TOML file" if name == "--config" else "the folder of a run"
                raise InputError(f"{name} needs {what}.")
            value = following
        if name == "--resume":
            rest += [name, value]
            default = run_config(Path(value))
        else:
            default = read_config(Path(value))
    return default, rest


def train(words: list[str]) -> int:
    """`mlp-jax train`."""
    default, rest = _take_config(words)
    about = (
        "Train a network on data, after proving its gradient. "
        "--config FILE.toml sets\nthe same names; the command line wins.\n\n"
        "Example: mlp-jax train --data fashion_mnist --hidden 512 512 --optimizer adamw\n"
        "  --learning-rate 2e-3 --schedule one-cycle --dropout 0.2 --epochs 20"
    )
    config = _parse(TrainConfig, "train", about, rest, default)
    from mlp_jax.cli.start import use_compilation_cache
    from mlp_jax.training.run import resume
    from mlp_jax.training.run import train as run

    use_compilation_cache()
    result = run(config) if config.resume is None else resume(Path(config.resume), config)
    for name, value in result.test.items():
        print(f"test {name}: {value:.4f}")
    print(f"run: {result.folder}")
    return 0


def check(words: list[str]) -> int:
    """`mlp-jax check`."""
    about = (
        "Prove the hand-written gradient of a network: four witnesses for every equation.\n\n"
        "Example: mlp-jax check --inputs 784 --hidden 512 512 --outputs 10 --norm layer"
    )
    options: CheckOptions = _parse(CheckOptions, "check", about, words, CheckOptions())
    from mlp_jax.cli.start import use_compilation_cache

    if options.list_faults:
        print(fault_list())
        return 0
    if options.seed < 0:
        raise InputError(f"A seed is not negative, so {options.seed} cannot be one.")
    use_compilation_cache()
    report, note = check_trial(
        options,
        precision=options.precision,
        seed=options.seed,
        samples=None if options.all_entries else SAMPLES,
        fault=options.inject,
    )
    if note:
        print(note)
    print(report)
    if options.json is not None:
        _write(Path(options.json), report.to_json())
    if not report.ok:
        print(f"mlp-jax: the gradient fails the proof at {report.fault}.", file=sys.stderr)
    return 0 if report.ok else 1


def explain(words: list[str]) -> int:
    """`mlp-jax explain`."""
    about = (
        "The backward pass of a network, equation by equation, with its own shapes, its cost "
        "and the agreement measured.\n\n"
        "Example: mlp-jax explain --inputs 784 --hidden 512 512 --outputs 10"
    )
    options: ExplainOptions = _parse(ExplainOptions, "explain", about, words, ExplainOptions())
    if options.batch_size < 1:
        raise InputError(f"A batch has at least 1 example, not {options.batch_size}.")
    from mlp_jax.cli.start import use_compilation_cache
    from mlp_jax.proof.explain import explain as text

    use_compilation_cache()
    print(text(options, options.batch_size))
    return 0


def _write(path: Path, text: str) -> None:
    from mlp_jax.files import write_text_atomic

    if not path.parent.is_dir():
        raise RunFolderError(f"Cannot write {path}: there is no folder {path.parent}.")
    write_text_atomic(path, text)


COMMANDS: dict[str, Callable[[list[str]], int]] = {
    "train": train,
    "check": check,
    "explain": explain,
    "runs": runs,
    "compare": compare,
    "report": report,
    "datasets": datasets,
    "evaluate": evaluate,
    "predict": predict,
    "export": export,
}
