"""Which format a log is of, by what its files hold, whatever they are called."""

from __future__ import annotations

import os
import re
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from stg_core.maps.formats import (
    arrays,
    aum,
    cartography,
    coordinates,
    long_table,
    tensors,
)
from stg_core.maps.formats.answers import Answers, Question
from stg_core.maps.formats.keeping import Keeper
from stg_core.maps.formats.lines import BOM, LOOKED_AT, Lines, Tell, beginning, start_of, told
from stg_core.maps.formats.numbers import names_of
from stg_core.system.errors import UserError
from stg_core.system.litter import is_litter
from stg_core.system.words import counted, named
from stg_core.tasks.groups import Task

DEEPEST = 3  # folders within folders
MOST_NAMED = 3
COMMON_NAMES = (
    *("training_dynamics", "dynamics", "logs", "log", "output", "outputs", "data_map_coordinates"),
    *("td_metrics", "full_aum_records", "aum", "datamap", "datamaps", "checkpoints", "coordinates"),
)
NPY, ZIP, PICKLE = b"\x93NUMPY", b"PK\x03\x04", b"\x80"
TORCH_BEFORE_ZIP = b"\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19"  # the magic number it pickled


class ExistingLog(Protocol):
    """A log that was recognised, and of which nothing but its beginnings was read.

    format: in words; files: that will be read; points: how many, and whether that is an estimate;
    problem: why it cannot be brought, or ""; prepared: the same with all that has to be known
    before it is read; scratch: a folder for that. All raise UserError for what does not fit.
    """

    @property
    def format(self) -> str: ...
    @property
    def files(self) -> list[Path]: ...
    @property
    def tasks(self) -> tuple[Task, ...]: ...
    @property
    def n_epochs(self) -> int | None: ...
    @property
    def points(self) -> tuple[int | None, bool]: ...
    @property
    def rows(self) -> list[dict[str, Any]]: ...
    @property
    def questions(self) -> list[Question]: ...
    @property
    def notes(self) -> list[str]: ...
    @property
    def problem(self) -> str: ...
    def prepared(self, scratch: Path, tell: Tell) -> ExistingLog: ...
    def read(self, keeper: Keeper, tell: Tell) -> None: ...


@dataclass(frozen=True)
class Recognised:
    """A log, and what was noticed while it was looked for."""

    log: ExistingLog
    notes: list[str]


@dataclass
class _Sorted:
    """Files by what they hold; what was read of each to tell that is kept."""

    dynamics: dict[Path, Lines] = field(default_factory=dict)
    arrays: list[Path] = field(default_factory=list)
    long: list[tuple[Path, Any, Any]] = field(default_factory=list)
    aum: list[tuple[Path, Any, Any]] = field(default_factory=list)
    tensors: list[Path] = field(default_factory=list)
    coordinates: dict[Path, Lines] = field(default_factory=dict)
    means: list[Path] = field(default_factory=list)
    empty: list[Path] = field(default_factory=list)
    strays: list[Path] = field(default_factory=list)
    why: str = ""  # a stray could not be read
    broken: str = ""  # what a file of outputs begins with, which should not be left out

    @property
    def kinds(self) -> dict[str, list[Path]]:
        """By what is taken where a folder holds several: what knows most of the epochs first."""
        return {
            "dynamics": list(self.dynamics),
            "arrays": self.arrays,
            "long": [path for path, _, _ in self.long],
            "aum": [path for path, _, _ in self.aum],
            "tensors": self.tensors,
            "coordinates": list(self.coordinates),
        }


def recognise(paths: Sequence[Path], answers: Answers) -> Recognised:
    """The log of some files and folders; raises UserError where there is none that can be read."""
    if not paths:
        raise UserError("Say which files or folders the log is in.")
    files = [path for given in paths for path in _files_of(Path(given).expanduser())]
    if not files:
        raise UserError(f"There are no files in {', '.join(str(path) for path in paths)}.")
    found = _Sorted()
    for path in {path.resolve(): path for path in files}.values():
        try:
            _sort(path, found)
        except UserError as error:
            found.strays.append(path)
            found.why = found.why or str(error)
    kind = next((kind for kind, own in found.kinds.items() if own), "")
    if found.broken and kind in ("", "dynamics"):
        raise UserError(found.broken)
    if not kind:
        raise UserError(_nothing(found))
    left = [path for other, own in found.kinds.items() if other != kind for path in own]
    notes = []
    if left := [*found.strays, *found.means, *left]:
        notes.append(f"Not of the log, and left out: {_named_files(left)}.")
    if found.empty:
        notes.append(f"Empty, and left out: {_named_files(found.empty)}.")
    return Recognised(_log_of(kind, found, answers), notes)


def _nothing(found: _Sorted) -> str:
    """Why nothing is a log."""
    if found.means:
        return aum.ONLY_MEANS.format(found.means[0].name)
    if found.why:
        return found.why
    if not found.strays:
        return f"{_named_files(found.empty)} {'is' if len(found.empty) == 1 else 'are'} empty."
    return (
        f"No log is recognised in {_named_files(found.strays)}. Read are JSON lines of training"
        " dynamics or of coordinates, arrays of outputs (.npz, .npy), tensors of data maps (.pt),"
        " and tables of id, task, epoch, probability and label, or of AUM."
    )


