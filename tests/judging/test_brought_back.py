"""What the specialists of a logged run logged is judged like the trainings of the own engine."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stg_core.engine.derived import report_question
from stg_core.grouping.memberships import TaskSpace, group_tasks
from stg_core.judging.brought_back import BroughtBack
from stg_core.judging.plan import Plan, make_plan
from stg_core.judging.report import make_report
from stg_core.judging.snippets import snippet
from stg_core.maps.log import TaskLog
from stg_core.results.store import Store
from stg_core.system.errors import UserError
from tests.judging.logging_digits import (
    EPOCHS,
    NAMES,
    TEST_LABELS,
    TRAIN_LABELS,
    log_training,
    replay,
    run_snippet,
)
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
    names: dict[Any, str] = {}
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
    assert back.whole == ("mtl", "specialists", "plain", "random", "longer", "wider")
    assert lacking(back) == {} and not any(problems(back).values())
    assert not any(one.by_name for one in back.found.values())  # they say their weights
    assert back.to_train() == []
    report = report_of(back)
    costs = {scheme: report["costs"][scheme]["training"] for scheme in report["schemes"]}
    assert costs == {"mtl": 1, "specialists": 3, "plain": 2, "random": 2, "longer": 3, "wider": 2}
    assert all(report["costs"][scheme]["measured"] > 0 for scheme in costs)
    assert len(set(report["logs"].values())) == 8 and report["logs"]["my run"] == "log:my-run"


@pytest.fixture
def with_specialists(my_run: Store) -> Store:
    """The same with two specialists that say their weights, and the second plain model."""
    back = judged_by(my_run)
    for due in back.to_train(("specialists", "plain")):
        log_training(due.name, due.weights, seed=due.spec.seed, source=due.mark)
    return my_run


def test_what_came_back_is_judged_and_the_rest_is_named_with_its_cost(
    with_specialists: Store,
) -> None:
    back = judged_by(with_specialists)
    assert back.whole == ("mtl", "specialists", "plain")
    assert lacking(back) == {"random": 2, "longer": 3, "wider": 2}
    (longer,) = [one for one in back.missing() if one.scheme == "longer"]
    assert [one.due.name for one in longer.logs] == ["my run / k2 longer"]
    assert longer.logs[0].due.epochs == 3 * EPOCHS
    assert longer.seconds == pytest.approx(3 * back.run.progress.seconds)
    report = report_of(back)
    assert report["schemes"] == ["mtl", "specialists", "plain"]
    for found in report["variants"].values():
        for judged in found["measures"].values():
            assert "(random)" in judged["verdict"] and "(longer)" in judged["verdict"]
    with pytest.raises(UserError, match="one model trained longer: the log “my run / k2 longer”"):
        back.judged(("mtl", "specialists", "longer"))
    with pytest.raises(UserError, match="no scheme 'superclass' of logs"):
        back.judged(("superclass",))


def test_a_run_without_specialists_is_not_judged(my_run: Store) -> None:
    with pytest.raises(UserError, match="the specialists: the log “my run / k2 specialist 1” is"):
        judged_by(my_run).judged()


SPECIALIST = "my run / k2 specialist 1"


def answers(labels: Any) -> Any:
    """Probabilities of a model that knows."""
    return np.nan_to_num(labels) * 0.5 + 0.25


def only_problem(store: Store) -> str:
    (problem,) = (text for name, text in problems(judged_by(store)).items() if name != "my run")
    return problem


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ({"test_labels": TEST_LABELS[:150]}, "has 150 test points, and “my run” has 200"),
        (
            {"test_labels": TEST_LABELS[::-1].copy()},
            r"test points are others: \d+ of 200 have other labels than in “my run”",
        ),
        ({"test": False}, r"no outputs for test points: call log.test"),
        ({"epochs": 1, "close": False}, "ended after 1 of 3 epochs: log the rest, or end it with"),
        ({"source": "loss weights 00000000"}, "was trained with other loss weights"),
    ],
)
def test_a_log_that_does_not_fit_is_named_with_the_reason(
    my_run: Store, how: dict[str, Any], why: str
) -> None:
    log_training(SPECIALIST, **how)
    assert re.search(why, only_problem(my_run))
    assert SPECIALIST in str(judged_by(my_run).missing()[0].logs[0].due.name)


def test_a_log_of_other_training_points_is_refused(my_run: Store) -> None:
    log_training(SPECIALIST, train_labels=1 - TRAIN_LABELS)
    assert "training points are others" in only_problem(my_run)


def test_a_log_of_other_tasks_is_refused(my_run: Store) -> None:
    log_training(SPECIALIST, names=(*NAMES[:-1], "straight"))
    assert only_problem(my_run) == "It lacks the task round."


def test_a_log_that_goes_on_is_waited_for(my_run: Store) -> None:
    log = TaskLog(SPECIALIST, NAMES, TRAIN_LABELS, test_labels=TEST_LABELS)
    log.test(answers(TEST_LABELS))
    log.epoch(answers(TRAIN_LABELS))
    assert only_problem(my_run) == "It is being logged: 1 of 3 epochs."
    log.close()
    assert only_problem(my_run) == ""  # closed: these are all


def test_the_last_epoch_needs_test_outputs(my_run: Store) -> None:
    with TaskLog(SPECIALIST, NAMES, TRAIN_LABELS, test_labels=TEST_LABELS) as log:
        for epoch in range(3):
            if epoch < 2:
                log.test(answers(TEST_LABELS))
            log.epoch(answers(TRAIN_LABELS))
    assert "test points are of epoch 2 of 3" in only_problem(my_run)


def test_a_longer_model_of_fewer_epochs_is_no_control(my_run: Store) -> None:
    log_training("my run / k2 longer", epochs=4)
    assert only_problem(my_run) == "It has 4 epochs, and at equal cost it would have 9."


def test_costs_are_counted_by_the_epochs_that_were_logged(with_specialists: Store) -> None:
    back = judged_by(with_specialists)
    due = next(one.due for one in back.found.values() if one.due.name == SPECIALIST)
    with_specialists.delete(with_specialists.run("log:my-run-k2-specialist-1"))
    log_training(SPECIALIST, due.weights, epochs=2)
    back = judged_by(with_specialists)
    report = report_of(back)
    assert report["costs"]["specialists"]["training"] == pytest.approx(1 + 5 / 3)
    epochs = report["variants"]["logits-soft"]["schemes"]["specialists"]["epochs"]
    assert epochs == [1, 3]  # those that both have, and the last of each


def test_a_run_without_test_outputs_has_another_log_as_mtl(own_home: Path) -> None:
    log_training("my run", test=False)
    store = Store(own_home)
    with pytest.raises(UserError, match="for MTL: the log “my run / mtl” is not there"):
        judged_by(store).judged()
    back = judged_by(store)
    assert back.to_train()[0].name == "my run / mtl"
    for due in back.to_train(("mtl", "specialists")):
        log_training(due.name, due.weights, source=due.mark)
    back = judged_by(store)
    assert report_of(back)["logs"]["my run / mtl"] == "log:my-run-mtl"
    assert back.whole == ("mtl", "specialists")


def test_a_title_counts_in_place_of_a_name(my_run: Store) -> None:
    run_id = log_training("the third try")
    my_run.rename(my_run.run(run_id), SPECIALIST)
    (found,) = [one for one in judged_by(my_run).found.values() if one.due.name == SPECIALIST]
    assert found.run is not None and found.run.id == run_id and found.by_name


def test_names_say_what_is_not_as_usual(my_run: Store) -> None:
    def first(**how: Any) -> str:
        back = judged_by(my_run, **how)
        return next(d.name for d in back.to_train(("specialists",)))

    assert first(k=3) == "my run / k3 specialist 1"
    assert first(k=2, fuzzifier=1.5) == "my run / k2 m1.5 specialist 1"
    assert first(k=2, method="hard") == "my run / k2 hard specialist 1"
    assert first(k=2, seeds=(4,)) == "my run / seed 4 / k2 specialist 1"


def test_a_long_name_leaves_room_for_what_it_is_of(own_home: Path) -> None:
    log_training("a" * 80)
    store = Store(own_home)
    run = store.runs()[-1]
    space = TaskSpace(run.summary)
    back = BroughtBack(store, run, group_tasks(space, 2, 2.0), space)
    names = [due.name for due in back.to_train()]
    assert max(map(len, names)) == 80 and len({*names}) == len(names)
    log_training(names[0])
    assert BroughtBack(store, run, back.grouping, space).found[back.to_train()[0].spec].run


def test_hard_specialists_may_have_all_heads_or_their_own(my_run: Store) -> None:
    back = judged_by(my_run, method="hard")
    one, other = back.to_train(("specialists",))
    log_training(one.name, one.weights)
    own = [NAMES.index(task) for task in other.spec.tasks]
    log_training(
        other.name,
        (1.0,) * len(own),
        names=other.spec.tasks,
        train_labels=TRAIN_LABELS[:, own],
        test_labels=TEST_LABELS[:, own],
    )
    back = judged_by(my_run, method="hard")
    assert back.whole == ("mtl", "specialists")
    scores = report_of(back)["variants"]["logits-hard"]["measures"]["auroc"]["schemes"]
    assert 0.5 < scores["specialists"]["mean"] <= 1


def test_seeds_are_those_of_which_all_specialists_are_back(with_specialists: Store) -> None:
    log_training("my run / seed 1", seed=1)
    log_training("my run / seed 1000", seed=2)  # whose second plain model is that of seed 0
    assert judged_by(with_specialists).seeds == (0,)
    for due in judged_by(with_specialists, seeds=(1,)).to_train(("specialists",)):
        log_training(due.name, due.weights, seed=due.spec.seed)
    back = judged_by(with_specialists)
    assert back.seeds == (0, 1) and back.whole == ("mtl", "specialists")
    assert report_of(back)["intervals"] == "points and seeds"


def test_a_log_that_goes_on_is_judged_anew(with_specialists: Store) -> None:
    run = with_specialists.run("log:my-run")

    def question() -> str:
        back = judged_by(with_specialists)
        return report_question(back, run, back.space, back.judged(("mtl", "specialists"))).key

    before = question()
    assert question() == before
    with_specialists.delete(with_specialists.run("log:my-run-k2-specialist-1"))
    log_training(SPECIALIST)
    assert question() != before


def test_a_run_that_was_trained_here_has_nothing_to_bring_back(
    trained: Store, plan: Plan, space: TaskSpace
) -> None:
    with pytest.raises(UserError, match="was not logged"):
        BroughtBack(trained, trained.run(SPEC.key), SOFT, space)
