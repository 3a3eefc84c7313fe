"""Static specification and state of the compiled epochs."""

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import NamedSharding
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int, UInt32

from mlp_jax.backprop import Layer, Loss
from mlp_jax.backprop.recompute import recomputing
from mlp_jax.backprop.specification import Params, State
from mlp_jax.errors import InputError
from mlp_jax.proof.quick import jit_once, platform
from mlp_jax.training.engine.bounded import MOST
from mlp_jax.training.mesh.layout import Layout
from mlp_jax.training.optim.open_optimizer import Hyperparameters, with_numbers

INIT, ORDER, DROPOUT, DRAWS = 0, 1, 2, 3
DRAW_RANGE = 1 << 32  # range of the draws that select the rows of a private batch
TARGETS = 0xFFFFFFFF  # stream of a step's key for drawn targets; no layer has this number

Seed = UInt32[Array, ""] | np.uint32
RunNumbers = tuple[Hyperparameters | None, Any]


class Average(NamedTuple):
    """Exponential moving averages of the parameters and of the layers' running statistics.

    decay: (1 − d, log d) for the decay d.
    """

    params: Params
    layer_state: State
    decay: Any


class TrainState(NamedTuple):
    """State of a training as one pytree. `alive` is False after a non-finite update.

    average: moving averages, or () without them. They include the running statistics of batch norm,
    because averaged weights need averaged statistics.
    """

    params: Params
    opt_state: Any
    layer_state: State
    average: Average | tuple[()]
    step: Int[Array, ""]
    alive: Array


class Totals(NamedTuple):
    """Sums over the steps of a call: Σ weight · loss, Σ weight."""

    loss: Float[Array, ""]
    weight: Float[Array, ""]


@dataclass(frozen=True)
class DPStepSpec:
    """Static half of a step of DP-SGD.

    clip: bound on the norm of each example's gradient. noise: standard deviation of the noise, as
    a multiple of the clip. last: a row is in the batch if its draw of 32 bits is at most this.
    capacity: rows that a batch has room for.
    """

    clip: float
    noise: float
    last: int
    capacity: int

    @property
    def sampling(self) -> float:
        """Probability q that a row is in a batch, exactly."""
        return (self.last + 1) / DRAW_RANGE


@dataclass(frozen=True)
class Program:
    """Static specification of an epoch; equal programs compile once.

    products: type of matrix products. average_decay: decay of the moving average of the weights,
    None for none; averages: whether there is one. doubt_updates: check updates too, because the
    optimizer may turn finite gradients into non-finite updates. guarded: skip non-finite updates
    inside the program; otherwise only the final state is checked, at no cost per step. transposed:
    carry the matrices as (J, I) between steps, which is 7 to 17 % faster on a CPU; only for
    unguarded programs, and optimizers that treat a matrix like its transpose. pool: number of
    batches that each batch is drawn from (`importance.py`); None for plain batches. private:
    specification of DP-SGD steps, which draw their batches; None for plain steps. gives_curvature:
    pass `curvature_fn` to the optimizer, for the Kronecker factors of the batch (Optax line
    searches reject unknown arguments). layout: placement of arrays on a mesh; None for one device.
    accumulate: number of parts that each batch is split into for gradient accumulation. recompute:
    recompute activations in the backward pass (`recompute.py`). numbers: hyperparameters of an open
    optimizer.

    `initial_state` copies average_decay and numbers into the state. Programs that differ only in
    them are equal, so no trace may read them here.
    """

    network: Layer
    loss: Loss
    optimizer: optax.GradientTransformationExtraArgs
    batch_size: int
    dtype: DTypeLike = jnp.float32
    products: Any = jnp.float32
    average_decay: float | None = field(default=None, compare=False)
    doubt_updates: bool = True
    guarded: bool = True
    transposed: bool = False
    pool: int | None = None
    private: DPStepSpec | None = None
    gives_curvature: bool = False
    layout: Layout | None = None
    accumulate: int = 1
    recompute: bool = False
    numbers: Hyperparameters | None = field(default=None, compare=False)
    averages: bool = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "averages", self.average_decay is not None)

    @property
    def trained(self) -> Layer:
        """Network as the training steps run it."""
        return recomputing(self.network) if self.recompute else self.network


Shapes = tuple[tuple[Any, ...], ...]


def signature(program: Program, arguments: Any) -> tuple[Any, Shapes]:
    """Return (structure, shape, type and sharding of each leaf), the key of a compiled call.

    The sharding is None on one device, and for arrays from the host.
    """
    leaves, structure = jax.tree.flatten(arguments)

    def place(leaf: Any) -> Any:
        where = getattr(leaf, "sharding", None)
        return where if program.layout is not None and isinstance(where, NamedSharding) else None

    return structure, tuple((leaf.shape, np.dtype(leaf.dtype), place(leaf)) for leaf in leaves)


