"""Gradient check of an estimator, once per process for equal networks, losses and types.

It runs in a thread, beside the compilation of the first epoch; no weights are kept before it has
passed.
"""

from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import jax
import numpy as np

from mlp_jax.errors import ProofError
from mlp_jax.estimators.specify import Specification, initial_weights
from mlp_jax.proof import check_gradients
from mlp_jax.proof.quick import platform
from mlp_jax.proof.trial import rows_for

MOST = 256  # proofs that are remembered
_proofs: dict[tuple[Any, ...], "Future[None]"] = {}


def check_in_background(specification: Specification, dtype: str) -> "Future[None]":
    """Start the check in float64 and in `dtype`, or return the earlier one.

    Its result raises ProofError on failure.

    One check serves every width of the input: the equations do not depend on it.
    """
    key = (specification.network, specification.loss, dtype, platform())
    if key not in _proofs:
        if len(_proofs) >= MOST:
            del _proofs[next(iter(_proofs))]
        device = getattr(jax.config, "jax_default_device", None)
        worker = ThreadPoolExecutor(1, "proof")
        _proofs[key] = worker.submit(_prove, specification, dtype, device)
        worker.shutdown(wait=False)
    return _proofs[key]


def check_once(specification: Specification, dtype: str) -> None:
    """Wait for the check; ProofError if it fails."""
    check_in_background(specification, dtype).result()


def _prove(specification: Specification, dtype: str, device: Any) -> None:
    """Run the check on that device: a thread does not inherit settings of JAX."""
    network, loss = specification.network, specification.loss.checked_as
    with jax.default_device(device):
        start = initial_weights(specification, np.random.RandomState(0), "relu", np.float64)
        batch = rows_for(network, loss, specification.n_in)
        dtypes = tuple(dict.fromkeys(("float64", dtype)))
        report = check_gradients(network, loss, start[0], batch, state=start[1], dtypes=dtypes)
    if not report.ok:
        raise ProofError(f"The gradient check failed at {report.fault}.")
