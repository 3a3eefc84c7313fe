"""K-FAC's step is the one written out in NumPy, and training with it is training."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from training_cases import labelled

from mlp_jax.backprop import (
    BatchNorm,
    Dense,
    KroneckerFactors,
    LayerNorm,
    Sequential,
    get_loss,
    kronecker_factors,
    loss_and_sampled_tape,
    mlp,
)
from mlp_jax.errors import DivergedError, InputError
from mlp_jax.training import fit
from mlp_jax.training.many.fit import fit_many
from mlp_jax.training.optim.kfac import Kfac, damped_inverses
from mlp_jax.training.optim.optimizers import Optimizer

CE = get_loss("softmax_cross_entropy")
NETWORK = Sequential((Dense(5, "tanh"), LayerNorm(), Dense(3, bias=False)))
RATE = 0.5


def problem(steps, dtype="float32", seed=0):
    """Parameters, and gradient and factors at each of some steps."""
    rng = np.random.default_rng(seed)
    params, _ = jax.tree.map(lambda v: v.astype(dtype), NETWORK.init(jax.random.key(seed), 4))
    f, found = loss_and_sampled_tape(NETWORK, CE), []
    for step in range(steps):
        x, y = jnp.asarray(rng.normal(size=(8, 4)), dtype), jnp.asarray(rng.integers(0, 3, 8))
        _, grads, tape = f(params, x, y, jax.random.key(step))
        found.append((grads, kronecker_factors(tape)))
    return params, found


def walked(kfac, params, steps):
    """The updates that K-FAC makes of the steps."""
    built, updates = kfac.build(optax.constant_schedule(RATE)), []

    @jax.jit
    def step(grads, factors, state):
        return built.update(grads, state, params, curvature_fn=lambda: factors)

    state = built.init(params)
    for grads, factors in steps:
        update, state = step(grads, factors, state)
        updates.append(jax.tree.map(np.asarray, update))
    return updates


def expected_walk(kfac, steps):
    """The same in NumPy: averages, π, inverses, bound and momentum as in the papers."""
    mean, inverses, speed, found = None, None, None, []
    for step, (grads, factors) in enumerate(steps):
        if step % kfac.factors_every == 0:
            kept = min(1 - 1 / (step // kfac.factors_every + 1), kfac.decay)
            new = [np.asarray(v) for v in jax.tree.leaves(factors)]
            mean = new if mean is None else [
                kept * old + (1 - kept) * v for old, v in zip(mean, new, strict=True)
            ]  # fmt: skip
        if step % kfac.inverses_every == 0:
            A, G, scale, shift, A2, G2 = mean
            inverses = [
                np.linalg.inv(M) for pair in ((A, G), (A2, G2)) for M in damped(*pair, kfac.damping)
            ]
            diagonals = [1 / (d + kfac.damping) for d in (scale, shift)]
        first, norm, last = (jax.tree.map(np.asarray, layer) for layer in grads)
        V = np.vstack([first["W"], first["b"][None]])
        U = inverses[0] @ V @ inverses[1]
        last_U = inverses[2] @ last["W"] @ inverses[3]
        towards = [U, norm["scale"] * diagonals[0], norm["shift"] * diagonals[1], last_U]
        along = [V, norm["scale"], norm["shift"], last["W"]]
        inner = sum(np.sum(u * v) for u, v in zip(towards, along, strict=True))
        bound = min(1, np.sqrt(kfac.norm_bound / (RATE**2 * inner)))
        speed = [bound * u for u in towards] if speed is None else [
            kfac.momentum * s + bound * u for s, u in zip(speed, towards, strict=True)
        ]  # fmt: skip
        found.append(speed)
    return found


def damped(A, G, damping):
    pi = np.sqrt((np.trace(A) / len(A)) / (np.trace(G) / len(G)))
    gamma = np.sqrt(damping)
    return A + pi * gamma * np.eye(len(A)), G + gamma / pi * np.eye(len(G))


@pytest.mark.parametrize("bound", [1e-4, 1e9], ids=["bound", "free"])
@pytest.mark.parametrize("every", [(1, 1), (2, 4)], ids=str)
def test_a_step_is_the_one_of_the_papers(every, bound, x64):
    kfac = Kfac(0.03, bound, factors_every=every[0], inverses_every=every[1])
    params, steps = problem(6, "float64")
    ours = walked(kfac, params, steps)
    for update, expected in zip(ours, expected_walk(kfac, steps), strict=True):
        first, norm, last = update
        flat = [np.vstack([first["W"], first["b"][None]]), norm["scale"], norm["shift"], last["W"]]
        for a, b in zip(flat, expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)


def test_inverses_are_those_of_a_damped_kronecker_product(x64):
    """The product of the damped factors is A ⊗ G + λ 1 and π γ 1 ⊗ G + γ/π A ⊗ 1."""
    _, steps = problem(1, "float64")
    A, G = steps[0][1][0]
    inverse = damped_inverses(KroneckerFactors(A, G), 0.04)
    A, G = np.asarray(A), np.asarray(G)
    pi = np.sqrt((np.trace(A) / len(A)) / (np.trace(G) / len(G)))
    whole = np.kron(A, G) + 0.04 * np.eye(A.shape[0] * G.shape[0])
    whole += pi * 0.2 * np.kron(np.eye(len(A)), G) + 0.2 / pi * np.kron(A, np.eye(len(G)))
    np.testing.assert_allclose(np.kron(*inverse), np.linalg.inv(whole), rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("zero", [0, 1, 2], ids=["A", "G", "both"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_factors_of_zeros_have_finite_inverses(zero, dtype):
    with jax.enable_x64(dtype == "float64"):
        pair = [jnp.eye(3, dtype=dtype), jnp.eye(2, dtype=dtype)]
        for place in (0, 1) if zero == 2 else (zero,):
            pair[place] = jnp.zeros_like(pair[place])
        inverses = damped_inverses(KroneckerFactors(*pair), 1e-3)
        assert all(np.isfinite(v).all() and v.dtype == dtype for v in inverses)


def test_without_news_factors_and_inverses_stay():
    kfac = Kfac().build(optax.constant_schedule(RATE))
    params, steps = problem(1)
    grads, factors = steps[0]
    _, state = kfac.update(grads, kfac.init(params), params, curvature_fn=lambda: factors)
    _, after = kfac.update(grads, state, params, curvature_fn=None)
    for kept, now in ((state.factors, after.factors), (state.inverses, after.inverses)):
        assert all(map(np.array_equal, jax.tree.leaves(kept), jax.tree.leaves(now)))


@pytest.mark.usefixtures("unproved")
@pytest.mark.parametrize("precision", ["float32", "float64", "bf16"])
def test_it_trains_in_every_precision(precision):
    network = mlp([8], 3, "tanh", dropout=0.1)
    fitted = fit(network, CE, "kfac", labelled(90), epochs=10, batch_size=50, precision=precision)
    losses = [record["train_loss"] for record in fitted.history]
    assert losses[-1] < 0.9 * losses[0]


@pytest.mark.usefixtures("unproved")
@pytest.mark.parametrize(
    ("loss", "targets"),
    [
        ("squared_error", lambda x: x[:, :2] @ np.array([[1.0, 2], [-1, 0.5]], np.float32)),
        ("sigmoid_cross_entropy", lambda x: (x[:, :2] > 0).astype(np.int32)),
        ("poisson", lambda x: np.floor(np.exp(x[:, :2]))),
    ],
)
def test_it_trains_with_every_loss_that_has_a_distribution(loss, targets):
    x, _ = labelled(100)
    fitted = fit(mlp([8], 2), loss, "kfac", (x, targets(x)), epochs=25, batch_size=50)
    losses = [record["train_loss"] for record in fitted.history]
    assert losses[-1] < losses[0] - 0.2 * abs(losses[0])


@pytest.mark.usefixtures("unproved")
def test_what_it_cannot_train_is_refused_with_the_reason():
    x, y = labelled(40)
    with pytest.raises(InputError, match=r"cannot train this network\. .* batch norm in training"):
        fit(Sequential((Dense(4), BatchNorm(), Dense(3))), CE, "kfac", (x, y))
    with pytest.raises(
        InputError, match=r"cannot train this network\. The loss hinge is not a negative"
    ):
        fit(mlp([4], 3), "hinge", "kfac", (x, y))
    with pytest.raises(InputError, match="cannot be combined with the optimizer kfac"):
        fit_many(mlp([4], 3), CE, "kfac", (x, y), seeds=[0, 1])


@pytest.mark.usefixtures("unproved")
def test_a_factor_that_overflows_stops_the_run_at_its_step():
    x, y = labelled(40)
    with pytest.raises(DivergedError, match="the update of the optimizer"):
        fit(mlp([], 3), CE, "kfac", (1e19 * x, y), epochs=1, batch_size=20)


@pytest.mark.usefixtures("optax_promotes")
def test_weight_decay_spares_biases():
    params, steps = problem(1)
    params = jax.tree.map(jnp.ones_like, params)
    built = Optimizer("kfac", 0.1, weight_decay=0.5).build(10)
    zero = jax.tree.map(jnp.zeros_like, params)
    curvature_fn = lambda: steps[0][1]  # noqa: E731
    update, _ = built.update(zero, built.init(params), params, curvature_fn=curvature_fn)
    np.testing.assert_allclose(update[0]["W"], -0.05, rtol=1e-6)
    assert not np.any(update[0]["b"])
