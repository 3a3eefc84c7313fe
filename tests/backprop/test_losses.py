"""Every loss and its gradient: against `jax.grad`, plain numbers, Optax, and at the edges."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from agreement import assert_agree

from mlp_jax.backprop import LOSSES, get_loss
from mlp_jax.proof.scalars import LOSS_SCALARS

N, C = 9, 4
RNG = np.random.default_rng(0)
OUTPUT = RNG.normal(scale=2, size=(N, C))
REAL = RNG.normal(scale=2, size=(N, C))
COUNTS = RNG.poisson(2, size=(N, C)).astype(float)
LABELS = RNG.integers(0, C, N)
CHANCES = RNG.dirichlet(np.ones(C), N)
BITS = RNG.integers(0, 2, (N, C))


class Case(NamedTuple):
    name: str
    y: np.ndarray
    options: dict[str, float] = {}  # noqa: RUF012
    outputs: int = C

    @property
    def loss(self):
        return get_loss(self.name, **self.options)

    @property
    def s(self):
        return OUTPUT[:, : self.outputs]


CASES = {
    "squared_error": Case("squared_error", REAL),
    "squared_error, 1 output": Case("squared_error", REAL[:, 0], outputs=1),
    "absolute_error": Case("absolute_error", REAL),
    "huber": Case("huber", REAL),
    "huber, delta": Case("huber", REAL, {"delta": 0.4}),
    "log_cosh": Case("log_cosh", REAL),
    "quantile": Case("quantile", REAL),
    "quantile, q": Case("quantile", REAL, {"q": 0.9}),
    "poisson": Case("poisson", COUNTS),
    "softmax, labels": Case("softmax_cross_entropy", LABELS),
    "softmax, probabilities": Case("softmax_cross_entropy", CHANCES),
    "softmax, masses": Case("softmax_cross_entropy", 3 * CHANCES + 0.1),
    "softmax, labels smoothed": Case("softmax_cross_entropy", LABELS, {"label_smoothing": 0.1}),
    "softmax, chances smoothed": Case("softmax_cross_entropy", CHANCES, {"label_smoothing": 0.3}),
    "sigmoid": Case("sigmoid_cross_entropy", BITS[:, 0], outputs=1),
    "sigmoid, many": Case("sigmoid_cross_entropy", BITS),
    "sigmoid, chances": Case("sigmoid_cross_entropy", CHANCES),
    "sigmoid, smoothed": Case("sigmoid_cross_entropy", BITS, {"label_smoothing": 0.2}),
    "hinge, labels": Case("hinge", LABELS),
    "hinge, 1 output": Case("hinge", BITS[:, 0], outputs=1),
    "hinge, many": Case("hinge", BITS),
    "focal, labels": Case("focal", LABELS),
    "focal, labels, gamma": Case("focal", LABELS, {"gamma": 0.5}),
    "focal, 1 output": Case("focal", BITS[:, 0], outputs=1),
    "focal, many": Case("focal", BITS, {"gamma": 3.0}),
}


def test_the_table_and_its_witness_name_the_same_losses():
    assert set(LOSSES) == set(LOSS_SCALARS) == {case.name for case in CASES.values()}


@pytest.fixture(scope="module")
def computed():
    """{case: (value, gradient, gradient by JAX)} in float64, as one program."""

    def all_of_them(arrays):
        found = {}
        for name, (s, y) in arrays.items():
            loss = CASES[name].loss
            by_jax = jax.grad(lambda s, loss=loss, y=y: jnp.sum(loss.value(s, y)))(s)
            found[name] = loss.value(s, y), loss.gradient(s, y), by_jax
        return found

    quick = {"xla_backend_optimization_level": 0} if jax.default_backend() == "cpu" else None
    with jax.enable_x64(True):
        arrays = {name: (jnp.asarray(v.s), jnp.asarray(v.y)) for name, v in CASES.items()}
        return jax.device_get(jax.jit(all_of_them, compiler_options=quick)(arrays))


@pytest.mark.parametrize("name", CASES)
def test_the_gradient_is_the_one_of_jax(name, computed):
    value, gradient, by_jax = computed[name]
    assert value.shape == (N,)
    assert value.dtype == gradient.dtype == np.float64
    assert_agree(gradient, by_jax)


@pytest.mark.parametrize("name", CASES)
def test_value_and_gradient_are_those_of_plain_numbers(name, computed):
    case = CASES[name]
    value, gradient, _ = computed[name]
    f, slope = LOSS_SCALARS[case.name]
    labels = case.y.dtype.kind == "i" and case.y.ndim == 1 and case.outputs > 1
    rows = [
        (row.tolist(), int(y) if labels else np.atleast_1d(y).astype(float).tolist())
        for row, y in zip(case.s, case.y, strict=True)
    ]
    assert_agree(value, np.array([f(s, y, **case.options) for s, y in rows]))
    by_hand = [[slope(s, y, k, **case.options) for k in range(case.outputs)] for s, y in rows]
    assert_agree(gradient, np.array(by_hand))


def focal_by_optax(s, y):
    return jnp.sum(optax.sigmoid_focal_loss(s, y, gamma=3.0), axis=1)


def labels_of(y):
    return jax.nn.one_hot(y, C, dtype=jnp.float64)


BY_OPTAX = {
    "squared_error": lambda s, y: jnp.mean(optax.squared_error(s, y), axis=1),
    "huber": lambda s, y: jnp.mean(optax.huber_loss(s, y), axis=1),
    "huber, delta": lambda s, y: jnp.mean(optax.huber_loss(s, y, delta=0.4), axis=1),
    "log_cosh": lambda s, y: jnp.mean(optax.log_cosh(s, y), axis=1),
    "softmax, labels": optax.softmax_cross_entropy_with_integer_labels,
    "softmax, probabilities": optax.softmax_cross_entropy,
    "softmax, masses": optax.softmax_cross_entropy,
    "softmax, labels smoothed": lambda s, y: optax.softmax_cross_entropy(
        s, optax.smooth_labels(labels_of(y), 0.1)
    ),
    "sigmoid, many": lambda s, y: jnp.sum(
        optax.sigmoid_binary_cross_entropy(s, y.astype(s.dtype)), axis=1
    ),
    "sigmoid, chances": lambda s, y: jnp.sum(optax.sigmoid_binary_cross_entropy(s, y), axis=1),
    "hinge, labels": optax.losses.multiclass_hinge_loss,
    "hinge, many": lambda s, y: jnp.sum(optax.hinge_loss(s, 2.0 * y - 1), axis=1),
    "focal, many": lambda s, y: focal_by_optax(s, y.astype(s.dtype)),
}


@pytest.fixture(scope="module")
def optax_values():
    def all_of_them(arrays):
        return {name: BY_OPTAX[name](s, y) for name, (s, y) in arrays.items()}

    with (
        jax.enable_x64(True),
        jax.numpy_dtype_promotion("standard"),
        jax.numpy_rank_promotion("allow"),
    ):
        arrays = {n: (jnp.asarray(CASES[n].s), jnp.asarray(CASES[n].y)) for n in BY_OPTAX}
        return jax.device_get(jax.jit(all_of_them)(arrays))


@pytest.mark.parametrize("name", BY_OPTAX)
def test_the_value_is_the_one_of_optax(name, computed, optax_values):
    assert_agree(computed[name][0], optax_values[name])


def value_and_gradient(name, s, y, dtype, **options):
    """Eₙ and ∇Eₙ of one example."""
    loss = get_loss(name, **options)
    s, y = jnp.asarray([s], dtype), jnp.asarray([y])
    return np.asarray(loss.value(s, y))[0], np.asarray(loss.gradient(s, y))[0]


ENORMOUS = [
    ("softmax_cross_entropy", [1e4, -1e4], 0, 0, [0, 0]),
    ("softmax_cross_entropy", [1e4, -1e4], 1, 2e4, [1, -1]),
    ("softmax_cross_entropy", [1e4, 1e4], [0.25, 0.75], math.log(2), [0.25, -0.25]),
    ("sigmoid_cross_entropy", [1e4, -1e4], [1, 0], 0, [0, 0]),
    ("sigmoid_cross_entropy", [1e4, -1e4], [0, 1], 2e4, [1, -1]),
    ("hinge", [1e4, -1e4], 1, 1 + 2e4, [1, -1]),
    ("hinge", [1e4, -1e4], [0, 0], 1 + 1e4, [1, 0]),
    ("focal", [1e4, -1e4], 0, 0, [0, 0]),
    ("focal", [1e4, -1e4], 1, 2e4, [1, -1]),
    ("focal", [1e4, -1e4], [0, 1], 2e4, [1, -1]),
    ("focal", [1e4, -1e4], [1, 0], 0, [0, 0]),
    ("squared_error", [1e4, -1e4], [0.0, 0.0], 1e8, [1e4, -1e4]),
    ("absolute_error", [1e4, -1e4], [0.0, 0.0], 1e4, [0.5, -0.5]),
    ("huber", [1e4, -1e4], [0.0, 0.0], 1e4 - 0.5, [0.5, -0.5]),
    ("log_cosh", [1e4, -1e4], [0.0, 0.0], 1e4 - math.log(2), [0.5, -0.5]),
    ("quantile", [1e4, -1e4], [0.0, 0.0], 5e3, [0.25, -0.25]),
    ("poisson", [-1e4, -1e4], [2.0, 0.0], 1e4, [-1, 0]),
]


@pytest.fixture(scope="module", params=["float32", "float64"])
def at_enormous_outputs(request):
    """[(Eₙ, ∇Eₙ)] of every case, as one program."""

    def all_of_them(outputs):
        found = []
        for (name, _, y, _, _), s in zip(ENORMOUS, outputs, strict=True):
            loss, y = get_loss(name), jnp.asarray([y])
            found.append((loss.value(s, y)[0], loss.gradient(s, y)[0]))
        return found

    with jax.enable_x64(request.param == "float64"):
        outputs = [jnp.asarray([s], request.param) for _, s, *_ in ENORMOUS]
        return request.param, jax.device_get(jax.jit(all_of_them)(outputs))


@pytest.mark.parametrize("number", range(len(ENORMOUS)), ids=[case[0] for case in ENORMOUS])
def test_values_and_gradients_are_right_at_enormous_outputs(number, at_enormous_outputs):
    _, _, _, value, gradient = ENORMOUS[number]
    dtype, results = at_enormous_outputs
    found = results[number]
    assert found[0].dtype == found[1].dtype == dtype
    tolerance = {"float32": 2e-7, "float64": 1e-15}[dtype]
    np.testing.assert_allclose(found[0], value, rtol=tolerance)
    np.testing.assert_allclose(found[1], gradient, rtol=tolerance)


def test_label_smoothing_is_stable_at_enormous_logits():
    """ε = 0.1 over 2 classes: 0.05 of the target lies on the wrong one, 2e4 away."""
    value, gradient = value_and_gradient(
        "softmax_cross_entropy", [1e4, -1e4], 0, "float32", label_smoothing=0.1
    )
    np.testing.assert_allclose(value, 1000, rtol=1e-6)
    np.testing.assert_allclose(gradient, [0.05, -0.05], rtol=1e-6)
    value, gradient = value_and_gradient(
        "sigmoid_cross_entropy", [1e4], [1], "float32", label_smoothing=0.1
    )
    np.testing.assert_allclose(value, 500, rtol=1e-6)
    np.testing.assert_allclose(gradient, [0.05], rtol=1e-6)


def test_the_poisson_rate_overflows_to_infinity_and_never_to_nan():
    value, gradient = value_and_gradient("poisson", [1e4, 0.0], [3.0, 1.0], "float32")
    assert value == np.inf
    np.testing.assert_array_equal(gradient, [np.inf, 0])


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 5.0])
@pytest.mark.parametrize("y", [0, 1, [0, 1], [1, 0]])
def test_focal_is_finite_at_every_certainty(gamma, y):
    for size in (0.0, 30.0, 95.0, 1e4):
        value, gradient = value_and_gradient("focal", [size, -size], y, "float32", gamma=gamma)
        assert np.isfinite(value)
        assert np.all(np.isfinite(gradient))


def test_focal_with_gamma_0_is_the_cross_entropy(x64):
    for plain, y in (("softmax_cross_entropy", LABELS), ("sigmoid_cross_entropy", BITS)):
        arguments = jnp.asarray(OUTPUT), jnp.asarray(y)
        focal, usual = get_loss("focal", gamma=0.0), get_loss(plain)
        assert_agree(focal.value(*arguments), usual.value(*arguments))
        assert_agree(focal.gradient(*arguments), usual.gradient(*arguments))


@pytest.mark.parametrize(
    ("name", "options", "s", "y", "gradient"),
    [
        ("absolute_error", {}, [2.0], [2.0], [0.0]),
        ("quantile", {"q": 0.9}, [2.0], [2.0], [0.5 - 0.9]),
        ("quantile", {"q": 0.9}, [1.0], [2.0], [-0.9]),
        ("quantile", {"q": 0.9}, [3.0], [2.0], [0.1]),
        ("huber", {"delta": 2.0}, [2.0], [0.0], [2.0]),
        ("huber", {"delta": 2.0}, [-2.0], [0.0], [-2.0]),
        ("hinge", {}, [1.0], [1], [0.0]),
        ("hinge", {}, [1.0, 0.0], 0, [0.0, 0.0]),
        ("sigmoid_cross_entropy", {}, [0.0], [1], [-0.5]),
    ],
)
def test_the_slope_at_a_kink_is_the_stated_one(name, options, s, y, gradient):
    _, found = value_and_gradient(name, s, y, "float32", **options)
    np.testing.assert_allclose(found, gradient, rtol=2e-7)


def test_the_hinge_between_classes_that_tie_moves_one_rival_only():
    value, gradient = value_and_gradient("hinge", [0.0, 1.0, 1.0], 0, "float32")
    assert value == 2
    assert gradient[0] == -1
    assert sorted(gradient[1:].tolist()) == [0, 1]


def test_smoothing_moves_a_label_towards_uniform_by_hand():
    """ε = 0.4 over 4 classes: 0.6 + 0.1 on the label, 0.1 elsewhere; all scores equal: p = 1/4."""
    value, gradient = value_and_gradient(
        "softmax_cross_entropy", [5.0] * 4, 2, "float32", label_smoothing=0.4
    )
    np.testing.assert_allclose(value, math.log(4), rtol=1e-6)
    np.testing.assert_allclose(gradient, [0.15, 0.15, -0.45, 0.15], rtol=1e-6)


def test_a_label_and_its_probabilities_are_the_same_target(x64):
    s, loss = jnp.asarray(OUTPUT), get_loss("softmax_cross_entropy", label_smoothing=0.2)
    hot = jnp.asarray(np.eye(C)[LABELS])
    assert_agree(loss.value(s, jnp.asarray(LABELS)), loss.value(s, hot))
    assert_agree(loss.gradient(s, jnp.asarray(LABELS)), loss.gradient(s, hot))


@pytest.mark.parametrize("name", ["squared_error", "absolute_error", "huber", "poisson"])
def test_regression_losses_are_the_mean_over_outputs(name, x64):
    s, y, loss = jnp.asarray(OUTPUT), jnp.asarray(COUNTS), get_loss(name)
    columns = [(s[:, k : k + 1], y[:, k]) for k in range(C)]
    assert_agree(loss.value(s, y), sum(loss.value(*column) for column in columns) / C)
    apart = np.hstack([loss.gradient(*column) / C for column in columns])
    assert_agree(loss.gradient(s, y), apart)


@pytest.mark.parametrize("name", ["sigmoid_cross_entropy", "hinge", "focal"])
def test_multi_label_losses_are_the_sum_over_outputs(name, x64):
    s, y, loss = jnp.asarray(OUTPUT), jnp.asarray(BITS), get_loss(name)
    columns = [(s[:, k : k + 1], y[:, k]) for k in range(C)]
    assert_agree(loss.value(s, y), sum(loss.value(*column) for column in columns))
    assert_agree(
        loss.gradient(s, y), np.hstack([np.asarray(loss.gradient(*column)) for column in columns])
    )


def test_a_pinball_of_a_half_is_half_the_absolute_error(x64):
    s, y = jnp.asarray(OUTPUT), jnp.asarray(REAL)
    half, whole = get_loss("quantile", q=0.5), get_loss("absolute_error")
    assert_agree(2 * half.value(s, y), whole.value(s, y))
    assert_agree(2 * half.gradient(s, y), whole.gradient(s, y))
