"""IDX, the format of MNIST: read one file, or a folder of four files as a Dataset.

A file is two zero bytes, a type code, the number of dimensions, each dimension as a big-endian
uint32, then the values, big-endian (LeCun, Cortes & Burges, "The MNIST database"). Gzipped files
are recognized by their first bytes.
"""

import gzip
import io
import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from mlp_jax.data.arrays import from_arrays
from mlp_jax.data.bounds import as_size, inflation_bound
from mlp_jax.data.dataset import Dataset
from mlp_jax.data.file_errors import GZIP_MAGIC, data_file_errors
from mlp_jax.errors import DataFileError

DTYPES: dict[int, np.dtype] = {
    0x08: np.dtype(">u1"),
    0x09: np.dtype(">i1"),
    0x0B: np.dtype(">i2"),
    0x0C: np.dtype(">i4"),
    0x0D: np.dtype(">f4"),
    0x0E: np.dtype(">f8"),
}
_CHUNK = 1 << 20
FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


def read_idx(
    path: str | os.PathLike[str], seen: Callable[[bytes | bytearray], object] | None = None
) -> np.ndarray:
    """Read an IDX file, plain or gzipped, as an array in native byte order.

    Memory never exceeds the contents of the file.

    Args:
        path: the file.
        seen: called with the decompressed bytes, piece by piece (a digest's update).

    Returns:
        The array.

    Raises:
        DataFileError: for a file that is missing, not IDX, inconsistent with its header, or that
            inflates beyond 1 GiB and 100 times its size.
    """
    path = Path(path)
    with data_file_errors(path), path.open("rb") as raw:
        size = path.stat().st_size
        if raw.read(2) == GZIP_MAGIC:
            raw.seek(0)
            with gzip.GzipFile(fileobj=raw, mode="rb") as stream:
                return _read(stream, path, None, inflation_bound(size), seen)
        raw.seek(0)
        return _read(raw, path, size, size, seen)


def idx_layout(path: Path) -> tuple[np.dtype, tuple[int, ...], int]:
    """Return dtype and shape of the values in a plain IDX file, and their byte offset.

    Raises DataFileError as `read_idx`, and for a gzipped file, which has no random access.
    """
    with data_file_errors(path), path.open("rb") as raw:
        size = path.stat().st_size
        if raw.read(2) == GZIP_MAGIC:
            raise DataFileError(
                f"'{path}' is gzipped, which has no random access to rows: gunzip it first."
            )
        raw.seek(0)
        start, dtype, shape = _read_header(raw, path)
    promised = math.prod(shape) * dtype.itemsize
    if size - len(start) != promised:
        raise _mismatch(path, shape, promised, f"{size - len(start)}")
    return dtype, shape, len(start)


