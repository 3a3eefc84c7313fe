import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from mlp_jax.errors import InputError, MlpJaxError, UnknownNameError
from mlp_jax.training.optim.optimizers import OPTIMIZERS, Optimizer, is_matrix

RATE = 0.01


def some_params(seed=0):
    rng = np.random.default_rng(seed)
    shapes = {"W": (3, 2), "b": (2,), "scale": (2,)}
    return {name: jnp.asarray(rng.standard_normal(s), jnp.float32) for name, s in shapes.items()}


def three_updates(transformation):
    """What three gradients in a row become, and where the parameters then are."""
    params, found = some_params(), []
    state = transformation.init(params)
    for seed in (1, 2, 3):
        updates, state = transformation.update(some_params(seed), state, params)
        params = optax.apply_updates(params, updates)
        found.append(updates)
    return found, params


@pytest.mark.usefixtures("optax_promotes")
def test_beta_2_is_how_long_adam_remembers_squares():
    ours = three_updates(Optimizer("adam", RATE, beta_2=0.95).build(10))
    theirs = three_updates(optax.adam(RATE, b2=0.95))
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        assert np.asarray(a) == pytest.approx(np.asarray(b), rel=1e-5, abs=1e-8)


@pytest.mark.parametrize(("name", "beta_2"), [("sgd", 0.95), ("adam", 1.0), ("adamw", -0.1)])
def test_a_beta_2_that_cannot_be_is_refused(name, beta_2):
    with pytest.raises(InputError, match="beta_2 needs adam or adamw"):
        Optimizer(name, beta_2=beta_2)


@pytest.mark.usefixtures("optax_promotes")
@pytest.mark.parametrize(
    ("name", "optax_has_it"),
    [
        ("sgd", optax.sgd(RATE)),
        ("momentum", optax.sgd(RATE, momentum=0.9)),
        ("adam", optax.adam(RATE)),
        ("adamw", optax.adamw(RATE, weight_decay=0.01, mask=is_matrix)),
        ("rmsprop", optax.rmsprop(RATE, decay=0.9)),
        ("adagrad", optax.adagrad(RATE)),
        ("lion", optax.lion(RATE, weight_decay=0.0)),
        ("lamb", optax.lamb(RATE)),
        ("muon", optax.contrib.muon(RATE)),
    ],
)
def test_an_optimizer_by_name_is_the_one_that_optax_has(name, optax_has_it):
    ours, theirs = (three_updates(t) for t in (Optimizer(name, RATE).build(10), optax_has_it))
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        assert np.asarray(a) == pytest.approx(np.asarray(b), rel=1e-5, abs=1e-8)


@pytest.mark.usefixtures("optax_promotes")
@pytest.mark.parametrize(
    "name", [name for name in OPTIMIZERS if name not in ("lbfgs", "lamb", "kfac")]
)
def test_weight_decay_is_decoupled_and_spares_biases_and_norms(name):
    params, zero = some_params(), jax.tree.map(jnp.zeros_like, some_params())
    decayed = Optimizer(name, RATE, weight_decay=0.5).build(10)
    updates, _ = decayed.update(zero, decayed.init(params), params)
    assert np.asarray(updates["W"]) == pytest.approx(-RATE * 0.5 * np.asarray(params["W"]))
    assert not np.asarray(updates["b"]).any()
    assert not np.asarray(updates["scale"]).any()


@pytest.mark.parametrize("size", [0.1, 100.0])
def test_the_gradient_is_clipped_by_its_norm_over_all_parameters(size):
    grads = jax.tree.map(lambda g: g * size, some_params(1))
    clipped = Optimizer("sgd", 1.0, clip_norm=2.0).build(10)
    updates, _ = clipped.update(grads, clipped.init(some_params()), some_params())
    before = np.sqrt(sum(float((g**2).sum()) for g in jax.tree.leaves(grads)))
    after = np.sqrt(sum(float((g**2).sum()) for g in jax.tree.leaves(updates)))
    assert after == pytest.approx(min(before, 2.0), rel=1e-5)
    assert np.asarray(updates["b"]) == pytest.approx(
        -np.asarray(grads["b"]) * min(1, 2.0 / before), rel=1e-5
    )


