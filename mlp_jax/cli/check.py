"""`mlp-jax check`: gradient check of a network, without data."""

import sys
from dataclasses import dataclass

from mlp_jax.cli.options import parse, write_text
from mlp_jax.errors import InputError
from mlp_jax.proof.loops import SAMPLES
from mlp_jax.proof.trial import Trial, check_trial, fault_list


@dataclass(frozen=True)
class CheckOptions(Trial):
    """Options of `mlp-jax check`."""

    precision: str = "float32"
    """precision to check in addition to float64: float32 or bf16; float64 checks nothing else"""
    seed: int = 0
    """seed of the weights and examples"""
    all_entries: bool = False
    """compare every entry with the index loops, not a sample (slow)"""
    inject: str | None = None
    """inject this fault, to see that the check detects it"""
    list_faults: bool = False
    """list the faults that can be injected"""
    json: str | None = None
    """also write the report to this file"""


def check(words: list[str]) -> int:
    """Run `mlp-jax check`."""
    about = (
        "Verify the hand-written gradient of a network by four independent methods.\n\n"
        "Example: mlp-jax check --inputs 784 --hidden 512 512 --outputs 10 --norm layer"
    )
    options: CheckOptions = parse(CheckOptions, "check", about, words, CheckOptions())
    from mlp_jax.model.compilation_cache import use_compilation_cache

    if options.list_faults:
        print(fault_list())
        return 0
    if options.seed < 0:
        raise InputError(f"A seed must not be negative, but {options.seed} is.")
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
        write_text(options.json, report.to_json())
    if not report.ok:
        print(f"mlp-jax: the gradient check failed at {report.fault}.", file=sys.stderr)
    return 0 if report.ok else 1
