"""What is spent, against formulas and integrals of its own, and the capacity against fractions."""

import math
from fractions import Fraction

import numpy as np
import pytest
from scipy.stats import norm

from mlp_jax.errors import InputError
from mlp_jax.training.private import accounting
from mlp_jax.training.private.accounting import (
    OVERFLOW_SHARE,
    capacity,
    noise_for,
    open_account,
    spent,
)
from mlp_jax.training.private.config import Privacy, last_draw


def divergence(epsilon, sigma, q):
    """max over both neighbours of ∫ max(0, P − e^ε Q) of one step, by the trapezoidal rule."""
    z = np.linspace(-12 * sigma, 12 * sigma + 1, 400_001)
    base = norm.pdf(z, 0, sigma)
    mixed = (1 - q) * base + q * norm.pdf(z, 1, sigma)
    return max(
        float(np.trapezoid(np.maximum(0, p - math.exp(epsilon) * other), z))
        for p, other in ((mixed, base), (base, mixed))
    )


@pytest.mark.parametrize(("sigma", "q"), [(0.8, 0.05), (1.5, 0.3), (1.0, 0.01)])
def test_one_step_spends_what_the_integral_says(sigma, q):
    epsilon = spent(sigma, q, 1, 1e-4)
    assert divergence(epsilon, sigma, q) <= 1e-4 * (1 + 1e-6)
    assert divergence(epsilon - 0.01, sigma, q) > 1e-4


@pytest.mark.parametrize(("sigma", "steps"), [(4.0, 10), (20.0, 300)])
def test_steps_on_all_rows_spend_what_one_gaussian_does(sigma, steps):
    """δ = Φ(μ/2 − ε/μ) − e^ε Φ(−μ/2 − ε/μ), μ = √T/σ (Balle & Wang 2018)."""
    mu, epsilon = math.sqrt(steps) / sigma, spent(sigma, 1.0, steps, 1e-5)

    def delta(e):
        return norm.cdf(mu / 2 - e / mu) - math.exp(e) * norm.cdf(-mu / 2 - e / mu)

    assert delta(epsilon) <= 1e-5
    assert delta(0.995 * epsilon) > 1e-5


def renyi_epsilon(sigma, q, steps, delta):
    """By Rényi divergences of whole orders, each an integral, and Mironov's (2017) conversion."""
    z = np.linspace(-15 * sigma, 15 * sigma + 1, 200_001)
    log_base = norm.logpdf(z, 0, sigma)
    log_ratio = np.log1p(q * np.expm1((2 * z - 1) / (2 * sigma**2)))
    found = []
    for order in range(2, 64):
        moment = np.trapezoid(np.exp(log_base + order * log_ratio), z)
        found.append((steps * math.log(moment) - math.log(delta)) / (order - 1))
    return min(found)


def test_many_steps_spend_less_than_renyi_divergences_say_and_not_much_less():
    sigma, q, steps = 1.4, 2048 / 60_000, 600
    ours, theirs = spent(sigma, q, steps, 1e-5), renyi_epsilon(sigma, q, steps, 1e-5)
    assert 0.7 * theirs < ours < theirs


def test_the_example_of_abadi_spends_less_than_its_moments_accountant_said():
    """q = 0.01, σ = 4, δ = 1e-5: ε = 1.26 after 100 epochs (Abadi 2016)."""
    assert 0.9 < spent(4.0, 0.01, 10_000, 1e-5) < 1.26


def test_the_noise_is_the_least_that_keeps_the_promise():
    for epsilon, q, steps in ((3.0, 0.03, 300), (0.4, 0.01, 100)):
        sigma = noise_for(epsilon, 1e-5, q, steps)
        assert spent(sigma, q, steps, 1e-5) <= epsilon
        assert spent(0.997 * sigma, q, steps, 1e-5) > epsilon


def tail(n, q, least):
    """P(more than `least` of n), as a fraction."""
    q = Fraction(q)
    return sum(math.comb(n, k) * q**k * (1 - q) ** (n - k) for k in range(least + 1, n + 1))


