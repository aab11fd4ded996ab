"""The search for the best rows of a table: exact for few tasks, and as far as it gets for many.

Gains (R, n) of rows for tasks, each row at a cost: the rows within the limit whose best gains, one
per task, have the largest sum. Gains and costs are whole numbers, so that sums are exact.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from heapq import heappop, heappush

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Rows = tuple[int, ...]

MOST_TASKS_EXACT, MOST_CELLS, MOST_COSTS = 13, 2**23, 256
BEAM_WIDTH, DUAL_STEPS = 32, 300
MOST_WORK = 3 * 10**7  # gains to look at while bounding, and while branching: about a second
TINY = 1e-3  # less than any cost above 0


@dataclass(frozen=True)
class Problem:
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


@dataclass(frozen=True)
class Solution:
    """Rows that serve all tasks, and the score that no others exceed."""

    rows: Rows
    bound: float


def solve(problem: Problem) -> Solution | None:
    """The best rows, or good ones with a bound; None where no rows were found that serve all."""
    if problem.is_small and (best := _exact(problem)) is not None:
        return Solution(best, problem.score(best)) if best else None
    good = _beam(problem)
    return _branch_and_bound(problem, _relaxed(problem, good)) if good else None


# -------------------------------------------------------------------------------------------- exact
# Sets of tasks are numbers, bit t for task t.


@dataclass(frozen=True)
class _Offers:
    """For every set of tasks, what it may be served for: more gain for more cost.

    gains, costs (2^n, W): −inf and inf where there are fewer than W offers.
    """

    gains: Floats
    costs: Floats


def _exact(problem: Problem) -> Rows | None:
    """The best rows, () if none serve all tasks; None if the costs are too manifold to tell.

    Dynamic programming: one row serves the last task of a set, and perhaps more of it; what is left
    is a smaller set, whose best offers are known. The work depends on the numbers of tasks and rows
    and hardly on the gains. Ties are broken as `_Partial.rank` does: adding the same row to two
    sets keeps their order, so only the first of equal offers need be kept.
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
    return solved[-1][-1] if solved[-1] else ()


def _single_rows(problem: Problem) -> tuple[_Offers, Integers]:
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


def cheapest_cover(problem: Problem) -> float:
    """The least cost, in whole units, of rows that serve every task."""
    groups = (problem.gains > -np.inf) @ (1 << np.arange(problem.n_tasks))
    costs = np.zeros(1 << problem.n_tasks)
    for tasks in range(1, len(costs)):
        rows = groups >> (tasks.bit_length() - 1) & 1 == 1
        costs[tasks] = (problem.costs[rows] + costs[tasks & ~groups[rows]]).min()
    return float(costs[-1])


# -------------------------------------------------------------------------------- greedy, and bound


def _beam(problem: Problem) -> Rows | None:
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


def _grown(partial: _Partial, problem: Problem) -> Iterator[_Partial]:
    """The best sets of one row more, as many as the beam is wide; each better than before."""
    sums = np.maximum(partial.gains, problem.gains).sum(axis=1)
    sums[partial.cost + problem.costs > problem.limit] = -np.inf
    for row in np.lexsort((problem.costs, -sums))[:BEAM_WIDTH].tolist():
        if sums[row] > partial.gains.sum():
            gains = np.maximum(partial.gains, problem.gains[row])
            rows = tuple(sorted({*partial.rows, row}))
            yield _Partial(rows, gains, partial.cost + float(problem.costs[row]))


def _swapped(best: _Partial, nothing: _Partial, problem: Problem) -> Iterator[_Partial]:
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


@dataclass(frozen=True)
class _Relaxed:
    """Rows that serve all tasks; prices (n,) of being served; and what no set exceeds by them."""

    rows: Rows
    prices: Floats
    bound: float


