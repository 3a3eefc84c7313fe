"""The layers of tables against `jax.grad`, and what the tape says of each example against it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from agreement import assert_agree

from mlp_jax import (
    apply,
    gauss_newton_diagonal,
    get_loss,
    gram_matrix,
    inner_products,
    loss_and_tape,
    per_example_gradients,
    second_moment,
    squared_norms,
)
from mlp_jax.backprop import (
    Beside,
    BlockDense,
    Cosines,
    Dense,
    FeatureScale,
    MeanOfMembers,
    Members,
    NTKScale,
    ParametricActivation,
    Periodic,
    PiecewiseLinear,
    Sequential,
    SharedDense,
)
from mlp_jax.errors import InputError

N, I, C = 7, 3, 2  # noqa: E741
RNG = np.random.default_rng(0)
X, Y, WEIGHTS = RNG.normal(size=(N, I)), RNG.integers(0, C, N), RNG.uniform(size=N)
EDGES = ((-2.0, -0.5, 0.1, 1.5), (-1.0, 0.0, 2.0), (-3.0, 0.5))
LOSS = get_loss("softmax_cross_entropy", label_smoothing=0.1)

PLR = Sequential(
    (
        Beside(Sequential((Periodic(4, 0.3), BlockDense(2, 5, "relu"))), 2),
        Dense(6, "tanh"),
        Dense(C),
    )
)
PBLD = Sequential(
    (
        FeatureScale(),
        Beside(Sequential((Cosines(4, 0.3), BlockDense(I, 2))), I, keep=True),
        NTKScale(),
        Dense(6, initializer="standard_normal"),
        ParametricActivation("mish"),
        Dense(C),
    )
)
TABM = Sequential(
    (
        PiecewiseLinear(EDGES),
        BlockDense(I, 4, "gelu"),
        Members(3),
        SharedDense(6, 3, "relu", "normal"),
        SharedDense(5, 3, "tanh"),
        BlockDense(3, C),
        MeanOfMembers(3, "softmax"),
    )
)
NETWORKS = {"PLR": PLR, "PBLD": PBLD, "TabM": TABM}


def member_losses(network, params, x, y):
    """Eₙ by JAX alone: the mean over the members' own cross-entropies, smoothed by hand."""
    output = apply(network, params, x, train=True)
    members = output.shape[1] // C
    log_p = jax.nn.log_softmax(output.reshape(len(x), members, C), axis=2)
    target = 0.9 * jax.nn.one_hot(y, C, dtype=x.dtype) + 0.05
    return -jnp.mean(jnp.sum(log_p * target[:, None, :], axis=2), axis=1)


@pytest.fixture(params=NETWORKS)
def case(request, x64):
    """(network, parameters moved off their start, each example's own gradient by jax.grad)."""
    network = NETWORKS[request.param]
    params, _ = jax.jit(network.init, static_argnums=1)(jax.random.key(0), I)
    rng = np.random.default_rng(1)
    params = jax.tree.map(
        lambda p: jnp.asarray(np.asarray(p) + 0.2 * rng.normal(size=p.shape)), params
    )
    x, y = jnp.asarray(X), jnp.asarray(Y)

    def one(params, x, y):
        return member_losses(network, params, x[None], y[None])[0]

    each = jax.jit(jax.vmap(jax.grad(one), (None, 0, 0)))(params, x, y)
    _, grads, tape = loss_and_tape(network, LOSS)(params, x, y, weights=jnp.asarray(WEIGHTS))
    return network, params, each, grads, tape


def weighted(each, c):
    return jax.tree.map(lambda g: jnp.tensordot(jnp.asarray(c), g, 1), each)


def as_rows(each):
    return np.concatenate([np.asarray(g).reshape(N, -1) for g in jax.tree.leaves(each)], axis=1)


def test_the_gradient_is_the_weighted_sum_of_each_examples_own(case):
    _, _, each, grads, _ = case
    assert_agree(grads, weighted(each, WEIGHTS / WEIGHTS.sum()))


def test_the_tape_forms_each_examples_gradient(case):
    _, _, each, _, tape = case
    found = [gradient for _, gradient in per_example_gradients(tape)]
    assert_agree(found, jax.tree.leaves(each))


def test_norms_and_inner_products_are_those_of_each_examples_gradient(case):
    _, _, each, _, tape = case
    rows = as_rows(each)
    assert_agree(squared_norms(tape), (rows**2).sum(axis=1))
    assert_agree(gram_matrix(tape), rows @ rows.T)
    direction = jax.tree.map(lambda g: g[3], each)
    assert_agree(inner_products(tape, direction), rows @ rows[3])


