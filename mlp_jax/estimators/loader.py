"""Training rows of an estimator for its epochs: on the device once, or in parts.

Letters: N rows, I features, C outputs, S steps, B rows in a batch.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import numpy as np
import scipy.sparse
from jax.typing import DTypeLike
from jaxtyping import Float, Int

from mlp_jax.estimators.epoch import batches_of
from mlp_jax.training.engine.batches import DeviceData

PIECE_BYTES = 1 << 26  # of sparse rows made dense at a time


class EpochPart(NamedTuple):
    """Part of an epoch: the data, the rows of each step, and the index of its first batch."""

    data: DeviceData
    rows: Int[np.ndarray, "S B"]
    first: np.int32


class TrainingRows(NamedTuple):
    """x (N, I) dense or sparse; y as the loss takes it; weights (N,), or None if all are equal."""

    x: Any
    y: np.ndarray
    weights: Float[np.ndarray, " N"] | None

    @property
    def n(self) -> int:
        """N."""
        return int(self.x.shape[0])

    def placed(self, dtype: DTypeLike) -> DeviceData:
        """Place all rows on the device."""
        return self._dense(slice(None), dtype)

    def _dense(self, chosen: Any, dtype: DTypeLike) -> DeviceData:
        x = self.x[chosen]
        x = x.toarray() if scipy.sparse.issparse(x) else x
        y = self.y[chosen]
        y = y.astype(dtype, copy=False) if np.issubdtype(y.dtype, np.floating) else y
        weights = None if self.weights is None else self.weights[chosen].astype(dtype, copy=False)
        return jax.device_put(DeviceData(x=x.astype(dtype, copy=False), y=y, weights=weights))


class EpochLoader:
    """Parts of every epoch over the same rows.

    most_steps: of a part. Dense rows are on the device from the start; sparse ones are made dense
    part by part, in the order of the epoch.
    """

    def __init__(
        self, rows: TrainingRows, dtype: DTypeLike, batch_size: int, most_steps: int
    ) -> None:
        self.rows, self.dtype, self.batch_size = rows, np.dtype(dtype), batch_size
        self.data: DeviceData | None = None
        if scipy.sparse.issparse(rows.x):
            self.rows = rows._replace(x=rows.x.tocsr())
            a_batch = batch_size * rows.x.shape[1] * self.dtype.itemsize
            most_steps = min(most_steps, max(1, PIECE_BYTES // a_batch))
        else:
            self.data = rows.placed(dtype)
        self.most_steps = most_steps

    def parts(self, order: np.ndarray) -> Iterator[EpochPart]:
        """Return the parts of an epoch over the rows in this order."""
        if self.data is not None:
            batches = batches_of(order, self.batch_size)
            for first in range(0, len(batches), self.most_steps):
                part = batches[first : first + self.most_steps]
                yield EpochPart(self.data, part, np.int32(first))
            return
        size = self.most_steps * self.batch_size
        for start in range(0, len(order), size):
            chosen = order[start : start + size]
            data = self.rows._dense(chosen, self.dtype)
            yield EpochPart(data, batches_of(np.arange(len(chosen)), self.batch_size), np.int32(0))
