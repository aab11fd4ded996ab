"""What makes a grouping say nothing: tasks that do not differ, clusters that coincide or are empty.

Its labels are noise then, and its specialists would be the same, or have nothing to learn.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

SAME = 1e-6  # share of the largest distance up to which two tasks are the same, but for rounding
ALIKE = 0.01  # relative difference of shares up to which two clusters coincide
NOTHING = 1e-6  # a share that trains nothing
MOST_NAMED = 8
MARK = "?"  # behind the name of a task whose place is uncertain


def distinct_tasks(distances: NDArray[np.float64]) -> int:
    """How many of the tasks, whose distances are (T, T), differ from all before them."""
    same = distances <= SAME * distances.max()
    return len(distances) - int(np.tril(same, -1).any(axis=1).sum())


def equally_far(distances: NDArray[np.float64]) -> bool:
    """Whether three tasks or more are all as far from each other, but for rounding."""
    apart = distances[~np.eye(len(distances), dtype=bool)]
    return len(distances) > 2 and bool(np.ptp(apart) <= SAME * apart.max())


def coinciding(memberships: NDArray[np.float64]) -> NDArray[np.int64]:
    """For each cluster of memberships (T, k) the first in which every task has its share, (k,).

    It is the cluster itself where no earlier one coincides with it.
    """
    shares = np.log(np.maximum(memberships.T, NOTHING))
    alike = cdist(shares, shares, "chebyshev") <= ALIKE
    return np.asarray(alike.argmax(axis=1))


def without_tasks(labels: NDArray[np.int64], k: int) -> list[int]:
    """The clusters, from 0, to which no task belongs most."""
    return np.flatnonzero(np.bincount(labels, minlength=k) == 0).tolist()


def problem_of(
    memberships: NDArray[np.float64],
    labels: NDArray[np.int64],
    method: str,
    fuzzifier: float,
    *,
    distinct: int,
    equidistant: bool,
    comes_apart: float | None,
    share_nothing: bool = False,
) -> str:
    """What is wrong with a grouping, and what to do, in a sentence or two; empty if nothing is.

    distinct, equidistant: of its tasks, see `distinct_tasks` and `equally_far`; comes_apart: below
    which fuzzifier the centres of fuzzy c-means do not all coincide, None where they never do;
    share_nothing: whether no training point is labelled for two of the tasks.
    """
    n_tasks, k = memberships.shape
    if k == 1:
        return ""
    if share_nothing:
        return (
            "Data maps cannot tell which of these tasks belong together: no training point is"
            " labelled for two of them, so that there is nothing to compare. Label some points for"
            " several tasks, or compare the tasks on the page Methods."
        )
    if distinct == 1:
        return (
            "All tasks have the same data maps here, so nothing tells them apart: how they share"
            " the clusters says nothing. Choose other recorded epochs or features."
        )
    if distinct < k and method != "points":
        return (
            f"Only {distinct} of the {n_tasks} tasks have data maps of their own, too few for {k}"
            f" clusters: choose k = {distinct} or less, or other recorded epochs or features."
        )
    if equidistant and k < n_tasks and method != "points":
        return (
            "All tasks are equally far from each other, so that it is chance which of them come"
            " together. Choose other recorded epochs or features."
        )
    first = coinciding(memberships)
    together = sum((first == j).sum() > 1 for j in first)
    if together and method != "hard":
        return _coincide(together, k, method, fuzzifier, comes_apart)
    if empty := without_tasks(labels, k):
        advice = {"fcm": "a smaller k, a smaller fuzzifier or the method soft"}
        return (
            f"{_clusters(empty)} {'is' if len(empty) == 1 else 'are'} empty: no task belongs most"
            f" to {'it' if len(empty) == 1 else 'them'}. Choose"
            f" {advice.get(method, 'a smaller k or the method soft')}."
        )
    return ""


def little_known(uncertain: Mapping[str, str], left_out: Sequence[str]) -> str:
    """What is to be known of tasks with few labels, in a sentence or two; empty without any.

    uncertain: why the place of each marked task is so; left_out: tasks without any training label.
    """
    sentences = []
    if uncertain:
        marked = _some([f"{task} ({reason})" for task, reason in uncertain.items()])
        sentences.append(f"Marked {MARK}, since few labels make their place uncertain: {marked}.")
    if left_out:
        sentences.append(f"Left out, having no training label: {_some(left_out)}.")
    return " ".join(sentences)


def _some(names: Sequence[str]) -> str:
    if len(names) > MOST_NAMED:
        names = [*names[: MOST_NAMED - 1], f"{len(names) - MOST_NAMED + 1} more"]
    return ", ".join(names)


def _coincide(
    together: int, k: int, method: str, fuzzifier: float, comes_apart: float | None
) -> str:
    every = "Both clusters" if k == 2 else f"All {k} clusters"
    what = every if together == k else f"{together} of the {k} clusters"
    advice = {
        "soft": f"a smaller fuzzifier than {fuzzifier:g}",
        "fcm": f"a smaller fuzzifier than {fuzzifier:g}, a smaller k or the method soft",
        "points": "the method soft",
    }[method]
    if together == k and comes_apart is not None and comes_apart <= fuzzifier:
        most = math.floor(comes_apart * 100) / 100
        advice = f"the method soft, or a fuzzifier of {most:.2f} at most (it is {fuzzifier:g})"
    return (
        f"{what} coincide{'' if together == k else ' with another one'}: every task has the same"
        " share in them, to 1 %, so that their specialists would be the same. Choose"
        f" {advice}."
    )


def _clusters(numbers: Sequence[int]) -> str:
    """Such as "Clusters 2, 3 and 5", numbered from 1."""
    named = [str(j + 1) for j in numbers]
    if len(named) == 1:
        return f"Cluster {named[0]}"
    if len(named) > MOST_NAMED:
        named = [*named[: MOST_NAMED - 1], f"{len(named) - MOST_NAMED + 1} more"]
    return f"Clusters {', '.join(named[:-1])} and {named[-1]}"
