"""Higher-order affinity: what tasks score in random groups of a fixed size, and who was with them.

Li et al. 2023 (arXiv 2303.14582, 2306.14009): a few groups, linearly many in the number of tasks,
are trained; the affinity of two tasks comes from the groups that they are in together.
"""

from __future__ import annotations

import math

import numpy as np

from stg_core.affinity.selection import Bools, Floats

GROUPS_PER_TASK = 2
RIDGE = 0.01  # their α
MOST_PER_GROUP = 10
WAYS = ("mean", "ridge")


def group_size(n_tasks: int) -> int:
    """How many tasks are in each random group: a quarter of them, from 2 to 10 (10 of 500 there).

    >>> [group_size(n) for n in (2, 4, 8, 12, 15, 100)]
    [2, 2, 2, 3, 4, 10]
    """
    return min(max(2, round(n_tasks / 4)), MOST_PER_GROUP)


def group_count(n_tasks: int) -> int:
    """How many random groups are trained: two for each task, or all there are of that size."""
    return min(GROUPS_PER_TASK * n_tasks, math.comb(n_tasks, group_size(n_tasks)))


def random_groups(n_tasks: int, seed: int, size: int = 0, count: int = 0) -> Bools:
    """Different groups of tasks, (count, T): of the usual size and number where none is given.

    Every task is dealt out about as often: the tasks are shuffled and cut into groups, again and
    again; those that are left over in a round are dealt in others.
    """
    size, count = size or group_size(n_tasks), count or group_count(n_tasks)
    if not (1 <= size <= n_tasks and count <= math.comb(n_tasks, size)):
        raise ValueError(f"There are not {count} groups of {size} of {n_tasks} tasks.")
    rng, found = np.random.default_rng(seed), dict[frozenset[int], None]()
    while len(found) < count:
        order = rng.permutation(n_tasks)[: n_tasks // size * size]
        found |= dict.fromkeys(frozenset(part.tolist()) for part in order.reshape(-1, size))
    masks = np.zeros((count, n_tasks), dtype=np.bool_)
    for mask, group in zip(masks, found, strict=False):
        mask[list(group)] = True
    return masks


def surrogate(masks: Bools, scores: Floats, how: str = "mean") -> Floats:
    """Affinity [source, target], (T, T), of trained groups; the diagonal is NaN.

    masks (R, T); scores (R, T), larger is better, anything outside the mask: such as gains, or
    losses with a minus. "mean": the mean score of the target over the groups that hold both, NaN
    where there is none. "ridge": the coefficient of the source in a ridge regression (α = 0.01) of
    the target's scores on who else was in its groups; negative ones are negative transfer.
    """
    if how not in WAYS:
        raise ValueError(f"Surrogates are of {WAYS}, not {how!r}.")
    masks = np.asarray(masks, dtype=np.bool_)
    present, values = masks.astype(np.float64), np.where(masks, scores, 0.0)
    if how == "mean":
        together = present.T @ present
        sums = present.T @ values
        affinity = np.where(together > 0, sums / np.maximum(together, 1), np.nan)
    else:
        affinity = np.stack([_coefficients(present, values, t) for t in range(len(masks.T))], 1)
    np.fill_diagonal(affinity, np.nan)
    return np.asarray(affinity)


def standardised(masks: Bools, scores: Floats) -> Floats:
    """Scores (R, T) of each task less their mean, over their deviation; NaN outside the mask.

    So that tasks whose scores are spread more weigh as much as the others.
    """
    found = np.full(scores.shape, np.nan)
    for t, own in enumerate(np.asarray(masks, dtype=np.bool_).T):
        if own.any():
            values = scores[own, t]
            found[own, t] = (values - values.mean()) / (values.std() or 1.0)
    return found


def _coefficients(present: Floats, values: Floats, target: int) -> Floats:
    """Of each source, (T,): of one in no group of the target NaN."""
    from sklearn.linear_model import Ridge

    own = present[:, target] == 1
    coefficients = np.full(len(values.T), np.nan)
    if own.sum() > 1:
        others = present[own].any(axis=0) & ~present[own].all(axis=0)
        others[target] = False
        if others.any():
            model = Ridge(alpha=RIDGE).fit(present[own][:, others], values[own, target])
            coefficients[others] = model.coef_
    return coefficients
