"""Data maps and their summary: held against numpy on everything the recorder was told."""

from __future__ import annotations

import dataclasses
import io

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stg_core.maps.recorder import DataMapRecorder, confidence
from stg_core.maps.summary import (
    BLOCKS,
    KINDS,
    MAX_VARIABILITY,
    REGIONS,
    DataMapSummary,
    Region,
    region_shares,
    summarise,
)
from stg_core.system.errors import UserError
from stg_core.training.loop import TrainingResult
from tests.conftest import realistic_maps

MEGABYTE = 1_000_000
EPOCHS = (2, 4, 6)


def told(recorder: DataMapRecorder, confidences: np.ndarray, batch: int = 7) -> DataMapRecorder:
    """Tells a recorder the confidences (E, N, T), in batches in another order every epoch."""
    rng = np.random.default_rng(1)
    for epoch in confidences:
        for part in torch.tensor(rng.permutation(len(epoch))).split(batch):
            recorder.update(part, torch.tensor(epoch)[part])
    return recorder


def drawn(seed: int, n_epochs: int, missing: float = 0.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    confidences = rng.random((n_epochs, 20, 3), dtype=np.float32)
    confidences[rng.random(confidences.shape) < missing] = np.nan
    return confidences


# -------------------------------------------------------------------------------------- recorder


def test_confidence_is_the_probability_of_the_true_class() -> None:
    logits, targets = torch.tensor([[0.0, 3.0, 3.0]]), torch.tensor([[1.0, 1.0, 0.0]])
    p = torch.tensor(3.0).sigmoid()
    assert torch.allclose(confidence(logits, targets), torch.tensor([[0.5, p, 1 - p]]))
    assert confidence(logits, torch.full((1, 3), torch.nan)).isnan().all()


@given(st.integers(0, 10_000), st.integers(2, 12), st.integers(1, 25))
def test_a_snapshot_is_mean_and_sample_deviation_over_the_epochs(
    seed: int, n_epochs: int, batch: int
) -> None:
    confidences = drawn(seed, n_epochs)
    snapshot = told(DataMapRecorder(20, 3), confidences, batch).snapshot()
    assert (snapshot.shape, snapshot.dtype) == ((2, 3, 20), torch.float16)
    assert np.allclose(snapshot[0], confidences.mean(0).T, atol=1e-3)
    assert np.allclose(snapshot[1], confidences.std(0, ddof=1).T, atol=1e-3)


def test_sums_stay_exact_over_a_thousand_epochs() -> None:
    confidences = (0.999 + 0.001 * drawn(0, 1000)).astype(np.float32)
    recorder = told(DataMapRecorder(20, 3), confidences, 20)
    count, mean, m2 = recorder.state.unbind(1)
    exact = confidences.astype(np.float64)
    assert (count == 1000).all()
    assert np.allclose(mean, exact.mean(0), rtol=1e-5)
    assert np.allclose((m2 / 999).sqrt(), exact.std(0, ddof=1), rtol=1e-2)


def test_confidence_needs_one_epoch_and_variability_two() -> None:
    confidences = drawn(0, 2)
    recorder = DataMapRecorder(20, 3)
    assert recorder.snapshot().isnan().all()
    told(recorder, confidences[:1])
    assert recorder.snapshot()[0].isfinite().all()
    assert recorder.snapshot()[1].isnan().all()
    told(recorder, confidences[1:])
    assert recorder.snapshot().isfinite().all()


@given(st.integers(0, 10_000), st.integers(1, 8))
def test_missing_labels_add_nothing(seed: int, n_epochs: int) -> None:
    confidences = drawn(seed, n_epochs, missing=0.4)
    snapshot = told(DataMapRecorder(20, 3), confidences).snapshot().numpy()
    for n in range(20):
        for t in range(3):
            known = confidences[~np.isnan(confidences[:, n, t]), n, t]
            for feature, least, expected in (
                (0, 1, known.mean() if len(known) else 0),
                (1, 2, known.std(ddof=1) if len(known) > 1 else 0),
            ):
                value = snapshot[feature, t, n]
                if len(known) < least:
                    assert np.isnan(value)
                else:
                    assert value == pytest.approx(expected, abs=1e-3)


@given(st.integers(0, 10_000), st.integers(0, 6), st.integers(0, 6))
def test_two_recorders_merged_are_one_that_saw_everything(seed: int, a: int, b: int) -> None:
    confidences = drawn(seed, a + b, missing=0.2)
    merged = told(DataMapRecorder(20, 3), confidences[:a])
    merged.merge(told(DataMapRecorder(20, 3), confidences[a:]))
    whole = told(DataMapRecorder(20, 3), confidences)
    assert torch.equal(merged.state[:, 0], whole.state[:, 0])
    assert torch.allclose(merged.state, whole.state, atol=1e-5)


def test_recorders_of_separate_points_merge_as_after_data_parallel_training() -> None:
    confidences = drawn(0, 4)
    halves = [DataMapRecorder(20, 3), DataMapRecorder(20, 3)]
    for epoch in torch.tensor(confidences):
        halves[0].update(torch.arange(10), epoch[:10])
        halves[1].update(torch.arange(10, 20), epoch[10:])
    halves[0].merge(halves[1])
    whole = told(DataMapRecorder(20, 3), confidences)
    assert torch.allclose(halves[0].state, whole.state, atol=1e-6)


# --------------------------------------------------------------------------------------- summary


@pytest.fixture(scope="module")
def maps_and_labels() -> tuple[np.ndarray, np.ndarray]:
    return realistic_maps(n_tasks=5, n_points=3011, epochs=EPOCHS)


@pytest.fixture(scope="module")
def summary(maps_and_labels: tuple[np.ndarray, np.ndarray]) -> DataMapSummary:
    return summarise(*maps_and_labels, list("abcde"), EPOCHS)


def upper(gram: np.ndarray) -> np.ndarray:
    rows, columns = np.triu_indices(gram.shape[-1])
    return gram[..., rows, columns]


def test_gram_matrices_are_the_inner_products_of_the_task_vectors(
    summary: DataMapSummary, maps_and_labels: tuple[np.ndarray, np.ndarray]
) -> None:
    maps = maps_and_labels[0].astype(np.float64)
    assert (summary.gram.shape, summary.gram.dtype) == ((3, 2, 5, 5), np.float64)
    for e in range(3):
        for feature in range(2):
            vectors = maps[e, feature]
            assert np.allclose(summary.gram[e, feature], vectors @ vectors.T, rtol=1e-12)


def test_gram_matrices_of_any_choice_are_sums(
    summary: DataMapSummary, maps_and_labels: tuple[np.ndarray, np.ndarray]
) -> None:
    maps = maps_and_labels[0].astype(np.float64)
    vectors = maps[[0, 2]].transpose(2, 0, 1, 3).reshape(5, -1)
    assert np.allclose(summary.gram[[0, 2]].sum((0, 1)), vectors @ vectors.T, rtol=1e-12)


def test_blocks_of_points_sum_to_the_whole(summary: DataMapSummary) -> None:
    assert summary.block_gram.shape == (3, 2, BLOCKS, 15)
    assert summary.block_gram.dtype == np.float32
    total = summary.block_gram.astype(np.float64).sum(axis=2)
    assert np.allclose(total, upper(summary.gram), rtol=1e-6)
    # Ten blocks of nearly equal size: none may stand for the whole.
    assert np.allclose(summary.block_gram * BLOCKS, upper(summary.gram)[:, :, None], rtol=0.5)


def test_histograms_count_every_point_once(
    summary: DataMapSummary, maps_and_labels: tuple[np.ndarray, np.ndarray]
) -> None:
    labels = maps_and_labels[1]
    assert summary.histogram.shape == (3, 5, 2, 64, 64)
    assert (summary.histogram.sum((2, 3, 4)) == 3011).all()
    assert (summary.histogram.sum((3, 4))[:, :, 1] == labels.sum(0)).all()


def test_histograms_have_every_point_in_its_cell(
    summary: DataMapSummary, maps_and_labels: tuple[np.ndarray, np.ndarray]
) -> None:
    maps, labels = maps_and_labels
    edges = np.linspace(0, 1, 65), np.linspace(0, np.sqrt(0.5), 65)
    for t in range(5):
        for positive in (0, 1):
            points = maps[1, :, t, labels[:, t] == positive].astype(np.float64)
            expected, *_ = np.histogram2d(points[:, 0], points[:, 1], bins=edges)
            found = summary.histogram[1, t, positive].astype(np.int64)
            # A value on the edge of two cells may fall into either.
            assert np.abs(found - expected).sum() <= 2 * 0.001 * len(points)


def test_extreme_values_stay_in_the_histogram() -> None:
    maps = np.array([[[[0, 1, 0.5]], [[0, np.sqrt(0.5), 0.7075]]]], dtype=np.float16)
    summary = summarise(maps, np.array([[0], [1], [1]], dtype=np.float32), ["a"], [2])
    assert summary.histogram[0, 0, 0, 0, 0] == 1
    assert summary.histogram[0, 0, 1, 63, 63] == 1
    assert summary.histogram[0, 0, 1, 32, 63] == 1


def test_sampled_points_are_where_their_indices_say(
    summary: DataMapSummary, maps_and_labels: tuple[np.ndarray, np.ndarray]
) -> None:
    maps, labels = maps_and_labels
    assert summary.sample.shape == (3, 2, 5, 2000)
    assert summary.sample.dtype == np.float16
    for t in range(5):
        indices = summary.sample_indices[t]
        assert (np.diff(indices) > 0).all()
        assert np.array_equal(summary.sample[:, :, t], maps[:, :, t, indices])
        assert np.array_equal(summary.sample_positive[t], labels[indices, t] == 1)


def test_a_rare_task_has_all_its_positives_in_the_sample(
    summary: DataMapSummary, maps_and_labels: tuple[np.ndarray, np.ndarray]
) -> None:
    assert summary.sample_positive.sum(1).tolist() == maps_and_labels[1].sum(0).tolist()


def test_the_sample_of_few_points_is_all_of_them() -> None:
    maps, labels = realistic_maps(n_tasks=2, n_points=30, epochs=(2,))
    summary = summarise(maps, labels, ["a", "b"], [2])
    assert np.array_equal(summary.sample_indices, np.tile(np.arange(30), (2, 1)))


def test_the_same_data_maps_give_the_same_summary(
    summary: DataMapSummary, maps_and_labels: tuple[np.ndarray, np.ndarray]
) -> None:
    again = summarise(*maps_and_labels, list("abcde"), EPOCHS)
    for field in dataclasses.fields(summary):
        assert np.array_equal(getattr(summary, field.name), getattr(again, field.name))


def test_task_means_are_over_all_points(
    summary: DataMapSummary, maps_and_labels: tuple[np.ndarray, np.ndarray]
) -> None:
    expected = maps_and_labels[0].astype(np.float64).mean(-1)
    assert np.allclose(summary.task_means, expected, atol=1e-6)
    assert summary.n_points == 3011


def test_missing_labels_are_in_no_histogram_sample_or_mean(
    maps_and_labels: tuple[np.ndarray, np.ndarray],
) -> None:
    maps, labels = maps_and_labels[0][..., :2500].copy(), maps_and_labels[1][:2500].copy()
    labels[:400, 2] = np.nan
    maps[:, :, 2, :400] = np.nan
    summary = summarise(maps, labels, list("abcde"), EPOCHS)
    assert summary.histogram.sum((2, 3, 4))[0].tolist() == [2500, 2500, 2100, 2500, 2500]
    assert summary.sample_indices[2].min() >= 400
    assert np.isfinite(summary.sample).all()
    expected = maps[:, :, 2, 400:].astype(np.float64).mean(-1)
    assert np.allclose(summary.task_means[:, :, 2], expected, atol=1e-6)
    assert np.isfinite(summary.gram).all()


def test_missing_labels_move_no_task_away_from_the_others() -> None:
    """Two tasks alike but for what one of them misses stay close to each other."""
    maps, labels = realistic_maps(n_tasks=3, n_points=1000, epochs=(2,))
    maps[:, :, 1] = maps[:, :, 0]
    labels[:, 1] = labels[:, 0]
    maps[:, :, 1, ::10], labels[::10, 1] = np.nan, np.nan
    gram = summarise(maps, labels, list("abc"), [2]).gram.sum((0, 1))

    def apart(a: int, b: int) -> float:
        return float(gram[a, a] + gram[b, b] - 2 * gram[a, b])

    assert apart(0, 1) < 0.1 * apart(0, 2)


@pytest.mark.parametrize("kind", KINDS)
def test_a_task_map_has_the_points_of_its_kind_by_rising_confidence(
    summary: DataMapSummary, maps_and_labels: tuple[np.ndarray, np.ndarray], kind: str
) -> None:
    maps, labels = maps_and_labels
    found = summary.task_map("c", 4, kind)
    wanted = {"all": [0, 1], "positives": [1], "negatives": [0]}[kind]
    assert found.histogram.sum() == np.isin(labels[:, 2], wanted).sum()
    assert np.isin(labels[found.indices, 2], wanted).all()
    assert set(found.positive.astype(int)) == set(wanted)
    assert (np.diff(found.confidence) >= 0).all()
    assert np.array_equal(found.confidence, maps[1, 0, 2, found.indices].astype(np.float64))
    assert np.array_equal(found.variability, maps[1, 1, 2, found.indices].astype(np.float64))


def test_a_task_map_leaves_out_what_has_no_label() -> None:
    maps, labels = realistic_maps(n_tasks=2, n_points=100, epochs=(2,))
    labels[:40, 0], maps[:, :, 0, :40] = np.nan, np.nan
    labels[:, 1], maps[:, :, 1] = np.nan, np.nan
    summary = summarise(maps, labels, ["half", "none"], [2])
    assert sorted(summary.task_map("half", 2).indices) == list(range(40, 100))
    empty = summary.task_map("none", 2)
    assert len(empty.indices) == empty.histogram.sum() == 0


def test_a_point_stands_in_the_crowd_of_its_cell(
    maps_and_labels: tuple[np.ndarray, np.ndarray],
) -> None:
    """Where the sample is every point, each cell's crowd is counted by its own points."""
    maps, labels = maps_and_labels[0][..., :1500], maps_and_labels[1][:1500]
    found = summarise(maps, labels, list("abcde"), EPOCHS).task_map("a", 6)
    crowds, counts = np.unique(found.crowd(), return_counts=True)
    filled, cells = np.unique(found.histogram[found.histogram > 0], return_counts=True)
    assert crowds.tolist() == filled.tolist()
    assert counts.tolist() == (filled * cells).tolist()


# --------------------------------------------------------------------------------------- regions


def test_every_point_is_in_one_region_and_counted_in_its_share(
    summary: DataMapSummary, maps_and_labels: tuple[np.ndarray, np.ndarray]
) -> None:
    maps, labels = maps_and_labels
    for e in range(3):
        for t in range(5):
            for kind in (0, 1):
                points = maps[e, :, t, labels[:, t] == kind].T
                inside = {name: region.holds(*points) for name, region in REGIONS.items()}
                assert (np.sum(list(inside.values()), axis=0) == 1).all()
                shares = region_shares(summary.histogram[e, t, kind])
                assert sum(shares.values()) == pytest.approx(1, abs=1e-12)
                for name in REGIONS:
                    assert shares[name] == pytest.approx(inside[name].mean(), abs=1e-12)


def test_regions_mean_what_their_names_say() -> None:
    """Points at the corners and on the bounds: (confidence, variability) → region."""
    points = {
        (1.0, 0.0): "easy to learn",
        (0.5, 0.1): "easy to learn",
        (0.49, 0.1): "hard to learn",
        (0.0, 0.0): "hard to learn",
        (0.5, MAX_VARIABILITY): "ambiguous",
        (0.9, 0.25): "ambiguous",
        (0.1, 0.25): "ambiguous",
    }
    for (c, v), expected in points.items():
        found = [n for n, r in REGIONS.items() if r.holds(np.array([c]), np.array([v])).all()]
        assert found == [expected]


def test_a_map_without_points_has_no_shares() -> None:
    assert np.isnan(list(region_shares(np.zeros((64, 64), dtype=np.uint16)).values())).all()


@given(st.floats(0.01, 0.99), st.floats(0.01, 0.99), st.integers(0, 100))
def test_regions_beside_each_other_share_no_point_and_lose_none(
    bound: float, across: float, seed: int
) -> None:
    points = np.random.default_rng(seed).random((2, 50)).astype(np.float16)
    points[0, :2], points[1] = (bound, 1), points[1] * np.float16(0.7075)
    across *= MAX_VARIABILITY
    parts = [
        Region(confidence, variability).holds(*points)
        for confidence in ((0.0, bound), (bound, 1.0))
        for variability in ((0.0, across), (across, MAX_VARIABILITY))
    ]
    assert (np.sum(parts, axis=0) == 1).all()


def test_a_point_without_a_variability_is_in_no_region() -> None:
    assert not Region().holds(np.array([0.5]), np.array([np.nan])).any()


# -------------------------------------------------------------------------------------- on disk


def saved(summary: DataMapSummary) -> bytes:
    file = io.BytesIO()
    summary.save(file)
    return file.getvalue()


def test_a_summary_is_the_same_after_saving_and_loading(digits_result: TrainingResult) -> None:
    summary = digits_result.summary
    assert summary is not None
    again = DataMapSummary.load(saved(summary))
    for field in dataclasses.fields(summary):
        before, after = getattr(summary, field.name), getattr(again, field.name)
        assert before.dtype == after.dtype
        assert np.array_equal(before, after)


def test_bytes_that_are_no_summary_are_refused(summary: DataMapSummary) -> None:
    whole = saved(summary)
    other = io.BytesIO()
    np.savez(other, tasks=np.array(["a"]))
    pickled = io.BytesIO()
    np.savez(pickled, allow_pickle=True, tasks=np.array([{}], dtype=object))
    plain = io.BytesIO()
    np.save(plain, np.zeros(3))
    for wrong in (
        b"",
        b"no summary",
        whole[: len(whole) // 2],
        whole[:-1],
        other.getvalue(),
        pickled.getvalue(),
        plain.getvalue(),
    ):
        with pytest.raises(UserError, match="damaged"):
            DataMapSummary.load(wrong)


@pytest.mark.parametrize("share", [0.02, 0.2, 0.4, 0.6, 0.8, 0.95])
def test_a_summary_damaged_on_disk_is_refused(share: float, summary: DataMapSummary) -> None:
    whole = bytearray(saved(summary))
    start = int(share * len(whole))
    for i in range(start, start + 64):
        whole[i] ^= 0xFF
    with pytest.raises(UserError, match="damaged"):
        DataMapSummary.load(bytes(whole))


@pytest.mark.slow
def test_the_summary_of_a_hundred_tasks_stays_below_eight_megabytes() -> None:
    """What the app reads must travel in a repository and open at once, however large the run."""
    maps, labels = realistic_maps(n_tasks=100, n_points=50_000, epochs=(2, 4, 6, 8, 10))
    summary = summarise(maps, labels, [f"task {t}" for t in range(100)], (2, 4, 6, 8, 10))
    assert len(saved(summary)) <= 8 * MEGABYTE
