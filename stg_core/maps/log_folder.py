"""A log on disk: what somebody's training left of itself, whole after every epoch.

    STG_HOME/logs/<slug>/
      log.json          its name, tasks, number of points; who wrote it
      labels.npy        (N, T) float32, NaN where one is missing; test_labels.npy likewise
      progress.json     finished epochs, and which of the files below belong to them
      state-<e>.npy     counts, means and squared deviations after the last epoch, (N, 3, T) float32
      maps-<e>.npy      data maps of recorded epochs, (2, T, N) float16
      test-<e>.npy      logits of the test points, (N', O) float16; train-<e>.npy of some others
      parts/            what each of several processes logged of an epoch that is not finished
      rank-<r>.lock     held by whoever logs

progress.json is written last: whatever ends the process, the epochs that it names are whole.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from stg_core.maps.recorder import NUMPY, DataMapRecorder
from stg_core.system.errors import UserError
from stg_core.system.files import DISK_FULL, atomic, is_held
from stg_core.system.home import home
from stg_core.tasks.groups import Task

LOG = "log:"  # begins the ids of logged runs
VERSION = 1
MOST_MAPS, MOST_LOGITS = 10, 20  # epochs that are kept, the last one among them


def logs_folder() -> Path:
    """Of all logs of this machine."""
    return home() / "logs"


@dataclass(frozen=True)
class Head:
    """What is known of a log from its first batch on.

    uid: another one whenever it is begun anew; outputs: "logits", "probabilities", or None before
    they were seen; planned: epochs, None where nobody said; labels: a digest of them; source: what
    wrote it; title: the user's own; points: what a point is (see `TaskLog.points`); origin: of one
    that was read from another program's log, what was read, from where, in which format.
    """

    name: str
    uid: str
    tasks: tuple[Task, ...]
    n_points: int
    ranks: int
    labels: str
    created: str
    outputs: str | None = None
    planned: int | None = None
    source: str = "TaskLog"
    title: str = ""
    points: Mapping[str, Any] = field(default_factory=dict)
    origin: Mapping[str, Any] = field(default_factory=dict)
    version: int = VERSION

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"tasks": [task.to_json() for task in self.tasks]}

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Head:
        """The inverse of `to_json`; raises KeyError, TypeError or UserError for anything else."""
        return cls(**{**plain, "tasks": tuple(map(Task.from_json, plain["tasks"]))})


@dataclass(frozen=True)
class Progress:
    """How far a log is.

    epoch: finished ones; maps, logits: the epochs whose data maps, or logits, are kept; rows: per
    epoch, how many rows of outputs were logged; confidence: per epoch, the mean so far over the
    points of each task, None where no point has a label; notes: what was guessed or noticed;
    finished: whether it was closed.
    """

    epoch: int = 0
    maps: tuple[int, ...] = ()
    logits: tuple[int, ...] = ()
    rows: tuple[int, ...] = ()
    confidence: tuple[tuple[float | None, ...], ...] = ()
    seconds: float = 0.0
    updated: str = ""
    notes: tuple[str, ...] = ()
    finished: bool = False

    @classmethod
    def from_json(cls, plain: Any) -> Progress:
        """The inverse of `asdict`; raises ValueError, TypeError or AttributeError."""
        found = cls(**{name: _tuples(value) for name, value in plain.items()})
        epochs = found.epoch, *found.maps, *found.logits
        if not all(isinstance(e, int) and 0 <= e <= found.epoch for e in epochs):
            raise ValueError(f"epochs {epochs}")
        if not isinstance(found.finished, bool) or not isinstance(found.seconds, float | int):
            raise TypeError("finished or seconds")
        return found


@contextmanager
def told() -> Iterator[None]:
    """A sentence in place of a trace, where a folder cannot be written."""
    try:
        yield
    except OSError as error:
        full = error.errno in DISK_FULL
        way = "Make room" if full else "Say with STG_HOME where it can be"
        where = f" in {Path(error.filename).parent}" if error.filename else ""
        raise UserError(
            f"The log cannot be kept{where} ({error.strerror or error}). {way}, and log on: the"
            " finished epochs are kept."
        ) from error


class LogFolder:
    """The folder of one log."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def named(cls, name: str, logs: Path) -> LogFolder:
        """Of the log of that name: where it is, or where it is to be."""
        slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:60] or "log"
        taken = 1
        while True:
            folder = cls(logs / (slug if taken == 1 else f"{slug}-{taken}"))
            head = folder.head()
            if head is None or head.name == name:
                return folder
            taken += 1

    @property
    def id(self) -> str:
        """Of its run, such as "log:my-run"."""
        return LOG + self.path.name

    # ----------------------------------------------------------------------------------- reading

    def head(self) -> Head | None:
        """None where there is no log, or a damaged one."""
        try:
            return Head.from_json(json.loads((self.path / "log.json").read_bytes()))
        except (OSError, ValueError, KeyError, TypeError, AttributeError, UserError):
            return None

    def progress(self) -> Progress:
        """Nothing yet where there is none; raises UserError for a damaged one."""
        path = self.path / "progress.json"
        try:
            return Progress.from_json(json.loads(path.read_bytes()))
        except FileNotFoundError:
            return Progress()
        except (OSError, ValueError, TypeError, AttributeError) as error:
            raise UserError(f"{path} is damaged: it cannot be read.") from error

    @property
    def damage(self) -> str:
        """What of this log cannot be read, in a sentence; "" where all is well, or nothing is."""
        path = self.path / "log.json"
        if path.exists() and self.head() is None:
            return f"{path} is damaged: it cannot be read."
        try:
            if epoch := self.progress().epoch:
                self.recorder(epoch)
        except UserError as error:
            return str(error)
        return ""

    def array(self, name: str) -> NDArray[Any]:
        """Such as "labels" or "maps-4", memory-mapped; raises OSError or ValueError."""
        found: NDArray[Any] = np.load(self.path / f"{name}.npy", mmap_mode="r", allow_pickle=False)
        return found

    def has(self, name: str) -> bool:
        return (self.path / f"{name}.npy").exists()

    def data_map(self, epoch: int) -> NDArray[np.float16]:
        """Data maps (2, T, N) of an epoch that is kept."""
        return self.array(f"maps-{epoch}")

    def recorder(self, epoch: int) -> DataMapRecorder:
        """As it was after the last epoch."""
        try:
            state = self.array(f"state-{epoch}")
            if state.ndim != 3 or state.shape[1] != 3 or state.dtype != np.float32:
                raise ValueError
        except (OSError, ValueError, EOFError) as error:
            path = self.path / f"state-{epoch}.npy"
            raise UserError(f"{path} is damaged: it cannot be read.") from error
        recorder = DataMapRecorder(state.shape[0], 0, NUMPY)
        recorder.state = np.array(state)
        return recorder

    def logging(self, ranks: int) -> list[int]:
        """The ranks that are logging now."""
        return [rank for rank in range(ranks) if is_held(self.path / f"rank-{rank}.lock")]

    # ----------------------------------------------------------------------------------- writing

    @told()
    def begin(
        self, head: Head, labels: NDArray[np.float32], test: NDArray[np.float32] | None
    ) -> None:
        """Takes the place of whatever log was there."""
        self.path.mkdir(parents=True, exist_ok=True)
        head_first = self.path / "log.json", *self.path.glob("*.json")  # then it is no log
        for old in (*head_first, *self.path.glob("*.np[yz]"), *self._parts("*")):
            old.unlink(missing_ok=True)
        self.write("labels", labels)
        if test is not None:
            self.write("test_labels", test)
        self.write_head(head)

    @told()
    def write_head(self, head: Head) -> None:
        _write_json(self.path / "log.json", head.to_json())

    def change_head(self, **changes: Any) -> Head:
        """What is known of a log from now on; what others have changed meanwhile stays.

        Raises UserError where there is no log.
        """
        with self.merging():
            if (head := self.head()) is None:
                raise UserError(f"{self.path / 'log.json'} is damaged: it cannot be read.")
            changed = replace(head, **changes)
            self.write_head(changed)
            return changed

    @told()
    def write_progress(self, progress: Progress) -> None:
        """Ends an epoch, or a log; then the files of epochs that it does not keep are removed."""
        _write_json(self.path / "progress.json", asdict(progress))
        kept = {f"state-{progress.epoch}.npy"}
        kept |= {f"maps-{e}.npy" for e in progress.maps}
        kept |= {f"{split}-{e}.npy" for e in progress.logits for split in ("test", "train")}
        kept |= {f"summary-{e}.npz" for e in progress.maps}
        for path in self.path.glob("*-*.np[yz]"):
            if path.name not in kept:
                path.unlink(missing_ok=True)

    @told()
    def write(self, name: str, array: NDArray[Any]) -> None:
        with atomic(self.path / f"{name}.npy") as file:
            np.save(file, array, allow_pickle=False)

    # ----------------------------------------------------------------------- of several processes

    def part(self, epoch: int, rank: int) -> Path:
        return self.path / "parts" / f"epoch-{epoch}.rank-{rank}.npz"

    @told()
    def write_part(self, epoch: int, rank: int, arrays: Mapping[str, NDArray[Any]]) -> None:
        path = self.part(epoch, rank)
        path.parent.mkdir(exist_ok=True)
        with atomic(path) as file:
            np.savez(file, allow_pickle=False, **arrays)

    def read_part(self, epoch: int, rank: int) -> dict[str, NDArray[Any]]:
        with np.load(self.part(epoch, rank), allow_pickle=False) as arrays:
            return dict(arrays)

    def drop_own_parts(self, rank: int) -> None:
        """Of epochs that were not finished, and that this rank logs anew."""
        for path in self._parts(str(rank)):
            path.unlink(missing_ok=True)

    def drop_unfinished(self) -> None:
        """Files that a process was writing when it was killed."""
        of_others = ".summary", ".scores", ".metrics"  # which the app may be writing now
        for path in self.path.glob(".*.part"):
            if not path.name.startswith(of_others):
                path.unlink(missing_ok=True)

    def last_part(self, rank: int) -> int:
        """The last epoch of which this rank has logged its part and that is not finished; 0 for
        none."""
        found = [int(p.name.split(".")[0].removeprefix("epoch-")) for p in self._parts(str(rank))]
        return max(found, default=0)

    def drop_parts(self, epoch: int) -> None:
        for path in self._parts("*"):
            if int(path.name.split(".")[0].removeprefix("epoch-")) <= epoch:
                path.unlink(missing_ok=True)

    def _parts(self, rank: str) -> Iterable[Path]:
        return (self.path / "parts").glob(f"epoch-*.rank-{rank}.npz")

    @contextmanager
    def merging(self) -> Iterator[None]:
        """Held while a process joins or leaves, and while parts of an epoch are put together."""
        with told():
            self.path.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.path / "merge.lock")
            lock.acquire()
        try:
            yield
        finally:
            lock.release()


