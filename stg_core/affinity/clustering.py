"""Groups of any number of tasks, from any affinity: four ways to cluster.

An affinity is (T, T); larger is better together. Where it is not symmetric, the mean of both
directions counts; the diagonal does not count at all. All ways but for "spectral" are the same for
an affinity to which a number is added, so that negative ones need no care there.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from stg_core.affinity.settings import CLUSTERINGS
from stg_core.grouping.memberships import Labels, TaskSpace
from stg_core.system.errors import UserError
from stg_core.system.extras import of_extra

Floats = NDArray[np.float64]

MOST_TASKS_SEMIDEFINITE = 300
SEMIDEFINITE_PRECISION = 1e-3
SEED = 0


def cluster(affinity: Floats, k: int, how: str) -> Labels:
    """The cluster of each task, (T,), from 0, the largest first; fewer than k for equal tasks.

    affinity (T, T): larger is better together; NaN where unknown, which counts as the mean of all
    that are known: it draws two tasks neither together nor asunder. how:

    "spectral"      normalised cuts; the lowest affinity counts as no edge (scikit-learn)
    "average"       average linkage of how much an affinity is below the highest (scipy)
    "semidefinite"  `semidefinite_relaxation`, and k-means on its rows
    "kmeans"        k-means of STG-MTL in `space_of` the affinity

    Raises UserError for a k outside 1..T, another way, an infinite affinity, and for more than 300
    tasks with "semidefinite".
    """
    if how not in CLUSTERINGS:
        raise UserError(f"There is no clustering {how!r}; choose from {', '.join(CLUSTERINGS)}.")
    known = settled(affinity)
    n_tasks = len(known)
    if not 1 <= k <= n_tasks:
        raise UserError(
            f"{n_tasks} tasks can form 1 to {n_tasks} clusters, not {k}: choose k in that range."
        )
    space = space_of(known)
    if k in (1, n_tasks):
        found = np.arange(n_tasks) % k
    elif how == "spectral":
        found = _spectral(known, k)
    elif how == "average":
        found = _average_linkage(known, k)
    elif how == "semidefinite":
        relaxed = TaskSpace.of_gram(space.tasks, semidefinite_relaxation(known, k))
        found = relaxed.kmeans(k).labels
    else:
        return space.kmeans(k).labels
    return space.numbering(found.astype(np.int64), k)[found]


def space_of(affinity: Floats, tasks: Sequence[str] = ()) -> TaskSpace:
    """Tasks as points whose squared distances fall with their affinity, as far as points can be.

    So k-means and memberships of STG-MTL (`group_tasks`, but for the votes of points) apply to any
    affinity. The squared distance is twice what an affinity is below the highest; of the Gram
    matrix that follows, the nearest positive semidefinite one is taken (classical scaling,
    Torgerson 1952).
    """
    known = settled(affinity)
    names = tuple(tasks) or tuple(str(t + 1) for t in range(len(known)))
    gram = known - _off_diagonal(known).max(initial=-np.inf)
    np.fill_diagonal(gram, 0)
    return TaskSpace.of_gram(names, gram)


def settled(affinity: Floats) -> Floats:
    """The affinity, symmetric and without NaN; 0 on the diagonal, which does not count."""
    given = np.array(affinity, dtype=np.float64)
    if given.ndim != 2 or given.shape[0] != given.shape[1] or not len(given):
        raise UserError(
            f"An affinity is {' × '.join(map(str, given.shape)) or 'a number'} and should have a"
            " row and a column for each task."
        )
    np.fill_diagonal(given, 0)
    if np.isinf(given).any():
        raise UserError("An affinity is infinite; compute the affinities of these tasks again.")
    both = np.where(np.isnan(given), given.T, given)
    return filled((both + both.T) / 2)


def filled(affinity: Floats) -> Floats:
    """Off the diagonal, the mean of what is known in place of what is not (NaN); 0 if all is."""
    unknown = np.isnan(affinity) & ~np.eye(len(affinity), dtype=np.bool_)
    others = _off_diagonal(affinity)
    known = others[~np.isnan(others)]
    return np.where(unknown, known.mean() if known.size else 0.0, affinity)


def semidefinite_relaxation(affinity: Floats, k: int) -> Floats:
    """X (T, T) that maximises ⟨affinity, X⟩ over X ⪰ 0, X ≥ 0, rows that sum to 1, and trace k.

    Where the tasks form k clear clusters, X is 1/size within each and 0 between them (Peng & Wei
    2007; Li, Sharma & Zhang 2024 group tasks by it). Solved by SCS up to 0.001. On one core, on
    affinities of 1 within planted blocks and 0 between them, with noise of standard deviation
    0.5, 1 and 2: 300 tasks in 20 blocks take 14, 54 and 47 s, 100 tasks in 10 at most 5 s. Raises
    UserError for more than 300 tasks, and where the solver is not installed.
    """
    with of_extra("more"):
        import cvxpy
        import scs  # noqa: F401, which cvxpy solves it with

    n_tasks = len(affinity)
    if n_tasks > MOST_TASKS_SEMIDEFINITE:
        raise UserError(
            f"The semidefinite relaxation groups up to {MOST_TASKS_SEMIDEFINITE} tasks, and there"
            f" are {n_tasks}: choose another clustering."
        )
    known = settled(affinity)
    others = _off_diagonal(known)
    values = (known - others.mean()) / (others.std() or 1.0)  # neither moves the best X
    np.fill_diagonal(values, 0)
    x = cvxpy.Variable((n_tasks, n_tasks), PSD=True)
    constraints = [x >= 0, cvxpy.sum(x, axis=1) == 1, cvxpy.trace(x) == k]
    problem = cvxpy.Problem(cvxpy.Maximize(cvxpy.sum(cvxpy.multiply(values, x))), constraints)
    problem.solve(solver=cvxpy.SCS, eps=SEMIDEFINITE_PRECISION)
    if x.value is None:
        raise UserError(f"The solver found no relaxation ({problem.status}): try another k.")
    return np.asarray(x.value, dtype=np.float64)


def _spectral(affinity: Floats, k: int) -> Labels:
    from sklearn.cluster import SpectralClustering

    edges = affinity - _off_diagonal(affinity).min()
    if not edges.any():
        edges += 1
    np.fill_diagonal(edges, 0)
    model = SpectralClustering(k, affinity="precomputed", random_state=SEED)
    return np.asarray(model.fit_predict(edges / edges.max()), dtype=np.int64)


def _average_linkage(affinity: Floats, k: int) -> Labels:
    from scipy.cluster.hierarchy import average, cut_tree
    from scipy.spatial.distance import squareform

    apart = _off_diagonal(affinity).max() - affinity
    np.fill_diagonal(apart, 0)
    tree = average(squareform(apart, checks=False))
    return np.asarray(cut_tree(tree, n_clusters=k)[:, 0], dtype=np.int64)


def _off_diagonal(matrix: Floats) -> Floats:
    return np.asarray(matrix[~np.eye(len(matrix), dtype=np.bool_)])
