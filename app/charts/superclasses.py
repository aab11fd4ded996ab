"""Charts of a grouping against a reference: scores beside chance, who is where, memberships."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache, lru_cache
from html import escape
from typing import TYPE_CHECKING, Any

import altair as alt
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from app.charts.base import Spec, cluster_colour, draw, finished
from app.state import dark

if TYPE_CHECKING:
    from stg_core.agreement import Agreement, Panel, Part, Score

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
SCORES_HEIGHT = 390
NARROW = 0.005  # half of the width of a distribution that has one value only

# Contingency, in pixels.
ROW, LOW_ROW, CONTINGENCY_AROUND = 24, 15, 110
MOST_HIGH_ROWS, MOST_NUMBERS = 30, 50  # rows; numbers of clusters side by side

# Panels of memberships, in pixels; across, a panel is 1 wide.
PANEL_COLUMNS, PANEL_ROW, PANEL_HEAD, PANEL_FOOT = 4, 15, 24, 26
NAMES_SHARE, PANEL_GAP, PANELS_AROUND = 0.4, 0.04, 125
NUMBER_ROOM = 0.07  # of a panel's width, for the number of a cluster


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


def ink_on(colour: str) -> str:
    """Black or white, whichever is read better on this colour."""
    red, green, blue = ((int(colour[i : i + 2], 16) / 255) ** 2.2 for i in (1, 3, 5))
    return "#10151B" if 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.2 else "#FFFFFF"


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
                "verdict": f"{score.value:.2f},  {p_text(score.p_value)}",
                "mean": score.chance_mean,
                "low": score.chance_low,
                "high": score.chance_high,
                "chance": f"{score.chance_mean:.2f} ({score.chance_low:.2f} to"
                f" {score.chance_high:.2f})",
            }
            for row, (name, score) in enumerate(scores.items())
        ]
    )
    told = "; ".join(
        f"{row.name_} {row.value:.2f}, chance {row.chance}, {row.p}"
        for row in rows.rename(columns={"name": "name_"}).itertuples()
    )
    draw(
        _scores_beside_chance(dark()),
        f"Five scores beside their distribution under 1,000 random relabellings: {told}.",
        key="scores beside chance",
        rows=rows,
        humps=_joined([_hump(row, score) for row, score in enumerate(scores.values())]),
    )


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
    """All scores over k as far as they are known; the chosen one with chance, and marked at k."""
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
        f" of chance. At k = {k} it is {now.value:.2f}.{best}",
        key="scores by k",
        lines=lines,
        chance=chance,
        now=pd.DataFrame({"k": [k], "value": [now.value]}),
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
    one = now.mark_rule(opacity=0).encode(y=alt.datum(1))  # the scale goes up to it
    chart = alt.layer(area, mean, lines, chosen, rule, mark, one, title=title)
    return finished(chart.properties(height=SCORES_HEIGHT))


# ------------------------------------------------------------------------- who is in which cluster


def contingency(found: Agreement, colours: list[int], title: str) -> None:
    """Tasks by label and cluster, in the order of the best assignment, whose cells are framed."""
    members = {(part.label, part.cluster): part.tasks for part in _parts(found)}
    sizes = found.table.sum(axis=1)
    cells = pd.DataFrame(
        [
            {
                "label": label,
                "cluster": cluster + 1,
                "share": found.table[i, j] / sizes[i],
                "count": str(found.table[i, j] or ""),
                "tasks": ", ".join(members.get((label, cluster), ("none",))),
                "assigned": found.assigned[i] == cluster,
            }
            for i, label in enumerate(found.rows)
            for j, cluster in enumerate(found.columns)
        ]
    )
    shades = _shades([colours[cluster] for cluster in found.columns])
    numbers = [str(cluster + 1) if len(shades) <= MOST_NUMBERS else "" for cluster in found.columns]
    heads = pd.DataFrame(
        {
            "cluster": [cluster + 1 for cluster in found.columns],
            "colour": shades,
            "ink": [ink_on(shade) for shade in shades],
            "number": numbers,
            "label": "",
        }
    )
    draw(
        _contingency(dark(), len(found.rows), title),
        f"Heatmap: {title}. " + _told(found),
        key="contingency",
        heads=heads,
        cells=cells,
    )


@lru_cache(maxsize=32)
def _contingency(dark: bool, n_labels: int, title: str) -> Spec:
    ink, line = ("#F2F4F7", "#2B333D") if dark else ("#1B2733", "#E3E7EB")
    x = alt.X(
        "cluster:O",
        title="Cluster",
        sort=None,
        axis=alt.Axis(labels=False, ticks=False, domain=False, orient="top"),
    )
    y = alt.Y(
        "label:N",
        title=None,
        sort=None,
        axis=alt.Axis(domain=False, ticks=False, labelOverlap=False, labelLimit=220),
    )
    heads = alt.Chart(alt.NamedData("heads")).encode(x=x, y=y)  # in a row above all others
    chips = heads.mark_rect(cornerRadius=2, height=alt.RelativeBandSize(0.8)).encode(
        fill=alt.Fill("colour:N", scale=None)
    )
    numbers = heads.mark_text(fontSize=11, fontWeight=600).encode(
        text="number:N", fill=alt.Fill("ink:N", scale=None)
    )
    cells = alt.Chart(alt.NamedData("cells")).encode(x=x, y=y)
    rects = cells.mark_rect(stroke=line, strokeWidth=1).encode(
        color=alt.Color("share:Q", scale=alt.Scale(domain=[0, 1]), legend=None),
        tooltip=[
            alt.Tooltip("label:N", title="Row"),
            alt.Tooltip("cluster:O", title="Cluster"),
            alt.Tooltip("tasks:N", title="Tasks"),
        ],
    )
    counts = cells.mark_text(fontSize=12).encode(
        text="count:N",
        color=alt.condition(
            "datum.share > 0.5",
            alt.value("#10151B" if dark else "#FFFFFF"),
            alt.value(ink),
        ),
    )
    assigned = cells.transform_filter("datum.assigned").mark_rect(
        fillOpacity=0, stroke=ink, strokeWidth=2
    )
    head = _title(
        dark,
        title,
        "Number of tasks. Colour: share of the row. Framed: the best assignment of one cluster to"
        " each row",
    )
    chart = alt.layer(chips, numbers, rects, counts, assigned, title=head)
    row = ROW if n_labels <= MOST_HIGH_ROWS else LOW_ROW
    return finished(chart.properties(height=(1 + n_labels) * row + CONTINGENCY_AROUND))


def kept_whole(found: Agreement, colours: list[int]) -> str:
    """A list, in HTML, of the labels that are kept in one cluster."""
    shades = _shades(colours)
    return _list(
        f"<b>{escape(part.label)}</b> {_chip(part.cluster, shades)}"
        f" {'alone' if part.label in found.alone else 'with others'}: {_tasks(part)}"
        for part in found.whole
    )


def split(found: Agreement, colours: list[int]) -> str:
    """A list, in HTML, of the labels that are in several clusters."""
    shades = _shades(colours)
    return _list(
        f"<b>{escape(parts[0].label)}</b> "
        + " ".join(f"{_chip(part.cluster, shades)} {_tasks(part)}" for part in parts)
        for parts in found.split
    )


def merged(found: Agreement, colours: list[int]) -> str:
    """A list, in HTML, of the clusters that hold several labels."""
    shades = _shades(colours)
    return _list(
        f"{_chip(parts[0].cluster, shades)} "
        + "; ".join(f"<b>{escape(part.label)}</b> {_tasks(part)}" for part in parts)
        for parts in found.merged
    )


def _list(items: Iterable[str]) -> str:
    lines = "".join(f"<li>{item}</li>" for item in items) or "<li>None.</li>"
    style = "list-style:none;margin:0;padding:0;font-size:0.875rem;line-height:1.7"
    return f'<ul style="{style}">{lines}</ul>'


def _chip(cluster: int, shades: list[str]) -> str:
    colour = shades[cluster]
    style = (
        f"background:{colour};color:{ink_on(colour)};border-radius:3px;padding:0 0.35em;"
        "font-weight:600;font-size:0.75rem"
    )
    return f'<span style="{style}" title="Cluster {cluster + 1}">{cluster + 1}</span>'


def _tasks(part: Part) -> str:
    return escape(", ".join(part.tasks))


def _parts(found: Agreement) -> Iterator[Part]:
    yield from found.whole
    for parts in found.split:
        yield from parts


def _told(found: Agreement) -> str:
    """The whole table in words."""
    rows: dict[str, list[str]] = {label: [] for label in found.rows}
    for part in _parts(found):
        rows[part.label].append(f"{len(part.tasks)} in cluster {part.cluster + 1}")
    return "; ".join(f"{label}: {', '.join(parts)}" for label, parts in rows.items()) + "."


# ------------------------------------------------------------------------------------ memberships


def membership_panels(panels: Sequence[Panel], colours: list[int], title: str) -> None:
    """A small heatmap per label, tasks by clusters, in the order of the panels."""
    columns, shades = min(PANEL_COLUMNS, len(panels)), _shades(colours)
    cells, names, heads, feet = [], [], [], []
    top = 0
    for start in range(0, len(panels), columns):
        row = panels[start : start + columns]
        for column, panel in enumerate(row):
            cells.append(_panel_cells(panel, column, top))
            names.append(_panel_names(panel, column, top))
            heads.append({"x": column, "y": top + 10, **_panel_head(panel)})
            feet.append(_panel_feet(panel, column, top, shades))
        top += PANEL_HEAD + max(len(panel.tasks) for panel in row) * PANEL_ROW + PANEL_FOOT
    draw(
        _membership_panels(dark(), columns, top, title),
        f"Small heatmaps: {title}. Coherence: "
        + ", ".join(f"{head['label']} {head['coherence']}" for head in heads)
        + ".",
        key="membership panels",
        cells=_joined(cells).astype({"task": "category"}),
        names=_joined(names),
        heads=pd.DataFrame(heads),
        feet=_joined(feet),
    )


def _left_edges(column: int, clusters: NDArray[np.int64], k: int) -> NDArray[np.float32]:
    width = 1 - NAMES_SHARE - PANEL_GAP
    return np.asarray(column + NAMES_SHARE + clusters * width / k, dtype=np.float32)


def _panel_cells(panel: Panel, column: int, top: int) -> Columns:
    n, k = panel.memberships.shape
    task, cluster = np.indices((n, k)).reshape(2, -1)
    y = (top + PANEL_HEAD + task * PANEL_ROW).astype(np.float32)
    return {
        "x": _left_edges(column, cluster, k),
        "x_to": _left_edges(column, cluster + 1, k),
        "y": y,
        "y_to": y + PANEL_ROW - 1,
        "share": panel.memberships.ravel().astype(np.float32),
        "cluster": (cluster + 1).astype(np.int16),
        "task": np.array(panel.tasks)[task],
    }


def _panel_names(panel: Panel, column: int, top: int) -> Columns:
    n = len(panel.tasks)
    return {
        "x": np.full(n, column + NAMES_SHARE - 0.015),
        "y": top + PANEL_HEAD + (np.arange(n) + 0.5) * PANEL_ROW,
        "task": np.array(panel.tasks),
    }


def _panel_head(panel: Panel) -> dict[str, str]:
    shown = "–" if panel.coherence is None else f"{panel.coherence:.2f}"
    return {"label": panel.label, "coherence": shown}


def _panel_feet(panel: Panel, column: int, top: int, shades: list[str]) -> Columns:
    """Chips below the clusters to which tasks of the panel belong most, numbered where they fit."""
    k = panel.memberships.shape[1]
    counts = np.bincount(panel.memberships.argmax(axis=1), minlength=k)
    clusters = np.argsort(-counts, kind="stable")[: np.count_nonzero(counts)]
    left, right = _left_edges(column, clusters, k), _left_edges(column, clusters + 1, k)
    y = np.full(len(clusters), top + PANEL_HEAD + len(panel.tasks) * PANEL_ROW + 1)
    taken: list[float] = []
    numbers = []
    for cluster, at in zip(clusters, left, strict=True):
        free = all(abs(at - other) >= NUMBER_ROOM for other in taken)
        numbers.append(str(cluster + 1) if free else "")
        taken += [at] if free else []
    return {
        "x": left,
        "x_to": right,
        "centre": (left + right) / 2,
        "y": y,
        "y_to": y + 4,
        "number": np.array(numbers),
        "colour": np.array(shades)[clusters],
    }


@lru_cache(maxsize=32)
def _membership_panels(dark: bool, columns: int, height: int, title: str) -> Spec:
    ink, faint = ("#F2F4F7", "#A6ADB7") if dark else ("#1B2733", "#5F6B78")
    x = alt.X("x:Q", scale=alt.Scale(domain=[0, columns], nice=False), axis=None)
    y = alt.Y("y:Q", scale=alt.Scale(domain=[0, height], reverse=True, nice=False), axis=None)
    cells = (
        alt.Chart(alt.NamedData("cells"))
        .mark_rect()
        .encode(
            x=x,
            x2="x_to:Q",
            y=y,
            y2="y_to:Q",
            color=alt.Color(
                "share:Q",
                title="Membership",
                scale=alt.Scale(type="sqrt", domain=[0, 1]),
                legend=alt.Legend(
                    orient="bottom", gradientLength=160, values=[0, 0.1, 0.3, 1], offset=8
                ),
            ),
            tooltip=[
                alt.Tooltip("task:N", title="Task"),
                alt.Tooltip("cluster:Q", title="Cluster"),
                alt.Tooltip("share:Q", title="Membership", format=".3f"),
            ],
        )
    )
    names = (
        alt.Chart(alt.NamedData("names"))
        .mark_text(
            align="right",
            baseline="middle",
            fontSize=11,
            color=ink,
            limit=alt.ExprRef(f"width / {columns} * {NAMES_SHARE - 0.02}"),
        )
        .encode(x=x, y=y, text="task:N")
    )
    heads = alt.Chart(alt.NamedData("heads")).encode(y=y)
    style: dict[str, Any] = {"baseline": "middle", "fontSize": 12}
    labels = heads.mark_text(
        **style,
        align="left",
        fontWeight=600,
        color=ink,
        limit=alt.ExprRef(f"width / {columns} * {1 - PANEL_GAP - 0.16}"),
    ).encode(x=x, text="label:N")
    coherence = (
        heads.transform_calculate(x=f"datum.x + {1 - PANEL_GAP}")
        .mark_text(**style, align="right", color=faint)
        .encode(x=x, text="coherence:N")
    )
    feet = alt.Chart(alt.NamedData("feet"))
    chips = feet.mark_rect().encode(
        x=x, x2="x_to:Q", y=y, y2="y_to:Q", fill=alt.Fill("colour:N", scale=None)
    )
    numbers = feet.mark_text(baseline="top", dy=3, fontSize=10, color=faint).encode(
        x=alt.X("centre:Q"), y="y_to:Q", text="number:N"
    )
    head = _title(
        dark,
        title,
        "Rows: tasks. Columns: clusters, from 1. Grey number: coherence, the mean overlap of two"
        " rows",
    )
    chart = alt.layer(cells, names, labels, coherence, chips, numbers, title=head)
    return finished(chart.properties(height=height + PANELS_AROUND))
