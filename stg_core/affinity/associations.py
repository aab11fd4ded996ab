"""How well the answers to two questions go together: yes-or-no ones, classes and numbers.

0 says nothing of each other, 1 decides each other; the sign of a correlation does not count, so
that a task and its opposite are as near as a task and itself. Over the points where both are known.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stg_core.tasks.groups import Kind

Floats = NDArray[np.float64]

NO_SPREAD = 1e-12  # of the sum of squares: what is left of it by rounding alone


def associations(first: ArrayLike, second: ArrayLike, kinds: Sequence[Kind]) -> Floats:
    """Of each column of `first` with each of `second`, (T, T) in [0, 1]; NaN if one is constant.

    first, second (N, T): answers to the same T tasks, NaN where unknown. Two yes-or-no ones: |φ|;
    a number with a number or a yes or no: Pearson's |r|; classes with either: the correlation ratio
    η; classes with classes: Cramér's V. For yes or no all of them are the same.
    """
    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    found = np.abs(_correlations(a, b))
    several = [t for t, kind in enumerate(kinds) if kind == "multiclass"]
    for t in several:
        for other in range(len(kinds)):
            if other in several:
                found[t, other] = _cramers_v(a[:, t], b[:, other])
            else:
                found[t, other] = _correlation_ratio(a[:, t], b[:, other])
                found[other, t] = _correlation_ratio(b[:, t], a[:, other])
    return found


def balanced_agreement(labels: ArrayLike, answers: ArrayLike) -> Floats:
    """|1 − 2 · balanced error| of each answer for each task's labels, (T, T') in [0, 1].

    labels (N, T) of yes-or-no tasks, answers (N, T'): 1 and 0, NaN where unknown. It is the
    difference of the share of yes among positives and among negatives, so that an answer that is
    always wrong tells as much as one that is always right. NaN for a task of one kind of labels.
    """
    y, said = np.asarray(labels, dtype=np.float64), np.asarray(answers, dtype=np.float64)
    known, yes = (~np.isnan(said)).astype(np.float64), np.nan_to_num(said)
    with np.errstate(invalid="ignore", divide="ignore"):
        shares = [(of.T @ yes) / (of.T @ known) for of in ((y == 1) * 1.0, (y == 0) * 1.0)]
    return np.asarray(np.abs(shares[0] - shares[1]))


def _correlations(a: Floats, b: Floats) -> Floats:
    """Pearson's r of each column of a with each of b, over the points where both are known."""
    known_a, known_b = ((~np.isnan(x)).astype(np.float64) for x in (a, b))
    x, y = (np.nan_to_num(one - _means(one)) for one in (a, b))  # sums of small numbers are exact
    n = np.maximum(known_a.T @ known_b, 1)
    sum_x, sum_y = x.T @ known_b, known_a.T @ y
    squares_x, squares_y = (x**2).T @ known_b, known_a.T @ y**2
    spread_x, spread_y = squares_x - sum_x**2 / n, squares_y - sum_y**2 / n
    defined = (spread_x > NO_SPREAD * squares_x) & (spread_y > NO_SPREAD * squares_y)
    scale = np.sqrt(np.where(defined, spread_x * spread_y, 1))
    r = np.where(defined, (x.T @ y - sum_x * sum_y / n) / scale, np.nan)
    return np.asarray(r.clip(-1, 1))


def _means(columns: Floats) -> Floats:
    known = ~np.isnan(columns)
    return np.asarray(np.where(known, columns, 0).sum(axis=0) / np.maximum(known.sum(axis=0), 1))


def _correlation_ratio(classes: Floats, numbers: Floats) -> float:
    """η: the root of the share of the numbers' variance that is between classes."""
    known = ~np.isnan(classes) & ~np.isnan(numbers)
    if not known.any():
        return float("nan")
    of_class = np.unique(classes[known], return_inverse=True)[1]
    values = numbers[known] - numbers[known].mean()
    total = float((values**2).sum())
    if total <= NO_SPREAD * float((numbers[known] ** 2).sum()) or of_class.max() == 0:
        return float("nan")
    between = np.bincount(of_class, values) ** 2 / np.bincount(of_class)
    return float(np.sqrt(min(between.sum() / total, 1)))


def _cramers_v(a: Floats, b: Floats) -> float:
    """V: the root of χ² over its largest value for tables of that size (Cramér 1946)."""
    known = ~np.isnan(a) & ~np.isnan(b)
    if not known.any():
        return float("nan")
    rows, columns = (np.unique(x[known], return_inverse=True)[1] for x in (a, b))
    table = np.zeros((rows.max() + 1, columns.max() + 1))
    np.add.at(table, (rows, columns), 1)
    if min(table.shape) < 2:
        return float("nan")
    share = table / table.sum()
    expected = np.outer(share.sum(axis=1), share.sum(axis=0))
    return float(np.sqrt(min((share**2 / expected).sum() - 1, 1e9) / (min(table.shape) - 1)))
