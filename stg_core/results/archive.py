"""A run as one .zip file, for another machine; of a file that comes in, nothing is taken on trust.

    spec.json       key, title, spec, provenance, and size and digest of each other file
    metrics.json
    summary.npz     where the run has data maps
    *.npy           the large arrays, where they were asked for
    model.safetensors  the weights, where they were asked for

Nothing is compressed: data maps would shrink by a seventh only, and the summary is compressed
already. An archive that was unpacked and packed again, by whichever program, is taken too: its
files may be compressed and lie in one folder, and what operating systems add is left out.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import shutil
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from dataclasses import fields
from datetime import datetime, timedelta
from pathlib import Path
from typing import IO, Any, BinaryIO, get_args

import numpy as np
import safetensors
from filelock import FileLock, Timeout

from stg_core.maps.many import ALL, kept_of
from stg_core.maps.summary import LATER, DataMapSummary
from stg_core.results.run import WEIGHTS, Run
from stg_core.results.store import (
    Store,
    checked_title,
    free_space,
    without_nan,
    write_spec,
)
from stg_core.system.errors import UserError
from stg_core.system.files import DISK_FULL
from stg_core.system.litter import is_litter
from stg_core.tasks.groups import Rule
from stg_core.training.limits import LARGEST_SPEC, check_limits, largest_files
from stg_core.training.spec import TrainingSpec
from stg_core.training.usage import Usage

LOGITS = {f"{split}_{what}.npy" for split in ("test", "train") for what in ("logits", "labels")}
ARRAYS = {"datamaps.npy", *LOGITS}
SMALL = ("spec.json", "metrics.json", "summary.npz")  # what every export holds
LARGEST_HEAD = 4 * LARGEST_SPEC  # bytes of spec.json
LARGEST_DIRECTORY = 2**14  # bytes of the list of files in a .zip
MOST_SHRUNK, SURELY_SMALL = 20, 2**26  # a run shrinks less, or is no more than so many bytes
KINDS_OF_WEIGHTS = ("F16", "F32", "I64", "I32", "I16", "I8", "U8", "BOOL")
PIECE = 2**20  # bytes copied at a time

Shape = tuple[int, ...]

# what json, zipfile, zlib and numpy raise for bytes that are not what they should be
_UNREADABLE: tuple[type[Exception], ...] = (
    *(OSError, ValueError, KeyError, TypeError, IndexError, AttributeError, EOFError),
    *(RuntimeError, OverflowError, SyntaxError, MemoryError),
    *(zipfile.BadZipFile, zlib.error, struct.error, safetensors.SafetensorError, UserError),
)


# ------------------------------------------------------------------------------------- going out


def file_name(run: Run) -> str:
    """What to call the export of a run."""
    words = re.sub(r"[^\w.-]+", "-", run.title).strip("-._")
    return f"{words or run.spec.key}.zip"


def export_run(
    run: Run, file: IO[bytes], with_arrays: bool = False, with_weights: bool = False
) -> None:
    """Writes a run to a file, piece by piece; the file need not be seekable.

    Without the large arrays the export holds what a bundled run holds: all that the pages Data
    maps, Grouping and Superclasses read. Raises UserError where the run has changed or is gone.
    """
    if with_arrays and run.spec.logged:
        raise UserError(
            f"{run.title} was logged, and its arrays stay where they are, in {run.folder}: export"
            " it without them."
        )
    run = run.kept()
    names = [name for name in run.files if name in SMALL]
    if with_arrays:
        names += sorted(ARRAYS & set(run.files) - (set() if run.keeps_logits else LOGITS))
    if with_weights and run.has_weights:
        names.append(WEIGHTS)
    try:
        with zipfile.ZipFile(file, "w") as archive:
            files = {name: _add(archive, run, name) for name in names}
            head = {
                "key": run.spec.key,
                "title": run.title if run.spec.logged else run.own_title,
                "spec": run.spec.to_json(),
                "provenance": run.provenance,
                "files": files,
            }
            text = json.dumps(without_nan(head), allow_nan=False, indent=1)
            archive.writestr(_entry("spec.json"), text)
    except OSError as error:
        raise UserError(f"The run {run.title} cannot be exported ({error}).") from error


def _add(archive: zipfile.ZipFile, run: Run, name: str) -> dict[str, Any]:
    """Copies a file of a run into the archive; returns its size and digest."""
    entry = _entry(name)
    with open(run.folder / name, "rb") as source:
        entry.file_size = os.fstat(source.fileno()).st_size
        with archive.open(entry, "w") as target:
            copied = _copy(source, target)
    known = run.files[name]
    if known["bytes"] != copied["bytes"] or known["blake2b"] not in (None, copied["blake2b"]):
        raise UserError(f"{name} of the run {run.title} has changed since it was written.")
    return copied


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name)
    entry.external_attr = (stat.S_IFREG | 0o644) << 16
    return entry


def _copy(source: IO[bytes], target: IO[bytes]) -> dict[str, Any]:
    digest, size = hashlib.blake2b(digest_size=16), 0
    while piece := source.read(PIECE):
        target.write(piece)
        digest.update(piece)
        size += len(piece)
    return {"bytes": size, "blake2b": digest.hexdigest()}


# ------------------------------------------------------------------------------------- coming in


class NotWhole(Exception):
    """Why a file is not a whole export."""


def import_run(store: Store, file: BinaryIO) -> Run:
    """Takes a run from an export, a seekable file, as one of the store's own.

    Raises UserError, and leaves nothing behind, for any file that is not a whole export, and for a
    run that is here already.
    """
    try:
        return take_run(store, file)
    except NotWhole as error:
        raise UserError(
            f"This file is not a whole export of a run: {error}. Nothing was imported. Export the"
            " run again, and import the .zip file as it is."
        ) from error


def take_run(store: Store, file: BinaryIO, key: str = "") -> Run:
    """As `import_run`, of that key where one is given; raises NotWhole for a file that is not."""
    folder = store.folder / "work" / "import"
    try:
        with FileLock(f"{folder}.lock"):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            try:
                spec = _unpack(file, folder, store.keeps_weights)
                if key and spec.key != key:
                    raise NotWhole("it is another run")
                with store.lock(spec.key).acquire(timeout=0):
                    if known := store.get(spec):
                        raise UserError(
                            f"This run is here already, as {known.title} ({known.id}), and nothing"
                            " was changed. To have the file's instead, delete that one first."
                        )
                    return store.keep(folder, spec.key)
            finally:
                shutil.rmtree(folder, ignore_errors=True)
    except Timeout as error:
        raise UserError(
            "The run of this file is being trained on this machine. Wait until that has ended."
        ) from error
    except OSError as error:
        raise UserError(f"The run cannot be imported ({error}).") from error


def _unpack(file: BinaryIO, folder: Path, with_weights: bool) -> TrainingSpec:
    """Fills a folder with a whole result, as the store keeps it; raises NotWhole."""
    with _opened(file) as archive:
        known = {*SMALL, *ARRAYS, WEIGHTS}
        entries = _entries(archive, file.seek(0, os.SEEK_END), known)
        _check_space(folder, sum(entry.file_size for entry in entries.values()))
        head = _head(archive, entries)
        spec, title = _checked_head(head)
        for name, most in largest_files(spec).items():
            if name in entries and entries[name].file_size > most:
                raise NotWhole(f"{name} is larger than that of this run")
        _copy_all(archive, entries, head["files"], folder)
    _check_metrics(folder / "metrics.json", spec)
    n_points = _checked_summary(folder / "summary.npz", spec) if spec.recorded else 0
    _check_arrays({path.name: path for path in folder.glob("*.npy")}, spec, n_points)
    if (weights := folder / WEIGHTS).exists():
        _check_weights(weights)
        if not with_weights:
            weights.unlink()
    write_spec(folder, spec, head["provenance"], title)
    return spec


@contextmanager
def _as_found(what: str) -> Iterator[None]:
    """Turns whatever a reader raises for wrong bytes into one sentence."""
    try:
        yield
    except _UNREADABLE as error:
        if isinstance(error, OSError) and error.errno in DISK_FULL:
            raise
        raise NotWhole(f"{what} ({error})") from error


@_as_found("it is damaged")
def _opened(file: IO[bytes]) -> zipfile.ZipFile:
    """A .zip file, after a look at the size of its list of files, which is read as a whole."""
    length = file.seek(0, os.SEEK_END)
    file.seek(max(length - 98, 0))
    tail = file.read()
    if tail[-22:-18] != b"PK\5\6" or tail[-2:] != b"\0\0":
        raise NotWhole("it is no .zip file, or its end is missing")
    (listed,) = struct.unpack("<L", tail[-10:-6])
    if tail[-42:-38] == b"PK\6\7":  # the end of a file of more than 2 GiB
        (place,) = struct.unpack("<Q", tail[-34:-26])
        (listed,) = struct.unpack("<Q", tail[-58:-50])
        if place != length - 98:
            raise NotWhole("it is damaged")
    if listed > LARGEST_DIRECTORY:
        raise NotWhole("it holds other files than a run's")
    return zipfile.ZipFile(file)


def _entries(archive: zipfile.ZipFile, length: int, known: Set[str]) -> dict[str, zipfile.ZipInfo]:
    """The files of a run by name; raises NotWhole unless all are plain files, each there once."""
    entries: dict[str, zipfile.ZipInfo] = {}
    for name, entry in _without_wrapping(archive.infolist()):
        if name not in known:
            raise NotWhole(f"it holds {name[:60]!r}, which is no file of a run")
        if name in entries:
            raise NotWhole(f"it holds {name} twice")
        if stat.S_IFMT(entry.external_attr >> 16) not in (0, stat.S_IFREG):
            raise NotWhole(f"{name} is not a plain file")
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise NotWhole("it was compressed in an unusual way")
        if name == "spec.json" and entry.file_size > LARGEST_HEAD:
            raise NotWhole(f"{name} is larger than that of any run")
        entries[name] = entry
    packed, unpacked = (
        sum(getattr(entry, size) for entry in entries.values())
        for size in ("compress_size", "file_size")
    )
    if packed > length:
        raise NotWhole("its files are larger than itself")
    if unpacked > MOST_SHRUNK * length + SURELY_SMALL:
        raise NotWhole("its files are larger than those of any run of its size")
    if missing := {"spec.json", "metrics.json"} - set(entries):
        raise NotWhole(f"{', '.join(sorted(missing))} is missing")
    return entries


def _without_wrapping(
    entries: Sequence[zipfile.ZipInfo],
) -> Iterator[tuple[str, zipfile.ZipInfo]]:
    """Files by their names within the one folder that may hold them all, and no litter."""
    files = [
        entry
        for entry in entries
        if not (entry.is_dir() and not entry.file_size)
        and not any(map(is_litter, entry.filename.split("/")))
    ]
    folders = {entry.filename.rpartition("/")[0] for entry in files}
    folder = folders.pop() if len(folders) == 1 else ""
    for entry in files:
        yield entry.filename.removeprefix(f"{folder}/"), entry


def _check_space(folder: Path, size: int) -> None:
    if size > (left := free_space(folder)):
        raise UserError(
            f"The run takes {size / 2**20:,.0f} MB, and the disk that holds {folder.parents[1]} has"
            f" {left / 2**20:,.0f} MB left. Make room."
        )


@_as_found("it is damaged")
def _head(archive: zipfile.ZipFile, entries: Mapping[str, zipfile.ZipInfo]) -> dict[str, Any]:
    """The content of spec.json, which lists the other files."""
    head: dict[str, Any] = _json(archive.read(entries["spec.json"]))
    if set(head["files"]) != set(entries) - {"spec.json"}:
        raise NotWhole("it holds other files than its spec.json lists")
    return head


@_as_found("it is damaged")
def _copy_all(
    archive: zipfile.ZipFile,
    entries: Mapping[str, zipfile.ZipInfo],
    files: Mapping[str, Any],
    folder: Path,
) -> None:
    """Copies what spec.json lists, and verifies sizes and digests."""
    for name, known in files.items():
        with archive.open(entries[name]) as source, open(folder / name, "wb") as target:
            if _copy(source, target) != known:
                raise NotWhole(f"{name} is not as it was exported")


@_as_found("its spec.json is of another kind")
def _checked_head(head: Mapping[str, Any]) -> tuple[TrainingSpec, str]:
    """The spec, and the user's own title."""
    spec = TrainingSpec.from_json(head["spec"])
    tasks = spec.group.tasks
    _check_types(spec)
    check_limits(spec)
    if not all(task.rule in get_args(Rule) for task in tasks):
        raise ValueError("a task has an unknown rule")
    if spec.key != head["key"]:
        raise ValueError("its key is that of another spec")
    small = {"metrics.json", "summary.npz"} if spec.recorded else {"metrics.json"}
    if set(head["files"]) - (ARRAYS if spec.recorded else LOGITS) - {WEIGHTS} != small:
        raise ValueError("its files are not those of its spec")
    provenance = head["provenance"]
    words = ("device", "precision", "images", "python", "command", "created")
    if not all(type(provenance[name]) is str for name in words):
        raise ValueError("its provenance is not known")
    if not (math.isfinite(provenance["seconds"]) and provenance["seconds"] >= 0):
        raise ValueError("its duration is not known")
    Usage.of(spec, provenance)
    if datetime.fromisoformat(provenance["created"]).utcoffset() != timedelta(0):
        raise ValueError("its time is not in UTC")
    return spec, checked_title(head["title"])


