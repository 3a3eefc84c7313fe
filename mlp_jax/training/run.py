"""A run: from a configuration to a folder with everything that the training left behind."""

import contextlib
import itertools
import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mlp_jax.data import Dataset, Split, fit_scaling, load, split
from mlp_jax.data.prepare import Prepared, prepare
from mlp_jax.data.table import Table
from mlp_jax.errors import DivergedError, InputError, RunFolderError
from mlp_jax.files import write_json_atomic, write_text_atomic
from mlp_jax.model.metrics import TEST_METRICS, check_metrics, default_metrics
from mlp_jax.proof import Report
from mlp_jax.training import diagnose, plots
from mlp_jax.training.config import TrainConfig, to_toml
from mlp_jax.training.fit import fit
from mlp_jax.training.fitted import Fitted
from mlp_jax.training.logs import MetricsLog, TensorBoardLog
from mlp_jax.training.loop import EpochEnd
from mlp_jax.training.progress import EpochProgress
from mlp_jax.training.setup import (
    build_loss,
    build_network,
    build_optimizer,
    output_width,
    task_of_data,
    validation_share,
)


class Run(NamedTuple):
    """A finished run: its folder, the trained network, and its metrics on the test rows."""

    folder: Path
    fitted: Fitted
    test: dict[str, float]


def check_folder(out: str | None) -> None:
    """RunFolderError where the folder asked for holds anything already."""
    folder = Path(out) if out is not None else None
    if folder is None or not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    content = "a run" if (folder / "config.toml").exists() else "something else"
    raise RunFolderError(
        f"{folder} already holds {content}; "
        "give another --out, or none for a new folder under runs/."
    )


def new_folder(out: str | None, data: str) -> Path:
    """The run's folder, made; a new one under runs/ each time unless `out` says which.

    RunFolderError where it holds anything already or cannot be made.
    """
    check_folder(out)
    folder = Path("runs") if out is None else Path(out)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if out is None:
            folder = _numbered_folder(folder, Path(data.partition(":")[2] or data).stem or "data")
    except OSError as error:
        raise RunFolderError(f"Cannot make the run's folder {folder}: {error.strerror}.") from None
    if not os.access(folder, os.W_OK):
        raise RunFolderError(f"Cannot write to the run's folder {folder}: permission denied.")
    return folder


def _numbered_folder(parent: Path, name: str) -> Path:
    """A folder that was not there, made; runs that start in the same second get different ones."""
    stamped = f"{time.strftime('%Y%m%d-%H%M%S')}-{name}"
    for number in itertools.count(1):
        folder = parent / (stamped if number == 1 else f"{stamped}-{number}")
        with contextlib.suppress(FileExistsError):
            folder.mkdir()
            return folder
    raise AssertionError("unreachable: the count has no end")


@contextlib.contextmanager
def _logs(folder: Path, histograms: bool) -> Iterator[Callable[[EpochEnd], None]]:
    """A callback that writes metrics.jsonl, timing.jsonl and TensorBoard events."""
    with MetricsLog(folder) as log, TensorBoardLog(folder / "tensorboard") as board:

        def write(end: EpochEnd) -> None:
            log.metrics(end.metrics)
            log.timing(
                {
                    "epoch": end.epoch,
                    "seconds": end.seconds,
                    "samples_per_second": end.samples_per_second,
                }
            )
            step = int(end.metrics["step"])
            named = {k: v for k, v in end.metrics.items() if k not in ("epoch", "step")}
            board.scalars(step, {k.replace("_", "/", 1): v for k, v in named.items()})
            board.scalars(step, {"speed/samples_per_second": end.samples_per_second})
            seen = end.look()
            board.scalars(step, diagnose.scalars(end.state, seen))
            if histograms:
                board.histograms(step, diagnose.histograms(end.state, seen))

        yield write


def draw(
    folder: Path, dataset: Dataset, fitted: Fitted, test: Split | None, found: np.ndarray
) -> None:
    """The pictures of a run, under report/."""
    report = folder / "report"
    report.mkdir(exist_ok=True)
    plots.learning_curve(fitted.history, report / "learning_curve.png")
    first = next(p["W"] for p in fitted.params if "W" in p)
    plots.first_layer(
        np.asarray(first, np.float32),
        dataset.image_shape,
        report / "first_layer.png",
        feature_names=dataset.feature_names,
    )
    if test is None:
        return
    if dataset.is_classification:
        guess = found[:, 0] > 0.5 if found.shape[1] == 1 else np.argmax(found, axis=1)
        plots.confusion_matrix(
            test.y, guess.astype(np.int64), dataset.classes, report / "confusion_matrix.png"
        )
    elif fitted.loss.function.targets == "real":
        plots.regression_scatter(
            test.y.reshape(found.shape), found, report / "predicted_and_true.png"
        )


