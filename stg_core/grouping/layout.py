"""Pictures of the distances between tasks: maps in two dimensions, and a dendrogram."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import pdist, squareform

from stg_core.grouping.memberships import Floats, Labels, TaskSpace, distances_between
from stg_core.system.errors import UserError
from stg_core.system.extras import of_extra

LAYOUTS = ("mds", "pca", "umap")
UMAP_NEIGHBOURS, UMAP_TASKS, SEED = 15, 4, 0
MDS_MAX_ITERATIONS, MDS_TOLERANCE = 1_000, 1e-9
QUICK_MDS = 150  # tasks up to which "mds" takes a second or less
DISTANCES_AT_ONCE = 1_000  # tasks whose distances to all are in memory
MOST_ORDERED = 1_000  # tasks whose leaves are ordered: that takes T³ steps, 2 s for these


@dataclass(frozen=True)
class TaskMap:
    """Tasks as points of the plane.

    positions (T, 2), around 0, the widest direction across: for "pca" and "mds" in the unit of the
    distances between task vectors, for "umap" without unit; correlation: Pearson's, between the
    distances on the map and the true ones, None where these are all equal; note: why the map is not
    the one that was asked for, else empty.
    """

    positions: Floats
    correlation: float | None
    note: str = ""


@dataclass(frozen=True)
class Dendrogram:
    """Tasks in a tree of average linkage.

    order (T,): tasks from the first leaf to the last; segments (3(T − 1), 4): lines from (x, y) to
    (x, y), three per merger, with x in leaves (the first at 0) and y the distance of the merger.
    """

    order: Labels
    segments: Floats


@dataclass(frozen=True)
class Blocks:
    """Distances of many tasks, by cluster.

    means (k, k): of the tasks of two clusters, or of each two tasks of one; NaN for a cluster that
    has a single task, or none. tree: of the clusters, by these means.
    """

    means: Floats
    tree: Dendrogram


_trees: WeakKeyDictionary[TaskSpace, Dendrogram] = WeakKeyDictionary()


def is_quick(space: TaskSpace, how: str) -> bool:
    """Whether a map takes a second or less; "mds" of many tasks and "umap" take up to minutes."""
    return how != "umap" and (how != "mds" or len(space.tasks) <= QUICK_MDS)


def task_map(space: TaskSpace, how: str = "mds") -> TaskMap:
    """Map of the tasks; the same input gives the same map, turned and mirrored the same way.

    "pca": the first two coordinates of the space, which is also classical scaling (Torgerson 1952);
    "mds": metric scaling of the distances by SMACOF (de Leeuw 1977), from "pca"; "umap": McInnes et
    al. (2018) on the distances with 15 neighbours, from "pca": 20 s in a new process, since umap is
    slow to import and to compile, and a minute in the first of all. Fewer than four tasks, or tasks
    that are all alike, have no UMAP; they get "pca" with a note. Raises UserError for another name.
    """
    if how not in LAYOUTS:
        raise UserError(f"There is no map {how!r}; choose one of {', '.join(LAYOUTS)}.")
    positions, note = _canonical(_first_two_coordinates(space)), ""
    if how == "mds" and space.distances.any():
        positions = _canonical(_mds(space.distances, positions))
    elif how == "umap" and space.distances.any() and len(space.tasks) >= UMAP_TASKS:
        positions = _canonical(_umap(space.distances, positions))
    elif how == "umap":
        note = (
            "UMAP needs at least four tasks that are not all alike: these are the first two"
            " principal coordinates."
        )
    return TaskMap(positions, _correlation(positions, space.distances), note)


def dendrogram(space: TaskSpace) -> Dendrogram:
    """Average linkage of the distances; neighbouring leaves are as near as the tree lets them be.

    Linkage: Sokal & Michener 1958; leaf order: Bar-Joseph et al. 2001, beginning at the end with
    the earlier task; of more than 1,000 tasks as the mergers give it. Computed once per space.
    """
    if space not in _trees:
        _trees[space] = _tree(space.distances)
    return _trees[space]


def distance_blocks(space: TaskSpace, labels: Labels, k: int) -> Blocks:
    """Mean distances between the clusters of these labels (T,), numbered 0 to k − 1.

    In the memory of T × k numbers, beside the distances of some tasks at a time to all.
    """
    n_tasks = len(labels)
    member = np.eye(k)[labels]
    sums = np.zeros((k, k))
    for part in np.array_split(np.arange(n_tasks), -(-n_tasks // DISTANCES_AT_ONCE)):
        sums += member[part].T @ (distances_of(space, part) @ member)
    sizes = member.sum(axis=0)
    pairs = np.outer(sizes, sizes) - np.diag(sizes)  # of a task with itself there is no distance
    means = np.where(pairs > 0, sums / np.maximum(pairs, 1), np.nan)
    between = np.where(np.isnan(means), np.nan_to_num(means).max(), means)
    np.fill_diagonal(between, 0)
    return Blocks(means, _tree((between + between.T) / 2))


def distances_of(space: TaskSpace, some: Labels, others: Labels | None = None) -> Floats:
    """Distances of some tasks to others, by default to all: (S, O)."""
    if space.projected:  # of so many tasks those of all pairs are kept by nobody
        to = space.coordinates if others is None else space.coordinates[others]
        return distances_between(space.coordinates[some], to)
    return space.distances[some] if others is None else space.distances[np.ix_(some, others)]


def _tree(distances: Floats) -> Dendrogram:
    n_tasks = len(distances)
    if n_tasks == 1:
        return Dendrogram(np.zeros(1, dtype=np.int64), np.zeros((0, 4)))
    between = squareform(distances, checks=False)
    tree = linkage(between, "average", optimal_ordering=n_tasks <= MOST_ORDERED)
    order = leaves_list(tree).astype(np.int64)
    if order[0] > order[-1]:
        order = order[::-1]
    x = np.empty(2 * n_tasks - 1)
    y = np.zeros(2 * n_tasks - 1)
    x[order] = np.arange(n_tasks)
    segments = []
    for merger, (a, b, height, _) in enumerate(tree, start=n_tasks):
        left, right = sorted((int(a), int(b)), key=lambda node: x[node])
        x[merger], y[merger] = (x[left] + x[right]) / 2, height
        segments += [
            (x[left], y[left], x[left], height),
            (x[left], height, x[right], height),
            (x[right], height, x[right], y[right]),
        ]
    return Dendrogram(order, np.array(segments))


def _first_two_coordinates(space: TaskSpace) -> Floats:
    largest_first = space.coordinates[:, ::-1][:, :2]
    return np.pad(largest_first, ((0, 0), (0, 2 - largest_first.shape[1])))


def _mds(distances: Floats, start: Floats) -> Floats:
    from sklearn.manifold import smacof

    positions, _ = smacof(
        distances,
        init=start,
        n_init=1,
        max_iter=MDS_MAX_ITERATIONS,
        eps=MDS_TOLERANCE,
        normalized_stress=False,
    )
    return np.asarray(positions)


def _umap(distances: Floats, start: Floats) -> Floats:
    with of_extra("more"):
        from umap import UMAP

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a seed means one thread, and distances no way back
        positions = UMAP(
            n_neighbors=min(UMAP_NEIGHBOURS, len(distances) - 1),
            metric="precomputed",
            init=start,
            random_state=SEED,
            n_jobs=1,
        ).fit_transform(distances)
    return np.asarray(positions, dtype=np.float64)


def _canonical(positions: Floats) -> Floats:
    """Centred, on principal axes, and on each the task that is furthest out on the positive side.

    A picture that differs by rounding alone, as on another machine, neither turns nor flips.
    """
    centred = positions - positions.mean(axis=0)
    turned = centred @ np.linalg.eigh(centred.T @ centred)[1][:, ::-1]
    size = np.abs(turned).max(axis=0)
    # rounded, so that of tasks as far out as each other the first one decides
    furthest = (np.abs(turned) / np.where(size > 0, size, 1)).round(6).argmax(axis=0)
    signs = np.where(turned[furthest, [0, 1]] < 0, -1.0, 1.0)
    return np.asarray(turned * signs)


def _correlation(positions: Floats, distances: Floats) -> float | None:
    on_map, true = pdist(positions), squareform(distances, checks=False)
    if len(true) < 2 or np.ptp(true) <= 1e-12 * true.max() or np.ptp(on_map) == 0:
        return None
    return float(np.corrcoef(on_map, true)[0, 1])
