"""The proof is proved: every deliberate fault is caught, at its layer, in its equation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mlp_jax import check_gradients, get_loss, mlp
from mlp_jax.backprop import BatchNorm, Categories, Dense, Residual, Sequential
from mlp_jax.backprop.gradient import forward_backward
from mlp_jax.proof.faults import FAULTS, inject
from mlp_jax.proof.oracles import BIAS, CHAIN, EQUATION_2, EQUATION_3, INPUT, LOOK_UP, NORM
from mlp_jax.proof.trial import TABLES, table_network

I, C = 4, 3  # noqa: E741
RNG = np.random.default_rng(0)
BATCH = RNG.normal(size=(8, I)), RNG.integers(0, C, 8)
# A category of 20 codes beside the numbers: one unknown, some codes twice.
CODED = np.hstack([BATCH[0], np.array([[0, 3, 20, 3, 7, 1, 1, 20]]).T]), BATCH[1]
# Faults of the whole pass rather than of one layer: they show wherever examples are summed.
EVERYWHERE = {"mean_forgotten", "weights_after_batch_norm"}
# The gradient itself is right, and what else the tape gives is not.
BESIDE_THE_GRADIENT = {"bias_norm_forgotten", "shared_norm_multiplied"}


def network_for(fault):
    """A small tanh network that has what the fault needs."""
    needs = {name: value for name, value in fault.needs.items() if name != "loss"}
    hidden = (I, I) if "hidden" in needs else (I,)
    codes = needs.pop("categories", ())
    if "table" in needs:
        return table_network(needs["table"], I, (I,), C, "tanh", 0.0, "softmax")
    network = mlp(n_out=C, **(needs | {"hidden": hidden, "activation": "tanh"}))
    first = (Categories(I, codes, (6,)),) if codes else ()
    return Sequential((*first, *network.layers))


def width_for(fault):
    return I + ("categories" in fault.needs)


def proof_of(network, loss, params, state, batch=BATCH, **options):
    return check_gradients(network, loss, params, batch, state=state, **options)


@pytest.fixture(scope="module", params=FAULTS)
def caught(request):
    """(name, fault, report) of a network with the fault in it."""
    fault = FAULTS[request.param]
    network, loss = network_for(fault), get_loss("softmax_cross_entropy")
    n_in = width_for(fault)
    params, state = network.init(jax.random.key(0), n_in)
    injected = inject(fault, network, loss, n_in)
    assert injected is not None
    faulty, loss, differentiate = injected
    options = {"differentiate": differentiate, "samples": 2}
    report = proof_of(faulty, loss, params, state, CODED if n_in > I else BATCH, **options)
    return request.param, fault, report


def without_number(label):
    return label.split(" ", 1)[-1] if label[0].isdigit() else label


def test_every_fault_is_caught_with_its_layer_and_its_equation(caught):
    _, fault, report = caught
    assert not report.ok
    assert report.fault is not None
    assert without_number(report.fault.layer).startswith(fault.layer)
    assert report.fault.equation == fault.equation
    assert not report.fault.ok


def test_the_whole_gradient_and_the_differences_tell_of_every_fault_too(caught):
    """Two witnesses that know nothing of layers."""
    name, _, report = caught
    if name in BESIDE_THE_GRADIENT:
        failed = {(row.witness, row.equation) for row in report.rows if not row.ok}
        assert failed == {("whole", report.fault.equation)}
        return
    for witness in ("whole", "differences"):
        assert not all(row.ok for row in report.rows if row.witness == witness)


def test_no_fault_smears_over_the_equations_of_other_layers(caught):
    name, fault, report = caught
    failed = {
        (row.layer, row.equation)
        for row in report.rows
        if not row.ok and row.witness in ("local", "loops")
    }
    if name == "mean_forgotten":
        assert {equation for _, equation in failed} == {EQUATION_3, BIAS}
    elif name == "norm_shift_not_added":  # the forward pass no longer depends on the shift
        assert failed == {(report.fault.layer, NORM), (report.fault.layer, "∇shift")}
    elif name in BESIDE_THE_GRADIENT:
        assert failed == set()
    elif name not in EVERYWHERE:
        assert failed == {(report.fault.layer, fault.equation)}


def test_a_caught_fault_is_what_the_report_ends_with(caught):
    _, fault, report = caught
    last = str(report).splitlines()[-1]
    assert last.startswith("FAULT in ")
    assert fault.equation in last


@pytest.mark.parametrize("needs", [{"residual": True}, {"norm": "rms"}], ids=str)
def test_networks_without_a_fault_pass(needs):
    network = mlp([I, I], C, "tanh", **needs)
    params, state = network.init(jax.random.key(0), I)
    report = proof_of(network, get_loss("softmax_cross_entropy"), params, state)
    assert report.ok, report
    assert report.fault is None


@pytest.mark.parametrize("name", TABLES)
def test_the_networks_of_tables_pass_with_dropout_in_float32_too(name):
    network = table_network(name, I, (I, I), C, "mish", 0.2, "softmax")
    params, state = network.init(jax.random.key(0), I)
    loss = get_loss("softmax_cross_entropy", label_smoothing=0.1)
    report = proof_of(network, loss, params, state, dtypes=("float64", "float32"), samples=None)
    assert report.ok, report
    assert {row.mode for row in report.rows} == {"training", "inference"}


def test_a_fault_without_a_place_is_not_injected():
    plain, loss = mlp([5], C), get_loss("squared_error")
    for name in ("dropout_unscaled", "norm_mean_dropped", "residual_detached", "lost_transpose"):
        assert inject(FAULTS[name], plain, loss, I) is None
    assert inject(FAULTS["weights_after_batch_norm"], plain, loss, I) is None
    assert inject(FAULTS["target_forgotten"], plain, loss, I) is None


@pytest.mark.parametrize(
    ("name", "activation"),
    [
        ("slope_at_output", "relu"),
        ("slope_at_output", "leaky_relu"),
        ("slope_forgotten", "identity"),
    ],
)
def test_a_mistake_that_would_be_none_is_not_injected(name, activation):
    """relu has f'(a') = f'(z), and the identity has no slope to forget."""
    square = mlp([I, I], I, activation)
    assert inject(FAULTS[name], square, get_loss("squared_error"), I) is None


