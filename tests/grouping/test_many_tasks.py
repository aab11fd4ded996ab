"""Hundreds of tasks need memory as their pairs do, and not as their triples do."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist, pdist
from sklearn.metrics import adjusted_rand_score

from stg_core.affinity.joint import datamap_similarity
from stg_core.grouping import choosing, layout
from stg_core.grouping.agreement import Reference, agreement_with, score_labels
from stg_core.grouping.choosing import every_k
from stg_core.grouping.every_k import MOST_DISTANCES
from stg_core.grouping.every_k import every_k as sent_k
from stg_core.grouping.layout import dendrogram, is_quick, task_map
from stg_core.grouping.many import kmeans_of_many, lloyd, widest
from stg_core.grouping.memberships import FEW, TaskSpace, cluster_colours, group_tasks, largest_k
from stg_core.grouping.recent import Recent
from stg_core.maps.summary import BINS, BLOCKS, DataMapSummary

N_TASKS, N_POINTS, PATTERNS = 300, 400, 12
PAIRS, TRIPLES = 8 * N_TASKS**2, 8 * N_TASKS**3  # bytes of a number for each


def many_tasks() -> DataMapSummary:
    """Noisy copies of a few patterns, as a summary: no data maps of so many tasks are needed."""
    rng = np.random.default_rng(0)
    patterns = rng.uniform(0.4, 0.8, (PATTERNS, N_POINTS))
    vectors = patterns[np.arange(N_TASKS) % PATTERNS] + rng.normal(0, 0.1, (N_TASKS, N_POINTS))
    grams = [part @ part.T for part in np.array_split(vectors, BLOCKS, axis=1)]
    upper = np.triu_indices(N_TASKS)
    by_feature = np.stack([grams, np.multiply(grams, 0.1)])
    none = np.zeros((N_TASKS, 0))
    return DataMapSummary(
        tasks=np.array([f"task {t}" for t in range(N_TASKS)]),
        epochs=np.array([2]),
        gram=by_feature.sum(axis=1)[None],
        block_gram=by_feature[None, ..., upper[0], upper[1]].astype(np.float32),
        histogram=rng.integers(0, 9, (1, N_TASKS, 2, BINS, BINS)).astype(np.uint16),
        task_means=np.zeros((1, 2, N_TASKS), dtype=np.float32),
        sample_indices=none.astype(np.int32),
        sample_positive=none.astype(bool),
        sample=np.zeros((1, 2, N_TASKS, 0), dtype=np.float16),
        n_points=np.array(N_POINTS),
        labelled=np.full((N_TASKS, N_TASKS), N_POINTS, dtype=np.int32),
        positives=np.full(N_TASKS, N_POINTS // 2, dtype=np.int32),
        adjusted=np.zeros((1, 2)),
        projection=np.zeros((1, 2, N_TASKS, 0), dtype=np.float16),
    )


@pytest.fixture(scope="module")
def summary() -> DataMapSummary:
    return many_tasks()


@pytest.fixture(scope="module")
def space(summary: DataMapSummary) -> TaskSpace:
    return TaskSpace(summary)


def peak(work: Callable[[], object]) -> int:
    """Bytes that it took at most."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_the_space_itself_needs_memory_for_pairs_of_tasks(summary: DataMapSummary) -> None:
    assert peak(lambda: TaskSpace(summary)) < 12 * PAIRS


@pytest.mark.parametrize("method", ["soft", "hard", "fcm", "points"])
def test_so_does_every_way_to_group(method: str, summary: DataMapSummary) -> None:
    space = TaskSpace(summary)
    assert peak(lambda: group_tasks(space, 20, 1.5, method)) < 40 * PAIRS


@pytest.mark.parametrize("how", ["pca", "mds", "dendrogram"])
def test_so_does_every_picture(how: str, space: TaskSpace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layout, "MDS_MAX_ITERATIONS", 5)
    draw = (lambda: dendrogram(space)) if how == "dendrogram" else (lambda: task_map(space, how))
    assert peak(draw) < 12 * PAIRS


def test_so_do_agreement_with_people_and_likeness_of_data_maps(space: TaskSpace) -> None:
    grouping = group_tasks(space, 20)
    reference = Reference("halves", space.tasks, tuple("ab"[t % 2] for t in range(N_TASKS)))
    assert peak(lambda: agreement_with(reference, grouping)) < 40 * PAIRS
    assert peak(lambda: score_labels(reference, grouping.labels)) < 40 * PAIRS
    assert peak(lambda: datamap_similarity(space)) < 12 * PAIRS


def test_so_does_stability(space: TaskSpace) -> None:
    rng = np.random.default_rng(0)
    squared = choosing._resampled_distances(space, rng)
    assert peak(lambda: choosing._resampled_distances(space, rng)) < 40 * PAIRS
    few = squared[:, ::3, ::3]
    drawn = choosing._draw(few.shape, 10, rng)
    assert peak(lambda: choosing.kmeans_labels(few, 10, *drawn)) < 40 * PAIRS


