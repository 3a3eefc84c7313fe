"""From the options of a training to what it runs on: rows, program, judges; and the proof of it."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import numpy as np
import optax

from mlp_jax.backprop import Layer, Loss, get_loss
from mlp_jax.data import Scaling, Split, apply, fit_scaling, scaling_of_range
from mlp_jax.data.scaling import standardized
from mlp_jax.data.source import Streamed
from mlp_jax.errors import InputError, UnknownNameError
from mlp_jax.model.judge import task_of
from mlp_jax.model.metrics import check_metrics, default_metrics
from mlp_jax.model.precision import Precision, choose_device, choose_precision
from mlp_jax.proof import Report, check_gradients
from mlp_jax.proof.trial import rows_for
from mlp_jax.training.engine.importance import check_importance
from mlp_jax.training.engine.program import Program, TrainState, check_parts
from mlp_jax.training.input.loaders import check_streamed
from mlp_jax.training.input.validate import Rows, check_numbers, checked_rows, row_weights
from mlp_jax.training.loop import Select
from mlp_jax.training.mesh.layout import Layout
from mlp_jax.training.mesh.processes import to_host
from mlp_jax.training.mesh.proof import split_gradient
from mlp_jax.training.mesh.shape import check_batch_size, choose_layout
from mlp_jax.training.optim.open_optimizer import hyperparameters, open_optimizer
from mlp_jax.training.optim.optimizers import Optimizer
from mlp_jax.training.private.accounting import open_account
from mlp_jax.training.private.asked import Privacy, Rule, with_usual_rate
from mlp_jax.training.private.refusals import check_fit
from mlp_jax.training.settled import Settled

BATCH_SIZE = 64
PRIVATE_BATCH_SIZE = 2048
HELD_TWICE = 1 << 26  # parameters above which a call must reuse the memory of the state before it


def settle(
    network: Layer,
    loss: Loss | str,
    optimizer: Optimizer | str | optax.GradientTransformation,
    data: Rows,
    *,
    epochs: int,
    batch_size: int | None,
    seed: int,
    validation: Rows | float | None,
    sample_weight: np.ndarray | None,
    class_weight: str | Sequence[float] | None,
    scaling: Scaling | None,
    target_scaling: Scaling | None,
    metrics: Sequence[str] | None,
    patience: int | None,
    select: Select,
    monitor: str | None,
    average: float | None,
    importance: int | None,
    precision: str | None,
    device: str | None,
    schedule_epochs: int | None,
    privacy: Privacy | None = None,
    side_by_side: bool = False,
    devices: int | None = None,
    mesh: str | None = None,
    shard_optimizer: bool = False,
    accumulate: int = 1,
    recompute: bool = False,
) -> Settled:
    """The options of `fit`, checked and put together. Raises InputError.

    side_by_side: for networks that train together, each of them on one device.
    """
    loss = get_loss(loss) if isinstance(loss, str) else loss
    chosen = choose_device(device)
    if precision is None and privacy is not None:
        precision = "float32"
    policy = choose_precision(precision, chosen)
    if isinstance(optimizer, str):
        optimizer = Optimizer(optimizer)
    streamed = data if isinstance(data, Streamed) else None
    if streamed is not None:
        check_streamed(
            optimizer,
            validation=validation,
            sample_weight=sample_weight,
            class_weight=class_weight,
            importance=importance,
            privacy=privacy,
            side_by_side=side_by_side,
        )
        data = streamed.sample
    rows, watched, n_classes, weights = checked_rows(
        network, loss, data, validation, seed, sample_weight
    )
    n = len(rows) if streamed is None else len(streamed)
    if privacy is not None:
        check_fit(
            network,
            optimizer,
            policy,
            sample_weight=sample_weight,
            class_weight=class_weight,
            patience=patience,
            select=select,
            importance=importance,
        )
        if isinstance(optimizer, Optimizer):
            optimizer = with_usual_rate(optimizer)
    if isinstance(optimizer, Optimizer) and optimizer.full_batch:
        batch_size = n
    given = batch_size
    if batch_size is None:
        batch_size = min(BATCH_SIZE if privacy is None else PRIVATE_BATCH_SIZE, n)
    layout = None
    if privacy is None and not side_by_side:
        layout = choose_layout(devices, mesh, shard_optimizer, chosen, batch_size)
    elif privacy is not None and (devices not in (None, 1) or mesh is not None):
        raise InputError("A private training computes on one device: no --devices, no --mesh.")
    if layout is not None and given is None:
        batch_size = max(batch_size // layout.data, 1) * layout.data
    check_numbers(epochs, schedule_epochs, batch_size, patience, average, seed, n)
    check_importance(importance, network, batch_size, n)
    if layout is not None and not (isinstance(optimizer, Optimizer) and optimizer.full_batch):
        check_batch_size(layout, batch_size)
    names, watch = _judges(loss, rows, n_classes, metrics, monitor)
    if select not in ("best", "last"):
        raise UnknownNameError("selection of weights", select, ("best", "last"))
    if patience is not None and watched is None:
        raise InputError("Early stopping (patience) needs validation rows.")
    weights = row_weights(rows, weights, class_weight, n_classes)
    if scaling is None and rows.x.dtype == np.uint8:
        scaling = _pixel_scaling(rows, streamed, privacy)
    an_epoch = -(-n // batch_size)
    steps = (schedule_epochs or epochs) * an_epoch
    account = None
    if privacy is not None:
        account = open_account(privacy, n, batch_size, epochs * an_epoch)
    if isinstance(optimizer, Optimizer):
        optimizer.check_fits(network, loss, side_by_side=side_by_side)
    program = _program(
        network,
        loss,
        optimizer,
        batch_size,
        policy,
        average,
        steps=steps,
        n_in=rows.x.shape[1],
        on_cpu=chosen.platform == "cpu",
        pool=importance,
        private=None if account is None else account.rule,
        layout=layout,
    )
    check_parts(accumulate, program)
    program = replace(program, accumulate=accumulate, recompute=recompute)
    return Settled(
        program,
        optimizer,
        rows,
        watched,
        weights,
        scaling,
        target_scaling,
        names,
        watch,
        n_classes,
        steps,
        policy,
        chosen,
        account,
        streamed,
    )


def _pixel_scaling(rows: Split, streamed: Streamed | None, privacy: Privacy | None) -> Scaling:
    """The scaling of pixels for which none was given."""
    if privacy is not None:
        return scaling_of_range(0, 255)
    if streamed is None:
        return fit_scaling(rows.x)
    from mlp_jax.data.streams import streaming_scaling

    return streaming_scaling(streamed.source)


def _program(
    network: Layer,
    loss: Loss,
    optimizer: Optimizer | optax.GradientTransformation,
    batch_size: int,
    policy: Precision,
    average: float | None,
    *,
    steps: int,
    n_in: int,
    on_cpu: bool,
    pool: int | None,
    private: Rule | None,
    layout: Layout | None,
) -> Program:
    """The static half of the epochs: what the optimizer is known to do decides how they run."""
    named = optimizer if isinstance(optimizer, Optimizer) else None
    numbers = None if named is None else hyperparameters(named, steps)
    if named is None:
        build: Any = optimizer
    else:
        build = named.build(steps) if numbers is None else open_optimizer(named)
    guarded = named is None or named.full_batch or _parameters(network, n_in) > HELD_TWICE
    elementwise = named is not None and not named.knows_matrices
    return Program(
        network,
        loss,
        optax.with_extra_args_support(build),
        batch_size,
        policy.params,
        policy.products,
        average,
        doubt_updates=named is None or named.inverts_curvature,
        guarded=guarded,
        gives_curvature=named is not None and named.inverts_curvature,
        transposed=on_cpu and elementwise and not guarded and layout is None,
        pool=pool,
        private=private,
        layout=layout,
        numbers=numbers,
    )


def _parameters(network: Layer, n_in: int) -> int:
    """P, counted without drawing any."""
    params, _ = jax.eval_shape(lambda key: network.init(key, n_in), jax.random.key(0))
    return sum(leaf.size for leaf in jax.tree.leaves(params))


def _judges(
    loss: Loss, rows: Split, n_classes: int, metrics: Sequence[str] | None, monitor: str | None
) -> tuple[tuple[str, ...], str]:
    """The metrics of each epoch, and the one that chooses the best epoch."""
    task = task_of(loss, rows.y, n_classes)
    names = default_metrics(task) if metrics is None else tuple(metrics)
    check_metrics(task, names)
    watch = monitor or (names[0] if names else "loss")
    if watch not in ("loss", *names):
        raise InputError(f"The monitor '{watch}' is not among the metrics: {', '.join(names)}.")
    return names, watch


def prove(settled: Settled, state: TrainState) -> Report:
    """The proof on a few of the rows, drawn ones in a private run: float64, and the run's type."""
    program = settled.program
    if settled.account is None:
        examples = _few_rows(settled)
    else:
        examples = rows_for(program.network, program.loss, settled.rows.x.shape[1])
    return check_gradients(
        program.trained,
        program.loss,
        to_host(state.params),
        examples,
        state=to_host(state.layer_state),
        dtypes=tuple(dict.fromkeys(("float64", settled.precision.proof_dtype))),
        split=None if program.layout is None else partial(split_gradient, program.layout),
    )


def _few_rows(settled: Settled) -> tuple[np.ndarray, np.ndarray]:
    """At most eight of the training rows, as the network takes them."""
    rows, scaling, target_scaling = settled.rows, settled.scaling, settled.target_scaling
    few = np.linspace(0, len(rows) - 1, min(len(rows), 8)).astype(int)
    x = rows.x[few] if scaling is None else apply(scaling, rows.x[few], np.float64)
    y = rows.y[few]
    if target_scaling is not None:
        y = standardized(target_scaling, y.reshape(len(y), -1), np.float64)
    return x, y
