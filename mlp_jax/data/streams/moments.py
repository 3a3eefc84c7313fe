"""Mean and deviation of rows that come chunk by chunk, merged in float64.

Chan, Golub & LeVeque 1983, "Algorithms for computing the sample variance", eq. 2.1.

Letters: M rows in a chunk, I columns.
"""

import numpy as np
from jaxtyping import Float64, Int64, Shaped


class Moments:
    """Mean, deviation, least and greatest of columns (I,), of rows that come chunk by chunk."""

    def __init__(self, n_columns: int) -> None:
        self.n = 0
        self._origin = np.zeros(n_columns)  # near the mean: what is measured from it keeps digits
        self._mean = np.zeros(n_columns)  # from there
        self._squares = np.zeros(n_columns)
        self.low = np.full(n_columns, np.inf)
        self.high = np.full(n_columns, -np.inf)

    def add(
        self, chunk: Shaped[np.ndarray, "M I"], times: Int64[np.ndarray, " M"] | None = None
    ) -> None:
        """Take in rows without NaN, each `times` times."""
        if not len(chunk):
            return
        m = len(chunk) if times is None else int(times.sum())
        with np.errstate(over="ignore", invalid="ignore"):
            if not self.n:
                self._origin = chunk[0].astype(np.float64)
            wide = chunk - self._origin
            mean = wide.mean(axis=0) if times is None else times @ wide / m
            wide -= mean
            squares = np.einsum("mi,mi->i", wide, wide if times is None else wide * times[:, None])
            shift = mean - self._mean
            total = self.n + m
            self._squares += squares + shift**2 * (self.n * m / total)
            self._mean += shift * (m / total)
        self.n = total
        self.low = np.minimum(self.low, chunk.min(axis=0))
        self.high = np.maximum(self.high, chunk.max(axis=0))

    @property
    def mean(self) -> Float64[np.ndarray, " I"]:
        """Means; 0 where there is no row."""
        return self._origin + self._mean

    @property
    def deviation(self) -> Float64[np.ndarray, " I"]:
        """Standard deviations, which divide by N; not finite where float64 does not hold them."""
        return np.sqrt(self._squares / self.n)
