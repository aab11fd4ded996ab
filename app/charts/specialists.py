"""Charts of a judgement: what each scheme scores, who gains, what specialists are good at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from app.charts.base import Spec, cluster_colour, draw, finished, names_axis, number, text_colour
from stg_core.judging.verdict import AS_EVER, Words

SCHEMES: Mapping[str, str] = {
    "mtl": "MTL",
    "stl": "STL",
    "specialists": "Specialists",
    "plain": "Plain ensemble",
    "random": "Random grouping",
    "superclass": "Superclass grouping",
    "longer": "Longer model",
    "wider": "Wider model",
    "warm": "Warm specialists",
    "plain_warm": "Warm ensemble",
    "random_warm": "Warm random",
}
USUAL = ("mtl", "specialists", "plain", "random", "superclass", "longer")  # chosen at first
WARM = ("warm", "plain_warm", "random_warm")
ABOUT_SCHEMES: Mapping[str, str] = {
    "mtl": "one model for all tasks",
    "stl": "one model for each task",
    "specialists": "one model for each cluster, its tasks weighted by their memberships",
    "plain": "as many models, each of all tasks alike: the rival that decides",
    "random": "the same weights on the wrong tasks, dealt out at random",
    "superclass": "specialists of CIFAR-100's superclasses instead of clusters",
    "longer": "one model for all tasks, trained as long as specialists and grouping together",
    "wider": "one model for all tasks, as large as all specialists together",
    "warm": "specialists that go on from MTL's model for a share of its epochs",
    "plain_warm": "as many models that go on from MTL's, each of all tasks alike",
    "random_warm": "warm specialists whose weights are on the wrong tasks",
}
ABOUT_FAMILIES = "specialists of the families that people count tasks to, instead of clusters"
COLOURS = {
    **{"mtl": 7, "stl": 2, "specialists": 0, "plain": 1, "random": 3, "superclass": 5},
    **{"longer": 4, "wider": 6, "warm": 0, "plain_warm": 1, "random_warm": 3},
}
DASHES = {
    "mtl": [1, 0],
    "stl": [8, 3, 2, 3],
    "specialists": [1, 0],
    "plain": [8, 3],
    "random": [2, 2],
    "superclass": [4, 2],
    "longer": [12, 3],
    "wider": [6, 2, 2, 2],
    "warm": [4, 1],
    "plain_warm": [10, 2, 2, 2],
    "random_warm": [1, 3],
}
SPLITS = {"test": "Test", "train": "Training"}
MEASURES = ("f1", "advantage")  # of a specialist alone
FAR = 2  # times as many epochs
ROOM = 0.02  # of a score, above and below the curves of a plan at work
CURVES_HEIGHT, ROW_HEIGHT, SCATTER_HEIGHT = 340, 19, 340


@dataclass(frozen=True)
class Picture:
    """A specification, its named data, and what is read to the blind."""

    key: str
    spec: Spec
    description: str
    data: dict[str, pd.DataFrame]


def show(picture: Picture) -> None:
    draw(picture.spec, picture.description, picture.key, **picture.data)


def interval(mean: float | None, ends: Sequence[float | None]) -> str:
    """Such as "0.764 (0.757 to 0.770)"; a dash where there is no mean."""
    if mean is None:
        return number(mean)
    low, high = (number(end, ".3f") for end in ends)
    return f"{number(mean, '.3f')} ({low} to {high})"


def scheme_title(scheme: str, words: Words = AS_EVER) -> str:
    return SCHEMES[scheme].replace("Superclass", words.family.capitalize())


def about_scheme(scheme: str, words: Words = AS_EVER) -> str:
    of_families = scheme == "superclass" and words.family != AS_EVER.family
    return ABOUT_FAMILIES if of_families else ABOUT_SCHEMES[scheme]


def noun(measure: str, words: Words) -> str:
    """What one of the MEASURES is called."""
    return words.title + " above the specialists' mean" * (measure == "advantage")


def points_title(split: str, words: Words) -> str:
    """Such as "Test images"."""
    return f"{SPLITS[split]} {words.point}s"


# ------------------------------------------------------------------------------ scores by epoch


def scores_by_epoch(
    schemes: Mapping[str, Any], split: str, dark: bool, words: Words = AS_EVER
) -> Picture:
    """Mean score of each scheme after every kept epoch, with its 95 % interval."""
    rows = pd.DataFrame(
        [
            {
                "epoch": epoch,
                "scheme": scheme_title(name, words),
                "mean": scores[split]["mean"][e],
                "low": scores[split]["low"][e],
                "high": scores[split]["high"][e],
                "seeds": ", ".join(number(seed[e], ".3f") for seed in scores[split]["seeds"]),
            }
            for name, scores in schemes.items()
            for e, epoch in enumerate(scores["epochs"])
        ]
    )
    last = ", ".join(
        f"{scheme_title(name, words)} {number(scores[split]['mean'][-1], '.3f')}"
        for name, scores in schemes.items()
    )
    return Picture(
        f"scores by epoch {split}",
        _scores_by_epoch(split, tuple(schemes), _far_apart(schemes), dark, words),
        f"Line chart: mean {words.score} on {points_title(split, words).lower()} by epoch; after"
        f" the last: {last}.",
        {"rows": rows},
    )


def _far_apart(schemes: Mapping[str, Any]) -> bool:
    """Whether one is trained so much longer than another that an axis should be logarithmic."""
    last = [scores["epochs"][-1] for scores in schemes.values()]
    return max(last) > FAR * min(last)


@lru_cache(maxsize=32)
def _scores_by_epoch(
    split: str, schemes: tuple[str, ...], logarithmic: bool, dark: bool, words: Words
) -> Spec:
    mean = f"Mean {words.score}"
    base = alt.Chart(alt.NamedData("rows")).encode(
        x=_epoch_axis(logarithmic),
        color=_scheme_colour(schemes, dark, words),
        opacity=alt.condition(_PICKED, alt.value(1), alt.value(0.15)),
    )
    y = alt.Y("mean:Q", title=mean, scale=alt.Scale(zero=False))
    band = base.mark_area().encode(
        y=alt.Y("low:Q", title=mean),
        y2="high:Q",
        opacity=alt.condition(_PICKED, alt.value(0.2), alt.value(0.03)),
    )
    lines = base.mark_line(strokeWidth=2.5).encode(y=y, strokeDash=_scheme_dash(schemes, words))
    points = base.mark_point(filled=True, size=36).encode(
        y=y,
        tooltip=[
            alt.Tooltip("scheme:N", title="Scheme"),
            alt.Tooltip("epoch:Q", title="Epoch"),
            alt.Tooltip("mean:Q", title=mean, format=".4f"),
            alt.Tooltip("low:Q", title="95 %, from", format=".4f"),
            alt.Tooltip("high:Q", title="to", format=".4f"),
            alt.Tooltip("seeds:N", title="Each seed"),
        ],
    )
    layers = alt.layer(band, lines, points, title=points_title(split, words)).add_params(_PICKED)
    return finished(layers.properties(height=CURVES_HEIGHT))


_PICKED = alt.selection_point(name="picked", fields=["scheme"], bind="legend")


def _epoch_axis(logarithmic: bool = False) -> alt.X:
    axis = alt.Axis(tickMinStep=1, format="d", grid=False, labelFlush=False)
    scale = alt.Scale(nice=False, type="log" if logarithmic else "linear")
    return alt.X("epoch:Q", title="Epoch", axis=axis, scale=scale)


def _scheme_colour(schemes: tuple[str, ...], dark: bool, words: Words) -> alt.Color:
    return alt.Color(
        "scheme:N",
        title=None,
        scale=alt.Scale(
            domain=[scheme_title(name, words) for name in schemes],
            range=[cluster_colour(COLOURS[name], dark) for name in schemes],
        ),
        legend=alt.Legend(
            orient="bottom",
            columns=2,
            symbolType="stroke",
            symbolSize=300,
            columnPadding=6,
            symbolStrokeWidth=2.5,
            symbolOpacity=1,
            labelLimit=0,
        ),
    )


def _scheme_dash(schemes: tuple[str, ...], words: Words) -> alt.StrokeDash:
    domain = [scheme_title(name, words) for name in schemes]
    dashes = [DASHES[name] for name in schemes]
    return alt.StrokeDash("scheme:N", title=None, scale=alt.Scale(domain=domain, range=dashes))


# ------------------------------------------------------------------------------- a plan at work


def trainings(
    curves: Mapping[str, tuple[str, Sequence[float | None]]], dark: bool, words: Words = AS_EVER
) -> Picture:
    """Mean test score of single models while they train: per name, its scheme and scores so far."""
    rows = pd.DataFrame(
        [
            {"epoch": e + 1, "model": name, "scheme": scheme_title(scheme, words), "f1": f1}
            for name, (scheme, values) in curves.items()
            for e, f1 in enumerate(values)
            if f1 is not None
        ],
        columns=["epoch", "model", "scheme", "f1"],
    )
    # after a first epoch all is one point, and its axes would have one tick
    low, high = rows["f1"].min() - ROOM, min(rows["f1"].max() + ROOM, 1)
    if words.score == "F1":
        low = max(low, 0)
    frame = pd.DataFrame({"epoch": [1, max(rows["epoch"].max(), 2)], "f1": [low, high]})
    return Picture(
        "trainings",
        _trainings(tuple(dict.fromkeys(scheme for scheme, _ in curves.values())), dark, words),
        f"Line chart: mean test {words.score} by epoch of {len(curves)} models that are in training"
        " or done.",
        {"rows": rows, "frame": frame},
    )


@lru_cache(maxsize=32)
def _trainings(schemes: tuple[str, ...], dark: bool, words: Words) -> Spec:
    base = alt.Chart(alt.NamedData("rows")).encode(
        x=_epoch_axis(),
        y=alt.Y(
            "f1:Q", title=f"Mean {words.score} on test {words.point}s", scale=alt.Scale(zero=False)
        ),
        color=_scheme_colour(schemes, dark, words),
        detail="model:N",
        tooltip=[
            alt.Tooltip("model:N", title="Model"),
            alt.Tooltip("epoch:Q", title="Epoch"),
            alt.Tooltip("f1:Q", title=f"Mean {words.score}", format=".3f"),
        ],
    )
    lines = base.mark_line(strokeWidth=2, opacity=0.85).encode(
        strokeDash=_scheme_dash(schemes, words)
    )
    points = base.mark_point(filled=True, size=24)
    title = "Each model alone, while it trains"
    frame = alt.Chart(alt.NamedData("frame")).mark_point(opacity=0).encode(x="epoch:Q", y="f1:Q")
    return finished(alt.layer(lines, points, frame, title=title).properties(height=CURVES_HEIGHT))


# --------------------------------------------------------------------------- who gains, who loses


def differences_to_mtl(
    report: Mapping[str, Any],
    found: Mapping[str, Any],
    scheme: str,
    measure: str,
    colours: list[int],
    dark: bool,
) -> Picture:
    """Per task, the scheme's measure minus that of MTL with its interval, the largest gain first.

    found: what the report tells of them; measure: its title. A task whose measure is not defined
    has no row.
    """
    words, labels = Words.of(report), report["labels"]
    means, (low, high) = found["mean"], found["ci"]
    order = sorted((t for t, m in enumerate(means) if m is not None), key=lambda t: -means[t])
    rows = pd.DataFrame(
        {
            "task": [report["tasks"][t] for t in order],
            "cluster": [labels[t] + 1 for t in order],
            "difference": [means[t] for t in order],
            "low": [low[t] for t in order],
            "high": [high[t] for t in order],
            "colour": [cluster_colour(colours[labels[t]], dark) for t in order],
        }
    )
    each = pd.DataFrame(
        [
            {"task": report["tasks"][t], "difference": differences[t], "seed": seed}
            for seed, differences in zip(report["seeds"], found["seeds"], strict=True)
            for t in order
        ]
    )
    gain, lose, _ = gains_and_losses(found)
    best, worst = rows.iloc[0], rows.iloc[-1]
    return Picture(
        "differences to MTL",
        _differences_to_mtl(dark, measure),
        f"Bars: {measure} of {scheme_title(scheme, words)} minus that of MTL for {len(rows)}"
        f" tasks. {gain} gain for certain, {lose} lose; from {best.task}"
        f" {number(best.difference, '+.3f')} to {worst.task} {number(worst.difference, '+.3f')}.",
        {"rows": rows, "seeds": each if len(report["seeds"]) > 1 else each[:0]},
    )


def is_told(found: Mapping[str, Any]) -> bool:
    """Whether any task has a score to be compared."""
    return any(mean is not None for mean in found["mean"])


def gains_and_losses(found: Mapping[str, Any]) -> tuple[int, int, int]:
    """How many tasks have an interval above 0, below 0, and with 0 in it."""
    low, high = (np.array(ends, dtype=float) for ends in found["ci"])
    gain, lose = int((low > 0).sum()), int((high < 0).sum())
    return gain, lose, int((~np.isnan(low)).sum()) - gain - lose


@cache
def _differences_to_mtl(dark: bool, title: str) -> Spec:
    minus = f"{title} minus that of MTL"
    ink = text_colour(dark)
    base = alt.Chart(alt.NamedData("rows")).encode(
        y=alt.Y(
            "task:N",
            title=None,
            sort=None,
            axis=names_axis(180),
        ),
        tooltip=[
            alt.Tooltip("task:N", title="Task"),
            alt.Tooltip("cluster:Q", title="Cluster"),
            alt.Tooltip("difference:Q", title=minus, format="+.4f"),
            alt.Tooltip("low:Q", title="95 %, from", format="+.4f"),
            alt.Tooltip("high:Q", title="to", format="+.4f"),
        ],
    )
    x = alt.X(
        "difference:Q",
        title=f"{minus} (right: gains)",
        axis=alt.Axis(format="+.2f", tickCount=6),
    )
    colour = alt.Color("colour:N", scale=None)
    bars = base.mark_bar(height=alt.RelativeBandSize(0.72), opacity=0.75).encode(x=x, color=colour)
    reach = base.mark_rule(color=ink, strokeWidth=1.4).encode(
        x=alt.X("low:Q", title=f"{minus} (right: gains)"), x2="high:Q"
    )
    numbers = base.mark_text(align="left", dx=5, fontSize=10.5, color=ink).encode(
        x=alt.X("high:Q"), text="cluster:Q"
    )
    each = (
        alt.Chart(alt.NamedData("seeds"))
        .mark_tick(color=ink, thickness=2, height=alt.RelativeBandSize(0.55))
        .encode(
            x=alt.X("difference:Q"),
            y=alt.Y("task:N", sort=None),
            tooltip=[
                alt.Tooltip("task:N", title="Task"),
                alt.Tooltip("seed:Q", title="Seed"),
                alt.Tooltip("difference:Q", title=minus, format="+.4f"),
            ],
        )
    )
    zero = alt.Chart(alt.NamedData("rows")).mark_rule(color=ink).encode(x=alt.datum(0))
    chart = alt.layer(bars, reach, each, numbers, zero, title=minus)
    return finished(chart.properties(height=alt.Step(ROW_HEIGHT)))


# ------------------------------------------------------------------------- do they specialise?


def specialisation(
    report: Mapping[str, Any], rows: pd.DataFrame, measure: str, colours: list[int], dark: bool
) -> Picture:
    """Each specialist's own score on each task by its weight for it; of the MEASURES one."""
    words = Words.of(report)
    drawn = rows.assign(
        value=rows[measure],
        colour=[cluster_colour(colours[j - 1], dark) for j in rows["specialist"]],
    )
    return Picture(
        f"specialisation {measure}",
        _specialisation(measure, dark, words),
        f"Scatter plot: {noun(measure, words)} of {report['k']} specialists on"
        f" {len(report['tasks'])} tasks by their weight for the task, with the straight line"
        " through them.",
        {"rows": drawn},
    )


