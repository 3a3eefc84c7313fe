"""Files of a model: `model/` with model.safetensors and model.json, written atomically.

A new model is written beside the old one and renamed into place. A folder cannot be renamed onto
another, so that the old one is briefly called `.model.old`; readers that find no `model` use that
one. A killed process leaves at least one of the two.

No code from the files is executed: JSON is decoded into known records, field by field, and raw
numbers must have the names, shapes and types of the architecture.
"""

import hashlib
import os
import platform
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import is_dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.typing import DTypeLike

from mlp_jax.backprop import (
    Activation,
    BatchNorm,
    Beside,
    BlockDense,
    Categories,
    Cosines,
    Dense,
    Dropout,
    Ensemble,
    FeatureScale,
    Layer,
    LayerNorm,
    Loss,
    MeanOfMembers,
    Members,
    NTKScale,
    ParametricActivation,
    Periodic,
    PiecewiseLinear,
    Residual,
    RMSNorm,
    Sequential,
    SharedDense,
)
from mlp_jax.backprop.specification import Params, State
from mlp_jax.codec import decode, encode, read_json, registry
from mlp_jax.data.encoding import (
    ArrayEncoding,
    CategoricalColumn,
    InputEncoding,
    NumericColumn,
    TableEncoding,
    TargetEncoding,
    TextForm,
)
from mlp_jax.errors import InputError, ModelFileError, check_new_name
from mlp_jax.files import as_run_folder_error, write_bytes_atomic, write_json_atomic

FORMAT, VERSION = "mlp-jax model", 1
WEIGHTS, DESCRIPTION = "model.safetensors", "model.json"
LAYERS = (
    Activation, BatchNorm, Beside, BlockDense, Categories, Cosines, Dense, Dropout, Ensemble,
    FeatureScale, LayerNorm, MeanOfMembers, Members, NTKScale, ParametricActivation, Periodic,
    PiecewiseLinear, RMSNorm, Residual, Sequential, SharedDense,
)  # fmt: skip
CLASSES = registry(
    (
        *LAYERS,
        Loss,
        ArrayEncoding,
        TableEncoding,
        NumericColumn,
        CategoricalColumn,
        TargetEncoding,
        TextForm,
    )
)


def register_layer(layer: Any) -> None:
    """Register a custom layer, so that models with it can be saved and loaded.

    Training does not need it; the gradient check before each run compares the layer's backward pass
    with `jax.vjp` of its forward pass. `load` needs the layer registered.

    Args:
        layer: a frozen dataclass that derives from `Layer`, with fields that JSON can hold:
            numbers, text, booleans, None, tuples and other layers.

    Raises:
        InputError: for another class, or if there is a layer of that name.
    """
    if not (isinstance(layer, type) and issubclass(layer, Layer) and is_dataclass(layer)):
        raise InputError(
            f"A layer is a frozen dataclass that derives from mlp_jax.Layer, not {layer!r}."
        )
    check_new_name("layer", layer.__name__, CLASSES)
    CLASSES[layer.__name__] = layer


PARTS: dict[str, Any] = {
    "network": Layer,
    "loss": Loss,
    "inputs": InputEncoding,
    "target": TargetEncoding,
    "precision": str,
}
_KEYS = {"format", "version", "versions", *PARTS, "metrics", "about", "tensors", "sha256"}


def named_leaves(params: Params, layer_state: State) -> dict[str, Any]:
    """Return every array by a readable path: "0.W", "2.0.shift", "state.1.mean"."""
    found = {}
    for prefix, tree in (("", params), ("state.", layer_state)):
        for path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]:
            steps: list[Any] = list(path)
            names = [str(step.idx if hasattr(step, "idx") else step.key) for step in steps]
            found[prefix + ".".join(names)] = leaf
    return found


def versions() -> dict[str, str]:
    """Return the versions of the software that writes a model."""
    found = {name: metadata.version(name) for name in ("jax", "numpy")}
    return {"mlp_jax": _own_version(), "python": platform.python_version(), **found}


def _own_version() -> str:
    try:
        return metadata.version("mlp-jax")
    except metadata.PackageNotFoundError:
        return "unknown"


def write(
    folder: Path,
    parts: Mapping[str, Any],
    tensors: Mapping[str, np.ndarray],
    metrics: Mapping[str, Any],
    about: Mapping[str, Any],
) -> None:
    """Write the two files in `folder`, replacing existing ones.

    Raises RunFolderError if the folder cannot be written.
    """
    from safetensors.numpy import save

    weights = save({name: np.ascontiguousarray(values) for name, values in tensors.items()})
    description = {
        "format": FORMAT,
        "version": VERSION,
        "versions": versions(),
        **{name: encode(value, CLASSES) for name, value in parts.items()},
        "metrics": dict(metrics),
        "about": dict(about),
        "tensors": _described(tensors),
        "sha256": hashlib.sha256(weights).hexdigest(),
    }
    new, old = _beside(folder, "new"), _beside(folder, "old")
    with as_run_folder_error("write", folder):
        try:
            shutil.rmtree(new, ignore_errors=True)
            new.mkdir(parents=True)
            write_bytes_atomic(new / WEIGHTS, weights)
            write_json_atomic(new / DESCRIPTION, description)
            _sync(new)
            _put_in_place(new, folder, old)
        finally:
            shutil.rmtree(new, ignore_errors=True)


