"""Where data sets of one's own come from: tables, arrays, folders of images.

`look` shows what would be kept, quickly; `add_source` keeps it. Nothing is ever unpickled.
"""

from __future__ import annotations

import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stg_core.system.errors import UserError
from stg_core.system.words import named
from stg_core.tasks import arrays, folders, tables
from stg_core.tasks.choices import Choices, Found, Part, Progress
from stg_core.tasks.datasets import (
    LONGEST_DATA_SET_NAME,
    DataSet,
    add,
    check_data_set_name,
    datasets_folder,
    is_taken,
)
from stg_core.tasks.groups import Task
from stg_core.tasks.labels import Column, read_labels

__all__ = ["Choices", "Part", "Preview", "TaskGlance", "add_source", "look", "name_of"]

ROWS_LOOKED_AT = 20_000
A_DAY = 86_400  # seconds
ENDINGS = (*tables.ENDINGS, *arrays.ENDINGS)


@dataclass(frozen=True)
class TaskGlance:
    """A task as its first labels show it.

    why: it is of that kind; labelled: labels that are not missing; missing: share of those that
    are; prevalence: share of positives, None unless it is binary. problem: why it cannot be read;
    the other fields say nothing then.
    """

    name: str
    task: Task | None
    why: str = ""
    labelled: int = 0
    missing: float = 0.0
    prevalence: float | None = None
    problem: str = ""


@dataclass(frozen=True)
class Preview:
    """What a source holds and how it would be kept.

    what: the kind of source, in words; name: of the data set; columns: of a table, with their
    roles, () of what is none; tasks: by the first `rows_read` points; points: of the whole source,
    None where that is not known at once; shape: of a point, (F,) or (H, W, C), () where there is
    none yet; notes: what was guessed, and why; problem: what to mend before it can be kept, or "".
    """

    what: str
    name: str
    columns: tuple[Part, ...] = ()
    tasks: tuple[TaskGlance, ...] = ()
    points: int | None = None
    points_are_estimated: bool = False
    rows_read: int = 0
    shape: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()
    problem: str = ""
    name_is_taken: bool = False

    @property
    def suggested_tasks(self) -> tuple[str, ...]:
        """Columns that look like tasks and are none yet."""
        return tuple(part.column for part in self.columns if part.hint == "task")


def look(path: Path, choices: Choices | None = None) -> Preview:
    """How a source would be kept, from its first rows; what is wrong is in `problem`."""
    choices = choices or Choices()
    name = choices.name or name_of(path)
    try:
        found = _read(path, choices, None, ROWS_LOOKED_AT, lambda what, share: None)
    except UserError as error:
        return Preview("", name, problem=str(error), name_is_taken=is_taken(name))
    tasks = _glances(found.labels, choices)
    problems = [found.problem, *(task.problem for task in tasks), _problem_of_name(name)]
    return Preview(
        found.what,
        name,
        tuple(found.parts),
        tasks,
        found.count,
        found.estimated,
        len(found.labels[0].codes) if found.labels else 0,
        found.shape,
        tuple(found.notes),
        next(filter(None, problems), ""),
        is_taken(name),
    )


def add_source(
    path: Path, choices: Choices | None = None, progress: Progress | None = None
) -> DataSet:
    """Keeps what a file or folder holds as a data set, and returns it.

    progress: called with what is done and its share; what it raises, such as Cancelled, ends the
    work, and nothing is kept. Raises UserError, which says what to mend.
    """
    choices = choices or Choices()
    name = choices.name or name_of(path)
    check_data_set_name(name)
    if is_taken(name) and not choices.replace:
        raise UserError(
            f"There is a data set {name} already: replace it with --replace, or choose another name"
            " with --name NAME."
        )
    with _scratch() as scratch:
        found = _read(path, choices, scratch, None, progress or (lambda what, share: None))
        if found.problem:
            raise UserError(found.problem)
        assert found.points is not None, "what has no problem has points"
        tasks = [column.name for column in found.labels]
        return add(
            name,
            found.points,
            found.labels,
            kinds=choices.kinds_of(tasks),
            families=choices.families_of(tasks),
            missing=choices.missing,
            no=choices.no,
            features=found.features,
            ids=found.ids,
            texts=found.texts,
            split=found.split,
            test_share=choices.test_share,
            seed=choices.seed,
            source=path,
            notes=found.notes,
            replace_old=choices.replace,
            progress=progress,
        )


def name_of(path: Path) -> str:
    """A name for the data set of a file or folder, from its own."""
    own = path.resolve().name
    for ending in sorted(ENDINGS, key=len, reverse=True):
        if own.lower().endswith(ending):
            own = re.sub(r"-train$", "", own[: -len(ending)])
            break
    valid = re.sub(r"[^\w.-]+", "-", own).strip("-.")[:LONGEST_DATA_SET_NAME]
    try:
        check_data_set_name(valid)
    except UserError:
        return f"my-{valid}"[:LONGEST_DATA_SET_NAME].rstrip("-")
    return valid


def _problem_of_name(name: str) -> str:
    try:
        check_data_set_name(name)
    except UserError as error:
        return str(error)
    return ""


def _read(
    path: Path, choices: Choices, scratch: Path | None, limit: int | None, tell: Progress
) -> Found:
    """What a source holds, its points below `scratch`; without one, only its first labels."""
    try:
        if path.is_dir():
            return folders.read(path, choices, scratch, limit, tell)
        if not path.exists():
            raise UserError(f"There is no file or folder {path}.")
        ending = path.name.lower()
        if ending.endswith(arrays.ENDINGS):
            return arrays.read(path, choices, limit)
        if ending.endswith(tables.ENDINGS):
            return tables.read(path, choices, scratch, limit, tell)
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror or error}).") from error
    raise UserError(
        f"{named(path.name)} is none of the files that can be read: a table ("
        f"{', '.join(tables.ENDINGS)}), arrays ({', '.join(arrays.ENDINGS)}), or a folder of"
        " images. From Python, stg_core.tasks.datasets.add takes any arrays."
    )


@contextmanager
def _scratch() -> Iterator[Path]:
    """A folder for points that do not fit into memory, on the disk that will keep them."""
    datasets_folder().mkdir(parents=True, exist_ok=True)
    for left in datasets_folder().glob(".reading-*"):  # by a process that was killed
        if time.time() - left.stat().st_mtime > A_DAY:
            shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=".reading-", dir=datasets_folder()) as folder:
        yield Path(folder)


def _glances(columns: list[Column], choices: Choices) -> tuple[TaskGlance, ...]:
    names = [column.name for column in columns]
    try:
        kinds, families = choices.kinds_of(names), choices.families_of(names)
    except UserError as error:
        return tuple(TaskGlance(name, None, problem=str(error)) for name in names[:1])
    glances = []
    for column in columns:
        kind, family = kinds.get(column.name), families.get(column.name, "")
        try:
            read = read_labels(column, kind, choices.missing, choices.no, family)
        except UserError as error:
            glances.append(TaskGlance(column.name, None, problem=str(error)))
            continue
        known = read.labels[~np.isnan(read.labels)]
        prevalence = float(known.mean()) if read.task.kind == "binary" and len(known) else None
        missing = 1 - len(known) / max(1, len(read.labels))
        glances.append(
            TaskGlance(column.name, read.task, read.why, len(known), missing, prevalence)
        )
    return tuple(glances)
