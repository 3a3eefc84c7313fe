"""Fits a Laplace approximation to the rows that a run was trained on, and puts it by its model."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from mlp_jax.data.dataset import Split
from mlp_jax.data.encoding import TableEncoding
from mlp_jax.errors import InputError
from mlp_jax.model.laplace import LaplaceFacts, check_fits, check_kind, check_prior
from mlp_jax.model.laplace_file import save_laplace
from mlp_jax.model.laplace_fit import fit_curvature
from mlp_jax.model.saved import Model, load_model
from mlp_jax.training.run.config import run_config
from mlp_jax.training.run.data import prepared
from mlp_jax.training.run.folder import read_facts
from mlp_jax.training.run.metadata import digest


def fit_run(
    folder: Path, kind: str, prior: str | None = None, data: str | None = None
) -> tuple[LaplaceFacts, Path]:
    """(what was fitted, the file) of the run in a folder; data: where its rows are now.

    prior: what chooses the prior precision and the noise, by default the validation rows where the
    run has any.
    InputError where they are not the rows of the run, or the model has no such approximation;
    ModelFileError or RunFolderError where there is no model or no run.
    """
    known, choice = check_kind(kind), None if prior is None else check_prior(prior)
    model, config = load_model(folder), run_config(folder)
    check_fits(model.network, model.loss, known)
    if config.private:
        raise InputError(
            "This run is private, and a Laplace approximation would tell of its training rows what"
            " the run does not."
        )
    if data is not None:
        config = replace(config, data=data)
    rows = prepared(config, (model.inputs, model.target))
    if not isinstance(rows.train, Split):
        raise InputError(
            "This run's training rows stream, and a Laplace approximation needs them all at hand."
        )
    if read_facts(folder).get("digest") != digest(rows):
        raise InputError(
            f"'{rows.name}' is not what this run was trained on: its rows are not the same."
        )
    validation = None if choice == "evidence" else rows.validation
    if choice == "validation" and validation is None:
        raise InputError("The run has no validation rows to choose the prior by; take evidence.")
    laplace = fit_curvature(
        model,
        *_encoded(model, rows.train),
        known,
        None if validation is None else _encoded(model, validation),
    )
    return laplace.facts, save_laplace(folder, laplace)


def _encoded(model: Model, rows: Split) -> tuple[np.ndarray, np.ndarray]:
    """(x, y) as the network takes rows: those of a table are encoded already."""
    x = rows.x if isinstance(model.inputs, TableEncoding) else model.features(rows)
    return x, rows.y
