"""What a run says and writes while it trains: the proof, the bar, the folder, the logs."""

import contextlib
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from mlp_jax.data.encoding import TableEncoding
from mlp_jax.data.prepare import Prepared
from mlp_jax.data.source import Streamed
from mlp_jax.errors import DivergedError, InputError
from mlp_jax.files import write_text_atomic
from mlp_jax.model.precision import choose_device
from mlp_jax.model.saved import save_model
from mlp_jax.model.store import versions
from mlp_jax.proof import Report
from mlp_jax.training.checkpoint.manager import Checkpoints, Saving
from mlp_jax.training.checkpoint.snapshot import Position
from mlp_jax.training.loop import EpochEnd
from mlp_jax.training.mesh.processes import common, is_first
from mlp_jax.training.mesh.shape import multiple_of_members
from mlp_jax.training.private.accounting import Account
from mlp_jax.training.private.ledger import Ledger
from mlp_jax.training.result import Fitted
from mlp_jax.training.run import folder as run_folder
from mlp_jax.training.run.build import Parts, widths
from mlp_jax.training.run.config import CONFIG_FILE, TrainConfig, to_toml
from mlp_jax.training.run.finish import finish
from mlp_jax.training.run.folder import CHECK_FILE, held, new_folder
from mlp_jax.training.run.log_callbacks import RunLogs
from mlp_jax.training.run.progress import EpochProgress
from mlp_jax.training.run.signals import stop_requests

START = "start"


class Run(NamedTuple):
    """A finished run: its folder, the trained network, and its metrics on the test rows.

    folder: None where another process has written it.
    """

    folder: Path | None
    fitted: Fitted
    test: dict[str, float]


class Session:
    """What a run says and writes while it trains: the proof, the bar, the folder, the logs."""

    def __init__(
        self,
        config: TrainConfig,
        parts: Parts,
        say: Callable[[str], None],
        bar: bool,
        stack: contextlib.ExitStack,
        folder: Path | None = None,
        facts: dict[str, Any] | None = None,
    ) -> None:
        self.config, self.parts, self.folder = config, parts, folder
        self.say, self._stack = say, stack
        self._facts = facts or {"started": run_folder.now()}
        if not facts and config.ensemble > 1 and jax.process_count() > 1:
            first = choose_device(config.device)
            self._facts["multiple"] = multiple_of_members(config.devices, first)
        self._progress = stack.enter_context(EpochProgress(config.epochs, enabled=bar))
        self._logs: RunLogs | None = None
        self._speed = 0.0
        found = None if config.private else digest(parts.data)
        if self._facts.setdefault("digest", found) != found:
            raise InputError(
                f"The data of the run in {folder} have changed since it began, so it cannot go on"
                f" as it was; to start from its model: --init-from {folder}."
            )
        say(_headline(config, parts))
        for note in parts.data.notes:
            say(f"  {note}")

    @property
    def multiple(self) -> int:
        """What the members of an ensemble are filled up to, as when it began."""
        return int(self._facts.get("multiple", 1))

    @property
    def looks(self) -> bool:
        """Whether the training is looked at between epochs (`probe.py`)."""
        whole = jax.process_count() == 1 and not self.config.stream
        return self.config.diagnostics and not self.config.private and whole

    def proved(self, report: Report) -> None:
        """Shows the proof; if it holds, the run gets its folder."""
        self.say(f"\n{report}\n")
        if not report.ok:
            return
        if self.folder is None:
            self.folder = new_folder(self.config.out, self.config.data)
            self._stack.enter_context(held(self.folder))
            if self.parts.start is not None:
                save_model(self.folder / START, self.parts.start)
        write_text_atomic(self.folder / CONFIG_FILE, to_toml(self.config))
        write_text_atomic(self.folder / CHECK_FILE, report.to_json())
        self._facts |= facts_of(self.config, self.parts) | {"finished": None, "failed": None}
        run_folder.write_facts(self.folder, self._facts)

    def ledger(self, account: Account) -> Ledger:
        """Opens the ledger of a private run, and says what the run may tell."""
        assert self.folder is not None
        self.say(str(account))
        return Ledger(account, self.folder)

    def checkpoints(self) -> Checkpoints:
        """Where the run saves itself, and is read back from."""
        self.folder = common(self.folder)
        saving = Saving.parse(self.config.checkpoint_every, self.config.keep)
        stop = self._stack.enter_context(stop_requests())
        made = Checkpoints(self.folder, saving, stop, self.say)
        return self._stack.enter_context(made)

    def started(self, position: Position) -> None:
        """Opens the logs, cut back to where the run goes on."""
        assert self.folder is not None
        self._logs = RunLogs(
            self.folder,
            position,
            self.parts.network,
            diagnostics=self.looks,
            histograms=self.config.histograms,
        )
        self._stack.enter_context(self._logs)
        if position != Position():
            where = f"epoch {position.epoch}" + (f", step {position.done}" if position.done else "")
            self.say(f"going on from {where}")

    @contextlib.contextmanager
    def naming_the_folder(self) -> Iterator[None]:
        """Notes that a run diverged, and tells where its records are."""
        try:
            yield
        except DivergedError as error:
            if self.folder is not None:
                run_folder.write_facts(self.folder, self._facts | {"failed": str(error)})
            raise DivergedError(f"{error} What there is of the run is in {self.folder}.") from None

    def tick(self, epoch: int, done: float, loss: float, speed: float) -> None:
        """Moves the bar inside an epoch; its end is told by `after_epoch`."""
        self._speed = speed
        shown = None if self.config.private else loss
        self._progress.update(epoch, min(done, 0.999), shown, None, None, speed)

    def after_epoch(self, end: EpochEnd) -> None:
        """Writes the epoch's records and moves the bar."""
        assert self._logs is not None
        self._logs.write(end)
        name = self.parts.metrics[0]
        value, loss = end.metrics.get(f"validation_{name}"), end.metrics.get("train_loss")
        metric = f"validation {name}"
        if value is None and self.config.private:
            metric, value = "epsilon", end.metrics["epsilon"]
        self._progress.update(end.epoch, 1.0, loss, metric, value, self._speed)

    def finished(self, fitted: Fitted) -> Run:
        """Judges the test rows, saves the model, and closes the facts."""
        assert self.folder is not None
        if self.parts.data.validation is not None and fitted.best_epoch < len(fitted.history):
            self.say(
                f"taken: the weights of epoch {fitted.best_epoch}, the best by validation"
                f" {self.parts.metrics[0]}"
            )
        if fitted.private is not None:
            self.say(
                f"spent: epsilon {fitted.private['epsilon']:.4g} at delta"
                f" {fitted.private['delta']:g}"
            )
        found = finish(self.folder, self.config, self.parts, fitted)
        self._facts |= facts_at_the_end(self.parts, fitted)
        run_folder.write_facts(self.folder, self._facts)
        return Run(self.folder, fitted, found)


