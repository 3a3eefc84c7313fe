"""Fit of a Laplace approximation to the training rows: curvature, prior precision, noise.

Letters: N rows, I features, C outputs; A in the shapes is the input width of the last layer, plus 1
for a bias.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Shaped

from mlp_jax.backprop import Layer, gauss_newton_diagonal, get_loss, hessian_root
from mlp_jax.backprop.gradient import cast_weights
from mlp_jax.backprop.specification import Params, State
from mlp_jax.errors import InputError
from mlp_jax.model import evidence, held_out, store
from mlp_jax.model.inference import (
    in_chunks,
    losses,
    network_input,
    outputs,
    padded,
    runnable_precision,
)
from mlp_jax.model.laplace import (
    Kind,
    Laplace,
    LaplaceFacts,
    check_fits,
    distribution,
    last_layer_inputs,
)
from mlp_jax.model.precision import Precision
from mlp_jax.model.saved import Model, scaling_of

_ROWS = 1024


class Curvature(NamedTuple):
    """Arrays of a `Laplace`, eigenvalues of V (P,), and ‖θ‖² of its weights."""

    arrays: dict[str, np.ndarray]
    values: Float[np.ndarray, " P"]
    square: float


Pair = tuple[Shaped[np.ndarray, "M I"], np.ndarray]


def fit_curvature(
    model: Model,
    x: Shaped[np.ndarray, "N I"],
    y: np.ndarray,
    kind: Kind,
    validation: Pair | None = None,
) -> Laplace:
    """Fit an approximation to encoded rows x and their targets y in the model's terms.

    validation: rows and targets that choose the prior precision and the noise; None: the evidence
    chooses them. Raises InputError for a network or loss without an approximation, or if there are
    no rows.
    """
    check_fits(model.network, model.loss, kind)
    for rows in (x,) if validation is None else (x, validation[0]):
        if not len(rows):
            raise InputError("A Laplace approximation needs at least one row.")
    coded = model.coded_targets(y)
    curvature = (_last_layer if kind == "last-layer" else _diagonal)(model, x, coded)
    fit = _training_fit(model, x, coded)
    if validation is None:
        prior, noise = _by_evidence(curvature, kind, fit)
    else:
        prior, noise = _by_rows(model, curvature, kind, *validation)
    share = evidence.log_prior_share(curvature.values, curvature.square, prior, noise)
    facts = LaplaceFacts(
        kind=kind,
        prior="evidence" if validation is None else "validation",
        prior_precision=prior,
        noise_variance=noise,
        log_evidence=fit.log_likelihood(noise) + share,
        n_rows=len(x),
        n_weights=curvature.values.size,
    )
    return Laplace(facts, curvature.arrays)


class TrainingFit(NamedTuple):
    """Fit to the training rows: the sum of squared errors of n numbers, or −Σ log p."""

    misfit: float
    n: int
    numbers: bool

    def log_likelihood(self, noise: float) -> float:
        """Return log p(y | θ*, σ²)."""
        if not self.numbers:
            return -self.misfit
        return -0.5 * self.n * math.log(2 * math.pi * noise) - 0.5 * self.misfit / noise


def _training_fit(model: Model, x: np.ndarray, coded: np.ndarray) -> TrainingFit:
    precision = runnable_precision(model.precision)
    linear = outputs(
        model.network, model.loss, False, precision, model.params, model.layer_state,
        scaling_of(model.inputs), x,
    ).linear  # fmt: skip
    if model.loss.name == "squared_error":
        away = linear.astype(np.float64) - coded.reshape(linear.shape)
        return TrainingFit(float(np.sum(away**2)), away.size, True)
    likelihood = get_loss(model.loss.name)  # without label smoothing
    each = losses(likelihood, precision, linear, coded).astype(np.float64)
    return TrainingFit(float(np.sum(each)), len(x), False)


def _by_evidence(curvature: Curvature, kind: Kind, fit: TrainingFit) -> tuple[float, float]:
    """Return τ and σ² of maximum evidence.

    A diagonal counts each of P weights as determined, more than n numbers can determine, so that
    its γ is no measure of the noise; its σ² is the mean squared error.
    """
    if not fit.numbers:
        return evidence.choose_prior(curvature.values, curvature.square), 1.0
    if kind == "last-layer":
        return evidence.choose_both(curvature.values, curvature.square, fit.misfit, fit.n)
    noise = max(fit.misfit / fit.n, evidence.LEAST)
    return evidence.choose_prior(curvature.values, curvature.square, noise), noise


def _by_rows(
    model: Model, curvature: Curvature, kind: Kind, x: np.ndarray, y: np.ndarray
) -> tuple[float, float]:
    """Return τ and σ² chosen on held-out rows."""
    coded = model.coded_targets(y)

    def judge(rho: float) -> held_out.HeldOutScore:
        at = Laplace(
            LaplaceFacts(
                kind=kind,
                prior="validation",
                prior_precision=rho,
                noise_variance=1.0,
                log_evidence=0.0,
                n_rows=0,
                n_weights=0,
            ),
            curvature.arrays,
        )
        s, predicted, variance = distribution(model, at, x)
        if model.loss.name == "squared_error":
            return held_out.judge_numbers(s, variance, coded)
        if model.loss.name == "sigmoid_cross_entropy":
            return held_out.judge_labels(predicted, coded)
        return held_out.judge_classes(predicted, coded)

    return held_out.choose(judge)


def _unit_noise(model: Model) -> float:
    """Return the factor from the loss's curvature to that of the −log likelihood at σ² = 1.

    The squared error is the mean over C outputs of (s − y)², the −log likelihood ½(s − y)²/σ².
    """
    return model.n_outputs / 2 if model.loss.name == "squared_error" else 1.0


@partial(jax.jit, static_argnums=(0, 1))
def _inputs(
    network: Layer, precision: Precision, params: Params, state: State, scaling: Any, x: Array
) -> tuple[Array, Array]:
    x = network_input(precision, scaling, x)
    weights = cast_weights(params, precision.products)
    s, a = last_layer_inputs(network, weights, state, x)
    return s.astype(precision.params), a.astype(precision.params)


_root = jax.jit(hessian_root, static_argnums=0)


def _last_layer(model: Model, x: np.ndarray, coded: np.ndarray) -> Curvature:
    """Eigendecompose A = Σ ããᵀ and G, the mean Hessian in the output.

    For a single output, G is 1 and each row's Hessian goes into A.
    """
    precision = runnable_precision(model.precision)
    call = partial(
        _inputs, model.network, precision, model.params, model.layer_state, scaling_of(model.inputs)
    )
    n_outputs, done = model.n_outputs, 0
    A: Any = 0.0
    G = np.zeros((n_outputs, n_outputs))
    with precision.active():
        for s, a in in_chunks(call, x):
            y = coded[done : done + len(s)]
            found = _root(model.loss, s, y)
            root = np.asarray(found, np.float64) * np.sqrt(_unit_noise(model))
            rows = a.astype(np.float64)
            if n_outputs == 1:
                rows = rows * np.sqrt(np.sum(root[:, :, 0] ** 2, axis=0))[:, None]
            A = A + rows.T @ rows
            G += np.einsum("knc,knd->cd", root, root)
            done += len(s)
    G = np.ones((1, 1)) if n_outputs == 1 else G / len(x)
    (input_values, input_vectors), (output_values, output_vectors) = map(np.linalg.eigh, (A, G))
    arrays = {
        "input_values": np.maximum(input_values, 0),
        "input_vectors": input_vectors,
        "output_values": np.maximum(output_values, 0),
        "output_vectors": output_vectors,
    }
    values = np.outer(arrays["input_values"], arrays["output_values"]).ravel()
    return Curvature(arrays, values, _square(model.params[-1]))


def _diagonal(model: Model, x: np.ndarray, coded: np.ndarray) -> Curvature:
    """Sum the diagonal of the Gauss-Newton matrix over the rows."""
    precision = runnable_precision(model.precision)
    total = [np.zeros(leaf.shape) for leaf in jax.tree.leaves(model.params)]
    with precision.active():
        call = _diagonal_of(model, precision)
        for start in range(0, len(x), _ROWS):
            found = call(x[start : start + _ROWS], coded[start : start + _ROWS])
            for sums, leaf in zip(total, jax.tree.leaves(found), strict=True):
                sums += np.asarray(leaf, np.float64)
    tree = jax.tree.unflatten(jax.tree.structure(model.params), total)
    values = np.concatenate([leaf.ravel() for leaf in total])
    return Curvature(store.named_leaves(tree, ()), values, _square(model.params))


def _diagonal_of(model: Model, precision: Precision) -> Callable[[np.ndarray, np.ndarray], Any]:
    """Return a function for the summed diagonal of a few rows."""
    diagonal = gauss_newton_diagonal(model.network, model.loss, train=False)
    weights = cast_weights(model.params, precision.products)

    def call(x: np.ndarray, coded: np.ndarray) -> Any:
        n = len(x)
        rows = network_input(precision, scaling_of(model.inputs), jnp.asarray(padded(x, _ROWS)))
        floating = np.issubdtype(coded.dtype, np.floating)
        y = padded(coded.astype(precision.params) if floating else coded, _ROWS)
        share = (np.arange(len(rows)) < n).astype(precision.params)
        mean = diagonal(weights, rows, y, state=model.layer_state, weights=share)
        return jax.tree.map(lambda leaf: leaf * (n * _unit_noise(model)), mean)

    return call


def _square(params: Params) -> float:
    """Return ‖θ‖²."""
    return float(sum(np.sum(np.asarray(leaf, np.float64) ** 2) for leaf in jax.tree.leaves(params)))
