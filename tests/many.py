"""Data maps of hundreds to thousands of tasks, made up in seconds: for tests and benchmarks.

Every task follows one of a few patterns of difficulty, and adds its own. No two are alike.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stg_core.maps.log import TaskLog

OWN = 0.8  # how much of a task's difficulty is its own, beside 1 for its pattern
PREVALENCE = (0.02, 0.5)


def patterns_of(n_tasks: int) -> int:
    """How many patterns so many tasks follow."""
    return max(2, min(20, n_tasks // 5))


def pattern_of(n_tasks: int) -> NDArray[np.int64]:
    """Which pattern each task follows, (T,): known truth for a grouping."""
    return np.arange(n_tasks) % patterns_of(n_tasks)


def labels_of(n_tasks: int, n_points: int, seed: int = 0) -> NDArray[np.float32]:
    """Answers, (N, T) in {0, 1}: each task has a prevalence of its own."""
    rng = np.random.default_rng((seed, 1))
    prevalence = rng.uniform(*PREVALENCE, n_tasks).astype(np.float32)
    labels = np.empty((n_points, n_tasks), dtype=np.float32)
    for row in labels:
        row[:] = rng.random(n_tasks, dtype=np.float32) < prevalence
    return labels


def map_rows(
    n_tasks: int, n_points: int, epoch: int, seed: int = 0
) -> Iterator[NDArray[np.float16]]:
    """Confidence and variability of one task after another at an epoch, (2, N) each."""
    rng = np.random.default_rng((seed, 2))
    patterns = rng.normal(1.0, 1.0, (patterns_of(n_tasks), n_points)).astype(np.float32)
    pool = rng.normal(0.0, OWN, 4 * n_points + 1).astype(np.float32)
    moving = rng.uniform(0.5, 1.0, 4 * n_points + 1).astype(np.float32)
    for pattern in pattern_of(n_tasks):
        start, other = rng.integers(0, 3 * n_points, 2)
        ease = patterns[pattern] + pool[start : start + n_points]
        confidence = 1 / (1 + np.exp(-np.sqrt(np.float32(epoch)) / 2 * ease))
        spread = 2 * confidence * (1 - confidence) * moving[other : other + n_points]
        yield np.stack([confidence, spread]).astype(np.float16)


def many_maps(
    n_tasks: int, n_points: int, epochs: tuple[int, ...], seed: int = 0
) -> tuple[NDArray[np.float16], NDArray[np.float32]]:
    """Data maps (E, 2, T, N) with labels (N, T)."""
    maps = np.empty((len(epochs), 2, n_tasks, n_points), dtype=np.float16)
    for e, epoch in enumerate(epochs):
        for t, row in enumerate(map_rows(n_tasks, n_points, epoch, seed)):
            maps[e, :, t] = row
    return maps, labels_of(n_tasks, n_points, seed)


def write_maps(
    path: Path, n_tasks: int, n_points: int, epochs: tuple[int, ...], seed: int = 0
) -> None:
    """The same data maps as a file of NumPy's, in the memory of a few tasks."""
    shape = len(epochs), 2, n_tasks, n_points
    maps = np.lib.format.open_memmap(path, "w+", np.float16, shape)
    for e, epoch in enumerate(epochs):
        for t, row in enumerate(map_rows(n_tasks, n_points, epoch, seed)):
            maps[e, :, t] = row
    maps.flush()


def log_many(n_tasks: int, n_points: int) -> str:
    """The id of a run of two epochs, logged in the home: tasks of twenty kinds, learned alike."""
    rng = np.random.default_rng(0)
    labels = (rng.random((n_points, n_tasks)) < 0.3).astype(np.float32)
    ease = rng.normal(1, 1, (n_points, 20))[:, pattern_of(n_tasks)]
    names = [f"task {t}" for t in range(n_tasks)]
    with TaskLog(f"many {n_tasks}", names, labels, outputs="logits") as log:
        for epoch in (1, 2):
            logits = epoch * ease + rng.normal(0, 0.3, ease.shape)
            log.epoch(((2 * labels - 1) * logits).astype(np.float32))
    return log.run_id
