"""Logs as other programs write them, for tests."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from stg_core.maps.formats.answers import Answers
from stg_core.maps.formats.bringing import bring
from stg_core.maps.log import TaskLog
from stg_core.results.logged import LoggedRun
from stg_core.results.store import Store


def outputs(epochs: int, points: int, classes: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Logits (E, N, C) that learn, and classes (N,)."""
    rng = np.random.default_rng(seed)
    gold = rng.integers(0, classes, points)
    logits = rng.normal(size=(epochs, points, classes))
    logits[:, np.arange(points), gold] += np.arange(epochs)[:, None] * 0.5
    return logits.astype(np.float32).astype(float), gold


def write_dynamics(
    folder: Path,
    logits: np.ndarray,
    gold: Sequence[Any],
    ids: Sequence[Any] | None = None,
    first: int = 0,
    prefix: str = "logits",
    names: tuple[str, str] = ("guid", "gold"),
) -> Path:
    """A folder as Dataset Cartography writes it, every epoch in another order."""
    folder.mkdir(parents=True, exist_ok=True)
    ids = list(range(logits.shape[1])) if ids is None else ids
    rng = np.random.default_rng(1)
    for e, epoch in enumerate(logits, first):
        lines = [
            json.dumps({names[0]: ids[i], f"{prefix}_epoch_{e}": epoch[i].tolist(), names[1]: g})
            for i, g in enumerate(gold)
        ]
        text = "".join(lines[i] + "\n" for i in rng.permutation(len(lines)))
        (folder / f"dynamics_epoch_{e}.jsonl").write_text(text)
    return folder


def brought(path: Path | Sequence[Path], **said: Any) -> LoggedRun:
    """The run of a log."""
    paths = [path] if isinstance(path, Path) else path
    run = Store().run(bring(paths, Answers(**said)))
    assert isinstance(run, LoggedRun)
    return run


def logged(labels: np.ndarray, epochs: np.ndarray, outputs: str, **said: Any) -> np.ndarray:
    """The data maps (E, 2, T, N) of a `TaskLog` of the same outputs."""
    names = [f"t{t}" for t in range(labels.shape[1])]
    log = TaskLog("twin", names, labels, outputs=outputs, epochs=len(epochs), **said)  # type: ignore[arg-type]
    for epoch in epochs:
        log.epoch(epoch)
    log.close()
    maps = Store().run(log.run_id).datamaps()
    assert maps is not None
    return maps


def in_order(run: LoggedRun, ids: Sequence[Any]) -> np.ndarray:
    """Its data maps (E, 2, T, N), the points in the order of these ids."""
    import pandas as pd

    maps = run.datamaps()
    assert maps is not None
    table = run.folder / "points.parquet"
    own = list(pd.read_parquet(table)["id"]) if table.exists() else [*map(str, range(len(ids)))]
    return maps[..., [own.index(str(each)) for each in ids]]
