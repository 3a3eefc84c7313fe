"""From a configuration to its parts: data, loss, network, optimizer."""

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
SETTLED = (
    *ARCHITECTURE, "scaling", "loss", "label_smoothing", "optimizer", "learning_rate", "schedule",
    "warm_up", "weight_decay", "clip_norm", "max_norm", "init_from", "private",
)  # fmt: skip
"""The options that a preset settles itself."""


class RunComponents(NamedTuple):
    """All that a run is made of. start: the model it starts from, if any.

    options: what a preset would have for options of the run that the user left at their defaults.
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
    """The parts of a run; InputError where options and data do not fit.

    start: a saved model to go on from: its network, with a new last layer where the targets
    differ, and its encoding of the inputs.
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
    """The task and the metrics of a run; UnknownNameError for a metric that is none of them."""
    task = data.target.task
    names = config.metrics or default_metrics(task)
    check_metrics(task, names)
    return task, names


def _of_preset(config: TrainConfig) -> RunComponents:
    """The parts of a run by a preset; InputError for options that the preset settles itself."""
    assert config.preset is not None
    check_preset(config.preset)
    given = [name for name in SETTLED if getattr(config, name) != getattr(TrainConfig(), name)]
    if given:
        options = ", ".join(f"--{name.replace('_', '-')}" for name in given)
        raise InputError(f"The preset {config.preset} settles this itself: no {options}.")
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
    parts = RunComponents(data, found.loss, found.network, found.optimizer, *_judged(config, data))
    return parts._replace(options=found.options)


def n_targets(data: Prepared) -> int:
    """How many classes there are, or columns to predict."""
    if data.target.task == "classification":
        return len(data.target.classes)
    y = some_rows(data.train, 1).y
    return 1 if y.ndim == 1 else y.shape[1]


def with_preset_options(config: TrainConfig, options: Mapping[str, Any]) -> TrainConfig:
    """The configuration with a preset's options where the user's stand at their defaults."""
    usual = TrainConfig()
    free = {k: v for k, v in options.items() if getattr(config, k) == getattr(usual, k)}
    return replace(config, **free)


def fitting_target(loss: Loss, target: TargetEncoding) -> TargetEncoding:
    """The target in the loss's terms: 0 and 1 for binary losses, counts as they are for Poisson."""
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
    """Cross-entropy for classes and for several labels a row, the squared error for numbers."""
    return {
        "classification": "softmax_cross_entropy",
        "multilabel": "sigmoid_cross_entropy",
        "regression": "squared_error",
    }[data.target.task]


def build_loss(config: TrainConfig, data: Prepared) -> Loss:
    """The loss of a run; InputError where it does not fit the data."""
    classes = data.target.classes
    if data.target.task == "classification" and len(classes) == 1:
        raise InputError(
            f"'{data.name}' has a single class, '{classes[0]}': there is nothing to tell apart."
        )
    name = Loss(config.loss or default_loss(data)).name
    smooths = name in ("softmax_cross_entropy", "sigmoid_cross_entropy")
    if config.label_smoothing and not smooths:
        raise InputError(f"Label smoothing is for the cross-entropies, not for {name}.")
    if not 0 <= config.label_smoothing < 1:
        raise InputError(f"Label smoothing lies in [0, 1), not {config.label_smoothing}.")
    options = {"label_smoothing": config.label_smoothing} if config.label_smoothing else {}
    loss = get_loss(name, **options)
    if data.target.task != "classification" and LOSSES[name].targets == "classes":
        raise InputError(f"The loss {name} needs classes; '{data.name}' has numbers to predict.")
    return loss


def output_width(loss: Loss, data: Prepared) -> int:
    """One output a class or target; a single one for two classes and a binary loss."""
    width = n_targets(data)
    two_classes = data.target.task == "classification" and width == 2
    return 1 if loss.function.targets == "binary" and two_classes else width


def build_network(config: TrainConfig, loss: Loss, data: Prepared) -> Sequential:
    """The network of a run; the categories of a table come in by a layer of their own."""
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
    """The network of a saved model, with a new last layer where the targets are others."""
    given = [name for name in ARCHITECTURE if getattr(config, name) != getattr(TrainConfig(), name)]
    if given:
        options = ", ".join(f"--{name.replace('_', '-')}" for name in given)
        raise InputError(f"With --init-from the network is that of the saved model: no {options}.")
    network, width = start.network, output_width(loss, data)
    if not isinstance(network, Sequential) or not isinstance(network.layers[-1], Dense):
        raise InputError("--init-from needs a network whose last layer is dense.")
    if same_head(start, data, width):
        return network
    return Sequential((*network.layers[:-1], replace(network.layers[-1], n_out=width)))


def same_head(start: Model, data: Prepared, width: int) -> bool:
    """Whether the saved model's outputs are as many, and mean what this data's targets mean."""
    ours, theirs = data.target, start.target
    return start.n_outputs == width and (
        (ours.task, ours.classes, ours.names) == (theirs.task, theirs.classes, theirs.names)
    )


def widths(network: Layer, n_in: int) -> tuple[int, ...]:
    """The width that comes in, and that of each dense layer in order."""
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
    """How raw rows are brought to the network; None where they are encoded already."""
    if not isinstance(inputs, ArrayEncoding) or not inputs.scale:
        return None
    scale, offset = np.asarray(inputs.scale), np.asarray(inputs.offset)
    return Scaling(*(v.reshape(()) if v.size == 1 else v for v in (scale, offset)))


def target_scaling(target: TargetEncoding) -> Scaling | None:
    """How targets are brought to the network: (y − offset)/scale."""
    if not target.scale:
        return None
    scale = 1 / np.asarray(target.scale)
    return Scaling(scale, -np.asarray(target.offset) * scale)


def build_optimizer(config: TrainConfig) -> Optimizer:
    """The optimizer of a run."""
    found = Optimizer(
        config.optimizer,
        config.learning_rate,
        config.schedule,
        config.warm_up,
        config.weight_decay,
        config.clip_norm,
        config.max_norm,
    )
    return with_usual_rate(found) if config.private else found
