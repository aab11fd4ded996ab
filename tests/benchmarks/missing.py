"""How far memberships move without labels: `python -m tests.benchmarks.missing [TASKS.csv …]`.

The truth is known: data maps of real trainings with all labels, of the digits and of a table with
the columns of its features, then those of its tasks ("task:…"), then "split". Labels are taken away
at random, of all tasks and of one task alone, and the memberships (k = 4, fuzzifier 2) are held
against those with all labels: grouped anew, where k-means may take another of several groupings
that are almost equally good, and in the same clusters. Beside the way of `summarise` stands the one
before it: a missing value took the mean of the other tasks' values of that point.
"""

from __future__ import annotations

import csv
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment

from stg_core.grouping.memberships import (
    TaskSpace,
    distances_between,
    group_tasks,
    memberships_from_distances,
)
from stg_core.maps.recorder import DataMapRecorder, confidence
from stg_core.maps.summary import DataMapSummary, summarise
from stg_core.tasks.groups import GROUPS
from stg_core.training.loop import train
from stg_core.training.spec import TrainingSpec

K, FUZZIFIER, DRAWS = 4, 2.0, 20
SHARES = (0.1, 0.2, 0.4, 0.6, 0.8)  # missing, of every task
KEPT = (0.5, 0.25, 0.1)  # of the labels of one task
EPOCHS = (2, 4, 6, 8, 10)

Maps = tuple[np.ndarray, np.ndarray]  # data maps (E, 2, T, N) and labels (N, T)


def digits() -> Maps:
    with tempfile.TemporaryDirectory() as folder:
        spec = TrainingSpec(GROUPS["digits"], epochs=EPOCHS[-1], recorded_epochs=EPOCHS)
        result = train(spec, folder=Path(folder))
        return np.array(result.datamaps), result.train_labels.astype(np.float32)


def table(path: Path) -> Maps:
    """A small model of all tasks of a table, by a loop as users have it."""
    header, *rows = csv.reader(path.open())
    tasks = [name.startswith("task:") for name in header[:-1]]
    values = torch.tensor([[float(v) for v in row[:-1]] for row in rows if row[-1] == "train"])
    x, y = values[:, ~torch.tensor(tasks)], values[:, torch.tensor(tasks)]
    x = (x - x.mean(0)) / x.std(0)
    torch.manual_seed(0)
    model = torch.nn.Sequential(
        torch.nn.Linear(x.shape[1], 128), torch.nn.ReLU(), torch.nn.Linear(128, y.shape[1])
    )
    optimizer, recorder = torch.optim.Adam(model.parameters()), DataMapRecorder(*y.shape)
    maps = []
    for epoch in range(1, EPOCHS[-1] + 1):
        for batch in torch.randperm(len(x)).split(64):
            logits = model(x[batch])
            loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, y[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            recorder.update(batch, confidence(logits, y[batch]))
        if epoch in EPOCHS:
            maps.append(recorder.snapshot().numpy())
    return np.stack(maps), y.numpy()


# ------------------------------------------------------------------------------------- both ways


def by_shared_points(maps: np.ndarray, labels: np.ndarray) -> DataMapSummary:
    return summarise(maps, labels, [f"task {t}" for t in range(maps.shape[2])], EPOCHS)


def by_means_of_others(maps: np.ndarray, labels: np.ndarray) -> DataMapSummary:
    return by_shared_points(filled_with_means(maps), labels)


def filled_with_means(maps: np.ndarray) -> np.ndarray:
    """Data maps in which a missing value is the mean of the other tasks' of that point."""
    known = np.maximum((~np.isnan(maps)).sum(axis=2, keepdims=True), 1)
    means = np.nansum(maps.astype(np.float64), axis=2, keepdims=True) / known
    return np.where(np.isnan(maps), means, maps).astype(np.float16)


WAYS = {"old": by_means_of_others, "new": by_shared_points}


def without(maps: np.ndarray, labels: np.ndarray, missing: np.ndarray) -> Maps:
    """The same where labels (N, T) are missing."""
    hidden = np.where(missing.T, np.float16(np.nan), maps)
    return hidden, np.where(missing, np.float32(np.nan), labels)


def memberships(summary: DataMapSummary) -> np.ndarray:
    return group_tasks(TaskSpace(summary), K, FUZZIFIER).memberships


def memberships_in(labels: np.ndarray, summary: DataMapSummary) -> np.ndarray:
    """The same in given clusters, labels (T,), whose tasks are where the summary has them."""
    points = TaskSpace(summary).coordinates
    means = np.stack([points[labels == j].mean(axis=0) for j in range(labels.max() + 1)])
    return memberships_from_distances(distances_between(points, means), FUZZIFIER)


def moved(found: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Absolute differences (T, k), clusters matched so that they are smallest."""
    differences = np.abs(found[:, :, None] - truth[:, None])
    rows, columns = linear_sum_assignment(differences.sum(axis=0))
    return differences[:, rows, columns]


# ------------------------------------------------------------------------------------ experiments


def moves(complete: Maps, missing: np.ndarray) -> tuple[np.ndarray, float]:
    """How far memberships move where labels (N, T) are missing, and how much is adjusted.

    (4, T): grouped anew, the old way and the new, and in the clusters as they were, old and new.
    """
    truth = group_tasks(TaskSpace(by_shared_points(*complete)), K, FUZZIFIER)
    found = [way(*without(*complete, missing)) for way in WAYS.values()]
    anew = [moved(memberships(one), truth.memberships) for one in found]
    kept = [np.abs(memberships_in(truth.labels, one) - truth.memberships) for one in found]
    return np.mean([*anew, *kept], axis=2), float(found[-1].adjusted.max())


def of_all_tasks(complete: Maps, share: float) -> str:
    rows, adjusted = [], []
    for draw in range(DRAWS):
        rng = np.random.default_rng([draw, round(100 * share)])
        found, change = moves(complete, rng.random(complete[1].shape) < share)
        rows.append(found.mean(axis=1))
        adjusted.append(change)
    error = np.std(rows, axis=0, ddof=1)[1] / np.sqrt(DRAWS)
    row = " ".join(f"{mean:8.3f}" for mean in np.mean(rows, axis=0))
    return f"{row}   ({error:.3f}) {100 * np.mean(adjusted):10.2f} %"


def of_one_task(complete: Maps, kept: float) -> str:
    """Each task in turn is thinned, and its own memberships are looked at."""
    rows = []
    for t in range(complete[1].shape[1]):
        missing = np.zeros(complete[1].shape, dtype=bool)
        missing[:, t] = np.random.default_rng([t, round(100 * kept)]).random(len(missing)) >= kept
        rows.append(moves(complete, missing)[0][:, t])
    return " ".join(f"{mean:8.3f}" for mean in np.mean(rows, axis=0))


def tell(name: str, complete: Maps) -> None:
    n_points, n_tasks = complete[1].shape
    print(f"{name}: {n_tasks} tasks, {n_points:,} points, k = {K}, fuzzifier {FUZZIFIER:g}")
    print("mean movement of memberships     grouped anew     in the same clusters")
    print(f"{'':27}{'old':>8} {'new':>8} {'old':>8} {'new':>8}   (error of new), adjusted")
    for share in SHARES:
        what = f"{100 * share:.0f} % of all labels missing"
        print(f"{what:27}{of_all_tasks(complete, share)}", flush=True)
    for kept in KEPT:
        print(f"{f'a task thinned to {100 * kept:.0f} %':27}{of_one_task(complete, kept)}")


if __name__ == "__main__":
    tell("digits", digits())
    for path in map(Path, sys.argv[1:]):
        tell(path.stem, table(path))
