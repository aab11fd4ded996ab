"""Charts of the lesson."""

from __future__ import annotations

from functools import cache

import altair as alt
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from app.charts.base import Spec, cluster_colour, draw, finished, names_axis, text_colour
from app.state import dark
from stg_core.maps.summary import BINS, MAX_VARIABILITY, DataMapSummary
from stg_core.system.words import counted
from stg_core.tasks.groups import TaskGroup

HEIGHT = 420
NAME_GAP, NAMES_OFF = 0.06, 0.04  # between the names of epochs, and from the way to them; in scores
TASK_AXIS = names_axis(220)

# ---------------------------------------------------------------------------- who says yes to it


def answers(group: TaskGroup, image_class: str, classes: tuple[str, ...]) -> None:
    """What each task says to an image of each class; the chosen class is framed."""
    shares = [
        [0.5 if task.rule != "classes" else float(c in task.classes) for c in classes]
        for task in group.tasks
    ]
    said = {0.0: "no", 0.5: "half of them yes", 1.0: "yes"}
    cells = pd.DataFrame(
        {
            "task": np.repeat(group.task_names, len(classes)),
            "image": np.tile(classes, len(group.tasks)),
            "answer": [said[share] for row in shares for share in row],
        }
    )
    cells["chosen"] = cells["image"] == image_class
    yes = cells[cells["chosen"] & (cells["answer"] == "yes")]["task"].tolist()
    draw(
        _answers(dark()),
        f"Grid: what {counted(len(group.tasks), 'task')} say to images of {len(classes)} classes."
        f" An image of {image_class} gets a yes from {', '.join(yes)}.",
        key="answers",
        cells=cells,
    )


@cache
def _answers(dark: bool) -> Spec:
    yes, no = ("#56B4E9", "#252B33") if dark else ("#0072B2", "#E9EDF1")
    half = "#2C5A78" if dark else "#9CC4DE"
    base = alt.Chart(alt.NamedData("cells")).encode(
        x=alt.X(
            "image:N",
            title="Class of the image",
            sort=None,
            axis=alt.Axis(
                orient="top", labelAngle=-40, domain=False, ticks=False, labelOverlap=False
            ),
        ),
        y=alt.Y("task:N", title="Task", sort=None, axis=TASK_AXIS),
        tooltip=[
            alt.Tooltip("task:N", title="Task"),
            alt.Tooltip("image:N", title="Class of the image"),
            alt.Tooltip("answer:N", title="Answer"),
        ],
    )
    cells = base.mark_rect(cornerRadius=3).encode(
        color=alt.Color(
            "answer:N",
            title="Answer",
            scale=alt.Scale(domain=["yes", "half of them yes", "no"], range=[yes, half, no]),
            legend=alt.Legend(orient="bottom"),
        )
    )
    frame = base.transform_filter("datum.chosen").mark_rect(
        filled=False, stroke=cluster_colour(1, dark), strokeWidth=2
    )
    chart = alt.layer(cells, frame, title="Who says yes to it?")
    return finished(chart.properties(height=HEIGHT))


# ----------------------------------------------------------------- one image, epoch after epoch


def path(summary: DataMapSummary, task: str, sampled: int) -> None:
    """The way of one sampled point over the recorded epochs, above all points at the last."""
    t = summary.tasks.tolist().index(task)
    confidence, variability = summary.sample[:, :, t, sampled].astype(np.float64).T
    steps = pd.DataFrame(
        {
            "variability": variability,
            "confidence": confidence,
            "epoch": summary.epochs,
            "name_at": apart(confidence, NAME_GAP),
            "names_from": variability.max() + NAMES_OFF,
        }
    )
    draw(
        _path(dark()),
        f"Data map of the task {task} with the way of training point"
        f" {summary.sample_indices[t, sampled]}: confidence {confidence[0]:.2f} after epoch"
        f" {summary.epochs[0]}, {confidence[-1]:.2f} after epoch {summary.epochs[-1]};"
        f" variability {variability[0]:.2f}, then {variability[-1]:.2f}.",
        key="path",
        density=_cells(summary, t),
        steps=steps,
    )


def apart(places: NDArray[np.float64], gap: float) -> NDArray[np.float64]:
    """Places in [0, 1], (n,), moved until they are `gap` apart, and half of it from the ends."""
    order = np.argsort(places, kind="stable")
    steps = gap * np.arange(len(places))
    upwards = np.maximum.accumulate(places[order] - steps) + steps
    downwards = np.minimum.accumulate((places[order] - steps)[::-1])[::-1] + steps
    moved = (upwards + downwards) / 2
    moved -= max(moved[-1] - 1 + gap / 2, 0)
    moved += max(gap / 2 - moved[0], 0)
    spread = np.empty_like(moved)
    spread[order] = moved
    return spread


