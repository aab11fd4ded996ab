"""Missing labels: tasks are compared over what both know, whatever the others are like."""

from __future__ import annotations

import dataclasses
import io
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stg_core.maps.labels import (
    has_labels,
    labels_in_words,
    median_overlap,
    missing_share,
    overlap,
    prevalence,
    share_nothing,
    uncertain_tasks,
)
from stg_core.maps.summary import BLOCKS, LATER, DataMapSummary, summarise
from stg_core.system.errors import UserError
from tests.conftest import realistic_maps

EPOCHS = (2, 4)
Maps = tuple[np.ndarray, np.ndarray]


def hidden(maps: np.ndarray, labels: np.ndarray, missing: np.ndarray) -> Maps:
    """The same where labels (N, T) are missing."""
    return np.where(missing.T, np.float16(np.nan), maps), np.where(
        missing, np.float32(np.nan), labels
    )


def thinned(share: float, n_tasks: int = 5, n_points: int = 400, seed: int = 0) -> Maps:
    maps, labels = realistic_maps(n_tasks, n_points, EPOCHS, seed)
    rng = np.random.default_rng(seed)
    return hidden(maps, labels, rng.random(labels.shape) < share)


def summary_of(maps: np.ndarray, labels: np.ndarray) -> DataMapSummary:
    return summarise(maps, labels, [f"task {t}" for t in range(labels.shape[1])], EPOCHS)


def squared(gram: np.ndarray) -> np.ndarray:
    """Squared distances of Gram matrices (…, T, T)."""
    own = np.diagonal(gram, axis1=-2, axis2=-1)
    return own[..., :, None] + own[..., None, :] - 2 * gram


def blocks_of(summary: DataMapSummary) -> np.ndarray:
    n_tasks = len(summary.tasks)
    rows, columns = np.triu_indices(n_tasks)
    blocks = np.empty((*summary.block_gram.shape[:3], n_tasks, n_tasks))
    blocks[..., rows, columns] = blocks[..., columns, rows] = summary.block_gram
    return blocks


# ----------------------------------------------------------------------------------- Gram matrices


def test_complete_labels_give_the_gram_matrices_to_the_last_bit() -> None:
    """As they were before missing labels were compared over shared points."""
    maps, labels = realistic_maps(5, 3011, EPOCHS)
    summary = summary_of(maps, labels)
    order = np.random.default_rng(13).permutation(3011)
    blocks = [np.sort(block) for block in np.array_split(order, BLOCKS)]
    for e in range(2):
        for feature in range(2):
            parts = [maps[e, feature][:, block].astype(np.float64) for block in blocks]
            grams = np.stack([part @ part.T for part in parts])
            assert np.array_equal(summary.gram[e, feature], grams.sum(axis=0))
            rows, columns = np.triu_indices(5)
            expected = grams[:, rows, columns].astype(np.float32)
            assert np.array_equal(summary.block_gram[e, feature], expected)
    assert (summary.adjusted == 0).all() and (summary.labelled == 3011).all()
    assert summary.positives.tolist() == labels.sum(axis=0).tolist()


def test_squared_distances_are_those_of_shared_points_scaled_to_all() -> None:
    maps, labels = thinned(0.3)
    summary = summary_of(maps, labels)
    assert (summary.adjusted == 0).all()
    for e in range(2):
        for feature in range(2):
            values = maps[e, feature].astype(np.float64)
            for i in range(5):
                own = values[i][~np.isnan(values[i])]
                length = summary.gram[e, feature, i, i]
                assert length == pytest.approx(400 / len(own) * (own**2).sum(), rel=1e-9)
                for j in range(5):
                    gaps = values[i] - values[j]
                    both = gaps[~np.isnan(gaps)]
                    expected = 400 / len(both) * (both**2).sum()
                    found = squared(summary.gram[e, feature])[i, j]
                    assert found == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_two_tasks_with_all_labels_have_their_exact_inner_product_beside_sparse_ones() -> None:
    maps, labels = realistic_maps(4, 300, EPOCHS)
    missing = np.zeros(labels.shape, dtype=bool)
    missing[:200, 3] = True
    summary = summary_of(*hidden(maps, labels, missing))
    assert (summary.adjusted == 0).all()
    vectors = maps[:, :, :3].astype(np.float64)
    np.testing.assert_allclose(summary.gram[:, :, :3, :3], vectors @ vectors.mT, rtol=1e-9)


