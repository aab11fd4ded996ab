"""Which k? How stable, compact and separate the grouping is for every k, and one suggestion.

Stability asks whether the same tasks would come together again: it groups them anew on bootstrap
resamples of the training points and compares. It is the slow part, and depends on neither the
fuzzifier nor the method; the other measures follow from the grouping in milliseconds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stg_core.grouping.memberships import Floats, Labels, TaskSpace, group_tasks, largest_k
from stg_core.maps.summary import BLOCKS

STARTS, SEED, MAX_ITERATIONS = 10, 0, 100
EXCELLENT, MODERATE = 0.9, 0.65  # what Steinley (2004) calls adjusted Rand indices above them
AS_STABLE, AS_SEPARATE = 0.05, 0.01  # smaller differences of stability and silhouette say little
QUALITY = ("inertia", "silhouette", "partition_coefficient", "xie_beni")

Measure = list[float | None]
Singles = NDArray[np.float32]


@dataclass(frozen=True)
class Stability:
    """How well groupings of resampled training points agree, for each k from 2 to T − 1.

    mean (K,): adjusted Rand index, mean over pairs of resamples: 1 for the same groups, 0 for
    chance; error (K,): its standard error; labels (K, T): k-means of all points. Lists, for JSON.
    """

    mean: list[float]
    error: list[float]
    labels: list[list[int]]


@dataclass(frozen=True)
class Quality:
    """The measures of `QUALITY` for each k from 2 on, and what is wrong with each grouping.

    measures: a value or None per k; problems: per k, as in `Grouping`. Lists, for JSON.
    """

    measures: dict[str, Measure]
    problems: list[str]


@dataclass(frozen=True)
class Choice:
    """All measures for each k, and the suggested k with a sentence why.

    ks: from 2 on; measures: those of `QUALITY` and "stability", each with a value or None per k;
    suggested: None where no k is better than another; problems: what is wrong with the grouping of
    each k, as in `Grouping`, which is then not suggested.
    """

    ks: tuple[int, ...]
    measures: dict[str, Measure]
    suggested: int | None
    why: str
    problems: tuple[str, ...] = ()


def every_k(n_tasks: int) -> tuple[int, ...]:
    """The k between the trivial ends, one cluster and every task alone: 2 to T − 1.

    Of more than 140 tasks they are fewer; see `largest_k`.
    """
    return tuple(range(2, min(n_tasks - 1, largest_k(n_tasks)) + 1))


def candidates(n_tasks: int) -> tuple[int, ...]:
    """The k that may be suggested: at least two tasks per cluster on average, and 2 anyway."""
    return tuple(k for k in every_k(n_tasks) if k <= max(2, n_tasks // 2))


# --------------------------------------------------------------------------------------- stability


def stability(space: TaskSpace) -> Stability:
    """Mean adjusted Rand index between the k-means groupings of bootstrap resamples, for each k.

    A resample draws the summary's 10 random blocks of training points ten times with replacement
    and adds their Gram matrices (block bootstrap, Efron & Tibshirani 1993). Each is grouped as
    `TaskSpace.kmeans` does, by the best of ten k-means++ starts, with random numbers of its own: a
    k with several groupings that are almost equally good is unstable too. With tens of thousands of
    points this outweighs the resampling by far, and equal seeds would hide it.

    There are 100 resamples of up to 20 tasks and 20 of 100 tasks or more. They all iterate together
    in float32, on squared distances between tasks, which is k-means on coordinates.
    The standard error is that of a U-statistic of two resamples (Hoeffding 1948).
    """
    rng = np.random.default_rng(SEED)
    squared = _resampled_distances(space, rng)
    mean, error, labels = [], [], []
    for k in every_k(len(space.tasks)):
        indices = adjusted_rand_indices(kmeans_labels(squared, k, rng))
        with_others = (indices.sum(axis=1) - 1) / (len(indices) - 1)
        mean.append(float(with_others.mean()))
        error.append(float(2 * with_others.std(ddof=1) / np.sqrt(len(indices))))
        labels.append(space.kmeans(k).labels.tolist())
    return Stability(mean, error, labels)


def kmeans_labels(squared: Singles, k: int, rng: np.random.Generator) -> Labels:
    """Labels (B, T) of k-means on B matrices of squared distances, (B, T, T); best of ten starts.

    The squared distance to a centroid is the mean of those to its tasks, less half their mean
    among themselves: no coordinates are needed.
    """
    resample = np.arange(len(squared))
    labels = squared[resample[:, None, None], _seeds(squared, k, rng)].argmin(axis=2)
    for _ in range(MAX_ITERATIONS):
        distances = _distances_to_centroids(squared, labels, k)
        before, labels = labels, distances.argmin(axis=-1)
        if np.array_equal(before, labels):
            break
    best = distances.min(axis=-1).sum(axis=-1).argmin(axis=-1)
    return np.asarray(labels[resample, best])


def adjusted_rand_indices(labels: Labels) -> Floats:
    """Adjusted Rand indices (B, B) between groupings (B, T) (Hubert & Arabie 1985).

    Counted by pairs of tasks that share a cluster; 1 between groupings without any choice.
    """
    first, second = np.triu_indices(labels.shape[1], 1)
    together = (labels[:, first] == labels[:, second]).astype(np.float64)
    both = together @ together.T
    own = np.diag(both)
    expected = np.outer(own, own) / max(len(first), 1)
    most = (own[:, None] + own) / 2
    defined = most - expected > 1e-12
    return np.where(defined, (both - expected) / np.where(defined, most - expected, 1), 1.0)


def _resampled_distances(space: TaskSpace, rng: np.random.Generator) -> Singles:
    resamples = min(max(2_000 // len(space.tasks), 20), 100)
    draws = rng.multinomial(BLOCKS, np.full(BLOCKS, 1 / BLOCKS), size=resamples)
    blocks, n_tasks = space.block_gram(), len(space.tasks)
    squared = np.empty((resamples, n_tasks, n_tasks), dtype=np.float32)
    for drawn, kept in zip(draws.astype(np.float64), squared, strict=True):
        gram = np.tensordot(drawn, blocks, axes=1)
        norms = np.diag(gram)
        kept[:] = np.maximum(norms[:, None] + norms - 2 * gram, 0)
    return np.asarray(squared / max(squared.max(), np.finfo(np.float32).tiny))


def _seeds(squared: Singles, k: int, rng: np.random.Generator) -> Labels:
    """Tasks that begin the clusters, (B, 10, k): greedy k-means++ (Arthur & Vassilvitskii 2007)."""
    n_tasks = squared.shape[1]
    resample = np.arange(len(squared))[:, None]
    seeds = np.empty((len(squared), STARTS, k), dtype=np.int64)
    seeds[:, :, 0] = rng.integers(n_tasks, size=seeds.shape[:2])
    nearest = squared[resample, seeds[:, :, 0]]
    for j in range(1, k):
        upto = nearest.cumsum(axis=-1)[:, :, None]
        drawn = rng.random((*seeds.shape[:2], 2 + int(np.log(k))), dtype=np.float32)
        tried = (upto <= drawn[..., None] * upto[..., -1:]).sum(axis=-1).clip(max=n_tasks - 1)
        left = np.minimum(squared[resample[..., None], tried], nearest[:, :, None])
        best = left.sum(axis=-1).argmin(axis=-1)[..., None]
        seeds[:, :, j] = np.take_along_axis(tried, best, axis=-1)[..., 0]
        nearest = np.take_along_axis(left, best[..., None], axis=2)[:, :, 0]
    return seeds


def _distances_to_centroids(squared: Singles, labels: Labels, k: int) -> Singles:
    """Squared distances (B, 10, T, k) to the centroids of labels (B, 10, T); inf for no members."""
    members = (labels[..., None] == np.arange(k)).astype(np.float32)
    sizes = members.sum(axis=2, keepdims=True)
    shares = members / np.maximum(sizes, 1)
    distances = squared[:, None] @ shares
    distances -= np.einsum("bstk,bstk->bsk", shares, distances)[:, :, None] / 2
    return np.where(sizes > 0, distances, np.float32(np.inf))


# -------------------------------------------------------------------------------------- suggestion


def quality_for_every_k(space: TaskSpace, fuzzifier: float, method: str) -> Quality:
    """The four measures of `group_tasks` for each k from 2 on, and its problems.

    "soft" and "hard" take milliseconds once the space knows its k-means labels (`remember` those of
    a Stability); "fcm" and "points" take up to ten seconds for 100 tasks.
    """
    found = Quality({name: [] for name in QUALITY}, [])
    for k in every_k(len(space.tasks)):
        grouping = group_tasks(space, k, fuzzifier, method)
        for name, values in found.measures.items():
            values.append(grouping.quality[name])
        found.problems.append(grouping.problem)
    return found


def choose(
    space: TaskSpace,
    stability: Stability,
    fuzzifier: float = 2.0,
    method: str = "soft",
    quality: Quality | None = None,
) -> Choice:
    """All measures for every k, and the suggested k; `quality`, where it was computed before.

    The rule, for the k with at least two tasks per cluster on average and a grouping without a
    problem:
    1. keep those whose stability is at most 0.05 below the best;
    2. of these, keep those whose silhouette is at most 0.01 below the best;
    3. of these, take the one with the lowest Xie–Beni index.
    Stability is that of k-means, which "soft" and "hard" use and from which "fcm" starts. For
    "points" it is not defined, as the histograms are not kept per block, and step 1 falls away.
    """
    ks = every_k(len(space.tasks))
    space.remember(dict(zip(ks, stability.labels, strict=True)))
    found = quality or quality_for_every_k(space, fuzzifier, method)
    measures = dict(found.measures)
    measures["stability"] = [*stability.mean] if method != "points" else [None] * len(ks)
    suggested, why = _suggestion(len(space.tasks), measures, found.problems)
    return Choice(ks, measures, suggested, why, tuple(found.problems))


def _suggestion(
    n_tasks: int, measures: dict[str, Measure], problems: list[str]
) -> tuple[int | None, str]:
    if n_tasks < 3:
        return None, "Choosing k needs three tasks or more."

    def value(name: str, k: int, undefined: float) -> float:
        found = measures[name][k - 2]
        return undefined if found is None else found

    sound = [k for k in candidates(n_tasks) if not problems[k - 2]]
    if not sound:
        return None, f"No k is suggested: none gives sound clusters. At k = 2: {problems[0]}"
    defined = [k for k in sound if measures["silhouette"][k - 2] is not None]
    if not defined:
        return None, "This method cannot tell the tasks apart: no k is better than another."
    if n_tasks == 3:
        return 2, "k = 2 is the only choice between one cluster and every task alone."
    best = max(value("stability", k, 0) for k in defined)
    stable = [k for k in defined if value("stability", k, 0) >= best - AS_STABLE]
    widest = max(value("silhouette", k, -1) for k in stable)
    separate = [k for k in stable if value("silhouette", k, -1) >= widest - AS_SEPARATE]
    chosen = min(separate, key=lambda k: value("xie_beni", k, np.inf))
    return chosen, _why(chosen, stable, separate, measures)


def _why(k: int, stable: list[int], separate: list[int], measures: dict[str, Measure]) -> str:
    """What spoke for k in the three steps, in a sentence."""
    reason = f"its clusters are set apart best (silhouette {measures['silhouette'][k - 2]:.2f})"
    if others := [str(other) for other in separate if other != k]:
        reason = (
            f"its clusters are set apart as well as those of k = {' and '.join(others)} (silhouette"
            f" {measures['silhouette'][k - 2]:.2f}) and have the lowest Xie–Beni index"
        )
    stability = measures["stability"][k - 2]
    if stability is None:
        return f"k = {k}: {reason}; stability is not defined for this method."
    if len(stable) == 1:
        reason = "it is the most stable k"
    else:
        reason = f"of the k that are about as stable, {reason}"
    if stability < MODERATE:
        return (
            f"k = {k} is only a hint, since no k is stable when the training points are resampled"
            f" (stability {stability:.2f}): {reason}."
        )
    same = "nearly the same" if stability >= EXCELLENT else "similar"
    return (
        f"k = {k}: resampled training points give {same} clusters (stability {stability:.2f}), and"
        f" {reason}."
    )
