"""The Kronecker factors are what JAX's Jacobians and Hessians give, block by block."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from agreement import assert_agree

from mlp_jax.backprop import (
    BatchNorm,
    Categories,
    Dense,
    Dropout,
    LayerNorm,
    Residual,
    Sequential,
    Tape,
    apply,
    get_loss,
    loss_and_tape,
    mlp,
    second_moment,
    value_and_grad,
)
from mlp_jax.backprop.curvature_tape import expected_tape, loss_and_sampled_tape
from mlp_jax.backprop.kronecker import KroneckerFactors, kronecker_factors, outer_moment
from mlp_jax.errors import InputError

N, I, C = 6, 4, 3  # noqa: E741
CE, DRAW = get_loss("softmax_cross_entropy"), jax.random.key(5)
NETWORKS = {
    "dense": mlp([5], C, "tanh"),
    "no bias": Sequential((Dense(3, "silu", bias=False), Dense(C, bias=False))),
    "residual": Sequential((Residual(Sequential((Dense(I, "gelu"),))), Dense(C))),
}
LOSSES = [
    get_loss("softmax_cross_entropy", label_smoothing=0.2),
    get_loss("sigmoid_cross_entropy"),
    get_loss("squared_error"),
    get_loss("poisson"),
]
WEIGHTS = np.array([1.0, 0, 2, 0.5, 0, 3])


def problem(network, n=N, dtype="float64", seed=0):
    rng = np.random.default_rng(seed)
    shapes, _ = jax.eval_shape(lambda key: network.init(key, I), DRAW)
    params = jax.tree.map(lambda s: jnp.asarray(rng.normal(0, 0.7, s.shape), dtype), shapes)
    x = jnp.asarray(rng.normal(size=(n, I)), dtype)
    return params, x, jnp.asarray(rng.integers(0, C, n))


def with_bias_row(layer):
    """The parameters or Jacobian of a layer (..., I + 1, J), the bias as the last row."""
    rows = [layer["W"]] + ([layer["b"][..., None, :]] if "b" in layer else [])
    return np.concatenate([np.asarray(v) for v in rows], axis=-2)


def blocks(network, loss, params, x):
    """(N, I', J, I', J) of each dense layer: the exact Gauss-Newton block of every example."""

    def output(params, row):
        return apply(network, params, row[None])[0]

    def hessian(s):
        y = jnp.zeros(1, int) if loss.name.startswith("softmax") else jnp.ones((1, C))
        return jax.hessian(lambda s: loss.value(s[None], y)[0])(s)

    outputs = jax.jit(jax.vmap(output, (None, 0)))(params, x)
    H = np.asarray(jax.jit(jax.vmap(hessian))(outputs))
    jacobian = jax.jit(jax.vmap(jax.jacrev(output), (None, 0)))(params, x)
    found = []
    for layer in jax.tree.leaves(jacobian, is_leaf=lambda node: isinstance(node, dict)):
        J = with_bias_row(layer)
        found.append(np.einsum("ncij,ncd,ndkl->nijkl", J, H, J))
    return found


def factors_of(tree):
    return jax.tree.leaves(tree, is_leaf=lambda node: isinstance(node, KroneckerFactors))


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("loss", LOSSES, ids=str)
def test_of_one_example_the_expected_factors_are_the_exact_block(name, loss, x64):
    network = NETWORKS[name]
    params, x, _ = problem(network, n=1)
    factors = factors_of(kronecker_factors(expected_tape(network, loss, params, x)))
    exact = blocks(network, loss, params, x)
    for (A, G), block in zip(factors, exact, strict=True):
        assert_agree(np.einsum("ik,jl->ijkl", A, G), block[0])


@pytest.mark.parametrize("c", [None, WEIGHTS], ids=["plain", "weighted"])
@pytest.mark.parametrize("loss", LOSSES[::2], ids=str)
def test_the_expected_factors_are_means_of_the_exact_ones(loss, c, x64):
    """G of an example is its block at the bias twice, A what is left over the trace of G."""
    network = NETWORKS["dense"]
    params, x, _ = problem(network)
    p = np.full(N, 1 / N) if c is None else c / c.sum()
    columns = C - 1 if loss.name == "softmax_cross_entropy" else C
    given = None if c is None else jnp.repeat(jnp.asarray(c), columns)
    factors = kronecker_factors(expected_tape(network, loss, params, x), given)
    for (A, G), block in zip(factors, blocks(network, loss, params, x), strict=True):
        each = block[:, -1, :, -1, :]
        assert_agree(G, np.einsum("n,njl->jl", p, each))
        size = np.trace(each, axis1=1, axis2=2)
        assert_agree(A, np.einsum("n,nijkj->ik", p / size, block))


def test_the_expected_rows_have_the_diagonal_of_the_gauss_newton_matrix(x64):
    network = NETWORKS["residual"]
    params, x, _ = problem(network)
    rows = jnp.full(N * (C - 1), 1 / (N * (C - 1)))
    found = second_moment(expected_tape(network, CE, params, x), rows)
    exact = [np.einsum("nijij->ij", block) / N for block in blocks(network, CE, params, x)]
    layers = jax.tree.leaves(found, is_leaf=lambda node: isinstance(node, dict))
    for layer, diagonal in zip(layers, exact, strict=True):
        assert_agree(with_bias_row(layer), diagonal)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("c", [None, WEIGHTS], ids=["plain", "weighted"])
def test_the_sampled_tape_is_the_tape_of_the_targets_drawn(c, dtype):
    with jax.enable_x64(dtype == "float64"):
        network = Sequential((Dense(5, "tanh"), Dropout(0.4), Dense(C)))
        params, x, y = problem(network, dtype=dtype)
        given = {"key": jax.random.key(2), "weights": None if c is None else jnp.asarray(c, dtype)}
        f = loss_and_sampled_tape(network, CE)
        value, grads, tape = f(params, x, y, DRAW, **given)
        drawn = jnp.argmin(tape.records[2]["W"].delta, axis=1)
        expected = loss_and_tape(network, CE)(params, x, drawn, **given)[2]
        assert_agree(tape.records, expected.records, dtype)
        theirs = value_and_grad(network, CE)(params, x, y, **given)
        assert_agree((value, grads), theirs, dtype)
        again = f(params, x, y, DRAW, **given)[2]
        assert all(map(np.array_equal, jax.tree.leaves(again), jax.tree.leaves(tape)))
        other = f(params, x, y, jax.random.key(6), **given)[2]
        assert not np.array_equal(other.records[0]["W"].delta, tape.records[0]["W"].delta)


def test_the_factors_of_a_tape_are_moments_of_inputs_and_of_delta(x64):
    network = NETWORKS["dense"]
    params, x, y = problem(network)
    tape = loss_and_tape(network, CE)(params, x, y)[2]
    (A, G), _ = kronecker_factors(tape, jnp.asarray(WEIGHTS))
    wide = np.hstack([np.asarray(x), np.ones((N, 1))])
    p = WEIGHTS / WEIGHTS.sum()
    assert_agree(A, sum(p[n] * np.outer(wide[n], wide[n]) for n in range(N)))
    delta = np.asarray(tape.records[0]["b"].g)
    assert_agree(G, sum(p[n] * np.outer(delta[n], delta[n]) for n in range(N)))


def test_drawn_factors_tend_to_the_expected_ones(x64):
    network = NETWORKS["dense"]
    params, x, y = problem(network)
    f = loss_and_sampled_tape(network, CE)
    many = jax.jit(jax.vmap(lambda key: kronecker_factors(f(params, x, y, key)[2])))
    drawn = jax.tree.map(lambda v: v.mean(axis=0), many(jax.random.split(DRAW, 4000)))
    exact = kronecker_factors(expected_tape(network, CE, params, x))
    for ours, theirs in zip(drawn, exact, strict=True):
        assert_agree(ours.A, theirs.A)
        assert np.linalg.norm(ours.G - theirs.G) < 0.05 * np.linalg.norm(theirs.G)


def test_what_has_no_weight_matrix_has_the_diagonal_in_its_place(x64):
    network = Sequential((Categories(2, (3, 4), (2, 3)), LayerNorm(), Dense(C)))
    params, x, y = problem(network)
    codes = np.random.default_rng(0).integers(0, 4, (N, 2)).astype(float)
    x = jnp.hstack([x[:, :2], jnp.asarray(codes)])
    tape = loss_and_tape(network, CE)(params, x, y)[2]
    for c in (None, jnp.asarray(WEIGHTS)):
        embeddings, norm, dense = kronecker_factors(tape, c)
        p = jnp.full(N, 1 / N) if c is None else c / c.sum()
        assert_agree((embeddings, norm), second_moment(tape, p)[:2])
        assert isinstance(dense, KroneckerFactors)
    dropout = mlp([2], C, dropout=0.1)
    tape = loss_and_tape(dropout, CE)(*problem(dropout), key=DRAW)[2]
    assert kronecker_factors(tape)[1] == {}


def test_weights_of_0_leave_zeros_and_no_rows_but_their_own(x64):
    network = NETWORKS["dense"]
    params, x, y = problem(network)
    tape = loss_and_tape(network, CE)(params, x, y)[2]
    assert not any(np.any(v) for v in jax.tree.leaves(kronecker_factors(tape, jnp.zeros(N))))
    whole = kronecker_factors(loss_and_tape(network, CE)(params, x[:4], y[:4])[2])
    padded = kronecker_factors(tape, jnp.asarray([1.0, 1, 1, 1, 0, 0]))
    assert_agree(padded, whole)


@pytest.mark.parametrize("width", [7, 513, 600])
def test_bands_make_the_same_moment(width):
    rng = np.random.default_rng(0)
    rows, p = rng.normal(size=(3, width)), np.array([0.5, 0, 0.5])
    ours = outer_moment(jnp.asarray(rows, jnp.float32), jnp.asarray(p, jnp.float32))
    assert_agree(ours, (rows.T * p) @ rows, "float32")


def test_batch_norm_is_refused_in_training_and_taken_in_inference():
    network = Sequential((Dense(4), BatchNorm(), Dense(C)))
    params, x, y = problem(network, dtype="float32")
    state = network.init(DRAW, I)[1]
    with pytest.raises(InputError, match="batch norm in training mode mixes"):
        loss_and_sampled_tape(network, CE)
    with pytest.raises(InputError, match="batch norm in training mode mixes"):
        kronecker_factors(loss_and_tape(network, CE)(params, x, y, state=state)[2])
    tape = loss_and_sampled_tape(network, CE, train=False)(params, x, y, DRAW, state=state)[2]
    assert set(kronecker_factors(tape)[1]) == {"scale", "shift"}
    with pytest.raises(InputError, match="keeps running statistics"):
        expected_tape(network, CE, params, x)


def test_what_does_not_fit_gets_one_clear_sentence():
    network = NETWORKS["dense"]
    params, x, y = problem(network, dtype="float32")
    with pytest.raises(InputError, match="The loss hinge is not a negative log-likelihood"):
        loss_and_sampled_tape(network, get_loss("hinge"))
    with pytest.raises(InputError, match="The loss focal is not a negative log-likelihood"):
        expected_tape(network, get_loss("focal"), params, x)
    with pytest.raises(InputError, match="without parameters"):
        kronecker_factors(Tape(({}, {})))
    dropout = loss_and_sampled_tape(Sequential((Dropout(0.2), Dense(C))), CE)
    with pytest.raises(InputError, match="Dropout in training mode needs a random key"):
        dropout(params, x, y, DRAW)
