"""What travels between the app's store and a worker's, where the two share no disk.

A result comes home as a verified archive. A checkpoint comes home after every epoch, and is handed
to whichever worker takes the training next, so that a worker can leave for good. The app asks and
the workers answer, through Dask's scheduler, since the app may reach no worker by itself; nobody
holds more than a piece in memory, and what arrives is bytes in files, never a Python object.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import Timeout

from stg_core.results.archive import NotWhole, export_run, take_run
from stg_core.results.run import Run
from stg_core.results.store import Store
from stg_core.system.errors import Cancelled, UserError
from stg_core.system.files import atomic
from stg_core.training.callbacks import Callback

if TYPE_CHECKING:
    from distributed import Client

    from stg_core.training.callbacks import Training
    from stg_core.training.spec import TrainingSpec

PIECE = 4 * 2**20  # bytes
SILENCE = 20  # seconds without a word from the app, after which a worker begins without it
FORGOTTEN = 86_400  # seconds after which a packed result that nobody took is removed

EPOCHS = "epochs"  # the file that says how many a work folder holds
START = "start.safetensors"  # weights to begin with, in the work folder of a training
# in the order in which they are read: nothing may be older than what was read before it
WORK_FILES = (
    EPOCHS,
    r"(task-\d+/)?checkpoint\.pt",
    r"(task-\d+/)?progress\.json",
    r"(task-\d+/)?(labels|(maps|test|train)-\d+)\.npy",
)

Known = dict[str, tuple[int, int]]  # name → bytes and time of change of what is here already


class Gone(Exception):
    """No worker that answers has the result."""


@cache
def own_store() -> Store:
    """The store of this process: of a worker, its own `STG_HOME`."""
    return Store()


class EpochCount(Callback):
    """Counts the epochs that a work folder holds, so that two such folders can be compared."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def on_epoch_end(self, training: Training) -> None:
        (self._folder / EPOCHS).write_text(str(epochs_in(self._folder) + 1))


def epochs_in(folder: Path) -> int:
    """The epochs that a work folder holds, over all its models; 0 where that is not known."""
    try:
        return int((folder / EPOCHS).read_text())
    except (OSError, ValueError):
        return 0


def _ask(client: Client, address: str, act: Callable[..., Any], *words: Any) -> Any:
    """What a function says that runs in a worker, beside the training that goes on there."""
    return client.run(act, *words, workers=[address])[address]


# ---------------------------------------------------------------------------- results, in the app


def fetch_result(client: Client, store: Store, key: str) -> Run:
    """Takes the result of a key from a worker that has it.

    Raises Gone where none has, and UserError for a result that did not arrive whole.
    """
    answers = client.run(_holds, key, on_error="ignore")
    for address in (address for address, there in answers.items() if there is True):
        try:
            return _fetched(client, store, key, address)
        except NotWhole as error:
            raise UserError(
                f"The result came damaged from the worker {address}: {error}. Nothing of it was"
                " kept. Start the training again: the result is only sent again, if it is whole"
                " on the worker."
            ) from error
        except _Unanswered:
            continue
    raise Gone


class _Unanswered(Exception):
    """A worker left while it was asked."""


def _fetched(client: Client, store: Store, key: str, address: str) -> Run:
    name, size = _question(client, address, _pack, key)
    with tempfile.TemporaryFile(dir=store.folder / "work") as file:
        while file.tell() < size:
            piece = _question(client, address, _piece, name, file.tell())
            if not piece:
                raise NotWhole("its end is missing")
            file.write(piece)
        with suppress(_Unanswered):
            _question(client, address, _drop, name)
        return take_run(store, file, key)


def _question(client: Client, address: str, act: Callable[..., Any], *words: Any) -> Any:
    try:
        return _ask(client, address, act, *words)
    except (OSError, TimeoutError) as error:
        raise _Unanswered(str(error)) from error


# -------------------------------------------------------------------------- results, in the worker

