"""Maps of the tasks are faithful and do not flip; the dendrogram is that of the distances."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.cluster.hierarchy import cophenet, leaves_list, linkage
from scipy.spatial.distance import pdist, squareform

from stg_core.grouping.layout import (
    LAYOUTS,
    Dendrogram,
    dendrogram,
    distance_blocks,
    distances_of,
    task_map,
)
from stg_core.grouping.memberships import TaskSpace
from stg_core.maps.summary import summarise
from stg_core.results.store import Store
from stg_core.system.errors import UserError
from tests.conftest import realistic_maps

EPOCHS = (2, 3)


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    """Numba, which UMAP compiles with, changes torch's threads, and so last digits elsewhere."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def space_of(n_tasks: int, seed: int = 0, copies: int = 1) -> TaskSpace:
    maps, labels = realistic_maps(n_tasks, 200, EPOCHS, seed=seed)
    names = [f"task {t}" for t in range(n_tasks * copies)]
    return TaskSpace(
        summarise(np.repeat(maps, copies, axis=2), np.repeat(labels, copies, 1), names, EPOCHS)
    )


def test_pca_shows_the_first_two_coordinates_of_the_tasks() -> None:
    space = space_of(9)
    shown = pdist(task_map(space, "pca").positions)
    np.testing.assert_allclose(shown, pdist(space.coordinates[:, -2:]), rtol=1e-9)
    spread = (space.coordinates**2).sum(axis=0)
    assert sorted(spread)[-2:] == spread[-2:].tolist()  # the two that show most


def test_three_tasks_lie_on_the_map_exactly_as_far_apart_as_they_are() -> None:
    space = space_of(3)
    for how in ("pca", "mds"):
        found = task_map(space, how)
        np.testing.assert_allclose(squareform(pdist(found.positions)), space.distances, rtol=1e-4)
        assert found.correlation == pytest.approx(1)


def test_mds_keeps_the_distances_better_than_pca() -> None:
    space = space_of(12)

    def error(how: str) -> float:
        shown = squareform(pdist(task_map(space, how).positions))
        return float(((shown - space.distances) ** 2).sum())

    assert error("mds") < 0.7 * error("pca")


@settings(max_examples=20)
@given(st.permutations(range(7)), st.sampled_from(["pca", "mds"]), st.integers(0, 5))
def test_the_order_of_the_tasks_neither_turns_nor_flips_the_map(
    order: list[int], how: str, seed: int
) -> None:
    maps, labels = realistic_maps(7, 200, EPOCHS, seed=seed)
    names = np.array([f"task {t}" for t in range(7)])
    straight = TaskSpace(summarise(maps, labels, names.tolist(), EPOCHS))
    turned = TaskSpace(
        summarise(maps[:, :, order], labels[:, order], names[order].tolist(), EPOCHS)
    )
    np.testing.assert_allclose(
        task_map(turned, how).positions,
        task_map(straight, how).positions[order],
        atol=1e-3 * straight.distances.max(),
    )


@pytest.mark.parametrize("how", ["pca", "mds"])
def test_the_widest_direction_is_across_and_the_outermost_tasks_are_positive(how: str) -> None:
    positions = task_map(space_of(9, seed=3), how).positions
    np.testing.assert_allclose(positions.mean(axis=0), 0, atol=1e-9)
    spread = (positions**2).sum(axis=0)
    assert spread[0] >= spread[1] and abs(positions[:, 0] @ positions[:, 1]) < 1e-6 * spread[0]
    outermost = np.abs(positions).argmax(axis=0)
    assert (positions[outermost, [0, 1]] > 0).all()


@pytest.mark.parametrize("how", LAYOUTS)
@pytest.mark.parametrize(("n_tasks", "copies"), [(1, 1), (2, 1), (3, 1), (1, 5)])
def test_few_tasks_and_tasks_that_are_all_alike_have_a_map(
    how: str, n_tasks: int, copies: int
) -> None:
    found = task_map(space_of(n_tasks, copies=copies), how)
    assert found.positions.shape == (n_tasks * copies, 2) and np.isfinite(found.positions).all()
    assert ("at least four tasks" in found.note) == (how == "umap")


