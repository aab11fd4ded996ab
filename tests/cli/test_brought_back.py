"""`python -m stg_core specialists log:…`: what a script does with specialists trained elsewhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stg_core.cli.main import main
from stg_core.engine.derived import report_question
from stg_core.grouping.memberships import TaskSpace, group_tasks
from stg_core.judging.brought_back import BroughtBack
from stg_core.results.store import Store
from tests.judging.logging_digits import NAMES, log_training, run_snippet

SPECIALISTS = ["specialists", "log:my-run", "--k", "2"]


@pytest.fixture(autouse=True)
def my_run(own_home: Path) -> None:
    log_training("my run")


def answer(capsys: pytest.CaptureFixture[str], *more: str) -> dict[str, Any]:
    capsys.readouterr()
    assert main([*SPECIALISTS, *more, "--json"]) == 0
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def test_a_script_takes_weights_along_and_brings_logs_back(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "weights.npy"
    told = answer(capsys, "--weights", str(file))
    assert told["file"] == str(file) and told["tasks"] == list(NAMES)
    assert np.load(file, allow_pickle=False).tolist() == told["weights"]

    taken = answer(capsys, "--snippet", "pytorch", "--schemes", "specialists,plain")
    assert [log["name"] for log in taken["logs"]] == [
        *("my run / k2 specialist 1", "my run / k2 specialist 2", "my run / plain 2")
    ]
    run_snippet(taken["snippet"])

    judged = answer(capsys)
    assert list(judged["schemes"]) == ["mtl", "specialists", "plain"]
    assert judged["headline"] and judged["run"] == "log:my-run"
    assert [one["scheme"] for one in judged["missing"]] == ["random", "longer", "wider"]
    assert judged["missing"][1]["cost"] == 3 and judged["missing"][1]["seconds"] > 0
    back = {one["name"]: one for one in judged["found"]}
    assert back["my run / k2 specialist 1"]["log"] == "log:my-run-k2-specialist-1"
    assert back["my run / k2 specialist 1"]["known_by"] == "weights"
    assert back["my run / k2 longer"]["log"] is None

    assert main(SPECIALISTS) == 0
    text = capsys.readouterr().out
    assert "Missing: one model trained longer (longer), as much as 3 trainings of MTL" in text
    assert "To be logged as “my run / k2 longer”." in text


def test_a_snippet_is_printed_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*SPECIALISTS, "--snippet", "keras"]) == 0
    code = capsys.readouterr().out
    compile(code, "train.py", "exec")
    assert "my run / k2 random 2" in code and "my run / k2 wider" in code
    assert "my run / k2 warm" not in code


def test_what_came_back_is_told_without_a_judgement(capsys: pytest.CaptureFixture[str]) -> None:
    log_training("my run / k2 specialist 1", test=False)
    assert main([*SPECIALISTS, "--dry-run"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "my run: 3 epochs (log:my-run)"
    assert lines[1].startswith("my run / k2 specialist 1: It has no outputs for test points")
    assert lines[2] == "my run / k2 specialist 2: not there"


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ((), "the log “my run / k2 specialist 1” is not there"),
        (("--schemes", "superclass"), "no scheme 'superclass' of logs"),
        (("--weights", "weights.xls"), "as .json, .csv, .npy, and not as .xls"),
        (("--weights", "/no/such/folder/weights.csv"), "cannot be written"),
    ],
)
def test_what_cannot_be_is_said(
    more: tuple[str, ...], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*SPECIALISTS, *more]) == 2
    assert sentence in capsys.readouterr().err


def test_a_run_of_the_own_engine_has_no_snippet(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["specialists", "bundled:digits", "--k", "2", "--snippet", "keras"]) == 2
    assert "was not logged" in capsys.readouterr().err


def test_the_command_that_the_app_begins_keeps_what_it_asks_for(own_home: Path) -> None:
    store = Store(own_home)
    run = store.run("log:my-run")
    space = TaskSpace(run.summary)
    grouping = group_tasks(space, 2, 1.5)
    for due in BroughtBack(store, run, grouping, space).to_train(("specialists", "plain")):
        log_training(due.name, due.weights, source=due.mark)
    back = BroughtBack(store, run, grouping, space)
    question = report_question(back, run, space, back.judged())
    assert store.cache.get(question.key) is None
    assert main(question.words) == 0
    assert store.cache.get(question.key)["logs"]["my run"] == "log:my-run"
