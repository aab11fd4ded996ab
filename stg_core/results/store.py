"""Content-addressed results on disk: one folder per result, named by the key of its spec.

    STG_HOME/
      runs/<key>/     spec.json, metrics.json, summary.npz, datamaps.npy, logits and labels of the
                      test images and of the measured training points, model.safetensors
      work/<key>/     a training that is not finished: checkpoint, arrays so far
      logs/<slug>/    what somebody's own training logged (see `maps.log_folder`)
      exports/<key>/  a model to take home (see `export.kept`)
      damaged/        folders that could not be read, set aside and never deleted
      settings.json   what the user has set
      cache/          index and small derived results (diskcache)

Nothing here is ever unpickled.
"""

from __future__ import annotations

import io
import json
import math
import os
import platform
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import uuid4

import diskcache
import numpy as np
import safetensors.numpy
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from stg_core.maps.log_folder import LOG, LogFolder
from stg_core.results.cache import Cache
from stg_core.results.logged import LoggedRun, log_folders, read_logged
from stg_core.results.run import BUNDLED, WEIGHTS, Run, file_digest
from stg_core.results.training_run import TrainingRun, read_training
from stg_core.system.errors import UserError
from stg_core.system.files import DISK_FULL, FORBIDDEN, atomic
from stg_core.system.home import home
from stg_core.system.words import named
from stg_core.tasks.groups import GROUPS
from stg_core.training.metrics import scores_by_epoch
from stg_core.training.spec import TrainingSpec
from stg_core.training.work_folder import PROGRESS, WorkFolder

if TYPE_CHECKING:
    from stg_core.training.loop import TrainingResult

BUNDLES = Path(__file__).resolve().parents[2] / "assets" / "bundles"
REPORTS, TABLES, STUDIES, MODELS = "specialists", "tables", "studies", "models"
NO_RUNS = (REPORTS, TABLES, STUDIES, MODELS)  # the folders of BUNDLES that hold no run
TITLES_NAMED = 5
VERSIONED = ("torch", "torchvision", "numpy", "scikit-learn")
LONGEST_TITLE = 80  # characters
LET_GO_SECONDS = 30.0  # in which a cancelled training ends the batch that it is at
SETTINGS = "settings.json"

T = TypeVar("T")


