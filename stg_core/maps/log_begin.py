"""Whether a log can be begun, or goes on with what was logged under its name before."""

from __future__ import annotations

from typing import Any

import numpy as np

from stg_core.maps.log_folder import Head, Progress
from stg_core.system.errors import UserError
from stg_core.system.words import counted, named
from stg_core.tasks.names import check_names

LONGEST_NAME = 80  # characters
WAYS = "Say anew=True to begin it anew, which deletes it, or take another name."


def checked_name(name: str) -> str:
    """The name of a log with single spaces; UserError for one that cannot be."""
    name = " ".join(str(name).split())
    check_names((name,))
    if len(name) > LONGEST_NAME:
        raise UserError(f"This name has {len(name)} characters; give it {LONGEST_NAME} at most.")
    return name


def checked_epochs(epochs: Any) -> int | None:
    """How many are planned, or None; UserError for what is no number of epochs."""
    if epochs is None:
        return None
    if not isinstance(epochs, (int, np.integer)) or epochs < 1:
        raise UserError(f"Say how many epochs are planned, epochs=20, and not {epochs!r}.")
    return int(epochs)


def check_goes_on(before: Head, progress: Progress, head: Head) -> None:
    """Raises UserError where a log that was begun before cannot go on as this one."""
    name = named(head.name)
    if progress.finished:
        raise UserError(
            f"There is a finished log {name} of {counted(progress.epoch, 'epoch')}. {WAYS}"
        )
    if [(t.name, t.kind) for t in before.tasks] != [(t.name, t.kind) for t in head.tasks]:
        raise UserError(f"The log {name} has other tasks. {WAYS}")
    if progress.epoch and head.outputs and before.outputs not in (None, head.outputs):
        raise UserError(f"The log {name} is one of {before.outputs}. {WAYS}")
    if before.labels != head.labels:
        raise UserError(
            f"The labels have changed since the log {name} was begun: its points may be others"
            f" now. {WAYS}"
        )
    if before.ranks != head.ranks:
        raise UserError(
            f"The log {name} was begun by {counted(before.ranks, 'process')}, and this is one of"
            f" {head.ranks}. {WAYS}"
        )
