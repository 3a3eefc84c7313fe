"""Recipe `images`: the best plain network on images without augmentation."""

from mlp_jax.backprop import Dropout, Sequential, get_loss, mlp
from mlp_jax.errors import InputError
from mlp_jax.model.metrics import Task
from mlp_jax.training.optim.optimizers import Optimizer
from mlp_jax.training.presets.preset import Pace, Preset

WIDTHS = (512, 512)
PACE = Pace(batch=(64, 512), batches=25, epochs=(40, 150), steps=4_700)


def images(n_in: int, n_out: int, n_rows: int, task: Task) -> Preset:
    """Return the recipe for N = n_rows images of n_in pixels in n_out classes.

    Batch norm (Ioffe & Szegedy 2015), dropout of pixels and units (Srivastava 2014), label
    smoothing (Szegedy 2016), decoupled weight decay (Loshchilov & Hutter 2019), one-cycle (Smith
    2018). Fewer images use smaller batches and more epochs.

    Raises:
        InputError: for regression.
    """
    if task == "regression":
        raise InputError(f"The preset images needs classes, not {task}.")
    name = "softmax_cross_entropy" if task == "classification" else "sigmoid_cross_entropy"
    layers = mlp(WIDTHS, n_out, dropout=0.2, norm="batch").layers
    return Preset(
        Sequential((Dropout(0.1), *layers)),
        get_loss(name, label_smoothing=0.1),
        Optimizer(name="adamw", learning_rate=3e-3, schedule="one-cycle", weight_decay=0.3),
        {**PACE.options(n_rows), "select": "last"},
    )
