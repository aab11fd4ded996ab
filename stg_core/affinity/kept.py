"""Groups that follow from what a run keeps, without any training: of logs there is nothing else."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stg_core.affinity.clustering import Floats, cluster
from stg_core.affinity.methods import METHODS
from stg_core.affinity.outputs import affinity_from
from stg_core.affinity.settings import CLUSTERINGS, usual_clustering
from stg_core.grouping.memberships import Labels, TaskSpace, group_tasks
from stg_core.results.run import Run
from stg_core.system.errors import UserError

OF_OUTPUTS = ("stg", "labels", "errors", "pvi")
OF_GRADIENTS = ("cosine", "tag", "transfer", "gradtag", "etap")
OF_TRAININGS = ("dmtg", "hoa", "surrogates", "mtgnet", "exhaustive")
MOST_SEMIDEFINITE = 30  # tasks, of which the semidefinite relaxation is found in a second


@dataclass(frozen=True)
class Kept:
    """What a method makes of a run.

    affinity (T, T), larger is better together, NaN where unknown; groups: the tasks of each;
    served_by: per task, the place of its group.
    """

    method: str
    affinity: Floats
    groups: tuple[tuple[str, ...], ...]
    served_by: tuple[int, ...]


def groups_of_kept(run: Run, budget: int, cluster_by: str = "") -> tuple[list[Kept], list[str]]:
    """At most so many groups by each of OF_OUTPUTS, and why there are none by some.

    cluster_by: one of CLUSTERINGS, of all but STG-MTL, which groups by k-means of the data maps; by
    default the semidefinite relaxation, of more than 30 tasks or where that is not installed
    spectral clustering. Raises UserError for a budget outside 1..T, and for a run without data
    maps.
    """
    tasks = tuple(run.summary.tasks.tolist())
    if not 1 <= budget <= len(tasks):
        raise UserError(
            f"{len(tasks)} tasks can be served by 1 to {len(tasks)} groups, and the budget is"
            f" {budget}."
        )
    if cluster_by and cluster_by not in CLUSTERINGS:
        raise UserError(
            f"There is no clustering {cluster_by!r}; choose from {', '.join(CLUSTERINGS)}."
        )
    usual, instead = usual_clustering(len(tasks) <= MOST_SEMIDEFINITE)
    how = cluster_by or usual
    found, lacking = [], [instead] if instead and not cluster_by else []
    for method in OF_OUTPUTS:
        try:
            affinity = affinity_from(run, "datamaps" if method == "stg" else method)
            if np.isnan(affinity[~np.eye(len(tasks), dtype=np.bool_)]).all():
                raise UserError("It says nothing of these tasks.")
            labels = _stg(run, budget) if method == "stg" else cluster(affinity, budget, how)
        except UserError as error:
            lacking.append(f"{METHODS[method].title}: {error}")
            continue
        groups = [np.flatnonzero(labels == j) for j in range(int(labels.max()) + 1)]
        named = tuple(tuple(tasks[t] for t in group) for group in groups)
        found.append(Kept(method, affinity, named, tuple(labels.tolist())))
    return found, lacking


def _stg(run: Run, budget: int) -> Labels:
    space = TaskSpace(run.summary)
    if space.left_out:
        raise UserError(f"{', '.join(space.left_out)} have no training label.")
    return group_tasks(space, budget, method="hard").labels


def needs(method: str) -> str:
    """Why a run that is not trained here, such as a log, cannot tell a method's affinity."""
    if method in OF_GRADIENTS:
        return f"{METHODS[method].title} needs gradients, and a log keeps outputs only."
    return f"{METHODS[method].title} needs further trainings, and a log is of one."