class Store:
    """The results of one `STG_HOME`."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or home()
        self.damaged: list[str] = []
        self._checked: dict[str, tuple[_Stamp, Run]] = {}
        self._read: dict[Path, LoggedRun] = {}
        self._training: dict[str, TrainingRun] = {}
        self.elsewhere: set[str] = set()  # keys that are trained on machines with other disks
        self.cache = Cache(self.folder / "cache", self._set_aside)
        with suppress(OSError):  # reading needs no folder; what writes says that it cannot
            for name in ("runs", "work", "damaged"):
                (self.folder / name).mkdir(parents=True, exist_ok=True)
            for left in (self.folder / "work").glob("*.deleted"):
                shutil.rmtree(left, ignore_errors=True)

    # ------------------------------------------------------------------------------------ reading

    def runs(self) -> list[Run]:
        """All runs: bundled ones, then own ones, newest first; of those that train, what they have.

        Of trainings that have not ended, those of two epochs or more, which can be looked at.
        """
        bundled = self._sound(self._bundled, _bundled_names())
        own = [run for key in self._keys() if (run := self._own(key))]
        own += [run for key in self._begun() if (run := self.training_run(key))]
        own += self._sound(self._logged, log_folders(self.folder / "logs"))
        own.sort(key=lambda run: str(run.provenance["created"]), reverse=True)
        return [*bundled, *own]

    def _sound(self, read: Callable[[T], Run], places: Iterable[T]) -> list[Run]:
        """Those runs that can be read; the others are reported."""
        runs = []
        for place in places:
            try:
                runs.append(read(place))
            except UserError as error:
                if str(error) not in self.damaged:
                    self.damaged.append(str(error))
        return runs

    def run(self, name: str) -> Run:
        """A run by its id, its key, or the beginning of its key; UserError where there is none."""
        if name.startswith(BUNDLED):
            if name.removeprefix(BUNDLED) in _bundled_names():
                return self._bundled(name.removeprefix(BUNDLED))
        elif name.startswith(LOG):
            logs, called = self.folder / "logs", name.removeprefix(LOG)
            for folder in (logs / Path(called).name, LogFolder.named(called, logs).path):
                if (folder / "log.json").exists():
                    return self._logged(folder)
        elif name and name.isalnum():
            known = {*self._keys(), *self._begun()}
            folders = [key for key in known if key.startswith(name)]
            if len(folders) > 1:
                raise UserError(f"{name} begins several keys: {', '.join(sorted(folders))}.")
            if folders and (run := self._own_or_training(folders[0])):
                return run
            if folders and self.damaged:
                raise UserError(self.damaged[-1])
        raise UserError(
            f"There is no run {named(name)} on this machine. Choose one of those that are"
            f" ({self._titles()}), or import it from a .zip file."
        )

    def _titles(self) -> str:
        runs = sorted(self.runs(), key=lambda run: run.bundled)  # own ones first
        titles = list(dict.fromkeys(run.title for run in runs if run.has_data_maps))
        more = len(titles) - TITLES_NAMED
        shown = ", ".join(titles[:TITLES_NAMED]) or "none yet"
        return f"{shown} and {more} more" if more > 0 else shown

    def get(self, spec: TrainingSpec) -> Run | None:
        """The result of a spec, where there is one."""
        return self._own(spec.key) if self.holds(spec.key) else None

    def holds(self, key: str) -> bool:
        """Whether there is a result of that key, without looking into it."""
        return (self.folder / "runs" / key).is_dir()

    def _keys(self) -> list[str]:
        try:
            return [path.name for path in (self.folder / "runs").iterdir()]
        except OSError:
            return []

    def _begun(self) -> list[str]:
        """Keys of trainings that have finished an epoch, and have not ended."""
        progress = (self.folder / "work").glob(f"*/{PROGRESS}")
        keys = [path.parent.name for path in progress]
        # what travels between machines has other names
        return [key for key in keys if key.isalnum() and not self.holds(key)]

    def training_run(self, key: str) -> TrainingRun | None:
        """What a training that has not ended has so far, from its second epoch on."""
        known, elsewhere = self._training.get(key), key in self.elsewhere
        if known is None or known.outdated or known.elsewhere != elsewhere:
            known = read_training(self.work_folder(key), elsewhere)
            if known is None or not known.has_data_maps:
                self._training.pop(key, None)
                return None
            self._training[key] = known
        return known

    def _own_or_training(self, key: str) -> Run | None:
        return self._own(key) if self.holds(key) else self.training_run(key)

    def _bundled(self, name: str) -> Run:
        try:
            return self._checked_run(BUNDLED + name, BUNDLES / name)
        except _Damaged as error:
            raise UserError(
                f"The bundled run {name} is damaged ({error}). Restore assets/bundles."
            ) from error

    def _own(self, key: str) -> Run | None:
        """A run of this store; a folder that cannot be read is set aside and reported."""
        folder = self.folder / "runs" / key
        try:
            return self._checked_run(key, folder)
        except _Damaged as error:
            with suppress(FileNotFoundError):  # someone has just deleted it
                self._set_aside(
                    folder,
                    f"The result {key} is damaged ({error}). It was set aside; train it again.",
                )
            return None

    def _logged(self, folder: Path) -> LoggedRun:
        """The run of a log, read again whenever that has gone on."""
        known = self._read.get(folder)
        if known is None or known.outdated:
            known = self._read[folder] = read_logged(folder)
        return known

    def _checked_run(self, run_id: str, folder: Path) -> Run:
        """A run whose files were verified, again whenever one of them has changed."""
        stamp = _stamp(folder)
        if run_id not in self._checked or self._checked[run_id][0] != stamp:
            self._checked[run_id] = stamp, _read_run(run_id, folder)
        return self._checked[run_id][1]

    def _set_aside(self, folder: Path, sentence: str) -> None:
        aside = self.folder / "damaged" / f"{folder.name}-{time.time_ns()}"
        try:
            folder.rename(aside)
            told = f"{sentence} What was there is now in {aside}."
        except FileNotFoundError:
            raise
        except OSError as error:
            told = f"{sentence} It could not be moved away ({error})."
        if told not in self.damaged:
            self.damaged.append(told)

    # ------------------------------------------------------------------------------------ writing

    def work_folder(self, key: str) -> Path:
        """Where a training that is not finished keeps its checkpoint and arrays."""
        return self.folder / "work" / key

    @cached_property
    def identity(self) -> str:
        """The same for all who share this folder, wherever they have it; empty if not to be had."""
        try:
            self.cache.add("identity", uuid4().hex)
            return str(self.cache.get("identity", ""))
        except (OSError, sqlite3.Error, diskcache.Timeout):  # a full disk
            return ""

    def lock(self, key: str) -> FileLock:
        """Held by whoever trains this key; freed by the system when its holder dies."""
        return FileLock(self.folder / "work" / f"{key}.lock")

    @contextmanager
    def training(self, key: str) -> Iterator[None]:
        """Holds the lock of a key while it is trained; a full disk becomes a UserError."""
        try:
            lock = self.lock(key).acquire()
        except OSError as error:
            raise self._cannot_keep(error) from error
        with lock:
            try:
                yield
            except (OSError, sqlite3.OperationalError) as error:
                if _says_forbidden(error):
                    raise self._cannot_keep(error) from error
                if not _says_full(error):
                    raise
                raise UserError(
                    f"The disk that holds {self.folder} is full"
                    f" ({free_space(self.folder) / 2**20:.0f} MB left). Make room and start it"
                    " again: it goes on after its last whole epoch."
                ) from error

    def _cannot_keep(self, error: Exception) -> UserError:
        return UserError(
            f"Results cannot be kept in {self.folder} ({error}). Make room on that disk, or set"
            " STG_HOME to a folder that you can write to."
        )

    def save(self, result: TrainingResult) -> Run:
        """Keeps a result for good, with all that is known of it, and ends its work folder."""
        key = result.spec.key
        temporary = self.folder / "work" / f"{key}.done"
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        for name in ("test_logits", "train_logits", "test_labels", "train_labels"):
            np.save(temporary / f"{name}.npy", getattr(result, name))
        if result.datamaps is not None and result.summary is not None:
            np.save(temporary / "datamaps.npy", result.datamaps)
            with atomic(temporary / "summary.npz") as file:
                result.summary.save(file)
        if self.keeps_weights and result.model is not None:
            _write_weights(temporary / WEIGHTS, result.weights)
        _write_json(temporary / "metrics.json", result.metrics)
        provenance = {
            **result.provenance,
            "versions": {name: version(name) for name in VERSIONED},
            "python": platform.python_version(),
            "command": result.spec.command(),
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        write_spec(temporary, result.spec, provenance)
        return self.keep(temporary, key)

    def keep(self, folder: Path, key: str) -> Run:
        """Moves a whole result folder of this disk to its place, and ends its work folder."""
        target = self.folder / "runs" / key
        shutil.rmtree(target, ignore_errors=True)
        folder.rename(target)
        shutil.rmtree(self.work_folder(key), ignore_errors=True)
        run = self._own(key)
        if run is None:
            raise UserError(self.damaged[-1])
        return run

    def end_training(self, key: str) -> TrainingSpec:
        """Makes a training that nobody goes on with one of as many epochs as it has.

        Returns its spec; training that takes no epoch, and makes it a run. Waits for whoever still
        trains the longer one. Raises UserError where it has no two epochs, or is not let go.
        """
        with self._let_go(key):
            run = self.training_run(key)
            if self.holds(key):  # it has just ended by itself
                return self.run(key).spec
            if run is None:
                raise UserError("This training has not two epochs yet: there is nothing to keep.")
            spec = run.spec
            if spec.key == key or self.holds(spec.key):
                return spec
            with self._let_go(spec.key):
                target = self.work_folder(spec.key)
                shutil.rmtree(target, ignore_errors=True)
                WorkFolder(run.folder).write_progress(
                    spec, run.progress.epoch, run.progress.test, run.progress.provenance
                )
                run.folder.rename(target)
                return spec

    @contextmanager
    def _let_go(self, key: str) -> Iterator[None]:
        try:
            with self.lock(key).acquire(timeout=LET_GO_SECONDS):
                yield
        except Timeout as error:
            raise UserError(
                "This training is still going on: it is wanted elsewhere, or its step takes long."
                " Try again in a minute."
            ) from error

    def add_weights(self, run: Run, result: TrainingResult) -> Run:
        """Keeps the weights of the same training with an own run that has none.

        Its lock is held by who calls.
        """
        _write_weights(run.weights_file, result.weights)
        provenance = {**run.provenance, "usage": result.provenance["usage"]}
        write_spec(run.folder, run.spec, provenance, run.own_title)
        return self.run(run.id)

    def drop_weights(self, run: Run) -> Run:
        """Gives the space of an own run's weights back; all it found out stays.

        Raises UserError for a bundled run, one that has none, or one in use.
        """
        if run.bundled or not run.has_weights:
            raise UserError(f"The run {run.title} keeps no weights here that could be deleted.")
        with self._changing(run) as now:
            files = {name: file for name, file in now.files.items() if name != WEIGHTS}
            _write_head(now.folder, now.spec, now.provenance, files, now.own_title)
            (now.folder / WEIGHTS).unlink(missing_ok=True)
        return self.run(run.id)

    @property
    def keeps_weights(self) -> bool:
        """Whether trainings keep their weights; the user's setting."""
        return self._settings().get("keep_weights") is not False

    @keeps_weights.setter
    def keeps_weights(self, wanted: bool) -> None:
        try:
            _write_json(self.folder / SETTINGS, {**self._settings(), "keep_weights": wanted})
        except OSError as error:
            raise UserError(f"The setting cannot be kept in {self.folder} ({error}).") from error

    def _settings(self) -> dict[str, Any]:
        """What the user has set; a file that cannot be read sets nothing."""
        try:
            found = json.loads((self.folder / SETTINGS).read_text())
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def bundle(self, run: Run, name: str, folder: Path = BUNDLES) -> Path:
        """Copies what the app reads of a run, without the large arrays, as bundled:<name>."""
        target = folder / name
        target.mkdir(parents=True, exist_ok=True)
        for file in ("metrics.json", "summary.npz"):
            shutil.copyfile(run.folder / file, target / file)
        write_spec(target, run.spec, run.provenance)
        return target

    def rename(self, run: Run, title: str) -> Run:
        """Gives an own run a title of the user's; an empty one takes the generated one back.

        Raises UserError for a title that cannot be, a bundled run, or one in use.
        """
        own_title = checked_title(title)
        if run.bundled:
            raise UserError(
                "A bundled run keeps its title. Export it and import the file: the copy is yours"
                " to rename."
            )
        if isinstance(run, TrainingRun):
            raise UserError(f"{run.called} has not ended: it can be renamed once it has.")
        if isinstance(run, LoggedRun):
            run.log.change_head(title=own_title)
            return self.run(run.id)
        with self._changing(run) as now:
            _write_head(now.folder, now.spec, now.provenance, now.files, own_title)
        return self.run(run.id)

    def delete(self, run: Run) -> None:
        """Deletes an own run for good; raises UserError for a bundled one, or one in use."""
        if run.bundled:
            raise UserError("A bundled run comes with the project and cannot be deleted.")
        if isinstance(run, LoggedRun):
            return self._delete_log(run)
        if isinstance(run, TrainingRun):
            return self._delete_training(run)
        with self._changing(run) as now:
            # renamed first: if something interrupts the rest, no half of a run counts as damaged
            leaving = self.folder / "work" / f"{run.id}.deleted"
            shutil.rmtree(leaving, ignore_errors=True)
            now.folder.rename(leaving)
            self._checked.pop(run.id, None)
            shutil.rmtree(leaving, ignore_errors=True)

    def _delete_training(self, run: TrainingRun) -> None:
        """What a training that was interrupted has kept; it can no longer go on from there."""
        in_use = UserError(f"{run.called} is going on: cancel it, and try again.")
        if run.live:
            raise in_use
        try:
            with self.lock(run.id).acquire(timeout=0):
                shutil.rmtree(run.folder)
        except Timeout:
            raise in_use from None
        except OSError as error:
            raise UserError(f"{run.called} cannot be deleted ({error}).") from error

    def _delete_log(self, run: LoggedRun) -> None:
        if run.live:
            raise UserError(
                f"Somebody is logging into {run.title} now: end that training, or wait for it."
            )
        leaving = self.folder / "work" / f"{run.folder.name}.deleted"
        shutil.rmtree(leaving, ignore_errors=True)
        try:
            run.folder.rename(leaving)
        except OSError as error:
            raise UserError(f"The log {run.title} cannot be deleted ({error}).") from error
        shutil.rmtree(leaving, ignore_errors=True)

    @contextmanager
    def _changing(self, run: Run) -> Iterator[Run]:
        """An own run as it is now, its lock held; UserError where it is in use, or is gone."""
        try:
            with self.lock(run.id).acquire(timeout=0):
                if not (now := self.get(run.spec)):
                    raise UserError(f"The run {run.title} is no longer on this machine.")
                yield now
        except Timeout as error:
            raise UserError(
                f"The run {run.title} is in use by a training. Wait until it has ended, or cancel"
                " it, and try again."
            ) from error
        except OSError as error:
            raise UserError(f"The run {run.title} cannot be changed ({error}).") from error


