"""A Laplace approximation on disk: `laplace.safetensors` in the model's folder, written atomically.

Its header has the metadata and the checksum of the model's weights; those of another model are
rejected. No code from the file is executed.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mlp_jax.codec import decode, encode, read_json, registry
from mlp_jax.errors import InputError, ModelFileError
from mlp_jax.files import user_path, write_bytes_atomic
from mlp_jax.model import store
from mlp_jax.model.laplace import Laplace, LaplaceFacts, check_fits, split_last
from mlp_jax.model.precision import known_precision
from mlp_jax.model.saved import Model

FILE = "laplace.safetensors"
FORMAT, VERSION = "mlp-jax laplace", 1


@dataclass(frozen=True)
class Header:
    """Header of the file; weights and arrays: checksums of the model's and the file's arrays."""

    format: str
    version: int
    facts: LaplaceFacts
    weights: str
    arrays: str


_CLASSES = registry((Header, LaplaceFacts))


def save_laplace(path: str | os.PathLike[str], laplace: Laplace) -> Path:
    """Write an approximation beside the model of a run, atomically.

    Args:
        path: folder of the run, or the model/ folder in it.
        laplace: the approximation, as `LaplaceModel.laplace`; its arrays are stored in the dtype of
            the model's parameters.

    Returns:
        The path of the file.

    Raises:
        ModelFileError: if there is no model.
        RunFolderError: if the file cannot be written.
    """
    from safetensors.numpy import save

    folder = store.find(user_path(path))
    parts, description = store.read_description(folder)
    dtype = np.dtype(known_precision(parts["precision"]).params)
    arrays = {name: np.ascontiguousarray(v, dtype) for name, v in laplace.arrays.items()}
    weights = description["sha256"]
    header = Header(
        format=FORMAT, version=VERSION, facts=laplace.facts, weights=weights, arrays=_digest(arrays)
    )
    data = save(arrays, {"laplace": json.dumps(encode(header, _CLASSES))})
    write_bytes_atomic(folder / FILE, data)
    return folder / FILE


def read_laplace(path: str | os.PathLike[str], model: Model) -> Laplace:
    """Read the approximation beside the model of `path`.

    Raises ModelFileError for a file that is missing, damaged, or fitted to other weights.
    """
    folder = store.find(user_path(path))
    file = folder / FILE
    if not file.exists():
        raise ModelFileError(
            f"There is no Laplace approximation in '{folder}'; run mlp-jax laplace to fit one."
        )
    data = store.read_bytes(file)
    arrays = store.parsed(file, data)
    header = _header(file, data)
    if header.weights != store.read_description(folder)[1]["sha256"]:
        raise ModelFileError(
            f"'{file}' was fitted to other weights than those of the model; run mlp-jax laplace"
            " again."
        )
    try:
        check_fits(model.network, model.loss, header.facts.kind)
    except InputError as error:
        raise ModelFileError(f"'{file}' does not fit its model: {error}") from None
    expected = _expected(model, header.facts)
    for problem in store.problems(arrays, expected, known_precision(model.precision).params):
        raise ModelFileError(f"'{file}' does not fit its model: {problem}.")
    if header.arrays != _digest(arrays):
        raise ModelFileError(f"'{file}' is damaged: the checksum of its arrays differs.")
    return Laplace(header.facts, arrays)


def _header(file: Path, data: bytes) -> Header:
    """Return the header of a safetensors file."""
    size = int.from_bytes(data[:8], "little")
    try:
        text = read_json(data[8 : 8 + size], "its header").get("__metadata__", {}).get("laplace")
        if text is None:
            raise InputError("its header lacks the entry 'laplace'.")
        header: Header = decode(read_json(text.encode(), "its header"), Header, _CLASSES, "it")
        if (header.format, header.version) != (FORMAT, VERSION):
            raise InputError(
                f"it is {header.format!r} version {header.version}, and this mlp-jax reads"
                f" {FORMAT!r} version {VERSION}."
            )
        if header.facts.prior_precision <= 0 or header.facts.noise_variance <= 0:
            raise InputError("its prior precision and noise must be positive.")
    except InputError as error:
        raise ModelFileError(f"'{file}' holds no Laplace approximation: {error}") from None
    return header


def _expected(model: Model, facts: LaplaceFacts) -> Mapping[str, Any]:
    """Return the names and shapes of this model's arrays."""
    if facts.kind == "diagonal":
        return store.named_leaves(model.params, ())
    _, last = split_last(model.network)
    width = model.params[-1]["W"].shape[0] + last.bias
    shapes = {
        "input_values": (width,),
        "input_vectors": (width, width),
        "output_values": (last.n_out,),
        "output_vectors": (last.n_out, last.n_out),
    }
    return {name: np.empty(shape, np.bool_) for name, shape in shapes.items()}


def _digest(arrays: Mapping[str, np.ndarray]) -> str:
    """Return the SHA-256 of all arrays, in the order of their names."""
    found = hashlib.sha256()
    for name in sorted(arrays):
        found.update(name.encode())
        found.update(np.ascontiguousarray(arrays[name]).tobytes())
    return found.hexdigest()
