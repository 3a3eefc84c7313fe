"""Write a model as a folder and read it back."""

import os
from pathlib import Path

import jax
import numpy as np

from mlp_jax.errors import InputError, ModelFileError
from mlp_jax.files import user_path
from mlp_jax.model import store
from mlp_jax.model.consistent import check_consistent, expected_shapes
from mlp_jax.model.precision import known_precision
from mlp_jax.model.saved import Model


def save_model(folder: str | os.PathLike[str], model: Model) -> None:
    """Write a model folder atomically.

    Raises ModelFileError for a model that could not be read back, RunFolderError if the folder
    cannot be written.
    """
    try:
        check_consistent(model.network, model.loss, model.inputs, model.target)
        dtype = known_precision(model.precision).params
        expected = store.named_leaves(*expected_shapes(model.network, model.inputs.n_features))
    except InputError as error:
        raise ModelFileError(f"This model cannot be saved: {error}") from None
    leaves = store.named_leaves(model.params, model.layer_state)
    tensors = {name: np.asarray(leaf) for name, leaf in leaves.items()}
    for problem in store.problems(tensors, expected, dtype):
        raise ModelFileError(f"This model cannot be saved: {problem}.")
    parts = {name: getattr(model, name) for name in store.PARTS}
    about = {name: value for name, value in model.about.items() if name != "versions"}
    store.write(Path(folder), parts, tensors, model.metrics, about)


def save(model: Model, path: str | os.PathLike[str]) -> None:
    """Write a model as a folder that `load` reads.

    Args:
        model: a `Model`, as `fit` and `load` return it.
        path: the folder. The write is atomic: a killed process leaves no partial folder.

    Raises:
        ModelFileError: for a model that could not be read back.
        RunFolderError: if the folder cannot be written.
    """
    save_model(path, model)


def load_model(path: str | os.PathLike[str]) -> Model:
    """Load a model. No code from the files is executed.

    Args:
        path: folder of a run, or the model/ folder in it.

    Returns:
        The model; `about["versions"]` has the versions that wrote it.

    Raises:
        ModelFileError: for files that are missing, damaged or inconsistent.
    """
    folder = store.find(user_path(path))
    parts, description = store.read_description(folder)
    try:
        check_consistent(parts["network"], parts["loss"], parts["inputs"], parts["target"])
        precision = known_precision(parts["precision"])
        shapes = expected_shapes(parts["network"], parts["inputs"].n_features)
    except InputError as error:
        raise ModelFileError(f"'{folder}' holds inconsistent parts: {error}") from None
    expected = store.named_leaves(*shapes)
    tensors = store.read_tensors(folder, description, expected, precision.params)
    leaves = [tensors[name] for name in expected]
    params, layer_state = jax.tree.unflatten(jax.tree.structure(shapes), leaves)
    return Model(
        **parts,
        params=params,
        layer_state=layer_state,
        metrics=description["metrics"],
        about={**description["about"], "versions": description["versions"]},
    )
