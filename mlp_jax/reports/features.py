"""The first layer's view of the inputs: pixels as its weights, columns by their effect.

Letters: N rows, I features, J units.
"""

from collections.abc import Iterator

import jax.numpy as jnp
import numpy as np

from mlp_jax.backprop.columns import Categories
from mlp_jax.data.encoding import ArrayEncoding, InputEncoding
from mlp_jax.model.first_dense import first_dense
from mlp_jax.model.saved import Model
from mlp_jax.proof.observe import at
from mlp_jax.reports.evidence import FirstLayer


def first_weights(model: Model) -> np.ndarray | None:
    """Return W (I, J) of the first dense layer, float64; None if it does not see the inputs."""
    path = first_dense(model.network)
    return None if path is None else np.asarray(at(model.params, path)["W"], np.float64)


def pictured(model: Model) -> FirstLayer | None:
    """Return the weights of a network on images; None for other inputs."""
    inputs = model.inputs
    if not isinstance(inputs, ArrayEncoding) or not inputs.image_shape:
        return None
    W = first_weights(model)
    return None if W is None else FirstLayer(W, inputs.image_shape)


def column_effects(model: Model, x: np.ndarray) -> FirstLayer | None:
    """Compute the effect of each column on z of the first layer over encoded rows x (N, I).

    A column owns the rows W_c of W for its features (its number and indicator, its categories), and
    changes z by (x_c − mean) W_c: the result is the root mean square of that vector's length, so
    that rare values have little effect, however large their initial weight. None for a network
    whose first dense layer does not see the columns.
    """
    W = first_weights(model)
    if W is None:
        return None
    a = x
    first = model.network.children[0] if model.network.children else model.network
    if isinstance(first, Categories):
        a = np.asarray(
            first.forward(model.params[0], (), jnp.asarray(x), train=False, key=None, mask=None)[0]
        )
    moved: dict[str, np.ndarray] = {}
    for name, place in _columns(model.inputs):
        part = a[:, place].astype(np.float64)
        share = (part - part.mean(axis=0)) @ W[place]
        moved[name] = moved[name] + share if name in moved else share
    found = {name: float(np.sqrt(np.mean(np.sum(z**2, axis=1)))) for name, z in moved.items()}
    return FirstLayer(W, columns=tuple(sorted(found.items(), key=lambda item: -item[1])))


def _columns(inputs: InputEncoding) -> Iterator[tuple[str, slice]]:
    """Map the first dense layer's inputs to their columns, as runs."""
    if isinstance(inputs, ArrayEncoding):
        names = inputs.feature_names or [f"feature {i}" for i in range(inputs.n_features)]
        for i, name in enumerate(names):
            yield name, slice(i, i + 1)
        return
    start = 0
    for number in inputs.numeric:
        yield number.name, slice(start, start + 1 + number.indicator)
        start += 1 + number.indicator
    for category in inputs.categorical:
        width = category.width or category.n_codes
        yield category.name, slice(start, start + width)
        start += width
