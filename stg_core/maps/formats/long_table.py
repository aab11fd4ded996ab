"""A long table: a row for each point, task and epoch, in any order, as CSV, TSV or Parquet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from stg_core.maps.formats.answers import Answers, Numbers, Question
from stg_core.maps.formats.keeping import Keeper
from stg_core.maps.formats.lines import IDS, Tell
from stg_core.maps.formats.numbers import Floats
from stg_core.maps.formats.spool import Spool
from stg_core.maps.formats.unlabelled import UNKNOWN, renamed, unlabelled
from stg_core.maps.log_labels import tasks_of
from stg_core.maps.outputs import SLACK
from stg_core.maps.recorder import confidence
from stg_core.system.errors import UserError
from stg_core.system.extras import of_extra
from stg_core.tasks.groups import Task

if TYPE_CHECKING:
    from stg_core.tasks.rows import Rows

FORMAT = "a long table of id, task, epoch, output and label"
EPOCHS = ("epoch", "epochs")
VALUES: dict[str, Numbers] = {
    "probability": "probabilities",
    "prob": "probabilities",
    "p": "probabilities",
    "logit": "logits",
    "logits": "logits",
    "confidence": "confidences",
}
LABELS = ("label", "gold", "target", "y")
TASKS = ("task", "task_name")
PARQUET = b"PAR1"


@dataclass(frozen=True)
class Columns:
    """Which column is what, by index; -1 for one that is not there."""

    id: int
    task: int
    epoch: int
    value: int
    label: int
    outputs: Numbers


def columns_of(names: Sequence[str]) -> Columns | None:
    """Of a long table with these columns; None for another table."""
    plain = [name.strip().lower() for name in names]

    def place(of: Sequence[str]) -> int:
        return next((plain.index(name) for name in of if name in plain), -1)

    found = place(IDS), place(EPOCHS), place(list(VALUES))
    if min(found) < 0:
        return None
    own, epoch, value = found
    return Columns(own, place(TASKS), epoch, value, place(LABELS), VALUES[plain[value]])


def table_of(path: Path) -> Rows:
    """The rows of a table; raises UserError for what is none."""
    with of_extra("train"):
        from stg_core.tasks.rows import CsvRows, ParquetRows
    with open(path, "rb") as file:
        is_parquet = file.read(4) == PARQUET
    return ParquetRows(path) if is_parquet else CsvRows(path)


@dataclass(frozen=True)
class LongLog:
    """Tables of one log. spool: their rows sorted by epoch, once they were read."""

    tables: Sequence[tuple[Path, Rows, Columns]]
    answers: Answers
    name: str = "task"
    spool: Spool | None = None
    format: str = FORMAT

    @property
    def files(self) -> list[Path]:
        return [path for path, _, _ in self.tables]

    @property
    def outputs(self) -> Numbers:
        return self.answers.outputs or self.tables[0][2].outputs

    @property
    def _has_labels(self) -> bool:
        return all(columns.label >= 0 for _, _, columns in self.tables)

    @property
    def tasks(self) -> tuple[Task, ...]:
        names = list(self.spool.tasks) if self.spool else self._seen("task")
        names = names or [self.name]
        if self.outputs == "confidences":
            return renamed(list(map(unlabelled, names)), self.answers.tasks)
        if self.spool is None:
            return renamed([Task(name, rule="column") for name in names], self.answers.tasks)
        return renamed(tasks_of(names, self.spool.labels(), "binary"), self.answers.tasks)

    def _seen(self, what: str) -> list[str]:
        """Different texts of a column in the first rows, in their order."""
        found: dict[str, None] = {}
        for _, rows, columns in self.tables:
            if (place := getattr(columns, what)) >= 0:
                found |= dict.fromkeys(map(str, rows.head[place].to_pylist()))
        return list(found)

    @property
    def n_epochs(self) -> int | None:
        return len(self.spool.epochs) if self.spool else None

    @property
    def points(self) -> tuple[int | None, bool]:
        return (len(self.spool.places), False) if self.spool else (None, False)

    @property
    def rows(self) -> list[dict[str, Any]]:
        _, rows, _ = self.tables[0]
        head = [column.slice(0, 5).to_pylist() for column in rows.head]
        return [dict(zip(rows.names, values, strict=True)) for values in zip(*head, strict=True)]

    @property
    def questions(self) -> list[Question]:
        if self.outputs != "confidences" and not self._has_labels:
            return [
                Question(
                    "outputs",
                    "The table has no labels: add a column “label”, or say that its numbers are"
                    " confidences, the probabilities of the true class.",
                    ("confidences",),
                )
            ]
        return []

    @property
    def notes(self) -> list[str]:
        return [UNKNOWN] if self.outputs == "confidences" else []

    @property
    def problem(self) -> str:
        if self.spool and len(self.spool.epochs) < 2:
            return (
                "The log is of 1 epoch: variability is that of a confidence over the epochs, so two"
                " or more are needed."
            )
        return ""

    def prepared(self, scratch: Path, tell: Tell) -> LongLog:
        """The same with its rows sorted by epoch."""
        spool = Spool(scratch)
        for path, rows, columns in self.tables:
            try:
                self._sort(path, rows, columns, spool, tell)
            except UserError as error:
                raise UserError(_of_a_column(str(error))) from error
        if not spool.epochs:
            raise UserError(f"{self.files[0].name} has no rows.")
        return replace(self, spool=spool)

    def _sort(self, path: Path, rows: Rows, columns: Columns, spool: Spool, tell: Tell) -> None:
        wanted: list[Any] = [(columns.id, "text"), (columns.epoch, "number")]
        wanted += [(columns.value, "number")]
        wanted += [(place, "text") for place in (columns.task,) if place >= 0]
        wanted += [(place, "number") for place in (columns.label,) if place >= 0]
        done = 0
        for batch in rows.batches(wanted):
            ids, epochs, values, *others = batch
            count = len(ids)
            tasks = others.pop(0).to_pylist() if columns.task >= 0 else [self.name] * count
            labels = floats_of(others.pop(0)) if others else np.full(count, np.nan, np.float32)
            checked = _Checked(path, done + 2, self.outputs)
            spool.add(
                ids.to_pylist(),
                tasks,
                checked.epochs(floats_of(epochs)),
                checked.values(floats_of(values)),
                checked.labels(labels),
            )
            done += count
            tell(path.name, int(count / max(rows.count or count, 1) * path.stat().st_size))

    def read(self, keeper: Keeper, tell: Tell) -> None:
        spool = self.spool
        assert spool is not None, "it was prepared"
        keeper.take_ids(spool.places)
        for number, epoch in enumerate(spool.epochs, 1):
            for rows in spool.rows(epoch):
                tell(f"Epoch {number} of {len(spool.epochs)}", 0)
                for t in np.unique(rows["task"]).tolist():
                    self._add(keeper, rows[rows["task"] == t], t)
            keeper.end_epoch()

    def _add(self, keeper: Keeper, rows: NDArray[np.void], task: int) -> None:
        values, labels = rows["value"], rows["label"]
        found = values if self.outputs == "confidences" else 1 - abs(labels - values)
        if self.outputs == "logits":
            found = np.asarray(confidence(values, labels))
        known = None if self.outputs == "confidences" else labels[:, None]
        points = rows["point"].astype(np.int64)
        keeper.add(points, slice(task, task + 1), found.clip(0, 1)[:, None], known)


@dataclass(frozen=True)
class _Checked:
    """Columns of some rows of a table, of which the first stands in line `first`."""

    path: Path
    first: int
    outputs: Numbers

    def epochs(self, found: Floats) -> NDArray[np.int64]:
        self._refuse(~(np.isfinite(found) & (found == np.rint(found))), found, "epoch", "a number")
        return found.astype(np.int64)

    def values(self, found: Floats) -> Floats:
        self._refuse(~np.isfinite(found), found, "output", "a finite number")
        if self.outputs != "logits":
            wrong = (found < -SLACK) | (found > 1 + SLACK)
            self._refuse(wrong, found, "output", f"one of {self.outputs}, from 0 to 1")
        return found

    def labels(self, found: Floats) -> Floats:
        found = np.where(found == -1, np.nan, found).astype(np.float32)
        if self.outputs != "confidences":
            wrong = ~np.isin(found, (0, 1)) & ~np.isnan(found)
            expected = "0 or 1, and empty where it is missing, of a table with one output for a row"
            self._refuse(wrong, found, "label", expected)
        return found

    def _refuse(self, wrong: NDArray[np.bool_], found: Floats, what: str, expected: str) -> None:
        if wrong.any():
            i = int(wrong.argmax())
            raise UserError(
                f"{self.path.name}, line {self.first + i}: the {what} is {found[i]:g}, and should"
                f" be {expected}."
            )


def _of_a_column(sentence: str) -> str:
    """What a table of features says of a column, without its advice for features."""
    if "--leave-out" not in sentence:
        return sentence
    what, _, _ = sentence.replace("The feature", "The column").partition(": empty that cell")
    return f"{what}: write numbers there, and 0 or 1 as labels."


def floats_of(column: Any) -> Floats:
    """A column of numbers, NaN where one is missing."""
    import pyarrow.compute as compute

    return np.asarray(compute.fill_null(column.cast("float32"), np.nan), np.float32)
