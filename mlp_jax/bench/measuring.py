"""Compile and time programs, alternating between contenders.

Machines drift, so contenders are never timed one after the other but in turn, and compared pair by
pair. A sample is as many calls as fill `SAMPLE` seconds, ended by one `block_until_ready`.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax

from mlp_jax.bench.machine import median_and_quartiles

REPEATS = 20
SAMPLE = 0.02


@dataclass(frozen=True)
class Compiled:
    """A program for arguments of certain shapes, with the compiler's figures.

    flops, bytes_accessed: by XLA's count, None without one. temporary_bytes: memory beside
    arguments and results.
    """

    call: Callable[..., Any]
    seconds: float
    flops: float | None
    bytes_accessed: float | None
    temporary_bytes: int


def compiled(function: Callable[..., Any], *arguments: Any) -> Compiled:
    """Trace and compile `function` anew for the arguments, which may be shapes."""

    def fresh(*given: Any) -> Any:  # JAX remembers what it traced by the function's identity
        return function(*given)

    started = time.perf_counter()
    program = jax.jit(fresh).lower(*arguments).compile()
    seconds = time.perf_counter() - started
    cost = program.cost_analysis() or {}
    memory = program.memory_analysis()
    return Compiled(
        call=program,
        seconds=seconds,
        flops=cost.get("flops"),
        bytes_accessed=cost.get("bytes accessed"),
        temporary_bytes=0 if memory is None else int(memory.temp_size_in_bytes),
    )


def seconds_a_call(run: Callable[[], Any], calls: int) -> float:
    """Measure the seconds per call, over `calls` calls ended by one wait."""
    started = time.perf_counter()
    for _ in range(calls):
        result = run()
    jax.block_until_ready(result)
    return (time.perf_counter() - started) / calls


def calls_a_sample(run: Callable[[], Any], sample: float) -> int:
    """Return the number of calls that last `sample` seconds, after warm-up."""
    jax.block_until_ready(run())
    calls = 1
    while (seconds := seconds_a_call(run, calls)) * calls < sample:
        calls = max(calls + 1, int(1.1 * sample / seconds))
    return calls


def interleaved(
    runs: Mapping[str, Callable[[], Any]], repeats: int = REPEATS, sample: float = SAMPLE
) -> dict[str, list[float]]:
    """Measure seconds per call of each, `repeats` samples of at least `sample` seconds, in turn.

    Every other round runs backwards, so that no contender always follows the same one.
    """
    calls = {name: calls_a_sample(run, sample) for name, run in runs.items()}
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(repeats):
        for name in list(runs)[:: -1 if number % 2 else 1]:
            seconds[name].append(seconds_a_call(runs[name], calls[name]))
    return seconds


def compare_times(seconds: Mapping[str, list[float]], against: str) -> dict[str, Any]:
    """Return median and quartiles of each contender's seconds and of its ratio to one."""
    pairs = {
        name: [a / b for a, b in zip(values, seconds[against], strict=True)]
        for name, values in seconds.items()
        if name != against
    }
    return {
        "seconds": {name: median_and_quartiles(values) for name, values in seconds.items()},
        "ratio": {name: median_and_quartiles(values) for name, values in pairs.items()},
    }


def allocator_peak(device: Any) -> int | None:
    """Return the peak of the device's allocator in bytes; None if it does not count."""
    return (device.memory_stats() or {}).get("peak_bytes_in_use")
