"""Every statistic of the tape is what `jax.vmap(jax.grad)` gives, one example at a time."""

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
from agreement import TOLERANCE, assert_agree, error
from statistics_cases import KEY, LOSS, NETWORKS, WEIGHTS, C, Case, N, summed_squares

from mlp_jax.backprop import (
    Clipped,
    Tape,
    apply,
    clip_per_example,
    gradient_noise,
    gram_matrix,
    loss_and_tape,
    mlp,
    per_example_gradient,
    per_example_gradients,
    second_moment,
    signal_to_noise,
    squared_norms,
    squared_norms_by_layer,
    squared_norms_by_parameter,
    tangent_kernel,
    tape_of_outputs,
    variance,
)
from mlp_jax.backprop.gradient import forward_backward
from mlp_jax.errors import InputError


@pytest.fixture(params=[*((name, "float64") for name in NETWORKS), ("dense", "float32")], ids=str)
def case(request):
    name, dtype = request.param
    with jax.enable_x64(dtype == "float64"):
        built = Case(name, dtype)
        built.dtype = dtype
        yield built


def test_every_statistic_is_what_jax_gives_example_by_example(case):
    apart, dtype = case.apart(), case.dtype
    c = jnp.asarray(WEIGHTS, dtype)
    each = jax.tree.map(summed_squares, apart)
    total = sum(jax.tree.leaves(each))
    assert_agree(squared_norms_by_parameter(case.tape), each, dtype)
    assert_agree(squared_norms(case.tape), total, dtype)
    norms = np.sqrt(total)
    bound = float(np.median(norms))
    factors = np.minimum(1, bound / norms)
    clipped = clip_per_example(case.tape, bound)
    expected = jax.tree.map(lambda g: np.tensordot(factors, g, 1), apart)
    assert_agree(clipped, Clipped(expected, norms, factors), dtype)
    weighted = clip_per_example(case.tape, bound, c)
    expected = jax.tree.map(lambda g: np.tensordot(WEIGHTS * factors, g, 1), apart)
    assert_agree(weighted.grads, expected, dtype)
    for given, used in ((None, np.ones(N)), (c, WEIGHTS)):
        expected = jax.tree.map(lambda g, used=used: np.tensordot(used, g**2, 1), apart)
        assert_agree(second_moment(case.tape, given), expected, dtype)
        p = used / used.sum()
        mean = jax.tree.map(lambda g, p=p: np.tensordot(p, g, 1), apart)
        expected = jax.tree.map(lambda g, m, p=p: np.tensordot(p, (g - m) ** 2, 1), apart, mean)
        size = max(float(np.linalg.norm(np.tensordot(p, g**2, 1))) for g in jax.tree.leaves(apart))
        assert_agree(variance(case.tape, given), expected, dtype, size=size)


def test_per_example_gradients_come_parameter_by_parameter(case):
    expected = jax.tree_util.tree_leaves_with_path(case.apart())
    found = per_example_gradients(case.tape)
    for (path, ours), (keys, theirs) in zip(found, expected, strict=True):
        assert jax.tree_util.keystr(keys) == "".join(f"[{part!r}]" for part in path)
        assert error(ours, theirs) <= TOLERANCE[case.dtype]
        assert np.array_equal(per_example_gradient(case.tape, path), ours)


def test_the_gram_matrix_is_that_of_the_gradients(case):
    flat = case.flat()
    ours = np.asarray(gram_matrix(case.tape))
    assert_agree(ours, flat @ flat.T, case.dtype)
    assert np.array_equal(ours, ours.T)
    assert error(np.diag(ours), squared_norms(case.tape)) <= TOLERANCE[case.dtype]


@pytest.mark.parametrize("name", ["dense", "categories", "layer norm"])
def test_two_tapes_give_the_influence_of_each_example_on_each_other(name, x64):
    train, test = Case(name), Case(name, n=3)
    test.params = train.params
    test.tape = loss_and_tape(test.network, LOSS)(test.params, test.x, test.y)[2]
    ours = gram_matrix(train.tape, test.tape)
    assert ours.shape == (N, 3)
    assert_agree(ours, train.flat() @ test.flat().T)


