"""A judgement as tables and files: what is on the Specialists page, to take away."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import pandas as pd
import streamlit as st

from app.charts import quality
from app.charts import specialists as charts
from app.charts.base import number
from app.charts.specialists import Picture, about_scheme, interval, scheme_title
from stg_core.judging.report import bundled_reports
from stg_core.judging.verdict import MEASURE_NAMES, SLACK, Words, verdict_in
from stg_core.system.extras import is_installed, what_to_install
from stg_core.tasks.groups import GROUPS

MEASURES = {
    "auroc": "AUROC: the share of pairs of a yes and a no that are in the right order; by chance,"
    " 0.5. Of several classes, the mean over them, each against the rest.",
    "average_precision": "Average precision: the mean precision over all thresholds; by chance, the"
    " share of the points to which the answer is yes.",
    "f1": "F1 of yes or no at threshold 0, as in the paper; of several classes the mean of theirs.",
    "f1_tuned": "F1 at the threshold that is best on the measured training points.",
    "balanced_accuracy": "Mean of the recalls of the answers.",
    "accuracy": "Share of right answers. Compare with the column Without a model.",
    "r2": "R²: 1 for predictions without error, 0 for those of the mean alone.",
}
NAMED = 5  # tasks, in a sentence

Report = Mapping[str, Any]


def measure_title(report: Report, measure: str) -> str:
    """At the beginning of a sentence or of a column."""
    name = Words.of(report).measure(measure)
    return name[0].upper() + name[1:]


def about_bands(report: Report) -> str:
    points = f"{Words.of(report).point}s"
    if report["intervals"] == "points and seeds":
        return (
            f"Bands and intervals are 95 % intervals over {points} and seeds: how much the scores"
            " would change with others of both."
        )
    return (
        f"Bands and intervals are 95 % intervals over {points}: how much the scores would change"
        f" with other {points}, not with other seeds."
    )


def about_picture(report: Report) -> str:
    """How the picture of quality and cost is to be read."""
    over = report["intervals"].replace("points", f"{Words.of(report).point}s")
    seeds = " Small points: each seed." if len(report["seeds"]) > 1 else ""
    return (
        "Behind a name: its training cost; schemes of about the same cost stand side by side."
        " Lines: 95 % intervals of each mean,"
        f" over {over}.{seeds} Blue: the front, schemes of which it cannot be told that another one"
        " of no more cost is better. Grey and hollow: one is, beyond the interval of their"
        " difference, which is paired and so narrower than those drawn."
    )


def about_costs(report: Report) -> str:
    """Where costs as counted and as measured are not the same; of logs they are other things."""
    if "logs" in report:
        return ""
    words, apart = Words.of(report), []
    for scheme, costs in report["costs"].items():
        counted, measured = costs["training"], costs["measured"]
        if counted and measured and not 1 / SLACK <= measured / counted <= SLACK:
            told = f"{number(counted, '.1f')} counted, {number(measured, '.1f')} measured"
            apart.append(f"{words.scheme(scheme)} ({told})")
    if not apart:
        return ""
    return (
        f"Not within a tenth of each other: {', '.join(apart)}. Counted are multiply-adds, which"
        " depend on no machine. Seconds of small models grow less than these with the width, since"
        " much of a step is the same for any, and are of a machine that did other work too."
    )


def about_missing(report: Report) -> str:
    """What a judgement of the first version did not keep; empty for others."""
    if "f1" not in report["measures"] or "auroc" in report["measures"]:
        return ""
    lacking = [MEASURE_NAMES[name] for name in MEASURES if name not in (*report["measures"], "r2")]
    return (
        f"This judgement is of an earlier version: {', '.join(lacking)} were not kept, nor scores"
        " by best epoch, measured costs and intervals over seeds. Costs are counted in models."
    )


def about_undefined(report: Report, measure: str, differences: Mapping[str, Any]) -> str:
    """Which tasks are in no mean; empty where all are in it."""
    each = zip(report["tasks"], differences["mean"], strict=True)
    title, sentences = measure_title(report, measure), []
    if undefined := [task for task, mean in each if mean is None]:
        sentences.append(
            f"{title} is not defined (–) for {_some(undefined)}: such a task is in no mean."
        )
    if left_out := report["left_out"]:
        sentences.append(f"Not learned better than chance, and in no mean: {_some(left_out)}.")
    return " ".join(sentences)


def _some(tasks: Sequence[str]) -> str:
    return ", ".join(tasks[:NAMED]) + f" and {len(tasks) - NAMED} more" * (len(tasks) > NAMED)


def about_columns(report: Report) -> dict[str, str]:
    end = "mean over tasks and seeds after the last epoch, on the test points."
    if "logs" in report:
        counted, size, clock = "epochs", "models", "the seconds that the logs took"
    else:
        counted = size = "multiply-adds"
        clock = "processor seconds of the trainings"
    return {
        **{measure_title(report, name): f"{MEASURES[name]} {end}" for name in report["measures"]},
        "Best epoch": "The same, had each seed been stopped at its best epoch: chosen on one half"
        " of the test points and scored on the other, both ways round.",
        "Each seed": "The same of every seed, after the last epoch.",
        "Without a model": "Accuracy of always giving each task's most frequent answer.",
        "Models": "That answer together.",
        "Trainings": "Of all seeds; schemes share some.",
        "Training cost": f"Of one seed, counted in {counted}; 1 is one training of one model of"
        " all tasks. That of the specialists includes the training whose data maps were grouped.",
        "Serving cost": f"Of all models that answer, counted in {size}; 1 is one model of all"
        " tasks.",
        "Measured": f"Training cost by {clock}, over those of MTL; rough"
        " where other work ran on that machine meanwhile.",
    }


@st.cache_resource(show_spinner=False)
def bundled() -> dict[str, dict[str, Any]]:
    """The judgements that came with the project, by name."""
    return bundled_reports()


def title(report: Report) -> str:
    seeds = ", ".join(map(str, report["seeds"]))
    group, model = report["group"], re.sub(r", seed \d+", "", report["title"])
    if group in GROUPS:  # reports of the first version begin with the group's short name
        model = re.sub(rf"^{group}(?=, )", GROUPS[group].title, model)
    method = "" if report["method"] == "soft" else f", {report['method']}"
    return f"{model}, k = {report['k']}{method}, seed{'s' * (len(report['seeds']) > 1)} {seeds}"


def file_name(report: Report, variant: str, measure: str) -> str:
    return f"specialists-{report['group']}-k{report['k']}-{variant}-{measure}"


def final_scores(report: Report, variant: str, measure: str) -> pd.DataFrame:
    """A row per scheme, as people read it: one measure with intervals, and the means of others."""
    words, found = Words.of(report), report["variants"][variant]["measures"]
    rows = []
    for name, scores in found[measure]["schemes"].items():
        took, costs = report["trainings"][name], report["costs"][name]
        others = {
            measure_title(report, other): number(found[other]["schemes"][name]["mean"], ".3f")
            for other in report["measures"]
            if other != measure
        }
        baseline = {"Without a model": number(report.get("accuracy_baseline"), ".3f")}
        rows.append(
            {
                "Scheme": scheme_title(name, words),
                "Training cost": number(costs["training"]),
                "Measured": number(costs["measured"]),
                "Serving cost": number(costs["serving"]),
                measure_title(report, measure): interval(scores["mean"], scores["ci"]),
                "Best epoch": number(scores["best_epoch"]["mean"], ".3f"),
                "Each seed": ", ".join(number(seed, ".3f") for seed in scores["seeds"]),
                **others,
                **(baseline if "accuracy" in found else {}),
                "Models": took["models"],
                "Trainings": took["trainings"],
            }
        )
    return pd.DataFrame(rows)


def all_scores(report: Report, variant: str) -> pd.DataFrame:
    """A row per measure, scheme and task, with numbers in full; and one for the mean over tasks.

    That one has, beside its interval, the scheme's costs, its score by best epoch, and each seed's.
    """
    rows = []
    for measure, found in report["variants"][variant]["measures"].items():
        for name, scores in found["schemes"].items():
            place = {"measure": measure, "scheme": name}
            to_mtl = found["to_mtl"].get(name)
            rows += [
                {
                    **place,
                    "task": task,
                    "cluster": report["labels"][t] + 1,
                    "in the mean": task not in report["left_out"],
                    "score": scores["per_task"][t],
                    "low": scores["per_task_ci"][0][t],
                    "high": scores["per_task_ci"][1][t],
                    "difference_to_mtl": to_mtl["mean"][t] if to_mtl else None,
                    "difference_low": to_mtl["ci"][0][t] if to_mtl else None,
                    "difference_high": to_mtl["ci"][1][t] if to_mtl else None,
                }
                for t, task in enumerate(report["tasks"])
            ]
            seeds = zip(report["seeds"], scores["seeds"], strict=True)
            rows.append(
                {
                    **place,
                    "task": "mean over tasks",
                    "score": scores["mean"],
                    "low": scores["ci"][0],
                    "high": scores["ci"][1],
                    "best_epoch": scores["best_epoch"]["mean"],
                    "training_cost": report["costs"][name]["training"],
                    "measured_cost": report["costs"][name]["measured"],
                    "serving_cost": report["costs"][name]["serving"],
                    **{f"seed_{seed}": score for seed, score in seeds},
                }
            )
    return pd.DataFrame(rows).astype({"cluster": "Int64"})


def as_json(report: Report) -> bytes:
    return json.dumps(report, indent=1).encode()


# ------------------------------------------------------------------------------------- the report

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #1B2733;
  max-width: 1100px; margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse; font-size: 0.9rem }
th, td { padding: 0.3rem 0.7rem; border-bottom: 1px solid #D5DBE2; text-align: left;
  white-space: nowrap }
figure { margin: 1rem 0 } svg { max-width: 100%; height: auto }
.verdict { border-left: 4px solid #0072B2; padding: 0.2rem 1rem; background: #F4F6F8 }
"""
CHART_WIDTH = 620
WITHOUT_CHARTS = f"Its charts are left out. {what_to_install('vl_convert')}"


