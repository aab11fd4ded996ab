"""Every chart, as a constant specification that is built once and fed with data only.

A specification that changes makes the browser build the whole chart anew; new data is swapped in.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import altair as alt
import numpy as np
import pandas as pd
import streamlit as st
from numpy.typing import NDArray

from app.state import dark
from stg_core.datamap import BINS, MAX_VARIABILITY, DataMapSummary

Spec = dict[str, Any]

NUMBERS_UP_TO = 400  # cells; beyond, the numbers no longer fit
AROUND_CELLS = 120  # pixels: the height of a chart includes its title and axes
POSITIVE, NEGATIVE = "positive", "negative"
CANVAS = {"embedOptions": {"renderer": "canvas"}}


# ------------------------------------------------------------------------------ learning curves


def learning_curve(values: list[float], measure: str, *, key: str, share: bool = False) -> None:
    """One value per epoch, from epoch 1; `share` fixes the scale to 0 to 1."""
    curve = pd.DataFrame(
        {"epoch": np.arange(1, len(values) + 1), "value": np.array(values, dtype=np.float64)}
    )
    last = f"{values[-1]:.3f} after epoch {len(values)}" if values else "no epoch is finished yet"
    _draw(
        _learning_curve(measure, share),
        f"Line chart: {measure.lower()} by epoch; {last}.",
        key=key,
        curve=curve,
    )


@cache
def _learning_curve(measure: str, share: bool) -> Spec:
    scale = alt.Scale(domain=[0, 1]) if share else alt.Scale(zero=True, nice=True)
    return _finished(
        alt.Chart(alt.NamedData("curve"), title=measure)
        .mark_line(point=True)
        .encode(
            x=alt.X(
                "epoch:Q",
                title="Epoch",
                axis=alt.Axis(tickMinStep=1, format="d", grid=False, labelFlush=False),
            ),
            y=alt.Y("value:Q", title=measure, scale=scale),
            tooltip=[
                alt.Tooltip("epoch:Q", title="Epoch"),
                alt.Tooltip("value:Q", title=measure, format=".3f"),
            ],
        )
        .properties(height=260)
    )


# ------------------------------------------------------------------------------------- data map


def data_map(summary: DataMapSummary, task: str, epoch: int) -> None:
    """Confidence against variability of one task's training points at one recorded epoch."""
    t, e = summary.tasks.tolist().index(task), summary.epochs.tolist().index(epoch)
    confidence, variability = summary.task_means[e, :, t]
    _draw(
        _data_map(dark()),
        f"Data map of the task {task} after epoch {epoch}: density of {int(summary.n_points):,}"
        f" training points, with a sample drawn above it. Their mean confidence is"
        f" {confidence:.2f}, their mean variability {variability:.2f}.",
        key="data map",
        density=_filled_cells(summary.histogram[e, t].sum(axis=0)),
        points=_sample(summary, e, t),
    )


def _filled_cells(histogram: NDArray[Any]) -> pd.DataFrame:
    """The cells (64, 64) that hold points, with their edges."""
    row, column = np.nonzero(histogram)
    width = MAX_VARIABILITY / BINS
    return pd.DataFrame(
        {
            "variability": (column * width).astype(np.float32),
            "variability_to": ((column + 1) * width).astype(np.float32),
            "confidence": (row / BINS).astype(np.float32),
            "confidence_to": ((row + 1) / BINS).astype(np.float32),
            "points": histogram[row, column].astype(np.int32),
        }
    )


def _sample(summary: DataMapSummary, e: int, t: int) -> pd.DataFrame:
    confidence, variability = summary.sample[e, :, t].astype(np.float32)
    kind = np.where(summary.sample_positive[t], POSITIVE, NEGATIVE)
    points = pd.DataFrame(
        {
            "variability": variability,
            "confidence": confidence,
            "kind": pd.Categorical(kind, categories=[POSITIVE, NEGATIVE]),
            "point": summary.sample_indices[t],
        }
    )
    return points.dropna()


