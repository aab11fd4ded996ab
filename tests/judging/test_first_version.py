"""Judgements that came with the project before version 2 are read as those of version 2."""

from __future__ import annotations

import json
from typing import Any

import pytest

from stg_core.judging.first_version import upgraded
from stg_core.results.store import BUNDLES

REPORTS = {
    path.stem: json.loads(path.read_bytes()) for path in (BUNDLES / "specialists").glob("*.json")
}
FIRST = {name: report for name, report in REPORTS.items() if report.get("version", 1) == 1}


@pytest.mark.parametrize("name", FIRST)
def test_every_number_of_an_old_judgement_is_kept(name: str) -> None:
    old, new = FIRST[name], upgraded(FIRST[name])
    of_numbers = old.get("score") == "R²"
    assert new["version"] == 2 and new["left_out"] == []
    assert new["measures"] == (["r2"] if of_numbers else ["f1", "balanced_accuracy", "accuracy"])
    for variant, found in new["variants"].items():
        before = old["variants"][variant]
        assert list(found["measures"]) == new["measures"]
        first = found["measures"][new["measures"][0]]
        assert first["to_mtl"] == before["to_mtl"]
        for scheme, scores in before["schemes"].items():
            told = first["schemes"][scheme]
            assert (told["mean"], told["ci"]) == (scores["mean_f1"], scores["ci"])
            assert (told["seeds"], told["per_task"]) == (scores["seeds"], scores["per_task_f1"])
            assert told["best_epoch"] == {"mean": None, "seeds": [None] * len(old["seeds"])}
            assert found["schemes"][scheme]["test"] == scores["test"]
            if not of_numbers:
                other = found["measures"]["balanced_accuracy"]["schemes"][scheme]
                assert other["mean"] == scores["balanced_accuracy"]
                assert other["per_task"] == [None] * len(old["tasks"])
        for one, d in zip(first["differences"], before["differences"], strict=True):
            assert one["mean"] == pytest.approx(d["mean"], abs=2e-6) and one["ci"] == d["ci"]


def test_an_old_judgement_counts_its_models() -> None:
    costs = upgraded(FIRST["g1-k2"])["costs"]
    assert {s: (c["training"], c["serving"]) for s, c in costs.items()} == {
        "mtl": (1, 1),
        "stl": (10, 10),
        "specialists": (3, 2),
        "plain": (2, 2),
        "random": (2, 2),
    }
    assert all(cost["measured"] is None and cost["seconds"] > 0 for cost in costs.values())


def test_a_judgement_of_version_2_stays_what_it_is() -> None:
    new: dict[str, Any] = upgraded(FIRST["g1-k2"])
    assert upgraded(new) == new
