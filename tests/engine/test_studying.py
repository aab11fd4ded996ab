"""Studies are really run, ended, and gone on with."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from stg_core.cli.main import main
from stg_core.engine import worker
from stg_core.engine.studying import Listener, cost_of, run_study
from stg_core.judging.study import study_of
from stg_core.judging.study_table import read_rows
from stg_core.results.store import Store
from stg_core.system.errors import Cancelled
from stg_core.training.spec import TrainingSpec

PLAN = """
title = "Digits"
[defaults]
model = "mlp"
epochs = 2
seeds = [0, 1]
training_images = 200
schemes = ["mtl", "specialists", "plain", "random"]
[[grid]]
group = "digits"
k = [2, 3]
[[grid]]
group = ["digits", "elsewhere"]
k = 16
"""
# seeds 0 and 1: MTL and three plain ones (k = 2 shares two of them), 5 specialists, 5 random ones
TRAININGS = 2 * (3 + 5 + 5)


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The keys of all that is trained from now on."""
    keys: list[str] = []

    def counting(store: Store, spec: TrainingSpec, callbacks: Any = ()) -> Any:
        if store.get(spec) is None:
            keys.append(spec.key)
        return worker.run_spec(store, spec, callbacks)

    monkeypatch.setattr("stg_core.engine.foreground.run_spec", counting)
    return keys


def test_a_study_trains_each_training_once_and_notes_what_cannot_be(
    counted: list[str], tmp_path: Path
) -> None:
    study, store = study_of(PLAN, "digits"), Store()
    before = cost_of(study, store)
    assert (before.cells, before.distinct, before.cached) == (4, TRAININGS, 0)
    assert before.seconds is not None and 0 < before.seconds < 60
    assert [cell.k for cell, _ in before.not_run] == [16, 16]
    begun: list[tuple[int, int]] = []

    def begin(number: int, cell: Any, plan: Any, missing: int) -> Any:
        begun.append((number, missing))
        return lambda spec, record: None

    rows = run_study(study, store, tmp_path / "out", Listener(cell=begin))
    assert len(counted) == len(set(counted)) == TRAININGS
    assert begun == [(1, 2 * 6 - 1), (2, TRAININGS - 2 * 6)]
    assert rows == read_rows(tmp_path / "out")
    judged = [row for row in rows if row["not_run"] is None]
    assert {(row["k"], row["scheme"]) for row in judged} == {
        (k, scheme) for k in (2, 3) for scheme in ("mtl", "specialists", "plain", "random")
    }
    assert [(row["group"], row["not_run"]) for row in rows if row["not_run"]] == [
        ("digits", "15 tasks cannot form 16 clusters."),
        ("elsewhere", next(reason for cell, reason in before.not_run if cell.group != "digits")),
    ]
    after = cost_of(study, store)
    assert (after.cached, after.seconds) == (TRAININGS, 0)
    counted.clear()
    assert run_study(study, store, tmp_path / "out", Listener()) == rows and counted == []


def test_a_cancelled_study_keeps_its_table_and_trains_what_is_missing(
    counted: list[str], tmp_path: Path
) -> None:
    study, store = study_of(PLAN, "digits"), Store()

    def cancel_the_second(number: int, cell: Any, plan: Any, missing: int) -> Any:
        def tell(spec: TrainingSpec, record: dict[str, Any]) -> None:
            if number == 2:
                raise Cancelled

        return tell

    with pytest.raises(Cancelled):
        run_study(study, store, tmp_path, Listener(cell=cancel_the_second))
    assert {row["k"] for row in read_rows(tmp_path)} == {2}
    first = list(counted)
    assert len(store.runs()) - sum(run.bundled for run in store.runs()) == len(first) - 1 == 12
    counted.clear()
    run_study(study, store, tmp_path, Listener())
    assert counted[0] == first[-1] and len(counted) == TRAININGS - 12
    assert {row["k"] for row in read_rows(tmp_path)} == {2, 3, 16}


@pytest.mark.slow
def test_a_study_whose_process_was_killed_goes_on(
    counted: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = tmp_path / "digits.toml"
    plan.write_text(PLAN)
    store, made = Store(), Store().folder / "runs"
    command = [sys.executable, "-m", "stg_core", "study", str(plan)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, env=dict(os.environ))
    deadline = time.monotonic() + 120
    while len(list(made.glob("*"))) < 4:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    there = {path.name: path.stat().st_mtime_ns for path in made.glob("*")}
    assert 4 <= len(there) < TRAININGS
    assert main(["study", str(plan), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert len(counted) == TRAININGS - len(there) and not set(counted) & set(there)
    assert {name: (made / name).stat().st_mtime_ns for name in there} == there
    folder = store.folder / "studies" / "digits"
    assert answer["folder"] == str(folder) and answer["rows"] == len(read_rows(folder))
    assert "specialists" in answer["findings"]
    assert {one["group"]: one["cells"] for one in answer["not_run"]} == {
        "digits": 1,
        "elsewhere": 1,
    }
    assert (folder / "plan.toml").read_text() == PLAN


def test_a_dry_run_trains_nothing_and_a_list_names_what_was_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = tmp_path / "digits.toml"
    plan.write_text(PLAN)
    assert main(["study", str(plan), "--dry-run", "--json"]) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (told["cells"], told["trainings"], told["cached"]) == (4, TRAININGS, 0)
    assert told["seconds"] > 0 and len(told["not_run"]) == 2
    assert not list((Store().folder / "runs").glob("*"))
    assert main(["study", str(plan), "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert f"4 cells, {TRAININGS} trainings, 0 trained before; time for the rest: about" in said
    assert "15 tasks cannot form 16 clusters" in said
    assert main(["study"]) == 2
    assert "Name a plan" in capsys.readouterr().err
    plan.write_text("[[grid]]\nk = 2")
    assert main(["study", str(plan)]) == 2
    assert "Grid 1 says nothing of group" in capsys.readouterr().err


def test_families_are_counted_before_there_are_data_maps() -> None:
    study = study_of(PLAN.replace('"random"]', '"superclass"]'), "digits")
    cost = cost_of(study, Store())
    assert cost.distinct == TRAININGS
