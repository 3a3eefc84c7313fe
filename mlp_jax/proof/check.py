"""`check_gradients`: four independent witnesses against the hand-written backward pass.

1. local: every equation of every layer against `jax.vjp` of that layer, at its own inputs.
2. whole: the full gradient against `jax.grad`, per parameter; if the network does not couple the
   examples, also their norms and second moment from the tape against per-example gradients.
3. differences: central differences along random directions, in float64.
4. loops: sampled entries against the scalar index equations, in float64 without JAX.

If training is split over devices, its gradient is compared with that of one device too.

The check runs at perturbed parameters (at the usual initial values a forgotten scale of 1 passes),
with uneven weights c that include zeros, in training mode with fixed dropout masks, and in
inference mode where that differs.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array

from mlp_jax.backprop import Layer, Loss, second_moment, squared_norms_by_parameter
from mlp_jax.backprop.gradient import cast_weights, forward_backward
from mlp_jax.backprop.losses import as_loss, check_targets
from mlp_jax.backprop.member_loss import loss_in
from mlp_jax.backprop.records import contract_transposed, transposed
from mlp_jax.backprop.specification import Params, State
from mlp_jax.errors import InputError
from mlp_jax.proof import compare, oracles
from mlp_jax.proof.compare import Comparison
from mlp_jax.proof.loops import SAMPLES, loop_comparisons
from mlp_jax.proof.moved import (
    handful,
    in_float64,
    perturbed,
    perturbed_state,
    uneven_weights,
    unit_directions,
)
from mlp_jax.proof.observe import Path, Seen, observe, path_name, walk
from mlp_jax.proof.quick import jit_proof
from mlp_jax.proof.report import Report, Row, Witness

STEPS = (1e-5, 1e-6)
BOUNDS: dict[str, dict[Witness, float]] = {
    "float64": {
        "local": 1e-12,
        "whole": 1e-12,
        "loops": 1e-12,
        "differences": 1e-7,
        "one_device": 1e-12,
    },
    "float32": {"local": 2e-5, "whole": 2e-5, "one_device": 2e-5},
    "bfloat16": {"local": 5e-2, "whole": 5e-2, "one_device": 5e-2},
}
Differentiate = Callable[..., tuple[Array, Any, Any, Any]]
Split = Callable[..., Any]


def _witnesses(
    network: Layer, loss: Loss, train: bool, dtype: str, differentiate: Differentiate
) -> Callable[..., Any]:
    """Compile the observed pass and JAX's witnesses as one function."""
    layers = list(walk(network))
    coupled = train and network.couples_examples
    minimized = loss_in(network, loss, train)

    def run(
        params: Params,
        state: State,
        x: Array,
        y: Array,
        c: Array,
        mask: Array | None,
        seed: Array,
        directions: Any,
    ) -> Any:
        key = jax.random.key(seed)
        log: dict[Path, Seen] = {}
        weights = cast_weights(params, jnp.bfloat16) if dtype == "bfloat16" else params
        arguments = (loss, train, weights, state, x, y, c, mask, key)
        value, _, grads, tape = differentiate(observe(network, log), *arguments)

        def each(candidate: Params) -> Array:
            output = network.forward(candidate, state, x, train=train, key=key, mask=mask)[0]
            return minimized.value(output.astype(c.dtype), y)

        def objective(candidate: Params) -> Array:
            return c @ each(candidate)

        _, pull_back = jax.vjp(each, weights)
        trained = differentiate is forward_backward
        statistics: tuple[Any, ...] = ()
        if dtype == "float64" and not tape.weighted:
            ours = squared_norms_by_parameter(tape), second_moment(tape, c)
            statistics = (ours, oracles.example_statistics(pull_back, weights, c))
        slopes = None
        if directions is not None:
            steps = jnp.asarray(STEPS, c.dtype)
            slopes = oracles.central_differences(objective, params, directions, steps)
        return {
            "value": value,
            "grads": grads,
            "as_trained": _as_trained(network, *arguments) if trained else [],
            "records": tape.records,
            "statistics": statistics,
            "seen": {path: _arrays(log[path]) for path, _ in layers},
            "local": oracles.local_gradients(layers, log, None if coupled else c),
            "loss": oracles.loss_gradient(minimized, log[()], y, c, coupled),
            "whole": pull_back(c)[0],
            "slopes": slopes,
        }

    return run


