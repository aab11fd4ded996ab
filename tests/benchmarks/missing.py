"""How far memberships move without labels: `python -m tests.benchmarks.missing [TASKS.csv …]`.

The truth is known: data maps of real trainings with all labels, of the digits and of a table with
the columns of its features, then those of its tasks ("task:…"), then "split". Labels are taken away
at random, of all tasks and of one task alone, and the memberships (k = 4, fuzzifier 2) are held
against those with all labels. Beside the way of `summarise` stands the one before it: a missing
value took the mean of the other tasks' values of that point.
"""

from __future__ import annotations

import csv
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment

from stg_core.grouping.memberships import TaskSpace, group_tasks
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
    known = np.maximum((~np.isnan(maps)).sum(axis=2, keepdims=True), 1)
    means = np.nansum(maps.astype(np.float64), axis=2, keepdims=True) / known
    return by_shared_points(np.where(np.isnan(maps), means, maps).astype(np.float16), labels)


WAYS = {"old": by_means_of_others, "new": by_shared_points}


def without(maps: np.ndarray, labels: np.ndarray, missing: np.ndarray) -> Maps:
    """The same where labels (N, T) are missing."""
    hidden = np.where(missing.T, np.float16(np.nan), maps)
    return hidden, np.where(missing, np.float32(np.nan), labels)


def memberships(summary: DataMapSummary) -> np.ndarray:
    return group_tasks(TaskSpace(summary), K, FUZZIFIER).memberships


def moved(found: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Absolute differences (T, k), clusters matched so that they are smallest."""
    differences = np.abs(found[:, :, None] - truth[:, None])
    rows, columns = linear_sum_assignment(differences.sum(axis=0))
    return differences[:, rows, columns]


# ------------------------------------------------------------------------------------ experiments


def of_all_tasks(maps: np.ndarray, labels: np.ndarray, share: float) -> Iterator[list[float]]:
    """For each draw: how far memberships move by the old and the new way, and what was adjusted."""
    truth = memberships(by_shared_points(maps, labels))
    for draw in range(DRAWS):
        rng = np.random.default_rng([draw, round(100 * share)])
        hidden = without(maps, labels, rng.random(labels.shape) < share)
        old, new = (way(*hidden) for way in WAYS.values())
        moves = [float(moved(memberships(found), truth).mean()) for found in (old, new)]
        yield [*moves, float(new.adjusted.max())]


def of_one_task(maps: np.ndarray, labels: np.ndarray, kept: float) -> Iterator[list[float]]:
    """For each task that is thinned: how far its own memberships move, the old and the new way."""
    truth = memberships(by_shared_points(maps, labels))
    for t in range(labels.shape[1]):
        rng = np.random.default_rng([t, round(100 * kept)])
        missing = np.zeros(labels.shape, dtype=bool)
        missing[:, t] = rng.random(len(labels)) >= kept
        hidden = without(maps, labels, missing)
        yield [float(moved(memberships(way(*hidden)), truth)[t].mean()) for way in WAYS.values()]


def tell(name: str, maps: np.ndarray, labels: np.ndarray) -> None:
    n_points, n_tasks = labels.shape
    print(f"{name}: {n_tasks} tasks, {n_points:,} points, k = {K}, fuzzifier {FUZZIFIER:g}")
    print("  mean movement of a membership     old     new   (standard error)   adjusted by up to")
    for share in SHARES:
        found = np.array([*of_all_tasks(maps, labels, share)])
        old, new, adjusted = found.mean(axis=0)
        error = found[:, 1].std(ddof=1) / np.sqrt(len(found))
        print(
            f"  {100 * share:3.0f} % of all labels missing    {old:7.3f} {new:7.3f}   ({error:.3f})"
            f"            {100 * adjusted:.2f} %",
            flush=True,
        )
    for kept in KEPT:
        old, new = np.mean([*of_one_task(maps, labels, kept)], axis=0)
        print(f"  one task thinned to {100 * kept:3.0f} %      {old:7.3f} {new:7.3f}", flush=True)


if __name__ == "__main__":
    tell("digits", *digits())
    for path in map(Path, sys.argv[1:]):
        tell(path.stem, *table(path))
