"""Which groups to train: the best set of candidate groups within a budget, and values for groups.

A table of group values has a row per group: masks (R, n), who is in it, and values (R, n), what
each member gets out of it. Values outside the mask mean nothing. Every task is served by the chosen
group that is best for it, so groups may overlap, and a task may be trained for others' sake.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stg_core.affinity.search import Problem, Rows, cheapest_cover, solve
from stg_core.system.errors import UserError

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

MOST_TASKS_LISTED = 20
DIGITS = 13  # sums of numbers with so many are exact in float64, and equal sums are equal
SECONDS = 10.0  # of integer programming
SLACK = 1e-9  # of the budget: ten times 0.1 is within 1


@dataclass(frozen=True)
class Selection:
    """A set of groups, and who is served by which.

    groups: rows, ascending, each of which serves a task; routing (n,): the row that serves each
    task; score: mean over the tasks of the values that they get, in the unit of the values (times n
    it is the sum that Standley et al. report); cost: of all groups; exact: no set within the budget
    has a better score; gap: what the best score may be better at most, 0 where exact.
    """

    groups: Rows
    routing: Integers
    score: float
    cost: float
    exact: bool
    gap: float


def all_groups(n_tasks: int) -> Bools:
    """Every group of n tasks, masks (2^n − 1, n): by size, and then in the order of the tasks.

    Raises UserError for more than 20 tasks, whose groups are millions.
    """
    if not 1 <= n_tasks <= MOST_TASKS_LISTED:
        raise UserError(
            f"All groups can be listed for 1 to {MOST_TASKS_LISTED} tasks, not for {n_tasks};"
            " choose fewer tasks, or candidate groups of your own."
        )
    masks = (np.arange(1, 2**n_tasks)[:, None] >> np.arange(n_tasks)) & 1
    order = np.lexsort((*(1 - masks.T[::-1]), masks.sum(axis=1)))
    return np.asarray(masks[order], dtype=np.bool_)


# ---------------------------------------------------------------------------------------- selection


def select_groups(
    masks: Bools, values: Floats, costs: Floats, budget: float, *, maximise: bool
) -> Selection:
    """The set of groups that serves every task best within a budget (Standley et al. 2020).

    masks (R, n); values (R, n), losses or gains, anything outside the mask; costs (R,), 0 or more,
    in the unit of the budget, which their sum may not exceed. Of sets with equal scores the
    cheapest is taken, then the one of the fewest groups, then the one with the first rows
    (lexicographically); a task that two chosen groups serve equally well goes to the first. Values
    and costs that agree in 13 digits, counted from the largest, are equal.

    Up to 11 tasks, and 13 with a thousand groups, the set is exact. Beyond, it comes from a greedy
    beam search and from branch and bound, which ends after so many steps: then `gap` says what may
    be missing. There one of several equally good sets is taken, always the same for the same rows.

    Raises UserError for tables that make no sense and for a budget that cannot serve every task.
    """
    masks = np.asarray(masks, dtype=np.bool_)
    values, costs = np.asarray(values, dtype=np.float64), np.asarray(costs, dtype=np.float64)
    _check_table(masks, values, costs, budget)
    values = np.where(masks, values, 0.0)
    gains = np.where(masks, _whole(values if maximise else -values), -np.inf)
    unit, whole_costs = _unit(costs), _whole(costs)
    step = float(np.gcd.reduce(whole_costs.astype(np.int64))) or 1.0  # all sums are multiples of it
    limit = step * np.floor(min(budget * (1 + SLACK) / unit, whole_costs.sum()) / step)

    affordable = np.flatnonzero(whole_costs <= limit)
    _check_every_task_is_in(masks[affordable], masks, budget)
    problem = Problem(gains[affordable], whole_costs[affordable], limit)
    found = solve(problem)
    if found is None:
        raise UserError(_too_small(problem, budget, unit))

    rows = affordable[list(found.rows)]
    routing = rows[gains[rows].argmax(axis=0)]
    reached = values[routing, np.arange(masks.shape[1])]
    short = found.bound - problem.score(found.rows)
    return Selection(
        groups=tuple(rows.tolist()),
        routing=routing,
        score=float(reached.mean()),
        cost=float(costs[rows].sum()),
        exact=short == 0,
        gap=float(short * _unit(values) / masks.shape[1]),
    )


def select_by_sum(masks: Bools, values: Floats, budget: int) -> Selection:
    """At most `budget` groups, every task in one of them, whose values have the largest sum.

    As Wang, Pan, Yu 2024 (arXiv 2402.15328) choose: a group counts with the values of all its
    members, also of those that another one serves. masks (R, n); values (R, n), larger is better,
    anything outside the mask; the selection's score is of what each task is served with, as ever.
    By SciPy's integer programming: exact, but for what may be missing after 10 seconds, `gap`, in
    the unit of that score. Raises UserError as `select_groups`.
    """
    from scipy.optimize import Bounds, LinearConstraint, milp

    masks, values = np.asarray(masks, dtype=np.bool_), np.asarray(values, dtype=np.float64)
    costs = np.ones(len(masks))
    _check_table(masks, values, costs, budget)
    _check_every_task_is_in(masks, masks, budget)
    values = np.where(masks, values, 0.0)
    found = milp(
        -values.sum(axis=1),
        integrality=costs,
        bounds=Bounds(0, 1),
        constraints=[
            LinearConstraint(masks.T.astype(np.float64), lb=1),
            LinearConstraint(costs[None], ub=budget),
        ],
        options={"mip_rel_gap": 0, "time_limit": SECONDS},
    )
    if found.x is None:
        raise UserError(
            f"A budget of {budget:g} cannot serve every task with these groups. Raise the budget or"
            " add larger ones."
        )
    chosen = np.flatnonzero(found.x > 0.5)
    served = np.where(masks[chosen], values[chosen], -np.inf)
    routing = chosen[served.argmax(axis=0)]
    rows = np.unique(routing)
    return Selection(
        groups=tuple(rows.tolist()),
        routing=routing,
        score=float(values[routing, np.arange(masks.shape[1])].mean()),
        cost=float(len(rows)),
        exact=found.status == 0,
        gap=0.0 if found.status == 0 else float(-found.mip_dual_bound + found.fun) / masks.shape[1],
    )


def _check_table(masks: Bools, values: Floats, costs: Floats, budget: float) -> None:
    if masks.ndim != 2 or not masks.size:
        raise UserError("There are no groups to choose from; give at least one group of tasks.")
    if values.shape != masks.shape or costs.shape != masks.shape[:1]:
        raise UserError(
            f"Groups {masks.shape}, values {values.shape} and costs {costs.shape} do not fit; give"
            " one value per group and task, and one cost per group."
        )
    if len(unknown := np.argwhere(masks & ~np.isfinite(values))):
        row, task = unknown[0]
        raise UserError(
            f"Group {row} has no finite value for its task {task} (both counted from 0); leave the"
            " group out or give it one."
        )
    if not np.isfinite(costs).all() or (costs < 0).any():
        raise UserError("Every cost must be a finite number, 0 or more.")
    if not budget > 0:
        raise UserError(f"The budget must be more than 0, not {budget:g}.")


def _check_every_task_is_in(affordable: Bools, masks: Bools, budget: float) -> None:
    if not (inside := masks.any(axis=0)).all():
        task = int(inside.argmin())
        raise UserError(f"Task {task} (counted from 0) is in none of the groups; add one for it.")
    if not (inside := affordable.any(axis=0)).all():
        task = int(inside.argmin())
        raise UserError(
            f"Every group with task {task} (counted from 0) costs more than the budget of"
            f" {budget:g}; raise the budget."
        )


def _unit(numbers: Floats) -> float:
    """A power of ten that makes the largest number one of 13 digits."""
    largest = float(np.abs(numbers).max())
    return float(10.0 ** (np.floor(np.log10(max(largest, 1e-280))) + 1 - DIGITS))


def _whole(numbers: Floats) -> Floats:
    """Numbers in `_unit`s, as whole ones."""
    return np.asarray(np.rint(numbers / _unit(numbers)))


def _too_small(problem: Problem, budget: float, unit: float) -> str:
    refused = f"A budget of {budget:g} cannot serve every task"
    if problem.is_small:
        least = f"{cheapest_cover(problem) * unit:.12g}"
        return f"{refused}: the cheapest groups that do cost {least}. Raise the budget."
    return f"{refused} with these groups, as far as was found. Raise the budget or add larger ones."


# ----------------------------------------------------------------------------- values for any group


def mean_over_others(affinity: Floats, masks: Bools) -> Floats:
    """Mean of affinity[j, t] over the other members j of each group, (R, n); 0 for a task alone.

    Anything outside the mask; the diagonal does not count. Raises UserError for a matrix that is
    not (n, n), or not finite off the diagonal.
    """
    masks = np.asarray(masks, dtype=np.bool_)
    affinity = np.asarray(affinity, dtype=np.float64)
    if masks.ndim != 2 or affinity.shape != (masks.shape[1],) * 2:
        raise UserError(
            f"An affinity matrix {affinity.shape} does not fit groups {masks.shape}; it needs a row"
            " and a column for each task."
        )
    others = np.where(np.eye(len(affinity), dtype=np.bool_), 0.0, affinity)
    if not np.isfinite(others).all():
        raise UserError("An affinity is not finite; compute the affinities of these tasks again.")
    return np.asarray(masks @ others / np.maximum(masks.sum(axis=1, keepdims=True) - 1, 1))


def group_affinity(affinity: Floats, masks: Bools) -> Floats:
    """What the others of its group do for each task, (R, n), to be maximised; NaN outside the mask.

    The mean of affinity[j, t], the effect of training on j on the loss of t, over the other members
    j (Fifty et al. 2021). A task alone has no affinity: its value is so low that a set that leaves
    fewer tasks alone is always better (where their code has -10⁶, which depends on the scale).
    Raises UserError as `mean_over_others`.
    """
    masks = np.asarray(masks, dtype=np.bool_)
    values = mean_over_others(affinity, masks)
    n_tasks = masks.shape[1]
    known = np.asarray(affinity, dtype=np.float64)[~np.eye(n_tasks, dtype=np.bool_)]
    spread = float(np.ptp(known)) if known.size else 0.0
    lowest = float(known.min()) if known.size else 0.0
    values[masks.sum(axis=1) == 1] = lowest - n_tasks * (spread or 1.0)
    return np.where(masks, values, np.nan)


def group_transfer(affinity: Floats, masks: Bools) -> Floats:
    """What its group does for each task, (R, n), to be maximised; NaN outside the mask.

    The sum of affinity[j, t] over the other members j, by the size of the group (Wang, Pan, Yu
    2024): the mean with the task itself, which does nothing for itself, so that a task alone has 0.
    Raises UserError as `mean_over_others`.
    """
    masks = np.asarray(masks, dtype=np.bool_)
    sizes = masks.sum(axis=1, keepdims=True)
    values = mean_over_others(affinity, masks) * (sizes - 1) / np.maximum(sizes, 1)
    return np.where(masks, values, np.nan)


def hoa_values(pair_masks: Bools, pair_values: Floats, masks: Bools) -> Floats:
    """Higher-order approximation (Standley et al. 2020): values (R, n) of groups from pairs.

    pair_masks (P, n), pair_values (P, n): trained pairs and single tasks, losses or gains. A task's
    value in a group is the mean of its values in the pairs with each other member; pairs and single
    tasks keep theirs. Larger groups among the pairs are not looked at; NaN outside the mask. Raises
    UserError where a pair or a single task that is needed has no value.
    """
    pair_masks, masks = np.asarray(pair_masks, np.bool_), np.asarray(masks, np.bool_)
    pair_values = np.asarray(pair_values, dtype=np.float64)
    if pair_values.shape != pair_masks.shape or pair_masks.shape[1:] != masks.shape[1:]:
        raise UserError(
            f"Pairs {pair_masks.shape}, their values {pair_values.shape} and groups {masks.shape}"
            " do not fit; give one value per pair and task, and the same tasks everywhere."
        )
    together = np.full((masks.shape[1],) * 2, np.nan)  # of j and t: the value of t
    for mask, row in zip(pair_masks, pair_values, strict=True):
        members = np.flatnonzero(mask)
        if len(members) in (1, 2):
            together[members[::-1], members] = row[members]
    unknown = np.isnan(together)
    alone = masks.sum(axis=1) == 1
    for i, j in np.argwhere(unknown):
        needed = masks[alone, i] if i == j else masks[:, i] & masks[:, j]
        if needed.any():
            who = f"task {i} alone" if i == j else f"tasks {min(i, j)} and {max(i, j)}"
            raise UserError(f"There is no value for {who} (counted from 0); train that group too.")
    values = mean_over_others(np.where(unknown, 0, together), masks)
    values[alone] = np.diag(together)
    return np.where(masks, values, np.nan)
