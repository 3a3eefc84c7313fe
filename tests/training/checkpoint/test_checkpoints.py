import importlib
import signal
import warnings

import jax
import numpy as np
import pytest
from training_cases import OnCall, labelled, leaves_equal

from mlp_jax.backprop import mlp
from mlp_jax.errors import InputError, RunFolderError, StoppedError
from mlp_jax.proof import Report
from mlp_jax.training import compile as calls
from mlp_jax.training import fit
from mlp_jax.training.checkpoint.integrity import CHECKSUMS, FOLDER
from mlp_jax.training.checkpoint.manager import Checkpoints, Saving
from mlp_jax.training.optim.optimizers import Optimizer

X, Y = labelled(60)
STEPS = 8  # 60 rows, 8 a batch


@pytest.fixture(autouse=True, scope="module")
def _calls_of_three_steps():
    """Three calls an epoch; Optax may promote; the proof has tests of its own."""
    module = importlib.import_module("mlp_jax.training.plan")
    with (
        pytest.MonkeyPatch.context() as patch,
        jax.numpy_dtype_promotion("standard"),
        jax.numpy_rank_promotion("allow"),
    ):
        patch.setattr(calls, "steps_a_call", lambda *_: 3)
        patch.setattr(module, "check_gradients", lambda *_, **__: Report(()))
        yield


class Killed(BaseException):
    """What a SIGKILL leaves of a process: nothing after it runs."""


def train(
    folder=None,
    *,
    kill_after=None,
    every="1 steps",
    stop=lambda: None,
    warn=None,
    listeners=(),
    **changed,
):
    """A run with all that must be kept: dropout, batch norm, momentum, a schedule, an average."""
    ticks = []

    def tick(*now):
        ticks.append(now)
        if len(ticks) == kill_after:
            raise Killed

    opened = []

    if folder is not None:
        opened.append(Checkpoints(folder, Saving.parse(every), stop, warn or warnings.warn))
    options = {"epochs": 4, "patience": 3, "average": 0.8, "schedule_epochs": 4} | changed
    try:
        return fit(
            mlp([6], 3, dropout=0.3, norm="batch"),
            "softmax_cross_entropy",
            Optimizer("adam", 1e-2, schedule="cosine"),
            (X, Y),
            batch_size=8,
            validation=(X[:20], Y[:20]),
            callbacks=[OnCall(tick), *listeners, *opened],
            **options,
        )
    finally:
        for checkpoints in opened:
            checkpoints.close()


@pytest.fixture(scope="module")
def whole(_calls_of_three_steps):
    """The run that nothing interrupts, without checkpoints."""
    return train()


def same(a, b):
    return a.history == b.history and leaves_equal(
        (a.params, a.layer_state), (b.params, b.layer_state)
    )


@pytest.mark.parametrize("kill_after", range(1, 13))
def test_a_run_killed_after_any_call_and_resumed_is_the_uninterrupted_run(
    tmp_path, whole, kill_after
):
    with pytest.raises(Killed):
        train(tmp_path, kill_after=kill_after)
    assert same(train(tmp_path), whole)


def test_a_run_killed_again_and_again_is_the_uninterrupted_run(tmp_path, whole):
    for _ in range(11):
        with pytest.raises(Killed):
            train(tmp_path, kill_after=2)
    assert same(train(tmp_path), whole)


def test_checkpoints_do_not_change_a_run(tmp_path, whole):
    assert same(train(tmp_path), whole)
    assert same(train(tmp_path / "rarely", every="never"), whole)


def test_a_finished_run_is_read_back_without_a_step(tmp_path, whole):
    train(tmp_path, every="never")
    assert same(train(tmp_path, kill_after=1), whole)


def test_a_run_that_stopped_early_stays_stopped(tmp_path):
    early = {"patience": 1, "epochs": 40, "schedule_epochs": 40}
    first = train(tmp_path, **early)
    assert len(first.history) < 40
    assert same(train(tmp_path, kill_after=1, **early), first)


def test_more_epochs_go_on_where_the_run_ended(tmp_path):
    more = train(epochs=6)
    train(tmp_path, epochs=4)
    assert same(train(tmp_path, epochs=6), more)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_ends_with_the_usual_code(tmp_path, whole, number):
    asked = iter([None, None, number])
    with pytest.raises(StoppedError, match=f"train --resume {tmp_path}") as stopped:
        train(tmp_path, every="never", stop=lambda: next(asked))
    assert stopped.value.exit_code == 128 + number
    assert "after step 8," in str(stopped.value)
    assert same(train(tmp_path), whole)


def steps_kept(folder):
    return sorted(int(p.name) for p in (folder / FOLDER).iterdir())


@pytest.mark.parametrize(
    ("every", "steps"),
    [("1 steps", [27, 30, 32]), ("10 steps", [11, 22, 32]), ("2 epochs", [16, 32]),
     ("never", [32]), ("1000s", [32])],
)  # fmt: skip
def test_the_last_few_are_kept_at_the_interval_asked_for(tmp_path, every, steps):
    train(tmp_path, every=every)
    assert steps_kept(tmp_path) == steps


