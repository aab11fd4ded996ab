"""Weighted ensembles of kept logits, and their counted scores; without inputs and without torch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stg_core.tasks.groups import Kind, Task

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Integers = NDArray[np.int64]

AVERAGES = ("logits", "probabilities")
SCORES = ("f1", "balanced_accuracy", "accuracy")  # the first, of a regression, is R²
RESAMPLES, RESAMPLING_SEED = 1_000, 0
ROWS_AT_ONCE = 1_000  # of logits: they stay in the processor's cache
DRAWS_AT_ONCE = 50  # resamples whose sums are taken in double precision
LARGEST_HALF = 65_504.0
NO_SPREAD = 1e-12  # of the sum of squares: what is left of it by rounding alone


@dataclass(frozen=True)
class Answers:
    """How T tasks are answered: their kinds, and how many outputs of a model belong to each.

    O outputs lie side by side, in the order of the tasks. All but those of regressions are
    *questions*, Q in all: whether a binary task says yes, and whether a multi-class task says this
    class.
    """

    kinds: tuple[Kind, ...]
    widths: tuple[int, ...]

    @classmethod
    def of(cls, tasks: Sequence[Task]) -> Answers:
        return cls(tuple(task.kind for task in tasks), tuple(task.width for task in tasks))

    @classmethod
    def binary(cls, n_tasks: int) -> Answers:
        return cls.of([Task("")] * n_tasks)

    @cached_property
    def all_binary(self) -> bool:
        return set(self.kinds) <= {"binary"}

    @cached_property
    def task_of_output(self) -> Integers:
        """(O,)"""
        return np.repeat(np.arange(len(self.kinds)), self.widths)

    @cached_property
    def questions(self) -> Integers:
        """Which outputs they are, (Q,)."""
        return np.flatnonzero(np.array(self.kinds)[self.task_of_output] != "regression")

    @cached_property
    def task_of_question(self) -> Integers:
        """(Q,)"""
        return self.task_of_output[self.questions]

    @cached_property
    def label_of_question(self) -> Integers:
        """The label to which the answer is yes, (Q,): 1, of a class its number."""
        labels = np.ones(len(self.questions), dtype=np.int64)
        for own in self.classes:
            labels[own] = np.arange(own.stop - own.start)
        return labels

    def tasks(self, kind: Kind) -> Integers:
        """Which tasks are of a kind."""
        return np.flatnonzero(np.array(self.kinds) == kind)

    def questions_of(self, kind: Kind) -> Integers:
        """Which questions are of tasks of a kind."""
        return np.flatnonzero(np.isin(self.task_of_question, self.tasks(kind)))

    @cached_property
    def classes(self) -> list[slice]:
        """The questions of each multi-class task."""
        first = np.searchsorted(self.task_of_question, self.tasks("multiclass"))
        widths = (self.widths[t] for t in self.tasks("multiclass"))
        return [slice(start, start + width) for start, width in zip(first, widths, strict=True)]

    def outputs_of(self, tasks: Iterable[int]) -> Integers:
        """Of a model of some tasks: which of the O outputs its own are."""
        ends = np.cumsum(self.widths)
        ranges = [range(ends[t] - self.widths[t], ends[t]) for t in tasks]
        return np.fromiter(chain(*ranges), dtype=np.int64)


# ------------------------------------------------------------------------------------- averages


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
    answers: Answers | None = None,
) -> Singles:
    """The weighted averages of the models' outputs, (N, O) float32, at one epoch.

    logits: of each model, (N, outputs of its tasks); served: which of the T tasks those are;
    weights (T, models); answers: of the T tasks, by default binary. For "probabilities", those of
    the classes of multi-class tasks are averaged, and of binary tasks ½ is taken off, so that
    either way an output above 0 says yes (Sherif et al. 2023; their code averages logits). A
    regression has no probabilities: its outputs are averaged. A model of weight 0 adds nothing, and
    one of weight 1 gives its own output exactly.
    """
    answers = answers or Answers.binary(len(weights))
    columns = [answers.outputs_of(tasks) for tasks in served]
    shares = weights[answers.task_of_output].astype(np.float32)
    if average == "logits" or answers.all_binary:
        return _average_of_halves(logits, columns, shares, _TABLES[average])
    total = np.zeros((len(logits[0]), len(shares)), dtype=np.float32)
    for j, (model, tasks) in enumerate(zip(logits, served, strict=True)):
        used = np.flatnonzero(shares[columns[j], j])
        own = columns[j][used]
        total[:, own] += _probabilities(model, tasks, answers)[:, used] * shares[own, j]
    return total


def _average_of_halves(
    logits: Sequence[NDArray[np.float16]],
    columns: Sequence[Integers],
    weights: Singles,
    table: Singles,
) -> Singles:
    """The sum of what the outputs of the models add, (N, O); columns: which of O each model has."""
    n_outputs = len(weights)
    total = np.zeros((len(logits[0]), n_outputs), dtype=np.float32)
    buffer = np.empty((ROWS_AT_ONCE, n_outputs), dtype=np.float32)
    for j, (model, own) in enumerate(zip(logits, columns, strict=True)):
        shares = weights[own, j]
        used = np.flatnonzero(shares)
        if len(used) == n_outputs and np.array_equal(own, np.arange(n_outputs)):
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
            total[:, own[used]] += table[halves] * shares[used]
    return total


def _probabilities(model: NDArray[np.float16], tasks: Sequence[int], answers: Answers) -> Singles:
    """What a model's outputs, (N, those of its tasks), add to an average of probabilities."""
    added = np.clip(model.astype(np.float32), -LARGEST_HALF, LARGEST_HALF)
    start = 0
    for t in tasks:
        own = slice(start, start := start + answers.widths[t])
        if answers.kinds[t] == "binary":
            added[:, own] = np.tanh(added[:, own] / 2) / 2
        elif answers.kinds[t] == "multiclass":
            powers = np.exp(added[:, own] - added[:, own].max(axis=1, keepdims=True))
            added[:, own] = powers / powers.sum(axis=1, keepdims=True)
    return added


