"""Trains the groups of a table with several seeds, one after the other in this process.

Every training is a spec through `train`, as everywhere; only its scores are kept. What is trained
is kept every half minute, and asked for again, the rest is trained.
"""

from __future__ import annotations

import dataclasses
import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from shutil import copyfile
from typing import Any

import numpy as np

from stg_core.affinity.seeds import (
    Halves,
    SeedTable,
    bundled_seed_tables,
    empty_table,
    halved,
    load_seed_table,
    save_seed_table,
    seed_table_path,
    with_room,
)
from stg_core.affinity.selection import Floats
from stg_core.affinity.table import DIGITS_8, Tell
from stg_core.results.store import VERSIONED
from stg_core.system.errors import UserError
from stg_core.system.threads import wanted_threads
from stg_core.system.words import counted
from stg_core.tasks.data import TaskData, load_task_data, pos_weight
from stg_core.tasks.datasets import find_group
from stg_core.tasks.groups import TaskGroup
from stg_core.training.loop import train
from stg_core.training.spec import TrainingSpec

FEWEST_EPOCHS, MOST_EPOCHS = 12, 200  # that are tried to find out how many are enough
SEEDS_TO_MEASURE = 3
HELD_BACK = 5  # a fifth of the training points, to find the number of epochs on
CLOSE = 0.01  # of the lowest loss: less is not worth more epochs
LEARNED = 0.98  # of the loss of a coin
KEEP_EVERY = 30.0  # seconds
NO_LIMIT = 0


@dataclass(frozen=True)
class Recipe:
    """What a table is trained of.

    group: a built-in one or a data set of one's own; tasks: their names, or how many; settings: of
    the training, where they are not as usual.
    """

    group: str
    tasks: tuple[str, ...] | int
    settings: Mapping[str, Any] = field(default_factory=dict)

    def spec(self, data: TaskData, group: TaskGroup) -> TrainingSpec:
        """Without a number of epochs of its own."""
        tasks = chosen_tasks(data, self.tasks) if isinstance(self.tasks, int) else self.tasks
        return TrainingSpec(group, tasks=tasks, **self.settings)


SMALL = {"hidden_widths": (64, 32)}
RECIPES: Mapping[str, Recipe] = {
    "yeast-8": Recipe("yeast", 8),
    "tox21-8": Recipe("tox21", 8, {**SMALL, "learning_rate": 5e-4}),
    "digits-8": Recipe(
        "digits",
        DIGITS_8,
        {
            "model": "mlp",
            "hidden_widths": (256,),
            "dropout": 0.0,
            "batch_size": 512,
            "learning_rate": 2e-2,
        },
    ),
    "chemical-10": Recipe("chemical", 10, {**SMALL, "learning_rate": 2e-3}),
}


def chosen_tasks(data: TaskData, wanted: int) -> tuple[str, ...]:
    """The tasks whose rarer answer most training points have, in the order of the data."""
    labels = data.train_labels
    rarer = np.minimum((labels == 1).sum(axis=0), (labels == 0).sum(axis=0))
    taken = np.sort(np.argsort(-rarer, kind="stable")[:wanted])
    return tuple(data.tasks[t] for t in taken)


# ----------------------------------------------------------------------- how many epochs are enough


@dataclass(frozen=True)
class Converged:
    """After how many epochs mean validation losses no longer fall.

    epochs: enough for single models and for the one of all tasks; single, together: the first epoch
    after which the losses of each are within a share `within` of their lowest; single_losses,
    together_losses: mean over tasks and seeds, by epoch.
    """

    epochs: int
    single: int
    together: int
    single_losses: tuple[float, ...]
    together_losses: tuple[float, ...]
    within: float = CLOSE


def converged(spec: TrainingSpec, data: TaskData, tell: Tell) -> Converged:
    """Found on a fifth of the training points, which is held back for that; no test point is seen.

    Tries twice as many epochs for as long as that is among the last quarter of them. Tasks
    that no model learns (whose loss is never 2 % below that of a coin) do not count.
    """
    held, epochs = _held_back(data), FEWEST_EPOCHS
    while True:
        alone = np.stack([_losses(spec, (task,), held, epochs) for task in spec.tasks])[..., 0]
        together = _losses(spec, spec.tasks, held, epochs).T
        learned = alone.min(axis=1) < LEARNED * _losses_of_coins(spec, held)
        curves = [losses[learned].mean(axis=0) for losses in (alone, together)]
        single, joint = (int((c <= c.min() * (1 + CLOSE)).argmax()) + 1 for c in curves)
        tell(
            f"Of {epochs} epochs, single models need {single}, and the model of all tasks {joint}."
        )
        if max(single, joint) <= 0.75 * epochs or epochs >= MOST_EPOCHS:
            of_alone, of_joint = (tuple(np.round(curve, 5).tolist()) for curve in curves)
            return Converged(max(single, joint), single, joint, of_alone, of_joint)
        epochs *= 2