def _put_in_place(new: Path, folder: Path, old: Path) -> None:
    """Rename `new` to `folder`; at every moment `folder` or `old` is complete, if either was."""
    if folder.exists():
        shutil.rmtree(old, ignore_errors=True)
        folder.rename(old)
    try:
        new.rename(folder)
    except OSError:
        if old.exists():
            old.rename(folder)
        raise
    _sync(folder.parent)
    shutil.rmtree(old, ignore_errors=True)


def _beside(folder: Path, what: str) -> Path:
    return folder.with_name(f".{folder.name}.{what}")


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def find(path: Path) -> Path:
    """Return the folder with the two files: `path`, or its model/.

    Raises ModelFileError if there is none.
    """
    for folder in (path / "model", path):
        for place in (folder, _beside(folder, "old") if folder.name else folder):
            if (place / DESCRIPTION).exists() or (place / WEIGHTS).exists():
                return place
    if not path.exists():
        raise ModelFileError(f"There is no run '{path}'.")
    raise ModelFileError(
        f"There is no saved model in '{path}': it needs model/{WEIGHTS} and model/{DESCRIPTION}."
    )


def read_description(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return (the parts as records, the description as JSON), checked.

    Raises ModelFileError for a file that is missing or invalid.
    """
    path = folder / DESCRIPTION
    try:
        description = _checked_description(read_json(read_bytes(path), "the file"))
        parts = {
            name: decode(description[name], hint, CLASSES, f"'{name}'")
            for name, hint in PARTS.items()
        }
    except InputError as error:
        raise ModelFileError(f"'{path}' does not describe a model: {error}") from None
    except RecursionError:
        raise ModelFileError(
            f"'{path}' does not describe a model: it is nested too deeply."
        ) from None
    return parts, description


def _checked_description(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict) or value.get("format") != FORMAT:
        raise InputError(f'it lacks the mark "format": "{FORMAT}".')
    if value.get("version") != VERSION or isinstance(value["version"], bool):
        raise InputError(
            f"its format has version {value.get('version')!r}, and this mlp-jax reads {VERSION}."
        )
    for name in sorted(_KEYS ^ value.keys()):
        raise InputError(f"it {'lacks' if name in _KEYS else 'has the unknown'} entry '{name}'.")
    for name in ("versions", "metrics", "about", "tensors"):
        if not isinstance(value[name], dict):
            raise InputError(f"'{name}' must be an object.")
    for name, figure in value["metrics"].items():
        if figure is not None and type(figure) not in (int, float):
            raise InputError(f"the metric '{name}' must be a number or null.")
    return value


def read_tensors(
    folder: Path, description: Mapping[str, Any], expected: Mapping[str, Any], dtype: DTypeLike
) -> dict[str, np.ndarray]:
    """Return the arrays, checked for names, shapes, dtype and checksum.

    Raises ModelFileError for a file that is missing, damaged or of another model.
    """
    path = folder / WEIGHTS
    data = read_bytes(path)
    found = parsed(path, data)
    for problem in problems(found, expected, dtype):
        raise ModelFileError(f"'{path}' does not hold this model: {problem}.")
    digest = hashlib.sha256(data).hexdigest()
    if description["sha256"] != digest or description["tensors"] != _described(found):
        raise ModelFileError(
            f"'{path}' is not the file that {DESCRIPTION} was written with: its checksum differs."
        )
    return found


def parsed(path: Path, data: bytes) -> dict[str, np.ndarray]:
    """Parse the bytes of a safetensors file; ModelFileError for damaged bytes."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        return load(data)
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split()).rstrip(".")
        raise ModelFileError(
            f"'{path}' is a damaged or truncated safetensors file: {reason}."
        ) from None


def problems(
    found: Mapping[str, np.ndarray], expected: Mapping[str, Any], dtype: DTypeLike
) -> Iterator[str]:
    """Iterate over the mismatches of the arrays, as clauses for a message."""
    for name, leaf in expected.items():
        if name not in found:
            yield f"the tensor '{name}' is missing"
        elif found[name].shape != leaf.shape:
            yield f"'{name}' has shape {found[name].shape}, but the network has {leaf.shape}"
        elif found[name].dtype != np.dtype(dtype):
            needed = np.dtype(dtype)
            yield f"'{name}' is {found[name].dtype}, but the model's precision needs {needed}"
        elif not np.isfinite(found[name]).all():
            yield f"'{name}' has values that are NaN or infinite"
    for name in found:
        if name not in expected:
            yield f"it has the tensor '{name}', which the network does not have"


def _described(tensors: Mapping[str, np.ndarray]) -> dict[str, Any]:
    return {
        name: {"dtype": values.dtype.name, "shape": list(values.shape)}
        for name, values in sorted(tensors.items())
    }


def read_bytes(path: Path) -> bytes:
    """Return the contents of a file; ModelFileError if it cannot be read."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise ModelFileError(f"'{path}' is missing.") from None
    except OSError as error:
        raise ModelFileError(f"'{path}' cannot be read: {error.strerror}.") from None