def test_the_second_moment_is_that_of_each_examples_gradient(case):
    _, _, each, _, tape = case
    squares = jax.tree.map(lambda g: g**2, each)
    assert_agree(second_moment(tape, jnp.asarray(WEIGHTS)), weighted(squares, WEIGHTS))


def test_the_curvature_of_the_members_mean_is_that_of_its_jacobian(case):
    """Σₙ cₙ JᵀHJ of softmax, H = diag(p) − ppᵀ, in inference, entry by entry of the diagonal."""
    network, params, _, _, _ = case
    x = jnp.asarray(X)
    found = gauss_newton_diagonal(network, LOSS, train=False)(params, x, jnp.asarray(Y))

    @jax.jit
    def by_jacobian(params):
        jacobian = jax.jacrev(lambda p: apply(network, p, x))(params)
        p = jax.nn.softmax(apply(network, params, x), axis=1)
        H = jax.vmap(lambda q: jnp.diag(q) - jnp.outer(q, q))(p)
        return jax.tree.map(lambda J: jnp.einsum("nc...,ncd,nd...->...", J, H, J) / N, jacobian)

    assert_agree(found, by_jacobian(params))


def test_members_predict_with_the_mean_of_their_probabilities(x64):
    params, _ = TABM.init(jax.random.key(0), I)
    x = jnp.asarray(X)
    apart = jax.nn.softmax(apply(TABM, params, x, train=True).reshape(N, 3, C), axis=2)
    assert TABM.n_predictions == 3
    assert TABM.width_out(I) == C
    together = jax.nn.softmax(apply(TABM, params, x), axis=1)
    np.testing.assert_allclose(together, apart.mean(axis=1), atol=1e-6)


def test_curvature_of_members_in_training_is_refused_with_the_reason():
    with pytest.raises(InputError, match="one output per example"):
        gauss_newton_diagonal(TABM, LOSS)(TABM.init(jax.random.key(0), I)[0], X, Y)


def test_the_weights_of_a_member_are_those_of_a_dense_layer_times_its_factors(x64):
    """W ∘ (r sᵀ), the rank-one factors of Wen 2020."""
    layer = SharedDense(4, 2, "identity", "normal")
    params, _ = layer.init(jax.random.key(0), 2 * I)
    params = params | {"s": np.asarray(params["s"]) + np.arange(8)}
    tiled = np.tile(X, (1, 2)).astype(np.float64)
    wide = jax.tree.map(lambda p: jnp.asarray(p, jnp.float64), params)
    found = layer.forward(wide, (), jnp.asarray(tiled), train=True, key=None, mask=None)[0]
    for m in range(2):
        r, s = np.asarray(wide["r"])[m * I : (m + 1) * I], np.asarray(wide["s"])[m * 4 : m * 4 + 4]
        weights = np.asarray(wide["W"]) * np.outer(r, s)
        np.testing.assert_allclose(found[:, m * 4 : m * 4 + 4], X @ weights, rtol=1e-10)


@pytest.mark.parametrize(
    ("x", "bins"),
    [(-3.0, [-1 / 1.5, 0, 0]), (0.0, [1, 5 / 6, 0]), (1.0, [1, 1, 9 / 14]), (2.2, [1, 1, 1.5])],
)
def test_a_number_fills_the_bins_before_it_and_runs_on_beyond_the_outer_edges(x, bins, x64):
    layer = PiecewiseLinear((EDGES[0],))
    row = layer.forward({}, (), jnp.asarray([[x]]), train=True, key=None, mask=None)[0]
    np.testing.assert_allclose(row[0], bins, atol=1e-12)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: PiecewiseLinear(((0.0, 0.0),)), "increasing order"),
        (lambda: Periodic(0, 1.0), "at least 1 frequency"),
        (lambda: Periodic(2, (1.0, 0.0)), "at least 1 frequency and a positive spread"),
        (lambda: Cosines(2, 0.0), "positive spread"),
        (lambda: BlockDense(0, 2), "at least 1 group"),
        (lambda: BlockDense(2, 3).width_out(5), "multiple"),
        (lambda: SharedDense(0, 2), "at least 1"),
        (lambda: SharedDense(2, 2, factors="twos"), "Unknown start"),
        (lambda: Members(0), "at least 1 member"),
        (lambda: MeanOfMembers(0, "softmax"), "at least 1 member"),
        (lambda: MeanOfMembers(2, "tanh"), "Unknown link"),
        (lambda: Beside(Dense(2), 0), "at least 1"),
        (lambda: Beside(Dense(2), 4).width_out(3), "no 4 first columns"),
    ],
)
def test_what_cannot_be_is_refused(make, said):
    with pytest.raises(InputError, match=said):
        make()
