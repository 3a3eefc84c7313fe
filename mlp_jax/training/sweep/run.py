"""From the options of `mlp-jax sweep` to its folder, new or gone on with."""

import contextlib
import shlex
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from mlp_jax.backprop import Sequential
from mlp_jax.errors import DivergedError, InputError
from mlp_jax.files import as_run_folder_error, write_text_atomic
from mlp_jax.model.metrics import undefined
from mlp_jax.model.precision import ask_for_determinism, choose_device
from mlp_jax.proof import Report
from mlp_jax.training.callbacks import Callback
from mlp_jax.training.checkpoint.manager import Saving
from mlp_jax.training.many.memory import room
from mlp_jax.training.mesh.processes import Cluster, common, is_first, join, on_first
from mlp_jax.training.mesh.shape import multiple_of_members, visible
from mlp_jax.training.run import folder as run_folder
from mlp_jax.training.run.build import build, build_optimizer
from mlp_jax.training.run.callbacks import RunCheckpoints
from mlp_jax.training.run.config import to_toml
from mlp_jax.training.run.folder import CHECK_FILE, check_folder, held, new_folder
from mlp_jax.training.run.metadata import digest, metadata_at_end, metadata_at_start
from mlp_jax.training.run.options import check_processes
from mlp_jax.training.run.progress import EpochProgress
from mlp_jax.training.run.signals import stop_requests
from mlp_jax.training.sweep.config import (
    SWEEP_FILE,
    SweepConfig,
    check_same,
    named_numbers,
    sweep_config,
)
from mlp_jax.training.sweep.picture import Columns
from mlp_jax.training.sweep.progress import BestSoFar, LegProgress, counted
from mlp_jax.training.sweep.results import SWEEP_CSV, leave_behind, ranked_table
from mlp_jax.training.sweep.search import (
    Found,
    Leg,
    Search,
    Watched,
    draw_trials,
    sweep,
    trial_config,
)

LEGS = "legs"


def run_sweep(
    config: SweepConfig, say: Callable[[str], None] = print, bar: bool = True
) -> Path | None:
    """Loads, proves, trains all trials, ranks them, and leaves the sweep's folder behind.

    The folder is made once data and options are known to be good and the first proof has passed.
    SIGTERM and Ctrl-C end the sweep after the compiled call under way, saved (StoppedError). Of
    several processes the first one speaks and writes; the others return None.
    """
    _meet(config)
    on_first(lambda: check_folder(config.out))
    with contextlib.ExitStack() as stack:
        return _Sweep(config, say, bar, stack).run()


def resume_sweep(
    folder: Path, config: SweepConfig, say: Callable[[str], None] = print, bar: bool = True
) -> Path | None:
    """Goes on with the sweep in a folder, as if never cut: what is saved is not trained again.

    config: the options asked for now; those that may not change must be the sweep's own. Raises
    InputError where they are not, where the data have changed, or where nothing is left to do;
    RunFolderError where the folder holds no sweep or another process is writing to it.
    """
    _meet(config)
    saved, facts = sweep_config(folder), run_folder.read_facts(folder)
    check_same(saved, config, folder)
    if facts.get("finished"):
        raise InputError(f"The sweep in {folder} has finished: see {folder / SWEEP_CSV}.")
    with contextlib.ExitStack() as stack:
        on_first(lambda: stack.enter_context(held(folder)))
        return _Sweep(config, say, bar, stack, folder, facts).run()


def _meet(config: SweepConfig) -> None:
    """Join the other processes of a distributed sweep."""
    check_processes(config)
    if config.distributed:
        join(Cluster(config.coordinator, config.processes, config.process_id))


