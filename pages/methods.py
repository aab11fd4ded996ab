"""Methods: ways to choose groups of tasks, side by side on the same tasks."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import streamlit as st

from app import widgets
from app.charts import methods as charts
from app.charts.base import number
from app.charts.specialists import interval
from app.live_slider import live_slider
from app.parameters import OneOf, in_url
from stg_core.affinity.table import bundled_table, bundled_tables
from stg_core.system.errors import UserError

if TYPE_CHECKING:
    from stg_core.affinity.methods import Chance, Judged
    from stg_core.affinity.table import GroupTable

USUAL_BUDGET = 3
TITLES = {
    "digits-8": "8 questions about handwritten digits",
    "g1-6": "6 questions about CIFAR-10 (of G1)",
}
ABOUT_TABLES = {
    "digits-8": "Eight tasks over handwritten digits, all 255 groups trained.",
    "g1-6": "Six classes of CIFAR-10, all 63 groups trained.",
}
ABOUT_COLUMNS = {
    "Gain": "Mean over the tasks of (loss alone − loss together) / loss alone, on test images, with"
    " its 95 % interval over images: what the budget is spent on.",
    "F1": "Mean over the tasks on test images, with its 95 % interval over images.",
    "Loss": "Mean over the tasks on test images.",
    "Cost": "Measured seconds of all its trainings, over those of one training of all tasks.",
    "Counted": "The same, by count of trainings.",
    "Within budget": "Whether there are at most as many models as allowed.",
    "Pearson": "Of what it says of groups that it did not train with their true gains.",
    "R²": "The same, where it says gains: 1 is perfect, 0 no better than their mean.",
}
ABOUT_CHANCE = "Shaded: what 90 % of random groupings within this budget come to."
ABOUT_QUALITY = {
    "gain": "Gain is what every method tries to choose by.",
    "f1": "F1 is not what groups were chosen by.",
}
ABOUT_NOISE = (
    "Lines: 95 % intervals over test images, of one training of every group: how a gain changes"
    f" from training to training is not in them. {ABOUT_CHANCE} Grey: a method of no more cost is"
    " better, beyond the noise over images; blue ones cannot be ranked by this."
)
FORMATS = {"Loss": "%.3f", "Cost": "%.1f", "Counted": "%.1f"}


@st.cache_resource(show_spinner="Reading the table")
def table_of(name: str) -> GroupTable:
    return bundled_table(name)


def choose_budget(table: GroupTable) -> int:
    n_tasks = len(table.tasks)
    return live_slider(
        "Budget",
        range(1, n_tasks + 1),
        min(USUAL_BUDGET, n_tasks),
        key="budget",
        help="How many models may serve the tasks in the end.",
    )


@st.cache_data(show_spinner="Comparing the methods")
def judged_by(name: str, budget: int) -> list[Judged]:
    from stg_core.affinity.methods import available, choose, judge

    table = table_of(name)
    return [judge(table, choose(table, m, budget), budget) for m in available(table)]


@st.cache_data(show_spinner="Grouping at random")
def chance_of(name: str, budget: int) -> Chance | None:
    from stg_core.affinity.methods import chance

    return chance(table_of(name), budget)


def titles() -> dict[str, str]:
    from stg_core.affinity.methods import METHODS

    return {name: method.title for name, method in METHODS.items()}


# -------------------------------------------------------------------------------------- the views


def groups(name: str) -> None:
    table = table_of(name)
    judged = judged_by(name, choose_budget(table))
    st.caption(
        "Each task has the number of the group whose model serves it; a small number: it is also"
        " trained there, to help others."
    )
    charts.groups(judged, titles(), table.tasks)


def quality(name: str) -> None:
    from stg_core.affinity.methods import beaten

    table, budget = table_of(name), choose_budget(table_of(name))
    judged = judged_by(name, budget)
    left, right = st.columns(2)
    with left:
        measure = widgets.one_of(
            "Quality",
            list(charts.MEASURES),
            key="quality",
            format_func={"gain": "Gain", "f1": "F1"}.__getitem__,
            help="Groups are chosen by gain, what a task's loss falls by: by it the exhaustive"
            " search is the best there is within a budget. F1 is another measure.",
        )
    with right:
        cost = widgets.one_of(
            "Cost",
            ["measured", "counted"],
            key="cost",
            help="Seconds of all trainings over those of one training of all tasks; or the number"
            " of trainings, by count.",
        )
    counted = cost == "counted"
    worse = beaten(table, judged, measure, counted)
    charts.quality_and_cost(judged, worse, chance_of(name, budget), titles(), measure, counted)
    st.caption(f"{ABOUT_QUALITY[measure]} {ABOUT_NOISE}")
    st.dataframe(
        pd.DataFrame([row(one) for one in judged]),
        hide_index=True,
        placeholder="–",
        alt=f"Table of {len(judged)} methods: groups, scores and cost",
        column_config={
            column: st.column_config.NumberColumn(help=text, format=FORMATS[column])
            if column in FORMATS
            else st.column_config.Column(help=text)
            for column, text in ABOUT_COLUMNS.items()
        },
    )


def row(one: Judged) -> dict[str, object]:
    return {
        "Method": titles()[one.method],
        "Gain": interval(one.score, one.gain_interval),
        "F1": interval(one.mean_f1, one.f1_interval),
        "Loss": one.mean_loss,
        "Cost": one.cost,
        "Counted": one.counted,
        "Within budget": one.within_budget,
        "Pearson": number(one.pearson),
        "R²": number(one.r2),
        "Groups": " | ".join(", ".join(group) for group in one.groups),
    }


def affinities(name: str) -> None:
    from stg_core.affinity.methods import MATRICES, matrices, rank_correlations

    table = table_of(name)
    epoch = live_slider(
        "Epoch",
        range(table.spec.epochs + 1),
        0,
        key="affinity_epoch",
        help="Of the joint training that TAG, gradient cosine and ETAP's score are recorded in:"
        " their mean over one epoch, or over all.",
        show=lambda chosen: f"{chosen}" if chosen else "all",
    )
    found = matrices(table, epoch)
    names = {**MATRICES, "gains": "True gains of pairs"}
    st.caption(
        "Blue helps, orange harms, in standard deviations of each matrix: training on the task of a"
        " row, for the task of a column."
    )
    places = [column for _ in range(2) for column in st.columns(3, gap="medium")]
    for (kind, matrix), place in zip(found.items(), places, strict=False):
        with place:
            charts.affinity(matrix, table.tasks, names[kind], key=f"affinity {kind}")
    correlated = widgets.one_of(
        "Correlated",
        ["all pairs", "sources of each target"],
        key="correlated",
        help="All entries of two matrices; or with the mean of each column taken off first, since"
        " TAG differs much more from target to target than among the sources of one.",
    )
    correlations = rank_correlations(found, correlated == "sources of each target")
    charts.correlations(correlations, [names[kind] for kind in found])
    if {"tag", "etap"} <= {*found}:
        kinds = list(found)
        alike = correlations[kinds.index("tag"), kinds.index("etap")]
        st.caption(
            f"TAG and ETAP's score (rank correlation {number(alike)}) are no two witnesses: ETAP's"
            " score is TAG to first order. TAG takes a trial step for one task and measures how the"
            " losses of the others change; ETAP's score computes that change from the product of"
            " two gradients, without the step. For a small step the two agree. What sets ETAP apart"
            " comes after it: it learns from trained groups what its score says of gains."
        )


def predictions(name: str) -> None:
    from stg_core.affinity.methods import choose

    table = table_of(name)
    speaking = [one for one in judged_by(name, USUAL_BUDGET) if one.pearson is not None]
    if not speaking:
        st.info("No method of this table says anything of groups that it did not train.")
        return
    method = st.selectbox(
        "Method",
        [one.method for one in speaking],
        format_func=titles().__getitem__,
        key="predicting",
        help="Those that say something of every group, trained or not.",
    )
    choice = choose(table, method, len(table.tasks))
    found = next(one for one in speaking if one.method == method)
    told = [f"Pearson {number(found.pearson)}"] + (
        [f"R² {number(found.r2)}"] if found.r2 is not None else []
    )
    st.caption(
        f"{titles()[method]}, on groups that it did not train: {', '.join(told)}."
        + ("" if found.r2 is not None else " It says affinities, whose unit is not that of gains.")
    )
    assert choice.values is not None
    unit = "Affinity of the group" if found.r2 is None else "Predicted gain"
    charts.predictions(table, choice.values, choice.searched, titles()[method], unit)


def scalability(name: str) -> None:
    from stg_core.affinity.methods import METHODS, counted_trainings

    table = table_of(name)
    budget = choose_budget(table)
    judged = judged_by(name, budget)
    counted = {
        method.title: [counted_trainings(m, n, budget) for n in charts.SIZES]
        for m, method in METHODS.items()
        if m != "superclasses"
    }
    measured = {titles()[one.method]: one.cost for one in judged if one.method != "superclasses"}
    charts.scalability(counted, measured, len(table.tasks))
    st.dataframe(
        pd.DataFrame(
            [
                {
                    "Method": method.title,
                    "Formula": method.formula,
                    **{
                        f"n = {n:,}": rounded(counted_trainings(m, n, budget))
                        for n in (5, 10, 20, 100, 1_000)
                    },
                }
                for m, method in METHODS.items()
                if m != "superclasses"
            ]
        ),
        hide_index=True,
        placeholder="–",
        alt="Table of the trainings that each method costs, by number of tasks",
    )
    st.caption(
        f"B: the budget, here {budget}; T: steps from one recorded step to the next, here 10."
        " Diamonds: as measured on this table, whose trainings record more often where they are"
        " short, and where a group that was trained on the way is not trained again."
    )


def rounded(value: float) -> str:
    return f"{value:,.1f}" if value < 1e6 else f"10^{np.log10(value):.0f}"


def explained(name: str) -> None:
    from stg_core.affinity.methods import METHODS

    for method in METHODS.values():
        st.markdown(f"**{method.title}.** {method.how} :small[{method.source}]")
    st.markdown("On tasks of your own, from the command line:")
    st.code(
        "python -m stg_core methods --group digits --tasks 1,8,Odd,Random --budget 2",
        wrap_lines=True,
        language=None,  # the colours of a shell are too pale to be read
    )


VIEWS = {
    "Groups": groups,
    "Quality and cost": quality,
    "Affinities": affinities,
    "Predictions": predictions,
    "Scalability": scalability,
    "How they work": explained,
}


@st.fragment
def compare(name: str, view: str) -> None:
    """In a fragment: the slider moves these pictures, and nothing else runs again."""
    with widgets.user_errors():
        VIEWS[view](name)


@st.fragment
def views(name: str) -> None:
    tabs = st.tabs([*VIEWS], **in_url("methods_show", OneOf([*VIEWS])), on_change="rerun")
    for tab, view in zip(tabs, VIEWS, strict=True):
        if tab.open:
            with tab:
                compare(name, view)


def choose_table() -> str | None:
    known = list(bundled_tables())
    left, right = st.columns([4, 6], vertical_alignment="bottom")
    left.title("Methods")
    if not known:
        st.info("No table came with this project. Restore assets/bundles.")
        return None
    with right:
        return widgets.titled_choice(
            "Tasks",
            {name: TITLES.get(name, name) for name in known},
            key="table",
            help="A table of all groups of a few tasks, each trained once: the truth is known.",
        )


@st.cache_data(show_spinner=False)
def learned_alike(name: str) -> tuple[float, float] | None:
    from stg_core.affinity.methods import similarity_and_gains

    return similarity_and_gains(table_of(name))


def say_what_similarity_tells() -> None:
    """What tasks that are learned alike gain together, on every table that can be read."""
    told = []
    for table in bundled_tables():
        with suppress(UserError):  # the table's own view says what is wrong with it
            if found := learned_alike(table):
                groups, pairs = (number(value, "+.2f") for value in found)
                told.append(f"**{groups}** on {table} ({pairs} over pairs alone)")
    if told:
        st.markdown(
            "**Learned alike is not better off together.** Pearson’s correlation of data-map"
            f" similarity with what tasks truly gain in a group: {', '.join(told)}."
            " Towards 1, tasks that are more alike gain more; at 0, similarity says nothing of it;"
            " below 0, they gain less. Over every task in every group of two or more, each trained"
            " once: small tables, which do not speak for others."
        )


name = choose_table()
st.caption(
    "Published ways to find out which tasks to train together, on the same tasks, data, training"
    " loop and unit of cost. Which one finds the better groups here, and what did it cost?"
)
if name:
    st.caption(ABOUT_TABLES.get(name, ""))
    say_what_similarity_tells()
    views(name)