_packing = threading.Lock()


def _holds(key: str) -> bool:
    return own_store().holds(key)


async def _pack(key: str) -> tuple[str, int]:
    """Packs a result of this worker's, all arrays with it; its name in the work folder, bytes."""
    return await asyncio.to_thread(_packed, key)


def _packed(key: str) -> tuple[str, int]:
    store = own_store()
    work = store.folder / "work"
    with _packing:
        for old in work.glob("*.parcel"):
            if time.time() - old.stat().st_mtime > FORGOTTEN:
                old.unlink(missing_ok=True)
        path = work / f"{key}.parcel"
        if not path.exists():
            with atomic(path) as file:
                export_run(store.run(key), file, with_arrays=True, with_weights=True)
        return path.name, path.stat().st_size


def _piece(name: str, start: int) -> bytes:
    with open(own_store().folder / "work" / name, "rb") as file:
        file.seek(start)
        return file.read(PIECE)


def _drop(name: str) -> None:
    (own_store().folder / "work" / name).unlink(missing_ok=True)


# ------------------------------------------------------------------------- checkpoints, in the app


def fetch_checkpoint(
    client: Client, store: Store, key: str, address: str, asker: str, known: Known
) -> None:
    """Takes what a training on a worker has kept so far, as a work folder of this store.

    What `known` says is here is left out; it is brought up to date. The old checkpoint stays until
    all that belongs to the new one is here, and for good where the worker began without it and has
    less.
    """
    with suppress(Timeout), store.lock(key).acquire(timeout=0):
        folder = store.work_folder(key)
        epochs, prefix, files = _ask(client, address, _snapshot, key, asker)
        if epochs <= epochs_in(folder):
            return
        for name in sorted(filter(_order, files), key=_order, reverse=True):
            size, changed = files[name]
            if known.get(name) == (size, changed):
                continue
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            with atomic(folder / name) as file:
                _copy(client, address, f"{prefix}/{name}", size, file.write)
            known[name] = size, changed
        for path in folder.rglob("maps-*.npy"):
            if path.relative_to(folder).as_posix() not in files:
                path.unlink(missing_ok=True)  # as where it is trained


def _order(name: str) -> int:
    """The place of a work file in the order of reading, from 1; 0 for any other name."""
    return next((i for i, p in enumerate(WORK_FILES, 1) if re.fullmatch(p, name)), 0)


def _copy(
    client: Client, address: str, source: str, size: int, write: Callable[[bytes], object]
) -> None:
    start = 0
    while start < size:
        piece = _ask(client, address, _piece, source, start)[: size - start]
        if not piece:
            raise OSError(f"{source} is shorter than it was")
        write(piece)
        start += len(piece)


def hand_over(
    client: Client,
    store: Store,
    key: str,
    address: str,
    theirs: int,
    sender: str,
    lacks: str = "",
) -> None:
    """Gives a worker that is about to train a key what this store has of it, where that is more.

    `theirs` says how many epochs the worker has; `lacks`, which run it starts from, where it has
    not the weights of that. It begins when this has ended, however it ended.
    """
    whole = with_start = False
    try:
        if lacks and store.holds(lacks) and (run := store.run(lacks)).has_weights:
            _send(client, address, key, sender, run.weights_file, START)
            with_start = True
        with suppress(Timeout), store.lock(key).acquire(timeout=0):
            folder = store.work_folder(key)
            if epochs_in(folder) > theirs:
                paths = (path for path in folder.rglob("*") if path.is_file())
                for name in filter(_order, (path.relative_to(folder).as_posix() for path in paths)):
                    _send(client, address, key, sender, folder / name, name)
                whole = True
    finally:
        _ask(client, address, _begin, key, sender, whole, with_start)


def _send(client: Client, address: str, key: str, sender: str, path: Path, name: str) -> None:
    with open(path, "rb") as file:
        start = 0
        while piece := file.read(PIECE):
            _ask(client, address, _receive, key, sender, name, start, piece)
            start += len(piece)


