"""Charts of data maps: confidence against variability, of one task and of many."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

import altair as alt
import numpy as np
import pandas as pd
import streamlit as st
from numpy.typing import NDArray

from app.charts.base import DARK, LIGHT, Spec, draw, finished
from app.state import dark
from stg_core.datamap import (
    AMBIGUOUS_FROM,
    BINS,
    EASY_FROM,
    MAX_VARIABILITY,
    Region,
    TaskMap,
    region_shares,
)

LABELS = ("positive", "negative")
FEW = 10  # points: where a cell holds fewer, those of the sample are drawn
HAIR = 0.3  # of a cell, about a pixel
HEIGHT = 440
SHOWN_TO = 0.71  # of the variability
BRUSH, CLICK = "brush", "click"

SMALL_BINS = 16  # cells along each axis of a small map
SMALL_COLUMNS = 5
SMALL_HEIGHT, AROUND = 150, 110  # pixels
GAP, SMALL_TITLE = 0.06, 0.18  # of the side of a small map: between two, and above one

# Where the name of a region begins.
NAMES = pd.DataFrame(
    {
        "region": ["easy to learn", "ambiguous", "hard to learn"],
        "x": np.array([0.01, AMBIGUOUS_FROM + 0.01, 0.01], dtype=np.float32),
        "y": np.array([EASY_FROM + 0.05, 0.05, EASY_FROM - 0.05], dtype=np.float32),
    }
)


# ----------------------------------------------------------------------------------- one data map


def data_map(
    found: TaskMap,
    task: str,
    description: str,
    n_points: int,
    key: str,
    region: Region | None = None,
    on_brush: Callable[[], None] | None = None,
) -> None:
    """Density of a task's training points, its sampled points where they are few, and a region.

    With `on_brush`, a rectangle can be drawn over it, and `brush_of(key)` tells it. All maps of a
    data set of `n_points` have the same scales.
    """
    shares = region_shares(found.histogram)
    draw(
        _data_map(dark(), task, n_points, on_brush is not None),
        description + " " + ", ".join(_named(name, share) for name, share in shares.items()) + ".",
        key=key,
        on_select=on_brush,
        density=_strips(found.histogram),
        points=_points_where_few(found),
        region=_outline(region),
        names=NAMES.assign(text=[_named(name, shares[name]) for name in NAMES["region"]]),
    )


def brush_of(key: str) -> Region | None:
    """The rectangle drawn over the data map with this key."""
    brush = st.session_state[key]["selection"].get(BRUSH)
    if not brush:
        return None
    (v, v_to), (c, c_to) = sorted(brush["x"]), sorted(brush["y"])
    return Region((c, c_to), (v, v_to))


def _outline(region: Region | None) -> pd.DataFrame:
    bounds = [(*region.variability, *region.confidence)] if region else []
    return pd.DataFrame(bounds, columns=["x", "x_to", "y", "y_to"], dtype=np.float32)


def _named(region: str, share: float) -> str:
    return f"{region}: no points" if np.isnan(share) else f"{region} {share:.1%}"


def _strips(
    histogram: NDArray[np.int64],
    left: float = 0.0,
    bottom: float = 0.0,
    width: float = MAX_VARIABILITY,
) -> pd.DataFrame:
    """Filled cells (n, n) as strips: neighbours in a row of like density are one mark.

    That is a third of the marks, and the browser's time goes by their number. Each strip covers
    the hair's breadth that would show between it and the next.
    """
    n = len(histogram)
    step = np.where(histogram > 0, np.log10(np.maximum(histogram, 1)) * 2 + 1, 0).astype(int)
    row, edge = np.nonzero(np.diff(step, axis=1, prepend=0, append=0))
    begins = np.flatnonzero(step[row, np.minimum(edge, n - 1)] * (edge < n))
    row, start, end = row[begins], edge[begins], edge[begins + 1]
    filled = step[row, start] - 1
    return pd.DataFrame(
        {
            "x": (left + start * (width / n)).astype(np.float32),
            "x_to": (left + (end + HAIR) * (width / n)).astype(np.float32),
            "y": (bottom + row / n).astype(np.float32),
            "y_to": (bottom + (row + 1 + HAIR) / n).astype(np.float32),
            "least": np.ceil(10 ** (filled / 2)).astype(np.int32),
            "most": (np.ceil(10 ** ((filled + 1) / 2)) - 1).astype(np.int32),
        }
    )


def _points_where_few(found: TaskMap) -> pd.DataFrame:
    drawn = found.crowd() < FEW
    return pd.DataFrame(
        {
            "x": found.variability[drawn].astype(np.float32),
            "y": found.confidence[drawn].astype(np.float32),
            "kind": pd.Categorical(np.where(found.positive[drawn], *LABELS), categories=LABELS),
            "point": found.indices[drawn],
        }
    )


@lru_cache(maxsize=128)
def _data_map(dark: bool, task: str, n_points: int, selectable: bool) -> Spec:
    x = alt.X(
        "x:Q",
        title="Variability (deviation of the probability)",
        scale=alt.Scale(domain=[0, SHOWN_TO], nice=False),
        axis=alt.Axis(tickCount=7, format=".1f", labelFlush=False, grid=False),
    )
    y = alt.Y(
        "y:Q",
        title="Confidence (probability of the true label)",
        scale=alt.Scale(domain=[0, 1]),
        axis=alt.Axis(tickCount=5, format=".1f", labelFlush=False, grid=False),
    )
    density = (
        alt.Chart(alt.NamedData("density"))
        .mark_rect()
        .encode(
            x=x,
            x2="x_to:Q",
            y=y,
            y2="y_to:Q",
            color=_density_colour(dark, n_points, "bottom-right"),
            tooltip=[
                alt.Tooltip("least:Q", title="Points in a cell here: from", format=","),
                alt.Tooltip("most:Q", title="to", format=","),
            ],
        )
    )
    if selectable:
        look = alt.BrushConfig(fillOpacity=0.15)
        density = density.add_params(
            alt.selection_interval(
                name=BRUSH, encodings=["x", "y"], translate=False, zoom=False, mark=look
            )
        )
    outline = (
        alt.Chart(alt.NamedData("region"))
        .mark_rect(fillOpacity=0, strokeWidth=2, stroke=_ink(dark))
        .encode(x="x:Q", x2="x_to:Q", y="y:Q", y2="y_to:Q")
    )
    colours = [DARK[1], DARK[0]] if dark else [LIGHT[5], LIGHT[0]]
    points = (
        alt.Chart(alt.NamedData("points"))
        .mark_point(size=12, opacity=0.75, filled=True, invalid=None)
        .encode(
            x=x,
            y=y,
            fill=alt.Fill(
                "kind:N",
                title="Single points",
                scale=alt.Scale(domain=LABELS, range=colours),
                legend=alt.Legend(symbolSize=80, symbolOpacity=1, orient="top-right"),
            ),
            tooltip=[
                alt.Tooltip("point:Q", title="Training point"),
                alt.Tooltip("kind:N", title="Label"),
                alt.Tooltip("y:Q", title="Confidence", format=".2f"),
                alt.Tooltip("x:Q", title="Variability", format=".2f"),
            ],
        )
    )
    chart = alt.layer(density, points, outline, *_regions(dark), title=f"Data map of {task}")
    return finished(
        chart.resolve_scale(color="independent", fill="independent").properties(height=HEIGHT)
    )


def _density_colour(dark: bool, n_points: int, orient: Any) -> alt.Color:
    """Dark for many points in light mode; from a tenth of all points on, one colour."""
    ramp = ["#2B3440", "#6F86A0", "#F2F6FA"] if dark else ["#DFE6ED", "#7790A9", "#0D1F31"]
    top = max(n_points / 10, 10)
    return alt.Color(
        "least:Q",
        title="Points in a cell",
        scale=alt.Scale(
            type="log", domain=[1, top], range=ramp, interpolate="rgb", clamp=True, nice=False
        ),
        legend=alt.Legend(
            values=[10**power for power in range(4) if 10**power <= top],
            format="~s",
            orient=orient,
            direction="horizontal",
            gradientLength=110,
        ),
    )


def _ink(dark: bool) -> str:
    return "#FAFBFC" if dark else "#1B2733"


def _regions(dark: bool) -> list[alt.Chart]:
    """The bounds of the regions, and their names, readable on any density."""
    ink, paper = _ink(dark), _ink(not dark)
    rule = alt.Chart(alt.NamedData("names")).mark_rule(strokeDash=[5, 4], color=ink, opacity=0.6)
    bound = alt.datum(AMBIGUOUS_FROM)
    lines = [
        rule.encode(x=bound),
        rule.encode(x=alt.datum(0), x2=bound, y=alt.datum(EASY_FROM)),
    ]
    names = alt.Chart(alt.NamedData("names")).encode(x="x:Q", y="y:Q", text="text:N")
    style: dict[str, Any] = {"align": "left", "fontSize": 13, "fontWeight": 600}
    halo = names.mark_text(**style, stroke=paper, strokeWidth=4, strokeJoin="round")
    return [*lines, halo, names.mark_text(**style, color=ink)]


# ------------------------------------------------------------------------------ many small ones


@dataclass(frozen=True)
class Small:
    """A small map: its task, its histogram (64, 64), and what is said of it."""

    task: str
    histogram: NDArray[np.int64]
    note: str
    confidence: float
    variability: float
    f1: float


def small_maps(
    maps: Sequence[Small], epoch: int, n_points: int, key: str, on_click: Callable[[], None]
) -> None:
    """Up to 15 data maps on the same scales, in their order; `clicked(key)` tells which one."""
    column, row = np.arange(len(maps)) % SMALL_COLUMNS, np.arange(len(maps)) // SMALL_COLUMNS
    rows = int(row[-1]) + 1
    left, bottom = column * (1 + GAP), (rows - 1 - row) * (1 + SMALL_TITLE)
    frames = pd.DataFrame(
        {
            "x": left.astype(np.float32),
            "x_to": (left + 1).astype(np.float32),
            "y": bottom.astype(np.float32),
            "y_to": (bottom + 1).astype(np.float32),
            **{
                name: [getattr(small, name) for small in maps]
                for name in ("task", "note", "confidence", "variability", "f1")
            },
        }
    )
    draw(
        _small_maps(dark(), rows, n_points),
        f"Small data maps after epoch {epoch}, on the same scales: "
        + ", ".join(f"{small.task} {small.note}".strip() for small in maps),
        key=key,
        on_select=on_click,
        cells=pd.concat(
            [
                _strips(_coarse(small.histogram), x, y, width=1)
                for small, x, y in zip(maps, left, bottom, strict=True)
            ]
        ),
        frames=frames,
    )


def clicked(key: str) -> str | None:
    """The task of the small map that was clicked."""
    points = st.session_state[key]["selection"].get(CLICK)
    return str(points[0]["task"]) if points else None


def _coarse(histogram: NDArray[np.int64]) -> NDArray[np.int64]:
    """Fewer and larger cells, (16, 16)."""
    merged = BINS // SMALL_BINS
    blocks = histogram.reshape(SMALL_BINS, merged, SMALL_BINS, merged)
    return np.asarray(blocks.sum(axis=(1, 3)))


@cache
def _small_maps(dark: bool, rows: int, n_points: int) -> Spec:
    ink = _ink(dark)
    bare = alt.Axis(labels=False, ticks=False, domain=False, grid=False)
    x = alt.X(
        "x:Q",
        title="Variability, from 0 to 0.71 in each map",
        scale=alt.Scale(domain=[0, SMALL_COLUMNS * (1 + GAP) - GAP], nice=False),
        axis=bare,
    )
    y = alt.Y(
        "y:Q",
        title="Confidence, from 0 to 1 in each",
        scale=alt.Scale(domain=[0, rows * (1 + SMALL_TITLE)], nice=False),
        axis=bare,
    )
    cells = (
        alt.Chart(alt.NamedData("cells"))
        .mark_rect()
        .encode(x=x, x2="x_to:Q", y=y, y2="y_to:Q", color=_density_colour(dark, n_points, "bottom"))
    )
    base = alt.Chart(alt.NamedData("frames"))
    frames = (
        base.mark_rect(fillOpacity=0, stroke=ink, strokeOpacity=0.25, cursor="pointer")
        .encode(
            x=x,
            x2="x_to:Q",
            y=y,
            y2="y_to:Q",
            tooltip=[
                alt.Tooltip("task:N", title="Task"),
                alt.Tooltip("confidence:Q", title="Mean confidence", format=".2f"),
                alt.Tooltip("variability:Q", title="Mean variability", format=".2f"),
                alt.Tooltip("f1:Q", title="Test F1", format=".2f"),
            ],
        )
        .add_params(alt.selection_point(name=CLICK, fields=["task"]))
    )
    style: dict[str, Any] = {"baseline": "bottom", "dy": -3, "fontSize": 12, "color": ink}
    titles = base.mark_text(**style, align="left", fontWeight=600).encode(
        x="x:Q", y="y_to:Q", text="task:N"
    )
    notes = base.mark_text(**style, align="right").encode(x="x_to:Q", y="y_to:Q", text="note:N")
    chart = alt.layer(cells, frames, titles, notes, title="Data maps after the last recorded epoch")
    return finished(chart.properties(height=rows * SMALL_HEIGHT + AROUND))
