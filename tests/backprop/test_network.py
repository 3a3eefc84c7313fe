"""Layers as data, and composed: what `mlp` builds, what init gives, what forward computes."""

import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from agreement import assert_agree

from mlp_jax.backprop import (
    NORMS,
    Activation,
    BatchNorm,
    Dense,
    Dropout,
    Layer,
    LayerNorm,
    Residual,
    RMSNorm,
    Sequential,
    apply,
    contract,
    mlp,
)
from mlp_jax.errors import InputError, UnknownNameError

KEY = jax.random.key(0)


def test_a_plain_mlp_is_dense_layers_and_a_linear_output():
    assert mlp([8, 5], 3, "tanh") == Sequential(
        (
            Dense(8, "tanh", "glorot_uniform"),
            Dense(5, "tanh", "glorot_uniform"),
            Dense(3, "identity"),
        )
    )


def test_without_hidden_layers_there_is_the_output_alone():
    assert mlp([], 3) == Sequential((Dense(3),))


@pytest.mark.parametrize(
    ("name", "norm"), [("layer", LayerNorm), ("rms", RMSNorm), ("batch", BatchNorm)]
)
def test_a_norm_stands_between_z_and_the_activation(name, norm):
    assert NORMS[name] is norm
    assert mlp([8], 3, "relu", norm=name) == Sequential(
        (Dense(8, "identity", "he_normal"), norm(), Activation("relu"), Dense(3))
    )


def test_dropout_follows_every_hidden_layer():
    relu = Dense(8, "relu", "he_normal")
    assert mlp([8, 8], 3, dropout=0.2) == Sequential(
        (relu, Dropout(0.2), relu, Dropout(0.2), Dense(3))
    )


def test_residual_puts_a_shortcut_around_layers_as_wide_as_the_one_before():
    relu, narrow = Dense(8, "relu", "he_normal"), Dense(4, "relu", "he_normal")
    assert mlp([8, 8, 4, 4], 3, residual=True) == Sequential(
        (
            relu,
            Residual(Sequential((relu,))),
            narrow,
            Residual(Sequential((narrow,))),
            Dense(3),
        )
    )


def test_all_options_together_put_the_whole_block_inside_the_shortcut():
    start = Dense(6, "identity", "orthogonal")
    block = start, LayerNorm(), Activation("gelu"), Dropout(0.1)
    built = mlp(
        (6, 6), 2, "gelu", norm="layer", dropout=0.1, residual=True, initializer="orthogonal"
    )
    assert built == Sequential(
        (*block, Residual(Sequential(block)), Dense(2, "identity", "orthogonal"))
    )


def test_the_parameter_tree_has_a_part_for_every_layer():
    network = mlp([8, 8], 3, norm="batch", dropout=0.1, residual=True)
    params, state = jax.eval_shape(lambda key: network.init(key, 5), KEY)
    shapes = jax.tree.map(lambda leaf: leaf.shape, params)
    inner = {"W": (8, 8), "b": (8,)}, {"scale": (8,), "shift": (8,)}, {}, {}
    assert shapes == (
        {"W": (5, 8), "b": (8,)},
        {"scale": (8,), "shift": (8,)},
        {},
        {},
        (inner,),
        {"W": (8, 3), "b": (3,)},
    )
    figures = {"mean": (8,), "variance": (8,)}
    kept = jax.tree.map(lambda leaf: leaf.shape, state)
    assert kept == ((), figures, (), (), (((), figures, (), ()),), ())
    assert {leaf.dtype for leaf in jax.tree.leaves((params, state))} == {np.dtype("float32")}
    assert (network.draws, network.has_state, network.couples_examples) == (True, True, True)


def test_a_dense_layer_without_bias_has_no_b():
    params, _ = Dense(3, bias=False).init(KEY, 5)
    assert set(params) == {"W"}
    a = jnp.asarray(np.random.default_rng(0).normal(size=(2, 5)), jnp.float32)
    assert_agree(apply(Dense(3, bias=False), params, a), a @ params["W"], "float32")


def test_the_state_of_a_network_without_any_has_the_shape_that_init_gives():
    network = mlp([4, 4], 2, norm="layer", dropout=0.1, residual=True)
    assert network.without_state() == jax.eval_shape(lambda key: network.init(key, 3), KEY)[1]
    assert not network.has_state
    assert not network.couples_examples
    assert network.draws


def network_of_everything():
    return Sequential(
        (
            Dense(5, "tanh"),
            Residual(Sequential((LayerNorm(), Dense(5, "gelu", bias=False)))),
            Residual(Dense(3), shortcut=Dense(3, bias=False)),
            Sequential((BatchNorm(), Activation("silu"), Dropout(0.5))),
            RMSNorm(),
        )
    )


def test_specifications_are_values():
    network, twin = network_of_everything(), network_of_everything()
    assert network is not twin
    assert network == twin
    assert hash(network) == hash(twin)
    assert pickle.loads(pickle.dumps(network)) == network
    assert isinstance(network.layers, tuple)
    assert eval(repr(network)) == network


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Dense(3), Dense(4)),
        (Dense(3), Dense(3, "tanh")),
        (Dense(3), Dense(3, bias=False)),
        (LayerNorm(), RMSNorm()),
        (LayerNorm(), LayerNorm(1e-3)),
        (Dropout(0.1), Dropout(0.2)),
        (Residual(Dense(3)), Residual(Dense(3), Dense(3))),
        (Sequential((Dense(3),)), Sequential((Dense(3), Dense(3)))),
    ],
)
def test_other_specifications_are_other_values(one, other):
    assert one != other


