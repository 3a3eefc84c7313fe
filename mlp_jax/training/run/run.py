"""A run: from a configuration to a folder with everything that the training left behind."""

import contextlib
import shlex
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import jax

from mlp_jax.data.source import LANES
from mlp_jax.errors import DivergedError, InputError
from mlp_jax.model.precision import ask_for_determinism, choose_device
from mlp_jax.model.saved import load_model
from mlp_jax.training.callbacks import Callback, LedgerCallback
from mlp_jax.training.checkpoint.manager import Saving
from mlp_jax.training.compatibility import check_command
from mlp_jax.training.fit import fit
from mlp_jax.training.fit_options import FitOptions, shared_values
from mlp_jax.training.many.ensemble import fit_ensemble
from mlp_jax.training.mesh.processes import Cluster, is_first, join, on_first
from mlp_jax.training.mesh.shape import multiple_of_members
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
from mlp_jax.training.run.folder import check_folder, held
from mlp_jax.training.run.metadata import digest, headline, metadata_at_end
from mlp_jax.training.run.options import check_processes
from mlp_jax.training.run.private_options import check_private, check_private_resume, privacy_of
from mlp_jax.training.run.progress import EpochProgress


class Run(NamedTuple):
    """A finished run.

    Attributes:
        folder: its folder; None in a process that did not write it.
        fitted: the trained network.
        test: its metrics on the test rows.
    """

    folder: Path | None
    fitted: TrainResult
    test: dict[str, float]


