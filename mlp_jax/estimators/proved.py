"""The proof of an estimator's gradient, once in a process for equal networks, losses and types.

It runs in a thread, beside the compiler that prepares the first epoch; no weight is kept before it
has passed.
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


def prove_aside(specification: Specification, dtype: str) -> "Future[None]":
    """The proof in float64 and in `dtype`, under way or past; its result raises ProofError.

    One proof serves every width of the input: no equation knows it.
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


def prove_once(specification: Specification, dtype: str) -> None:
    """Waits for the proof: ProofError unless it passes."""
    prove_aside(specification, dtype).result()


def _prove(specification: Specification, dtype: str, device: Any) -> None:
    """The proof itself, on that device: a thread has no settings of JAX by itself."""
    network, loss = specification.network, specification.loss.proved_as
    with jax.default_device(device):
        start = initial_weights(specification, np.random.RandomState(0), "relu", np.float64)
        batch = rows_for(network, loss, specification.n_in)
        dtypes = tuple(dict.fromkeys(("float64", dtype)))
        report = check_gradients(network, loss, start[0], batch, state=start[1], dtypes=dtypes)
    if not report.ok:
        raise ProofError(f"The gradient fails the proof at {report.fault}.")
