"""`preset="images"`."""

from mlp_jax.backprop import get_loss, mlp
from mlp_jax.errors import InputError
from mlp_jax.model.metrics import Task
from mlp_jax.training.optimizers import Optimizer
from mlp_jax.training.presets.preset import Preset


def images(n_in: int, n_out: int, n_rows: int, task: Task) -> Preset:
    """The recipe for N = n_rows images of n_in pixels in n_out classes."""
    if task != "classification":
        raise InputError(f"The preset images is for classes, not for a task of {task}.")
    return Preset(
        mlp((512, 512), n_out, dropout=0.2, norm="batch"),
        get_loss("softmax_cross_entropy", label_smoothing=0.1),
        Optimizer("adam", 2e-3, schedule="one-cycle"),
        {"epochs": 20, "batch_size": min(256, n_rows)},
    )