@pytest.mark.parametrize(("n", "q", "steps"), [(40, 0.25, 100), (200, 0.03125, 1000), (9, 0.5, 1)])
def test_a_run_overflows_with_no_more_than_the_probability_allowed(n, q, steps):
    allowed = 1e-8
    room = capacity(n, q, steps, allowed)
    assert room == n + 1 or steps * tail(n + 1, q, room) <= allowed
    assert steps * tail(n + 1, q, room - accounting.MULTIPLE) > allowed


def test_the_overflow_is_in_delta():
    account = open_account(Privacy(3.0, 1e-5), 6000, 300, 200)
    n, q, room = 6000, account.spec.sampling, account.spec.capacity
    assert 300 < room < 500
    terms = [
        math.lgamma(n + 2) - math.lgamma(k + 1) - math.lgamma(n + 2 - k)
        + k * math.log(q) + (n + 1 - k) * math.log1p(-q)
        for k in range(room + 1, n + 2)
    ]  # fmt: skip
    overflows = 200 * math.fsum(map(math.exp, terms))
    assert (1 + math.exp(3.0)) * overflows <= OVERFLOW_SHARE * 1e-5
    assert account.epsilon(200) == spent(account.spec.noise, q, 200, 0.99 * 1e-5) <= 3.0
    assert spent(account.spec.noise, q, 200, 1e-5) < account.epsilon(200)


def test_the_librarys_own_account_of_cut_batches_is_no_higher():
    from dp_accounting.pld.privacy_loss_distribution import (
        from_truncated_subsampled_gaussian_mechanism,
    )

    account = open_account(Privacy(2.0, 1e-5), 2000, 200, 100)
    spec = account.spec
    cut = from_truncated_subsampled_gaussian_mechanism(
        2001, spec.sampling, spec.capacity, spec.noise, value_discretization_interval=1e-3
    )
    theirs = cut.self_compose(100).get_epsilon_for_delta(1e-5)
    assert theirs <= account.epsilon(100) <= 2.0


def test_steps_add_up_and_none_cost_nothing():
    account = open_account(Privacy(1.0, 1e-5), 1000, 100, 50)
    epsilons = [account.epsilon(steps) for steps in (0, 1, 10, 25, 50)]
    assert epsilons[0] == 0
    assert epsilons == sorted(set(epsilons))
    assert 0.99 < epsilons[-1] <= 1.0


def test_the_probability_of_a_row_is_at_most_what_the_batch_size_says():
    for size, n in ((2048, 60_000), (7, 23), (1, 3), (5, 5), (1, 10**9)):
        q = Fraction(last_draw(size, n) + 1, 2**32)
        assert 0 < q <= max(Fraction(size, n), Fraction(1, 2**32))
        assert Fraction(size, n) - q < Fraction(1, 2**31)


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ({"epsilon": 0.0}, "Epsilon must be positive, not 0.0"),
        ({"epsilon": math.inf}, "not inf"),
        ({"epsilon": math.nan}, "not nan"),
        ({"delta": 0.0}, "Delta must lie between 0 and 1, not 0.0"),
        ({"delta": 1.0}, "not 1.0"),
        ({"clip": -1.0}, "The clip of examples must be positive, not -1.0"),
    ],
)
def test_a_promise_that_is_none_is_refused(asked, sentence):
    with pytest.raises(InputError, match=sentence):
        Privacy(**{"epsilon": 1.0, "delta": 1e-5} | asked)


def test_a_delta_of_a_row_or_more_is_refused():
    with pytest.raises(InputError, match=r"less than 1/rows, here 0\.01; 0\.01 protects no row"):
        open_account(Privacy(1.0, 0.01), 100, 10, 5)


def test_a_missing_accountant_is_named_with_the_way_to_it(monkeypatch):
    monkeypatch.setattr(accounting.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"dp-accounting.*pip install 'mlp-jax\[private\]'"):
        open_account(Privacy(1.0, 1e-5), 100, 10, 5)


def test_an_account_of_seeded_draws_promises_nothing():
    account = open_account(Privacy(1.0, 1e-5, seed=0), 1000, 100, 50)
    assert account.metadata() == {"epsilon": None, "reason": "seeded noise"}
    assert math.isnan(account.epsilon(5))
