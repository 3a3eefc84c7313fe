"""The Laplace approximation is the posterior where that is known, and calibrates what is not."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from model_cases import binary_model, colour_model, multilabel_model, regression_model, softmax
from scipy.stats import multivariate_normal
from sklearn.datasets import load_digits
from sklearn.linear_model import BayesianRidge

from mlp_jax.backprop import Ensemble, Sequential, get_loss, mlp, value_and_grad
from mlp_jax.data.encoding import ArrayEncoding, TargetEncoding
from mlp_jax.errors import InputError
from mlp_jax.model import evidence, held_out
from mlp_jax.model.laplace import averaged
from mlp_jax.model.saved import Model
from mlp_jax.model.uncertain import entropy, fit_laplace, with_laplace

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 4))
Y = X @ RNG.normal(size=4) + 0.3 + 0.5 * RNG.normal(size=60)
ONES = np.hstack([X, np.ones((60, 1))])


def linear_model(W, scale=(), offset=()):
    """No hidden layer: W (5, C), the bias last."""
    params = ({"W": jnp.asarray(W[:-1]), "b": jnp.asarray(W[-1])},)
    target = TargetEncoding("regression", scale=scale, offset=offset)
    network, loss = mlp([], W.shape[1]), get_loss("squared_error")
    return Model(network, loss, params, ((),), ArrayEncoding(4), target, "float64")


@pytest.fixture
def ridge():
    """Bayesian linear regression by its closed form, iterated to the greatest evidence."""
    exact = BayesianRidge(
        alpha_1=0, alpha_2=0, lambda_1=0, lambda_2=0, fit_intercept=False, tol=1e-14,
        max_iter=10_000,
    )  # fmt: skip
    return exact.fit(ONES, Y)


def test_without_a_hidden_layer_it_is_bayesian_linear_regression(ridge):
    with jax.enable_x64(True):
        model = fit_laplace(linear_model(ridge.coef_[:, None]), (X, Y))
        mean, deviation = ridge.predict(ONES, return_std=True)
        np.testing.assert_allclose(model.predict(X), mean, rtol=1e-12)
        np.testing.assert_allclose(model.uncertainty(X), deviation, rtol=1e-9)
        facts = model.laplace.facts
    assert facts.prior_precision == pytest.approx(ridge.lambda_, rel=1e-7)
    assert facts.noise_variance == pytest.approx(1 / ridge.alpha_, rel=1e-7)
    spread = facts.noise_variance * np.eye(60) + ONES @ ONES.T / facts.prior_precision
    assert facts.log_evidence == pytest.approx(multivariate_normal.logpdf(Y, cov=spread), rel=1e-9)
    assert (facts.prior, facts.n_rows, facts.n_weights) == ("evidence", 60, 5)


def test_deviations_are_in_the_units_of_the_target(ridge):
    with jax.enable_x64(True):
        plain = fit_laplace(linear_model(ridge.coef_[:, None]), (X, Y))
        scaled = linear_model(ridge.coef_[:, None], scale=(20.0,), offset=(7.0,))
        model = fit_laplace(scaled, (X, 20 * Y + 7))
        np.testing.assert_allclose(model.uncertainty(X), 20 * plain.uncertainty(X), rtol=1e-9)
        found = model.evaluate((X, 20 * Y + 7))
        away = (Y - plain.predict(X)) / plain.uncertainty(X)
    assert found["within_95"] == np.mean(np.abs(away) <= 1.96)
    density = -0.5 * away**2 - np.log(20 * plain.uncertainty(X)) - 0.5 * np.log(2 * np.pi)
    assert found["nll"] == pytest.approx(-np.mean(density), rel=1e-9)


def with_prior(model, prior, noise=1.0):
    facts = replace(model.laplace.facts, prior_precision=prior, noise_variance=noise)
    return with_laplace(model, replace(model.laplace, facts=facts))


def test_several_outputs_share_the_covariance_of_the_inputs():
    W = RNG.normal(size=(5, 2))
    with jax.enable_x64(True):
        model = fit_laplace(linear_model(W), (X, RNG.normal(size=(60, 2))))
        found = with_prior(model, 0.7, 0.3).uncertainty(X)
    inverse = np.linalg.inv(ONES.T @ ONES / 0.3 + 0.7 * np.eye(5))
    expected = np.sqrt(np.einsum("ni,ij,nj->n", ONES, inverse, ONES) + 0.3)
    np.testing.assert_allclose(found, np.stack([expected, expected], axis=1), rtol=1e-10)


def test_one_logit_is_exact_in_the_last_layer():
    """Σ p(1 − p) ããᵀ + τ, inverted; then σ(κ s)."""
    model = binary_model()
    x, y = RNG.normal(size=(40, 3)), RNG.choice(["no", "yes"], 40)
    found = with_prior(fit_laplace(model, (x, y)), 2.0)
    first = model.params[0]
    z = x @ first["W"] + first["b"]
    a = np.hstack([z / (1 + np.exp(-z)), np.ones((40, 1))])
    s = a @ np.append(model.params[1]["W"], model.params[1]["b"])
    p = 1 / (1 + np.exp(-s))
    inverse = np.linalg.inv((a * (p * (1 - p))[:, None]).T @ a + 2 * np.eye(7))
    variance = np.einsum("ni,ij,nj->n", a, inverse, a)
    expected = 1 / (1 + np.exp(-s / np.sqrt(1 + np.pi / 8 * variance)))
    np.testing.assert_allclose(found.predict_proba(x)[:, 1], expected, rtol=1e-4)
    q = found.predict_proba(x)
    np.testing.assert_allclose(found.uncertainty(x), -(q * np.log(q)).sum(axis=1), rtol=1e-5)


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (colour_model, "last-layer"),
        (multilabel_model, "diagonal"),
        (regression_model, "diagonal"),
    ],
)
def test_every_task_keeps_its_shapes_and_gets_wider_with_a_weaker_prior(make, kind):
    plain = make()
    x = RNG.normal(size=(1100, plain.inputs.n_features))  # more than one chunk of rows
    y = plain.predict(x)
    model = fit_laplace(plain, (x, y), kind)
    assert model.predict(x).shape == plain.predict(x).shape
    narrow, wide = (with_prior(model, prior).uncertainty(x) for prior in (1e6, 1e-2))
    assert narrow.shape == ((1100, 2) if make is multilabel_model else (1100,))
    assert (wide >= narrow - 1e-6).all()
    if plain.target.task != "regression":
        certain = with_prior(model, 1e9).predict_proba(x)
        np.testing.assert_allclose(certain, plain.predict_proba(x), atol=1e-5)
    assert len(model.uncertainty(x[:0])) == 0


def test_averages_are_those_of_many_draws():
    loss = get_loss("softmax_cross_entropy")
    rng = np.random.default_rng(2)
    root = 0.7 * rng.normal(size=(3, 3))
    s, covariance = np.array([2.0, 0.5, -1]), root @ root.T
    draws = s + rng.normal(size=(50_000, 3)) @ root.T
    mean = jax.jit(lambda s, covariance: averaged(loss, s[None], covariance[None])[0])
    expected = np.mean(softmax(draws), axis=0)
    with jax.enable_x64(True):
        found, raised = mean(s, covariance), mean(s + 5, covariance + 9)
        two = mean(s[:2], covariance[:2, :2])
    np.testing.assert_allclose(found, expected, rtol=0, atol=0.04)
    np.testing.assert_allclose(raised, found, rtol=1e-12)
    spread = covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]
    kappa = 1 / np.sqrt(1 + np.pi / 8 * spread)
    np.testing.assert_allclose(two[0], 1 / (1 + np.exp(-kappa * (s[0] - s[1]))), rtol=1e-12)


def test_the_evidence_is_greatest_at_the_chosen_prior_and_noise():
    values, n = RNG.exponential(5, 30), 50

    def log_evidence(prior, noise):
        fit = -0.5 * n * np.log(2 * np.pi * noise) - 0.5 * 40.0 / noise
        return fit + evidence.log_prior_share(values, 7.0, prior, noise)

    prior, noise = evidence.choose_both(values, 7.0, 40.0, n)
    best = log_evidence(prior, noise)
    for factor in (0.9, 0.99, 1.01, 1.1):
        assert log_evidence(prior * factor, noise) < best
        assert log_evidence(prior, noise * factor) < best


def test_of_priors_that_held_out_rows_cannot_tell_apart_the_weakest_is_taken():
    def judge(rho):  # standard error 0.1, and a loss that grows by 0.06 a half decade below 1e3
        steps = max(0, 2 * (3 - np.log10(rho)))
        return held_out.HeldOutScore(0.06 * steps + np.tile([0.0, 2.0], 50), 4.0)

    prior, noise = held_out.choose(judge)
    assert (prior, noise) == (pytest.approx(10**2.5 / 4), 4.0)


def test_the_noise_of_held_out_numbers_is_the_likeliest():
    s, q, y = RNG.normal(size=(3, 40, 1))
    judged = held_out.judge_numbers(s, q**2, y)
    for factor in (0.9, 1.1):
        spread = judged.noise * factor * (1 + q**2)
        other = 0.5 * np.log(2 * np.pi * spread) + 0.5 * (y - s) ** 2 / spread
        assert np.mean(judged.losses) < np.mean(other)


@pytest.fixture(scope="module")
def overfitted():
    """A network that knows 400 noisy digits by heart, and others less well than it believes."""
    images, labels = load_digits(return_X_y=True)
    rng = np.random.default_rng(0)
    order = rng.permutation(len(images))
    x, y = images[order] / 8 - 1 + rng.normal(size=images.shape), labels[order]
    x = x.astype(np.float32)
    network, loss = mlp([64], 10), get_loss("softmax_cross_entropy")
    params, state = network.init(jax.random.key(0), 64)

    @jax.jit
    def train(params):
        def step(carry, _):
            params, speed = carry
            grads = value_and_grad(network, loss)(params, x[:400], y[:400])[1]
            speed = jax.tree.map(lambda v, g: 0.9 * v + g, speed, grads)
            return (jax.tree.map(lambda p, v: p - 0.1 * v, params, speed), speed), None

        still = jax.tree.map(jnp.zeros_like, params)
        return jax.lax.scan(step, (params, still), None, 300)[0][0]

    names = tuple("0123456789")
    target = TargetEncoding("classification", classes=names)
    model = Model(network, loss, train(params), state, ArrayEncoding(64), target)
    text = np.array(names)
    train, validation = ((x[part], text[y[part]]) for part in (slice(400), slice(400, 700)))
    return model, train, validation, (x[700:], y[700:])


def calibration(p, y, n_bins=15):
    """(−log likelihood, expected calibration error)."""
    sure, right = p.max(axis=1), p.argmax(axis=1) == y
    place = np.minimum((sure * n_bins).astype(int), n_bins - 1)
    gaps = [abs((sure - right)[place == b].sum()) for b in range(n_bins)]
    return -np.mean(np.log(p[np.arange(len(y)), y])), sum(gaps) / len(y)


@pytest.mark.parametrize("kind", ["last-layer", "diagonal"])
def test_it_calibrates_an_overfitted_network_and_doubts_what_is_no_digit(overfitted, kind):
    model, train, validation, (x, y) = overfitted
    sober = fit_laplace(model, train, kind, validation)
    before, after = (calibration(m.predict_proba(x), y) for m in (model, sober))
    assert after[0] < 0.8 * before[0]
    assert after[1] < 0.7 * before[1]
    noise = np.random.default_rng(1).uniform(-2, 2, (300, 64)).astype(np.float32)
    confidence = [np.mean(m.predict_proba(noise).max(axis=1)) for m in (model, sober)]
    assert confidence[1] < 0.8 * confidence[0]
    assert np.mean(sober.uncertainty(noise)) > np.mean(sober.uncertainty(x))


def test_what_has_no_approximation_is_refused():
    colours = colour_model()
    rows = (RNG.normal(size=(8, 4)), np.array(["red"] * 8))
    several = Ensemble((colours.network,) * 2, "softmax")
    twice = (colours.params,) * 2, (colours.layer_state,) * 2
    ensemble = replace(colours, network=several, params=twice[0], layer_state=twice[1])
    with pytest.raises(InputError, match="use --disagreement"):
        fit_laplace(ensemble, rows)
    with pytest.raises(InputError, match="a loss that is a likelihood of classes or numbers"):
        fit_laplace(replace(colours, loss=get_loss("hinge")), rows)
    nested = Sequential((colours.network,))
    with pytest.raises(InputError, match="use the diagonal one"):
        fit_laplace(replace(colours, network=nested, params=(colours.params,)), rows)
    with pytest.raises(InputError, match="Unknown kind of Laplace approximation 'last'"):
        fit_laplace(colours, rows, "last")


def test_entropy_of_certainty_is_zero():
    assert entropy(np.array([[1.0, 0.0], [0.5, 0.5]])).tolist() == [0, pytest.approx(np.log(2))]


def test_a_target_far_out_is_refused_in_fitting_and_in_judging(ridge):
    with jax.enable_x64(True):
        plain = linear_model(ridge.coef_[:, None])
        far = np.where(np.arange(len(Y)) == 3, 1e300, Y)
        with pytest.raises(InputError, match=r"Target has 1e\+300 in row 3, too far"):
            fit_laplace(plain, (X, far))
        with pytest.raises(InputError, match=r"Target has 1e\+300 in row 3, too far"):
            fit_laplace(plain, (X, Y), validation=(X, far))
        with pytest.raises(InputError, match=r"Target has 1e\+300 in row 3, too far"):
            fit_laplace(plain, (X, Y)).evaluate((X, far))
