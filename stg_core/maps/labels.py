"""How many labels each task has, and which tasks are compared on too few of them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stg_core.maps.summary import DataMapSummary
from stg_core.system.words import counted

LEAST_OVERLAP, FEWEST_POSITIVES = 0.3, 20

Floats = NDArray[np.float64]


def missing_share(summary: DataMapSummary) -> Floats:
    """Share of all points for which each task has no label, (T,), in [0, 1]."""
    return np.asarray(1 - summary.n_labels / summary.n_points)


def prevalence(summary: DataMapSummary) -> Floats:
    """Share of positives among the labels of each task, (T,), in [0, 1].

    NaN for a task without labels, and for one that asks no question of yes or no.
    """
    own = summary.n_labels
    defined = (own > 0) & (summary.positives >= 0)
    return np.where(defined, summary.positives / np.maximum(own, 1), np.nan)


def overlap(summary: DataMapSummary) -> Floats:
    """Share of the points labelled for either of two tasks that are labelled for both, (T, T).

    In [0, 1] and 0 between tasks without labels. The share of the smaller set would be 1 for a task
    of ten labels beside a complete one, which says nothing of how little is known of it. Where only
    the tasks' own numbers are kept, it is what labels that are missing at random would share.
    """
    if summary.labelled.ndim == 1:
        return _overlap_by_chance(summary.n_labels[:, None], summary.n_labels, summary)
    return overlap_of_counts(summary.labelled)


def overlap_of_counts(labelled: NDArray[np.integer]) -> Floats:
    """The same from the points that both of two tasks have a label for, (T, T)."""
    counts = labelled.astype(np.int64)
    own = counts.diagonal()
    return np.asarray(counts / np.maximum(own[:, None] + own - counts, 1))


def median_overlap(summary: DataMapSummary) -> Floats:
    """Overlap of each task with another one that has labels, (T,): the median over those.

    NaN for a task without labels, and where there is no other one.
    """
    compared = np.flatnonzero(has_labels(summary))
    medians = np.full(len(summary.tasks), np.nan)
    if len(compared) > 1 and (summary.labelled == summary.n_points).all():
        medians[compared] = 1.0
    elif len(compared) > 1 and summary.labelled.ndim == 1:  # it rises with the other's labels
        own = summary.n_labels
        medians[compared] = _overlap_by_chance(
            own[compared], float(np.median(own[compared])), summary
        )
    elif len(compared) > 1:
        shares = overlap(summary)[np.ix_(compared, compared)]
        np.fill_diagonal(shares, np.nan)
        medians[compared] = np.nanmedian(shares, axis=1)
    return medians


def _overlap_by_chance(
    first: NDArray[np.integer], second: NDArray[np.integer] | float, summary: DataMapSummary
) -> Floats:
    shared = first / float(summary.n_points) * second
    return np.asarray(shared / np.maximum(first + second - shared, 1))


def labels_in_words(summary: DataMapSummary, task: str) -> str:
    """Such as "12 % positives, 17 % of labels missing, 70 % in common with another task"."""
    t = summary.tasks.tolist().index(task)
    positive, missing = float(prevalence(summary)[t]), float(missing_share(summary)[t])
    common, words = float(median_overlap(summary)[t]), []
    if not np.isnan(positive):
        words.append(f"{_percent(positive)} positives")
    if missing > 0:
        words.append(f"{_percent(missing)} of labels missing")
    if common < 1:
        words.append(f"{_percent(common)} in common with another task")
    return ", ".join(words)


def has_labels(summary: DataMapSummary) -> NDArray[np.bool_]:
    """Which tasks have a label for any point, (T,): the others cannot be grouped."""
    return np.asarray(summary.n_labels > 0)


def share_nothing(summary: DataMapSummary) -> bool:
    """Whether there are several tasks, and no point is labelled for two of them; False of many."""
    own = summary.n_labels
    if summary.labelled.ndim == 1:
        return False
    return int((own > 0).sum()) > 1 and int(summary.labelled.sum()) == int(own.sum())


def uncertain_tasks(summary: DataMapSummary) -> dict[str, str]:
    """Of each task that is grouped on little, why its place is uncertain, such as "14 positives".

    Such a task has less than 0.3 of labelled points in common with another one, in the median over
    the others, or fewer than 20 positives. A task without labels has no place, and is not named.
    """
    reasons: dict[str, str] = {}
    shares = median_overlap(summary)
    for t in np.flatnonzero(has_labels(summary)):
        found = []
        if shares[t] < LEAST_OVERLAP:
            found.append(f"{_percent(shares[t])} of labelled points in common with the others")
        if 0 <= summary.positives[t] < FEWEST_POSITIVES:
            found.append(counted(int(summary.positives[t]), "positive"))
        if found:
            reasons[str(summary.tasks[t])] = ", ".join(found)
    return reasons


def _percent(share: float) -> str:
    if 0 < share < 0.01:
        return "less than 1 %"
    return f"{100 * share:.0f} %"
