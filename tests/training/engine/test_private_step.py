"""The private step against NumPy in float64, plain training, and the statistics of its draws."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from training_cases import assert_close, labelled, leaves_equal

from mlp_jax import loss_and_tape, mlp
from mlp_jax.backprop import get_loss
from mlp_jax.backprop.network import Sequential
from mlp_jax.backprop.records import transposed
from mlp_jax.training.engine.batches import DeviceData
from mlp_jax.training.engine.epoch import run_steps
from mlp_jax.training.engine.private_step import (
    SLACK,
    clipped_sum,
    draw_secret,
    normal_like,
    poisson_batch,
    private_gradient,
)
from mlp_jax.training.engine.program import DPStepSpec, Program, initial_state
from mlp_jax.training.private.config import last_draw

NETWORK, LOSS = mlp([6, 5], 3, "tanh"), get_loss("softmax_cross_entropy")
SGD = optax.with_extra_args_support(optax.sgd(0.5))
SEED = np.uint32(3)
N, B = 60, 20


def spec(**changed):
    return replace(DPStepSpec(clip=0.7, noise=0.0, last=last_draw(B, N), capacity=40), **changed)


def program(private, dtype=jnp.float64, network=NETWORK, **more):
    more = {"doubt_updates": False, "guarded": False} | more
    return Program(network, LOSS, SGD, B, dtype, dtype, private=private, **more)


def data(dtype=np.float64, secret=11):
    x, y = labelled(N)
    keys = jnp.asarray(draw_secret(secret))
    return DeviceData(jnp.asarray(x.astype(dtype)), jnp.asarray(y), None, secret=keys)


def keys_of(rows, step):
    """What a step draws from: of the batch, the dropout, and four of the noise."""
    drawn = jax.random.wrap_key_data(rows.secret, impl="threefry2x32")
    return [jax.random.fold_in(key, np.int32(step)) for key in drawn]


@jax.jit
def formed(params, x, y):
    """Every example's gradient by JAX itself, a tree of (N, …)."""

    def one(candidate, x, y):
        output = NETWORK.forward(
            candidate, NETWORK.without_state(), x[None], train=True, key=None, mask=None
        )[0]
        return LOSS.value(output, y[None])[0]

    return jax.vmap(jax.grad(one), (None, 0, 0))(params, x, y)


def each_gradient(params, x, y):
    """`formed` as one NumPy array (N, P)."""
    leaves = jax.tree.leaves(formed(params, x, y))
    return np.hstack([np.asarray(g).reshape(len(x), -1) for g in leaves])


def flat(tree):
    return np.concatenate([np.asarray(leaf, np.float64).ravel() for leaf in jax.tree.leaves(tree)])


def tape_of(x, y, seed=0):
    params, _ = NETWORK.init(jax.random.key(seed), x.shape[1])
    params = jax.tree.map(lambda leaf: leaf.astype(x.dtype), params)
    return params, loss_and_tape(NETWORK, LOSS)(params, jnp.asarray(x), jnp.asarray(y))[2]


@pytest.mark.usefixtures("x64")
def test_the_sum_is_that_of_gradients_each_clipped_by_itself():
    x, y = labelled(30)
    x = x.astype(np.float64)
    params, tape = tape_of(x, y)
    mask = np.arange(30) % 4 != 1
    gradients = each_gradient(params, jnp.asarray(x), jnp.asarray(y))
    norms = np.sqrt((gradients**2).sum(axis=1))
    clip = float(np.median(norms))
    expected = np.zeros(gradients.shape[1])
    for gradient, norm, counts in zip(gradients, norms, mask, strict=True):
        if counts:
            expected += gradient * min(1.0, clip * (1 - SLACK) / norm)
    ours = clipped_sum(tape, jnp.asarray(mask), clip)
    assert flat(ours) == pytest.approx(expected, rel=1e-12, abs=1e-14)
    turned = clipped_sum(tape, jnp.asarray(mask), clip, as_transposed=True)
    assert flat(transposed(turned)) == pytest.approx(flat(ours), rel=1e-12, abs=1e-14)


