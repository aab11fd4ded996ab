"""The log of any training loop: three lines, and its tasks are in the app while it trains.

log = TaskLog("my run", tasks=names, labels=labels)
log.update(indices, logits)      # each batch
log.end_epoch()                  # from the second on, the run is in the app
"""

from __future__ import annotations

import dataclasses
import os
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

from stg_core.maps.log_folder import (
    MOST_LOGITS,
    MOST_MAPS,
    Head,
    LogFolder,
    Progress,
    kept_epochs,
    logs_folder,
    new_head,
    now,
)
from stg_core.maps.log_labels import (
    Kinds,
    check_labels,
    label_matrix_of,
    tasks_of,
    with_all_classes,
)
from stg_core.maps.outputs import OutputReader, Outputs, as_numpy
from stg_core.maps.recorder import (
    NUMPY,
    DataMapRecorder,
    check_indices,
    check_whole,
    on_cpu,
)
from stg_core.system.errors import UserError
from stg_core.system.words import counted, named
from stg_core.tasks.names import check_names

LONGEST_NAME = 80  # characters
MEASURED_POINTS = 10_000  # training points whose outputs are kept, where test points are judged
PATIENCE = 2.0  # seconds for which somebody who only looks may hold a lock
WAYS = "Say anew=True to begin it anew, which deletes it, or take another name."
MOST_MISSED = 3  # epochs that a rank may be behind before it is named


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
        name = _checked_name(name)
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
        self.rank, self.ranks = _ranks(rank, ranks)
        self._folder = LogFolder.named(name, (folder or logs_folder()).resolve())
        head = new_head(
            name, kind_of, self.labels, self.ranks, outputs=outputs, planned=epochs, source=source
        )
        with self._folder.merging():  # whoever holds a rank's lock has joined
            self._lock = self._take(name)
            try:
                self._head = self._begin_or_go_on(head, anew)
            except BaseException:
                self._lock.release()
                raise
        self._epoch = self._progress.epoch + 1  # that is being logged, counted from 1
        self._batch = self._rows = 0
        self._recorder: DataMapRecorder | None = None
        self._targets: Any = None
        self._pending: list[tuple[Any, Any]] = []
        self._flags: list[tuple[str, int, Any]] = []
        self._test: NDArray[np.float32] | None = None
        self._measured: Any = None
        self._places: Any = None
        self._began = time.monotonic()

    # ------------------------------------------------------------------------------ what is known

    @property
    def run_id(self) -> str:
        """Of its run, such as "log:my-run"."""
        return self._folder.id

    @property
    def done(self) -> int:
        """Finished epochs; a log that goes on begins with the next."""
        return self._epoch - 1

    @property
    def tasks(self) -> tuple[str, ...]:
        return tuple(task.name for task in self._head.tasks)

    @property
    def notes(self) -> list[str]:
        """What was guessed or noticed, in sentences."""
        return list(self._progress.notes)

    def __repr__(self) -> str:
        shape = f"{len(self.labels):,} points, {counted(len(self.tasks), 'task')}"
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
        rows = self._indices(indices, values)
        self._batch += 1
        if self._recorder is None:
            self._start(values)
        values, rows = self._at_home(values, rows)
        targets = self._targets[rows]
        found = self._reader.confidences(values, targets)
        self._watch("are not numbers (NaN)", ((found != found) & (targets == targets)).any())
        if self._reader.outputs == "probabilities":
            self._watch("are no probabilities from 0 to 1", self._reader.strange(values))
            found = found.clip(0, 1)
        self._rows += len(rows)
        if self.ranks == 1:
            cast(DataMapRecorder, self._recorder).update(rows, found)
        else:
            self._pending.append((rows, found))
        if self._measured is not None:
            self._measured[self._places[rows]] = values

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
        if labels is not None and self.test_labels is None:
            _, found = label_matrix_of(labels, self.tasks)
            check_labels(self._head.tasks, found, "test labels")
            self.test_labels = found
            self._folder.write("test_labels", self._reader.scaled(found))
            if self._recorder is not None:
                self._measure(self._recorder.state)
        if self.test_labels is None:
            raise UserError("Test points need labels: log.test(outputs, test_labels).")
        values = self._read(outputs)
        if len(values) != len(self.test_labels):
            raise UserError(
                f"There are {len(values):,} rows of test outputs and {len(self.test_labels):,} test"
                " points: give a row for each, in the order of their labels."
            )
        if self._reader.outputs == "probabilities" and bool(self._reader.strange(values)):
            raise UserError(
                f"The test outputs of epoch {self._epoch} are no probabilities from 0 to 1, as"
                " those of the training points are."
            )
        found = self._reader.as_logits(values)
        if np.isnan(found).any():
            raise UserError(
                f"The test outputs of epoch {self._epoch} are not numbers (NaN): the training may"
                " have diverged. The epochs before are kept."
            )
        self._test = found

    def points(self, what: Any) -> None:
        """Says what the training points are: a data frame of N rows, or a folder of N images.

        Images are taken in the order of their names. Pages show them beside the data maps.
        """
        self._check_open()
        from stg_core.maps.log_points import keep_points

        points = keep_points(self._folder.path, what, len(self.labels))
        self._change_head(points=points)

    def end_epoch(self) -> None:
        """Ends an epoch: what was logged since the last one is kept for good.

        Raises UserError for an epoch without any output, and for outputs on an accelerator that
        were not numbers; such an epoch is not kept.
        """
        self._check_open()
        self._check_flags()
        if not self._rows and self.ranks == 1:
            raise UserError(
                f"Nothing was logged in epoch {self._epoch}: call update for each batch, with the"
                " indices of its points and what the model answered."
            )
        if self.ranks == 1:
            self._note_rows(self._rows)
            self._finish_epoch(cast(DataMapRecorder, self._recorder), self._rows, self._sample())
        else:
            self._end_part()
        self._epoch += 1
        self._batch = self._rows = 0
        self._pending, self._test = [], None

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
        place = self._folder.path, self.rank
        if before := _OPEN.get(place):
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
        _OPEN[place] = self
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
        self._check_same(before, head, progress)
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

    def _check_same(self, before: Head, head: Head, progress: Progress) -> None:
        """Raises UserError where a log cannot go on with these labels."""
        if progress.finished:
            raise UserError(
                f"There is a finished log {named(head.name)} of"
                f" {counted(progress.epoch, 'epoch')}. {WAYS}"
            )
        if [(t.name, t.kind) for t in before.tasks] != [(t.name, t.kind) for t in head.tasks]:
            raise UserError(f"The log {named(head.name)} has other tasks. {WAYS}")
        if progress.epoch and head.outputs and before.outputs not in (None, head.outputs):
            raise UserError(f"The log {named(head.name)} is one of {before.outputs}. {WAYS}")
        if before.labels != head.labels:
            raise UserError(
                f"The labels have changed since the log {named(head.name)} was begun: its points"
                f" may be others now. {WAYS}"
            )
        if before.ranks != head.ranks:
            raise UserError(
                f"The log {named(head.name)} was begun by {counted(before.ranks, 'process')}, and"
                f" this is one of {head.ranks}. {WAYS}"
            )

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
            self._change_head(outputs=self._reader.outputs, tasks=self._reader.tasks)
        return values

    def _more_classes(self, outputs: Any) -> None:
        tasks = with_all_classes(self._reader.tasks, outputs, self._said_classes)
        if tasks != self._reader.tasks:
            self._reader = OutputReader(tasks, self.labels, self._reader.outputs)

    def _start(self, values: Any) -> None:
        """Puts state and labels where the outputs are."""
        array = isinstance(values, np.ndarray)
        device = NUMPY if array else values.device
        self._targets = self.labels
        if not array:
            import torch

            self._targets = torch.from_numpy(self.labels).to(device)
        done = self._progress.epoch
        if self.ranks > 1:
            self._recorder = DataMapRecorder(0, len(self.tasks), device)
        elif done:
            self._recorder = self._folder.recorder(done)
            if not array:
                self._recorder = self._recorder.to(device)
        else:
            self._recorder = DataMapRecorder(len(self.labels), len(self.tasks), device)
        if self.test_labels is not None:
            self._measure(values)

    def _measure(self, values: Any) -> None:
        """Keeps the last outputs of some training points: thresholds are chosen on them."""
        n_points = len(self.labels)
        chosen = np.random.default_rng(0).permutation(n_points)[:MEASURED_POINTS]
        self._chosen = np.sort(chosen)
        places = np.full(n_points, len(chosen))  # a last row for all others
        places[self._chosen] = np.arange(len(chosen))
        shape = len(chosen) + 1, self._reader.n_outputs
        if isinstance(values, np.ndarray):
            self._places = places
            self._measured = np.full(shape, np.nan, np.float32)
        else:
            import torch

            self._places = torch.from_numpy(places).to(values.device)
            self._measured = torch.full(shape, torch.nan, device=values.device)
        if not self._folder.has("train_labels"):
            self._folder.write("train_labels", self._reader.scaled(self.labels[self._chosen]))

    # ------------------------------------------------------------------------------------ a batch

    def _indices(self, indices: Any, values: Any) -> Any:
        """Which points a batch is of, (B,), checked where that takes no accelerator."""
        if not hasattr(indices, "detach"):
            indices = np.asarray(indices)
        if indices.ndim != 1 or len(indices) != len(values):
            raise UserError(
                f"There are {counted(len(values), 'row')} of outputs, and the indices are"
                f" {' × '.join(map(str, indices.shape)) or 'a single number'}: give one for each."
            )
        check_whole(indices)
        if on_cpu(indices):
            check_indices(indices, len(self.labels))
            return indices
        n_points = len(self.labels)
        self._watch(
            "are of points that there are not", ((indices < 0) | (indices >= n_points)).any()
        )
        return indices.clamp(0, n_points - 1)

    def _at_home(self, values: Any, rows: Any) -> tuple[Any, Any]:
        """Both as arrays, or as tensors where the recorder is."""
        state = cast(DataMapRecorder, self._recorder).state
        if isinstance(state, np.ndarray):
            return as_numpy(values), as_numpy(rows).astype(np.int64)
        import torch

        if not hasattr(rows, "detach"):
            rows = torch.from_numpy(np.ascontiguousarray(rows, dtype=np.int64))
        values = values if hasattr(values, "detach") else torch.from_numpy(values)
        rows = rows.long().to(state.device, non_blocking=True)
        return values.to(state.device, non_blocking=True), rows

    def _watch(self, what: str, flag: Any) -> None:
        """Raises UserError where a flag is set; of an accelerator, at the end of the epoch."""
        if not isinstance(flag, np.generic | bool) and not on_cpu(flag):
            self._flags.append((what, self._batch, flag))
        elif bool(flag):
            raise self._refused(what, self._batch)

    def _check_flags(self) -> None:
        flags, self._flags = self._flags, []
        if not flags:
            return
        import torch

        set_ = torch.stack([flag for _, _, flag in flags]).cpu().tolist()
        for (what, batch, _), is_set in zip(flags, set_, strict=True):
            if is_set:
                self._forget_epoch()
                raise self._refused(what, batch)

    def _forget_epoch(self) -> None:
        """Goes back to the end of the last one."""
        self._recorder, self._pending, self._test = None, [], None
        self._batch = self._rows = 0

    def _refused(self, what: str, batch: int) -> UserError:
        hint = {
            "are not numbers (NaN)": "The training may have diverged: try a lower learning rate.",
            "are no probabilities from 0 to 1": 'Say outputs="logits" if that is what they are.',
        }.get(what, f"Indices are 0 to {len(self.labels) - 1}, in the order of the labels.")
        kept = " The epochs before are kept." if self.done else ""
        whose = "indices" if "points" in what else "outputs"
        return UserError(f"The {whose} of epoch {self._epoch}, batch {batch} {what}. {hint}{kept}")

    # ------------------------------------------------------------------------- the end of an epoch

    def _finish_epoch(
        self, recorder: DataMapRecorder, rows: int, sample: NDArray[np.float32] | None
    ) -> None:
        """Writes all that belongs to an epoch, progress last."""
        epoch, before, planned = self._epoch, self._progress, self._head.planned
        folder = self._folder
        folder.write(f"state-{epoch}", as_numpy(recorder.state))
        maps = as_numpy_half(recorder.snapshot())
        if epoch >= 2:
            folder.write(f"maps-{epoch}", maps)
        kept = set(before.logits)
        if self._test is not None:
            folder.write(f"test-{epoch}", self._test.astype(np.float16))
            if sample is not None:
                kept = {e for e in kept if folder.has(f"train-{e}")}  # all have both from now on
                folder.write(f"train-{epoch}", self._reader.as_logits(sample).astype(np.float16))
            kept.add(epoch)
        elapsed = time.monotonic() - self._began
        self._began = time.monotonic()
        self._write(
            dataclasses.replace(
                before,
                epoch=epoch,
                maps=tuple(
                    e
                    for e in kept_epochs(epoch, MOST_MAPS, planned)
                    if e in before.maps or e == epoch
                ),
                logits=tuple(
                    e for e in kept_epochs(epoch, MOST_LOGITS, planned, first=1) if e in kept
                ),
                rows=(*before.rows, rows),
                confidence=(*before.confidence, _mean_confidence(maps[0])),
                seconds=before.seconds + elapsed,
            )
        )

    def _sample(self) -> NDArray[np.float32] | None:
        """The last outputs of the measured training points; None where one was not seen yet."""
        if self._measured is None:
            return None
        found = as_numpy(self._measured)[:-1]
        return None if np.isnan(found).any() else found

    def _note_rows(self, rows: int) -> None:
        n_points = len(self.labels)
        if rows != n_points and not any("rows of outputs" in note for note in self.notes):
            self._note(
                f"Epoch {self._epoch} had {rows:,} rows of outputs for {n_points:,} points: a point"
                " that is there twice counts twice, one that is not there keeps what it had."
            )

    # --------------------------------------------------------------------------- several processes

    def _end_part(self) -> None:
        """Keeps what this process logged; the last one to end an epoch puts all parts together."""
        parts = [(as_numpy(rows), as_numpy(found)) for rows, found in self._pending]
        arrays: dict[str, NDArray[Any]] = {
            "rows": np.concatenate([rows for rows, _ in parts] or [np.empty(0)]).astype(np.int64),
            "confidence": np.concatenate(
                [found for _, found in parts] or [np.empty((0, len(self.tasks)))]
            ).astype(np.float32),
        }
        if self._test is not None:
            arrays["test"] = self._test
        if self._measured is not None:
            arrays["sample"] = as_numpy(self._measured)[:-1]
        self._folder.write_part(self._epoch, self.rank, arrays)
        with self._folder.merging():
            self._progress = self._with_notes(self._folder.progress())
            everybody = all(
                self._folder.part(self._epoch, rank).exists() for rank in range(self.ranks)
            )
            if self._progress.epoch == self._epoch - 1 and everybody:
                self._merge_parts()
            self._tell_of_the_dead()

    def _merge_parts(self) -> None:
        """Adds the parts of an epoch in the order of the ranks."""
        recorder = DataMapRecorder(len(self.labels), len(self.tasks), NUMPY)
        if self._progress.epoch:
            recorder = self._folder.recorder(self._progress.epoch)
        parts = [self._folder.read_part(self._epoch, rank) for rank in range(self.ranks)]
        for part in parts:
            recorder.update(part["rows"], part["confidence"])
        for part in parts:
            if "test" in part:
                self._test = part["test"]
        sample = _merged_sample([part["sample"] for part in parts if "sample" in part])
        rows = sum(len(part["rows"]) for part in parts)
        self._note_rows(rows)
        self._finish_epoch(recorder, rows, sample)
        self._folder.drop_parts(self._epoch)

    def _tell_of_the_dead(self) -> None:
        """Warns, once, of a rank that is behind and no longer logs."""
        behind = self._epoch - self._folder.progress().epoch
        if behind < MOST_MISSED:
            return
        alive = self._folder.logging(self.ranks)
        dead = [rank for rank in range(self.ranks) if rank not in alive]
        if dead and not any("no longer logs" in note for note in self.notes):
            self._note(
                f"Rank {', '.join(map(str, dead))} of {self.ranks} no longer logs: epochs are"
                f" finished up to {self._progress.epoch}, of which all have logged their part."
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

    def _change_head(self, **changes: Any) -> None:
        self._head = dataclasses.replace(self._head, **changes)
        self._folder.write_head(self._head)

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
        warnings.warn(sentence, LogNote, stacklevel=5)

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
        self._recorder = self._targets = self._measured = None


class LogNote(UserWarning):
    """What a log guessed or noticed."""


_OPEN: WeakValueDictionary[tuple[Path, int], TaskLog] = WeakValueDictionary()  # of this process


def as_numpy_half(maps: Any) -> NDArray[np.float16]:
    """Data maps as an array, from whatever device."""
    if hasattr(maps, "detach"):
        maps = maps.cpu().numpy()
    return np.asarray(maps, np.float16)


def _mean_confidence(confidence: NDArray[np.float16]) -> tuple[float | None, ...]:
    """Of each task, (T,), over the points that have one; from confidences (T, N)."""
    known = ~np.isnan(confidence)
    total = np.where(known, confidence, 0).sum(axis=1, dtype=np.float64)
    counts = known.sum(axis=1)
    return tuple(float(s / n) if n else None for s, n in zip(total, counts, strict=True))


def _merged_sample(samples: Sequence[NDArray[np.float32]]) -> NDArray[np.float32] | None:
    """The outputs of the measured points, each from a process that saw it."""
    if not samples:
        return None
    found = samples[0].copy()
    for other in samples[1:]:
        found = np.where(np.isnan(found), other, found)
    return None if np.isnan(found).any() else found


def _checked_name(name: str) -> str:
    name = " ".join(str(name).split())
    check_names((name,))
    if len(name) > LONGEST_NAME:
        raise UserError(f"This name has {len(name)} characters; give it {LONGEST_NAME} at most.")
    return name


def _ranks(rank: int | None, ranks: int | None) -> tuple[int, int]:
    """Which of how many processes this is."""
    said = rank is not None
    try:
        ranks = int(os.environ.get("WORLD_SIZE") or 1) if ranks is None else ranks
        rank = int(os.environ.get("RANK") or 0) if rank is None and ranks > 1 else rank or 0
    except ValueError:
        raise UserError(
            "RANK and WORLD_SIZE of the environment are no whole numbers: give"
            " TaskLog(…, rank=0, ranks=1)."
        ) from None
    if ranks > 1 and not said and "RANK" not in os.environ:
        raise UserError(
            f"{ranks} processes train, and RANK of the environment does not say which this is:"
            f" start the script with torchrun, or say TaskLog(…, rank=…, ranks={ranks}) in each."
        )
    if not 0 <= rank < ranks:
        raise UserError(f"Of {counted(ranks, 'process')}, ranks are 0 to {ranks - 1}, not {rank}.")
    return rank, ranks