@pytest.mark.slow
def test_umap_is_the_same_every_time_and_keeps_clusters_together() -> None:
    maps, labels = realistic_maps(3, 200, EPOCHS)
    maps = np.repeat(maps, 8, axis=2) + np.random.default_rng(0).normal(0, 0.05, (2, 2, 24, 200))
    names = [f"task {t}" for t in range(24)]
    summary = summarise(maps.astype(np.float16), np.repeat(labels, 8, 1), names, EPOCHS)
    first, second = (task_map(TaskSpace(summary), "umap") for _ in range(2))
    np.testing.assert_array_equal(first.positions, second.positions)
    assert first.note == ""
    between = squareform(pdist(first.positions))
    np.fill_diagonal(between, np.inf)
    assert (between.argmin(axis=1) // 8 == np.arange(24) // 8).all()
    assert np.isfinite(task_map(space_of(4), "umap").positions).all()


def test_other_maps_and_the_dendrogram_import_neither_umap_nor_numba() -> None:
    program = (
        "import sys, stg_core.grouping.layout, stg_core.engine.derived, sklearn.manifold\n"
        "import stg_core.grouping.choosing\n"
        "print([name for name in ('umap', 'numba', 'torch') if name in sys.modules])"
    )
    printed = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert printed.stdout.strip() == "[]"


def test_the_usual_map_shows_the_two_nearest_tasks_as_the_nearest(tmp_path: Path) -> None:
    space = TaskSpace(Store(tmp_path).run("bundled:g2").summary)
    pairs = squareform(pdist(task_map(space).positions)) + np.diag(np.full(15, np.inf))
    one, other = np.unravel_index(pairs.argmin(), pairs.shape)
    assert {space.tasks[one], space.tasks[other]} == {"Living being", "Not living being"}


def test_a_map_that_does_not_exist_is_refused_in_a_sentence() -> None:
    with pytest.raises(UserError, match="choose one of mds, pca, umap"):
        task_map(space_of(3), "globe")


def heights_in(tree: Dendrogram) -> np.ndarray:
    """Height at which any two tasks come together, (T, T), read off the picture."""
    bars = [(x1, x2, y1) for x1, y1, x2, y2 in tree.segments if y1 == y2 and x1 < x2]
    n_tasks = len(tree.order)
    gaps = [min(y for x1, x2, y in bars if x1 < g + 0.5 < x2) for g in range(n_tasks - 1)]
    heights = np.zeros((n_tasks, n_tasks))
    for i in range(n_tasks):
        for j in range(i + 1, n_tasks):
            a, b = tree.order[i], tree.order[j]
            heights[a, b] = heights[b, a] = max(gaps[i:j])
    return heights


@settings(max_examples=30)
@given(st.integers(2, 12), st.integers(0, 20))
def test_every_task_is_one_leaf(n_tasks: int, seed: int) -> None:
    tree = dendrogram(space_of(n_tasks, seed=seed))
    assert sorted(tree.order) == list(range(n_tasks))
    assert tree.order[0] < tree.order[-1]
    assert tree.segments.shape == (3 * (n_tasks - 1), 4)
    ends = {x for x1, y1, x2, y2 in tree.segments for x, y in ((x1, y1), (x2, y2)) if y == 0}
    assert ends == set(range(n_tasks))


@settings(max_examples=30)
@given(st.integers(2, 12), st.integers(0, 20))
def test_the_picture_shows_average_linkage(n_tasks: int, seed: int) -> None:
    space = space_of(n_tasks, seed=seed)
    expected = squareform(cophenet(linkage(pdist(space.coordinates), "average")))
    np.testing.assert_allclose(heights_in(dendrogram(space)), expected, rtol=1e-6)


def test_neighbouring_leaves_are_near_each_other() -> None:
    space = space_of(12)
    tree = dendrogram(space)

    def walk(order: np.ndarray) -> float:
        return float(space.distances[order[:-1], order[1:]].sum())

    plain = leaves_list(linkage(pdist(space.coordinates), "average"))
    assert walk(tree.order) < walk(plain)


def test_a_single_task_and_tasks_that_are_all_alike_have_a_dendrogram() -> None:
    alone = dendrogram(space_of(1))
    assert alone.order.tolist() == [0] and alone.segments.shape == (0, 4)
    alike = dendrogram(space_of(1, copies=4))
    assert sorted(alike.order) == [0, 1, 2, 3] and np.isfinite(alike.segments).all()


def test_a_dendrogram_is_computed_once_per_space() -> None:
    space = space_of(6)
    assert dendrogram(space) is dendrogram(space)
    assert dendrogram(space_of(6)) is not dendrogram(space)


# -------------------------------------------------------------------------------- by cluster


@settings(max_examples=30)
@given(st.integers(3, 12), st.integers(1, 4), st.integers(0, 20), st.integers(1, 5))
def test_blocks_are_the_mean_distances_of_their_tasks(
    n_tasks: int, k: int, seed: int, at_once: int
) -> None:
    space = space_of(n_tasks, seed)
    labels = np.random.default_rng(seed).integers(0, k, n_tasks)
    with patch("stg_core.grouping.layout.DISTANCES_AT_ONCE", at_once):
        found = distance_blocks(space, labels, k)
    for a in range(k):
        for b in range(k):
            inside = [
                space.distances[t, u]
                for t in np.flatnonzero(labels == a)
                for u in np.flatnonzero(labels == b)
                if t != u
            ]
            if inside:
                assert found.means[a, b] == pytest.approx(np.mean(inside))
            else:
                assert np.isnan(found.means[a, b])
    assert sorted(found.tree.order) == list(range(k))


def test_distances_of_some_tasks_are_theirs_also_where_only_a_projection_is_known() -> None:
    space = space_of(9)
    some, others = np.array([4, 0]), np.array([1, 4, 8])
    wanted = space.distances[np.ix_(some, others)]
    np.testing.assert_array_equal(distances_of(space, some, others), wanted)
    space.projected = True
    np.testing.assert_allclose(distances_of(space, some, others), wanted, atol=1e-9)
    np.testing.assert_allclose(distances_of(space, some), space.distances[some], atol=1e-9)
