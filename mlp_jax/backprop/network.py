"""Layers composed into layers: `Sequential`, `Residual`, and `mlp`, the usual network."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import jax
from jaxtyping import Array, Bool, Float

from mlp_jax.backprop.activations import get_activation
from mlp_jax.backprop.dense import Activation, Dense
from mlp_jax.backprop.normalization import BatchNorm, LayerNorm, RMSNorm
from mlp_jax.backprop.regularizers import Dropout
from mlp_jax.backprop.specification import Layer, Params, Records, Saved, State
from mlp_jax.errors import InputError, UnknownNameError

NORMS: dict[str, type[Layer]] = {"layer": LayerNorm, "rms": RMSNorm, "batch": BatchNorm}


def child_key(key: Array | None, index: int) -> Array | None:
    """Random key of the child at `index`."""
    return None if key is None else jax.random.fold_in(key, index)


@dataclass(frozen=True)
class Sequential(Layer):
    """Layers one after the other: forward from the left, backward from the right.

    Args:
        layers: the layers from input to output.
    """

    layers: tuple[Layer, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "layers", tuple(self.layers))

    def __str__(self) -> str:
        return f"Sequential({', '.join(map(str, self.layers))})"

    @property
    def children(self) -> tuple[Layer, ...]:
        """The layers."""
        return self.layers

    def with_children(self, children: tuple[Layer, ...]) -> "Sequential":
        """Return a sequence of other layers."""
        return replace(self, layers=children)

    def width_out(self, n_in: int) -> int:
        """Width of the last layer's output."""
        for layer in self.layers:
            n_in = layer.width_out(n_in)
        return n_in

    def init(self, key: Array, n_in: int) -> tuple[tuple[Params, ...], tuple[State, ...]]:
        """Parameters and state of each layer, as tuples."""
        params, state = [], []
        for index, layer in enumerate(self.layers):
            layer_params, layer_state = layer.init(jax.random.fold_in(key, index), n_in)
            params.append(layer_params)
            state.append(layer_state)
            n_in = layer.width_out(n_in)
        return tuple(params), tuple(state)

    def forward(
        self,
        params: tuple[Params, ...],
        state: tuple[State, ...],
        a: Float[Array, "N I"],
        *,
        train: bool,
        key: Array | None,
        mask: Bool[Array, " N"] | None,
    ) -> tuple[Array, tuple[State, ...], tuple[Saved, ...]]:
        """Layers from left to right, each output the input of the next."""
        states, residuals = [], []
        for index, layer in enumerate(self.layers):
            a, new_state, residual = layer.forward(
                params[index],
                state[index],
                a,
                train=train,
                key=child_key(key, index),
                mask=mask,
            )
            states.append(new_state)
            residuals.append(residual)
        return a, tuple(states), tuple(residuals)

    def backward(
        self,
        params: tuple[Params, ...],
        residual: tuple[Saved, ...],
        grad_a_next: Float[Array, "N J"],
        *,
        need_grad_a: bool,
    ) -> tuple[Array | None, tuple[Records, ...]]:
        """The chain rule: the layers from right to left, ∇a of one the ∇a' of the one before."""
        records: list[Records] = []
        grad_a: Array | None = grad_a_next
        for index in reversed(range(len(self.layers))):
            assert grad_a is not None
            grad_a, layer_records = self.layers[index].backward(
                params[index], residual[index], grad_a, need_grad_a=need_grad_a or index > 0
            )
            records.append(layer_records)
        return grad_a, tuple(reversed(records))


