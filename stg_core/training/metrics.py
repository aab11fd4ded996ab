"""What the metrics of a training say, read without torch."""

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
