"""Charts of the Methods page: groups, quality and cost, affinities, predictions, scalability."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Literal, Protocol

import altair as alt
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from app.charts.base import (
    Spec,
    cluster_colour,
    draw,
    finished,
    ink_on,
    names_axis,
    number,
    text_colour,
)
from app.state import dark

if TYPE_CHECKING:
    from stg_core.affinity.methods import Chance, Judged
    from stg_core.affinity.table import GroupTable

Floats = NDArray[np.float64]
Box = tuple[float, float, float, float]  # left, top, right, bottom

TASK_AXIS = alt.Axis(
    orient="top", domain=False, ticks=False, labelAngle=-45, labelOverlap=False, labelFlush=False
)
NAMES_AXIS = names_axis(200)
ROW, CELL, TALL = 34, 26, 380
LOWEST = 230  # pixels, of a matrix: the names of its columns take half of that
WIDE, NARROW = 600, 230  # pixels from the cheapest point to the dearest, usually and on a phone
DOT, LETTER, LINE = 6, 7, 14  # pixels, of points and their names
PADDING, MARGIN = 30, 40  # pixels, from the outer points to the axis and to the picture's end
# sides of a point, for its name: how that is aligned, and how far off it is in pixels
SIDES: Mapping[str, tuple[Literal["left", "right"], int, int]] = {
    "above right": ("left", 9, -8),
    "below right": ("left", 9, 10),
    "above left": ("right", -9, -8),
    "below left": ("right", -9, 10),
}
SIZES = (2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 50, 100, 200, 500, 1_000)


# --------------------------------------------------------------------------------- groups chosen


class Grouped(Protocol):
    """What a method chose: the tasks of each group, and the place of each task's group."""

    @property
    def method(self) -> str: ...

    @property
    def groups(self) -> tuple[tuple[str, ...], ...]: ...

    @property
    def served_by(self) -> tuple[int, ...]: ...


def groups(judged: Sequence[Grouped], titles: Mapping[str, str], tasks: Sequence[str]) -> None:
    """A row per method: the group that serves each task, and those it is trained in besides."""
    rows = []
    for one in judged:
        for t, task in enumerate(tasks):
            serving = one.served_by[t]
            others = [j + 1 for j, group in enumerate(one.groups) if task in group and j != serving]
            rows.append(
                {
                    "method": titles[one.method],
                    "task": task,
                    "group": serving + 1,
                    "besides": f"+{','.join(map(str, others))}" if others else "",
                    "colour": cluster_colour(serving, dark()),
                    "ink": ink_on(cluster_colour(serving, dark())),
                    "with": ", ".join(one.groups[serving]),
                }
            )
    told = "; ".join(
        f"{titles[one.method]}: {' | '.join(', '.join(group) for group in one.groups)}"
        for one in judged
    )
    draw(
        _groups(len(judged)),
        f"Grid: the groups that {len(judged)} methods choose. {told}.",
        key="groups",
        rows=pd.DataFrame(rows),
    )


@lru_cache(maxsize=32)
def _groups(methods: int) -> Spec:
    base = alt.Chart(alt.NamedData("rows")).encode(
        x=alt.X("task:N", title=None, sort=None, axis=TASK_AXIS),
        y=alt.Y("method:N", title=None, sort=None, axis=NAMES_AXIS),
        tooltip=[
            alt.Tooltip("method:N", title="Method"),
            alt.Tooltip("task:N", title="Task"),
            alt.Tooltip("with:N", title="Is served by the model of"),
            alt.Tooltip("besides:N", title="Also trained in group"),
        ],
    )
    cells = base.mark_rect(cornerRadius=3, stroke=None).encode(
        color=alt.Color("colour:N", scale=None), opacity=alt.value(0.85)
    )
    ink = alt.Color("ink:N", scale=None)
    numbers = base.mark_text(fontWeight=600, fontSize=13, dy=-5).encode(text="group:Q", color=ink)
    besides = base.mark_text(dy=9, fontSize=10, limit=alt.expr("bandwidth('x')")).encode(
        text="besides:N", color=ink
    )
    return finished(
        alt.layer(cells, numbers, besides, title="Groups that each method chooses").properties(
            height=ROW * methods + 60
        )
    )


# ------------------------------------------------------------------------------ quality and cost


MEASURES: Mapping[str, str] = {
    "gain": "Mean gain on test images",
    "f1": "Mean F1 on test images",
}


