"""`stg add` and `stg data`: data sets of one's own, from the command line."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest

from stg_core.cli.main import main
from stg_core.cli.options import tasks_from
from stg_core.tasks.datasets import data_set


def last_json(capsys: pytest.CaptureFixture[str]) -> dict:
    return json.loads(capsys.readouterr().out.splitlines()[-1])


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """100 molecules with a text, two features and three tasks, one with a comma in its name."""
    rng = np.random.default_rng(0)
    lines = ['mol_id,smiles,fp_1,fp_2,NR-a,NR-b,"SR-c, d"']
    for i in range(100):
        a, b, c = rng.integers(0, 2, 3)
        gap = "" if i % 10 == 0 else str(b)
        lines.append(f"m{i},CCO{'C' * (i % 7)},{rng.normal():.3f},{rng.normal():.3f},{a},{gap},{c}")
    path = tmp_path / "mols.csv"
    path.write_text("\n".join(lines))
    return path


ADD = ["--task", "NR-*", "--task", "SR-c, d", "--feature", "fp_*", "--id", "mol_id"]


def test_adding_tells_what_was_kept_and_what_is_next(
    table: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["add", str(table), *ADD]) == 0
    told = capsys.readouterr().out
    for words in (
        "mols: 100 points (80 for training, 20 for testing), 2 features, 3 tasks",
        "SR-c, d",
        "Text of a point: column “smiles”.",
        "3 tasks taken as binary",
        "Next: python -m stg_core extract --group mols",
    ):
        assert words in told
    assert main(["add", str(table), *ADD, "--replace", "--family-before", "-", "--json"]) == 0
    answer = last_json(capsys)
    assert [task["name"] for task in answer["tasks"]] == ["NR-a", "NR-b", "SR-c, d"]
    assert [task["family"] for task in answer["tasks"]] == ["NR", "NR", "SR"]
    assert answer["tasks"][1]["missing"] == pytest.approx(0.1)
    assert answer["points"] == {"train": 80, "test": 20} and answer["warnings"] == []
    assert answer["next"].endswith("extract --group mols")


def test_all_that_can_be_said(table: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    families = tmp_path / "families.csv"
    families.write_text('task,family\nNR-a,nuclear\n"SR-c, d",stress\n')
    words = ["--name", "other", "--kind", "NR-*=multiclass", "--test-share", "0.5", "--seed", "3"]
    words += ["--families", str(families), "--leave-out", "fp_2", "--text", "smiles"]
    assert main(["add", str(table), *ADD, *words, "--json"]) == 0
    answer = last_json(capsys)
    assert [task["kind"] for task in answer["tasks"]] == ["multiclass", "multiclass", "binary"]
    assert [task["family"] for task in answer["tasks"]] == ["nuclear", "", "stress"]
    assert answer["shape"] == [1] and abs(answer["points"]["test"] - 50) <= 2


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "--task 'NR-*'"),
        (["--task", "NR-z"], "There is no column “NR-z”. Is “NR-"),
        (["--task", "NR-*", "--kind", "NR-a"], "TASK=KIND"),
        (["--task", "NR-*", "--kind", "NR-a=colour"], "binary, multiclass, regression"),
        (["--task", "NR-*", "--families", "nowhere.csv"], "nowhere.csv cannot be read"),
        (["--task", "NR-*", "--name", "g1"], "something built in"),
        (["--task", "mol_id"], "looks like an identifier"),
    ],
)
def test_what_is_to_be_mended_is_said(
    words: list[str], sentence: str, table: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["add", str(table), *words]) == 2
    captured = capsys.readouterr()
    assert sentence in captured.err and not captured.out


@pytest.mark.parametrize("answer", ["n", "y"])
def test_replacing_is_asked_for_on_a_terminal(
    answer: str, table: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["add", str(table), *ADD]) == 0
    before = data_set("mols").digest
    assert main(["add", str(table), *ADD, "--seed", "1"]) == 2
    assert "--replace" in capsys.readouterr().err
    monkeypatch.setattr("sys.stdin", Terminal(answer + "\n"))
    assert main(["add", str(table), *ADD, "--seed", "1", "--json"]) == 0
    captured = capsys.readouterr()
    assert "Replace it?" in captured.err
    assert (json.loads(captured.out).get("name") == "mols") == (answer == "y")
    assert (data_set("mols").digest == before) == (answer == "n")


def test_data_sets_are_listed_checked_renamed_and_removed(
    table: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["data"]) == 0
    assert "No data sets of yours yet" in capsys.readouterr().out
    assert main(["add", str(table), *ADD]) == 0
    capsys.readouterr()
    assert main(["data", "--json"]) == 0
    assert [one["name"] for one in last_json(capsys)["data_sets"]] == ["mols"]
    assert main(["data", "mols", "--json"]) == 0
    assert last_json(capsys)["source_changed"] is False
    table.write_text(table.read_text() + "\n")
    assert main(["data", "mols"]) == 0
    assert "Its source has changed since" in capsys.readouterr().out
    assert main(["data", "mols", "--rename", "molecules", "--json"]) == 0
    assert last_json(capsys)["name"] == "molecules"
    assert main(["groups", "--json"]) == 0
    assert last_json(capsys)["groups"][-1]["tasks"] == ["NR-a", "NR-b", "SR-c, d"]
    assert main(["data", "molecules", "--remove"]) == 2
    assert "--yes" in capsys.readouterr().err
    assert main(["data", "molecules", "--remove", "--yes", "--json"]) == 0
    assert last_json(capsys) == {"removed": "molecules"}
    assert main(["data", "molecules"]) == 2
    assert main(["data", "--remove"]) == 2


@pytest.mark.parametrize("answer", ["n", "y"])
def test_a_removal_is_asked_for_on_a_terminal(
    answer: str, table: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["add", str(table), *ADD]) == 0
    monkeypatch.setattr("sys.stdin", Terminal(answer + "\n"))
    assert main(["data", "mols", "--remove"]) == 0
    assert main(["data", "mols"]) == (2 if answer == "y" else 0)


def test_a_cancelled_adding_says_that_nothing_was_kept(
    table: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("stg_core.tasks.sources.add_source", interrupt)
    assert main(["add", str(table), *ADD]) == 130
    assert "Nothing was kept" in capsys.readouterr().err


def test_some_tasks_of_a_group_are_named_by_patterns(
    table: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["add", str(table), *ADD]) == 0
    group = data_set("mols").group

    class Options:
        tasks = ()
        task = ("SR-c, d", "NR-[a]")

    assert tasks_from(Options(), group) == ("NR-a", "SR-c, d")  # type: ignore[arg-type]
    assert main(["extract", "--group", "mols", "--task", "x*", "--epochs", "2"]) == 2
    assert "There is no task “x*”" in capsys.readouterr().err
