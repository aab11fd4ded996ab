"""Charts of a grouping against a reference: scores beside chance, who is where, memberships."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache, lru_cache
from html import escape
from itertools import chain
from typing import TYPE_CHECKING, Any

import altair as alt
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from app import task_pictures
from app.charts.base import Spec, cluster_colour, draw, finished, ink_on, number
from app.charts.grouping import clustered, why_uncertain
from app.state import dark

if TYPE_CHECKING:
    from stg_core.grouping.agreement import Agreement, Panel, Part, Score
    from stg_core.grouping.memberships import Grouping

Columns = dict[str, NDArray[Any]]

SCORES = {
    "adjusted_rand_index": (
        "Adjusted Rand index",
        "Do pairs of tasks agree on being together? 0 is chance, 1 full agreement.",
    ),
    "adjusted_mutual_information": (
        "Adjusted mutual information",
        "How much does the cluster of a task tell about its label? 0 is chance, 1 everything.",
    ),
    "homogeneity": (
        "Homogeneity",
        "1 when no cluster holds different labels; more clusters make that easier.",
    ),
    "completeness": (
        "Completeness",
        "1 when every label is kept in one cluster; fewer clusters make that easier.",
    ),
    "purity": (
        "Purity",
        "Share of tasks that have the commonest label of their cluster; more clusters make it"
        " larger.",
    ),
}
SCORES_HEIGHT, LIST_HEIGHT = 390, "24rem"
NARROW = 0.005  # half of the width of a distribution that has one value only


def p_text(p_value: float) -> str:
    """A p-value such as "p < 0.001", "p = 0.004" or "p = 0.03"."""
    if p_value < 0.001:
        return "p < 0.001"
    return f"p = {p_value:.3f}" if p_value < 0.01 else f"p = {p_value:.2f}"


def _shades(colours: Sequence[int]) -> list[str]:
    in_the_dark = dark()
    return [cluster_colour(colour, in_the_dark) for colour in colours]


def _joined(parts: Sequence[Columns]) -> pd.DataFrame:
    """One table of all parts: a table for each would take longer than the chart."""
    return pd.DataFrame({name: np.concatenate([p[name] for p in parts]) for name in parts[0]})


def _title(dark: bool, title: str, *explained: str) -> alt.TitleParams:
    return alt.TitleParams(
        title, subtitle=[*explained], subtitleColor="#A6ADB7" if dark else "#5F6B78"
    )


# ------------------------------------------------------------------------- scores beside chance


def scores_beside_chance(scores: Mapping[str, Score]) -> None:
    """Each score as a mark above what random relabellings give, with its p-value."""
    rows = pd.DataFrame(
        [
            {
                "row": row,
                "name": SCORES[name][0],
                "explanation": SCORES[name][1],
                "value": score.value,
                "p": p_text(score.p_value),
                "verdict": f"{number(score.value)},  {p_text(score.p_value)}",
                "mean": score.chance_mean,
                "low": score.chance_low,
                "high": score.chance_high,
                "chance": _chance(score),
            }
            for row, (name, score) in enumerate(scores.items())
        ]
    )
    told = "; ".join(
        f"{SCORES[name][0]} {number(score.value)}, chance {_chance(score)}, {p_text(score.p_value)}"
        for name, score in scores.items()
    )
    draw(
        _scores_beside_chance(dark()),
        f"Five scores beside their distribution under 1,000 random relabellings: {told}.",
        key="scores beside chance",
        rows=rows,
        humps=_joined([_hump(row, score) for row, score in enumerate(scores.values())]),
    )


def _chance(score: Score) -> str:
    low, high = number(score.chance_low), number(score.chance_high)
    return f"{number(score.chance_mean)} ({low} to {high})"


def _hump(row: int, score: Score) -> Columns:
    edges = score.edges
    if len(score.histogram) == 1:
        edges = score.chance_mean + np.array([-NARROW, NARROW])
    bottom = np.full(len(score.histogram), row + 0.88)
    top = bottom - 0.42 * score.histogram / score.histogram.max()
    return {"x": edges[:-1], "x_to": edges[1:], "y": bottom, "y_to": top}


@cache
def _scores_beside_chance(dark: bool) -> Spec:
    ink, hump, band = (
        ("#F2F4F7", "#3F4956", "#A6ADB7") if dark else ("#1B2733", "#D5DBE2", "#7C8590")
    )
    x = alt.X(
        "value:Q",
        title="Score (1 is full agreement)",
        scale=alt.Scale(nice=False),
        axis=alt.Axis(tickCount=6, format=".1f", labelFlush=False),
    )
    y = alt.Y("y:Q", scale=alt.Scale(domain=[0, len(SCORES)], reverse=True), axis=None)
    humps = (
        alt.Chart(alt.NamedData("humps"))
        .mark_rect(color=hump)
        .encode(x=alt.X("x:Q"), x2="x_to:Q", y=y, y2="y_to:Q")
    )
    rows = alt.Chart(alt.NamedData("rows"))
    base = rows.transform_calculate(y="datum.row + 0.88")
    chance = base.mark_rule(strokeWidth=4, color=band).encode(x="low:Q", x2="high:Q", y=y)
    mean = base.mark_tick(orient="vertical", size=12, thickness=2, color=ink).encode(
        x="mean:Q", y=y
    )
    observed = base.mark_point(
        shape="diamond", filled=True, size=150, opacity=1, color=cluster_colour(0, dark)
    ).encode(x=x, y=y)
    heads = rows.transform_calculate(y="datum.row + 0.28")
    style: dict[str, Any] = {"fontSize": 13, "color": ink, "baseline": "middle"}
    names = heads.mark_text(**style, align="left", fontWeight=600).encode(
        x=alt.value(0), y=y, text="name:N"
    )
    verdicts = heads.mark_text(**style, align="right").encode(
        x=alt.value("width"), y=y, text="verdict:N"
    )
    whole_row = (
        rows.transform_calculate(y="datum.row", y_to="datum.row + 1")
        .mark_rect(opacity=0)
        .encode(
            x=alt.value(0),
            x2=alt.value("width"),
            y=y,
            y2="y_to:Q",
            tooltip=[
                alt.Tooltip("name:N", title="Score"),
                alt.Tooltip("explanation:N", title="It asks"),
                alt.Tooltip("value:Q", title="This grouping", format=".3f"),
                alt.Tooltip("chance:N", title="Chance, mean (5 to 95 %)"),
                alt.Tooltip("p:N", title="As high by chance"),
            ],
        )
    )
    title = _title(
        dark,
        "Scores beside chance",
        "Diamond: this grouping",
        "Grey: chance; bar: 5 to 95 % of it; tick: its mean",
    )
    ends = [rows.mark_rule(opacity=0).encode(x=alt.datum(end)) for end in (-0.2, 1)]  # of the scale
    chart = alt.layer(humps, chance, mean, observed, names, verdicts, whole_row, *ends, title=title)
    return finished(chart.properties(height=SCORES_HEIGHT))


# ------------------------------------------------------------------------------ scores by k


def scores_by_k(by_k: Mapping[int, Mapping[str, Score]], chosen: str, k: int, now: Score) -> None:
    """All scores over k as far as they are known; the chosen one with chance, and marked at k.

    by_k ends at 40, and a larger k is not marked.
    """
    from stg_core.grouping.agreement import MAX_K

    lines = pd.DataFrame(
        [
            {"k": at, "name": SCORES[name][0], "value": score.value, "chosen": name == chosen}
            for at, scores in by_k.items()
            for name, score in scores.items()
        ],
        columns=["k", "name", "value", "chosen"],
    )
    chance = pd.DataFrame(
        [
            {
                "k": at,
                "value": scores[chosen].value,
                "mean": scores[chosen].chance_mean,
                "low": scores[chosen].chance_low,
                "high": scores[chosen].chance_high,
                "p": p_text(scores[chosen].p_value),
            }
            for at, scores in by_k.items()
        ],
        columns=["k", "value", "mean", "low", "high", "p"],
    )
    name = SCORES[chosen][0]
    best = f" It is highest at k = {chance.k[chance.value.argmax()]}." if len(chance) else ""
    draw(
        _scores_by_k(dark(), name),
        f"Line chart: {name} and four other scores for every number of clusters, k, with the band"
        f" of chance. At k = {k} it is {number(now.value)}.{best}",
        key="scores by k",
        lines=lines,
        chance=chance,
        now=pd.DataFrame({"k": [k], "value": [now.value]})[: int(k <= MAX_K)],
    )


@lru_cache(maxsize=16)
def _scores_by_k(dark: bool, name: str) -> Spec:
    accent, ink, band = (
        (cluster_colour(0, dark), "#F2F4F7", "#5B6673")
        if dark
        else (cluster_colour(0, dark), "#1B2733", "#A9B2BC")
    )
    x = alt.X(
        "k:Q",
        title="Clusters (k)",
        scale=alt.Scale(nice=False, zero=False),
        axis=alt.Axis(format="d", tickMinStep=1, grid=False, labelFlush=False),
    )
    y = alt.Y(
        "value:Q",
        title="Score",
        scale=alt.Scale(nice=False),
        axis=alt.Axis(tickCount=5, format=".1f", labelFlush=False),
    )
    over_k = alt.Chart(alt.NamedData("chance")).encode(x=x)
    area = over_k.mark_area(color=band, opacity=0.45).encode(y="low:Q", y2="high:Q")
    mean = over_k.mark_line(color=band, strokeWidth=1.5).encode(y="mean:Q")
    names = [score for score, _ in SCORES.values()]
    lines = (
        alt.Chart(alt.NamedData("lines"))
        .mark_line(color=ink, strokeWidth=1.2, opacity=0.75)
        .encode(
            x=x,
            y="value:Q",
            strokeDash=alt.StrokeDash(
                "name:N",
                title=None,
                scale=alt.Scale(domain=names, range=[[1, 0], [8, 3], [4, 3], [1, 3], [8, 3, 1, 3]]),
                legend=alt.Legend(
                    orient="bottom",
                    columns=2,
                    symbolSize=250,
                    labelFontSize=10.5,
                    columnPadding=8,
                    rowPadding=0,
                    offset=0,
                ),
            ),
        )
    )
    chosen = over_k.mark_line(
        color=accent, strokeWidth=3, point=alt.OverlayMarkDef(color=accent, size=28, filled=True)
    ).encode(
        y=y,
        tooltip=[
            alt.Tooltip("k:Q", title="Clusters (k)"),
            alt.Tooltip("value:Q", title=name, format=".3f"),
            alt.Tooltip("mean:Q", title="Chance, mean", format=".3f"),
            alt.Tooltip("low:Q", title="Chance, 5 %", format=".3f"),
            alt.Tooltip("high:Q", title="Chance, 95 %", format=".3f"),
            alt.Tooltip("p:N", title="As high by chance"),
        ],
    )
    now = alt.Chart(alt.NamedData("now")).encode(x=x)
    rule = now.mark_rule(color=ink, strokeDash=[3, 3])
    mark = now.mark_point(
        shape="diamond", filled=True, size=190, opacity=1, color=accent, stroke=ink
    ).encode(y="value:Q")
    title = _title(
        dark,
        "Scores for every k",
        f"Thick: {name}; diamond: this k",
        "Grey: chance, 5 to 95 % of it and its mean",
    )
    one = over_k.mark_rule(opacity=0).encode(y=alt.datum(1))  # the scale goes up to it
    chart = alt.layer(area, mean, lines, chosen, rule, mark, one, title=title)
    return finished(chart.properties(height=SCORES_HEIGHT))


# ------------------------------------------------------------------------- who is in which cluster


def contingency(found: Agreement, grouping: Grouping, colours: list[int], title: str) -> None:
    """Tasks by label and cluster, in the order of the best assignment, which is framed."""
    in_rows = sorted(found.panels, key=lambda panel: found.rows.index(panel.label))
    header = _header(in_rows, grouping, colours)
    header |= {
        "title": title,
        "rows": found.rows,
        "columns": found.columns,
        "rowOf": [-1 if x is None else found.rows.index(x) for x in found.reference.labels],
        "assigned": [-1 if j is None else found.columns.index(j) for j in found.assigned],
        "alt": {"contingency": f"{title}: heatmap. {_told(found)}"},
    }
    task_pictures.contingency(header)


def membership_panels(
    panels: Sequence[Panel],
    grouping: Grouping,
    colours: list[int],
    title: str,
    every: str | None = None,
) -> None:
    """A small heatmap per panel, its tasks by all clusters, in the order of the panels.

    every: see `app.charts.grouping.clustered`.
    """
    coherence = ["–" if p.coherence is None else f"{p.coherence:.2f}" for p in panels]
    told = (f"{p.label} {shown}" for p, shown in zip(panels, coherence, strict=True))
    header = clustered(grouping, colours, every) | _header(panels, grouping, colours)
    places = _places(grouping)
    header |= {
        "title": title,
        "labelled": _labelled(panels, grouping),
        "panels": [
            {"label": p.label, "coherence": shown, "tasks": places(p)}
            for p, shown in zip(panels, coherence, strict=True)
        ],
        "alt": {"panels": f"{title}: small heatmaps. Coherence: {', '.join(told)}."},
    }
    task_pictures.panels(header, grouping.memberships)


def _header(panels: Sequence[Panel], grouping: Grouping, colours: list[int]) -> dict[str, Any]:
    """What both pictures of the tasks have in common; arrow keys walk from panel to panel."""
    labelled, places = _labelled(panels, grouping), _places(grouping)
    return {
        "names": grouping.tasks,
        "shown": grouping.shown_names,
        "says": [
            f"{task}: {label}, cluster {cluster + 1}{why_uncertain(grouping, task)}"
            for task, label, cluster in zip(grouping.tasks, labelled, grouping.labels, strict=True)
        ],
        "order": [task for panel in panels for task in places(panel)],
        "labels": grouping.labels.tolist(),
        "colours": _shades(colours),
        "file": f"k{grouping.k}-m{grouping.fuzzifier:.2f}-{grouping.method}",
    }


def _labelled(panels: Sequence[Panel], grouping: Grouping) -> list[str]:
    label_of = {task: panel.label for panel in panels for task in panel.tasks}
    return [label_of.get(task, "no label") for task in grouping.tasks]


def _places(grouping: Grouping) -> Callable[[Panel], list[int]]:
    """What tells of a panel which tasks it holds."""
    place = {task: t for t, task in enumerate(grouping.tasks)}
    return lambda panel: [place[task] for task in panel.tasks]


def _told(found: Agreement) -> str:
    """The whole table in words."""
    rows: dict[str, list[str]] = {label: [] for label in found.rows}
    for part in chain(found.whole, *found.split):
        rows[part.label].append(f"{len(part.tasks)} in cluster {part.cluster + 1}")
    return "; ".join(f"{label}: {', '.join(parts)}" for label, parts in rows.items()) + "."


def kept_whole(found: Agreement, colours: list[int], title: str) -> str:
    """A list, in HTML, of the labels that are kept in one cluster."""
    shades = _shades(colours)
    return _list(
        title,
        (
            f"<b>{escape(part.label)}</b> {_chip(part.cluster, shades)}"
            f" {'alone' if part.label in found.alone else 'with others'}: {_tasks(part)}"
            for part in found.whole
        ),
    )


def split(found: Agreement, colours: list[int], title: str) -> str:
    """A list, in HTML, of the labels that are in several clusters."""
    shades = _shades(colours)
    return _list(
        title,
        (
            f"<b>{escape(parts[0].label)}</b> "
            + " ".join(f"{_chip(part.cluster, shades)} {_tasks(part)}" for part in parts)
            for parts in found.split
        ),
    )


def merged(found: Agreement, colours: list[int], title: str) -> str:
    """A list, in HTML, of the clusters that hold several labels."""
    shades = _shades(colours)
    return _list(
        title,
        (
            f"{_chip(parts[0].cluster, shades)} "
            + "; ".join(f"<b>{escape(part.label)}</b> {_tasks(part)}" for part in parts)
            for parts in found.merged
        ),
    )


def _list(title: str, items: Iterable[str]) -> str:
    """A box that scrolls where the list is long, by the keyboard too."""
    lines = "".join(f"<li>{item}</li>" for item in items) or "<li>None.</li>"
    style = "list-style:none;margin:0;padding:0;font-size:0.875rem;line-height:1.7"
    box = f'tabindex="0" role="region" aria-label="{escape(title)}"'
    return (
        f'<div {box} style="max-height:{LIST_HEIGHT};overflow-y:auto">'
        f'<ul style="{style}">{lines}</ul></div>'
    )


def _chip(cluster: int, shades: list[str]) -> str:
    colour = shades[cluster]
    style = (
        f"background:{colour};color:{ink_on(colour)};border-radius:3px;padding:0 0.35em;"
        "font-weight:600;font-size:0.75rem"
    )
    return f'<span style="{style}" title="Cluster {cluster + 1}">{cluster + 1}</span>'


def _tasks(part: Part) -> str:
    return escape(", ".join(part.tasks))