def _split_comparisons(
    network: Layer,
    loss: Loss,
    train: bool,
    dtype: str,
    split: Split,
    found: dict[str, Any],
    arguments: Any,
) -> Iterator[tuple[Witness, Comparison]]:
    """Compare the gradient over many devices with that of one, per parameter."""
    params, state, x, y, c, mask, seed = arguments
    weights = cast_weights(params, jnp.bfloat16) if dtype == "bfloat16" else params
    grads = jax.device_get(split(network, loss, train, weights, state, x, y, c, mask, seed))
    used = None if train and network.couples_examples else c
    for row in compare.whole_comparisons(found["grads"], grads, found["records"], used):
        yield "one_device", row


def _as_trained(*arguments: Any) -> list[Any]:
    """Compute the gradient without a tape, and by the transposed form of equation 3."""
    *_, grads, tape = forward_backward(*arguments, per_example=False)
    return [grads, transposed(contract_transposed(tape.records, None))]


def _arrays(seen: Seen) -> tuple[Any, ...]:
    return (
        seen.params, seen.a, seen.mask, seen.a_next, seen.grad_a_next, seen.grad_a, seen.records,
    )  # fmt: skip


def _host(arrays: tuple[Any, ...], train: bool) -> Seen:
    """Convert a `Seen` to NumPy arrays."""
    params, a, mask, a_next, grad_a_next, grad_a, records = arrays
    return Seen(
        params=params,
        state=None,
        a=a,
        key=None,
        mask=mask,
        train=train,
        a_next=a_next,
        grad_a_next=grad_a_next,
        grad_a=grad_a,
        records=records,
    )


def _comparisons(
    network: Layer,
    loss: Loss,
    train: bool,
    found: dict[str, Any],
    y: np.ndarray,
    c: np.ndarray,
    directions: Any,
    samples: int | None,
) -> Iterator[tuple[Witness, Comparison]]:
    """List every comparison of one pass, from the loss down."""
    layers = list(walk(network))
    log = {path: _host(arrays, train) for path, arrays in found["seen"].items()}
    coupled = train and network.couples_examples
    used = None if coupled else c
    each, seed = found["loss"]
    grads = found["grads"]
    terms = float(np.sum(np.abs(c * each)))
    yield (
        "local",
        Comparison(
            path=(),
            equation=oracles.VALUE,
            ours=found["value"],
            expected=np.sum(c * each),
            size=terms,
        ),
    )
    yield (
        "local",
        Comparison(
            path=(), equation=oracles.SEED, ours=np.asarray(log[()].grad_a_next), expected=seed
        ),
    )
    for row in compare.local_comparisons(layers, log, found["local"], grads, used):
        yield "local", row
    for gradient in (grads, *found["as_trained"]):
        for row in compare.whole_comparisons(found["whole"], gradient, found["records"], used):
            yield "whole", row
    if found["statistics"]:
        for row in compare.statistic_comparisons(layers, *found["statistics"]):
            yield "whole", row
    if directions is not None:
        for row in compare.difference_comparisons(found["slopes"], grads, directions):
            yield "differences", row
        for row in loop_comparisons(loss, layers, log, grads, y, c, coupled, samples):
            yield "loops", row


def layer_label(network: Layer, path: Path, witness: Witness, equation: str = oracles.SEED) -> str:
    """ "2 Dense(10, identity)": a layer's path and specification."""
    if not path and witness == "differences":
        return "network"
    if not path and equation in (oracles.VALUE, oracles.SEED):
        return "loss"
    layer = network
    for index in path:
        layer = layer.children[index]
    name = str(layer).partition("(")[0] if layer.children else str(layer)
    return f"{path_name(path)} {name}" if path else name


def _has_two_modes(network: Layer) -> bool:
    """Test whether inference is another function than training."""
    return network.draws or network.has_state or network.n_predictions > 1


