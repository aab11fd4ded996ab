"""What is read of a log becomes the folder of a logged run, an epoch at a time."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stg_core.maps.formats.answers import Answers
from stg_core.maps.formats.label_files import LabelFile
from stg_core.maps.formats.lines import Lines
from stg_core.maps.formats.numbers import Floats
from stg_core.maps.formats.unlabelled import is_unlabelled
from stg_core.maps.log_folder import (
    MOST_MAPS,
    LogFolder,
    Progress,
    kept_epochs,
    new_head,
    now,
    told,
)
from stg_core.maps.log_points import TABLE
from stg_core.maps.recorder import NUMPY, DataMapRecorder
from stg_core.maps.summary import summarise_tasks
from stg_core.system.errors import UserError
from stg_core.system.files import atomic
from stg_core.system.words import counted, named
from stg_core.tasks.groups import Task, TaskGroup
from stg_core.tasks.names import check_names

GROWTH = 1.5  # of the arrays, where more points come than were expected


def shares_nothing(epochs: int, points: int) -> str:
    """The sentence about a log whose epochs are of different points."""
    return (
        f"The {epochs} epochs of the log share no point: they have {points:,} ids, each in a single"
        " epoch, so that no point has a variability. A log has the same points in every epoch; this"
        " may be an excerpt, as the sample of Dataset Cartography is."
    )


def checked_tasks(tasks: Sequence[Task]) -> tuple[Task, ...]:
    """Raises UserError where names stand twice, or cannot be shown."""
    check_names(task.name for task in tasks)
    return TaskGroup("log", "log", tuple(tasks)).tasks


class Keeper:
    """Puts what was read into a folder: the recorder's state in memory, maps on the disk.

    tasks: (T,), of which some may be `unlabelled`; epochs: how many there will be;
    expected: points, as far as is known. Memory: 20 bytes for each point and task, and the ids.
    """

    def __init__(self, folder: Path, tasks: Sequence[Task], epochs: int, expected: int = 0) -> None:
        self.tasks = checked_tasks(tasks)
        self.folder = LogFolder(folder)
        self.notes: list[str] = []
        self._chosen = kept_epochs(epochs, MOST_MAPS, epochs)
        self._planned = epochs
        self._places: dict[str, int] = {}
        self._progress = Progress()
        self._recorder = DataMapRecorder(0, len(tasks), NUMPY)
        self._labels = self._current = np.empty((0, len(tasks)), np.float32)
        self._epochs_of = np.empty(0, np.int32)  # in how many epochs a point was
        self._rows = self._twice = self._again = 0
        self._began = time.monotonic()
        self._grow(max(expected, 1))

    @property
    def n_points(self) -> int:
        return len(self._places)

    def places_of(self, ids: Sequence[str]) -> NDArray[np.int64]:
        """Indices of points (B,), new ones in the order in which they come."""
        places = self._places
        found = [places.setdefault(name, len(places)) for name in ids]
        if len(places) > len(self._current):
            self._grow(max(len(places), int(GROWTH * len(self._current))))
        return np.array(found, np.int64)

    def add(
        self, points: NDArray[np.int64], columns: slice, confidence: Floats, labels: Floats | None
    ) -> None:
        """Adds a batch of the epoch: confidences (B, t) of some tasks, and their labels, or None.

        A point that was in this epoch before counts once where it has the same confidences, as
        where a sampler filled up its last batch, and otherwise each time. Raises UserError where a
        label is another one than before.
        """
        if labels is not None:
            self._add_labels(points, columns, labels)
        self._rows += len(points)
        own = self._current[:, columns]
        first = np.zeros(len(points), bool)
        first[np.unique(points, return_index=True)[1]] = True
        first &= np.isnan(own[points]).all(axis=1)
        own[points[first]] = confidence[first]
        if first.all():
            return
        again, repeated = points[~first], confidence[~first]
        same = ((own[again] == repeated) | np.isnan(repeated)).all(axis=1)
        self._twice += int(same.sum())
        if not same.all():
            self._again += int((~same).sum())
            whole = np.full((int((~same).sum()), len(self.tasks)), np.nan, np.float32)
            whole[:, columns] = repeated[~same]
            self._recorder.update(again[~same], whole)

    def end_epoch(self) -> None:
        """Ends it; the data maps of a recorded epoch are written."""
        current = self._current
        seen = ~np.isnan(current).all(axis=1)
        if not seen.any():
            raise UserError(
                f"No point of epoch {self._progress.epoch + 1} has both an output and a label (−1"
                " stands for a missing one): give the labels in a file."
            )
        self._epochs_of += seen
        self._recorder.update(slice(None), current)
        current[:] = np.nan
        epoch = self._progress.epoch + 1
        if epoch in self._chosen:
            self._write_maps(epoch, self._recorder.snapshot()[:, :, : self.n_points])
        self._count_epoch(epoch, self._rows, self._mean_confidence())
        self._rows = 0

    def keep_maps(self, epoch: int, maps: NDArray[np.float16]) -> None:
        """Takes data maps (2, T, N) of an epoch as they are, where no outputs were logged."""
        known = ~np.isnan(maps[0].T)
        if not known.any():
            raise UserError(f"The data maps of epoch {epoch} hold no numbers.")
        self._epochs_of[: self.n_points] = np.where(known.any(axis=1), epoch, 0)
        mean, deviation = np.where(known, np.nan_to_num(maps.swapaxes(1, 2).astype(np.float32)), 0)
        self._recorder.state[: self.n_points, 0] = np.where(known, epoch, 0)
        self._recorder.state[: self.n_points, 1] = mean
        self._recorder.state[: self.n_points, 2] = deviation**2 * (epoch - 1)
        self._write_maps(epoch, maps)
        while self._progress.epoch < epoch:
            self._count_epoch(self._progress.epoch + 1, 0, (None,) * len(self.tasks))

    def take_ids(self, places: dict[str, int]) -> None:
        """Those of all points, with their indices, which are known before."""
        self._places = places
        if len(places) > len(self._current):
            self._grow(len(places))

    def take_labels(self, file: LabelFile, answers: Answers) -> None:
        """Those of all points that are known, from a file."""
        names = [task.name for task in self.tasks]
        found = file.of(list(self._places), names, file.classes_of(answers))
        self._labels[: self.n_points] = found

    def note_cut(self, lines: Lines) -> None:
        """Tells of a last line that was cut short."""
        if lines.cut:
            self.notes.append(f"The last line of {lines.path.name} was cut short, and left out.")

    def finish(self, name: str, source: str, origin: Mapping[str, Any]) -> None:
        """Writes all that is not of one epoch, what makes it a log last."""
        self._check_shared()
        self._note_counts()
        labels = self._labels_of_all()
        self.folder.write("labels", labels)
        self.folder.write(f"state-{self._progress.epoch}", self._recorder.state[: self.n_points])
        maps = self._progress.maps
        for epoch in maps:
            self._pad(epoch)
        points = self._keep_ids()
        for epoch in maps:
            self._summarise(epoch, labels)
        self.folder.write_progress(
            Progress(
                self._progress.epoch,
                maps,
                (),
                self._progress.rows,
                self._progress.confidence,
                time.monotonic() - self._began,
                now(),
                tuple(self.notes),
                finished=True,
            )
        )
        head = new_head(
            name,
            self.tasks,
            labels,
            planned=self._progress.epoch,
            source=source,
            points=points,
            origin=dict(origin),
        )
        self.folder.write_head(head)

    # ------------------------------------------------------------------------------------ the rest

    def _grow(self, size: int) -> None:
        more = size - len(self._current)

        def grown(array: Any, value: float) -> Any:
            added = np.full((more, *array.shape[1:]), value, array.dtype)
            return np.concatenate([array, added])

        self._recorder.state = grown(self._recorder.state, 0)
        self._labels = grown(self._labels, np.nan)
        self._current = grown(self._current, np.nan)
        self._epochs_of = grown(self._epochs_of, 0)

    def _add_labels(self, points: NDArray[np.int64], columns: slice, labels: Floats) -> None:
        own = self._labels[:, columns]
        before = own[points]
        new = ~np.isnan(labels)
        own[points] = np.where(new, labels, before)
        other = new & ((own[points] != labels) | (~np.isnan(before) & (before != labels)))
        if other.any():
            row, t = np.argwhere(other)[0]
            point = int(points[row])
            was = before[row, t] if not np.isnan(before[row, t]) else own[point, t]
            name = next(name for name, place in self._places.items() if place == point)
            raise UserError(
                f"The label of the point {named(name)} changes from {was:g} to"
                f" {labels[row, t]:g} in epoch {self._progress.epoch + 1}: a point has one label,"
                " or two points have the same id."
            )

    def _write_maps(self, epoch: int, maps: NDArray[np.float16]) -> None:
        self.folder.write(f"maps-{epoch}", maps)

    def _count_epoch(self, epoch: int, rows: int, confidence: tuple[float | None, ...]) -> None:
        before = self._progress
        kept = self.folder.has(f"maps-{epoch}")
        self._progress = Progress(
            epoch,
            (*before.maps, epoch) if kept else before.maps,
            rows=(*before.rows, rows),
            confidence=(*before.confidence, confidence),
        )

    def _mean_confidence(self) -> tuple[float | None, ...]:
        """Of each task over the points that have one, (T,)."""
        count, mean = self._recorder.state[:, 0], self._recorder.state[:, 1]
        points = (count > 0).sum(axis=0)
        total = mean.sum(axis=0, dtype=np.float64)  # 0 where none was seen
        return tuple(float(s / n) if n else None for s, n in zip(total, points, strict=True))

    def _check_shared(self) -> None:
        """Raises UserError where no point has a variability."""
        epochs = self._progress.epoch
        if epochs < 2:
            raise UserError(
                f"There {'is 1 epoch' if epochs else 'are no epochs'} in the log: variability is"
                " that of a confidence over the epochs, so two or more are needed."
            )
        if self._epochs_of.max(initial=0) < 2:
            raise UserError(shares_nothing(epochs, self.n_points))

    def _note_counts(self) -> None:
        epochs = self._epochs_of[: self.n_points]
        fewer = int((epochs < self._progress.epoch).sum())
        if fewer:
            least = int(epochs.min())
            self.notes.append(
                f"{counted(fewer, 'point')} of {self.n_points:,} are in fewer than"
                f" {self._progress.epoch} epochs, at least in {least}: they are kept with what they"
                " have."
            )
        if self._twice:
            self.notes.append(
                f"{counted(self._twice, 'row')} repeated a point of its epoch with the same output,"
                " as where a last batch is filled up: counted once."
            )
        if self._again:
            self.notes.append(
                f"{counted(self._again, 'row')} repeated a point of its epoch with another output:"
                " each counts."
            )

    def _labels_of_all(self) -> Floats:
        labels = self._labels[: self.n_points]
        count = self._recorder.state[: self.n_points, 0]
        for t, task in enumerate(self.tasks):
            if is_unlabelled(task):
                labels[:, t] = np.where(count[:, t] > 0, 0, np.nan)
        return labels

    def _pad(self, epoch: int) -> None:
        """Gives maps that were written before all points were known NaN for the others."""
        maps = self.folder.data_map(epoch)
        if missing := self.n_points - maps.shape[2]:
            nothing = np.full((*maps.shape[:2], missing), np.nan, np.float16)
            self.folder.write(f"maps-{epoch}", np.concatenate([maps, nothing], axis=2))

    def _keep_ids(self) -> dict[str, Any]:
        """The ids as the table of what a point is; nothing where they only count, or no library
        for tables is installed."""
        ids = list(self._places)
        if all(name == str(i) for i, name in enumerate(ids)):
            return {}
        try:
            import pandas as pd

            with told(), atomic(self.folder.path / TABLE) as file:
                pd.DataFrame({"id": ids}).to_parquet(file)
        except ImportError:
            self.notes.append("The ids of the points were not kept: that needs pandas and pyarrow.")
            return {}
        return {"kind": "table", "columns": ["id"]}

    def _summarise(self, epoch: int, labels: Floats) -> None:
        maps = np.asarray(self.folder.data_map(epoch))[None]
        found = summarise_tasks(maps, labels, self.tasks, (epoch,))
        with told(), atomic(self.folder.path / f"summary-{epoch}.npz") as file:
            found.save(file)