@cache
def _path(dark: bool) -> Spec:
    steps = alt.Chart(alt.NamedData("steps")).encode(
        x=_variability(), y=_confidence(), order="epoch:O"
    )
    line = steps.mark_line(color=cluster_colour(5, dark), strokeWidth=2)
    dots = steps.mark_point(filled=True, size=90, opacity=1, color=cluster_colour(5, dark)).encode(
        tooltip=[
            alt.Tooltip("epoch:Q", title="Epoch"),
            alt.Tooltip("confidence:Q", title="Confidence", format=".2f"),
            alt.Tooltip("variability:Q", title="Variability", format=".2f"),
        ]
    )
    names = steps.mark_text(
        dx=4, align="left", fontSize=13, fontWeight="bold", color=text_colour(dark)
    ).encode(x="names_from:Q", y="name_at:Q", text="epoch:O")
    leaders = steps.mark_rule(color=text_colour(dark), opacity=0.5).encode(
        x2="names_from:Q", y2="name_at:Q"
    )
    title = "One image, epoch by epoch, among all"
    chart = alt.layer(_density(dark), leaders, line, dots, names, title=title)
    return finished(chart.properties(height=HEIGHT - 80))  # images are above it


# -------------------------------------------------------------------------------- one data map


def density(summary: DataMapSummary, task: str, key: str) -> None:
    """All training points of a task after the last epoch."""
    t = summary.tasks.tolist().index(task)
    mean, spread = summary.task_means[-1, :, t]
    draw(
        _density_alone(dark()),
        f"Data map of the task {task} after the last epoch: mean confidence {mean:.2f}, mean"
        f" variability {spread:.2f}.",
        key=key,
        density=_cells(summary, t),
    )


@cache
def _density_alone(dark: bool) -> Spec:
    return finished(
        _density(dark, legend=False).properties(height=HEIGHT - 60, title="Data map, last epoch")
    )


# ---------------------------------------------------------------------- what a specialist is paid


def loss_weights(
    tasks: tuple[str, ...], weights: NDArray[np.float64], cluster: int, colour: int
) -> None:
    """Loss weights (T,) of the specialist of a cluster, the largest first."""
    order = np.argsort(-weights, kind="stable")
    bars = pd.DataFrame({"task": np.array(tasks)[order], "weight": weights[order]})
    draw(
        _loss_weights(colour, dark()),
        f"Bar chart: loss weights of specialist {cluster}. The largest are of"
        f" {', '.join(bars['task'][:3])}.",
        key="loss weights",
        bars=bars,
    )


@cache
def _loss_weights(colour: int, dark: bool) -> Spec:
    base = alt.Chart(alt.NamedData("bars")).encode(
        x=alt.X("weight:Q", title="Loss weight", scale=alt.Scale(domain=[0, 1])),
        y=alt.Y("task:N", title="Task", sort=None, axis=TASK_AXIS),
        tooltip=[
            alt.Tooltip("task:N", title="Task"),
            alt.Tooltip("weight:Q", title="Loss weight", format=".2f"),
        ],
    )
    bars = base.mark_bar(color=cluster_colour(colour, dark))
    numbers = base.mark_text(align="left", dx=4, color=text_colour(dark)).encode(
        text=alt.Text("weight:Q", format=".2f")
    )
    chart = alt.layer(bars, numbers, title="What this specialist trains for")
    return finished(chart.properties(height=HEIGHT))


# ------------------------------------------------------------------------------------- in common


def _cells(summary: DataMapSummary, t: int) -> pd.DataFrame:
    """The filled cells of a task's histogram at the last epoch, with their edges."""
    counts = summary.histogram[-1, t].sum(axis=0)
    row, column = np.nonzero(counts)
    width = MAX_VARIABILITY / BINS
    return pd.DataFrame(
        {
            "variability": (column * width).astype(np.float32),
            "variability_to": ((column + 1) * width).astype(np.float32),
            "confidence": (row / BINS).astype(np.float32),
            "confidence_to": ((row + 1) / BINS).astype(np.float32),
            "points": counts[row, column].astype(np.int32),
        }
    )


def _density(dark: bool, legend: bool = True) -> alt.Chart:
    ramp = ["#30363F", "#A6ADB7"] if dark else ["#E3E7EB", "#7C8590"]
    return (
        alt.Chart(alt.NamedData("density"))
        .mark_rect()
        .encode(
            x=_variability(),
            x2="variability_to:Q",
            y=_confidence(),
            y2="confidence_to:Q",
            color=alt.Color(
                "points:Q",
                title="Images in a cell",
                scale=alt.Scale(type="log", domainMin=1, range=ramp, nice=False),
                legend=alt.Legend(orient="bottom", tickCount=4, format="~s") if legend else None,
            ),
        )
    )


def _variability() -> alt.X:
    return alt.X(
        "variability:Q",
        title="Variability",
        scale=alt.Scale(domain=[0, 0.71], nice=False),
        axis=alt.Axis(tickCount=7, format=".1f", labelFlush=False),
    )


def _confidence() -> alt.Y:
    return alt.Y(
        "confidence:Q",
        title="Confidence",
        scale=alt.Scale(domain=[0, 1]),
        axis=alt.Axis(tickCount=5, format=".1f", labelFlush=False),
    )
