"""Categories against jax.grad, and against the dense layer on one-hot rows that it stands for."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from agreement import assert_agree

from mlp_jax import check_gradients, get_loss
from mlp_jax.backprop import Categories, Dense, LookUp, Sequential, apply, contract, value_and_grad
from mlp_jax.backprop.gradient import cast_weights, loss_and_tape, mean_weights
from mlp_jax.errors import InputError

N, NUMBERS, CODES, WIDTHS = 9, 2, (3, 20, 4), (0, 5, 2)
RNG = np.random.default_rng(0)
X = np.hstack([RNG.normal(size=(N, NUMBERS)), RNG.integers(0, np.array(CODES) + 1, (N, 3))])
X[0, NUMBERS:], X[1, NUMBERS:], X[2, NUMBERS:] = 0, CODES, 1
Y, WEIGHTS = RNG.normal(size=(N, 2)), RNG.uniform(0, 2, N)
LAYER = Categories(NUMBERS, CODES, WIDTHS)
NETWORK = Sequential((LAYER, Dense(4, "tanh"), Dense(2)))
LOSS = get_loss("squared_error")


def one_hot(k):
    """(N, codes) by a table of rows: the first, of code 0, is zeros."""
    return np.vstack([np.zeros(CODES[k]), np.eye(CODES[k])])[X[:, NUMBERS + k].astype(int)]


def wide(tree):
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), tree)


def test_numbers_pass_and_each_code_takes_its_row_or_none(x64):
    params, state = wide(LAYER.init(jax.random.key(0), X.shape[1]))
    out = LAYER.forward(params, state, jnp.asarray(X), train=False, key=None, mask=None)[0]
    expected = np.hstack(
        [
            X[:, :NUMBERS],
            one_hot(0),
            one_hot(1) @ np.asarray(params["embedding_1"]),
            one_hot(2) @ np.asarray(params["embedding_2"]),
        ]
    )
    assert_agree(out, expected)
    assert LAYER.width_out(X.shape[1]) == expected.shape[1] == 12
    assert set(params) == {"embedding_1", "embedding_2"}


@pytest.mark.parametrize("weights", [None, WEIGHTS])
def test_the_gradient_is_that_of_jax(weights, x64):
    params, _ = wide(NETWORK.init(jax.random.key(1), X.shape[1]))
    c = mean_weights(N, None if weights is None else jnp.asarray(weights), jnp.float64)

    def objective(params):
        return c @ LOSS.value(apply(NETWORK, params, jnp.asarray(X)), jnp.asarray(Y))

    value, grads = value_and_grad(NETWORK, LOSS)(params, X, Y, weights=weights)
    expected_value, expected = jax.value_and_grad(objective)(params)
    assert_agree(grads, expected)
    assert_agree(value, expected_value)


def test_an_embedding_is_a_dense_layer_on_one_hot_rows(x64):
    params, _ = wide(NETWORK.init(jax.random.key(2), X.shape[1]))
    _, _, tape = loss_and_tape(NETWORK, LOSS)(params, X, Y)
    record = tape.records[0]["embedding_1"]
    c = RNG.normal(size=N)
    assert_agree(
        record.contract(jnp.asarray(c)), one_hot(1).T @ (c[:, None] * np.asarray(record.delta))
    )
    assert_agree(record.contract(None), one_hot(1).T @ np.asarray(record.delta))


def test_what_is_no_code_counts_for_nothing():
    record = LookUp(jnp.asarray([0, 1, 3, 4, -1]), jnp.ones((5, 2)), 3)
    np.testing.assert_array_equal(contract(record, jnp.ones(5)), [[1, 1], [0, 0], [1, 1]])
    x = jnp.asarray([[4.0], [-1.0], [0.0]])
    for width in (0, 2):
        layer = Categories(0, (3,), (width,))
        params, state = layer.init(jax.random.key(0), 1)
        out = layer.forward(params, state, x, train=True, key=None, mask=None)[0]
        np.testing.assert_array_equal(out, np.zeros_like(out))


def test_a_code_has_no_gradient_and_a_number_hands_its_own_on(x64):
    params, state = wide(LAYER.init(jax.random.key(0), X.shape[1]))
    _, _, residual = LAYER.forward(params, state, jnp.asarray(X), train=True, key=None, mask=None)
    grad_next = jnp.asarray(RNG.normal(size=(N, 12)))
    grad_a, _ = LAYER.backward(params, residual, grad_next, need_grad_a=True)
    np.testing.assert_array_equal(grad_a[:, :NUMBERS], grad_next[:, :NUMBERS])
    np.testing.assert_array_equal(grad_a[:, NUMBERS:], 0)
    assert LAYER.backward(params, residual, grad_next, need_grad_a=False)[0] is None


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_lower_precision_gives_the_same_to_its_own(dtype):
    params, _ = NETWORK.init(jax.random.key(1), X.shape[1])
    full = value_and_grad(NETWORK, LOSS)(params, X.astype(np.float32), Y.astype(np.float32))
    low = value_and_grad(NETWORK, LOSS)(
        cast_weights(params, jnp.dtype(dtype)), X.astype(np.float32), Y.astype(np.float32)
    )
    assert_agree(low[1], full[1], {"float32": "float32", "bfloat16": "bfloat16"}[dtype], size=1.0)
    assert {leaf.dtype for leaf in jax.tree.leaves(low[1])} == {jnp.dtype(jnp.float32)}


def test_many_codes_stay_apart_in_bfloat16():
    """Bfloat16 counts to 256: codes must not pass through it."""
    layer = Categories(1, (1000,), (1,))
    params = {"embedding_0": jnp.arange(1000, dtype=jnp.bfloat16)[:, None]}
    x = jnp.asarray([[0.5, 999.0], [0.5, 1000.0]], jnp.float32)
    _, _, codes = layer.forward(params, (), x, train=True, key=None, mask=None)
    np.testing.assert_array_equal(codes, [[999], [1000]])


def test_the_layer_scans_and_compiles_once_for_equal_layers():
    params, _ = NETWORK.init(jax.random.key(1), X.shape[1])
    f = value_and_grad(Sequential(NETWORK.layers), LOSS)
    x, y = jnp.asarray(X, jnp.float32), jnp.asarray(Y, jnp.float32)

    def step(params, _):
        value, grads = f(params, x, y)
        return jax.tree.map(lambda p, g: p - 0.1 * g, params, grads), value

    trained, values = jax.jit(lambda p: jax.lax.scan(step, p, None, length=30))(params)
    assert values[-1] < 0.7 * values[0]
    untouched = sorted({*range(1, 21)} - {*X[:, NUMBERS + 1].astype(int)})
    before, after = params[0]["embedding_1"], trained[0]["embedding_1"]
    rows = np.array(untouched) - 1
    np.testing.assert_array_equal(before[rows], after[rows])


def test_a_fresh_row_is_as_long_as_a_one_hot_vector():
    params, _ = Categories(0, (5000,), (24,)).init(jax.random.key(0), 1)
    lengths = np.linalg.norm(params["embedding_0"], axis=1)
    assert abs(np.mean(lengths**2) - 1) < 0.02


@pytest.mark.parametrize("norm", [None, "batch"])
def test_the_proof_holds(norm):
    from mlp_jax.backprop import BatchNorm

    between = (BatchNorm(),) if norm else ()
    network = Sequential((LAYER, *between, Dense(4, "tanh"), Dense(2)))
    params, state = network.init(jax.random.key(0), X.shape[1])
    report = check_gradients(
        network, LOSS, params, (X, Y), state=state, samples=None, dtypes=("float64", "bfloat16")
    )
    assert report.ok, report
    equations = {row.equation for row in report.rows if "Categories" in row.layer}
    assert equations >= {"a' = (a, Eᵀ1ₖ)", "∇a", "∇embedding_1", "∇embedding_2"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((1, (3, 4), (0,)), "2 categories needs a width, but 1"),
        ((1, (0,), (0,)), "at least 1 code"),
        ((1, (3,), (-1,)), "not negative"),
        ((-1, (3,), (0,)), "not -1 numbers"),
    ],
)
def test_what_cannot_be_a_layer_is_refused(arguments, said):
    with pytest.raises(InputError, match=said):
        Categories(*arguments)


def test_another_width_of_input_is_refused():
    with pytest.raises(InputError, match="takes 5 inputs, not 6"):
        LAYER.width_out(6)


def test_the_layer_is_data():
    assert Categories(2, (3,), (0,)) == Categories(2, (3,), (0,))
    assert hash(LAYER) == hash(Categories(NUMBERS, CODES, WIDTHS))
    assert str(LAYER) == "Categories(2, 3 20→5 4→2)"
