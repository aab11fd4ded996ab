"""Data sets of one's own: kept below `STG_HOME/datasets`, as memory-mapped arrays.

    <name>/manifest.json      tasks, features, counts, digest, and where the data came from
    <name>/{split}_points.npy images, uint8 (N, H, W, C), or standardised rows, float32 (N, F)
    <name>/{split}_labels.npy float32 (N, T), NaN where one is missing
    <name>/{split}_about.parquet  the id and the text of every point

A folder is whole or not there: it is written under a temporary name and renamed.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from numpy.typing import ArrayLike, NDArray

from stg_core.system.errors import UserError
from stg_core.system.files import DISK_FULL
from stg_core.system.home import home
from stg_core.system.threads import ahead
from stg_core.system.words import counted, named
from stg_core.tasks.groups import GROUPS, SPLITS, Kind, Split, Task, TaskGroup, named_group
from stg_core.tasks.images import CLASS_NAMES
from stg_core.tasks.labels import Column, Labels, read_labels
from stg_core.tasks.names import check_names
from stg_core.tasks.splits import split_of_words, stratified_split

Progress = Callable[[str, float], None]

FORMAT = 1
MOST_TASKS = 2_000
LONGEST_DATA_SET_NAME = 60
RESERVED = (*GROUPS, *CLASS_NAMES, "custom", "bundled")
ROWS_AT_ONCE = 2**22  # numbers that are standardised at a time
DAMAGED = (OSError, ValueError, KeyError, TypeError, AttributeError)


@dataclass(frozen=True)
class DataSet:
    """A data set of this machine.

    manifest: format, name, digest, tasks, features, shape of a point, counts per split, bytes per
    file, source, created, notes (what was guessed, and why), and of rows their scaling.
    """

    folder: Path
    manifest: Mapping[str, Any]

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def digest(self) -> str:
        return str(self.manifest["digest"])

    @cached_property
    def group(self) -> TaskGroup:
        """All of its tasks."""
        tasks = tuple(Task.from_json(task) for task in self.manifest["tasks"])
        return TaskGroup(self.name, self.name, tasks, self.digest, self.shape)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of a point: (H, W, C) of an image, (F,) of a row."""
        return tuple(self.manifest["shape"])

    @property
    def has_images(self) -> bool:
        return len(self.shape) == 3

    @property
    def features(self) -> tuple[str, ...]:
        """Names of a row's numbers, (F,); () of images."""
        return tuple(self.manifest["features"])

    @property
    def scaling(self) -> Mapping[str, Any] | None:
        """How rows were made of the numbers that came in.

        "mean" and "deviation" of each, and "gaps": which have a feature that is 1 where they are
        missing. None of images, and of a data set that an earlier version added.
        """
        found: Mapping[str, Any] | None = self.manifest.get("scaling")
        return found

    @property
    def counts(self) -> Mapping[str, int]:
        """Points of each split."""
        return dict(self.manifest["counts"])

    @property
    def of_a_file(self) -> bool:
        """Whether it was made of a single file, so that a change of that is seen at once."""
        return Path((self.manifest.get("source") or {}).get("path", "")).is_file()

    @property
    def size(self) -> int:
        """Bytes on disk."""
        return sum(self.manifest["bytes"].values())

    def split(self, split: Split) -> tuple[NDArray[Any], NDArray[np.float32]]:
        """Points and labels (N, T) of a split, memory-mapped."""
        return self._array(f"{split}_points.npy"), self._array(f"{split}_labels.npy")

    def columns_of(self, group: TaskGroup) -> list[int]:
        """Which columns of the labels a group's tasks are."""
        return [self.group.task_names.index(name) for name in group.task_names]

    def about(self, indices: Sequence[int], split: Split = "train") -> list[dict[str, str]]:
        """Id and, if it has one, text of some points."""
        import pyarrow.parquet as parquet

        table = parquet.read_table(self.folder / f"{split}_about.parquet", memory_map=True)
        return [dict(row) for row in table.take(list(indices)).to_pylist()]

    def _array(self, name: str) -> NDArray[Any]:
        try:
            array: NDArray[Any] = np.load(self.folder / name, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError) as error:
            raise UserError(
                f"The data set {self.name} is damaged ({error}): add it again."
            ) from error
        return array


