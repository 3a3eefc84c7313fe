import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mlp_jax.data.streams.order import (
    MOST_ROWS,
    derived,
    keys_of,
    permuted,
    rows_of_windows,
    shard_pieces,
    windows,
)
from mlp_jax.training.engine import shuffle as orders

STARTS = np.array([0, 10, 25, 26, 40, 100, 107])
KEYS = keys_of(3, 0)


@pytest.mark.parametrize("n", [1, 2, 3, 5, 16, 17, 1000, 65_536, 65_537, 10**6, MOST_ROWS])
@pytest.mark.parametrize("seed", [0, 1])
def test_the_order_on_the_host_is_that_on_the_device(n, seed):
    key = jax.random.key(seed)
    places = np.arange(min(n, 3000))
    places = np.concatenate([places, n - 1 - places])
    expected = orders.permuted(key, jnp.asarray(places.astype(np.int32)), n)
    keys = np.asarray(jax.random.bits(key, (16,), jnp.uint32))
    np.testing.assert_array_equal(permuted(keys, places, n), expected)


@pytest.mark.parametrize("size", [1, 2, 3, 5, 6, 10])
def test_windows_hold_every_row_once(size):
    order = windows(KEYS, shard_pieces(KEYS, STARTS), size)
    rows = rows_of_windows(order, np.arange(107))
    np.testing.assert_array_equal(np.sort(rows), np.arange(107))


@pytest.mark.parametrize("n_shards", [1, 2, 3, 4, 7, 107])
def test_shards_hold_every_row_once_and_are_of_a_length(n_shards):
    shards = [shard_pieces(KEYS, STARTS, number, n_shards) for number in range(n_shards)]
    lengths = [int(pieces.ends[-1]) for pieces in shards]
    assert max(lengths) - min(lengths) <= 1
    found = [
        rows_of_windows(windows(KEYS, pieces, 2, number), np.arange(length))
        for number, (pieces, length) in enumerate(zip(shards, lengths, strict=True))
    ]
    np.testing.assert_array_equal(np.sort(np.concatenate(found)), np.arange(107))


def test_a_window_holds_the_rows_of_its_blocks_and_no_other():
    order = windows(KEYS, shard_pieces(KEYS, STARTS), 2)
    assert order.starts[-1] == 107
    for number in range(3):
        places = np.arange(order.starts[number], order.starts[number + 1])
        rows = rows_of_windows(order, places)
        blocks = np.searchsorted(STARTS, rows, side="right") - 1
        assert set(blocks) == set(order.blocks(number).tolist())


def test_the_rows_of_a_window_are_shuffled_across_its_blocks():
    starts = np.arange(0, 1001, 100)
    rows = rows_of_windows(windows(KEYS, shard_pieces(KEYS, starts), 5), np.arange(500))
    blocks = rows // 100
    # Of two neighbours in a shuffle of five equal blocks a fifth are of one block.
    assert 0.1 < np.mean(blocks[1:] == blocks[:-1]) < 0.3


def test_places_are_asked_for_in_any_parts_and_order():
    order = windows(KEYS, shard_pieces(KEYS, STARTS), 2)
    whole = rows_of_windows(order, np.arange(107))
    places = np.random.default_rng(0).permutation(107)
    np.testing.assert_array_equal(rows_of_windows(order, places), whole[places])


def test_epochs_and_seeds_have_orders_of_their_own():
    orders_found = {
        tuple(permuted(keys_of(seed, epoch), np.arange(50), 50).tolist())
        for seed in range(3)
        for epoch in range(3)
    }
    assert len(orders_found) == 9


def test_derived_keys_differ_for_every_part():
    found = {tuple(derived(KEYS, 1, k).tolist()) for k in range(1000)}
    found |= {tuple(derived(KEYS, 0).tolist()), tuple(KEYS.tolist())}
    assert len(found) == 1002
    assert len({k for keys in found for k in keys}) > 15_990
