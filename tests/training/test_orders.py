"""The orders of the epochs, ready or not, are those of `epoch_order`."""

import numpy as np

from mlp_jax.training.epoch import epoch_order
from mlp_jax.training.orders import Orders

SEED = np.uint32(3)


def test_an_order_is_the_same_whether_it_was_prepared_or_not():
    orders = Orders(SEED, 50, 8)
    orders.prepare(2)
    for epoch in (2, 1, 2):
        expected = epoch_order(SEED, np.int32(epoch), 50, 8)
        assert np.array_equal(orders.of(epoch), expected)


def test_only_the_last_order_that_was_prepared_is_kept():
    orders = Orders(SEED, 50, 8)
    for epoch in (1, 2, 3):
        orders.prepare(epoch)
    assert list(orders.ready) == [3]
