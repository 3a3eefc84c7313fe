"""Measure the hand-written gradient against `jax.grad`: correctness first, then cost."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mlp_jax.backprop.specification import Params
from mlp_jax.bench.gradients.contenders import (
    BY_HAND,
    BY_JAX,
    CONTENDERS,
    Gradient,
    Point,
    adam_state,
    adam_step,
    by_jax,
    examples,
)
from mlp_jax.bench.machine import median_and_quartiles
from mlp_jax.bench.measuring import Compiled, allocator_peak, compare_times, compiled, interleaved
from mlp_jax.errors import InputError, ProofError

LEAST_REPEATS = 20
COMPILES = 3
# How far two contenders may differ in one parameter. Their forward pass is the same, so rounding
# in the backward pass is all that may part them.
BOUNDS = {"float64": 1e-11, "float32": 1e-4, "tf32": 2e-2, "bf16": 5e-2}
# A parameter's error is measured against its own size, but at least this share of the whole
# gradient's: one of a unit that is dead is 0.
SMALLEST_SHARE = 1e-3


@dataclass(frozen=True)
class Effort:
    """Number of samples per contender, and the shortest duration of a sample."""

    repeats: int = LEAST_REPEATS
    sample: float = 0.02
    compiles: int = COMPILES

    def __post_init__(self) -> None:
        if self.repeats < 1:
            raise InputError(f"A measurement needs at least 1 repeat, not {self.repeats}.")


def distance(grads: Params, expected: Params) -> tuple[float, str]:
    """Return the largest relative difference of one parameter, and that parameter's name."""
    pairs = list(
        zip(jax.tree_util.tree_leaves_with_path(grads), jax.tree.leaves(expected), strict=True)
    )
    wide = [(np.asarray(a, np.float64), np.asarray(b, np.float64)) for (_, a), b in pairs]
    sizes = [float(np.linalg.norm(b)) for _, b in wide]
    least = SMALLEST_SHARE * float(np.linalg.norm(sizes))
    errors = [
        float(np.linalg.norm(a - b)) / max(size, least, np.finfo(np.float64).tiny)
        for (a, b), size in zip(wide, sizes, strict=True)
    ]
    worst = int(np.argmax(np.nan_to_num(errors, nan=np.inf)))
    return errors[worst], jax.tree_util.keystr(pairs[worst][0][0])


def float64_gradient(point: Point) -> Params:
    """Return the gradient of a point by `jax.grad` in float64, on the host."""
    wide = Point(**{**asdict(point), "precision": "float64"})
    with wide.policy.active():
        arguments = examples(wide, jnp.float64)
        return jax.device_get(jax.jit(by_jax(wide))(*arguments)[1])


def check_agreement(point: Point, grads: Mapping[str, Any]) -> float:
    """Return the contenders' distances from `jax.grad`; ProofError if one exceeds its bound."""
    found = {name: distance(tree, grads[BY_JAX]) for name, tree in grads.items() if name != BY_JAX}
    bound = BOUNDS[point.precision]
    for name, (error, parameter) in found.items():
        if not error <= bound:
            raise ProofError(
                f"Nothing is timed at {point}: the gradient of {parameter} by '{name}' differs"
                f" from that of jax.grad by {error:.1e} (bound {bound:.0e})."
            )
    return max(error for error, _ in found.values())


def measure(
    point: Point,
    effort: Effort = Effort(),
    contenders: Mapping[str, Callable[[Point], Gradient]] = CONTENDERS,
    device: Any = None,
) -> dict[str, Any]:
    """Measure one point and return its record. ProofError: see `check_agreement`.

    Every contender's gradient is computed first; if one disagrees, nothing is timed. peak_bytes:
    the allocator's peak, if it rose for that contender; None below an earlier peak, and on a device
    that does not count.
    """
    expected = float64_gradient(point)
    with point.policy.active():
        arguments = examples(point, point.policy.params)
        gradients = {name: make(point) for name, make in contenders.items()}
        programs = {name: compiled(f, *arguments) for name, f in gradients.items()}
        grads, peaks = _first_calls(programs, arguments, device)
        agreement = check_agreement(point, grads)
        compile_seconds = {name: [program.seconds] for name, program in programs.items()}
        for _ in range(effort.compiles - 1):
            for name, f in gradients.items():
                compile_seconds[name].append(compiled(f, *arguments).seconds)
        runs = {name: partial(p.call, *arguments) for name, p in programs.items()}
        alone = interleaved(runs, effort.repeats, effort.sample)
        step = interleaved(_steps(gradients, *arguments), effort.repeats, effort.sample)
    return {
        **asdict(point),
        "network": str(point),
        "disagreement": agreement,
        "error_against_float64": {name: distance(g, expected)[0] for name, g in grads.items()},
        "gradient": compare_times(alone, BY_JAX),
        "adam_step": compare_times(step, BY_JAX),
        "compile_seconds": {k: median_and_quartiles(v) for k, v in compile_seconds.items()},
        "flops": {name: p.flops for name, p in programs.items()},
        "bytes_accessed": {name: p.bytes_accessed for name, p in programs.items()},
        "temporary_bytes": {name: p.temporary_bytes for name, p in programs.items()},
        "peak_bytes": peaks,
    }


def _first_calls(
    programs: Mapping[str, Compiled], arguments: Any, device: Any
) -> tuple[dict[str, Any], dict[str, int | None]]:
    """Return each contender's gradient on the host, and the allocator's peak if it rose."""
    device = device or jax.devices()[0]
    grads, peaks = {}, {}
    for name, program in programs.items():
        before = allocator_peak(device)
        grads[name] = jax.device_get(program.call(*arguments)[1])
        after = allocator_peak(device)
        peaks[name] = after if after != before else None
    return grads, peaks


def _steps(
    gradients: Mapping[str, Gradient], params: Params, x: Any, y: Any
) -> dict[str, Callable[[], Any]]:
    """Compile a whole step of Adam for each contender, always from the same state."""
    arguments = (params, adam_state(params), x, y)
    return {
        name: partial(compiled(adam_step(f), *arguments).call, *arguments)
        for name, f in gradients.items()
    }


def kept_for_backward(point: Point) -> dict[str, Any]:
    """Return the temporary memory of both gradients of a point: compiled, not run."""
    with point.policy.active():
        arguments = jax.eval_shape(lambda: examples(point, point.policy.params))
        found = {
            name: compiled(CONTENDERS[name](point), *arguments).temporary_bytes
            for name in (BY_HAND, BY_JAX)
        }
    return {
        **asdict(point),
        "network": str(point),
        "temporary_bytes": found,
        "ratio": found[BY_HAND] / found[BY_JAX],
    }