def test_specifications_cannot_be_changed():
    with pytest.raises(AttributeError):
        Dense(3).n_out = 4


def test_sequential_computes_its_layers_one_after_the_other_and_residual_adds(x64):
    """tanh(aU + u) + tanh(tanh(aU + u)V), then times S beside times T, all in NumPy."""
    network = Sequential(
        (
            Dense(5, "tanh"),
            Residual(Dense(5, "tanh", bias=False)),
            Residual(Dense(3, bias=False), shortcut=Dense(3)),
        )
    )
    rng = np.random.default_rng(0)
    U, u, V, S, T, t = (rng.normal(size=shape) for shape in ((4, 5), 5, (5, 5), (5, 3), (5, 3), 3))
    a = rng.normal(size=(6, 4))
    params = ({"W": U, "b": u}, ({"W": V},), ({"W": S}, {"W": T, "b": t}))
    assert jax.tree.structure(params) == jax.tree.structure(network.init(KEY, 4)[0])
    first = np.tanh(a @ U + u)
    second = first + np.tanh(first @ V)
    expected = second @ S + second @ T + t
    assert_agree(apply(network, jax.tree.map(jnp.asarray, params), jnp.asarray(a)), expected)


def test_every_child_of_a_composed_layer_draws_with_its_own_key():
    dropout = Dropout(0.5)
    ones = jnp.ones((20, 20))
    _, _, residual = Sequential((dropout, dropout)).forward(
        ({}, {}), ((), ()), ones, train=True, key=KEY, mask=None
    )
    assert not np.array_equal(residual[0], residual[1])


def test_the_input_gradient_is_computed_only_where_somebody_wants_it(x64):
    network = Sequential((Residual(Dense(3, "tanh")), Dense(2)))
    rng = np.random.default_rng(0)
    shapes = jax.eval_shape(lambda key: network.init(key, 3), KEY)[0]
    params = jax.tree.map(lambda leaf: jnp.asarray(rng.normal(size=leaf.shape)), shapes)
    a, grad = (jnp.asarray(rng.normal(size=shape)) for shape in ((5, 3), (5, 2)))

    @jax.jit
    def both(params, a, grad):
        state = network.without_state()
        _, _, residual = network.forward(params, state, a, train=True, key=None, mask=None)
        asked = [
            network.backward(params, residual, grad, need_grad_a=need) for need in (False, True)
        ]
        by_jax = jax.vjp(lambda p, a: apply(network, p, a), params, a)[1](grad)
        return [(grad_a, contract(records, None)) for grad_a, records in asked], by_jax

    ((nothing, sums), (grad_a, again)), (by_params, by_input) = both(params, a, grad)
    assert nothing is None
    assert_agree((sums, again, grad_a), (by_params, by_params, by_input))


def test_the_empty_sequence_is_the_identity():
    a = jnp.ones((2, 3))
    assert Sequential(()).init(KEY, 3) == ((), ())
    assert apply(Sequential(()), (), a) is a
    assert Sequential(()).width_out(3) == 3


def test_widths_go_through_the_layers():
    assert network_of_everything().width_out(7) == 3
    assert Residual(Sequential((Dense(9), Dense(4)))).width_out(4) == 4


def test_a_residual_body_of_another_width_is_refused_with_the_remedy():
    for ask in (lambda r: r.width_out(4), lambda r: r.init(KEY, 4)):
        with pytest.raises(InputError, match=r"width 3, but its shortcut 4; give a shortcut=Dense"):
            ask(Residual(Dense(3)))
    with pytest.raises(InputError, match="width 3, but its shortcut 5"):
        Residual(Dense(3), shortcut=Dense(5)).init(KEY, 4)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Dense(0), "width of at least 1, not 0"),
        (lambda: Dense(3, "rleu"), "Did you mean 'relu'"),
        (lambda: Dense(3, initializer="he_norml"), "Did you mean 'he_normal'"),
        (lambda: Activation("tan"), "Did you mean 'tanh'"),
        (lambda: mlp([4], 2, norm="bach"), "Unknown norm 'bach'. Did you mean 'batch'"),
        (lambda: mlp([4], 2, "sigmoyd"), "Did you mean 'sigmoid'"),
        (lambda: mlp([4, 0], 2), "not 0"),
        (lambda: mlp([4], 0), "not 0"),
        (lambda: mlp([4], 2, dropout=1.0), "not 1"),
    ],
)
def test_what_cannot_be_built_says_why(make, said):
    with pytest.raises(InputError, match=said):
        make()


def test_an_unknown_name_is_its_own_kind_of_error():
    with pytest.raises(UnknownNameError):
        mlp([4], 2, norm="group")


def test_a_layer_of_ones_own_is_the_identity_in_shape_until_it_says_otherwise():
    layer = Layer()
    assert layer.width_out(5) == 5
    assert layer.init(KEY, 5) == ({}, ())
    assert (layer.children, layer.draws, layer.has_state) == ((), False, False)
    with pytest.raises(NotImplementedError):
        apply(layer, {}, jnp.ones((1, 5)))


def test_layers_print_as_they_are_written():
    assert str(mlp([4, 4], 2, norm="layer", dropout=0.25)) == (
        "Sequential(Dense(4, identity), LayerNorm(), Activation(relu), Dropout(0.25), "
        "Dense(4, identity), LayerNorm(), Activation(relu), Dropout(0.25), Dense(2, identity))"
    )
    assert str(Residual(Dense(3), Dense(3))) == (
        "Residual(Dense(3, identity), shortcut=Dense(3, identity))"
    )
