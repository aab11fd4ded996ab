"""What can be recorded during a joint training, and how; and what makes groups of an affinity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from stg_core.system.errors import UserError

METHODS = ("tag", "cosine", "etap")

UPDATES = ("optimiser", "gradient")

EVERY = 10

CLUSTERINGS: Mapping[str, str] = {
    "spectral": "Spectral clustering",
    "average": "Average linkage",
    "semidefinite": "Semidefinite relaxation",
    "kmeans": "k-means",
}

# what the groups of many tasks are compared with
CONTROLS = ("mtl", "longer", "wider", "plain", "random")


def checked_methods(methods: Sequence[str], every: int, update: str) -> tuple[str, ...]:
    """The methods in their usual order; raises UserError for settings that there are not."""
    if unknown := [method for method in methods if method not in METHODS]:
        raise UserError(f"There is no affinity {unknown[0]!r}; choose from {', '.join(METHODS)}.")
    if not methods:
        raise UserError(f"Choose at least one affinity from {', '.join(METHODS)}.")
    if every < 1:
        raise UserError(f"Every how many steps? At least 1, and {every} was asked for.")
    if update not in UPDATES:
        raise UserError(f"There is no update {update!r}; choose from {', '.join(UPDATES)}.")
    return tuple(method for method in METHODS if method in methods)
