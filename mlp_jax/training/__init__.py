"""Config, optimizers, the compiled epoch, fit, logs."""

from mlp_jax.training.fit import fit
from mlp_jax.training.loop import EpochEnd
from mlp_jax.training.many import FittedMany, fit_many
from mlp_jax.training.optim.optimizers import OPTIMIZERS, Optimizer
from mlp_jax.training.optim.schedules import SCHEDULES
from mlp_jax.training.private.asked import Privacy
from mlp_jax.training.result import Fitted

__all__ = [
    "OPTIMIZERS",
    "SCHEDULES",
    "EpochEnd",
    "Fitted",
    "FittedMany",
    "Optimizer",
    "Privacy",
    "fit",
    "fit_many",
]
