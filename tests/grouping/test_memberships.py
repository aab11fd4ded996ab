"""Groupings are those of the raw task vectors, in every sense that can be tested."""

from __future__ import annotations

import time
from functools import cache

import numpy as np
import pytest
import skfuzzy
from hypothesis import given
from hypothesis import strategies as st
from sklearn.cluster import KMeans
from sklearn.metrics import silhouette_score

from stg_core.grouping.memberships import METHODS, TaskSpace, follow_clusters, group_tasks
from stg_core.maps.summary import DataMapSummary, summarise
from stg_core.system.errors import UserError
from stg_core.training.loop import TrainingResult
from tests.conftest import realistic_maps

EPOCHS = (2, 3, 5)


@cache
def maps_in_three_clusters() -> tuple[np.ndarray, np.ndarray]:
    """Data maps (E, 2, 12, N) of 12 tasks: three patterns, each with four noisy copies."""
    maps, labels = realistic_maps(3, 400, EPOCHS, seed=1)
    rng = np.random.default_rng(2)
    copies = np.repeat(maps, 4, axis=2) + rng.normal(0, 0.05, (len(EPOCHS), 2, 12, 400))
    return copies.clip(0, 1).astype(np.float16), np.repeat(labels, 4, axis=1)


def summary_of(maps: np.ndarray, labels: np.ndarray) -> DataMapSummary:
    return summarise(maps, labels, [f"task {t}" for t in range(maps.shape[2])], EPOCHS)


def raw_vectors(maps: np.ndarray) -> np.ndarray:
    return np.moveaxis(maps.astype(np.float64), 2, 0).reshape(maps.shape[2], -1)


@pytest.fixture(scope="module")
def space() -> TaskSpace:
    return TaskSpace(summary_of(*maps_in_three_clusters()))


@pytest.mark.parametrize("k", [2, 3, 4, 6])
def test_k_means_finds_what_scikit_learn_finds_on_the_raw_vectors(k: int, space: TaskSpace) -> None:
    raw = raw_vectors(maps_in_three_clusters()[0])
    canonical = space._order
    expected = KMeans(k, n_init=10, random_state=0, tol=0).fit(raw[canonical])
    found = space.kmeans(k)
    assert found.inertia == pytest.approx(expected.inertia_, rel=1e-6)
    together = found.labels[:, None] == found.labels
    labels = np.empty(len(raw), dtype=int)
    labels[canonical] = expected.labels_
    np.testing.assert_array_equal(together, labels[:, None] == labels)


def test_soft_memberships_are_the_papers_formula_on_the_raw_vectors(space: TaskSpace) -> None:
    raw = raw_vectors(maps_in_three_clusters()[0])
    grouping = group_tasks(space, 3, fuzzifier=1.7)
    centroids = np.stack([raw[grouping.labels == j].mean(axis=0) for j in range(3)])
    distance = np.linalg.norm(raw[:, None] - centroids, axis=2)
    inverse = distance ** (-2 / 0.7)
    np.testing.assert_allclose(
        grouping.memberships, inverse / inverse.sum(axis=1, keepdims=True), rtol=1e-6
    )


def test_fuzzy_c_means_rests_where_scikit_fuzzy_does(space: TaskSpace) -> None:
    raw = raw_vectors(maps_in_three_clusters()[0])
    start = group_tasks(space, 3, fuzzifier=1.5).memberships
    _, expected, *_ = skfuzzy.cmeans(raw.T, 3, 1.5, error=1e-9, maxiter=1000, init=start.T)
    found = group_tasks(space, 3, fuzzifier=1.5, method="fcm")
    np.testing.assert_allclose(found.memberships, expected.T, atol=1e-5)


def test_point_votes_are_those_of_k_means_on_every_point(digits_result: TrainingResult) -> None:
    assert digits_result.datamaps is not None and digits_result.summary is not None
    points = np.moveaxis(digits_result.datamaps.astype(np.float64), 1, -1)
    labels = KMeans(2, n_init=10, random_state=0).fit_predict(points.reshape(-1, 2))
    share = labels.reshape(points.shape[:-1]).mean(axis=(0, 2))
    found = group_tasks(TaskSpace(digits_result.summary), 2, method="points").memberships
    error = min(np.abs(found[:, 0] - share).max(), np.abs(found[:, 1] - share).max())
    assert error < 0.03  # the cells of the histogram are 1/64 wide


def test_quality_is_what_the_literature_defines(space: TaskSpace) -> None:
    raw = raw_vectors(maps_in_three_clusters()[0])
    grouping = group_tasks(space, 3, fuzzifier=2)
    centroids = np.stack([raw[grouping.labels == j].mean(axis=0) for j in range(3)])
    squared = ((raw[:, None] - centroids) ** 2).sum(axis=2)
    separation = min(((centroids[i] - centroids[j]) ** 2).sum() for i in range(3) for j in range(i))
    quality = grouping.quality
    assert quality["inertia"] == pytest.approx(squared.min(axis=1).sum(), rel=1e-6)
    assert quality["silhouette"] == pytest.approx(silhouette_score(raw, grouping.labels), rel=1e-6)
    assert quality["partition_coefficient"] == pytest.approx((grouping.memberships**2).sum() / 12)
    spread = (grouping.memberships**2 * squared).sum()
    assert quality["xie_beni"] == pytest.approx(spread / (12 * separation), rel=1e-6)


