"""What stands around the answers: in words, where a point is in the data maps, whose models."""

from __future__ import annotations

import numpy as np
import pandas as pd
import streamlit as st

from app import state
from app.answering import HARD, TOGETHER, TRUTH, Answered
from app.charts.answers import Place
from app.charts.base import number
from app.model_files import TITLES, Models
from app.try_points import Points
from app.words import plain
from stg_core.judging.verdict import MEASURE_NAMES
from stg_core.maps.summary import FEATURES
from stg_core.results.run import Run
from stg_core.system.words import counted

DECISIVE = (
    "Decisive is a specialist without whom the answer of all would be another one: the weights of"
    " the others then share the whole. Hard routing asks only the one with the largest weight. An"
    " answer is yes where its probability is above {threshold:g}."
)
NAMED = 4  # tasks in a sentence


def colours_of(models: Models, run: Run | None) -> list[int]:
    """The colour of each specialist, as its cluster has it on Grouping where that is known."""
    k = len(models.about.models)
    if run is not None and run.has_data_maps and k > 1:
        space = state.task_space(run, tuple(run.summary.epochs.tolist()), FEATURES)
        if tuple(space.tasks) == models.about.tasks:
            from stg_core.grouping.memberships import cluster_colours

            return cluster_colours(space, models.weights.argmax(axis=0), k).tolist()
    return list(range(k))


def place_of(run: Run, models: Models, points: Points, i: int) -> Place | None:
    """Where one of the points is in the data maps of the tasks; None where it is in none."""
    if points.split == "test" or not run.has_data_maps:
        return None
    index = int(points.indices[i])
    summary, whole = run.summary, run.datamaps()
    names = summary.tasks.tolist()
    places: dict[str, tuple[float, float] | None] = {}
    for task in models.about.tasks:
        t = names.index(task)
        at = np.flatnonzero(summary.sample_indices[t] == index)
        if whole is not None:
            found = whole[-1, :, t, index]
        elif len(at):
            found = summary.sample[-1, :, t, at[0]]
        else:
            found = np.full(2, np.nan)
        known = not np.isnan(found).any()
        places[task] = (float(found[0]), float(found[1])) if known else None
    return Place(summary, places)


def answered_in_words(answered: Answered) -> None:
    """Who is right, who was decisive, and where hard routing answers otherwise."""
    tasks = answered.models.about.tasks
    sentences = []
    if answered.truth is not None:
        sentences.append(_right(answered))
    if answered.several:
        turned = [t for t in range(len(tasks)) if answered.decisions[t].decisive]
        for t in turned[:NAMED]:
            sentences.append(f"Decisive for *{plain(tasks[t])}*: {plain(answered.who_decided(t))}.")
        if len(turned) > NAMED:
            sentences.append(f"And so for {counted(len(turned) - NAMED, 'more task')}.")
        if not turned:
            sentences.append("No specialist is decisive: without any one all answers would stay.")
        sentences.append(_hard(answered))
    if sentences:
        st.markdown(
            " ".join(sentences), help=DECISIVE.format(threshold=answered.models.first.threshold)
        )


def _right(answered: Answered) -> str:
    """Such as "Right: together 14 of 15 tasks, MTL 13."."""
    learned = answered.models.learned
    asked = [
        t
        for t, task in enumerate(answered.models.tasks)
        if task.kind != "regression" and learned[t] and not np.isnan(answered.answer(TRUTH, t))
    ]
    if not asked:
        return "Its labels are numbers, or missing."
    lead = TOGETHER if answered.several else answered.models.first.scheme
    each = [
        f"{TITLES.get(who, who)} **{sum(not answered.wrong(who, t) for t in asked)}**"
        for who in (lead, *answered.models.others)
    ]
    chance = [name for t, name in enumerate(answered.models.about.tasks) if not learned[t]]
    more = f" and {len(chance) - NAMED} more" * (len(chance) > NAMED)
    left_out = f" (without {plain(', '.join(chance[:NAMED]))}{more}: chance)" if chance else ""
    return f"Right answers to {counted(len(asked), 'task')}{left_out}: {', '.join(each)}."


def _hard(answered: Answered) -> str:
    tasks = answered.models.about.tasks
    other = [
        t
        for t, task in enumerate(answered.models.tasks)
        if task.kind != "regression" and answered.answer(HARD, t) != answered.answer(TOGETHER, t)
    ]
    if not other:
        return "Hard routing would answer the same."
    each = [f"{plain(tasks[t])}: {plain(answered.in_words(HARD, t))}" for t in other[:NAMED]]
    more = f", and {len(other) - NAMED} more" * (len(other) > NAMED)
    return f"Hard routing would answer otherwise: {'; '.join(each)}{more}."


def about_models(models: Models) -> None:
    """What their files say: scores with intervals, the verdict, and whence they come."""
    about = models.about
    with st.expander("About these models", icon=":material/info:"):
        if about.verdict:
            st.markdown(plain(about.verdict))
        if len(scores := _scores(models)):
            st.markdown("Mean scores on the test points, with 95 % intervals where they are known:")
            st.dataframe(
                scores, hide_index=True, alt="Table: mean scores of each scheme", placeholder="–"
            )
        grouping = ", ".join(f"{name} {value}" for name, value in about.grouping.items())
        lines = [
            f"Average of {about.average}, {about.routing} routing."
            + (f" Grouping: {grouping}." if grouping else ""),
            f"Training: {about.run or 'not said'}; digest of its data: {about.data or 'not said'}.",
            f"Exported {about.made['created']} by {about.made['command']}."
            if {"created", "command"} <= {*about.made}
            else "",
        ]
        for line in filter(None, lines):
            st.caption(plain(line))


def _scores(models: Models) -> pd.DataFrame:
    """A row for each scheme, a column for each measure that any has."""
    rows = []
    for scheme, about in models.abouts.items():
        row = {"scheme": TITLES.get(scheme, scheme)}
        for measure, found in about.scores.items():
            row[MEASURE_NAMES.get(measure, measure)] = _score(found)
        rows.append(row)
    frame = pd.DataFrame(rows)
    return frame if frame.shape[1] > 1 else frame.iloc[:0]


def _score(found: object) -> str:
    """Such as "0.764 (0.758–0.769)"; a dash for what is none: a file may say anything."""
    if not isinstance(found, dict):
        return "–"
    mean, ends = found.get("mean"), found.get("ci")
    if not isinstance(mean, (int, float)):
        return "–"
    said = number(float(mean), ".3f")
    if (
        isinstance(ends, (list, tuple))
        and len(ends) == 2
        and all(isinstance(end, (int, float)) for end in ends)
    ):
        said += f" ({number(float(ends[0]), '.3f')}–{number(float(ends[1]), '.3f')})"
    return said
