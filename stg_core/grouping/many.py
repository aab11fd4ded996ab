"""k-means and distances of hundreds to thousands of tasks.

Their coordinates are many numbers each, exact ones or, of thousands, a random projection in
float32. What needs them all is a product of matrices; what only has to find a good start, or to
estimate, takes fewer.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import silhouette_score
from sklearn.utils.extmath import randomized_svd

Numbers = NDArray[Any]  # float64, or float32 where projected
Labels = NDArray[np.int64]

ROUNDING = 4e-6  # of squared lengths in single precision
MOST_STEPS = 100  # of k-means in all coordinates
SAMPLED = 2_000  # tasks of which the silhouette is computed


def coordinates_of(projections: list[NDArray[np.float16]]) -> Numbers:
    """Centred coordinates (T, M · R) of the projections (T, R) of M data maps."""
    n_tasks, width = projections[0].shape
    found = np.empty((n_tasks, len(projections), width), dtype=np.float32)
    for i, one in enumerate(projections):
        found[:, i] = one
        found[:, i] -= found[:, i].mean(axis=0)
    return found.reshape(n_tasks, -1)


def folded(coordinates: Numbers, n_maps: int) -> Numbers:
    """Fewer coordinates (T, R) of projected tasks: the sum over their M data maps, whose errors
    are independent, is a projection too, with √M times the error."""
    return np.asarray(coordinates.reshape(len(coordinates), n_maps, -1).sum(axis=1))


def widest(coordinates: Numbers, count: int) -> Numbers:
    """The principal coordinates (T, count) along which the tasks differ most, by falling spread.

    What is a task's own lies in all directions, what it shares with others in few: here k-means++
    finds a task of every cluster, which it often misses where all distances are about the same.
    """
    left, values, _ = randomized_svd(coordinates, count, n_iter=4, random_state=0)
    return np.asarray(left * values)


def kmeans_of_many(
    coordinates: Numbers, few: Numbers, order: Labels, k: int, starts: int, seed: int
) -> Labels:
    """Labels (T,): the best of some starts in few coordinates, from which it goes on in all.

    order (T,): of the tasks, in which they are drawn.
    """
    labels = np.empty(len(order), dtype=np.int64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # identical tasks: fewer clusters
        labels[order] = KMeans(k, n_init=starts, random_state=seed).fit(few[order]).labels_
    return lloyd(coordinates, labels, k)


def lloyd(coordinates: Numbers, labels: Labels, k: int) -> Labels:
    """Labels (T,) from which k-means moves no task, begun at these, or after some steps (Lloyd
    1982). It makes no copy of the coordinates, as scikit-learn's does."""
    for _ in range(MOST_STEPS):
        sizes = np.maximum(np.bincount(labels, minlength=k), 1)
        shares = (1 / sizes[labels]).astype(coordinates.dtype)
        means = (
            csr_array((shares, (labels, np.arange(len(labels)))), (k, len(labels))) @ coordinates
        )
        nearness = coordinates @ means.T - (means**2).sum(axis=1) / 2
        before, labels = labels, nearness.argmax(axis=1)
        if (labels == before).all():
            break
    return labels


def distances_to_many(a: Numbers, b: Numbers) -> NDArray[np.float64]:
    """Euclidean distances (A, B) in single precision, by a product of matrices; exactly 0 where
    rounding alone would differ."""
    lengths = np.einsum("ij,ij->i", a, a)[:, None] + np.einsum("ij,ij->i", b, b)
    squared = lengths - 2 * (a @ b.T)
    squared[squared < ROUNDING * lengths] = 0
    return np.asarray(np.sqrt(squared, dtype=np.float64))


def distances_of_gram(centred: NDArray[np.float64]) -> NDArray[np.float64]:
    """Distances (T, T) from a centred Gram matrix; exactly 0 where rounding alone would differ."""
    lengths = centred.diagonal()
    squared = lengths[:, None] + lengths - 2 * centred
    squared[squared < 1e-12 * lengths.max(initial=0.0)] = 0
    np.fill_diagonal(squared, 0)
    return np.sqrt(squared, out=squared)


def distinct_rows(coordinates: Numbers) -> int:
    """How many tasks have coordinates that no task before them has."""
    return len({hash(row.tobytes()) for row in coordinates})  # the rows again would be a gigabyte


def silhouette_of_many(few: Numbers, labels: Labels, seed: int) -> float:
    """Mean silhouette of a seeded sample of the tasks."""
    size = min(SAMPLED, len(labels))
    return float(silhouette_score(few, labels, sample_size=size, random_state=seed))