def test_three_patterns_become_three_clusters_with_every_method_on_vectors(
    space: TaskSpace,
) -> None:
    for method in ("soft", "hard", "fcm"):
        labels = group_tasks(space, 3, 1.5, method).labels
        assert len(set(labels)) == 3
        assert all(len(set(labels[i : i + 4])) == 1 for i in (0, 4, 8))


@given(st.integers(1, 12), st.floats(1.001, 20), st.sampled_from(METHODS))
def test_every_row_of_memberships_sums_to_one(k: int, fuzzifier: float, method: str) -> None:
    space = TaskSpace(summary_of(*maps_in_three_clusters()))
    memberships = group_tasks(space, k, fuzzifier, method).memberships
    assert memberships.shape == (12, k)
    assert (memberships >= 0).all()
    np.testing.assert_allclose(memberships.sum(axis=1), 1, atol=1e-12)


@given(st.integers(1, 12))
def test_towards_one_the_fuzzifier_gives_the_hard_labels_without_overflow(k: int) -> None:
    space = TaskSpace(summary_of(*maps_in_three_clusters()))
    grouping = group_tasks(space, k, fuzzifier=1.001)
    np.testing.assert_allclose(grouping.memberships, np.eye(k)[grouping.labels], atol=1e-6)


@given(
    st.permutations(range(8)),
    st.integers(1, 8),
    st.sampled_from(["soft", "hard", "fcm"]),
    st.integers(0, 5),
)
def test_permuting_the_tasks_permutes_the_rows(
    order: list[int], k: int, method: str, seed: int
) -> None:
    maps, labels = realistic_maps(8, 200, EPOCHS, seed=seed)
    straight = group_tasks(TaskSpace(summary_of(maps, labels)), k, 2, method)
    permuted = group_tasks(TaskSpace(summary_of(maps[:, :, order], labels[:, order])), k, 2, method)
    np.testing.assert_allclose(permuted.memberships, straight.memberships[order], atol=1e-6)


@given(st.integers(1, 7), st.integers(0, 7), st.sampled_from(METHODS), st.integers(0, 5))
def test_a_duplicated_task_gets_identical_rows(k: int, task: int, method: str, seed: int) -> None:
    maps, labels = realistic_maps(8, 200, EPOCHS, seed=seed)
    twice = [*range(8), task]
    space = TaskSpace(summary_of(maps[:, :, twice], labels[:, twice]))
    memberships = group_tasks(space, k, 1.5, method).memberships
    np.testing.assert_allclose(memberships[8], memberships[task], atol=1e-6)


def test_a_choice_of_epochs_and_features_is_the_grouping_of_those_alone() -> None:
    maps, labels = maps_in_three_clusters()
    space = TaskSpace(summary_of(maps, labels), epochs=[3], features=["variability"])
    raw = maps[1, 1].astype(np.float64)
    expected = np.linalg.norm(raw[:, None] - raw, axis=2)
    np.testing.assert_allclose(space.distances, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"k": 13}, "1 to 12 clusters, not 13"),
        ({"k": 0}, "choose k"),
        ({"k": 2, "fuzzifier": 1.0}, "must be above 1"),
        ({"k": 2, "fuzzifier": float("nan")}, "must be above 1"),
        ({"k": 2, "method": "spectral"}, "soft, hard, fcm, points"),
    ],
)
def test_what_cannot_be_grouped_is_refused_in_a_sentence(
    arguments: dict, words: str, space: TaskSpace
) -> None:
    with pytest.raises(UserError, match=words):
        group_tasks(space, **arguments)


def test_epochs_and_features_that_are_not_there_are_refused() -> None:
    summary = summary_of(*maps_in_three_clusters())
    with pytest.raises(UserError, match="among 2, 3, 5"):
        TaskSpace(summary, epochs=[4])
    with pytest.raises(UserError, match="confidence, variability"):
        TaskSpace(summary, features=["loss"])


def test_one_cluster_and_as_many_clusters_as_tasks_are_groupings_too(space: TaskSpace) -> None:
    one, all_alone = group_tasks(space, 1), group_tasks(space, 12)
    assert (one.memberships == 1).all() and one.quality["silhouette"] is None
    assert sorted(all_alone.labels) == list(range(12))
    assert all_alone.quality["inertia"] == pytest.approx(0)


def test_the_largest_cluster_is_number_one() -> None:
    maps, labels = maps_in_three_clusters()
    kept = [0, 4, 5, 6, 7, 8, 9]
    grouping = group_tasks(TaskSpace(summary_of(maps[:, :, kept], labels[:, kept])), 3)
    assert grouping.labels.tolist() == [2, 0, 0, 0, 0, 1, 1]


def test_clusters_keep_their_colour_when_a_slider_moves() -> None:
    before = np.array([0, 0, 1, 1, 2, 2])
    renumbered = np.array([2, 2, 0, 0, 1, 1])
    np.testing.assert_array_equal(follow_clusters(before, renumbered, 3), [1, 2, 0])
    split = np.array([1, 1, 0, 0, 2, 3])
    colours = follow_clusters(before, split, 4)
    assert colours[1] == 0 and colours[0] == 1
    assert sorted(colours[2:]) == [2, 3]


def test_neighbouring_k_are_computed_ahead() -> None:
    space = TaskSpace(summary_of(*maps_in_three_clusters()))
    space.compute_ahead(5)
    deadline = time.monotonic() + 20
    while set(space._labels) != {4, 6} and time.monotonic() < deadline:
        time.sleep(0.01)
    assert set(space._labels) == {4, 6}
