"""Charts of data maps: confidence against variability."""

from __future__ import annotations

from functools import cache
from typing import Any

import altair as alt
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from app.charts.base import Spec, draw, finished
from app.state import dark
from stg_core.datamap import BINS, MAX_VARIABILITY, DataMapSummary

POSITIVE, NEGATIVE = "positive", "negative"


def data_map(summary: DataMapSummary, task: str, epoch: int) -> None:
    """Confidence against variability of one task's training points at one recorded epoch."""
    t, e = summary.tasks.tolist().index(task), summary.epochs.tolist().index(epoch)
    confidence, variability = summary.task_means[e, :, t]
    draw(
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
    return finished(chart.properties(height=480))
