"""Affinities from what a run keeps: labels, outputs and data maps, and when not to trust them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import pearsonr, wasserstein_distance
from scipy.stats.contingency import association as cramer
from sklearn.metrics import balanced_accuracy_score, matthews_corrcoef

from stg_core.affinity.associations import associations, balanced_agreement
from stg_core.affinity.joint import datamap_similarity
from stg_core.affinity.outputs import (
    OUTPUTS,
    affinity_from,
    alike,
    known_labels,
    little_in_common,
    overlap_of_labels,
    overlap_warning,
    positives_similarity,
    pvi_similarity,
)
from stg_core.grouping.memberships import TaskSpace
from stg_core.maps.labels import overlap
from stg_core.maps.summary import BINS, DataMapSummary, summarise
from stg_core.results.run import Run
from stg_core.results.store import Store
from stg_core.system.errors import UserError
from stg_core.tasks.groups import Kind
from stg_core.training.loop import TrainingResult
from tests.conftest import realistic_maps

RNG = np.random.default_rng(0)
YES = (RNG.random((400, 3)) < [0.5, 0.2, 0.7]).astype(float)
YES[:, 2] = np.where(RNG.random(400) < 0.8, YES[:, 0], YES[:, 2])


@pytest.fixture(scope="module")
def run(digits_result: TrainingResult, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A real training of the 15 digits tasks, of which "Not small" is the opposite of "Small"."""
    return Store(tmp_path_factory.mktemp("outputs")).save(digits_result)


@pytest.fixture
def summary(run: Run) -> DataMapSummary:
    return run.summary


def test_yes_or_no_labels_go_together_as_phi_says() -> None:
    found = associations(YES, YES, ["binary"] * 3)
    for i in range(3):
        for j in range(3):
            assert found[i, j] == pytest.approx(abs(matthews_corrcoef(YES[:, i], YES[:, j])))


def test_a_task_and_its_opposite_go_together_fully() -> None:
    assert associations(YES, 1 - YES, ["binary"] * 3).diagonal() == pytest.approx(1)


def test_only_points_with_both_labels_count() -> None:
    some = YES.copy()
    some[:150, 0], some[300:, 1] = np.nan, np.nan
    found = associations(some, some, ["binary"] * 3)
    common = slice(150, 300)
    expected = abs(matthews_corrcoef(YES[common, 0], YES[common, 1]))
    assert found[0, 1] == found[1, 0] == pytest.approx(expected)


def test_labels_that_never_differ_or_never_meet_say_nothing() -> None:
    some = YES.copy()
    some[:, 1] = 1
    some[:200, 0], some[200:, 2] = np.nan, np.nan
    found = associations(some, some, ["binary"] * 3)
    assert np.isnan(found[1]).all() and np.isnan(found[0, 2])
    assert found[0, 0] == pytest.approx(1)


def test_numbers_and_classes_go_together_as_textbooks_say() -> None:
    numbers = RNG.normal(size=400) + YES[:, 0]
    classes = RNG.integers(0, 3, 400).astype(float)
    others = np.where(RNG.random(400) < 0.5, classes, RNG.integers(0, 4, 400))
    columns = np.stack([YES[:, 0], numbers, classes, others], axis=1)
    found = associations(columns, columns, ["binary", "regression", "multiclass", "multiclass"])
    assert found[0, 1] == pytest.approx(abs(pearsonr(YES[:, 0], numbers).statistic))
    table = np.zeros((3, 4), dtype=int)
    np.add.at(table, (classes.astype(int), others.astype(int)), 1)
    assert found[2, 3] == pytest.approx(cramer(table, method="cramer"))
    means = np.array([numbers[classes == c].mean() for c in range(3)])[classes.astype(int)]
    assert found[1, 2] == pytest.approx(np.sqrt(means.var() / numbers.var()))
    assert found[2, 2] == found[3, 3] == pytest.approx(1)
    assert np.allclose(found, found.T)


def test_two_classes_are_a_yes_or_no() -> None:
    """φ, the correlation ratio and Cramér's V are one for them."""
    several: tuple[tuple[Kind, Kind], ...] = (
        ("binary", "binary"),
        ("binary", "multiclass"),
        ("multiclass", "multiclass"),
    )
    by_kind = [associations(YES[:, :2], YES[:, :2], kinds)[0, 1] for kinds in several]
    assert by_kind == pytest.approx([by_kind[0]] * 3)


def test_answers_fit_labels_by_their_balanced_error() -> None:
    found = balanced_agreement(YES, YES)
    for i in range(3):
        for j in range(3):
            error = 1 - balanced_accuracy_score(YES[:, i], YES[:, j])
            assert found[i, j] == pytest.approx(abs(1 - 2 * error))
    assert balanced_agreement(YES, 1 - YES).diagonal() == pytest.approx(1)


@pytest.mark.parametrize("name", OUTPUTS)
def test_every_affinity_is_symmetric_and_of_all_tasks(name: str, run: Run) -> None:
    affinity = affinity_from(run, name)
    assert affinity.shape == (15, 15)
    assert np.allclose(affinity, affinity.T) and np.isfinite(affinity).all()


