"""Data that is larger than memory: rows read from files as training needs them.

    source = open_npy_folder(Path("rows"))  # or open_npy, open_idx: any row in any order
    inputs, target = fit_arrays(source)

    frames = open_frames(Path("table"))  # a folder of Parquet files, a Parquet, CSV or TSV file
    inputs, target, notes = fit_table(frames, ["label"])
    source = TableSource(frames, inputs, target)  # blocks of rows, encoded

    held_out, = drawn_rows(len(source), [1000], seed=0)  # before anything is learned
    source, frames = ArrayPart(source, held_out), FramesPart(frames, held_out)

    stream = Stream(source, batch_size=256, steps=64)
    with stream.epoch(keys, first=0) as epoch:
        for stack in epoch:  # stack.x (S, B, I), stack.y, stack.weights
            ...
        print(epoch.waited)

Rows of arrays come in the order that the device would take them, blocks in that of windows.
Nothing here imports JAX.
"""

from mlp_jax.data.source import BlockSource, Rows, RowSource, Source, Streamed
from mlp_jax.data.streams.arrays import ArraySource, open_idx, open_npy, open_npy_folder
from mlp_jax.data.streams.fitting import fit_table
from mlp_jax.data.streams.frames import Frames, open_frames
from mlp_jax.data.streams.order import keys_of
from mlp_jax.data.streams.parts import ArrayPart, FramesPart, drawn_rows
from mlp_jax.data.streams.statistics import fit_arrays, streaming_scaling
from mlp_jax.data.streams.stream import Epoch, Stack, Stream
from mlp_jax.data.streams.tables import TableSource

__all__ = [
    "ArrayPart",
    "ArraySource",
    "BlockSource",
    "Epoch",
    "Frames",
    "FramesPart",
    "RowSource",
    "Rows",
    "Source",
    "Stack",
    "Stream",
    "Streamed",
    "TableSource",
    "drawn_rows",
    "fit_arrays",
    "fit_table",
    "keys_of",
    "open_frames",
    "open_idx",
    "open_npy",
    "open_npy_folder",
    "streaming_scaling",
]