@given(st.integers(0, 1000), st.floats(0.0, 0.97))
def test_gram_matrices_are_positive_semidefinite_and_told_how_far_they_were_from_it(
    seed: int, share: float
) -> None:
    summary = summary_of(*thinned(share, n_tasks=8, n_points=60, seed=seed))
    lowest = np.linalg.eigvalsh(summary.gram)[..., 0]
    size = np.linalg.norm(summary.gram, axis=(2, 3))
    assert (lowest >= -1e-12 * np.maximum(size, 1)).all()
    assert ((summary.adjusted >= 0) & (summary.adjusted < 1)).all()
    blocks = blocks_of(summary)
    np.testing.assert_allclose(blocks.sum(axis=2), summary.gram, rtol=1e-5, atol=1e-5 * size.max())


def test_what_is_adjusted_is_the_nearest_and_its_distance() -> None:
    """By hand: the negative part of the estimate is what goes."""
    maps, labels = thinned(0.9, n_tasks=8, n_points=60, seed=3)
    summary = summary_of(maps, labels)
    values = maps[0, 0].astype(np.float64)
    known = ~np.isnan(values)
    gaps = values[:, None] - values[None]
    counts = (known[:, None] & known[None]).sum(axis=-1)
    between = np.nansum(gaps**2, axis=-1) * 60 / np.maximum(counts, 1)
    between[counts == 0] = between[np.triu(counts > 0, 1)].mean()
    own = np.nansum(values**2, axis=-1) * 60 / np.maximum(counts.diagonal(), 1)
    before = (own[:, None] + own - between) / 2
    w, v = np.linalg.eigh(before)
    assert w[0] < 0
    np.testing.assert_allclose(summary.gram[0, 0], (v * w.clip(0)) @ v.T, atol=1e-9)
    change = np.linalg.norm(summary.gram[0, 0] - before) / np.linalg.norm(before)
    assert summary.adjusted[0, 0] == pytest.approx(change, rel=1e-6)