@cache
def _specialisation(measure: str, dark: bool, words: Words) -> Spec:
    ink = text_colour(dark)
    x = alt.X("weight:Q", title="Weight of the specialist for the task", scale=alt.Scale(nice=True))
    base = alt.Chart(alt.NamedData("rows")).encode(
        x=x,
        y=alt.Y("value:Q", title=noun(measure, words), scale=alt.Scale(zero=False)),
        tooltip=[
            alt.Tooltip("task:N", title="Task"),
            alt.Tooltip("specialist:Q", title="Specialist of cluster"),
            alt.Tooltip("weight:Q", title="Weight", format=".3f"),
            alt.Tooltip("f1:Q", title=f"Its own {words.score}", format=".3f"),
            alt.Tooltip("advantage:Q", title=noun("advantage", words), format="+.3f"),
        ],
    )
    points = base.mark_circle(size=190, opacity=0.8).encode(color=alt.Color("colour:N", scale=None))
    numbers = base.mark_text(fontSize=10, fontWeight=600, color="#10151B").encode(
        text="specialist:Q"
    )
    trend = (
        alt.Chart(alt.NamedData("rows"))
        .transform_regression("weight", "value")
        .mark_line(color=ink, strokeDash=[5, 4], strokeWidth=1.5)
        .encode(x=x, y="value:Q")
    )
    chart = alt.layer(trend, points, numbers, title=f"{noun(measure, words)} by weight")
    return finished(chart.properties(height=SCATTER_HEIGHT))
