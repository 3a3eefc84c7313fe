"""Laplace approximation of a trained network: a normal distribution around its weights.

p(θ | data) ≈ N(θ*, (H + τ)⁻¹) with θ* the trained weights, H the generalized Gauss-Newton matrix of
the −log likelihood summed over the training rows, and τ the precision of the prior N(0, 1/τ) of
every weight (MacKay 1992; Daxberger 2021, "Laplace Redux"). H covers one of

- the last layer: H = A ⊗ G, A = Σₙ ããᵀ over its inputs with a 1 for the bias, G the mean over the
  rows of the Hessian in the output. Exact for squared error, and for a single output, where each
  row's Hessian goes into A; otherwise an approximation (Martens & Grosse 2015).
- all weights: the diagonal of H.

Letters: N rows, C outputs, P weights, K = C eigenvectors of G; A in the shapes is I + 1.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Shaped

from mlp_jax.backprop import Dense, Ensemble, Layer, Loss, Sequential
from mlp_jax.backprop.gradient import cast_weights
from mlp_jax.backprop.output_covariance import output_covariance
from mlp_jax.backprop.specification import Params, State
from mlp_jax.errors import InputError, UnknownNameError
from mlp_jax.model.inference import CHUNK, in_chunks, network_input, runnable_precision
from mlp_jax.model.precision import Precision
from mlp_jax.model.saved import Model, scaling_of
from mlp_jax.model.store import named_leaves

Kind = Literal["last-layer", "diagonal"]
Prior = Literal["validation", "evidence"]
PRIORS: tuple[Prior, ...] = ("validation", "evidence")
KINDS: tuple[Kind, ...] = ("last-layer", "diagonal")
LIKELIHOODS = ("sigmoid_cross_entropy", "softmax_cross_entropy", "squared_error")


@dataclass(frozen=True)
class LaplaceFacts:
    """Metadata of a fitted approximation.

    kind: "last-layer" or "diagonal". prior: the criterion that chose τ and σ²: "validation" or
    "evidence". prior_precision: τ. noise_variance: σ² of the standardized targets, 1 for classes.
    log_evidence: log marginal likelihood. n_rows: N. n_weights: P.
    """

    kind: Kind
    prior: Prior
    prior_precision: float
    noise_variance: float
    log_evidence: float
    n_rows: int
    n_weights: int


@dataclass(frozen=True, eq=False)
class Laplace:
    """A fitted approximation: metadata, and the curvature at σ² = 1 as named arrays.

    last-layer: input_values (A,), input_vectors (A, A), output_values (C,), output_vectors (C, C),
    the eigendecompositions of the two factors. diagonal: one array per parameter, by its path.
    """

    facts: LaplaceFacts
    arrays: dict[str, Float[np.ndarray, "..."]]


def check_kind(kind: str) -> Kind:
    """Return the kind of approximation; UnknownNameError for an unknown name."""
    for known in KINDS:
        if kind == known:
            return known
    raise UnknownNameError("kind of Laplace approximation", kind, KINDS)


def check_prior(prior: str) -> Prior:
    """Return the criterion for the prior; UnknownNameError for an unknown name."""
    for known in PRIORS:
        if prior == known:
            return known
    raise UnknownNameError("criterion for the prior", prior, PRIORS)


def check_fits(network: Layer, loss: Loss, kind: Kind) -> None:
    """Raise InputError for a network or a loss without such an approximation."""
    if isinstance(network, Ensemble):
        raise InputError(
            "A Laplace approximation needs a single network; for the uncertainty of an ensemble"
            " use --disagreement."
        )
    if loss.name not in LIKELIHOODS:
        raise InputError(
            f"A Laplace approximation needs a loss that is a likelihood of classes or numbers, one"
            f" of {', '.join(LIKELIHOODS)}, not {loss}."
        )
    if kind == "last-layer":
        split_last(network)


def split_last(network: Layer) -> tuple[Layer, Dense]:
    """Return (all layers before the last, the last); InputError unless that is dense and linear."""
    if isinstance(network, Sequential) and network.layers:
        last = network.layers[-1]
        if isinstance(last, Dense) and last.activation == "identity":
            return Sequential(network.layers[:-1]), last
    raise InputError(
        f"A last-layer approximation needs a network that ends in a dense layer without an"
        f" activation, not {network}; use the diagonal one."
    )


def last_layer_inputs(
    network: Layer, params: Params, state: State, x: Float[Array, "N I"]
) -> tuple[Float[Array, "N C"], Float[Array, "N A"]]:
    """Return (s, ã): the output, and the inputs of the last layer with a 1 for its bias, if any."""
    first, last = split_last(network)
    a, _, _ = first.forward(params[:-1], state[:-1], x, train=False, key=None, mask=None)
    s, _, _ = last.forward(params[-1], state[-1], a, train=False, key=None, mask=None)
    return s, jnp.pad(a, ((0, 0), (0, 1)), constant_values=1) if last.bias else a


def covariance_factors(laplace: Laplace, params: Params) -> Any:
    """Return (H + τ)⁻¹ in the form that `output_distribution` takes: variances and rotations.

    params: the parameters, for the tree structure of a diagonal approximation.
    """
    facts, arrays = laplace.facts, laplace.arrays
    if facts.kind == "diagonal":
        leaves = [arrays[name] for name in named_leaves(params, ())]
        values = jax.tree.unflatten(jax.tree.structure(params), leaves)
    else:
        values = np.outer(arrays["input_values"], arrays["output_values"])

    def inverse(value: np.ndarray) -> np.ndarray:
        return 1 / (value / facts.noise_variance + facts.prior_precision)

    variances = jax.tree.map(inverse, values)
    if facts.kind == "diagonal":
        return variances
    return variances, arrays["input_vectors"], arrays["output_vectors"]


def distribution(
    model: Model, laplace: Laplace, x: Shaped[np.ndarray, "N I"]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return `output_distribution` of any number of encoded rows, as arrays (N, C)."""
    precision = runnable_precision(model.precision)
    if not len(x):
        empty = np.zeros((0, model.n_outputs), precision.params)
        return empty, empty, empty
    call = partial(
        output_distribution,
        model.network,
        model.loss,
        laplace.facts.kind,
        precision,
        model.params,
        model.layer_state,
        scaling_of(model.inputs),
        covariance_factors(laplace, model.params),
    )
    rows = max(16, 1 << (CHUNK // model.n_outputs).bit_length() - 1)
    with precision.active():
        parts = list(in_chunks(call, x, rows))
    s, predicted, variance = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    return s, predicted, variance


@partial(jax.jit, static_argnums=(0, 1, 2, 3))
def output_distribution(
    network: Layer,
    loss: Loss,
    kind: Kind,
    precision: Precision,
    params: Params,
    state: State,
    scaling: tuple[Any, Any] | None,
    factors: Any,
    x: Array,
) -> tuple[Float[Array, "N C"], Float[Array, "N C"], Float[Array, "N C"]]:
    """Return (s, the prediction averaged over the weights, the variance of each output) of rows.

    The output is linearized in the weights at θ*: s ~ N(s(θ*), J (H + τ)⁻¹ Jᵀ) (Immer 2021). For
    the last layer that is exact, and with a' = U_Aᵀã it is U_G diag_k(Σᵢ a'ᵢ² vᵢₖ) U_Gᵀ.
    """
    x = network_input(precision, scaling, x)
    weights = cast_weights(params, precision.products)
    factors = jax.tree.map(lambda values: values.astype(precision.params), factors)
    if kind == "diagonal":
        s, covariance = output_covariance(network, weights, state, x, factors)
    else:
        variances, input_vectors, output_vectors = factors
        s, a = last_layer_inputs(network, weights, state, x)
        rotated = jnp.matmul(
            a.astype(precision.params), input_vectors, precision=lax.Precision.HIGHEST
        )
        along = jnp.matmul(rotated**2, variances, precision=lax.Precision.HIGHEST)
        covariance = jnp.einsum("ck,nk,dk->ncd", output_vectors, along, output_vectors)
    s = s.astype(precision.params)
    return s, averaged(loss, s, covariance), jnp.diagonal(covariance, axis1=1, axis2=2)


def averaged(
    loss: Loss, s: Float[Array, "N C"], covariance: Float[Array, "N C C"]
) -> Float[Array, "N C"]:
    """Return the loss's prediction averaged over s ~ N(s, covariance).

    Binary: σ(κ s), κ = 1/√(1 + π/8 var s) (MacKay 1992). Classes: pₖ ∝ 1/Σ_c exp(−κ_kc (sₖ − s_c))
    with the κ of the variance of each difference (Lu 2020, "Mean-Field Approximation to
    Gaussian-Softmax Integral"), which for two classes is the former. Numbers: s.
    """
    if loss.function.predict == "identity":
        return s
    variance = jnp.diagonal(covariance, axis1=1, axis2=2)
    if loss.function.predict == "sigmoid":
        return jax.nn.sigmoid(s / jnp.sqrt(1 + jnp.pi / 8 * variance))
    between = variance[:, :, None] + variance[:, None, :] - 2 * covariance
    away = s[:, :, None] - s[:, None, :]
    odds = -away / jnp.sqrt(1 + jnp.pi / 8 * jnp.maximum(between, 0))
    return jax.nn.softmax(-jax.nn.logsumexp(odds, axis=2), axis=1)