def _held_back(data: TaskData) -> TaskData:
    """Its training points, a seeded fifth of which takes the place of the test points."""
    order = np.random.default_rng(0).permutation(len(data.train_points))
    back, rest = (np.sort(part) for part in np.split(order, [len(order) // HELD_BACK]))
    return dataclasses.replace(
        data,
        train_points=data.train_points[rest],
        train_labels=data.train_labels[rest],
        test_points=data.train_points[back],
        test_labels=data.train_labels[back],
    )


def _losses_of_coins(spec: TrainingSpec, data: TaskData) -> Floats:
    """Of each task, (n,): of a model that says one half of every test point."""
    columns = [data.tasks.index(task) for task in spec.tasks]
    labels, weight = data.test_labels[:, columns], pos_weight(data.train_labels[:, columns])
    counts = np.where(labels == 1, weight, 1.0)
    return np.asarray(np.log(2) * np.nanmean(np.where(np.isnan(labels), np.nan, counts), axis=0))


def _losses(spec: TrainingSpec, tasks: Sequence[str], data: TaskData, epochs: int) -> Floats:
    """Of each epoch and task, (E, n): mean over some seeds."""
    found = []
    for seed in range(SEEDS_TO_MEASURE):
        one = dataclasses.replace(
            spec, tasks=tuple(tasks), task_weights=(), epochs=epochs, recorded_epochs=(), seed=seed
        )
        found.append(train(one, data.labelled(one.tasks)).metrics["test"]["loss"])
    return np.asarray(np.mean(found, axis=0))


# ------------------------------------------------------------------------------ how it is trained


def train_seed_table(name: str, n_seeds: int, path: Path, tell: Tell) -> SeedTable:
    """The table of a recipe, kept at `path`; what is missing of its first seeds is trained.

    It begins with what came with the project, if anything did. Seed after seed, so that all groups
    have one before any has two. Raises UserError where something is to be trained and the data set
    is not on this machine, and where there is no such recipe.
    """
    if name not in RECIPES:
        raise UserError(f"There is no table {name!r} to train; choose from {', '.join(RECIPES)}.")
    if not path.exists() and name in bundled_seed_tables():
        path.parent.mkdir(parents=True, exist_ok=True)
        copyfile(seed_table_path(name), path)
    mend = f"Delete {path} and train its groups again."
    table = load_seed_table(path, mend) if path.exists() else None
    if table and len(table.whole_seeds) >= n_seeds:
        return table
    group = find_group(RECIPES[name].group)
    data = load_task_data(group)
    spec = table.spec if table else RECIPES[name].spec(data, group)
    columns = [data.tasks.index(task) for task in spec.tasks]
    weight = pos_weight(data.train_labels[:, columns])
    halves = halved(spec, np.asarray(data.test_labels[:, columns]), weight)
    if table is None:
        table = _begun(spec, data, n_seeds, halves, tell)
    elif table.n_seeds < n_seeds:
        table = with_room(table, n_seeds, halves)
    kept = time.monotonic()
    for seed in range(n_seeds):
        for row in np.flatnonzero(~table.known[seed]).tolist():
            one = table.spec_with(seed, row)
            table.add(seed, row, train(one, data.labelled(one.tasks)), halves)
            if time.monotonic() - kept > KEEP_EVERY:
                save_seed_table(table, path, NO_LIMIT)
                kept = time.monotonic()
                done, groups = int(table.known[seed].sum()), counted(len(table.masks), "group")
                tell(f"Seed {seed}: {done:,} of {groups} trained.")
    save_seed_table(table, path, NO_LIMIT)
    return table


def _begun(
    spec: TrainingSpec, data: TaskData, n_seeds: int, halves: Halves, tell: Tell
) -> SeedTable:
    """A table in which nothing is trained, with as many epochs as are enough."""
    found = converged(spec, data, tell)
    spec = dataclasses.replace(spec, epochs=found.epochs, recorded_epochs=None)
    table = empty_table(spec, n_seeds, halves)
    table.provenance = {
        "epochs": dataclasses.asdict(found),
        "images": data.digest,
        "threads": wanted_threads(),
        "versions": {package: version(package) for package in VERSIONED},
        "python": platform.python_version(),
    }
    return table