def train(config: TrainConfig, say: Callable[[str], None] = print, bar: bool = True) -> Run:
    """Loads, proves, trains, evaluates on the test rows, and leaves the run's folder behind.

    The folder is made once the data and the options are known to be good and the proof has passed.
    SIGTERM and Ctrl-C end the run after the compiled call under way, saved (StoppedError).
    """
    check_command(config)
    check_private(config)
    if config.deterministic:
        ask_for_determinism()
    _meet(config)
    on_first(lambda: check_folder(config.out))
    Saving.parse(config.checkpoint_every, config.keep)
    start = None if config.init_from is None else load_model(Path(config.init_from))
    with contextlib.ExitStack() as stack:
        if config.stream and config.lanes is None:  # said in the run, for those that go on with it
            count = jax.process_count()
            config = replace(config, lanes=-(-LANES // count) * count)
        parts = build(config, start)
        config = with_preset_options(config, parts.options)
        return _Run(config, parts, say, bar, stack).train()


def resume(
    folder: Path,
    config: TrainConfig,
    say: Callable[[str], None] = print,
    bar: bool = True,
) -> Run:
    """Goes on with the run in a folder from its newest whole checkpoint, as if never cut.

    config: the options asked for now; those that may not change must be the run's own. Raises
    InputError where they are not, where the data have changed, or where nothing is left to do;
    RunFolderError where the folder holds no run or another process is writing to it.
    """
    _meet(config)
    saved, facts = run_config(folder), run_folder.read_facts(folder)
    if "sweep" in facts:
        raise InputError(
            f"{folder} holds a sweep; its best trial trains as a run by --config"
            f" {folder / CONFIG_FILE}."
        )
    check_private_resume(saved, config, bool(facts.get("finished")))
    config = resumed_config(saved, config, str(folder))
    check_command(config)
    check_private(config)
    if config.private:
        check_ledger(folder)
    if config.deterministic:
        ask_for_determinism()
    Saving.parse(config.checkpoint_every, config.keep)
    quoted = shlex.quote(str(folder))  # as a shell takes it
    if facts.get("finished") and facts.get("epochs", saved.epochs) < saved.epochs:
        raise InputError(
            f"The run in {folder} was ended by its patience after {facts['epochs']} of"
            f" {saved.epochs} epochs; to train on from its model: --init-from {quoted}."
        )
    if facts.get("finished") and config.epochs <= saved.epochs:
        raise InputError(
            f"The run in {folder} has finished its {saved.epochs} epochs; to go on, ask for more:"
            f" --resume {quoted} --epochs {2 * saved.epochs}."
        )
    with contextlib.ExitStack() as stack:
        on_first(lambda: stack.enter_context(held(folder)))
        start = load_model(folder / START) if (folder / START).exists() else None
        return _Run(config, build(config, start), say, bar, stack, folder, facts).train()


def _meet(config: TrainConfig) -> None:
    """Join the other processes of a distributed run."""
    check_processes(config)
    if config.distributed:
        join(Cluster(config.coordinator, config.processes, config.process_id))


class _Run:
    """A run in this process: the first of several prints and writes, the others train along."""

    def __init__(
        self,
        config: TrainConfig,
        parts: RunComponents,
        say: Callable[[str], None],
        bar: bool,
        stack: contextlib.ExitStack,
        folder: Path | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        self._config, self._parts, self._stack = config, parts, stack
        self._say = say if is_first() else lambda text: None
        self._bar = bar and is_first()
        found = metadata or _first_metadata(config)
        self._folder = RunFolder(config, parts, self._say, stack, folder, found)
        checksum = None if config.private else digest(parts.data)
        if found.setdefault("digest", checksum) != checksum:
            raise InputError(
                f"The data of the run in {folder} have changed since it began, so it cannot be"
                f" resumed; to start from its model: --init-from {folder}."
            )
        self._say(headline(config, parts))
        for note in parts.data.notes:
            self._say(f"  {note}")

    @property
    def _diagnostics(self) -> bool:
        """Whether layer health and gradient noise are measured between epochs."""
        config = self._config
        return (
            config.diagnostics
            and not (config.private or config.stream)
            and jax.process_count() == 1
        )

    def _callbacks(self) -> list[Callback]:
        config, folder, say, stack = self._config, self._folder, self._say, self._stack
        saving = Saving.parse(config.checkpoint_every, config.keep)
        checkpoints = RunCheckpoints(lambda: folder.path, saving, say, stack)
        if not is_first():
            return [checkpoints]
        bar = stack.enter_context(EpochProgress(config.epochs, enabled=self._bar))
        logs = LogFiles(
            folder, self._parts, say, stack,
            diagnostics=self._diagnostics, histograms=config.histograms,
        )  # fmt: skip
        progress = ProgressBar(bar, self._parts.metrics[0], private=config.private)
        ledger = [LedgerCallback(folder.made)] if config.private else []
        return [folder, *ledger, logs, progress, checkpoints]

    def train(self) -> Run:
        """Train, evaluate on the test rows, and finish the folder."""
        config, parts = self._config, self._parts
        what = (parts.network, parts.loss, parts.optimizer, parts.data.train)
        options = fit_options_of(config, parts, diagnostics=self._diagnostics)
        with self._naming_the_folder():
            if config.ensemble == 1:
                result = fit(*what, options, callbacks=self._callbacks())
            else:
                result = fit_ensemble(
                    *what,
                    options,
                    size=config.ensemble,
                    callbacks=self._callbacks(),
                    multiple=int(self._folder.metadata.get("multiple", 1)),
                    say=self._say,
                )
        return self._finished(result)

    @contextlib.contextmanager
    def _naming_the_folder(self) -> Iterator[None]:
        """Note that a run diverged, and name its folder in the message."""
        try:
            yield
        except DivergedError as error:
            if not is_first():
                raise
            if self._folder.path is not None:
                self._folder.note(failed=str(error))
            where = f"The records of the run are in {self._folder.path}."
            raise DivergedError(f"{error} {where}") from None

    def _finished(self, result: TrainResult) -> Run:
        """Evaluate the test rows, save the model, and close the metadata."""
        folder, parts = self._folder, self._parts
        if not is_first():
            return Run(None, result, {})
        assert folder.path is not None
        if parts.data.validation is not None and result.best_epoch < len(result.history):
            self._say(
                f"Using weights from epoch {result.best_epoch} (best validation {parts.metrics[0]})"
            )
        if result.private is not None:
            self._say(
                f"Spent: epsilon {result.private['epsilon']:.4g} at delta"
                f" {result.private['delta']:g}"
            )
        found = finish(folder.path, self._config, parts, result)
        folder.note(**metadata_at_end(parts, result))
        return Run(folder.path, result, found)


def fit_options_of(
    config: TrainConfig, parts: RunComponents, *, diagnostics: bool = False
) -> FitOptions:
    """Return the options of `fit` for a run."""
    shared = shared_values(config, without=("metrics",))
    return FitOptions(
        **shared,
        metrics=parts.metrics,
        validation=parts.data.validation,
        scaling=input_scaling(parts.data.inputs),
        target_scaling=target_scaling(parts.data.target),
        start=_start(parts),
        diagnostics=diagnostics and config.ensemble == 1,
        privacy=privacy_of(config),
    )


def _first_metadata(config: TrainConfig) -> dict[str, Any]:
    """Return the metadata of a new run."""
    found: dict[str, Any] = {"started": run_folder.now()}
    if config.ensemble > 1 and jax.process_count() > 1:
        found["multiple"] = multiple_of_members(config.devices, choose_device(config.device))
    return found


def _start(parts: RunComponents) -> Any:
    """Return the weights to start from, with None at a last layer that is new; None for none."""
    if parts.start is None:
        return None
    model = parts.start
    width = parts.network.width_out(parts.data.inputs.n_features)
    if same_head(model, parts.data, width):
        return model.params, model.layer_state
    return (*model.params[:-1], None), (*model.layer_state[:-1], None)
