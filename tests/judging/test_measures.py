"""Measures are those of scikit-learn, and intervals hold the truth as often as they say."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import softmax
from sklearn import metrics as sklearn_metrics

from stg_core.judging import ranking
from stg_core.judging.ensembles import Answers, Draws, Resampling, Truth, all_points
from stg_core.judging.intervals import interval
from stg_core.judging.measures import best_threshold, best_thresholds, measured
from stg_core.tasks.groups import Task

COLOUR = Task("colour", rule="column", kind="multiclass", values=("red", "blue", "grey"))
SIZE = Task("size", rule="column", kind="regression")
ILL = Task("ill", rule="column")

Score = Callable[..., float]
OF_YES_OR_NO: dict[str, Score] = {
    "auroc": sklearn_metrics.roc_auc_score,
    "average_precision": sklearn_metrics.average_precision_score,
    "f1": lambda y, x: sklearn_metrics.f1_score(y, x > 0),
    "f1_tuned": lambda y, x: sklearn_metrics.f1_score(y, x > 1),
    "balanced_accuracy": lambda y, x: sklearn_metrics.balanced_accuracy_score(y, x > 0),
    "accuracy": lambda y, x: sklearn_metrics.accuracy_score(y, x > 0),
}
NEED_A_YES = ("average_precision", "f1", "f1_tuned")


def of_all_points(
    outputs: np.ndarray, labels: np.ndarray, tasks: list[Task], threshold: float = 0.0
) -> dict[str, np.ndarray]:
    truth = Truth(labels, Answers.of(tasks))
    thresholds = np.full(outputs.shape[1], threshold, dtype=np.float32)
    found = measured(outputs.astype(np.float32), truth, all_points(truth), thresholds)
    return {name: values[0] for name, values in found.items()}


@given(
    points=st.lists(
        st.tuples(st.integers(-1, 1), st.integers(-3, 4)), min_size=2, max_size=60
    )  # labels, -1 for a missing one, and outputs with many ties
)
def test_measures_of_yes_or_no_are_those_of_scikit_learn(points: list[tuple[int, int]]) -> None:
    labels, outputs = (np.array(column)[:, None] for column in zip(*points, strict=True))
    known = labels[:, 0] >= 0
    found = of_all_points(outputs, labels.astype(np.int8), [ILL], threshold=1.0)
    truth, scores = labels[known, 0], outputs[known, 0]
    both = len({*truth}) == 2
    for name, score in OF_YES_OR_NO.items():
        if both:
            assert found[name][0] == pytest.approx(score(truth, scores), abs=1e-6), name
        elif not known.any() or name == "auroc" or (not truth.any() and name in NEED_A_YES):
            assert np.isnan(found[name][0]), name


@given(seed=st.integers(0, 10_000), n_points=st.integers(20, 80))
def test_measures_of_classes_are_means_of_one_against_the_rest(seed: int, n_points: int) -> None:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, n_points).astype(np.float32)
    labels[:3] = 0, 1, 2
    outputs = rng.normal(0, 2, (n_points, 3)).astype(np.float32)
    missing = rng.random(n_points) < 0.2
    missing[:3] = False
    found = of_all_points(outputs, np.where(missing, np.nan, labels)[:, None], [COLOUR])
    truth = labels[~missing]
    probabilities = softmax(outputs[~missing].astype(np.float64), axis=1)
    assert "f1_tuned" not in found, "the largest output needs no threshold"
    auroc = sklearn_metrics.roc_auc_score(truth, probabilities, multi_class="ovr")
    assert found["auroc"][0] == pytest.approx(auroc, abs=1e-6)
    ap = sklearn_metrics.average_precision_score(truth, probabilities)
    assert found["average_precision"][0] == pytest.approx(ap, abs=1e-6)
    said = probabilities.argmax(axis=1)
    balanced = sklearn_metrics.balanced_accuracy_score(truth, said)
    assert found["balanced_accuracy"][0] == pytest.approx(balanced)
    f1 = sklearn_metrics.f1_score(truth, said, average="macro")
    assert found["f1"][0] == pytest.approx(f1)


def test_a_number_has_r2_under_every_measure_of_a_mixture() -> None:
    rng = np.random.default_rng(0)
    labels = np.stack([rng.random(50) < 0.4, rng.normal(size=50)], axis=1)
    outputs = labels + rng.normal(size=(50, 2))
    expected = sklearn_metrics.r2_score(labels[:, 1], outputs[:, 1])
    mixed = of_all_points(outputs, labels, [ILL, SIZE])
    assert all(values[1] == pytest.approx(expected, abs=1e-5) for values in mixed.values())
    alone = of_all_points(outputs[:, 1:], labels[:, 1:], [SIZE])
    assert alone == {"r2": pytest.approx([expected], abs=1e-5)}


def test_a_draw_is_measured_as_if_its_points_were_all() -> None:
    rng = np.random.default_rng(1)
    labels = (rng.random((120, 2)) < [0.3, 0.05]).astype(np.int8)
    labels[::7, 0] = -1
    outputs = (labels + rng.normal(size=labels.shape)).round(1).astype(np.float32)
    truth, thresholds = Truth(labels), np.array([0.3, 0.7], dtype=np.float32)
    resampling = Resampling(truth, 20)
    found = measured(outputs, truth, resampling, thresholds)
    for b, times in enumerate(resampling.times):
        drawn = np.repeat(np.arange(120), times.astype(int))
        own = Truth(labels[drawn])
        direct = measured(outputs[drawn], own, all_points(own), thresholds)
        for name, values in direct.items():
            assert found[name][b] == pytest.approx(values[0], nan_ok=True, abs=1e-6), name


@given(
    points=st.lists(st.tuples(st.booleans(), st.integers(-3, 3)), min_size=1, max_size=40),
)
def test_no_other_threshold_has_a_better_f1_on_the_points_it_is_chosen_on(
    points: list[tuple[bool, int]],
) -> None:
    positive, scores = (np.array(column) for column in zip(*points, strict=True))
    chosen = best_threshold(scores.astype(np.float32), positive)
    if not positive.any():
        assert chosen == 0
        return
    best = max(sklearn_metrics.f1_score(positive, scores > t) for t in np.arange(-3.5, 3))
    assert sklearn_metrics.f1_score(positive, scores > chosen) == pytest.approx(best)


def test_thresholds_are_of_yes_or_no_alone_and_missing_labels_count_nowhere() -> None:
    labels = np.array([[1, 0, 1], [0, 1, 2], [np.nan, 2, 3], [1, 1, 4]], dtype=np.float32)
    outputs = np.array(
        [[3, 1, 1, 1, 1], [1, 2, 2, 2, 2], [2, 3, 3, 3, 3], [2.5, 1, 1, 1, 1]], dtype=np.float32
    )
    truth = Truth(labels, Answers.of([ILL, COLOUR, SIZE]))
    assert best_thresholds(outputs, truth).tolist() == [1.75, 0, 0, 0, 0]


# ------------------------------------------------------------------------------------ intervals


def covered(n_seeds: int, of_seeds: float, common: float, own: float) -> float:
    """How often the interval of a mean over seeds holds the truth, in 2,000 simulated studies.

    Every study has one set of points for all its seeds. Variances: of_seeds between seeds; of
    points, common to all seeds (hard and easy test sets) and each seed's own.
    """
    rng = np.random.default_rng(n_seeds)
    studies, resamples = 2_000, 200
    shape = n_seeds, studies
    sample = np.sqrt(common) * rng.normal(size=studies) + np.sqrt(own) * rng.normal(size=shape)
    seeds = np.sqrt(of_seeds) * rng.normal(size=shape) + sample
    again = np.sqrt(common) * rng.normal(size=(resamples, studies))
    added = np.sqrt(own) * rng.normal(size=(n_seeds, resamples, studies))
    low, high = interval(seeds, seeds[:, None] + again + added)
    return float(np.mean((low <= 0) & (high >= 0)))


@pytest.mark.parametrize("n_seeds", [3, 5, 10])
@pytest.mark.parametrize(
    ("of_seeds", "common", "own"),
    [(0, 1, 0), (0.3, 1, 0), (1, 1, 0.5), (1, 0.1, 0.5), (3, 1, 0), (10, 1, 1), (1, 0.01, 0)],
)
def test_intervals_hold_the_truth_in_93_to_97_of_100_cases(
    n_seeds: int, of_seeds: float, common: float, own: float
) -> None:
    assert 0.93 <= covered(n_seeds, of_seeds, common, own) <= 0.97


def test_of_two_seeds_intervals_are_wide_and_of_one_they_are_of_points_alone() -> None:
    assert 0.91 <= covered(2, 1, 1, 0.5) <= 0.98
    rng = np.random.default_rng(0)
    drawn = rng.normal(0, 1, (1, 1_000)) + 5
    low, high = interval(np.array([5.0]), drawn)
    assert (low, high) == pytest.approx((5 - 1.96, 5 + 1.96), abs=0.15)
    two = np.array([4.0, 6.0])
    assert np.diff(interval(two, two[:, None] + drawn - 5)) > 3 * (high - low)


def test_seeds_that_answer_alike_and_points_that_change_nothing_leave_no_doubt() -> None:
    seeds = np.full((3, 2), [0.5, np.nan])
    found = interval(seeds, np.broadcast_to(seeds[:, None], (3, 50, 2)))
    assert found[:, 0].tolist() == [0.5, 0.5] and np.isnan(found[:, 1]).all()
    apart = np.array([0.4, 0.5, 0.6])
    reach = 4.303 * 0.1 / np.sqrt(3)  # Student's t of two degrees of freedom
    alike = np.broadcast_to(apart[:, None], (3, 50))
    for drawn in (alike, alike + 1e-16 * np.arange(50)):
        low, high = interval(apart, drawn)
        assert (low, high) == pytest.approx((0.5 - reach, 0.5 + reach), abs=1e-3)


def test_an_interval_of_auroc_holds_that_of_the_population() -> None:
    """Points and seeds simulated to the end: outputs, labels, resamples."""
    rng, held, studies = np.random.default_rng(3), 0, 120
    truth_of = sklearn_metrics.roc_auc_score
    skill, n_points = 1.0, 150
    many = rng.random(200_000) < 0.3
    expected = np.mean(
        [
            truth_of(many, (skill + shift) * many + rng.normal(size=len(many)))
            for shift in 0.2 * rng.normal(size=40)
        ]
    )
    for _ in range(studies):
        labels = (rng.random((n_points, 1)) < 0.3).astype(np.int8)
        truth = Truth(labels)
        draws: list[Draws] = [all_points(truth), Resampling(truth, 100)]
        found = []
        for shift in 0.2 * rng.normal(size=5):
            outputs = (skill + shift) * labels + rng.normal(size=labels.shape)
            found.append(
                [
                    measured(outputs.astype(np.float32), truth, draw, np.zeros(1, np.float32))
                    for draw in draws
                ]
            )
        low, high = interval(
            np.array([once["auroc"][0, 0] for once, _ in found]),
            np.array([drawn["auroc"][:, 0] for _, drawn in found]),
        )
        held += low <= expected <= high
    assert 0.9 <= held / studies <= 0.99, "of 120 studies, 5 % are 6 ± 5"


def test_areas_are_the_same_without_a_compiler() -> None:
    rng = np.random.default_rng(3)
    for scores in (rng.normal(size=300), rng.normal(size=300).round(1), np.zeros(300)):
        positive = rng.random(300) < 0.2
        times = rng.poisson(1.0, (300, 50)).astype(np.uint8)
        order = np.argsort(-scores)
        starts = np.flatnonzero(np.r_[True, np.diff(scores[order]) != 0, True])
        asked = order, starts, positive, times, times[~positive].sum(axis=0).astype(float)
        for compiled, plain in zip(
            ranking._sums(*asked), ranking._sums_by_rows(*asked), strict=True
        ):
            np.testing.assert_allclose(plain, compiled, rtol=1e-12)


def test_areas_are_measured_where_nothing_can_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("numba.core.caching.CacheImpl._locator_classes", [])
    source = Path(ranking.__file__)
    spec = importlib.util.spec_from_file_location("ranking_elsewhere", source)
    assert spec and spec.loader
    elsewhere = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(elsewhere)
    times = np.ones((4, 1), dtype=np.uint8)
    answers = np.array([False, True, False, True])
    two = np.array([2.0])
    auroc, _ = elsewhere.ranked(np.array([0.1, 0.4, 0.35, 0.8]), answers, times, two, two)
    assert auroc == [1.0]