def _check_arguments(network: Layer, loss: Loss, batch: tuple[Any, Any], state: State) -> None:
    """Raise InputError for a missing state or targets that are invalid for the loss."""
    if network.has_state and state is None:
        raise InputError("This network keeps running statistics: pass the state=… that init gave.")
    check_targets(loss, np.asarray(batch[1]), network.width_out(np.shape(batch[0])[1]))


def _perturbed(network: Layer, params: Params, state: State, n: int, seed: int) -> tuple[Any, ...]:
    """Return perturbed params and state, weights c and mask of n examples, and directions."""
    rng = np.random.default_rng(seed)
    moved = perturbed(in_float64(params), rng)
    kept = perturbed_state(in_float64(network.without_state() if state is None else state), rng)
    c, mask = uneven_weights(n, network.couples_examples, rng)
    return moved, kept, c, mask, unit_directions(moved, rng)


def _as_floats(arguments: Any, dtype: DTypeLike) -> Any:
    """Cast the floating-point arrays of a tree."""
    return jax.tree.map(
        lambda v: v.astype(dtype) if np.issubdtype(v.dtype, np.floating) else v, arguments
    )


def _rows(
    network: Layer, compared: Iterable[tuple[Witness, Comparison]], train: bool, dtype: str
) -> Iterator[Row]:
    """Return the rows of the report on some comparisons."""
    mode = "training" if train else "inference"
    for witness, row in compared:
        label = layer_label(network, row.path, witness, row.equation)
        yield Row(label, row.equation, witness, mode, dtype, *row.error(), BOUNDS[dtype][witness])


@np.errstate(invalid="ignore", over="ignore")  # what is not finite fails its row: say it once
def check_gradients(
    network: Layer,
    loss: Loss | str,
    params: Params,
    batch: tuple[Any, Any],
    *,
    state: State = None,
    dtypes: Sequence[str] = ("float64",),
    samples: int | None = SAMPLES,
    seed: int = 0,
    differentiate: Differentiate = forward_backward,
    split: Split | None = None,
) -> Report:
    """Verify the gradient of a loss over a network at perturbed parameters.

    Products run at precision "highest". A fault raises nothing: read `.ok`, `.fault` and `.worst`
    of the report.

    Args:
        network: the network.
        loss: the loss, or its name.
        params: its parameters, which are perturbed.
        batch: x (N, I) and y as the loss requires; a handful of examples is used.
        state: state of a network that has one.
        dtypes: "float64" for all four witnesses; also "float32" or "bfloat16" for the first two in
            the type of the run.
        samples: entries per layer for the index loops, None for all.
        seed: of the perturbation, weights and directions.
        split: f(network, loss, train, params, state, x, y, c, mask, seed) → the gradient over many
            devices.

    Returns:
        A report with a row per equation, layer and witness.

    Raises:
        InputError: for a target in any row of the batch that is invalid for the loss.
    """
    loss = as_loss(loss)
    started = time.perf_counter()
    _check_arguments(network, loss, batch, state)
    x, y = handful(*batch)
    moved, kept, c, mask, directions = _perturbed(network, params, state, len(x), seed)
    modes = [True, False] if _has_two_modes(network) else [True]
    rows: list[Row] = []
    for dtype in dtypes:
        full = dtype == "float64"
        arguments = _as_floats((moved, kept, x, y, c, mask), np.float64 if full else np.float32)
        given = (*arguments, np.uint32(seed))
        along = directions if full else None
        with jax.enable_x64(full), jax.default_matmul_precision("highest"):
            for train in modes:
                run = jit_proof(_witnesses(network, loss, train, dtype, differentiate))
                found = jax.device_get(run(*given, along))
                compared = _comparisons(network, loss, train, found, y, c, along, samples)
                rows += _rows(network, compared, train, dtype)
                if split is not None:
                    apart = _split_comparisons(network, loss, train, dtype, split, found, given)
                    rows += _rows(network, apart, train, dtype)
    return Report(tuple(rows), time.perf_counter() - started)
