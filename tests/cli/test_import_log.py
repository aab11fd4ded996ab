"""`import-log` on a terminal: what it asks, what it shows, and what it makes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from stg_core.cli.main import main
from tests.maps.existing_logs import outputs, write_dynamics

LOGITS, GOLD = outputs(3, 20, 3)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_dynamics(tmp_path / "snli", LOGITS, GOLD.tolist(), [f"q{i}" for i in range(20)])


def test_a_question_that_is_not_answered_names_the_option_that_answers_it(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["import-log", str(folder)]) == 2
    told = capsys.readouterr()
    assert "3 classes" in told.err and "--whole or --each-class" in told.err and not told.out
    assert main(["import-log", str(folder / "nowhere")]) == 2
    assert "no file or folder" in capsys.readouterr().err


def test_a_look_shows_what_is_there_and_brings_nothing(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["import-log", str(folder), "--look"]) == 0
    shown = capsys.readouterr().out
    assert "20 points, 1 task, 3 epochs" in shown and "guid q" in shown and "--each-class" in shown
    assert main(["import-log", str(folder), "--look", "--json"]) == 0
    seen = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert seen["points"] == 20 and not seen["ready"]
    assert seen["questions"][0]["option"] == "--whole or --each-class"


def test_a_log_is_brought_and_grouped(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = tmp_path / "names.txt"
    names.write_text("Blood, and (lymph)\nb\nc\n")
    said = ["--each-class", "--classes", str(names), "--name", "my log"]
    assert main(["import-log", str(folder), *said, "--json"]) == 0
    answer = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert answer["run"] == "log:my-log" and answer["recorded_epochs"] == [2, 3]
    assert answer["tasks"] == ["Blood, and (lymph)", "b", "c"]
    assert main(["group", "log:my-log", "--k", "2"]) == 0
    assert "Blood, and (lymph)" in capsys.readouterr().out
    assert main(["import-log", str(folder), *said]) == 2
    assert "--replace" in capsys.readouterr().err
    assert main(["import-log", str(folder), "--whole", "--name", "my log", "--replace"]) == 0


def test_help_has_examples(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["import-log", "--help"])
    assert "stg import-log runs/" in capsys.readouterr().out