# ------------------------------------------------------------------------------------ what there is


def datasets_folder() -> Path:
    return home() / "datasets"


def data_sets() -> list[DataSet]:
    """All data sets of one's own that are whole, by name."""
    manifests = sorted(datasets_folder().glob("*/manifest.json"))
    return [found for path in manifests if (found := _read(path.parent))]


def data_set(name: str) -> DataSet:
    """The data set of a name; UserError where there is none."""
    found = _read(datasets_folder() / name) if name and Path(name).name == name else None
    if found is None:
        known = ", ".join(one.name for one in data_sets()) or "none yet"
        raise UserError(
            f"There is no data set {named(name)} on this machine ({known}): add it with"
            " python -m stg_core add FILE."
        )
    return found


def has_data_set(group: TaskGroup) -> bool:
    """Whether the data of a group of one's own are on this machine."""
    return any(one.digest == group.digest for one in data_sets())


def data_set_of(group: TaskGroup) -> DataSet:
    """The data of a group, found by their digest; UserError where they are not on this machine."""
    every = data_sets()
    for one in every:
        if group.digest and one.digest == group.digest:
            return one
    if any(one.name == group.dataset for one in every):
        raise UserError(
            f"The data set {group.dataset} of this machine is another one than that of the run:"
            " its points or labels have changed since."
        )
    raise UserError(
        f"The data set {named(group.dataset)} is not on this machine: add it with"
        f" python -m stg_core add FILE --name {group.dataset}."
    )


def find_group(name: str) -> TaskGroup:
    """The built-in group, or all tasks of the data set, of a name; or UserError."""
    if name.lower() in GROUPS:
        return named_group(name)
    if found := next((one for one in data_sets() if one.name == name), None):
        return found.group
    own = [one.name for one in data_sets()]
    raise UserError(
        f"There is no task group {named(name)}; choose one of {', '.join([*GROUPS, *own])}, or add"
        " a data set of yours with python -m stg_core add FILE."
    )


def _read(folder: Path) -> DataSet | None:
    """The whole data set in a folder; None for anything else."""
    try:
        known = (folder / "manifest.json").stat()
        found = _read_manifest(folder, known.st_mtime_ns, known.st_size)
        whole = all((folder / f).stat().st_size == n for f, n in found.manifest["bytes"].items())
        return found if whole and found.manifest["format"] == FORMAT and found.group.tasks else None
    except (*DAMAGED, UserError):
        return None


@lru_cache(maxsize=256)
def _read_manifest(folder: Path, changed: int, size: int) -> DataSet:
    """Read anew where the file has changed only: a page asks for all data sets many times."""
    return DataSet(folder, json.loads((folder / "manifest.json").read_text()))


# ----------------------------------------------------------------------------------- to change them


def check_data_set_name(name: str) -> None:
    """Raises UserError for what cannot name a data set: it names a folder, and stands in links."""
    if not re.fullmatch(r"\w[\w.-]*", name) or len(name) > LONGEST_DATA_SET_NAME:
        raise UserError(
            f"{named(name)} cannot name a data set: use letters, digits, hyphens, dots and"
            f" underscores, at most {LONGEST_DATA_SET_NAME}, such as tox21."
        )
    if name.lower() in RESERVED:
        raise UserError(f"{name} is the name of something built in: choose another one.")


def is_taken(name: str) -> bool:
    return _read(datasets_folder() / name) is not None


def rename(name: str, new: str) -> DataSet:
    """Gives a data set another name. Runs of it stay runs of it: they know it by its digest."""
    old = data_set(name)
    check_data_set_name(new)
    if is_taken(new):
        raise UserError(f"There is a data set {new} already: choose another name.")
    target = old.folder.with_name(new)
    shutil.rmtree(target, ignore_errors=True)
    old.folder.rename(target)
    return data_set(new)


