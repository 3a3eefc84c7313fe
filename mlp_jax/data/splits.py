"""Splits into training, validation and test rows: stratified, disjoint, complete, reproducible.

Letters: N rows, C classes.
"""

import itertools
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from jaxtyping import Float32, Int, Int8

from mlp_jax.data.dataset import Dataset, Split, check_labels
from mlp_jax.errors import InputError

TRAIN, VALIDATION, TEST = 0, 1, 2


@dataclass(frozen=True, eq=False)
class Splits:
    """Training, validation and test rows.

    Attributes:
        train: training rows.
        validation: rows that choose the epoch, or None.
        test: rows of the final evaluation, or None.
    """

    train: Split
    validation: Split | None
    test: Split | None


def split(dataset: Dataset, *, test: float | None, validation: float, seed: int) -> Splits:
    """Split dataset.train into training, validation and test rows, which keep their order.

    Labels are stratified: in every part each class has its exact share, rounded down or up, and no
    class loses its last training row.

    Args:
        dataset: the set. If it has test rows, they are kept and `test` is ignored.
        test: fraction of test rows in [0, 1), or None.
        validation: fraction of validation rows in [0, 1).
        seed: seed of the draw.

    Returns:
        The parts.

    Raises:
        InputError: for a fraction out of range, or one that leaves a part empty.
    """
    labels = dataset.train.y if dataset.is_classification else None
    own_test = dataset.test is not None
    part = part_of_rows(
        len(dataset.train),
        labels,
        test=None if own_test else test,
        validation=validation,
        seed=seed,
    )
    held_out = [_take(dataset.train, part == number) for number in (VALIDATION, TEST)]
    return Splits(
        train=_take(dataset.train, part == TRAIN),
        validation=held_out[0] or None,
        test=dataset.test if own_test else held_out[1] or None,
    )


def part_of_rows(
    n_rows: int,
    labels: Int[np.ndarray, " N"] | None,
    *,
    test: float | None,
    validation: float,
    seed: int,
) -> Int8[np.ndarray, " N"]:
    """Return the part of each row, TRAIN, VALIDATION or TEST, by fractions as in `split`.

    labels: whole numbers from 0 to stratify by, or None.
    """
    shares = {
        "validation": as_share("validation", validation),
        "test": as_share("test", test or 0.0),
    }
    if seed < 0:
        raise InputError(f"The seed of a split must not be negative, but is {seed}.")
    if sum(shares.values()) >= 1:
        raise InputError(
            f"A validation fraction of {validation} and a test fraction of {test}"
            f" leave no training row of {n_rows}."
        )
    y = np.zeros(n_rows, np.int32) if labels is None else labels
    part = _assign(y, (shares["validation"], shares["test"]), seed)
    for number, (name, share) in enumerate(shares.items(), start=1):
        if share and not (part == number).any():
            raise InputError(
                f"A {name} fraction of {float(share)} leaves no {name} row of {n_rows}."
            )
    return part


def usual_validation(n_rows: int) -> float:
    """Return the default fraction of validation rows: a tenth, at most 2000 rows."""
    return min(0.1, 2000 / n_rows)


def part_of_groups(
    groups: Int[np.ndarray, " N"], *, test: float | None, validation: float, seed: int
) -> Int8[np.ndarray, " N"]:
    """Return the part of each row by fractions, with each group (integers from 0) in one part.

    Groups in random order go to the test rows while that brings these closer to their share, then
    to the validation rows, the others to training.
    """
    shares = ((TEST, "test", test or 0.0), (VALIDATION, "validation", validation))
    if float(as_share("test", test or 0.0) + as_share("validation", validation)) >= 1:
        raise InputError(
            f"A validation fraction of {validation} and a test fraction of {test}"
            " leave no training row."
        )
    if seed < 0:
        raise InputError(f"The seed of a split must not be negative, but is {seed}.")
    sizes = np.bincount(groups)
    wanted = 1 + sum(1 for _, _, share in shares if share)
    if len(sizes) < wanted:
        raise InputError(f"A split by groups needs at least {wanted} groups, not {len(sizes)}.")
    order = np.random.Generator(np.random.PCG64(seed)).permutation(len(sizes))
    part_of_group = np.zeros(len(sizes), np.int8)
    first = 0
    for number, _, share in shares:
        if not share:
            continue
        # Leave at least one group for each remaining part and for training.
        waiting = 1 + sum(1 for n, _, s in shares if n < number and s)
        reached = np.cumsum(sizes[order[first : len(order) - waiting]])
        last = first + 1 + int(np.argmin(np.abs(reached - share * len(groups))))
        part_of_group[order[first:last]] = number
        first = last
    return part_of_group[groups]


def class_weights(y: np.ndarray, n_classes: int) -> Float32[np.ndarray, " C"]:
    """Return balanced weights N / (C · count), 0 for a class without rows.

    Args:
        y: labels (N,), whole numbers.
        n_classes: C.

    Returns:
        Weights (C,) float32.

    Raises:
        InputError: for a label outside 0 to C − 1.
    """
    check_labels(y, n_classes, "y")
    counts = np.bincount(y, minlength=n_classes)
    weights = np.where(counts > 0, len(y) / (n_classes * np.maximum(counts, 1)), 0.0)
    return weights.astype(np.float32)


def as_share(name: str, fraction: float) -> Fraction:
    """Return a fraction exactly as written; InputError for one outside [0, 1)."""
    if not 0 <= fraction < 1:
        raise InputError(
            f"The {name} fraction must be at least 0 and less than 1, but is {fraction}."
        )
    return Fraction(str(float(fraction)))


def _take(rows: Split, chosen: np.ndarray) -> Split:
    return rows if chosen.all() else Split(rows.x[chosen], rows.y[chosen])


def _assign(y: np.ndarray, shares: tuple[Fraction, Fraction], seed: int) -> np.ndarray:
    """Return the part of each row (N,)."""
    rng = np.random.Generator(np.random.PCG64(seed))
    rows = rng.permutation(len(y))
    rows = rows[np.argsort(y[rows], kind="stable")]
    sizes = np.bincount(y)
    starts = np.cumsum(sizes) - sizes
    present = np.flatnonzero(sizes)
    rng.shuffle(present)
    part = np.zeros(len(y), np.int8)
    for c, (n_validation, n_test) in zip(
        present, _allot([int(sizes[c]) for c in present], shares), strict=True
    ):
        first, second = starts[c] + n_validation, starts[c] + n_validation + n_test
        part[rows[starts[c] : first]] = 1
        part[rows[first:second]] = 2
    return part


def _allot(sizes: list[int], shares: tuple[Fraction, Fraction]) -> list[tuple[int, int]]:
    """Return the number of (validation, test) rows of each class.

    Every count, that of the training rows too, is its exact share rounded down or up; the
    accumulated error of the previous classes decides which, so that the totals are right.
    """
    debt = [Fraction(0)] * 3
    counts = []
    for size in sizes:
        exact = [size * share for share in (1 - sum(shares), *shares)]
        rounded = itertools.product(*({int(e), -int(-e // 1)} for e in exact))
        choices = [k for k in rounded if sum(k) == size and k[0] > 0]
        owed = [d + e for d, e in zip(debt, exact, strict=True)]
        best = min(
            sorted(choices),
            key=lambda k: sum((o - n) ** 2 for o, n in zip(owed, k, strict=True)),
        )
        debt = [o - n for o, n in zip(owed, best, strict=True)]
        counts.append((best[1], best[2]))
    return counts
