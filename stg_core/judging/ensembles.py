"""Weighted ensembles of kept logits, and their scores; without images and without torch."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]

AVERAGES = ("logits", "probabilities")
SCORES = ("f1", "balanced_accuracy", "accuracy")
RESAMPLES, RESAMPLING_SEED = 1_000, 0
ROWS_AT_ONCE = 1_000  # of logits: they stay in the processor's cache


def _tables() -> dict[str, Singles]:
    """What each of the 65,536 half-precision logits adds to an average, as single precision."""
    every_half = np.arange(2**16, dtype=np.uint16).view(np.float16)
    with np.errstate(invalid="ignore"):
        logits = every_half.astype(np.float64)
        # sigmoid(x) − ½ = tanh(x/2)/2, without the rounding that 1/2 + a tiny number suffers
        probabilities = np.tanh(logits / 2) / 2
        return {
            "logits": logits.astype(np.float32),
            "probabilities": probabilities.astype(np.float32),
        }


_TABLES = _tables()


def ensemble_output(
    logits: Sequence[NDArray[np.float16]],
    served: Sequence[Sequence[int]],
    weights: Floats,
    average: str = "logits",
) -> Singles:
    """The weighted averages of the models' outputs, (N, T) float32, at one epoch.

    logits: of each model, (N, its tasks); served: the columns of T that those tasks are; weights
    (T, models). For "probabilities" ½ is taken off, so that either way an output above 0 predicts
    the class (Sherif et al. 2023; their code averages logits). A model of weight 0 adds nothing,
    and one of weight 1 gives its own output exactly.
    """
    n_tasks = len(weights)
    total = np.zeros((len(logits[0]), n_tasks), dtype=np.float32)
    table = _TABLES[average]
    buffer = np.empty((ROWS_AT_ONCE, n_tasks), dtype=np.float32)
    for j, (model, columns) in enumerate(zip(logits, served, strict=True)):
        shares = weights[list(columns), j].astype(np.float32)
        used = np.flatnonzero(shares)
        if len(used) == n_tasks and list(columns) == list(range(n_tasks)):
            tiled = np.tile(shares, (ROWS_AT_ONCE, 1))  # as large as the rows: twice as fast
            for start in range(0, len(total), ROWS_AT_ONCE):
                rows = total[start : start + ROWS_AT_ONCE]
                part = buffer[: len(rows)]
                halves = model[start : start + ROWS_AT_ONCE].view(np.uint16)
                np.take(table, halves, out=part, mode="clip")
                part *= tiled[: len(rows)]
                rows += part
        else:
            halves = np.ascontiguousarray(model[:, used]).view(np.uint16)
            total[:, np.asarray(columns)[used]] += table[halves] * shares[used]
    return total


def strongest(weights: Floats) -> Floats:
    """Weights of hard routing: 1 for the strongest model of each task, of ties the first."""
    return np.asarray(np.eye(weights.shape[1])[weights.argmax(axis=1)])


class Truth:
    """Labels (N, T) int8, 1, 0 or -1 (missing), ready to be compared with many predictions."""

    def __init__(self, labels: NDArray[np.int8]) -> None:
        self.known = np.asarray(labels >= 0)
        self.positive = (labels == 1).astype(np.float32)
        self.negative = (labels == 0).astype(np.float32)
        self.positives = self.positive.sum(axis=0).astype(np.float64)
        self.negatives = self.negative.sum(axis=0).astype(np.float64)

    @property
    def usual_answer(self) -> float:
        """Mean accuracy of always giving each task's more frequent answer; needs no model."""
        labelled = self.positives + self.negatives
        most = np.maximum(self.positives, self.negatives)
        return float((most[labelled > 0] / labelled[labelled > 0]).mean())

    def predicted(self, outputs: Singles) -> tuple[Singles, Singles]:
        """Who is predicted positive, and rightly so, (N, T) each, 0 or 1; only known labels."""
        predicted = ((outputs > 0) & self.known).astype(np.float32)
        return predicted, predicted * self.positive


