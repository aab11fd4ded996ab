"""The verdict: what is said for every outcome of a comparison."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from stg_core.judging.report import bundled_reports
from stg_core.judging.verdict import Verdict, verdict_in

MEAN = 0.8
COSTS = {  # training, serving
    "mtl": (1, 1),
    "stl": (2, 2),
    "specialists": (4, 3),
    "plain": (3, 3),
    "random": (3, 3),
    "superclass": (3, 3),
    "longer": (4, 1),
    "wider": (3, 3),
    "warm": (2.5, 3),
    "plain_warm": (2.5, 3),
    "random_warm": (2.5, 3),
}
CONTROLS = ("longer", "plain", "wider", "random")


def measure(means: Mapping[str, float | None], reach: float, seeds: int = 1) -> dict[str, Any]:
    """One measure, in which two schemes can be told apart where they differ by more than reach."""
    names = list(means)
    differences = []
    for i, other in enumerate(names):
        for scheme in names[i + 1 :]:
            one, two = means[scheme], means[other]
            gap = None if one is None or two is None else one - two
            ends = [None, None] if gap is None else [gap - reach, gap + reach]
            differences.append(
                {"scheme": scheme, "other": other, "mean": gap, "ci": ends, "seeds": [gap] * seeds}
            )
    schemes = {
        name: {"mean": mean, "ci": [mean and mean - 0.02, mean and mean + 0.02]}
        for name, mean in means.items()
    }
    return {"schemes": schemes, "differences": differences}


def report_of(
    means: Mapping[str, float | None], reach: float = 0.005, seeds: int = 1, **more: Any
) -> dict[str, Any]:
    """A report whose schemes have these means in AUROC; more: other measures, or what it tells."""
    others = {name: more.pop(name) for name in [*more] if name in ("f1", "balanced_accuracy")}
    measures = {"auroc": measure(means, reach, seeds)}
    measures |= {name: measure(values, reach, seeds) for name, values in others.items()}
    return {
        "version": 2,
        "group": "made up",
        "tasks": ["a", "b", "Random"],
        "schemes": list(means),
        "seeds": list(range(seeds)),
        "intervals": "points and seeds" if seeds > 1 else "points",
        "measures": list(measures),
        "left_out": [],
        "costs": {s: {"training": COSTS[s][0], "serving": COSTS[s][1]} for s in means},
        "variants": {"logits-soft": {"measures": measures}},
        **more,
    }


def told(specialists: float | None = MEAN, *, by: str = "", **means: Any) -> Verdict:
    """What is said of specialists and others with these means."""
    more = {name: means.pop(name) for name in [*means] if name not in COSTS}
    found = {"mtl": 0.7, "specialists": specialists, **means}
    return verdict_in(report_of(found, **more), "logits-soft", by)


def controls(**means: float) -> dict[str, Any]:
    """All controls, worse than the specialists but for these."""
    return {**dict.fromkeys(CONTROLS, 0.75), **means}


def test_the_grouping_pays_where_it_beats_every_control() -> None:
    verdict = told(**controls())
    assert verdict.headline == (
        "The grouping pays: the specialists are better than one model trained longer, the plain"
        " ensemble, one wider model and the random grouping, with a mean AUROC of 0.800 to 0.750."
    )
    assert "Not tried" not in verdict.details


def test_a_control_that_was_not_tried_is_named_in_the_first_line_of_a_win() -> None:
    verdict = told(plain=0.75, random=0.74)
    assert verdict.headline == (
        "The grouping pays: the specialists are better than the plain ensemble and the random"
        " grouping, with a mean AUROC of 0.800 to 0.750; one model trained longer and one wider"
        " model were not tried."
    )
    assert "Not tried: one model trained longer (longer) and one wider" in verdict.details


@pytest.mark.parametrize(
    ("control", "name"),
    [
        ("longer", "one model trained longer"),
        ("plain", "the plain ensemble"),
        ("wider", "one wider model"),
    ],
)
def test_one_better_control_at_equal_cost_is_enough_for_it_not_to_pay(
    control: str, name: str
) -> None:
    assert told(**controls(**{control: 0.85})).headline == (
        f"The grouping does not pay: {name} is better, with a mean AUROC of 0.850 to 0.800."
    )


def test_a_control_that_cannot_be_told_apart_leaves_it_open() -> None:
    assert told(**controls(longer=0.801, random=0.799)).headline == (
        "It cannot be told whether the grouping pays: the specialists cannot be told apart from"
        " one model trained longer and the random grouping (mean AUROC 0.800 to 0.801)."
    )


@pytest.mark.parametrize(
    ("random", "beginning", "end"),
    [
        (
            0.801,
            "Specialists pay, but it cannot be told that this grouping does",
            "the random grouping cannot be told apart from them",
        ),
        (
            0.85,
            "Specialists pay, but not this grouping",
            "the random grouping is better",
        ),
    ],
)
def test_what_the_wrong_tasks_win_as_well_is_not_owed_to_the_grouping(
    random: float, beginning: str, end: str
) -> None:
    headline = told(**controls(random=random)).headline
    assert headline == (
        f"{beginning}: they are better than one model trained longer, the plain ensemble and one"
        f" wider model, but {end} (mean AUROC {random:.3f} to 0.800)."
    )


def test_the_same_grouping_on_other_tasks_is_no_control() -> None:
    """With as many clusters as tasks, every order of the tasks is the grouping itself."""
    report = report_of({"mtl": 0.7, "specialists": 0.8, "random": 0.8, "longer": 0.75})
    for found in report["variants"]["logits-soft"]["measures"]["auroc"]["differences"]:
        if {found["scheme"], found["other"]} == {"specialists", "random"}:
            found["mean"], found["ci"] = 0.0, [0.0, 0.0]
    verdict = verdict_in(report, "logits-soft")
    assert verdict.headline == (
        "The grouping pays: the specialists are better than one model trained longer, with a mean"
        " AUROC of 0.800 to 0.750; the plain ensemble and one wider model were not tried."
    )
    assert "No control here: the random grouping answers exactly as the specialists" in (
        verdict.details
    )
    assert "-0.0000" not in verdict.text


@pytest.mark.parametrize(
    ("random", "words"),
    [(0.85, "The grouping does not pay: the random"), (0.8, "The grouping is not known to pay")],
)
def test_the_wrong_tasks_alone_decide_too(random: float, words: str) -> None:
    assert told(random=random).headline.startswith(words)


def test_without_controls_or_specialists_nothing_is_decided() -> None:
    assert told().headline == (
        "It cannot be told whether the grouping pays: none of its controls was tried. Add the"
        " schemes longer, plain, wider and random."
    )
    alone = verdict_in(report_of({"mtl": 0.7, "plain": 0.8}), "logits-soft")
    assert alone.headline.startswith("No specialists were trained")
    assert "should take" not in alone.details


def test_equal_cost_is_compared_first_and_all_differences_have_intervals() -> None:
    details = told(stl=0.81, **controls(plain=0.85)).details
    assert details.startswith(
        "At equal training cost: the specialists are better than one model trained longer (+0.0500,"
        " 95 % interval +0.0450 to +0.0550) and are worse than the plain ensemble (-0.0500,"
    )
    order = ("At equal training cost", "At equal serving cost", "The grouping itself", "Beside")
    places = [details.index(beginning) for beginning in order]
    assert places == sorted(places)
    assert "Beside that: the specialists are better than MTL (+0.1000" in details


def test_warm_specialists_have_controls_of_their_own() -> None:
    warm: dict[str, Any] = {"warm": 0.82, "plain_warm": 0.80, "random_warm": 0.8201}
    details = told(**controls(), **warm).details
    assert (
        "Warm ones: the warm specialists are better than the plain warm ensemble (+0.0200,"
        in details
    )
    assert "cannot be told apart from the warm random grouping (-0.0001" in details
    alone = verdict_in(report_of({"mtl": 0.7, **warm, "random_warm": 0.8}), "logits-soft")
    assert alone.headline == (
        "The grouping pays: the warm specialists are better than the plain warm ensemble and the"
        " warm random grouping, with a mean AUROC of 0.820 to 0.800."
    )


# ------------------------------------------------------------------------------- what to take


def test_the_best_that_the_budget_of_the_specialists_buys_is_recommended() -> None:
    assert (
        "Who can train for 4 times MTL should take one model trained longer: the best mean AUROC,"
        " 0.850 (0.830–0.870); it costs 4 to train and 1 to serve."
    ) in told(**controls(longer=0.85)).details


def test_of_those_that_cannot_be_told_apart_the_cheapest_to_serve_is_recommended() -> None:
    assert (
        "should take one model trained longer: it costs 4 to train and 1 to serve, and cannot be"
        " told apart from the best, the plain ensemble (0.848 (0.828–0.868) to 0.850"
        " (0.830–0.870)), which costs 3 to serve."
    ) in told(**controls(plain=0.85, longer=0.848)).details


def test_what_another_affordable_scheme_beats_is_not_recommended() -> None:
    report = report_of({"mtl": 0.7, "specialists": 0.8, "plain": 0.81})
    (unclear,) = (
        difference
        for difference in report["variants"]["logits-soft"]["measures"]["auroc"]["differences"]
        if {difference["scheme"], difference["other"]} == {"mtl", "plain"}
    )
    unclear["ci"] = [-0.2, 0.2]  # the best is not known to be better than MTL, but another one is
    assert "should take MTL" not in verdict_in(report, "logits-soft").details


def test_what_costs_more_to_train_is_not_recommended() -> None:
    report = report_of({"mtl": 0.7, "specialists": 0.8, "stl": 0.9})
    report["costs"]["stl"]["training"] = 15
    assert "should take the specialists" in verdict_in(report, "logits-soft").details
    report["costs"]["specialists"]["training"] = None
    assert "should take" not in verdict_in(report, "logits-soft").details, "nobody counted it"


# --------------------------------------------------------------------- measures that disagree


def test_measures_that_disagree_are_named_with_what_they_say() -> None:
    by_f1: Any = {"mtl": 0.3, "specialists": 0.5, "plain": 0.6, "longer": 0.4}
    verdict = told(plain=0.75, longer=0.74, f1=by_f1)
    assert verdict.headline.endswith("Measures disagree about it.")
    assert (
        "Measures disagree: by F1 the specialists are worse than the plain ensemble, the opposite"
        " of what AUROC says."
    ) in verdict.details
    other = told(plain=0.75, longer=0.74, f1=by_f1, by="f1")
    assert other.headline.startswith("The grouping does not pay: the plain ensemble is better")
    assert "by AUROC the specialists are better than the plain ensemble" in other.details


def test_measures_that_cannot_tell_do_not_disagree() -> None:
    verdict = told(plain=0.75, f1={"mtl": 0.3, "specialists": 0.5, "plain": 0.501})
    assert "disagree" not in verdict.text
    mtl = told(plain=0.75, f1={"mtl": 0.6, "specialists": 0.5, "plain": 0.4})
    assert "disagree" not in mtl.headline, "which is of the controls"
    assert "by F1 the specialists are worse than MTL" in mtl.details


# ------------------------------------------------------------------------ tasks, seeds, intervals


def test_a_task_that_nobody_learns_is_named() -> None:
    assert (
        "a and b are not learned better than chance: left out."
        in told(plain=0.75, left_out=["a", "b"]).details
    )
    of_g2 = told(plain=0.75, group="g2", left_out=["a", "Random"]).details
    assert "Random is a coin flip: left out. a is not learned better than chance" in of_g2


def test_where_nothing_is_learned_or_defined_nothing_can_be_told() -> None:
    verdict = told(None, plain=None, left_out=["a", "b", "Random"])
    assert verdict.headline == "Nothing can be told: no task is learned better than chance."
    assert "left out" in verdict.details
    assert told(None, plain=None).text == (
        "Nothing can be told: AUROC is not defined for any of the tasks."
    )


def test_what_intervals_are_over_is_said() -> None:
    assert "of one seed, and its intervals are over test images only" in told(plain=0.75).details
    five = told(plain=0.75, seeds=5).details
    assert "a mean over 5 seeds, and intervals are over test images and seeds." in five
    assert "which 2 seeds make very wide" in told(plain=0.75, seeds=2).details


def test_seeds_that_disagree_tell_nothing_where_intervals_are_over_points_alone() -> None:
    report = report_of({"specialists": 0.8, "plain": 0.75}, seeds=2)
    found = report["variants"]["logits-soft"]["measures"]["auroc"]["differences"][0]
    assert (found["scheme"], found["mean"]) == ("plain", pytest.approx(-0.05))
    found["seeds"] = [-0.11, 0.01]
    assert verdict_in(report, "logits-soft").headline.startswith("The grouping pays")
    report["intervals"] = "points"
    assert verdict_in(report, "logits-soft").headline.startswith("It cannot be told")


def test_an_interval_that_was_not_kept_is_not_made_up() -> None:
    report = report_of({"mtl": 0.7, "specialists": 0.8, "plain": 0.75})
    for found in report["variants"]["logits-soft"]["measures"]["auroc"]["differences"]:
        found["ci"] = [None, None]
    verdict = verdict_in(report, "logits-soft")
    assert verdict.headline.startswith("It cannot be told")
    assert "its interval was not kept" in verdict.details
    assert "should take the specialists: the best mean" in verdict.details


# ----------------------------------------------------------------------------------- the bundles


@pytest.mark.parametrize("name", bundled_reports())
def test_bundled_judgements_tell_what_their_scores_say_today(name: str) -> None:
    report = bundled_reports()[name]
    for variant, found in report["variants"].items():
        for by, judged in found["measures"].items():
            verdict = verdict_in(report, variant, by)
            assert (judged["headline"], judged["verdict"]) == (verdict.headline, verdict.text)
            assert ("is a coin flip" in verdict.details) == ("Random" in report["tasks"])
