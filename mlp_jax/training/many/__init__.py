"""Train many networks of one architecture as one compiled program."""

from mlp_jax.training.many.engine import ManyEpochEnd
from mlp_jax.training.many.fit import fit_many
from mlp_jax.training.many.result import ManyResult
from mlp_jax.training.many.vary import VARIES, bootstrap_weights

__all__ = ["VARIES", "ManyEpochEnd", "ManyResult", "bootstrap_weights", "fit_many"]
