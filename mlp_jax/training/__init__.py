"""Training: `fit`, `fit_many`, their options, callbacks and results."""

from mlp_jax.training.callbacks import Callback, CallEnd, EarlyStopping, EpochEnd, TrainStart
from mlp_jax.training.checkpoint.manager import Checkpoints, Saving
from mlp_jax.training.fit import fit
from mlp_jax.training.fit_options import FitOptions
from mlp_jax.training.many import ManyResult, fit_many
from mlp_jax.training.optim.optimizers import OPTIMIZERS, Optimizer
from mlp_jax.training.optim.schedules import SCHEDULES
from mlp_jax.training.private.config import Privacy
from mlp_jax.training.result import TrainResult

__all__ = [
    "OPTIMIZERS",
    "SCHEDULES",
    "CallEnd",
    "Callback",
    "Checkpoints",
    "EarlyStopping",
    "EpochEnd",
    "FitOptions",
    "ManyResult",
    "Optimizer",
    "Privacy",
    "Saving",
    "TrainResult",
    "TrainStart",
    "fit",
    "fit_many",
]
