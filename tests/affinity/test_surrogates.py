"""Higher-order affinity: what random groups of tasks tell of the tasks in them."""

from __future__ import annotations

import numpy as np
import pytest

from stg_core.affinity.clustering import cluster
from stg_core.affinity.settings import CLUSTERINGS
from stg_core.affinity.surrogates import (
    WAYS,
    group_count,
    group_size,
    random_groups,
    standardised,
    surrogate,
)


@pytest.mark.parametrize("n_tasks", [2, 3, 8, 12, 100])
def test_random_groups_are_different_and_deal_every_task_out_about_as_often(n_tasks: int) -> None:
    masks = random_groups(n_tasks, 0)
    assert masks.shape == (group_count(n_tasks), n_tasks)
    assert (masks.sum(axis=1) == group_size(n_tasks)).all()
    assert len(np.unique(masks, axis=0)) == len(masks)
    if n_tasks == 100:
        times = masks.sum(axis=0)
        assert times.min() == times.max() == 20


def test_random_groups_are_those_of_their_seed() -> None:
    assert np.array_equal(random_groups(15, 3), random_groups(15, 3))
    assert not np.array_equal(random_groups(15, 3), random_groups(15, 4))
    assert random_groups(6, 0, size=3, count=20).sum() == 60  # all there are
    with pytest.raises(ValueError, match="not 21 groups of 3 of 6"):
        random_groups(6, 0, size=3, count=21)


def test_the_mean_is_over_the_groups_that_hold_both() -> None:
    masks = np.array([[1, 1, 0], [1, 0, 1], [1, 1, 0]], dtype=bool)
    scores = np.array([[1.0, 5.0, 99.0], [2.0, 99.0, 7.0], [4.0, 6.0, 99.0]])
    found = surrogate(masks, scores)
    assert found[1, 0] == 2.5 and found[2, 0] == 2 and found[0, 1] == 5.5 and found[0, 2] == 7
    assert np.isnan(found[1, 2]) and np.isnan(np.diag(found)).all()


def test_the_ridge_finds_what_each_other_task_adds() -> None:
    """Scores that are sums of what the others add, but for an own level, which is nobody's."""
    rng = np.random.default_rng(0)
    adds = rng.normal(size=(6, 6))
    masks = random_groups(6, 0, size=3, count=20)
    scores = masks @ adds - np.diag(adds) + 5
    found = surrogate(masks, scores, "ridge")
    for target in range(6):
        others = np.arange(6) != target
        expected = adds[others, target] - adds[others, target].mean()  # all groups are as large
        assert found[others, target] == pytest.approx(expected, abs=0.05)


@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize("clustering", CLUSTERINGS)
def test_tasks_that_help_each_other_are_found_from_random_groups(how: str, clustering: str) -> None:
    rng = np.random.default_rng(1)
    blocks = np.repeat([0, 1, 2], (8, 6, 4))
    masks = random_groups(18, 0, count=120)
    helped = masks @ (blocks[:, None] == blocks).astype(float)
    scores = rng.normal(size=18) * 5 + helped + rng.normal(0, 0.1, masks.shape)
    affinity = surrogate(masks, standardised(masks, scores), how)
    assert cluster(affinity, 3, clustering).tolist() == blocks.tolist()


def test_scores_of_different_spread_weigh_the_same() -> None:
    masks = random_groups(8, 0)
    scores = np.random.default_rng(0).normal(size=masks.shape)
    scaled = scores * np.array([1, 100, 1, 1, 1, 0.01, 1, 1]) + 7
    assert np.allclose(standardised(masks, scores), standardised(masks, scaled), equal_nan=True)
