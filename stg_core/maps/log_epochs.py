"""The end of a log's epoch: what is kept of it, and of those before."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stg_core.maps.log_folder import MOST_LOGITS, MOST_MAPS, LogFolder, Progress, kept_epochs
from stg_core.maps.outputs import OutputReader, as_numpy
from stg_core.maps.recorder import DataMapRecorder


@dataclass(frozen=True)
class Epoch:
    """What was logged by the end of an epoch.

    number: counted from 1; rows: of outputs in it; test: logits of the test points, (N', O), or
    None; sample: the last outputs of the measured training points, likewise, NaN where one was not
    seen yet.
    """

    number: int
    recorder: DataMapRecorder
    rows: int
    test: NDArray[np.float32] | None = None
    sample: NDArray[np.float32] | None = None


def keep_epoch(
    folder: LogFolder,
    epoch: Epoch,
    before: Progress,
    planned: int | None,
    reader: OutputReader,
    seconds: float,
) -> Progress:
    """Writes all that belongs to an epoch but progress, which is to be written last.

    before: how far the log was; planned: epochs, where known; seconds: that this one took.
    """
    number = epoch.number
    folder.write(f"state-{number}", as_numpy(epoch.recorder.state))
    maps = _as_array(epoch.recorder.snapshot())
    if number >= 2:
        folder.write(f"maps-{number}", maps)
    kept = set(before.logits)
    if epoch.test is not None:
        folder.write(f"test-{number}", epoch.test.astype(np.float16))
        if epoch.sample is not None and not np.isnan(epoch.sample).any():
            kept = {e for e in kept if folder.has(f"train-{e}")}  # all have both from now on
            folder.write(f"train-{number}", reader.as_logits(epoch.sample).astype(np.float16))
        kept.add(number)
    recorded = {*before.maps, number}
    return dataclasses.replace(
        before,
        epoch=number,
        maps=tuple(e for e in kept_epochs(number, MOST_MAPS, planned) if e in recorded),
        logits=tuple(e for e in kept_epochs(number, MOST_LOGITS, planned, first=1) if e in kept),
        rows=(*before.rows, epoch.rows),
        confidence=(*before.confidence, _mean_confidence(maps[0])),
        seconds=before.seconds + seconds,
    )


def _as_array(maps: Any) -> NDArray[np.float16]:
    """Data maps as an array, from whatever device."""
    if hasattr(maps, "detach"):
        maps = maps.cpu().numpy()
    return np.asarray(maps, np.float16)


def _mean_confidence(confidence: NDArray[np.float16]) -> tuple[float | None, ...]:
    """Of each task, (T,), over the points that have one; from confidences (T, N)."""
    single = confidence.astype(np.float32)
    known = ~np.isnan(single)
    total = np.where(known, single, 0).sum(axis=1, dtype=np.float64)
    counts = known.sum(axis=1)
    return tuple(float(s / n) if n else None for s, n in zip(total, counts, strict=True))
