"""The dense layer that sees the inputs themselves, where there is one."""

from mlp_jax.backprop import Beside, Dense, FeatureScale, Layer, Members, NTKScale
from mlp_jax.proof.observe import Path, walk


def first_dense(network: Layer) -> Path | None:
    """Where the first dense layer stands, before it at most categories, norms and the like.

    None where numbers are embedded or scaled first: no weight there belongs to a feature.
    """
    for path, layer in walk(network):
        if isinstance(layer, Dense):
            return path
        if isinstance(layer, (Beside, FeatureScale, Members, NTKScale)):
            return None
    return None