@pytest.mark.parametrize("text", ["", "0s", "5", "-3s", "ten steps", "5 minutes"])
def test_an_interval_that_is_none_is_refused(text):
    with pytest.raises(
        InputError, match="interval must be like '20s', '500 steps', '2 epochs' or 'never'"
    ):
        Saving.parse(text)


def test_one_checkpoint_alone_is_not_enough():
    with pytest.raises(InputError, match="At least 2 checkpoints must be kept, not 1"):
        Saving.parse("20s", 1)


def largest_file(folder):
    return max((p for p in folder.rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)


@pytest.mark.parametrize("damage", ["cut", "flipped", "gone"])
def test_a_damaged_newest_checkpoint_falls_back_to_the_one_before(tmp_path, whole, damage):
    with pytest.raises(Killed):
        train(tmp_path, kill_after=9)
    newest = steps_kept(tmp_path)[-1]
    file = largest_file(tmp_path / FOLDER / str(newest))
    content = file.read_bytes()
    if damage == "cut":
        file.write_bytes(content[: len(content) // 2])
    elif damage == "flipped":
        middle = len(content) // 2
        file.write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])
    else:
        file.unlink()
    said = []
    assert same(train(tmp_path, warn=said.append), whole)
    assert len(said) == 1
    assert said[0].startswith(f"The checkpoint of step {newest} is damaged (")
    assert file.name in said[0]


def test_where_every_checkpoint_is_damaged_the_run_is_refused(tmp_path):
    train(tmp_path)
    for step in steps_kept(tmp_path):
        largest_file(tmp_path / FOLDER / str(step)).write_bytes(b"")
    with pytest.raises(RunFolderError, match="All checkpoints in"):
        train(tmp_path, warn=lambda _: None)


def test_a_checkpoint_of_another_network_is_refused(tmp_path):
    train(tmp_path)
    with pytest.raises(RunFolderError, match="has arrays of other shapes than this run"):
        train(tmp_path, average=None)


def test_what_an_interrupted_save_left_behind_is_not_taken(tmp_path, whole):
    with pytest.raises(Killed):
        train(tmp_path, kill_after=5)
    newest = steps_kept(tmp_path)[-1]
    torn = tmp_path / FOLDER / f"{newest + 3}.orbax-checkpoint-tmp-1"
    torn.mkdir()
    (torn / "leaves").write_bytes(b"half")
    (tmp_path / FOLDER / str(newest) / CHECKSUMS).unlink()
    said = []
    assert same(train(tmp_path, warn=said.append), whole)
    assert (said, torn.exists()) == ([], False)


def test_float64_comes_back_as_it_was(tmp_path):
    wide = {"precision": "float64"}
    expected = train(**wide)
    with pytest.raises(Killed):
        train(tmp_path, kill_after=4, **wide)
    found = train(tmp_path, **wide)
    assert all(np.asarray(leaf).dtype == np.float64 for leaf in jax.tree.leaves(found.params))
    assert same(found, expected)


@pytest.mark.parametrize("name", ["exp[lr=0.1]", "a\\b", "{a,b}*?", "gs:", "50% 'é'\n"])
def test_a_folder_of_any_name_holds_a_run_that_goes_on(tmp_path, name):
    folder = tmp_path / name
    folder.mkdir()
    with pytest.raises(Killed):
        train(folder, kill_after=5, epochs=2, patience=None)
    resumed = train(folder, epochs=2, patience=None)
    assert leaves_equal(resumed.params, train(epochs=2, patience=None).params)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_checkpoint_that_does_not_read_back_does_not_count(tmp_path, monkeypatch):
    module = importlib.import_module("mlp_jax.training.checkpoint.manager")

    def other(checkpointer, folder, snapshot):
        state = snapshot.state._replace(params=jax.tree.map(lambda p: p + 1, snapshot.state.params))
        begin(checkpointer, folder, snapshot._replace(state=state))

    begin = module.begin
    monkeypatch.setattr(module, "begin", other)
    with pytest.raises(RunFolderError, match="does not read back as written"):
        train(tmp_path, epochs=1)
    assert not any((tmp_path / FOLDER).glob(f"*/{CHECKSUMS}"))


def test_a_run_that_goes_on_takes_the_schedule_of_now(tmp_path):
    """What the checkpoint says of the schedule's length is that of the run before."""
    seen = []
    with pytest.raises(Killed):
        train(tmp_path, kill_after=5)
    train(
        tmp_path, schedule_epochs=9, patience=None,
        listeners=[lambda end: seen.append(float(end.state.opt_state.numbers.falling))],
    )  # fmt: skip
    assert set(seen) == {9.0 * STEPS}


def test_the_command_to_go_on_with_is_quoted_for_a_shell(tmp_path):
    folder = tmp_path / "a run [1]"
    folder.mkdir()
    with pytest.raises(StoppedError, match=r"To resume: mlp-jax train --resume '.*/a run \[1\]'"):
        train(folder, stop=lambda: signal.SIGTERM)