def _sort(path: Path, found: _Sorted) -> None:
    """Puts a file where it belongs, by its first bytes and what they begin."""
    start = start_of(path)
    text = start.removeprefix(BOM).lstrip()
    if not start:
        found.empty.append(path)
    elif start.startswith(NPY) or (start.startswith(ZIP) and names_of(path)):
        (found.arrays if arrays.is_one(path) else found.strays).append(path)
    elif start.startswith(ZIP) or start.startswith(PICKLE):
        (found.tensors if _may_be_tensors(path, start) else found.strays).append(path)
    elif text.startswith(b"{"):
        lines = _json_lines(path, found, text)
        if lines and not lines.records:
            found.empty.append(path)  # but for a line that was cut short
        elif lines and cartography.is_one(lines.records[0]):
            found.dynamics[path] = lines
        elif lines and coordinates.is_one(lines.records[0]):
            found.coordinates[path] = lines
        else:
            found.strays.append(path)
    elif start.startswith(long_table.PARQUET) or b"," in text or b"\t" in text or b";" in text:
        _sort_table(path, start, found)
    else:
        found.strays.append(path)


def _may_be_tensors(path: Path, start: bytes) -> bool:
    """Whether torch may have written it; raises UserError for a pickle of anything else."""
    if start.startswith(ZIP):
        try:
            with zipfile.ZipFile(path) as archive:
                return any(name.endswith("data.pkl") for name in archive.namelist())
        except zipfile.BadZipFile as error:
            raise UserError(f"{path.name} is damaged ({error}).") from error
    if TORCH_BEFORE_ZIP in start[:32]:
        return True
    raise UserError(
        f"{path.name} is a pickle of Python, which could run code when it is read: save its arrays"
        " with np.savez."
    )


def _sort_table(path: Path, start: bytes, found: _Sorted) -> None:
    if not start.startswith(long_table.PARQUET):
        header = start.split(b"\n", 1)[0].decode("utf-8-sig", "replace").lower()
        known = {"epoch", "epochs", "sample_id"}
        if not known & set(re.split(r"[,;\t]", re.sub(r"[\s\"']", "", header.replace("\t", ",")))):
            found.strays.append(path)
            return
    rows = long_table.table_of(path)
    if own := aum.columns_of(rows.names):
        found.aum.append((path, rows, own))
    elif aum.has_only_means(rows.names):
        found.means.append(path)
    elif own := long_table.columns_of(rows.names):
        found.long.append((path, rows, own))
    else:
        found.strays.append(path)


def _log_of(kind: str, found: _Sorted, answers: Answers) -> ExistingLog:
    files = found.kinds[kind]
    if kind == "dynamics":
        folders: dict[Path, dict[Path, Lines]] = {}
        for path, lines in found.dynamics.items():
            folders.setdefault(path.parent, {})[path] = lines
        logs = [
            cartography.dynamics_of(name, first, answers.outputs)
            for name, first in zip(names_of_tasks(list(folders)), folders.values(), strict=True)
        ]
        return cartography.CartographyLog(logs, answers)
    if kind == "coordinates":
        names = names_of_tasks(files)
        first = dict(zip(names, found.coordinates.values(), strict=True))
        return coordinates.CoordinatesLog(first, answers)
    if kind == "tensors":
        return tensors.TensorLog(sorted(files, key=_by_number), answers)
    name = names_of_tasks(files)[0]
    if kind == "arrays":
        return arrays.ArraysLog(files, answers, name)
    if kind == "aum":
        return aum.AumLog(found.aum, answers, name)
    return long_table.LongLog(found.long, answers, name)


def _by_number(path: Path) -> tuple[int, str]:
    """10.pt comes after 9.pt."""
    digits = re.findall(r"\d+", path.stem)
    return (int(digits[-1]) if digits else 0, path.name)


def _files_of(path: Path, depth: int = 0) -> list[Path]:
    """All files of a folder that are no litter, by name; a file is its own."""
    with told(path):
        if path.is_dir():
            if depth > DEEPEST:
                return []
            inside = sorted(p for p in path.iterdir() if not is_litter(p.name))
            return [file for each in inside for file in _files_of(each, depth + 1)]
    if not path.exists() and not depth:
        raise UserError(f"There is no file or folder {path}.")
    return [path] if path.is_file() else []


def _json_lines(path: Path, found: _Sorted, text: bytes) -> Lines | None:
    """The first records of a file of JSON lines; None for any other file.

    Of one whose later lines are damaged only the first: reading it will say which they are.
    """
    for most in (LOOKED_AT, 1):
        try:
            return beginning(path, most)
        except UserError as error:
            why = str(error)
    if b"_epoch" in text:
        found.broken = found.broken or why
    return None


def names_of_tasks(places: Sequence[Path]) -> list[str]:
    """What tells folders or files apart, without the names that programs give to all of theirs."""
    found = []
    for place in places:
        own = place.resolve()
        name = own.name if own.is_dir() else own.name.split(".")[0]
        while name.lower() in COMMON_NAMES and own.parent.name:
            own = own.parent
            name = own.name
        found.append(name or "log")
    if len(set(found)) == len(found):
        return found
    common = os.path.commonpath([place.resolve().parent for place in places])
    return [str(place.resolve().relative_to(common)) for place in places]


def _named_files(paths: Sequence[Path]) -> str:
    shown = ", ".join(named(path.name) for path in paths[:MOST_NAMED])
    more = len(paths) - MOST_NAMED
    return f"{shown} and {counted(more, 'file')} more" if more > 0 else shown
