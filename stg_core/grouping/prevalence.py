"""Whether clusters of tasks are more than tasks of like prevalence."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stg_core.grouping.memberships import Grouping
from stg_core.maps.labels import prevalence
from stg_core.maps.summary import DataMapSummary

DRAWS, SEED = 1_000, 0


@dataclass(frozen=True)
class Explained:
    """The share of the variance of the tasks' prevalence that their clusters explain, in [0, 1].

    low, high: what 95 % of random clusters of the same sizes explain; n_tasks: how many tasks have
    a prevalence.
    """

    share: float
    low: float
    high: float
    n_tasks: int

    def __str__(self) -> str:
        chance = f"{self.low:.0%} to {self.high:.0%}"
        told = (
            f"The clusters explain {self.share:.0%} of how the prevalence of the"
            f" {self.n_tasks:,} yes-or-no tasks varies"
        )
        if self.low <= self.share <= self.high:
            return f"{told}, no more than random ones of the same sizes do ({chance})."
        return f"{told}; random ones of the same sizes explain {chance}."


def explained_prevalence(summary: DataMapSummary, grouping: Grouping) -> Explained | None:
    """How far clusters follow prevalence: between-cluster over total sum of squares, η².

    Tasks whose answers are as rare look alike in a data map whatever they ask; where that explains
    the clusters, they say little else. None where fewer than three tasks have a prevalence, where
    all have the same, and where there is one cluster only.
    """
    of_task = dict(zip(summary.tasks.tolist(), prevalence(summary).tolist(), strict=True))
    values = np.array([of_task[task] for task in grouping.tasks])
    known = ~np.isnan(values)
    values, labels = values[known], np.asarray(grouping.labels)[known]
    clusters, labels = np.unique(labels, return_inverse=True)
    values = values - values.mean() if len(values) else values
    total = float((values**2).sum())
    if len(values) < 3 or len(clusters) < 2 or not np.ptp(values):
        return None
    of_cluster = np.eye(len(clusters))[labels]
    rng = np.random.default_rng(SEED)
    drawn = rng.permuted(np.tile(values, (DRAWS, 1)), axis=1)
    shares = _between(np.vstack([values, drawn]), of_cluster) / total
    low, high = np.percentile(shares[1:], (2.5, 97.5))
    return Explained(float(shares[0]), float(low), float(high), len(values))


def _between(values: NDArray[np.float64], of_cluster: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sums of squares between clusters, (B,), of centred values (B, T)."""
    return np.asarray(((values @ of_cluster) ** 2 / of_cluster.sum(axis=0)).sum(axis=1))
