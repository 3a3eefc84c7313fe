"""Input encoding of a private run, from public knowledge only."""

from dataclasses import replace

import numpy as np

from mlp_jax.data import scaling_of_range
from mlp_jax.data.dataset import Dataset
from mlp_jax.data.encoding import ArrayEncoding
from mlp_jax.data.prepare import Prepared
from mlp_jax.data.table import Table
from mlp_jax.errors import InputError


def known_encoding(rows: Dataset | Table, input_range: tuple[float, ...]) -> ArrayEncoding:
    """Return an encoding to −1 … 1 by a known range: the given one, or 0 to 255 for bytes.

    Raises:
        InputError: for a table, whose encoding depends on its rows, or an invalid range.
    """
    if isinstance(rows, Table):
        raise InputError(
            f"'{rows.name}' is a table, and its encoding would depend on private rows: give a"
            " private run arrays, such as an .npz file with x and y."
        )
    x = rows.train.x
    pixels = x.dtype == np.uint8
    if not input_range and pixels:
        input_range = (0.0, 255.0)
    scale: tuple[float, ...] = ()
    offset: tuple[float, ...] = ()
    if input_range:
        if len(input_range) != 2:
            raise InputError(
                "An input range must be two numbers, the lowest and the highest value, not"
                f" {len(input_range)}."
            )
        found = scaling_of_range(*input_range)
        scale, offset = (float(found.scale),), (float(found.offset),)
    return ArrayEncoding(
        n_features=rows.n_features,
        scale=scale,
        offset=offset,
        pixels=pixels,
        image_shape=rows.image_shape or (),
        feature_names=rows.feature_names,
    )


def unscaled_targets(found: Prepared) -> Prepared:
    """Return the data with unscaled real targets, because their mean and spread are private."""
    return replace(found, target=replace(found.target, scale=(), offset=()))
