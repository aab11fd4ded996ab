"""What is kept of the data maps of many tasks, read once and a few tasks at a time.

Everything that a summary of few tasks has grows with the tasks, or with their pairs. Beyond 300
tasks it keeps less of each; beyond 2,000 a projection of the task vectors stands in for the Gram
matrices: sums of points with random signs, in as many numbers whatever the number of points.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from stg_core.maps.gram import SharedSums, scaled_grams, shared_sums

MANY, VERY_MANY = 300, 2_000  # tasks up to which all is kept, and up to which distances are exact
SEED = 13
AT_ONCE, POINTS_AT_ONCE = 32, 4_096

Singles = NDArray[np.float32]
Halves = NDArray[np.float16]


@dataclass(frozen=True)
class Kept:
    """What a summary keeps.

    blocks: of points, at random; bins: of the histograms, along each axis; sample: points of each
    task; block_grams: whether Gram matrices of each block of points; gram: whether of all points;
    width: numbers of the projection of each data map, of each block.
    """

    blocks: int = 10
    bins: int = 64
    sample: int = 2_000
    block_grams: bool = True
    gram: bool = True
    width: int = 0

    @property
    def numbers(self) -> int:
        """Numbers that the projection of a data map has."""
        return self.blocks * self.width


ALL = Kept()
THINNED = Kept(sample=500, block_grams=False, width=32)
PROJECTED = Kept(bins=16, sample=200, block_grams=False, gram=False, width=205)


def kept_of(n_tasks: int) -> Kept:
    """What is kept of so many tasks: it is decided by their number alone."""
    return ALL if n_tasks <= MANY else THINNED if n_tasks <= VERY_MANY else PROJECTED


def way_of(n_tasks: int) -> str:
    """How the tasks are compared, and what is kept of them, in a sentence or two; "" for few."""
    if n_tasks <= MANY:
        return ""
    of = f"Of {n_tasks:,} tasks, more than"
    if n_tasks <= VERY_MANY:
        return (
            f"{of} {MANY}, each keeps a sample of {THINNED.sample} points instead of"
            f" {ALL.sample:,}, and for the stability of k a random projection of its data maps"
            f" ({THINNED.numbers} numbers each). Distances are exact."
        )
    return (
        f"{of} {VERY_MANY:,}, each is compared by a seeded random projection of its data maps,"
        f" {PROJECTED.numbers:,} numbers each: two tasks are as far apart as by all points to"
        f" within {typical_error(10):.1%} in two of three cases where five recorded epochs are"
        f" compared. Histograms have {PROJECTED.bins} × {PROJECTED.bins} cells, samples"
        f" {PROJECTED.sample} points."
    )


def typical_error(n_maps: int) -> float:
    """Standard deviation of the relative error of a distance from so many projected data maps.

    1/√(2d) for d numbers in all: the squared one is off by √(2/d) (Charikar et al. 2002).
    """
    return float(1 / np.sqrt(2 * n_maps * PROJECTED.numbers))


# -------------------------------------------------------------------------------------- projection


def projection(n_points: int, blocks: int, width: int, epoch: int, feature: int) -> csr_array:
    """Matrix (blocks · width, N) that sums points with random signs: a count sketch.

    Every point is in one sum, and each of the blocks of points (`block_of`) has sums of its own, of
    about as many points each. Inner products of what it makes of two vectors are theirs in
    expectation; a block of no more points than `width` keeps them as they are (Charikar, Chen &
    Farach-Colton 2002; Weinberger et al. 2009). Another epoch or feature has other sums, whose
    errors are independent.
    """
    rng = np.random.default_rng((SEED, epoch, feature))
    rows = np.empty(n_points, dtype=np.int64)
    for b, block in enumerate(blocks_of(n_points, blocks)):
        rows[block] = b * width + rng.permutation(len(block)) % width
    signs = rng.choice(np.array([-1, 1], dtype=np.float32), n_points)
    return csr_array((signs, (rows, np.arange(n_points))), shape=(blocks * width, n_points))


def blocks_of(n_points: int, blocks: int) -> list[NDArray[np.int64]]:
    """The points of each seeded block."""
    return np.array_split(np.random.default_rng(SEED).permutation(n_points), blocks)


# ------------------------------------------------------------------------------ in one pass over it


@dataclass(frozen=True)
class EpochOfMany:
    """Of one recorded epoch: histogram (T, 2, bins, bins), means (2, T), sample (2, T, S), and
    projection (2, T, 10 · width)."""

    histogram: NDArray[np.uint32]
    means: Singles
    sample: Halves
    projection: Halves


def answers_of(labels: NDArray[np.float32]) -> NDArray[np.int8]:
    """Answers (T, N) of labels (N, T): 1 for yes, 0 for any other, -1 where one is missing."""
    answers = np.empty(labels.shape[::-1], dtype=np.int8)
    for start in range(0, len(labels), POINTS_AT_ONCE):
        part = np.asarray(labels[start : start + POINTS_AT_ONCE])
        answers[:, start : start + POINTS_AT_ONCE] = np.where(np.isnan(part), -1, part == 1).T
        let_go(labels)
    return answers


def epoch_of_many(
    maps: Halves,
    answers: NDArray[np.int8],
    indices: NDArray[np.int64],
    cells: tuple[NDArray[np.int32], NDArray[np.int32]],
    projections: tuple[csr_array, csr_array],
    bins: int,
) -> EpochOfMany:
    """Of data maps (2, T, N), which may lie on disk, with answers (T, N).

    indices (T, S): of the sampled points; cells: row and column of the histogram for each of the
    65,536 numbers of half precision, negative for NaN. A value that is missing counts in no
    histogram and mean, and is projected as the mean of the other tasks' at that point.
    """
    n_tasks, n_points = maps.shape[1:]
    width = projections[0].shape[0]
    histogram = np.empty((n_tasks, 2, bins, bins), dtype=np.uint32)
    means = np.zeros((2, n_tasks), dtype=np.float32)
    projected = np.empty((2, n_tasks, width), dtype=np.float16)
    sample = np.empty((2, *indices.shape), dtype=np.float16)
    fill: Singles | None = None
    for tasks, values in _few_at_once(maps):
        for t, (confidence, variability) in zip(
            range(n_tasks)[tasks], values.view(np.uint16).transpose(1, 0, 2), strict=True
        ):
            histogram[t] = _histogram(cells[0][confidence], cells[1][variability], answers[t], bins)
        sample[:, tasks] = np.take_along_axis(values, indices[None, tasks], axis=-1)
        singles = values.astype(np.float32)
        sums = singles.sum(axis=-1, dtype=np.float64)
        if np.isnan(sums).any():
            fill = _means_of_points(maps) if fill is None else fill
            known = ~np.isnan(singles)
            sums = np.where(known, singles, 0).sum(axis=-1, dtype=np.float64)
            means[:, tasks] = sums / np.maximum(known.sum(axis=-1), 1)
            singles = np.where(known, singles, fill[:, None])
        else:
            means[:, tasks] = sums / n_points
        for feature in range(2):
            projected[feature, tasks] = (projections[feature] @ singles[feature].T).T
    return EpochOfMany(histogram, means, sample, projected)


def gram_of_many(maps: Halves) -> tuple[NDArray[np.float64], bool]:
    """Gram matrix (T, T) of one feature's task vectors (T, N), and whether values are missing."""
    n_points = maps.shape[1]
    gram: NDArray[np.float64] | float = 0.0
    shared: SharedSums | None = None
    missing = any(np.isnan(values).any() for _, values in _few_at_once(maps[None]))
    for start in range(0, n_points, POINTS_AT_ONCE):
        values = np.asarray(maps[:, start : start + POINTS_AT_ONCE], dtype=np.float64)
        if missing:
            here = shared_sums(values)
            shared = here if shared is None else shared + here
        else:
            gram = gram + values @ values.T
    let_go(maps)
    if shared is not None:
        gram = scaled_grams([shared], n_points)[0]
    return np.asarray(gram), missing