def test_the_schedule_runs_over_the_steps_of_the_run():
    linear = Optimizer("sgd", 1.0, schedule="linear").build(4)
    params, ones = some_params(), jax.tree.map(jnp.ones_like, some_params())
    state, rates = linear.init(params), []
    for _ in range(5):
        updates, state = linear.update(ones, state, params)
        rates.append(-float(updates["b"][0]))
    assert rates == pytest.approx([1.0, 0.75, 0.5, 0.25, 0.0])


def test_usual_learning_rates_and_decays():
    assert Optimizer("adam").peak == 1e-3
    assert Optimizer("sgd").peak == 0.1
    assert Optimizer("sgd", 0.3).peak == 0.3
    assert [Optimizer(name).decay for name in ("adam", "adamw", "sgd")] == [0.0, 0.01, 0.0]
    assert Optimizer("adamw", weight_decay=0.0).decay == 0.0
    assert [name for name in OPTIMIZERS if Optimizer(name).full_batch] == ["lbfgs"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"name": "adm"}, "Unknown optimizer 'adm'. Did you mean 'adam'?"),
        ({"schedule": "cosin"}, "Unknown schedule 'cosin'. Did you mean 'cosine'?"),
        ({"learning_rate": 0.0}, "The learning rate must be positive, not 0.0."),
        ({"learning_rate": float("inf")}, "The learning rate must be positive, not inf."),
        ({"learning_rate": float("nan")}, "The learning rate must be positive, not nan."),
        ({"clip_norm": -1.0}, "The gradient clip must be positive, not -1.0."),
        ({"weight_decay": -0.1}, "The weight decay must be at least 0, not -0.1."),
        ({"weight_decay": float("nan")}, "The weight decay must be at least 0, not nan."),
        ({"warm_up": 1.0}, "The warm-up must be a fraction of the run in [0, 1), not 1.0."),
    ],
)
def test_an_option_that_cannot_be_is_refused(options, words):
    with pytest.raises(InputError) as caught:
        Optimizer(**options)
    assert str(caught.value).startswith(words)
    assert isinstance(caught.value, UnknownNameError) == words.startswith("Unknown")


@pytest.mark.parametrize(
    "options",
    [
        {"learning_rate": 0.1}, {"schedule": "cosine"}, {"warm_up": 0.1}, {"clip_norm": 1.0},
        {"weight_decay": 0.1},
    ],
)  # fmt: skip
def test_lbfgs_refuses_what_it_would_not_follow(options):
    with pytest.raises(InputError, match="lbfgs finds its step sizes"):
        Optimizer("lbfgs", **options).build(10)


def test_rate_factors_scale_the_updates_of_the_named_parameters(x64):
    params = {"W": jnp.ones((2, 2)), "b": jnp.ones(2), "s": jnp.ones(2)}
    grads = jax.tree.map(lambda p: 2.0 * p, params)
    optimizer = Optimizer("sgd", 0.5, rate_factors=(("b", 0.1), ("s", 6.0))).build(3)
    updates, _ = optimizer.update(grads, optimizer.init(params), params)
    found = {name: np.unique(value).tolist() for name, value in updates.items()}
    assert found == {"W": [-1.0], "b": [pytest.approx(-0.1)], "s": [-6.0]}


def test_a_falling_decay_is_whole_at_first_and_nothing_at_last(x64):
    params, steps = {"W": jnp.ones((2, 2)), "b": jnp.ones(2)}, 20
    grads = jax.tree.map(jnp.zeros_like, params)
    kind = Optimizer("sgd", 1.0, weight_decay=0.25, decay_schedule="flat-cosine")
    optimizer, decays = kind.build(steps), []
    state = optimizer.init(params)
    for _ in range(steps):
        updates, state = optimizer.update(grads, state, params)
        decays.append(-float(updates["W"][0, 0]))
        assert not np.any(updates["b"])
    late = [2 * (k + 0.5) / steps - 1 for k in range(10, steps)]
    expected = [0.25] * 10 + [0.125 * (1 + np.cos(np.pi * t)) for t in late]
    np.testing.assert_allclose(decays, expected, rtol=1e-9)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"decay_schedule": "cosine"}, "decay schedule"),
        ({"rate_factors": (("b", -1.0),)}, "rate factor of b must be at least 0"),
        ({"name": "lbfgs", "rate_factors": (("b", 2.0),)}, "not for lbfgs"),
        ({"name": "muon", "decay_schedule": "flat-cosine"}, "not for muon"),
    ],
)
def test_factors_and_decay_schedules_that_cannot_be_are_refused(options, words):
    with pytest.raises(MlpJaxError, match=words):
        Optimizer(**options)
