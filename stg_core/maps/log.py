"""The log of any training loop: three lines, and its tasks are in the app while it trains.

log = TaskLog("my run", tasks=names, labels=labels)
log.update(indices, logits)      # each batch
log.end_epoch()                  # from the second on, the run is in the app
"""

from __future__ import annotations

import dataclasses
import sys
import time
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, cast
from weakref import WeakValueDictionary

import numpy as np
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from stg_core.maps.log_batches import Batches
from stg_core.maps.log_begin import WAYS, check_goes_on, checked_epochs, checked_name
from stg_core.maps.log_epochs import Epoch, keep_epoch
from stg_core.maps.log_folder import Head, LogFolder, Progress, logs_folder, new_head, now
from stg_core.maps.log_labels import (
    Kinds,
    check_labels,
    label_matrix_of,
    tasks_of,
    with_all_classes,
)
from stg_core.maps.log_ranks import (
    MOST_PARTS,
    all_have_logged,
    merged,
    rank_of,
    sentence_of_the_dead,
    write_part,
)
from stg_core.maps.outputs import OutputReader, Outputs, as_numpy
from stg_core.maps.recorder import DataMapRecorder
from stg_core.system.errors import UserError
from stg_core.system.words import counted, named

OURS = str(Path(__file__).parents[1])
PATIENCE = 2.0  # seconds for which somebody who only looks may hold a lock


