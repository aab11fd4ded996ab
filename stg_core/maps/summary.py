"""Data maps: the confidence and variability of every training point for every task.

`DataMapRecorder` fills them during training; `DataMapSummary` is what remains of them for grouping
and for pictures. Reading summaries needs no torch, so the app stays light.
"""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from stg_core.maps.gram import SharedSums, nearest_gram, scaled_grams, shared_sums
from stg_core.maps.many import (
    ALL,
    SEED,
    TOPS,
    Kept,
    Parts,
    answers_of,
    blocks_of,
    gram_of_many,
    kept_of,
    projection,
    read_epoch,
    way_of,
)
from stg_core.system.errors import UserError
from stg_core.tasks.groups import Task

FEATURES = ("confidence", "variability")
KINDS = ("all", "positives", "negatives")
MAX_VARIABILITY = TOPS[1]  # of two epochs, one at confidence 0 and one at 1
BINS = ALL.bins
BLOCKS = ALL.blocks
SAMPLE_POINTS = ALL.sample
LATER = frozenset({"labelled", "positives", "adjusted"})  # arrays that older summaries lack
EASY_FROM = 32 / BINS  # confidence: as likely right as wrong
AMBIGUOUS_FROM = 20 / BINS * MAX_VARIABILITY  # 0.22
# what zipfile, zlib and numpy raise for damaged bytes, and what follows of other arrays
_UNREADABLE: tuple[type[Exception], ...] = (
    *(OSError, ValueError, KeyError, IndexError, TypeError, EOFError),
    *(NotImplementedError, SyntaxError),
    *(zipfile.BadZipFile, zlib.error, struct.error),
)


@dataclass(frozen=True)
class Region:
    """A rectangle of the data map: from and to which confidence and variability.

    What lies on the lower bounds is in it, what lies on the upper ones is not, unless they are the
    edges of the map: so regions that share a bound share no point.
    """

    confidence: tuple[float, float] = (0.0, 1.0)
    variability: tuple[float, float] = (0.0, MAX_VARIABILITY)

    def holds(
        self, confidence: NDArray[np.floating], variability: NDArray[np.floating]
    ) -> NDArray[np.bool_]:
        """Which points are in it, of the shape of both arrays; NaN is in no region."""
        return _between(confidence, *self.confidence, 1.0) & _between(
            variability, *self.variability, MAX_VARIABILITY
        )


def _between(
    values: NDArray[np.floating], low: float, high: float, edge: float
) -> NDArray[np.bool_]:
    inside: NDArray[np.bool_] = values.astype(np.float64) >= low
    return inside if high >= edge else inside & (values.astype(np.float64) < high)


# Swayamdipta et al. 2020 (Dataset Cartography, section 2) name the regions, and take for each the
# third of the points that is highest in variability, highest or lowest in confidence. Here the
# bounds are fixed, so that shares tell tasks and epochs apart, and are edges of the histogram's
# cells, so that shares are exact; each point is in one region.
REGIONS: Mapping[str, Region] = {
    "easy to learn": Region((EASY_FROM, 1.0), (0.0, AMBIGUOUS_FROM)),
    "ambiguous": Region((0.0, 1.0), (AMBIGUOUS_FROM, MAX_VARIABILITY)),
    "hard to learn": Region((0.0, EASY_FROM), (0.0, AMBIGUOUS_FROM)),
}


def region_shares(histogram: NDArray[np.integer]) -> dict[str, float]:
    """Share of a histogram's points (B, B) in each of the `REGIONS`; they sum to 1.

    NaN where the histogram holds no points.
    """
    bins = len(histogram)
    total = int(histogram.sum(dtype=np.int64))
    shares = {}
    for name, region in REGIONS.items():
        rows = slice(*(round(bound * bins) for bound in region.confidence))
        columns = slice(*(round(bound / MAX_VARIABILITY * bins) for bound in region.variability))
        inside = int(histogram[rows, columns].sum(dtype=np.int64))
        shares[name] = inside / total if total else float("nan")
    return shares


