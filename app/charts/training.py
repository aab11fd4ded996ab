"""Charts of a training: its scores, epoch by epoch."""

from __future__ import annotations

from functools import cache

import altair as alt
import numpy as np
import pandas as pd

from app.charts.base import Spec, draw, finished


def learning_curve(values: list[float], measure: str, *, key: str, share: bool = False) -> None:
    """One value per epoch, from epoch 1; `share` fixes the scale to 0 to 1."""
    curve = pd.DataFrame(
        {"epoch": np.arange(1, len(values) + 1), "value": np.array(values, dtype=np.float64)}
    )
    last = f"{values[-1]:.3f} after epoch {len(values)}" if values else "no epoch is finished yet"
    draw(
        _learning_curve(measure, share),
        f"Line chart: {measure.lower()} by epoch; {last}.",
        key=key,
        curve=curve,
    )


@cache
def _learning_curve(measure: str, share: bool) -> Spec:
    scale = alt.Scale(domain=[0, 1]) if share else alt.Scale(zero=True, nice=True)
    return finished(
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
