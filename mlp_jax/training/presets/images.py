"""`preset="images"`: what gets a plain network furthest on images, without augmentation."""

from mlp_jax.backprop import Dropout, Sequential, get_loss, mlp
from mlp_jax.errors import InputError
from mlp_jax.model.metrics import Task
from mlp_jax.training.optimizers import Optimizer
from mlp_jax.training.presets.preset import Preset

WIDTHS = (512, 512)
STEPS = 4_700
FEWEST_EPOCHS, MOST_EPOCHS = 40, 150
SMALLEST_BATCH, LARGEST_BATCH = 64, 512
BATCHES = 25
"""at least so many batches an epoch, where the batch is not the smallest"""


def images(n_in: int, n_out: int, n_rows: int, task: Task) -> Preset:
    """The recipe for N = n_rows images of n_in pixels in n_out classes.

    Batch norm (Ioffe & Szegedy 2015), dropout of pixels and units (Srivastava 2014), label
    smoothing (Szegedy 2016), decoupled weight decay (Loshchilov & Hutter 2019), one-cycle (Smith
    2018). Fewer images are seen in smaller batches and more often. InputError for what is no task
    of classes.
    """
    if task == "regression":
        raise InputError(f"The preset images is for classes, not for a task of {task}.")
    name = "softmax_cross_entropy" if task == "classification" else "sigmoid_cross_entropy"
    batch = batch_size(n_rows)
    layers = mlp(WIDTHS, n_out, dropout=0.2, norm="batch").layers
    return Preset(
        Sequential((Dropout(0.1), *layers)),
        get_loss(name, label_smoothing=0.1),
        Optimizer("adamw", 3e-3, schedule="one-cycle", weight_decay=0.3),
        {"epochs": epochs(n_rows, batch), "batch_size": batch, "select": "last"},
    )


def batch_size(n_rows: int) -> int:
    """The power of two that leaves `BATCHES` an epoch, within bounds, and at most all rows."""
    fits = 1 << max(n_rows // BATCHES, 1).bit_length() - 1
    return min(max(SMALLEST_BATCH, min(fits, LARGEST_BATCH)), n_rows)


def epochs(n_rows: int, batch: int) -> int:
    """What makes up `STEPS` steps, within bounds."""
    an_epoch = -(-n_rows // batch)
    return min(max(FEWEST_EPOCHS, round(STEPS / an_epoch)), MOST_EPOCHS)
