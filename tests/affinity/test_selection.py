"""Selection: the best groups within a budget, and what groups are worth by HOA and by affinity."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stg_core.affinity import search
from stg_core.affinity.selection import (
    Selection,
    all_groups,
    group_affinity,
    group_transfer,
    hoa_values,
    select_by_sum,
    select_groups,
)
from stg_core.system.errors import UserError

Table = dict[str, Any]


def by_trying_all(
    masks: np.ndarray, values: np.ndarray, costs: np.ndarray, budget: float, *, maximise: bool
) -> tuple[float, tuple[int, ...]] | None:
    """The mean value and the rows of the first best set, in the documented order."""
    found = []
    gains = np.where(masks, values if maximise else -values, -np.inf)
    for size in range(1, masks.shape[1] + 1):
        for rows in itertools.combinations(range(len(masks)), size):
            mean, cost = gains[list(rows)].max(axis=0).mean(), costs[list(rows)].sum()
            if mean > -np.inf and cost <= budget + 1e-9:
                found.append((-round(mean, 9), round(cost, 9), size, rows))
    if not found:
        return None
    mean, _, _, rows = min(found)
    return (-mean if maximise else mean), rows


@st.composite
def tables(draw: st.DrawFn) -> Table:
    """Small tables with ties, with and without uniform costs, NaN outside the masks."""
    n_groups, n_tasks = draw(st.integers(1, 9)), draw(st.integers(1, 4))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    masks = rng.random((n_groups, n_tasks)) < draw(st.sampled_from([0.3, 0.6, 0.9]))
    values = {
        "real": rng.normal(size=masks.shape),
        "tenths": rng.integers(-2, 3, masks.shape) / 10,
        "zeros and ones": rng.integers(0, 2, masks.shape) * 1.0,
    }[draw(st.sampled_from(["real", "tenths", "zeros and ones"]))]
    costs = {
        "equal": np.ones(n_groups),
        "halves": rng.integers(1, 4, n_groups) / 2,
        "tenths, some free": rng.integers(0, 4, n_groups) / 10,
        "real": rng.random(n_groups),
    }[draw(st.sampled_from(["equal", "halves", "tenths, some free", "real"]))]
    return {
        "masks": masks,
        "values": np.where(masks, values, np.nan),
        "costs": costs,
        "budget": draw(st.sampled_from([0.3, 0.5, 1, 1.5, 2, 3, 4])),
        "maximise": draw(st.booleans()),
    }


def every_group(n_tasks: int, values: np.ndarray, budget: float) -> Selection:
    masks = all_groups(n_tasks)
    return select_groups(masks, values, np.ones(len(masks)), budget, maximise=True)


# ---------------------------------------------------------------------------------- the best groups


@settings(max_examples=400)
@given(tables())
def test_the_groups_are_those_that_trying_all_sets_finds(table: Table) -> None:
    expected = by_trying_all(**table)
    if expected is None:
        with pytest.raises(UserError):
            select_groups(**table)
        return
    found = select_groups(**table)
    assert found.groups == expected[1]
    assert found.score == pytest.approx(expected[0], abs=1e-8)
    assert found.exact and found.gap == 0
    assert found.cost == pytest.approx(table["costs"][list(found.groups)].sum())


@given(tables())
def test_every_task_goes_to_the_best_of_the_chosen_groups_that_it_is_in(table: Table) -> None:
    if by_trying_all(**table) is None:
        return
    found = select_groups(**table)
    better = np.nanmax if table["maximise"] else np.nanmin
    tasks = np.arange(len(found.routing))
    assert table["masks"][found.routing, tasks].all()
    assert set(found.routing.tolist()) == set(found.groups)  # no group is trained for nothing
    reached = table["values"][found.routing, tasks]
    assert np.array_equal(reached, better(table["values"][list(found.groups)], axis=0))
    assert found.score == pytest.approx(reached.mean())


@given(tables(), st.integers(0, 100))
def test_the_score_does_not_depend_on_the_order_of_the_groups(table: Table, seed: int) -> None:
    if by_trying_all(**table) is None:
        return
    order = np.random.default_rng(seed).permutation(len(table["masks"]))
    shuffled = table | {name: table[name][order] for name in ("masks", "values", "costs")}
    one, other = select_groups(**table), select_groups(**shuffled)
    assert one.score == pytest.approx(other.score, abs=1e-9)
    assert one.cost == pytest.approx(other.cost, abs=1e-9)
    assert len(one.groups) == len(other.groups)


@given(tables())
def test_losses_and_gains_of_the_opposite_sign_give_the_same_groups(table: Table) -> None:
    if by_trying_all(**table) is None:
        return
    other = table | {"values": -table["values"], "maximise": not table["maximise"]}
    assert select_groups(**other).groups == select_groups(**table).groups


def test_of_sets_that_are_equally_good_the_cheaper_smaller_and_first_is_taken() -> None:
    masks = np.array([[1, 0], [0, 1], [1, 1], [1, 1], [1, 1]], dtype=bool)
    values = np.ones((5, 2))
    assert select_groups(masks, values, np.ones(5), 2, maximise=True).groups == (2,)
    cheap = np.array([0.5, 0.5, 1, 1, 0.9])
    assert select_groups(masks, values, cheap, 2, maximise=True).groups == (4,)
    as_cheap = np.array([0.1, 0.2, 0.3, 0.3, 0.4])
    assert select_groups(masks, values, as_cheap, 2, maximise=True).groups == (2,)
    first = select_groups(masks[:2].repeat(2, axis=0), values[:4], np.ones(4), 4, maximise=True)
    assert first.groups == (0, 2) and first.routing.tolist() == [0, 2]


def test_a_task_that_two_groups_serve_equally_well_goes_to_the_first() -> None:
    masks = np.array([[1, 1, 0], [0, 1, 1]], dtype=bool)
    found = select_groups(masks, np.full((2, 3), 0.5), np.ones(2), 2, maximise=False)
    assert found.groups == (0, 1) and found.routing.tolist() == [0, 0, 1]


def test_sums_that_differ_only_by_rounding_are_ties() -> None:
    masks = np.ones((2, 3), dtype=bool)
    values = np.array([[0.3, 0.2, 0.1], [0.1, 0.2, 0.3]])
    assert values[0].sum() != values[1].sum()
    for order in ([0, 1], [1, 0]):
        found = select_groups(masks, values[order], np.ones(2), 1, maximise=True)
        assert found.groups == (0,)


def test_a_group_may_be_trained_for_the_sake_of_another_task() -> None:
    masks = np.array([[1, 1], [0, 1], [1, 0]], dtype=bool)
    values = np.array([[0.5, -0.9], [0, 0.0], [0, 0.0]])
    found = select_groups(masks, values, np.ones(3), 2, maximise=True)
    assert found.groups == (0, 1) and found.routing.tolist() == [0, 1]
    assert found.score == 0.25


def test_half_sized_models_count_half() -> None:
    masks = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 1]], dtype=bool)
    values = np.array([[0.1, 9, 9], [9, 0.1, 9], [9, 9, 0.1], [0.2, 0.2, 0.2]])
    costs = np.array([0.5, 0.5, 0.5, 1])
    assert select_groups(masks, values, costs, 1, maximise=False).groups == (3,)
    assert select_groups(masks, values, costs, 1.5, maximise=False).groups == (0, 1, 2)


@pytest.mark.parametrize("cost", [0.1, 0.3, 1 / 3, 0.7, 1.1])
def test_costs_that_add_up_to_the_budget_are_within_it(cost: float) -> None:
    for n_tasks in range(1, 13):
        alone, budget = np.eye(n_tasks, dtype=bool), round(n_tasks * cost, 12)
        found = select_groups(alone, alone * 1.0, np.full(n_tasks, cost), budget, maximise=True)
        assert len(found.groups) == n_tasks


@pytest.mark.parametrize("kind", ["gains", "affinities", "zeros and ones", "all equal", "by size"])
def test_all_511_groups_of_nine_tasks_are_searched_exactly(kind: str) -> None:
    masks = all_groups(9)
    rng = np.random.default_rng(0)
    values = {
        "gains": rng.normal(size=masks.shape),
        "affinities": group_affinity(rng.normal(size=(9, 9)), masks),
        "zeros and ones": (rng.random(masks.shape) < 0.03) * 1.0,
        "all equal": np.zeros(masks.shape),
        "by size": np.broadcast_to(-np.abs(masks.sum(axis=1) - 2.5)[:, None], masks.shape),
    }[kind]
    found = every_group(9, values, 4)
    assert found.exact and len(found.groups) <= 4
    pairs = itertools.combinations(range(len(masks)), 2)
    served = np.where(masks, values, -np.inf)
    some = max(float(np.maximum(served[a], served[b]).mean()) for a, b in pairs)
    assert found.score >= some - 1e-12


def test_a_larger_budget_is_never_worse() -> None:
    values = np.random.default_rng(3).normal(size=(255, 8))
    scores = [every_group(8, values, budget).score for budget in (1, 2, 3, 4, 5, 8)]
    assert scores == sorted(scores)
    assert scores[-1] == pytest.approx(np.where(all_groups(8), values, -9).max(axis=0).mean())


# ------------------------------------------------------------------------------- too large for that


@settings(max_examples=200)
@given(tables())
def test_where_the_search_is_not_exact_the_gap_says_how_much_may_be_missing(table: Table) -> None:
    best = by_trying_all(**table)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search, "MOST_CELLS", 0)
        try:
            found = select_groups(**table)
        except UserError:
            return
    assert best is not None
    short = best[0] - found.score if table["maximise"] else found.score - best[0]
    assert -1e-9 <= short <= found.gap + 1e-8
    assert found.exact == (found.gap == 0)
    assert found.cost <= table["budget"] + 1e-9


def many_tasks(seed: int, n_groups: int, n_tasks: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    masks = rng.random((n_groups, n_tasks)) < 0.4
    masks[0] = True
    return masks, rng.random(masks.shape)


@pytest.mark.parametrize("seed", range(5))
def test_branch_and_bound_finds_the_best_groups_of_many_tasks(seed: int) -> None:
    masks, values = many_tasks(seed, 40, 16)
    costs = np.random.default_rng(seed).integers(1, 4, 40) / 2
    found = select_groups(masks, values, costs, 2, maximise=True)
    gains = np.where(masks, values, -np.inf)
    best = max(
        float(gains[list(rows)].max(axis=0).mean())
        for size in (1, 2, 3, 4)
        for rows in itertools.combinations(range(40), size)
        if costs[list(rows)].sum() <= 2
    )
    assert found.exact and found.score == pytest.approx(best, abs=1e-9)


def test_379_groups_of_27_tasks_are_searched_exactly() -> None:
    masks, values = many_tasks(0, 379, 27)
    found = select_groups(masks, values, np.ones(379), 5, maximise=True)
    assert found.exact and found.gap == 0 and len(found.groups) == 5


def test_a_search_that_was_cut_short_is_repeatable_and_says_how_far_it_got(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    masks, values = many_tasks(1, 300, 27)
    whole = select_groups(masks, values, np.ones(300), 5, maximise=True)
    monkeypatch.setattr(search, "MOST_WORK", 60 * values.size)
    one, other = (select_groups(masks, values, np.ones(300), 5, maximise=True) for _ in range(2))
    assert one.groups == other.groups and one.gap == other.gap
    assert not one.exact and 0 < one.gap < 0.05
    assert one.score <= whole.score <= one.score + one.gap + 1e-9


def test_a_planted_partition_of_many_tasks_is_found_and_known_to_be_the_best() -> None:
    rng = np.random.default_rng(2)
    masks = np.vstack([np.eye(4, dtype=bool).repeat(5, axis=1), rng.random((200, 20)) < 0.3])
    values = np.where(np.arange(204)[:, None] < 4, 1.0, rng.random(masks.shape))
    found = select_groups(masks, values, np.ones(204), 4, maximise=True)
    assert found.groups == (0, 1, 2, 3)
    assert found.score == 1 and found.exact and found.gap == 0


# ------------------------------------------------------------------------------------- what is said


def refused(sentence: str, **changes: Any) -> None:
    masks = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0]], dtype=bool)
    table = {"masks": masks, "values": np.ones((4, 3)), "costs": np.ones(4), "budget": 3}
    with pytest.raises(UserError, match=sentence):
        select_groups(**{**table, **changes}, maximise=True)


def test_a_budget_that_cannot_serve_every_task_says_what_would() -> None:
    refused(
        r"A budget of 1 cannot serve every task: the cheapest .* cost 2\. Raise the budget",
        budget=1,
    )
    refused("Every group with task 2 .* costs more than the budget of 3", costs=[1, 1, 3.5, 1])
    refused(
        "Task 2 .* is in none of the groups; add one", masks=np.tri(3, dtype=bool)[[0, 1, 1, 1]]
    )


def test_a_budget_that_is_too_small_for_many_tasks_says_so() -> None:
    with pytest.raises(UserError, match=r"A budget of 2 cannot serve every task .* larger ones"):
        select_groups(np.eye(20, dtype=bool), np.ones((20, 20)), np.ones(20), 2, maximise=True)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"masks": np.zeros((0, 3), bool)}, "no groups"),
        ({"values": np.ones((4, 2))}, "do not fit"),
        ({"costs": np.ones(3)}, "do not fit"),
        ({"costs": [1, 1, 1, -1]}, "0 or more"),
        ({"costs": [1, 1, 1, np.nan]}, "0 or more"),
        ({"budget": 0}, "more than 0"),
        ({"budget": float("nan")}, "more than 0"),
        (
            {"values": np.where(np.eye(4, 3), np.nan, 1)},
            "Group 0 has no finite value for its task 0",
        ),
        ({"values": np.full((4, 3), np.inf)}, "no finite value"),
    ],
)
def test_tables_that_make_no_sense_are_refused(changes: dict[str, Any], sentence: str) -> None:
    refused(sentence, **changes)


# --------------------------------------------------------------------------------- values of groups


def test_all_groups_come_by_size_and_in_the_order_of_the_tasks() -> None:
    rows = [tuple(np.flatnonzero(mask)) for mask in all_groups(4)]
    assert rows == [
        group for size in range(1, 5) for group in itertools.combinations(range(4), size)
    ]
    assert len({mask.tobytes() for mask in all_groups(9)}) == len(all_groups(9)) == 511
    with pytest.raises(UserError, match="not for 27"):
        all_groups(27)


def test_hoa_averages_the_pairs_of_a_group_and_keeps_pairs_and_single_tasks() -> None:
    masks = all_groups(3)  # 0, 1, 2, 01, 02, 12, 012
    nan = np.nan
    known = np.array([[0, nan, nan], [nan, 0.01, nan], [nan, nan, 0.02], [0.1, 0.2, nan]])
    known = np.vstack([known, [[0.3, nan, 0.4], [nan, 0.5, 0.6]]])
    found = hoa_values(masks[:6], known, masks)
    assert np.array_equal(found[:6], known, equal_nan=True)
    assert found[6] == pytest.approx([(0.1 + 0.3) / 2, (0.2 + 0.5) / 2, (0.4 + 0.6) / 2])


@given(st.integers(2, 6), st.integers(0, 1000))
def test_hoa_is_the_mean_over_the_pairs_with_each_other_member(n_tasks: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    masks = all_groups(n_tasks)
    truth = rng.normal(size=masks.shape)
    order = rng.permutation(np.flatnonzero(masks.sum(axis=1) <= 2))
    found = hoa_values(masks[order], truth[order], masks)
    pair = {tuple(np.flatnonzero(mask)): row for mask, row in zip(masks, truth, strict=True)}
    for mask, row in zip(masks, found, strict=True):
        members = tuple(np.flatnonzero(mask))
        assert np.array_equal(np.isnan(row), ~mask)
        for t in members:
            others = [pair[min(j, t), max(j, t)][t] for j in members if j != t]
            expected = pair[members][t] if len(members) <= 2 else np.mean(others)
            assert row[t] == pytest.approx(expected)


def test_hoa_needs_only_the_pairs_of_the_groups_that_are_asked_for() -> None:
    masks = all_groups(4)
    trained = [4, 5, 7]  # the pairs 01, 02, 12
    values = np.ones((15, 4))
    triple = masks[[10]]
    assert hoa_values(masks[trained], values[trained], triple)[0, :3].tolist() == [1, 1, 1]
    with pytest.raises(UserError, match=r"no value for tasks 0 and 3 .* train that group too"):
        hoa_values(masks[trained], values[trained], masks[[10, 14]])
    with pytest.raises(UserError, match="no value for task 2 alone"):
        hoa_values(masks[trained], values[trained], masks[[2]])
    with pytest.raises(UserError, match="do not fit"):
        hoa_values(masks[trained], values[trained][:2], triple)


def test_the_affinity_of_a_group_is_what_the_other_members_do_for_each_task() -> None:
    affinity = np.array([[9.0, 0.1, 0.2], [0.3, 9.0, 0.4], [0.5, 0.6, 9.0]])  # [source, target]
    found = group_affinity(affinity, all_groups(3))
    assert found[3, :2] == pytest.approx([0.3, 0.1])
    assert found[6] == pytest.approx([(0.3 + 0.5) / 2, (0.1 + 0.6) / 2, (0.2 + 0.4) / 2])
    assert np.isnan(found[3, 2])
    own = affinity.copy()
    np.fill_diagonal(own, np.nan)
    assert np.array_equal(group_affinity(own, all_groups(3)), found, equal_nan=True)


@given(st.integers(2, 6), st.integers(0, 1000), st.sampled_from([1e-6, 1.0, 1e6]))
def test_no_task_is_left_alone_that_could_be_together(n: int, seed: int, scale: float) -> None:
    affinity = np.random.default_rng(seed).normal(-1, 1, (n, n)) * scale
    masks = all_groups(n)
    for budget in (1, 2, 3):
        found = every_group(n, group_affinity(affinity, masks), budget)
        assert (masks[found.routing].sum(axis=1) > 1).all()


def test_an_affinity_that_does_not_fit_is_refused() -> None:
    with pytest.raises(UserError, match="does not fit"):
        group_affinity(np.ones((3, 2)), all_groups(3))
    with pytest.raises(UserError, match="not finite"):
        group_affinity(np.full((3, 3), np.inf), all_groups(3))
    assert group_affinity(np.ones((1, 1)), all_groups(1)).shape == (1, 1)


def test_what_a_group_transfers_is_the_mean_with_the_task_itself() -> None:
    affinity = np.array([[9.0, 0.4, -0.2], [0.1, 9.0, 0.6], [0.5, 0.2, 9.0]])
    values = group_transfer(affinity, all_groups(3))
    assert values[:3][np.eye(3, dtype=bool)].tolist() == [0, 0, 0]  # alone
    assert values[3, :2] == pytest.approx([0.1 / 2, 0.4 / 2])
    assert values[6] == pytest.approx([(0.1 + 0.5) / 3, (0.4 + 0.2) / 3, (-0.2 + 0.6) / 3])


@given(st.integers(2, 4), st.integers(1, 3), st.integers(0, 2**32))
@settings(max_examples=30)
def test_the_groups_with_the_largest_sum_are_those_that_trying_all_sets_finds(
    n_tasks: int, budget: int, seed: int
) -> None:
    masks = all_groups(n_tasks)
    affinity = np.random.default_rng(seed).normal(size=(n_tasks, n_tasks))
    values = group_transfer(affinity, masks)
    sums = np.where(masks, values, 0).sum(axis=1)
    sets = [
        rows
        for size in range(1, budget + 1)
        for rows in itertools.combinations(range(len(masks)), size)
        if masks[list(rows)].any(axis=0).all()
    ]
    best = max(sets, key=lambda rows: sums[list(rows)].sum())
    found = select_by_sum(masks, values, budget)
    assert found.exact and found.gap == 0
    served = np.where(masks[list(best)], values[list(best)], -np.inf)
    assert found.score == pytest.approx(served.max(axis=0).mean())
    assert set(found.routing) == set(found.groups) and len(found.groups) <= budget
    assert masks[found.routing, np.arange(n_tasks)].all()


def test_a_budget_that_cannot_serve_every_task_by_sum_says_so() -> None:
    masks = np.eye(3, dtype=bool)
    with pytest.raises(UserError, match="A budget of 2 cannot serve every task"):
        select_by_sum(masks, np.zeros((3, 3)), 2)
