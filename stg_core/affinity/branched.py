"""Groups that tasks come to choose themselves, among the branches of one model (DMTG)."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from stg_core.affinity.selection import Integers
from stg_core.engine.foreground import run_anywhere
from stg_core.results.store import Store
from stg_core.training.spec import TrainingSpec
from stg_core.training.speed import total_seconds


@dataclass(frozen=True)
class Branched:
    """What a training of branches came to.

    groups (T,): that of each task, from 0, in the order in which tasks have them; cost: seconds of
    the training over those of one of all tasks; branches: how many there were, the cost by count,
    or 0 where nothing was trained.
    """

    groups: Integers
    cost: float
    branches: int

    def to_json(self) -> dict[str, Any]:
        """As plain JSON."""
        return {**dataclasses.asdict(self), "groups": self.groups.tolist()}

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Branched:
        """The inverse of `to_json`."""
        return cls(np.array(plain["groups"], np.int64), float(plain["cost"]), plain["branches"])


def n_branches(n_tasks: int, budget: int) -> int:
    """That are trained for a budget of models: as many, but for one, which needs no choice."""
    return min(budget, n_tasks) if budget > 1 else 0


def branched_spec(spec: TrainingSpec, budget: int) -> TrainingSpec:
    """A training of as many branches as the budget allows, else like that of all tasks."""
    branches = max(1, n_branches(len(spec.tasks), budget))
    return dataclasses.replace(spec, branches=branches, recorded_epochs=())


def branches_of(store: Store, spec: TrainingSpec, budget: int) -> Branched:
    """The groups that tasks choose within a budget: known from the store, or trained now.

    spec: the training of all tasks, which is trained too where it is not here, as the unit of cost.
    """
    branches = n_branches(len(spec.tasks), budget)
    if not branches:
        return Branched(np.zeros(len(spec.tasks), dtype=np.int64), 0.0, 0)
    joint = run_anywhere(store, spec, lambda _: None)
    run = run_anywhere(store, branched_spec(spec, budget), lambda _: None)
    _, first, chosen = np.unique(
        run.metrics["branches"][-1], return_index=True, return_inverse=True
    )
    groups = np.argsort(np.argsort(first))[chosen]
    cost = total_seconds(run.metrics) / total_seconds(joint.metrics)
    return Branched(groups, cost, branches)
