"""Candidates of a search that can train together: grouping, start and result.

Two of them can train together if they differ only in numbers. A group is some of them on one fold:
they begin with the same weights and see the same batches, as they would separately.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from sklearn.base import clone
from sklearn.utils import _safe_indexing

from mlp_jax.backprop.specification import Params
from mlp_jax.estimators.epoch import batches_of
from mlp_jax.estimators.gradient_check import check_once
from mlp_jax.estimators.loader import TrainingRows
from mlp_jax.estimators.progress import next_order
from mlp_jax.estimators.solve import batch_size_of, new_optimizer, optimizer_of
from mlp_jax.estimators.together import FitNumbers, Member, MemberSpec, OrderedRows, train
from mlp_jax.model.compilation_cache import use_compilation_cache
from mlp_jax.proof.quick import platform

NUMBERS = (
    "learning_rate_init", "alpha", "power_t", "tol", "n_iter_no_change", "beta_1", "beta_2",
    "epsilon", "momentum",
)  # fmt: skip
SHARED = (
    "hidden_layer_sizes", "activation", "solver", "batch_size", "learning_rate", "max_iter",
    "shuffle", "random_state", "nesterovs_momentum", "loss", "precision", "device",
)  # fmt: skip
MEMBERS_ON_CPU = 4  # together: few, so that they end at about the same time and stay in the cache
ORDERS = 1 << 27  # places of all epochs of a fold, at most

Candidate = Mapping[str, Any]
Fold = tuple[np.ndarray, np.ndarray]


class TrainedCandidate(NamedTuple):
    """A candidate on a fold, and the fitted estimator."""

    candidate: int
    fold: int
    estimator: Any


class FoldGroup(NamedTuple):
    """Candidates (by index) that train together on a fold."""

    candidates: tuple[int, ...]
    fold: int


def together(estimator: Any, candidates: Sequence[Candidate], n: int) -> list[list[int]]:
    """Return the indices of candidates that may train together, in groups, without the others.

    A candidate trains separately if its epochs involve the host (a validation score, a callback, a
    printed line), with dropout, and with every option that `mlp_jax.fit` implements.
    """
    groups: dict[Any, list[int]] = {}
    for number, candidate in enumerate(candidates):
        try:
            one = clone(estimator).set_params(**candidate)
            one._validate_params()
        except (ValueError, TypeError):
            continue  # its own fit says what is wrong
        if _trains_with_others(one, n):
            given = {name: getattr(one, name, None) for name in SHARED}
            groups.setdefault(repr(given), []).append(number)
    return list(groups.values())


def _trains_with_others(one: Any, n: int) -> bool:
    """Return True if every option of the estimator is supported when members train together."""
    usual = type(one)().get_params()
    known = {*NUMBERS, *SHARED}
    plain = all(
        name in known or value is usual[name] or value == usual[name]
        for name, value in one.get_params().items()
    )
    seeded = one.random_state is None or isinstance(one.random_state, (int, np.integer))
    return plain and seeded and one.solver in ("adam", "sgd") and one.max_iter * n <= ORDERS


def fold_groups(
    groups: Sequence[Sequence[int]], rates: Sequence[float], folds: int
) -> Iterator[FoldGroup]:
    """Split each group by fold and size, sorted by learning rate: similar rates end together.

    All parts of a group have one size: the last one repeats a member instead of compiling again.
    """
    for group in groups:
        most = MEMBERS_ON_CPU if platform() == "cpu" else len(group)
        size = min(most, len(group))
        ordered = sorted(group, key=lambda number: rates[number])
        for fold in range(folds):
            for start in range(0, len(ordered), size):
                part = ordered[start : start + size]
                yield FoldGroup((*part, *part[-1:] * (size - len(part))), fold)


class Search(NamedTuple):
    """Data and base estimator that all groups share.

    x: an array or a frame of numbers.  y, weights: arrays, lists or columns.
    """

    estimator: Any
    candidates: Sequence[Candidate]
    x: Any
    y: Any
    weights: Any
    folds: Sequence[Fold]

    def rows(self, fold: int) -> np.ndarray:
        """Return the indices of the training rows of a fold."""
        rows = np.asarray(self.folds[fold][0])
        return np.flatnonzero(rows) if rows.dtype == bool else rows

    def variant(self, number: int) -> Any:
        """Return a new estimator with the parameters of a candidate."""
        return clone(self.estimator).set_params(**self.candidates[number])


def train_groups(
    search: Search, chosen: Sequence[FoldGroup], threads: int
) -> list[TrainedCandidate]:
    """Train all groups, `threads` of them at a time, and omit a group that fails.

    Its candidates then train separately, and report the error.
    """
    use_compilation_cache()
    with ThreadPoolExecutor(threads) as pool:
        return [
            one for found in pool.map(lambda p: train_group(search, p), chosen) for one in found
        ]


def threads_for(n_jobs: int | None) -> int:
    """Return the number of groups to run at once: on a CPU one per core.

    XLA uses few cores for small products. n_jobs: scikit-learn's, but None means all cores.
    """
    if platform() != "cpu":
        return 1
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    cores = cores or 1
    if n_jobs is None:
        return cores
    return max(n_jobs if n_jobs > 0 else cores + 1 + n_jobs, 1)


def train_group(search: Search, group: FoldGroup) -> list[TrainedCandidate]:
    """Train the members of a group and return their estimators."""
    rows = search.rows(group.fold)
    first = search.variant(group.candidates[0])
    x, y, weights = (
        None if whole is None else _safe_indexing(whole, rows)
        for whole in (search.x, search.y, search.weights)
    )
    try:
        specification, fold_rows = first._begin(x, y, weights)
    except Exception:  # its candidates train one by one, and their own fits say what is wrong
        return []
    fold_rows = fold_rows._replace(y=first._encoded(fold_rows.y))
    variants = [first, *(search.variant(number) for number in group.candidates[1:])]
    with first._computing(fold_rows.x.dtype) as policy:
        check_once(specification, policy.proof_dtype)
        spec = MemberSpec(
            network=specification.network,
            loss=specification.loss,
            optimizer=optimizer_of(first),
            schedule=first.learning_rate if first.solver == "sgd" else "constant",
            max_iter=first.max_iter,
        )
        started = [_start(one, first._params(), policy.params) for one in variants]
        arguments = jax.tree.map(lambda *leaves: jnp.asarray(np.stack(leaves)), *started)
        order = _ordered(first, fold_rows, policy.params)
        members = jax.device_get(train(spec, *arguments, order))
    kept = []
    for k, number in enumerate(dict.fromkeys(group.candidates)):
        member = jax.tree.map(lambda leaf, k=k: leaf[k], members)
        done = _as_fitted(variants[k], first, member, fold_rows)
        if done is not None:
            kept.append(TrainedCandidate(number, group.fold, done))
    return kept


def _start(one: Any, params: Params, dtype: DTypeLike) -> tuple[Any, Any, FitNumbers]:
    """Return a member's weights, its optimizer's state, and its numbers, as NumPy arrays."""
    params = jax.tree.map(lambda leaf: np.asarray(leaf, dtype), params)
    opt_state, _ = new_optimizer(one, params)
    most = min(one.n_iter_no_change, np.iinfo(np.int32).max)
    rate, alpha, power, tol = (
        np.asarray(value, dtype)
        for value in (one.learning_rate_init, one.alpha, one.power_t, one.tol)
    )
    own = FitNumbers(
        learning_rate_init=rate,
        alpha=alpha,
        power_t=power,
        tol=tol,
        n_iter_no_change=np.asarray(most, np.int32),
    )
    return params, jax.tree.map(np.asarray, opt_state), own


def _ordered(first: Any, rows: TrainingRows, dtype: DTypeLike) -> OrderedRows:
    """Place the rows of a fold on the device, in scikit-learn's order for each epoch."""
    size = batch_size_of(first.batch_size, rows.n)
    order, epochs = np.arange(rows.n), []
    for _ in range(first.max_iter):
        order = next_order(order, first.shuffle, first._random_state)
        epochs.append(batches_of(order, size))
    places = np.stack(epochs)
    weights = np.zeros(places[0].size, dtype)
    weights[: rows.n] = 1
    data = rows.placed(dtype)
    return OrderedRows(
        x=data.x, y=data.y, places=jnp.asarray(places),
        weights=jnp.asarray(weights.reshape(places[0].shape)),
        row_weights=data.weights,
    )  # fmt: skip


def _as_fitted(one: Any, first: Any, member: Member, rows: TrainingRows) -> Any:
    """Return the estimator as its own fit would leave it; None for weights that are not finite."""
    given = one.get_params(deep=False)
    one.__dict__.update({k: v for k, v in vars(first).items() if k not in given})
    if not all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(member.params)):
        return None
    epochs = int(member.epochs)
    one._keep_params(member.params, rows.x.dtype)
    one.loss_curve_ = [float(loss) for loss in member.curve[:epochs]]
    one.n_iter_, one.t_, one.loss_ = epochs, epochs * rows.n, one.loss_curve_[-1]
    one.best_loss_ = min(one.loss_curve_)
    one._stale = int(member.stale)
    return one


def converged(one: Any) -> bool:
    """Return True if training ended before its last epoch."""
    return bool(one.n_iter_ < one.max_iter or one._stale > one.n_iter_no_change)
