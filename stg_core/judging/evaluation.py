"""One ensemble, judged: all measures after its last epoch, and how it came there."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from stg_core.judging.ensembles import (
    Draws,
    Floats,
    Singles,
    Truth,
    all_points,
    ensemble_output,
    scores_of,
)
from stg_core.judging.measures import Each, best_thresholds, measured

Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Kept:
    """What the models of an ensemble answered, and how that is put together.

    logits: per split ("test", "train"), of each model, after each of E' epochs, (N, outputs of its
    tasks); the rest as for `ensemble_output`.
    """

    logits: Mapping[str, Sequence[Sequence[NDArray[np.float16]] | NDArray[np.float16]]]
    served: Sequence[Sequence[int]]
    weights: Floats
    average: str = "logits"

    @property
    def n_epochs(self) -> int:
        return len(self.logits["test"][0])

    def outputs(self, split: str, epoch: int, truth: Truth) -> Singles:
        """(N, O); epoch: which of the kept ones."""
        models = [model[epoch] for model in self.logits[split]]
        return ensemble_output(models, self.served, self.weights, self.average, truth.answers)


@dataclass(frozen=True)
class Ending:
    """All measures of the last epoch's outputs, by name: of the test points (T,), and on each of
    their resamples (B, T), in single precision."""

    values: dict[str, Floats]
    resampled: dict[str, Singles]


@dataclass(frozen=True)
class Course:
    """What an ensemble is worth after each of E' kept epochs.

    scores: per split, F1, or R² of a regression, (E', T); deviation: per split, what each point
    adds to their mean beyond its share, (E', N), whose root sum of squares is the standard error of
    that mean (the delta method); halves: all measures of two halves of the test points, (E', 2, T).
    """

    scores: dict[str, Floats]
    deviation: dict[str, Floats]
    halves: dict[str, Floats]


def ending(kept: Kept, truth: Mapping[str, Truth], resampling: Draws) -> Ending:
    """The measures after the last epoch; truth: per split; resampling: of the test points.

    The thresholds of "f1_tuned" are the best on the training points.
    """
    with _threads() as each:
        outputs = kept.outputs("test", -1, truth["test"])
        trained = kept.outputs("train", -1, truth["train"])
        thresholds = best_thresholds(trained, truth["train"], each)
        found = [
            measured(outputs, truth["test"], draws, thresholds, kept.average, each)
            for draws in (all_points(truth["test"]), resampling)
        ]
    return Ending(
        {name: values[0] for name, values in found[0].items()},
        {name: values.astype(np.float32) for name, values in found[1].items()},
    )


def course(kept: Kept, truth: Mapping[str, Truth], halves: Draws, counted: Bools) -> Course:
    """The scores of every kept epoch; counted (T,): which tasks are in a mean."""
    with _threads() as each:
        found = list(each(partial(_epoch, kept, truth, halves, counted), range(kept.n_epochs)))
    return Course(
        {split: np.stack([scores[split] for scores, *_ in found]) for split in truth},
        {split: np.stack([deviation[split] for _, deviation, _ in found]) for split in truth},
        {name: np.stack([half[name] for *_, half in found]) for name in found[0][2]},
    )


@contextmanager
def _threads() -> Iterator[Each]:
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        yield pool.map


def _epoch(
    kept: Kept, truth: Mapping[str, Truth], halves: Draws, counted: Bools, epoch: int
) -> tuple[dict[str, Floats], dict[str, Floats], dict[str, Floats]]:
    outputs = {split: kept.outputs(split, epoch, truth[split]) for split in truth}
    scores, deviation = {}, {}
    for split, own in truth.items():
        scores[split], deviation[split] = _score_and_deviation(outputs[split], own, counted)
    thresholds = best_thresholds(outputs["train"], truth["train"])
    return (
        scores,
        deviation,
        measured(outputs["test"], truth["test"], halves, thresholds, kept.average),
    )


def _score_and_deviation(outputs: Singles, truth: Truth, counted: Bools) -> tuple[Floats, Floats]:
    predicted, right = truth.predicted(outputs)
    errors = truth.squared_errors(outputs)
    totals = truth.totals
    n_predicted, n_right = (p.sum(axis=0).astype(np.float64) for p in (predicted, right))
    sums = errors.sum(axis=0)
    scores = scores_of(truth.answers, n_right, n_predicted, sums, totals)["f1"]
    # Of a question, F1 = 2·right / total; its derivative by how often a point counts:
    total = np.maximum(n_predicted + totals.positives, 1)
    weight = _weight_in_score(truth) * counted[truth.answers.task_of_question]
    share = weight * 2 * n_right / total**2
    gained = right @ (2 * weight / total).astype(np.float32)
    spent = (predicted + truth.positive) @ share.astype(np.float32)
    deviation = (gained - spent).astype(np.float64)
    # R² = 1 − errors / spread, and its derivative:
    inverse = np.nan_to_num(1 / totals.spread) * counted[truth.answers.tasks("regression")]
    deviation += truth.distance**2 @ (sums * inverse**2) - errors @ inverse
    return scores, deviation / max(np.count_nonzero(~np.isnan(scores) & counted), 1)


def _weight_in_score(truth: Truth) -> Floats:
    """Of each question's F1 in the score of its task, (Q,): of the classes that occur, the same."""
    weight = (truth.totals.positives > 0).astype(np.float64)
    for own in truth.answers.classes:
        weight[own] /= max(weight[own].sum(), 1)
    return weight
