"""Methods: ways to choose groups of tasks, side by side on the same tasks."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import streamlit as st

from app import kept_groups, many_groups, own_groups, state, truths, widgets
from app.charts import methods as charts
from app.charts.base import number
from app.charts.specialists import interval
from app.live_slider import live_slider
from app.parameters import OneOf, in_url
from stg_core.affinity.many import ManyPlan, comparison_path, kept_comparisons
from stg_core.affinity.table import (
    bundled_tables,
    delete_table,
    kept_path,
    kept_tables,
    load_table,
    spec_in,
)
from stg_core.system.errors import UserError
from stg_core.system.words import counted

if TYPE_CHECKING:
    from stg_core.affinity.methods import Chance, Judged
    from stg_core.affinity.table import GroupTable

USUAL_BUDGET = 3
OWN, OWN_TITLE = "own", "Tasks of my own"
TITLES = {
    "digits-8": "8 questions about handwritten digits",
    "g1-6": "6 questions about CIFAR-10 (of G1)",
}
ABOUT_TABLES = {
    "digits-8": "Eight tasks over handwritten digits, all 255 groups trained.",
    "g1-6": "Six classes of CIFAR-10, all 63 groups trained. DMTG was not tried on them.",
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
    "Lines: 95 % intervals over test points, of one training of every group: how a gain changes"
    " from training to training is not in them."
)
ABOUT_COLOURS = (
    "Grey: a method of no more cost is better, beyond the noise over points; blue ones cannot be"
    " ranked by this."
)
FORMATS = {"Loss": "%.3f", "Cost": "%.1f", "Counted": "%.1f"}


# ------------------------------------------------------------------------------------- the tables
#
# A table is known by its name: that of a bundled one, or the key of one that was made here. What is
# computed of it is kept until its file changes.


def path_of(name: str) -> Path:
    return bundled_tables().get(name) or kept_path(state.shared().store, name)


def stamp_of(name: str) -> tuple[str, int]:
    path = path_of(name)
    return str(path), path.stat().st_mtime_ns if path.exists() else 0


def table_of(name: str) -> GroupTable:
    return read(*stamp_of(name))


@st.cache_resource(show_spinner="Reading the table", max_entries=8)
def read(path: str, stamp: int) -> GroupTable:
    if Path(path) in bundled_tables().values():
        return load_table(Path(path))
    return load_table(Path(path), f"Delete {path} and train its groups again.")


@st.cache_data(show_spinner=False)
def title_in(path: str, stamp: int) -> str:
    spec = spec_in(Path(path))
    return own_groups.title_of(spec) if spec else Path(path).stem


def is_own(name: str) -> bool:
    return name not in bundled_tables()


def choose_budget(table: GroupTable) -> int:
    n_tasks = len(table.tasks)
    return live_slider(
        "Budget",
        range(1, n_tasks + 1),
        min(table.provenance.get("budget", USUAL_BUDGET), n_tasks),
        key="budget",
        help="How many models may serve the tasks in the end.",
    )


def judged_by(name: str, budget: int) -> list[Judged]:
    """All methods whose groups are trained."""
    return _judged(*stamp_of(name), budget)


@st.cache_data(show_spinner="Comparing the methods")
def _judged(path: str, stamp: int, budget: int) -> list[Judged]:
    from stg_core.affinity.methods import available, choose, judge
    from stg_core.affinity.preparing import untrained

    table = read(path, stamp)
    ready = [m for m in available(table, budget) if m not in untrained(table, budget)]
    return [judge(table, choose(table, m, budget, table.spec.seed), budget) for m in ready]


def chance_of(name: str, budget: int) -> Chance | None:
    return _chance(*stamp_of(name), budget)


@st.cache_data(show_spinner="Grouping at random")
def _chance(path: str, stamp: int, budget: int) -> Chance | None:
    from stg_core.affinity.methods import chance

    return chance(read(path, stamp), budget)


@st.cache_data(show_spinner="Comparing the methods")
def _lacking(path: str, stamp: int, budget: int) -> dict[str, tuple[int, ...]]:
    from stg_core.affinity.preparing import untrained

    return untrained(read(path, stamp), budget)


def say_untrained(name: str, budget: int) -> None:
    """Which methods choose groups that are not trained, and a way to train them."""
    from stg_core.affinity.preparing import make_plan

    if not is_own(name):
        return
    table, lacking = table_of(name), _lacking(*stamp_of(name), budget)
    rows = {row for missing in lacking.values() for row in missing}
    wanted, sentences, what = [*lacking], [], counted(len(rows), "group")
    if lacking:
        sentences.append(
            f"Left out, because {what} that they choose within this budget"
            f" {'is' if len(rows) == 1 else 'are'} not trained:"
            f" {', '.join(titles()[method] for method in lacking)}."
        )
    if table.branched and not table.branched_for(budget):
        sentences.append(
            f"Left out, because it learns groups for each budget anew: {titles()['dmtg']}."
        )
        wanted, what = [*wanted, "dmtg"], "for this budget"
    if not wanted:
        return
    told, button = st.columns([4, 1], vertical_alignment="center")
    told.info(" ".join(sentences), icon=":material/hourglass_empty:")
    with button, widgets.user_errors():
        own_groups.offer_training(make_plan(table.spec, wanted, budget), f"Train {what}")


def titles() -> dict[str, str]:
    from stg_core.affinity.methods import METHODS

    return {name: method.title for name, method in METHODS.items()}


# -------------------------------------------------------------------------------------- the views


def groups(name: str) -> None:
    table = table_of(name)
    budget = choose_budget(table)
    say_untrained(name, budget)
    judged = judged_by(name, budget)
    st.caption(
        "Each task has the number of the group whose model serves it; a small number: it is also"
        " trained there, to help others."
    )
    charts.groups(judged, titles(), table.tasks)


def quality(name: str) -> None:
    from stg_core.affinity.methods import beaten
    from stg_core.judging.verdict import say_coins

    table, budget = table_of(name), choose_budget(table_of(name))
    say_untrained(name, budget)
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
    by_count = cost == "counted"
    worse, by_chance = beaten(table, judged, measure, by_count), chance_of(name, budget)
    charts.quality_and_cost(judged, worse, by_chance, titles(), measure, by_count)
    told = [ABOUT_QUALITY[measure], ABOUT_NOISE, ABOUT_CHANCE * bool(by_chance), ABOUT_COLOURS]
    told += [widgets.plain(say_coins(table.left_out))]
    st.caption(" ".join(filter(None, told)))
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
    from stg_core.affinity.outputs import overlap_warning

    table = table_of(name)
    if warning := overlap_warning(table.tasks, table.overlap):
        st.warning(widgets.plain(warning), icon=":material/join_inner:")
    epoch = live_slider(
        "Epoch",
        range(table.spec.epochs + 1),
        0,
        key="affinity_epoch",
        help="Of the joint training that TAG, transfer gain, gradient cosine and ETAP's score are"
        " recorded in: their mean over one epoch, or over all. Grad-TAG has the last epoch only.",
        show=lambda chosen: f"{chosen}" if chosen else "all",
    )
    found = matrices(table, epoch)
    if not found:
        st.info("No method that this table compares says how tasks affect each other.")
        return
    names = {**MATRICES, "gains": "True gains of pairs"}
    st.caption(
        "Blue helps, orange harms, in standard deviations of each matrix: training on the task of a"
        " row, for the task of a column."
    )
    rows = -(-len(found) // 3)
    places = [column for _ in range(rows) for column in st.columns(3, gap="medium")]
    for (kind, matrix), place in zip(found.items(), places, strict=False):
        with place:
            charts.affinity(matrix, table.tasks, names[kind], key=f"affinity {kind}")
    if len(found) < 2:
        return
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


@st.cache_data(show_spinner="Comparing the methods")
def foretelling(path: str, stamp: int) -> dict[str, tuple[float, float | None]]:
    """By method that says something of groups it did not train: Pearson's correlation, and R²."""
    from stg_core.affinity.methods import available, choose, foretold

    table = read(path, stamp)
    found = {
        method: foretold(table, choose(table, method, len(table.tasks), table.spec.seed))
        for method in available(table, len(table.tasks))
    }
    return {method: (pearson, r2) for method, (pearson, r2) in found.items() if pearson is not None}