def _check_types(spec: TrainingSpec) -> None:
    sizes = (spec.batch_size, spec.training_images, spec.branches)
    numbers = (spec.epochs, spec.seed, *sizes, *spec.recorded)
    if {type(n) for n in numbers} != {int} or type(spec.single_task_models) is not bool:
        raise ValueError("a setting is of a wrong type")
    if spec.starts_from is not None:
        _check_types(spec.starts_from)


@_as_found("its metrics.json is of another kind")
def _check_metrics(path: Path, spec: TrainingSpec) -> None:
    metrics, n_epochs, n_tasks = _json(path.read_bytes()), spec.epochs, len(spec.tasks)
    if spec.logged:  # of which the test scores alone are known, of the epochs that have some
        scored, scores = metrics["scored_epochs"], metrics["test"].get("f1", [])
        _check_numbers(scored, (len(scored),))
        _check_numbers(scores, (len(scored), n_tasks) if scored else (0,), gaps=True)
        return
    for name in ("loss", "seconds", "images_per_second", "evaluation_seconds"):
        _check_numbers(metrics[name], (n_epochs,))
    for split in ("train", "test"):
        for name in {"loss", "f1", "accuracy", "balanced_accuracy", *metrics[split]}:
            _check_numbers(metrics[split][name], (n_epochs, n_tasks), gaps=True)


