"""IDX files for tests, written apart from the reader under test."""

import gzip
from pathlib import Path

import numpy as np

CODES = {"u1": 0x08, "i1": 0x09, "i2": 0x0B, "i4": 0x0C, "f4": 0x0D, "f8": 0x0E}


def write_idx(path: Path, array: np.ndarray) -> None:
    """Write an array as an IDX file, gzipped if the name ends in .gz."""
    header = bytes([0, 0, CODES[array.dtype.str[1:]], array.ndim])
    header += b"".join(n.to_bytes(4, "big") for n in array.shape)
    content = header + array.astype(array.dtype.newbyteorder(">")).tobytes()
    path.write_bytes(gzip.compress(content, mtime=0) if path.suffix == ".gz" else content)