class _Teller:
    """What a run says while it trains: the proof, the bar, and the logs once it has a folder."""

    def __init__(
        self,
        config: TrainConfig,
        metric: str,
        say: Callable[[str], None],
        bar: bool,
        stack: contextlib.ExitStack,
    ) -> None:
        self._config, self._metric, self._say, self._stack = config, metric, say, stack
        self._progress = stack.enter_context(EpochProgress(config.epochs, enabled=bar))
        self._write: Callable[[EpochEnd], None] | None = None
        self._speed = 0.0
        self.folder: Path | None = None

    def proved(self, report: Report) -> None:
        """Shows the proof; if it holds, the run gets its folder."""
        self._say(f"\n{report}\n")
        if not report.ok:
            return
        self.folder = new_folder(self._config.out, self._config.data)
        write_text_atomic(self.folder / "config.toml", to_toml(self._config))
        write_text_atomic(self.folder / "check.json", report.to_json())
        self._write = self._stack.enter_context(_logs(self.folder, self._config.histograms))

    @contextlib.contextmanager
    def naming_the_folder(self) -> Iterator[None]:
        """Tells a run that diverged where its records are."""
        try:
            yield
        except DivergedError as error:
            raise DivergedError(f"{error} What there is of the run is in {self.folder}.") from None

    def tick(self, epoch: int, done: float, loss: float, speed: float) -> None:
        """Moves the bar inside an epoch; its end is told by `after_epoch`."""
        self._speed = speed
        self._progress.update(epoch, min(done, 0.999), loss, None, None, speed)

    def after_epoch(self, end: EpochEnd) -> None:
        """Writes the epoch's records and moves the bar."""
        assert self._write is not None
        self._write(end)
        value = end.metrics.get(f"validation_{self._metric}")
        self._progress.update(
            end.epoch, 1.0, end.metrics["train_loss"], self._metric, value, self._speed
        )


def train(config: TrainConfig, say: Callable[[str], None] = print, bar: bool = True) -> Run:
    """Loads, proves, trains, evaluates on the test rows, and leaves the run's folder behind.

    The folder is made once the data and the options are known to be good and the proof has passed.
    """
    check_folder(config.out)
    dataset = load(config.data)
    if not isinstance(dataset, Dataset):
        raise InputError(f"'{config.data}' is a table; a network trains on arrays.")
    loss = build_loss(config, dataset)
    network = build_network(config, loss, dataset)
    optimizer = build_optimizer(config)
    task = task_of_data(dataset, loss)
    names = config.metrics or default_metrics(task)
    check_metrics(task, names)
    parts = split(
        dataset, test=config.test, validation=validation_share(config, dataset), seed=config.seed
    )
    widths = "-".join(map(str, (dataset.n_features, *config.hidden, output_width(loss, dataset))))
    say(f"{dataset.name}: {len(parts.train)} training rows; {widths} {config.activation}, {loss}")

    with contextlib.ExitStack() as stack:
        teller = _Teller(config, names[0], say, bar, stack)
        stack.enter_context(teller.naming_the_folder())
        fitted = fit(
            network,
            loss,
            optimizer,
            parts.train,
            epochs=config.epochs,
            batch_size=config.batch_size,
            seed=config.seed,
            validation=parts.validation,
            class_weight=config.class_weight,
            scaling=fit_scaling(parts.train.x, pixels=dataset.image_shape is not None),
            metrics=names,
            patience=config.patience,
            average=config.average,
            precision=config.precision,
            device=config.device,
            callbacks=[teller.after_epoch],
            tick=teller.tick,
            proved=teller.proved,
        )
    assert teller.folder is not None
    found, predictions = _tested(fitted, parts.test, (*TEST_METRICS[task], *names))
    write_json_atomic(teller.folder / "test.json", found)
    draw(teller.folder, dataset, fitted, parts.test, predictions)
    return Run(teller.folder, fitted, found)


def _tested(
    fitted: Fitted, test: Split | None, names: Sequence[str]
) -> tuple[dict[str, float], np.ndarray]:
    """(metrics, predictions) of the test rows, if there are any."""
    if test is None:
        return {}, np.zeros((0, 1))
    return fitted.evaluate(test, tuple(dict.fromkeys(names)))


def source(config: TrainConfig) -> Dataset | Table:
    """The data that a run was asked to train on, as they are now."""
    return load(config.data)


def prepared(config: TrainConfig) -> Prepared:
    """The data of a run, split and encoded exactly as the run did it."""
    return prepare(source(config), test=config.test, validation=config.validation, seed=config.seed)
