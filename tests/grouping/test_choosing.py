"""Which k: stability is what it says, and the suggestion is the k that was planted."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score

from stg_core.grouping.choosing import (
    QUALITY,
    _draw,
    adjusted_rand_indices,
    candidates,
    choose,
    kmeans_labels,
    quality_by_k,
    quality_for_every_k,
    stability,
    stability_by_k,
)
from stg_core.grouping.memberships import METHODS, TaskSpace, group_tasks
from stg_core.maps.summary import DataMapSummary, summarise
from tests.conftest import realistic_maps

EPOCHS = (2, 3)


def planted(patterns: int, copies: int, noise: float = 0.05, points: int = 400) -> DataMapSummary:
    """Tasks in clusters: noisy copies of a few patterns that have nothing in common."""
    maps, labels = realistic_maps(patterns, points, EPOCHS, seed=1)
    maps = np.repeat(maps, copies, axis=2).astype(np.float64)
    maps += np.random.default_rng(2).normal(0, noise, maps.shape)
    names = [f"task {t}" for t in range(patterns * copies)]
    return summarise(
        maps.clip(0, 1).astype(np.float16), np.repeat(labels, copies, axis=1), names, EPOCHS
    )


def identical(n_tasks: int) -> DataMapSummary:
    maps, labels = realistic_maps(1, 100, EPOCHS)
    names = [f"task {t}" for t in range(n_tasks)]
    return summarise(np.repeat(maps, n_tasks, axis=2), np.repeat(labels, n_tasks, 1), names, EPOCHS)


@pytest.fixture(scope="module")
def space() -> TaskSpace:
    return TaskSpace(planted(4, 5))


@settings(max_examples=50)
@given(arrays(np.int64, (5, 9), elements=st.integers(0, 4)))
def test_the_agreement_of_groupings_is_the_adjusted_rand_index(labels: np.ndarray) -> None:
    expected = [[adjusted_rand_score(a, b) for b in labels] for a in labels]
    np.testing.assert_allclose(adjusted_rand_indices(labels), expected, atol=1e-12)


@pytest.mark.parametrize("k", [2, 4, 7, 19])
def test_k_means_on_distances_is_as_good_as_scikit_learns_on_coordinates(
    k: int, space: TaskSpace
) -> None:
    squared = (space.distances**2).astype(np.float32)[None]
    labels = kmeans_labels(squared, k, *_draw(squared.shape, k, np.random.default_rng(0)))[0]
    assert len(set(labels)) == k
    means = np.stack([space.coordinates[labels == j].mean(axis=0) for j in range(k)])
    inertia = ((space.coordinates - means[labels]) ** 2).sum()
    expected = KMeans(k, n_init=10, random_state=0).fit(space.coordinates).inertia_
    assert inertia == pytest.approx(expected, rel=0.02)


def test_the_blocks_of_points_add_up_to_the_whole() -> None:
    space = TaskSpace(planted(3, 2), epochs=[3], features=["variability"])
    assert space.block_gram().shape == (10, 6, 6)
    np.testing.assert_allclose(space.block_gram().sum(axis=0), space.gram, rtol=1e-5)


def test_clusters_that_are_there_come_back_from_any_training_points(space: TaskSpace) -> None:
    mean = stability(space).mean
    assert len(mean) == 18  # k from 2 to 19
    assert mean[4 - 2] == pytest.approx(1)
    assert max(mean[k - 2] for k in candidates(20) if k != 4) < 0.95


def test_tasks_without_clusters_are_grouped_differently_by_other_training_points() -> None:
    maps, labels = realistic_maps(12, 200, EPOCHS)
    rng = np.random.default_rng(0)
    noise = rng.uniform(0, 1, maps.shape).astype(np.float16)
    space = TaskSpace(summarise(noise, labels, [str(t) for t in range(12)], EPOCHS))
    found = stability(space)
    assert max(found.mean[k - 2] for k in candidates(12)) < 0.65
    assert all(error > 0 for error in found.error)
    assert "only a hint" in choose(space, found).why


def test_stability_is_the_same_every_time(space: TaskSpace) -> None:
    assert stability(TaskSpace(planted(4, 5))) == stability(space)


def test_stability_that_was_interrupted_goes_on_to_the_same_end(space: TaskSpace) -> None:
    whole = stability(space)
    first_five = list(islice(stability_by_k(space), 5))[-1]
    assert first_five.mean == whole.mean[:5]
    later = list(stability_by_k(TaskSpace(planted(4, 5)), first_five))
    assert len(later) == 18 - 5
    assert later[-1] == whole


def test_quality_that_was_interrupted_goes_on_to_the_same_end(space: TaskSpace) -> None:
    whole = quality_for_every_k(space, 1.3, "fcm")
    first_five = list(islice(quality_by_k(space, 1.3, "fcm"), 5))[-1]
    later = list(quality_by_k(space, 1.3, "fcm", first_five))
    assert len(later) == 18 - 5
    assert later[-1] == whole == quality_for_every_k(space, 1.3, "fcm", 18)


@pytest.mark.parametrize("method", METHODS)
def test_what_is_known_of_some_k_is_shown_without_a_suggestion(
    space: TaskSpace, method: str
) -> None:
    begun = list(islice(stability_by_k(space), 4))[-1]
    whole = choose(space, stability(space), 1.5, method)
    choice = choose(space, begun, 1.5, method)
    assert choice.ks == (2, 3, 4, 5)
    assert choice.measures == {name: values[:4] for name, values in whole.measures.items()}
    assert choice.suggested is None and "4 of 18 values of k" in choice.why
    fewer = quality_for_every_k(space, 1.5, method, 3)
    assert choose(space, begun, 1.5, method, fewer).ks == (2, 3, 4)


@pytest.mark.parametrize(("patterns", "copies"), [(2, 6), (3, 4), (5, 4)])
@pytest.mark.parametrize("method", METHODS[:3])
def test_the_planted_number_of_clusters_is_suggested(
    patterns: int, copies: int, method: str
) -> None:
    space = TaskSpace(planted(patterns, copies))
    choice = choose(space, stability(space), 1.5, method)
    assert choice.suggested == patterns
    assert choice.why.startswith(f"k = {patterns}: resampled training points give nearly the same")


def test_every_measure_is_there_for_every_k_between_the_trivial_ends(space: TaskSpace) -> None:
    choice = choose(space, stability(space), 1.7, "soft")
    assert choice.ks == tuple(range(2, 20))
    assert set(choice.measures) == {*QUALITY, "stability"}
    for name in QUALITY:
        expected = [group_tasks(space, k, 1.7).quality[name] for k in choice.ks]
        assert choice.measures[name] == expected


def test_a_space_that_is_told_the_labels_finds_the_same_clusters(space: TaskSpace) -> None:
    told = TaskSpace(planted(4, 5))
    told.remember(dict(zip(range(2, 20), stability(space).labels, strict=True)))
    for k in (2, 4, 11, 19):
        one, other = group_tasks(told, k, 1.5), group_tasks(space, k, 1.5)
        np.testing.assert_array_equal(one.labels, other.labels)
        np.testing.assert_allclose(one.memberships, other.memberships, atol=1e-9)
        assert one.quality == pytest.approx(other.quality, rel=1e-9)


def test_point_votes_have_no_stability_and_still_a_suggestion() -> None:
    maps, labels = realistic_maps(8, 200, EPOCHS)
    maps[:, 0, 4:] *= 0.3  # tasks whose points are hard to learn
    space = TaskSpace(summarise(maps, labels, [f"task {t}" for t in range(8)], EPOCHS))
    quality = quality_for_every_k(space, 2.0, "points")
    choice = choose(space, stability(space), 2.0, "points", quality)
    assert choice.measures["stability"] == [None] * 6
    assert choice.suggested == 2
    assert "not defined for this method" in choice.why


def test_where_points_leave_every_clustering_with_empty_clusters_no_k_is_suggested(
    space: TaskSpace,
) -> None:
    choice = choose(space, stability(space), 2.0, "points")
    assert choice.suggested is None
    assert "is empty: no task belongs most to it" in choice.why


@settings(max_examples=20)
@given(st.integers(3, 14), st.integers(0, 20))
def test_what_is_suggested_is_never_a_trivial_end(n_tasks: int, seed: int) -> None:
    maps, labels = realistic_maps(n_tasks, 60, EPOCHS, seed=seed)
    space = TaskSpace(summarise(maps, labels, [str(t) for t in range(n_tasks)], EPOCHS))
    suggested = choose(space, stability(space)).suggested
    assert suggested is not None and 2 <= suggested <= max(2, n_tasks // 2)


@pytest.mark.parametrize("n_tasks", [1, 2])
def test_one_or_two_tasks_leave_nothing_to_choose(n_tasks: int) -> None:
    space = TaskSpace(identical(n_tasks))
    choice = choose(space, stability(space))
    assert choice.ks == () and choice.suggested is None
    assert choice.why == "Choosing k needs three tasks or more."


def test_tasks_that_are_all_alike_have_no_best_k() -> None:
    space = TaskSpace(identical(5))
    choice = choose(space, stability(space))
    assert choice.suggested is None
    assert choice.why.startswith("No k is suggested") and "nothing tells them apart" in choice.why


def test_a_pair_of_identical_tasks_may_stay_together() -> None:
    maps, labels = realistic_maps(2, 200, EPOCHS)
    twice = [0, 0, 1]
    space = TaskSpace(summarise(maps[:, :, twice], labels[:, twice], ["a", "a'", "b"], EPOCHS))
    choice = choose(space, stability(space))
    assert choice.suggested == 2 and choice.measures["stability"] == [1]
