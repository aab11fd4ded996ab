"""Data sets from NumPy's .npz files, in the forms that people publish them in."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stg_core.system.errors import UserError
from stg_core.system.words import counted, named
from stg_core.tasks.choices import Choices, Found, listed, matching
from stg_core.tasks.datasets import checked_points
from stg_core.tasks.labels import Column

ENDINGS = (".npz",)
NAMES_OF_TASKS = ("tasks", "task_names", "label_names")
NAMES_OF_FEATURES = ("features", "feature_names")
SPLITS = ("train", "val", "test")
FORMS = (
    "train_images, train_labels, val_images, … (MedMNIST); X and y, and perhaps X_test and y_test;"
    " or TASK_X_train, TASK_y_train, TASK_X_test, TASK_y_test for each task"
)


def read(path: Path, choices: Choices, limit: int | None) -> Found:
    """What the arrays hold; of at most `limit` points of each."""
    arrays = _Arrays(path, limit)
    names = set(arrays.names)
    if {"train_images", "train_labels"} <= names:
        found = _medmnist(arrays)
    elif ({"X", "y"} <= names) or ({"X_train", "y_train"} <= names):
        found = _points_and_labels(arrays)
    elif tasks := [n.removesuffix("_X_train") for n in arrays.names if n.endswith("_X_train")]:
        found = _apart(arrays, tasks)
    else:
        raise UserError(
            f"The arrays of {path.name} are {listed(arrays.names)}. Name them in one of these ways:"
            f" {FORMS}."
        )
    _choose_tasks(found, choices)
    return found


def _choose_tasks(found: Found, choices: Choices) -> None:
    if choices.features or choices.hash_text or choices.id or choices.text or choices.split:
        raise UserError(
            "--feature, --hash-text, --id, --text and --split name columns of tables, and arrays"
            " have none: leave them out."
        )
    names = [column.name for column in found.labels]
    if choices.tasks:
        kept = {n for pattern in choices.tasks for n in matching(pattern, names, "task")}
        found.labels = [column for column in found.labels if column.name in kept]
    dropped = {n for pattern in choices.left_out for n in matching(pattern, names, "task")}
    found.labels = [column for column in found.labels if column.name not in dropped]


class _Arrays:
    """The arrays of a file; those of objects are refused, since they would be unpickled."""

    def __init__(self, path: Path, limit: int | None) -> None:
        self.path, self.limit = path, limit
        try:
            with zipfile.ZipFile(path) as archive:
                self.names = [n.removesuffix(".npy") for n in archive.namelist()]
        except (zipfile.BadZipFile, OSError) as error:
            raise UserError(f"{path.name} is no .npz file, or damaged ({error}).") from error

    def has(self, name: str) -> bool:
        return name in self.names

    def get(self, name: str) -> NDArray[Any]:
        """An array, or its beginning where only so much is looked at."""
        try:
            if self.limit is not None:
                return self._beginning(name, self.limit)
            with np.load(self.path, allow_pickle=False) as arrays:
                array: NDArray[Any] = arrays[name]
        except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile) as error:
            raise self._refusal(name, error) from error
        return array

    def _refusal(self, name: str, error: Exception) -> UserError:
        if "pickle" in str(error).lower() or "object" in str(error).lower():
            return UserError(
                f"The array {named(name)} of {self.path.name} holds Python objects, which could run"
                " code when they are read: save it as numbers or as texts."
            )
        return UserError(f"The array {named(name)} of {self.path.name} is damaged ({error}).")

    def length(self, name: str) -> int:
        """How many points it has, by its header."""
        with zipfile.ZipFile(self.path) as archive, archive.open(f"{name}.npy") as file:
            shape = _header(file)[0]
        return int(shape[0]) if shape else 0

    def _beginning(self, name: str, limit: int) -> NDArray[Any]:
        with zipfile.ZipFile(self.path) as archive, archive.open(f"{name}.npy") as file:
            shape, fortran, dtype = _header(file)
            if dtype.hasobject:
                raise ValueError("an array of objects")
            if fortran or not shape:
                file.seek(0)
                whole: NDArray[Any] = np.lib.format.read_array(file, allow_pickle=False)
                return whole[:limit] if whole.ndim else whole
            shape = (min(limit, shape[0]), *shape[1:])
            content = file.read(int(np.prod(shape)) * dtype.itemsize)
            return np.frombuffer(content, dtype).reshape(shape)


def _header(file: Any) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    version = np.lib.format.read_magic(file)
    if version == (1, 0):
        return np.lib.format.read_array_header_1_0(file)
    return np.lib.format.read_array_header_2_0(file)


# ------------------------------------------------------------------------------------------- forms


def _medmnist(arrays: _Arrays) -> Found:
    parts = [s for s in SPLITS if arrays.has(f"{s}_images") and arrays.has(f"{s}_labels")]
    pairs = [(f"{s}_images", f"{s}_labels") for s in parts]
    found = _stacked(arrays, pairs, parts, "images and labels, as of MedMNIST")
    if "val" in parts:
        found.notes.append("Split: the points for validation are trained on.")
    return found


def _points_and_labels(arrays: _Arrays) -> Found:
    first = ("X", "y") if arrays.has("X") else ("X_train", "y_train")
    pairs, parts = [first], ["train"]
    for part in ("val", "test"):
        pair = f"X_{part}", f"y_{part}"
        if all(map(arrays.has, pair)):
            pairs.append(pair)
            parts.append(part)
    return _stacked(arrays, pairs, parts, "arrays of points and labels")


def _stacked(
    arrays: _Arrays, pairs: Sequence[tuple[str, str]], parts: Sequence[str], what: str
) -> Found:
    """The points of all splits, one below the other, with their labels."""
    points, labels = [], []
    for of_points, of_labels in pairs:
        points.append(arrays.get(of_points))
        labels.append(_matrix(arrays.get(of_labels), of_labels))
        n_points, n_labels = (arrays.length(name) for name in (of_points, of_labels))
        if n_points != n_labels:
            raise UserError(
                f"{of_points} has {counted(n_points, 'point')} and {of_labels} has labels for"
                f" {n_labels:,}: they should be equal."
            )
    matrix = _joined(labels, [name for _, name in pairs])
    names = _names_of(arrays, NAMES_OF_TASKS, matrix.shape[1], "task", "tasks")
    whole = checked_points(_joined(points, [name for name, _ in pairs]))
    found = Found(what, whole, tuple(whole.shape[1:]))
    found.labels = [Column.of(name, matrix[:, t]) for t, name in enumerate(names)]
    if not any(map(arrays.has, NAMES_OF_TASKS)):
        found.notes.append(
            f"Tasks are numbered: their names may stand in an array {NAMES_OF_TASKS[0]}."
        )
    if whole.ndim == 2 and any(map(arrays.has, NAMES_OF_FEATURES)):
        found.features = _names_of(arrays, NAMES_OF_FEATURES, whole.shape[1], "", "features")
    if arrays.has("ids"):
        found.ids = [str(one) for one in arrays.get("ids").tolist()]
    found.split = _split(parts, [len(one) for one in points])
    found.count = sum(arrays.length(name) for name, _ in pairs)
    return found


def _split(parts: Sequence[str], lengths: Sequence[int]) -> NDArray[np.bool_] | None:
    """Which points are for testing; None where no part of them is."""
    if "test" not in parts:
        return None
    return np.repeat([part == "test" for part in parts], lengths)


def _matrix(labels: NDArray[Any], name: str) -> NDArray[Any]:
    matrix = labels[:, None] if labels.ndim == 1 else labels
    if matrix.ndim != 2 or matrix.dtype.kind not in "buifUS":
        shape = " × ".join(map(str, labels.shape)) or "a single value"
        raise UserError(
            f"The array {named(name)} is {shape} of type"
            f" {labels.dtype}: give labels as points × tasks, numbers or texts."
        )
    return matrix.astype(str) if matrix.dtype.kind == "S" else matrix


def _joined(parts: Sequence[NDArray[Any]], names: Sequence[str]) -> NDArray[Any]:
    if len({part.shape[1:] for part in parts}) > 1:
        shapes = ", ".join(
            f"{name} {' × '.join(map(str, part.shape))}"
            for name, part in zip(names, parts, strict=True)
        )
        raise UserError(f"The arrays differ in more than their number of points: {shapes}.")
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _names_of(arrays: _Arrays, where: Sequence[str], count: int, each: str, what: str) -> list[str]:
    name = next(filter(arrays.has, where), None)
    if name is None:
        return [f"{each} {i + 1}" for i in range(count)]
    names = [str(one) for one in np.atleast_1d(arrays.get(name)).tolist()]
    if len(names) != count:
        raise UserError(
            f"The array {named(name)} names {len(names)} {what}, and there are {count}."
        )
    return names


def _apart(arrays: _Arrays, tasks: Sequence[str]) -> Found:
    """Tasks with points of their own: each point has a label for one task only."""
    parts = ["train", *(["test"] if arrays.has(f"{tasks[0]}_X_test") else [])]
    points, labels, for_test, places = [], [], [], []
    place = count = 0
    for task in tasks:
        for part in parts:
            names = f"{task}_X_{part}", f"{task}_y_{part}"
            if missing := [name for name in names if not arrays.has(name)]:
                raise UserError(f"The array {named(missing[0])} is missing in {arrays.path.name}.")
            rows, own = arrays.get(names[0]), _matrix(arrays.get(names[1]), names[1])
            if len(rows) != len(own) or own.shape[1] != 1:
                raise UserError(f"{names[0]} and {names[1]} do not belong together, by their size.")
            points.append(rows)
            labels.append(own[:, 0])
            for_test.append(np.full(len(rows), part == "test"))
            places.append((task, slice(place, place + len(rows))))
            place += len(rows)
            count += arrays.length(names[0])
    whole = checked_points(_joined(points, [task for task, _ in places]))
    found = Found("arrays of points and labels for each task", whole, tuple(whole.shape[1:]))
    for task in tasks:
        own_places = [(where, y) for (t, where), y in zip(places, labels, strict=True) if t == task]
        column = Column.of(task, np.concatenate([y for _, y in own_places]))
        codes = np.full(place, -1, dtype=np.int32)
        codes[np.r_[tuple(where for where, _ in own_places)]] = column.codes
        found.labels.append(Column(task, column.values, codes))
    found.split = np.concatenate(for_test) if "test" in parts else None
    found.count = count
    found.notes.append(
        f"The {len(tasks)} tasks have points of their own: each point has a label for one task."
    )
    return found
