"""The proof of an estimator's gradient, once in a process for equal networks, losses and types."""

import functools

import jax

from mlp_jax.errors import ProofError
from mlp_jax.estimators.specify import Specification
from mlp_jax.proof import check_gradients
from mlp_jax.proof.quick import jit_once, platform
from mlp_jax.proof.trial import rows_for


def prove_once(specification: Specification, dtype: str) -> None:
    """ProofError unless the gradient passes the proof, in float64 and in `dtype`.

    What passed is remembered for this platform.
    """
    _proved(specification, dtype, platform())


@functools.lru_cache(maxsize=1024)
def _proved(specification: Specification, dtype: str, where: str) -> None:
    network, n_in = specification.network, specification.n_in
    loss = specification.loss.proved_as
    params, state = jit_once(lambda key: network.init(key, n_in))(jax.random.key(0))
    dtypes = tuple(dict.fromkeys(("float64", dtype)))
    batch = rows_for(network, loss, n_in)
    report = check_gradients(network, loss, params, batch, state=state, dtypes=dtypes)
    if not report.ok:
        raise ProofError(f"The gradient fails the proof at {report.fault}.")