def let_go(array: NDArray[np.generic]) -> None:
    """Takes what was read of an array on disk out of this process's memory."""
    mapped = getattr(array, "_mmap", None)
    if isinstance(mapped, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        mapped.madvise(mmap.MADV_DONTNEED)


def _few_at_once(maps: Halves) -> Iterator[tuple[slice, Halves]]:
    """Which tasks, and their values (2, AT_ONCE, N), contiguous."""
    for start in range(0, maps.shape[1], AT_ONCE):
        tasks = slice(start, start + AT_ONCE)
        yield tasks, np.array(maps[:, tasks])
        let_go(maps)


def _histogram(
    row: NDArray[np.int32], column: NDArray[np.int32], answers: NDArray[np.int8], bins: int
) -> NDArray[np.int64]:
    """Points per cell, (2, bins, bins), of one task; those of no cell or answer are in none."""
    nowhere = 2 * bins**2
    first = np.array([0, bins**2, nowhere], dtype=np.int32)[answers]  # the last of no answer
    flat = row * bins + column + first
    flat[(row < 0) | (column < 0)] = nowhere
    counts = np.bincount(np.minimum(flat, nowhere), minlength=nowhere + 1)[:nowhere]
    return np.asarray(counts.reshape(2, bins, bins))


def _means_of_points(maps: Halves) -> Singles:
    """Mean over the tasks at each point, (2, N); 0 where all are missing."""
    total = np.zeros((2, maps.shape[2]))
    count = np.zeros((2, maps.shape[2]))
    for _, values in _few_at_once(maps):
        singles = values.astype(np.float32)
        total += np.nansum(singles, axis=1)
        count += (~np.isnan(singles)).sum(axis=1)
    return (total / np.maximum(count, 1)).astype(np.float32)
