"""A run: from a configuration to a folder with everything that the training left behind."""

import contextlib
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from mlp_jax.data.encoding import TableEncoding
from mlp_jax.data.prepare import Prepared
from mlp_jax.errors import DivergedError, InputError, UnknownNameError
from mlp_jax.files import write_text_atomic
from mlp_jax.model.precision import ask_for_determinism
from mlp_jax.model.saved import load_model, save_model
from mlp_jax.model.store import versions
from mlp_jax.proof import Report
from mlp_jax.training import folder as run_folder
from mlp_jax.training.checkpoints import Checkpoints, Saving
from mlp_jax.training.config import (
    CONFIG_FILE,
    TrainConfig,
    resumed_config,
    run_config,
    to_toml,
)
from mlp_jax.training.finish import finish
from mlp_jax.training.fit import fit
from mlp_jax.training.fitted import Fitted
from mlp_jax.training.folder import CHECK_FILE, check_folder, held, new_folder
from mlp_jax.training.loop import EpochEnd, Select
from mlp_jax.training.many.ensemble import fit_ensemble
from mlp_jax.training.private.accounting import Account
from mlp_jax.training.private.ledger import Ledger, check_ledger
from mlp_jax.training.private.refusals import check_options, check_resume, privacy_of
from mlp_jax.training.progress import EpochProgress
from mlp_jax.training.runlogs import RunLogs
from mlp_jax.training.setup import (
    Parts,
    build,
    input_scaling,
    same_head,
    target_scaling,
    widths,
    with_preset_options,
)
from mlp_jax.training.signals import stop_requests
from mlp_jax.training.snapshot import Position

START = "start"


class Run(NamedTuple):
    """A finished run: its folder, the trained network, and its metrics on the test rows."""

    folder: Path
    fitted: Fitted
    test: dict[str, float]


def train(config: TrainConfig, say: Callable[[str], None] = print, bar: bool = True) -> Run:
    """Loads, proves, trains, evaluates on the test rows, and leaves the run's folder behind.

    The folder is made once the data and the options are known to be good and the proof has passed.
    SIGTERM and Ctrl-C end the run after the compiled call under way, saved (StoppedError).
    """
    check_options(config)
    if config.deterministic:
        ask_for_determinism()
    check_folder(config.out)
    Saving.parse(config.checkpoint_every, config.keep)
    start = None if config.init_from is None else load_model(Path(config.init_from))
    with contextlib.ExitStack() as stack:
        parts = build(config, start)
        config = with_preset_options(config, parts.options)
        return _run(_Session(config, parts, say, bar, stack))


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
    saved, facts = run_config(folder), run_folder.read_facts(folder)
    if "sweep" in facts:
        raise InputError(
            f"{folder} holds a sweep; its best trial trains as a run by --config"
            f" {folder / CONFIG_FILE}."
        )
    check_resume(saved, config, bool(facts.get("finished")))
    config = resumed_config(saved, config, str(folder))
    check_options(config)
    if config.private:
        check_ledger(folder)
    if config.deterministic:
        ask_for_determinism()
    Saving.parse(config.checkpoint_every, config.keep)
    if facts.get("finished") and facts.get("epochs", saved.epochs) < saved.epochs:
        raise InputError(
            f"The run in {folder} was ended by its patience after {facts['epochs']} of"
            f" {saved.epochs} epochs; to train on from its model: --init-from {folder}."
        )
    if facts.get("finished") and config.epochs <= saved.epochs:
        raise InputError(
            f"The run in {folder} has finished its {saved.epochs} epochs; to go on, ask for more:"
            f" --resume {folder} --epochs {2 * saved.epochs}."
        )
    with contextlib.ExitStack() as stack:
        stack.enter_context(held(folder))
        start = load_model(folder / START) if (folder / START).exists() else None
        session = _Session(config, build(config, start), say, bar, stack, folder, facts)
        return _run(session)


class _Session:
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
        assert self.folder is not None
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
            diagnostics=self.config.diagnostics,
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


def _run(session: _Session) -> Run:
    """The training of a session."""
    config, parts = session.config, session.parts
    with session.naming_the_folder():
        options: dict[str, Any] = {
            "epochs": config.epochs,
            "batch_size": config.batch_size,
            "seed": config.seed,
            "validation": parts.data.validation,
            "class_weight": config.class_weight,
            "scaling": input_scaling(parts.data.inputs),
            "target_scaling": target_scaling(parts.data.target),
            "metrics": parts.metrics,
            "patience": config.patience,
            "select": _selection(config),
            "average": config.average,
            "importance": config.importance,
            "precision": config.precision,
            "device": config.device,
            "devices": config.devices,
            "callbacks": [session.after_epoch],
            "tick": session.tick,
            "proved": session.proved,
            "schedule_epochs": config.schedule_epochs,
            "checkpoints": session.checkpoints,
            "started": session.started,
        }
        what = (parts.network, parts.loss, parts.optimizer, parts.data.train)
        if config.ensemble == 1:
            fitted = fit(
                *what,
                start=_start(parts),
                diagnostics=config.diagnostics and not config.private,
                privacy=privacy_of(config),
                mesh=config.mesh,
                shard_optimizer=config.shard_optimizer,
                accumulate=config.accumulate,
                recompute=config.recompute,
                ledger=session.ledger,
                **options,
            )
        else:
            fitted = fit_ensemble(*what, members=config.ensemble, say=session.say, **options)
    return session.finished(fitted)


def _selection(config: TrainConfig) -> Select:
    if config.select is None:
        return "last" if config.private else "best"
    if config.select not in ("best", "last"):
        raise UnknownNameError("selection of weights", config.select, ("best", "last"))
    return "best" if config.select == "best" else "last"


def _start(parts: Parts) -> Any:
    """The weights and figures to start from, None at a last layer that is new; None for none."""
    if parts.start is None:
        return None
    model = parts.start
    width = parts.network.width_out(parts.data.inputs.n_features)
    if same_head(model, parts.data, width):
        return model.params, model.layer_state
    return (*model.params[:-1], None), (*model.layer_state[:-1], None)


def _headline(config: TrainConfig, parts: Parts) -> str:
    """What is trained, in a line."""
    data = parts.data
    shape = "-".join(map(str, widths(parts.network, data.inputs.n_features)))
    columns = ""
    if isinstance(data.inputs, TableEncoding):
        count = len(data.inputs.column_names)
        columns = f", {count} column{'s' * (count != 1)}"
    return (
        f"{data.name}: {len(data.train)} training rows{columns};"
        f" {shape} {config.preset or config.activation}, {parts.loss}"
    )


def digest(data: Prepared) -> str:
    """A checksum of the rows that the run learns from and is judged by."""
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
