"""Rows that stream into a training: the run is that of the same rows on the device."""

import importlib
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import polars as pl
import pytest
from training_cases import OnCall, leaves_equal

from mlp_jax.backprop import mlp
from mlp_jax.data.source import Rows, Streamed
from mlp_jax.data.streams import TableSource, fit_arrays, fit_table, open_frames, open_npy
from mlp_jax.errors import DivergedError, InputError
from mlp_jax.proof import Report
from mlp_jax.training import FitOptions, fit
from mlp_jax.training.checkpoint.manager import Checkpoints, Saving
from mlp_jax.training.engine.batches import take_batch
from mlp_jax.training.input import loaders as feed
from mlp_jax.training.optim.optimizers import Optimizer
from mlp_jax.training.plan import make_plan
from mlp_jax.training.run.build import input_scaling, target_scaling

N, WIDTH, B = 203, 5, 16
STEPS = 13  # the last one of 11 rows
RNG = np.random.default_rng(0)
X = RNG.normal(2, 3, (N, WIDTH)).astype(np.float32)
PIXELS = RNG.integers(0, 256, (N, WIDTH)).astype(np.uint8)
LABELS = RNG.integers(0, 3, N)
NUMBERS = np.stack([X.sum(1), 100 * X[:, 0]], 1)


@pytest.fixture(autouse=True)
def _stacks_of_three_steps(monkeypatch):
    """Optax may promote; the proof has tests of its own."""
    module = importlib.import_module("mlp_jax.training.plan")
    monkeypatch.setattr(module, "check_gradients", lambda *_, **__: Report(()))
    monkeypatch.setattr(feed, "STACK_BYTES", 3 * B * WIDTH * 4)
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


def npy(folder, x, y):
    np.save(folder / "x.npy", x)
    np.save(folder / "y.npy", y)
    return open_npy(folder / "x.npy", folder / "y.npy")


def train(data, scalings, classes=True, **options):
    network = mlp([6], 3 if classes else 2, dropout=0.3, norm="layer")
    loss = "softmax_cross_entropy" if classes else "squared_error"
    options = {"epochs": 3, "batch_size": B, "average": 0.8} | options
    scaling, of_targets = scalings
    adam = Optimizer("adam", 1e-2, schedule="cosine")
    return fit(network, loss, adam, data, scaling=scaling, target_scaling=of_targets, **options)


def scalings_of(source):
    inputs, target = fit_arrays(source)
    return input_scaling(inputs), target_scaling(target)


@pytest.mark.parametrize(
    ("x", "y", "classes"),
    [(X, LABELS, True), (PIXELS, LABELS, True), (X, NUMBERS, False)],
    ids=["floats", "pixels", "numbers to predict"],
)
def test_a_stream_of_rows_gives_the_weights_of_the_rows_in_memory(tmp_path, x, y, classes):
    source = npy(tmp_path, x, y)
    held, read = (
        train(data, scalings_of(source), classes, precision="float64")
        for data in ((x, y), Streamed(source))
    )
    trees = [(run.params, run.layer_state) for run in (read, held)]
    for a, b in zip(*map(jax.tree.leaves, trees), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-13)
    for a, b in zip(read.history, held.history, strict=True):
        np.testing.assert_allclose(a["train_loss"], b["train_loss"], rtol=1e-12)


