"""Hessian, Gauss-Newton matrix and its diagonal are what JAX's Hessians and Jacobians give."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from agreement import assert_agree
from jax.flatten_util import ravel_pytree

from mlp_jax.backprop import (
    BatchNorm,
    Categories,
    Dense,
    Dropout,
    LayerNorm,
    Residual,
    Sequential,
    apply,
    gauss_newton_diagonal,
    gauss_newton_product,
    get_loss,
    hessian_product,
    mlp,
    sampled_gauss_newton_diagonal,
)
from mlp_jax.errors import InputError

N, I, C = 6, 5, 3  # noqa: E741
KEY = jax.random.key(1)
NETWORKS = {
    "dense": mlp([4], C, "tanh"),
    "relu": mlp([6, 4], C, "relu"),
    "residual": Sequential((Residual(Dense(I, "gelu", bias=False)), LayerNorm(), Dense(C))),
    "dropout": Sequential((Dense(6, "tanh"), Dropout(0.4), Dense(C))),
    "categories": Sequential((Categories(I - 2, (4, 3), (2, 0)), Dense(3, "tanh"), Dense(C))),
    "batch norm": Sequential((Dense(4, "tanh"), BatchNorm(), Dense(C))),
}
LOSSES = ("softmax_cross_entropy", "squared_error", "sigmoid_cross_entropy", "poisson", "huber")
WEIGHTS = np.array([1.0, 0, 2, 0, 0.5, 3])


class Case:
    """A network at random parameters, and E as a function of all of them in one vector."""

    def __init__(self, name="dense", loss="softmax_cross_entropy", train=True, n=N, dtype=float):
        rng = np.random.default_rng(0)
        self.network, self.loss, self.train = NETWORKS[name], get_loss(loss), train
        shapes = jax.eval_shape(lambda key: self.network.init(key, I), KEY)

        def noise(path, leaf):
            spread = np.abs if "variance" in str(path[-1]) else np.asarray
            return jnp.asarray(spread(rng.normal(0.2, 0.6, leaf.shape)), dtype)

        self.params, self.state = jax.tree_util.tree_map_with_path(noise, shapes)
        x = rng.normal(size=(n, I))
        if name == "categories":
            x[:, -2:] = rng.integers(0, 4, (n, 2))
        self.x = jnp.asarray(x, dtype)
        self.y = jnp.asarray(rng.integers(0, C, n))
        if self.loss.function.targets != "classes":
            self.y = jnp.asarray(rng.integers(0, 2, (n, C)), dtype)
        self.weights = jnp.asarray(WEIGHTS[:n], dtype)
        self.given = {"state": self.state, "weights": self.weights}
        self.given["key"] = KEY if self.network.draws and train else None
        self.flat, self.unravel = ravel_pytree(self.params)
        self.vector = self.unravel(jnp.asarray(rng.normal(size=self.flat.shape), dtype))

    def output(self, flat):
        return apply(
            self.network, self.unravel(flat), self.x, state=self.state, train=self.train,
            key=self.given["key"],
        )  # fmt: skip

    def value(self, flat):
        c = self.weights / jnp.sum(self.weights)
        return c @ self.loss.value(self.output(flat), self.y)

    def hessian(self):
        return jax.jit(jax.hessian(self.value))(self.flat)

    def gauss_newton(self):
        """Σ cₙ Jₙᵀ ∇²Eₙ Jₙ, every matrix formed."""
        one = jax.hessian(lambda s, y: self.loss.value(s[None], y[None])[0])

        @jax.jit
        def matrices(flat):
            return jax.jacobian(self.output)(flat), jax.vmap(one)(self.output(flat), self.y)

        J, H = map(np.asarray, matrices(self.flat))
        c = np.asarray(self.weights) / np.sum(self.weights)
        return np.einsum("n,ncp,ncd,ndq->pq", c, J, H, J, optimize=True)

    def diagonal(self, **more):
        f = gauss_newton_diagonal(self.network, self.loss, train=self.train)
        return f(self.params, self.x, self.y, **{**self.given, **more})

    def product(self, kind):
        f = kind(self.network, self.loss, train=self.train)
        return f(self.params, self.vector, self.x, self.y, **self.given)

    def times(self, matrix):
        return self.unravel(matrix @ ravel_pytree(self.vector)[0])


CASES = [(name, LOSSES[0]) for name in NETWORKS] + [("dense", loss) for loss in LOSSES[1:]]


@pytest.mark.parametrize(("name", "loss"), CASES)
@pytest.mark.usefixtures("x64")
def test_all_three_agree_with_the_matrices_formed(name, loss):
    case = Case(name, loss, train=name != "batch norm")
    matrix = case.gauss_newton()
    assert_agree(case.diagonal(), case.unravel(np.diagonal(matrix)))
    assert_agree(case.product(gauss_newton_product), case.times(matrix))
    assert_agree(case.product(hessian_product), case.times(case.hessian()))


@pytest.mark.usefixtures("x64")
def test_products_go_through_batch_norm_in_training_mode():
    case = Case("batch norm")
    assert_agree(case.product(hessian_product), case.times(case.hessian()), size=1e-3)
    matrix = case.gauss_newton()
    assert_agree(case.product(gauss_newton_product), case.times(matrix), size=1e-3)


def test_float32_agrees_with_float64_to_its_rounding():
    narrow = Case("relu", dtype=np.float32)
    found = narrow.diagonal(), narrow.product(gauss_newton_product)
    found = (*found, narrow.product(hessian_product))
    with jax.enable_x64(True):
        wide = Case("relu", dtype=np.float64)
        for leaf in ("params", "x", "vector", "weights"):
            setattr(wide, leaf, jax.tree.map(lambda v: v.astype(float), getattr(narrow, leaf)))
        wide.given = {**wide.given, "weights": wide.weights}
        wide.flat, wide.unravel = ravel_pytree(wide.params)
        matrix = wide.gauss_newton()
        expected = wide.unravel(np.diagonal(matrix)), wide.times(matrix)
        assert_agree(found, (*expected, wide.times(wide.hessian())), "float32")


@pytest.mark.parametrize("loss", LOSSES[:-1])
@pytest.mark.usefixtures("x64")
def test_sampled_diagonals_tend_to_the_exact_one(loss):
    """Within five standard errors of the mean of 40 independent estimates, every entry."""
    case = Case(loss=loss)
    f = sampled_gauss_newton_diagonal(case.network, case.loss, samples=25)
    draws = jax.random.split(jax.random.key(7), 40)
    sample = jax.vmap(lambda draw: f(case.params, case.x, case.y, draw, weights=case.weights))
    found, expected = (jax.tree.leaves(tree) for tree in (sample(draws), case.diagonal()))
    for each, exact in zip(found, expected, strict=True):
        spread = np.std(each, axis=0, ddof=1) / np.sqrt(len(draws))
        assert (np.abs(np.mean(each, axis=0) - exact) <= 5 * spread).all()


@pytest.mark.usefixtures("x64")
def test_the_mean_over_all_targets_is_the_exact_diagonal():
    """Σ_k p_k (Jᵀ∇s(k))², the gradient at each label k in turn."""
    case = Case(n=1)
    p = jax.nn.softmax(case.output(case.flat)[0])
    terms = []
    for label in range(C):
        case.y = jnp.full(1, label)
        terms.append(p[label] * jax.grad(case.value)(case.flat) ** 2)
    assert_agree(case.diagonal(), case.unravel(sum(terms)))


def test_sampling_is_refused_where_it_means_nothing():
    with pytest.raises(InputError, match="not a negative log-likelihood"):
        sampled_gauss_newton_diagonal(NETWORKS["dense"], get_loss("huber"))
    with pytest.raises(InputError, match="at least 1 sample, not 0"):
        sampled_gauss_newton_diagonal(NETWORKS["dense"], get_loss("squared_error"), samples=0)


@pytest.mark.parametrize("loss", ["absolute_error", "quantile", "hinge", "focal"])
def test_losses_without_curvature_are_refused_before_anything_is_computed(loss):
    for kind in (gauss_newton_diagonal, gauss_newton_product):
        with pytest.raises(InputError, match="no Gauss-Newton curvature"):
            kind(NETWORKS["dense"], get_loss(loss))


@pytest.mark.usefixtures("x64")
def test_the_hessian_of_a_loss_that_is_not_convex_is_its_hessian():
    case = Case(loss="focal")
    assert_agree(case.product(hessian_product), case.times(case.hessian()))


def test_the_diagonal_refuses_batch_norm_in_training_mode():
    for kind in (gauss_newton_diagonal, sampled_gauss_newton_diagonal):
        with pytest.raises(InputError, match="Batch norm in training mode mixes the examples"):
            kind(NETWORKS["batch norm"], get_loss("squared_error"))


def test_a_vector_of_another_shape_is_refused():
    case = Case(dtype=np.float32)
    case.vector = case.vector[:1]
    with pytest.raises(InputError, match="The vector must have the shape of the parameter tree"):
        case.product(hessian_product)


@pytest.mark.usefixtures("x64")
def test_a_batch_of_one_and_weights_of_zero():
    case = Case(n=1)
    assert_agree(case.diagonal(), case.unravel(np.diagonal(case.gauss_newton())))
    nothing = case.diagonal(weights=jnp.zeros(1))
    assert all(not np.any(leaf) for leaf in jax.tree.leaves(nothing))


@pytest.mark.usefixtures("x64")
def test_they_compile_inside_the_callers_own_program():
    case = Case()
    product = hessian_product(case.network, case.loss)

    @jax.jit
    def curvature_along(params, vector, x, y):
        return ravel_pytree(vector)[0] @ ravel_pytree(product(params, vector, x, y))[0]

    case.weights = jnp.ones(N)
    v = ravel_pytree(case.vector)[0]
    found = curvature_along(case.params, case.vector, case.x, case.y)
    np.testing.assert_allclose(found, v @ case.hessian() @ v, rtol=1e-12)