def _bundled_names() -> list[str]:
    """Names of the bundled runs, without their prefix: those of built-in groups come first."""
    folders = (p.name for p in BUNDLES.glob("*") if p.is_dir())
    known = list(GROUPS)
    return sorted(
        (name for name in folders if name not in NO_RUNS),
        key=lambda name: (known.index(name) if name in known else len(known), name),
    )


def checked_title(title: str) -> str:
    """A title as it is kept, with single spaces; UserError for one that cannot be shown."""
    title = " ".join(title.split())
    if len(title) > LONGEST_TITLE:
        raise UserError(f"This title has {len(title)} characters; give it {LONGEST_TITLE} at most.")
    if not title.isprintable():
        raise UserError("This title has characters that cannot be shown; leave them out.")
    return title


def _write_weights(path: Path, weights: Mapping[str, NDArray[Any]]) -> None:
    with atomic(path) as file:  # what safetensors writes itself, only its owner may read
        file.write(safetensors.numpy.save(dict(weights)))


def write_spec(
    folder: Path, spec: TrainingSpec, provenance: Mapping[str, Any], own_title: str = ""
) -> None:
    """Writes spec.json last: it lists the other files, so that damage to them is noticed."""
    files = {
        path.name: {"bytes": path.stat().st_size, "blake2b": file_digest(path)}
        for path in sorted(folder.iterdir())
        if path.name != "spec.json"
    }
    _write_head(folder, spec, provenance, files, own_title)


