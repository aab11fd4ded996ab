"""Which points a model trains on, and which it is tested on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from stg_core.system.errors import UserError
from stg_core.system.words import named
from stg_core.tasks.groups import Task
from stg_core.tasks.labels import Column

TRAIN_WORDS = ("train", "training", "tr", "val", "valid", "validation", "dev", "development")
TEST_WORDS = ("test", "testing", "te", "holdout", "hold-out", "eval", "evaluation")
PARTS = 5  # of equal size, in which a regression's labels are spread over both splits


def split_of_words(column: Column) -> NDArray[np.bool_]:
    """Which points are for testing, (N,), from a column that says train or test of each.

    What is for validation is trained on: nothing here is chosen by it. Raises UserError for other
    words, and where a split has no points.
    """
    words = [value.strip().lower() for value in column.values]
    for word in words:
        if word not in (*TRAIN_WORDS, *TEST_WORDS):
            raise UserError(
                f"The split {named(column.name)} says {named(word)}; write train or test."
            )
    if (column.codes < 0).any():
        raise UserError(f"The split {named(column.name)} is empty for some points: fill it in.")
    for_test = np.array([word in TEST_WORDS for word in words], dtype=bool)[column.codes]
    if for_test.all() or not for_test.any():
        missing = "train" if for_test.all() else "test"
        raise UserError(
            f"The split {named(column.name)} has no point for {missing}: without that column, a"
            " share of the points is drawn."
        )
    return for_test


def stratified_split(
    labels: NDArray[np.float32], tasks: Sequence[Task], share: float = 0.2, seed: int = 0
) -> NDArray[np.bool_]:
    """Which points are for testing, (N,): a seeded share of every answer of every task.

    Iterative stratification (Sechidis et al. 2011, algorithm 1): the points of the rarest answer
    are drawn first, since common ones can be made up for later. Here all points of one answer are
    drawn together. Raises UserError where a share of the points is none of them, or all.
    """
    n_points = len(labels)
    if not 0 < round(n_points * share) < n_points:
        raise UserError(
            f"A share of {share:g} of {n_points} points leaves one split empty: choose one such as"
            " 0.2."
        )
    rng = np.random.default_rng(seed)
    answers = np.stack([points for t in range(len(tasks)) for points in _answers(labels, tasks, t)])
    by_point = np.ascontiguousarray(answers.T)
    remaining = answers.sum(axis=1)
    wanted = remaining * share
    left, for_test = np.ones(n_points, dtype=bool), np.zeros(n_points, dtype=bool)
    while remaining.any():
        rarest = int(np.where(remaining > 0, remaining, n_points + 1).argmin())
        points = rng.permutation(np.flatnonzero(answers[rarest] & left))
        most = min(len(points), round(n_points * share) - int(for_test.sum()))
        n_test = int(np.clip(np.rint(wanted[rarest]), 0, most))
        drawn = points[:n_test]
        for_test[drawn] = True
        left[points] = False
        wanted -= by_point[drawn].sum(axis=0)
        remaining -= by_point[points].sum(axis=0)
    unlabelled = rng.permutation(np.flatnonzero(left))
    short = round(n_points * share) - int(for_test.sum())
    for_test[unlabelled[: max(0, short)]] = True
    return for_test


def _answers(
    labels: NDArray[np.float32], tasks: Sequence[Task], t: int
) -> Iterator[NDArray[np.bool_]]:
    """The points (N,) of each answer of a task; a regression's are fifths of its range of ranks."""
    column = labels[:, t]
    if tasks[t].kind == "regression":
        known = column[~np.isnan(column)]
        edges = np.unique(np.quantile(known, np.linspace(0, 1, PARTS + 1)[1:-1]))
        parts = np.where(np.isnan(column), -1, np.searchsorted(edges, column, side="right"))
        yield from (parts == part for part in range(len(edges) + 1))
    else:
        yield from (column == answer for answer in range(max(2, tasks[t].width)))