def strongest(weights: Floats) -> Floats:
    """Weights of hard routing: 1 for the strongest model of each task, of ties the first."""
    return np.asarray(np.eye(weights.shape[1])[weights.argmax(axis=1)])


# --------------------------------------------------------------------------------------- scores


@dataclass(frozen=True)
class Totals:
    """What labels alone say of some points, or of each of some draws of points.

    positives, negatives (…, Q): known labels to which the answer is yes, or no; spread (…, R): of
    each regression the sum of squared distances to the mean label, NaN where R² is not defined.
    """

    positives: Floats
    negatives: Floats
    spread: Floats


class Truth:
    """Labels (N, T) of tasks, ready to be compared with many predictions.

    1 or 0 of a binary task, the number of the class of a multi-class task, any number of a
    regression; missing ones are -1 where all tasks are binary (int8), else NaN. answers: by
    default binary.
    """

    def __init__(self, labels: NDArray[Any], answers: Answers | None = None) -> None:
        self.answers = answers or Answers.binary(labels.shape[1])
        asked = labels[:, self.answers.task_of_question]
        self.known = np.asarray(asked >= 0)
        positive = asked == self.answers.label_of_question
        self.positive = positive.astype(np.float32)
        self.negative = (self.known & ~positive).astype(np.float32)
        self.numbers = labels[:, self.answers.tasks("regression")].astype(np.float64)
        self.has_number = ~np.isnan(self.numbers)
        count = self.has_number.sum(axis=0)
        mean = np.where(self.has_number, self.numbers, 0).sum(axis=0) / count.clip(1)
        # from the mean of all points, so that sums of squares lose nothing to it
        self.distance = np.where(self.has_number, self.numbers - mean, 0)
        self.totals = Totals(
            self.positive.sum(axis=0).astype(np.float64),
            self.negative.sum(axis=0).astype(np.float64),
            spread_of(count, self.distance.sum(axis=0), (self.distance**2).sum(axis=0)),
        )

    def __len__(self) -> int:
        return len(self.known)

    @property
    def usual_answer(self) -> float:
        """Mean accuracy of always giving each task's most frequent answer; needs no model.

        NaN where no task has any label, or all are regressions.
        """
        answers, totals = self.answers, self.totals
        yes_or_no = answers.questions_of("binary")
        positives, negatives = totals.positives[yes_or_no], totals.negatives[yes_or_no]
        classes = [totals.positives[own] for own in answers.classes]
        most = [*np.maximum(positives, negatives), *(count.max() for count in classes)]
        labelled = [*(positives + negatives), *(count.sum() for count in classes)]
        shares = [m / n for m, n in zip(most, labelled, strict=True) if n]
        return float(np.mean(shares)) if shares else float("nan")

    def predicted(self, outputs: Singles) -> tuple[Singles, Singles]:
        """To what the answer is yes, and rightly so, (N, Q) each, 0 or 1; only known labels.

        outputs: (N, O).
        """
        if self.answers.all_binary:
            said = outputs > 0
        else:
            asked = outputs[:, self.answers.questions]
            said = asked > 0
            for own in self.answers.classes:
                chosen = asked[:, own].argmax(axis=1)
                said[:, own] = chosen[:, None] == np.arange(own.stop - own.start)
        predicted = (said & self.known).astype(np.float32)
        return predicted, predicted * self.positive

    def squared_errors(self, outputs: Singles) -> Floats:
        """Of the regressions, (N, R); 0 where the label is missing. outputs: (N, O)."""
        columns = self.answers.outputs_of(self.answers.tasks("regression"))
        return np.where(self.has_number, (outputs[:, columns] - self.numbers) ** 2, 0)


def spread_of(count: NDArray[Any], total: Floats, squares: Floats) -> Floats:
    """Sum of squared distances to the mean, from how many numbers there are, their sum and that of
    their squares, all of any shape; NaN where it is 0 or there are fewer than two."""
    spread = squares - total**2 / np.maximum(count, 1)
    return np.where((count >= 2) & (spread > NO_SPREAD * squares), spread, np.nan)


