"""Networks of the strong MLPs on tables, composed of their layers: PLR, RealMLP, TabM.

Each takes rows whose first `n_numbers` columns are numbers; the others (one-hot vectors and
embeddings of categories, as `Categories` gives them) go to the hidden layers unchanged.
"""

from collections.abc import Sequence

from mlp_jax.backprop.beside import Beside
from mlp_jax.backprop.blocks import BlockDense
from mlp_jax.backprop.dense import Dense
from mlp_jax.backprop.members import MeanOfMembers, Members, SharedDense
from mlp_jax.backprop.network import Sequential, mlp
from mlp_jax.backprop.numbers import (
    Cosines,
    FeatureScale,
    NTKScale,
    Periodic,
    PiecewiseLinear,
)
from mlp_jax.backprop.parametric import ParametricActivation
from mlp_jax.backprop.regularizers import Dropout
from mlp_jax.backprop.specification import Layer

Edges = Sequence[tuple[float, ...]]


def plr(
    n_numbers: int,
    hidden: Sequence[int],
    n_out: int,
    activation: str = "relu",
    *,
    dropout: float = 0.0,
    frequencies: int = 24,
    sigma: float = 0.1,
    width: int = 8,
) -> Sequential:
    """MLP-PLR: periodic features, then a dense layer for each number, ReLU (Gorishniy 2022)."""
    waves = Sequential((Periodic(frequencies, sigma), BlockDense(n_numbers, width, "relu")))
    plain = mlp(hidden, n_out, activation, dropout=dropout)
    return Sequential((Beside(waves, n_numbers), *plain.layers))


def realmlp(
    n_numbers: int,
    hidden: Sequence[int],
    n_out: int,
    activation: str = "mish",
    *,
    dropout: float = 0.0,
    frequencies: int = 16,
    sigma: float | tuple[float, ...] = 0.1,
    width: int = 3,
) -> Sequential:
    """RealMLP (Holzmüller 2024): PBLD embeddings, NTK parametrization, learned scales and f."""
    waves = Sequential((Cosines(frequencies, sigma), BlockDense(n_numbers, width)))
    embedded = (Beside(waves, n_numbers, keep=True),) if n_numbers else ()
    layers: list[Layer] = [*embedded, FeatureScale()]
    for n in hidden:
        layers += [NTKScale(), Dense(n, "identity", "standard_normal")]
        layers += [ParametricActivation(activation)]
        layers += [Dropout(dropout)] if dropout else []
    layers += [NTKScale(), Dense(n_out, "identity", "standard_normal")]
    return Sequential(tuple(layers))


def binned(edges: Edges, width: int = 8, activation: str = "identity") -> Beside:
    """First numbers encoded by their bins, each followed by a dense layer (Gorishniy 2022, PLE).

    edges: of the bins of each number, at least one number.
    """
    bins = (PiecewiseLinear(tuple(edges)), BlockDense(len(edges), width, activation))
    return Beside(Sequential(bins), len(edges))


def tabm(
    hidden: Sequence[int],
    n_out: int,
    activation: str = "relu",
    *,
    link: str,
    dropout: float = 0.0,
    members: int = 8,
    factors: str = "normal",
) -> Sequential:
    """TabM: members that share their weights except for rank-one factors (Gorishniy 2024).

    Takes embedded rows; embeddings of numbers go before it. link: from an output to a prediction.
    factors: initial values of the first factors, as in `SharedDense`.
    """
    layers: list[Layer] = [Members(members)]
    for place, n in enumerate(hidden):
        layers += [SharedDense(n, members, activation, "ones" if place else factors)]
        layers += [Dropout(dropout)] if dropout else []
    layers += [BlockDense(members, n_out), MeanOfMembers(members, link)]
    return Sequential(tuple(layers))
