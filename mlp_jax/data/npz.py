"""NumPy .npz files as a Dataset. Object arrays are rejected, never unpickled."""

import os
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.lib.npyio import NpzFile

from mlp_jax.data.arrays import from_arrays
from mlp_jax.data.bounds import as_size, inflation_bound
from mlp_jax.data.dataset import Dataset
from mlp_jax.errors import DataFileError, InputError

_TRAIN_KEYS = (("x_train", "y_train"), ("X_train", "y_train"), ("x", "y"), ("X", "y"))
_TEST_KEYS = {"x_train": ("x_test", "y_test"), "X_train": ("X_test", "y_test")}


def read_npz(path: str | os.PathLike[str], *, task: str = "auto") -> Dataset:
    """Read x and y, X and y, or x_train, y_train, x_test and y_test, and `classes` if present.

    Args:
        path: the file.
        task: as in `from_arrays`.

    Returns:
        The set.

    Raises:
        DataFileError: for a file that is missing, damaged, not .npz, or that inflates beyond 1 GiB
            and 100 times its size.
        InputError: for missing keys, object arrays, and what `from_arrays` rejects.
    """
    path = Path(path)
    arrays = _read_arrays(path)
    keys = next((pair for pair in _TRAIN_KEYS if set(pair) <= arrays.keys()), None)
    if keys is None:
        raise InputError(
            f"'{path}' needs the keys x and y, or x_train and y_train (x_test, y_test),"
            f" but has {', '.join(sorted(arrays)) or 'none'}."
        )
    test_keys = [key for key in _TEST_KEYS.get(keys[0], ()) if key in arrays]
    if len(test_keys) == 1:
        raise InputError(f"'{path}' has {test_keys[0]} without the other half of the test rows.")
    test = (arrays[test_keys[0]], arrays[test_keys[1]]) if test_keys else None
    return from_arrays(
        path.stem,
        arrays[keys[0]],
        arrays[keys[1]],
        test=test,
        task=task,
        classes=_classes(path, arrays),
    )


def _read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Return the arrays of the file that make up a Dataset."""
    wanted = {key for pair in (*_TRAIN_KEYS, *_TEST_KEYS.values()) for key in pair} | {"classes"}
    try:
        with path.open("rb") as file:
            if file.read(2) != b"PK":
                raise DataFileError(f"'{path}' is not an .npz file (a zip of NumPy arrays).")
            file.seek(0)
            _check_inflation(path, file)
            with np.load(file, allow_pickle=False) as archive:
                return {key: _member(path, archive, key) for key in archive if key in wanted}
    except FileNotFoundError:
        raise DataFileError(f"There is no file '{path}'.") from None
    except (InputError, DataFileError):
        raise
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, MemoryError) as error:
        reason = " ".join(str(error).split()).rstrip(".")
        raise DataFileError(f"'{path}' is a damaged or truncated .npz file: {reason}.") from None
    except OSError as error:
        raise DataFileError(f"'{path}' cannot be read: {error.strerror}.") from None


def _check_inflation(path: Path, file: BinaryIO) -> None:
    """Reject a file whose members would exhaust memory.

    NumPy reads a member up to its declared size only; a wrong size fails the checksum.
    """
    bound = inflation_bound(path.stat().st_size)
    with zipfile.ZipFile(file) as archive:
        declared = sum(member.file_size for member in archive.infolist())
    file.seek(0)
    if declared > bound:
        raise DataFileError(
            f"'{path}' would inflate to {as_size(declared)}, more than {as_size(bound)}, the limit"
            " for a file of its size."
        )


def _member(path: Path, archive: NpzFile, key: str) -> np.ndarray:
    try:
        array = archive[key]
    except ValueError as error:
        if "allow_pickle" not in str(error):
            raise
        raise InputError(
            f"'{key}' in '{path}' is an object array, which needs pickle:"
            " save it as numbers or as strings (dtype U)."
        ) from None
    if not isinstance(array, np.ndarray):
        raise DataFileError(f"'{key}' in '{path}' is not a NumPy array.")
    return array


def _classes(path: Path, arrays: Mapping[str, np.ndarray]) -> tuple[str, ...] | None:
    names = arrays.get("classes")
    if names is None:
        return None
    if names.ndim != 1 or names.dtype.kind not in "UTSiu":
        raise InputError(
            f"'classes' in '{path}' must be a list of names,"
            f" but is {names.dtype} of shape {names.shape}."
        )
    if names.dtype.kind == "S":
        names = np.char.decode(names, "utf-8", "backslashreplace")
    return tuple(str(name) for name in names)
