"""Groups of any number of tasks from any affinity: they are the ones that are there."""

from __future__ import annotations

import numpy as np
import pytest

from stg_core.affinity.clustering import (
    Floats,
    cluster,
    semidefinite_relaxation,
    settled,
    space_of,
)
from stg_core.affinity.settings import CLUSTERINGS
from stg_core.grouping.memberships import Labels, group_tasks
from stg_core.system.errors import UserError

SIZES = (9, 6, 4, 3)
TRUTH = np.repeat(np.arange(len(SIZES)), SIZES)


def planted(seed: int = 0, noise: float = 0.3) -> tuple[Floats, Labels]:
    """An affinity that is 1 within blocks of 9, 6, 4 and 3 tasks, in no order, and their blocks."""
    rng = np.random.default_rng(seed)
    blocks = rng.permutation(TRUTH)
    affinity = (blocks[:, None] == blocks) + rng.normal(0, noise, (len(blocks),) * 2)
    return (affinity + affinity.T) / 2, blocks


@pytest.mark.parametrize("how", CLUSTERINGS)
@pytest.mark.parametrize("seed", range(3))
def test_planted_blocks_are_found_and_the_largest_has_number_0(how: str, seed: int) -> None:
    affinity, blocks = planted(seed)
    assert cluster(affinity, 4, how).tolist() == blocks.tolist()


@pytest.mark.parametrize("how", CLUSTERINGS)
def test_negative_affinities_are_as_good_as_positive_ones(how: str) -> None:
    affinity, blocks = planted()
    assert cluster(7 * affinity - 100, 4, how).tolist() == blocks.tolist()


@pytest.mark.parametrize("how", CLUSTERINGS)
def test_unknown_affinities_draw_neither_together_nor_asunder(how: str) -> None:
    affinity, blocks = planted()
    unknown = np.random.default_rng(1).random(affinity.shape) < 0.15
    affinity[unknown & unknown.T] = np.nan
    affinity[0, 1:3] = affinity[1:3, 0] = np.nan
    assert cluster(affinity, 4, how).tolist() == blocks.tolist()


@pytest.mark.parametrize("how", CLUSTERINGS)
def test_the_diagonal_does_not_count(how: str) -> None:
    affinity, blocks = planted()
    np.fill_diagonal(affinity, np.nan)
    assert cluster(affinity, 4, how).tolist() == blocks.tolist()


@pytest.mark.parametrize("how", CLUSTERINGS)
def test_the_groups_do_not_depend_on_the_order_of_the_tasks(how: str) -> None:
    affinity, _ = planted(3)
    order = np.random.default_rng(2).permutation(len(affinity))
    turned = cluster(affinity[np.ix_(order, order)], 4, how)
    assert turned.tolist() == cluster(affinity, 4, how)[order].tolist()


@pytest.mark.parametrize("how", CLUSTERINGS)
@pytest.mark.parametrize("k", [1, 2, 21, 22])
def test_every_number_of_groups_is_possible(how: str, k: int) -> None:
    labels = cluster(planted()[0], k, how)
    assert sorted(set(labels.tolist())) == list(range(k))
    sizes = np.bincount(labels)
    assert (np.diff(sizes) <= 0).all()


@pytest.mark.parametrize("how", CLUSTERINGS)
def test_tasks_of_which_nothing_is_known_are_grouped_all_the_same(how: str) -> None:
    assert len(cluster(np.full((4, 4), np.nan), 2, how)) == 4


def test_what_cannot_be_clustered_is_refused() -> None:
    affinity, _ = planted()
    with pytest.raises(UserError, match="1 to 22 clusters, not 23"):
        cluster(affinity, 23, "average")
    with pytest.raises(UserError, match="choose from spectral"):
        cluster(affinity, 2, "magic")
    with pytest.raises(UserError, match="infinite"):
        cluster(np.full((3, 3), np.inf), 2, "average")
    with pytest.raises(UserError, match="3 × 2"):
        cluster(np.zeros((3, 2)), 2, "average")
    with pytest.raises(UserError, match="up to 300 tasks, and there are 301"):
        cluster(np.zeros((301, 301)), 2, "semidefinite")


def test_the_relaxation_of_clear_blocks_is_their_indicator() -> None:
    affinity, blocks = planted(noise=0.0)
    together = blocks[:, None] == blocks
    expected = together / np.array(SIZES)[blocks][:, None]
    assert semidefinite_relaxation(affinity, 4) == pytest.approx(expected, abs=0.01)


def test_stgs_memberships_apply_to_any_affinity() -> None:
    affinity, blocks = planted()
    names = [f"task {t}" for t in range(len(affinity))]
    soft = group_tasks(space_of(affinity, names), 4, 1.5, "soft")
    assert soft.tasks == tuple(names)
    assert soft.labels.tolist() == blocks.tolist()
    assert soft.memberships.sum(axis=1) == pytest.approx(1)
    assert soft.memberships.argmax(axis=1).tolist() == blocks.tolist()
    with pytest.raises(UserError, match="data maps"):
        group_tasks(space_of(affinity, names), 4, 1.5, "points")


def test_squared_distances_are_twice_what_affinities_are_below_the_highest() -> None:
    affinity, blocks = planted(noise=0.0)
    apart = blocks[:, None] != blocks
    assert space_of(3 * affinity - 5).distances ** 2 == pytest.approx(6.0 * apart)


def test_both_directions_count_alike_and_one_is_enough() -> None:
    affinity = np.array([[9.0, 1.0, np.nan], [3.0, 9.0, np.nan], [5.0, np.nan, 9.0]])
    assert settled(affinity).tolist() == [[0, 2, 5], [2, 0, 3.5], [5, 3.5, 0]]
