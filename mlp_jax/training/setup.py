"""From a configuration to its parts: loss, network, optimizer."""

from mlp_jax.backprop import LOSSES, Loss, Sequential, get_loss, mlp
from mlp_jax.data import Dataset
from mlp_jax.data.splits import usual_validation
from mlp_jax.errors import InputError
from mlp_jax.model.metrics import Task
from mlp_jax.training.config import TrainConfig
from mlp_jax.training.optimizers import Optimizer


def task_of_data(dataset: Dataset, loss: Loss) -> Task:
    """What the metrics of a run are chosen by: columns of 0 and 1 are several labels a row."""
    if dataset.is_classification:
        return "classification"
    return "multilabel" if loss.function.targets == "binary" else "regression"


def default_loss(dataset: Dataset) -> str:
    """Cross-entropy for classes, the squared error for numbers."""
    return "softmax_cross_entropy" if dataset.is_classification else "squared_error"


def build_loss(config: TrainConfig, dataset: Dataset) -> Loss:
    """The loss of a run; InputError where it does not fit the data."""
    if len(dataset.classes) == 1:
        raise InputError(
            f"'{dataset.name}' has a single class, '{dataset.classes[0]}': there is nothing to "
            "tell apart."
        )
    name = config.loss or default_loss(dataset)
    smooths = name in ("softmax_cross_entropy", "sigmoid_cross_entropy")
    if config.label_smoothing and not smooths:
        raise InputError(f"Label smoothing is for the cross-entropies, not for {name}.")
    if not 0 <= config.label_smoothing < 1:
        raise InputError(f"Label smoothing lies in [0, 1), not {config.label_smoothing}.")
    options = {"label_smoothing": config.label_smoothing} if config.label_smoothing else {}
    loss = get_loss(name, **options)
    if not dataset.is_classification and LOSSES[name].targets == "classes":
        raise InputError(f"The loss {name} needs classes; '{dataset.name}' has numbers to predict.")
    return loss


def validation_share(config: TrainConfig, dataset: Dataset) -> float:
    """The share of the training rows to judge epochs by: a tenth, but no more than 2000 rows."""
    if config.validation is not None:
        return config.validation
    return usual_validation(len(dataset.train))


def output_width(loss: Loss, dataset: Dataset) -> int:
    """One output a class or target; a single one for two classes and a binary loss."""
    binary = dataset.is_classification and loss.function.targets == "binary"
    return 1 if binary and dataset.n_outputs == 2 else dataset.n_outputs


def build_network(config: TrainConfig, loss: Loss, dataset: Dataset) -> Sequential:
    """The network of a run."""
    return mlp(
        config.hidden,
        output_width(loss, dataset),
        config.activation,
        dropout=config.dropout,
        norm=config.norm,
        residual=config.residual,
    )


def build_optimizer(config: TrainConfig) -> Optimizer:
    """The optimizer of a run."""
    return Optimizer(
        config.optimizer,
        config.learning_rate,
        config.schedule,
        config.warm_up,
        config.weight_decay,
        config.clip_norm,
    )
