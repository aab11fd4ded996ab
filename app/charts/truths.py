"""Charts of tables with several seeds: what each method gains over random groups."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import altair as alt
import pandas as pd

from app.charts.base import Spec, cluster_colour, draw, finished, names_axis, number, text_colour
from app.state import dark

if TYPE_CHECKING:
    from stg_core.affinity.truth import MethodTruth

ROW = 24
NOISE = "#8A94A0"


def over_random(found: Sequence[MethodTruth]) -> None:
    """A row per method, the best first: how much more it gains than random groups.

    With 95 % intervals over seeds and test points; blue or orange where 0 is outside.
    """
    ordered = sorted(found, key=lambda one: -one.over_random.mean)
    rows = pd.DataFrame(
        [
            {
                "method": one.title,
                "value": 100 * one.over_random.mean,
                "low": 100 * one.over_random.low,
                "high": 100 * one.over_random.high,
                "cost": one.cost,
                "colour": (NOISE, cluster_colour(0, dark()), cluster_colour(1, dark()))[
                    one.over_random.sign
                ],
            }
            for one in ordered
        ]
    )
    told = ", ".join(f"{one.title} {number(100 * one.over_random.mean)}" for one in ordered)
    draw(
        _over_random(len(rows), dark()),
        f"Intervals: mean gain above that of random groups, in percent. From the best: {told}.",
        key="over random",
        rows=rows,
    )


@lru_cache(maxsize=32)
def _over_random(methods: int, dark: bool) -> Spec:
    title = "Mean gain above theirs, %"
    base = alt.Chart(alt.NamedData("rows")).encode(
        y=alt.Y(
            "method:N",
            title=None,
            sort=None,
            axis=names_axis(220),
        ),
        color=alt.Color("colour:N", scale=None),
        tooltip=[
            alt.Tooltip("method:N", title="Method"),
            alt.Tooltip("value:Q", title="Above random groups, %", format="+.2f"),
            alt.Tooltip("low:Q", title="95 % interval from", format="+.2f"),
            alt.Tooltip("high:Q", title="to", format="+.2f"),
            alt.Tooltip("cost:Q", title="Cost", format=".1f"),
        ],
    )
    x = alt.X("value:Q", title=title)
    reach = base.mark_rule(strokeWidth=2).encode(x=alt.X("low:Q", title=title), x2="high:Q")
    points = base.mark_point(filled=True, size=90, opacity=1).encode(x=x)
    zero = (
        alt.Chart(alt.NamedData("rows"))
        .mark_rule(color=text_colour(dark), opacity=0.5, strokeDash=[4, 4])
        .encode(x=alt.datum(0))
    )
    layers = alt.layer(zero, reach, points, title="Better than random groups?")
    return finished(layers.properties(height=ROW * methods + 20))