@pytest.mark.parametrize("name", ["labels", "errors"])
def test_a_real_task_and_its_opposite_are_nearest(name: str, run: Run) -> None:
    affinity, tasks = affinity_from(run, name), run.spec.tasks
    np.fill_diagonal(affinity, -np.inf)
    small, opposite = tasks.index("Small"), tasks.index("Not small")
    assert affinity[small].argmax() == opposite and affinity[opposite].argmax() == small


def test_label_correlation_is_of_the_points_that_a_run_keeps_labels_of(run: Run) -> None:
    labels, one, other = known_labels(run), 3, run.spec.tasks.index("Odd")
    expected = abs(matthews_corrcoef(labels[:, one], labels[:, other]))
    assert affinity_from(run, "labels")[one, other] == pytest.approx(expected)


def test_data_map_similarity_is_the_one_that_there_was(run: Run) -> None:
    expected = datamap_similarity(TaskSpace(run.summary))
    assert np.array_equal(affinity_from(run, "datamaps"), expected)
    early = TaskSpace(run.summary, run.summary.epochs[:1].tolist())
    assert np.array_equal(affinity_from(run, "early"), datamap_similarity(early))


def test_pvi_is_in_bits_of_what_a_model_adds_to_the_prevalence(summary: DataMapSummary) -> None:
    """By hand: the weight of positives is divided out of the confidence."""
    counts = summary.histogram[-1].sum(axis=3).astype(float)
    middles = (np.arange(BINS) + 0.5) / BINS

    def bits(t: int) -> tuple[np.ndarray, np.ndarray]:
        no, yes = counts[t].sum(axis=1)
        weight, share = no / yes, yes / (no + yes)
        of_yes = middles / (middles + weight * (1 - middles)) / share
        of_no = middles / (middles + (1 - middles) / weight) / (1 - share)
        return np.log2(np.concatenate([of_no, of_yes])), counts[t].ravel()

    distances = np.array(
        [
            [wasserstein_distance(bits(a)[0], bits(b)[0], bits(a)[1], bits(b)[1]) for b in range(4)]
            for a in range(4)
        ]
    )
    found = pvi_similarity(summary)
    scale = distances[0, 1] / (1 - found[0, 1])
    assert found[:4, :4] == pytest.approx(1 - distances / scale, abs=0.02)


def test_tasks_of_which_nothing_was_learned_are_near_whatever_their_prevalence() -> None:
    labels = (np.arange(640)[:, None] < [64, 160, 320, 320]).astype(np.float32)
    maps = np.full((1, 2, 4, 640), 0.5, dtype=np.float16)
    maps[:, 0, 3] = 0.97
    found = pvi_similarity(summarise(maps, labels, [*"abcd"], [2]))
    assert found[:3, :3].min() > 0.9 and found[:3, 3].max() < 0


def test_positives_alone_are_compared_wherever_they_are() -> None:
    maps, labels = realistic_maps(4, 400, (2, 4))
    moved = np.roll(maps, 1, axis=2), np.roll(labels, 1, axis=1)
    here, there = (
        positives_similarity(summarise(m, y, ["a", "b", "c", "d"], [2, 4]))
        for m, y in ((maps, labels), moved)
    )
    assert np.allclose(np.roll(here, (1, 1), axis=(0, 1)), there)
    twice = np.concatenate([maps, maps], axis=2), np.concatenate([labels, labels], axis=1)
    found = positives_similarity(summarise(*twice, [*"abcdefgh"], [2, 4]))
    assert found[0, 4] == 1


def test_alike_is_1_for_the_same_and_0_on_average() -> None:
    distances = np.array([[0, 1, 3], [1, 0, np.nan], [3, np.nan, 0]])
    assert alike(distances)[0].tolist() == [1, 0.5, -0.5]
    assert np.isnan(alike(distances)[1, 2])


def test_tasks_that_share_few_points_are_named() -> None:
    maps, labels = realistic_maps(4, 400, (2, 4))
    assert overlap_warning([*"abcd"], overlap(summarise(maps, labels, [*"abcd"], [2, 4]))) == ""
    labels[100:, 0], labels[:80, 1] = np.nan, np.nan
    for t in (0, 1):
        maps[:, :, t, np.isnan(labels[:, t])] = np.nan
    shares = overlap(summarise(maps, labels, [*"abcd"], [2, 4]))
    assert np.array_equal(shares, overlap_of_labels(~np.isnan(labels)))
    little = little_in_common(shares)
    assert np.argwhere(little).tolist() == [[0, 1], [0, 2], [0, 3], [1, 0], [2, 0], [3, 0]]
    told = overlap_warning([*"abcd"], shares)
    assert told.startswith("3 of 6 pairs of tasks share less than 30 %") and "“a” and “b”" in told


def test_what_is_not_kept_is_said(run: Run) -> None:
    with pytest.raises(UserError, match="no affinity 'magic'; choose from labels"):
        affinity_from(run, "magic")
    bundled = replace(run, files={k: v for k, v in run.files.items() if "logits" not in k})
    for name in ("labels", "errors"):
        with pytest.raises(UserError, match="train it again"):
            affinity_from(bundled, name)
