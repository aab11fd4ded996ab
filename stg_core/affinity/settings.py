"""What can be recorded during a joint training, and how; and what makes groups of an affinity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from stg_core.system.errors import UserError
from stg_core.system.extras import is_installed, what_to_install

METHODS = ("tag", "cosine", "etap")  # from the same gradients of one training

BY_ITSELF = ("transfer", "gradtag")  # each from a training of its own

UPDATES = ("optimiser", "gradient")

EVERY = 10

CLUSTERINGS: Mapping[str, str] = {
    "spectral": "Spectral clustering",
    "average": "Average linkage",
    "semidefinite": "Semidefinite relaxation",
    "kmeans": "k-means",
}

RELAXES = ("cvxpy", "scs")  # the libraries of the semidefinite relaxation

# what the groups of many tasks are compared with
CONTROLS = ("mtl", "longer", "wider", "plain", "random")

GRADTAG_DIRECTIONS, GRADTAG_POINTS = 100, 2_000  # at most so many training points

MOST_TRANSFER_TASKS = 12  # of which "transfer" tries every pair, at every recorded step


def usual_clustering(few: bool) -> tuple[str, str]:
    """The default, and a sentence where it would be another one, were that installed.

    few: whether there are few enough tasks for the semidefinite relaxation.
    """
    lacking = next((library for library in RELAXES if not is_installed(library)), None)
    if few and lacking is None:
        return "semidefinite", ""
    if not few or lacking is None:
        return "spectral", ""
    instead = "Spectral clustering is used instead of the semidefinite relaxation."
    return "spectral", f"{instead} {what_to_install(lacking)}"


def checked_methods(methods: Sequence[str], every: int, update: str) -> tuple[str, ...]:
    """The methods in their usual order; raises UserError for settings that there are not."""
    known = (*METHODS, *BY_ITSELF)
    if unknown := [method for method in methods if method not in known]:
        raise UserError(f"There is no affinity {unknown[0]!r}; choose from {', '.join(known)}.")
    if not methods:
        raise UserError(f"Choose at least one affinity from {', '.join(known)}.")
    if len(methods) > 1 and (single := [method for method in methods if method in BY_ITSELF]):
        raise UserError(f"The affinity {single[0]!r} has a training of its own: ask for it alone.")
    if every < 1:
        raise UserError(f"Every how many steps? At least 1, and {every} was asked for.")
    if update not in UPDATES:
        raise UserError(f"There is no update {update!r}; choose from {', '.join(UPDATES)}.")
    return tuple(method for method in known if method in methods)