# ---------------------------------------------------------------------- checkpoints, in the worker


def _snapshot(key: str, asker: str) -> tuple[int, str, Known]:
    """Links to the work files of a training as they are now, which its next epoch replaces.

    Returns the epochs that they hold, the name of their folder in the work folder, and bytes and
    time of change of each.
    """
    store = own_store()
    source, target = store.work_folder(key), store.folder / "work" / f"{key}.for-{asker}"
    shutil.rmtree(target, ignore_errors=True)
    names = [path.relative_to(source).as_posix() for path in source.rglob("*")]
    files = {}
    for name in sorted(filter(_order, names), key=_order):
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(source / name, target / name)
        except OSError:  # not every file system has links
            shutil.copy2(source / name, target / name)
        found = (target / name).stat()
        files[name] = found.st_size, found.st_mtime_ns
    return epochs_in(target), target.name, files


class Outpost(Callback):
    """Tells after every epoch how many this worker's folder holds."""

    def __init__(self, key: str, tell: Callable[[dict[str, Any]], None]) -> None:
        self._folder, self._tell = own_store().work_folder(key), tell

    def on_epoch_end(self, training: Training) -> None:
        self._tell({"kept": epochs_in(self._folder)})


class _Awaited:
    """A training that waits for what the app has of it."""

    def __init__(self) -> None:
        self.begin, self.heard = threading.Event(), time.monotonic()


_awaited: dict[str, _Awaited] = {}


def await_checkpoint(
    spec: TrainingSpec, tell: Callable[[dict[str, Any]], None], cancelled: Callable[[], bool]
) -> None:
    """Tells how much of a training is here, and waits until the app has sent what it has more.

    That may be the weights to start from, too. Begins without the app when that is silent for
    `SILENCE` seconds. Raises Cancelled.
    """
    key, store = spec.key, own_store()
    awaited = _awaited[key] = _Awaited()
    tell({"has": epochs_in(store.work_folder(key)), "lacks": _lacking(store, spec)})
    while not awaited.begin.wait(0.05):
        if cancelled():
            _awaited.pop(key, None)
            raise Cancelled
        silent = time.monotonic() - awaited.heard > SILENCE
        if silent and _awaited.pop(key, None) is not None:
            return


def _lacking(store: Store, spec: TrainingSpec) -> str:
    """The key of what a training starts from, where its weights are not here; else empty."""
    if spec.starts_from is None or (store.work_folder(spec.key) / START).exists():
        return ""
    run = store.get(spec.starts_from)
    return "" if run and run.has_weights else spec.starts_from.key


def _receive(key: str, sender: str, name: str, start: int, piece: bytes) -> None:
    if awaited := _awaited.get(key):
        awaited.heard = time.monotonic()
        path = own_store().folder / "work" / f"{key}.from-{sender}" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "r+b" if start else "wb") as file:
            file.seek(start)
            file.write(piece)


def _begin(key: str, sender: str, whole: bool, with_start: bool = False) -> None:
    """Lets a training begin, after what was received; of several apps, the first one counts."""
    store = own_store()
    received = store.folder / "work" / f"{key}.from-{sender}"
    if (awaited := _awaited.pop(key, None)) and received.is_dir():
        folder = store.work_folder(key)
        if whole:
            if not with_start and (folder / START).exists():
                (folder / START).replace(received / START)
            shutil.rmtree(folder, ignore_errors=True)
            received.rename(folder)
        elif with_start:
            folder.mkdir(exist_ok=True)
            (received / START).replace(folder / START)
    shutil.rmtree(received, ignore_errors=True)
    if awaited:
        awaited.begin.set()


def tidy(key: str) -> None:
    """Removes what travelled of a training that has ended on this worker."""
    for left in (own_store().folder / "work").glob(f"{key}.f*-*"):
        shutil.rmtree(left, ignore_errors=True)
