"""The order of an epoch: a permutation of all rows, as random as NumPy's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mlp_jax.training.engine.shuffle import permuted


def rows(seed, n, places=None):
    places = np.arange(n, dtype=np.int32) if places is None else places
    order = jax.jit(permuted, static_argnums=2)
    return np.asarray(order(jax.random.key(seed), jnp.asarray(places), n))


def many(n, count):
    """(count, n): as many permutations of n rows, one a key."""
    keys = jax.vmap(jax.random.key)(jnp.arange(count, dtype=jnp.uint32))
    places = jnp.arange(n, dtype=jnp.int32)
    return np.asarray(jax.jit(jax.vmap(lambda key: permuted(key, places, n)))(keys))


def chi_square(counts, expected):
    """How many standard deviations χ² lies above its mean (its variance is twice its mean)."""
    freedom = counts.size - 1
    return (np.sum((counts - expected) ** 2) / expected - freedom) / np.sqrt(2 * freedom)


@pytest.mark.parametrize("n", [*range(1, 40), 255, 256, 257, 1000, 60_000, 65_537])
def test_every_row_stands_at_one_place(n):
    found = rows(7, n)
    assert found.dtype == np.int32
    assert np.array_equal(np.sort(found), np.arange(n))


def test_any_places_are_those_of_the_whole():
    whole = rows(3, 10_007)
    places = np.asarray([10_006, 0, 17, 5000], np.int32)
    assert np.array_equal(rows(3, 10_007, places), whole[places])


def test_places_far_beyond_what_a_float_can_count_are_told_apart():
    n, places = 2**31 - 1, np.asarray([0, 1, 2**24 + 1, 2**24 + 2, 2**31 - 2], np.int32)
    found = rows(1, n, places)
    assert len(set(found.tolist())) == len(places)
    assert found.min() >= 0


@pytest.mark.parametrize("n", [2, 3, 4, 5, 6])
def test_all_permutations_of_a_few_rows_are_equally_likely(n):
    possible = {2: 2, 3: 6, 4: 24, 5: 120, 6: 720}[n]
    drawn = many(n, 100 * possible)
    found, counts = np.unique(drawn, axis=0, return_counts=True)
    assert len(found) == possible
    assert abs(chi_square(counts, 100)) < 5


def test_every_row_is_equally_likely_at_every_place():
    drawn = many(50, 20_000)
    counts = np.stack([np.bincount(column, minlength=50) for column in drawn.T])
    freedom = 49 * 49
    score = (np.sum((counts - 400.0) ** 2) / 400 - freedom) / np.sqrt(2 * freedom)
    assert abs(score) < 5


def test_neighbours_come_from_anywhere():
    n = 60_000
    steps = np.diff(rows(11, n).astype(np.int64)) % n
    counts = np.histogram(steps, bins=100, range=(0, n))[0]
    assert abs(chi_square(counts, (n - 1) / 100)) < 5


def test_batches_hold_what_those_of_a_numpy_shuffle_hold():
    n, size = 20_000, 100
    groups = np.arange(n) // 2000
    spreads = []
    for order in (rows(5, n), np.random.default_rng(5).permutation(n)):
        batches = groups[order].reshape(-1, size)
        counts = np.stack([np.bincount(batch, minlength=10) for batch in batches])
        spreads.append(counts.var())
    ours, numpys = spreads
    hypergeometric = size * 0.1 * 0.9 * (n - size) / (n - 1)
    assert ours == pytest.approx(hypergeometric, rel=0.1)
    assert numpys == pytest.approx(hypergeometric, rel=0.1)


def test_two_keys_have_little_in_common():
    same = np.mean(rows(1, 60_000) == rows(2, 60_000))
    assert same < 10 / 60_000


def test_a_permutation_is_not_its_own_inverse_and_has_as_many_fixed_points_as_chance():
    drawn = many(100, 5000)
    fixed = np.sum(drawn == np.arange(100), axis=1)
    assert fixed.mean() == pytest.approx(1, abs=5 / np.sqrt(5000))
    assert fixed.var() == pytest.approx(1, abs=0.15)
