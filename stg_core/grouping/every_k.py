"""What the groupings of every k follow from: whoever has it needs no k-means for a new k.

Memberships, and how good they are, follow in microseconds: see `memberships_from_distances`.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isqrt

import numpy as np
from numpy.typing import NDArray

from stg_core.grouping.memberships import Labels, TaskSpace, cluster_colours
from stg_core.grouping.problems import problem_of

LARGEST_K = 40  # of those that are computed for all whom a slider may take there
MOST_DISTANCES = 500_000  # in all: a browser gets no more than 2 MB of them, of however many tasks


@dataclass(frozen=True)
class AtK:
    """k-means in k clusters, and what follows of it for every fuzzifier.

    distances (T, k), float32, of the tasks to the centroids; labels (T,); colours (k,), see
    `cluster_colours`; inertia, silhouette, separation: see `Clusters`; nothing: whether the
    clusters say nothing, hard as they are, see `problem_of`.
    """

    distances: NDArray[np.float32]
    labels: Labels
    colours: Labels
    inertia: float
    silhouette: float | None
    separation: float | None
    nothing: bool


def every_k(n_tasks: int) -> range:
    """The k that are computed beforehand: 2, 3, … up to T or 40, and of many tasks fewer.

    All k up to the largest, K, are T·(K(K + 1)/2 − 1) distances: 82,000 for 100 tasks and k to 40,
    which would be 0.8 million for 1,000. So those are computed up to k = 31 (of 300 tasks to 40, of
    2,000 to 21), and a slider that goes on from there asks for each k.
    """
    at_most = MOST_DISTANCES // n_tasks + 1  # K(K + 1)/2
    return range(2, min(n_tasks, LARGEST_K, (isqrt(8 * at_most + 1) - 1) // 2) + 1)


def groupings_of_every_k(space: TaskSpace, usual: TaskSpace) -> dict[int, AtK]:
    """By k; usual: the same tasks by all epochs and features, whose clusters say the colours."""
    return {k: _at(space, usual, k) for k in every_k(len(space.tasks))}


def _at(space: TaskSpace, usual: TaskSpace, k: int) -> AtK:
    found = space.kmeans(k)
    problem = problem_of(
        np.eye(k)[found.labels],
        found.labels,
        "hard",
        2.0,
        distinct=space.distinct,
        equidistant=space.equidistant,
        comes_apart=None,
        share_nothing=space.share_nothing,
    )
    return AtK(
        found.distances.astype(np.float32),
        found.labels,
        cluster_colours(usual, found.labels, k),
        found.inertia,
        found.silhouette,
        found.separation,
        bool(problem),
    )