def remove(name: str) -> None:
    """Deletes a data set for good; runs of it stay."""
    folder = data_set(name).folder
    leaving = folder.with_name(f".{name}.deleted")
    shutil.rmtree(leaving, ignore_errors=True)
    folder.rename(leaving)
    shutil.rmtree(leaving, ignore_errors=True)


def source_changed(found: DataSet) -> bool:
    """Whether the file or folder that a data set was made of is another one by now."""
    source = found.manifest.get("source") or {}
    path = Path(source.get("path", ""))
    return bool(source) and path.exists() and stamp_of(path) != source["stamp"]


def stamp_of(path: Path) -> str:
    """What identifies the present state of a file, or of all files below a folder."""
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    stats = [(str(f.relative_to(path)), f.stat().st_size, f.stat().st_mtime_ns) for f in files]
    return hashlib.blake2b(repr(stats).encode(), digest_size=16).hexdigest()


def add(
    name: str,
    points: ArrayLike,
    labels: ArrayLike | Mapping[str, ArrayLike] | Sequence[Column],
    *,
    tasks: Sequence[str] = (),
    kinds: Mapping[str, Kind] | None = None,
    families: Mapping[str, str] | None = None,
    missing: Collection[str] = (),
    no: str | None = None,
    features: Sequence[str] = (),
    ids: Sequence[str] | NDArray[np.str_] | None = None,
    texts: Sequence[str] | NDArray[np.str_] | None = None,
    split: Sequence[str] | NDArray[Any] | Column | None = None,
    test_share: float = 0.2,
    seed: int = 0,
    source: Path | None = None,
    notes: Sequence[str] = (),
    replace_old: bool = False,
    progress: Progress | None = None,
) -> DataSet:
    """Keeps a data set under a name, from arrays, and returns it.

    points: rows (N, F) of numbers, NaN where one is missing, or images, uint8 (N, H, W) or
    (N, H, W, C) of 1 to 4 channels. labels: (N, T) with `tasks` as names, or a mapping of names
    to (N,). kinds: of tasks whose kind is not to be guessed; families: what tasks count to.
    missing, no: see `labels.read_labels`. ids, texts: of every point. split: "train" or "test" of
    every point, or whether it is for testing; without it `test_share` of the points, drawn with
    `seed` and stratified. Raises UserError, which says what to mend; nothing is kept then.
    """
    check_data_set_name(name)
    tell = progress or (lambda what, share: None)
    rows = checked_points(points)
    columns = _columns(labels, tasks, len(rows))
    read, matrix = _read_all(columns, kinds or {}, missing, no, families or {})
    told = [one.task for one in read]
    for_test = _split(split, matrix, told, test_share, seed)
    maker = _Maker(name, rows, matrix, told, for_test, tell)
    maker.features = _feature_names(features, rows)
    maker.about = _about(ids, texts, len(rows))
    maker.notes = [*notes, *_guesses(read, kinds or {})]
    if source is not None:
        maker.source = {"path": str(source.resolve()), "stamp": stamp_of(source)}
    return maker.keep(replace_old)


def checked_points(points: ArrayLike) -> NDArray[Any]:
    """Rows (N, F), or images (N, H, W, C) uint8; UserError for anything else."""
    array = points if isinstance(points, np.ndarray) else np.asarray(points)
    if array.dtype == np.uint8 and array.ndim in (3, 4):
        images = array if array.ndim == 4 else array[..., None]
        if not 1 <= images.shape[-1] <= 4:
            raise UserError(
                f"The images are {' × '.join(map(str, images.shape[1:]))}: give them as height ×"
                " width × channels, with 1 to 4 channels."
            )
        return images
    if array.ndim != 2 or array.dtype.kind not in "buif":
        raise UserError(
            f"The points are {' × '.join(map(str, array.shape))} of type {array.dtype}. Give rows"
            " of numbers (points × features), or 8-bit images (points × height × width × channels)."
        )
    if len(array) < 4 or array.shape[1] < 1:
        raise UserError("A data set needs at least 4 points and 1 feature.")
    return array


