"""What is asked of a source of data, and what is found there."""

from __future__ import annotations

import csv
import difflib
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from stg_core.system.errors import UserError
from stg_core.system.spreadsheets import as_written
from stg_core.system.words import counted, named
from stg_core.tasks.groups import Kind
from stg_core.tasks.labels import Column

Progress = Callable[[str, float], None]
Role = Literal["task", "feature", "id", "text", "split", "left out"]
ROLES: tuple[Role, ...] = ("task", "feature", "id", "text", "split", "left out")
LISTED = 8  # columns that a sentence lists


@dataclass(frozen=True)
class Choices:
    """What is said about a source; what is not said is guessed, and the notes tell why.

    tasks, features, left_out: names of columns or patterns such as `NR-*`; an exact name wins over
    a pattern. id, text, split: a column each. hash_text: a column of words to make features of.
    kinds: of tasks, by name or pattern. missing, no: see `labels.read_labels`. families: what tasks
    count to; family_before: they count to what stands before that in their names, such as "-".
    side: of images, in pixels. labels: MULAN's XML file. name: "" for that of the file.
    """

    name: str = ""
    tasks: tuple[str, ...] = ()
    features: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    id: str = ""
    text: str = ""
    split: str = ""
    hash_text: str = ""
    kinds: Mapping[str, Kind] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    no: str | None = None
    families: Mapping[str, str] = field(default_factory=dict)
    family_before: str = ""
    test_share: float = 0.2
    seed: int = 0
    side: int = 32
    one_task_per_class: bool = False
    labels: Path | None = None
    replace: bool = False

    def kinds_of(self, tasks: Sequence[str]) -> dict[str, Kind]:
        """The kind of each task of which one is said; UserError where there is no such task."""
        said: dict[str, Kind] = {}
        for pattern, kind in self.kinds.items():
            for name in matching(pattern, tasks, "task"):
                if pattern == name or name not in self.kinds:
                    said[name] = kind
        return said

    def families_of(self, tasks: Sequence[str]) -> dict[str, str]:
        """What each task counts to, of those that count to something."""
        if unknown := [name for name in self.families if name not in tasks]:
            raise UserError(
                f"The families name a task that is not there, {named(unknown[0])}."
                f"{_is_meant(unknown[0], tasks)}"
            )
        before = self.family_before
        cut = {n: n.split(before)[0].strip() for n in tasks if before and before in n[1:]}
        return {name: family for name, family in (cut | dict(self.families)).items() if family}


@dataclass(frozen=True)
class Part:
    """A column of a source, what it is taken for, and why.

    name: of the task or the column; hint: "task" for a column that looks like one and is none yet;
    examples: some of its values.
    """

    index: int
    column: str
    role: Role
    why: str = ""
    name: str = ""
    hint: str = ""
    examples: tuple[str, ...] = ()


@dataclass
class Found:
    """What a source holds, or its first points do. points: None where only labels were looked at.

    count: points of the whole source, as far as that is known; estimated: whether it is a guess.
    problem: a sentence, where the data cannot be kept like that.
    """

    what: str
    points: NDArray[Any] | None = None
    shape: tuple[int, ...] = ()
    labels: list[Column] = field(default_factory=list)
    features: list[str] = field(default_factory=list)
    ids: list[str] | None = None
    texts: list[str] | None = None
    split: Column | NDArray[np.bool_] | None = None
    parts: list[Part] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    count: int | None = None
    estimated: bool = False
    problem: str = ""


def matching(pattern: str, names: Sequence[str], what: str = "column") -> list[str]:
    """The name itself, or else all that match the pattern; UserError where none does."""
    if pattern in names:
        return [pattern]
    if found := list(dict.fromkeys(name for name in names if fnmatchcase(name, pattern))):
        return found
    raise no_such(pattern, names, what)


def no_such(wanted: str, names: Sequence[str], what: str = "column") -> UserError:
    """That it is not there, and which one may be meant."""
    return UserError(f"There is no {what} {named(wanted)}.{_is_meant(wanted, names)}")


def listed(names: Sequence[str]) -> str:
    """Some of the names, as a sentence can hold them.

    >>> listed(["a", "b"])
    '“a”, “b”'
    """
    rest = len(names) - LISTED
    return ", ".join(map(named, names[:LISTED])) + (f" and {rest:,} more" if rest > 0 else "")


def _is_meant(wanted: str, names: Sequence[str]) -> str:
    if near := difflib.get_close_matches(wanted, names, n=1):
        return f" Is {named(near[0])} meant?"
    return f" There {'is' if len(names) == 1 else 'are'} {listed(names)}." if names else ""


def read_families(content: bytes) -> dict[str, str]:
    """Families of tasks, from CSV in UTF-8 with the columns task and family; a header is optional.

    Raises UserError that names the line of what is no task with a family.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UserError("The file of families is not UTF-8: save it as CSV (UTF-8).") from None
    first = text.partition("\n")[0]
    delimiter = max(",;\t", key=first.count)
    families: dict[str, str] = {}
    reader = csv.reader(io.StringIO(text, newline=None), delimiter=delimiter)
    for cells in reader:
        row = [as_written(cell.strip()) for cell in cells]
        if not any(row) or [cell.casefold() for cell in row] == ["task", "family"]:
            continue
        if len(row) != 2 or not row[0]:
            raise UserError(
                f"Line {reader.line_num} of the families has {counted(len(row), 'cell')}: write"
                " task,family, and put names with commas in quotation marks."
            )
        if row[0] in families:
            raise UserError(f"The families name the task {named(row[0])} twice: keep one line.")
        families[row[0]] = row[1]
    return families