def quality_and_cost(
    judged: Sequence[Judged],
    beaten: Sequence[bool],
    chance: Chance | None,
    titles: Mapping[str, str],
    measure: str,
    counted: bool,
) -> None:
    """What each method comes to over its cost, beside what random groupings come to.

    measure: "gain", which groups are chosen by, or "f1"; each with its 95 % interval over images.
    Methods that one of no more cost beats beyond the noise are grey.
    """
    rows = pd.DataFrame(
        [
            {
                "method": titles[one.method],
                "cost": one.counted if counted else one.cost,
                "value": one.score if measure == "gain" else one.mean_f1,
                "low": (one.gain_interval if measure == "gain" else one.f1_interval)[0],
                "high": (one.gain_interval if measure == "gain" else one.f1_interval)[1],
                "gain": one.score,
                "f1": one.mean_f1,
                "beaten": worse,
                "groups": " | ".join(", ".join(group) for group in one.groups),
            }
            for one, worse in zip(judged, beaten, strict=True)
        ]
    )
    rows["side"] = sides_of_names(rows, WIDE)
    rows["narrow_side"] = sides_of_names(rows, NARROW)
    ends = [] if chance is None else [chance.gain if measure == "gain" else chance.f1]
    best = rows.sort_values("value", ascending=False)
    told = ", ".join(f"{one.method} {one.value:.3f}" for one in best.itertuples())
    draw(
        _quality_and_cost(measure, dark()),
        f"Scatter plot: {MEASURES[measure]} by cost of {len(rows)} methods. From the best: {told}.",
        key="quality and cost",
        rows=rows,
        chance=pd.DataFrame(ends, columns=["low", "high"]),
    )


def sides_of_names(rows: pd.DataFrame, width: int) -> list[str]:
    """The side in SIDES of each point where its name covers neither a point nor a name before it.

    rows: columns method, cost, value, low, high; width: from the first point to the last, in
    pixels; where it is wider there is only more room. "" where no side is free: the table has the
    name, and pointing at the point shows it.
    """
    log_cost = np.log(rows["cost"].to_numpy(float))
    x = (log_cost - log_cost.min()) / max(np.ptp(log_cost), 1e-9) * width
    low, high = rows["low"].min(), rows["high"].max()
    y = (high - rows["value"].to_numpy(float)) / max(high - low, 1e-9) * TALL
    taken = [(px - DOT, py - DOT, px + DOT, py + DOT) for px, py in zip(x, y, strict=True)]
    sides = []
    for px, py, name in zip(x, y, rows["method"], strict=True):
        boxes, length = {}, LETTER * len(name)
        for side, (align, dx, dy) in SIDES.items():
            left, top = px + dx - length * (align == "right"), py + dy - LINE / 2
            boxes[side] = (left, top, left + length, top + LINE)
        free = [
            side
            for side, box in boxes.items()
            if box[0] > -PADDING
            and box[2] < width + MARGIN
            and not any(_overlap(box, other) for other in taken)
        ]
        sides.append(free[0] if free else "")
        taken += [boxes[side] for side in free[:1]]
    return sides