def test_all_k_together_keep_no_more_than_a_few_of_them(
    summary: DataMapSummary, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stg_core.grouping.memberships.KEPT_BYTES", 2**20)
    space = TaskSpace(summary)
    space.remember({k: (np.arange(N_TASKS) % k).tolist() for k in range(1, N_TASKS)})
    tracemalloc.start()
    try:
        for k in range(1, N_TASKS, 30):
            space.kmeans(k)
        kept = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert kept < 4 * 2**20 < TRIPLES / 20
    assert space.kmeans(5) is space.kmeans(5)  # while nothing else is asked for


def test_maps_that_take_long_are_not_made_while_a_page_waits(space: TaskSpace) -> None:
    assert is_quick(space, "pca")
    assert not is_quick(space, "mds") and not is_quick(space, "umap")


def test_of_many_tasks_only_the_first_k_are_compared() -> None:
    assert every_k(100) == tuple(range(2, 100))
    assert every_k(200)[-1] == 98
    assert every_k(1_000) == every_k(2_000) == tuple(range(2, 41))
    work = [n_tasks**2 * sum(every_k(n_tasks)) for n_tasks in (100, 1_000, 2_000)]
    assert work[1] < 20 * work[0] and work[2] < 70 * work[0]


def test_what_a_browser_is_sent_of_every_k_has_a_bound() -> None:
    assert sent_k(100)[-1] == sent_k(300)[-1] == 40 and sent_k(1_000)[-1] == 31
    for n_tasks in (2, 3, 100, 300, 611, 1_000, 2_000, 10_000):
        largest = sent_k(n_tasks)[-1]
        assert n_tasks * sum(sent_k(n_tasks)) <= MOST_DISTANCES
        if largest < min(n_tasks, 40):  # as many as there is room for
            assert n_tasks * (sum(sent_k(n_tasks)) + largest + 1) > MOST_DISTANCES


def test_colours_of_many_tasks_take_k_means_of_few_k(summary: DataMapSummary) -> None:
    space = TaskSpace(summary)
    limit = largest_k(N_TASKS)
    space.remember({k: (np.arange(N_TASKS) % k).tolist() for k in (*range(1, limit + 1), 250)})
    labels = space.kmeans(250).labels
    colours = cluster_colours(space, labels, 250)
    assert sorted(colours) == list(range(250))
    assert len(space._labels) == limit + 1


@settings(max_examples=30)
@given(st.integers(2, 30), st.integers(2, 30), st.integers(0, 100))
def test_all_of_the_widest_coordinates_keep_every_distance(
    n_tasks: int, width: int, seed: int
) -> None:
    vectors = np.random.default_rng(seed).normal(size=(n_tasks, width))
    found = widest(vectors - vectors.mean(axis=0), width)
    np.testing.assert_allclose(pdist(found), pdist(vectors), rtol=1e-6, atol=1e-6)
    spread = (found**2).sum(axis=0)
    assert (np.diff(spread) <= 1e-6 * spread.max()).all(), "the widest first"


@settings(max_examples=40)
@given(st.integers(2, 60), st.integers(1, 8), st.integers(1, 6), st.integers(0, 1_000))
def test_k_means_ends_where_every_task_is_with_its_nearest_mean(
    n_tasks: int, width: int, k: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    points, begun = rng.normal(size=(n_tasks, width)), rng.integers(0, k, n_tasks)
    found = lloyd(points, begun, k)

    def off(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        means = np.stack([points[labels == j].mean(axis=0) for j in np.unique(labels)])
        return cdist(points, means), np.unique(labels, return_inverse=True)[1]

    (far, own), (far_before, own_before) = off(found), off(begun)
    each = np.arange(n_tasks)
    np.testing.assert_allclose(far[each, own], far.min(axis=1), atol=1e-9)
    assert (far[each, own] ** 2).sum() <= (far_before[each, own_before] ** 2).sum() + 1e-9


def test_k_means_finds_every_pattern_though_a_task_is_mostly_its_own() -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(1_000) % 20
    vectors = rng.normal(0, 1, (20, 2_050))[labels] + rng.normal(0, 0.9, (1_000, 2_050))
    centred = (vectors - vectors.mean(axis=0)).astype(np.float32)
    found = kmeans_of_many(centred, widest(centred, FEW), np.arange(1_000), 20, 5, seed=0)
    assert adjusted_rand_score(labels, found) == 1


def test_what_is_kept_is_what_was_asked_for_last() -> None:
    kept: Recent[str] = Recent(most=10)
    kept.put("a", "A", 4)
    kept.put("b", "B", 4)
    assert kept.get("a") == "A"
    kept.put("c", "C", 4)
    assert (kept.get("a"), kept.get("b"), kept.get("c")) == ("A", None, "C")
    kept.put("huge", "H", 100)
    assert kept.get("huge") == "H" and kept.get("a") is None
    kept.put("a", "A", 4)
    assert kept.get("huge") is None and kept.get("a") == "A"
