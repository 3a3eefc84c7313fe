"""Gradient check without data: a network from its options, and examples drawn for its loss."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax
import numpy as np

from mlp_jax.backprop import Categories, FeatureScale, Layer, Loss, Sequential, get_loss, mlp
from mlp_jax.backprop.tables import binned, plr, realmlp, tabm
from mlp_jax.data.tables.options import ColumnOptions, embedding_width
from mlp_jax.errors import InputError, UnknownNameError
from mlp_jax.proof.check import check_gradients
from mlp_jax.proof.faults import FAULTS, inject
from mlp_jax.proof.report import Report

DTYPES = {
    "float32": ("float64", "float32"),
    "bf16": ("float64", "bfloat16"),
    "float64": ("float64",),
}
EXAMPLES = 8


TABLES = ("plr", "realmlp", "tabm")
EDGES = (-2.0, -1.0, 0.0, 1.0, 2.0)


def table_network(
    name: str,
    n_numbers: int,
    hidden: Sequence[int],
    n_out: int,
    activation: str,
    dropout: float,
    link: str,
) -> Sequential:
    """Return a network of `tables.py` for numbers of about size 1, with a learned scale before it.

    Because of the scale, a wrong ∇a of the first layer shows in a gradient.
    """
    if name == "tabm":
        edges = (EDGES,) * n_numbers
        tabs = tabm(hidden, n_out, activation, link=link, dropout=dropout, members=3)
        found = Sequential((binned(edges), *tabs.layers))
    else:
        build = plr if name == "plr" else realmlp
        found = build(n_numbers, hidden, n_out, activation, dropout=dropout, frequencies=4)
    return Sequential((FeatureScale(), *found.layers))


@dataclass(frozen=True)
class Trial:
    """Options of the network and the loss to check."""

    inputs: int = 64
    """width of the input"""
    categories: tuple[int, ...] = ()
    """codes of each additional category: few are one-hot encoded, many get an embedding"""
    hidden: tuple[int, ...] = (64, 64)
    """widths of the hidden layers"""
    outputs: int = 10
    """width of the output"""
    activation: str = "relu"
    """activation of the hidden layers (an unknown name lists all of them)"""
    loss: str = "softmax_cross_entropy"
    """loss function (an unknown name lists all of them)"""
    dropout: float = 0.0
    """dropout rate after each hidden layer"""
    norm: str | None = None
    """normalization before each activation: layer, rms or batch"""
    residual: bool = False
    """add a residual connection around layers of equal width"""
    table: str | None = None
    """network for tables: plr, realmlp or tabm"""

    def network(self) -> Sequential:
        """Return the network; InputError for options that exclude each other."""
        if self.inputs < 1:
            raise InputError(f"A network needs at least 1 input, not {self.inputs}.")
        network = self._plain() if self.table is None else self._of_table(self.table)
        if not self.categories:
            return network
        few = ColumnOptions().one_hot_up_to
        widths = tuple(0 if codes <= few else embedding_width(codes) for codes in self.categories)
        return Sequential((Categories(self.inputs, self.categories, widths), *network.layers))

    def _plain(self) -> Sequential:
        return mlp(
            self.hidden,
            self.outputs,
            self.activation,
            dropout=self.dropout,
            norm=self.norm,
            residual=self.residual,
        )

    def _of_table(self, name: str) -> Sequential:
        """Return the table network of that name; it has neither norms nor shortcuts."""
        if name not in TABLES:
            raise UnknownNameError("table network", name, TABLES)
        if self.norm is not None or self.residual:
            raise InputError(f"The network {name} has neither norms nor shortcuts.")
        link = get_loss(self.loss).function.predict
        return table_network(
            name, self.inputs, self.hidden, self.outputs, self.activation, self.dropout, link
        )

    @property
    def n_in(self) -> int:
        """Number of columns of x: the inputs, and a code for each category."""
        return self.inputs + len(self.categories)

    def batch(self, loss: Loss, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """Draw a few examples for the network."""
        x, y = example_batch(loss, EXAMPLES, self.inputs, self.outputs, seed)
        return np.hstack([x, example_codes(self.categories, EXAMPLES, seed)]), y


def example_codes(categories: tuple[int, ...], n: int, seed: int = 0) -> np.ndarray:
    """Draw codes (n, len(categories)) from 0 to each category's last; the first row is unknown."""
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, np.array(categories, int) + 1, (n, len(categories)))
    codes[:1] = 0
    return codes.astype(np.float64)


def example_batch(
    loss: Loss, n: int, inputs: int, outputs: int, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Draw x (n, inputs) normal, and valid targets for the loss, from `seed`."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, inputs))
    kind = loss.function.targets
    if kind == "classes":
        return x, rng.integers(0, max(outputs, 2), n).astype(np.int32)
    if kind == "binary":
        return x, rng.integers(0, 2, (n, outputs)).astype(np.float64)
    counts = loss.name == "poisson"
    drawn = rng.poisson(2.0, (n, outputs)) if counts else rng.standard_normal((n, outputs))
    return x, drawn.astype(np.float64)


def rows_for(network: Layer, loss: Loss, n_in: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Draw a few examples (x, y) for a network of n_in inputs, codes of categories among them."""
    first = network.children[0] if network.children else network
    codes = first.codes if isinstance(first, Categories) else ()
    x, y = example_batch(loss, EXAMPLES, n_in - len(codes), network.width_out(n_in), seed)
    return np.hstack([x, example_codes(codes, EXAMPLES, seed)]), y


def check_trial(
    trial: Trial,
    *,
    precision: str = "float32",
    seed: int = 0,
    samples: int | None = 6,
    fault: str | None = None,
) -> tuple[Report, str]:
    """Check the network of a trial; also return a note on the injected fault, if one was requested.

    A fault that the network has no place for is injected into the nearest network that has one.
    """
    if precision not in DTYPES:
        raise UnknownNameError("precision", precision, DTYPES)
    note = ""
    loss, network = get_loss(trial.loss), trial.network()
    injected = None
    if fault is not None:
        if fault not in FAULTS:
            raise UnknownNameError("fault", fault, FAULTS)
        injected = inject(FAULTS[fault], network, loss, trial.n_in)
        note = f"injected: {FAULTS[fault].summary}"
        if injected is None:
            needs = FAULTS[fault].needs
            trial = replace(trial, **needs)
            said = ", ".join(f"{name} {_words(value)}" for name, value in needs.items())
            note += f" (in a network with {said})"
            loss, network = get_loss(trial.loss), trial.network()
            injected = inject(FAULTS[fault], network, loss, trial.n_in)
    options: dict[str, Any] = {"dtypes": DTYPES[precision], "samples": samples, "seed": seed}
    if injected is not None:
        network_, loss, options["differentiate"] = injected
    else:
        network_ = network
    params, state = network.init(jax.random.key(seed), trial.n_in)
    batch = trial.batch(loss, seed)
    return check_gradients(network_, loss, params, batch, state=state, **options), note


def _words(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def fault_list() -> str:
    """Return the faults that can be injected, one per line: name, summary, expected place."""
    width = max(map(len, FAULTS))
    return "\n".join(
        f"{name:<{width}}  {fault.summary} → {fault.layer}, {fault.equation}"
        for name, fault in FAULTS.items()
    )
