"""Tasks of which a log has confidences, and neither what they ask nor the labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from stg_core.system.errors import UserError
from stg_core.system.words import counted, named
from stg_core.tasks.groups import Task

NOT_LOGGED = ("not in the log", "–")  # the answers of such a task
UNKNOWN = (
    "What the tasks ask and the labels of the points are not in the log, so that positives are not"
    " told from negatives."
)


def unlabelled(name: str) -> Task:
    """A task whose labels nobody knows."""
    return Task(name, rule="column", kind="multiclass", values=NOT_LOGGED)


def is_unlabelled(task: Task) -> bool:
    return task.values == NOT_LOGGED


def renamed(tasks: Sequence[Task], names: Sequence[str] | None) -> tuple[Task, ...]:
    """The tasks under other names; raises UserError for another number of them."""
    if names is None:
        return tuple(tasks)
    if len(names) != len(tasks):
        raise UserError(
            f"{counted(len(names), 'name')} of tasks for the {counted(len(tasks), 'task')} of the"
            " log: give one for each, in their order:"
            f" {', '.join(named(task.name) for task in tasks[:6])}{' …' * (len(tasks) > 6)}."
        )
    return tuple(replace(task, name=name) for task, name in zip(tasks, names, strict=True))