@pytest.mark.parametrize("moved", [1.0, 1e4, 1e30, np.inf, np.nan], ids=str)
def test_one_row_more_moves_the_sum_by_no_more_than_the_clip(moved):
    x, y = labelled(24)
    x[5] *= moved
    _, tape = tape_of(x, y)
    everyone = jnp.ones(24, bool)
    others = everyone.at[5].set(False)
    with_it, without = (flat(clipped_sum(tape, mask, 0.1)) for mask in (everyone, others))
    assert np.isfinite(with_it).all()
    distance = np.linalg.norm(with_it - without)
    assert distance <= 0.1
    assert (distance == 0) == (not moved < 1e30)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("as_transposed", [False, True])
def test_without_noise_and_bound_it_is_plain_training_on_the_same_batches(as_transposed):
    private, rows = spec(clip=1e9), data()
    ours = program(private, transposed=as_transposed)
    state = initial_state(ours, SEED, 4)
    params, optimizer = state.params, optax.sgd(0.5)
    kept = optimizer.init(params)
    for step in range(5):
        drawn = np.asarray(jax.random.bits(keys_of(rows, step)[0], (N,), jnp.uint32))
        taken = drawn < round(private.sampling * 2**32)
        assert 5 < taken.sum() < 40
        gradients = each_gradient(params, rows.x, rows.y)[taken]
        mean, at = gradients.sum(axis=0) / B, 0
        leaves, structure = jax.tree.flatten(params)
        grads = []
        for leaf in leaves:
            grads.append(jnp.asarray(mean[at : at + leaf.size].reshape(leaf.shape)))
            at += leaf.size
        updates, kept = optimizer.update(jax.tree.unflatten(structure, grads), kept)
        params = optax.apply_updates(params, updates)
    after, totals = run_steps(ours)(ours, 5, state, rows, SEED, np.int32(1), np.int32(0))
    assert_close(after.params, params, 1e-12)
    assert int(after.step) == 5
    assert bool(after.alive)
    assert float(totals.loss) == float(totals.weight) == 0


def test_a_row_is_in_a_batch_with_its_probability_and_apart_from_the_others():
    ours, rows, steps = program(spec(capacity=N), jnp.float32), data(np.float32), 4000

    def one(step):
        drawn = jax.random.wrap_key_data(rows.secret, impl="threefry2x32")[0]
        return jax.random.bits(jax.random.fold_in(drawn, step), (N,), jnp.uint32)

    bits = np.asarray(jax.jit(jax.vmap(one))(jnp.arange(steps, dtype=jnp.int32)))
    taken = bits <= ours.private.last
    q = B / N
    error = np.sqrt(q * (1 - q) / steps)
    assert np.abs(taken.mean(axis=0) - q).max() < 4.5 * error  # over 60 rows
    of_rows = np.corrcoef(taken.T)[np.triu_indices(N, 1)]
    assert np.abs(of_rows).max() < 5 / np.sqrt(steps)
    of_steps = np.corrcoef(taken[:60])[np.triu_indices(60, 1)]
    assert np.abs(of_steps).max() < 5 / np.sqrt(N)
    sizes = taken.sum(axis=1)
    assert sizes.var() == pytest.approx(N * q * (1 - q), rel=0.1)
    for step in (0, 1, 17):
        x, y, mask = poisson_batch(ours, ours.private, rows, keys_of(rows, step)[0])
        assert np.array_equal(np.asarray(x)[np.asarray(mask)], np.asarray(rows.x)[taken[step]])
        assert np.array_equal(np.asarray(y)[np.asarray(mask)], np.asarray(rows.y)[taken[step]])


def test_a_batch_that_overflows_keeps_the_first_rows_that_it_has_room_for():
    small, rows = program(spec(capacity=7), jnp.float32), data(np.float32)
    whole = poisson_batch(small, spec(capacity=N), rows, keys_of(rows, 0)[0])
    cut = poisson_batch(small, small.private, rows, keys_of(rows, 0)[0])
    assert int(whole.mask.sum()) > 7
    assert cut.mask.tolist() == [True] * 7
    assert np.array_equal(cut.x, whole.x[:7])


