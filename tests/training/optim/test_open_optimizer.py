"""Optimizers whose numbers are arguments: equal to Optax's, and one program for all numbers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from training_cases import labelled

from mlp_jax import mlp
from mlp_jax.training.fit import fit
from mlp_jax.training.optim.open_optimizer import (
    Hyperparameters,
    hyperparameters,
    open_optimizer,
    rate_at,
    with_numbers,
)
from mlp_jax.training.optim.optimizers import OPTIMIZERS, Optimizer
from mlp_jax.training.optim.schedules import SCHEDULES, make_schedule

pytestmark = pytest.mark.usefixtures("optax_promotes")


@pytest.mark.parametrize("warm_up", [0.0, 0.1, 0.4, 0.99])
@pytest.mark.parametrize("name", SCHEDULES)
def test_the_rate_of_every_step_is_that_of_optax(name, warm_up, x64):
    for steps in (1, 2, 3, 4, 5, 7, 12, 100):
        optimizer = Optimizer("sgd", 0.3, schedule=name, warm_up=warm_up)
        numbers = jax.tree.map(jnp.asarray, hyperparameters(optimizer, steps))
        ours = [float(rate_at(optimizer, numbers, jnp.int32(k))) for k in range(steps)]
        theirs = make_schedule(name, 0.3, steps, warm_up)
        expected = [float(theirs(jnp.asarray(k, float))) for k in range(steps)]
        np.testing.assert_allclose(ours, expected, rtol=1e-6, atol=1e-9, err_msg=f"{steps} steps")


CASES = [
    Optimizer("adamw", 2e-3, schedule="cosine", warm_up=0.2, weight_decay=0.3, clip_norm=0.7),
    Optimizer("adam", 1e-2, beta_2=0.95, max_norm=0.9, schedule="one-cycle"),
    Optimizer(
        "adamw",
        1e-2,
        schedule="coslog4",
        warm_up=0.1,
        weight_decay=0.4,
        max_norm=0.9,
        decay_schedule="flat-cosine",
        rate_factors=(("b", 0.1), ("W", 3.0)),
    ),
    *(Optimizer(name) for name in OPTIMIZERS if name not in ("kfac", "lbfgs")),
]


@pytest.mark.parametrize("optimizer", CASES, ids=str)
def test_ten_updates_are_those_of_the_closed_transformation(optimizer, x64):
    rng = np.random.default_rng(0)

    def tree(scale):
        shapes = {"W": (4, 3), "b": (3,)}
        return ({name: jnp.asarray(scale * rng.normal(size=s)) for name, s in shapes.items()},)

    ours, theirs = open_optimizer(optimizer), optimizer.build(10)
    params = [tree(1.0)] * 2
    states = [with_numbers(ours.init(params[0]), hyperparameters(optimizer, 10))]
    states.append(theirs.init(params[0]))
    for _ in range(10):
        grads = tree(2.0)
        for k, transformation in enumerate((ours, theirs)):
            updates, states[k] = jax.jit(transformation.update)(grads, states[k], params[k])
            params[k] = jax.tree.map(jnp.add, params[k], updates)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-12), *params)


def test_optimizers_that_differ_in_numbers_alone_are_one_object():
    def opened(**changed):
        return open_optimizer(Optimizer("adamw", schedule="cosine", clip_norm=1.0, **changed))

    assert opened(learning_rate=0.1) is opened(learning_rate=0.2, weight_decay=0.3)
    assert opened() is not opened(weight_decay=0.0)
    assert hyperparameters(Optimizer("lbfgs"), 10) is None


def test_the_zeros_of_a_new_state_become_the_numbers_of_a_run():
    optimizer = Optimizer("sgd", 0.25, clip_norm=3.0)
    state = open_optimizer(optimizer).init(({"b": jnp.zeros(2)},))
    assert jax.tree.leaves(state.numbers) == [0, 0, 0, 0]
    held = with_numbers(state, hyperparameters(optimizer, 8)).numbers
    assert held == Hyperparameters(0.25, 0, 8, clip_norm=3.0)


@pytest.mark.usefixtures("unproved")
def test_fits_at_other_numbers_compile_nothing_anew():
    x, y = labelled(40)
    compiled = []

    def note(event, _, **__):
        if event == "/jax/core/compile/backend_compile_duration":
            compiled.append(event)

    def train(k):
        optimizer = Optimizer(
            "adamw", 1e-3 * (k + 1), schedule="cosine", warm_up=0.1 * (k + 1),
            weight_decay=0.01 * (k + 1), clip_norm=1.0 + k, max_norm=2.0 + k,
        )  # fmt: skip
        fit(
            mlp([5], 3), "softmax_cross_entropy", optimizer, (x, y), epochs=3 + k, batch_size=8,
            validation=(x, y), average=0.9 - 0.1 * k, patience=10,
        )  # fmt: skip

    train(0)
    jax.monitoring.register_event_duration_secs_listener(note)
    try:
        train(1)
        train(2)
    finally:
        jax.monitoring.unregister_event_duration_listener(note)
    assert compiled == []
