"""Train or resume a run: from a configuration to a complete run folder."""

import contextlib
import shlex
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import jax

from mlp_jax.data.source import SHARDS
from mlp_jax.errors import InputError
from mlp_jax.model.model_folder import load_model
from mlp_jax.model.precision import ask_for_determinism, choose_device
from mlp_jax.training.callbacks import Callback, LedgerCallback
from mlp_jax.training.checkpoint.manager import Saving
from mlp_jax.training.compatibility import check_command
from mlp_jax.training.fit import fit
from mlp_jax.training.fit_options import FitOptions, shared_values
from mlp_jax.training.many.ensemble import fit_ensemble
from mlp_jax.training.mesh.mesh_shape import multiple_of_members
from mlp_jax.training.mesh.processes import is_first, on_first
from mlp_jax.training.private.ledger import check_ledger
from mlp_jax.training.result import TrainResult
from mlp_jax.training.run import folder as run_folder
from mlp_jax.training.run.build import (
    RunComponents,
    build,
    input_scaling,
    same_head,
    target_scaling,
    with_preset_options,
)
from mlp_jax.training.run.callbacks import (
    START,
    LogFiles,
    ProgressBar,
    RunCheckpoints,
    RunFolder,
)
from mlp_jax.training.run.config import CONFIG_FILE, TrainConfig, resumed_config, run_config
from mlp_jax.training.run.finish import finish
from mlp_jax.training.run.folder import check_folder, lock_run_folder
from mlp_jax.training.run.launch import (
    check_same_data,
    in_first_process,
    join_processes,
    naming_the_folder,
)
from mlp_jax.training.run.metadata import digest, headline, metadata_at_end
from mlp_jax.training.run.private_options import check_private, check_private_resume, privacy_of
from mlp_jax.training.run.progress import EpochProgress


class Run(NamedTuple):
    """Result of a run.

    Attributes:
        folder: run folder; None in a process that did not write it.
        fitted: the trained network.
        test: metrics on the test rows.
    """

    folder: Path | None
    fitted: TrainResult
    test: dict[str, float]


