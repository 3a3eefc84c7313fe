"""Small data, and training written out in the plainest way, for the tests to compare with."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, get_args, get_origin, get_type_hints

import jax
import jax.numpy as jnp
import numpy as np
import optax

from mlp_jax.backprop import Layer
from mlp_jax.data import Split, load_digits
from mlp_jax.training.callbacks import Callback, CallEnd
from mlp_jax.training.engine.batches import epoch_order
from mlp_jax.training.engine.program import INIT, stream

CLASSES = 3


def other_values(record: Any) -> dict[str, Any]:
    """A value of each option of a record that is not its default, by the option's type."""
    found = {}
    for name, hint in get_type_hints(type(record)).items():
        usual = getattr(record, name)
        kinds = [kind for kind in (get_args(hint) or (hint,)) if kind is not type(None)]
        kind = hint if get_origin(hint) is tuple else kinds[0]
        if kind is bool:
            found[name] = not usual
        elif kind in (int, float):
            found[name] = kind((usual or 0) + 2) if kind is int else 0.25
        elif kind is str:
            found[name] = f"{usual or ''}x"
        elif get_origin(kind) is tuple:
            found[name] = (*usual, get_args(kind)[0]("3"))
        else:
            raise TypeError(f"no value for {name}: {hint}")
    return found


class OnCall(Callback):
    """Call `function(epoch, fraction, loss, samples_per_second)` after every compiled call."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    def on_call_end(self, end: CallEnd) -> None:
        """Pass on the figures."""
        self._function(end.epoch, end.fraction, end.loss, end.samples_per_second)


class OnProof(Callback):
    """Call `function(report)` once the gradient is checked."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.on_proof = function


def labelled(n: int, inputs: int = 4, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """x (n, inputs) float32 and labels (n,) 0 to 2 that depend on x."""
    x = np.random.default_rng(seed).standard_normal((n, inputs)).astype(np.float32)
    return x, np.argmax(x[:, :CLASSES] + 0.5 * x[:, 1:2], axis=1).astype(np.int32)


def digits(n: int) -> Split:
    """The first n digits."""
    rows = load_digits().train
    return Split(rows.x[:n], rows.y[:n])


def initial_params(network: Layer, seed: int, n_in: int) -> Any:
    """The float64 parameters that a run from `seed` starts at."""
    params, _ = network.init(stream(np.uint32(seed), INIT), n_in)
    return jax.tree.map(lambda leaf: leaf.astype(jnp.float64), params)


def batches(n: int, size: int, seed: int, epoch: int) -> list[np.ndarray]:
    """The rows of each batch of an epoch; the last is as short as it comes."""
    order = np.asarray(epoch_order(np.uint32(seed), np.int32(epoch), n, size)).reshape(-1)[:n]
    return [order[start : start + size] for start in range(0, n, size)]


def train_plainly(
    objective: Callable[..., jax.Array],
    params: Any,
    optimizer: optax.GradientTransformation,
    x: np.ndarray,
    y: np.ndarray,
    *,
    size: int,
    seed: int,
    epochs: int,
) -> tuple[Any, list[float]]:
    """A loop of `jax.value_and_grad` and Optax: (parameters, mean loss of each epoch)."""
    state, losses = optimizer.init(params), []
    step = jax.jit(jax.value_and_grad(objective))
    for epoch in range(1, epochs + 1):
        total = 0.0
        for rows in batches(len(x), size, seed, epoch):
            value, grads = step(params, jnp.asarray(x[rows], jnp.float64), jnp.asarray(y[rows]))
            updates, state = optimizer.update(grads, state, params)
            params = optax.apply_updates(params, updates)
            total += float(value) * len(rows)
        losses.append(total / len(x))
    return params, losses


def tanh_cross_entropy(params: Any, x: jax.Array, y: jax.Array) -> jax.Array:
    """The mean cross-entropy of dense layers with tanh between them, as a textbook has it."""
    for layer in params[:-1]:
        x = jnp.tanh(x @ layer["W"] + layer["b"][None, :])
    logits = x @ params[-1]["W"] + params[-1]["b"][None, :]
    own = jnp.take_along_axis(logits, y[:, None], axis=1)[:, 0]
    return jnp.mean(jax.scipy.special.logsumexp(logits, axis=1) - own)


def leaves_equal(ours: Any, theirs: Any) -> bool:
    """Whether two trees hold the same bits."""
    pairs = zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True)
    return all(np.array_equal(a, b) for a, b in pairs)


def assert_close(ours: Any, theirs: Any, tolerance: float) -> None:
    """Every leaf within `tolerance` of the size of the expected one."""
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
        assert a.shape == b.shape
        assert np.linalg.norm(a - b) <= tolerance * max(np.linalg.norm(b), 1e-30)


traces: list[str] = []


@dataclass(frozen=True)
class Counting(Layer):
    """The identity; notes in `traces` each time that JAX traces it."""

    def init(self, key: jax.Array, n_in: int) -> tuple[Any, Any]:
        traces.append("init")
        return super().init(key, n_in)

    def forward(
        self, params: Any, state: Any, a: jax.Array, *, train: bool, key: Any, mask: Any
    ) -> tuple[jax.Array, Any, None]:
        traces.append("train" if train else "inference")
        return a, state, None

    def backward(
        self, params: Any, residual: Any, grad_a_next: jax.Array, *, need_grad_a: bool
    ) -> tuple[jax.Array, dict[str, Any]]:
        return grad_a_next, {}


@jax.custom_jvp
def closed_tanh(a: jax.Array) -> jax.Array:
    """tanh that JAX must not differentiate."""
    return jnp.tanh(a)


@closed_tanh.defjvp
def _refuse(primals: Any, tangents: Any) -> Any:
    raise AssertionError("JAX differentiated the forward pass")


@dataclass(frozen=True)
class ClosedTanh(Layer):
    """tanh with a backward by hand and none by JAX."""

    def forward(
        self, params: Any, state: Any, a: jax.Array, *, train: bool, key: Any, mask: Any
    ) -> tuple[jax.Array, Any, jax.Array]:
        a_next = closed_tanh(a)
        return a_next, state, a_next

    def backward(
        self, params: Any, residual: jax.Array, grad_a_next: jax.Array, *, need_grad_a: bool
    ) -> tuple[jax.Array, dict[str, Any]]:
        return grad_a_next * (1 - residual**2), {}


def named_weights(params: Any) -> Iterator[tuple[str, np.ndarray]]:
    """("0.W", its values), … of a plain sequence of layers."""
    for index, layer in enumerate(params):
        for name, leaf in layer.items():
            yield f"{index}.{name}", np.asarray(leaf)