def _columns(
    labels: ArrayLike | Mapping[str, ArrayLike] | Sequence[Column],
    tasks: Sequence[str],
    n_points: int,
) -> list[Column]:
    if isinstance(labels, Mapping):
        columns = [Column.of(task, labels[task]) for task in tasks or labels]
    elif isinstance(labels, Sequence) and all(isinstance(one, Column) for one in labels):
        columns = [one for one in labels if isinstance(one, Column)]
    else:
        matrix = np.asarray(labels)
        matrix = matrix[:, None] if matrix.ndim == 1 else matrix
        if matrix.ndim != 2 or len(matrix) != n_points or matrix.shape[1] != len(tasks):
            turned = " They may lie on their side." * (matrix.shape == (len(tasks), n_points))
            raise UserError(
                f"The labels are {' × '.join(map(str, matrix.shape))} and should be"
                f" {n_points} × {len(tasks)}: one row for each point, one column for each of the"
                f" named tasks.{turned}"
            )
        columns = [Column.of(task, cells) for task, cells in zip(tasks, matrix.T, strict=True)]
    if not columns:
        raise UserError("Name at least one task: a column of labels.")
    if len(columns) > MOST_TASKS:
        raise UserError(f"There are {len(columns):,} tasks; {MOST_TASKS:,} are the most.")
    for column in columns:
        if len(column.codes) != n_points:
            raise UserError(
                f"Task {named(column.name)} has {counted(len(column.codes), 'label')} for"
                f" {counted(n_points, 'point')}."
            )
    names = [column.name for column in columns]
    check_names(names)
    if twice := sorted({n for n in names if names.count(n) > 1}):
        raise UserError(
            f"Task names must differ, and {', '.join(map(named, twice))} stands there twice: rename"
            " one of them in the source."
        )
    return columns


def _read_all(
    columns: Sequence[Column],
    kinds: Mapping[str, Kind],
    missing: Collection[str],
    no: str | None,
    families: Mapping[str, str],
) -> tuple[list[Labels], NDArray[np.float32]]:
    """Each task, and the labels (N, T) of all of them, a task's in one piece."""
    for name in (*kinds, *families):
        if name not in {column.name for column in columns}:
            raise UserError(f"There is no task {named(name)} to say something about.")
    check_names(filter(None, families.values()))
    by_task = np.empty((len(columns), len(columns[0].codes)), dtype=np.float32)
    read = []
    for column, row in zip(columns, by_task, strict=True):
        family = families.get(column.name, "")
        one = read_labels(column, kinds.get(column.name), missing, no, family)
        row[:] = one.labels
        read.append(replace(one, labels=row))
    return read, by_task.T


def _guesses(read: Sequence[Labels], kinds: Mapping[str, Kind]) -> list[str]:
    """What was guessed about the tasks, and why, a sentence for each reason."""
    tasks: dict[tuple[str, str], list[str]] = {}
    for one in read:
        if one.task.name not in kinds:
            tasks.setdefault((one.task.kind, _general(one)), []).append(one.task.name)
    return [
        f"{counted(len(names), 'task')} taken as {kind} ({named(names[0])}"
        f"{' and more' * (len(names) > 1)}): {why if len(names) == 1 else _of_several(why)}."
        for (kind, why), names in tasks.items()
    ]


def _of_several(why: str) -> str:
    return why.replace("its labels", "their labels", 1)


def _general(one: Labels) -> str:
    """Why a task is of its kind, in the same words for all tasks of which the same is true."""
    return "its labels are numbers" if one.task.kind == "regression" else one.why


def _split(
    split: Sequence[str] | NDArray[Any] | Column | None,
    labels: NDArray[np.float32],
    tasks: Sequence[Task],
    share: float,
    seed: int,
) -> NDArray[np.bool_]:
    if split is None:
        return stratified_split(labels, tasks, share, seed)
    if isinstance(split, Column):
        return split_of_words(split)
    array = np.asarray(split)
    if array.shape != (len(labels),):
        raise UserError(f"The split has {array.size:,} entries for {len(labels):,} points.")
    if array.dtype == bool:
        return split_of_words(Column.of("split", np.where(array, "test", "train")))
    return split_of_words(Column.of("split", array))