def test_a_slope_fault_is_not_put_into_a_linear_output():
    injected = inject(FAULTS["slope_forgotten"], mlp([I], I, "tanh"), get_loss("squared_error"), I)
    hidden, output = injected[0].layers
    assert type(hidden).__name__ == "_SlopeForgotten"
    assert type(output).__name__ == "Dense"


def test_a_fault_finds_its_place_inside_composed_layers():
    network = Sequential((Residual(mlp([], I, "tanh", norm=None)), *mlp([I], C).layers))
    layers = inject(FAULTS["lost_transpose"], network, get_loss("squared_error"), I)[0].layers
    assert type(layers[1]).__name__ == "_LostTranspose"
    inner = inject(FAULTS["factor_two"], Residual(mlp([], I)), get_loss("squared_error"), I)[0]
    assert type(inner.body.layers[0]).__name__ == "_Doubled"


def weights_twice(network, loss, train, params, state, x, y, c, mask, key):
    """c in the gradient of the loss, and in equation 3 once more."""
    n = len(c)
    value, state, _, tape = forward_backward(
        network, loss, train, params, state, x, y, c, mask, key
    )
    squared = forward_backward(network, loss, train, params, state, x, y, n * c * c, mask, key)
    return value, state, squared[2], tape


def two_gradients_exchanged(*arguments):
    """Right values, put down at each other's layer: both are (I, I)."""
    value, state, grads, tape = forward_backward(*arguments)
    first, second, last = grads
    return value, state, (second, first, last), tape


def value_of_the_sum(*arguments):
    value, *rest = forward_backward(*arguments)
    return arguments[7].shape[0] * value, *rest


def tiny_error(*arguments):
    """One entry of one weight matrix off by a part in 10¹⁰."""
    value, state, grads, tape = forward_backward(*arguments)
    first = grads[0] | {"W": grads[0]["W"].at[1, 2].multiply(1 + 1e-9)}
    return value, state, (first, *grads[1:]), tape


def zero_weights_counted(network, loss, train, params, state, x, y, c, mask, key):
    """An example of weight 0 counts a little in the gradient: a padding row that leaks."""
    arguments = network, loss, train, params, state, x, y
    value, state, _, tape = forward_backward(*arguments, c, mask, key)
    grads = forward_backward(*arguments, jnp.maximum(c, 1e-3), mask, key)[2]
    return value, state, grads, tape


@pytest.mark.parametrize(
    ("wrong", "equation"),
    [
        (weights_twice, EQUATION_3),
        (two_gradients_exchanged, EQUATION_3),
        (tiny_error, EQUATION_3),
        (zero_weights_counted, EQUATION_3),
        (value_of_the_sum, "E = Σ c E"),
    ],
)
def test_faults_that_are_not_on_the_list_are_caught_as_well(wrong, equation):
    network = mlp([I, I], C, "tanh")
    params, state = network.init(jax.random.key(0), I)
    report = proof_of(
        network, get_loss("softmax_cross_entropy"), params, state, differentiate=wrong
    )
    assert not report.ok
    assert report.fault.equation == equation