def test_every_row_can_be_in_every_batch():
    every = program(spec(last=last_draw(N, N), capacity=N + 1), jnp.float32)
    assert every.private.sampling == 1
    mask = poisson_batch(every, every.private, data(np.float32), jax.random.key(0)).mask
    assert mask.tolist() == [True] * N + [False]


def test_the_noise_is_normal_and_independent():
    tree = {"W": jnp.zeros((200, 300)), "b": jnp.zeros(300)}
    keys = jax.random.wrap_key_data(jnp.asarray(draw_secret(5)), impl="threefry2x32")
    noise = normal_like(tree, keys[2:])
    assert jax.tree.map(jnp.shape, noise) == jax.tree.map(jnp.shape, tree)
    z = flat(noise)
    n = len(z)
    assert abs(z.mean()) < 4.5 / np.sqrt(n)
    assert abs((z**2).sum() - n) < 4.5 * np.sqrt(2 * n)  # χ² with n degrees of freedom
    assert abs((z**4).mean() - 3) < 4.5 * np.sqrt(96 / n)
    from scipy.stats import kstest

    assert kstest(z, "norm").pvalue > 1e-3
    others = jax.random.wrap_key_data(jnp.asarray(draw_secret(6)), impl="threefry2x32")
    other = flat(normal_like(tree, others[2:]))
    for pair in ((z, other), (z[:-1], z[1:]), (z[: n // 2], z[n - n // 2 :])):
        assert abs(np.corrcoef(*pair)[0, 1]) < 4.5 / np.sqrt(n // 2)


@pytest.mark.usefixtures("x64")
def test_the_noise_is_sigma_times_the_clip_on_the_sum_and_shared_by_the_expected_batch():
    programs, rows = (program(spec()), program(spec(noise=3.0))), data()
    quiet = programs[0]
    _, _, layer_state, *_ = state = initial_state(quiet, SEED, 4)
    batch = poisson_batch(quiet, quiet.private, rows, keys_of(rows, 0)[0])

    gradient = jax.jit(private_gradient, static_argnums=(0, 1))

    def noises(step):
        keys = jnp.stack(keys_of(rows, step)[1:])
        both = [gradient(p, p.private, state.params, layer_state, batch, keys) for p in programs]
        return np.subtract(*map(flat, both))

    drawn = np.concatenate([noises(step) for step in range(60)])
    assert drawn.std() * B == pytest.approx(3.0 * 0.7, rel=4.5 / np.sqrt(2 * len(drawn)))


def test_the_draws_are_of_the_secret_and_the_step_alone():
    ours = program(spec(noise=1.0), jnp.float32, mlp([8], 3, dropout=0.5))

    begun = initial_state(ours, SEED, 4)

    def after(rows, seed, length=3):
        call, state = run_steps(ours), begun
        for first in range(0, 3, length):
            state, _ = call(ours, length, state, rows, seed, np.int32(1), np.int32(first))
        return state.params

    usual = after(data(np.float32), SEED)
    assert leaves_equal(usual, after(data(np.float32), np.uint32(9)))
    assert leaves_equal(usual, after(data(np.float32), SEED, length=1))
    for place in range(6):
        rows = data(np.float32)
        other = rows._replace(secret=rows.secret.at[place].add(np.uint32(1)))
        assert not leaves_equal(usual, after(other, SEED)), place


def test_each_secret_is_new():
    assert draw_secret().shape == (6, 2)
    assert draw_secret().dtype == np.uint32
    assert len({draw_secret().tobytes() for _ in range(20)}) == 20


def test_a_network_without_hidden_layers_is_clipped_too():
    lone = Sequential(NETWORK.layers[-1:])
    ours = program(spec(noise=1.0), jnp.float32, lone)
    state = initial_state(ours, SEED, 4)
    after, _ = run_steps(ours)(ours, 2, state, data(np.float32), SEED, np.int32(1), np.int32(0))
    assert bool(after.alive)
