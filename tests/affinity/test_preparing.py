"""A table of one's own tasks: its cost is told first, and what is trained stays."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from stg_core.affinity.asked import Asked, Tables
from stg_core.affinity.methods import METHODS, available
from stg_core.affinity.preparing import (
    Noting,
    how_far,
    is_complete,
    make_plan,
    prepared_table,
    total,
    untrained,
)
from stg_core.affinity.table import kept_table, kept_tables, spec_in
from stg_core.engine.jobs import Engine
from stg_core.results.store import Store
from stg_core.system.errors import UserError
from stg_core.tasks.data import TaskData
from stg_core.tasks.groups import GROUPS, Task, TaskGroup
from stg_core.training.spec import TrainingSpec

DIGITS = GROUPS["digits"]
SPEC = TrainingSpec(DIGITS, tasks=("1", "Odd", "Small", "Random"), epochs=2)
QUICK = tuple(method for method in METHODS if method not in ("exhaustive", "superclasses"))
PATIENCE = 240  # seconds, on a busy machine


@pytest.fixture
def store(few_digits: TaskData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    monkeypatch.setattr("stg_core.tasks.data.load_task_data", lambda *_: few_digits)
    yield Store(tmp_path / "groups")


def spec_of(n_tasks: int) -> TrainingSpec:
    return TrainingSpec(DIGITS, tasks=DIGITS.task_names[:n_tasks])


def test_an_exhaustive_search_of_twelve_tasks_is_told_as_what_it_is() -> None:
    plan = make_plan(spec_of(12), ["exhaustive"], 3)
    assert len(plan.keys) == total(plan) == 4_095 and plan.open == 0
    quick = make_plan(spec_of(12), ["hoa"], 3)
    assert len(quick.needs["hoa"].rows) == 12 + 1 + 66
    assert total(quick) == 79 + 3, "and at most as many as the budget allows"


def test_branches_are_told_for_as_many_trainings_as_they_cost() -> None:
    for budget, branches in ((1, 0), (2, 2), (3, 3), (9, 4)):
        plan = make_plan(spec_of(4), ["dmtg"], budget)
        need = plan.needs["dmtg"]
        assert need.joint == branches and len(need.rows) == 5
        assert total(plan) == 5 + min(budget, 4) + (branches > 0)


@pytest.mark.parametrize("n_tasks", [1, 13])
def test_other_numbers_of_tasks_are_refused(n_tasks: int) -> None:
    with pytest.raises(UserError, match=f"2 to 12 tasks, and there (is|are) {n_tasks}"):
        make_plan(spec_of(n_tasks), ["together"], 3)


def test_what_cannot_be_compared_is_refused() -> None:
    numbers = TaskGroup(
        "mine",
        "mine",
        (Task("a", rule="column"), Task("b", rule="column", kind="regression")),
        "0" * 64,
        (3,),
    )
    with pytest.raises(UserError, match="yes-or-no tasks only"):
        make_plan(TrainingSpec(numbers), ["together"], 1)
    with pytest.raises(UserError, match="at least one method"):
        make_plan(SPEC, [], 1)
    with pytest.raises(UserError, match="the budget is 0"):
        make_plan(SPEC, ["together"], 0)


def test_no_more_is_trained_than_was_told_and_nothing_twice(store: Store) -> None:
    plan = make_plan(SPEC, QUICK, 2)
    told: list[str] = []
    noting = Noting(store, plan, told.append)
    table = prepared_table(store, plan, noting)
    assert len(store.runs()) - len([r for r in store.runs() if r.bundled]) <= total(plan)
    joint = {"cosine", "etap", "gradtag", "tag", "transfer", "dmtg"}
    assert set(plan.recorded(store)) == joint
    assert plan.here(store) == set(plan.keys) and is_complete(table, plan)
    noted = how_far(store, plan.key)
    assert noted and 0 < noted["done"] <= noted["total"] == total(plan) and noted["what"] in told
    noting.forget()
    assert how_far(store, plan.key) is None

    keys = set(store.folder.joinpath("runs").iterdir())
    again = prepared_table(store, plan, lambda _: None)
    assert set(store.folder.joinpath("runs").iterdir()) == keys
    assert np.array_equal(again.losses, table.losses, equal_nan=True)


def test_a_kept_table_is_trained_further(store: Store) -> None:
    first = make_plan(SPEC, ["alone"], 1)
    prepared_table(store, first, lambda _: None)
    assert [*kept_tables(store)] == [SPEC.key] and spec_in(kept_tables(store)[SPEC.key]) == SPEC
    kept = kept_table(store, SPEC.key)
    assert kept and is_complete(kept, first) and not kept.known.all()
    more = make_plan(SPEC, ["hoa", "random", "exhaustive"], 3)
    assert not is_complete(kept, more) and "random" in untrained(kept, 3)
    prepared_table(store, more, lambda _: None)
    kept = kept_table(store, SPEC.key)
    assert kept and is_complete(kept, more) and kept.known.all() and untrained(kept, 3) == {}
    assert "exhaustive" in available(kept) and "tag" not in available(kept)


def test_a_damaged_table_says_what_to_do_and_is_made_anew(store: Store) -> None:
    plan = make_plan(SPEC, ["together"], 1)
    prepared_table(store, plan, lambda _: None)
    path = kept_tables(store)[SPEC.key]
    path.write_bytes(b"half a file")
    assert spec_in(path) is None
    with pytest.raises(UserError, match=r"is damaged .* Delete .* train its groups again"):
        kept_table(store, SPEC.key)
    prepared_table(store, plan, lambda _: None)
    assert spec_in(path) == SPEC


# ------------------------------------------------------------------------------ in the background


class Shut:
    """An engine that lets nobody in."""

    def door(self) -> dict[str, str]:
        raise UserError("The engine does not start.")


def settled(tables: Tables, key: str) -> Asked | None:
    """What is left of a table that was asked for, once nothing goes on."""
    deadline = time.monotonic() + PATIENCE
    while (asked := tables.of(key)) and asked.active:
        assert time.monotonic() < deadline, asked
        time.sleep(0.05)
    return asked


def test_what_failed_is_told_and_can_be_forgotten(own_home: Path) -> None:
    tables = Tables(Store(own_home), Shut())
    tables.ask(SPEC, ["together"], 1)
    failed = settled(tables, SPEC.key)
    assert failed and failed.state == "failed" and failed.problem == "The engine does not start."
    later = Tables(Store(own_home), Shut())
    assert [asked.problem for asked in later.all()] == [failed.problem]
    later.forget(SPEC.key)
    assert later.all() == [] and Tables(Store(own_home), Shut()).all() == []


@pytest.mark.slow
def test_a_table_is_trained_cancelled_and_gone_on_with_by_a_later_app(
    digits_home: Path, own_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(digits_home, own_home)
    monkeypatch.setenv("STG_THREADS", "1")
    store = Store(own_home)
    engine = Engine(store)
    tables = Tables(store, engine)
    try:
        tables.ask(SPEC, ["hoa", "tag"], 2)
        deadline = time.monotonic() + PATIENCE
        while not (noted := how_far(store, SPEC.key)) or noted["done"] < 2:
            going_on = tables.of(SPEC.key)
            assert time.monotonic() < deadline and going_on and going_on.active, going_on
            time.sleep(0.05)
        tables.cancel(SPEC.key)
        asked = settled(tables, SPEC.key)
        assert asked and asked.state == "cancelled"
        begun = len(store.runs())
        tables.ask(asked.spec, asked.methods, asked.budget)
        tables.stop()  # as an app that ends

        later = Tables(Store(own_home), engine)
        assert [one.state for one in later.all()] == ["queued"]
        later.go_on()
        assert settled(later, SPEC.key) is None, later.all()
        table = kept_table(store, SPEC.key)
        assert table and is_complete(table, make_plan(SPEC, ["hoa", "tag"], 2))
        assert len(store.runs()) >= begun and how_far(store, SPEC.key) is None
    finally:
        tables.stop()
        engine.stop()
