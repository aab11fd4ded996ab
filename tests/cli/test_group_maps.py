"""`stg group-maps`: data maps that lie on disk, grouped without a run."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from stg_core.cli.main import main
from tests.many import labels_of, pattern_of, write_maps

N_TASKS, N_POINTS = 30, 300


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str]:
    write_maps(tmp_path / "maps.npy", N_TASKS, N_POINTS, (2, 4))
    np.save(tmp_path / "labels.npy", labels_of(N_TASKS, N_POINTS))
    return str(tmp_path / "maps.npy"), str(tmp_path / "labels.npy")


@pytest.mark.parametrize("limit", [2_000, 0])
def test_their_tasks_are_grouped_and_it_says_how(
    limit: int,
    files: tuple[str, str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("stg_core.maps.many.MANY", min(limit, 300))
    monkeypatch.setattr("stg_core.maps.many.VERY_MANY", limit)
    out = tmp_path / "out.csv"
    command = ["group-maps", *files, "--epochs", "2,4", "--k", "6", "--csv", str(out), "--json"]
    assert main(command) == 0
    answer = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert answer["distances"] == ("exact" if limit else "projected")
    assert ("random projection" in answer["way"]) != bool(limit)
    assert answer["recorded_epochs"] == [2, 4]
    assert adjusted_rand_score(pattern_of(N_TASKS), answer["labels"]) == 1
    rows = list(csv.reader(out.open(encoding="utf-8")))
    assert rows[0][:2] == ["task", "cluster 1"] and len(rows) == N_TASKS + 1
    assert sum(map(float, rows[1][1:])) == pytest.approx(1)


def test_what_is_no_data_map_is_refused_in_a_sentence(
    files: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    maps, labels = files
    turned, beyond, names = (tmp_path / name for name in ("turned.npy", "beyond.npy", "names"))
    np.save(turned, np.load(maps).swapaxes(2, 3))
    np.save(beyond, np.load(maps) * 3)
    names.write_text("a\na\n")
    for words, said in (
        ([labels, labels], "should be (E, 2, T, N)"),
        ([str(turned), labels], "should be (30, 300)"),
        ([str(beyond), labels], "give confidence and variability"),
        ([str(names), labels], "is no array of numbers"),
        ([str(tmp_path / "none.npy"), labels], "Cannot read"),
        ([maps, labels, "--epochs", "2,4,6"], "of 2 epochs"),
        ([maps, labels, "--names", str(names)], "should have 30 lines"),
        ([maps, labels, "--k", "31"], "30 tasks can form 1 to 30 clusters"),
    ):
        assert main(["group-maps", *words, *(() if "--k" in words else ("--k", "3"))]) == 2
        assert said in capsys.readouterr().err
