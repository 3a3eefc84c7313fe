"""What the first layer's weights belong to: pixels, columns, categories.

Letters: I features, J units.
"""

from typing import Any

import jax
import numpy as np

from mlp_jax.data.encoding import ArrayEncoding, CategoricalColumn, TableEncoding
from mlp_jax.model.saved import Model
from mlp_jax.reports.evidence import FirstLayer


def first_layer(model: Model) -> FirstLayer:
    """The weights of the first matrix, a row a feature; of an embedded category, the rows that its
    embedding makes of them: E W, one a category."""
    leaves = _named(model.params)
    W = np.asarray(next(leaf for name, leaf in leaves.items() if name.endswith(".W")), np.float32)
    inputs = model.inputs
    if isinstance(inputs, ArrayEncoding):
        names = inputs.feature_names or tuple(f"feature {i}" for i in range(len(W)))
        return FirstLayer(W, names, inputs.image_shape)
    return _of_table(W, inputs, leaves)


def _of_table(W: np.ndarray, inputs: TableEncoding, leaves: dict[str, Any]) -> FirstLayer:
    names: list[str] = []
    for column in inputs.numeric:
        names.append(f"{column.name}, {column.part}" if column.part else column.name)
        if column.indicator:
            names.append(f"{column.name} missing")
    rows = [W[: len(names)]]
    at = len(names)
    for place, category in enumerate(inputs.categorical):
        width = category.width or category.n_codes
        block = W[at : at + width]
        at += width
        if category.width:
            table = next(v for n, v in leaves.items() if n.endswith(f"embedding_{place}"))
            block = np.asarray(table, np.float32) @ block
        rows.append(block)
        names.extend(_codes(category))
    return FirstLayer(np.concatenate(rows), tuple(names))


def _codes(column: CategoricalColumn) -> list[str]:
    """What codes 1 to n_codes stand for."""
    words = dict(enumerate(column.categories, start=1))
    words |= {column.rare: "rare or unknown", column.missing: "missing"}
    return [f"{column.name} = {words.get(code, code)}" for code in range(1, column.n_codes + 1)]


def _named(params: Any) -> dict[str, Any]:
    """Every parameter by its path, in the order of the layers."""
    return {
        ".".join(str(getattr(step, "idx", getattr(step, "key", step))) for step in path): leaf
        for path, leaf in jax.tree_util.tree_flatten_with_path(params)[0]
    }