@given(st.integers(0, 1000), st.sampled_from([0.0, 0.3, 0.8]))
def test_the_order_of_tasks_and_of_points_does_not_matter(seed: int, share: float) -> None:
    maps, labels = thinned(share, n_points=80, seed=seed)
    rng = np.random.default_rng(seed)
    tasks, points = rng.permutation(5), rng.permutation(80)
    one = summary_of(maps, labels)
    other = summary_of(maps[:, :, tasks][..., points], labels[points][:, tasks])
    np.testing.assert_allclose(other.gram, one.gram[:, :, tasks][..., tasks], rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(other.adjusted, one.adjusted, atol=1e-9)
    assert np.array_equal(other.labelled, one.labelled[np.ix_(tasks, tasks)])
    assert np.array_equal(other.positives, one.positives[tasks])


def test_tasks_that_share_no_point_are_as_far_as_others_in_the_mean() -> None:
    maps, labels = realistic_maps(4, 400, EPOCHS)
    missing = np.zeros(labels.shape, dtype=bool)
    missing[:200, 0] = missing[200:, 1] = True
    summary = summary_of(*hidden(maps, labels, missing))
    assert summary.labelled[0, 1] == 0
    for between in squared(summary.gram).reshape(-1, 4, 4):
        others = [between[i, j] for i in range(4) for j in range(i) if (i, j) != (1, 0)]
        assert between[0, 1] == pytest.approx(np.mean(others), rel=1e-6)


def test_many_tasks_with_missing_labels_take_matrix_products_only() -> None:
    """200 tasks, whose pairs one by one would take minutes."""
    rng = np.random.default_rng(0)
    maps = rng.random((1, 2, 200, 5_000)).astype(np.float16)
    labels = rng.integers(0, 2, (5_000, 200)).astype(np.float32)
    maps, labels = hidden(maps, labels, rng.random(labels.shape) < 0.5)
    started = time.process_time()
    summarise(maps, labels, [str(t) for t in range(200)], (2,))
    assert time.process_time() - started < 20


# ------------------------------------------------------------------------------ what tasks carry


def some_labels() -> DataMapSummary:
    """200 points: a task complete, one with half, one with a tenth, one with none, one of amounts.

    The complete one has 100 positives, that with half 4, that with a tenth 20.
    """
    labels = np.zeros((200, 5), dtype=np.float32)
    labels[:100, 0] = labels[:4, 1] = 1
    labels[:20, 2] = 1
    labels[100:, 1] = labels[20:, 2] = labels[:, 3] = np.nan
    labels[:, 4] = np.linspace(-1, 7, 200)
    maps = np.random.default_rng(0).random((2, 2, 5, 200)).astype(np.float16)
    maps, labels = hidden(maps, labels, np.isnan(labels))
    return summarise(maps, labels, ["all", "half", "tenth", "none", "amount"], EPOCHS)


def test_every_task_carries_prevalence_missing_share_and_overlap() -> None:
    summary = some_labels()
    assert summary.positives.tolist() == [100, 4, 20, 0, -1]
    np.testing.assert_allclose(missing_share(summary), [0, 0.5, 0.9, 1, 0])
    np.testing.assert_allclose(prevalence(summary), [0.5, 0.04, 1, np.nan, np.nan])
    shared = overlap(summary)
    assert np.array_equal(shared, shared.T)
    np.testing.assert_allclose(shared[0], [1, 0.5, 0.1, 0, 1])
    np.testing.assert_allclose(shared[1], [0.5, 1, 0.2, 0, 0.5])
    assert has_labels(summary).tolist() == [True, True, True, False, True]
    np.testing.assert_allclose(median_overlap(summary), [0.5, 0.5, 0.1, np.nan, 0.5])


def test_what_a_task_carries_is_said_in_words() -> None:
    summary = some_labels()
    said = "4 % positives, 50 % of labels missing, 50 % in common with another task"
    assert labels_in_words(summary, "half") == said
    assert labels_in_words(summary, "none") == "100 % of labels missing"
    assert labels_in_words(summary, "amount") == "50 % in common with another task"
    complete = summary_of(*realistic_maps(5, 400, EPOCHS))
    assert labels_in_words(complete, "task 1") == "20 % positives"


def test_tasks_whose_place_is_uncertain_are_named_with_the_reason() -> None:
    assert uncertain_tasks(some_labels()) == {
        "half": "4 positives",
        "tenth": "10 % of labelled points in common with the others",
    }


def test_complete_tasks_with_enough_positives_are_certain() -> None:
    assert uncertain_tasks(summary_of(*realistic_maps(5, 400, EPOCHS))) == {}


def test_who_asks_no_question_of_yes_or_no_has_no_positives() -> None:
    """Also where a task of classes happens to have classes 0 and 1 only."""
    maps, labels = realistic_maps(3, 30, EPOCHS)
    summary = summarise(maps, labels, list("abc"), EPOCHS, binary=[True, False, True])
    assert summary.positives.tolist() == [10, -1, 10]
    assert set(uncertain_tasks(summary)) == {"a", "c"}


def test_tasks_that_share_no_points_at_all_are_told_apart_from_others() -> None:
    maps, labels = realistic_maps(10, 500, EPOCHS)
    apart = np.arange(500)[:, None] % 10 != np.arange(10)
    summary = summary_of(*hidden(maps, labels, apart))
    assert share_nothing(summary)
    assert np.isfinite(summary.gram).all() and np.isfinite(summary.block_gram).all()
    assert len(uncertain_tasks(summary)) == 10
    assert not share_nothing(some_labels())
    assert not share_nothing(summary_of(*realistic_maps(1, 50, EPOCHS)))


# ------------------------------------------------------------------------------------ older files


def written(summary: DataMapSummary, *without: str) -> bytes:
    arrays = {f.name: getattr(summary, f.name) for f in dataclasses.fields(summary)}
    file = io.BytesIO()
    np.savez_compressed(file, **{k: v for k, v in arrays.items() if k not in without})
    return file.getvalue()


def test_summaries_of_older_versions_are_read() -> None:
    """They had no numbers of labels, and their tasks had all labels."""
    summary = summary_of(*realistic_maps(5, 400, EPOCHS))
    again = DataMapSummary.load(written(summary, *LATER))
    for field in dataclasses.fields(summary):
        before, after = getattr(summary, field.name), getattr(again, field.name)
        assert np.array_equal(before, after) and before.dtype == after.dtype, field.name


@pytest.mark.parametrize("lost", sorted(LATER))
def test_a_summary_that_lost_one_array_is_damaged(lost: str) -> None:
    summary = summary_of(*realistic_maps(5, 400, EPOCHS))
    with pytest.raises(UserError, match="damaged"):
        DataMapSummary.load(written(summary, lost))
