"""The own part of what a pair of tasks gains, and what foretells it.

Much of a gain belongs to the task, whoever it is with, and to the company, whomever it helps. What
is left of the gain of a pair is its own: only that can tell which tasks to put together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

from stg_core.affinity.selection import Floats
from stg_core.affinity.table import Groups

PERMUTATIONS = 2_000
PERMUTATION_SEED = 71
ALPHAS = np.logspace(-1, 5, 25)


def pair_gains(groups: Groups, values: Floats) -> Floats:
    """Values (R, n) of the pairs as a matrix [source, target], (n, n); NaN on the diagonal."""
    found = np.full((len(groups.tasks),) * 2, np.nan)
    for row in np.flatnonzero(groups.masks.sum(axis=1) == 2):
        one, other = np.flatnonzero(groups.masks[row])
        found[one, other], found[other, one] = values[row, other], values[row, one]
    return found


def own_part(matrix: Floats) -> Floats:
    """What is left of a matrix [source, target] less the effects of sources and of targets.

    By least squares over its entries that are known, off the diagonal; NaN elsewhere.
    """
    n_tasks = len(matrix)
    known = np.isfinite(matrix) & ~np.eye(n_tasks, dtype=np.bool_)
    sources, targets = np.nonzero(known)
    effects = np.hstack([np.eye(n_tasks)[sources], np.eye(n_tasks)[targets]])
    found = np.full(matrix.shape, np.nan)
    if len(effects):
        values = matrix[known]
        found[known] = values - effects @ np.linalg.lstsq(effects, values, rcond=None)[0]
    return found


def relation(said: Floats, true: Floats) -> tuple[float, float] | None:
    """Pearson's correlation of the own parts of two matrices (n, n), and its two-sided p-value.

    By permutations of the tasks (Mantel 1967): entries that share a task are not independent. None
    where one of them has no own part, or is not known of all pairs.
    """
    off = ~np.eye(len(said), dtype=np.bool_)
    if not np.isfinite(said[off]).all() or not np.isfinite(true[off]).all():
        return None
    one, other = own_part(said), own_part(true)
    if min(_spread(said, one), _spread(true, other)) < 1e-9:
        return None
    found = float(np.corrcoef(one[off], other[off])[0, 1])
    rng = np.random.default_rng(PERMUTATION_SEED)
    as_strong = 0
    for _ in range(PERMUTATIONS):
        order = rng.permutation(len(one))
        drawn = np.corrcoef(one[order][:, order][off], other[off])[0, 1]
        as_strong += bool(abs(drawn) >= abs(found) - 1e-12)
    return found, (1 + as_strong) / (1 + PERMUTATIONS)


def p_in_words(p: float) -> str:
    """Such as "p = 0.041"; what 2,000 permutations cannot tell from 0 is "p < 0.001"."""
    return "p < 0.001" if p < 0.0005 else f"p = {p:.3f}"


def _spread(matrix: Floats, own: Floats) -> float:
    """Standard deviation of the own part over that of the whole."""
    off = ~np.eye(len(matrix), dtype=np.bool_)
    whole = float(matrix[off].std())
    return float(own[off].std()) / whole if whole else 0.0


# ------------------------------------------------------------------------------------ foretelling


@dataclass(frozen=True)
class Foretold:
    """How well the own part of pairs is foretold in tables that nothing was learned from.

    single: by feature and table, Pearson's correlation of their own parts, NaN where the feature is
    not known; ridge: by table, that of a ridge regression on all features, learned from the other
    tables, with its p-value; best: by table, the feature that was best on the other tables, with
    its correlation (its sign is that of the other tables) and p-value.
    """

    single: dict[str, dict[str, float]]
    ridge: dict[str, tuple[float, float]]
    best: dict[str, tuple[str, float, float]]


def foretell(
    features: Mapping[str, Mapping[str, Floats]], true: Mapping[str, Floats]
) -> Foretold | None:
    """Leaves one table out at a time. None with fewer than two tables.

    features: by table and name, matrices (n, n), [source, target], NaN where unknown; true: by
    table, the gains of pairs (n, n). Of every feature the own part of its ranks is taken, scaled to
    variance 1; one that is not known counts as 0.
    """
    if len(true) < 2:
        return None
    names = list(dict.fromkeys(name for of_table in features.values() for name in of_table))
    inputs = {
        table: {name: _ranked(features[table].get(name), true[table]) for name in names}
        for table in true
    }
    outputs = {table: _scaled(own_part(gains)) for table, gains in true.items()}
    single = {
        name: {table: _correlation(inputs[table][name], outputs[table]) for table in true}
        for name in names
    }
    ridge, best = {}, {}
    for left in true:
        others = [table for table in true if table != left]
        ridge[left] = _related(_learned(inputs, outputs, others, left, names), outputs[left])
        name, sign = _best(single, others)
        correlation, p = _related(sign * inputs[left][name], outputs[left])
        best[left] = name, correlation, p
    return Foretold(single, ridge, best)


def _learned(
    inputs: Mapping[str, Mapping[str, Floats]],
    outputs: Mapping[str, Floats],
    others: Sequence[str],
    left: str,
    names: Sequence[str],
) -> Floats:
    """What a ridge regression on some tables says of another one, (n, n)."""
    from sklearn.linear_model import RidgeCV

    def rows(table: str) -> Floats:
        off = ~np.eye(len(outputs[table]), dtype=np.bool_)
        return np.stack([inputs[table][name][off] for name in names], axis=1)

    off = {table: ~np.eye(len(found), dtype=np.bool_) for table, found in outputs.items()}
    x = np.concatenate([rows(table) for table in others])
    y = np.concatenate([outputs[table][off[table]] for table in others])
    told = np.zeros(outputs[left].shape)
    told[off[left]] = RidgeCV(alphas=ALPHAS, fit_intercept=False).fit(x, y).predict(rows(left))
    return told


def _best(single: Mapping[str, Mapping[str, float]], tables: Sequence[str]) -> tuple[str, int]:
    """The feature whose mean correlation over some tables is the strongest, and its sign."""
    means = {
        name: float(np.mean(np.nan_to_num([found[table] for table in tables])))
        for name, found in single.items()
    }
    name = max(means, key=lambda one: abs(means[one]))
    return name, 1 if means[name] >= 0 else -1


def _ranked(matrix: Floats | None, like: Floats) -> Floats:
    """The own part of the ranks of a matrix, of variance 1; 0 where not known of all pairs."""
    off = ~np.eye(len(like), dtype=np.bool_)
    if matrix is None or not np.isfinite(matrix[off]).all():
        return np.zeros(like.shape)
    ranks = np.full(like.shape, np.nan)
    ranks[off] = rankdata(matrix[off])
    return _scaled(own_part(ranks))


def _scaled(own: Floats) -> Floats:
    """Of variance 1 off the diagonal, and 0 on it."""
    off = ~np.eye(len(own), dtype=np.bool_)
    spread = float(own[off].std())
    return np.where(off, own / spread, 0.0) if spread > 1e-9 else np.zeros(own.shape)


def _correlation(a: Floats, b: Floats) -> float:
    off = ~np.eye(len(a), dtype=np.bool_)
    if np.ptp(a[off]) == 0 or np.ptp(b[off]) == 0:
        return np.nan
    return float(np.corrcoef(a[off], b[off])[0, 1])


def _related(said: Floats, true: Floats) -> tuple[float, float]:
    return relation(said, true) or (np.nan, np.nan)
