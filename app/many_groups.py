"""Groups of more tasks than a table holds, on the Methods page: the plan, and what they come to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd
import streamlit as st

from app import state, widgets
from app.charts.base import number
from app.charts.specialists import interval, scheme_title
from app.parameters import Number, SeveralOf, in_url
from app.training_choices import is_being_measured, not_known_yet, speed_of
from stg_core.affinity.clustering import MOST_TASKS_SEMIDEFINITE
from stg_core.affinity.many import (
    DEFAULT_METHODS,
    OTHERS,
    TITLES,
    ManyPlan,
    counted_affinity,
    measures_in,
    most_trainings,
    plan_of_many,
    read_comparison,
    scores_of_many,
)
from stg_core.affinity.settings import CLUSTERINGS, usual_clustering
from stg_core.system.words import counted
from stg_core.training.spec import TrainingSpec

if TYPE_CHECKING:
    from pathlib import Path

USUAL_BUDGET = 5
ABOUT = (
    "Of so many tasks not all groups can be trained. Each method’s affinity is clustered into as"
    " many groups as there are models, a specialist is trained for every group, and all of them are"
    " judged beside the same controls."
)


# -------------------------------------------------------------------------------------- the plan


def choose_plan(spec: TrainingSpec) -> ManyPlan:
    """Which methods to compare, and how many models may serve the tasks."""
    st.caption(ABOUT)
    left, right = st.columns([5, 1], vertical_alignment="bottom")
    possible = [m for m in (*DEFAULT_METHODS, *OTHERS) if m != "surrogates" or spec.all_binary]
    methods = left.pills(
        "Methods",
        possible,
        selection_mode="multi",
        wrap=True,
        default=list(DEFAULT_METHODS),
        format_func=TITLES.__getitem__,
        **in_url("compared_many", SeveralOf([TITLES[method] for method in possible])),
    )
    most = len(spec.tasks) - 1
    budget = right.number_input(
        "Models",
        min_value=2,
        max_value=most,
        value=USUAL_BUDGET,
        **in_url("many_models", Number(2, most)),
        help="How many groups each method makes.",
    )
    return plan_of_many(spec, methods, int(budget))


def show_cost(plan: ManyPlan) -> None:
    """What is to be trained at most, before anything is, and how long it takes."""
    st.dataframe(
        pd.DataFrame(
            [
                {
                    "Method": TITLES[method],
                    "Affinity": counted_affinity(plan, method),
                    "Groups": plan.budget,
                    "Random groups": plan.budget,
                }
                for method in plan.methods
            ]
        ),
        hide_index=True,
        alt=f"Table of {counted(len(plan.methods), 'method')} and what they cost",
        column_config={
            "Affinity": st.column_config.NumberColumn(
                help="Trainings of all tasks that finding the groups costs; the joint training,"
                " which counts as 1, is shared by all that need it.",
                format="%.1f",
            ),
            "Random groups": st.column_config.NumberColumn(
                help="The control: as large as the method's groups, of the wrong tasks."
            ),
        },
    )
    st.fragment(say_duration, run_every=1.0 if is_being_measured(plan.spec) else None)(plan)


def say_duration(plan: ManyPlan) -> None:
    with widgets.user_errors():
        speed, left = speed_of(plan.spec), missing(plan)
        time = not_known_yet() if speed is None else _about(speed * plan.spec.epochs * left)
        st.caption(f"{in_all(plan)} Expected duration: {time}")


def _about(seconds: float) -> str:
    return f"at most {widgets.duration(seconds)}"


def in_all(plan: ManyPlan) -> str:
    relaxes = len(plan.spec.tasks) <= MOST_TASKS_SEMIDEFINITE
    instead = usual_clustering(relaxes)[1] if plan.cluster_by == "spectral" else ""
    told = (
        f"**At most {most_trainings(plan):,.0f} trainings** in all, with the controls: MTL,"
        f" {counted(plan.budget, 'plain model')}, one model trained as long as all specialists, and"
        " one as large, which count for as many as they cost. Groups are made by:"
        f" {CLUSTERINGS[plan.cluster_by].lower()}; STG-MTL’s own by k-means of the data maps."
    )
    return f"{told} {widgets.plain(instead)}".rstrip()


def missing(plan: ManyPlan) -> float:
    """Trainings that are not here, at most: of the groups nothing is known before."""
    return most_trainings(plan) - state.shared().store.holds(plan.key)


# --------------------------------------------------------------------------------- what it came to


@st.cache_resource(show_spinner="Reading the comparison", max_entries=8)
def read(path: Path, stamp: int) -> dict[str, Any]:
    return read_comparison(path)


def comparison_in(path: Path) -> dict[str, Any]:
    """What is kept there, read anew whenever it changes."""
    return read(path, path.stat().st_mtime_ns)


def title_of(answer: dict[str, Any]) -> str:
    return f"{counted(len(answer['tasks']), 'task')}, {answer['budget']} groups: {answer['title']}"


def show(answer: dict[str, Any]) -> None:
    """The judgement: a row per method, and its groups."""
    measures = measures_in(answer)
    measure = widgets.one_of(
        "Measure",
        list(measures),
        key="many_measure",
        format_func=measures.__getitem__,
        help="What the specialists and controls are compared by; the first decides by default.",
    )
    rows, score = scores_of_many(answer, measure), measures[measure]
    controls = [scheme for scheme in answer["schemes"] if scheme != "specialists"]
    if answer["overlap"]:
        st.warning(widgets.plain(answer["overlap"]), icon=":material/join_inner:")
    for sentence in answer["left_out"].values():
        st.info(widgets.plain(sentence), icon=":material/info:")
    table = []
    for row in rows:
        differences = {f"− {scheme_title(s)}": difference(row.differences[s]) for s in controls}
        table.append(
            {
                "Method": row.title,
                score: interval(row.mean, row.ci),
                **differences,
                "Cost": row.cost,
                "Groups": row.groups,
            }
        )
    st.dataframe(
        pd.DataFrame(table),
        hide_index=True,
        alt=f"Table of {counted(len(rows), 'method')}: their scores, and those of the controls",
        column_config={
            score: st.column_config.Column(help="Mean over tasks on test points, specialists."),
            "Cost": st.column_config.NumberColumn(
                help="Trainings of all tasks: of the affinity and of the groups, by count.",
                format="%.1f",
            ),
        },
    )
    st.caption(
        "Each method’s specialists, and how much better they are than each control, with 95 %"
        " intervals. An interval with 0 in it tells no difference. Label correlation needs no"
        f" model: it is the baseline. Groups by: {CLUSTERINGS[answer['cluster_by']].lower()}."
    )
    for row in rows:
        one = answer["methods"][row.method]
        with st.expander(f"{row.title}: {counted(row.groups, 'group')}"):
            st.markdown(widgets.plain(row.headline))
            if row.left_out:
                names = widgets.plain(", ".join(row.left_out))
                st.caption(f"In no mean, since nothing learns them: {names}.")
            for group in one["groups"]:
                st.markdown(f"- {widgets.plain(', '.join(group))}")


def difference(found: dict[str, Any]) -> str:
    """Such as "+0.012 (+0.004 to +0.020)"; a dash where there is none."""
    if found["mean"] is None:
        return "–"
    low, high = (number(end, "+.3f") for end in found["ci"])
    return f"{number(found['mean'], '+.3f')} ({low} to {high})"
