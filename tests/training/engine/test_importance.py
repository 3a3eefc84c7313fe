"""Batches drawn by the size of the gradients: without bias, with less variance, as said before."""

from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from training_cases import (
    OnCall,
    assert_close,
    initial_params,
    labelled,
    leaves_equal,
    tanh_cross_entropy,
)

from mlp_jax import mlp
from mlp_jax.backprop import get_loss
from mlp_jax.errors import DivergedError, InputError
from mlp_jax.training import Optimizer, fit, fit_many
from mlp_jax.training import compile as calls
from mlp_jax.training.checkpoint.manager import Checkpoints, Saving
from mlp_jax.training.engine.batches import DeviceData, epoch_order, take_batch
from mlp_jax.training.engine.epoch import run_steps
from mlp_jax.training.engine.importance import MIXED, batch_from, drawn, probabilities, scores
from mlp_jax.training.engine.program import DRAWS, Program, initial_state, stream

SEED = np.uint32(5)
NETWORK, LOSS = mlp([6], 3, "tanh"), get_loss("softmax_cross_entropy")
SGD = optax.with_extra_args_support(optax.sgd(0.1))
jitted = jax.jit(batch_from)
scored = jax.jit(scores, static_argnums=0)


def pool_of(n, batch, weights):
    """A program, parameters away from the start, and the pool of all n rows."""
    x, y = labelled(n)
    dtype = jnp.float64
    program = Program(NETWORK, LOSS, SGD, batch, dtype, dtype, pool=n // batch)
    data = DeviceData(jnp.asarray(x), jnp.asarray(y), jnp.asarray(weights, dtype))
    params = jax.tree.map(lambda p: 3 * p.astype(dtype), initial_params(NETWORK, 3, 4))
    rows = jnp.arange(n, dtype=jnp.int32)
    return program, params, take_batch(program, data, rows, jnp.asarray(0, jnp.int32))


def flat_gradients(params, pool):
    """gₙ of every row of a pool, (M, P), by `jax.grad` of each."""
    one = jax.grad(lambda p, x, y: tanh_cross_entropy(p, x[None], y[None]))
    each = jax.jit(jax.vmap(one, (None, 0, 0)))(params, pool.x, pool.y)
    return np.concatenate(
        [np.asarray(g).reshape(len(pool.y), -1) for g in jax.tree.leaves(each)], 1
    )


def every_draw(pool, s, batch):
    """(j, probability, row, weight) of all that draw j of the batch may come to.

    Between the borders of the rows a draw is always the same: one u for each stretch will do.
    """
    borders = np.cumsum(np.asarray(probabilities(s, pool.c)))
    borders = np.concatenate([[0], borders / borders[-1]])
    for j in range(batch):
        inside = (borders > j / batch) & (borders < (j + 1) / batch)
        ends = np.concatenate([[j / batch], borders[inside], [(j + 1) / batch]])
        for low, high in pairwise(ends):
            u = np.full(batch, 0.5)
            u[j] = (low + high) / 2 * batch - j
            seen = jitted(pool, s, jnp.asarray(u))
            (row,) = np.flatnonzero((np.asarray(pool.x) == np.asarray(seen.x[j])).all(1))
            yield j, (high - low) * batch, row, float(seen.c[j])


def expectation_and_variance(pool, s, batch, gradients):
    """Of the batch's gradient, summed over every draw; the draws are independent."""
    mean, variance = np.zeros(gradients.shape[1]), 0.0
    for j in range(batch):
        own = [(chance, w * gradients[row]) for i, chance, row, w in every_draw(pool, s, batch)
               if i == j]  # fmt: skip
        middle = sum(chance * g for chance, g in own)
        mean += middle
        variance += sum(chance * np.sum((g - middle) ** 2) for chance, g in own)
    return mean, variance


WEIGHTS = np.array([1, 2, 0, 0.5, 1, 3, 1, 0, 1])


@pytest.mark.parametrize("weights", [np.ones(9), WEIGHTS], ids=["even", "uneven"])
def test_the_expectation_over_all_draws_is_the_gradient_of_the_pool(weights, x64):
    program, params, pool = pool_of(9, 3, weights)
    s = scored(program, params, NETWORK.without_state(), pool)
    gradients = flat_gradients(params, pool)
    mean, _ = expectation_and_variance(pool, s, 3, gradients)
    expected = (weights / weights.sum()) @ gradients
    assert np.linalg.norm(mean - expected) <= 1e-12 * np.linalg.norm(expected)


def test_the_variance_is_below_that_of_even_draws_and_of_independent_ones(x64):
    program, params, pool = pool_of(24, 4, np.ones(24))
    s = scored(program, params, NETWORK.without_state(), pool)
    gradients = flat_gradients(params, pool)
    _, variance = expectation_and_variance(pool, s, 4, gradients)
    _, even = expectation_and_variance(pool, jnp.ones_like(s), 4, gradients)
    p, squares = np.asarray(probabilities(s, pool.c)), np.sum(gradients**2, 1)
    independent = (np.sum(squares / p) / 24**2 - np.sum(gradients.mean(0) ** 2)) / 4
    assert variance < 0.8 * even
    assert variance < independent


def test_the_scores_are_the_norms_of_p_minus_y(x64):
    program, params, pool = pool_of(9, 3, np.ones(9))
    first, last = jax.device_get(params)
    z = np.tanh(np.asarray(pool.x) @ first["W"] + first["b"]) @ last["W"] + last["b"]
    p = np.exp(z) / np.exp(z).sum(1, keepdims=True)
    found = scores(program, params, NETWORK.without_state(), pool)
    assert found == pytest.approx(np.linalg.norm(p - np.eye(3)[np.asarray(pool.y)], axis=1))


def test_no_row_counts_more_than_the_even_part_allows():
    s = jnp.asarray([1e-6, 1.0, 1e6, 0.0], jnp.float32)
    c = jnp.asarray([0.25, 0.25, 0.5, 0.0], jnp.float32)
    p = np.asarray(probabilities(s, c))
    assert p.sum() == pytest.approx(1)
    assert (np.asarray(c)[:3] / p[:3]).max() <= 1 / MIXED * (1 + 1e-6)
    assert p[3] == 0


def test_scores_that_are_all_zero_leave_the_weights():
    c = jnp.asarray([0.5, 0.0, 0.25, 0.25], jnp.float32)
    assert probabilities(jnp.zeros(4), c) == pytest.approx(c)


def test_a_row_whose_score_is_not_finite_is_drawn():
    c = jnp.asarray([0.5, 0.25, 0.25, 0.0], jnp.float32)
    p = probabilities(jnp.asarray([1.0, jnp.nan, 2.0, jnp.inf]), c)
    assert p.tolist() == pytest.approx([0.1 * 0.5, 0.9 + 0.1 * 0.25, 0.1 * 0.25, 0.0])


def test_a_row_without_weight_is_never_drawn():
    rng = np.random.default_rng(0)
    weight = rng.uniform(size=1000) * (rng.uniform(size=1000) < 0.3)
    weight[[0, -1]] = 0
    p = jnp.asarray(weight / weight.sum(), jnp.float32)
    ends = [np.zeros(500), np.full(500, np.nextafter(np.float32(1), np.float32(0)))]
    found = [np.asarray(drawn(p, jnp.asarray(u, jnp.float32)))
             for u in (*ends, *rng.uniform(size=(50, 500)))]  # fmt: skip
    assert (weight[np.concatenate(found)] > 0).all()


def test_a_pool_whose_weights_are_all_zero_counts_nothing(x64):
    _, _, pool = pool_of(6, 3, np.zeros(6))
    batch = batch_from(pool, jnp.ones(6), jnp.full(3, 0.5))
    assert batch.c.tolist() == [0, 0, 0]
    assert float(batch.total) == 0


def test_every_row_is_in_as_many_pools_of_an_epoch_as_a_pool_has_batches():
    order = np.asarray(epoch_order(SEED, np.int32(1), 13, 4, 3))
    assert order.shape == (4, 12)
    counted = order.copy().reshape(4, 3, 4)
    counted[-1, :, 1:] = -1  # padding
    assert np.bincount(counted[counted >= 0]).tolist() == [3] * 13


@pytest.mark.usefixtures("unproved")
def test_a_run_is_that_of_a_plain_loop_with_short_and_weighted_pools(x64):
    x, y = labelled(23)
    weight = np.random.default_rng(1).uniform(0, 2, 23)
    weight[4] = 0
    fitted = fit(
        NETWORK, "softmax_cross_entropy", Optimizer("sgd", 0.3), (x, y), epochs=2, batch_size=5,
        seed=7, precision="float64", sample_weight=weight, importance=3,
    )  # fmt: skip
    params, step = initial_params(NETWORK, 7, 4), 0
    value = jax.jit(jax.value_and_grad(lambda p, x, y, c: c @ each_loss(p, x, y)))
    for epoch in (1, 2):
        losses, totals = [], []
        for index, rows in enumerate(np.asarray(epoch_order(np.uint32(7), epoch, 23, 5, 3))):
            real = np.tile(np.arange(5) + 5 * index < 23, 3)
            total = np.sum(weight[rows] * real)
            c = weight[rows] * real / total
            size = c * np.linalg.norm(output_gradient(params, x[rows], y[rows]), axis=1)
            p = 0.9 * size / size.sum() + 0.1 * c
            key = jax.random.fold_in(stream(np.uint32(7), DRAWS), np.int32(step))
            u = np.asarray(jax.random.uniform(key, (5,), jnp.float64))
            found = np.searchsorted(np.cumsum(p), (np.arange(5) + u) / 5, side="right")
            chosen, counts = rows[found], jnp.asarray(c[found] / p[found] / 5)
            loss, grads = value(params, jnp.asarray(x[chosen], jnp.float64), y[chosen], counts)
            params = jax.tree.map(lambda a, g: a - 0.3 * g, params, grads)
            losses, totals, step = [*losses, float(loss)], [*totals, total], step + 1
        record = fitted.history[epoch - 1]
        assert record["train_loss"] == pytest.approx(np.average(losses, weights=totals), rel=1e-10)
    assert_close(fitted.params, params, 1e-10)


def each_loss(params, x, y):
    return jax.vmap(lambda x, y: tanh_cross_entropy(params, x[None], y[None]))(x, y)


def output_gradient(params, x, y):
    """p − y, in NumPy."""
    first, last = jax.device_get(params)
    z = np.tanh(x.astype(np.float64) @ first["W"] + first["b"]) @ last["W"] + last["b"]
    return np.exp(z) / np.exp(z).sum(1, keepdims=True) - np.eye(3)[y]


def test_the_draws_do_not_depend_on_how_the_epoch_is_cut():
    program = Program(mlp([8], 3, dropout=0.5), LOSS, SGD, 4, pool=2)
    x, y = labelled(14)
    data = DeviceData(jnp.asarray(x), jnp.asarray(y), None)

    def run(state, steps, first=0):
        args = (data, SEED, np.int32(1), np.int32(first))
        return run_steps(program)(program, steps, state, *args)[0]

    whole = run(initial_state(program, SEED, 4), 4)
    part = run(run(initial_state(program, SEED, 4), 1), 3, first=1)
    assert leaves_equal(whole.params, part.params)


class Killed(BaseException):
    """What a SIGKILL leaves of a process: nothing after it runs."""


@pytest.mark.usefixtures("unproved")
def test_a_run_killed_inside_an_epoch_and_resumed_draws_the_same_rows(tmp_path, monkeypatch):
    monkeypatch.setattr(calls, "steps_a_call", lambda *_: 2)

    def train(folder=None, kill_after=None):
        ticks = []

        def tick(*now):
            ticks.append(now)
            if len(ticks) == kill_after:
                raise Killed

        opened = []

        if folder:
            opened.append(Checkpoints(folder, Saving.parse("1 steps"), lambda: None, print))
        try:
            return fit(
                mlp([6], 3, dropout=0.3), LOSS, "sgd", labelled(40), epochs=2, batch_size=8,
                importance=3, callbacks=[OnCall(tick), *opened],
            )  # fmt: skip
        finally:
            for checkpoints in opened:
                checkpoints.close()

    whole = train()
    with pytest.raises(Killed):
        train(tmp_path, kill_after=4)
    resumed = train(tmp_path)
    assert resumed.history == whole.history
    assert leaves_equal(resumed.params, whole.params)


@pytest.mark.usefixtures("unproved")
def test_members_of_many_draw_as_each_would_alone():
    options = {"epochs": 2, "batch_size": 8, "importance": 2, "precision": "float32"}
    many = fit_many(NETWORK, LOSS, "sgd", labelled(40), seeds=[1, 2], **options)
    for k, seed in enumerate((1, 2)):
        alone = fit(NETWORK, LOSS, "sgd", labelled(40), seed=seed, **options)
        assert_close(many.member(k).params, alone.params, 1e-5)


@pytest.mark.usefixtures("unproved")
def test_a_run_that_blows_up_stops_with_the_usual_message():
    with pytest.raises(DivergedError, match=r"at step \d+ .*layer 1 Dense.* is not finite"):
        fit(
            mlp([6], 1), "squared_error", Optimizer("sgd", 1e20),
            (labelled(40)[0], np.ones(40)), epochs=3, batch_size=8, importance=3,
        )  # fmt: skip


@pytest.mark.parametrize(
    ("network", "optimizer", "options", "said"),
    [
        (
            mlp([4], 3, norm="batch"),
            "sgd",
            {"importance": 3},
            "importance cannot .* batch norm",
        ),
        (
            NETWORK,
            "lbfgs",
            {"importance": 3},
            "importance cannot .* optimizer lbfgs",
        ),
        (NETWORK, "sgd", {"importance": 1}, "at least 2 batches, not 1"),
        (NETWORK, "sgd", {"importance": 2, "batch_size": 40}, "use a smaller batch"),
    ],
)
def test_what_cannot_be_drawn_is_refused(network, optimizer, options, said):
    with pytest.raises(InputError, match=said):
        fit(network, LOSS, optimizer, labelled(40), **options)