@dataclass(frozen=True)
class DataMapSummary:
    """What the app and the grouping read of the data maps; it does not grow with the points.

    Of T tasks, E recorded epochs, N points, S sampled points, and 10 seeded blocks of points:

    tasks              names, (T,)
    epochs             recorded epochs, (E,)
    gram               Gram matrices per epoch and feature, (E, 2, T, T) float64: exact, or where
                       labels are missing estimated from the points that two tasks share
    block_gram         the same per block, upper triangles, (E, 2, 10, T(T+1)/2) float32
    histogram          points per cell, (E, T, 2, 64, 64): negatives and positives, confidence in
                       [0, 1] down, variability in [0, √½] across
    task_means         mean confidence and variability, (E, 2, T) float32
    sample_indices     dataset indices of each task's sample, (T, S) int32, ascending
    sample_positive    whether those points are positives of the task, (T, S) bool
    sample             their data maps, (E, 2, T, S) float16
    n_points           N
    labelled           points that both of two tasks have a label for, (T, T) int32
    positives          points with the answer yes, (T,) int32; -1 for tasks that ask something else
    adjusted           share of each Gram matrix that had to change for it to be one, (E, 2) float64
    projection         random sums of points of each block, (E, 2, T, 10 · width) float16

    That is of up to 300 tasks, whose projection is empty. What is kept of more does not grow with
    their pairs, see `stg_core.maps.many`: of up to 2,000 gram is float32, block_gram empty, and the
    sample of 500 points. Of more than that, gram is empty too, the histograms are of 16 × 16 cells,
    the samples of 200 points, and labelled has only the tasks' own numbers, (T,).
    """

    tasks: NDArray[np.str_]
    epochs: NDArray[np.int64]
    gram: NDArray[np.float64] | NDArray[np.float32]
    block_gram: NDArray[np.float32]
    histogram: NDArray[np.uint16] | NDArray[np.uint32]
    task_means: NDArray[np.float32]
    sample_indices: NDArray[np.int32]
    sample_positive: NDArray[np.bool_]
    sample: NDArray[np.float16]
    n_points: NDArray[np.int64]
    labelled: NDArray[np.int32]
    positives: NDArray[np.int32]
    adjusted: NDArray[np.float64]
    projection: NDArray[np.float16]

    @property
    def n_labels(self) -> NDArray[np.int32]:
        """For how many points each task has a label, (T,)."""
        return self.labelled if self.labelled.ndim == 1 else self.labelled.diagonal()

    @property
    def as_now(self) -> bool:
        """Whether it keeps what one that is made now does: an older one of many tasks keeps all."""
        return bool(self.projection.shape[-1] == kept_of(len(self.tasks)).numbers)

    @property
    def way(self) -> str:
        """How its tasks are compared, and what of them is kept, in a sentence; "" of few tasks."""
        return way_of(len(self.tasks)) if self.projection.size else ""

    def task_map(self, task: str, epoch: int, kind: str = "all") -> TaskMap:
        """The data map of a task at a recorded epoch, of all points or of those of one kind."""
        t, e = self.tasks.tolist().index(task), self.epochs.tolist().index(epoch)
        negatives, positives = self.histogram[e, t].astype(np.int64)
        confidence, variability = self.sample[e, :, t].astype(np.float64)
        positive = self.sample_positive[t]
        histogram, chosen = {
            "all": (negatives + positives, np.ones_like(positive)),
            "positives": (positives, positive),
            "negatives": (negatives, ~positive),
        }[kind]
        chosen = chosen & ~np.isnan(confidence) & ~np.isnan(variability)
        order = np.flatnonzero(chosen)[np.argsort(confidence[chosen], kind="stable")]
        indices = self.sample_indices[t]
        return TaskMap(
            histogram, indices[order], positive[order], confidence[order], variability[order]
        )

    def save(self, file: BinaryIO) -> None:
        """As the .npz of its arrays; of symmetric matrices of many tasks the upper triangles."""
        arrays = {f.name: getattr(self, f.name) for f in fields(self)}
        if not self.projection.size:  # of few tasks, and as older summaries of many are
            del arrays["projection"]
        elif self.gram.size:
            arrays["gram"] = self.gram[(..., *np.triu_indices(len(self.tasks)))]
        write = np.savez_compressed if self.gram.size else np.savez  # noise does not compress
        write(file, **arrays)

    @classmethod
    def load(cls, data: bytes) -> DataMapSummary:
        """The inverse of `save`; raises UserError for anything that is not a whole summary."""
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
                found = {name: arrays[name] for name in arrays}
            if not found.keys() & LATER:
                found |= _later_of(found)
            if "projection" not in found:
                found["projection"] = _no_projection(*found["gram"].shape[:3])
            if found["gram"].ndim == 3:
                found["gram"] = _whole(found["gram"], len(found["tasks"]))
            return cls(**{f.name: found[f.name] for f in fields(cls)})
        except _UNREADABLE as error:
            raise UserError(
                f"This is not a summary of data maps, or it is damaged ({error})."
            ) from error


