"""What the specialists of a logged run logged is judged like the trainings of the own engine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from stg_core.grouping.memberships import TaskSpace, group_tasks
from stg_core.judging.brought_back import BroughtBack
from stg_core.judging.plan import Plan, make_plan
from stg_core.judging.report import make_report
from stg_core.judging.snippets import snippet
from stg_core.results.store import Store
from tests.judging.logging_digits import log_training, replay, run_snippet
from tests.judging.test_judgement import SOFT, SPEC, data, finished, space, trained

__all__ = ["data", "space", "trained"]

SCHEMES = ("mtl", "stl", "specialists", "plain", "random", "longer")
SEEDS = (0, 1)


@pytest.fixture(scope="module")
def plan(trained: Store, space: TaskSpace) -> Plan:
    return finished(make_plan(SPEC, SOFT, space, SCHEMES, SEEDS), trained)


@pytest.fixture(scope="module")
def replayed(plan: Plan, trained: Store, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """The logs of all trainings of the plan, under their names."""
    store = Store(tmp_path_factory.mktemp("replayed"))
    names = {}
    for ensemble in plan.ensembles:
        seed = f" / seed {ensemble.seed}" if ensemble.seed else ""
        for j, spec in enumerate(ensemble.specs):
            what = {
                "mtl": "",
                "stl": f" / stl {spec.tasks[0]}",
                "specialists": f" / k2 specialist {j + 1}",
                "plain": f" / plain {j + 1}",
                "random": f" / k2 random {j + 1}",
                "longer": " / k2 longer",
            }[ensemble.scheme]
            names.setdefault(spec, f"my run{seed}{what}")
    for spec, name in names.items():
        run = trained.get(spec)
        assert run is not None
        replay(run, name, store.folder)
    return store


def back_of(store: Store, space: TaskSpace, **options: Any) -> BroughtBack:
    return BroughtBack(store, store.run("log:my-run"), SOFT, space, **options)


def report_of(back: BroughtBack, schemes: Any = (), resamples: int = 200) -> dict[str, Any]:
    *_, (_, _, report) = back.report_steps(back.judged(schemes), resamples)
    assert report is not None
    return report


def test_the_same_outputs_are_judged_alike_whoever_trained_them(
    plan: Plan, trained: Store, replayed: Store, space: TaskSpace
) -> None:
    own = make_report(plan, trained, resamples=200)
    back = back_of(replayed, space)
    assert back.seeds == SEEDS and set(back.whole) == set(SCHEMES)
    found = report_of(back, SCHEMES)
    for variant, judged in own["variants"].items():
        other = found["variants"][variant]
        assert other["schemes"] == judged["schemes"]
        for measure, expected in judged["measures"].items():
            # the rest of the verdict names costs, and a coin flip, of which a log knows nothing
            for part in ("schemes", "differences", "to_mtl", "headline"):
                assert other["measures"][measure][part] == expected[part], (variant, measure, part)
    for same in ("tasks", "memberships", "left_out", "measures", "points", "accuracy_baseline"):
        assert found[same] == own[same], same
    assert found["run"] == "log:my-run" and found["title"] == "my run"
    for scheme in SCHEMES:
        if scheme != "stl":  # the size of a model is not known of a log
            expected = own["costs"][scheme]["training"]
            assert found["costs"][scheme]["training"] == pytest.approx(expected)
    assert found["specialists"] == own["specialists"]


# ----------------------------------------------------------------------------- a loop of one's own


@pytest.fixture
def my_run(own_home: Path) -> Store:
    """A store with the log "my run", of three epochs of a plain loop."""
    log_training("my run")
    return Store(own_home)


def judged_by(store: Store, k: int = 2, fuzzifier: float = 2.0, method: str = "soft", **more: Any):
    run = store.run("log:my-run")
    space = TaskSpace(run.summary)
    return BroughtBack(store, run, group_tasks(space, k, fuzzifier, method), space, **more)


def problems(back: BroughtBack) -> dict[str, str]:
    return {one.due.name: one.problem for one in back.found.values() if one.run}


def lacking(back: BroughtBack) -> dict[str, float]:
    return {one.scheme: one.cost for one in back.missing()}


def test_a_snippet_trains_and_logs_all_that_is_judged(my_run: Store) -> None:
    back = judged_by(my_run)
    assert lacking(back) == {"specialists": 2, "plain": 1, "random": 2, "longer": 3, "wider": 2}
    code = snippet("pytorch", back.run.spec.group.tasks, back.to_train(), back.run.title)
    run_snippet(code)
    back = judged_by(my_run)
    assert back.whole == ("mtl", "specialists", "plain", "random", "longer")
    assert lacking(back) == {"wider": 2} and not any(problems(back).values())
    assert not any(one.by_name for one in back.found.values())  # they say their weights
    assert back.to_train() == []
    report = report_of(back)
    costs = {scheme: report["costs"][scheme]["training"] for scheme in report["schemes"]}
    assert costs == {"mtl": 1, "specialists": 3, "plain": 2, "random": 2, "longer": 3}
    assert all(report["costs"][scheme]["measured"] > 0 for scheme in costs)
    assert len(set(report["logs"].values())) == 7 and report["logs"]["my run"] == "log:my-run"