def _check_numbers(value: Any, shape: Shape, gaps: bool = False) -> None:
    """Nested lists of finite numbers, and with `gaps` null where one is not defined."""
    found = np.array(value, dtype=object)
    known = [x for x in found.flat if x is not None]
    if found.shape != shape or (len(known) < found.size and not gaps):
        raise ValueError(f"not {' × '.join(map(str, shape))} numbers")
    if not ({type(x) for x in known} <= {int, float} and np.isfinite(known).all()):
        raise ValueError("a number is none")


@_as_found("its summary.npz is of another kind")
def _checked_summary(path: Path, spec: TrainingSpec) -> int:
    """The number of training points of a summary that is one of this spec.

    The arrays are read when their headers, of a few bytes, have told that they are no larger than
    those of such a run.
    """
    kept = kept_of(len(spec.tasks))
    with open(path, "rb") as file, _opened(file) as arrays:
        entries = {entry.filename.removesuffix(".npy"): entry for entry in arrays.infolist()}
        of_now = {field.name for field in fields(DataMapSummary)}
        if "projection" not in entries:  # of few tasks, or older
            kept, of_now = ALL, of_now - {"projection"}
        if set(entries) not in (of_now, of_now - LATER):
            raise ValueError("its arrays are others")
        headers = {}
        for name, entry in entries.items():
            with arrays.open(entry) as member:
                headers[name] = _header(member, entry.file_size)
        if sum(entry.file_size for entry in entries.values()) > largest_files(spec)["summary.npz"]:
            raise ValueError("its arrays are too large")
    t, e, s = len(spec.tasks), len(spec.recorded), headers["sample_indices"][1][-1]
    pairs = t * (t + 1) // 2
    expected: dict[str, tuple[str, Shape]] = {
        "tasks": ("<U", (t,)),
        "epochs": ("<i8", (e,)),
        "gram": ("<f8", (e, 2, t, t)) if kept is ALL else ("<f4", (e, 2, pairs)),
        "block_gram": ("<f4", (e, 2, kept.blocks, pairs) if kept is ALL else (e, 2, 0, 0)),
        "histogram": ("<u", (e, t, 2, kept.bins, kept.bins)),
        "task_means": ("<f4", (e, 2, t)),
        "sample_indices": ("<i4", (t, s)),
        "sample_positive": ("|b1", (t, s)),
        "sample": ("<f2", (e, 2, t, s)),
        "n_points": ("<i8", ()),
        "labelled": ("<i4", (t, t)),
        "positives": ("<i4", (t,)),
        "adjusted": ("<f8", (e, 2)),
        "projection": ("<f2", (e, 2, t, kept.numbers)),
    }
    for name, header in headers.items():
        _check_header(name, header, *expected[name])
    summary = DataMapSummary.load(path.read_bytes())
    n_points, indices = int(summary.n_points), summary.sample_indices
    if summary.tasks.tolist() != list(spec.tasks) or summary.epochs.tolist() != list(spec.recorded):
        raise ValueError("it is of other tasks or epochs")
    compared = summary.gram, summary.block_gram, summary.projection
    if not all(np.isfinite(array).all() for array in compared):
        raise ValueError("its Gram matrices are not finite")
    _check_counts(summary)
    if s != min(kept.sample, n_points) or indices.min() < 0 or indices.max() >= n_points:
        raise ValueError("its sample is not one of its points")
    return n_points


