"""Coordinates of data maps: confidence and variability after the last epoch, a file for each task.

JSON lines of guid, confidence, variability, and perhaps index, correctness and more, as Dataset
Cartography writes them for its pictures and in `td_metrics.jsonl`. Its variability is a population
deviation; ours is that of a sample, √(E/(E − 1)) times as large.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stg_core.maps.formats.answers import Answers, Question
from stg_core.maps.formats.keeping import Keeper
from stg_core.maps.formats.label_files import LabelFile
from stg_core.maps.formats.lines import (
    Lines,
    Record,
    Tell,
    count_of,
    id_name,
    ids_of,
    read_lines,
    shown,
)
from stg_core.maps.formats.numbers import Floats
from stg_core.maps.formats.unlabelled import UNKNOWN, renamed, unlabelled
from stg_core.maps.summary import MAX_VARIABILITY
from stg_core.system.errors import UserError
from stg_core.system.words import named
from stg_core.tasks.groups import Task

FORMAT = "coordinates of data maps (JSON lines)"
LARGEST_POPULATION = 0.5  # deviation of numbers in [0, 1]
SLACK = 1e-3  # of coordinates that were rounded
LACKS = (
    "The log has the last data map of a task and nothing else: no epochs before, no outputs and no"
    " scores."
)


def is_one(record: Record) -> bool:
    """Whether a line of JSON is of this format."""
    return {"confidence", "variability"} <= record.keys()


@dataclass(frozen=True)
class CoordinatesLog:
    """Files of coordinates, by the name of the task, with their first records."""

    first: Mapping[str, Lines]
    answers: Answers
    format: str = FORMAT

    @property
    def files(self) -> list[Path]:
        return [lines.path for lines in self.first.values()]

    @property
    def tasks(self) -> tuple[Task, ...]:
        names = self.answers.tasks or list(self.first)
        if self.answers.labels is not None:
            names = [task.name for task in renamed(list(map(unlabelled, self.first)), names)]
            return LabelFile.read(self.answers.labels).tasks_of(names, self.answers)
        return renamed([unlabelled(name) for name in self.first], names)

    @property
    def n_epochs(self) -> int | None:
        return self.answers.epochs

    @property
    def points(self) -> tuple[int, bool]:
        return max(map(count_of, self.first.values()))

    @property
    def rows(self) -> list[dict[str, Any]]:
        return shown(next(iter(self.first.values())))

    @property
    def _most_correct(self) -> int:
        """In how many epochs a point was right at least, as far as was seen."""
        counts = [
            int(record["correctness"])
            for lines in self.first.values()
            for record in lines.records
            if isinstance(record.get("correctness"), int | float)
        ]
        return max(counts, default=0)

    @property
    def _deviation(self) -> str:
        if self.answers.deviation is not None:
            return self.answers.deviation
        numbers = [
            record.get("variability") for lines in self.first.values() for record in lines.records
        ]
        largest = max((float(n) for n in numbers if isinstance(n, int | float)), default=0)
        return "sample" if largest > LARGEST_POPULATION + SLACK else "population"

    @property
    def questions(self) -> list[Question]:
        found = []
        if self.answers.epochs is None:
            least = self._most_correct
            hint = f", {least} or more by its correctness" if least > 1 else ""
            found.append(Question("epochs", f"Of how many epochs are the coordinates{hint}?"))
        if self.answers.deviation is None:
            found.append(
                Question(
                    "deviation",
                    "Is variability the deviation of a population, as Dataset Cartography has it,"
                    " or of a sample?",
                    ("population", "sample"),
                    self._deviation,
                )
            )
        return found

    @property
    def notes(self) -> list[str]:
        found = [LACKS, *([] if self.answers.labels else [UNKNOWN])]
        if self._deviation == "sample" and self.answers.deviation is None:
            found.append(
                "Variability was taken for the deviation of a sample: some is above ½, and that of"
                " a population never is."
            )
        elif self._deviation == "population":
            found.append(
                "Variability was taken for the deviation of a population, and multiplied by"
                " √(E/(E − 1)) to be that of a sample."
            )
        return found

    @property
    def problem(self) -> str:
        epochs = self.answers.epochs
        if epochs is None:
            return ""
        if epochs < 2:
            return "Coordinates are of two epochs or more: variability is not defined for one."
        if epochs < self._most_correct:
            return (
                f"There are points that were right in {self._most_correct} epochs, so that the"
                f" coordinates are of more than {epochs}."
            )
        return ""

    def prepared(self, scratch: Path, tell: Tell) -> CoordinatesLog:
        return self

    def read(self, keeper: Keeper, tell: Tell) -> None:
        epochs = self.n_epochs
        assert epochs is not None, "it was asked"
        factor = np.sqrt(epochs / (epochs - 1)) if self._deviation == "population" else 1.0
        columns = []
        for name, lines in self.first.items():
            own = [
                self._batch(batch, tell, keeper)
                for batch in read_lines(lines.path)
                if batch.records
            ]
            places = np.concatenate([places for places, _ in own])
            if len(np.unique(places)) < len(places):
                raise UserError(
                    f"{lines.path.name} has a point twice: the coordinates of {named(name)} should"
                    " be one line for each."
                )
            columns.append((places, np.concatenate([values for _, values in own])))
        maps = np.full((2, len(columns), keeper.n_points), np.nan, np.float32)
        for t, (places, values) in enumerate(columns):
            maps[:, t, places] = values.T
        maps[1] = np.minimum(maps[1] * factor, MAX_VARIABILITY)
        if self.answers.labels is not None:
            keeper.take_labels(LabelFile.read(self.answers.labels), self.answers)
        keeper.keep_maps(epochs, maps.astype(np.float16))

    def _batch(self, lines: Lines, tell: Tell, keeper: Keeper) -> tuple[Any, Floats]:
        """Places and coordinates (B, 2) of some points."""
        tell(lines.path.name, lines.bytes)
        keeper.note_cut(lines)
        values = np.array([self._pair(lines, i) for i in range(len(lines.records))], np.float32)
        ids = ids_of(lines, id_name(lines.records[0], lines.where(0)))
        return keeper.places_of(ids), values

    def _pair(self, lines: Lines, i: int) -> tuple[float, float]:
        tops = {"confidence": 1.0, "variability": MAX_VARIABILITY}
        if self._deviation == "population":
            tops["variability"] = LARGEST_POPULATION
        found = []
        for name, top in tops.items():
            value = lines.records[i].get(name)
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise UserError(f"{lines.where(i)} has the {name} {value!r}, which is no number.")
            if not -SLACK <= value <= top + SLACK:
                sample = " Say that it is the deviation of a sample, if that is so."
                raise UserError(
                    f"{lines.where(i)} has the {name} {value:g}, and it lies from 0 to {top:.2g}."
                    + sample * (name == "variability" and value <= MAX_VARIABILITY + SLACK)
                )
            found.append(min(max(float(value), 0.0), top))
        return found[0], found[1]
