"""Labels that come in a file of their own: a table of ids and tasks, or an array."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from stg_core.maps.formats.answers import Answers
from stg_core.maps.formats.lines import told
from stg_core.maps.formats.numbers import Floats, checked_array
from stg_core.maps.log_labels import tasks_of
from stg_core.system.errors import UserError
from stg_core.system.words import named
from stg_core.tasks.groups import Task

MISSING = {"", "nan", "na", "n/a", "none", "null", "-1", "-1.0"}
DELIMITERS = ",\t;"


@dataclass(frozen=True)
class LabelFile:
    """Labels of points, by their ids.

    rows: of which row each id is; tasks: names of the columns, () of an array without names;
    texts: (N, T), of which those in `MISSING` are no labels.
    """

    path: Path
    rows: Mapping[str, int]
    tasks: tuple[str, ...]
    texts: Sequence[Sequence[str]]

    @classmethod
    def read(cls, path: Path) -> Self:
        """Of a table with a header, or an .npy file; raises UserError for others."""
        with told(path):
            if path.suffix.lower() == ".npy":
                return cls._of_array(path)
            with open(path, encoding="utf-8-sig", newline="") as file:
                try:
                    return cls._of_table(path, file.read())
                except (csv.Error, UnicodeDecodeError) as error:
                    raise UserError(f"{path.name} cannot be read as a table ({error}).") from error

    @classmethod
    def _of_array(cls, path: Path) -> Self:
        array = checked_array(path)
        if array.ndim not in (1, 2):
            raise UserError(f"The labels of {path.name} should be (N,) or (N, T).")
        matrix = array.reshape(len(array), -1)
        texts = [[f"{value:g}" for value in row] for row in matrix.tolist()]
        return cls(path, {str(i): i for i in range(len(texts))}, (), texts)

    @classmethod
    def _of_table(cls, path: Path, content: str) -> Self:
        first = content.split("\n", 1)[0]
        delimiter = max(DELIMITERS, key=first.count)
        header, *lines = csv.reader(content.splitlines(), delimiter=delimiter)
        lines = [line for line in lines if line]
        if len(header) < 2 or not lines or any(len(line) != len(header) for line in lines):
            raise UserError(
                f"{path.name} should be a table with a header, the ids in its first column and a"
                " column of labels for each task."
            )
        rows: dict[str, int] = {}
        for i, line in enumerate(lines):
            if line[0] in rows:
                raise UserError(f"{path.name} has the id {named(line[0])} twice.")
            rows[line[0]] = i
        return cls(path, rows, tuple(header[1:]), [line[1:] for line in lines])

    def of(self, ids: Sequence[str], tasks: Sequence[str], classes: Mapping[str, int]) -> Floats:
        """Labels (B, T) of points, NaN where one is missing.

        classes: numbers of answers that are texts. Raises UserError for a task without a column,
        for what is no label, and where it has none of these points.
        """
        columns = self._columns(tasks)
        rows = [self.rows.get(name) for name in ids]
        if ids and all(row is None for row in rows):
            raise UserError(
                f"{self.path.name} has none of the points of the log: those are called such as"
                f" {named(ids[0])}, and there {named(next(iter(self.rows)))}."
            )
        found = np.full((len(ids), len(columns)), np.nan, np.float32)
        for i, row in enumerate(rows):
            if row is not None:
                found[i] = [self._number(self.texts[row][c], classes, ids[i]) for c in columns]
        return found

    def tasks_of(self, names: Sequence[str], answers: Answers) -> tuple[Task, ...]:
        """The tasks of these names, of the kinds that were said or that the labels show."""
        matrix = self.of(list(self.rows), names, self.classes_of(answers))
        return tasks_of(names, matrix, answers.kind, None)

    @staticmethod
    def classes_of(answers: Answers) -> dict[str, int]:
        """Numbers of answers that are texts."""
        return {name: i for i, name in enumerate(answers.classes or ())}

    def _columns(self, tasks: Sequence[str]) -> list[int]:
        width = len(self.texts[0])
        if len(tasks) == width and not (set(tasks) <= set(self.tasks)):
            return list(range(width))
        if missing := [name for name in tasks if name not in self.tasks]:
            raise UserError(
                f"{self.path.name} has no column of the task {named(missing[0])}: it has"
                f" {', '.join(map(named, self.tasks)) or f'{width} columns without names'}."
            )
        return [self.tasks.index(name) for name in tasks]

    def _number(self, text: str, classes: Mapping[str, int], name: str) -> float:
        if text in classes:
            return classes[text]
        if text.strip().lower() in MISSING:
            return np.nan
        try:
            return float(text)
        except ValueError:
            raise UserError(
                f"The label of {named(name)} in {self.path.name} is {named(text)}: write the number"
                " of the class, or name the classes in the order of the outputs."
            ) from None
