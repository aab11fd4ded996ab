"""Gram matrices of the task vectors where labels are missing.

Two tasks are compared over the points that both have labels for, and what is found there is scaled
to all points. So a task with few labels keeps its place but for chance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class SharedSums:
    """Sums over those points of a block that have a value, of T tasks and one feature.

    counts (T, T): points at which both tasks have one; lengths (T,): squared values; distances
    (T, T): squared differences of both tasks.
    """

    counts: Floats
    lengths: Floats
    distances: Floats

    def __add__(self, other: SharedSums) -> SharedSums:
        """Over the points of both."""
        return SharedSums(
            self.counts + other.counts,
            self.lengths + other.lengths,
            self.distances + other.distances,
        )


def shared_sums(values: Floats) -> SharedSums:
    """Of values (T, B), NaN where one is missing: three matrix products, no loop over pairs."""
    known = (~np.isnan(values)).astype(np.float64)
    filled = np.nan_to_num(values)
    squares = filled**2
    across = squares @ known.T
    distances = across + across.T - 2 * (filled @ filled.T)
    np.fill_diagonal(distances, 0)
    return SharedSums(known @ known.T, squares.sum(axis=1), np.maximum(distances, 0))


def scaled_grams(blocks: Sequence[SharedSums], n_points: int) -> Floats:
    """Gram matrices (B, T, T) of B blocks of all N points, whose sum is that of all points.

    What two tasks share in all blocks together, n points, is scaled by N/n in each of them. Two
    tasks without a common point are as far apart as others in the mean: nothing is known of them,
    and so they are drawn neither together nor asunder. A task without any value has zeros. The sum
    need not be positive semidefinite.
    """
    counts = np.sum([block.counts for block in blocks], axis=0)
    scale = n_points / np.maximum(counts, 1)
    distances = np.stack([block.distances for block in blocks]) * scale
    lengths = np.stack([block.lengths for block in blocks]) * scale.diagonal()
    unknown, known = np.triu(counts == 0, 1), np.triu(counts > 0, 1)
    if unknown.any() and known.any():
        neutral = distances[:, known].mean(axis=1, keepdims=True)
        distances[:, unknown | unknown.T] = neutral
    grams = np.asarray((lengths[:, :, None] + lengths[:, None] - distances) / 2)
    empty = counts.diagonal() == 0
    grams[:, empty] = grams[:, :, empty] = 0
    return grams


def nearest_gram(gram: Floats) -> tuple[Floats, float]:
    """The nearest positive semidefinite matrix in least squares, and how far that is, in [0, 1].

    How far: the Frobenius norm of the difference over that of the matrix (T, T) (Higham 1988).
    """
    values, vectors = np.linalg.eigh(gram)
    negative = np.minimum(values, 0)
    if not negative.any():
        return gram, 0.0
    nearest = gram - (vectors * negative) @ vectors.T
    return (nearest + nearest.T) / 2, float(np.linalg.norm(negative) / np.linalg.norm(values))
