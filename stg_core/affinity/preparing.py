"""A table of one's own tasks: what it costs, before anything is trained, and then its trainings.

A table is kept in the store under the key of its spec. Asked for again, with other methods or
another budget, it is trained further: what is known of its groups stays.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np

from stg_core.affinity.branched import branched_spec, n_branches
from stg_core.affinity.joint import knows_affinity
from stg_core.affinity.methods import (
    AFFINITY_OF,
    ETAP_GROUPS,
    METHODS,
    available,
    check_methods,
    choose,
    joint_cost,
    partition_of,
    prepare,
    recorded_every,
    rows_of,
    surrogate_rows,
)
from stg_core.affinity.table import (
    Groups,
    GroupTable,
    Tell,
    begin_table,
    groups_of,
    kept_path,
    kept_table,
    save_table,
    train_rows,
)
from stg_core.results.store import Store
from stg_core.system.errors import UserError
from stg_core.training.spec import TrainingSpec

NOTE_EVERY = 0.5  # seconds between two notes of how far it is
NO_LIMIT = 0  # in bytes, of a table that is not to be bundled


# ------------------------------------------------------------------------------- what it costs


@dataclass(frozen=True)
class Need:
    """What a method trains: rows that are certain, at most so many more that follow from what it
    learns (`open`), and how many trainings its recorded joint one costs, 0 for none (`joint`)."""

    rows: frozenset[int]
    open: int = 0
    joint: float = 0.0


@dataclass(frozen=True)
class TablePlan:
    """Methods to compare within a budget on the tasks of a spec, in the order of METHODS."""

    spec: TrainingSpec
    methods: tuple[str, ...]
    budget: int

    @property
    def key(self) -> str:
        """Of its table."""
        return self.spec.key

    @cached_property
    def groups(self) -> Groups:
        return groups_of(self.spec)

    @cached_property
    def needs(self) -> dict[str, Need]:
        """By method; all of them need the single tasks and all tasks together."""
        return {method: self._need(method) for method in self.methods}

    def _need(self, method: str) -> Need:
        groups, n_tasks = self.groups, len(self.spec.tasks)
        sizes, base = groups.masks.sum(axis=1), {*groups.alone.tolist(), groups.together}
        partition = partition_of(groups, method, self.budget, self.spec.seed)
        if partition is not None:
            return Need(frozenset({*base, *rows_of(groups, partition)}))
        if method == "exhaustive":
            return Need(frozenset(range(len(sizes))))
        rows, follow = base, min(self.budget, n_tasks)
        if method == "hoa":
            rows = rows | set(np.flatnonzero(sizes == 2).tolist())
        elif method == "surrogates":
            rows = rows | set(surrogate_rows(groups, self.spec.seed))
        elif method == "etap":
            from stg_core.affinity.etap import training_groups

            several = min(ETAP_GROUPS, int((sizes > 1).sum()))
            drawn = training_groups(groups.masks, several, self.spec.seed)
            rows = rows | set(drawn.tolist())
        elif method == "mtgnet":
            follow += n_tasks * (n_tasks - 1) // 2
        open_rows = min(follow, len(sizes) - len(rows))
        return Need(frozenset(rows), open_rows, self._joint(method))

    def _joint(self, method: str) -> float:
        """Trainings that the one which a method learns of all tasks from costs."""
        if method == "dmtg":
            return float(n_branches(len(self.spec.tasks), self.budget))
        return joint_cost(self.spec, method)

    @cached_property
    def keys(self) -> dict[int, str]:
        """Of the training of every row that is certain."""
        rows = frozenset[int]().union(*(need.rows for need in self.needs.values()))
        return keys_of(self.spec, rows)

    @property
    def open(self) -> int:
        """At most so many groups follow from what the methods learn."""
        left = len(self.groups.masks) - len(self.keys)
        return min(sum(need.open for need in self.needs.values()), left)

    def here(self, store: Store) -> set[int]:
        """The certain rows that are trained already."""
        return {row for row, key in self.keys.items() if store.holds(key)}

    def recorded(self, store: Store) -> list[str]:
        """The methods whose joint training is recorded already."""
        every = recorded_every(self.spec)

        def knows(method: str) -> bool:
            if method == "dmtg":
                return store.holds(branched_spec(self.spec, self.budget).key)
            return knows_affinity(store, self.spec, [AFFINITY_OF[method]], every)

        return [method for method, need in self.needs.items() if need.joint and knows(method)]


@lru_cache(maxsize=32)
def keys_of(spec: TrainingSpec, rows: frozenset[int]) -> dict[int, str]:
    """Of the trainings of some groups of its tasks; of thousands that takes a second."""
    groups = groups_of(spec)
    return {row: groups.spec_of(row).key for row in sorted(rows)}


def make_plan(spec: TrainingSpec, methods: Sequence[str], budget: int) -> TablePlan:
    """Raises UserError for tasks that ways to choose cannot be compared on, and for no methods."""
    check_methods(methods)
    groups = groups_of(spec)
    possible = [m for m in METHODS if m != "superclasses" or groups.reference is not None]
    if not (chosen := tuple(method for method in possible if method in methods)):
        raise UserError("Choose at least one method to compare.")
    if budget < 1:
        raise UserError(f"At least one model serves the tasks, and the budget is {budget}.")
    return TablePlan(spec, chosen, budget)


def untrained(table: GroupTable, budget: int) -> dict[str, tuple[int, ...]]:
    """By method that the table knows, the rows that it chooses within a budget and lacks."""
    lacking = {}
    for method in available(table, budget):
        rows = choose(table, method, budget, table.spec.seed).groups
        if missing := tuple(row for row in rows if not table.known[row]):
            lacking[method] = missing
    return lacking


def is_complete(table: GroupTable, plan: TablePlan) -> bool:
    """Whether nothing of a plan is left to train."""
    lacking = untrained(table, plan.budget)
    return set(plan.methods) <= set(available(table, plan.budget)) - set(lacking)


# ------------------------------------------------------------------------------ how it is trained


def fill_table(
    table: GroupTable, store: Store, methods: Sequence[str], budget: int, seed: int, tell: Tell
) -> None:
    """Trains what methods learn from, and the groups that they choose within a budget."""
    prepare(table, store, methods, seed, tell, [budget])
    for method in available(table, budget):
        if method in methods:
            train_rows(table, store, choose(table, method, budget, seed).groups, tell)


def prepared_table(store: Store, plan: TablePlan, tell: Tell) -> GroupTable:
    """The table of a plan, kept in the store; what is missing of it is trained.

    What is quick comes first: the exhaustive search is the last, and the rest is kept before it.
    """
    table = None
    with suppress(UserError):  # a damaged one is begun anew, from its trainings
        table = kept_table(store, plan.key)
    table = table or begin_table(plan.spec, store, tell)
    parts = [[m for m in plan.methods if m != "exhaustive"], list(plan.methods)]
    for methods in parts if parts[0] != parts[1] else parts[:1]:
        fill_table(table, store, methods, plan.budget, plan.spec.seed, tell)
        table.provenance["budget"] = plan.budget  # which its groups are shown for at first
        save_table(table, kept_path(store, plan.key), NO_LIMIT)
    return table


class Noting:
    """Tells on, and notes in the cache of the store how far a plan is (see `how_far`)."""

    def __init__(self, store: Store, plan: TablePlan, tell: Tell) -> None:
        self._store, self._plan, self._tell = store, plan, tell
        self._others = self._trained_others()
        self._noted = 0.0

    def __call__(self, what: str) -> None:
        self._tell(what)
        if time.monotonic() - self._noted > NOTE_EVERY:
            store, plan = self._store, self._plan
            followed = min(len(self._trained_others() - self._others), plan.open)
            done = len(plan.here(store)) + len(plan.recorded(store)) + followed
            note_progress(store, plan.key, done, total(plan), what)
            self._noted = time.monotonic()

    def forget(self) -> None:
        """Of a table that is whole."""
        forget_progress(self._store, self._plan.key)

    def _trained_others(self) -> set[str]:
        """Keys of groups that are trained and not certain."""
        if not self._plan.open:
            return set()
        rows = frozenset(range(len(self._plan.groups.masks))).difference(self._plan.keys)
        others = keys_of(self._plan.spec, rows).values()
        return {key for key in others if self._store.holds(key)}


def total(plan: TablePlan) -> int:
    """Trainings of a plan, recorded ones and those that may follow included."""
    joint = sum(need.joint > 0 for need in plan.needs.values())
    return len(plan.keys) + joint + plan.open


def note_progress(store: Store, key: str, done: int, most: int, what: str) -> None:
    """Notes for `how_far`; it is trained no less where that cannot be noted."""
    with suppress(Exception):
        store.cache[_note(key)] = {"done": done, "total": most, "what": what}


def forget_progress(store: Store, key: str) -> None:
    with suppress(Exception):
        store.cache.delete(_note(key))


def how_far(store: Store, key: str) -> Mapping[str, Any] | None:
    """Of the table of that key: "done" of at most "total" trainings, and "what" goes on."""
    noted: Mapping[str, Any] | None = store.cache.get(_note(key))
    return noted


def _note(key: str) -> str:
    return f"progress of table:{key}"
