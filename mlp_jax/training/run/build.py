"""Build the components of a run from its configuration: data, loss, network, optimizer."""

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from mlp_jax.backprop import LOSSES, Dense, Layer, Loss, Sequential, get_loss, mlp
from mlp_jax.backprop.columns import Categories
from mlp_jax.data import Scaling, Split
from mlp_jax.data.encoding import (
    ArrayEncoding,
    InputEncoding,
    TargetEncoding,
    input_layers,
)
from mlp_jax.data.prepare import Prepared
from mlp_jax.data.scaling import check_targets_small
from mlp_jax.data.source import some_rows
from mlp_jax.errors import InputError
from mlp_jax.model.metrics import Task, check_metrics, default_metrics
from mlp_jax.model.saved import Model
from mlp_jax.training.many.ensemble import ensemble_seeds
from mlp_jax.training.optim.optimizers import Optimizer
from mlp_jax.training.presets import check_preset, preset
from mlp_jax.training.private.config import with_usual_rate
from mlp_jax.training.run.config import TrainConfig
from mlp_jax.training.run.data import prepared

ARCHITECTURE = ("hidden", "activation", "norm", "residual", "dropout")
SET_BY_PRESET = (
    *ARCHITECTURE, "scaling", "loss", "label_smoothing", "optimizer", "learning_rate", "schedule",
    "warm_up", "weight_decay", "clip_norm", "max_norm", "init_from", "private",
)  # fmt: skip
"""Options that a preset sets itself."""


class RunComponents(NamedTuple):
    """Components of a run.

    Attributes:
        data: prepared rows.
        loss, network, optimizer: the training problem.
        task: task of the targets.
        metrics: names of the metrics to evaluate.
        start: model to start from, if any.
        options: options of a preset, used where the user left the default.
    """

    data: Prepared
    loss: Loss
    network: Sequential
    optimizer: Optimizer
    task: Task
    metrics: tuple[str, ...]
    start: Model | None = None
    options: Mapping[str, Any] = MappingProxyType({})


def build(config: TrainConfig, start: Model | None = None) -> RunComponents:
    """Return the components of a run.

    Args:
        config: configuration of the run.
        start: saved model to start from. Its network and its input encoding are used, with a new
            last layer if the targets differ.

    Raises:
        InputError: for options that do not fit the data.
    """
    if config.ensemble != 1:
        ensemble_seeds(config.seed, config.ensemble)
    if config.preset is not None:
        return _of_preset(config)
    data = prepared(config, None if start is None else (start.inputs, None))
    loss = build_loss(config, data)
    data = replace(data, target=fitting_target(loss, data.target))
    network = build_network(config, loss, data)
    if start is not None:
        network = _continued(config, start, loss, data)
    return RunComponents(
        data, loss, network, build_optimizer(config), *_judged(config, data), start
    )


def _judged(config: TrainConfig, data: Prepared) -> tuple[Task, tuple[str, ...]]:
    """Return the task and the metrics of a run; raise UnknownNameError for an unknown metric."""
    task = data.target.task
    names = config.metrics or default_metrics(task)
    check_metrics(task, names)
    return task, names


def _of_preset(config: TrainConfig) -> RunComponents:
    """Return the components of a run with a preset; raise InputError for options that it sets."""
    assert config.preset is not None
    check_preset(config.preset)
    given = [
        name for name in SET_BY_PRESET if getattr(config, name) != getattr(TrainConfig(), name)
    ]
    if given:
        options = ", ".join(f"--{name.replace('_', '-')}" for name in given)
        raise InputError(f"The preset {config.preset} sets its own values: leave out {options}.")
    data = prepared(config)
    assert isinstance(data.train, Split)  # presets do not stream
    found = preset(
        config.preset,
        inputs=data.inputs,
        n_in=data.inputs.n_features,
        n_out=n_targets(data),
        task=data.target.task,
        n_rows=len(data.train),
        x=data.train.x,
    )
    data = replace(data, target=fitting_target(found.loss, data.target))
    if not isinstance(found.network, Sequential):
        raise TypeError("a preset's network is a sequence of layers")
    components = RunComponents(
        data, found.loss, found.network, found.optimizer, *_judged(config, data)
    )
    return components._replace(options=found.options)


def n_targets(data: Prepared) -> int:
    """Return the number of classes, or of target columns."""
    if data.target.task == "classification":
        return len(data.target.classes)
    y = some_rows(data.train, 1).y
    return 1 if y.ndim == 1 else y.shape[1]


def with_preset_options(config: TrainConfig, options: Mapping[str, Any]) -> TrainConfig:
    """Return the configuration with the preset's options in place of defaults."""
    usual = TrainConfig()
    free = {k: v for k, v in options.items() if getattr(config, k) == getattr(usual, k)}
    return replace(config, **free)


