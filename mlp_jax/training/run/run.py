"""A run: from a configuration to a folder with everything that the training left behind."""

import contextlib
import shlex
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax

from mlp_jax.data.source import LANES
from mlp_jax.errors import InputError, UnknownNameError
from mlp_jax.model.precision import ask_for_determinism
from mlp_jax.model.saved import load_model
from mlp_jax.training.checkpoint.manager import Saving
from mlp_jax.training.fit import fit
from mlp_jax.training.loop import Select
from mlp_jax.training.many.ensemble import fit_ensemble
from mlp_jax.training.mesh.processes import Cluster, join, on_first
from mlp_jax.training.private.ledger import check_ledger
from mlp_jax.training.private.refusals import check_options, check_resume, privacy_of
from mlp_jax.training.run import folder as run_folder
from mlp_jax.training.run.build import (
    Parts,
    build,
    input_scaling,
    same_head,
    target_scaling,
    with_preset_options,
)
from mlp_jax.training.run.callbacks import START, Run, Session, session_of
from mlp_jax.training.run.config import (
    CONFIG_FILE,
    TrainConfig,
    resumed_config,
    run_config,
)
from mlp_jax.training.run.folder import check_folder, held


def train(config: TrainConfig, say: Callable[[str], None] = print, bar: bool = True) -> Run:
    """Loads, proves, trains, evaluates on the test rows, and leaves the run's folder behind.

    The folder is made once the data and the options are known to be good and the proof has passed.
    SIGTERM and Ctrl-C end the run after the compiled call under way, saved (StoppedError).
    """
    check_options(config)
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
        return _run(session_of(config, parts, say, bar, stack))


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
    check_resume(saved, config, bool(facts.get("finished")))
    config = resumed_config(saved, config, str(folder))
    check_options(config)
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
        session = session_of(config, build(config, start), say, bar, stack, folder, facts)
        return _run(session)


def _meet(config: TrainConfig) -> None:
    """Meets the other processes of a distributed run, which is not private."""
    if not config.distributed:
        return
    for name in ("private", "histograms"):
        if getattr(config, name):
            raise InputError(f"--distributed goes without --{name}.")
    join(Cluster(config.coordinator, config.processes, config.process_id))


def _run(session: Session) -> Run:
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
                diagnostics=session.looks,
                privacy=privacy_of(config),
                mesh=config.mesh,
                shard_optimizer=config.shard_optimizer,
                accumulate=config.accumulate,
                recompute=config.recompute,
                ledger=session.ledger,
                **options,
            )
        else:
            fitted = fit_ensemble(
                *what,
                members=config.ensemble,
                say=session.say,
                multiple=session.multiple,
                **options,
            )
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
