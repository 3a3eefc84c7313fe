"""`fit`: checked data, the proof, then epochs as compiled calls."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import jax
import numpy as np
import optax

from mlp_jax.backprop import Layer, Loss
from mlp_jax.data import Scaling
from mlp_jax.errors import ProofError
from mlp_jax.proof import Report
from mlp_jax.training.checkpoint.manager import Checkpoints
from mlp_jax.training.checkpoint.snapshot import Position, Snapshot
from mlp_jax.training.engine.program import initial_state
from mlp_jax.training.input.validate import Rows
from mlp_jax.training.loop import EpochEnd, Plan, Select, run_epochs
from mlp_jax.training.mesh.processes import to_host
from mlp_jax.training.optim.open_optimizer import with_numbers_of
from mlp_jax.training.optim.optimizers import Optimizer
from mlp_jax.training.plan import prove, settle
from mlp_jax.training.private.accounting import Account
from mlp_jax.training.private.asked import Privacy
from mlp_jax.training.private.ledger import Ledger
from mlp_jax.training.private.refusals import check_start
from mlp_jax.training.result import Fitted


def fit(
    network: Layer,
    loss: Loss | str,
    optimizer: Optimizer | str | optax.GradientTransformation,
    data: Rows,
    *,
    epochs: int = 10,
    batch_size: int | None = None,
    seed: int = 0,
    validation: Rows | float | None = None,
    sample_weight: np.ndarray | None = None,
    class_weight: str | Sequence[float] | None = None,
    scaling: Scaling | None = None,
    target_scaling: Scaling | None = None,
    metrics: Sequence[str] | None = None,
    patience: int | None = None,
    select: Select = "last",
    monitor: str | None = None,
    average: float | None = None,
    importance: int | None = None,
    precision: str | None = None,
    device: str | None = None,
    devices: int | None = None,
    mesh: str | None = None,
    shard_optimizer: bool = False,
    accumulate: int = 1,
    recompute: bool = False,
    callbacks: Sequence[Callable[[EpochEnd], bool | None]] = (),
    tick: Callable[[int, float, float, float], None] | None = None,
    proved: Callable[[Report], None] | None = None,
    schedule_epochs: int | None = None,
    checkpoints: Callable[[], Checkpoints] | None = None,
    started: Callable[[Position], None] | None = None,
    start: tuple[Any, Any] | None = None,
    diagnostics: bool = False,
    privacy: Privacy | None = None,
    ledger: Callable[[Account], Ledger] = Ledger,
) -> Fitted:
    """Trains `network` on rows x (N, I), y, after proving its gradient; returns a `Fitted`.

    optimizer: a name, an `Optimizer` with its schedule, or any Optax transformation.
    batch_size: examples a step; None takes 64, or all rows where there are fewer.
    data: (x, y) or a Split; x uint8 (images, scaled in the step) or float (taken as it is unless
    `scaling` is given); y as the loss takes it.  A `Streamed` stays in its files, and is read as
    training needs it.
    validation: rows to judge each epoch by, or the fraction of `data` to hold out, stratified.
    sample_weight (N,) of `data`, class_weight ("balanced" or one a class): how much a row counts.
    metrics: names for validation; the first is the `monitor` unless said otherwise ("loss" too).
    patience: stop after so many epochs without a better monitor, and return the best weights.
    select: "best" returns them without stopping early, where there are validation rows.
    average: decay of an exponential moving average of the weights, and of batch norm's figures,
    which then is what is judged and kept. As in Adam the share of the random start is divided out.
    importance: draw each batch from a pool of so many, by the size of the gradients.
    precision: "float32", "tf32", "bf16", "float64"; device: "cpu", "gpu".
    devices: how many of them, None for all GPUs or one CPU; mesh: "data=4,model=2" splits examples
    and weights; shard_optimizer: what the optimizer remembers is split over data too.
    accumulate: into how many parts each batch is cut, one after the other; recompute: activations
    are computed again in the backward pass instead of kept. Both save memory, not time.
    callbacks get an `EpochEnd` after each epoch; tick is called after every compiled call; proved
    is given the report of the proof before the first step.
    target_scaling: brings real targets to the network and is undone in predictions and metrics.
    schedule_epochs: what the schedule is stretched over, else `epochs`.
    checkpoints: called after the proof, gives where to save to; where they hold a snapshot the
    training goes on from it. started: is told where it starts. start: parameters and state to
    start from, as the network's `init` gives them, with None at a child that starts afresh.
    diagnostics: measure the gradient's noise scale at times (`probe.is_due`), into `history`.
    privacy: bounds what the weights tell of any one row, by DP-SGD (docs/private.md); batch_size is
    then the expected one, None takes 2048. ledger: called after the proof, counts its steps.

    Raises InputError for data or options that do not fit, ProofError where the gradient fails the
    proof, DivergedError where a step is not finite, DeviceError where the device is missing.
    """
    settled = settle(
        network,
        loss,
        optimizer,
        data,
        epochs=epochs,
        batch_size=batch_size,
        seed=seed,
        validation=validation,
        sample_weight=sample_weight,
        class_weight=class_weight,
        scaling=scaling,
        target_scaling=target_scaling,
        metrics=metrics,
        patience=patience,
        select=select,
        monitor=monitor,
        average=average,
        importance=importance,
        precision=precision,
        device=device,
        devices=devices,
        mesh=mesh,
        shard_optimizer=shard_optimizer,
        accumulate=accumulate,
        recompute=recompute,
        schedule_epochs=schedule_epochs,
        privacy=privacy,
    )
    if privacy is not None:
        check_start(start, diagnostics)
    program, rows, policy = settled.program, settled.rows, settled.precision
    plan = Plan(
        epochs,
        np.uint32(seed),
        settled.metrics,
        settled.n_classes,
        settled.monitor,
        patience,
        tuple(callbacks),
        tick,
        target_scaling=target_scaling,
        select=select,
        diagnostics=diagnostics,
    )
    with policy.active(), jax.default_device(settled.device):
        state = initial_state(program, plan.seed, rows.x.shape[1], start)
        report = prove(settled, state)
        if proved is not None:
            proved(report)
        if not report.ok:
            raise ProofError(f"The gradient fails the proof at {report.fault}.")
        if settled.account is not None:
            plan = plan._replace(ledger=ledger(settled.account))
        feed, judged = settled.feed()
        snapshot = Snapshot(state)
        if checkpoints is not None:
            keeper = checkpoints()
            restored = keeper.restore(state)
            if restored is not None:
                opt_state = with_numbers_of(state.opt_state, restored.state.opt_state)
                snapshot = restored._replace(state=restored.state._replace(opt_state=opt_state))
            plan = plan._replace(keep=keeper)
        if started is not None:
            started(snapshot.position)
        outcome = run_epochs(program, snapshot, feed, judged, plan)
    if jax.process_count() > 1:  # what is left to do, each process can do by itself
        weights = to_host((outcome.params, outcome.layer_state))
        outcome = outcome._replace(params=weights[0], layer_state=weights[1])
        settled = settled._replace(program=replace(program, layout=None))
    return settled.fitted(outcome, report)