def _write_head(
    folder: Path,
    spec: TrainingSpec,
    provenance: Mapping[str, Any],
    files: Mapping[str, Mapping[str, Any]],
    own_title: str,
) -> None:
    head = {"spec": spec.to_json(), "provenance": provenance, "files": files}
    _write_json(folder / "spec.json", head | ({"title": own_title} if own_title else {}))


class _Damaged(Exception):
    """What is wrong with a result folder."""


_Stamp = tuple[tuple[str, int, int], ...]


def _stamp(folder: Path) -> _Stamp:
    try:
        with os.scandir(folder) as entries:
            stats = ((entry.name, entry.stat()) for entry in entries)
            return tuple(sorted((name, s.st_size, s.st_mtime_ns) for name, s in stats))
    except OSError:
        return ()


def _read_run(run_id: str, folder: Path) -> Run:
    """Reads and checks a result folder; raises _Damaged for anything but a whole one."""
    try:
        head = json.loads((folder / "spec.json").read_text())
        spec = TrainingSpec.from_json(head["spec"])
        files, provenance = head["files"], head["provenance"]
        own_title = checked_title(head.get("title", ""))
        for name, known in files.items():
            path = folder / Path(name).name
            size = path.stat().st_size
            if size != known["bytes"]:
                raise _Damaged(f"{name} has {size} bytes and should have {known['bytes']}")
            if file_digest(path) != known["blake2b"]:
                raise _Damaged(f"{name} has changed since it was written")
        metrics = json.loads((folder / "metrics.json").read_text())
        if any(len(scores) != len(spec.tasks) for scores in scores_by_epoch(metrics["test"])):
            raise _Damaged("metrics.json is of other tasks")
    except FileNotFoundError as error:
        raise _Damaged(f"{Path(str(error.filename)).name} is missing") from error
    except (
        *(OSError, ValueError, KeyError, TypeError, IndexError, AttributeError),
        UserError,
    ) as error:
        raise _Damaged(f"spec.json or metrics.json cannot be read: {error}") from error
    return Run(run_id, folder, spec, provenance, metrics, files, own_title)


def _write_json(path: Path, value: Any) -> None:
    with atomic(path) as file:
        text = io.TextIOWrapper(file, encoding="utf-8", write_through=True)
        json.dump(without_nan(value), text, allow_nan=False, indent=1)
        text.detach()


def without_nan(value: Any) -> Any:
    """A JSON value in which a number that is not finite is null."""
    if isinstance(value, Mapping):
        return {str(k): without_nan(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [without_nan(v) for v in value]
    if isinstance(value, np.ndarray):
        return without_nan(value.tolist())
    if isinstance(value, (float, np.floating)):
        return float(value) if math.isfinite(value) else None
    return value


def _says_full(error: OSError | sqlite3.OperationalError) -> bool:
    if isinstance(error, OSError):
        return error.errno in DISK_FULL
    return "full" in str(error)


def _says_forbidden(error: OSError | sqlite3.OperationalError) -> bool:
    return isinstance(error, OSError) and error.errno in FORBIDDEN


def free_space(folder: Path) -> int:
    """Bytes left on the disk that holds a folder."""
    return shutil.disk_usage(folder if folder.exists() else os.curdir).free
