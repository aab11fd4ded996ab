"""Summaries of many tasks: what is kept of each does not grow, and distances stay what they are."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import adjusted_rand_score

import stg_core.maps.many as many
from stg_core.grouping.choosing import stability
from stg_core.grouping.memberships import TaskSpace, group_tasks
from stg_core.maps.many import (
    MANY,
    PROJECTED,
    THINNED,
    TOPS,
    Kept,
    _histogram,
    blocks_of,
    projection,
    typical_error,
)
from stg_core.maps.summary import DataMapSummary, _sampled_points, summarise
from stg_core.system.errors import UserError
from tests.many import many_maps, pattern_of, write_maps

EPOCHS = (2, 4)
N_TASKS, N_POINTS = 60, 6_000
NAMES = [f"task {t}" for t in range(N_TASKS)]


@pytest.fixture(scope="module")
def given_maps() -> tuple[np.ndarray, np.ndarray]:
    return many_maps(N_TASKS, N_POINTS, EPOCHS)


@pytest.fixture
def as_many(monkeypatch: pytest.MonkeyPatch) -> Callable[[Kept], None]:
    """So few tasks are summarised as if they were many."""

    def choose(kept: Kept) -> None:
        monkeypatch.setattr(many, "MANY", 0)
        monkeypatch.setattr(many, "VERY_MANY", 0 if kept is PROJECTED else 10_000)

    return choose


def saved(summary: DataMapSummary) -> DataMapSummary:
    file = io.BytesIO()
    summary.save(file)
    return DataMapSummary.load(file.getvalue())


# -------------------------------------------------------------------------------------- projection


@given(st.integers(1, 400), st.integers(1, 5), st.integers(1, 60), st.integers(0, 1))
@settings(max_examples=40, deadline=None)
def test_every_point_is_in_one_sum_and_those_of_a_block_of_points_are_its_own(
    n_points: int, blocks: int, width: int, feature: int
) -> None:
    matrix = projection(n_points, blocks, width, 2, feature).toarray()
    assert matrix.shape == (blocks * width, n_points)
    assert (np.abs(matrix).sum(axis=0) == 1).all()
    for b, block in enumerate(blocks_of(n_points, blocks)):
        own = matrix[b * width : (b + 1) * width]
        assert np.abs(own[:, block]).sum() == len(block) == np.abs(own).sum()
        assert np.ptp(np.abs(own).sum(axis=1)) <= 1  # as many points in each sum, but for one


@given(st.integers(1, 300), st.integers(2, 9), st.integers(0, 10_000))
@settings(max_examples=30, deadline=None)
def test_of_few_points_it_keeps_every_distance(n_points: int, n_tasks: int, seed: int) -> None:
    vectors = np.random.default_rng(seed).random((n_tasks, n_points)).astype(np.float32)
    matrix = projection(n_points, 10, -(-n_points // 10), 2, 0)
    projected = (matrix @ vectors.T).T
    np.testing.assert_allclose(projected @ projected.T, vectors @ vectors.T, rtol=1e-4)


def test_inner_products_are_right_in_the_mean_and_as_wide_as_is_said() -> None:
    a, b = np.random.default_rng(0).random((2, 2_000)).astype(np.float32)
    found = []
    for epoch in range(2, 302):
        matrix = projection(2_000, 10, 20, epoch, 0)
        found.append(float((((matrix @ (a - b)) ** 2).sum()) ** 0.5))
    off = np.array(found) / np.linalg.norm(a - b) - 1
    assert abs(np.mean((1 + off) ** 2) - 1) < 0.02
    assert off.std() == pytest.approx(1 / np.sqrt(2 * 200), rel=0.2)


@given(st.integers(0, 10_000))
@settings(max_examples=20, deadline=None)
def test_another_epoch_or_feature_has_errors_of_its_own(seed: int) -> None:
    epoch = 2 + seed
    one, other = projection(500, 10, 5, epoch, 0), projection(500, 10, 5, epoch, 1)
    assert (one != other).nnz and (one != projection(500, 10, 5, epoch + 1, 0)).nnz
    assert not (one != projection(500, 10, 5, epoch, 0)).nnz


# --------------------------------------------------------------------------------------- summaries


@pytest.mark.parametrize("bins", [16, 64])
def test_every_value_of_a_data_map_is_in_its_cell(bins: int) -> None:
    halves = np.arange(2**15, dtype=np.uint16).view(np.float16)
    for feature, top in enumerate(TOPS):
        inside = halves[halves <= np.float16(top)]  # the largest one rounds up
        values = np.zeros((2, len(inside)), dtype=np.float32)
        values[feature] = inside
        found = _histogram(values, np.ones(len(inside), dtype=np.int8), bins)
        cells = np.minimum((inside.astype(np.float64) * bins / top).astype(int), bins - 1)
        np.testing.assert_array_equal(found[1].sum(axis=1 - feature), np.bincount(cells))
        assert not found[0].any()


@given(st.integers(20, 4_000), st.integers(2, 40), st.floats(0, 0.5), st.floats(0, 0.3))
@settings(max_examples=40, deadline=None)
def test_a_sample_has_the_first_points_of_either_answer(
    n_points: int, size: int, share: float, missing: float
) -> None:
    rng = np.random.default_rng(n_points)
    answers = (rng.random((1, n_points)) < share).astype(np.int8)
    answers[rng.random((1, n_points)) < missing] = -1
    order = np.random.default_rng(many.SEED).permutation(n_points)
    yes, no = (order[answers[0, order] == answer] for answer in (1, 0))
    n_yes = min(len(yes), max(size // 2, size - len(no)))
    known = [*yes[:n_yes], *no[: size - n_yes]][:size]
    found = _sampled_points(answers, size)[0]
    assert len(found) == min(size, n_points) and set(known) <= set(found)
    assert (answers[0, np.setdiff1d(found, known)] == -1).all()


def test_of_many_tasks_distances_are_exact_and_all_else_is_thinned(
    given_maps: tuple[np.ndarray, np.ndarray], as_many: Callable[[Kept], None]
) -> None:
    maps, labels = given_maps
    whole = summarise(maps, labels, NAMES, EPOCHS)
    as_many(THINNED)
    thinned = saved(summarise(maps, labels, NAMES, EPOCHS))
    np.testing.assert_allclose(
        TaskSpace(thinned).distances, TaskSpace(whole).distances, rtol=1e-4, atol=1e-3
    )
    np.testing.assert_array_equal(thinned.histogram, whole.histogram)
    np.testing.assert_allclose(thinned.task_means, whole.task_means, rtol=1e-4)
    np.testing.assert_array_equal(thinned.labelled, whole.labelled)
    np.testing.assert_array_equal(thinned.positives, whole.positives)
    assert thinned.sample_indices.shape == (N_TASKS, THINNED.sample)
    assert thinned.as_now and not whole.as_now
    assert not thinned.block_gram.size and thinned.gram.dtype == np.float32
    assert "500 points instead of 2,000" in thinned.way and not whole.way
    found, before = stability(TaskSpace(thinned)), stability(TaskSpace(whole))
    assert np.corrcoef(found.mean, before.mean)[0, 1] > 0.9


def test_of_very_many_a_projection_takes_the_place_of_their_pairs(
    given_maps: tuple[np.ndarray, np.ndarray],
    as_many: Callable[[Kept], None],
) -> None:
    maps, labels = given_maps
    exact = TaskSpace(summarise(maps, labels, NAMES, EPOCHS))
    as_many(PROJECTED)
    summary = saved(summarise(maps, labels, NAMES, EPOCHS))
    assert not summary.gram.size and summary.labelled.shape == (N_TASKS,)
    assert summary.histogram.shape == (2, N_TASKS, 2, 16, 16)
    space = TaskSpace(summary)
    pairs = np.triu_indices(N_TASKS, 1)
    off = space.distances[pairs] / exact.distances[pairs] - 1
    assert off.std() < typical_error(2) < 0.007 and np.abs(off).max() < 0.02
    found, wanted = group_tasks(space, 12), group_tasks(exact, 12)
    assert adjusted_rand_score(found.labels, wanted.labels) == 1
    same = [int(wanted.labels[found.labels == j][0]) for j in range(12)]  # numbered otherwise
    assert np.abs(found.memberships - wanted.memberships[:, same]).max() < 0.02
    assert "random projection" in found.way and not wanted.way
    assert adjusted_rand_score(pattern_of(N_TASKS), found.labels) == 1
    with pytest.raises(UserError, match="Choose k yourself"):
        stability(space)


@pytest.mark.parametrize("kept", [THINNED, PROJECTED])
def test_missing_labels_are_in_no_histogram_and_leave_a_task_its_place(
    kept: Kept, given_maps: tuple[np.ndarray, np.ndarray], as_many: Callable[[Kept], None]
) -> None:
    maps, labels = given_maps[0].copy(), given_maps[1].copy()
    hidden = np.random.default_rng(0).random(labels.shape) < 0.2
    labels[hidden] = np.nan
    labels[:, 7] = np.nan
    maps[:, :, np.isnan(labels).T] = np.nan
    exact = summarise(maps, labels, NAMES, EPOCHS)
    as_many(kept)
    summary = saved(summarise(maps, labels, NAMES, EPOCHS))
    space = TaskSpace(summary)
    assert space.left_out == ("task 7",)
    np.testing.assert_array_equal(summary.n_labels, exact.n_labels)
    counted = summary.histogram.sum(axis=(2, 3, 4), dtype=np.int64)
    np.testing.assert_array_equal(counted, np.tile(exact.n_labels, (2, 1)))
    np.testing.assert_allclose(summary.task_means, exact.task_means, atol=1e-3)
    truth = np.delete(pattern_of(N_TASKS), 7)
    assert adjusted_rand_score(truth, group_tasks(space, 12).labels) == 1


def test_maps_on_disk_are_summarised_as_those_in_memory(
    tmp_path: Path, given_maps: tuple[np.ndarray, np.ndarray], as_many: Callable[[Kept], None]
) -> None:
    as_many(PROJECTED)
    write_maps(tmp_path / "maps.npy", N_TASKS, N_POINTS, EPOCHS)
    mapped = np.load(tmp_path / "maps.npy", mmap_mode="r")
    here = summarise(given_maps[0], given_maps[1], NAMES, EPOCHS)
    there = summarise(mapped, given_maps[1], NAMES, EPOCHS)
    for name in ("histogram", "sample", "task_means", "projection"):
        np.testing.assert_array_equal(getattr(here, name), getattr(there, name))


def test_what_is_kept_of_a_task_does_not_grow_with_the_tasks() -> None:
    from stg_core.maps.summary import summary_bytes

    each = [summary_bytes(n, 5) / n for n in (3_000, 10_000, 100_000)]
    assert max(each) == pytest.approx(min(each), rel=0.001)
    assert summary_bytes(1_000, 5) < summary_bytes(1_000, 5, many.ALL) / 2
    assert MANY == 300
