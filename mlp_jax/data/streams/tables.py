"""A table on disk as rows for a network: blocks of columns, encoded as they are read."""

import numpy as np
from jaxtyping import Int64

from mlp_jax.data.encoding import TableEncoding, TargetEncoding
from mlp_jax.data.source import Rows
from mlp_jax.data.streams.frames import Frames
from mlp_jax.data.tables.encode import check_columns, encode
from mlp_jax.data.tables.targets import encode_target


class TableSource:
    """The rows of a table, encoded block by block: x (N, I) float32, y as `encode_target` has it.

    Raises InputError for a column that is not there; reading, for a value that a column cannot
    hold and for a target that is missing, with its row.
    """

    def __init__(self, frames: Frames, inputs: TableEncoding, target: TargetEncoding) -> None:
        names = tuple(frames.schema)
        check_columns(inputs, names)
        self._frames, self._inputs, self._target = frames, inputs, target
        self._columns = tuple(dict.fromkeys((*inputs.column_names, *target.names)))
        self.name = frames.name
        self.n_features = inputs.n_features

    @property
    def starts(self) -> Int64[np.ndarray, " K1"]:
        """(K + 1,): the first row of each block, and N."""
        return self._frames.starts

    def __len__(self) -> int:
        return int(self.starts[-1])

    def read_block(self, number: int) -> Rows:
        """The rows of a block in their order."""
        frame = self._frames.read(number, self._columns)
        first_row = self._frames.numbers(number)
        return Rows(
            encode(self._inputs, frame, first_row=first_row),
            encode_target(self._target, frame, first_row=first_row),
        )