def fitting_target(loss: Loss, target: TargetEncoding) -> TargetEncoding:
    """Return the encoding that the loss needs: 0/1 for binary losses, raw counts for Poisson."""
    if target.task == "multilabel" and loss.function.targets == "real":
        return replace(target, task="regression")
    if target.task != "regression":
        return target
    if loss.function.targets == "binary":
        return replace(target, task="multilabel", scale=(), offset=())
    if loss.name != "poisson":
        return target
    check_targets_small(target.scale, target.offset, target.names)
    return replace(target, scale=(), offset=())


def default_loss(data: Prepared) -> str:
    """Return the name of the default loss of the task."""
    return {
        "classification": "softmax_cross_entropy",
        "multilabel": "sigmoid_cross_entropy",
        "regression": "squared_error",
    }[data.target.task]


def build_loss(config: TrainConfig, data: Prepared) -> Loss:
    """Return the loss of a run; raise InputError if it does not fit the data."""
    classes = data.target.classes
    if data.target.task == "classification" and len(classes) == 1:
        raise InputError(
            f"'{data.name}' has a single class, '{classes[0]}': classification needs at least two."
        )
    name = Loss(config.loss or default_loss(data)).name
    smooths = name in ("softmax_cross_entropy", "sigmoid_cross_entropy")
    if config.label_smoothing and not smooths:
        raise InputError(f"Label smoothing needs a cross-entropy loss, not {name}.")
    if not 0 <= config.label_smoothing < 1:
        raise InputError(f"Label smoothing must lie in [0, 1), not {config.label_smoothing}.")
    options = {"label_smoothing": config.label_smoothing} if config.label_smoothing else {}
    loss = get_loss(name, **options)
    if data.target.task != "classification" and LOSSES[name].targets == "classes":
        raise InputError(
            f"The loss {name} needs classes, but the targets of '{data.name}' are numbers."
        )
    return loss


def output_width(loss: Loss, data: Prepared) -> int:
    """Return the number of outputs: one for two classes and a binary loss, else one per target."""
    width = n_targets(data)
    two_classes = data.target.task == "classification" and width == 2
    return 1 if loss.function.targets == "binary" and two_classes else width


def build_network(config: TrainConfig, loss: Loss, data: Prepared) -> Sequential:
    """Return the network of a run, with a layer that encodes the categories of a table."""
    network = mlp(
        config.hidden,
        output_width(loss, data),
        config.activation,
        dropout=config.dropout,
        norm=config.norm,
        residual=config.residual,
    )
    return Sequential((*input_layers(data.inputs), *network.layers))


def _continued(config: TrainConfig, start: Model, loss: Loss, data: Prepared) -> Sequential:
    """Return the network of the saved model, with a new last layer if the targets differ."""
    given = [name for name in ARCHITECTURE if getattr(config, name) != getattr(TrainConfig(), name)]
    if given:
        options = ", ".join(f"--{name.replace('_', '-')}" for name in given)
        raise InputError(f"--init-from uses the network of the saved model; leave out {options}.")
    network, width = start.network, output_width(loss, data)
    if not isinstance(network, Sequential) or not isinstance(network.layers[-1], Dense):
        raise InputError("--init-from needs a saved network whose last layer is dense.")
    if same_head(start, data, width):
        return network
    return Sequential((*network.layers[:-1], replace(network.layers[-1], n_out=width)))


def same_head(start: Model, data: Prepared, width: int) -> bool:
    """Return whether the outputs of the saved model mean the same as these targets."""
    ours, theirs = data.target, start.target
    return start.n_outputs == width and (
        (ours.task, ours.classes, ours.names) == (theirs.task, theirs.classes, theirs.names)
    )


def widths(network: Layer, n_in: int) -> tuple[int, ...]:
    """Return the width of the input and of each dense layer, in order."""
    found = [n_in]
    for child in network.children:
        if isinstance(child, Categories):
            found = [child.width_out(n_in)]
        elif isinstance(child, Dense):
            found.append(child.n_out)
        else:
            found.extend(widths(child, found[-1])[1:])
    return tuple(found)


def input_scaling(inputs: InputEncoding) -> Scaling | None:
    """Return the scaling of raw rows; None for rows that are encoded already."""
    if not isinstance(inputs, ArrayEncoding) or not inputs.scale:
        return None
    scale, offset = np.asarray(inputs.scale), np.asarray(inputs.offset)
    return Scaling(*(v.reshape(()) if v.size == 1 else v for v in (scale, offset)))


def target_scaling(target: TargetEncoding) -> Scaling | None:
    """Return the scaling of real targets, (y − offset)/scale."""
    if not target.scale:
        return None
    scale = 1 / np.asarray(target.scale)
    return Scaling(scale, -np.asarray(target.offset) * scale)


def build_optimizer(config: TrainConfig) -> Optimizer:
    """Return the optimizer of a run."""
    found = Optimizer(
        name=config.optimizer,
        learning_rate=config.learning_rate,
        schedule=config.schedule,
        warm_up=config.warm_up,
        weight_decay=config.weight_decay,
        clip_norm=config.clip_norm,
        max_norm=config.max_norm,
    )
    return with_usual_rate(found) if config.private else found
