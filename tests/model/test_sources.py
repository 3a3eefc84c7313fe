"""Items that are made ahead come out the same, and so does what goes wrong with them."""

import itertools
import threading

import numpy as np
import pytest

from mlp_jax.data.encoding import ArrayEncoding
from mlp_jax.model.sources import ahead, batches


def test_items_come_out_in_their_order():
    assert list(ahead(iter(range(100)))) == list(range(100))


def test_an_error_comes_out_after_the_items_before_it():
    def items():
        yield 1
        yield 2
        raise ValueError("third")

    stream = ahead(items())
    assert [next(stream), next(stream)] == [1, 2]
    with pytest.raises(ValueError, match="third"):
        next(stream)


def test_no_more_than_a_few_are_made_before_they_are_wanted():
    made = itertools.count()
    stream = ahead((next(made) for _ in range(1000)), depth=2)
    assert next(stream) == 0
    threading.Event().wait(0.3)
    assert next(made) <= 5


def test_the_thread_ends_when_nobody_wants_more():
    before = set(threading.enumerate())
    stream = ahead(itertools.count())
    next(stream)
    (worker,) = set(threading.enumerate()) - before
    stream.close()
    worker.join(timeout=5)
    assert not worker.is_alive()


def test_arrays_in_fortran_order_are_read_row_by_row(tmp_path):
    x = np.asfortranarray(np.arange(12.0).reshape(4, 3))
    np.savez(tmp_path / "f.npz", x=x)
    np.save(tmp_path / "f.npy", x)
    for name in ("f.npz", "f.npy"):
        (batch,) = batches(tmp_path / name, ArrayEncoding(3))
        np.testing.assert_array_equal(batch.rows, x)