def as_html(report: Report, variant: str, measure: str, colours: list[int]) -> bytes:
    """One HTML file with verdict, tables and charts, that asks no other host for anything."""
    words = Words.of(report)
    found, told = report["variants"][variant], verdict_in(report, variant, measure)
    average, routing = variant.split("-")
    name_of_measure, to_mtl = measure_title(report, measure), found["measures"][measure]["to_mtl"]
    undefined = [about_undefined(report, measure, differences) for differences in to_mtl.values()]
    name = escape(title(report))
    parts = [
        f"<h1>Does the grouping pay?</h1><p>{name}; {average} averaged, {routing} routing.</p>",
        f'<p class="verdict">{escape(told.headline)}</p>',
        "" if is_installed("vl_convert") else f"<p>{escape(WITHOUT_CHARTS)}</p>",
        f"<details><summary>What else the comparison says</summary><p>{escape(told.details)}</p>"
        "</details>",
        _figure(quality.quality_and_cost(report, variant, measure, False)),
        f"<p>{escape(about_picture(report))} {escape(about_missing(report))}</p>",
        "<h2>Final scores</h2>",
        _table(final_scores(report, variant, measure)),
        f"<p>{escape(about_bands(report))} {escape(about_costs(report))}</p>",
        *(
            _figure(charts.scores_by_epoch(found["schemes"], split, False, words))
            for split in charts.SPLITS
        ),
        "<h2>Who gains?</h2>",
        *(
            f"<h3>{scheme_title(scheme, words)} against MTL</h3>"
            + _figure(
                charts.differences_to_mtl(
                    report, differences, scheme, name_of_measure, colours, False
                )
            )
            for scheme, differences in to_mtl.items()
            if charts.is_told(differences)
        ),
        *_specialisation(report, colours),
        *_other_measures(report, variant, measure),
        *(f"<p>{escape(text)}</p>" for text in {*undefined} if text),
        "<h2>What was compared</h2>",
        _list(
            f"<b>{scheme_title(s, words)}</b>: {about_scheme(s, words)}" for s in report["schemes"]
        ),
        "<h2>Memberships</h2>",
        _table(_memberships(report)),
        "<h2>Where it comes from</h2>",
        _list(
            f"{escape(key)}: {escape(json.dumps(value))}"
            for key, value in report["provenance"].items()
        ),
        f"<p>All {report['distinct_trainings']} trainings took {report['seconds']:,.0f} s there,"
        " with whatever else ran beside them: no measure of what a scheme costs.</p>",
        f"<p><code>{escape(command(report))}</code></p>",
    ]
    head = f'<meta charset="utf-8"><title>Specialists: {name}</title><style>{STYLE}</style>'
    return (
        f'<!doctype html><html lang="en"><head>{head}</head><body>' + "\n".join(parts)
    ).encode() + b"</body></html>\n"