def _overlap(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


@cache
def _quality_and_cost(measure: str, dark: bool) -> Spec:
    accent, ink = cluster_colour(0, dark), text_colour(dark)
    x = alt.X(
        "cost:Q",
        title="Cost, in trainings of all tasks together",
        scale=alt.Scale(type="log", nice=False, padding=PADDING),
    )
    y = alt.Y("value:Q", title=MEASURES[measure], scale=alt.Scale(zero=False))
    ends = {"y": alt.Y("low:Q", title=MEASURES[measure]), "y2": "high:Q"}
    tooltip = [
        alt.Tooltip("method:N", title="Method"),
        alt.Tooltip("gain:Q", title="Mean gain", format="+.4f"),
        alt.Tooltip("f1:Q", title="Mean F1", format=".4f"),
        alt.Tooltip("low:Q", title="95 % interval from", format="+.4f"),
        alt.Tooltip("high:Q", title="to", format="+.4f"),
        alt.Tooltip("cost:Q", title="Cost", format=".1f"),
        alt.Tooltip("groups:N", title="Groups"),
    ]
    base = alt.Chart(alt.NamedData("rows")).encode(x=x)
    band = alt.Chart(alt.NamedData("chance")).mark_rect(color=ink, opacity=0.1).encode(**ends)
    reach = base.mark_rule(color=ink, opacity=0.5).encode(**ends)
    points = base.mark_point(filled=True, size=120, opacity=1).encode(
        y=y,
        color=alt.condition("datum.beaten", alt.value("#8A94A0"), alt.value(accent)),
        tooltip=tooltip,
    )
    names = [
        base.transform_filter(alt.datum[of_width] == side)
        .mark_text(align=align, dx=dx, dy=dy, fontSize=12, color=ink, opacity=alt.expr(seen))
        .encode(y=y, text="method:N")
        for of_width, seen in (
            ("side", f"width >= {WIDE + 2 * PADDING} ? 1 : 0"),
            ("narrow_side", f"width < {WIDE + 2 * PADDING} ? 1 : 0"),
        )
        for side, (align, dx, dy) in SIDES.items()
    ]
    chart = alt.layer(band, reach, points, *names, title="Quality and cost")
    return finished(chart.properties(height=TALL))


# ------------------------------------------------------------------------------------- affinities


def affinity(matrix: Floats, tasks: Sequence[str], title: str, key: str) -> None:
    """One matrix as a heatmap, in standard deviations from its mean off the diagonal."""
    off = ~np.eye(len(tasks), dtype=np.bool_)
    mean, spread = float(np.nanmean(matrix[off])), float(np.nanstd(matrix[off])) or 1.0
    rows = pd.DataFrame(
        [
            {
                "source": source,
                "target": target,
                "value": matrix[s, t],
                "level": np.clip((matrix[s, t] - mean) / spread, -2.5, 2.5),
            }
            for s, source in enumerate(tasks)
            for t, target in enumerate(tasks)
            if s != t
        ]
    )
    best = rows.sort_values("value").iloc[-1]
    draw(
        _affinity(title, tuple(tasks)),
        f"Heatmap: {title} of {len(tasks)} tasks; the most helpful is {best.source} for"
        f" {best.target}.",
        key=key,
        rows=rows,
    )


@lru_cache(maxsize=64)
def _affinity(title: str, tasks: tuple[str, ...]) -> Spec:
    in_order = alt.Scale(domain=list(tasks))
    return finished(
        alt.Chart(alt.NamedData("rows"), title=title)
        .mark_rect()
        .encode(
            x=alt.X("target:N", title="for", scale=in_order, axis=TASK_AXIS),
            y=alt.Y("source:N", title="training on", scale=in_order, axis=NAMES_AXIS),
            color=alt.Color(
                "level:Q",
                title=None,
                scale=alt.Scale(scheme="blueorange", domain=[2.5, -2.5]),
                legend=None,
            ),
            tooltip=[
                alt.Tooltip("source:N", title="Training on"),
                alt.Tooltip("target:N", title="for"),
                alt.Tooltip("value:Q", title=title, format=".4g"),
            ],
        )
        .properties(height=max(CELL * len(tasks) + 80, LOWEST))
    )


def correlations(matrix: Floats, names: Sequence[str]) -> None:
    """Rank correlations of all affinities with each other; the last may be the true gains."""
    rows = pd.DataFrame(
        [
            {
                "one": one,
                "other": other,
                "value": matrix[i, j],
                "text": number(matrix[i, j]),
            }
            for i, one in enumerate(names)
            for j, other in enumerate(names)
        ]
    )
    with_truth = rows[(rows["one"] == names[-1]) & (rows["other"] != names[-1])]
    told = ", ".join(f"{row.other} {row.text}" for row in with_truth.itertuples())
    draw(
        _correlations(len(names)),
        f"Heatmap of rank correlations; with {names[-1]}: {told}.",
        key="rank correlations",
        rows=rows,
    )


@lru_cache(maxsize=16)
def _correlations(count: int) -> Spec:
    base = alt.Chart(alt.NamedData("rows")).encode(
        x=alt.X("other:N", title=None, sort=None, axis=TASK_AXIS),
        y=alt.Y("one:N", title=None, sort=None, axis=NAMES_AXIS),
    )
    cells = base.mark_rect().encode(
        color=alt.Color(
            "value:Q", legend=None, scale=alt.Scale(scheme="blueorange", domain=[1, -1])
        )
    )
    numbers = base.mark_text(fontSize=13).encode(
        text="text:N",
        color=alt.condition("abs(datum.value) > 0.6", alt.value("#FFFFFF"), alt.value("#10151B")),
    )
    chart = alt.layer(cells, numbers, title="Rank correlation")
    return finished(chart.properties(height=max(40 * count + 80, LOWEST)))


# ------------------------------------------------------------------------------------ predictions


def predictions(
    table: GroupTable, values: Floats, searched: NDArray[np.int64], title: str, unit: str
) -> None:
    """What a method says of every group against the true gain; trained groups are marked."""
    several = table.masks.sum(axis=1) > 1
    trained = np.isin(np.arange(len(several)), searched)
    groups = [", ".join(table.spec_of(row).tasks) for row in range(len(several))]
    told = np.isfinite(values) & np.isfinite(table.gains)
    places = np.argwhere(table.masks & several[:, None] & told)
    rows = pd.DataFrame(
        {
            "group": [groups[row] for row, _ in places],
            "task": [table.tasks[t] for _, t in places],
            "said": [values[row, t] for row, t in places],
            "true": [table.gains[row, t] for row, t in places],
            "trained": [
                "trained to learn from" if trained[row] else "held out" for row, _ in places
            ],
        }
    )
    draw(
        _predictions(unit, dark()),
        f"Scatter plot: what {title} says of {len(rows)} gains of tasks in groups, against the true"
        " ones.",
        key="predictions",
        rows=rows,
    )


@lru_cache(maxsize=16)
def _predictions(unit: str, dark: bool) -> Spec:
    x = alt.X("said:Q", title=unit, scale=alt.Scale(zero=False))
    base = alt.Chart(alt.NamedData("rows")).encode(
        x=x,
        y=alt.Y("true:Q", title="True gain", scale=alt.Scale(zero=False)),
        tooltip=[
            alt.Tooltip("task:N", title="Task"),
            alt.Tooltip("group:N", title="In the group"),
            alt.Tooltip("said:Q", title=unit, format="+.4f"),
            alt.Tooltip("true:Q", title="True gain", format="+.4f"),
            alt.Tooltip("trained:N", title="This group was"),
        ],
    )
    points = base.mark_point(filled=True, size=34, opacity=0.55).encode(
        color=alt.Color(
            "trained:N",
            title=None,
            scale=alt.Scale(
                domain=["held out", "trained to learn from"],
                range=[cluster_colour(0, dark), cluster_colour(1, dark)],
            ),
            legend=alt.Legend(orient="bottom"),
        ),
        shape=alt.Shape("trained:N", title=None, legend=None),
    )
    line = (
        alt.Chart(alt.NamedData("rows"))
        .transform_filter("datum.trained === 'held out'")
        .transform_regression("said", "true")
        .mark_line(color=text_colour(dark), strokeDash=[5, 4])
        .encode(x=x, y="true:Q")
    )
    chart = alt.layer(points, line, title="Said and true")
    return finished(chart.properties(height=TALL))


# ------------------------------------------------------------------------------------ scalability


def scalability(
    counted: Mapping[str, Sequence[float]], measured: Mapping[str, float], n_tasks: int
) -> None:
    """Trainings by number of tasks for each method, by formula; what was measured as marks."""
    lines = pd.DataFrame(
        [
            {"method": method, "tasks": n, "trainings": value}
            for method, values in counted.items()
            for n, value in zip(SIZES, values, strict=True)
            if value < 1e6
        ]
    )
    marks = pd.DataFrame(
        [{"method": method, "tasks": n_tasks, "trainings": v} for method, v in measured.items()]
    )
    draw(
        _scalability(tuple(counted), dark()),
        f"Line chart: trainings that {len(counted)} methods cost, for 2 to 1,000 tasks, by formula;"
        f" marks: as measured with {n_tasks} tasks.",
        key="scalability",
        lines=lines,
        marks=marks,
    )


@lru_cache(maxsize=16)
def _scalability(methods: tuple[str, ...], dark: bool) -> Spec:
    x = alt.X(
        "tasks:Q",
        title="Tasks (n)",
        scale=alt.Scale(type="log", domain=[2, 1000]),
        axis=alt.Axis(values=[2, 5, 10, 20, 50, 100, 200, 500, 1000], labelFlush=False),
    )
    y = alt.Y(
        "trainings:Q",
        title="Cost, in trainings of all tasks together",
        scale=alt.Scale(type="log"),
        axis=alt.Axis(format="~s"),
    )
    colour = alt.Color(
        "method:N",
        title=None,
        sort=None,
        scale=alt.Scale(
            domain=list(methods), range=[cluster_colour(i, dark) for i in range(len(methods))]
        ),
        legend=alt.Legend(
            orient="bottom", columns=2, symbolType="stroke", symbolSize=400, labelLimit=0
        ),
    )
    dash = alt.StrokeDash(
        "method:N",
        title=None,
        scale=alt.Scale(
            domain=list(methods),
            range=[[1, 0] if i < 8 else [6, 3] for i in range(len(methods))],
        ),
    )
    tooltip = [
        alt.Tooltip("method:N", title="Method"),
        alt.Tooltip("tasks:Q", title="Tasks"),
        alt.Tooltip("trainings:Q", title="Trainings", format=",.1f"),
    ]
    lines = (
        alt.Chart(alt.NamedData("lines"))
        .mark_line(strokeWidth=2.2)
        .encode(x=x, y=y, color=colour, strokeDash=dash, tooltip=tooltip)
    )
    marks = (
        alt.Chart(alt.NamedData("marks"))
        .mark_point(shape="diamond", size=90, filled=True, stroke=text_colour(dark), opacity=1)
        .encode(x=x, y=y, color=colour, tooltip=tooltip)
    )
    chart = alt.layer(lines, marks, title="What more tasks cost")
    return finished(chart.properties(height=520))
