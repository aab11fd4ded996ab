"""What is kept of the data maps of many tasks, read once and a few tasks at a time.

Everything that a summary of few tasks has grows with the tasks, or with their pairs. Beyond 300
tasks it keeps less of each; beyond 2,000 a projection of the task vectors stands in for the Gram
matrices: sums of points with random signs, in as many numbers whatever the number of points.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from stg_core.maps.gram import SharedSums, scaled_grams, shared_sums

MANY, VERY_MANY = 300, 2_000  # tasks up to which all is kept, and up to which distances are exact
SEED = 13
SHARES = 0.8, 0.2  # of squared distances that are of confidence and of variability, as measured
AT_ONCE, POINTS_AT_ONCE = 32, 2_048
TOPS = 1.0, float(np.sqrt(0.5))  # of confidence and variability

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
PROJECTED = Kept(bins=16, sample=200, block_grams=False, gram=False, width=450)


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
        f" within {typical_error(5):.1%} in two of three cases where five recorded epochs are"
        f" compared. Histograms have {PROJECTED.bins} × {PROJECTED.bins} cells, samples"
        f" {PROJECTED.sample} points."
    )


def typical_error(n_epochs: int) -> float:
    """Standard deviation of the relative error of a distance by both features of so many epochs.

    1/√(2d) for d numbers in all, whose squared distance is off by √(2/d) (Charikar et al. 2002);
    features that make up unequal shares of it count as 1/Σ share² of them.
    """
    maps = n_epochs / sum(share**2 for share in SHARES)
    return float(1 / np.sqrt(2 * maps * PROJECTED.numbers))


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
class Parts:
    """Of E recorded epochs: histogram (E, T, 2, bins, bins), means (E, 2, T), sample (E, 2, T, S),
    and projection (E, 2, T, 10 · width)."""

    histogram: NDArray[np.uint16] | NDArray[np.uint32]
    means: Singles
    sample: Halves
    projection: Halves

    @classmethod
    def empty(cls, n_epochs: int, n_tasks: int, n_points: int, kept: Kept) -> Parts:
        """Room for all of them, once: joined at the end they would be there twice."""
        cells = n_epochs, n_tasks, 2, kept.bins, kept.bins
        histogram = np.empty(cells, np.uint16) if n_points < 2**16 else np.empty(cells, np.uint32)
        return cls(
            histogram,
            np.empty((n_epochs, 2, n_tasks), dtype=np.float32),
            np.empty((n_epochs, 2, n_tasks, min(kept.sample, n_points)), dtype=np.float16),
            np.empty((n_epochs, 2, n_tasks, kept.numbers), dtype=np.float16),
        )


def answers_of(
    labels: NDArray[np.float32],
) -> tuple[NDArray[np.int8], NDArray[np.bool_]]:
    """Answers (T, N) of labels (N, T): 1 for yes, 0 for any other, -1 where one is missing; and
    which tasks have no labels but 0 and 1, (T,)."""
    answers = np.empty(labels.shape[::-1], dtype=np.int8)
    binary = np.ones(labels.shape[1], dtype=np.bool_)
    for start in range(0, len(labels), POINTS_AT_ONCE):
        part = np.array(labels[start : start + POINTS_AT_ONCE])
        yes, missing = part == 1, np.isnan(part)
        binary &= (yes | missing | (part == 0)).all(axis=0)
        answers[:, start : start + POINTS_AT_ONCE] = (yes.view(np.int8) - missing).T
        let_go(labels)
    return answers, binary


def read_epoch(
    parts: Parts,
    e: int,
    maps: Halves,
    answers: NDArray[np.int8],
    indices: NDArray[np.int64],
    projections: Sequence[csr_array],
) -> None:
    """Writes into `parts` those of recorded epoch e: data maps (2, T, N), which may lie on disk.

    Of answers (T, N); indices (T, S): of the sampled points. A value that is missing counts in no
    histogram and mean, and is projected as the mean of the other tasks' at that point.
    """
    n_tasks, n_points = maps.shape[1:]
    ones = np.ones(n_points, dtype=np.float32)
    fill: Singles | None = None
    for tasks, values in _few_at_once(maps):
        parts.sample[e, :, tasks] = np.take_along_axis(values, indices[None, tasks], axis=-1)
        singles = values.astype(np.float32)
        sums, missing = singles @ ones, None
        if np.isnan(sums).any():
            fill = _means_of_points(maps) if fill is None else fill
            missing = np.isnan(singles)
            sums = np.where(missing, 0, singles) @ ones
            np.copyto(singles, fill[:, None], where=missing)
        known = n_points if missing is None else (~missing).sum(axis=-1)
        parts.means[e, :, tasks] = sums / np.maximum(known, 1)
        for i, t in enumerate(range(n_tasks)[tasks]):
            answered = answers[t]
            if missing is not None:
                answered = np.where(missing[:, i].any(axis=0), -1, answered).astype(np.int8)
            parts.histogram[e, t] = _histogram(singles[:, i], answered, parts.histogram.shape[-1])
        for feature in range(2):
            by_point = np.ascontiguousarray(singles[feature].T)
            parts.projection[e, feature, tasks] = (projections[feature] @ by_point).T


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


def _histogram(values: Singles, answers: NDArray[np.int8], bins: int) -> NDArray[np.int64]:
    """Points per cell, (2, bins, bins), of one task's values (2, N); those without an answer are in
    none."""
    cells = 2 * bins**2
    row, column = (
        np.minimum((axis * np.float32(bins / top)).astype(np.int16), bins - 1)
        for axis, top in zip(values, TOPS, strict=True)
    )
    flat = row * np.int16(bins) + column + answers * np.int16(bins**2)
    # without an answer they are negative, and so beyond all cells once they have no sign
    counts = np.bincount(np.minimum(flat.view(np.uint16), cells), minlength=cells + 1)[:cells]
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
