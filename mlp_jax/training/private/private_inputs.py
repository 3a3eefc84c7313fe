"""How the rows of a private run come to its network: by what is known without looking at them."""

from dataclasses import replace

import numpy as np

from mlp_jax.data import scaling_of_range
from mlp_jax.data.dataset import Dataset
from mlp_jax.data.encoding import ArrayEncoding
from mlp_jax.data.prepare import Prepared
from mlp_jax.data.table import Table
from mlp_jax.errors import InputError


def known_encoding(rows: Dataset | Table, input_range: tuple[float, ...]) -> ArrayEncoding:
    """Inputs from −1 to 1 by a range that is known: the one said, 0 to 255 of bytes, else as is.

    InputError for a table, whose encoding is learned from its rows, and for what is no range.
    """
    if isinstance(rows, Table):
        raise InputError(
            f"'{rows.name}' is a table, whose categories, means and missing values are learned from"
            " its rows: a private run takes arrays, in an .npz file with x and y, say."
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
                "An input range is the lowest and the highest value, two numbers, not"
                f" {len(input_range)}."
            )
        found = scaling_of_range(*input_range)
        scale, offset = (float(found.scale),), (float(found.offset),)
    return ArrayEncoding(
        rows.n_features, scale, offset, pixels, rows.image_shape or (), rows.feature_names
    )


def unscaled_targets(found: Prepared) -> Prepared:
    """The data with real targets as they are: their mean and spread are not to be looked at."""
    return replace(found, target=replace(found.target, scale=(), offset=()))
