"""Run or resume a sweep: from a configuration to its folder."""

import contextlib
import shlex
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from mlp_jax.backprop import Sequential
from mlp_jax.errors import InputError
from mlp_jax.files import as_run_folder_error, write_text_atomic
from mlp_jax.model.metrics import undefined
from mlp_jax.model.precision import ask_for_determinism, choose_device
from mlp_jax.proof import Report
from mlp_jax.training.callbacks import Callback
from mlp_jax.training.checkpoint.manager import Saving
from mlp_jax.training.many.memory import room
from mlp_jax.training.mesh.mesh_shape import choose_devices, multiple_of_members
from mlp_jax.training.mesh.processes import broadcast_folder, is_first, on_first
from mlp_jax.training.run import folder as run_folder
from mlp_jax.training.run.build import build, build_optimizer
from mlp_jax.training.run.callbacks import RunCheckpoints
from mlp_jax.training.run.config import to_toml
from mlp_jax.training.run.folder import CHECK_FILE, check_folder, lock_run_folder, new_folder
from mlp_jax.training.run.launch import (
    check_same_data,
    in_first_process,
    join_processes,
    naming_the_folder,
)
from mlp_jax.training.run.metadata import digest, metadata_at_end, metadata_at_start
from mlp_jax.training.run.progress import EpochProgress
from mlp_jax.training.run.signals import stop_requests
from mlp_jax.training.sweep.config import (
    SWEEP_FILE,
    SweepConfig,
    check_same,
    named_numbers,
    sweep_config,
)
from mlp_jax.training.sweep.progress import BestSoFar, RungProgress, counted
from mlp_jax.training.sweep.results import SWEEP_CSV, leave_behind, ranked_table
from mlp_jax.training.sweep.search import (
    RungCallbacks,
    RungTrials,
    SweepResult,
    SweepSpace,
    draw_trials,
    sweep,
    trial_config,
)
from mlp_jax.training.sweep.sweep_plot import RankingColumns

RUNGS_FOLDER = "legs"


def run_sweep(
    config: SweepConfig, say: Callable[[str], None] = print, bar: bool = True
) -> Path | None:
    """Load the data, verify the gradient, train all trials, rank them and write the folder.

    The folder is created after the first gradient check has passed. SIGTERM and Ctrl-C stop the
    sweep after the current compiled call, save a checkpoint and raise StoppedError.

    Args:
        config: configuration of the sweep.
        say: receives each line to print.
        bar: show a progress bar.

    Returns:
        The folder; None in all processes but process 0.
    """
    join_processes(config)
    on_first(lambda: check_folder(config.out))
    with contextlib.ExitStack() as stack:
        return _Sweep(config, say, bar, stack).run()


def resume_sweep(
    folder: Path, config: SweepConfig, say: Callable[[str], None] = print, bar: bool = True
) -> Path | None:
    """Resume the sweep in a folder; finished networks are not trained again.

    Args:
        folder: folder of the sweep.
        config: requested options; those that may not change must equal those of the sweep.
        say: receives each line to print.
        bar: show a progress bar.

    Returns:
        The folder; None in all processes but process 0.

    Raises:
        InputError: for changed options or data, or a sweep that has finished.
        RunFolderError: if the folder has no sweep, or another process writes to it.
    """
    join_processes(config)
    saved, metadata = sweep_config(folder), run_folder.read_metadata(folder)
    check_same(saved, config, folder)
    if metadata.get("finished"):
        raise InputError(f"The sweep in {folder} has finished: see {folder / SWEEP_CSV}.")
    with contextlib.ExitStack() as stack:
        on_first(lambda: stack.enter_context(lock_run_folder(folder)))
        return _Sweep(config, say, bar, stack, folder, metadata).run()


