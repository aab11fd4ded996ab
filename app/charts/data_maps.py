"""Charts of data maps: confidence against variability, of one task and of many."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from app import task_pictures
from app.charts.base import DARK, LIGHT
from app.state import dark
from stg_core.maps.summary import (
    AMBIGUOUS_FROM,
    EASY_FROM,
    MAX_VARIABILITY,
    Region,
    TaskMap,
    region_shares,
)
from stg_core.tasks.groups import Kind

FEW = 10  # points: where a cell holds fewer, those of the sample are drawn
SMALL_BINS = 16  # cells along each axis of a small map


@dataclass(frozen=True)
class Epochs:
    """Data maps of one task at every recorded epoch.

    name: what tells them from all others; maps: each with its description, by its epoch; n_points:
    of the data set, whose maps all have the same scales; kind: of the task, of which only a binary
    one has positives.
    """

    task: str
    name: str
    maps: Mapping[int, tuple[TaskMap, str]]
    n_points: int
    kind: Kind = "binary"


def data_map(
    epochs: Epochs,
    epoch: int,
    key: str,
    region: Region | None,
    on_brush: Callable[[Region | None], None] | None = None,
    glances: str | None = None,
) -> None:
    """Density of a task's training points, its sampled points where they are few, and a region.

    All recorded epochs are sent once, so that the map follows the slider of epochs by itself. With
    `on_brush`, a rectangle can be dragged over it. glances: whose images those who point at a point
    may see, see `app.glances`.
    """

    def brushed(bounds: list[float] | None) -> None:
        if on_brush:
            on_brush(region_of(bounds))

    of_epoch, values = _drawn(*epochs.maps[epoch])
    header = {
        "title": f"Data map of {epochs.task}",
        **of_epoch,
        "epoch": epoch,
        "every": epochs.name,
        "region": bounds_of(region),
        "ambiguous": AMBIGUOUS_FROM,
        "easy": EASY_FROM,
        "colour": DARK[1] if dark() else LIGHT[5],
        "file": epochs.task.replace(" ", "-"),
        "glances": glances,
        "binary": epochs.kind == "binary",
        "number": epochs.kind == "regression",
        **_scales(len(epochs.maps[epoch][0].histogram), epochs.n_points),
    }
    task_pictures.send(_message(epochs.name, epochs), key)
    task_pictures.data_map(header, values, key, brushed if on_brush else None)


@st.cache_resource(show_spinner=False, max_entries=32)
def _message(name: str, _epochs: Epochs) -> bytes:
    drawn = ((epoch, *_drawn(*described)) for epoch, described in _epochs.maps.items())
    return task_pictures.all_of(name, drawn)


def _drawn(found: TaskMap, description: str) -> tuple[dict[str, Any], NDArray[np.float64]]:
    """What of a map's header is of its epoch, and its numbers."""
    few = found.crowd() < FEW
    points = np.column_stack([found.variability, found.confidence, found.positive])[few]
    shares = [_named(name, share) for name, share in region_shares(found.histogram).items()]
    header = {
        "names": found.indices[few].astype(str).tolist(),
        "regions": shares,
        "alt": {"data-map": f"{description} {', '.join(shares)}."},
    }
    return header, np.concatenate([found.histogram.ravel(), points.ravel()])


def bounds_of(region: Region | None) -> list[float] | None:
    """Variability from and to, confidence from and to, as a URL and the browser have them."""
    if region is None:
        return None
    return [round(bound, 5) for bound in (*region.variability, *region.confidence)]


def region_of(bounds: Sequence[float] | None) -> Region | None:
    """The inverse; None for what is no rectangle on the map."""
    if bounds is None or len(bounds) != 4:
        return None
    v, v_to, c, c_to = bounds
    on_the_map = 0 <= v < v_to <= 1 and 0 <= c < c_to <= 1
    return Region((c, c_to), (v, v_to)) if on_the_map else None


def _named(region: str, share: float) -> str:
    return f"{region}: no points" if np.isnan(share) else f"{region} {share:.1%}"


def _scales(bins: int, n_points: int) -> dict[str, Any]:
    """From a tenth of all points on, cells have the same shade."""
    return {"bins": bins, "variability": MAX_VARIABILITY, "most": max(n_points / 10, 10)}


@dataclass(frozen=True)
class Small:
    """A small map: its task, its histogram (64, 64), a note beside its name, what is said of it."""

    task: str
    histogram: NDArray[np.int64]
    note: str
    said: str


def small_maps(
    maps: Sequence[Small], epoch: int, n_points: int, on_click: Callable[[str], None]
) -> None:
    """Data maps of many tasks on the same scales, in their order."""
    named = (f"{small.task} {small.note}".strip() for small in maps)
    header = {
        "title": f"Data maps after epoch {epoch}",
        "names": [small.task for small in maps],
        "notes": [small.note for small in maps],
        "says": [small.said for small in maps],
        "alt": {"small-maps": f"Data maps after epoch {epoch}, small: {', '.join(named)}."},
        "file": f"epoch-{epoch}",
        **_scales(SMALL_BINS, n_points),
    }
    values = np.stack([_coarse(small.histogram) for small in maps]).astype(np.float64)
    task_pictures.small_maps(header, values, on_click)


def _coarse(histogram: NDArray[np.int64]) -> NDArray[np.int64]:
    """Fewer and larger cells, (16, 16)."""
    merged = len(histogram) // SMALL_BINS
    blocks = histogram.reshape(SMALL_BINS, merged, SMALL_BINS, merged)
    return np.asarray(blocks.sum(axis=(1, 3)))
