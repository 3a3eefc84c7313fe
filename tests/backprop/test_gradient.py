"""`value_and_grad` is `jax.value_and_grad` of the same loss, for any weights and network."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import optax
import pytest
from agreement import assert_agree

from mlp_jax.backprop import (
    Activation,
    BatchNorm,
    Dense,
    Dropout,
    Layer,
    LayerNorm,
    OuterProduct,
    PerExample,
    Residual,
    RMSNorm,
    Sequential,
    apply,
    contract,
    get_loss,
    loss_and_tape,
    loss_with_manual_gradient,
    mlp,
    value_and_grad,
)
from mlp_jax.errors import InputError

N, I, C = 8, 5, 3  # noqa: E741
LOSS = get_loss("softmax_cross_entropy")
KEY = jax.random.key(1)
DENSE = mlp([4], C, "tanh")
DEEP = Sequential(
    (
        Dense(6, "gelu"),
        Residual(Sequential((LayerNorm(), Dense(6, "tanh", bias=False), Dropout(0.4)))),
        Residual(Dense(4, "elu"), shortcut=Dense(4, bias=False)),
        RMSNorm(),
        Activation("leaky_relu"),
        Dense(C),
    )
)
BATCH_NORM = Sequential((Dense(4), BatchNorm(), Activation("silu"), Dropout(0.3), Dense(C)))
WEIGHTS = {
    "none": None,
    "uniform": np.full(N, 3.0),
    "uneven": np.linspace(0.1, 2, N),
    "with zeros": np.array([1.0, 0, 2, 0, 0.5, 1, 0, 3]),
    "all zero": np.zeros(N),
}


def drawn(network, dtype="float64", seed=0):
    """(params, state), x and labels; parameters are noise, for at their start many are 0 or 1."""
    rng = np.random.default_rng(seed)
    shapes = jax.eval_shape(lambda key: network.init(key, I), KEY)

    def noise(path, leaf):
        spread = np.abs if "variance" in str(path[-1]) else np.asarray
        return jnp.asarray(spread(rng.normal(0.2, 0.6, leaf.shape)), dtype)

    params, state = jax.tree_util.tree_map_with_path(noise, shapes)
    x, y = rng.normal(size=(N, I)), rng.integers(0, C, N)
    return params, state, jnp.asarray(x, dtype), jnp.asarray(y)


def by_optax(network, x, y, state, weights, mask, key):
    """The weighted mean of Optax's loss over the network's output, for JAX to differentiate."""

    def objective(params):
        output = apply(network, params, x, state=state, train=True, key=key, mask=mask)
        each = optax.softmax_cross_entropy_with_integer_labels(output, y)
        w = jnp.ones_like(each) if weights is None else weights
        total = jnp.sum(w)
        return jnp.sum(w * each) / jnp.where(total == 0, jnp.ones_like(total), total)

    return objective


witness = jax.jit(
    lambda network, params, *rest: jax.value_and_grad(by_optax(network, *rest))(params),
    static_argnums=0,
)


@pytest.mark.parametrize("network", [DENSE, DEEP, BATCH_NORM], ids=["dense", "deep", "batch norm"])
@pytest.mark.parametrize("weights", WEIGHTS)
def test_value_and_gradient_are_those_of_jax(network, weights, x64):
    params, state, x, y = drawn(network)
    w = WEIGHTS[weights] if WEIGHTS[weights] is None else jnp.asarray(WEIGHTS[weights])
    key = KEY if network.draws else None
    ours = value_and_grad(network, LOSS)(params, x, y, state=state, weights=w, key=key)
    (value, grads) = ours if not network.has_state else (ours[0][0], ours[1])
    with jax.numpy_rank_promotion("allow"):
        same = jnp.ones(N) if w is None else w
        expected = witness(network, params, x, y, state, same, None, KEY)
    assert_agree((value, grads), expected, size=1e-2)
    if weights == "all zero":
        assert value == 0
        assert all(np.all(np.asarray(g) == 0) for g in jax.tree.leaves(grads))
    else:
        assert all(np.any(np.asarray(g) != 0) for g in jax.tree.leaves(grads))


def test_in_float32_value_and_gradient_are_those_of_jax():
    params, state, x, y = drawn(DENSE, "float32")
    w = jnp.asarray(WEIGHTS["with zeros"], jnp.float32)
    ours = value_and_grad(DENSE, LOSS)(params, x, y, weights=w, key=KEY)
    with jax.numpy_rank_promotion("allow"):
        expected = witness(DENSE, params, x, y, state, w, None, KEY)
    assert_agree(ours, expected, "float32", size=0.1)
    assert {leaf.dtype for leaf in jax.tree.leaves(ours)} == {np.dtype("float32")}


def test_in_inference_batch_norm_and_dropout_stand_still(x64):
    params, state, x, y = drawn(BATCH_NORM)
    f = value_and_grad(BATCH_NORM, LOSS, train=False)
    (value, new_state), grads = f(params, x, y, state=state)

    def objective(params):
        output = apply(BATCH_NORM, params, x, state=state)
        return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(output, y))

    with jax.numpy_rank_promotion("allow"):
        assert_agree((value, grads), jax.jit(jax.value_and_grad(objective))(params))
    assert_agree(new_state, state)


def test_training_returns_the_moved_running_figures(x64):
    params, state, x, y = drawn(BATCH_NORM)
    (_, moved), _ = value_and_grad(BATCH_NORM, LOSS)(params, x, y, state=state, key=KEY)
    z = np.asarray(x) @ np.asarray(params[0]["W"]) + np.asarray(params[0]["b"])
    expected = {
        "mean": 0.9 * state[1]["mean"] + 0.1 * z.mean(axis=0),
        "variance": 0.9 * state[1]["variance"] + 0.1 * z.var(axis=0),
    }
    assert_agree(moved[1], expected)
    assert moved[0] == moved[2] == ()


@pytest.mark.parametrize("norm", [None, "batch"])
def test_padding_rows_of_weight_0_change_nothing(norm, x64):
    """Batch norm's running statistics move by the share of the places that hold an example."""
    network = mlp([4], C, "tanh", norm=norm)
    params, state, x, y = drawn(network)
    real = 5
    padded = jnp.where((jnp.arange(N) < real)[:, None], x, 50 * x)
    weights = jnp.asarray(np.r_[0.5, 1, 0.25, 2, 1, 0, 0, 0])
    f = value_and_grad(network, LOSS)
    value, grads = f(params, padded, y, state=state, weights=weights, mask=jnp.arange(N) < real)
    alone, alone_grads = f(params, x[:real], y[:real], state=state, weights=weights[:real])
    assert_agree(grads, alone_grads, size=1e-2)
    if norm is not None:
        (value, moved), (alone, whole) = value, alone
        way = jax.tree.map(lambda new, old: new - old, (moved, whole), (state, state))
        assert_agree(way[0], jax.tree.map(lambda step: step * real / N, way[1]), size=1e-2)
    assert_agree(value, alone, size=1e-2)