def _check_counts(summary: DataMapSummary) -> None:
    """Numbers of labels and positives are those that tasks can have."""
    labelled, positives = summary.labelled, summary.positives
    own = labelled.diagonal()
    if (labelled < 0).any() or (labelled > np.minimum.outer(own, own)).any():
        raise ValueError("two tasks share more labels than one of them has")
    if (own > summary.n_points).any() or (labelled != labelled.T).any():
        raise ValueError("its numbers of labels are none")
    if (positives < -1).any() or (positives > own).any():
        raise ValueError("its numbers of positives are none")
    if not ((summary.adjusted >= 0) & (summary.adjusted <= 1)).all():
        raise ValueError("its Gram matrices were changed by more than they are")


@_as_found("its arrays are of another kind")
def _check_arrays(paths: Mapping[str, Path], spec: TrainingSpec, n_points: int) -> None:
    """The large arrays are those of this spec, and all logits and labels are there, or none."""
    headers = {}
    for name, path in paths.items():
        with open(path, "rb") as file:
            headers[name] = _header(file, path.stat().st_size)
    e, t = len(spec.recorded), len(spec.tasks)
    expected: dict[str, tuple[str, Shape]] = {}
    if "datamaps.npy" in headers:
        expected["datamaps.npy"] = "<f2", (e, 2, t, n_points)
    if LOGITS & set(headers):
        for split in ("test", "train"):
            n = headers[f"{split}_labels.npy"][1][0]
            expected[f"{split}_labels.npy"] = "|i1" if spec.all_binary else "<f4", (n, t)
            expected[f"{split}_logits.npy"] = "<f2", (len(spec.logit_epochs), n, spec.n_outputs)
    for name, (kind, shape) in expected.items():
        _check_header(name, headers[name], kind, shape)


