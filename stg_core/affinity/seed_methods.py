"""What every method chooses in a table with several seeds: trained for, chosen and kept in it.

A method sees what it would see with one seed: the joint training of that seed, and of the groups
that it trained their gains on the half of the test points that is chosen on.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from stg_core.affinity.branched import Branched, branches_of
from stg_core.affinity.joint import AffinityResult, affinity_of
from stg_core.affinity.methods import (
    AFFINITY_OF,
    LEARNING,
    METHODS,
    Choice,
    available,
    choose,
    learn,
    note_clusters,
    recorded_every,
    told_of_groups,
)
from stg_core.affinity.outputs import OUTPUTS, affinity_from
from stg_core.affinity.seeds import SeedTable
from stg_core.affinity.selection import Bools, Floats, Integers, group_affinity, select_groups
from stg_core.affinity.table import GroupTable, Tell
from stg_core.engine.worker import run_spec
from stg_core.maps.labels import share_nothing
from stg_core.results.store import Store
from stg_core.system.errors import UserError

BUDGETS = (2, 3, 4)  # for which the choices are kept
CHANCE_DRAWS = 200
CHOSEN, PREDICTED, SEARCHED, COST = "chosen", "predicted", "searched", "cost"
BRANCHED = "branched"


def learned_tasks(table: SeedTable) -> Bools:
    """Which tasks are learned better than chance, alone or all together, (n,).

    That is: their mean AUROC over seeds and halves is further above one half than that of a model
    without any knowledge is in 97.5 % of draws (the variance of the Mann-Whitney statistic). The
    others are in no mean.
    """
    n_labels, n_positive = table.counts.sum(axis=(1, 2)), table.positives.sum(axis=(1, 2))
    n_negative = n_labels - n_positive
    usable = (n_positive > 0) & (n_negative > 0)
    spread = np.sqrt((n_labels + 1) / (12.0 * np.maximum(n_positive * n_negative, 1)))
    tasks, seeds = np.arange(len(table.tasks)), table.whole_seeds
    alone = table.auroc[seeds][:, table.alone, tasks].mean(axis=(0, 2))
    together = table.auroc[seeds][:, table.together].mean(axis=(0, 2))
    return np.asarray(usable & (np.fmax(alone, together) > 0.5 + 1.96 * spread))


def ways(table: SeedTable) -> Iterator[tuple[int, int]]:
    """Every seed that is whole with either way round."""
    for seed in table.whole_seeds:
        yield seed, 0
        yield seed, 1


def seen(table: SeedTable, seed: int, way: int) -> GroupTable:
    """What methods may see of one seed: a table of one training of each group.

    Its gains are those on the half that is chosen on, and 0 of tasks that are not learned, which no
    choice is made by. What its test points are is not known in it.
    """
    losses = table.chosen_losses[0, seed, ..., way].astype(np.float64)
    losses[:, ~learned_tasks(table)] = 1.0
    found = GroupTable(
        spec=dataclasses.replace(table.spec, seed=seed),
        masks=table.masks,
        losses=np.where(table.masks, losses, np.nan),
        f1=table.f1[seed, ..., way].astype(np.float64),
        part_losses=np.empty((*table.masks.shape, 0), dtype=np.float32),
        seconds=table.seconds[seed].astype(np.float64),
        positive=np.empty((*table.masks.shape, 0), dtype=np.uint8),
        labels=np.empty((0, len(table.tasks)), dtype=np.int8),
        pos_weight=np.ones(len(table.tasks), dtype=np.float32),
    )
    joint = table.joint
    for name in AFFINITY_OF:
        if name in joint:
            found.affinities[name] = _affinity_in(table, seed, name)
    if "clusters" in joint:
        clusters = joint["clusters"][seed].astype(np.int64)
        found.clusters = {k + 1: labels for k, labels in enumerate(clusters)}
        found.similarity = joint["datamaps"][seed]
    for name in LEARNING:
        if f"{PREDICTED} {name}" in joint:
            found.predicted[name] = joint[f"{PREDICTED} {name}"][seed, way].astype(np.float64)
            rows = joint[f"{SEARCHED} {name}"][seed, way].astype(np.int64)
            found.searched[name] = np.unique(rows)
    for budget in BUDGETS:
        if f"{BRANCHED} {budget}" in joint:
            cost, branches = joint[f"{COST} {BRANCHED} {budget}"][seed].tolist()
            groups = joint[f"{BRANCHED} {budget}"][seed].astype(np.int64)
            found.branched[budget] = Branched(groups, cost, int(branches))
    return found


def _affinity_in(table: SeedTable, seed: int, name: str) -> AffinityResult:
    cost, counted = table.joint[f"{COST} {name}"][seed]
    nothing = {"every": 0, "update": "optimiser", "steps": 0, "recorded_steps": 0, "seconds": 0.0}
    return AffinityResult(
        tasks=table.tasks,
        affinity={name: table.joint[name][seed]},
        history={},
        cost=float(cost),
        counted_cost=float(counted),
        **nothing,  # type: ignore[arg-type]
    )


# ------------------------------------------------------------------------------- what is trained


def note_joint(table: SeedTable, store: Store, tell: Tell) -> None:
    """Trains all tasks together with every whole seed, and notes what that tells of the tasks.

    Keys of `SeedTable.joint`: "tag", "cosine" and "etap", (S, n, n), with "cost tag", (S, 2), the
    measured and the counted cost in trainings; the OUTPUTS, (S, n, n); "clusters", (S, n, n), hard
    groups of STG-MTL for 1 to n clusters, where data maps can be compared.
    """
    found: dict[str, list[Floats]] = {}
    for seed in table.whole_seeds:
        tell(f"What the joint training of seed {seed} tells of the tasks.")
        spec = dataclasses.replace(table.spec, seed=seed)
        run = run_spec(store, spec)
        for name in OUTPUTS:
            try:
                found.setdefault(name, []).append(affinity_from(run, name))
            except UserError:  # a run whose tasks share no points has no data maps to compare
                found.setdefault(name, []).append(np.full((len(table.tasks),) * 2, np.nan))
        if not share_nothing(run.summary):
            view = seen(table, seed, 0)
            note_clusters(view, run)
            found.setdefault("clusters", []).append(np.stack([*view.clusters.values()]))
        for name, kind in AFFINITY_OF.items():
            result = affinity_of(store, spec, [kind], recorded_every(spec))
            found.setdefault(name, []).append(result.affinity[kind])
            cost = np.array([result.cost, result.counted_cost])
            found.setdefault(f"{COST} {name}", []).append(cost)
    table.joint |= {name: np.stack(values) for name, values in found.items()}


def note_branches(table: SeedTable, store: Store, tell: Tell) -> None:
    """Trains branches with every whole seed, for each of BUDGETS: no test point is seen.

    Keys of `SeedTable.joint`, by budget: "branched 2", (S, n), the group of each task, and "cost
    branched 2", (S, 2), the measured and the counted cost in trainings.
    """
    for budget in BUDGETS:
        found = []
        for seed in table.whole_seeds:
            tell(f"{METHODS['dmtg'].title} learns groups of seed {seed} for a budget of {budget}.")
            spec = table.spec_with(seed, table.together)
            found.append(branches_of(store, spec, budget))
        costs = np.array([[one.cost, one.branches] for one in found])
        table.joint[f"{BRANCHED} {budget}"] = np.array([one.groups for one in found], np.float64)
        table.joint[f"{COST} {BRANCHED} {budget}"] = costs


def note_predictions(table: SeedTable, tell: Tell) -> None:
    """Has the methods learn that learn from groups: `predicted` (S, 2, R, n), `searched` rows."""
    for name in LEARNING:
        predicted, searched = [], []
        for seed, way in ways(table):
            tell(f"{METHODS[name].title} learns from groups of seed {seed}.")
            view = seen(table, seed, way)
            learn(view, name, lambda rows: None, seed)
            predicted.append(view.predicted[name])
            searched.append(view.searched[name])
        most = max(map(len, searched))
        rows = [np.pad(one, (0, most - len(one)), mode="edge") for one in searched]
        shape = (len(table.whole_seeds), 2)
        table.joint[f"{PREDICTED} {name}"] = np.reshape(
            np.array(predicted, dtype=np.float16), (*shape, *table.masks.shape)
        )
        table.joint[f"{SEARCHED} {name}"] = np.reshape(np.array(rows, dtype=np.int16), (*shape, -1))


# -------------------------------------------------------------------------------- what is chosen


def titles(table: SeedTable) -> Mapping[str, str]:
    """What the methods that a table can compare are called, by name."""
    known = {name: METHODS[name].title for name in available(seen(table, *next(ways(table))))}
    return known | {name: OUTPUTS[name].title for name in _free(table)}


def _free(table: SeedTable) -> list[str]:
    """The affinities that cost no training of their own and are known of all pairs."""
    off = ~np.eye(len(table.tasks), dtype=np.bool_)
    return [
        name
        for name in OUTPUTS
        if name in table.joint and bool(np.isfinite(table.joint[name][:, off]).all())
    ]


def choice_of(table: SeedTable, method: str, seed: int, way: int, budget: int) -> Choice:
    """What a method chooses within a budget: as `methods.choose`, and by the OUTPUTS."""
    if method not in OUTPUTS:
        return choose(seen(table, seed, way), method, budget, seed)
    values = values_of(table, method, seed, way)
    assert values is not None
    found = select_groups(table.masks, values, np.ones(len(values)), budget, maximise=True)
    nothing = np.array([], dtype=np.int64)
    return Choice(method, found.groups, found.routing, values, nothing, found.exact, found.gap)


def values_of(table: SeedTable, method: str, seed: int, way: int) -> Floats | None:
    """What a method says of every group, (R, n); None where it says nothing of them."""
    if method in OUTPUTS:
        return group_affinity(table.joint[method][seed], table.masks)
    return told_of_groups(seen(table, seed, way), method)[0]


def searched_by(table: SeedTable, method: str, seed: int, way: int) -> Integers:
    """The rows that a method trained to find out."""
    if method in OUTPUTS:
        return np.array([], dtype=np.int64)
    return told_of_groups(seen(table, seed, way), method)[1]


def note_methods(table: SeedTable, store: Store, tell: Tell) -> bool:
    """Notes all that methods learn and choose, unless that is known of all whole seeds already.

    Returns whether anything was noted.
    """
    n_seeds = len(table.whole_seeds)
    if not n_seeds:
        raise UserError("No seed has all groups yet: train more of them.")
    last = BUDGETS[-1]
    whole = f"{CHOSEN} alone {last}" in table.joint and len(table.joint["labels"]) == n_seeds
    if whole and f"{CHOSEN} dmtg {last}" in table.joint:
        return False
    if not whole:
        table.joint = {}
        note_joint(table, store, tell)
        note_predictions(table, tell)
    try:
        note_branches(table, store, tell)
    except UserError as error:  # a table of before DMTG, and its data are no longer here
        if not whole:
            raise
        tell(f"DMTG is not among the methods. {error}")
        return False
    note_choices(table, BUDGETS, tell)
    return True


def note_choices(table: SeedTable, budgets: Sequence[int], tell: Tell) -> None:
    """Keeps which row serves each task, by method, budget, seed and way round, (S, 2, n).

    What is kept already stays.
    """
    for budget in budgets:
        tell(f"What every method chooses with a budget of {budget}.")
        for method in titles(table):
            key = f"{CHOSEN} {method} {budget}"
            if key in table.joint:
                continue
            routing = [choice_of(table, method, *way, budget).routing for way in ways(table)]
            shape = (len(table.whole_seeds), 2, len(table.tasks))
            table.joint[key] = np.reshape(np.array(routing, dtype=np.int16), shape)


def chosen_by(table: SeedTable, method: str, budget: int) -> Integers:
    """The row that serves each task, (S, 2, n), as `note_choices` kept it."""
    return table.joint[f"{CHOSEN} {method} {budget}"].astype(np.int64)
