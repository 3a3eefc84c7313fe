"""The first dense layer that takes the inputs directly."""

from mlp_jax.backprop import Beside, Dense, FeatureScale, Layer, Members, NTKScale
from mlp_jax.proof.observe import Path, walk


def first_dense(network: Layer) -> Path | None:
    """Return the path of the first dense layer if only categories, norms and the like precede it.

    None if numbers are embedded or scaled first, since no weight there belongs to a feature.
    """
    for path, layer in walk(network):
        if isinstance(layer, Dense):
            return path
        if isinstance(layer, (Beside, FeatureScale, Members, NTKScale)):
            return None
    return None