def scores_of_counts(
    right: Floats, predicted: Floats, positives: Floats, negatives: Floats
) -> dict[str, Floats]:
    """F1, balanced accuracy and accuracy, of any shape, from counts of points.

    right: true positives; predicted: all that are predicted positive. The definitions of
    `training.task_scores`: F1 is 0 without true positives; balanced accuracy is the mean recall of
    the classes that occur; a task without any label scores NaN in the accuracies.
    """
    rejected = negatives - (predicted - right)
    with np.errstate(divide="ignore", invalid="ignore"):
        recalls = [
            np.where(count > 0, hits / count, 0.0)
            for hits, count in ((right, positives), (rejected, negatives))
        ]
        occurring = (positives > 0).astype(np.float64) + (negatives > 0)
        return {
            "f1": 2 * right / np.maximum(predicted + positives, 1),
            "balanced_accuracy": (recalls[0] + recalls[1]) / occurring,
            "accuracy": (right + rejected) / (positives + negatives),
        }


class Resampling:
    """Bootstrap resamples of points: always the same draws, so that schemes compare in pairs.

    times (B, N): how often each point is drawn; positives, negatives (B, T): labels among them.
    """

    def __init__(self, truth: Truth, resamples: int = RESAMPLES) -> None:
        rng = np.random.default_rng(RESAMPLING_SEED)
        n_points = len(truth.known)
        self.times = np.empty((resamples, n_points), dtype=np.float32)
        for row in self.times:
            row[:] = np.bincount(rng.integers(0, n_points, n_points), minlength=n_points)
        self.positives = self.count(truth.positive)
        self.negatives = self.count(truth.negative)

    def count(self, points: Singles) -> Floats:
        """How many of some points (N, T) are in each resample, (B, T)."""
        return np.asarray(self.times @ points, dtype=np.float64)


@dataclass(frozen=True)
class Evaluation:
    """The scores of one ensemble.

    scores: per split and score, (E', T); deviation: per split, what each point adds to the mean F1
    beyond its share, (E', N), whose root sum of squares is the standard error of the mean F1 (the
    delta method); resampled: per score, of the last epoch's test images, (B, T).
    """

    scores: dict[str, dict[str, Floats]]
    deviation: dict[str, Floats]
    resampled: dict[str, Floats]


def evaluate(
    logits: Mapping[str, Sequence[NDArray[np.float16]]],
    served: Sequence[Sequence[int]],
    weights: Floats,
    truth: Mapping[str, Truth],
    resampling: Resampling,
    average: str = "logits",
) -> Evaluation:
    """Scores of an ensemble per split ("test", "train") and epoch, and resampled at the end.

    logits: per split, of each model, (E', N, its tasks); truth: per split; resampling: of the test
    images; the rest as for `ensemble_output`.
    """
    n_epochs = len(logits["test"][0])
    ends: list[tuple[Singles, Singles]] = []

    def at(place: tuple[str, int]) -> tuple[dict[str, Floats], Floats]:
        split, e = place
        outputs = ensemble_output([model[e] for model in logits[split]], served, weights, average)
        predicted, right = truth[split].predicted(outputs)
        if place == ("test", n_epochs - 1):
            ends.append((predicted, right))
        return _scores_and_deviation(predicted, right, truth[split])

    places = [(split, e) for split in truth for e in range(n_epochs)]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        found = dict(zip(places, pool.map(at, places), strict=True))
    [(predicted, right)] = ends
    epochs = {split: [found[split, e] for e in range(n_epochs)] for split in truth}
    return Evaluation(
        {
            split: {name: np.stack([scores[name] for scores, _ in rows]) for name in SCORES}
            for split, rows in epochs.items()
        },
        {split: np.stack([deviation for _, deviation in rows]) for split, rows in epochs.items()},
        scores_of_counts(
            resampling.count(right),
            resampling.count(predicted),
            resampling.positives,
            resampling.negatives,
        ),
    )


def _scores_and_deviation(
    predicted: Singles, right: Singles, truth: Truth
) -> tuple[dict[str, Floats], Floats]:
    counts = [points.sum(axis=0).astype(np.float64) for points in (right, predicted)]
    scores = scores_of_counts(counts[0], counts[1], truth.positives, truth.negatives)
    total = np.maximum(counts[1] + truth.positives, 1)  # F1 = 2·right / total, and its derivative:
    share = scores["f1"] / total
    gained = right @ (2 / total).astype(np.float32)
    spent = (predicted + truth.positive) @ share.astype(np.float32)
    return scores, (gained - spent).astype(np.float64) / len(total)