def _other_measures(report: Report, variant: str, measure: str) -> list[str]:
    return [
        f"<h2>By {Words.of(report).measure(other)}</h2>"
        f"<p>{escape(verdict_in(report, variant, other).text)}</p>"
        + _table(final_scores(report, variant, other))
        for other in report["measures"]
        if other != measure
    ]


def command(report: Report) -> str:
    """The command line that repeats the judgement."""
    seeds, schemes = ",".join(map(str, report["seeds"])), ",".join(report["schemes"])
    return (
        f"python -m stg_core specialists {report['run']} --k {report['k']}"
        f" --fuzzifier {report['fuzzifier']:g} --method {report['method']}"
        f" --schemes {schemes} --seeds {seeds}"
    )


def _specialisation(report: Report, colours: list[int]) -> list[str]:
    from stg_core.judging.report import specialisation

    rows, _ = specialisation(report)
    if not rows:
        return []
    frame = pd.DataFrame(rows)
    return [
        "<h2>Do they specialise?</h2>",
        *(
            _figure(charts.specialisation(report, frame, measure, colours, False))
            for measure in charts.MEASURES
        ),
    ]


def _memberships(report: Report) -> pd.DataFrame:
    shares = pd.DataFrame(
        report["memberships"], columns=[f"cluster {j + 1}" for j in range(report["k"])]
    )
    shares.insert(0, "task", list(report["tasks"]))
    return shares.round(3)


def _figure(picture: Picture) -> str:
    """Empty where charts cannot be drawn, which the report says once."""
    try:
        import vl_convert  # it holds a JavaScript engine, and only who exports needs it
    except ModuleNotFoundError:
        return ""
    spec = {**picture.spec, "datasets": _records(picture.data), "width": CHART_WIDTH}
    svg = vl_convert.vegalite_to_svg(spec)
    return f'<figure role="img" aria-label="{escape(picture.description)}">{svg}</figure>'


def _records(data: Mapping[str, pd.DataFrame]) -> dict[str, Any]:
    return {name: json.loads(frame.to_json(orient="records")) for name, frame in data.items()}


def _table(frame: pd.DataFrame) -> str:
    return str(frame.to_html(index=False, border=0, escape=True))


def _list(items: Any) -> str:
    return f"<ul>{''.join(f'<li>{item}</li>' for item in items)}</ul>"