class TaskLog:
    """Logs the data maps of a training loop, as a run of the app from its second epoch on.

    name: of the run. Asked for again, a log that was not closed goes on after its last whole epoch
    (`done`), whatever ended it.
    tasks: names (T,), by default those of a data frame's columns.
    labels: of the training points, (N, T), NaN where one is missing: 0 or 1; the number of a class;
    any number.
    kinds: "binary", "multiclass" or "regression", of all tasks or by name; guessed from the labels.
    classes: what the numbers of a multi-class task stand for, by name.
    outputs: "logits" or "probabilities"; told apart by the first batch.
    test_labels: of the points of `test`, (N', T).
    epochs: how many are planned, where that is known: the recorded ones are spread over them.
    anew: begins a log of that name anew; what it had is deleted.
    rank, ranks: of several processes that log under one name, which one this is; by default what
    RANK and WORLD_SIZE of the environment say.
    source: what the log came from; folder: of all logs, by default that of `STG_HOME`.

    Raises UserError for what cannot be logged, before anything is. Memory: the recorder's state,
    12 bytes for each point and task, on the device of the outputs.
    """

    def __init__(
        self,
        name: str,
        tasks: Sequence[str] | None = None,
        labels: Any = None,
        *,
        kinds: Kinds | None = None,
        classes: Mapping[str, Sequence[str]] | None = None,
        outputs: Outputs | None = None,
        test_labels: Any = None,
        epochs: int | None = None,
        anew: bool = False,
        rank: int | None = None,
        ranks: int | None = None,
        source: str = "TaskLog",
        folder: Path | None = None,
    ) -> None:
        name = checked_name(name)
        if labels is None:
            raise UserError(
                "A log needs the labels of the training points, (points, tasks), with NaN where one"
                " is missing: TaskLog(name, tasks=names, labels=labels)."
            )
        if outputs not in (None, "logits", "probabilities"):
            raise UserError(f'Outputs are "logits" or "probabilities", and not {outputs!r}.')
        names, self.labels = label_matrix_of(labels, tasks)
        kind_of = tasks_of(names, self.labels, kinds, classes)
        self._said_classes = {*(classes or {})}
        self.test_labels = None
        if test_labels is not None:
            _, self.test_labels = label_matrix_of(test_labels, names)
        self._reader = OutputReader(kind_of, self.labels, outputs)
        self.rank, self.ranks = rank_of(rank, ranks)
        self._folder = LogFolder.named(name, Path(folder or logs_folder()).resolve())
        planned, source = checked_epochs(epochs), str(source)
        head = new_head(
            name, kind_of, self.labels, self.ranks, outputs=outputs, planned=planned, source=source
        )
        with self._folder.merging():  # whoever holds a rank's lock has joined
            self._lock = self._take(name)
            try:
                self._head = self._begin_or_go_on(head, anew)
            except BaseException:
                self._lock.release()
                raise
        self._batches = Batches(self.labels, self._folder, self._progress.epoch, self.ranks > 1)
        if self.test_labels is not None:
            self._batches.measure(self._reader)
        self._test: NDArray[np.float32] | None = None
        self._gave_up = False  # waiting for the parts of a rank that died
        self._began = time.monotonic()
        _OPEN[self._folder.path, self.rank] = self

    # ------------------------------------------------------------------------------ what is known

    @property
    def run_id(self) -> str:
        """Of its run, such as "log:my-run"."""
        return self._folder.id

    @property
    def done(self) -> int:
        """Finished epochs; a log that goes on begins with the next."""
        return self._batches.epoch - 1

    @property
    def tasks(self) -> tuple[str, ...]:
        return tuple(task.name for task in self._head.tasks)

    @property
    def notes(self) -> list[str]:
        """What was guessed or noticed, in sentences."""
        return list(self._progress.notes)

    def __repr__(self) -> str:
        shape = f"{counted(len(self.labels), 'point')}, {counted(len(self.tasks), 'task')}"
        return f"TaskLog({self._head.name!r}: {shape}, {counted(self.done, 'epoch')} done)"

    # ----------------------------------------------------------------------------------- logging

    def update(self, indices: Any, outputs: Any) -> None:
        """Logs a batch: which points it is of, (B,), and what the model answered, (B, O).

        Or a list of T heads; see `OutputReader`. A point that is there several times, in a batch or
        in an epoch, counts each time. Raises UserError for what is not of these points and tasks,
        and for outputs that are not numbers; of outputs on an accelerator at the end of the epoch,
        so that it never waits.
        """
        self._check_open()
        values = self._read(outputs)
        self._batches.add(indices, values, self._reader)

    def epoch(self, outputs: Any) -> None:
        """Logs a whole epoch at once: the outputs of all points, (N, O), and ends it.

        A row of NaN is a point that was not seen. For what has no batches, such as scikit-learn.
        """
        values = self._read(outputs)
        if len(values) != len(self.labels):
            raise UserError(
                f"There are {len(values):,} rows of outputs and {len(self.labels):,} points: give"
                " a row for each, of NaN where a point was not seen; or log batches with update."
            )
        array = as_numpy(values)
        seen = np.flatnonzero(~np.isnan(array).all(axis=1))
        if len(seen) < len(array):
            values = array[seen]
        if len(seen):
            self.update(seen, values)
        self.end_epoch()

    def test(self, outputs: Any, labels: Any = None) -> None:
        """Logs what the model answers about the test points after this epoch, (N', O).

        Before `end_epoch`. labels (N', T): once, where they were not given before.
        """
        self._check_open()
        labels = self._given_test_labels(labels)
        values = self._read(outputs)
        if len(values) != len(labels):
            raise UserError(
                f"There are {len(values):,} rows of test outputs and {len(labels):,} test points:"
                " give a row for each, in the order of their labels."
            )
        epoch = self._batches.epoch
        if self._reader.outputs == "probabilities" and bool(self._reader.strange(values)):
            raise UserError(
                f"The test outputs of epoch {epoch} are no probabilities from 0 to 1, as those of"
                " the training points are."
            )
        found = self._reader.as_logits(values)
        if np.isnan(found).any():
            raise UserError(
                f"The test outputs of epoch {epoch} are not numbers (NaN): the training may have"
                " diverged. The epochs before are kept."
            )
        if self.test_labels is None:
            self._folder.write("test_labels", self._reader.scaled(labels))
            self._batches.measure(self._reader)
            self.test_labels = labels
        self._test = found

    def points(self, what: Any) -> None:
        """Says what the training points are: a data frame of N rows, or a folder of N images.

        Images are taken in the order of their names. Pages show them beside the data maps.
        """
        self._check_open()
        from stg_core.maps.log_points import keep_points

        points = keep_points(self._folder.path, what, len(self.labels))
        self._head = self._folder.change_head(points=points)

    def end_epoch(self) -> None:
        """Ends an epoch: what was logged since the last one is kept for good.

        Raises UserError for an epoch without any output, and for outputs on an accelerator that
        were not numbers; such an epoch is not kept.
        """
        self._check_open()
        try:
            self._batches.check()
        except UserError:
            self._test = None
            raise
        if self.ranks == 1:
            self._end_alone()
        else:
            self._end_part()
        self._batches.begin_next()
        self._test = None

    def close(self) -> None:
        """Says that the training has ended: the log is finished, and no longer live."""
        if self._lock is None:
            return
        with self._folder.merging():
            self._progress = self._with_notes(self._folder.progress())
            whole = self._progress.epoch >= self.done  # no rank is behind, or has died
            self._write(dataclasses.replace(self._progress, finished=whole and not self._others()))
            self._let_go()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Closes it, but not where the loop failed: then the log may go on."""
        if kind is None:
            self.close()
        else:
            self._let_go()

    # ----------------------------------------------------------------------------- its beginning

    def _take(self, name: str) -> FileLock:
        """The lock of this rank; a log of the same name in this process lets go of it."""
        if before := _OPEN.get((self._folder.path, self.rank)):
            before._let_go()
        lock = FileLock(self._folder.path / f"rank-{self.rank}.lock")
        try:
            lock.acquire(timeout=PATIENCE)
        except Timeout:
            whose = f" (rank {self.rank} of {self.ranks})" if self.ranks > 1 else ""
            raise UserError(
                f"Another process is logging under the name {named(name)}{whose}: take another"
                " name, or wait until it has ended."
            ) from None
        return lock

    def _begin_or_go_on(self, head: Head, anew: bool) -> Head:
        if self.test_labels is not None:
            check_labels(head.tasks, self.test_labels, "test labels")
        before, damage = self._folder.head(), self._folder.damage
        joins = before is not None and self._others()  # the first of them has begun it
        if damage and not anew:
            raise UserError(f"{damage} {WAYS}")
        if before is None or (anew and not joins):
            test = self.test_labels
            scaled = None if test is None else self._reader.scaled(test)
            self._folder.begin(head, self.labels, scaled)
            self._progress = Progress(updated=now())
            return head
        progress = self._progress = self._folder.progress()
        check_goes_on(before, progress, head)
        self._folder.drop_own_parts(self.rank)
        if not joins:
            self._folder.drop_unfinished()
        self._settle(before)
        self._settle_test_labels()
        if progress.epoch:
            self._tell(
                f"The log {named(head.name)} goes on after epoch {progress.epoch}; anew=True begins"
                " it anew."
            )
        if before.planned != head.planned and head.planned:
            before = dataclasses.replace(before, planned=head.planned)
            self._folder.write_head(before)
        return before

    def _settle(self, head: Head) -> None:
        """Takes the classes of a log that was begun before."""
        outputs = self._reader.outputs or cast(Outputs | None, head.outputs)
        self._reader = OutputReader(head.tasks, self.labels, outputs)

    def _settle_test_labels(self) -> None:
        """Takes those of a log that was begun before, or gives it these."""
        before = self._folder.array("test_labels") if self._folder.has("test_labels") else None
        if self.test_labels is None:
            self.test_labels = before
            return
        scaled = self._reader.scaled(self.test_labels)
        if before is None:
            self._folder.write("test_labels", scaled)
        elif not np.array_equal(before, scaled, equal_nan=True):
            raise UserError(
                f"The test labels have changed since the log {named(self._folder.path.name)} was"
                f" begun. {WAYS}"
            )

    def _given_test_labels(self, labels: Any) -> NDArray[np.float32]:
        """Those of `test`, (N', T): given now or before."""
        if labels is None:
            if self.test_labels is None:
                raise UserError("Test points need labels: log.test(outputs, test_labels).")
            return self.test_labels
        _, found = label_matrix_of(labels, self.tasks)
        check_labels(self._head.tasks, found, "test labels")
        if self.test_labels is not None:
            before, scaled = self._folder.array("test_labels"), self._reader.scaled(found)
            if not np.array_equal(before, scaled, equal_nan=True):
                raise UserError(
                    "The test labels have changed since they were first given: give the same, or"
                    " none."
                )
        return found

    def _read(self, outputs: Any) -> Any:
        """A batch, (B, O); the first one says how many classes there are, and what outputs are."""
        first = self._reader.outputs is None
        if self._head.outputs is None:
            self._more_classes(outputs)
        values = self._reader.read(outputs)
        if first:
            told = self._reader.tell_apart(values)
            if told:
                self._note(told, warn=False)
        if self._head.outputs is None:
            self._head = self._folder.change_head(
                outputs=self._reader.outputs, tasks=self._reader.tasks
            )
        return values

    def _more_classes(self, outputs: Any) -> None:
        tasks = with_all_classes(self._reader.tasks, outputs, self._said_classes)
        if tasks != self._reader.tasks:
            self._reader = OutputReader(tasks, self.labels, self._reader.outputs)

    # ---------------------------------------------------------------------------------- its epochs

    def _end_alone(self) -> None:
        batches = self._batches
        if not batches.rows:
            raise UserError(
                f"Nothing was logged in epoch {batches.epoch}: call update for each batch, with the"
                " indices of its points and what the model answered."
            )
        recorder = cast(DataMapRecorder, batches.recorder)
        self._finish(Epoch(batches.epoch, recorder, batches.rows, self._test, batches.sample()))

    def _end_part(self) -> None:
        """Keeps what this process logged; the last one to end an epoch puts all parts together."""
        folder, number, pending = self._folder, self._batches.epoch, self._batches.pending
        if not self._gave_up:
            write_part(folder, number, self.rank, pending, self._test, self._batches.sample())
        with folder.merging():
            self._progress = self._with_notes(folder.progress())
            is_next = self._progress.epoch == number - 1
            if is_next and all_have_logged(folder, number, self.ranks):
                self._finish(merged(folder, number, self.ranks, self.labels.shape))
                folder.drop_parts(number)
            self._tell_of_the_dead()

    def _finish(self, epoch: Epoch) -> None:
        """Keeps an epoch of all processes; it is finished when progress is written."""
        self._note_rows(epoch)
        elapsed = time.monotonic() - self._began
        self._began = time.monotonic()
        self._write(
            keep_epoch(
                self._folder, epoch, self._progress, self._head.planned, self._reader, elapsed
            )
        )

    def _note_rows(self, epoch: Epoch) -> None:
        n_points = len(self.labels)
        if epoch.rows != n_points and not any("rows of outputs" in note for note in self.notes):
            self._note(
                f"Epoch {epoch.number} had {counted(epoch.rows, 'row')} of outputs for"
                f" {counted(n_points, 'point')}:"
                " a point that is there twice counts twice, one that is not there keeps what it"
                " had."
            )

    def _tell_of_the_dead(self) -> None:
        """Warns of a rank that is behind and no longer logs, and in the end waits no longer."""
        sentence = sentence_of_the_dead(self._folder, self._batches.epoch, self.ranks)
        if not sentence:
            return
        if not any("no longer logs" in note for note in self.notes):
            self._note(sentence)
            self._write(self._progress)
        if self._batches.epoch - self._progress.epoch >= MOST_PARTS and not self._gave_up:
            self._gave_up = True
            self._folder.drop_own_parts(self.rank)
            self._note(
                f"Parts of epochs after {self._progress.epoch} are no longer kept: start all"
                " processes again, and the log goes on from there."
            )
            self._write(self._progress)

    def _others(self) -> list[int]:
        """The ranks that are logging now, without this one."""
        return [rank for rank in self._folder.logging(self.ranks) if rank != self.rank]

    def _with_notes(self, progress: Progress) -> Progress:
        """What another process wrote, with the notes of this one."""
        notes = dict.fromkeys((*progress.notes, *self._progress.notes))
        return dataclasses.replace(progress, notes=tuple(notes))

    # ----------------------------------------------------------------------------------- its folder

    def _write(self, progress: Progress) -> None:
        self._progress = dataclasses.replace(progress, updated=now())
        self._folder.write_progress(self._progress)

    def _note(self, sentence: str, warn: bool = True) -> None:
        """Keeps a sentence for the app, and tells it."""
        self._progress = dataclasses.replace(
            self._progress, notes=(*self._progress.notes, sentence)
        )
        if warn:
            self._tell(sentence)

    def _tell(self, sentence: str) -> None:
        warnings.warn(sentence, LogNote, stacklevel=_level_of_the_caller())

    def _check_open(self) -> None:
        if self._lock is None:
            raise UserError(
                f"The log {named(self._head.name)} was closed, or another TaskLog of that name has"
                " taken its place: log with that one."
            )

    def _let_go(self) -> None:
        if self._lock is not None:
            self._lock.release()
        self._lock = None  # type: ignore[assignment]
        self._batches.let_go()


def _level_of_the_caller() -> int:
    """Of the line outside of this package from which we were called: a note is told of that one."""
    frame, level = sys._getframe(1), 1
    while frame.f_back and frame.f_code.co_filename.startswith(OURS):
        frame, level = frame.f_back, level + 1
    return level


class LogNote(UserWarning):
    """What a log guessed or noticed."""


_OPEN: WeakValueDictionary[tuple[Path, int], TaskLog] = WeakValueDictionary()  # of this process
