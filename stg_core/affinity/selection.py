"""Which groups to train: the best set of candidate groups within a budget, and values for groups.

A table of group values has a row per group: masks (R, n), who is in it, and values (R, n), what
each member gets out of it. Values outside the mask mean nothing. Every task is served by the chosen
group that is best for it, so groups may overlap, and a task may be trained for others' sake.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stg_core.errors import UserError

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Rows = tuple[int, ...]

MOST_TASKS_LISTED = 20
DIGITS = 13  # sums of numbers with so many are exact in float64, and equal sums are equal
SLACK = 1e-9  # of the budget: ten times 0.1 is within 1
MOST_TASKS_EXACT, MOST_CELLS, MOST_COSTS = 13, 2**23, 256
BEAM_WIDTH, DUAL_STEPS, TINY = 32, 300, 1e-3  # a cost below the smallest, in whole units


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

    The best set assigns blocks of a partition of the tasks to groups. So up to 13 tasks it is found
    exactly, by dynamic programming over the sets of tasks already served, at a cost that depends on
    the numbers of tasks and groups and hardly on the values. Beyond, a greedy beam search finds a
    good set, and Lagrangian relaxation says how far from the best it may be.

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
    problem = _Problem(gains[affordable], whole_costs[affordable], limit)
    found = _exact(problem) if problem.is_small else None
    bound = None
    if found is None:
        found = _beam(problem)
        if found is not None:
            found, bound = _relaxed(problem, found)
    if found is None:
        raise UserError(_too_small(problem, budget, unit))

    rows = affordable[list(found)]
    routing = rows[gains[rows].argmax(axis=0)]
    reached = values[routing, np.arange(masks.shape[1])]
    short = 0.0 if bound is None else bound - problem.score(found)
    return Selection(
        groups=tuple(rows.tolist()),
        routing=routing,
        score=float(reached.mean()),
        cost=float(costs[rows].sum()),
        exact=short == 0,
        gap=float(short * _unit(values) / masks.shape[1]),
    )


@dataclass(frozen=True)
class _Problem:
    """Maximise the sum over tasks of the best gain within the limit.

    gains (R, n): whole numbers, −inf outside the mask; costs (R,): whole numbers.
    """

    gains: Floats
    costs: Floats
    limit: float

    @property
    def n_tasks(self) -> int:
        return int(self.gains.shape[1])

    @property
    def is_small(self) -> bool:
        return self.n_tasks <= MOST_TASKS_EXACT and len(self.gains) << self.n_tasks <= MOST_CELLS

    def score(self, rows: Rows) -> float:
        """−inf where a task is not served."""
        return float(self.gains[list(rows)].max(axis=0).sum())

    def without_idle(self, rows: Rows) -> Rows:
        """Only the rows that serve a task."""
        return tuple(sorted({rows[i] for i in self.gains[list(rows)].argmax(axis=0)}))


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


def _too_small(problem: _Problem, budget: float, unit: float) -> str:
    refused = f"A budget of {budget:g} cannot serve every task"
    if problem.is_small:
        least = f"{_cheapest_cover(problem) * unit:.12g}"
        return f"{refused}: the cheapest groups that do cost {least}. Raise the budget."
    return f"{refused} with these groups, as far as was found. Raise the budget or add larger ones."


# -------------------------------------------------------------------------------------------- exact
# Sets of tasks are numbers, bit t for task t.


@dataclass(frozen=True)
class _Offers:
    """For every set of tasks, what it may be served for: more gain for more cost.

    gains, costs (2^n, W): −inf and inf where there are fewer than W offers.
    """

    gains: Floats
    costs: Floats


def _exact(problem: _Problem) -> Rows | None:
    """The best set of rows; None if there is none, or if the costs are too manifold.

    One row serves the last task of a set, and perhaps more of it; what is left is a smaller set,
    whose best offers are known.
    """
    single, rows_of = _single_rows(problem)
    gains = np.full((len(single.gains), MOST_COSTS), -np.inf)
    costs = np.full_like(gains, np.inf)
    gains[0, 0] = costs[0, 0] = 0
    solved: list[list[Rows]] = [[()]]
    width = 1
    for tasks in range(1, len(gains)):
        served = _subsets_with_last(tasks)
        left = tasks ^ served
        gain = single.gains[served][:, :, None] + gains[left, None, :width]
        cost = single.costs[served][:, :, None] + costs[left, None, :width]
        best = _worthwhile(gain.ravel(), cost.ravel(), problem.limit)
        if len(best) > MOST_COSTS:
            return None
        solved.append([])
        for column, ties in enumerate(best):
            gains[tasks, column] = gain.ravel()[ties[0]]
            costs[tasks, column] = cost.ravel()[ties[0]]
            places = np.stack(np.unravel_index(ties, gain.shape), axis=1).tolist()
            sets = (
                tuple(sorted({int(rows_of[served[i], j]), *solved[left[i]][k]}))
                for i, j, k in places
            )
            solved[tasks].append(min(sets, key=lambda rows: (len(rows), rows)))
        width = max(width, len(best))
    return solved[-1][-1] if solved[-1] else None


def _single_rows(problem: _Problem) -> tuple[_Offers, Integers]:
    """What single rows offer for every set of tasks, and which rows they are, (2^n, W)."""
    n_sets = 1 << problem.n_tasks
    sums = np.zeros((n_sets, len(problem.gains)))
    for tasks in range(1, n_sets):
        last = tasks.bit_length() - 1
        sums[tasks] = sums[tasks ^ (1 << last)] + problem.gains[:, last]
    offers: list[tuple[Floats, float, Integers]] = []
    most = np.full(n_sets, -np.inf)
    for cost in np.unique(problem.costs):
        rows = np.flatnonzero(problem.costs == cost)
        first = sums[:, rows].argmax(axis=1)
        gain = sums[np.arange(n_sets), rows[first]]
        offers.append((np.where(gain > most, gain, -np.inf), float(cost), rows[first]))
        most = np.maximum(most, gain)
    gains = np.stack([gain for gain, _, _ in offers], axis=1)
    costs = np.where(gains > -np.inf, [cost for _, cost, _ in offers], np.inf)
    rows_of = np.stack([rows for _, _, rows in offers], axis=1)
    order = np.argsort(costs, axis=1, kind="stable")[:, : (gains > -np.inf).sum(axis=1).max()]
    gains, costs, rows_of = (np.take_along_axis(a, order, 1) for a in (gains, costs, rows_of))
    return _Offers(gains, costs), rows_of


def _subsets_with_last(tasks: int) -> Integers:
    """The subsets of a set of tasks that contain its last task."""
    last = tasks.bit_length() - 1
    subsets = np.array([1 << last])
    for task in range(last):
        if tasks >> task & 1:
            subsets = np.concatenate([subsets, subsets | 1 << task])
    return subsets


def _worthwhile(gains: Floats, costs: Floats, limit: float) -> list[Integers]:
    """Offers that nothing cheaper or equally cheap excels, by cost: the places of their ties."""
    possible = np.flatnonzero((costs <= limit) & (gains > -np.inf))
    order = possible[np.lexsort((-gains[possible], costs[possible]))]
    gains, costs = gains[order], costs[order]
    most_before = np.concatenate([[-np.inf], np.maximum.accumulate(gains)[:-1]])
    starts = np.flatnonzero(gains > most_before)
    differs = np.flatnonzero((np.diff(gains) != 0) | (np.diff(costs) != 0)) + 1
    ends = np.append(differs, len(order))[np.searchsorted(differs, starts, side="right")]
    return [order[start:end] for start, end in zip(starts, ends, strict=True)]


def _cheapest_cover(problem: _Problem) -> float:
    """The least cost, in whole units, of rows that serve every task."""
    groups = (problem.gains > -np.inf) @ (1 << np.arange(problem.n_tasks))
    costs = np.zeros(1 << problem.n_tasks)
    for tasks in range(1, len(costs)):
        rows = groups >> (tasks.bit_length() - 1) & 1 == 1
        costs[tasks] = (problem.costs[rows] + costs[tasks & ~groups[rows]]).min()
    return float(costs[-1])


# -------------------------------------------------------------------------------- greedy, and bound


def _beam(problem: _Problem) -> Rows | None:
    """A good set of rows: the best sets of each size grow by one row, and at last rows are swapped.

    A task that is not served yet counts so little that sets that serve more tasks come first. None
    where no set was found that serves all.
    """
    known = problem.gains[problem.gains > -np.inf]
    unserved = known.min() - problem.n_tasks * (np.ptp(known) + 1)
    nothing = _Partial((), np.full(problem.n_tasks, unserved), 0.0)
    best, beam = nothing, [nothing]
    while beam:
        grown = {one.rows: one for partial in beam for one in _grown(partial, problem)}
        beam = sorted(grown.values(), key=_Partial.rank)[:BEAM_WIDTH]
        best = min([best, *beam], key=_Partial.rank)
    while swapped := list(_swapped(best, nothing, problem)):
        best = min(swapped, key=_Partial.rank)
    served = bool(best.rows) and problem.score(best.rows) > -np.inf
    return problem.without_idle(best.rows) if served else None


@dataclass(frozen=True)
class _Partial:
    """Some rows (ascending), the best gain of each task so far (n,), and what they cost."""

    rows: Rows
    gains: Floats
    cost: float

    def rank(self) -> tuple[float, float, int, Rows]:
        """Small is good: the order in which `select_groups` prefers sets."""
        return -float(self.gains.sum()), self.cost, len(self.rows), self.rows


def _grown(partial: _Partial, problem: _Problem) -> Iterator[_Partial]:
    """The best sets of one row more, as many as the beam is wide; each better than before."""
    sums = np.maximum(partial.gains, problem.gains).sum(axis=1)
    sums[partial.cost + problem.costs > problem.limit] = -np.inf
    for row in np.lexsort((problem.costs, -sums))[:BEAM_WIDTH].tolist():
        if sums[row] > partial.gains.sum():
            gains = np.maximum(partial.gains, problem.gains[row])
            rows = tuple(sorted({*partial.rows, row}))
            yield _Partial(rows, gains, partial.cost + float(problem.costs[row]))


def _swapped(best: _Partial, nothing: _Partial, problem: _Problem) -> Iterator[_Partial]:
    """Sets that are better for having another row in place of one of theirs."""
    for out in best.rows:
        kept = [row for row in best.rows if row != out]
        partial = _Partial(
            tuple(kept),
            np.vstack([nothing.gains, problem.gains[kept]]).max(axis=0),
            float(problem.costs[kept].sum()),
        )
        for one in _grown(partial, problem):
            if one.rank() < best.rank():
                yield one


def _relaxed(problem: _Problem, found: Rows) -> tuple[Rows, float]:
    """The best rows met on the way, at least those found; and a sum of gains that none exceed.

    Each task pays a price for being served (Lagrangian relaxation of "exactly once", Cornuejols,
    Fisher & Nemhauser 1977); what rows then earn above the prices is limited by the budget, of
    which the last row may take a part (Dantzig 1957). Polyak's steps move the prices.
    """
    reached, least = problem.score(found), np.inf
    prices = problem.gains[list(found)].max(axis=0)
    for step in range(DUAL_STEPS):
        above = np.maximum(problem.gains - prices, 0)
        earned = above.sum(axis=1)
        order = np.argsort(-earned / np.maximum(problem.costs, TINY), kind="stable")
        costs = problem.costs[order]
        room = problem.limit - (np.cumsum(costs) - costs)
        part = np.minimum(room.clip(0) / np.maximum(costs, TINY), 1)
        taken = order[(part == 1) & (earned[order] > 0)]
        if len(taken) and (score := float(problem.gains[taken].max(axis=0).sum())) > reached:
            found, reached = problem.without_idle(tuple(taken.tolist())), score
        bound = float(prices.sum() + part @ earned[order])
        least = min(least, bound)
        slope = 1 - part @ (above[order] > 0)
        if least < reached + 1 or not slope.any():
            break
        prices = prices - 0.97**step * (bound - reached) / float(slope @ slope) * slope
    return found, max(reached, float(np.floor(least)))


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