class FollowingSession(Session):
    """That of a process that trains with the first one, and leaves saying things to it.

    It writes its part of the checkpoints.
    """

    def proved(self, report: Report) -> None:
        """Says nothing."""

    def started(self, position: Position) -> None:
        """Says nothing."""

    def tick(self, epoch: int, done: float, loss: float, speed: float) -> None:
        """Says nothing."""

    def after_epoch(self, end: EpochEnd) -> None:
        """Writes nothing."""

    @contextlib.contextmanager
    def naming_the_folder(self) -> Iterator[None]:
        """Writes nothing."""
        yield

    def finished(self, fitted: Fitted) -> Run:
        """Leaves the test rows to the first process."""
        return Run(None, fitted, {})


def session_of(
    config: TrainConfig,
    parts: Parts,
    say: Callable[[str], None],
    bar: bool,
    stack: contextlib.ExitStack,
    *run: Any,
) -> Session:
    """The session of this process; run: the folder and the facts of one that goes on."""
    if is_first():
        return Session(config, parts, say, bar, stack, *run)
    return FollowingSession(config, parts, lambda text: None, False, stack, *run)


def _headline(config: TrainConfig, parts: Parts) -> str:
    """What is trained, in a line."""
    data = parts.data
    shape = "-".join(map(str, widths(parts.network, data.inputs.n_features)))
    columns, streamed = "", " that stream" if isinstance(data.train, Streamed) else ""
    if isinstance(data.inputs, TableEncoding):
        count = len(data.inputs.column_names)
        columns = f", {count} column{'s' * (count != 1)}"
    return (
        f"{data.name}: {len(data.train)} training rows{streamed}{columns};"
        f" {shape} {config.preset or config.activation}, {parts.loss}"
    )


def digest(data: Prepared) -> str:
    """A checksum of the rows that the run learns from and is judged by, or of their files."""
    if isinstance(data.train, Streamed):
        return data.train.fingerprint
    total = 0
    for part in (data.train, data.validation):
        for array in () if part is None else (part.x, part.y):
            total = zlib.crc32(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data, total)
    return f"crc32:{total:08x}"


def facts_of(config: TrainConfig, parts: Parts) -> dict[str, Any]:
    """What there is to know of a run before it trains."""
    data, n_in = parts.data, parts.data.inputs.n_features
    shapes = jax.eval_shape(lambda key: parts.network.init(key, n_in)[0], jax.random.key(0))
    return {
        "data": data.name,
        "network": str(parts.network),
        "widths": widths(parts.network, n_in),
        "parameters": sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(shapes)),
        "loss": str(parts.loss),
        "task": parts.task,
        "monitor": parts.metrics[0],
        "rows": {
            name: 0 if part is None else len(part)
            for name, part in (
                ("train", data.train), ("validation", data.validation), ("test", data.test)
            )
        },
        "versions": versions(),
    }  # fmt: skip


def facts_at_the_end(parts: Parts, fitted: Fitted) -> dict[str, Any]:
    """What is known of a run once it has ended: above all what was chosen where no option said."""
    layout = fitted.program.layout
    return {
        "finished": run_folder.now(),
        "epochs": len(fitted.history),
        "batch_size": fitted.program.batch_size,
        "learning_rate": parts.optimizer.peak,
        "weight_decay": parts.optimizer.decay,
        "private": fitted.private,
        "precision": fitted.precision.name,
        "device": fitted.device.device_kind,
        "mesh": None if layout is None else {"data": layout.data, "model": layout.model},
    }
