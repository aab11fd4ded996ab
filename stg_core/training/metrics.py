"""What the metrics of a training say, and scores of logits that are kept, without torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stg_core.tasks.groups import Task


def score_name(tasks: Sequence[Task]) -> str:
    """What the score of some tasks is called: "F1", "R²" of regressions, "score" of a mixture."""
    kinds = {task.kind == "regression" for task in tasks}
    if kinds == {True}:
        return "R²"
    return "F1" if kinds == {False} else "score"


def scores_by_epoch(metrics: Mapping[str, Any]) -> NDArray[np.float64]:
    """The score of each task, (E, T): F1, or R² of a regression; NaN where it is not defined.

    metrics: of one split, see `Training.metrics`.
    """
    f1 = np.array(metrics.get("f1", []), dtype=np.float64)
    r2 = np.array(metrics.get("r2", []), dtype=np.float64)
    if not f1.size:
        return r2
    return np.where(np.isnan(f1), r2, f1) if r2.size else f1


def mean_scores(metrics: Mapping[str, Any]) -> list[float | None]:
    """The mean score over the tasks where it is defined, per epoch; None where it is nowhere."""
    means: list[float | None] = []
    for row in scores_by_epoch(metrics):
        defined = row[~np.isnan(row)].tolist()
        means.append(sum(defined) / len(defined) if defined else None)
    return means


def scores_of_logits(
    logits: NDArray[Any], labels: NDArray[np.float32], tasks: tuple[Task, ...]
) -> list[float | None]:
    """The score of each task, (T,): F1, of classes its mean, of a regression R²; None where it is
    not defined. logits (N, O), labels (N, T) as a log keeps them."""
    from sklearn.metrics import f1_score, r2_score

    scores: list[float | None] = []
    start = 0
    for t, task in enumerate(tasks):
        own = np.asarray(logits[:, start : start + task.width], np.float32)
        start += task.width
        known = ~np.isnan(labels[:, t])
        y, out = labels[known, t], own[known]
        if task.kind == "regression":
            defined = len(y) > 1 and float(np.ptp(y)) > 0
            scores.append(float(r2_score(y, out[:, 0])) if defined else None)
        elif task.kind == "multiclass":
            chosen = out.argmax(axis=1) if len(y) else y
            occurring = np.unique(y)
            each = f1_score(y, chosen, labels=occurring, average="macro", zero_division=0)
            scores.append(float(each) if len(y) else None)
        else:
            said, positive = out[:, 0] > 0, y == 1  # counted here: hundreds of tasks are quick
            right, total = (said & positive).sum(), said.sum() + positive.sum()
            scores.append(float(2 * right / total) if positive.any() else None)
    return scores
