"""Runs that somebody's own training logged: read from the folder of the log, like any other run."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stg_core.maps.log_batches import MEASURED_POINTS
from stg_core.maps.log_folder import LOG, Head, LogFolder, Progress
from stg_core.results.growing import GrowingRun
from stg_core.results.run import file_digest
from stg_core.system.errors import UserError
from stg_core.system.files import atomic
from stg_core.system.words import counted, named
from stg_core.tasks.groups import Task, TaskGroup
from stg_core.training.metrics import scores_of_logits
from stg_core.training.spec import LOGGED, TrainingSpec

Stamp = tuple[Any, ...]


@dataclass(frozen=True)
class LoggedRun(GrowingRun):
    """A run that was logged, or is just being logged.

    id: "log:<slug>"; head, progress, stamp: of its log, as they were when it was read.
    """

    head: Head = field(kw_only=True)
    progress: Progress = field(kw_only=True)
    stamp: Stamp = field(kw_only=True)

    @property
    def log(self) -> LogFolder:
        return LogFolder(self.folder)

    @property
    def title(self) -> str:
        return self.own_title or self.head.name

    @property
    def called(self) -> str:
        return f"The log {named(self.title)}"

    @property
    def beginning(self) -> str:
        return "begin it anew, or import it again"

    @property
    def live(self) -> bool:
        """Whether somebody is logging into it now."""
        return not self.progress.finished and bool(self.log.logging(self.head.ranks))

    @property
    def ended(self) -> bool:
        return self.progress.finished

    @property
    def outdated(self) -> bool:
        return stamp_of(self.folder, self.head.ranks) != self.stamp

    @property
    def how_far(self) -> str:
        if self.ended:
            return ""
        planned, epoch = self.head.planned or 0, self.progress.epoch
        return f"epoch {epoch} of {planned}" if planned >= max(epoch, 1) else f"epoch {epoch}"

    @property
    def dead_ranks(self) -> list[int]:
        """Of several processes, those that no longer log while others do."""
        alive = self.log.logging(self.head.ranks)
        if self.progress.finished or not alive:
            return []
        return [rank for rank in range(self.head.ranks) if rank not in alive]

    @property
    def size(self) -> int:
        return sum(path.stat().st_size for path in self.folder.rglob("*") if path.is_file())

    @property
    def has_data_maps(self) -> bool:
        return bool(self.progress.maps)

    def require_data_maps(self) -> None:
        if not self.has_data_maps:
            raise UserError(
                f"The log {named(self.title)} has {counted(self.progress.epoch, 'epoch')}: it can"
                " be opened from its second epoch on."
            )

    def test_logits(self) -> NDArray[np.float16] | None:
        return self.logits("test") if self.keeps_logits else None

    @property
    def keeps_logits(self) -> bool:
        """Whether test points were logged, and the outputs of the measured training points."""
        return bool(self.logit_epochs)

    @cached_property
    def logit_epochs(self) -> tuple[int, ...]:
        """Those with both: the first epochs may not have seen every measured point yet."""
        return tuple(e for e in self.progress.logits if self.log.has(f"train-{e}"))

    def logits(self, split: str) -> NDArray[np.float16]:
        return np.stack(self.logits_by_epoch(split))

    def logits_by_epoch(self, split: str) -> Sequence[NDArray[np.float16]]:
        self._require_logits()
        with self._as_it_was():
            return [self.log.array(f"{split}-{epoch}") for epoch in self.logit_epochs]

    def labels(self, split: str) -> NDArray[Any]:
        if split == "train" and not self.log.has("train_labels"):
            n_points = self.head.n_points
            spread = np.linspace(0, n_points - 1, min(n_points, MEASURED_POINTS)).astype(int)
            labels = np.asarray(self.log.array("labels")[spread])
        else:
            self._require_logits()
            labels = np.asarray(self.log.array(f"{split}_labels"))
        if self.spec.all_binary:
            return np.where(np.isnan(labels), -1, labels).astype(np.int8)
        return labels

    def _require_logits(self) -> None:
        if self.progress.logits and not self.keeps_logits:
            raise UserError(
                f"The log {named(self.title)} has outputs for test points, but not for all of the"
                " training points on which thresholds are chosen: log every point at least once."
            )
        if not self.keeps_logits:
            raise UserError(
                f"The log {named(self.title)} has no outputs for test points: log them after every"
                " epoch with log.test(outputs), with TaskLog(…, test_labels=…)."
            )

    def kept(self) -> LoggedRun:
        """The same with summary.npz and metrics.json among its files, as an export needs them."""
        with atomic(self.folder / "summary.npz") as file:
            self.summary.save(file)
        with atomic(self.folder / "metrics.json") as file:
            file.write(json.dumps(dict(self.metrics)).encode())
        names = ("summary.npz", "metrics.json")
        files = {
            name: {
                "bytes": (self.folder / name).stat().st_size,
                "blake2b": file_digest(self.folder / name),
            }
            for name in names
        }
        return replace(self, files=files, own_title=self.title)


def read_logged(folder: Path) -> LoggedRun:
    """The run of a log's folder; raises UserError where there is none."""
    try:
        return _read(folder)
    except FileNotFoundError:  # it has just gone on, and thinned its epochs
        pass
    except (OSError, ValueError) as error:
        raise _damaged(folder, str(error)) from error
    try:
        return _read(folder)
    except (OSError, ValueError) as error:
        raise _damaged(folder, str(error)) from error


