"""Memberships of tasks in clusters, for any k and fuzzifier, and how good they are.

Everything follows from the T×T Gram matrix of the task vectors: its eigendecomposition gives
coordinates in which all distances are those of the raw vectors, however many points those have.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache, cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import silhouette_score
from threadpoolctl import ThreadpoolController

from stg_core.grouping.many import (
    coordinates_of,
    distances_of_gram,
    distances_to_many,
    distinct_rows,
    folded,
    kmeans_of_many,
    silhouette_of_many,
    widest,
)
from stg_core.grouping.problems import (
    MARK,
    coinciding,
    distinct_tasks,
    equally_far,
    little_known,
    problem_of,
)
from stg_core.grouping.recent import Recent
from stg_core.maps.labels import has_labels, share_nothing, uncertain_tasks
from stg_core.maps.many import MANY
from stg_core.maps.summary import BLOCKS, FEATURES, MAX_VARIABILITY, DataMapSummary
from stg_core.system.errors import UserError

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]

FEWEST_K, ALL_K_TASKS = 40, 140  # see `largest_k`
ANCHOR_K = 8  # as many as there are colours
FEW = 64  # coordinates in which k-means of many tasks begins
METHODS = ("soft", "hard", "fcm", "points")
STARTS, STARTS_OF_MANY, SEED = 10, 5, 0
FCM_MAX_ITERATIONS, FCM_TOLERANCE = 1_000, 1e-14
KEPT_BYTES = 128 * 2**20  # of clusters and votes of a space: those of all k together are of size T³

_ahead = ThreadPoolExecutor(1, thread_name_prefix="k-means-ahead")


@dataclass(frozen=True)
class Clusters:
    """Hard clusters of the tasks, and what follows of them for every fuzzifier.

    labels (T,); centroids (k, ≤T); distances (T, k) of the tasks to the centroids; inertia;
    silhouette, None where it is not defined; separation, the smallest squared distance between
    centroids, None for one cluster and for clusters that coincide.
    """

    labels: Labels
    centroids: Floats
    distances: Floats
    inertia: float
    silhouette: float | None
    separation: float | None


@dataclass(frozen=True)
class Grouping:
    """Tasks and their shares in the clusters.

    memberships (T, k), rows sum to 1; labels (T,), the cluster of each task, from 0, the largest
    cluster first. quality: "inertia" (squared distances to the own centroid, lower is tighter),
    "silhouette" (-1 to 1), "partition_coefficient" (1/k to 1, 1 is hard), "xie_beni" (lower is
    better); None where a measure is not defined. problem: why this grouping says nothing, and what
    to do, in a sentence or two; else empty. A grouping with a problem is not to be planned for.
    uncertain: of each task that is grouped on few labels, how few; left_out: tasks that have none;
    way: of many tasks how they were compared, in a sentence, see `stg_core.maps.many`.
    """

    tasks: tuple[str, ...]
    k: int
    fuzzifier: float
    method: str
    memberships: Floats
    labels: Labels
    quality: dict[str, float | None]
    problem: str = ""
    uncertain: Mapping[str, str] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()
    way: str = ""

    @property
    def shown_names(self) -> list[str]:
        """The tasks' names, with a question mark behind those whose place is uncertain."""
        return [f"{task} {MARK}" if task in self.uncertain else task for task in self.tasks]

    @property
    def few_labels(self) -> str:
        """Which tasks are marked or left out for want of labels, and why; else empty."""
        return little_known(self.uncertain, self.left_out)


