"""Fit a Laplace approximation to the training rows of a run, and save it beside the model."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from mlp_jax.data.dataset import Split
from mlp_jax.data.encoding import TableEncoding
from mlp_jax.errors import InputError
from mlp_jax.model.laplace import LaplaceFacts, check_fits, check_kind, check_prior
from mlp_jax.model.laplace_file import save_laplace
from mlp_jax.model.laplace_fit import fit_curvature
from mlp_jax.model.model_folder import load_model
from mlp_jax.model.saved import Model
from mlp_jax.training.run.config import run_config
from mlp_jax.training.run.data import prepared
from mlp_jax.training.run.folder import read_metadata
from mlp_jax.training.run.metadata import digest


def fit_run(
    folder: Path, kind: str, prior: str | None = None, data: str | None = None
) -> tuple[LaplaceFacts, Path]:
    """Fit a Laplace approximation to the run in a folder.

    Args:
        folder: run folder.
        kind: name of the approximation.
        prior: how to choose the prior precision and the noise: "validation" or "evidence" (default:
            validation rows if the run has any).
        data: the run's data, if they have moved.

    Returns:
        A description of the approximation, and its file.

    Raises:
        InputError: if the data differ from those of the run, or the model does not support it.
        ModelFileError: if there is no model.
        RunFolderError: if there is no run.
    """
    known, choice = check_kind(kind), None if prior is None else check_prior(prior)
    model, config = load_model(folder), run_config(folder)
    check_fits(model.network, model.loss, known)
    if config.private:
        raise InputError(
            "A Laplace approximation would reveal more of the training rows than this private run"
            " allows."
        )
    if data is not None:
        config = replace(config, data=data)
    rows = prepared(config, (model.inputs, model.target))
    if not isinstance(rows.train, Split):
        raise InputError(
            "This run's training rows are streamed; a Laplace approximation needs them in memory."
        )
    if read_metadata(folder).get("digest") != digest(rows):
        raise InputError(
            f"The rows of '{rows.name}' differ from those that this run was trained on."
        )
    validation = None if choice == "evidence" else rows.validation
    if choice == "validation" and validation is None:
        raise InputError("The run has no validation rows to choose the prior; use evidence.")
    laplace = fit_curvature(
        model,
        *_encoded(model, rows.train),
        known,
        None if validation is None else _encoded(model, validation),
    )
    return laplace.facts, save_laplace(folder, laplace)


def _encoded(model: Model, rows: Split) -> tuple[np.ndarray, np.ndarray]:
    """Return (x, y) as the network takes them; rows of a table are encoded already."""
    x = rows.x if isinstance(model.inputs, TableEncoding) else model.features(rows)
    return x, rows.y
