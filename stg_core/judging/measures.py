"""What a scheme's outputs are worth: AUROC, average precision, F1, R² …, on any draws of points."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from stg_core.judging.ensembles import (
    Answers,
    Draws,
    Floats,
    Singles,
    Truth,
    scores_of,
)

# The first decides, unless somebody chooses another.
MEASURES = ("auroc", "average_precision", "f1", "f1_tuned", "balanced_accuracy", "accuracy")
RANKED = ("auroc", "average_precision")

Each = Callable[..., Iterable[Any]]  # map, or that of a pool


def measures_of(answers: Answers) -> tuple[str, ...]:
    """The measures of some tasks: R² alone of numbers, a tuned threshold where one is yes or no."""
    kinds = {*answers.kinds}
    if kinds == {"regression"}:
        return ("r2",)
    return tuple(name for name in MEASURES if name != "f1_tuned" or "binary" in kinds)


def chance_of(answers: Answers) -> Floats:
    """What the first of the measures is without having learned anything, (T,)."""
    return np.where(np.array(answers.kinds) == "regression", 0.0, 0.5)


def measured(
    outputs: Singles,
    truth: Truth,
    draws: Draws,
    thresholds: Singles,
    average: str = "logits",
    each: Each = map,
) -> dict[str, Floats]:
    """Every one of the measures of every task on each draw, (B, T); NaN where it is not defined.

    outputs (N, O); thresholds (O,): above which "f1_tuned" takes an output for a yes; average: of
    what the outputs are averages, since classes are ranked by their probabilities. F1, balanced
    accuracy and accuracy have their threshold at 0, and take the largest output of a multi-class
    task; of that F1, AUROC and average precision are the means over the classes that occur (macro,
    one against the rest). A regression has R² under every name. each: how the questions are gone
    through, `map` or that of a pool.
    """
    names = measures_of(truth.answers)
    found = _counted(outputs, truth, draws)
    if names == ("r2",):
        return {"r2": found["f1"]}
    found |= _ranked(outputs, truth, draws, average, each)
    if "f1_tuned" in names:
        found["f1_tuned"] = _counted(outputs - thresholds, truth, draws)["f1"]
    numbers = truth.answers.tasks("regression")
    for name in names:
        found[name][:, numbers] = found["f1"][:, numbers]
    return {name: found[name] for name in names}


def best_thresholds(outputs: Singles, truth: Truth, each: Each = map) -> Singles:
    """The thresholds (O,) whose F1 is best on these points: halfway between two outputs.

    0 for what is no yes or no, and where no yes is known.
    """
    answers = truth.answers
    thresholds = np.zeros(outputs.shape[1], dtype=np.float32)
    asked = answers.questions_of("binary")
    columns = answers.questions[asked]

    def best(place: tuple[int, int]) -> float:
        question, column = place
        known = truth.known[:, question]
        return best_threshold(outputs[known, column], truth.positive[known, question] > 0)

    thresholds[columns] = list(each(best, zip(asked, columns, strict=True)))
    return thresholds


def best_threshold(scores: Singles, positive: NDArray[np.bool_]) -> float:
    """Above which scores (N,) are to be taken for a yes, so that F1 is largest; 0 without a yes."""
    if not positive.any():
        return 0.0
    order = np.argsort(-scores)
    ordered = np.append(scores[order], -np.inf)
    ends = np.flatnonzero(ordered[1:] != ordered[:-1])
    right = np.cumsum(positive[order])[ends]
    best = ends[np.argmax(2 * right / (ends + 1 + positive.sum()))]
    return float((ordered[best] + ordered[best + 1]) / 2)


def _counted(outputs: Singles, truth: Truth, draws: Draws) -> dict[str, Floats]:
    predicted, right = truth.predicted(outputs)
    errors = truth.squared_errors(outputs)
    return scores_of(
        truth.answers,
        draws.count(right),
        draws.count(predicted),
        draws.total(errors),
        draws.totals,
    )


def _ranked(
    outputs: Singles, truth: Truth, draws: Draws, average: str, each: Each
) -> dict[str, Floats]:
    from stg_core.judging.ranking import ranked  # compiled when first used

    answers, totals = truth.answers, draws.totals
    asked: NDArray[Any] = outputs[:, answers.questions]
    if answers.classes and average == "logits":
        asked = asked.astype(np.float64)
        for own in answers.classes:
            asked[:, own] = softmax(asked[:, own], axis=1)

    def of_question(q: int) -> tuple[Floats, Floats]:
        known = truth.known[:, q]
        times = draws.by_point if known.all() else draws.by_point[known]
        counts = totals.positives[:, q], totals.negatives[:, q]
        return ranked(asked[known, q], truth.positive[known, q] > 0, times, *counts)

    of_questions = np.array(list(each(of_question, range(asked.shape[1]))))  # (Q, 2, B)
    found = np.full((len(RANKED), len(draws.times), len(answers.kinds)), np.nan)
    yes_or_no = answers.questions_of("binary")
    found[..., answers.tasks("binary")] = np.moveaxis(of_questions[yes_or_no], 0, -1)
    for task, own in zip(answers.tasks("multiclass"), answers.classes, strict=True):
        found[..., task] = mean_of_defined(np.moveaxis(of_questions[own], 0, -1))
    return dict(zip(RANKED, found, strict=True))


def mean_of_defined(values: NDArray[Any]) -> Floats:
    """Mean over the last axis of what is a number; NaN where nothing is."""
    defined = ~np.isnan(values)
    total = np.where(defined, values, 0).sum(axis=-1, dtype=np.float64)
    with np.errstate(invalid="ignore"):
        return np.asarray(total / defined.sum(axis=-1))
