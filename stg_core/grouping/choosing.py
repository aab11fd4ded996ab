"""Which k? How stable, compact and separate the grouping is for every k, and one suggestion.

Stability asks whether the same tasks would come together again: it groups them anew on bootstrap
resamples of the training points and compares. It is the slow part, and depends on neither the
fuzzifier nor the method; the other measures follow from the grouping in milliseconds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from stg_core.grouping.memberships import Floats, Labels, TaskSpace, group_tasks, largest_k
from stg_core.maps.many import MANY
from stg_core.maps.summary import BLOCKS

STARTS, SEED, MAX_ITERATIONS = 10, 0, 100
EXCELLENT, MODERATE = 0.9, 0.65  # what Steinley (2004) calls adjusted Rand indices above them
AS_STABLE, AS_SEPARATE = 0.05, 0.01  # smaller differences of stability and silhouette say little
QUALITY = ("inertia", "silhouette", "partition_coefficient", "xie_beni")

Measure = list[float | None]
Singles = NDArray[np.float32]


@dataclass(frozen=True)
class Stability:
    """How well groupings of resampled training points agree, for each k of `every_k` so far.

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


_NO_QUALITY = Quality({name: [] for name in QUALITY}, [])


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

    There are 100 resamples of up to 20 tasks, 20 of 100 tasks or more, and 10 of more than 300,
    whose blocks are known by a random projection (`TaskSpace.block_gram`). They all iterate
    together in float32, on squared distances between tasks, which is k-means on coordinates.
    Raises UserError for more than 2,000 tasks.
    The standard error is that of a U-statistic of two resamples (Hoeffding 1948).
    """
    return [Stability([], [], []), *stability_by_k(space)][-1]


def stability_by_k(space: TaskSpace, begun: Stability | None = None) -> Iterator[Stability]:
    """`stability`, after each further k all that there is so far.

    It goes on after the k that `begun` has, and comes to the same as without an interruption.
    """
    rng = np.random.default_rng(SEED)
    squared = _resampled_distances(space, rng)
    found = begun or Stability([], [], [])
    for i, k in enumerate(every_k(len(space.tasks))):
        drawn = _draw(squared.shape, k, rng)
        if i < len(found.mean):
            continue
        indices = adjusted_rand_indices(kmeans_labels(squared, k, *drawn))
        with_others = (indices.sum(axis=1) - 1) / (len(indices) - 1)
        error = float(2 * with_others.std(ddof=1) / np.sqrt(len(indices)))
        found = Stability(
            [*found.mean, float(with_others.mean())],
            [*found.error, error],
            [*found.labels, space.kmeans(k).labels.tolist()],
        )
        yield found


def kmeans_labels(squared: Singles, k: int, first: Labels, drawn: Singles) -> Labels:
    """Labels (B, T) of k-means on B matrices of squared distances, (B, T, T); best of ten starts.

    The squared distance to a centroid is the mean of those to its tasks, less half their mean
    among themselves: no coordinates are needed. first, drawn: random numbers, as of `_draw`.
    """
    resample = np.arange(len(squared))
    labels = squared[resample[:, None, None], _seeds(squared, first, drawn)].argmin(axis=2)
    inertia = np.zeros(labels.shape[:2], dtype=np.float32)
    moves = np.ones(labels.shape[:2], dtype=bool)
    for _ in range(MAX_ITERATIONS):
        # each resample goes on with as many starts as still move in the one where most do
        most = moves.sum(axis=1).max()
        going = resample[:, None], np.argsort(~moves, axis=1, kind="stable")[:, :most]
        before = labels[going]
        distances = _distances_to_centroids(squared, before, k)
        labels[going] = after = distances.argmin(axis=-1)
        inertia[going] = distances.min(axis=-1).sum(axis=-1)
        moves[going] = (after != before).any(axis=-1)
        if not moves.any():
            break
    return np.asarray(labels[resample, inertia.argmin(axis=-1)])


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
    resamples = min(max(2_000 // len(space.tasks), 20), 100) if len(space.tasks) <= MANY else 10
    draws = rng.multinomial(BLOCKS, np.full(BLOCKS, 1 / BLOCKS), size=resamples)
    blocks = space.block_gram()
    # one at a time, and twice rather than kept: in float64 they would take twenty times T² numbers
    largest = max(_squared(blocks, drawn).max() for drawn in draws)
    scale = max(largest, np.finfo(np.float64).tiny)
    return np.stack([(_squared(blocks, drawn) / scale).astype(np.float32) for drawn in draws])


def _squared(blocks: Floats, drawn: Labels) -> Floats:
    """Squared distances (T, T) where each block of points counts as often as it is drawn."""
    gram = np.tensordot(drawn.astype(np.float64), blocks, axes=1)
    norms = np.diag(gram)
    return np.maximum(norms[:, None] + norms - 2 * gram, 0)


def _draw(shape: tuple[int, ...], k: int, rng: np.random.Generator) -> tuple[Labels, Singles]:
    """The random numbers of k-means++ for B resamples of T tasks, `shape` (B, T, T).

    Of each start the first task, (B, 10), and k − 1 times what the tries for the next are drawn
    with, (k − 1, B, 10, tries) in [0, 1).
    """
    first = rng.integers(shape[1], size=(shape[0], STARTS))
    tries = 2 + int(np.log(k))
    return first, rng.random((k - 1, shape[0], STARTS, tries), dtype=np.float32)


def _seeds(squared: Singles, first: Labels, drawn: Singles) -> Labels:
    """Tasks that begin the clusters, (B, 10, k): greedy k-means++ (Arthur & Vassilvitskii 2007)."""
    n_tasks = squared.shape[1]
    resample = np.arange(len(squared))[:, None]
    seeds = np.empty((*first.shape, len(drawn) + 1), dtype=np.int64)
    seeds[:, :, 0] = first
    nearest = squared[resample, first]
    for j, draw in enumerate(drawn, start=1):
        upto = nearest.cumsum(axis=-1)[:, :, None]
        tried = (upto <= draw[..., None] * upto[..., -1:]).sum(axis=-1).clip(max=n_tasks - 1)
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


def quality_for_every_k(
    space: TaskSpace, fuzzifier: float, method: str, count: int | None = None
) -> Quality:
    """The four measures of `group_tasks` for every k, or the first `count` ones, and its problems.

    "soft" and "hard" take milliseconds once the space knows its k-means labels (`remember` those of
    a Stability); "fcm" and "points" take up to ten seconds for 100 tasks.
    """
    return [_NO_QUALITY, *islice(quality_by_k(space, fuzzifier, method), count)][-1]


def quality_by_k(
    space: TaskSpace, fuzzifier: float, method: str, begun: Quality | None = None
) -> Iterator[Quality]:
    """`quality_for_every_k`, after each further k all that there is so far, from `begun` on."""
    found = begun or _NO_QUALITY
    for k in every_k(len(space.tasks))[len(found.problems) :]:
        grouping = group_tasks(space, k, fuzzifier, method)
        measures = {name: [*found.measures[name], grouping.quality[name]] for name in QUALITY}
        found = Quality(measures, [*found.problems, grouping.problem])
        yield found


def choose(
    space: TaskSpace,
    stability: Stability,
    fuzzifier: float = 2.0,
    method: str = "soft",
    quality: Quality | None = None,
) -> Choice:
    """All measures for every k, and the suggested k; `quality`, where it was computed before.

    Of a stability or quality that is not complete yet, the k that both have, and no suggestion.
    The rule, for the k with at least two tasks per cluster on average and a grouping without a
    problem:
    1. keep those whose stability is at most 0.05 below the best;
    2. of these, keep those whose silhouette is at most 0.01 below the best;
    3. of these, take the one with the lowest Xie–Beni index.
    Stability is that of k-means, which "soft" and "hard" use and from which "fcm" starts. For
    "points" it is not defined, as the histograms are not kept per block, and step 1 falls away.
    """
    every = every_k(len(space.tasks))
    space.remember(dict(zip(every, stability.labels, strict=False)))
    ks = every[: len(stability.mean)]
    found = quality or quality_for_every_k(space, fuzzifier, method, len(ks))
    ks = ks[: len(found.problems)]
    measures = {name: values[: len(ks)] for name, values in found.measures.items()}
    stable = method != "points"
    measures["stability"] = [*stability.mean[: len(ks)]] if stable else [None] * len(ks)
    problems = found.problems[: len(ks)]
    suggested, why = None, f"So far {len(ks)} of {len(every)} values of k are known."
    if len(ks) == len(every):
        suggested, why = _suggestion(len(space.tasks), measures, problems)
    return Choice(ks, measures, suggested, why, tuple(problems))


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
