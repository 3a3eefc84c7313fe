"""Validated training plan: program, rows and metrics; nothing is on the device yet."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from mlp_jax.backprop import Layer, Loss, get_loss
from mlp_jax.data import Scaling, Split, apply, fit_scaling, scaling_of_range
from mlp_jax.data.scaling import standardized
from mlp_jax.data.source import Streamed
from mlp_jax.errors import InputError
from mlp_jax.model.judge import task_of
from mlp_jax.model.metrics import check_metrics, default_metrics
from mlp_jax.model.precision import Precision, choose_device, choose_precision
from mlp_jax.proof import Report, check_gradients
from mlp_jax.proof.trial import rows_for
from mlp_jax.training.engine.batches import DeviceData
from mlp_jax.training.engine.importance import check_importance
from mlp_jax.training.engine.private_step import draw_secret
from mlp_jax.training.engine.program import Program, TrainState, check_parts
from mlp_jax.training.fit_options import FitOptions, check_options
from mlp_jax.training.input.loaders import InMemoryLoader, Loader, StreamingLoader, ValidationRows
from mlp_jax.training.input.placement import place
from mlp_jax.training.input.validate import Rows, check_batch, checked_rows, pair, row_weights
from mlp_jax.training.mesh.layout import Layout
from mlp_jax.training.mesh.mesh_shape import check_batch_size, choose_layout
from mlp_jax.training.mesh.processes import to_host
from mlp_jax.training.mesh.sharded_gradient import split_gradient
from mlp_jax.training.optim.open_optimizer import hyperparameters, open_optimizer
from mlp_jax.training.optim.optimizers import Optimizer
from mlp_jax.training.private.accounting import Account, open_account
from mlp_jax.training.private.config import with_usual_rate

HELD_TWICE = 1 << 26  # parameters above which a call must reuse the memory of the state before it


@dataclass(frozen=True, kw_only=True)
class TrainPlan:
    """A training, checked and ready to be placed on the device.

    rows, validation: to train on and to evaluate, with targets as the loss takes them. weights
    (N,): of the training rows. streamed: the training rows, if they stay in their files; `rows`
    are a few of them then. steps: steps that the schedule spans. monitor: the metric that chooses
    the best epoch. keeps_best: whether its weights are kept. account: budget of a private training.
    """

    options: FitOptions
    program: Program
    optimizer: Optimizer | optax.GradientTransformation
    rows: Split
    validation: Split | None
    weights: np.ndarray | None
    scaling: Scaling | None
    metrics: tuple[str, ...]
    monitor: str
    keeps_best: bool
    n_classes: int
    label_dtype: np.dtype
    steps: int
    precision: Precision
    device: jax.Device
    account: Account | None = None
    streamed: Streamed | None = None

    @property
    def n_in(self) -> int:
        """Width of the inputs."""
        return int(self.rows.x.shape[1])

    @property
    def n_out(self) -> int:
        """Width of the outputs."""
        return self.program.network.width_out(self.n_in)

    def guarded(self) -> "TrainPlan":
        """Return the plan with every step guarded, so that one network of many can stop."""
        return replace(self, program=replace(self.program, guarded=True, transposed=False))

    def with_network(self, network: Layer) -> "TrainPlan":
        """Return the plan for another network of the same width in and out."""
        return replace(self, program=replace(self.program, network=network))

    def place(self) -> tuple[DeviceData, ValidationRows | None]:
        """Return training and validation rows on the device."""
        placed = self._place(self.rows, self.weights)
        if self.account is not None:
            placed = placed._replace(secret=jnp.asarray(draw_secret(self.account.privacy.seed)))
        return placed, self._placed_validation()

    def loader(self) -> tuple[Loader, ValidationRows | None]:
        """Return the loader of the training rows, and the validation rows on the device."""
        if self.streamed is None:
            placed, validation = self.place()
            return InMemoryLoader(placed, self.program.batch_size), validation
        loader = StreamingLoader(
            self.streamed,
            self.program,
            self.scaling,
            self.options.target_scaling,
            n_outputs=self.n_out,
            n_classes=self.n_classes,
        )
        return loader, self._placed_validation()

    def _place(self, rows: Split, weights: np.ndarray | None) -> DeviceData:
        program = self.program
        return place(
            rows, weights, self.scaling, program.dtype, self.options.target_scaling, program.layout
        )

    def _placed_validation(self) -> ValidationRows | None:
        if self.validation is None:
            return None
        return ValidationRows(self._place(self.validation, None), self.validation.y)


def make_plan(
    network: Layer,
    loss: Loss | str,
    optimizer: Optimizer | str | optax.GradientTransformation,
    data: Rows,
    options: FitOptions,
    *,
    many: bool = False,
) -> TrainPlan:
    """Return the plan of a training.

    Args:
        many: for networks that train together, each as a whole on one device.

    Raises:
        InputError: for options or data that do not fit.
    """
    loss = get_loss(loss) if isinstance(loss, str) else loss
    optimizer = Optimizer(optimizer) if isinstance(optimizer, str) else optimizer
    device = choose_device(options.device)
    precision = _precision(options, device)
    streamed = data if isinstance(data, Streamed) else None
    sample = data if streamed is None else streamed.sample
    check_options(
        options, network, optimizer,
        streamed=streamed is not None, many=many, precision=precision.name,
    )  # fmt: skip
    if isinstance(optimizer, Optimizer):
        optimizer.check_fits(network, loss)
        optimizer = with_usual_rate(optimizer) if options.privacy is not None else optimizer
    rows, validation, n_classes, weights = _checked_rows(network, loss, sample, options)
    n = len(rows) if streamed is None else len(streamed)
    batch_size, layout = _batches(options, optimizer, device, n, many=many)
    check_importance(options.importance, batch_size, n)
    metrics, monitor = _metrics(loss, rows, n_classes, options)
    account = _account(options, n, batch_size)
    steps = (options.schedule_epochs or options.epochs) * -(-n // batch_size)
    program = _program(
        network, loss, optimizer, options, precision, account,
        batch_size=batch_size, steps=steps, n_in=rows.x.shape[1],
    )  # fmt: skip
    return TrainPlan(
        options=options,
        program=_on_device(program, layout, device),
        optimizer=optimizer,
        rows=rows,
        validation=validation,
        weights=row_weights(rows, weights, options.class_weight, n_classes),
        scaling=_input_scaling(options, rows, streamed),
        metrics=metrics,
        monitor=monitor,
        keeps_best=options.takes_best(validated=validation is not None),
        n_classes=n_classes,
        label_dtype=_label_dtype(sample),
        steps=steps,
        precision=precision,
        device=device,
        account=account,
        streamed=streamed,
    )


def _precision(options: FitOptions, device: jax.Device) -> Precision:
    """Return the precision of a training; float32 for a private one unless another is requested."""
    private = options.privacy is not None
    wanted = "float32" if options.precision is None and private else options.precision
    return choose_precision(wanted, device)


def _checked_rows(
    network: Layer, loss: Loss, sample: Rows, options: FitOptions
) -> tuple[Split, Split | None, int, np.ndarray | None]:
    """Return `checked_rows`; InputError for an option that needs validation rows without any."""
    found = checked_rows(
        network, loss, sample, options.validation, options.seed, options.sample_weight
    )
    validation = found[1]
    if options.patience is not None and validation is None:
        raise InputError("Early stopping (patience) needs validation rows.")
    if options.select == "best" and validation is None:
        raise InputError("Keeping the best epoch (select best) needs validation rows.")
    return found


def _account(options: FitOptions, n: int, batch_size: int) -> Account | None:
    """Return the privacy account of a training on n rows; None for one that is not private."""
    if options.privacy is None:
        return None
    return open_account(options.privacy, n, batch_size, options.epochs * -(-n // batch_size))


def _on_device(program: Program, layout: Layout | None, device: jax.Device) -> Program:
    """Return the program for a device or many, checked."""
    transposed = program.transposed and device.platform == "cpu" and layout is None
    program = replace(program, layout=layout, transposed=transposed)
    check_parts(program)
    return program


def _label_dtype(data: Rows) -> np.dtype:
    """Return the type of the targets as they were given; that of whole numbers for columns."""
    y = pair(data)[1]
    return y.dtype if y.ndim == 1 else np.dtype(np.int64)


def _batches(
    options: FitOptions, optimizer: Any, device: jax.Device, n: int, *, many: bool
) -> tuple[int, Layout | None]:
    """Return the batch size, and how it is split over devices (None on one)."""
    full = isinstance(optimizer, Optimizer) and optimizer.full_batch
    batch_size = n if full else options.batch_size_for(n)
    check_batch(batch_size, n)
    if many or options.privacy is not None:
        return batch_size, None
    layout = choose_layout(
        options.devices, options.mesh, options.shard_optimizer, device, batch_size
    )
    if layout is None or full:
        return batch_size, layout
    if options.batch_size is None:
        batch_size = max(batch_size // layout.data, 1) * layout.data
    check_batch_size(layout, batch_size)
    return batch_size, layout


def _input_scaling(options: FitOptions, rows: Split, streamed: Streamed | None) -> Scaling | None:
    """Return the scaling of the inputs; that of pixels if none is given."""
    if options.scaling is not None or rows.x.dtype != np.uint8:
        return options.scaling
    if options.privacy is not None:
        return scaling_of_range(0, 255)
    if streamed is None:
        return fit_scaling(rows.x)
    from mlp_jax.data.streams import streaming_scaling

    return streaming_scaling(streamed.source)


def _program(
    network: Layer,
    loss: Loss,
    optimizer: Optimizer | optax.GradientTransformation,
    options: FitOptions,
    precision: Precision,
    account: Account | None,
    *,
    batch_size: int,
    steps: int,
    n_in: int,
) -> Program:
    """Return the static half of the epochs; what is known of the optimizer decides how they run.

    `transposed` says whether the optimizer allows it; it pays on one CPU.
    """
    named = optimizer if isinstance(optimizer, Optimizer) else None
    numbers = None if named is None else hyperparameters(named, steps)
    if named is None:
        build: Any = optimizer
    else:
        build = named.build(steps) if numbers is None else open_optimizer(named)
    guarded = named is None or named.full_batch or _parameters(network, n_in) > HELD_TWICE
    elementwise = named is not None and not named.knows_matrices
    return Program(
        network=network,
        loss=loss,
        optimizer=optax.with_extra_args_support(build),
        batch_size=batch_size,
        dtype=precision.params,
        products=precision.products,
        average_decay=options.average,
        doubt_updates=named is None or named.inverts_curvature,
        guarded=guarded,
        gives_curvature=named is not None and named.inverts_curvature,
        transposed=elementwise and not guarded,
        pool=options.importance,
        private=None if account is None else account.spec,
        accumulate=options.accumulate,
        recompute=options.recompute,
        numbers=numbers,
    )


def _parameters(network: Layer, n_in: int) -> int:
    """Return the number of parameters, without drawing any."""
    params, _ = jax.eval_shape(lambda key: network.init(key, n_in), jax.random.key(0))
    return sum(leaf.size for leaf in jax.tree.leaves(params))


def _metrics(
    loss: Loss, rows: Split, n_classes: int, options: FitOptions
) -> tuple[tuple[str, ...], str]:
    """Return the metrics of each epoch, and the one that chooses the best epoch."""
    task = task_of(loss, rows.y, n_classes)
    names: Sequence[str] = options.metrics or default_metrics(task)
    names = tuple(name for name in names if name != "loss")
    check_metrics(task, names)
    monitor = options.monitor or (names[0] if names else "loss")
    if monitor not in ("loss", *names):
        raise InputError(f"The monitor '{monitor}' is not among the metrics: {', '.join(names)}.")
    return names, monitor


def verify(plan: TrainPlan, state: TrainState) -> Report:
    """Return the gradient check, in float64 and in the precision of the run.

    It uses a few of the training rows; random ones in a private training.
    """
    program = plan.program
    if plan.account is None:
        examples = _few_rows(plan)
    else:
        examples = rows_for(program.network, program.loss, plan.n_in)
    return check_gradients(
        program.trained,
        program.loss,
        to_host(state.params),
        examples,
        state=to_host(state.layer_state),
        dtypes=tuple(dict.fromkeys(("float64", plan.precision.proof_dtype))),
        split=None if program.layout is None else partial(split_gradient, program.layout),
    )


def _few_rows(plan: TrainPlan) -> tuple[np.ndarray, np.ndarray]:
    """Return at most eight of the training rows, as the network takes them."""
    rows, target_scaling = plan.rows, plan.options.target_scaling
    few = np.linspace(0, len(rows) - 1, min(len(rows), 8)).astype(int)
    x = rows.x[few]
    x = x if plan.scaling is None else apply(plan.scaling, x, np.float64)
    y = rows.y[few]
    if target_scaling is not None:
        y = standardized(target_scaling, y.reshape(len(y), -1), np.float64)
    return x, y
