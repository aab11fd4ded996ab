"""A training on disk while it goes on, whole after every epoch; without torch, for who looks on.

    work/<key>/         below STG_HOME
      checkpoint.pt     what the training goes on from
      test-<e>.npy      outputs of the test points, (N', O) float16; train-<e>.npy of the measured
                        training points
      maps-<e>.npy      data maps, (2, T, N) float16: of recorded epochs and of the last ones
      labels.npy        (N, T) float32, NaN where one is missing
      progress.json     how far it is, and its last test scores: written last
      summary-<e>.npz   of a data map, by whoever looks at it first

Nothing in it says for how many epochs it is meant: a shorter training of the same kind goes on from
it as well.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stg_core.system.files import atomic
from stg_core.training.spec import TrainingSpec

PROGRESS = "progress.json"
LOOKED_BACK = 3  # epochs before the last one with which it can be compared
ALL_LOGITS_OF = 100  # epochs: of longer trainings only those that are kept for good


@dataclass(frozen=True)
class Progress:
    """What is known of a training after an epoch.

    spec: as plain JSON; maps: the epochs whose data maps are there; test: the last test scores by
    name, (T,) each, NaN where one is not defined; provenance: device, precision, threads, seconds
    and images, as of a finished one; updated: ISO 8601.
    """

    spec: Mapping[str, Any]
    epoch: int
    maps: tuple[int, ...]
    test: Mapping[str, list[float]]
    provenance: Mapping[str, Any]
    updated: str


class WorkFolder:
    """The arrays of one training's epochs, and its progress."""

    def __init__(self, path: Path) -> None:
        self.path = path

    # ----------------------------------------------------------------------------------- reading

    def progress(self) -> Progress:
        """Raises OSError where there is none, ValueError or TypeError for a damaged one."""
        plain = json.loads((self.path / PROGRESS).read_bytes())
        found = Progress(**{**plain, "maps": tuple(plain["maps"])})
        if not all(isinstance(e, int) and 2 <= e <= found.epoch for e in found.maps):
            raise ValueError(f"epochs {found.maps}")
        return found

    def array(self, name: str) -> NDArray[Any]:
        """Such as "labels" or "maps-4", memory-mapped; raises OSError or ValueError."""
        found: NDArray[Any] = np.load(self.path / f"{name}.npy", mmap_mode="r", allow_pickle=False)
        return found

    def has_all(self, names: Iterable[str]) -> bool:
        """Whether all these arrays are there and whole."""
        try:
            return all(self.array(name).size >= 0 for name in names)
        except (OSError, ValueError, EOFError):
            return False

    # ----------------------------------------------------------------------------------- writing

    def write(self, name: str, array: NDArray[Any]) -> None:
        with atomic(self.path / f"{name}.npy", lasting=False) as file:
            np.save(file, array, allow_pickle=False)

    def write_map(self, epoch: int, maps: NDArray[np.float16]) -> None:
        (self.path / f"summary-{epoch}.npz").unlink(missing_ok=True)
        self.write(f"maps-{epoch}", maps)

    def write_progress(
        self,
        spec: TrainingSpec,
        epoch: int,
        test: Mapping[str, list[float]],
        provenance: Mapping[str, Any],
    ) -> None:
        """Ends an epoch; then the data map goes that is neither recorded nor of the last epochs.

        Short, since the epochs of a small training are: a digit's takes a tenth of a second.
        """
        kept = [e for e in maps_kept(spec, epoch) if (self.path / f"maps-{e}.npy").exists()]
        progress = {
            "spec": _plain(spec),
            "epoch": epoch,
            "maps": kept,
            "test": test,
            "provenance": provenance,
            "updated": datetime.now(UTC).isoformat(timespec="microseconds"),
        }
        with atomic(self.path / PROGRESS, lasting=False) as file:
            file.write(json.dumps(progress).encode())
        old = epoch - LOOKED_BACK - 1
        if old not in kept:
            (self.path / f"maps-{old}.npy").unlink(missing_ok=True)
            (self.path / f"summary-{old}.npz").unlink(missing_ok=True)

    def take_apart(self, epoch: int, logit_epochs: Sequence[int], recorded: Sequence[int]) -> None:
        """Arrays of all epochs in one, as an earlier version kept them, become one for each epoch.

        Raises OSError or ValueError where they are not whole up to that epoch.
        """
        before = {"test": "test_logits", "train": "train_logits", "maps": "datamaps"}
        for name, whole in before.items():
            epochs = recorded if name == "maps" else logit_epochs
            for place, e in enumerate(epochs):
                if e <= epoch:
                    self.write(f"{name}-{e}", _slab(self.path / f"{whole}.npy", place))

    def drop_unfinished(self) -> None:
        """Files that a process was writing when it was killed."""
        for path in self.path.glob(".*.part"):
            if not path.name.startswith(".summary"):  # which the app may be writing now
                path.unlink(missing_ok=True)


def _slab(path: Path, place: int) -> NDArray[Any]:
    """One of an array's slabs [place], where those after it may not be written yet."""
    with open(path, "rb") as file:
        np.lib.format.read_magic(file)
        shape, _, dtype = np.lib.format.read_array_header_1_0(file)
        size = int(np.prod(shape[1:]))
        file.seek(place * size * dtype.itemsize, os.SEEK_CUR)
        return np.fromfile(file, dtype, size).reshape(shape[1:])


@lru_cache(maxsize=4)
def _plain(spec: TrainingSpec) -> dict[str, Any]:
    return spec.to_json()


def maps_kept(spec: TrainingSpec, epoch: int) -> tuple[int, ...]:
    """The epochs whose data maps are there after that one: recorded ones, and the last ones."""
    if not spec.recorded:
        return ()
    last = range(max(2, epoch - LOOKED_BACK), epoch + 1)
    return tuple(sorted({e for e in spec.recorded if e <= epoch} | set(last)))


def logits_kept(spec: TrainingSpec) -> tuple[int, ...]:
    """The epochs whose outputs are kept while a training goes on: it may be ended after any."""
    return tuple(range(1, spec.epochs + 1)) if spec.epochs <= ALL_LOGITS_OF else spec.logit_epochs


def arrays_after(spec: TrainingSpec, epoch: int) -> Iterable[str]:
    """What must be there of a training's first epochs for it to go on, or to end."""
    yield from (f"{s}-{e}" for e in spec.logit_epochs if e <= epoch for s in ("test", "train"))
    yield from (f"maps-{e}" for e in spec.recorded if e <= epoch)
