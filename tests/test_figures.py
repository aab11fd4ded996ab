"""Figures that the README and the lesson tell, against the judgements that they are of."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from stg_core.grouping.agreement import Reference, agreement_with, built_in_reference
from stg_core.grouping.memberships import Grouping, TaskSpace, group_tasks
from stg_core.grouping.prevalence import explained_prevalence
from stg_core.judging.report import bundled_reports
from stg_core.judging.verdict import verdict_in
from stg_core.maps.summary import DataMapSummary
from stg_core.results.store import Store

ROOT = Path(__file__).resolve().parents[1]
README_LINES = (ROOT / "README.md").read_text().splitlines()
README = " ".join(" ".join(README_LINES).split())
ANSWER = " ".join(
    tomllib.loads((ROOT / "assets" / "lesson.toml").read_text())["step"][-1]["answer"].split()
)
REPORTS = bundled_reports()


def schemes(name: str, measure: str = "", variant: str = "logits-soft") -> dict[str, Any]:
    """What a bundled judgement says of its schemes, by a measure or by F1 or R²."""
    measures = REPORTS[name]["variants"][variant]["measures"]
    found: dict[str, Any] = measures[measure or ("f1" if "f1" in measures else "r2")]["schemes"]
    return found


def told(mean: float, ends: tuple[float, float]) -> str:
    return f"{mean:.3f} ({ends[0]:.3f}–{ends[1]:.3f})"


@pytest.mark.parametrize("name", REPORTS)
def test_the_readme_tells_both_numbers_of_every_scheme(name: str) -> None:
    report, found = REPORTS[name], schemes(name)
    balanced = (
        schemes(name, "balanced_accuracy") if "balanced_accuracy" in report["measures"] else {}
    )
    beginning = f"| {report['group']}, k = {report['k']}, "
    (row,) = (line for line in README_LINES if line.lower().startswith(beginning))
    cells = [cell.strip() for cell in row.strip("|").split("|")][1:]
    order = ("mtl", "stl", "specialists", "plain", "random", "superclass")
    for scheme, cell in zip(order, cells, strict=True):
        s = found.get(scheme)
        expected = "" if s is None else told(s["mean"], s["ci"])
        if scheme in balanced:
            expected += f"<br>{told(balanced[scheme]['mean'], balanced[scheme]['ci'])}"
        assert cell == expected, scheme


def test_both_tell_that_the_two_numbers_disagree_on_g3() -> None:
    f1 = {scheme: scores["mean"] for scheme, scores in schemes("g3-k5").items()}
    balanced = {s: scores["mean"] for s, scores in schemes("g3-k5", "balanced_accuracy").items()}
    assert f1["specialists"] > f1["plain"] and balanced["specialists"] < balanced["plain"]
    for found in (f1, balanced):
        assert f"({found['specialists']:.3f} to {found['plain']:.3f})" in README
    assert "disagree" in README and "disagree" in ANSWER
    hard = schemes("g3-k5", variant="logits-hard")
    best = max(scores["mean"] for scores in hard.values())
    assert hard["specialists"]["mean"] == best and f"({best:.3f})" in README
    found = schemes("g3-k5", "balanced_accuracy", "logits-hard")
    below = found["specialists"]["mean"], found["mtl"]["mean"]
    assert below[0] < below[1] and f"({below[0]:.3f} to {below[1]:.3f})" in README


def test_the_lesson_tells_both_numbers() -> None:
    reports = [REPORTS[name] for name in ("g1-k2", "g3-k5")]
    heads = [f"{report['group'].upper()}, k = {report['k']}" for report in reports]
    assert f"| Scheme | {' | '.join(heads)} |" in ANSWER
    rows = {"mtl": "one model", "plain": "plain models"}
    rows |= {"specialists": "specialists", "random": "wrong tasks"}
    for scheme, title in rows.items():
        cells = [
            f"{schemes(name)[scheme]['mean']:.3f}"
            f" / {schemes(name, 'balanced_accuracy')[scheme]['mean']:.3f}"
            for name in ("g1-k2", "g3-k5")
        ]
        assert f"| {title} | {' | '.join(cells)} |" in ANSWER


def test_both_tell_what_g2_comes_to_without_its_coin() -> None:
    found, coin = schemes("g2-k3"), REPORTS["g2-k3"]["tasks"].index("Random")
    without = {}
    for scheme, scores in found.items():
        learned = [f1 for t, f1 in enumerate(scores["per_task"]) if t != coin]
        without[scheme] = sum(learned) / len(learned)
        assert f"| {without[scheme]:.3f} |" in README
    whole = found["specialists"]["mean"] - found["mtl"]["mean"]
    gain = without["specialists"] - without["mtl"]
    flips = found["specialists"]["per_task"][coin] - found["mtl"]["per_task"][coin]
    for text in (README, ANSWER):
        assert f"{whole:.4f}" in text and f"{gain:.4f}" in text
    assert f"rises by {flips:.2f} from MTL to specialists" in README


def test_what_the_readme_says_of_accuracy_holds() -> None:
    baseline = REPORTS["g3-k5"]["accuracy_baseline"]
    assert f"right for {baseline:.3f}" in README
    assert all(s["mean"] < baseline for s in schemes("g3-k5", "accuracy").values())


def test_the_readme_tells_what_the_clusters_of_others_tasks_follow() -> None:
    def clusters(name: str, k: int) -> tuple[DataMapSummary, Grouping]:
        summary = Store().run(f"bundled:{name}").summary
        return summary, group_tasks(TaskSpace(summary), k, 2.0, "soft")

    tox21 = explained_prevalence(*clusters("tox21", 2))
    assert tox21 and f"they explain {100 * tox21.share:.0f} % of how it varies" in README
    assert f"at most {100 * tox21.high:.0f} %" in README
    cal500 = explained_prevalence(*clusters("cal500", 10))
    assert cal500 and f"prevalence explains {100 * cal500.share:.0f} % of its clusters" in README
    assert f"chance reaches {100 * cal500.high:.0f} %" in README
    for name in ("tox21-k2", "yeast-k7", "cal500-k2", "oes97-k8"):
        headline = verdict_in(REPORTS[name], "logits-soft").headline
        assert headline.startswith("It cannot be told whether the grouping pays")


def test_the_readme_tells_what_tags_and_assays_have_to_do_with_each_other() -> None:
    assays = Store().run("bundled:tox21")
    families = built_in_reference(assays.spec.group, assays.spec.tasks)
    tags = Store().run("bundled:cal500")
    opposite = [name.replace("NOT-", "") for name in tags.spec.tasks]
    plain = [name.removeprefix("Emotion-") for name in opposite]
    labels = tuple(name if plain.count(name) == 2 else None for name in plain)
    assert len({*labels} - {None}) == 30
    for run, reference in (
        (assays, families),
        (tags, Reference("opposites", tags.spec.tasks, labels)),
    ):
        assert reference is not None
        grouping = group_tasks(TaskSpace(run.summary), 2, 2.0, "soft")
        score = agreement_with(reference, grouping).scores["adjusted_rand_index"]
        value = f"{score.value:.3f}".replace("-", "−")
        assert f"adjusted Rand index {value}" in README and f"p = {score.p_value:.3f}" in README