def test_influence_is_what_a_small_step_on_one_example_changes(x64):
    """TracIn's own meaning, by carrying out the step."""
    case, rate = Case("dense"), 1e-6
    influence = gram_matrix(case.tape, case.tape)
    gradients = case.apart()
    for n in (0, 5):
        moved = jax.tree.map(lambda p, g, n=n: p - rate * g[n], case.params, gradients)
        before, after = (
            LOSS.value(apply(case.network, p, case.x), case.y) for p in (case.params, moved)
        )
        np.testing.assert_allclose((before - after) / rate, influence[n], atol=1e-4)


def test_norms_by_layer_add_the_parameters_of_each(x64):
    case = Case("dropout")
    first, none, last = squared_norms_by_layer(case.tape)
    apart = case.apart()
    assert none is None
    for ours, layer in ((first, apart[0]), (last, apart[2])):
        assert_agree(ours, summed_squares(layer["W"]) + summed_squares(layer["b"]))
    a, delta = (np.asarray(v) for v in case.tape.records[2]["W"])
    assert_agree(last, summed_squares(delta) * (summed_squares(a) + 1))


def test_weights_of_0_and_norms_of_0_are_no_division_by_0(x64):
    case = Case("dense")
    y = jax.nn.softmax(apply(case.network, case.params, case.x), axis=1)
    # Targets that are the prediction itself: the gradient of these examples is exactly 0.
    y = y.at[0].set(jnp.eye(C)[0])
    tape = loss_and_tape(case.network, LOSS)(case.params, case.x, y)[2]
    tape = jax.tree.map(lambda v: jnp.where(jnp.abs(v) < 1e-14, jnp.zeros_like(v), v), tape)
    clipped = clip_per_example(tape, 0.01)
    assert np.all(np.asarray(clipped.norms)[1:] == 0)
    assert np.all(np.asarray(clipped.factors)[1:] == 1)
    size = np.sqrt(sum(np.sum(np.asarray(g) ** 2) for g in jax.tree.leaves(clipped.grads)))
    np.testing.assert_allclose(size, 0.01, rtol=1e-12)
    nothing = jnp.zeros(N)
    for found in (second_moment, variance, signal_to_noise):
        assert all(np.all(np.asarray(v) == 0) for v in jax.tree.leaves(found(case.tape, nothing)))
    grads = clip_per_example(case.tape, 1.0, nothing).grads
    assert all(np.all(np.asarray(v) == 0) for v in jax.tree.leaves(grads))


@pytest.mark.parametrize("name", ["dense", "categories"])
def test_a_batch_of_one_has_norms_and_no_noise(name, x64):
    case = Case(name, n=1)
    flat = case.flat()
    assert_agree(squared_norms(case.tape), summed_squares(flat))
    assert_agree(gram_matrix(case.tape), flat @ flat.T)
    assert_agree(second_moment(case.tape), jax.tree.map(lambda g: g**2, case.grads))
    rounding = jax.tree.map(lambda v, g: np.all(v <= 1e-15 * g**2), variance(case.tape), case.grads)
    assert all(jax.tree.leaves(rounding))
    assert all(np.isnan(v) for v in gradient_noise(case.tape))
    only = jnp.asarray([0.0, 0, 3, 0, 0, 0, 0, 0])
    assert all(np.isnan(v) for v in gradient_noise(Case(name).tape, only))


def test_no_bound_clips_nothing_and_the_sum_is_the_gradient(x64):
    case = Case("dense")
    clipped = clip_per_example(case.tape, np.inf, jnp.full(N, 1 / N))
    assert_agree(clipped.grads, case.grads)
    assert np.all(np.asarray(clipped.factors) == 1)


def test_an_example_that_took_no_row_has_no_gradient_there(x64):
    case = Case("categories")
    unknown = np.asarray(case.x)[:, -2] == 0
    assert unknown.any()
    norms = np.asarray(squared_norms_by_parameter(case.tape)[0]["embedding_0"])
    assert np.all((norms == 0) == unknown)


