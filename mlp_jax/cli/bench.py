"""`mlp-jax bench …`: the benchmarks by name."""

from collections.abc import Callable

from mlp_jax.cli.bench_trainers import trainers
from mlp_jax.errors import InputError, UnknownNameError

BENCHMARKS: dict[str, Callable[[list[str]], int]] = {"trainers": trainers}


def bench(words: list[str]) -> int:
    """Runs the benchmark that the first word names."""
    if not words:
        raise InputError(f"Name a benchmark: mlp-jax bench {' | '.join(BENCHMARKS)}.")
    if words[0] not in BENCHMARKS:
        raise UnknownNameError("benchmark", words[0], BENCHMARKS)
    return BENCHMARKS[words[0]](words[1:])
