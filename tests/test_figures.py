"""Figures that the README and the lesson tell, against the judgements that they are of."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from stg_core.affinity.seeds import load_seed_table, seed_table_path
from stg_core.affinity.truth import (
    Estimate,
    MethodTruth,
    better_than_random,
    kept_methods,
    kept_truth,
)
from stg_core.grouping.agreement import Reference, agreement_with, built_in_reference
from stg_core.grouping.memberships import Grouping, TaskSpace, group_tasks
from stg_core.grouping.prevalence import explained_prevalence
from stg_core.judging.comparing import compared
from stg_core.judging.report import bundled_reports
from stg_core.judging.study_table import CELL, bundled_studies, read_rows
from stg_core.judging.verdict import verdict_in
from stg_core.maps.summary import DataMapSummary
from stg_core.results.store import Store

ROOT = Path(__file__).resolve().parents[1]
README_LINES = (ROOT / "README.md").read_text().splitlines()
README = " ".join(" ".join(README_LINES).split())
STEPS = tomllib.loads((ROOT / "assets" / "lesson.toml").read_text())["step"]
ANSWER = " ".join(
    next(step["answer"] for step in STEPS if step["title"] == "What specialists do with it").split()
)
REPORTS = bundled_reports()


def schemes(name: str, measure: str = "", variant: str = "logits-soft") -> dict[str, Any]:
    """What a bundled judgement says of its schemes, by a measure or by F1 or R²."""
    measures = REPORTS[name]["variants"][variant]["measures"]
    found: dict[str, Any] = measures[measure or ("f1" if "f1" in measures else "r2")]["schemes"]
    return found


def told(mean: float, ends: tuple[float, float]) -> str:
    return f"{mean:.3f} ({ends[0]:.3f}–{ends[1]:.3f})"


NEW = ("digits-k3", "tox21-k2", "yeast-k7", "cal500-k2", "oes97-k8")  # with all controls
ROWS = {
    "mtl": "MTL | 1 | 1",
    "stl": "STL | T | T",
    "specialists": "specialists | k + 1 | k",
    "longer": "longer | k + 1 | 1",
    "plain": "plain ensemble | k | k",
    "wider": "wider | k | k",
    "random": "random grouping | k | k",
    "superclass": "families | k | k",
    "warm": "warm specialists | 1 + k/2 | k",
    "plain_warm": "plain warm ensemble | 1 + k/2 | k",
    "random_warm": "warm random grouping | 1 + k/2 | k",
}


@pytest.mark.parametrize("scheme", ROWS)
def test_the_readme_tells_every_scheme_by_the_measure_that_decides(scheme: str) -> None:
    cells = []
    for name in NEW:
        found = schemes(name, REPORTS[name]["measures"][0])
        cells.append(told(found[scheme]["mean"], found[scheme]["ci"]) if scheme in found else "")
    assert f"| {ROWS[scheme]} | {' | '.join(cells)} |" in README_LINES


def test_what_the_readme_says_of_costs_is_what_the_reports_count() -> None:
    for name in NEW:
        k, n_tasks = REPORTS[name]["k"], len(REPORTS[name]["tasks"])
        counted = {"1": 1, "k": k, "k + 1": k + 1, "1 + k/2": 1 + k / 2, "T": n_tasks}
        for scheme, costs in REPORTS[name]["costs"].items():
            _, training, serving = ROWS[scheme].split(" | ")
            assert costs["training"] == pytest.approx(counted[training], rel=0.03)
            assert costs["serving"] == pytest.approx(counted[serving], rel=0.03)


def test_the_readme_advises_what_the_verdicts_advise() -> None:
    taken = {
        "digits-k3": "the plain ensemble",
        "tox21-k2": "MTL",
        "yeast-k7": "the plain ensemble",
        "cal500-k2": "one model trained longer",
        "oes97-k8": "one model trained longer",
    }
    for name, scheme in taken.items():
        verdict = verdict_in(REPORTS[name], "logits-soft")
        said = "The grouping does not pay: the plain ensemble is better"
        if name != "digits-k3":
            said = "It cannot be told whether the grouping pays"
        assert verdict.headline.startswith(said)
        assert f"should take {scheme}:" in verdict.details
    assert (
        "should take MTL on Tox21, the plain ensemble on the digits and yeast, and one model"
        " trained longer on CAL500 and oes97" in README
    )


def test_the_readme_tells_specialists_from_their_controls_as_the_reports_do() -> None:
    for name, told_as in (
        ("tox21-k2", "(by {:.4f}, 95 % interval {:.4f} to {:.4f})"),
        ("yeast-k7", "(by {:.4f}, {:.4f} to {:.4f})"),
        ("digits-k3", "(by {:.4f}, {:.4f} to {:.4f})"),
    ):
        found = difference(name, "longer", "specialists")
        low, high = found["ci"]
        assert high < 0 and told_as.format(-found["mean"], -high, -low) in README
    for name in NEW:
        low, high = difference(name, "random", "specialists")["ci"]
        assert low < 0 < high
        low, high = difference(name, "plain", "specialists")["ci"]
        assert low < 0 < high or name == "digits-k3"
    plain = difference("digits-k3", "plain", "specialists")
    told_as = "better than the specialists there (by {:.4f}, {:.4f} to {:.4f})"
    assert told_as.format(plain["mean"], *plain["ci"]) in README
    for name, gains in zip(NEW, (False, False, False, True, True), strict=True):
        assert (difference(name, "specialists", "mtl")["ci"][0] > 0) == gains
    for name in ("cal500-k2", "oes97-k8"):
        low, high = difference(name, "longer", "specialists")["ci"]
        assert low < 0 < high
    for name in ("tox21-k2", "yeast-k7"):
        assert difference(name, "plain", "specialists", "f1_tuned")["ci"][0] > 0
    for name in ("tox21-k2", "yeast-k7", "cal500-k2"):
        assert difference(name, "longer", "specialists", "accuracy")["ci"][0] > 0


def test_warm_specialists_are_better_than_their_own_controls_on_the_digits_alone() -> None:
    for name in NEW:
        found = [difference(name, control, "warm") for control in ("plain_warm", "random_warm")]
        better = [-one["mean"] for one in found if one["ci"][1] < 0]
        assert len(better) == (2 if name == "digits-k3" else 0)
        if better:
            assert "better than both (by {:.4f} and {:.4f})".format(*better) in README


def test_the_readme_tells_best_epochs_and_what_is_left_out() -> None:
    best = {s: found["best_epoch"]["mean"] for s, found in schemes("tox21-k2", "auroc").items()}
    alone = f"MTL alone has {best['mtl']:.3f} on Tox21 (specialists {best['specialists']:.3f})"
    assert alone in README
    left_out = {name: len(REPORTS[name]["left_out"]) for name in NEW[1:]}
    assert REPORTS["digits-k3"]["left_out"] == ["Random"]
    assert left_out == {"tox21-k2": 0, "yeast-k7": 0, "cal500-k2": 110, "oes97-k8": 2}
    assert "2 of the 16 numbers of oes97 and 110 of the 174 tags of CAL500" in README


def difference(name: str, scheme: str, other: str, measure: str = "") -> dict[str, Any]:
    """Of the means of two schemes, by a measure or by the one that decides."""
    measures = REPORTS[name]["variants"]["logits-soft"]["measures"]
    found = measures[measure or REPORTS[name]["measures"][0]]["differences"]
    (one,) = (d for d in found if (d["scheme"], d["other"]) == (scheme, other))
    return dict(one)


@pytest.mark.parametrize("name", [name for name in REPORTS if name not in NEW])
def test_the_readme_tells_both_numbers_of_every_scheme(name: str) -> None:
    report, found = REPORTS[name], schemes(name)
    assert not {"longer", "wider", "warm"} & {*report["schemes"]}
    assert "**Longer, wider and warm were not tried there**" in README
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


def test_the_lesson_tells_what_the_same_budget_buys_otherwise() -> None:
    names = "tox21-k2", "yeast-k7"
    heads = [f"{REPORTS[name]['group'].capitalize()}, k = {REPORTS[name]['k']}" for name in names]
    assert f"| Scheme | {' | '.join(heads)} |" in ANSWER
    rows = {"mtl": "one model", "longer": "trained longer", "plain": "plain models"}
    rows |= {"specialists": "specialists", "random": "wrong tasks"}
    for scheme, title in rows.items():
        cells = [f"{schemes(name, 'auroc')[scheme]['mean']:.3f}" for name in names]
        assert f"| {title} | {' | '.join(cells)} |" in ANSWER
    assert "ahead of the model that was trained longer, but they cannot be told apart" in ANSWER


def test_the_lesson_tells_where_measures_disagree() -> None:
    for measure, how in (("f1", "ahead of plain models"), ("balanced_accuracy", "behind")):
        found = schemes("g3-k5", measure)
        told = " to ".join(f"{found[scheme]['mean']:.3f}" for scheme in ("specialists", "plain"))
        assert f"{how} ({told})" in ANSWER


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


def percent(one: Estimate) -> str:
    """Such as "0.7 % (−1.7 to 3.1)"."""
    ends = (f"{100 * end:.1f}".replace("-", "−") for end in (one.mean, one.low, one.high))
    return "{} % ({} to {})".format(*ends)


@pytest.mark.parametrize("name", ["yeast-8", "tox21-8", "chemical-10", "digits-8"])
def test_the_readme_tells_what_tables_with_several_seeds_tell(name: str) -> None:
    table = load_seed_table(seed_table_path(name))
    truth, methods = kept_truth(table), {one.method: one for one in kept_methods(table, 3)}
    assert truth.n_seeds == 5, "which the README says of every table"
    for title in better_than_random(list(methods.values())):
        told = next(one for one in methods.values() if one.title == title)
        if title != "Exhaustive":
            mean, ends = percent(told.over_random).split(" % ")
            assert f"{mean} %" in README and ends.strip("()") in README, title
    if name == "digits-8":
        return
    last, stopped = (truth.readings[stop] for stop in ("last", "model"))
    assert f"{100 * last.together.mean:.1f} %" in README
    assert percent(methods["together"].score) in README
    for reliability in (stopped.gains.points, stopped.own.points):
        assert f"{reliability:.2f}".replace("-", "−") in README


def test_the_readme_tells_what_dmtg_comes_to() -> None:
    def of(name: str, budget: int) -> dict[str, MethodTruth]:
        table = load_seed_table(seed_table_path(name))
        return {one.method: one for one in kept_methods(table, budget)}

    for name in ("yeast-8", "tox21-8", "digits-8", "chemical-10"):
        dmtg = of(name, 3)["dmtg"]
        after = f"{percent(dmtg.over_random)} on `{name}` after {dmtg.cost:.1f}"
        assert after in README and dmtg.over_random.sign == 0
    four = of("chemical-10", 4)
    mean, ends = percent(four["dmtg"].over_random).split(" % ")
    assert f"With four models it can be there ({mean} %, {ends.strip('()')})" in README
    assert four["dmtg"].over_random.sign > 0 and four["together"].score.low > 0
    assert four["together"].score.mean > four["dmtg"].score.mean


def test_the_readme_tells_what_comes_out_of_a_study_of_images() -> None:
    rows = read_rows(bundled_studies()["images"])
    cells = compared(rows, "auroc", "specialists")
    worse = [one for one in cells if one.of_all < 0]
    assert len(cells) == 7 and len(worse) == 6 and not any(one.of_all > 0 for one in cells)
    assert "In none of its 7 cells" in README and "in 6 one is better" in README
    losses = [-one.difference for one in worse]
    assert f"(by {min(losses):.4f} to {max(losses):.4f} AUROC)" in README
    assert [one.other for one in worse].count("plain") == 5, "mostly the plain ensemble"
    assert [one.cell["group"] for one in cells if one.of_all == 0] == ["g3"]
    beaten = {(o.cell["group"], o.cell["k"], o.cell["method"]) for o in cells if o.at_random == 1}
    assert beaten == {("g1", 2, "hard"), ("g1", 3, "soft"), ("g2", 3, "soft")}
    by_cell: dict[tuple[object, ...], dict[str, float]] = {}
    for row in rows:
        place = tuple(row[name] for name in (*CELL, "routing"))
        if row["measure"] == "auroc":
            by_cell.setdefault(place, {})[row["scheme"]] = row["mean"]
    soft = [found for place, found in by_cell.items() if place[-1] == "soft"]
    assert all(min(found, key=lambda scheme: found[scheme]) == "longer" for found in soft)


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