@pytest.mark.parametrize("name", ["residual", "batch norm in inference", "categories"])
def test_the_tangent_kernel_is_that_of_the_jacobian(name, x64):
    case = Case(name)

    def outputs(params, x):
        return apply(case.network, params, x, state=case.state)

    jacobian = jax.tree.leaves(jax.jit(jax.jacrev(outputs))(case.params, case.x))
    flat = np.concatenate([np.asarray(j).reshape(N, C, -1) for j in jacobian], axis=2)
    expected = np.einsum("ncp,mdp->nmcd", flat, flat)
    kernel = tangent_kernel(case.network, case.params, case.x, state=case.state)
    assert_agree(kernel, expected)
    beside = tangent_kernel(case.network, case.params, case.x, case.x[:2], state=case.state)
    assert_agree(beside, expected[:, :2])
    rows = squared_norms(tape_of_outputs(case.network, case.params, case.x, state=case.state))
    assert_agree(rows, np.sum(flat**2, axis=2).reshape(-1))


STATISTICS = {
    "squared_norms": squared_norms,
    "squared_norms_by_layer": squared_norms_by_layer,
    "squared_norms_by_parameter": squared_norms_by_parameter,
    "per_example_gradients": lambda tape: next(per_example_gradients(tape)),
    "per_example_gradient": lambda tape: per_example_gradient(tape, (0, "W")),
    "clip_per_example": lambda tape: clip_per_example(tape, 1.0),
    "second_moment": second_moment,
    "variance": variance,
    "signal_to_noise": signal_to_noise,
    "gradient_noise": gradient_noise,
    "gram_matrix": gram_matrix,
    "gram_matrix of two": lambda tape: gram_matrix(tape, tape),
}


@pytest.mark.parametrize("name", STATISTICS)
def test_records_that_carry_the_weights_are_refused_with_the_reason(name):
    case = Case("batch norm in inference", "float32")
    network = case.network
    args = case.params, case.x, case.y
    coupled = loss_and_tape(network, LOSS)(*args, state=case.state)[2]
    dense = Case("dense", "float32")
    c = jnp.full(N, 1 / N, jnp.float32)
    weighted = forward_backward(
        dense.network, LOSS, True, dense.params, dense.state, dense.x, dense.y, c, None, None,
        per_example=False,
    )[3]  # fmt: skip
    for tape in (coupled, weighted):
        with pytest.raises(InputError, match="because batch norm in training mode mixes the"):
            STATISTICS[name](tape)


@pytest.fixture
def shapes_unchecked():
    """As outside these tests, where nothing looks at the annotations."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.mark.usefixtures("shapes_unchecked")
def test_what_does_not_fit_gets_one_clear_sentence():
    case, other = Case("dense", "float32"), Case("no bias", "float32")
    for bound in (0, -1.0, np.nan):
        with pytest.raises(InputError, match="norm bound must be positive, not"):
            clip_per_example(case.tape, bound)
    for statistic in (second_moment, variance, signal_to_noise, gradient_noise):
        with pytest.raises(InputError, match=r"one entry per example, \(8,\), not \(7,\)"):
            statistic(case.tape, jnp.ones(N - 1))
    with pytest.raises(InputError, match="different networks"):
        gram_matrix(case.tape, other.tape)
    with pytest.raises(InputError, match=r"no parameter \(9, 'W'\). It has \(0, 'W'\), \(0, 'b'\)"):
        per_example_gradient(case.tape, (9, "W"))
    with pytest.raises(InputError, match="without parameters"):
        squared_norms(Tape(({}, {})))
    with pytest.raises(InputError, match="keeps running statistics"):
        tangent_kernel(NETWORKS["batch norm in inference"], None, case.x)


@pytest.mark.parametrize("statistic", ["squared_norms", "clip_per_example"])
def test_no_memory_of_the_size_of_all_gradients_is_needed(statistic):
    """The temporary memory of the pass with the statistic beside N gradients of the network."""
    n, width = 64, 96
    network = mlp([width, width], C, "relu")
    params, _ = network.init(KEY, width)
    f = loss_and_tape(network, LOSS)

    def step(params, x, y):
        _, grads, tape = f(params, x, y)
        return grads, STATISTICS[statistic](tape)

    x, y = jnp.ones((n, width)), jnp.zeros(n, jnp.int32)
    memory = jax.jit(step).lower(params, x, y).compile().memory_analysis()
    all_gradients = n * sum(p.nbytes for p in jax.tree.leaves(params))
    assert 0 < memory.temp_size_in_bytes < all_gradients / 10
