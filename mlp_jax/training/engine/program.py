"""What a compiled epoch is made of: its static half, and all that training changes, drawn anew."""

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
from jaxtyping import Array, Float, Int, UInt32

from mlp_jax.backprop import Layer, Loss
from mlp_jax.backprop.recompute import recomputing
from mlp_jax.errors import InputError
from mlp_jax.proof.quick import jit_once, platform
from mlp_jax.training.engine.bounded import MOST
from mlp_jax.training.mesh.layout import Layout
from mlp_jax.training.optim.open_optimizer import Hyperparameters, with_numbers

INIT, ORDER, DROPOUT, DRAWS = 0, 1, 2, 3
DRAW_RANGE = 1 << 32  # of the draws that decide which rows a private batch has
TARGETS = 0xFFFFFFFF  # of a step's key, for drawn targets: no layer has this number

Seed = UInt32[Array, ""] | np.uint32
RunNumbers = tuple[Hyperparameters | None, Any]


class Average(NamedTuple):
    """Exponential moving averages of the parameters and of the layers' running figures.

    decay: (1 − d, log d) of their decay d.
    """

    params: Any
    layer_state: Any
    decay: Any


class TrainState(NamedTuple):
    """All that training changes, one pytree. `alive` turns False where an update is not finite.

    average: the moving averages, or () without them. The running figures of batch norm are those
    of the weights that were trained; beside averaged weights belong averaged figures.
    """

    params: Any
    opt_state: Any
    layer_state: Any
    average: Average | tuple[()]
    step: Int[Array, ""]
    alive: Array


class Totals(NamedTuple):
    """What a call adds up over its steps: Σ weight · loss, Σ weight."""

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
    """The static half of an epoch: equal programs compile once.

    products: the type in which matrices are multiplied. average_decay: of the moving average of
    the weights, None for none; averages: whether there is one. doubt_updates: the optimizer may
    make of finite gradients what is not finite, so its updates are looked at too. guarded: leave
    out, within the program, an update that is not finite; without it only the state at the end says
    so, and no step pays for it.
    transposed: the steps of a call carry the matrices as (J, I), which is faster on a CPU, by 7 to
    17 %; for optimizers to which a matrix and its transpose are the same, and not when guarded.
    pool: from how many batches of rows each batch is drawn (`importance.py`), None where a batch is
    the rows that its turn brings.
    private: the rule of private steps, which draw their batches themselves; None for plain ones.
    gives_curvature: the optimizer is given `curvature_fn`, for the batch's Kronecker factors (a
    line search of Optax's refuses what it does not know).
    layout: how the arrays lie on a mesh of devices; None for one device.
    accumulate: into how many parts a batch is cut, whose gradients are added up one by one.
    recompute: keep little of the forward pass and compute it again going back (`recompute.py`).
    numbers: of an open optimizer.

    `initial_state` puts average_decay and numbers into the state. Programs that differ in them
    alone are equal, so no trace may read them here.
    """

    network: Layer
    loss: Loss
    optimizer: optax.GradientTransformationExtraArgs
    batch_size: int
    dtype: Any = jnp.float32
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
        """The network as the steps of training run it."""
        return recomputing(self.network) if self.recompute else self.network


Shapes = tuple[tuple[Any, ...], ...]


def signature(program: Program, arguments: Any) -> tuple[Any, Shapes]:
    """(structure, shape, type and place of each leaf): what a compiled call depends on, hashable.

    The place is that on the mesh; None on one device, and for what comes from the host.
    """
    leaves, structure = jax.tree.flatten(arguments)

    def place(leaf: Any) -> Any:
        where = getattr(leaf, "sharding", None)
        return where if program.layout is not None and isinstance(where, NamedSharding) else None

    return structure, tuple((leaf.shape, np.dtype(leaf.dtype), place(leaf)) for leaf in leaves)


def abstract(structure: Any, shapes: Shapes) -> Any:
    """Arguments of that signature, to compile for."""
    return jax.tree.unflatten(
        structure, [jax.ShapeDtypeStruct(shape, of, sharding=at) for shape, of, at in shapes]
    )


def stream(seed: Seed, which: int) -> Array:
    """The random key of one of a run's streams (INIT, ORDER, DROPOUT, DRAWS); they never meet."""
    return jax.random.fold_in(jax.random.key(seed), which)


class Keys(NamedTuple):
    """The random keys of what a step draws: its dropout, and its rows where it has a pool."""

    dropout: Array
    draws: Array

    @classmethod
    def of(cls, seed: Seed) -> "Keys":
        """Those of a run."""
        return cls(stream(seed, DROPOUT), stream(seed, DRAWS))

    def at(self, step: Int[Array, ""]) -> "Keys":
        """Those of one step."""
        return Keys(*(jax.random.fold_in(key, step) for key in self))


def initial_state(
    program: Program, seed: Seed, n_in: int, start: tuple[Any, Any] | None = None
) -> TrainState:
    """Step 0: parameters and state drawn from `seed` for inputs of width n_in.

    start: parameters and state to begin with instead, None at a child that is drawn all the same.
    One program, for drawing the weights one by one compiles each draw by itself.
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
    """`first_state` compiled; again only for another program, or another platform: `where`."""
    return jit_once(lambda seed, start, numbers: first_state(program, seed, n_in, start, numbers))


def _instead(drawn: tuple[Any, ...], given: tuple[Any, ...]) -> tuple[Any, ...]:
    """The children's trees that are given, and those that were drawn where None is."""
    return tuple(new if old is None else old for new, old in zip(drawn, given, strict=True))


def first_state(
    program: Program,
    seed: Seed,
    n_in: int,
    start: tuple[Any, Any] | None,
    numbers: RunNumbers = (None, None),
) -> TrainState:
    """`initial_state` as a plain function, to be part of a larger program."""
    drawn = program.network.init(stream(seed, INIT), n_in)
    params, layer_state = (
        jax.tree.map(lambda leaf: leaf.astype(program.dtype), tree)
        for tree in (drawn if start is None else map(_instead, drawn, start))
    )
    return TrainState(
        params,
        with_numbers(program.optimizer.init(params), numbers[0]),
        layer_state,
        first_average(program, params, layer_state, numbers[1]),
        jnp.zeros((), jnp.int32),
        jnp.ones((), bool),
    )


def first_average(
    program: Program, params: Any, layer_state: Any, decay: Any = None
) -> Average | tuple[()]:
    """Room for the averages, which their first step fills. decay: as of `Average`, else zeros."""
    if not program.averages:
        return ()
    terms = jnp.zeros(2, program.dtype) if decay is None else jnp.asarray(decay, program.dtype)
    kept, figures = jax.tree.map(jnp.copy, (params, layer_state))
    return Average(kept, figures, terms)


def numbers_of(program: Program) -> RunNumbers:
    """What a run's state is given: of an open optimizer, and the decay as `Average` has it."""
    d = program.average_decay
    decay = None if d is None else np.array([1 - d, math.log(d)])
    return program.numbers, decay


def weights_of(state: TrainState) -> tuple[Any, Any]:
    """(params, layer_state) to judge and to keep: the moving averages where there are any."""
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
            f"A batch of {program.batch_size} examples cannot be cut evenly into {each}: take a"
            f" multiple of {count * devices}."
        )
