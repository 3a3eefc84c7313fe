from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from training_cases import assert_close, labelled, leaves_equal

from mlp_jax import mlp
from mlp_jax.backprop import get_loss
from mlp_jax.training import Optimizer
from mlp_jax.training.engine.batches import DeviceData, decode, epoch_order, take_batch
from mlp_jax.training.engine.epoch import predictions_and_losses, run_steps
from mlp_jax.training.engine.program import Program, initial_state, stream

SEED = np.uint32(5)
NETWORK, LOSS = mlp([6], 3, "tanh"), get_loss("softmax_cross_entropy")
SGD = optax.with_extra_args_support(optax.sgd(0.1))
ADAM = optax.with_extra_args_support(optax.adam(0.1))


def data(n, **more):
    x, y = labelled(n)
    return DeviceData(jnp.asarray(x), jnp.asarray(y), None)._replace(**more)


def run(program, state, rows, steps, first=0):
    return run_steps(program)(program, steps, state, rows, SEED, np.int32(1), np.int32(first))


@pytest.mark.parametrize(("n", "size"), [(12, 4), (13, 4), (3, 3), (1, 1)])
def test_an_epoch_visits_every_row_once_and_fills_the_last_batch(n, size):
    order = np.asarray(epoch_order(SEED, np.int32(1), n, size)).reshape(-1)
    assert len(order) == -(-n // size) * size
    assert sorted(order[:n].tolist()) == list(range(n))
    assert order.dtype == np.int32


def test_the_order_is_a_function_of_seed_and_epoch():
    def order(seed, epoch):
        return np.asarray(epoch_order(np.uint32(seed), np.int32(epoch), 50, 10)).tolist()

    assert order(1, 1) == order(1, 1)
    assert order(1, 1) != order(1, 2)
    assert order(1, 1) != order(2, 1)


def test_the_order_is_the_same_under_x64():
    before = np.asarray(epoch_order(SEED, np.int32(3), 40, 8))
    with jax.enable_x64(True):
        assert np.array_equal(before, np.asarray(epoch_order(SEED, np.int32(3), 40, 8)))


def test_the_streams_of_a_seed_never_meet():
    keys = {str(jax.random.key_data(stream(SEED, which))) for which in range(4)}
    assert len(keys) == 4


def test_padding_weighs_nothing_and_c_sums_to_one():
    program = Program(NETWORK, LOSS, SGD, 4)
    rows = data(6)
    order = epoch_order(SEED, np.int32(1), 6, 4)
    x, y, c, total, mask = take_batch(program, rows, order[1], jnp.asarray(1, jnp.int32))
    assert mask.tolist() == [True, True, False, False]
    assert c.tolist() == [0.5, 0.5, 0.0, 0.0]
    assert float(total) == 2
    last = np.asarray(order)[1, :2]
    assert np.array_equal(x[:2], np.asarray(rows.x)[last])
    assert np.array_equal(y[:2], np.asarray(rows.y)[last])


def test_row_weights_are_shared_out_within_the_batch():
    program = Program(NETWORK, LOSS, SGD, 3)
    weights = jnp.asarray([1.0, 2.0, 0.0, 4.0, 0.5, 1.0])
    first = jnp.asarray([3, 1, 2], jnp.int32)
    _, _, c, total, mask = take_batch(
        program, data(6, weights=weights), first, jnp.asarray(0, jnp.int32)
    )
    assert mask is None
    assert float(total) == 6
    assert np.asarray(c) == pytest.approx([4 / 6, 2 / 6, 0])


def test_a_batch_whose_weights_are_all_zero_changes_nothing():
    program = Program(NETWORK, LOSS, SGD, 3)
    rows = data(3, weights=jnp.zeros(3))
    before = jax.device_get(initial_state(program, SEED, 4).params)
    after, totals = run(program, initial_state(program, SEED, 4), rows, 1)
    assert bool(after.alive)
    assert leaves_equal(after.params, before)
    assert float(totals.loss) == float(totals.weight) == 0


def test_bytes_are_decoded_by_scale_and_offset():
    x = jnp.asarray([[0, 255], [16, 1]], jnp.uint8)
    rows = DeviceData(x, jnp.zeros(2), None, jnp.full((1, 1), 0.5), jnp.full((1, 1), -1.0))
    assert decode(rows, x, jnp.float32).tolist() == [[-1.0, 126.5], [7.0, -0.5]]
    plain = DeviceData(x, jnp.zeros(2), None)
    assert decode(plain, x, jnp.float32).tolist() == [[0.0, 255.0], [16.0, 1.0]]


@pytest.mark.parametrize("average", [None, 0.9])
def test_nothing_is_applied_from_the_first_step_that_is_not_finite(average):
    program = Program(
        NETWORK, LOSS, optax.with_extra_args_support(optax.sgd(0.1, momentum=0.9)), 4,
        average_decay=average,
    )  # fmt: skip
    rows = data(20)
    third = np.asarray(epoch_order(SEED, np.int32(1), 20, 4))[2, 0]
    broken = rows._replace(x=rows.x.at[third, 1].set(jnp.nan))
    after, totals = run(program, initial_state(program, SEED, 4), broken, 5)
    assert not bool(after.alive)
    assert int(after.step) == 2
    assert all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves(after.params))
    two, expected = run(program, initial_state(program, SEED, 4), rows, 2)
    for ours, theirs in zip(after, two, strict=True):
        if ours is not after.alive:
            assert_close(ours, theirs, 1e-6)
    assert float(totals.weight) == float(expected.weight) == 8
    assert float(totals.loss) == pytest.approx(float(expected.loss), rel=1e-6)


