"""Groups of a log's tasks by what it keeps, on the command line too."""

from __future__ import annotations

import json

import numpy as np
import pytest

from stg_core.affinity.kept import OF_GRADIENTS, OF_OUTPUTS, OF_TRAININGS, groups_of_kept, needs
from stg_core.cli.main import main
from stg_core.maps.log import TaskLog
from stg_core.results.run import Run
from stg_core.results.store import Store

TWINS = ["a", "a again", "b", "b again"]


def logged(name: str, test: bool = True, epochs: int = 3) -> Run:
    """Of two pairs of tasks that ask nearly the same."""
    rng = np.random.default_rng(0)
    hidden = rng.normal(size=(200, 2)).repeat(2, axis=1) + rng.normal(scale=0.1, size=(200, 4))
    labels = (hidden > 0).astype(float)
    noise = rng.normal(size=(200, 2)).repeat(2, axis=1)
    log = TaskLog(name, TWINS, labels, outputs="logits")
    for epoch in range(epochs):
        outputs = hidden * epoch + noise
        if test:
            log.test(outputs, labels)
        log.epoch(outputs)
    log.close()
    return Store().run(log.run_id)


def test_every_method_that_needs_no_training_finds_the_twins() -> None:
    found, lacking = groups_of_kept(logged("twins"), 2)
    assert not lacking and [one.method for one in found] == list(OF_OUTPUTS)
    for one in found:
        if one.method != "pvi":  # which asks how hard tasks are, and not of which points
            assert {frozenset(group) for group in one.groups} == {
                frozenset(TWINS[:2]),
                frozenset(TWINS[2:]),
            }
        assert all(
            task in one.groups[place] for task, place in zip(TWINS, one.served_by, strict=True)
        )


def test_labels_need_no_test_points_and_errors_say_that_they_do() -> None:
    found, lacking = groups_of_kept(logged("no test", test=False), 2)
    assert [one.method for one in found] == ["stg", "labels", "pvi"]
    assert len(lacking) == 1 and "log.test(outputs)" in lacking[0]


def answer_of(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, object]:
    assert main([*words, "--json"]) == 0
    answer: dict[str, object] = json.loads(capsys.readouterr().out.splitlines()[-1])
    return answer


def test_commands_compare_the_methods_of_a_log(capsys: pytest.CaptureFixture[str]) -> None:
    run = logged("of a command")
    methods = answer_of(capsys, "methods", "--run", run.id, "--budget", "2")["methods"]
    assert isinstance(methods, dict) and list(methods) == list(OF_OUTPUTS)
    labels = answer_of(capsys, "affinity", "--run", run.id, "--method", "labels")
    assert labels["cost"] == 0 and np.array(labels["affinity"])[0, 1] > 0.8
    assert main(["affinity", "--run", run.id, "--method", "labels"]) == 0
    assert "It took no training" in capsys.readouterr().out


@pytest.mark.parametrize("method", [*OF_GRADIENTS, *OF_TRAININGS])
def test_a_method_that_needs_more_than_a_log_says_so(
    capsys: pytest.CaptureFixture[str], method: str
) -> None:
    run = logged("asked for more")
    assert main(["methods", "--run", run.id, "--methods", method]) == 2
    assert needs(method) in capsys.readouterr().err
    if method in OF_GRADIENTS:
        assert main(["affinity", "--run", run.id, "--method", method]) == 2
        assert "needs gradients" in capsys.readouterr().err


def test_budgets_and_clusterings_that_cannot_be_are_refused(
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = logged("refused")
    assert main(["methods", "--run", run.id, "--budget", "5"]) == 2
    assert "4 tasks can be served by 1 to 4 groups" in capsys.readouterr().err
    assert main(["methods", "--run", run.id, "--cluster-by", "magic"]) == 2
    assert "There is no clustering 'magic'" in capsys.readouterr().err


def test_commands_about_runs_know_logs(capsys: pytest.CaptureFixture[str]) -> None:
    run = logged("of many words")
    log = TaskLog("going on", TWINS, np.eye(4), outputs="logits", epochs=7)
    for _ in range(2):
        log.epoch(np.eye(4))
    assert main(["runs"]) == 0
    assert "going on (logging, epoch 2 of 7)" in capsys.readouterr().out
    assert main(["delete", log.run_id, "--yes"]) == 2
    assert "Somebody is logging into going on now" in capsys.readouterr().err
    by_name = answer_of(capsys, "group", "log:of many words", "--k", "2")
    assert by_name == answer_of(capsys, "group", run.id, "--k", "2")
    renamed = answer_of(capsys, "rename", run.id, "Another title")
    assert renamed["title"] == "Another title" and renamed["how_far"] == ""
    assert main(["delete", run.id, "--yes"]) == 0 and not run.folder.exists()
