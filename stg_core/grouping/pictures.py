"""Pictures of a grouping for notebooks and files, by Altair; the app draws its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from stg_core.maps.summary import MAX_VARIABILITY, DataMapSummary
from stg_core.system.extras import of_extra

if TYPE_CHECKING:
    import altair as alt

    from stg_core.grouping.memberships import Grouping, Labels

# Okabe and Ito's colours, as in the app on a light background.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#B8A800", "#000000")
INK, GREY, FRAME, PAPER = "#1B2733", "#5F6B78", "#C9D1D9", "#FFFFFF"
ROW, LOWEST_ROW, ALL_ROWS = 20, 2, 2_400  # pixels
NAMED_ROW = 12  # pixels from which on a row has its name and its numbers
COLUMN, ALL_COLUMNS = 56, 900
LONGEST_NAME = 220
DATA_MAP = 360


def by_cluster(grouping: Grouping) -> Labels:
    """Tasks ordered by cluster, the surest first, (T,)."""
    return np.lexsort((-grouping.memberships.max(axis=1), grouping.labels))


def cluster_colour(index: int) -> str:
    """The colour with this index, from 0; beyond eight they come again."""
    return COLOURS[index % len(COLOURS)]


def memberships_chart(grouping: Grouping, colours: Labels) -> alt.LayerChart:
    """Share of each task in each cluster, tasks ordered by cluster, the surest first.

    colours (k,): of each cluster the index of its colour.
    """
    with of_extra("notebook"):
        import altair as alt

    names, order = grouping.shown_names, by_cluster(grouping).tolist()
    painted = [cluster_colour(int(index)) for index in colours]
    cells = [
        {
            "task": names[t],
            "cluster": j + 1,
            "share": round(float(grouping.memberships[t, j]), 4),
            "ink": _ink_on(painted[j], float(grouping.memberships[t, j])),
            "note": grouping.uncertain.get(grouping.tasks[t], ""),
        }
        for t in order
        for j in range(grouping.k)
    ]
    row = int(np.clip(ALL_ROWS // len(order), LOWEST_ROW, ROW))
    base = alt.Chart(alt.InlineData(values=cells)).encode(
        alt.X("cluster:O", axis=alt.Axis(title="Cluster", orient="top", labelAngle=0)),
        alt.Y(
            "task:N",
            sort=[names[t] for t in order],
            axis=alt.Axis(
                title=None, labels=row >= NAMED_ROW, labelLimit=LONGEST_NAME, labelOverlap=False
            ),
        ),
        tooltip=["task:N", "cluster:O", alt.Tooltip("share:Q", format=".3f"), "note:N"],
    )
    colour = alt.Scale(domain=list(range(1, grouping.k + 1)), range=painted)
    layers = [
        base.mark_rect().encode(
            alt.Color("cluster:O", scale=colour, legend=None),
            alt.Opacity("share:Q", scale=alt.Scale(domain=[0, 1], range=[0, 1]), legend=None),
        )
    ]
    column = min(COLUMN, ALL_COLUMNS // grouping.k)
    if row >= NAMED_ROW and column >= COLUMN // 2:
        numbers = base.mark_text(fontSize=11).encode(
            alt.Text("share:Q", format=".2f"), alt.Color("ink:N", scale=None)
        )
        layers.append(numbers)
    chart = alt.layer(*layers).resolve_scale(color="independent")
    title = f"{len(order)} tasks in {grouping.k} clusters, fuzzifier {grouping.fuzzifier:g}"
    sized = chart.properties(title=title, width=alt.Step(column), height=alt.Step(row))
    finished: alt.LayerChart = sized.configure(**_LOOK)
    return finished


def data_map_chart(summary: DataMapSummary, task: str, epoch: int) -> alt.Chart:
    """Density of a task's points in confidence and variability after a recorded epoch."""
    with of_extra("notebook"):
        import altair as alt

    counts = summary.task_map(task, epoch).histogram
    tall, wide = 1 / len(counts), MAX_VARIABILITY / len(counts)
    cells = [
        {
            "confidence": row * tall,
            "confidence to": (row + 1) * tall,
            "variability": column * wide,
            "variability to": (column + 1) * wide,
            "points": int(counts[row, column]),
        }
        for row, column in np.argwhere(counts).tolist()
    ]
    across = alt.Scale(domain=[0, MAX_VARIABILITY], nice=False)
    shade = alt.Scale(type="log", scheme="blues")
    chart = alt.Chart(alt.InlineData(values=cells)).encode(
        alt.X("variability:Q", title="Variability", scale=across),
        alt.X2("variability to"),
        alt.Y("confidence:Q", title="Confidence", scale=alt.Scale(domain=[0, 1])),
        alt.Y2("confidence to"),
        alt.Color("points:Q", title="Points", scale=shade),
        tooltip=["points:Q"],
    )
    title = f"Data map of {task} after epoch {epoch}"
    sized = chart.mark_rect().properties(title=title, width=DATA_MAP, height=DATA_MAP)
    finished: alt.Chart = sized.configure(**{**_LOOK, "view": {"stroke": FRAME}})
    return finished


_LOOK: dict[str, Any] = {
    "view": {"stroke": None},
    "axis": {
        **{"labelColor": GREY, "labelFontSize": 12},
        **{"titleColor": GREY, "titleFontWeight": "normal"},
        **{"grid": False, "ticks": False, "domain": False},
    },
    "title": {"anchor": "start", "color": INK, "fontSize": 14, "fontWeight": "normal"},
    "font": "system-ui, sans-serif",
}


def _ink_on(colour: str, share: float) -> str:
    """Dark or white, whichever is read better on a colour that is drawn with this opacity."""
    parts = (int(colour[i : i + 2], 16) / 255 * share + 1 - share for i in (1, 3, 5))
    red, green, blue = (part**2.2 for part in parts)
    return INK if 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.2 else PAPER
