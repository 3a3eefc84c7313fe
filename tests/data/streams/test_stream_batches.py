"""Batches against indexing of the arrays that the files were written from."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from idx_files import write_idx

from mlp_jax.data.source import Rows
from mlp_jax.data.streams import array_files
from mlp_jax.data.streams.arrays import open_idx, open_npy, open_npy_folder
from mlp_jax.data.streams.order import keys_of
from mlp_jax.data.streams.stream import Stream
from mlp_jax.errors import InputError
from mlp_jax.training.engine.batches import epoch_order
from mlp_jax.training.engine.program import ORDER
from mlp_jax.training.engine.program import stream as stream_of

N, WIDTH = 1003, 7
RNG = np.random.default_rng(0)
X = RNG.normal(size=(N, WIDTH)).astype(np.float32)
Y = RNG.integers(0, 3, N)
KEYS = keys_of(5, 0)


@pytest.fixture(autouse=True)
def nothing_held(monkeypatch):
    monkeypatch.setattr(array_files, "_HELD_BYTES", 0)


class Blocks:
    """Rows 0 … N−1 in blocks of many sizes; counts how often each is read."""

    name, n_features = "blocks", WIDTH
    starts = np.array([0, 1, 100, 101, 350, 500, 640, 1003])

    def __init__(self):
        self.reads = []

    def __len__(self):
        return N

    def read_block(self, number):
        self.reads.append(number)
        rows = slice(self.starts[number], self.starts[number + 1])
        return Rows(X[rows], np.arange(N, dtype=np.int32)[rows])


def npy_pair(folder):
    np.save(folder / "x.npy", X)
    np.save(folder / "y.npy", Y)
    return open_npy(folder / "x.npy", folder / "y.npy")


def npy_folder(folder):
    for k, rows in enumerate((slice(0, 400), slice(400, 401), slice(401, N))):
        np.save(folder / f"x-{k}.npy", X[rows])
        np.save(folder / f"y-{k}.npy", Y[rows])
    return open_npy_folder(folder)


def idx(folder):
    write_idx(folder / "train-images-idx3-ubyte", pixels().reshape(N, 1, WIDTH))
    write_idx(folder / "train-labels-idx1-ubyte", Y.astype(np.uint8))
    return open_idx(folder)


def pixels():
    return np.random.default_rng(1).integers(0, 256, (N, WIDTH)).astype(np.uint8)


def whole(stream, keys=KEYS, first=0):
    """x, y and weights of the batches of an epoch, (S, B, …) each."""
    with stream.epoch(keys, first) as epoch:
        stacks = list(epoch)
    assert [stack.first for stack in stacks] == list(range(first, stream.n_batches, stream.steps))
    return tuple(np.concatenate([stack[k] for stack in stacks]) for k in (1, 2, 3))


@pytest.mark.parametrize(
    ("make", "x"), [(npy_pair, X), (npy_folder, X), (idx, pixels())], ids=["npy", "folder", "idx"]
)
@pytest.mark.parametrize("batch_size", [64, 59, N, 2000])
def test_batches_are_the_rows_that_the_device_would_take(tmp_path, make, x, batch_size):
    seed = np.uint32(3)
    key = jax.random.fold_in(stream_of(seed, ORDER), 4)
    keys = np.asarray(jax.random.bits(key, (16,), jnp.uint32))
    rows = np.asarray(epoch_order(seed, 4, N, batch_size))
    found_x, found_y, weights = whole(Stream(make(tmp_path), batch_size), keys)
    np.testing.assert_array_equal(found_x, x[rows])
    np.testing.assert_array_equal(found_y, Y[rows])
    assert found_x.dtype == x.dtype
    assert found_y.dtype == np.int32
    assert weights.sum() == N
    np.testing.assert_array_equal(np.sort(rows[weights == 1]), np.arange(N))


@pytest.mark.parametrize("window", [1, 2, 3, 20])
@pytest.mark.parametrize("steps", [1, 4])
def test_blocks_give_every_row_once_an_epoch(window, steps):
    x, row, weights = whole(Stream(Blocks(), 64, window=window, steps=steps))
    np.testing.assert_array_equal(np.sort(row[weights == 1]), np.arange(N))
    np.testing.assert_array_equal(x, X[row])
    assert weights.shape == (16, 64)
    assert weights[:15].all()


@pytest.mark.parametrize("shards", [2, 4, 8])
@pytest.mark.parametrize("n_processes", [1, 2, 4])
def test_shards_give_every_row_once_whoever_reads_them(shards, n_processes):
    alone = whole(Stream(Blocks(), 64, window=1, shards=shards))
    shares = [
        whole(Stream(Blocks(), 64, process, n_processes, window=1, shards=shards, steps=3))
        for process in range(n_processes)
    ]
    for part, one in enumerate(alone):
        together = np.concatenate([share[part] for share in shares], axis=1)
        np.testing.assert_array_equal(together, one)
    x, row, weights = alone
    np.testing.assert_array_equal(np.sort(row[weights == 1]), np.arange(N))
    np.testing.assert_array_equal(x, X[row])


def test_a_process_reads_the_blocks_of_its_own_shards():
    reads = []
    for process in range(4):
        source = Blocks()
        whole(Stream(source, 64, process, 4, window=1, shards=4))
        reads.append(source.reads)
    # Seven blocks, and one more wherever a shard ends inside of one.
    assert sum(map(len, reads)) <= 7 + 3
    assert max(map(len, reads)) < 7


def test_a_block_is_read_once_an_epoch():
    source = Blocks()
    whole(Stream(source, 16, window=2, ahead=2))
    assert sorted(source.reads) == list(range(7))


def test_no_more_than_two_windows_of_blocks_are_read_ahead():
    source = Blocks()
    with Stream(source, 10, window=1, ahead=1, threads=1).epoch(KEYS) as epoch:
        next(epoch)
        assert len(source.reads) <= 4


@pytest.mark.parametrize("make", [npy_pair, lambda _: Blocks()], ids=["rows", "blocks"])
@pytest.mark.parametrize("first", [1, 7, 15, 16])
def test_an_epoch_goes_on_as_if_it_had_never_stopped(tmp_path, make, first):
    stream = Stream(make(tmp_path), 64, window=2)
    parts = whole(stream)
    if first == stream.n_batches:
        assert list(stream.epoch(KEYS, first)) == []
        return
    for one, rest in zip(parts, whole(stream, first=first), strict=True):
        np.testing.assert_array_equal(rest, one[first:])


@pytest.mark.parametrize("make", [npy_pair, lambda _: Blocks()], ids=["rows", "blocks"])
@pytest.mark.parametrize("n_processes", [2, 4])
def test_processes_share_each_batch(tmp_path, make, n_processes):
    alone = whole(Stream(make(tmp_path), 64, window=2))
    shares = [
        whole(Stream(make(tmp_path), 64, process, n_processes, window=2))
        for process in range(n_processes)
    ]
    for part, one in enumerate(alone):
        together = np.concatenate([share[part] for share in shares], axis=1)
        np.testing.assert_array_equal(together, one)


@pytest.mark.parametrize("make", [npy_pair, lambda _: Blocks()], ids=["rows", "blocks"])
def test_reading_ahead_changes_nothing(tmp_path, make):
    source = make(tmp_path)
    one = whole(Stream(source, 50, window=3))
    for changed in ({"ahead": 1, "threads": 1}, {"ahead": 30, "threads": 8}, {"steps": 7}):
        for a, b in zip(one, whole(Stream(source, 50, window=3, **changed)), strict=True):
            np.testing.assert_array_equal(a, b)


def test_two_epochs_differ_and_one_repeats(tmp_path):
    stream = Stream(npy_pair(tmp_path), 64)
    one, again, other = (whole(stream, keys_of(5, e))[0] for e in (0, 0, 1))
    np.testing.assert_array_equal(one, again)
    assert not np.array_equal(one, other)


def test_the_time_that_was_waited_is_counted(tmp_path):
    with Stream(npy_pair(tmp_path), 64).epoch(KEYS) as epoch:
        next(epoch)
        first = epoch.waited
        next(epoch)
        assert 0 < first < epoch.waited


class Torn(Blocks):
    def read_block(self, number):
        raise InputError("Row 3 is torn.")


def test_an_error_while_reading_ahead_reaches_whoever_takes_the_batches():
    with pytest.raises(InputError, match="Row 3 is torn"), Stream(Torn(), 64).epoch(KEYS) as epoch:
        next(epoch)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size must be at least 1"),
        ({"steps": 0}, "steps must be at least 1"),
        ({"process": 2, "n_processes": 2}, "there is no process 2"),
        ({"batch_size": 63, "n_processes": 2}, "63 rows cannot be shared by 2"),
        ({"shards": 3}, "64 of 1003 rows cannot be taken evenly from 3 shards"),
    ],
)
def test_sizes_that_cannot_be_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        Stream(Blocks(), **{"batch_size": 64, **options})


def test_an_epoch_does_not_go_on_behind_its_end():
    with pytest.raises(InputError, match="16 batches cannot start at batch 17"):
        Stream(Blocks(), 64).epoch(KEYS, 17)
