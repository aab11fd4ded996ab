"""What many tasks cost, from data maps on disk to memberships: each number of them in a process.

`python -m tests.benchmarks.many MAPS.npy LABELS.npy` prints what one of them cost, as JSON.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

SIZES = (100, 300, 1_000, 3_000, 10_000)
RECORDED = (2, 4, 6, 8, 10)
K = 20
SEEDS = 13, 14, 15  # of the projection; the first is the one in use
KS = 8, 12, 20, 30, 40


def cost_of(n_tasks: int, n_points: int) -> dict[str, Any]:
    """Seconds ("wall", "processor", "open", "new k", "stability"), bytes ("peak", "summary"), the
    way, and the machine's "load" meanwhile; of a projection there is no stability, but None."""
    from tests.many import labels_of, write_maps

    with tempfile.TemporaryDirectory() as folder:
        maps, labels = Path(folder) / "maps.npy", Path(folder) / "labels.npy"
        write_maps(maps, n_tasks, n_points, RECORDED)
        np.save(labels, labels_of(n_tasks, n_points))
        command = [sys.executable, "-m", "tests.benchmarks.many", str(maps), str(labels)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
    cost: dict[str, Any] = json.loads(done.stdout)
    return cost


def exponent(sizes: Sequence[int], costs: Sequence[float]) -> float:
    """Of the power of the number of tasks that fits best."""
    return float(np.polyfit(np.log(sizes), np.log(costs), 1)[0])


@dataclass(frozen=True)
class Accuracy:
    """Of projected tasks: how far distances are off, in two of three pairs, 99 of 100 and at most,
    for each seed; by k the adjusted Rand index of the clusters with the exact ones, and of these
    with exact ones from other starts."""

    off: dict[int, list[float]]
    projected: dict[int, float]
    begun_elsewhere: dict[int, float]


def accuracy(n_tasks: int, n_points: int) -> Accuracy:
    from sklearn.metrics import adjusted_rand_score

    from stg_core.grouping.memberships import TaskSpace
    from stg_core.maps.summary import summarise
    from tests.many import many_maps

    maps, labels = many_maps(n_tasks, n_points, RECORDED)
    names = [f"task {t}" for t in range(n_tasks)]
    whole = summarise(maps, labels, names, RECORDED)
    exact, other = TaskSpace(whole), TaskSpace(whole)
    pairs, off, spaces = np.triu_indices(n_tasks, 1), {}, []
    for seed in SEEDS:
        with patch.multiple("stg_core.maps.many", VERY_MANY=0, MANY=0, SEED=seed):
            spaces.append(TaskSpace(summarise(maps, labels, names, RECORDED)))
        wrong = np.abs(spaces[-1].distances[pairs] / exact.distances[pairs] - 1)
        off[seed] = np.quantile(wrong, (0.6827, 0.99, 1)).tolist()
    projected, begun_elsewhere = {}, {}
    for k in KS:
        found = exact.kmeans_labels(k)
        projected[k] = float(adjusted_rand_score(found, spaces[0].kmeans_labels(k)))
        with patch("stg_core.grouping.memberships.SEED", 1):
            begun_elsewhere[k] = float(adjusted_rand_score(found, other.kmeans_labels(k)))
    return Accuracy(off, projected, begun_elsewhere)


def _processor() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _peak() -> int:
    """Bytes that were resident at most; `ru_maxrss` begins with what the parent process had."""
    (line,) = (s for s in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in s)
    return 1024 * int(line.split()[1])


def _measured(maps: Path, labels: Path) -> dict[str, Any]:
    from stg_core.grouping.choosing import stability
    from stg_core.grouping.memberships import TaskSpace, group_tasks
    from stg_core.maps.on_disk import read_maps
    from stg_core.maps.summary import DataMapSummary, summarise

    wall, processor = time.perf_counter(), _processor()
    given = read_maps(maps, labels, RECORDED)
    summary = summarise(given.maps, given.labels, given.tasks, given.epochs)
    k = min(K, len(given.tasks) - 1)
    grouping = group_tasks(TaskSpace(summary), k)
    cost: dict[str, Any] = {
        "wall": time.perf_counter() - wall,
        "processor": _processor() - processor,
        "peak": _peak(),
        "way": "projection" if not summary.gram.size else "exact",
        "tasks": len(grouping.tasks),
    }
    path = maps.with_name("summary.npz")
    with path.open("wb") as file:
        summary.save(file)
    cost["summary"] = path.stat().st_size
    del summary
    processor = _processor()
    space = TaskSpace(DataMapSummary.load(path.read_bytes()))
    group_tasks(space, k)
    cost["open"] = _processor() - processor
    processor = _processor()
    group_tasks(space, k + 1)
    cost["new k"] = _processor() - processor
    cost["stability"] = None
    if not space.projected:
        processor = _processor()
        stability(space)
        cost["stability"] = _processor() - processor
    cost["load"] = os.getloadavg()[0]
    return cost


if __name__ == "__main__":
    print(json.dumps(_measured(Path(sys.argv[1]), Path(sys.argv[2]))))
