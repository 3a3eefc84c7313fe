"""What the options of a fit come to: rows, program, judges; and how these get onto the device."""

from dataclasses import replace
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from mlp_jax.backprop import Layer
from mlp_jax.data import Scaling, Split
from mlp_jax.data.source import Streamed
from mlp_jax.model.precision import Precision
from mlp_jax.proof import Report
from mlp_jax.training.engine.batches import DeviceData
from mlp_jax.training.engine.private_step import draw_secret
from mlp_jax.training.engine.program import Program
from mlp_jax.training.input.loaders import Feed, Held, Reading
from mlp_jax.training.loop import Outcome, Watched
from mlp_jax.training.optim.optimizers import Optimizer
from mlp_jax.training.private.accounting import Account
from mlp_jax.training.result import Fitted, place


class Settled(NamedTuple):
    """What the options of a fit come to, checked; nothing is on the device yet.

    rows, watched: to train on and to judge by, in the loss's terms.  weights (N,): of the rows.
    streamed: the rows to train on, where they stay in their files; `rows` are a few of them then.
    steps: what the schedule is stretched over.  monitor: the metric that chooses the best epoch.
    account: of a private training, what it may spend.
    """

    program: Program
    optimizer: Optimizer | optax.GradientTransformation
    rows: Split
    watched: Split | None
    weights: np.ndarray | None
    scaling: Scaling | None
    target_scaling: Scaling | None
    metrics: tuple[str, ...]
    monitor: str
    n_classes: int
    steps: int
    precision: Precision
    device: jax.Device
    account: Account | None = None
    streamed: Streamed | None = None

    def guarded(self) -> "Settled":
        """The same with every step guarded, so that a member of many can stop by itself."""
        return self._replace(program=replace(self.program, guarded=True, transposed=False))

    def with_network(self, network: Layer) -> "Settled":
        """The same for another network of the same width in and out."""
        return self._replace(program=replace(self.program, network=network))

    def place(self) -> tuple[DeviceData, Watched | None]:
        """The rows on the device, and those to judge by."""
        placed = self._place(self.rows, self.weights)
        if self.account is not None:
            placed = placed._replace(secret=jnp.asarray(draw_secret(self.account.privacy.seed)))
        return placed, self._judged()

    def feed(self) -> tuple[Feed, Watched | None]:
        """What the epochs take their rows from, and the rows to judge by."""
        if self.streamed is None:
            placed, judged = self.place()
            return Held(placed, self.program.batch_size), judged
        n_outputs = self.program.network.width_out(self.rows.x.shape[1])
        scalings = (self.scaling, self.target_scaling)
        counts = (n_outputs, self.n_classes)
        return Reading(self.streamed, self.program, *scalings, *counts), self._judged()

    def _place(self, rows: Split, weights: np.ndarray | None) -> DeviceData:
        program = self.program
        where = (self.target_scaling, program.layout)
        return place(rows, weights, self.scaling, program.dtype, *where)

    def _judged(self) -> Watched | None:
        if self.watched is None:
            return None
        return Watched(self._place(self.watched, None), self.watched.y)

    def fitted(self, outcome: Outcome, report: Report) -> Fitted:
        """What a training left behind, with all that it needs to be used."""
        n_in, network = self.rows.x.shape[1], self.program.network
        return Fitted(
            network,
            self.program.loss,
            outcome.params,
            outcome.layer_state,
            self.scaling,
            self.target_scaling,
            outcome.history,
            report,
            outcome.best_epoch,
            n_in,
            network.width_out(n_in),
            self.n_classes,
            self.program,
            self.precision,
            self.device,
            None if self.account is None else self.account.facts(),
        )
