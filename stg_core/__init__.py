"""Which tasks of a multi-task model are learned alike, and whether training them apart pays.

What most users import is here, and loaded when it is first asked for: `import stg_core` is quick,
and torch comes only with what trains. Everything else is in the rooms below.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from stg_core.system.version import VERSION

if TYPE_CHECKING:
    from stg_core.grouping.memberships import Grouping, TaskSpace, group_tasks
    from stg_core.grouping.one_call import group
    from stg_core.grouping.result import GroupingResult
    from stg_core.maps.log import TaskLog
    from stg_core.maps.loops.indexed import Indexed
    from stg_core.maps.recorder import DataMapRecorder, confidence
    from stg_core.maps.summary import DataMapSummary, summarise
    from stg_core.results.run import Run
    from stg_core.results.store import Store
    from stg_core.system.errors import UserError
    from stg_core.tasks.data import TaskData
    from stg_core.tasks.groups import Task, TaskGroup, custom_group
    from stg_core.training.callbacks import Callback
    from stg_core.training.loop import train
    from stg_core.training.models import register
    from stg_core.training.spec import TrainingSpec

__version__ = VERSION

_ROOMS = {
    "Callback": "training.callbacks",
    "DataMapRecorder": "maps.recorder",
    "DataMapSummary": "maps.summary",
    "Grouping": "grouping.memberships",
    "GroupingResult": "grouping.result",
    "Indexed": "maps.loops.indexed",
    "Run": "results.run",
    "Store": "results.store",
    "Task": "tasks.groups",
    "TaskData": "tasks.data",
    "TaskLog": "maps.log",
    "TaskGroup": "tasks.groups",
    "TaskSpace": "grouping.memberships",
    "TrainingSpec": "training.spec",
    "UserError": "system.errors",
    "confidence": "maps.recorder",
    "custom_group": "tasks.groups",
    "group": "grouping.one_call",
    "group_tasks": "grouping.memberships",
    "register": "training.models",
    "summarise": "maps.summary",
    "train": "training.loop",
}
__all__ = [*_ROOMS]


def __getattr__(name: str) -> Any:
    if name not in _ROOMS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_ROOMS[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_ROOMS])
