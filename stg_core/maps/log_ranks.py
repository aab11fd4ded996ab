"""Several processes that log under one name: each its part of an epoch, the last one the merge."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stg_core.maps.log_epochs import Epoch
from stg_core.maps.log_folder import LogFolder
from stg_core.maps.outputs import as_numpy
from stg_core.maps.recorder import NUMPY, DataMapRecorder
from stg_core.system.errors import UserError
from stg_core.system.words import counted

MOST_MISSED = 3  # epochs that a rank may be behind before it is named
MOST_PARTS = 10  # epochs of which the others keep their parts for one that died


def rank_of(rank: int | None, ranks: int | None) -> tuple[int, int]:
    """Which of how many processes this is, by default as RANK and WORLD_SIZE say.

    Raises UserError where they do not say it, and for a rank that cannot be.
    """
    said = rank is not None
    try:
        ranks = int(os.environ.get("WORLD_SIZE") or 1) if ranks is None else int(ranks)
        rank = int(os.environ.get("RANK") or 0) if rank is None and ranks > 1 else int(rank or 0)
    except (TypeError, ValueError):
        raise UserError(
            "Rank and ranks, or RANK and WORLD_SIZE of the environment, are no whole numbers: give"
            " TaskLog(…, rank=0, ranks=1)."
        ) from None
    if ranks > 1 and not said and "RANK" not in os.environ:
        raise UserError(
            f"{ranks} processes train, and RANK of the environment does not say which this is:"
            f" start the script with torchrun, or say TaskLog(…, rank=…, ranks={ranks}) in each."
        )
    if not 0 <= rank < ranks:
        raise UserError(
            f"Of {counted(max(ranks, 1), 'process', 'processes')}, ranks are 0 to"
            f" {max(ranks, 1) - 1}, and not {rank}{f' of {ranks}' * (ranks < 1)}."
        )
    return rank, ranks


def write_part(
    folder: LogFolder,
    epoch: int,
    rank: int,
    batches: Sequence[tuple[Any, Any]],
    test: NDArray[np.float32] | None,
    sample: NDArray[np.float32] | None,
) -> None:
    """Keeps what one process logged of an epoch.

    batches: points (B,) and their confidences (B, T); test, sample: as of an `Epoch`, the sample
    with NaN for points that this process did not see.
    """
    arrays: dict[str, NDArray[Any]] = {
        "rows": np.concatenate([as_numpy(rows) for rows, _ in batches] or [np.empty(0)]),
        "confidence": np.concatenate(
            [as_numpy(found) for _, found in batches] or [np.empty((0, 1))]
        ),
    }
    arrays["rows"] = arrays["rows"].astype(np.int64)
    arrays["confidence"] = arrays["confidence"].astype(np.float32)
    if test is not None:
        arrays["test"] = test
    if sample is not None:
        arrays["sample"] = sample
    folder.write_part(epoch, rank, arrays)


def all_have_logged(folder: LogFolder, epoch: int, ranks: int) -> bool:
    """Whether every process has logged its part of an epoch."""
    return all(folder.part(epoch, rank).exists() for rank in range(ranks))


def merged(folder: LogFolder, number: int, ranks: int, shape: tuple[int, int]) -> Epoch:
    """An epoch of which all have logged their part, added in the order of the ranks.

    shape: N, T.
    """
    before = folder.recorder(number - 1) if number > 1 else DataMapRecorder(*shape, NUMPY)
    parts = [folder.read_part(number, rank) for rank in range(ranks)]
    for part in parts:
        if len(part["rows"]):
            before.update(part["rows"], part["confidence"])
    tests = [part["test"] for part in parts if "test" in part]
    return Epoch(
        number,
        before,
        rows=sum(len(part["rows"]) for part in parts),
        test=tests[-1] if tests else None,
        sample=_merged_sample([part["sample"] for part in parts if "sample" in part]),
    )


def _merged_sample(samples: Sequence[NDArray[np.float32]]) -> NDArray[np.float32] | None:
    """The outputs of the measured points, each from a process that saw it."""
    if not samples:
        return None
    found = samples[0].copy()
    for other in samples[1:]:
        found = np.where(np.isnan(found), other, found)
    return found


def sentence_of_the_dead(folder: LogFolder, epoch: int, ranks: int) -> str:
    """Names the ranks that no longer log, where epochs are behind for their sake; "" else."""
    finished = folder.progress().epoch
    if epoch - finished < MOST_MISSED:
        return ""
    alive = folder.logging(ranks)
    dead = [rank for rank in range(ranks) if rank not in alive]
    if not dead:
        return ""
    return (
        f"Rank {', '.join(map(str, dead))} of {ranks} no longer logs: epochs are finished up to"
        f" {finished}, of which all have logged their part."
    )