class TaskSpace:
    """The tasks as points whose distances are those of their task vectors.

    tasks (T,); gram (T, T); coordinates (T, ≤T), centred; distances (T, T). `epochs` and `features`
    default to all that are recorded. Raises UserError for ones that are not.

    A task without any training label has no place among the others and is in none of these but in
    `left_out`; `uncertain`: see `stg_core.maps.labels.uncertain_tasks`; `adjusted`: share of a Gram
    matrix that had to change at most, for distances over different points to fit together.

    Of more than 2,000 tasks there is no Gram matrix: the coordinates are a random projection of the
    task vectors, float32, and all that follows is within its error (`stg_core.maps.many.way_of`).
    """

    def __init__(
        self,
        summary: DataMapSummary,
        epochs: Sequence[int] | None = None,
        features: Sequence[str] | None = None,
    ) -> None:
        recorded = summary.epochs.tolist()
        self.epochs = tuple(recorded if epochs is None else epochs)
        self.features = tuple(FEATURES if features is None else features)
        if not self.epochs or not set(self.epochs) <= set(recorded):
            raise UserError(
                f"Choose recorded epochs among {', '.join(map(str, recorded))}, at least one."
            )
        if not self.features or not set(self.features) <= set(FEATURES):
            raise UserError(f"Choose features among {', '.join(FEATURES)}, at least one.")
        labelled = has_labels(summary)
        if not labelled.any():
            raise UserError("No task has a training label: there is nothing to group.")
        self.tasks = tuple(summary.tasks[labelled].tolist())
        self.left_out = tuple(summary.tasks[~labelled].tolist())
        self.uncertain = uncertain_tasks(summary)
        self.share_nothing = share_nothing(summary)
        self._epoch_rows = [recorded.index(e) for e in self.epochs]
        chosen_features = [FEATURES.index(f) for f in self.features]
        self._kept = kept = np.flatnonzero(labelled)
        self._chosen = np.ix_(self._epoch_rows, chosen_features)
        self._projections = [
            summary.projection[e, f] for e in self._epoch_rows for f in chosen_features
        ]
        self.way = summary.way
        self.projected = not summary.gram.size
        order = None
        if len(kept) > MANY:  # by what is exact of them, also where their distances are not
            order = np.lexsort(summary.task_means[:, :, kept].reshape(-1, len(kept)))
        if self.projected:
            self._settle_projected(np.arange(len(kept)) if order is None else order)
        else:
            gram = summary.gram[self._chosen].sum(axis=(0, 1), dtype=np.float64)
            self._settle(gram[np.ix_(kept, kept)] if self.left_out else gram, order)
        self.adjusted = float(summary.adjusted[self._chosen].max())
        self._histogram = summary.histogram[:, kept] if self.left_out else summary.histogram
        self._block_gram = summary.block_gram

    @classmethod
    def of_gram(cls, tasks: Sequence[str], gram: Floats) -> TaskSpace:
        """Tasks whose Gram matrix (T, T) is known from elsewhere, such as an affinity of theirs.

        What of it is not positive semidefinite once it is centred is left out. Such a space has no
        points: neither votes nor blocks, and thus no stability.
        """
        space = cls.__new__(cls)
        space.epochs, space.features, space.tasks = (), (), tuple(tasks)
        space.left_out, space.uncertain, space.share_nothing = (), {}, False
        space.adjusted, space.projected, space.way = 0.0, False, ""
        space._settle(np.asarray(gram, dtype=np.float64))
        return space

    def _settle(self, gram: Floats, order: Labels | None = None) -> None:
        """Gives the tasks their places."""
        self.gram = gram
        self._order = order = _canonical_order(gram) if order is None else order
        self.coordinates = _coordinates(gram[np.ix_(order, order)])[np.argsort(order)]
        self._widest = self.coordinates[:, -FEW:]
        self._forget()

    def _settle_projected(self, order: Labels) -> None:
        """The same where only a projection is known."""
        if self.left_out:
            self._projections = [one[self._kept] for one in self._projections]
        self.coordinates = coordinates_of(self._projections)
        self._few = folded(self.coordinates, len(self._projections))
        self._widest = widest(self._few, FEW)
        self._order = order
        self._forget()

    def _forget(self) -> None:
        self._labels: dict[int, Labels] = {}
        self._clusters: Recent[Clusters] = Recent(KEPT_BYTES)
        self._voted: Recent[Floats] = Recent(KEPT_BYTES)
        self._colours: dict[int, Labels] = {}
        self._lock = threading.Lock()

    def kmeans(self, k: int) -> Clusters:
        """k-means of the task vectors, best of ten seeded starts, computed once per k.

        Of more than 300 tasks the starts are in few coordinates, and the best goes on in all.
        """
        with self._lock:
            labels = self._kmeans_labels(k)
            found = self._clusters.get(k)
            if found is None:
                means = _weighted_means(self.coordinates, np.eye(k)[labels])
                found = self.clusters(labels, means)
                self._clusters.put(k, found, found.centroids.nbytes + found.distances.nbytes)
            return found

    @cached_property
    def distances(self) -> Floats:
        """Between the tasks, (T, T)."""
        if self.projected:
            return distances_to_many(self.coordinates, self.coordinates)
        if len(self.tasks) > MANY:
            return distances_of_gram(self.coordinates @ self.coordinates.T)
        return distances_between(self.coordinates, self.coordinates)

    @cached_property
    def distinct(self) -> int:
        """How many tasks have data maps that no task before them has."""
        if self.projected:
            return distinct_rows(self.coordinates)
        return distinct_tasks(self.distances)

    @cached_property
    def equidistant(self) -> bool:
        """Whether three tasks or more are all equally far from each other."""
        return not self.projected and equally_far(self.distances)  # which none are but for error

    @cached_property
    def comes_apart(self) -> float | None:
        """The fuzzifier from which on all centres of fuzzy c-means coincide, for any k.

        1/(1 − 2λ), of the largest eigenvalue λ of the mean of x xᵀ/|x|² over tasks x (Yu, Cheng &
        Huang 2004); None for λ ≥ ½, where it has no such bound.
        """
        coordinates = self._few if self.projected else self.coordinates
        lengths = np.linalg.norm(coordinates, axis=1)
        directions = coordinates[lengths > 0] / lengths[lengths > 0, None]
        if not len(directions):
            return None
        largest = float(np.linalg.norm(directions, 2) ** 2 / len(directions))
        return 1 / (1 - 2 * largest) if largest < 0.5 else None

    def kmeans_colours(self, k: int) -> Labels:
        """Colour of each task's k-means cluster, (T,); see `cluster_colours`."""
        n_tasks = len(self.tasks)  # of many, k-means for all k up to this one would take seconds
        followed = min(k, ANCHOR_K if n_tasks > MANY else largest_k(n_tasks))
        with self._lock:
            known = max((j for j in self._colours if j <= followed), default=0)
            for j in [*range(known + 1, followed + 1), k]:
                if j not in self._colours:
                    labels = self._kmeans_labels(j)
                    before = self._colours.get(min(j - 1, followed), labels)
                    self._colours[j] = follow_clusters(before, labels, j)[labels]
            return self._colours[k]

    def remember(self, labels: Mapping[int, Sequence[int]]) -> None:
        """Takes over the k-means labels of many k, found before in a space like this one."""
        with self._lock:
            for k, found in labels.items():
                if k not in self._labels and len(set(found)) == k:
                    self._labels[k] = np.array(found, dtype=np.int64)

    def block_gram(self) -> Floats:
        """Gram matrices of the 10 blocks of training points, (10, T, T); their sum is `gram`.

        Of more than 300 tasks they are those of the projection, whose sum is near it. Raises
        UserError for more than 2,000.
        """
        if self.projected:
            raise UserError(
                f"How stable each k is has not been computed for {len(self.tasks):,} tasks: it"
                " would take hours. Choose k yourself."
            )
        if not self._block_gram.size:
            parts = np.concatenate([one[self._kept] for one in self._projections], axis=1)
            parts = parts.reshape(len(self.tasks), len(self._projections), BLOCKS, -1)
            by_block = parts.transpose(2, 0, 1, 3).reshape(BLOCKS, len(self.tasks), -1)
            return np.stack([(b @ b.T).astype(np.float64) for b in by_block.astype(np.float32)])
        upper = self._block_gram[self._chosen].sum(axis=(0, 1), dtype=np.float64)
        n_all = len(self.tasks) + len(self.left_out)
        first, second = np.triu_indices(n_all)
        blocks = np.empty((len(upper), n_all, n_all))
        blocks[:, first, second] = blocks[:, second, first] = upper
        return blocks[:, self._kept][:, :, self._kept] if self.left_out else blocks

    def kmeans_labels(self, k: int) -> Labels:
        """Cluster of each task by k-means, (T,), computed once per k."""
        with self._lock:
            return self._kmeans_labels(k)

    def compute_ahead(self, k: int) -> None:
        """Starts computing the neighbours of k in the background, so that a slider finds them."""
        for neighbour in (k + 1, k - 1):
            if 1 <= neighbour <= len(self.tasks) and neighbour not in self._labels:
                _ahead.submit(self.kmeans, neighbour)

    def votes(self, k: int) -> Floats:
        """Share of each task's points in each cluster of points, (T, k): k-means on data-map cells.

        Stands in for k-means on all points (Sherif et al. 2023, point-based grouping): a cell of
        the histogram weighs as much as the points in it.
        """
        if not self.epochs:
            raise UserError("Points vote where there are data maps: choose another method.")
        with self._lock:
            found = self._voted.get(k)
            if found is None:
                found = self._run_votes(k)
                self._voted.put(k, found, found.nbytes)
            return found

    def clusters(self, labels: Labels, centroids: Floats) -> Clusters:
        """These clusters with what follows of them."""
        n_tasks, k = len(self.tasks), len(centroids)
        distances = distances_between(self.coordinates, centroids)
        squared = distances**2
        silhouette = separation = None
        if 2 <= len(np.unique(labels)) < n_tasks:
            silhouette = self._silhouette(labels)
        if k > 1:
            between = distances_between(centroids, centroids)[~np.eye(k, dtype=bool)].min() ** 2
            separation = float(between) if between > 1e-12 * squared.max() else None
        inertia = float(squared[np.arange(n_tasks), labels].sum())
        return Clusters(labels, centroids, distances, inertia, silhouette, separation)

    def _silhouette(self, labels: Labels) -> float:
        if self.projected:
            return silhouette_of_many(self._few, labels, SEED)
        return float(silhouette_score(self.distances, labels, metric="precomputed"))

    def _kmeans_labels(self, k: int) -> Labels:
        if k not in self._labels:
            self._labels[k] = self._run_kmeans(k)
        return self._labels[k]

    def _run_kmeans(self, k: int) -> Labels:
        # k-means++ draws by position: a canonical order makes the result independent of task order
        if len(self.tasks) > MANY:
            with _threads().limit(limits=None if self.projected else 1):
                labels = kmeans_of_many(
                    self.coordinates, self._widest, self._order, k, STARTS_OF_MANY, SEED
                )
            return self.numbering(labels, k)[labels]
        model = KMeans(k, n_init=STARTS, random_state=SEED, tol=0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # identical tasks: fewer clusters
            with _threads().limit(limits=1):  # so few points: threads only wait for each other
                model.fit(self.coordinates[self._order])
        labels = np.empty(len(self.tasks), dtype=np.int64)
        labels[self._order] = model.labels_
        return self.numbering(labels, k)[labels]

    def _run_votes(self, k: int) -> Floats:
        counts = self._histogram[self._epoch_rows].sum(axis=(0, 2)).astype(np.float64)
        bins = counts.shape[-1]
        centres = (np.arange(bins) + 0.5) / bins
        axes = {"confidence": centres[:, None], "variability": centres * MAX_VARIABILITY}
        grid = [np.broadcast_to(axes[f], (bins, bins)) for f in self.features]
        cells = np.stack(grid, axis=-1).reshape(bins * bins, -1)
        shares = counts.reshape(len(self.tasks), -1)
        filled = shares.sum(axis=0) > 0
        if k > filled.sum():
            raise UserError(f"The points fill only {filled.sum()} cells: choose a smaller k.")
        model = KMeans(k, n_init=STARTS, random_state=SEED)
        labels = model.fit_predict(cells[filled], sample_weight=shares[:, filled].sum(axis=0))
        votes = shares[:, filled] @ np.eye(k)[labels]
        votes /= votes.sum(axis=1, keepdims=True)
        return np.asarray(votes[:, np.lexsort(model.cluster_centers_.T[::-1])])

    def numbering(self, labels: Labels, k: int) -> Labels:
        """New number of each cluster: the largest first, ties by first task in canonical order."""
        rank = np.empty(len(labels), dtype=np.int64)
        rank[self._order] = np.arange(len(labels))
        sizes = np.bincount(labels, minlength=k)
        first = [rank[labels == j].min(initial=len(labels)) for j in range(k)]
        numbers = np.empty(k, dtype=np.int64)
        numbers[np.lexsort((first, -sizes))] = np.arange(k)
        return numbers


def group_tasks(space: TaskSpace, k: int, fuzzifier: float = 2.0, method: str = "soft") -> Grouping:
    """Memberships of every task in k clusters.

    Methods (Sherif et al. 2023, section 3): "soft", k-means and one fuzzification; "hard", k-means
    alone; "fcm", fuzzy c-means, iterated; "points", votes of the points. Raises UserError for a k
    outside 1..T, a fuzzifier not above 1, or another method.
    """
    check_choices(len(space.tasks), k, fuzzifier, method)
    if method == "points":
        memberships = space.votes(k)
        centroids = _weighted_means(space.coordinates, memberships)
        found = space.clusters(_strongest(memberships), centroids)
    elif method == "fcm":
        start = space.kmeans(k).centroids
        memberships, centroids = _fuzzy_c_means(space.coordinates, start, fuzzifier)
        order = np.argsort(space.numbering(_strongest(memberships), k))
        memberships = memberships[:, order]
        found = space.clusters(_strongest(memberships), centroids[order])
    else:
        found = space.kmeans(k)
        memberships = np.eye(k)[found.labels]
        if method == "soft":
            memberships = memberships_from_distances(found.distances, fuzzifier)
    problem = problem_of(
        memberships,
        found.labels,
        method,
        fuzzifier,
        distinct=space.distinct,
        equidistant=space.equidistant,
        comes_apart=space.comes_apart if method == "fcm" else None,
        share_nothing=space.share_nothing,
    )
    quality = _quality(found, memberships, fuzzifier)
    if problem:
        quality |= {"silhouette": None, "xie_beni": None}  # they would judge what is noise
    return Grouping(
        space.tasks,
        k,
        float(fuzzifier),
        method,
        memberships,
        found.labels,
        quality,
        problem,
        space.uncertain,
        space.left_out,
        space.way,
    )


def check_choices(n_tasks: int, k: int, fuzzifier: float, method: str) -> None:
    """Raises UserError for what `group_tasks` cannot make of so many tasks."""
    if method not in METHODS:
        raise UserError(f"There is no method {method!r}; choose one of {', '.join(METHODS)}.")
    if not isinstance(k, int | np.integer):
        raise UserError(f"The number of clusters, k, is a whole number, and {k!r} is not.")
    if not 1 <= k <= n_tasks:
        raise UserError(
            f"{n_tasks} tasks can form 1 to {n_tasks} clusters, not {k}: choose k in that range."
        )
    if not (np.isfinite(fuzzifier) and fuzzifier > 1):
        raise UserError(
            f"The fuzzifier must be above 1 (1.01 is nearly hard), and {fuzzifier:g} is not."
        )


def memberships_from_distances(distances: Floats, fuzzifier: float) -> Floats:
    """W (T, k) from distances d (T, k): softmax over clusters of −2/(m−1) · log d.

    In the log domain, since d^(−2/(m−1)) overflows for m near 1 (Sherif et al. 2023, eq. 3).
    """
    smallest = np.finfo(np.float64).tiny
    logits = -2 / (fuzzifier - 1) * np.log(np.maximum(distances, smallest))
    logits -= logits.max(axis=1, keepdims=True)
    weights = np.exp(logits)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


def follow_clusters(before: Labels, after: Labels, k: int) -> Labels:
    """Colour of each of k new clusters, (k,), given the tasks' colours before and clusters after.

    A cluster takes the colour it overlaps most (Hungarian matching), so that colours do not jump
    when a slider moves; a new cluster takes the lowest colour that is free.
    """
    n_colours = max(int(before.max(initial=-1)) + 1, k)
    overlap = np.zeros((k, n_colours))
    np.add.at(overlap, (after, before), 1)
    _, colours = linear_sum_assignment(overlap - np.arange(n_colours) / n_colours**2, maximize=True)
    return np.asarray(colours, dtype=np.int64)


def cluster_colours(space: TaskSpace, labels: Labels, k: int) -> Labels:
    """Colour of each of k clusters, (k,): a permutation of 0..k−1 that no earlier slide decides.

    Of more than 300 tasks all k from nine on follow the k-means with eight clusters.
    The colours of k-means follow from k − 1 to k, from two clusters on, so that they stay when k
    moves by one; those of any other grouping of the same tasks (`labels`) follow k-means at its k.
    """
    return follow_clusters(space.kmeans_colours(k), labels, k)


def largest_k(n_tasks: int) -> int:
    """Up to which k all k are computed where all are compared: T, and less of many tasks.

    The work for one k grows with T²·k, so that all k up to T would take days for 1,000 tasks.
    """
    return min(n_tasks, max(FEWEST_K, ALL_K_TASKS**2 // n_tasks))


@cache
def _threads() -> ThreadpoolController:
    return ThreadpoolController()


def _coordinates(gram: Floats) -> Floats:
    """Points (T, ≤T) around their mean, as far apart as the vectors of this Gram matrix."""
    centred = gram - gram.mean(axis=0)
    centred = centred - centred.mean(axis=1, keepdims=True)
    values, vectors = np.linalg.eigh((centred + centred.T) / 2)
    rounding = np.finfo(np.float64).eps * len(gram) * gram.diagonal().max()
    kept = values > max(values.max(initial=0.0) * 1e-14, rounding)
    if not kept.any():
        return np.zeros((len(gram), 1))
    return np.asarray(vectors[:, kept] * np.sqrt(values[kept]))


def _canonical_order(gram: Floats) -> Labels:
    """An order of the tasks that does not depend on the order in which they are given."""
    return np.lexsort((np.sort(gram, axis=1).sum(axis=1), np.diag(gram)))


def distances_between(a: Floats, b: Floats) -> Floats:
    """Euclidean distances (A, B); exactly 0 between equal points, as a lone task needs."""
    if a.dtype == np.float32:
        return distances_to_many(a, b)
    return np.asarray(cdist(a, b))


def _weighted_means(points: Floats, weights: Floats) -> Floats:
    total = np.maximum(weights.sum(axis=0), np.finfo(np.float64).tiny)
    means = weights.T.astype(points.dtype) @ points
    return np.asarray(means / total[:, None].astype(points.dtype))


def _fuzzy_c_means(points: Floats, centroids: Floats, fuzzifier: float) -> tuple[Floats, Floats]:
    """Memberships and fuzzy means in turn until the means rest (Bezdek 1981)."""
    scale = max(float((points**2).sum()), np.finfo(np.float64).tiny)
    for _ in range(FCM_MAX_ITERATIONS):
        memberships = memberships_from_distances(distances_between(points, centroids), fuzzifier)
        moved = _weighted_means(points, memberships**fuzzifier)
        step = ((moved - centroids) ** 2).sum()
        centroids = moved
        if step <= FCM_TOLERANCE * scale:
            break
    return memberships_from_distances(distances_between(points, centroids), fuzzifier), centroids


def _strongest(memberships: Floats) -> Labels:
    # of clusters that coincide the first one has the tasks: else rounding would deal them out
    return np.asarray(coinciding(memberships)[memberships.round(9).argmax(axis=1)])


def _quality(clusters: Clusters, memberships: Floats, fuzzifier: float) -> dict[str, float | None]:
    n_tasks = len(memberships)
    xie_beni = None
    if clusters.separation is not None:
        spread = (memberships**fuzzifier * clusters.distances**2).sum()
        xie_beni = float(spread / (n_tasks * clusters.separation))
    return {
        "inertia": clusters.inertia,
        "silhouette": clusters.silhouette,
        "partition_coefficient": float((memberships**2).sum() / n_tasks),
        "xie_beni": xie_beni,
    }
