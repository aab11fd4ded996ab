"""A grouping that says nothing is told so, with what to do; it is neither suggested nor planned."""

from __future__ import annotations

import json

import numpy as np
import pytest

from stg_core.cli.main import main
from stg_core.grouping.choosing import choose, stability
from stg_core.grouping.memberships import TaskSpace, group_tasks
from stg_core.judging.plan import make_plan
from stg_core.maps.summary import DataMapSummary, summarise
from stg_core.results.run import Run
from stg_core.results.store import Store
from stg_core.system.errors import UserError
from tests.conftest import realistic_maps

EPOCHS = (2, 3)


def tasks_of(*patterns: int, seed: int = 0) -> DataMapSummary:
    """A task for each number; equal numbers have equal data maps."""
    maps, labels = realistic_maps(max(patterns) + 1, 200, EPOCHS, seed=seed)
    chosen = list(patterns)
    names = [f"task {t}" for t in range(len(chosen))]
    return summarise(maps[:, :, chosen], labels[:, chosen], names, EPOCHS)


def equally_far(n_tasks: int) -> DataMapSummary:
    """Tasks of which each differs from all others in as many points as any other one."""
    maps = np.full((1, 2, n_tasks, 40 * n_tasks), 0.5, dtype=np.float16)
    for t in range(n_tasks):
        maps[:, :, t, t::n_tasks] = 0.25
    labels = np.zeros((40 * n_tasks, n_tasks), dtype=np.float32)
    labels[::2] = 1
    return summarise(maps, labels, [f"task {t}" for t in range(n_tasks)], (2,))


@pytest.fixture
def g3(own_home: object) -> tuple[Run, TaskSpace]:
    run = Store().run("bundled:g3")
    return run, TaskSpace(run.summary)


def test_centres_of_fuzzy_c_means_that_coincide_are_named_with_the_fuzzifier_that_helps(
    g3: tuple[Run, TaskSpace],
) -> None:
    run, space = g3
    grouping = group_tasks(space, 20, 2.0, "fcm")
    assert "All 20 clusters coincide" in grouping.problem
    assert "a fuzzifier of 1.50 at most (it is 2)" in grouping.problem
    assert (grouping.labels == 0).all()  # rounding does not deal the tasks out
    assert grouping.quality["silhouette"] is None and grouping.quality["xie_beni"] is None
    with pytest.raises(UserError, match="coincide"):
        make_plan(run.spec, grouping, space)
    assert group_tasks(space, 2, 1.5, "fcm").problem == ""
    assert "Both clusters coincide" in group_tasks(space, 2, 1.6, "fcm").problem


def test_no_k_is_suggested_where_the_centres_of_every_k_coincide() -> None:
    space = TaskSpace(tasks_of(*range(6)))
    limit = space.comes_apart
    assert limit is not None
    choice = choose(space, stability(space), limit + 2, "fcm")
    assert choice.suggested is None
    assert choice.why.startswith("No k is suggested") and "Both clusters coincide" in choice.why
    assert all(choice.problems[:2])  # k = 2 and 3, the only ones that may be suggested


def test_some_centres_that_coincide_count_too() -> None:
    space = TaskSpace(Store().run("bundled:g1").summary)
    grouping = group_tasks(space, 3, 2.0, "fcm")
    first, third = grouping.memberships[:, 0], grouping.memberships[:, 2]
    np.testing.assert_allclose(first, third, rtol=0.01)
    assert grouping.problem.startswith("2 of the 3 clusters coincide with another one")
    assert "a smaller fuzzifier than 2, a smaller k or the method soft" in grouping.problem
    assert set(grouping.labels) == {0, 1}
    assert choose(space, stability(space), 2.0, "fcm").suggested not in (None, 3)


@pytest.mark.parametrize("method", ["soft", "hard", "fcm"])
def test_fewer_different_tasks_than_clusters_are_counted(method: str) -> None:
    space = TaskSpace(tasks_of(0, 0, 0, 1, 1, 2, 2))
    assert group_tasks(space, 3, 1.3, method).problem == ""
    for k in (4, 7):
        problem = group_tasks(space, k, 1.3, method).problem
        assert "Only 3 of the 7 tasks have data maps of their own" in problem
        assert "choose k = 3 or less" in problem
    choice = choose(space, stability(space), 1.3, method)
    assert choice.suggested in (2, 3)
    assert [bool(problem) for problem in choice.problems] == [False, False, True, True, True]