def _feature_names(features: Sequence[str], rows: NDArray[Any]) -> list[str]:
    if rows.ndim == 4:
        return []
    if features and len(features) != rows.shape[1]:
        raise UserError(f"There are {len(features)} names for {rows.shape[1]} features.")
    return list(map(str, features)) or [f"feature {j + 1}" for j in range(rows.shape[1])]


def _about(
    ids: Sequence[str] | NDArray[np.str_] | None,
    texts: Sequence[str] | NDArray[np.str_] | None,
    n_points: int,
) -> dict[str, list[str]]:
    about = {"id": [str(i) for i in range(n_points)] if ids is None else list(map(str, ids))}
    if texts is not None:
        about["text"] = list(map(str, texts))
    for what, values in about.items():
        if len(values) != n_points:
            raise UserError(f"There are {len(values):,} {what}s for {n_points:,} points.")
    return about


class _Maker:
    """A data set while it is written."""

    def __init__(
        self,
        name: str,
        points: NDArray[Any],
        labels: NDArray[np.float32],
        tasks: Sequence[Task],
        for_test: NDArray[np.bool_],
        tell: Progress,
    ) -> None:
        self.name, self.points, self.labels, self.tasks = name, points, labels, tasks
        self.places = {"train": np.flatnonzero(~for_test), "test": np.flatnonzero(for_test)}
        self.tell = tell
        self.features: list[str] = []
        self.about: dict[str, list[str]] = {}
        self.source: dict[str, str] | None = None
        self.notes: list[str] = []

    def keep(self, replace_old: bool) -> DataSet:
        folder = datasets_folder() / self.name
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(f"{folder}.lock"):
                if is_taken(self.name) and not replace_old:
                    raise UserError(
                        f"There is a data set {self.name} already: choose another name, or replace"
                        " it with --replace."
                    )
                return self._keep(folder)
        except OSError as error:
            full = "The disk is full" if error.errno in DISK_FULL else str(error)
            raise UserError(f"The data set cannot be kept in {folder.parent} ({full}).") from error

    def _keep(self, folder: Path) -> DataSet:
        temporary = folder.with_name(f".{self.name}.part")
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        try:
            self._write(temporary)
            if folder.exists():
                old = folder.with_name(f".{self.name}.{time.time_ns()}.deleted")
                folder.rename(old)
                shutil.rmtree(old, ignore_errors=True)
            temporary.rename(folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        return data_set(self.name)

    def _write(self, folder: Path) -> None:
        digest = hashlib.blake2b(digest_size=16)
        scaling = None
        if self.points.ndim == 2:
            scaling = _Scaling(self.points, self.places["train"], self.features)
        features = self.features
        if scaling is not None:
            features = [*features, *(f"{features[j]} is missing" for j in scaling.gappy)]
        shape = (len(features),) if scaling else self.points.shape[1:]
        tasks = [task.to_json() for task in self.tasks]
        facts = [list(shape), features, [without_family(task) for task in tasks]]
        digest.update(json.dumps(facts).encode())
        done, total = 0, len(self.points)
        for split in SPLITS:
            places = self.places[split]
            with open(folder / f"{split}_points.npy", "wb") as file:
                dtype = "<f4" if scaling else "|u1"
                header = {"descr": dtype, "fortran_order": False, "shape": (len(places), *shape)}
                np.lib.format.write_array_header_1_0(file, header)
                for values in ahead(self._prepared(places, scaling)):
                    digest.update(values.data)
                    file.write(values.data)
                    done += len(values)
                    self.tell(f"Writing the points of {self.name}", done / total)
            labels = np.ascontiguousarray(self.labels[places])
            digest.update(labels.data)
            np.save(folder / f"{split}_labels.npy", labels)
            self._write_about(folder / f"{split}_about.parquet", places)
        manifest = {
            "format": FORMAT,
            "digest": digest.hexdigest(),
            "tasks": tasks,
            "features": features,
            "shape": list(shape),
            "counts": {split: len(self.places[split]) for split in SPLITS},
            "bytes": {path.name: path.stat().st_size for path in folder.iterdir()},
            "source": self.source,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "notes": self.notes,
        }
        if scaling is not None:
            manifest["scaling"] = scaling.to_json()
        (folder / "manifest.json").write_text(json.dumps(manifest, indent=1))

    def _prepared(
        self, places: NDArray[np.int64], scaling: _Scaling | None
    ) -> Iterator[NDArray[Any]]:
        """Points as they are kept, block by block."""
        for block in _blocks(self.points, places):
            values = self.points[block]
            yield scaling(values) if scaling else np.ascontiguousarray(values)

    def _write_about(self, path: Path, places: NDArray[np.int64]) -> None:
        import pyarrow as arrow
        import pyarrow.parquet as parquet

        columns = {what: [values[i] for i in places] for what, values in self.about.items()}
        parquet.write_table(arrow.table(columns), path)


def without_family(task: Mapping[str, Any]) -> dict[str, Any]:
    """A task as JSON without what is no part of what is learned."""
    return {key: value for key, value in task.items() if key != "family"}


def _blocks(points: NDArray[Any], places: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    at_once = max(1, ROWS_AT_ONCE // int(np.prod(points.shape[1:])))
    for start in range(0, len(places), at_once):
        yield places[start : start + at_once]


class _Scaling:
    """Rows as a model sees them: mean 0 and variance 1 over the training rows.

    A missing number becomes the mean, and each feature that lacks some gets another one that is 1
    there; it is not scaled. gappy: which features those are.
    """

    def __init__(
        self, points: NDArray[Any], train: NDArray[np.int64], names: Sequence[str]
    ) -> None:
        self.names = names
        n_features = points.shape[1]
        count, total, squares = (np.zeros(n_features) for _ in range(3))
        gaps = np.zeros(n_features, dtype=bool)
        shift: NDArray[np.float64] | None = None  # near the mean, so that no square is huge
        for block in _blocks(points, train):
            values = points[block].astype(np.float64)
            known = self._known(values)
            number = len(values) if known is None else known.sum(axis=0)
            if known is not None:
                values[~known] = 0
                gaps |= ~known.all(axis=0)
            if shift is None:
                shift = values.sum(axis=0) / np.maximum(number, 1)
            values -= shift
            if known is not None:
                values *= known
            count += number
            total += values.sum(axis=0)
            squares += np.square(values, out=values).sum(axis=0)
        assert shift is not None
        n_known = np.maximum(count, 1)
        self.mean = shift + total / n_known
        deviation = np.sqrt(np.maximum(squares / n_known - np.square(total / n_known), 0))
        flat = deviation <= 1e-9 * np.maximum(np.abs(self.mean), 1)
        self.deviation = np.where(flat, 1.0, deviation)
        self.gappy = np.flatnonzero(gaps)

    def to_json(self) -> dict[str, Any]:
        return {
            "mean": self.mean.tolist(),
            "deviation": self.deviation.tolist(),
            "gaps": self.gappy.tolist(),
        }

    def _known(self, values: NDArray[Any]) -> NDArray[np.bool_] | None:
        """Which numbers are not missing; None where all are there, which is found out quickly."""
        if np.isfinite(values.sum(dtype=np.float64)):
            return None
        if np.isinf(values).any():
            name = self.names[int(np.isinf(values).any(axis=0).argmax())]
            raise UserError(
                f"The feature {named(name)} has infinite numbers: leave those cells empty."
            )
        return np.asarray(~np.isnan(values))

    def __call__(self, values: NDArray[Any]) -> NDArray[np.float32]:
        n_features = values.shape[1]
        whole = np.zeros((len(values), n_features + len(self.gappy)), dtype=np.float32)
        known = self._known(values)
        scaled = values - self.mean
        scaled /= self.deviation
        if known is not None:
            scaled[~known] = 0
            whole[:, n_features:] = ~known[:, self.gappy]
        whole[:, :n_features] = scaled
        return whole
