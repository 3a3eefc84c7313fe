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
from mlp_jax.training.checkpoint.manager import Checkpoints, Saving
from mlp_jax.training.many.memory import room
from mlp_jax.training.mesh.processes import Cluster, common, is_first, join, on_first
from mlp_jax.training.mesh.shape import multiple_of_members, visible
from mlp_jax.training.run import folder as run_folder
from mlp_jax.training.run.build import build, build_optimizer
from mlp_jax.training.run.callbacks import digest, facts_at_the_end, facts_of
from mlp_jax.training.run.config import to_toml
from mlp_jax.training.run.folder import CHECK_FILE, check_folder, held, new_folder
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
from mlp_jax.training.sweep.search import Found, Leg, Search, draw_trials, sweep, trial_config

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
        return _session_of(config, say, bar, stack).run()


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
        return _session_of(config, say, bar, stack, folder, facts).run()


def _meet(config: SweepConfig) -> None:
    """Meets the other processes of a distributed sweep."""
    if config.distributed:
        join(Cluster(config.coordinator, config.processes, config.process_id))


def _session_of(
    config: SweepConfig,
    say: Callable[[str], None],
    bar: bool,
    stack: contextlib.ExitStack,
    *run: Any,
) -> "_Session":
    """The session of this process; run: the folder and the facts of one that goes on."""
    if is_first():
        return _Session(config, say, bar, stack, *run)
    return _FollowingSession(config, lambda text: None, False, stack, *run)


class _Session:
    """What a sweep says and writes while it trains."""

    def __init__(
        self,
        config: SweepConfig,
        say: Callable[[str], None],
        bar: bool,
        stack: contextlib.ExitStack,
        folder: Path | None = None,
        facts: dict[str, Any] | None = None,
    ) -> None:
        self.config, self.folder = config, folder
        self.say, self._bar, self._stack = say, bar, stack
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
        self._facts = facts or _first_facts(config)
        found = digest(self._parts.data)
        if self._facts.setdefault("digest", found) != found:
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
    def _leg(self, leg: Leg) -> Iterator[dict[str, Any]]:
        """Tells what trains now, and gives what `fit_many` is to be told of it."""
        self.say(f"\n{headline(leg)}")
        with (
            contextlib.ExitStack() as keeping,
            LegProgress(leg, self._best, self.say, self._bar) as progress,
        ):

            def checkpoints(first: int, size: int) -> Checkpoints:
                keeping.close()
                progress.chunk(first, size)
                return keeping.enter_context(self._checkpoints(leg, first))

            yield {
                "memory": self._facts["memory"],
                "multiple": self._facts.get("multiple", 1),
                "proved": self._proved,
                "checkpoints": checkpoints,
                "started": progress.started,
                "tick": progress.tick,
                "callbacks": [progress.after_epoch],
            }

    def _checkpoints(self, leg: Leg, first: int) -> Checkpoints:
        """Where the networks of a leg from `first` on are saved, and read back from."""
        self.folder = common(self.folder)
        folder = self.folder / LEGS / f"{leg.rung}-{leg.name.replace(' ', '-')}-{first}"

        def make() -> None:
            with as_run_folder_error("make the folder", folder):
                folder.mkdir(parents=True, exist_ok=True)

        on_first(make)
        again = f"mlp-jax sweep --resume {shlex.quote(str(self.folder))}"
        return Checkpoints(folder, self._saving, self._stop, self.say, again)

    def _proved(self, report: Report) -> None:
        """Shows the first proof and any that fails; the first that holds makes the folder."""
        if self._proofs == 0 or not report.ok:
            self.say(f"\n{report}\n")
        self._proofs += 1
        if not report.ok or self._proofs > 1:
            return
        self._stop = self._stack.enter_context(stop_requests())
        if self.folder is None:
            self.folder = new_folder(self.config.out, f"{Path(self.config.data).stem}-sweep")
            self._stack.enter_context(held(self.folder))
        write_text_atomic(self.folder / SWEEP_FILE, to_toml(self.config))
        write_text_atomic(self.folder / CHECK_FILE, report.to_json())
        sizes = {"trials": self.config.trials, "seeds": self.config.seeds}
        self._facts |= {"sweep": sizes, "finished": None, "failed": None}
        self._facts |= facts_of(self._first, self._parts)
        run_folder.write_facts(self.folder, self._facts)

    @contextlib.contextmanager
    def _naming_the_folder(self) -> Iterator[None]:
        """Notes that all trials diverged, and tells where their records are."""
        try:
            yield
        except DivergedError as error:
            if self.folder is not None:
                run_folder.write_facts(self.folder, self._facts | {"failed": str(error)})
            where = f"What there is of the sweep is in {self.folder}."
            raise DivergedError(f"{error} {where}") from None

    def _finished(self, found: Found) -> Path | None:
        """Writes the results, closes the facts, and forgets the checkpoints."""
        assert self.folder is not None
        network = found.best.network
        assert isinstance(network, Sequential), "a run's network is a chain of layers"
        parts = self._parts._replace(
            network=network,
            loss=found.best.loss,
            optimizer=build_optimizer(found.config),
        )
        metrics = leave_behind(self.folder, found, parts, self._columns)
        self._facts |= facts_of(found.config, parts) | facts_at_the_end(parts, found.best)
        run_folder.write_facts(self.folder, self._facts)
        shutil.rmtree(self.folder / LEGS, ignore_errors=True)
        self.say(f"\n{ranked_table(found.ranked, self._columns)}\n")
        for name, value in metrics.items():
            self.say(f"test {name} of the best: {value:.4f}")
        for sentence in undefined(metrics, "the test rows"):
            self.say(sentence)
        self.say(f"sweep: {self.folder}")
        return self.folder


class _FollowingSession(_Session):
    """That of a process that trains with the first one, and leaves saying things to it.

    It writes its part of the checkpoints.
    """

    def _proved(self, report: Report) -> None:
        """Watches for signals once the first proof holds, as the first process does."""
        self._proofs += 1
        if report.ok and self._proofs == 1:
            self._stop = self._stack.enter_context(stop_requests())

    @contextlib.contextmanager
    def _naming_the_folder(self) -> Iterator[None]:
        """Writes nothing."""
        yield

    def _finished(self, found: Found) -> None:
        """Leaves the results to the first process."""


def _first_facts(config: SweepConfig) -> dict[str, Any]:
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