def _damaged(folder: Path, why: str) -> UserError:
    return UserError(
        f"The log in {folder} is damaged ({why}): begin it anew with anew=True, or remove that"
        " folder."
    )


def _read(folder: Path) -> LoggedRun:
    log = LogFolder(folder)
    head = log.head()
    if head is None:
        raise _damaged(folder, "log.json cannot be read")
    stamp = stamp_of(folder, head.ranks)  # first: what is read after it may be newer
    progress = log.progress()
    epochs = max(progress.epoch, 1)
    group = TaskGroup(folder.name, head.name, head.tasks, digest=f"{LOG}{head.uid}")
    recorded = tuple(epoch for epoch in progress.maps if epoch <= epochs)
    spec = TrainingSpec(group, model=LOGGED, epochs=epochs, recorded_epochs=recorded)
    provenance = {
        "device": head.source,
        "precision": "",
        "threads": 0,
        "seconds": progress.seconds,
        "images": head.labels,
        "versions": {},
        "python": "",
        "command": "",
        "created": progress.updated or head.created,
        **({"origin": dict(head.origin)} if head.origin else {}),
    }
    return LoggedRun(
        log.id,
        folder,
        spec,
        provenance,
        _metrics(log, progress, head.tasks),
        {},
        head.title,
        head=head,
        progress=progress,
        stamp=stamp,
    )


def stamp_of(folder: Path, ranks: int = 1) -> Stamp:
    """Another one once a log has gone on, has another title, or somebody begins or ends logging."""
    files = [folder / name for name in ("log.json", "progress.json")]
    written = [path.stat().st_mtime_ns if path.exists() else 0 for path in files]
    return (*written, *LogFolder(folder).logging(ranks))


def log_folders(logs: Path) -> list[Path]:
    """Of all logs, by name; none where there is no such folder.

    A hidden folder is one that is just being made.
    """
    try:
        shown = (path for path in logs.iterdir() if not path.name.startswith("."))
        return sorted(path for path in shown if (path / "log.json").exists())
    except OSError:
        return []


def _metrics(log: LogFolder, progress: Progress, tasks: tuple[Task, ...]) -> Mapping[str, Any]:
    """As of a training: the scores of the test points after each epoch that has some.

    "own_seconds" is the time that passed between the ends of epochs, of all together.
    """
    return {
        "test": _scores(log, progress, tasks),
        "train": {},
        "scored_epochs": list(progress.logits),
        "own_seconds": [progress.seconds] if progress.seconds else None,
    }


def _scores(log: LogFolder, progress: Progress, tasks: tuple[Task, ...]) -> dict[str, Any]:
    """Test scores by name, per epoch and task; read again only for epochs that are new."""
    if not progress.logits:
        return {}
    path = log.path / "scores.json"
    try:
        known = dict(json.loads(path.read_bytes()))
    except (OSError, ValueError):
        known = {}
    missing = [e for e in progress.logits if str(e) not in known]
    if missing:
        labels = np.asarray(log.array("test_labels"))
        for epoch in missing:
            known[str(epoch)] = scores_of_logits(log.array(f"test-{epoch}"), labels, tasks)
        known = {str(e): known[str(e)] for e in progress.logits}
        try:
            with atomic(path) as file:
                file.write(json.dumps(known).encode())
        except OSError:
            pass
    return {"f1": [known[str(e)] for e in progress.logits]}
