"""What all charts share: how one is finished and drawn, and the colours of clusters.

A chart is a constant specification, built once and fed with data only: a specification that changes
makes the browser build the whole chart anew, while new data is swapped in.
"""

from __future__ import annotations

import math
from typing import Any

import altair as alt
import pandas as pd
import streamlit as st

from app.presenter import SIZE
from app.state import dark, presenting

Spec = dict[str, Any]

CANVAS = {"embedOptions": {"renderer": "canvas"}}

# Okabe and Ito's colours, which colour-blind people can tell apart; a cluster also has its number.
LIGHT = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#B8A800", "#000000")
DARK = ("#56B4E9", "#E69F00", "#009E73", "#CC79A7", "#2F8FD0", "#D55E00", "#F0E442", "#DDDDDD")


def palette(dark: bool) -> tuple[str, ...]:
    """The colours of clusters, by their index."""
    return DARK if dark else LIGHT


def cluster_colour(index: int, dark: bool) -> str:
    """Colour of the cluster with this colour index, from 0; beyond eight they come again."""
    return palette(dark)[index % len(palette(dark))]


def ink_on(colour: str) -> str:
    """Black or white, whichever is read better on this colour."""
    red, green, blue = ((int(colour[i : i + 2], 16) / 255) ** 2.2 for i in (1, 3, 5))
    return "#10151B" if 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.2 else "#FFFFFF"


def text_colour(dark: bool) -> str:
    """What texts and lines are drawn in."""
    return "#F2F4F7" if dark else "#1B2733"


def number(value: float | None, pattern: str = ".2f") -> str:
    """With a minus sign that is one, and a dash where there is no number."""
    return "–" if value is None or math.isnan(value) else f"{value:{pattern}}".replace("-", "−")


def names_axis(longest: int) -> alt.Axis:
    """Of rows that have names: each is written, cut after so many pixels, and no line is drawn."""
    return alt.Axis(
        domain=False, ticks=False, labelOverlap=False, labelFlush=False, labelLimit=longest
    )


def finished(chart: alt.TopLevelMixin) -> Spec:
    # per-mark descriptions for screen readers cost more than the chart: each chart has one text
    return dict(chart.properties(usermeta=CANVAS).configure(aria=False).to_dict())


# Of axes and legends; Streamlit's own grey is too pale to be read on white.
READ = "#5F6B78"

# For the back rows of a class.
LARGER = {
    "axis": {"labelFontSize": 16, "titleFontSize": 17},
    "legend": {"labelFontSize": 16, "titleFontSize": 17},
    "text": {"fontSize": 16},
    "title": {"fontSize": 20},
}


def draw(spec: Spec, description: str, key: str, **data: pd.DataFrame) -> None:
    """Draws a specification with its named data; the description is read to the blind."""
    config: dict[str, Any] = {**spec["config"]}
    if not dark():
        config |= {part: {"labelColor": READ, "titleColor": READ} for part in ("axis", "legend")}
    if presenting():
        config |= {part: {**config.get(part, {}), **larger} for part, larger in LARGER.items()}
        if isinstance(spec.get("height"), int):  # rows of names, which are larger too
            spec = {**spec, "height": round(spec["height"] * SIZE)}
    spec = {**spec, "config": config}
    st.vega_lite_chart(None, {**spec, "datasets": data}, width="stretch", key=key, alt=description)