def scores_of_counts(
    right: Floats, predicted: Floats, positives: Floats, negatives: Floats
) -> dict[str, Floats]:
    """F1, balanced accuracy and accuracy of binary tasks, of any shape, from counts of points.

    right: true positives; predicted: all that are predicted positive. F1 is not defined, NaN,
    without positives; balanced accuracy is the mean recall of the classes that occur; a task
    without any label scores NaN in all.
    """
    rejected = negatives - (predicted - right)
    with np.errstate(divide="ignore", invalid="ignore"):
        recalls = [
            np.where(count > 0, hits / count, 0.0)
            for hits, count in ((right, positives), (rejected, negatives))
        ]
        occurring = (positives > 0).astype(np.float64) + (negatives > 0)
        return {
            "f1": np.where(positives > 0, 2 * right / (predicted + positives), np.nan),
            "balanced_accuracy": (recalls[0] + recalls[1]) / occurring,
            "accuracy": (right + rejected) / (positives + negatives),
        }


def _scores_of_classes(
    right: Floats, predicted: Floats, positives: Floats, first: Sequence[int]
) -> dict[str, Floats]:
    """The same of multi-class tasks, (…, tasks), from counts per class, (…, classes of all tasks).

    first: where the classes of each task begin. F1 is the mean of those of the classes that occur.
    """
    occurs = (positives > 0).astype(np.float64)

    def total(values: Floats) -> Floats:
        return np.asarray(np.add.reduceat(values, first, axis=-1))

    with np.errstate(invalid="ignore"):
        return {
            "f1": total(occurs * 2 * right / np.maximum(predicted + positives, 1)) / total(occurs),
            "balanced_accuracy": total(right / np.maximum(positives, 1)) / total(occurs),
            "accuracy": total(right) / total(positives),
        }


def scores_of(
    answers: Answers, right: Floats, predicted: Floats, errors: Floats, totals: Totals
) -> dict[str, Floats]:
    """All SCORES of all tasks, (…, T), NaN where a task has none.

    right, predicted (…, Q): counts of points; errors (…, R): sums of squared errors.
    """
    if answers.all_binary:
        return scores_of_counts(right, predicted, totals.positives, totals.negatives)
    found = {name: np.full((*right.shape[:-1], len(answers.kinds)), np.nan) for name in SCORES}
    binary, classes = answers.questions_of("binary"), answers.questions_of("multiclass")
    of_binary = scores_of_counts(
        right[..., binary],
        predicted[..., binary],
        totals.positives[..., binary],
        totals.negatives[..., binary],
    )
    for name, values in of_binary.items():
        found[name][..., answers.tasks("binary")] = values
    if answers.classes:
        of_classes = _scores_of_classes(
            right[..., classes],
            predicted[..., classes],
            totals.positives[..., classes],
            np.searchsorted(classes, [own.start for own in answers.classes]).tolist(),
        )
        for name, values in of_classes.items():
            found[name][..., answers.tasks("multiclass")] = values
    found["f1"][..., answers.tasks("regression")] = 1 - errors / totals.spread
    return found


class Draws:
    """How often each point counts in each of B draws, and what labels alone say of those.

    times (B, N), whole numbers up to 255; totals: of the labels among them, (B, …).
    """

    def __init__(self, truth: Truth, times: Singles) -> None:
        self.times = times
        self.totals = Totals(
            self.count(truth.positive),
            self.count(truth.negative),
            spread_of(
                self.total(truth.has_number),
                self.total(truth.distance),
                self.total(truth.distance**2),
            ),
        )

    @cached_property
    def by_point(self) -> NDArray[np.uint8]:
        """The same times, (N, B)."""
        return np.ascontiguousarray(self.times.T, dtype=np.uint8)

    def count(self, points: Singles) -> Floats:
        """How many of some points (N, Q) are in each draw, (B, Q)."""
        return np.asarray(self.times @ points, dtype=np.float64)

    def total(self, values: NDArray[Any]) -> Floats:
        """Sums of values (N, R) over each draw, (B, R), in double precision."""
        starts = range(0, len(self.times), DRAWS_AT_ONCE)
        parts = (self.times[s : s + DRAWS_AT_ONCE].astype(np.float64) for s in starts)
        if not values.shape[1]:
            return np.empty((len(self.times), 0))
        return np.concatenate([part @ values for part in parts])


class Resampling(Draws):
    """Bootstrap resamples of points: always the same draws, so that schemes compare in pairs."""

    def __init__(self, truth: Truth, resamples: int = RESAMPLES) -> None:
        rng = np.random.default_rng(RESAMPLING_SEED)
        n_points = len(truth)
        times = np.empty((resamples, n_points), dtype=np.float32)
        for row in times:
            row[:] = np.bincount(rng.integers(0, n_points, n_points), minlength=n_points)
        super().__init__(truth, times)


def all_points(truth: Truth) -> Draws:
    """One draw, of every point once."""
    return Draws(truth, np.ones((1, len(truth)), dtype=np.float32))


def halves(truth: Truth) -> Draws:
    """Two draws that share no point, of half of the points each; always the same."""
    order = np.random.default_rng(RESAMPLING_SEED).permutation(len(truth))
    return Draws(truth, (order % 2 == np.arange(2)[:, None]).astype(np.float32))