def new_head(
    name: str,
    tasks: Sequence[Task],
    labels: NDArray[np.float32],
    ranks: int = 1,
    **more: Any,
) -> Head:
    """Of a log that begins now."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return Head(
        name, uuid4().hex[:16], tuple(tasks), len(labels), ranks, digest_of(labels), now, **more
    )


def digest_of(labels: NDArray[np.float32]) -> str:
    """The same for the same labels."""
    content = np.ascontiguousarray(labels)
    return hashlib.blake2b(content.tobytes(), digest_size=16).hexdigest()


def now() -> str:
    """To the microsecond: no two epochs are finished at the same time."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


def kept_epochs(
    done: int, most: int, planned: int | None = None, first: int = 2
) -> tuple[int, ...]:
    """Which of the first `done` epochs are kept: at most so many, evenly spread, `done` the last.

    Where it is not known how many there will be, every one, then every second, every fourth …
    """
    if done < first:
        return ()
    if planned:
        spread = {max(first, round(planned * i / most)) for i in range(1, most + 1)}
        before = [e for e in sorted(spread) if e < done]
        return (*before[-(most - 1) :], done)
    step = 1
    while (done - 1) // step - (first - 1) // step > most - 1:
        step *= 2
    return (*(e for e in range(first, done) if e % step == 0), done)


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def _write_json(path: Path, value: Any) -> None:
    with atomic(path) as file:
        file.write(json.dumps(value, allow_nan=False, indent=1).encode())