@_as_found("its weights are of another kind")
def _check_weights(path: Path) -> None:
    """They can be read as numbers by name; whether a model takes them is seen when it is made."""
    with safetensors.safe_open(path, framework="numpy") as weights:
        for name in weights.keys():  # noqa: SIM118, it is no mapping
            if weights.get_slice(name).get_dtype() not in KINDS_OF_WEIGHTS:
                raise ValueError(f"{name[:60]} is of a strange type")


def _header(file: IO[bytes], size: int) -> tuple[str, Shape]:
    """Type and shape of an .npy file of so many bytes; ValueError where it would be unpickled."""
    if np.lib.format.read_magic(file) != (1, 0):
        raise ValueError("an array has an unknown header")
    shape, _, dtype = np.lib.format.read_array_header_1_0(file)
    if dtype.hasobject:
        raise ValueError("an array holds Python objects")
    if size != file.tell() + dtype.itemsize * math.prod(shape):
        raise ValueError("an array is cut off")
    return dtype.str, shape


def _check_header(name: str, found: tuple[str, Shape], kind: str, shape: Shape) -> None:
    if not found[0].startswith(kind) or found[1] != shape:
        raise ValueError(f"{name} is {found[0]} {found[1]} and should be {kind} {shape}")


def _json(data: bytes) -> Any:
    return json.loads(data, parse_constant=_refused)


def _refused(constant: str) -> float:
    raise ValueError(f"{constant} is not JSON")