def test_a_weight_of_2_counts_an_example_twice(x64):
    params, _, x, y = drawn(DEEP)
    network = Sequential(tuple(layer for layer in DEEP.layers if not layer.draws))
    params = tuple(p for p, layer in zip(params, DEEP.layers, strict=True) if not layer.draws)
    twice = jnp.concatenate([x, x[:2]]), jnp.concatenate([y, y[:2]])
    f = value_and_grad(network, LOSS)
    weights = jnp.asarray([2.0, 2, 1, 1, 1, 1, 1, 1])
    assert_agree(f(params, x, y, weights=weights), f(params, *twice))


def per_example_gradients(record):
    if isinstance(record, OuterProduct):
        return np.einsum("ni,nj->nij", *map(np.asarray, record))
    return np.asarray(record.g)


def test_the_tape_holds_every_examples_own_gradient(x64):
    params, state, x, y = drawn(DEEP)
    value, grads, tape = loss_and_tape(DEEP, LOSS)(params, x, y, key=KEY)
    assert not tape.weighted
    assert_agree((value, grads), value_and_grad(DEEP, LOSS)(params, x, y, key=KEY))
    assert_agree(contract(tape.records, jnp.full(N, 1 / N)), grads)
    # The dropout mask is drawn for the batch, so an example alone is the batch weighted 1-hot.
    objective = jax.grad(lambda params, w: by_optax(DEEP, x, y, state, w, None, KEY)(params))
    with jax.numpy_rank_promotion("allow"):
        apart = jax.jit(jax.vmap(objective, in_axes=(None, 0)))(params, jnp.eye(N))
    is_record = lambda node: isinstance(node, (OuterProduct, PerExample))  # noqa: E731
    ours = jax.tree.map(per_example_gradients, tape.records, is_leaf=is_record)
    assert_agree(ours, apart)


