"""How settled a grouping is: what an epoch more has changed, whatever the clusters' numbers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stg_core.grouping.memberships import Grouping
from stg_core.grouping.settling import AT_REST, Change, change_between, changes, rests
from stg_core.system.errors import UserError


def grouping(memberships: np.ndarray) -> Grouping:
    tasks = tuple(f"task {t}" for t in range(len(memberships)))
    labels = memberships.argmax(axis=1)
    return Grouping(tasks, memberships.shape[1], 2.0, "soft", memberships, labels, {})


def shares(seed: int, n_tasks: int = 6, k: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).dirichlet(np.ones(k), n_tasks)


@given(st.integers(0, 999), st.permutations(range(3)))
def test_clusters_with_other_numbers_are_no_change(seed: int, order: list[int]) -> None:
    found = change_between(grouping(shares(seed)), grouping(shares(seed)[:, order]))
    assert found.index == 1 and found.moved == pytest.approx(0) and found.none


@given(st.integers(0, 999), st.integers(0, 999))
def test_the_change_is_the_same_both_ways_and_no_larger_than_without_matching(
    one: int, other: int
) -> None:
    a, b = grouping(shares(one)), grouping(shares(other))
    there, back = change_between(a, b), change_between(b, a)
    assert there.moved == pytest.approx(back.moved) and there.index == pytest.approx(back.index)
    unmatched = np.abs(a.memberships - b.memberships).mean()
    assert 0 <= there.moved <= unmatched + 1e-12


def test_a_task_that_goes_elsewhere_is_a_change() -> None:
    before = np.eye(2)[[0, 0, 0, 1, 1, 1]]
    after = np.eye(2)[[0, 0, 1, 1, 1, 1]]
    found = change_between(grouping(before), grouping(after))
    assert found.moved == pytest.approx(2 / 12)
    assert 0 < found.index < 1 and not found.none


def test_it_rests_once_three_epochs_have_changed_nothing() -> None:
    still, moved = Change(1.0, AT_REST / 2), Change(1.0, AT_REST)
    assert rests([moved, still, still, still]) and not rests([still, still])
    assert not rests([still, still, moved]) and not rests([still, still, Change(0.9, 0.0)])
    same = grouping(shares(0))
    assert rests(changes([same] * 4)) and not rests(changes([same] * 3))


def test_other_tasks_or_clusters_cannot_be_compared() -> None:
    for other in (shares(0, k=2), shares(0, n_tasks=5)):
        with pytest.raises(UserError, match="same tasks into as many clusters"):
            change_between(grouping(shares(0)), grouping(other))
