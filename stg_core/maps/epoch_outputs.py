"""What a model answered in every epoch of a training, given all at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stg_core.maps.log_labels import Kinds, label_matrix_of, tasks_of, with_all_classes
from stg_core.maps.outputs import SLACK, OutputReader, Outputs, as_array, as_numpy, sizes
from stg_core.maps.recorder import NUMPY, DataMapRecorder
from stg_core.maps.summary import DataMapSummary, joined, summarise_tasks
from stg_core.system.errors import UserError
from stg_core.system.words import named
from stg_core.tasks.groups import Task, TaskGroup

SUM_SLACK = 1e-2  # by which the probabilities of all classes may miss 1 together


@dataclass(frozen=True)
class EpochOutputs:
    """Outputs of E epochs for N points, beside the labels of T tasks.

    epochs (E,): of each its outputs, (N, O) or a list of T heads, as they were given; labels (N, T)
    float32, NaN where one is missing; reader: knows the tasks and what the outputs are; notes: what
    was guessed, and what `summary` noticed, in sentences.
    """

    epochs: Sequence[Any]
    labels: NDArray[np.float32]
    reader: OutputReader
    notes: list[str]

    @property
    def tasks(self) -> tuple[Task, ...]:
        return self.reader.tasks

    def of_epoch(self, epoch: int) -> NDArray[np.float32]:
        """The outputs of an epoch, counted from 1, (N, O); a row of NaN for a point not seen."""
        return _read(self.reader, self.epochs[epoch - 1])

    def summary(self, recorded: Sequence[int]) -> DataMapSummary:
        """Of the data maps after some epochs, ascending and from 2 on.

        Memory: the recorder's state, 12 bytes for each point and task, and a few arrays of one
        epoch. Raises UserError, which names the first, for outputs that are not numbers and for
        ones that can be no probabilities.
        """
        recorder = DataMapRecorder(len(self.labels), len(self.tasks), NUMPY)
        found, unseen = [], []
        for epoch in range(1, recorded[-1] + 1):
            confidences, seen = self._confidences(epoch)
            unseen.append(len(seen) - int(seen.sum()))
            recorder.update(slice(None), confidences)
            if epoch in recorded:
                maps = recorder.snapshot()[None]
                found.append(summarise_tasks(maps, self.labels, self.tasks, (epoch,)))
        if any(unseen):
            self.notes.append(
                f"Rows of NaN, {max(unseen):,} of {len(self.labels):,} in an epoch, were taken for"
                " points that were not seen in it."
            )
        return joined(found)

    def confidences(self, epoch: int) -> NDArray[np.float32]:
        """(N, T) of an epoch, counted from 1; NaN where a label is missing or a point was not seen.

        Raises UserError as `summary` does.
        """
        return self._confidences(epoch)[0]

    def _confidences(self, epoch: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """The same, and which points were seen, (N,)."""
        outputs = self.of_epoch(epoch)
        seen = np.asarray(~np.isnan(outputs).all(axis=1))
        if not seen.any():
            raise UserError(
                f"All outputs of epoch {epoch} are NaN: the training may have diverged. Give the"
                " epochs before it."
            )
        if self.reader.outputs == "probabilities":
            self._check_probabilities(outputs, epoch)
        found: NDArray[np.float32] = self.reader.confidences(outputs, self.labels).clip(0, 1)
        wrong = np.isnan(found) & ~np.isnan(self.labels) & seen[:, None]
        if wrong.any():
            point, task = np.argwhere(wrong)[0]
            raise UserError(
                f"An output of epoch {epoch} is not a number (NaN): that of point {point} for"
                f" {named(self.tasks[task].name)}, whose label is known. The training may have"
                " diverged; a point that an epoch did not see has a row of NaN."
            )
        return found, seen

    def _check_probabilities(self, outputs: NDArray[np.float32], epoch: int) -> None:
        said = 'say outputs="logits" if that is what they are.'
        if self.reader.strange(outputs):
            asked = outputs[:, self.reader.asked]
            point, column = np.argwhere((asked < -SLACK) | (asked > 1 + SLACK))[0]
            raise UserError(
                f"Probabilities lie from 0 to 1, and an output of epoch {epoch} (point {point}) is"
                f" {asked[point, column]:g}: {said}"
            )
        for task, columns in self.reader.classes:
            off = np.abs(outputs[:, columns].sum(axis=1) - 1) > SUM_SLACK
            if off.any():
                raise UserError(
                    f"The probabilities of all classes of {named(self.tasks[task].name)} should sum"
                    f" to 1, and in epoch {epoch} those of point {off.argmax()} do not: {said}"
                )


def read_epochs(
    values: Any,
    labels: Any,
    tasks: Sequence[str] | None = None,
    kinds: Kinds | None = None,
    outputs: Outputs | None = None,
) -> EpochOutputs:
    """Outputs of all epochs, (E, N, O), with labels (N, T), NaN where one is missing.

    values: O columns side by side in the order of the tasks: one for a yes-or-no or a regression
    task, one for each class of a multi-class one. Or a list of T heads, each (E, N) or (E, N, C);
    or a list of E epochs, each (N, O) or itself a list of T heads. Of NumPy, torch, JAX, pandas, or
    nested lists. kinds, outputs: as of a `TaskLog`. Raises UserError for any other shape, for
    labels that are not of their kind, and for less than two epochs.
    """
    if outputs not in (None, "logits", "probabilities"):
        raise UserError(f'Outputs are "logits" or "probabilities", and not {outputs!r}.')
    names, matrix = label_matrix_of(labels, tasks)
    epochs = _by_epoch(values, *matrix.shape)
    if len(epochs) < 2:
        raise UserError(
            f"There {'is 1 epoch' if epochs else 'are no epochs'} of outputs: variability is that"
            " of a confidence over the epochs, so give those of two or more, (E, N, T)."
        )
    known = TaskGroup("outputs", "outputs", tasks_of(names, matrix, kinds)).tasks  # names differ
    reader = OutputReader(with_all_classes(known, epochs[0]), matrix, outputs)
    first = _read(reader, epochs[0])
    notes = [reader.tell_apart(first), _told_kinds(reader.tasks, kinds)]
    if outputs is None and reader.outputs == "logits" and _none_negative(first[:, reader.asked]):
        raise UserError(
            "Some outputs are above 1, which no probability is, and none is below 0, which some"
            ' logits would be. Divide percentages by 100; or say outputs="logits".'
        )
    return EpochOutputs(epochs, matrix, reader, [*filter(None, notes)])


# ----------------------------------------------------------------------------------------- shapes


def _by_epoch(values: Any, n_points: int, n_tasks: int) -> list[Any]:
    """Of each epoch its outputs, (N, O) or a list of T heads; nothing is copied."""
    if not isinstance(values, list | tuple):
        values = values if hasattr(values, "shape") else as_array(values)
        _check_array(tuple(values.shape), n_points, n_tasks)
        return [values[epoch] for epoch in range(len(values))]
    parts = [
        list(part) if _are_heads(part, n_points, n_tasks) else _as_it_is(part) for part in values
    ]
    if all(isinstance(part, list) for part in parts):
        return parts
    shapes = [tuple(np.shape(part)) for part in parts]
    if all(len(shape) == 2 and shape[0] == n_points for shape in shapes):
        return parts
    if len(parts) == n_tasks and all(shape[1:2] == (n_points,) for shape in shapes):
        if len({shape[0] for shape in shapes}) > 1:
            raise UserError("The heads are of different numbers of epochs: give all of each.")
        return [[head[epoch] for head in parts] for epoch in range(shapes[0][0])]
    if len(set(shapes)) == 1:
        _check_array((len(parts), *shapes[0]), n_points, n_tasks)
    raise UserError(
        f"The outputs are a list of {len(parts)} arrays, {', '.join(map(sizes, shapes[:3]))}"
        f"{' …' * (len(parts) > 3)}, and the labels (N, T) = {sizes((n_points, n_tasks))}: give an"
        f" array (E, N, T), or a list of {n_tasks} heads, each (E, N) or (E, N, classes)."
    )


def _as_it_is(part: Any) -> Any:
    return part if hasattr(part, "shape") else as_array(part)


def _are_heads(part: Any, n_points: int, n_tasks: int) -> bool:
    """Whether it is what T heads said of all points in an epoch."""
    return (
        isinstance(part, list | tuple)
        and len(part) == n_tasks
        and all(hasattr(head, "shape") and tuple(head.shape)[:1] == (n_points,) for head in part)
    )


def _check_array(shape: tuple[int, ...], n_points: int, n_tasks: int) -> None:
    """Raises UserError for what is not (E, N, O), and says how it lies where that can be seen."""
    if len(shape) == 3 and shape[1] == n_points:
        return
    labels = sizes((n_points, n_tasks))
    if len(shape) == 2 and shape[0] == n_points:
        raise UserError(
            f"The outputs are {sizes(shape)}, those of a single epoch: variability is that of a"
            " confidence over the epochs, so give those of two or more, (E, N, T)."
        )
    advice = ""
    if len(shape) == 3 and shape[0] == n_points:
        advice = " They look like (N, E, T): turn them with np.swapaxes(outputs, 0, 1)."
    elif shape[1:] == (n_tasks, n_points) and n_points < n_tasks:
        advice = " The labels seem to lie on their side: give labels.T."
    elif shape[1:] == (n_tasks, n_points):
        advice = " They look like (E, T, N): turn them with np.swapaxes(outputs, 1, 2)."
    elif len(shape) == 3 and (shape[0], shape[2]) == (n_tasks, n_points):
        advice = " They look like (T, E, N): turn them with np.moveaxis(outputs, 0, 2)."
    raise UserError(
        f"The outputs are {sizes(shape)} and the labels {labels}; they should be (E, N, T) and"
        f" (N, T), of E epochs, N points and T tasks.{advice}"
    )


# ------------------------------------------------------------------------------------- what it is


def _read(reader: OutputReader, outputs: Any) -> NDArray[np.float32]:
    heads = isinstance(outputs, list)
    found = reader.read([as_numpy(head) for head in outputs] if heads else as_numpy(outputs))
    return np.asarray(found, np.float32)


def _none_negative(asked: NDArray[np.float32]) -> bool:
    return not bool((asked < 0).any())


def _told_kinds(tasks: Sequence[Task], kinds: Kinds | None) -> str:
    """Which tasks were guessed to be no questions of yes or no."""
    said = {task.name for task in tasks} if isinstance(kinds, str) else set(kinds or {})
    told = []
    for kind, what in (("multiclass", "classes"), ("regression", "numbers to predict")):
        guessed = [task.name for task in tasks if task.kind == kind and task.name not in said]
        if guessed:
            names = ", ".join(guessed[:3]) + f" and {len(guessed) - 3} more" * (len(guessed) > 3)
            told.append(f"the labels of {names} for {what}")
    return f"Taken, as kinds was not said: {'; '.join(told)}." if told else ""