def test_targets_that_float32_does_not_hold_stream_standardized(tmp_path):
    runs = []
    for scale in (1.0, 1e40):
        source = npy(tmp_path, X, NUMBERS.astype(np.float64) * scale)
        runs.append(train(Streamed(source), scalings_of(source), False, precision="float32"))
    for a, b in zip(*(jax.tree.leaves(run.params) for run in runs), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("options", [{"mesh": "data=4,model=2"}, {"accumulate": 2}], ids=str)
def test_a_stream_goes_where_rows_in_memory_go(tmp_path, options):
    source = npy(tmp_path, X, LABELS)

    def trained(data):
        return fit(
            mlp([8, 8], 3), "softmax_cross_entropy", "sgd", data, batch_size=B, epochs=2, **options
        )

    read, held = trained(Streamed(source)), trained((X, LABELS))
    for a, b in zip(jax.tree.leaves(read.params), jax.tree.leaves(held.params), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


class Killed(BaseException):
    """What a SIGKILL leaves of a process: nothing after it runs."""


@pytest.fixture(params=["arrays", "table"])
def source(request, tmp_path, monkeypatch):
    """Rows that any can be had of, and blocks in windows."""
    if request.param == "arrays":
        return npy(tmp_path, X, LABELS)
    monkeypatch.setattr("mlp_jax.data.streams.frames._BLOCK_BYTES", 1)
    monkeypatch.setattr("mlp_jax.data.streams.frames._LEAST_ROWS", 20)
    frame = pl.from_numpy(X, list("abcde")).with_columns(y=pl.Series(LABELS))
    frame.write_parquet(tmp_path / "t.parquet", row_group_size=20)
    frames = open_frames(tmp_path / "t.parquet")
    return TableSource(frames, *fit_table(frames, ["y"])[:2])


def program_of(data):
    network = mlp([6], 3, dropout=0.3, norm="layer")
    options = FitOptions(epochs=3, batch_size=B, average=0.8)
    return make_plan(network, "softmax_cross_entropy", "adam", data, options).program


@pytest.mark.parametrize("kill_after", [2, 5, 6])
def test_a_streaming_run_killed_inside_an_epoch_goes_on_bit_for_bit(tmp_path, source, kill_after):
    ticks, opened = [], []

    def tick(*now):
        ticks.append(now)
        if len(ticks) == kill_after:
            raise Killed

    def callbacks():
        every = Saving.parse("1 steps")
        opened.append(Checkpoints(tmp_path, every, lambda: None, warnings.warn))
        return [OnCall(tick), opened[-1]]

    data = Streamed(source)
    whole = train(data, (None, None))
    with pytest.raises(Killed):
        train(data, (None, None), callbacks=callbacks())
    opened[0].close()
    ticks.extend([None] * kill_after)
    resumed = train(data, (None, None), callbacks=callbacks())
    opened[1].close()
    assert leaves_equal((resumed.params, resumed.layer_state), (whole.params, whole.layer_state))
    assert resumed.history == whole.history


def test_every_epoch_of_a_stream_has_every_row_once(source):
    rows = (
        np.concatenate([source.read_block(k).x for k in range(len(source.starts) - 1)])
        if (hasattr(source, "starts"))
        else X
    )
    program = program_of(Streamed(source))
    reading = feed.StreamingLoader(Streamed(source), program, None, None, n_outputs=3, n_classes=3)
    seen = []
    for epoch in (1, 2):
        found, index = [], 0
        for count, stack in reading.calls(np.uint32(0), epoch, 0, 3):
            for x, y in zip(*stack.batches, strict=True):
                batch = take_batch(program, stack, (x, y), jnp.int32(index))
                found.append(np.asarray(batch.x)[np.asarray(batch.mask)])
                index += 1
            assert count == len(stack.x)
        assert index == STEPS
        seen.append(np.concatenate(found))
    for x in seen:
        assert sorted(map(tuple, x.tolist())) == sorted(map(tuple, rows.tolist()))
    assert not np.array_equal(*seen)


def test_the_calls_of_a_stream_compile_once(tmp_path, source):
    lengths = []
    data = Streamed(source)
    program = program_of(data)
    reading = feed.StreamingLoader(data, program, None, None, n_outputs=3, n_classes=3)
    for epoch in (1, 2):
        lengths += [count for count, _ in reading.calls(np.uint32(0), epoch, 0, 3)]
    assert lengths == 2 * [3, 3, 3, 3, 1]


def test_a_step_that_is_not_finite_is_named_in_a_stream(tmp_path):
    x = X.copy()
    x[100] = 1e38
    source = npy(tmp_path, x, LABELS)
    network = mlp([6], 3)
    with pytest.raises(
        DivergedError, match=r"the output of layer 1 Dense\(3, identity\) is not finite"
    ):
        fit(network, "softmax_cross_entropy", "sgd", Streamed(source), batch_size=B, epochs=1)


def test_labels_beyond_the_outputs_are_refused_as_they_come(tmp_path):
    labels = LABELS.copy()
    labels[150] = 7
    source = npy(tmp_path, X, labels)
    with pytest.raises(InputError, match="has the class 3, counted from 0, but the network has 3"):
        train(Streamed(source), (None, None))


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"validation": 0.1}, "A fraction of the rows for validation"),
        ({"sample_weight": np.ones(N)}, "The option sample_weight"),
        ({"class_weight": "balanced"}, "The option class_weight"),
        ({"importance": 3}, "The option importance"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_needs_all_rows_at_hand_is_refused(tmp_path, options, what):
    with pytest.raises(InputError, match=f"^{what} cannot be combined with streamed rows: "):
        train(Streamed(npy(tmp_path, X, LABELS)), (None, None), **options)


def test_an_optimizer_that_takes_all_rows_in_a_step_is_refused(tmp_path):
    with pytest.raises(InputError, match="The optimizer lbfgs cannot be combined"):
        fit(
            mlp([4], 3),
            "softmax_cross_entropy",
            "lbfgs",
            Streamed(npy(tmp_path, X, LABELS)),
        )


class Own:
    """A source as anybody may write one."""

    name, n_features = "own", WIDTH

    def __init__(self, x, y):
        self._x, self._y = x, y

    def __len__(self):
        return len(self._x)

    def read(self, rows):
        return Rows(self._x[rows], self._y[rows])


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (X, np.where(np.arange(N) == 150, -1, LABELS).astype(np.int32), "has the class -1"),
        (np.where(np.arange(N)[:, None] == 150, np.nan, X).astype(np.float32),
         LABELS.astype(np.int32), "a value of x that is NaN or infinite"),
    ],
    ids=["label", "feature"],
)  # fmt: skip
def test_rows_of_a_source_of_ones_own_are_checked_as_they_come(x, y, message):
    with pytest.raises(InputError, match=message):
        train(Streamed(Own(x, y)), (None, None))


@pytest.mark.parametrize(
    ("devices", "share"),
    [
        ([(0, 12), (0, 12)], (0, 2)),
        ([(12, 24)], (1, 2)),
        ([(0, 24)], (0, 1)),
        ([(4, 8), (8, 12)], (0, 1)),  # its rows are no part of equal parts: it reads all
    ],
    ids=str,
)
def test_a_process_reads_the_part_of_a_batch_that_its_devices_take(monkeypatch, devices, share):
    class Places:
        def addressable_devices_indices_map(self, shape):
            return dict(enumerate((slice(*part),) for part in devices))

    class OnMesh:
        by_rows = Places()

    reading = object.__new__(feed.StreamingLoader)
    reading._layout, reading._batch_size = OnMesh(), 24
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    assert reading._share() == share
