"""Which format a log is of, by what its files hold, whatever they are called."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from stg_core.maps.formats import cartography
from stg_core.maps.formats.answers import Answers, Question
from stg_core.maps.formats.cartography import LOOKED_AT, CartographyLog, dynamics_of
from stg_core.maps.formats.keeping import Keeper
from stg_core.maps.formats.lines import Lines, Tell, beginning, opened, told
from stg_core.system.errors import UserError
from stg_core.system.litter import is_litter
from stg_core.system.words import counted, named
from stg_core.tasks.groups import Task

DEEPEST = 3  # folders within folders
MOST_NAMED = 3
COMMON_NAMES = ("training_dynamics", "dynamics", "logs", "log", "output", "outputs")


class ExistingLog(Protocol):
    """A log that was recognised, and of which nothing but its beginnings was read.

    format: in words; files: that will be read; points: how many, and whether that is an estimate;
    problem: why it cannot be brought, or "". `tasks` and `read` raise UserError.
    """

    @property
    def format(self) -> str: ...
    @property
    def files(self) -> list[Path]: ...
    @property
    def tasks(self) -> tuple[Task, ...]: ...
    @property
    def n_epochs(self) -> int: ...
    @property
    def points(self) -> tuple[int, bool]: ...
    @property
    def rows(self) -> list[dict[str, object]]: ...
    @property
    def questions(self) -> list[Question]: ...
    @property
    def notes(self) -> list[str]: ...
    @property
    def problem(self) -> str: ...
    def read(self, keeper: Keeper, tell: Tell) -> None: ...


@dataclass(frozen=True)
class Recognised:
    """A log, and what was noticed while it was looked for."""

    log: ExistingLog
    notes: list[str]


def recognise(paths: Sequence[Path], answers: Answers) -> Recognised:
    """The log of some files and folders; raises UserError where there is none that can be read."""
    if not paths:
        raise UserError("Say which files or folders the log is in.")
    files = [path for given in paths for path in _files_of(Path(given).expanduser())]
    if not files:
        raise UserError(f"There are no files in {', '.join(str(path) for path in paths)}.")
    dynamics: dict[Path, dict[Path, Lines]] = {}
    strays, empty = [], []
    for path in dict.fromkeys(files):
        if _is_empty(path):
            empty.append(path)
            continue
        lines = _json_lines(path)
        if lines and cartography.is_one(lines.records[0]):
            dynamics.setdefault(path.parent, {})[path] = lines
        else:
            strays.append(path)
    notes = []
    if empty:
        notes.append(f"Empty, and left out: {_named_files(empty)}.")
    if dynamics:
        if strays:
            notes.append(f"Not of the log, and left out: {_named_files(strays)}.")
        names = _names_of(list(dynamics))
        logs = [
            dynamics_of(name, first, answers.outputs)
            for name, first in zip(names, dynamics.values(), strict=True)
        ]
        return Recognised(CartographyLog(logs, answers), notes)
    raise UserError(
        f"No log is recognised in {_named_files(strays or empty)}: a log is a folder of JSON lines"
        " as Dataset Cartography writes them."
    )


def _files_of(path: Path, depth: int = 0) -> list[Path]:
    """All files of a folder that are no litter, by name; a file is its own."""
    with told(path):
        if path.is_dir():
            if depth > DEEPEST:
                return []
            inside = sorted(p for p in path.iterdir() if not is_litter(p.name))
            return [file for each in inside for file in _files_of(each, depth + 1)]
    if not path.exists():
        raise UserError(f"There is no file or folder {path}.")
    return [path] if path.is_file() else []


def _is_empty(path: Path) -> bool:
    with told(path):
        return path.stat().st_size == 0


def _json_lines(path: Path) -> Lines | None:
    """The first records of a file of JSON lines; None for any other file."""
    try:
        with told(path), opened(path) as file:
            start = file.read(4096).removeprefix(b"\xef\xbb\xbf").lstrip()
        if not start.startswith(b"{"):
            return None
        lines: Lines | None = beginning(path, LOOKED_AT)
    except UserError:
        lines = _first_only(path)
    return lines if lines and lines.records else None


def _first_only(path: Path) -> Lines | None:
    """The first record of a file whose later ones are damaged: reading it will say which."""
    try:
        return beginning(path, 1)
    except UserError:
        return None


def _names_of(folders: Sequence[Path]) -> list[str]:
    """Of tasks: what tells the folders apart."""
    found = []
    for folder in folders:
        resolved = folder.resolve()
        while resolved.name.lower() in COMMON_NAMES and resolved.parent.name:
            resolved = resolved.parent
        found.append(resolved.name or "log")
    if len(set(found)) == len(found):
        return found
    return [str(folder.resolve().relative_to(_common(folders))) for folder in folders]


def _common(folders: Sequence[Path]) -> Path:
    """The folder that all are in."""
    first, *others = [folder.resolve() for folder in folders]
    return next(
        parent for parent in first.parents if all(parent in other.parents for other in others)
    )


def _named_files(paths: Sequence[Path]) -> str:
    shown = ", ".join(named(path.name) for path in paths[:MOST_NAMED])
    more = len(paths) - MOST_NAMED
    return f"{shown} and {counted(more, 'file')} more" if more > 0 else shown
