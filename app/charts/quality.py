"""The first picture of a judgement: what each scheme comes to, against what it costs to train."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import altair as alt
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from app.charts.base import Spec, cluster_colour, finished, number, text_colour
from app.charts.specialists import Picture, scheme_title
from stg_core.judging.budget import beaten, best_by_budget, known_costs
from stg_core.judging.verdict import Words

Floats = NDArray[np.float64]

TALL = 600
HEAD = 170  # pixels above the points, for the names
WIDE, NARROW = 560, 190  # pixels from the cheapest scheme to the dearest, usually and on a phone
WIDE_STEP, STEP = 26, 20  # pixels between the columns of schemes of nearly the same cost
PADDING, WIDE_PADDING = (
    44,
    110,
)  # pixels, from the outer costs to the picture's ends, for tilted names
GAP = 5  # pixels
SEEDS = 9  # pixels, from a mean to its seeds beside it
SIZES = (50, 260)  # square pixels, of the smallest serving cost and the largest
GREY, PAPER = "#8A94A0", {False: "#FFFFFF", True: "#171614"}


def quality_and_cost(report: Mapping[str, Any], variant: str, measure: str, dark: bool) -> Picture:
    """A column per scheme at its training cost: its mean with the interval, and each seed.

    Schemes of nearly the same cost stand side by side, in the order of their means. Those that
    another one of no more cost beats beyond the noise are grey and hollow.
    """
    words = Words.of(report)
    scores = report["variants"][variant]["measures"][measure]["schemes"]
    costs, worse = known_costs(report, variant, measure), beaten(report, variant, measure)
    order = sorted(costs, key=lambda scheme: (round(costs[scheme], 1), scores[scheme]["mean"]))
    columns = pd.DataFrame(
        {
            "scheme": [scheme_title(scheme, words) for scheme in order],
            "cost": [costs[scheme] for scheme in order],
            "shift": shifts([costs[scheme] for scheme in order], WIDE, WIDE_STEP),
            "narrow_shift": shifts([costs[scheme] for scheme in order], NARROW, STEP),
            "beaten": [scheme in worse for scheme in order],
        }
    )
    means = columns.assign(
        name=[f"{scheme_title(scheme, words)}, {costs[scheme]:.3g}" for scheme in order],
        serving=[report["costs"][scheme]["serving"] for scheme in order],
        measured=[number(report["costs"][scheme]["measured"]) for scheme in order],
        value=[scores[scheme]["mean"] for scheme in order],
        low=[scores[scheme]["ci"][0] for scheme in order],
        high=[scores[scheme]["ci"][1] for scheme in order],
    )
    seeds = [
        columns.assign(seed=seed, value=[scores[scheme]["seeds"][i] for scheme in order])
        for i, seed in enumerate(report["seeds"])
    ]
    name = f"mean {words.measure(measure)}"
    return Picture(
        "quality and cost",
        _quality_and_cost(name[0].upper() + name[1:], dark),
        f"Scatter plot: {name} of {len(order)} schemes by training cost."
        f" {_told(report, variant, measure)}",
        {"means": means, "seeds": pd.concat(seeds) if len(seeds) > 1 else seeds[0][:0]},
    )


def _told(report: Mapping[str, Any], variant: str, measure: str) -> str:
    """The best scheme for every budget, and which ones are beaten."""
    words = Words.of(report)
    scores = report["variants"][variant]["measures"][measure]["schemes"]
    best = "; ".join(
        f"{number(cost, '.3g')} times MTL: {scheme_title(scheme, words)}"
        f" {number(scores[scheme]['mean'], '.3f')}"
        for cost, scheme in best_by_budget(report, variant, measure)
    )
    worse = beaten(report, variant, measure)
    names = ", ".join(scheme_title(scheme, words) for scheme in scores if scheme in worse)
    return f"The best from a cost of {best}." * bool(best) + (
        f" Beaten by one of no more cost: {names}." if names else ""
    )


def shifts(costs: Sequence[float], width: int, step: int) -> Floats:
    """How far each column stands from its cost, in pixels, so that all are `step` apart at least.

    costs: ascending, drawn on a logarithmic axis of that width; where it is wider there is only
    more room. The columns move as little as they can: least squares under that constraint.
    """
    from scipy.optimize import isotonic_regression

    if not len(costs):
        return np.zeros(0)
    x = np.log(np.asarray(costs, dtype=float))
    x = (x - x.min()) / max(np.ptp(x), 1e-9) * width
    apart = np.arange(len(x)) * float(step)
    return np.asarray(isotonic_regression(x - apart).x + apart - x)


@lru_cache(maxsize=32)
def _quality_and_cost(mean: str, dark: bool) -> Spec:
    accent, ink = cluster_colour(0, dark), text_colour(dark)
    shift = f"(width >= {WIDE + 2 * PADDING} ? datum.shift : datum.narrow_shift)"
    tilted = f"width >= {WIDE + 2 * WIDE_PADDING}"
    x = alt.X(
        "cost:Q",
        title="Training cost, in trainings of MTL",
        axis=alt.Axis(grid=False, labelExpr="datum.value < 1 ? '' : format(datum.value, '~g')"),
        scale=alt.Scale(
            type="log",
            nice=False,
            padding=alt.ExprRef(f"{tilted} ? {WIDE_PADDING} : {PADDING}"),
        ),
    )
    y = alt.Y(
        "value:Q", title=mean, scale=alt.Scale(zero=False, range=[alt.ExprRef("height"), HEAD])
    )
    of_front = alt.condition("datum.beaten", alt.value(GREY), alt.value(accent))
    base = alt.Chart(alt.NamedData("means")).encode(x=x, color=of_front)
    to_names = base.mark_rule(strokeDash=[1, 4], opacity=0.6, xOffset=alt.expr(shift)).encode(
        y=alt.Y("high:Q", title=mean), y2=alt.value(HEAD - GAP)
    )
    reach = base.mark_rule(strokeWidth=2, xOffset=alt.expr(shift)).encode(
        y=alt.Y("low:Q", title=mean), y2="high:Q"
    )
    points = base.mark_point(opacity=1, strokeWidth=2, xOffset=alt.expr(shift)).encode(
        y=y,
        fill=alt.condition("datum.beaten", alt.value(PAPER[dark]), alt.value(accent)),
        size=alt.Size(
            "serving:Q",
            title="Serving cost",
            scale=alt.Scale(range=list(SIZES), zero=False, nice=False),
            legend=alt.Legend(orient="bottom", direction="horizontal", tickCount=3),
        ),
        tooltip=[
            alt.Tooltip("scheme:N", title="Scheme"),
            alt.Tooltip("value:Q", title=mean, format=".4f"),
            alt.Tooltip("low:Q", title="95 %, from", format=".4f"),
            alt.Tooltip("high:Q", title="to", format=".4f"),
            alt.Tooltip("cost:Q", title="Training cost", format=".2f"),
            alt.Tooltip("measured:N", title="Measured"),
            alt.Tooltip("serving:Q", title="Serving cost", format=".2f"),
        ],
    )
    names = base.mark_text(
        align="left",
        baseline="middle",
        angle=alt.expr(f"{tilted} ? 315 : 270"),
        xOffset=alt.expr(shift),
    ).encode(y=alt.value(HEAD - 2 * GAP), text="name:N", color=alt.value(ink))
    each = (
        alt.Chart(alt.NamedData("seeds"))
        .mark_point(filled=True, size=14, opacity=0.8, xOffset=alt.expr(f"{shift} + {SEEDS}"))
        .encode(
            x=x,
            y=y,
            color=of_front,
            tooltip=[
                alt.Tooltip("scheme:N", title="Scheme"),
                alt.Tooltip("seed:Q", title="Seed"),
                alt.Tooltip("value:Q", title=mean, format=".4f"),
            ],
        )
    )
    chart = alt.layer(to_names, reach, points, each, names, title="Quality and cost")
    return finished(chart.properties(height=TALL))