@pytest.mark.parametrize("method", ["soft", "hard", "fcm", "points"])
@pytest.mark.parametrize("n_tasks", [2, 3, 9])
def test_tasks_that_are_all_the_same_are_called_so(n_tasks: int, method: str) -> None:
    space = TaskSpace(tasks_of(*[0] * n_tasks))
    for k in range(2, n_tasks + 1):
        assert "nothing tells them apart" in group_tasks(space, k, 2.0, method).problem
    assert group_tasks(space, 1, 2.0, method).problem == ""
    choice = choose(space, stability(space), 2.0, method)
    assert choice.suggested is None


@pytest.mark.parametrize("method", ["soft", "hard", "fcm"])
def test_tasks_that_are_all_equally_far_from_each_other_are_grouped_by_chance(method: str) -> None:
    space = TaskSpace(equally_far(5))
    assert "equally far from each other" in group_tasks(space, 3, 2.0, method).problem
    assert group_tasks(space, 5, 2.0, method).problem == ""  # each on its own
    assert choose(space, stability(space), 2.0, method).suggested is None
    two = TaskSpace(tasks_of(0, 1))
    assert group_tasks(two, 2, 2.0, method).problem == ""


def test_clusters_of_points_that_no_task_belongs_most_to_are_empty() -> None:
    run = Store().run("bundled:g1")
    space = TaskSpace(run.summary)
    grouping = group_tasks(space, 5, method="points")
    empty = sorted({*range(5)} - {*grouping.labels.tolist()})
    assert empty
    named = " and ".join(", ".join(str(j + 1) for j in empty).rsplit(", ", 1))
    assert grouping.problem.startswith(f"Clusters {named} are empty")
    with pytest.raises(UserError, match="are empty"):
        make_plan(run.spec, grouping, space)


def test_a_fuzzifier_that_makes_all_shares_even_is_named() -> None:
    space = TaskSpace(tasks_of(*range(8)))
    assert group_tasks(space, 3, 3.0).problem == ""
    assert "Choose a smaller fuzzifier than 5000" in group_tasks(space, 3, 5_000).problem
    assert group_tasks(space, 3, 5_000, "hard").problem == ""  # on which it has no effect


def test_a_single_task_has_one_cluster_and_no_problem() -> None:
    space = TaskSpace(tasks_of(0))
    for method in ("soft", "hard", "fcm", "points"):
        assert group_tasks(space, 1, 2.0, method).problem == ""
    assert choose(space, stability(space)).suggested is None


@pytest.mark.parametrize("method", ["soft", "hard"])
def test_usual_groupings_have_no_problem(method: str) -> None:
    space = TaskSpace(Store().run("bundled:g2").summary)
    for k in range(1, 16):
        for fuzzifier in (1.01, 2.0, 3.0):
            assert group_tasks(space, k, fuzzifier, method).problem == ""


def test_the_commands_say_it(capsys: pytest.CaptureFixture[str]) -> None:
    words = "bundled:g3 --k 20 --method fcm"
    for command in ("group", "agreement"):
        assert main([command, *words.split()]) == 0
        assert "All 20 clusters coincide" in capsys.readouterr().out.splitlines()[-1]
        assert main([command, *words.split(), "--json"]) == 0
        answer = json.loads(capsys.readouterr().out.splitlines()[-1])
        assert "All 20 clusters coincide" in answer["problem"]
    for only in ("--dry-run", "--only-judge"):
        assert main(["specialists", *words.split(), only]) == 2
        assert "All 20 clusters coincide" in capsys.readouterr().err
    assert main("choose bundled:g2 --method points".split()) == 0
    rows = capsys.readouterr().out.splitlines()
    assert any(row.endswith("problem") for row in rows)
    assert main("choose bundled:g2 --method fcm --fuzzifier 4 --json".split()) == 0
    choice = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert choice["suggested"] is None or not choice["problems"][choice["suggested"] - 2]