def predictions(name: str) -> None:
    from stg_core.affinity.methods import choose

    table = table_of(name)
    speaking = foretelling(*stamp_of(name))
    if not speaking:
        st.info("No method of this table says anything of groups that it did not train.")
        return
    method = st.selectbox(
        "Method",
        [*speaking],
        format_func=titles().__getitem__,
        key="predicting",
        help="Those that say something of every group, trained or not.",
    )
    choice = choose(table, method, len(table.tasks), table.spec.seed)
    pearson, r2 = speaking[method]
    told = [f"Pearson {number(pearson)}"] + ([f"R² {number(r2)}"] if r2 is not None else [])
    st.caption(
        f"{titles()[method]}, on groups that it did not train: {', '.join(told)}."
        + ("" if r2 is not None else " It says affinities, whose unit is not that of gains.")
    )
    assert choice.values is not None
    unit = "Affinity of the group" if r2 is None else "Predicted gain"
    charts.predictions(table, choice.values, choice.searched, titles()[method], unit)


def scalability(name: str) -> None:
    from stg_core.affinity.methods import METHODS, counted_trainings

    table = table_of(name)
    budget = choose_budget(table)
    judged = judged_by(name, budget)
    by_formula = {
        method.title: [counted_trainings(m, n, budget) for n in charts.SIZES]
        for m, method in METHODS.items()
        if m != "superclasses"
    }
    measured = {titles()[one.method]: one.cost for one in judged if one.method != "superclasses"}
    charts.scalability(by_formula, measured, len(table.tasks))
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
        " short, and where a group that was trained on the way is not trained again. Grad-TAG looks"
        " at p of N training points, 2,000 at most, after E epochs: here of 50,000 after 10."
    )