def test_the_tape_of_a_dense_network_is_vmap_of_grad(x64):
    params, _, x, y = drawn(DENSE)
    tape = loss_and_tape(DENSE, LOSS)(params, x, y)[2]

    def one(params, x, y):
        return optax.softmax_cross_entropy_with_integer_labels(apply(DENSE, params, x[None])[0], y)

    apart = jax.jit(jax.vmap(jax.grad(one), in_axes=(None, 0, 0)))(params, x, y)
    for records, expected in zip(tape.records, apart, strict=True):
        assert isinstance(records["W"], OuterProduct)
        assert isinstance(records["b"], PerExample)
        assert_agree({k: per_example_gradients(r) for k, r in records.items()}, expected)


def test_the_tape_of_batch_norm_says_that_it_holds_no_examples_own_gradient(x64):
    params, state, x, y = drawn(BATCH_NORM)
    f = loss_and_tape(BATCH_NORM, LOSS)
    (_, moved), grads, tape = f(params, x, y, state=state, key=KEY)
    assert tape.weighted
    assert_agree(contract(tape.records, None), grads, size=1e-2)
    assert jax.tree.structure(moved) == jax.tree.structure(state)
    tape = loss_and_tape(BATCH_NORM, LOSS, train=False)(params, x, y, state=state)[2]
    assert not tape.weighted


@dataclass(frozen=True)
class Counted(Layer):
    """The identity; notes every time that JAX traces it."""

    name: str

    traced = []  # noqa: RUF012

    def forward(self, params, state, a, *, train, key, mask):
        self.traced.append(self.name)
        return a, state, None

    def backward(self, params, residual, grad_a_next, *, need_grad_a):
        return grad_a_next, {}


def test_equal_networks_and_shapes_compile_once():
    def step(width, rows, loss="squared_error"):
        network = Sequential((Dense(width, "tanh"), Counted("once")))
        params = ({"W": jnp.ones((2, width)), "b": jnp.zeros(width)}, {})
        x, y = jnp.ones((rows, 2)), jnp.zeros((rows, width))
        value_and_grad(network, get_loss(loss))(params, x, y)
        value_and_grad(network, get_loss(loss))(params, x, y, weights=jnp.ones(rows))
        return Counted.traced.count("once")

    assert step(3, 4) == 1
    assert step(3, 4) == 1
    assert step(3, 5) == 2
    assert step(2, 4) == 3
    assert step(3, 4, "huber") == 4
    assert step(3, 4) == 4


def test_a_layer_of_ones_own_takes_part(x64):
    """The identity between two dense layers changes nothing."""
    params, _, x, y = drawn(DENSE)
    network = Sequential((DENSE.layers[0], Counted("part"), DENSE.layers[1]))
    value, (first, none, last) = value_and_grad(network, LOSS)((params[0], {}, params[1]), x, y)
    assert none == {}
    assert_agree((value, (first, last)), value_and_grad(DENSE, LOSS)(params, x, y))


