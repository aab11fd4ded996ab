"""Charts of a grouping: memberships, task map, which k, distances."""

from __future__ import annotations

from functools import cache

import altair as alt
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from app.charts.base import Spec, draw, finished
from app.state import dark

NUMBERS_UP_TO = 400  # cells; beyond, the numbers no longer fit
AROUND_CELLS = 120  # pixels: the height of a chart includes its title and axes


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
    draw(
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
    return finished(
        alt.layer(*layers, title="Memberships").properties(
            height=max(n_tasks * row + AROUND_CELLS, 260)
        )
    )