def rounded(value: float) -> str:
    return f"{value:,.1f}" if value < 1e6 else f"10^{np.log10(value):.0f}"


def explained(name: str) -> None:
    from stg_core.affinity.methods import METHODS

    for method in METHODS.values():
        st.markdown(f"**{method.title}.** {method.how} :small[{method.source}]")
    st.markdown(f"On tasks of your own: choose “{OWN_TITLE}” above, or from the command line:")
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


def choose_table() -> str:
    """The name of a table, or OWN."""
    bundled, kept = list(bundled_tables()), list(kept_tables(state.shared().store))
    left, right = st.columns([4, 6], vertical_alignment="bottom")
    left.title("Methods")
    if not bundled:
        st.info("No table came with this project. Restore assets/bundles.")
    names = truths.names() | {name: TITLES.get(name, name) for name in bundled}
    names |= {key: title_in(*stamp_of(key)) for key in kept}
    names |= kept_groups.logged_runs()
    for comparison, path in kept_comparisons(state.shared().store).items():
        names[comparison] = comparison
        with suppress(UserError):  # its own view says what is wrong with it
            names[comparison] = many_groups.title_of(many_groups.comparison_in(path))
    with right:
        return widgets.titled_choice(
            "Tasks",
            names | {OWN: OWN_TITLE},
            key="table",
            help="A table of groups of a few tasks: those that came with the project, trained with"
            " several seeds or once, those that were made on this machine, and a new one.",
        )


@st.cache_data(show_spinner=False)
def learned_alike(path: str, stamp: int) -> tuple[float, float] | None:
    from stg_core.affinity.methods import similarity_and_gains

    return similarity_and_gains(read(path, stamp))