def read_folder(
    folder: str | os.PathLike[str],
    *,
    name: str | None = None,
    classes: Sequence[str] | None = None,
) -> Dataset:
    """Read a folder of MNIST-like files: training, and test if there are any.

    Names are those of MNIST (`train-images-idx3-ubyte`), also with `.idx3`, also with `.gz`; plain
    files take precedence.

    Args:
        folder: the folder.
        name: name of the set (default: the folder's).
        classes: names of the labels (default: '0' to '9', or to the largest label).

    Returns:
        The set.

    Raises:
        DataFileError: for a file that is missing or invalid.
        InputError: for labels outside the classes.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DataFileError(f"There is no folder '{folder}'.")
    found = [find_idx(folder, file) for file in FILES]
    needed = 4 if any(found[2:]) else 2
    missing = [
        file for file, path in zip(FILES[:needed], found[:needed], strict=True) if path is None
    ]
    if missing:
        raise DataFileError(f"'{folder}' has no {' and no '.join(missing)} (nor with .gz).")
    paths = [path for path in found if path is not None]
    images = [_read_images(path) for path in paths[::2]]
    labels = [_read_labels(path) for path in paths[1::2]]
    if classes is None:
        largest = max(int(y.max(initial=0)) for y in labels)
        classes = tuple(str(i) for i in range(max(10, largest + 1)))
    return from_arrays(
        name or folder.resolve().name,
        images[0],
        labels[0],
        test=(images[1], labels[1]) if len(images) == 2 else None,
        task="classification",
        classes=classes,
    )


def _read(
    stream: io.BufferedIOBase,
    path: Path,
    size: int | None,
    bound: int,
    seen: Callable[[bytes | bytearray], object] | None,
) -> np.ndarray:
    """Read a stream of known size; size None: up to its end."""
    start, dtype, shape = _read_header(stream, path)
    promised = math.prod(shape) * dtype.itemsize
    held = None if size is None else size - len(start)
    if held is not None and held != promised:
        raise _mismatch(path, shape, promised, f"{held}")
    values = _read_up_to(stream, min(promised, bound) + 1)
    if len(values) > bound:
        raise DataFileError(
            f"'{path}' inflates to more than {as_size(bound)}, the limit for a file of its size."
        )
    if len(values) != promised:
        more = len(values) > promised
        raise _mismatch(path, shape, promised, "more" if more else f"{len(values)}")
    if seen is not None:
        for piece in (start, values):
            seen(piece)
    try:
        array = np.frombuffer(values, dtype).reshape(shape)
    except ValueError as error:
        raise DataFileError(f"'{path}' has a shape that NumPy cannot hold: {error}.") from None
    return array.astype(dtype.newbyteorder("="), copy=False)


def _read_header(stream: io.BufferedIOBase, path: Path) -> tuple[bytes, np.dtype, tuple[int, ...]]:
    """Return the bytes of the header, the dtype of the values, and their shape."""
    start = stream.read(4)
    if start[:2] != b"\0\0"[: len(start)] or not start:
        raise DataFileError(
            f"'{path}' is not an IDX file: it starts with {start[:2].hex(' ') or 'nothing'},"
            " not 00 00."
        )
    n_dimensions = start[3] if len(start) == 4 else 0
    sizes = stream.read(4 * n_dimensions)
    if len(start) < 4 or len(sizes) < 4 * n_dimensions:
        raise DataFileError(
            f"'{path}' is truncated inside its header, after {len(start) + len(sizes)} bytes."
        )
    if start[2] not in DTYPES:
        known = ", ".join(f"0x{code:02x}" for code in DTYPES)
        raise DataFileError(
            f"'{path}' has the unknown IDX type code 0x{start[2]:02x}; known are {known}."
        )
    dtype = DTYPES[start[2]]
    shape = tuple(int.from_bytes(sizes[i : i + 4], "big") for i in range(0, len(sizes), 4))
    return start + sizes, dtype, shape


def _mismatch(path: Path, shape: tuple[int, ...], promised: int, held: str) -> DataFileError:
    return DataFileError(
        f"'{path}' holds {held} bytes of values, but its header declares {promised}"
        f" (shape {' × '.join(map(str, shape)) or '()'})."
    )


def _read_up_to(stream: io.BufferedIOBase, limit: int) -> bytearray:
    values = bytearray()
    while chunk := stream.read(min(_CHUNK, limit - len(values))):
        values += chunk
    return values


def find_idx(folder: Path, name: str) -> Path | None:
    """Return the file of an IDX name, such as 'train-images-idx3-ubyte', in any form; else None."""
    forms = [form + end for end in ("", ".gz") for form in (name, name.replace("-idx", ".idx"))]
    return next((folder / form for form in forms if (folder / form).is_file()), None)


def _read_images(path: Path) -> np.ndarray:
    images = read_idx(path)
    if images.ndim != 3:
        raise DataFileError(
            f"'{path}' should hold images (rows, height, width), but has shape {images.shape}."
        )
    return images


def _read_labels(path: Path) -> np.ndarray:
    labels = read_idx(path)
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise DataFileError(
            f"'{path}' should hold whole-number labels (rows,),"
            f" but has {labels.dtype} of shape {labels.shape}."
        )
    return labels
