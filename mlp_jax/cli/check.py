"""`mlp-jax check`: the proof of a network's gradient, without data."""

import sys
from dataclasses import dataclass
from pathlib import Path

from mlp_jax.cli.options import parse, write_text
from mlp_jax.errors import InputError
from mlp_jax.proof.loops import SAMPLES
from mlp_jax.proof.trial import Trial, check_trial, fault_list


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


def check(words: list[str]) -> int:
    """`mlp-jax check`."""
    about = (
        "Prove the hand-written gradient of a network: four witnesses for every equation.\n\n"
        "Example: mlp-jax check --inputs 784 --hidden 512 512 --outputs 10 --norm layer"
    )
    options: CheckOptions = parse(CheckOptions, "check", about, words, CheckOptions())
    from mlp_jax.model.compilation_cache import use_compilation_cache

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
        write_text(Path(options.json), report.to_json())
    if not report.ok:
        print(f"mlp-jax: the gradient fails the proof at {report.fault}.", file=sys.stderr)
    return 0 if report.ok else 1
