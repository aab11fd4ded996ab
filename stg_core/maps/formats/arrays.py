"""Arrays of NumPy: outputs of all epochs beside labels, and what others save of the same.

An .npz with `probabilities` or `logits` (E, N, T), `labels` (N, T), NaN or −1 where one is missing,
and perhaps `tasks` (T,), `epochs` (E,), `ids` (N,); an .npy of the outputs, with labels elsewhere;
`td` and `labels` (Jia et al. 2022); `gold_labels_probabilities` (N, E) of the callback for Keras.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from stg_core.maps.epoch_outputs import EpochOutputs, read_epochs
from stg_core.maps.formats.answers import Answers, Question
from stg_core.maps.formats.classes import against_the_rest, ask_for_tasks
from stg_core.maps.formats.keeping import Keeper
from stg_core.maps.formats.label_files import LabelFile
from stg_core.maps.formats.lines import Tell
from stg_core.maps.formats.numbers import Floats, Member, names_of
from stg_core.maps.formats.unlabelled import UNKNOWN, renamed, unlabelled
from stg_core.maps.outputs import sizes
from stg_core.system.errors import UserError
from stg_core.system.words import counted, named
from stg_core.tasks.groups import Task

FORMAT = "arrays of outputs (NumPy)"
OUTPUTS = ("probabilities", "logits", "probs", "outputs", "td")
GOLD = "gold_labels_probabilities"
LABELS, TASKS = ("labels", "y", "targets"), ("tasks", "task_names", "label_names")
LARGEST_IN_MEMORY = 2**31  # bytes, of an array whose axes lie in another order


def is_one(path: Path) -> bool:
    """Whether an .npz or .npy file holds outputs of several epochs."""
    names = names_of(path)
    if "pred_probs" in names and not {GOLD, *OUTPUTS} & set(names):
        raise UserError(
            f"{path.name} has the probabilities of a single time (pred_probs): data maps need those"
            " of every epoch, as an array “probabilities” (E, N, T)."
        )
    if names:
        return GOLD in names or any(name in names for name in OUTPUTS)
    return Member(path).ndim in (2, 3)


@dataclass(frozen=True)
class ArraysLog:
    """One file of arrays; or several of confidences, each of a task."""

    paths: Sequence[Path]
    answers: Answers
    name: str = "task"
    format: str = FORMAT

    # -------------------------------------------------------------------------- what is in it

    @cached_property
    def _names(self) -> list[str]:
        return names_of(self.paths[0])

    @cached_property
    def _outputs(self) -> Member:
        if not self._names:
            return Member(self.paths[0])
        own = next(name for name in (GOLD, *OUTPUTS) if name in self._names)
        found = Member(self.paths[0], own)
        if found.dtype.kind not in "iuf":
            raise UserError(f"{found.called} holds no numbers ({found.dtype}).")
        return found

    @property
    def _of_gold(self) -> bool:
        """Whether they are confidences (N, E) of one task."""
        said = self.answers.outputs == "confidences"
        return self._outputs.name == GOLD or (said and self._outputs.ndim == 2)

    def _array(self, names: Sequence[str]) -> Any:
        """The first of these that there is; None where there is none."""
        own = next((name for name in names if name in self._names), None)
        return None if own is None else Member(self.paths[0], own).whole()

    @cached_property
    def _labels(self) -> Floats | None:
        found = self._array(LABELS)
        if self.answers.labels is not None:
            file = LabelFile.read(self.answers.labels)
            names = list(self.answers.tasks or file.tasks or [self.name])
            found = file.of(list(file.rows) if self._ids is None else self._ids, names, {})
        if found is None:
            return None
        if found.dtype.kind not in "biuf":
            raise UserError(f"The labels of {self.paths[0].name} are no numbers.")
        matrix = found.astype(np.float32)
        return without_missing(matrix[:, None] if matrix.ndim == 1 else matrix)

    @cached_property
    def _ids(self) -> list[str] | None:
        found = self._array(("ids", "id", "guids"))
        if found is None:
            return None
        ids = list(map(str, found.tolist()))
        if len(set(ids)) < len(ids):
            raise UserError(f"The ids of {self.paths[0].name} are not all different.")
        return ids

    @cached_property
    def _task_names(self) -> list[str] | None:
        if self.answers.tasks is not None:
            return list(self.answers.tasks)
        found = self._array(TASKS)
        return None if found is None else list(map(str, np.atleast_1d(found).tolist()))

    @property
    def _n_classes(self) -> int:
        """Of a single task with an output for each class; 0 of others."""
        labels, shape = self._labels, self._outputs.shape
        single = labels is not None and labels.shape[1] == 1 and len(shape) == 3 and shape[2] > 2
        return shape[2] if single and self.answers.kind in (None, "multiclass") else 0

    @property
    def _each_class(self) -> bool:
        return self.answers.whole == "each class" and bool(self._n_classes)

    @cached_property
    def _read(self) -> EpochOutputs:
        """Raises UserError for shapes, names and labels that do not fit."""
        outputs = self.answers.outputs
        if outputs is None:
            called = {"probabilities": "probabilities", "probs": "probabilities"}
            outputs = called.get(self._outputs.name)  # type: ignore[assignment]
        if self._outputs.name == "logits":
            outputs = outputs or "logits"
        if outputs == "confidences":
            raise UserError(
                f"Confidences are (N, E), and {self._outputs.called} is"
                f" {sizes(self._outputs.shape)}."
            )
        labels = self._labels
        assert labels is not None, "they were asked for"
        values = self._epochs_first(len(labels))
        kind = "multiclass" if self._n_classes else self.answers.kind
        names = [self.name] if self._each_class else self._task_names
        return read_epochs(values, labels, names, kind, outputs)

    def _epochs_first(self, n_points: int) -> Any:
        """The outputs with their axes in our order, in memory where they lie otherwise."""
        member = self._outputs
        epochs_second = member.ndim == 3 and member.shape[0] == n_points != member.shape[1]
        if not (member.fortran or (epochs_second and member.name == "td")):
            return member
        if int(np.prod(member.shape)) * member.dtype.itemsize > LARGEST_IN_MEMORY:
            raise UserError(
                f"{member.called} lies on the disk in another order than (E, N, T): save it with"
                " np.ascontiguousarray."
            )
        whole = member.whole()
        return np.swapaxes(whole, 0, 1) if epochs_second and member.name == "td" else whole

    # ------------------------------------------------------------------------------ what is told

    @property
    def files(self) -> list[Path]:
        return list(self.paths)

    @property
    def tasks(self) -> tuple[Task, ...]:
        if self._of_gold:
            names = [self.name] if len(self.paths) == 1 else [path.stem for path in self.paths]
            return renamed(list(map(unlabelled, names)), self.answers.tasks)
        found = tuple(self._with_classes(task) for task in self._read.tasks)
        if self._each_class:
            each = [Task(name, rule="column") for name in found[0].values]
            return renamed(each, self.answers.tasks)
        return found

    def _with_classes(self, task: Task) -> Task:
        said = self.answers.classes
        if task.kind != "multiclass" or said is None:
            return task
        if len(said) != len(task.values):
            raise UserError(
                f"{counted(len(said), 'name')} of classes for the {len(task.values)} of"
                f" {named(task.name)}: give one for each."
            )
        return replace(task, values=tuple(said))

    @property
    def n_epochs(self) -> int:
        shape = self._outputs.shape
        if self._of_gold:
            return shape[1]
        return len(self._read.epochs) if self._labels is not None else shape[0]

    @property
    def points(self) -> tuple[int, bool]:
        if self._of_gold:
            return self._outputs.shape[0], False
        labels = self._labels
        return (self._outputs.shape[1] if labels is None else len(labels)), False

    @property
    def rows(self) -> list[dict[str, Any]]:
        member = self._outputs
        first = np.asarray(member[0]).reshape(member.shape[1], -1)[:5, :8]
        return [
            {"point": i, "first epoch": np.round(row, 4).tolist()} for i, row in enumerate(first)
        ]

    @property
    def questions(self) -> list[Question]:
        if self._of_gold:
            return []
        found = []
        shape = sizes(self._outputs.shape)
        if self._outputs.ndim == 2:
            return [
                Question(
                    "outputs",
                    f"{self._outputs.called} is {shape}: are these confidences, (N, E), the"
                    " probabilities of the true class of each point in each epoch? Outputs of"
                    " all epochs are (E, N, T).",
                    ("confidences",),
                )
            ]
        if self._labels is None:
            found.append(
                Question(
                    "labels",
                    f"The outputs are {shape}, and there are no labels: give a file of them, (N,"
                    " T), in the order of the points.",
                )
            )
        elif self._n_classes and self.answers.whole is None:
            found.append(ask_for_tasks(self._n_classes))
        elif self._task_names is None and not self._each_class:
            count = self._labels.shape[1]
            found.append(
                Question(
                    "tasks",
                    f"The arrays are of {counted(count, 'task')} and have no names of tasks: what"
                    " are they called, in the order of the labels?",
                )
            )
        return found

    @property
    def notes(self) -> list[str]:
        if self._of_gold:
            return [UNKNOWN]
        return list(self._read.notes) if not self.questions else []

    @property
    def problem(self) -> str:
        if self._outputs.ndim not in (2, 3):
            return (
                f"{self._outputs.called} is {sizes(self._outputs.shape)}, and outputs of several"
                " epochs are (E, N, T)."
            )
        if self.n_epochs < 2:
            return (
                "The log is of 1 epoch: variability is that of a confidence over the epochs, so two"
                " or more are needed."
            )
        return ""

    # ----------------------------------------------------------------------------- reading it

    def prepared(self, scratch: Path, tell: Tell) -> ArraysLog:
        return self

    def read(self, keeper: Keeper, tell: Tell) -> None:
        if self._of_gold:
            return self._read_confidences(keeper, tell)
        outputs = self._read
        ids = self._ids or [str(i) for i in range(len(outputs.labels))]
        if len(ids) != len(outputs.labels):
            raise UserError(
                f"{counted(len(ids), 'id')} for {counted(len(outputs.labels), 'point')}: give one"
                " for each."
            )
        points = keeper.places_of(ids)
        everything = slice(0, len(self.tasks))
        size = self.paths[0].stat().st_size // len(outputs.epochs)
        for epoch in range(1, len(outputs.epochs) + 1):
            tell(f"Epoch {epoch} of {len(outputs.epochs)}", size)
            confidence, labels = outputs.confidences(epoch), outputs.labels
            if self._each_class:
                values = outputs.of_epoch(epoch)
                confidence, labels = against_the_rest(values, labels, outputs.reader.outputs)
            keeper.add(points, everything, confidence, labels)
            keeper.end_epoch()

    def _read_confidences(self, keeper: Keeper, tell: Tell) -> None:
        members = [ArraysLog([path], self.answers)._outputs for path in self.paths]
        if len({member.shape for member in members}) > 1:
            raise UserError(
                "The files are of different numbers of points or epochs:"
                f" {', '.join(sizes(member.shape) for member in members[:4])}."
            )
        whole = np.stack([member.whole().astype(np.float32) for member in members], axis=2)
        if (wrong := (whole < 0) | (whole > 1)).any() or np.isinf(whole).any():
            raise UserError(
                f"Confidences lie from 0 to 1, and one is {whole[wrong | np.isinf(whole)][0]:g}."
            )
        points = keeper.places_of([str(i) for i in range(len(whole))])
        for epoch in range(whole.shape[1]):
            tell(f"Epoch {epoch + 1} of {whole.shape[1]}", 0)
            keeper.add(points, slice(0, len(members)), whole[:, epoch], None)
            keeper.end_epoch()


def without_missing(labels: Floats) -> Floats:
    """Labels (N, T) with NaN in place of −1, which some write for a missing one.

    A number to predict may be −1: a column with others than whole numbers stays. Raises UserError
    where −1 may be no as well.
    """
    labels = labels.copy()
    for t, column in enumerate(labels.T):
        if not (column == -1).any():
            continue
        known = np.unique(column[~np.isnan(column)])
        if not (known == np.rint(known)).all() or known[0] < -1:
            continue
        if known.tolist() == [-1, 1]:
            raise UserError(
                f"The labels of task {t + 1} are −1 and 1, and −1 may be no, or a missing label:"
                " write 0 for no, and NaN for a missing one."
            )
        labels[column == -1, t] = np.nan
    return labels