def abstract(structure: Any, shapes: Shapes) -> Any:
    """Return abstract arguments of that signature, to compile for."""
    return jax.tree.unflatten(
        structure, [jax.ShapeDtypeStruct(shape, of, sharding=at) for shape, of, at in shapes]
    )


def stream(seed: Seed, which: int) -> Array:
    """Return the random key of a stream of a run (INIT, ORDER, DROPOUT, DRAWS)."""
    return jax.random.fold_in(jax.random.key(seed), which)


class Keys(NamedTuple):
    """Random keys of a step: dropout, and row sampling from a pool."""

    dropout: Array
    draws: Array

    @classmethod
    def of(cls, seed: Seed) -> "Keys":
        """Return the keys of a run."""
        return cls(stream(seed, DROPOUT), stream(seed, DRAWS))

    def at(self, step: Int[Array, ""]) -> "Keys":
        """Return the keys of one step."""
        return Keys(*(jax.random.fold_in(key, step) for key in self))


def initial_state(
    program: Program, seed: Seed, n_in: int, start: tuple[Any, Any] | None = None
) -> TrainState:
    """Return the state at step 0: parameters and layer state drawn from `seed` for width n_in.

    start: parameters and layer state to use instead, with None at a child that is drawn. Everything
    is drawn in one program, because separate draws would each be compiled.
    """
    if program.layout is None:
        return _drawing(program, n_in, platform())(seed, start, numbers_of(program))

    def drawn(seed: Any, start: Any, numbers: Any) -> TrainState:
        return first_state(program, seed, n_in, start, numbers)

    given = (seed, start, numbers_of(program))
    there = program.layout.shardings(program.network, jax.eval_shape(drawn, *given))
    return jit_once(drawn, out_shardings=there)(*given)


@functools.lru_cache(maxsize=MOST)
def _drawing(program: Program, n_in: int, where: str) -> Callable[..., TrainState]:
    """Return `first_state`, compiled once per program and platform."""
    return jit_once(lambda seed, start, numbers: first_state(program, seed, n_in, start, numbers))


def _instead(drawn: tuple[Any, ...], given: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return the given trees, with the drawn ones in place of None."""
    return tuple(new if old is None else old for new, old in zip(drawn, given, strict=True))


def first_state(
    program: Program,
    seed: Seed,
    n_in: int,
    start: tuple[Any, Any] | None,
    numbers: RunNumbers = (None, None),
) -> TrainState:
    """Return the initial state; a plain function for use inside a larger program."""
    drawn = program.network.init(stream(seed, INIT), n_in)
    params, layer_state = (
        jax.tree.map(lambda leaf: leaf.astype(program.dtype), tree)
        for tree in (drawn if start is None else map(_instead, drawn, start))
    )
    return TrainState(
        params=params,
        opt_state=with_numbers(program.optimizer.init(params), numbers[0]),
        layer_state=layer_state,
        average=first_average(program, params, layer_state, numbers[1]),
        step=jnp.zeros((), jnp.int32),
        alive=jnp.ones((), bool),
    )


def first_average(
    program: Program, params: Params, layer_state: State, decay: Any = None
) -> Average | tuple[()]:
    """Return space for the averages, which the first step fills; decay: as in `Average`."""
    if not program.averages:
        return ()
    terms = jnp.zeros(2, program.dtype) if decay is None else jnp.asarray(decay, program.dtype)
    kept, figures = jax.tree.map(jnp.copy, (params, layer_state))
    return Average(kept, figures, terms)


def numbers_of(program: Program) -> RunNumbers:
    """Return the optimizer's numbers and the decay, as the state of a run needs them."""
    d = program.average_decay
    decay = None if d is None else np.array([1 - d, math.log(d)])
    return program.numbers, decay


def weights_of(state: TrainState) -> tuple[Any, Any]:
    """Return (params, layer_state) to evaluate and keep: the moving averages if there are any."""
    if isinstance(state.average, Average):
        return state.average.params, state.average.layer_state
    return state.params, state.layer_state


def check_parts(program: Program) -> None:
    """Raise InputError if the batches cannot be cut evenly into parts."""
    count = program.accumulate
    if count == 1:
        return
    devices = 1 if program.layout is None else program.layout.data
    if program.batch_size % (count * devices):
        each = f"{count} parts" + (f" on {devices} devices each" if devices > 1 else "")
        raise InputError(
            f"A batch of {program.batch_size} examples cannot be split evenly into {each}: use a"
            f" multiple of {count * devices}."
        )