class Leaking(Sequential):
    """Hands on half of the gradient: every layer's own equations are right."""

    def backward(self, params, residual, grad_a_next, *, need_grad_a):
        records = []
        for index in reversed(range(len(self.layers))):
            grad_a, own = self.layers[index].backward(
                params[index], residual[index], grad_a_next, need_grad_a=need_grad_a or index > 0
            )
            records.append(own)
            grad_a_next = None if grad_a is None else 0.5 * grad_a
        return grad_a, tuple(reversed(records))


class Unequal(Residual):
    """Gives its body twice the gradient."""

    def backward(self, params, residual, grad_a_next, *, need_grad_a):
        grad_a, records = self.body.backward(
            params[0], residual[0], 2 * grad_a_next, need_grad_a=need_grad_a
        )
        return (grad_a_next + grad_a if need_grad_a else None), (records,)


class CodesMoved(Categories):
    """Hands the gradient of an embedding's first entry on as that of the code."""

    def backward(self, params, residual, grad_a_next, *, need_grad_a):
        grad_a, records = super().backward(params, residual, grad_a_next, need_grad_a=True)
        return grad_a.at[:, I].set(grad_a_next[:, I]), records


class OneHotShifted(Categories):
    """Takes code k for k + 1 on the way forward: only loops know what it means."""

    def forward(self, params, state, a, **options):
        moved = a.at[:, I].set(jnp.where(a[:, I] > 0, a[:, I] + 1, a[:, I]))
        return super().forward(params, state, moved, **options)


def test_a_gradient_that_reaches_a_code_is_found():
    network = Sequential((CodesMoved(I, (20,), (6,)), Dense(C)))
    params, state = network.init(jax.random.key(0), I + 1)
    report = proof_of(network, get_loss("softmax_cross_entropy"), params, state, CODED)
    failed = {(row.layer, row.equation) for row in report.rows if not row.ok}
    assert failed == {("0 Categories(4, 20→6)", INPUT)}


def test_a_wrong_row_in_the_forward_pass_is_found_by_the_loops():
    network = Sequential((OneHotShifted(I, (20,), (0,)), Dense(C)))
    params, state = network.init(jax.random.key(0), I + 1)
    loss = get_loss("softmax_cross_entropy")
    report = proof_of(network, loss, params, state, CODED, samples=None)
    failed = {(row.layer, row.equation, row.witness) for row in report.rows if not row.ok}
    assert failed == {("0 Categories(4, 20)", LOOK_UP, "loops")}


class MaskForgotten(BatchNorm):
    """Means over all rows on the way back, padding too."""

    def input_grad(self, g_hat, saved):
        if saved.row_share is not None:
            saved = saved._replace(row_share=jnp.full_like(saved.row_share, 1 / len(g_hat)))
        return super().input_grad(g_hat, saved)


@pytest.mark.parametrize(
    ("layers", "layer", "equation"),
    [
        (Leaking((Dense(I, "tanh"), Dense(C))), "0 Dense(4, tanh)", CHAIN),
        (Sequential((Unequal(Dense(I)), Dense(C))), "0.0 Dense(4, identity)", CHAIN),
        (Sequential((Dense(2), MaskForgotten(), Dense(C))), "1 BatchNorm()", INPUT),
    ],
)
def test_faults_of_layers_that_are_not_on_the_list_are_located_too(layers, layer, equation):
    params, state = layers.init(jax.random.key(0), I)
    report = proof_of(layers, get_loss("softmax_cross_entropy"), params, state)
    failed = {
        (row.layer, row.equation)
        for row in report.rows
        if not row.ok and row.witness in ("local", "loops")
    }
    assert failed == {(layer, equation)}


def test_a_fault_shows_in_float32_and_in_bfloat16():
    fault = FAULTS["lost_transpose"]
    network, loss = network_for(fault), get_loss("softmax_cross_entropy")
    params, state = network.init(jax.random.key(0), I)
    faulty, loss, differentiate = inject(fault, network, loss, I)
    options = {"dtypes": ("float32", "bfloat16"), "differentiate": differentiate}
    report = proof_of(faulty, loss, params, state, **options)
    for dtype in options["dtypes"]:
        failed = [r for r in report.rows if r.dtype == dtype and r.witness == "local" and not r.ok]
        assert {row.equation for row in failed} == {EQUATION_2}