@pytest.fixture
def shapes_unchecked():
    """As outside these tests, where nothing looks at the annotations."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.mark.usefixtures("shapes_unchecked")
@pytest.mark.parametrize(
    ("network", "arguments", "said"),
    [
        (DENSE, {"x": np.ones(I)}, r"x must be \(N, I\) and y have N rows, not \(5,\) and \(8,\)"),
        (DENSE, {"x": np.ones((N - 1, I))}, r"not \(7, 5\) and \(8,\)"),
        (DENSE, {"y": np.ones((N, 2))}, r"over 3 outputs cannot take targets of shape \(8, 2\)"),
        (
            DENSE,
            {"weights": np.ones(N - 1)},
            r"weights must have one entry per example, \(8,\), not \(7,\)",
        ),
        (DENSE, {"weights": np.ones((N, 1))}, r"weights .* not \(8, 1\)"),
        (DENSE, {"mask": np.ones(N + 1, bool)}, r"mask must have one entry per example"),
        (BATCH_NORM, {"key": KEY}, "keeps running statistics: pass the state="),
        (BATCH_NORM, {"state": ((), (), (), (), ())}, "needs a random key: pass key="),
    ],
)
@pytest.mark.parametrize("transform", [value_and_grad, loss_and_tape])
def test_arguments_that_do_not_fit_get_one_clear_sentence(transform, network, arguments, said):
    usual = {"x": np.ones((N, I)), "y": np.zeros(N, np.int32)}
    given = {
        name: v if name in ("state", "key") else jnp.asarray(v)
        for name, v in (usual | arguments).items()
    }
    with pytest.raises(InputError, match=said):
        transform(network, LOSS)(None, given.pop("x"), given.pop("y"), **given)


def test_apply_asks_for_what_the_network_needs():
    with pytest.raises(InputError, match="running statistics: pass the state="):
        apply(BATCH_NORM, None, jnp.ones((N, I)))
    with pytest.raises(InputError, match="needs a random key"):
        apply(DEEP, None, jnp.ones((N, I)), train=True)


def test_apply_is_differentiable_forwards_and_backwards_by_jax(x64):
    params, _, x, _ = drawn(DENSE)
    tangents = jax.tree.map(
        lambda p: jnp.cos(jnp.arange(p.size, dtype=p.dtype)).reshape(p.shape), params
    )

    def total(params):
        return jnp.sum(jnp.sin(apply(DENSE, params, x)))

    gradient = jax.jit(jax.grad(total))(params)
    _, slope = jax.jit(lambda *pair: jax.jvp(total, pair[:1], pair[1:]))(params, tangents)
    products = jax.tree.map(lambda g, t: jnp.sum(g * t), gradient, tangents)
    assert_agree(slope, sum(jax.tree.leaves(products)))


def regression():
    rng = np.random.default_rng(0)
    x, true = rng.normal(size=(20, 3)), rng.normal(size=(3, 2))
    y = np.tanh(x @ true) + 0.1 * rng.normal(size=(20, 2))
    network = Sequential((Dense(2, "tanh"),))
    params = ({"W": jnp.asarray(0.1 * true[::-1].copy()), "b": jnp.zeros(2)},)
    return network, get_loss("squared_error"), params, jnp.asarray(x), jnp.asarray(y)


def test_a_loss_with_manual_gradient_gives_jax_our_gradient(x64):
    network, loss, params, x, y = regression()
    f = value_and_grad(network, loss)
    wrapped = loss_with_manual_gradient(lambda p: f(p, x, y))
    assert_agree(wrapped(params), f(params, x, y)[0])
    assert_agree(jax.value_and_grad(wrapped)(params), f(params, x, y))
    scaled = jax.grad(lambda p: -3.0 * wrapped(p))(params)
    assert_agree(scaled, jax.tree.map(lambda g: -3.0 * g, f(params, x, y)[1]))


def test_the_gradient_that_jax_gets_is_ours_and_not_its_own():
    """A made-up gradient comes back untouched: nothing behind the wrapper is differentiated."""
    wrapped = loss_with_manual_gradient(lambda p: (jnp.sum(p**2), 7 * jnp.ones_like(p)))
    np.testing.assert_array_equal(jax.grad(wrapped)(jnp.asarray([1.0, 2.0])), [7.0, 7.0])


def test_lbfgs_with_our_gradient_walks_the_path_of_jaxs_own(x64):
    network, loss, start, x, y = regression()
    f = value_and_grad(network, loss)
    optimizer = optax.lbfgs(memory_size=3)

    def by_jax(params, x, y):
        return jnp.mean((jnp.tanh(x @ params[0]["W"] + params[0]["b"][None, :]) - y) ** 2)

    def walk(manual):
        @jax.jit
        def run(params, x, y):
            if manual:
                objective = loss_with_manual_gradient(lambda p: f(p, x, y))
            else:
                objective = lambda p: by_jax(p, x, y)  # noqa: E731

            def step(carry, _):
                params, state = carry
                value, grads = optax.value_and_grad_from_state(objective)(params, state=state)
                updates, state = optimizer.update(
                    grads, state, params, value=value, grad=grads, value_fn=objective
                )
                return (optax.apply_updates(params, updates), state), value

            return jax.lax.scan(step, (params, optimizer.init(params)), length=6)

        with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
            (params, _), values = run(start, x, y)
        return params, values

    (ours, values), (expected, _) = walk(True), walk(False)
    assert values[-1] < 0.5 * values[0]
    for mine, theirs in zip(jax.tree.leaves(ours), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-8)
