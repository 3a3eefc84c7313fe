"""Right networks pass, of every kind; what is not finite, or not right, does not."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mlp_jax import check_gradients, get_loss, mlp
from mlp_jax.backprop import (
    ACTIVATIONS,
    LOSSES,
    Activation,
    BatchNorm,
    Dense,
    Dropout,
    Layer,
    LayerNorm,
    PerExample,
    Residual,
    RMSNorm,
    Sequential,
)
from mlp_jax.backprop.gradient import forward_backward
from mlp_jax.errors import InputError
from mlp_jax.proof.check import BOUNDS
from mlp_jax.proof.oracles import ACTIVATE, BIAS, EQUATION_1, EQUATION_2, EQUATION_3, FORWARD, NORM

N, I, C = 8, 5, 3  # noqa: E741
RNG = np.random.default_rng(0)
X, LABELS = RNG.normal(size=(N, I)), RNG.integers(0, C, N)
CLASSES = get_loss("softmax_cross_entropy")


def proved(network, loss=CLASSES, x=X, y=LABELS, **options):
    params, state = network.init(jax.random.key(0), x.shape[1])
    return check_gradients(network, loss, params, (x, y), state=state, **options)


def test_the_bounds_are_those_of_the_design():
    bounds = BOUNDS["float64"]
    assert bounds["local"] == bounds["whole"] == bounds["loops"] == 1e-12
    assert bounds["differences"] == 1e-7


@pytest.mark.parametrize("names", np.array_split(sorted(ACTIVATIONS), 3), ids=lambda v: v[0])
def test_every_activation_passes(names):
    report = proved(Sequential((*(Dense(4, str(name)) for name in names), Dense(C))))
    assert report.ok, report
    assert all(f"Dense(4, {name})" in str(report) for name in names)


def test_activations_that_stand_alone_pass():
    alone = tuple(map(Activation, ("gelu", "tanh", "identity", "leaky_relu")))
    report = proved(Sequential((Dense(C), *alone)))
    assert report.ok, report
    assert {row.equation for row in report.rows if "Activation" in row.layer} >= {EQUATION_1}


TARGETS = {
    "real": RNG.normal(size=(N, C)),
    "binary": RNG.integers(0, 2, (N, C)),
    "classes": LABELS,
}
LOSS_CASES = [
    *((name, {}, TARGETS[LOSSES[name].targets]) for name in sorted(set(LOSSES) - {"poisson"})),
    ("poisson", {}, np.abs(TARGETS["real"])),  # counts
    ("softmax_cross_entropy", {"label_smoothing": 0.1}, RNG.dirichlet(np.ones(C), N)),
    ("sigmoid_cross_entropy", {"label_smoothing": 0.1}, TARGETS["binary"]),
    ("hinge", {}, TARGETS["binary"]),
    ("focal", {"gamma": 0.5}, TARGETS["binary"]),
    ("quantile", {"q": 0.9}, TARGETS["real"]),
]


@pytest.mark.parametrize(("name", "options", "y"), LOSS_CASES)
def test_every_loss_passes(name, options, y):
    report = proved(Sequential((Dense(C),)), get_loss(name, **options), y=y)
    assert report.ok, report


def test_one_output_passes_with_flat_targets():
    for name, y in (("squared_error", X[:, 0]), ("sigmoid_cross_entropy", LABELS % 2)):
        assert proved(Sequential((Dense(1),)), get_loss(name), y=y).ok


@dataclass(frozen=True)
class Scaled(Layer):
    """A layer of somebody's own: a' = g ⊙ a², with its backward by hand."""

    factor: float = 1.0

    def init(self, key, n_in):
        return {"gain": jnp.ones(n_in)}, ()

    def forward(self, params, state, a, *, train, key, mask):
        return params["gain"][None, :] * a**2, state, a

    def backward(self, params, residual, grad_a_next, *, need_grad_a):
        grad_a = 2 * self.factor * params["gain"][None, :] * residual * grad_a_next
        return grad_a, {"gain": PerExample(residual**2 * grad_a_next)}


NETWORKS = {
    "a layer alone": Dense(C, "tanh"),
    "width 1, no bias": Sequential((Dense(4, "gelu", bias=False), Dense(1, "tanh"), Dense(C))),
    "a layer of one's own": Sequential((Dense(4), Scaled(), Dense(C, bias=False))),
    "residual at the root": Residual(Dense(C, "tanh"), shortcut=Dense(C)),
    "residual in residual": Sequential(
        (Residual(Residual(Dense(4, "tanh"), Dense(4, "elu")), shortcut=Dense(4)), Dense(C))
    ),
    "nested, norms at the ends": Sequential(
        (Sequential((LayerNorm(), Sequential((Dense(4, "silu"),)))), Dense(C), RMSNorm())
    ),
    "everything": mlp([4, 4], C, "silu", norm="batch", dropout=0.3, residual=True),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_of_every_build_pass(name):
    report = proved(NETWORKS[name])
    assert report.ok, report
    assert {row.witness for row in report.rows} == {"local", "whole", "differences", "loops"}


def test_a_fault_in_a_layer_of_ones_own_is_found_there():
    report = proved(Sequential((Dense(4), Scaled(factor=0.5), Dense(C))))
    assert (report.fault.layer, report.fault.equation) == (
        "1 Scaled(factor=0.5)",
        "∇a",
    )


def test_every_entry_of_a_small_network_passes_by_loops():
    few = proved(mlp([4], C, "tanh", norm="layer"))
    report = proved(mlp([4], C, "tanh", norm="layer"), samples=None)
    assert report.ok, report
    assert len(report.rows) == len(few.rows)
    loops = {(row.layer, row.equation) for row in report.rows if row.witness == "loops"}
    dense = {FORWARD, EQUATION_1, EQUATION_2, EQUATION_3, BIAS}
    assert loops == {
        ("loss", "∇s"),
        *(("0 Dense(4, identity)", equation) for equation in dense),
        ("1 LayerNorm()", NORM),
        ("1 LayerNorm()", "∇a"),
        ("2 Activation(tanh)", ACTIVATE),
        ("2 Activation(tanh)", EQUATION_1),
        *(("3 Dense(3, identity)", equation) for equation in dense),
    }


def one_wrong_entry(*arguments):
    value, state, grads, tape = forward_backward(*arguments)
    first = grads[0] | {"W": grads[0]["W"].at[I - 1, 3].add(1e-3)}
    return value, state, (first, *grads[1:]), tape


def test_with_all_entries_the_loops_find_a_single_wrong_one():
    report = proved(mlp([4], C, "tanh"), samples=None, differentiate=one_wrong_entry)
    failed = [row for row in report.rows if row.witness == "loops" and not row.ok]
    assert [(row.layer, row.equation) for row in failed] == [("0 Dense(4, tanh)", EQUATION_3)]
    assert abs(failed[0].ours - failed[0].expected - 1e-3) < 1e-12


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_runs_own_type_is_proved_by_two_witnesses(dtype):
    network = Sequential((Residual(Sequential((LayerNorm(), Dense(I, "gelu")))), Dense(C)))
    report = proved(network, dtypes=(dtype,))
    assert report.ok, report
    assert {row.witness for row in report.rows} == {"local", "whole"}
    assert {row.dtype for row in report.rows} == {dtype}
    assert {row.bound for row in report.rows} == {BOUNDS[dtype]["local"]}


def test_types_are_proved_one_after_the_other():
    report = proved(Sequential((Dense(C),)), dtypes=("float64", "float32", "bfloat16"))
    assert report.ok, report
    assert [*dict.fromkeys(row.dtype for row in report.rows)] == ["float64", "float32", "bfloat16"]
    assert not jax.config.jax_enable_x64


def test_training_and_inference_are_both_proved_where_they_differ():
    plain, dropout = Sequential((Dense(C),)), Sequential((Dense(C), Dropout(0.5)))
    assert {row.mode for row in proved(plain).rows} == {"training"}
    assert {row.mode for row in proved(dropout).rows} == {"training", "inference"}


@pytest.mark.parametrize(("n", "first"), [(1, BatchNorm()), (3, RMSNorm())])
def test_a_batch_of_few_passes(n, first):
    assert proved(Sequential((first, Dense(C))), x=X[:n], y=LABELS[:n]).ok


def test_a_handful_of_a_large_batch_is_looked_at():
    x, y = np.repeat(X, 50, axis=0), np.repeat(LABELS, 50)
    assert proved(Sequential((Dense(C),)), x=x, y=y).ok


def test_a_bias_before_batch_norm_has_gradient_0_and_passes():
    network = Sequential((Dense(1), BatchNorm(), Activation("tanh"), Dense(C)))
    report = proved(network)
    assert report.ok, report
    rows = [r for r in report.rows if r.equation == BIAS and r.layer.startswith("0 ")]
    assert max(abs(r.ours) for r in rows if r.mode == "training") < 1e-12
    assert {row.witness for row in rows} == {"local", "whole", "loops"}


def test_a_dead_network_passes():
    """Every relu is off: all gradients below are exactly 0, and so must ours be."""
    network = mlp([4, 4], C, "relu")
    params, _ = network.init(jax.random.key(0), I)
    params = (params[0] | {"b": params[0]["b"] - 1e3}, *params[1:])
    report = check_gradients(network, CLASSES, params, (X, LABELS))
    assert report.ok, report
    rows = [r for r in report.rows if r.layer.startswith("0 ") and r.equation == EQUATION_3]
    assert {(row.error, row.ours) for row in rows} == {(0.0, 0.0)}


@pytest.mark.parametrize(
    ("where", "value"), [("x", np.nan), ("x", -np.inf), ("params", np.nan), ("params", np.inf)]
)
def test_what_is_not_finite_is_not_ok(value, where):
    network = Sequential((Dense(C, "tanh"),))
    params, _ = network.init(jax.random.key(0), I)
    x = X.copy()
    if where == "x":
        x[0, 0] = value
    else:
        params = ({"W": params[0]["W"].at[0, 0].set(value), "b": params[0]["b"]},)
    batch = x, RNG.normal(size=(N, C))
    report = check_gradients(network, get_loss("squared_error"), params, batch)
    assert not report.ok
    assert report.fault is not None
    assert "FAULT" in str(report)


def test_a_gradient_of_nan_in_one_place_is_not_ok():
    def spoiled(*arguments):
        value, state, grads, tape = forward_backward(*arguments)
        last = grads[-1] | {"b": grads[-1]["b"].at[0].set(jnp.nan)}
        return value, state, (*grads[:-1], last), tape

    report = proved(mlp([4], C, "tanh"), differentiate=spoiled)
    assert not report.ok
    assert (report.fault.layer, report.fault.equation) == ("1 Dense(3, identity)", BIAS)
    assert np.isnan(report.worst.error)


def test_a_gradient_of_another_shape_is_a_fault_and_not_a_crash():
    def reshaped(*arguments):
        value, state, grads, tape = forward_backward(*arguments)
        return value, state, (grads[0] | {"W": grads[0]["W"].T}, *grads[1:]), tape

    report = proved(Sequential((Dense(I, "tanh"), Dense(C))), differentiate=reshaped)
    assert (report.fault.layer, report.fault.equation) == (f"0 Dense({I}, tanh)", EQUATION_3)


def test_the_seed_decides_the_parameters_that_are_looked_at():
    first, again, other = (proved(Sequential((Dense(C),)), seed=seed) for seed in (0, 0, 1))
    assert first.rows == again.rows
    assert first.rows != other.rows


def test_the_parameters_given_stay_as_they_are():
    network = mlp([4], C)
    params, _ = network.init(jax.random.key(0), I)
    before = jax.tree.map(np.array, params)
    check_gradients(network, CLASSES, params, (X, LABELS))
    jax.tree.map(np.testing.assert_array_equal, params, before)


def test_running_figures_must_be_given():
    network = mlp([4], C, norm="batch")
    params, _ = network.init(jax.random.key(0), I)
    with pytest.raises(InputError, match="running statistics: pass the state="):
        check_gradients(network, CLASSES, params, (X, LABELS))
