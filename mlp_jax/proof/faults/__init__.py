"""Deliberate faults: common mistakes in a backward pass, one layer at a time.

Each fault is a layer, a loss or a pass that is wrong in one place. The check must catch every one
and name the layer and the equation. `needs` are the options of `mlp` without which the mistake
cannot be made (or has no effect: relu has f'(a') = f'(z)).
"""

from mlp_jax.proof.faults.dense import DENSE
from mlp_jax.proof.faults.embeddings import EMBEDDINGS
from mlp_jax.proof.faults.fault import Fault
from mlp_jax.proof.faults.injection import inject
from mlp_jax.proof.faults.norms import NORMS
from mlp_jax.proof.faults.passes import PASSES
from mlp_jax.proof.faults.statistics import STATISTICS
from mlp_jax.proof.faults.tables import TABLES

__all__ = ["FAULTS", "Fault", "inject"]

FAULTS: dict[str, Fault] = DENSE | NORMS | EMBEDDINGS | PASSES | STATISTICS | TABLES