def say_what_similarity_tells(own: str | None) -> None:
    """What tasks that are learned alike gain together, on every table that can be read."""
    told = []
    for name in [*bundled_tables(), *([own] if own else [])]:
        with suppress(UserError):  # the table's own view says what is wrong with it
            if found := learned_alike(*stamp_of(name)):
                groups, pairs = (number(value, "+.2f") for value in found)
                table = "these tasks" if name == own else name
                told.append(f"**{groups}** on {table} ({pairs} over pairs alone)")
    if told:
        st.markdown(
            "**Learned alike is not better off together.** Pearson’s correlation of data-map"
            f" similarity with what tasks truly gain in a group: {', '.join(told)}."
            " Towards 1, tasks that are more alike gain more; at 0, similarity says nothing of it;"
            " below 0, they gain less. Over every task in every group of two or more, each trained"
            " once: small tables, which do not speak for others."
        )


def about(name: str) -> str:
    if not is_own(name):
        return ABOUT_TABLES.get(name, "")
    with suppress(UserError):  # the views say what is wrong with it
        table = table_of(name)
        groups = f"{table.known.sum():,} of {counted(len(table.masks), 'group')} trained"
        return f"{widgets.plain(own_groups.title_of(table.spec))}; {groups}."
    return ""


def show(name: str) -> None:
    """A table, or a comparison of many tasks."""
    if path := kept_comparisons(state.shared().store).get(name):
        with widgets.user_errors():
            many_groups.show(many_groups.comparison_in(path))
        return
    st.caption(about(name))
    say_what_similarity_tells(name if is_own(name) else None)
    views(name)


@st.fragment
def plan_own() -> None:
    """In a fragment: a control changes the plan, and nothing else runs again."""
    from stg_core.affinity.preparing import is_complete

    with widgets.user_errors():
        plan = own_groups.choose_plan()
        if isinstance(plan, ManyPlan):
            plan_many(plan)
            return
        here = path_of(plan.key).exists()
        if here and is_complete(table_of(plan.key), plan):
            st.caption("All of this is trained.")
        elif not own_groups.is_going_on(plan.key):
            own_groups.show_cost(plan)
            own_groups.offer_training(plan)
        if here:
            show(plan.key)


def plan_many(plan: ManyPlan) -> None:
    path = comparison_path(state.shared().store, plan.key, plan.budget)
    known = many_groups.comparison_in(path) if path.exists() else None
    if known and {*plan.methods} <= {*known["methods"], *known["left_out"]}:
        st.caption("All of this is trained.")
    elif not own_groups.is_going_on(plan.key):
        many_groups.show_cost(plan)
        own_groups.offer_training(plan)
    if known:
        many_groups.show(known)


def made_here(name: str) -> Path | None:
    """The file of a table or a comparison that was made on this machine; None of any other."""
    store = state.shared().store
    return kept_tables(store).get(name) or kept_comparisons(store).get(name)


def offer_deletion(path: Path) -> None:
    going_on = own_groups.is_going_on(path.stem.partition("-")[0])
    if st.button(
        "Delete",
        key="delete table",
        icon=":material/delete:",
        disabled=going_on,
        help="It is being trained: cancel that first."
        if going_on
        else "Asks again before it does.",
    ):
        ask_for_deletion(path)


@st.dialog("Delete this table?")
def ask_for_deletion(path: Path) -> None:
    st.markdown(
        "What was compared here will be gone. The trainings of its groups stay among the runs, so"
        " that it is soon made again."
    )
    with st.container(horizontal=True):
        if st.button("Delete", key="delete table for good", type="primary"):
            with widgets.user_errors():
                delete_table(path)
                state.keep("table", None)
                st.rerun()
        if st.button("Keep", key="keep table"):
            st.rerun()


name = choose_table()
st.caption(
    "Published ways to find out which tasks to train together, on the same tasks, data, training"
    " loop and unit of cost. Which one finds the better groups here, and what did it cost?"
)
own_groups.show_progress()
if name.startswith(truths.PREFIX):
    truths.show(name)
elif name == OWN:
    plan_own()
elif name in kept_groups.logged_runs():
    kept_groups.show(state.shared().store.run(name))
else:
    show(name)
    if own := made_here(name):
        offer_deletion(own)