@cache
def _data_map(dark: bool) -> Spec:
    ramp = ["#30363F", "#A6ADB7"] if dark else ["#EEF0F2", "#7C8590"]
    colours = ["#E69F00", "#56B4E9"] if dark else ["#D55E00", "#0072B2"]
    x = alt.X(
        "variability:Q",
        title="Variability",
        scale=alt.Scale(domain=[0, 0.71], nice=False),
        axis=alt.Axis(tickCount=7, format=".1f", labelFlush=False),
    )
    y = alt.Y(
        "confidence:Q",
        title="Confidence",
        scale=alt.Scale(domain=[0, 1]),
        axis=alt.Axis(tickCount=5, format=".1f", labelFlush=False),
    )
    density = (
        alt.Chart(alt.NamedData("density"))
        .mark_rect()
        .encode(
            x=x,
            x2="variability_to:Q",
            y=y,
            y2="confidence_to:Q",
            color=alt.Color(
                "points:Q",
                title="Points in a cell",
                scale=alt.Scale(type="log", domainMin=1, range=ramp, nice=False),
                legend=alt.Legend(tickCount=4, format="~s"),
            ),
            tooltip=[alt.Tooltip("points:Q", title="Points in this cell", format=",")],
        )
    )
    points = (
        alt.Chart(alt.NamedData("points"))
        .mark_point(size=10, opacity=0.6, filled=True, invalid=None)
        .encode(
            x=x,
            y=y,
            fill=alt.Fill(
                "kind:N",
                title="Label in the sample",
                scale=alt.Scale(domain=[POSITIVE, NEGATIVE], range=colours),
                legend=alt.Legend(symbolSize=80, symbolOpacity=1),
            ),
            tooltip=[
                alt.Tooltip("point:Q", title="Training point"),
                alt.Tooltip("kind:N", title="Label"),
                alt.Tooltip("confidence:Q", title="Confidence", format=".2f"),
                alt.Tooltip("variability:Q", title="Variability", format=".2f"),
            ],
        )
    )
    chart = alt.layer(density, points, title="Data map").resolve_scale(
        color="independent", fill="independent"
    )
    return _finished(chart.properties(height=480))


# ------------------------------------------------------------------------------------ memberships


def membership_heatmap(
    tasks: tuple[str, ...], memberships: NDArray[np.float64], labels: NDArray[np.int64]
) -> None:
    """Share of each task in each cluster, tasks ordered by cluster, the surest first."""
    n_tasks, k = memberships.shape
    order = np.lexsort((-memberships.max(axis=1), labels))
    cells = pd.DataFrame(
        {
            "task": pd.Categorical(np.repeat(np.array(tasks)[order], k), categories=list(tasks)),
            "cluster": np.tile(np.arange(1, k + 1, dtype=np.int16), n_tasks),
            "membership": memberships[order].ravel().astype(np.float32),
        }
    )
    members = (
        f"cluster {j + 1}: {', '.join(np.array(tasks)[labels == j].tolist())}" for j in range(k)
    )
    _draw(
        _membership_heatmap(dark(), n_tasks, n_tasks * k <= NUMBERS_UP_TO),
        f"Heatmap: share of {n_tasks} tasks in {k} clusters. Each task belongs most to: "
        + "; ".join(members),
        key="memberships",
        cells=cells,
    )


@cache
def _membership_heatmap(dark: bool, n_tasks: int, numbers: bool) -> Spec:
    row = 26 if n_tasks <= 30 else 14
    base = alt.Chart(alt.NamedData("cells")).encode(
        x=alt.X(
            "cluster:O",
            title="Cluster",
            axis=alt.Axis(orient="top", labelAngle=0, domain=False, ticks=False),
        ),
        y=alt.Y(
            "task:N",
            title="Task",
            sort=None,
            axis=alt.Axis(
                labelOverlap=False,
                labelFlush=False,
                labelFontSize=12 if row > 20 else 10,
                labelLimit=220,
                domain=False,
                ticks=False,
            ),
        ),
        tooltip=[
            alt.Tooltip("task:N", title="Task"),
            alt.Tooltip("cluster:O", title="Cluster"),
            alt.Tooltip("membership:Q", title="Membership", format=".3f"),
        ],
    )
    chart = base.mark_rect().encode(
        color=alt.Color(
            "membership:Q",
            title="Membership",
            scale=alt.Scale(domain=[0, 1]),
            legend=alt.Legend(gradientLength=110),
        )
    )
    layers = [chart]
    if numbers:
        strong, weak = ("#10151B", "#E8ECF0") if dark else ("#FFFFFF", "#1B2733")
        text = base.mark_text(fontSize=12).encode(
            text=alt.Text("membership:Q", format=".2f"),
            color=alt.condition("datum.membership > 0.5", alt.value(strong), alt.value(weak)),
        )
        layers.append(text)
    return _finished(
        alt.layer(*layers, title="Memberships").properties(
            height=max(n_tasks * row + AROUND_CELLS, 260)
        )
    )


# ------------------------------------------------------------------------------------------ all


def _finished(chart: alt.TopLevelMixin) -> Spec:
    # per-mark descriptions for screen readers cost more than the chart: each chart has one text
    return dict(chart.properties(usermeta=CANVAS).configure(aria=False).to_dict())


def _draw(spec: Spec, description: str, key: str, **data: pd.DataFrame) -> None:
    st.vega_lite_chart(None, {**spec, "datasets": data}, width="stretch", key=key, alt=description)