class _Sweep(Callback):
    """A sweep in this process; only process 0 prints and writes.

    As a callback, it prints the gradient check and creates the folder after the first one.
    """

    def __init__(
        self,
        config: SweepConfig,
        say: Callable[[str], None],
        bar: bool,
        stack: contextlib.ExitStack,
        folder: Path | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        self.config, self.folder, self._stack = config, folder, stack
        self.say, self._bar = in_first_process(say, bar)
        if config.deterministic:
            ask_for_determinism()
        self._saving = Saving.parse(config.checkpoint_every, config.keep)
        ranges = config.ranges()
        self._search = SweepSpace(tuple(config.shapes()), ranges, config.trials, config.seeds)
        self._base = config.of_a_run()
        first = draw_trials(self._search, config.seed)[0]
        self._first = trial_config(self._base, first)
        self._components = build(self._first)
        numbers = named_numbers(ranges)
        logarithmic = tuple(name for name in numbers if ranges[name].log)
        self._columns = RankingColumns(
            numbers, logarithmic, self._components.metrics[0], config.seeds
        )
        self._best = BestSoFar(self._columns.metric)
        self._stop: Callable[[], int | None] = lambda: None
        self._proofs = 0
        self._metadata = metadata or _first_metadata(config)
        check_same_data(
            self._metadata,
            digest(self._components.data),
            f"The data of the sweep in {folder} have changed since it started: start a new one.",
        )

    def run(self) -> Path | None:
        """Train the remaining trials, and write the results."""
        data = self._components.data
        self.say(f"{data.name}: {len(data.train)} training rows")
        for note in data.notes:
            self.say(f"  {note}")
        with naming_the_folder("sweep", lambda: self.folder, self._note_failure):
            found = sweep(self._search, self._base, self._components, self._rung_trials)
        return self._finished(found)

    @contextlib.contextmanager
    def _rung_trials(self, rung_trials: RungTrials) -> Iterator[RungCallbacks]:
        """Print the trials that train next, and yield the callbacks of their chunks."""
        self.say(f"\n{headline(rung_trials)}")
        with contextlib.ExitStack() as stack:

            def callbacks(first: int, size: int) -> list[Callback]:
                stack.close()
                saved = RunCheckpoints(
                    lambda: self._rung_folder(rung_trials, first), self._saving, self.say, stack,
                    stop=lambda: self._stop(), resume_command=self._resume_command,
                )  # fmt: skip
                if not is_first():
                    return [self, saved]
                bar = stack.enter_context(EpochProgress(rung_trials.epochs, enabled=self._bar))
                shown = RungProgress(rung_trials, self._best, self.say, bar, first=first, size=size)
                return [self, shown, saved]

            yield RungCallbacks(
                callbacks=callbacks,
                memory=self._metadata["memory"],
                multiple=self._metadata.get("multiple", 1),
            )

    def _resume_command(self) -> str:
        """Return the command that resumes the sweep."""
        return f"mlp-jax sweep --resume {shlex.quote(str(self.folder))}"

    def _rung_folder(self, rung_trials: RungTrials, first: int) -> Path:
        """Return the folder of the checkpoints of a chunk, created if it is missing."""
        self.folder = broadcast_folder(self.folder)
        folder = (
            self.folder
            / RUNGS_FOLDER
            / f"{rung_trials.rung}-{rung_trials.name.replace(' ', '-')}-{first}"
        )

        def make() -> None:
            with as_run_folder_error("make the folder", folder):
                folder.mkdir(parents=True, exist_ok=True)

        on_first(make)
        return folder

    def on_proof(self, report: Report) -> None:
        """Print the first report and any failure; create the folder after the first success."""
        self._proofs += 1
        if self._proofs == 1 or not report.ok:
            self.say(f"\n{report}\n")
        if not report.ok or self._proofs > 1:
            return
        self._stop = self._stack.enter_context(stop_requests())
        if not is_first():
            return
        if self.folder is None:
            self.folder = new_folder(self.config.out, f"{Path(self.config.data).stem}-sweep")
            self._stack.enter_context(lock_run_folder(self.folder))
        write_text_atomic(self.folder / SWEEP_FILE, to_toml(self.config))
        write_text_atomic(self.folder / CHECK_FILE, report.to_json())
        sizes = {"trials": self.config.trials, "seeds": self.config.seeds}
        self._metadata |= {"sweep": sizes, "finished": None, "failed": None}
        self._metadata |= metadata_at_start(self._first, self._components)
        run_folder.write_metadata(self.folder, self._metadata)

    def _note_failure(self, text: str) -> None:
        assert self.folder is not None
        run_folder.write_metadata(self.folder, self._metadata | {"failed": text})

    def _finished(self, found: SweepResult) -> Path | None:
        """Write the results, complete the metadata, and delete the checkpoints."""
        if not is_first():
            return None
        assert self.folder is not None
        network = found.best.network
        assert isinstance(network, Sequential), "a run's network is a chain of layers"
        components = self._components._replace(
            network=network,
            loss=found.best.loss,
            optimizer=build_optimizer(found.config),
        )
        metrics = leave_behind(self.folder, found, components, self._columns)
        self._metadata |= metadata_at_start(found.config, components) | metadata_at_end(
            components, found.best
        )
        run_folder.write_metadata(self.folder, self._metadata)
        shutil.rmtree(self.folder / RUNGS_FOLDER, ignore_errors=True)
        self.say(f"\n{ranked_table(found.ranked, self._columns)}\n")
        for name, value in metrics.items():
            self.say(f"test {name} of the best network: {value:.4f}")
        for sentence in undefined(metrics, "the test rows"):
            self.say(sentence)
        self.say(f"sweep: {self.folder}")
        return self.folder


def _first_metadata(config: SweepConfig) -> dict[str, Any]:
    """Return the metadata of a new sweep, with the memory that decides the size of chunks."""
    device = choose_device(config.device)
    return {
        "started": run_folder.now(),
        "memory": room(device, len(choose_devices(config.devices, device))),
        "multiple": multiple_of_members(config.devices, device),
    }


def headline(rung_trials: RungTrials) -> str:
    """Return one line that describes the trials of a rung."""
    trials, seeds = counted(len(rung_trials.trials), "trial"), counted(rung_trials.seeds, "seed")
    networks, epochs = (
        counted(rung_trials.networks, "network"),
        counted(rung_trials.epochs, "epoch"),
    )
    return f"{rung_trials.name}: {trials} of {seeds}, {networks}, {epochs}"
