"""Scale rows and place them on the device."""

import numpy as np
from jax.typing import DTypeLike

from mlp_jax.data import Scaling, Split, apply
from mlp_jax.data.scaling import narrowed, standardized
from mlp_jax.training.engine.batches import DeviceData, on_device
from mlp_jax.training.mesh.layout import Layout


def readied(
    data: Split, scaling: Scaling | None, dtype: DTypeLike, target_scaling: Scaling | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None, np.ndarray | None]:
    """Return (x, y, scale, offset) in the format of the device.

    Images stay uint8 with their scale; other rows are scaled here, in float64 before they are
    rounded to dtype.
    """
    dtype = np.dtype(dtype)
    y = data.y
    if target_scaling is not None:
        y = standardized(target_scaling, data.y.reshape(len(data.y), -1), dtype)
    elif np.issubdtype(data.y.dtype, np.floating):
        y = narrowed(data.y, dtype, data.y, "A target of")
    if data.x.dtype == np.uint8 and scaling is not None:
        scale, offset = (np.atleast_2d(v).astype(dtype) for v in scaling)
        return data.x, y, scale, offset
    if scaling is None:
        x = narrowed(data.x, dtype, data.x, "The value")
    else:
        x = apply(scaling, data.x, dtype)
    return x, y, None, None


def place(
    data: Split,
    weights: np.ndarray | None,
    scaling: Scaling | None,
    dtype: DTypeLike,
    target_scaling: Scaling | None = None,
    layout: Layout | None = None,
) -> DeviceData:
    """Return rows on the device, in the format of `readied`.

    weights (N,): weight of each row. layout: shards the rows over a mesh.
    """
    x, y, scale, offset = readied(data, scaling, dtype, target_scaling)
    share = None if weights is None else np.asarray(weights, np.dtype(dtype))
    return on_device(layout, x, y, share, scale, offset)
