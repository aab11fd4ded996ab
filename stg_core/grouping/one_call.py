"""Grouping in one line, for who has the outputs of a model already: no torch, and no store."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from stg_core.grouping.choosing import choose, stability
from stg_core.grouping.memberships import TaskSpace, check_choices, group_tasks
from stg_core.grouping.result import GroupingResult
from stg_core.maps.epoch_outputs import read_epochs
from stg_core.maps.log_labels import Kinds
from stg_core.maps.outputs import Outputs
from stg_core.maps.recorder import default_recorded_epochs
from stg_core.system.errors import UserError


def group(
    probabilities: Any,
    labels: Any,
    tasks: Sequence[str] | None = None,
    k: int | None = None,
    *,
    fuzzifier: float = 2.0,
    method: str = "soft",
    outputs: Outputs | None = None,
    kinds: Kinds | None = None,
    recorded: Sequence[int] | None = None,
) -> GroupingResult:
    """Which tasks belong together, by what a model said of its training points in every epoch.

    probabilities: of yes, or logits, (E, N, T), of E epochs, N points and T tasks: of NumPy, torch,
    JAX, or nested lists; a point that an epoch did not see has a row of NaN. A multi-class task has
    a column for each class, and a regression one the number itself; or give a list of T heads, each
    (E, N) or (E, N, classes), or a list of E epochs.
    labels: (N, T), NaN where one is missing: 0 or 1; the number of a class; any number. A data
    frame has the names of its tasks.
    tasks: names (T,), by default those of a data frame's columns, or "task 1" and so on.
    k: how many clusters, 1 to T; by default the one that `choosing.choose` suggests, which takes a
    second for 30 tasks, 10 s for 100 and a minute for 1,000. Of more than 2,000 tasks, which are
    compared by a random projection, it has to be said.
    fuzzifier, method: see `group_tasks`.
    outputs: "logits" or "probabilities"; those outside of [0, 1] are taken for logits.
    kinds: "binary", "multiclass" or "regression", of all tasks or by name; guessed from the labels.
    recorded: the epochs, from 2 to E, after which data maps are compared; five spread evenly.

    Nothing is written. Memory: 12 bytes for each task and point, and a few arrays of one epoch.
    Raises UserError, whose sentence says what to do, for what cannot be grouped.

    Two tasks that are learned at once and two that take time, over 300 points:

    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> labels = rng.integers(0, 2, (300, 4))
    >>> speed = np.array([2.0, 2.0, 0.3, 0.3])
    >>> learned = [np.sqrt(epoch) * speed * (2 * labels - 1) for epoch in range(1, 7)]
    >>> logits = np.array(learned) + rng.normal(0, 0.5, (6, 300, 4))
    >>> result = group(logits, labels, tasks=["cat", "ship", "dog", "plane"], k=2)
    >>> sorted(map(sorted, result.clusters))
    [['cat', 'ship'], ['dog', 'plane']]
    >>> result.memberships.shape, result.notes[0]
    ((4, 2), 'The outputs were taken for logits: some of the first lie outside of [0, 1].')
    """
    given = read_epochs(probabilities, labels, tasks, kinds, outputs)
    n_epochs, n_labelled = len(given.epochs), int((~np.isnan(given.labels)).any(axis=0).sum())
    if n_labelled < 2:
        raise UserError(_too_few_tasks(given.labels.shape[1], n_labelled))
    check_choices(n_labelled, 1 if k is None else k, fuzzifier, method)
    chosen = _recorded(recorded, n_epochs)
    summary = given.summary(chosen)
    space = TaskSpace(summary)
    why = ""
    if k is None:
        choice = choose(space, stability(space), fuzzifier, method)
        k, why = choice.suggested, choice.why
    if k is None:
        raise UserError(f"{why} Say how many clusters you want, k=2 for example.")
    compared = f"Compared: the data maps after epochs {_listed(chosen)} of {n_epochs}."
    return GroupingResult(
        group_tasks(space, k, fuzzifier, method),
        space,
        summary,
        (*given.notes, compared),
        why,
        given,
    )


def _too_few_tasks(n_tasks: int, n_labelled: int) -> str:
    if n_tasks > 1:
        return f"Only {n_labelled} of {n_tasks} tasks have labels: grouping needs two or more."
    return (
        "There is a single task, and grouping needs two or more. To group the classes of one, give"
        " the probability of each class as a task of its own: labels=np.eye(n_classes)[labels]."
    )


def _recorded(recorded: Sequence[int] | None, n_epochs: int) -> tuple[int, ...]:
    if recorded is None:
        return default_recorded_epochs(n_epochs)
    chosen = tuple(sorted({int(epoch) for epoch in recorded}))
    if not chosen or chosen[0] < 2 or chosen[-1] > n_epochs:
        raise UserError(
            f"Recorded epochs lie between 2 and the last ({n_epochs}), and are one or more:"
            f" {_listed(chosen) or 'none'} cannot be recorded."
        )
    return chosen


def _listed(epochs: Sequence[int]) -> str:
    return ", ".join(map(str, epochs))
