"""The engine of one network: compiled calls, evaluation, the best weights, diagnostics."""

import functools
import math
from collections.abc import Callable, Generator
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np

from mlp_jax.backprop import NoiseAverage
from mlp_jax.errors import DivergedError
from mlp_jax.model.metrics import higher_is_better
from mlp_jax.training.callbacks import EpochEnd
from mlp_jax.training.compile import compile_calls
from mlp_jax.training.diagnostics import batch_diagnostics
from mlp_jax.training.diagnostics import diagnostics_report as report
from mlp_jax.training.diagnostics.batch_diagnostics import BatchDiagnostics
from mlp_jax.training.engine.epoch import run_steps
from mlp_jax.training.engine.evaluate import evaluate
from mlp_jax.training.engine.program import TrainState, weights_of
from mlp_jax.training.engine.snapshot import Best, Position, Snapshot
from mlp_jax.training.input.loaders import Data, Loader, ValidationRows
from mlp_jax.training.plan import TrainPlan


class NetworkEngine:
    """Engine of one network, which runs its compiled epochs for the host loop.

    Args:
        plan: the training.
        snapshot: where it starts.
        loader: the training rows.
        validation: rows to evaluate after each epoch.

    Raises:
        DivergedError: in `run`, where a step is not finite.
    """

    def __init__(
        self,
        plan: TrainPlan,
        snapshot: Snapshot,
        loader: Loader,
        validation: ValidationRows | None,
    ) -> None:
        self._plan, self._program = plan, plan.program
        self._loader, self._validation = loader, validation
        self._seed = np.uint32(plan.options.seed)
        self._calls = compile_calls(
            plan.program, snapshot.state, loader, self._seed, snapshot.position.done
        )
        self._diagnostics_call = self._prepare_diagnostics(snapshot.state)

    @property
    def steps(self) -> int:
        """Steps per epoch."""
        return -(-self._loader.n // self._program.batch_size)

    def samples(self, position: Position) -> float:
        """Return how many examples of the epoch are done."""
        return min(position.done * self._program.batch_size, self._loader.n)

    def calls(self, position: Position) -> Generator[tuple[int, Data], None, None]:
        """Yield the calls that are left in the epoch."""
        longest = next(iter(self._calls))
        return self._loader.calls(self._seed, position.epoch, position.done, longest)

    def run(self, snapshot: Snapshot, call: tuple[int, Data]) -> tuple[Snapshot, float]:
        """Return the snapshot after a call, and the mean loss of the epoch so far."""
        program, (count, data) = self._program, call
        state, at, best = snapshot
        where = (data, self._seed, np.int32(at.epoch), np.int32(at.done))
        new, totals = self._calls[count](state, *where)
        alive, totals = jax.device_get((new.alive, totals))
        if not alive and not program.guarded:
            guarded = replace(program, guarded=True, transposed=False)
            new, totals = run_steps(guarded)(guarded, count, state, *where)
            alive, totals = jax.device_get((new.alive, totals))
        if not alive:
            raise DivergedError(self._diverged(new, data, at))
        at = at._replace(
            done=at.done + count,
            loss=at.loss + float(totals.loss),
            weight=at.weight + float(totals.weight),
        )
        return Snapshot(new, at, best), _mean_loss(at)

    def end_epoch(
        self, snapshot: Snapshot, seconds: float, samples_per_second: float
    ) -> tuple[Snapshot, EpochEnd]:
        """Evaluate the epoch, keep the best weights, and measure diagnostics where they are due."""
        state, at, _ = snapshot
        on_device = self._loader.on_device

        @functools.cache
        def diagnose() -> BatchDiagnostics:
            assert on_device is not None
            average = NoiseAverage(*map(jnp.float32, at.noise))
            following = np.int32(at.epoch + 1)
            return self._diagnostics_call()(state, on_device, self._seed, following, average)

        record = self._record(snapshot)
        due = batch_diagnostics.is_due(at.epoch, self._loader.n, self._program.batch_size)
        if self._plan.options.diagnostics and due and on_device is not None:
            average = jax.device_get(diagnose().average)
            noise = (float(average.noise), float(average.signal), float(average.share))
            at = at._replace(noise=noise)
            record |= report.noise_record(diagnose())
        best = self._best(snapshot, record)
        hidden = self._program.private is not None or on_device is None
        end = EpochEnd(
            epoch=at.epoch,
            metrics=record,
            state=state,
            seconds=seconds,
            samples_per_second=samples_per_second,
            diagnose=None if hidden else diagnose,
            diagnostics_due=due,
            best_epoch=0 if best is None else best.epoch,
        )
        return Snapshot(state, at, best), end

    def _prepare_diagnostics(
        self, state: TrainState
    ) -> Callable[[], batch_diagnostics.DiagnosticsCall]:
        """Return () -> the program of the diagnostics; compiled in a thread if they are on."""
        on_device = self._loader.on_device
        if self._plan.options.diagnostics and on_device is not None:
            return batch_diagnostics.compile_in_background(
                self._program, state, on_device, self._seed
            )
        return lambda: functools.partial(batch_diagnostics.diagnose_batches, self._program)

    def _record(self, snapshot: Snapshot) -> dict[str, float]:
        """Return the figures of the epoch that has just ended."""
        state, at, _ = snapshot
        record: dict[str, float] = {"epoch": at.epoch, "step": int(state.step)}
        if self._program.private is None:
            record["train_loss"] = _mean_loss(at)
        if self._validation is None:
            return record
        found, _ = evaluate(
            self._program,
            *weights_of(state),
            self._validation.data,
            self._validation.y,
            self._plan.metrics,
            self._plan.n_classes,
            self._plan.options.target_scaling,
        )
        return record | {f"validation_{name}": value for name, value in found.items()}

    def _best(self, snapshot: Snapshot, record: dict[str, float]) -> Best | None:
        """Return the best weights so far, copied: the next step reuses the memory of the state."""
        best, monitor = snapshot.best, self._plan.monitor
        value = record.get(f"validation_{monitor}", math.nan)
        score = value if higher_is_better(monitor) else -value
        loss = record.get("validation_loss", math.nan)
        if not self._plan.keeps_best or math.isnan(score):
            return best
        if best is not None and (score, -loss) <= (best.score, -best.loss):
            return best
        weights = weights_of(snapshot.state)
        return Best(score, loss, snapshot.position.epoch, *jax.tree.map(jnp.copy, weights))

    def _diverged(self, state: TrainState, data: Data, at: Position) -> str:
        """Return the message for a step that is not finite; at: before its call."""
        done = int(state.step)
        index = done - (at.epoch - 1) * self.steps
        where = "the update"  # of a private run: where it began would reveal something of the rows
        if self._program.private is None:
            place = (at.epoch, at.done, index)
            where = report.first_not_finite(self._program, state, data, self._seed, *place)
        return (
            f"Training diverged at step {done + 1} (epoch {at.epoch}): {where} is not finite. "
            "The step was not applied; try a smaller learning rate or a gradient clip."
        )


def _mean_loss(at: Position) -> float:
    return at.loss / at.weight if at.weight else math.nan
