"""What can be trained: whatever can also be kept, exported, imported and shown.

Checked here before a training, and for what comes in from elsewhere.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from stg_core.maps.many import ALL
from stg_core.maps.summary import summary_bytes
from stg_core.system.errors import UserError
from stg_core.tasks.names import check_names
from stg_core.training.spec import TrainingSpec

MOST_TASKS, MOST_EPOCHS = 2_000, 100_000
LARGEST_SPEC = 2**23  # bytes of its JSON
LARGEST_SUMMARY = 2**31  # bytes of its arrays, which a page holds in memory
NUMBER, SCORES, REST = 40, 8, 16  # bytes of a number in JSON; per task and epoch; per epoch


def check_limits(spec: TrainingSpec) -> None:
    """Raises UserError, which says what to do, for a training whose result could not be taken in.

    For names that cannot be shown, and for more tasks, epochs or data maps than are handled.
    """
    check_names((spec.group.name, spec.model, *spec.group.task_names))
    n_tasks, n_all, n_recorded = len(spec.tasks), len(spec.group.tasks), len(spec.recorded)
    if n_all > MOST_TASKS:
        raise UserError(f"There are {n_all:,} tasks; a task group has {MOST_TASKS:,} at most.")
    if spec.epochs > MOST_EPOCHS:
        raise UserError(f"{spec.epochs:,} epochs were asked for; {MOST_EPOCHS:,} are the most.")
    if spec.starts_from is not None:
        check_limits(spec.starts_from)
    if _bytes_of(spec.to_json()) > LARGEST_SPEC:
        raise UserError("The tasks name too many classes: describe them with fewer classes.")
    if summary_bytes(n_tasks, n_recorded) > LARGEST_SUMMARY:
        most = LARGEST_SUMMARY // summary_bytes(n_tasks, 1)
        raise UserError(
            f"Data maps of {n_tasks:,} tasks after {n_recorded} epochs are more than a page can"
            f" hold: record {most} epochs at most, or train fewer tasks."
        )


def largest_files(spec: TrainingSpec) -> Mapping[str, int]:
    """Bytes that each of the small files of a result has at most."""
    numbers = spec.epochs * (SCORES * len(spec.tasks) + REST)
    return {
        "spec.json": 4 * LARGEST_SPEC,  # indented, and with what is known beside the spec
        "metrics.json": 2**16 + NUMBER * numbers,
        # all was kept of many tasks too, in older ones
        "summary.npz": 2**16 + summary_bytes(len(spec.tasks), len(spec.recorded), ALL),
    }


def _bytes_of(plain: object) -> int:
    return len(json.dumps(plain).encode())