@dataclass(frozen=True)
class Residual(Layer):
    """a' = s(a) + F(a): a body F beside a shortcut s (He 2016).

    Args:
        body: F.
        shortcut: s, a `Dense` where the widths differ; None is the identity.
    """

    body: Layer
    shortcut: Layer | None = None

    def __str__(self) -> str:
        shortcut = "" if self.shortcut is None else f", shortcut={self.shortcut}"
        return f"Residual({self.body}{shortcut})"

    @property
    def children(self) -> tuple[Layer, ...]:
        """The body, and the shortcut if it is a layer."""
        return (self.body,) if self.shortcut is None else (self.body, self.shortcut)

    def with_children(self, children: tuple[Layer, ...]) -> "Residual":
        """Return the same structure with another body (and shortcut)."""
        return replace(self, body=children[0], shortcut=children[1] if children[1:] else None)

    def width_out(self, n_in: int) -> int:
        """The body's width; InputError unless the shortcut has it too."""
        width = self.body.width_out(n_in)
        beside = n_in if self.shortcut is None else self.shortcut.width_out(n_in)
        if width != beside:
            raise InputError(
                f"The body of a residual layer has width {width}, but its shortcut {beside}; "
                "give a shortcut=Dense(…) of the same width."
            )
        return width

    def init(self, key: Array, n_in: int) -> tuple[tuple[Params, ...], tuple[State, ...]]:
        """Parameters and state of the children, as tuples."""
        self.width_out(n_in)
        pairs = [
            child.init(jax.random.fold_in(key, index), n_in)
            for index, child in enumerate(self.children)
        ]
        return tuple(p for p, _ in pairs), tuple(s for _, s in pairs)

    def forward(
        self,
        params: tuple[Params, ...],
        state: tuple[State, ...],
        a: Float[Array, "N I"],
        *,
        train: bool,
        key: Array | None,
        mask: Bool[Array, " N"] | None,
    ) -> tuple[Array, tuple[State, ...], tuple[Saved, ...]]:
        """a' = s(a) + F(a)."""
        outputs, states, residuals = [], [], []
        for index, child in enumerate(self.children):
            output, new_state, residual = child.forward(
                params[index],
                state[index],
                a,
                train=train,
                key=child_key(key, index),
                mask=mask,
            )
            outputs.append(output)
            states.append(new_state)
            residuals.append(residual)
        beside = a.astype(outputs[0].dtype) if self.shortcut is None else outputs[1]
        return outputs[0] + beside, tuple(states), tuple(residuals)

    def backward(
        self,
        params: tuple[Params, ...],
        residual: tuple[Saved, ...],
        grad_a_next: Float[Array, "N J"],
        *,
        need_grad_a: bool,
    ) -> tuple[Array | None, tuple[Records, ...]]:
        """∇a = ∇a through the shortcut + ∇a through the body: da' = ds + dF, so both add up."""
        grads, records = [], []
        for index, child in enumerate(self.children):
            grad_a, child_records = child.backward(
                params[index], residual[index], grad_a_next, need_grad_a=need_grad_a
            )
            grads.append(grad_a)
            records.append(child_records)
        if not need_grad_a:
            return None, tuple(records)
        assert grads[0] is not None
        beside = grad_a_next if self.shortcut is None else grads[1]
        assert beside is not None
        return grads[0] + beside.astype(grads[0].dtype), tuple(records)


def mlp(
    hidden: Sequence[int],
    n_out: int,
    activation: str = "relu",
    *,
    dropout: float = 0.0,
    norm: str | None = None,
    residual: bool = False,
    initializer: str | None = None,
) -> Sequential:
    """Make the standard network: hidden layers and a linear output layer.

    Args:
        hidden: widths of the hidden layers.
        n_out: width of the output.
        activation: of the hidden layers, by name.
        dropout: rate of the dropout after each hidden layer.
        norm: "layer", "rms" or "batch" between each hidden layer's z and its f.
        residual: add a shortcut around each hidden layer that is as wide as the one before it.
        initializer: of the weights, by name; None selects the one that suits the activation.

    Returns:
        The network.

    Raises:
        UnknownNameError: for an activation, norm or initializer that does not exist.
    """
    if norm is not None and norm not in NORMS:
        raise UnknownNameError("norm", norm, NORMS)
    start = initializer or get_activation(activation).initializer
    layers: list[Layer] = []
    previous: int | None = None
    for width in hidden:
        block: list[Layer]
        if norm is None:
            block = [Dense(width, activation, start)]
        else:
            block = [Dense(width, "identity", start), NORMS[norm](), Activation(activation)]
        if dropout:
            block.append(Dropout(dropout))
        if residual and width == previous:
            block = [Residual(Sequential(tuple(block)))]
        layers.extend(block)
        previous = width
    layers.append(Dense(n_out, "identity", initializer))
    return Sequential(tuple(layers))