@pytest.mark.usefixtures("optax_promotes")
def test_a_program_without_guard_leaves_the_state_before_and_says_that_it_is_not_alive():
    program = Program(NETWORK, LOSS, ADAM, 4, doubt_updates=False, guarded=False)
    rows = data(20)
    broken = rows._replace(x=rows.x.at[3, 1].set(jnp.nan))
    state = initial_state(program, SEED, 4)
    before = jax.device_get(state)
    after, _ = run(program, state, broken, 5)
    assert not bool(after.alive)
    assert leaves_equal(state, before)
    well, _ = run(program, state, rows, 5)
    assert bool(well.alive)


@pytest.mark.usefixtures("optax_promotes")
def test_a_gradient_that_overflows_before_the_loss_does_is_noticed_without_a_guard():
    program = Program(NETWORK, LOSS, ADAM, 4, doubt_updates=False, guarded=False)
    state = initial_state(program, SEED, 4)
    last = state.params[-1]["W"].at[0, 0].set(3e38)
    state = state._replace(params=(*state.params[:-1], state.params[-1] | {"W": last}))
    guarded, _ = run(replace(program, guarded=True), jax.tree.map(jnp.copy, state), data(4), 1)
    after, _ = run(program, state, data(4), 1)
    assert bool(after.alive) == bool(guarded.alive)


@pytest.mark.usefixtures("optax_promotes")
@pytest.mark.parametrize("name", ["adam", "adamw", "lion", "lamb", "rmsprop", "momentum"])
def test_matrices_carried_transposed_train_to_the_same_weights(name):
    optimizer = Optimizer(name, 0.01, weight_decay=0.1 if name == "adamw" else None)
    program = Program(
        mlp([8, 70], 3, dropout=0.3),
        LOSS,
        optimizer.build(15),
        4,
        jnp.float64,
        jnp.float64,
        guarded=False,
    )
    with jax.enable_x64(True):
        rows = data(30)
        rows = rows._replace(x=rows.x.astype(jnp.float64))
        plain, totals = run(program, initial_state(program, SEED, 4), rows, 8)
        turned, others = run(
            replace(program, transposed=True), initial_state(program, SEED, 4), rows, 8
        )
        assert jax.tree.map(jnp.shape, turned) == jax.tree.map(jnp.shape, plain)
        for ours, theirs in zip(jax.tree.leaves(turned), jax.tree.leaves(plain), strict=True):
            assert_close(ours, theirs, 1e-12)
        assert float(others.loss) == pytest.approx(float(totals.loss), rel=1e-12)


def test_the_dropout_of_a_step_does_not_depend_on_how_the_epoch_is_cut():
    program = Program(mlp([8], 3, dropout=0.5), LOSS, SGD, 4)
    rows = data(12)
    whole, _ = run(program, initial_state(program, SEED, 4), rows, 3)
    part, _ = run(program, initial_state(program, SEED, 4), rows, 1)
    part, _ = run(program, part, rows, 2, first=1)
    assert leaves_equal(whole.params, part.params)


@pytest.mark.parametrize("n", [7, 4096, 4100])
def test_every_row_is_judged_whatever_their_number(n):
    program = Program(NETWORK, LOSS, SGD, 4)
    rows = data(n)
    state = initial_state(program, SEED, 4)
    found, losses = predictions_and_losses(program, False, state.params, state.layer_state, rows)
    (first, last), x = jax.device_get((state.params[0], state.params[1])), np.asarray(rows.x)
    z = np.tanh(x @ first["W"] + first["b"]) @ last["W"] + last["b"]
    powers = np.exp(z)
    assert np.asarray(found) == pytest.approx(powers / powers.sum(1, keepdims=True), abs=1e-6)
    expected = np.log(np.exp(z).sum(1)) - z[np.arange(n), np.asarray(rows.y)]
    assert np.asarray(losses) == pytest.approx(expected, abs=1e-5)