def train(config: TrainConfig, say: Callable[[str], None] = print, bar: bool = True) -> Run:
    """Load the data, verify the gradient, train, evaluate the test rows and write the run folder.

    The folder is created after the gradient check has passed. SIGTERM and Ctrl-C stop the run after
    the current compiled call, save a checkpoint and raise StoppedError.

    Args:
        config: configuration of the run.
        say: receives each line to print.
        bar: show a progress bar.

    Returns:
        The finished run.

    Raises:
        InputError: for options or data that do not fit.
        RunFolderError: if the folder cannot be written.
    """
    check_command(config)
    check_private(config)
    if config.deterministic:
        ask_for_determinism()
    join_processes(config)
    on_first(lambda: check_folder(config.out))
    Saving.parse(config.checkpoint_every, config.keep)
    start = None if config.init_from is None else load_model(Path(config.init_from))
    with contextlib.ExitStack() as stack:
        if config.stream and config.shards is None:  # recorded, so that a resumed run uses the same
            count = jax.process_count()
            config = replace(config, shards=-(-SHARDS // count) * count)
        components = build(config, start)
        config = with_preset_options(config, components.options)
        return _Run(config, components, say, bar, stack).train()


def resume(
    folder: Path,
    config: TrainConfig,
    say: Callable[[str], None] = print,
    bar: bool = True,
) -> Run:
    """Resume the run in a folder from its newest intact checkpoint.

    The result is that of a run without interruption.

    Args:
        folder: run folder.
        config: requested options; those that may not change must equal those of the run.
        say: receives each line to print.
        bar: show a progress bar.

    Returns:
        The finished run.

    Raises:
        InputError: for changed options or data, or a run that has finished.
        RunFolderError: if the folder has no run, or another process writes to it.
    """
    join_processes(config)
    saved, metadata = run_config(folder), run_folder.read_metadata(folder)
    if "sweep" in metadata:
        raise InputError(
            f"{folder} holds a sweep; to train its best trial as a run: --config"
            f" {folder / CONFIG_FILE}."
        )
    check_private_resume(saved, config, bool(metadata.get("finished")))
    config = resumed_config(saved, config, str(folder))
    check_command(config)
    check_private(config)
    if config.private:
        check_ledger(folder)
    if config.deterministic:
        ask_for_determinism()
    Saving.parse(config.checkpoint_every, config.keep)
    quoted = shlex.quote(str(folder))
    if metadata.get("finished") and metadata.get("epochs", saved.epochs) < saved.epochs:
        raise InputError(
            f"The run in {folder} stopped early after {metadata['epochs']} of {saved.epochs}"
            f" epochs; to start from its model: --init-from {quoted}."
        )
    if metadata.get("finished") and config.epochs <= saved.epochs:
        raise InputError(
            f"The run in {folder} has finished its {saved.epochs} epochs; to continue, give more:"
            f" --resume {quoted} --epochs {2 * saved.epochs}."
        )
    with contextlib.ExitStack() as stack:
        on_first(lambda: stack.enter_context(lock_run_folder(folder)))
        start = load_model(folder / START) if (folder / START).exists() else None
        return _Run(config, build(config, start), say, bar, stack, folder, metadata).train()


class _Run:
    """A run in this process; only process 0 prints and writes."""

    def __init__(
        self,
        config: TrainConfig,
        components: RunComponents,
        say: Callable[[str], None],
        bar: bool,
        stack: contextlib.ExitStack,
        folder: Path | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        self._config, self._components, self._stack = config, components, stack
        self._say, self._bar = in_first_process(say, bar)
        found = metadata or _first_metadata(config)
        self._folder = RunFolder(config, components, self._say, stack, folder, found)
        check_same_data(
            found,
            None if config.private else digest(components.data),
            f"The data of the run in {folder} have changed since it started, so it cannot"
            f" resume; to start from its model: --init-from {folder}.",
        )
        self._say(headline(config, components))
        for note in components.data.notes:
            self._say(f"  {note}")

    @property
    def _diagnostics(self) -> bool:
        """Return whether layer and gradient-noise diagnostics are measured."""
        config = self._config
        return (
            config.diagnostics
            and not (config.private or config.stream)
            and jax.process_count() == 1
        )

    def _callbacks(self) -> list[Callback]:
        """Return the callbacks of this process."""
        config, folder, say, stack = self._config, self._folder, self._say, self._stack
        saving = Saving.parse(config.checkpoint_every, config.keep)
        checkpoints = RunCheckpoints(lambda: folder.path, saving, say, stack)
        if not is_first():
            return [checkpoints]
        bar = stack.enter_context(EpochProgress(config.epochs, enabled=self._bar))
        logs = LogFiles(
            folder, self._components, say, stack,
            diagnostics=self._diagnostics, histograms=config.histograms,
        )  # fmt: skip
        progress = ProgressBar(bar, self._components.metrics[0], private=config.private)
        ledger = [LedgerCallback(folder.made)] if config.private else []
        return [folder, *ledger, logs, progress, checkpoints]

    def train(self) -> Run:
        """Train, evaluate the test rows, and complete the folder."""
        config, components = self._config, self._components
        problem = (components.network, components.loss, components.optimizer, components.data.train)
        options = fit_options_of(config, components, diagnostics=self._diagnostics)
        folder = self._folder
        with naming_the_folder("run", lambda: folder.path, lambda text: folder.note(failed=text)):
            if config.ensemble == 1:
                result = fit(*problem, options, callbacks=self._callbacks())
            else:
                result = fit_ensemble(
                    *problem,
                    options,
                    size=config.ensemble,
                    callbacks=self._callbacks(),
                    multiple=int(folder.metadata.get("multiple", 1)),
                    say=self._say,
                )
        return self._finished(result)

    def _finished(self, result: TrainResult) -> Run:
        """Evaluate the test rows, save the model, and complete the metadata."""
        folder, components = self._folder, self._components
        if not is_first():
            return Run(None, result, {})
        assert folder.path is not None
        if components.data.validation is not None and result.best_epoch < len(result.history):
            self._say(
                f"Using weights from epoch {result.best_epoch}"
                f" (best validation {components.metrics[0]})"
            )
        if result.private is not None:
            self._say(
                f"Privacy spent: epsilon {result.private['epsilon']:.4g} at delta"
                f" {result.private['delta']:g}"
            )
        found = finish(folder.path, self._config, components, result)
        folder.note(**metadata_at_end(components, result))
        return Run(folder.path, result, found)


def fit_options_of(
    config: TrainConfig, components: RunComponents, *, diagnostics: bool = False
) -> FitOptions:
    """Return the options of `fit` for a run."""
    shared = shared_values(config, without=("metrics",))
    return FitOptions(
        **shared,
        metrics=components.metrics,
        validation=components.data.validation,
        scaling=input_scaling(components.data.inputs),
        target_scaling=target_scaling(components.data.target),
        start=_start(components),
        diagnostics=diagnostics and config.ensemble == 1,
        privacy=privacy_of(config),
    )


def _first_metadata(config: TrainConfig) -> dict[str, Any]:
    """Return the metadata of a new run."""
    found: dict[str, Any] = {"started": run_folder.now()}
    if config.ensemble > 1 and jax.process_count() > 1:
        found["multiple"] = multiple_of_members(config.devices, choose_device(config.device))
    return found


def _start(components: RunComponents) -> Any:
    """Return the weights to start from, with None for a new last layer; None for a new network."""
    if components.start is None:
        return None
    model = components.start
    width = components.network.width_out(components.data.inputs.n_features)
    if same_head(model, components.data, width):
        return model.params, model.layer_state
    return (*model.params[:-1], None), (*model.layer_state[:-1], None)
