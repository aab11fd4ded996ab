"""How settled a grouping is while a model learns: what one epoch more has changed of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.optimize import linear_sum_assignment
from sklearn.metrics import adjusted_rand_score

from stg_core.grouping.memberships import Grouping
from stg_core.system.errors import UserError

AT_REST = 0.01  # mean change of a membership from which on it has moved
RESTS_AFTER = 3  # epochs without a move


@dataclass(frozen=True)
class Change:
    """What is different between two groupings of the same tasks into as many clusters.

    index: adjusted Rand index of the clusters, 1 where they are the same and 0 as by chance;
    moved: mean absolute difference of all memberships, in [0, 1], clusters matched so that it is
    least.
    """

    index: float
    moved: float

    @property
    def none(self) -> bool:
        """Whether the same tasks are together, and their shares are as good as the same."""
        return self.index == 1 and self.moved < AT_REST


def change_between(before: Grouping, after: Grouping) -> Change:
    """Raises UserError for groupings of other tasks, or into more or fewer clusters."""
    if before.tasks != after.tasks or before.k != after.k:
        raise UserError("Only groupings of the same tasks into as many clusters can be compared.")
    differences = np.abs(after.memberships[:, :, None] - before.memberships[:, None, :]).sum(axis=0)
    moved = differences[linear_sum_assignment(differences)].sum() / after.memberships.size
    return Change(float(adjusted_rand_score(before.labels, after.labels)), float(moved))


def changes(groupings: Sequence[Grouping]) -> list[Change]:
    """From each grouping to the next."""
    return [change_between(a, b) for a, b in pairwise(groupings)]


def rests(found: Sequence[Change]) -> bool:
    """Whether the last three changes, one an epoch, were none."""
    return len(found) >= RESTS_AFTER and all(change.none for change in found[-RESTS_AFTER:])