class _Sweep(Callback):
    """A sweep in this process: the first of several prints and writes, the others train along.

    As a callback it shows the gradient check, and makes the folder once the first one has passed.
    """

    def __init__(
        self,
        config: SweepConfig,
        say: Callable[[str], None],
        bar: bool,
        stack: contextlib.ExitStack,
        folder: Path | None = None,
        facts: dict[str, Any] | None = None,
    ) -> None:
        self.config, self.folder, self._stack = config, folder, stack
        self.say: Callable[[str], None] = say if is_first() else lambda text: None
        self._bar = bar and is_first()
        if config.deterministic:
            ask_for_determinism()
        self._saving = Saving.parse(config.checkpoint_every, config.keep)
        ranges = config.ranges()
        self._search = Search(tuple(config.shapes()), ranges, config.trials, config.seeds)
        self._base = config.of_a_run()
        first = draw_trials(self._search, config.seed)[0]
        self._first = trial_config(self._base, first)
        self._parts = build(self._first)
        numbers = named_numbers(ranges)
        logarithmic = tuple(name for name in numbers if ranges[name].log)
        self._columns = Columns(numbers, logarithmic, self._parts.metrics[0], config.seeds)
        self._best = BestSoFar(self._columns.metric)
        self._stop: Callable[[], int | None] = lambda: None
        self._proofs = 0
        self._metadata = facts or _first_metadata(config)
        found = digest(self._parts.data)
        if self._metadata.setdefault("digest", found) != found:
            raise InputError(
                f"The data of the sweep in {folder} have changed since it began: start a new one."
            )

    def run(self) -> Path | None:
        """Trains what is left, and leaves the results behind."""
        data = self._parts.data
        self.say(f"{data.name}: {len(data.train)} training rows")
        for note in data.notes:
            self.say(f"  {note}")
        with self._naming_the_folder():
            found = sweep(self._search, self._base, self._parts, self._leg)
        return self._finished(found)

    @contextlib.contextmanager
    def _leg(self, leg: Leg) -> Iterator[Watched]:
        """Print what trains now, and give the callbacks of each of its chunks."""
        self.say(f"\n{headline(leg)}")
        with contextlib.ExitStack() as stack:

            def callbacks(first: int, size: int) -> list[Callback]:
                stack.close()
                saved = RunCheckpoints(
                    lambda: self._leg_folder(leg, first), self._saving, self.say, stack,
                    stop=lambda: self._stop(), again=self._again,
                )  # fmt: skip
                if not is_first():
                    return [self, saved]
                bar = stack.enter_context(EpochProgress(leg.epochs, enabled=self._bar))
                shown = LegProgress(leg, self._best, self.say, bar, first=first, size=size)
                return [self, shown, saved]

            yield Watched(
                callbacks=callbacks,
                memory=self._metadata["memory"],
                multiple=self._metadata.get("multiple", 1),
            )

    def _again(self) -> str:
        """Return the command that resumes the sweep."""
        return f"mlp-jax sweep --resume {shlex.quote(str(self.folder))}"

    def _leg_folder(self, leg: Leg, first: int) -> Path:
        """Return the folder of the networks of a leg from `first` on, made if it is missing."""
        self.folder = common(self.folder)
        folder = self.folder / LEGS / f"{leg.rung}-{leg.name.replace(' ', '-')}-{first}"

        def make() -> None:
            with as_run_folder_error("make the folder", folder):
                folder.mkdir(parents=True, exist_ok=True)

        on_first(make)
        return folder

    def on_proof(self, report: Report) -> None:
        """Print the first report and any that fails; make the folder after the first that holds."""
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
            self._stack.enter_context(held(self.folder))
        write_text_atomic(self.folder / SWEEP_FILE, to_toml(self.config))
        write_text_atomic(self.folder / CHECK_FILE, report.to_json())
        sizes = {"trials": self.config.trials, "seeds": self.config.seeds}
        self._metadata |= {"sweep": sizes, "finished": None, "failed": None}
        self._metadata |= metadata_at_start(self._first, self._parts)
        run_folder.write_facts(self.folder, self._metadata)

    @contextlib.contextmanager
    def _naming_the_folder(self) -> Iterator[None]:
        """Notes that all trials diverged, and tells where their records are."""
        try:
            yield
        except DivergedError as error:
            if not is_first():
                raise
            if self.folder is not None:
                run_folder.write_facts(self.folder, self._metadata | {"failed": str(error)})
            where = f"The records of the sweep are in {self.folder}."
            raise DivergedError(f"{error} {where}") from None

    def _finished(self, found: Found) -> Path | None:
        """Writes the results, closes the facts, and forgets the checkpoints."""
        if not is_first():
            return None
        assert self.folder is not None
        network = found.best.network
        assert isinstance(network, Sequential), "a run's network is a chain of layers"
        parts = self._parts._replace(
            network=network,
            loss=found.best.loss,
            optimizer=build_optimizer(found.config),
        )
        metrics = leave_behind(self.folder, found, parts, self._columns)
        self._metadata |= metadata_at_start(found.config, parts) | metadata_at_end(
            parts, found.best
        )
        run_folder.write_facts(self.folder, self._metadata)
        shutil.rmtree(self.folder / LEGS, ignore_errors=True)
        self.say(f"\n{ranked_table(found.ranked, self._columns)}\n")
        for name, value in metrics.items():
            self.say(f"test {name} of the best: {value:.4f}")
        for sentence in undefined(metrics, "the test rows"):
            self.say(sentence)
        self.say(f"sweep: {self.folder}")
        return self.folder


def _first_metadata(config: SweepConfig) -> dict[str, Any]:
    """What is known of a new sweep: the memory it may take, which decides what trains together."""
    device = choose_device(config.device)
    return {
        "started": run_folder.now(),
        "memory": room(device, len(visible(config.devices, device))),
        "multiple": multiple_of_members(config.devices, device),
    }


def headline(leg: Leg) -> str:
    """What trains, in a line."""
    trials, seeds = counted(len(leg.trials), "trial"), counted(leg.seeds, "seed")
    networks, epochs = counted(leg.networks, "network"), counted(leg.epochs, "epoch")
    return f"{leg.name}: {trials} of {seeds}, {networks}, {epochs}"
