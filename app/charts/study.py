"""The chart of a study: by how much one scheme is better than another, over two axes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import altair as alt
import pandas as pd

from app.charts.base import Spec, draw, finished, ink_on, number
from stg_core.judging.comparing import Bin, describe
from stg_core.judging.verdict import SCHEME_NAMES

BETTER, WORSE, SAME = (0, 114, 178), (230, 159, 0), (244, 246, 248)
ROW, AROUND = 58, 130  # pixels: of a row of fields; of title, axis and margins
MARKS = {1: "▲", -1: "▼"}
NAMES_AXIS = alt.Axis(domain=False, ticks=False, labelFlush=False, labelLimit=200, labelAngle=0)


def heatmap(
    bins: Sequence[Bin],
    xs: Sequence[str],
    ys: Sequence[str],
    titles: tuple[str, str],
    measure: str,
    told: str,
) -> None:
    """A field per value of two axes, with the mean difference of its cells, and how many of their
    intervals lie above 0 and below.

    xs, ys: values of the axes in their order; told: what is compared, for the blind.
    """
    most = max((abs(one.mean) for one in bins), default=0) or 1.0
    in_order = sorted(bins, key=lambda one: (ys.index(one.y), xs.index(one.x)))
    fields = [f"{b.y}, {b.x}: {number(b.mean, '+.4f')} {_marks(b)}".strip() for b in in_order]
    draw(
        _heatmap(len(ys), titles, measure),
        f"Heatmap: {told}, {measure}, by {titles[1].lower()} and {titles[0].lower()}."
        f" {'; '.join(fields)}.",
        key="study",
        rows=pd.DataFrame([_row(one, most) for one in in_order]),
    )


def _row(one: Bin, most: float) -> dict[str, object]:
    colour = _colour(one.mean / most)
    single = one.cells[0] if len(one.cells) == 1 else None
    return {
        "x": one.x,
        "y": one.y,
        "difference": number(one.mean, "+.4f"),
        "shown": number(one.mean, "+.3f"),
        "marks": _marks(one),
        "colour": colour,
        "ink": ink_on(colour),
        "interval": (
            f"{number(single.low, '+.4f')} to {number(single.high, '+.4f')}"
            if single
            else f"above 0 in {one.count(1)}, below in {one.count(-1)} of {len(one.cells)} cells"
        ),
        "other": ", ".join(dict.fromkeys(SCHEME_NAMES[cell.other] for cell in one.cells)),
        "cells": describe(single.cell) if single else f"{len(one.cells)} cells",
    }


def _marks(one: Bin) -> str:
    """A sign for an interval without 0; of several cells with how many have one."""
    counts = {sign: one.count(sign) for sign in MARKS}
    if len(one.cells) == 1:
        return "".join(MARKS[sign] for sign, count in counts.items() if count)
    parts = [f"{MARKS[sign]} {count}" for sign, count in counts.items() if count]
    return f"{' '.join(parts)} of {len(one.cells)}" if parts else f"0 of {len(one.cells)}"


def _colour(share: float) -> str:
    """From WORSE at -1 over SAME to BETTER at 1."""
    end = BETTER if share > 0 else WORSE
    mixed = (round(a + (b - a) * min(abs(share), 1)) for a, b in zip(SAME, end, strict=True))
    return "#" + "".join(f"{part:02X}" for part in mixed)


@lru_cache(maxsize=32)
def _heatmap(rows: int, titles: tuple[str, str], measure: str) -> Spec:
    base = alt.Chart(alt.NamedData("rows")).encode(
        x=alt.X("x:N", title=titles[0], sort=None, axis=NAMES_AXIS),
        y=alt.Y("y:N", title=titles[1], sort=None, axis=NAMES_AXIS),
        tooltip=[
            alt.Tooltip("cells:N", title="Cell"),
            alt.Tooltip("difference:N", title=f"Difference in {measure}"),
            alt.Tooltip("interval:N", title="95 % interval"),
            alt.Tooltip("other:N", title="Compared with"),
        ],
    )
    fields = base.mark_rect(cornerRadius=3, stroke=None).encode(
        color=alt.Color("colour:N", scale=None)
    )
    ink = alt.Color("ink:N", scale=None)
    numbers = base.mark_text(fontWeight=600, fontSize=13, dy=-8).encode(text="shown:N", color=ink)
    marks = base.mark_text(dy=11, fontSize=12).encode(text="marks:N", color=ink)
    chart = alt.layer(fields, numbers, marks, title=f"Difference in {measure}")
    return finished(chart.properties(height=ROW * rows + AROUND))