def _relaxed(problem: Problem, found: Rows) -> _Relaxed:
    """The best rows met on the way, at least those found, and the prices that bound best.

    Each task pays a price for being served (Lagrangian relaxation of "exactly once", Cornuejols,
    Fisher & Nemhauser 1977). Polyak's steps move the prices.
    """
    best = _Relaxed(found, problem.gains[list(found)].max(axis=0), np.inf)
    reached, prices = problem.score(found), best.prices
    for step in range(min(DUAL_STEPS, 1 + MOST_WORK // problem.gains.size)):
        bound, taken, slope = _bound(prices, problem.gains, problem.costs, problem.limit)
        if bound < best.bound:
            best = replace(best, prices=prices, bound=bound)
        if len(taken) and (score := float(problem.gains[taken].max(axis=0).sum())) > reached:
            best = replace(best, rows=problem.without_idle(tuple(taken.tolist())))
            reached = score
        if best.bound < reached + 1 or not slope.any():
            break
        prices = prices - 0.97**step * (bound - reached) / float(slope @ slope) * slope
    return best


def _bound(
    prices: Floats, gains: Floats, costs: Floats, room: float
) -> tuple[float, Integers, Floats]:
    """What tasks that are served for these prices, or better by some rows, get at most in sum.

    What rows earn above the prices is limited by the room, of which the last may take a part
    (Dantzig 1957). Also the rows that are taken as a whole, and the slope of the bound.
    """
    above = np.maximum(gains - prices, 0)
    earned = above.sum(axis=1)
    order = np.argsort(-earned / np.maximum(costs, TINY), kind="stable")
    costs = costs[order]
    left = room - (np.cumsum(costs) - costs)
    part = np.where(costs > 0, left.clip(0) / np.maximum(costs, TINY), 1).clip(max=1)
    bound = float(prices.sum() + part @ earned[order])
    return bound, order[(part == 1) & (earned[order] > 0)], 1 - part @ (above[order] > 0)


def _branch_and_bound(problem: Problem, relaxed: _Relaxed) -> Solution:
    """The best rows if the search comes to its end, which the bound tells by being their score.

    A branch has taken some rows and renounced others. The most promising one is split by the row
    that earns most above the prices, and given up where its bound is not above the best score.
    """
    best = Solution(relaxed.rows, problem.score(relaxed.rows))
    root = _Branch((), np.full(problem.n_tasks, -np.inf), problem.limit)
    branches: list[tuple[float, int, _Branch, Integers]] = []
    heappush(branches, (-relaxed.bound, 0, root, np.arange(len(problem.gains))))
    for step in range(1, 1 + MOST_WORK // problem.gains.size):
        if not branches or -branches[0][0] < best.bound + 1:
            return best
        _, _, branch, free = heappop(branches)
        prices = np.maximum(branch.gains, relaxed.prices)
        row = int(free[np.maximum(problem.gains[free] - prices, 0).sum(axis=1).argmax()])
        taken = branch.take(row, problem)
        if taken.gains.sum() > best.bound:
            best = Solution(problem.without_idle(taken.rows), float(taken.gains.sum()))
        for child, number in ((taken, 2 * step), (branch, 2 * step + 1)):
            left = free[(free != row) & (problem.costs[free] <= child.room)]
            prices = np.maximum(child.gains, relaxed.prices)
            bound, _, _ = _bound(prices, problem.gains[left], problem.costs[left], child.room)
            if len(left) and bound >= best.bound + 1:
                heappush(branches, (-bound, number, child, left))
    missed = -branches[0][0] if branches else best.bound
    return replace(best, bound=max(best.bound, float(np.floor(missed))))


@dataclass(frozen=True)
class _Branch:
    """Rows taken, the best gain of each task by them (n,), and how much more they may cost."""

    rows: Rows
    gains: Floats
    room: float

    def take(self, row: int, problem: Problem) -> _Branch:
        return _Branch(
            (*self.rows, row),
            np.maximum(self.gains, problem.gains[row]),
            self.room - float(problem.costs[row]),
        )
