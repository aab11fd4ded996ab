"""Tables with several seeds whose truth is known, for tests."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from stg_core.affinity.seed_methods import BUDGETS, note_choices
from stg_core.affinity.seeds import PARTS, STOPS, SeedTable, save_seed_table, seed_table_path
from stg_core.affinity.selection import Floats, all_groups
from stg_core.affinity.truth import note_truths
from stg_core.results import store as store_module
from stg_core.tasks.groups import Task, TaskGroup
from stg_core.training.spec import TrainingSpec

LABELS_OF_A_PART = 20


def planted(
    effect: Floats,
    n_seeds: int = 5,
    of_seeds: float = 0.0,
    of_points: float = 0.0,
    coins: Sequence[int] = (),
    seed: int = 0,
) -> SeedTable:
    """A table in which task t gains the mean of effect[j, t] over the other members j of its group.

    of_seeds: standard deviation of a gain from seed to seed; of_points: of the loss from part to
    part of the test points, the same for all groups of a task. coins: tasks that nothing learns.
    """
    rng = np.random.default_rng(seed)
    n_tasks = len(effect)
    names = [f"task {t}" for t in range(n_tasks)]
    group = TaskGroup("planted", "planted", tuple(Task(name, rule="column") for name in names))
    group = TaskGroup("planted", "planted", group.tasks, "0" * 32, (4,))
    spec = TrainingSpec(group, epochs=4)
    masks = all_groups(n_tasks)
    others = np.where(np.eye(n_tasks, dtype=bool), 0, effect)
    gains = masks @ others / np.maximum(masks.sum(axis=1, keepdims=True) - 1, 1)
    shape = (n_seeds, *masks.shape, 2)
    several = masks.sum(axis=1)[:, None, None] > 1
    noise = rng.normal(0, of_seeds, (*shape[:3], 1)) * several
    losses = np.where(masks[..., None], 1 - gains[..., None] - noise, np.nan)
    losses = np.broadcast_to(losses, shape)
    parts = rng.normal(0, of_points, (n_tasks, 2, PARTS)) * several[None, ..., None]
    scored = losses[..., None] + parts
    auroc = np.where(masks[..., None], 0.8, np.nan) * np.ones(shape)
    auroc[:, :, list(coins)] = np.where(masks[:, list(coins), None], 0.5, np.nan)
    counts = np.full((n_tasks, 2, PARTS), LABELS_OF_A_PART, dtype=np.int32)
    of_halves = scored.mean(axis=-1).astype(np.float32)
    return SeedTable(
        spec=spec,
        masks=masks,
        chosen_losses=np.stack([losses] * len(STOPS)).astype(np.float32),
        losses=np.stack([of_halves] * len(STOPS)),
        auroc=auroc.astype(np.float32),
        f1=auroc.astype(np.float32),
        part_losses=(scored * LABELS_OF_A_PART).astype(np.float16),
        stopped=np.full((n_seeds, len(masks), 2), 3, dtype=np.int16),
        seconds=np.ones((n_seeds, len(masks)), dtype=np.float32),
        counts=counts,
        positives=counts // 2,
    )


def blocks(n_tasks: int = 6, inside: float = 0.3, outside: float = -0.3) -> Floats:
    """Two halves of the tasks that help each other, and harm those of the other half."""
    half = np.arange(n_tasks) < n_tasks // 2
    return np.where(half[:, None] == half, inside, outside)


def bundle_two(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted tables, yeast-6 and mine-4, beside which nothing is bundled."""
    monkeypatch.setattr(store_module, "BUNDLES", folder / "no-bundles")
    for name, n_tasks in (("yeast-6", 6), ("mine-4", 4)):
        table = planted(blocks(n_tasks) + np.arange(n_tasks) / 20, of_seeds=0.02)
        table.joint["labels"] = np.stack([blocks(n_tasks)] * table.n_seeds)
        table.provenance = {"epochs": {"single": 3, "together": 4}}
        note_choices(table, BUDGETS, lambda what: None)
        note_truths(table, BUDGETS)
        save_seed_table(table, seed_table_path(name))
