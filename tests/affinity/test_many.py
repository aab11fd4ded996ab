"""Groups of more tasks than a table can hold: found by every method, trained, and judged."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stg_core.affinity.branched import Branched
from stg_core.affinity.clustering import cluster
from stg_core.affinity.many import (
    DEFAULT_METHODS,
    TITLES,
    ManyPlan,
    compare_many,
    comparison_path,
    counted_affinity,
    find_groups,
    hard_grouping,
    kept_comparisons,
    measures_in,
    most_trainings,
    plan_of_many,
    read_comparison,
    scores_of_many,
)
from stg_core.affinity.outputs import affinity_from
from stg_core.affinity.preparing import how_far
from stg_core.affinity.settings import CONTROLS
from stg_core.cli.main import main
from stg_core.grouping.memberships import TaskSpace
from stg_core.results.store import Store
from stg_core.system.errors import UserError
from stg_core.tasks.data import TaskData
from stg_core.tasks.groups import GROUPS
from stg_core.training.spec import TrainingSpec

SPEC = TrainingSpec(GROUPS["digits"], epochs=2)  # 15 tasks
BUDGET = 3


@pytest.fixture(scope="module")
def kept(few_digits: TaskData, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("stg_core.tasks.data.load_task_data", lambda *_: few_digits)
        yield Store(tmp_path_factory.mktemp("many"))


@pytest.fixture(scope="module")
def plan() -> ManyPlan:
    return plan_of_many(SPEC, ("stg", "labels", "errors"), BUDGET, "semidefinite")


@pytest.fixture(scope="module")
def told() -> list[str]:
    return []


@pytest.fixture(scope="module")
def answer(kept: Store, plan: ManyPlan, told: list[str]) -> dict[str, Any]:
    return compare_many(kept, plan, told.append)


def own_keys(store: Store) -> set[str]:
    return {run.id for run in store.runs() if not run.bundled}


def test_every_method_has_its_groups_and_every_task_is_in_one(answer: dict[str, Any]) -> None:
    assert list(answer["methods"]) == ["stg", "labels", "errors"]
    for one in answer["methods"].values():
        assert len(one["groups"]) == BUDGET
        assert sorted(task for group in one["groups"] for task in group) == sorted(SPEC.tasks)
        sizes = [len(group) for group in one["groups"]]
        assert sizes == sorted(sizes, reverse=True)


def test_groups_are_those_of_the_affinity_and_of_the_clustering(
    answer: dict[str, Any], kept: Store, plan: ManyPlan
) -> None:
    run = kept.run(SPEC.key)
    labels = cluster(affinity_from(run, "labels"), BUDGET, "semidefinite")
    expected = [
        [task for task, label in zip(SPEC.tasks, labels, strict=True) if label == j]
        for j in range(BUDGET)
    ]
    assert answer["methods"]["labels"]["groups"] == expected
    by_data_maps = TaskSpace(run.summary).kmeans(BUDGET).labels
    groups = hard_grouping(SPEC.tasks, by_data_maps).labels
    for j, group in enumerate(answer["methods"]["stg"]["groups"]):
        assert [SPEC.tasks.index(task) for task in group] == np.flatnonzero(groups == j).tolist()


def test_a_group_is_a_training_of_its_tasks_alone_judged_beside_the_controls(
    answer: dict[str, Any], kept: Store
) -> None:
    trained = {kept.run(key).spec.tasks for key in own_keys(kept)}
    for one in answer["methods"].values():
        assert {tuple(group) for group in one["groups"]} <= trained
        report = one["report"]
        assert report["schemes"] == ["specialists", "mtl", "longer", "wider", "plain", "random"]
        assert report["method"] == "hard" and report["k"] == BUDGET
        [variant] = report["variants"].values()
        assert len(variant["measures"]["auroc"]["differences"]) == 15
        k_and_grouping = report["costs"]["specialists"]["training"]
        assert report["costs"]["longer"]["training"] == pytest.approx(round(k_and_grouping))


def test_costs_are_of_the_affinity_and_the_groups(answer: dict[str, Any]) -> None:
    counted = {method: one["counted"] for method, one in answer["methods"].items()}
    assert counted == {"stg": 4, "labels": 3, "errors": 4}, "labels need no model"
    rows = {row.method: row for row in scores_of_many(answer)}
    assert {method: row.cost for method, row in rows.items()} == counted


def test_a_method_whose_score_is_not_defined_comes_last(answer: dict[str, Any]) -> None:
    unknown = copy.deepcopy(answer)
    [variant] = unknown["methods"]["stg"]["report"]["variants"].values()
    variant["measures"]["auroc"]["schemes"]["specialists"]["mean"] = None
    assert scores_of_many(unknown)[-1].method == "stg"


@pytest.mark.parametrize("measure", ["auroc", "f1"])
def test_the_rows_say_how_much_better_specialists_are_than_each_control(
    answer: dict[str, Any], measure: str
) -> None:
    rows = scores_of_many(answer, measure)
    assert measures_in(answer)[measure] in ("AUROC", "F1")
    assert [row.mean for row in rows] == sorted((row.mean or 0 for row in rows), reverse=True)
    for row in rows:
        [variant] = answer["methods"][row.method]["report"]["variants"].values()
        judged = variant["measures"][measure]
        assert row.headline == judged["headline"] != ""
        for scheme in CONTROLS:
            found = row.differences[scheme]
            assert row.mean is not None
            expected = row.mean - judged["schemes"][scheme]["mean"]
            assert found["mean"] == pytest.approx(expected, abs=2e-6)
            assert found["ci"][0] <= found["mean"] <= found["ci"][1]


def test_no_more_is_trained_than_was_told_and_nothing_twice(
    answer: dict[str, Any], kept: Store, plan: ManyPlan, told: list[str]
) -> None:
    keys = own_keys(kept)
    assert len(keys) <= most_trainings(plan)
    noted = how_far(kept, plan.key)
    assert noted and noted["total"] == most_trainings(plan) and noted["what"] in told
    assert noted["done"] == len(keys)
    again: list[str] = []
    assert compare_many(kept, plan, again.append) == answer
    assert own_keys(kept) == keys and not any("done" in sentence for sentence in again)


def test_a_comparison_is_kept_and_a_damaged_one_says_what_to_do(
    answer: dict[str, Any], kept: Store, plan: ManyPlan
) -> None:
    path = comparison_path(kept, plan.key, BUDGET)
    assert list(kept_comparisons(kept).values()) == [path]
    assert read_comparison(path) == json.loads(json.dumps(answer))
    damaged = path.with_name("half-3.json")
    damaged.write_bytes(path.read_bytes()[:100])
    with pytest.raises(UserError, match=r"Delete .* make it again"):
        read_comparison(damaged)
    damaged.unlink()


@pytest.mark.parametrize("method", ["datamaps", "pvi", "cosine", "surrogates", "dmtg"])
def test_the_other_methods_find_groups_too(method: str, kept: Store, answer: object) -> None:
    plan = plan_of_many(SPEC, [method], BUDGET, "average")
    before = own_keys(kept)
    found = find_groups(kept, plan, kept.run(SPEC.key), method, lambda _: None)
    fewest = 2 if method == "dmtg" else BUDGET  # of whose branches one may be chosen by no task
    assert fewest <= found.grouping.k <= BUDGET and found.cost == counted_affinity(plan, method)
    sizes = np.bincount(found.grouping.labels).tolist()
    assert sizes == sorted(sizes, reverse=True) and sum(sizes) == 15
    trained = len(own_keys(kept) - before)
    assert trained == {"surrogates": 30, "dmtg": 1}.get(method, 0)
    costs = {"surrogates": 30, "cosine": 31 / 3, "dmtg": BUDGET}
    assert found.cost == pytest.approx(costs.get(method, 1))


def test_tasks_that_all_choose_one_branch_make_no_groups(
    kept: Store, answer: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = Branched(np.zeros(15, dtype=np.int64), 3.0, 3)
    monkeypatch.setattr("stg_core.affinity.many.branches_of", lambda *_: one)
    plan = plan_of_many(SPEC, ["dmtg"], BUDGET)
    with pytest.raises(UserError, match="all tasks chose the same branch"):
        find_groups(kept, plan, kept.run(SPEC.key), "dmtg", lambda _: None)


def test_a_method_that_says_nothing_is_left_out_with_the_reason(
    kept: Store, answer: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "stg_core.affinity.many.affinity_from", lambda run, method: np.full((15, 15), 0.1)
    )
    plan = plan_of_many(SPEC, ["stg", "labels"], BUDGET, controls=["mtl"])
    found = compare_many(kept, plan, lambda _: None)
    assert list(found["methods"]) == ["stg"]
    assert "says nothing of these tasks" in found["left_out"]["labels"]
    with pytest.raises(UserError, match="No method finds groups"):
        compare_many(kept, plan_of_many(SPEC, ["labels"], BUDGET), lambda _: None)


def test_what_cannot_be_compared_is_refused() -> None:
    wrongs: tuple[tuple[str, dict[str, Any]], ...] = (
        ("no groups by the method 'hoa'; choose from stg", {"methods": ["hoa"]}),
        ("no clustering 'magic'", {"cluster_by": "magic"}),
        ("2 to 14 groups, and the budget is 15", {"budget": 15}),
        ("2 to 14 groups, and the budget is 1", {"budget": 1}),
    )
    for words, wrong in wrongs:
        with pytest.raises(UserError, match=words):
            plan_of_many(SPEC, **wrong)
    without = TrainingSpec(GROUPS["digits"], recorded_epochs=())
    with pytest.raises(UserError, match="with data maps"):
        plan_of_many(without)


def test_trainings_are_told_before_by_hand() -> None:
    """One joint training; per method 5 groups and 5 random ones; MTL and 5 plain models; those
    that are longer, for labels alone and for the others; and one that is as large as 5."""
    g3 = TrainingSpec(GROUPS["g3"])
    plan = plan_of_many(g3, budget=5)
    assert plan.methods == DEFAULT_METHODS and plan.cluster_by == "semidefinite"
    assert most_trainings(plan) == 1 + 4 * 10 + 1 + 5 + (5 + 6) + 5
    surrogates = plan_of_many(g3, ["surrogates"], 5, controls=["mtl"])
    assert most_trainings(surrogates) == 1 + 200 + 5 + 1
    dmtg = plan_of_many(g3, ["dmtg"], 5, controls=["longer"])
    assert most_trainings(dmtg) == 1 + 5 + 5 + (5 + 5), "five branches cost five trainings"
    assert set(TITLES) > {"datamaps", "tag", "cosine", "etap", *DEFAULT_METHODS}


def test_the_command_compares_more_than_twelve_tasks(
    answer: dict[str, Any],
    kept: Store,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    own_home: Path,
) -> None:
    monkeypatch.setenv("STG_HOME", str(kept.folder))
    words = ["methods", "--group", "digits", "--epochs", "2", "--budget", "3"]
    assert main([*words, "--methods", "stg,labels,errors"]) == 0
    out, err = capsys.readouterr()
    assert "Label correlation" in out and "− plain" in out and "At most 33 trainings" in err
    assert main([*words, "--methods", "stg,labels,errors", "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["methods"] == answer["methods"]
    assert main([*words, "--methods", "exhaustive"]) == 2
    assert "no groups by the method 'exhaustive'" in capsys.readouterr().err