def _later_of(arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """The arrays `LATER` of a summary that has none, and whose tasks have labels for all points."""
    answers = arrays["histogram"][0].sum(axis=(2, 3), dtype=np.int64)  # no and yes, (T, 2)
    n_labels = answers.sum(axis=1)
    return {
        "labelled": np.minimum.outer(n_labels, n_labels).astype(np.int32),
        "positives": answers[:, 1].astype(np.int32),
        "adjusted": np.zeros((len(arrays["epochs"]), 2)),
    }


def _no_projection(n_epochs: int, n_features: int, n_tasks: int) -> NDArray[np.float16]:
    return np.empty((n_epochs, n_features, n_tasks, 0), dtype=np.float16)


def _whole(upper: NDArray[np.float32], n_tasks: int) -> NDArray[np.float32]:
    """Symmetric matrices (E, 2, T, T) of their upper triangles."""
    first, second = np.triu_indices(n_tasks)
    whole = np.empty((*upper.shape[:2], n_tasks, n_tasks), dtype=np.float32)
    whole[..., first, second] = whole[..., second, first] = upper
    return whole


def summary_bytes(n_tasks: int, n_epochs: int, kept: Kept | None = None) -> int:
    """What the arrays of a summary of so many tasks and recorded epochs take at most, in bytes."""
    t, names, kept = n_tasks, 4 * 200, kept or kept_of(n_tasks)
    per_epoch = 2 * (8 if kept is ALL else 4) * t * t * kept.gram  # Gram matrices
    per_epoch += 2 * 4 * BLOCKS * t * (t + 1) // 2 * kept.block_grams
    per_epoch += t * (2 * kept.bins**2 * 4 + 2 * kept.sample * 2 + 2 * 4)  # histogram, sample
    per_epoch += 2 * t * kept.numbers * 2  # projection
    per_task = kept.sample * 5 + names + 4 * (t if kept.gram else 1) + 4  # sample, name, labels
    return n_epochs * (per_epoch + 8 + 16) + t * per_task + 2**12


@dataclass(frozen=True)
class TaskMap:
    """The data map of one task at one recorded epoch; points without a label are not in it.

    histogram                points per cell, (B, B), as in the summary
    indices                  dataset indices of the sampled points, (S,), by rising confidence
    positive                 whether those are positives of the task, (S,)
    confidence, variability  of those, (S,) float64
    """

    histogram: NDArray[np.int64]
    indices: NDArray[np.int32]
    positive: NDArray[np.bool_]
    confidence: NDArray[np.float64]
    variability: NDArray[np.float64]

    def within(self, region: Region) -> NDArray[np.int64]:
        """Positions of the sampled points in a region, by rising confidence."""
        return np.flatnonzero(region.holds(self.confidence, self.variability))

    def crowd(self) -> NDArray[np.int64]:
        """How many points share the histogram's cell of each sampled point, (S,)."""
        bins = len(self.histogram)
        row = _cell(self.confidence, 1.0, bins)
        return self.histogram[row, _cell(self.variability, MAX_VARIABILITY, bins)]


def summarise(
    maps: NDArray[np.float16],
    labels: NDArray[np.float32],
    tasks: Sequence[str],
    epochs: Sequence[int],
    binary: Sequence[bool] | None = None,
) -> DataMapSummary:
    """Summary of data maps (E, 2, T, N) with labels (N, T).

    A missing value (NaN) is in no histogram, sample or mean. The squared distance of two tasks is
    that over the n points which both have labels for, times N/n, and their inner product follows
    from it and from their own lengths, scaled likewise; of these matrices the nearest that are
    positive semidefinite are kept (see `stg_core.maps.gram`).

    Measured with known truth (`tests/benchmarks/missing.py`: labels taken away at random, k = 4,
    fuzzifier 2, 20 draws): the mean movement of a membership, and in brackets where a missing value
    takes the mean of the other tasks' values, as it did before. Grouped anew, k-means may take
    another of several groupings that are almost equally good; that does not count "in place", where
    the clusters are those of all labels.

        of all labels missing    10 %          20 %          40 %          60 %          80 %
        digits, in place         .002 (.004)   .003 (.008)   .005 (.015)   .010 (.022)   .018 (.028)
        digits, grouped anew     .022 (.079)   .038 (.076)   .049 (.095)   .059 (.123)   .067 (.134)
        yeast, in place          .003 (.012)   .004 (.023)   .008 (.045)   .012 (.065)   .025 (.081)
        yeast, grouped anew      .012 (.038)   .022 (.055)   .029 (.071)   .055 (.106)   .053 (.134)

        one task thinned to      50 %          25 %          10 %
        digits, in place         .004 (.015)   .007 (.029)   .013 (.043)
        digits, grouped anew     .025 (.088)   .033 (.114)   .032 (.106)
        yeast, in place          .006 (.038)   .009 (.067)   .020 (.095)
        yeast, grouped anew      .006 (.101)   .010 (.160)   .050 (.192)

    One task of Tox21 (SR-HSE, 12 tasks) thinned to 100, 50, 25, 10 and 2 % of its labels and
    trained anew had .54, .52, .48, .53 and .50 as its largest membership, and .51, .56, .61, .63
    and .75 the old way, in which a task without labels is the surest of all.

    binary: which tasks ask a question of yes or no, (T,); by default those with labels 0 and 1 only
    """
    n_points, kept = len(labels), kept_of(len(tasks))
    if kept is not ALL:
        return _of_many(maps, labels, tasks, epochs, binary, kept)
    indices = _sampled_points(answers_of(labels)[0], SAMPLE_POINTS)
    per_epoch = [_gram_and_histogram(maps[e], labels) for e in range(len(epochs))]
    block_gram = np.stack([gram for gram, _ in per_epoch])
    counts = np.stack([histogram for _, histogram in per_epoch])
    gram = block_gram.sum(axis=2)
    adjusted = _adjust(gram, block_gram, np.asarray(np.isnan(maps).any(axis=(2, 3))))
    upper = np.triu_indices(len(tasks))
    known = (~np.isnan(labels)).astype(np.float32)  # whose products are exact up to 2^24 points
    return DataMapSummary(
        tasks=np.array(tasks),
        epochs=np.array(epochs, dtype=np.int64),
        gram=gram,
        block_gram=block_gram[..., upper[0], upper[1]].astype(np.float32),
        histogram=counts.astype(np.uint16) if n_points < 2**16 else counts.astype(np.uint32),
        task_means=_nanmean(maps),
        sample_indices=indices.astype(np.int32),
        sample_positive=np.take_along_axis(labels.T, indices, axis=1) == 1,
        sample=np.take_along_axis(maps, indices[None, None], axis=-1),
        n_points=np.array(n_points),
        labelled=(known.T @ known).astype(np.int32),
        positives=_positives(labels, binary),
        adjusted=adjusted,
        projection=_no_projection(len(epochs), len(FEATURES), len(tasks)),
    )


def _of_many(
    maps: NDArray[np.float16],
    labels: NDArray[np.float32],
    tasks: Sequence[str],
    epochs: Sequence[int],
    binary: Sequence[bool] | None,
    kept: Kept,
) -> DataMapSummary:
    """`summarise` of more than 300 tasks, in one pass; maps and labels may lie on disk."""
    n_points = len(labels)
    answers, found = answers_of(labels)
    indices = _sampled_points(answers, kept.sample)
    parts = Parts.empty(len(epochs), len(tasks), n_points, kept)
    for e, epoch in enumerate(epochs):
        projections = [projection(n_points, BLOCKS, kept.width, epoch, f) for f in range(2)]
        read_epoch(parts, e, maps[e], answers, indices, projections)
    gram, adjusted = _grams_of_many(maps, len(tasks) if kept.gram else 0)
    positives = np.count_nonzero(answers == 1, axis=1)
    return DataMapSummary(
        tasks=np.array(tasks),
        epochs=np.array(epochs, dtype=np.int64),
        gram=gram,
        block_gram=np.empty((len(epochs), 2, 0, 0), dtype=np.float32),
        histogram=parts.histogram,
        task_means=parts.means,
        sample_indices=indices.astype(np.int32),
        sample_positive=np.take_along_axis(answers, indices, axis=1) == 1,
        sample=parts.sample,
        n_points=np.array(n_points),
        labelled=_shared_labels(answers, kept.gram),
        positives=np.where(found if binary is None else binary, positives, -1).astype(np.int32),
        adjusted=adjusted,
        projection=parts.projection,
    )


def _grams_of_many(
    maps: NDArray[np.float16], n_tasks: int
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Gram matrices (E, 2, T, T), and how far each was from being one; empty for no tasks."""
    gram = np.empty((len(maps), 2, n_tasks, n_tasks), dtype=np.float32)
    adjusted = np.zeros((len(maps), 2))
    for e, feature in np.ndindex(len(maps), 2) if n_tasks else ():
        found, missing = gram_of_many(maps[e, feature])
        if missing:
            found, adjusted[e, feature] = nearest_gram(found)
        gram[e, feature] = found
    return gram, adjusted


def _shared_labels(answers: NDArray[np.int8], pairs: bool) -> NDArray[np.int32]:
    """Labels that tasks with answers (T, N) have, (T,), or that two of them share, (T, T)."""
    n_tasks, n_points = answers.shape
    own: NDArray[np.int32] = (answers >= 0).sum(axis=1).astype(np.int32)
    if not pairs:
        return own
    if (own == n_points).all():
        return np.full((n_tasks, n_tasks), n_points, dtype=np.int32)
    shared = np.zeros((n_tasks, n_tasks), dtype=np.int32)
    for part in np.array_split(answers, -(-n_points // 2**12), axis=1):
        known = (part >= 0).astype(np.float32)
        shared += (known @ known.T).astype(np.int32)
    return shared


def summarise_tasks(
    maps: NDArray[np.float16],
    labels: NDArray[np.float32],
    tasks: Sequence[Task],
    epochs: Sequence[int],
) -> DataMapSummary:
    """`summarise` of tasks of any kind, of which only those of yes or no have positives."""
    binary = np.array([task.kind == "binary" for task in tasks])
    answers = labels if binary.all() else np.where(binary | np.isnan(labels), labels, 0)
    names = [task.name for task in tasks]
    return summarise(maps, answers.astype(np.float32), names, epochs, binary.tolist())


def joined(summaries: Sequence[DataMapSummary]) -> DataMapSummary:
    """Of the same tasks and points, each with other recorded epochs: one with all of these."""
    first, whole = summaries[0], {}
    by_epoch = "epochs", "gram", "block_gram", "histogram", "task_means", "sample", "adjusted"
    for name in (*by_epoch, "projection"):
        whole[name] = np.concatenate([getattr(one, name) for one in summaries])
    return replace(first, **whole)


def _adjust(
    gram: NDArray[np.float64], block_gram: NDArray[np.float64], missing: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Makes those with missing values positive semidefinite, in place; how far each was from it.

    All blocks take the same part of the change, so that their sum stays that of all points, and any
    ten of them that are drawn have the whole change.
    """
    adjusted = np.zeros(missing.shape)
    for e, feature in np.argwhere(missing):
        before = gram[e, feature].copy()
        gram[e, feature], adjusted[e, feature] = nearest_gram(before)
        block_gram[e, feature] += (gram[e, feature] - before) / BLOCKS
    return adjusted


def _positives(labels: NDArray[np.float32], binary: Sequence[bool] | None) -> NDArray[np.int32]:
    positive = labels == 1
    if binary is None:
        binary = (positive | (labels == 0) | np.isnan(labels)).all(axis=0).tolist()
    return np.where(binary, positive.sum(axis=0), -1).astype(np.int32)


def _nanmean(maps: NDArray[np.float16]) -> NDArray[np.float32]:
    known = ~np.isnan(maps)
    total = np.where(known, maps, 0).sum(axis=-1, dtype=np.float64)
    means: NDArray[np.float32] = (total / np.maximum(known.sum(axis=-1), 1)).astype(np.float32)
    return means


def _sampled_points(answers: NDArray[np.int8], most: int) -> NDArray[np.int64]:
    """Points per task, (T, S): as many positives as negatives where there are enough of both.

    Of answers (T, N). Points whose label is missing come last, and only where a task has fewer
    labels than S.
    """
    n_tasks, n_points = answers.shape
    size = min(most, n_points)
    whole = np.random.default_rng(SEED).permutation(n_points)
    chosen = np.empty((n_tasks, size), dtype=np.int64)
    for t in range(n_tasks):
        shuffled, order = _enough_of(answers[t], whole, size)
        positive = order[shuffled == 1]
        negative = order[shuffled == 0]
        n_positive = min(len(positive), max(size // 2, size - len(negative)))
        known = np.concatenate([positive[:n_positive], negative[: size - n_positive]])
        missing = order[shuffled < 0][: size - len(known)]
        chosen[t] = np.sort(np.concatenate([known, missing]))
    return chosen


def _enough_of(
    answers: NDArray[np.int8], order: NDArray[np.int64], size: int
) -> tuple[NDArray[np.int8], NDArray[np.int64]]:
    """The first points in this order that hold half of a sample of either answer, or else all."""
    half = size - size // 2
    for upto in range(8 * size, len(order), 32 * size):
        shuffled = answers[order[:upto]]
        if min((shuffled == 1).sum(), (shuffled == 0).sum()) >= half:
            return shuffled, order[:upto]
    return answers[order], order


def _gram_and_histogram(
    maps: NDArray[np.float16], labels: NDArray[np.float32]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Gram matrices (2, 10, T, T) of the blocks, and histogram (T, 2, 64, 64), of one epoch."""
    n_tasks, n_points = maps.shape[1:]
    blocks = blocks_of(n_points, BLOCKS)
    missing = [bool(np.isnan(feature).any()) for feature in maps]
    gram = np.empty((2, BLOCKS, n_tasks, n_tasks))
    shared: list[list[SharedSums]] = [[], []]
    histogram = np.zeros((n_tasks, 2, BINS, BINS), dtype=np.int64)
    for b, block in enumerate(blocks):
        values = maps[:, :, np.sort(block)].astype(np.float64)
        histogram += _histogram(values, labels[np.sort(block)])
        for feature, vectors in enumerate(values):
            if missing[feature]:
                shared[feature].append(shared_sums(vectors))
            else:
                gram[feature, b] = vectors @ vectors.T
    for feature in range(2):
        if missing[feature]:
            gram[feature] = scaled_grams(shared[feature], n_points)
    return gram, histogram


def _histogram(values: NDArray[np.float64], labels: NDArray[np.float32]) -> NDArray[np.int64]:
    n_tasks = values.shape[1]
    known = ~np.isnan(values).any(axis=0) & ~np.isnan(labels.T)
    row, column = _cell(values[0], 1.0, BINS), _cell(values[1], MAX_VARIABILITY, BINS)
    positive = (labels.T == 1).astype(np.int64)
    task = np.arange(n_tasks)[:, None]
    flat = ((task * 2 + positive) * BINS + row) * BINS + column
    counts = np.bincount(flat[known], minlength=n_tasks * 2 * BINS * BINS)
    return counts.reshape(n_tasks, 2, BINS, BINS)


def _cell(values: NDArray[np.floating], top: float, bins: int) -> NDArray[np.int64]:
    """Row or column of the histogram's cells that hold these values of [0, top]."""
    inside = np.clip(np.nan_to_num(values.astype(np.float64)), 0, top)
    cells: NDArray[np.int64] = np.minimum((inside * (bins / top)).astype(np.int64), bins - 1)
    return cells
