"""Grouping: which tasks are learned alike, for any number of clusters and fuzzifier."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from urllib.parse import urlencode, urlsplit, urlunsplit

import pandas as pd
import streamlit as st

from app import glances, own_loop, state, widgets
from app.charts import grouping as charts
from app.live import LATER
from app.parameters import OneOf, Pair, in_url
from app.studies import say_default
from app.tables import as_csv
from app.widgets import Chosen, Input
from stg_core.engine.derived import Answer
from stg_core.maps.many import MANY
from stg_core.results.run import Run

if TYPE_CHECKING:
    from stg_core.grouping.choosing import Choice

WORTH_SAYING = 0.01  # share of the inner products that had to change for want of labels


def memberships(run: Run, chosen: Chosen) -> None:
    wanted = state.kept("map", OneOf([*charts.MAPS])) or charts.FIRST_MAP
    state.keep("map", wanted, default=charts.FIRST_MAP)
    derived = state.shared().derived
    answer = derived.layout(run, chosen.space, wanted)
    shown, layout, note = wanted, answer.value, ""
    if layout is None:
        shown, layout = "pca", derived.layout(run, chosen.space, "pca").value
        when = f"comes {LATER}" if answer.later else "is being computed"
        note = f"{charts.MAPS[wanted][0]} {when}: this is PCA"
    if answer.problem:
        note = f"{charts.MAPS[wanted][0]} failed: this is PCA"
    assert layout is not None
    examples = glances.whose(run, "tasks")
    charts.memberships(
        chosen.grouping, chosen.colours, layout, shown, wanted, note, examples, chosen.every
    )
    widgets.wait_for(answer, lambda: derived.layout(run, chosen.space, wanted))
    glances.answer(run, "tasks")
    say_what_prevalence_explains(run, chosen)


def say_what_prevalence_explains(run: Run, chosen: Chosen) -> None:
    from stg_core.grouping.prevalence import explained_prevalence

    if explained := explained_prevalence(run.summary, chosen.grouping):
        with widgets.answers("prevalence"):
            st.caption(
                str(explained),
                help="Prevalence: the share of points whose answer is yes. Tasks whose yes is as"
                " rare look alike in a data map whatever they ask; where that explains the"
                " clusters, they say little else.",
            )


def clusters(run: Run, chosen: Chosen) -> None:
    say_what_prevalence_explains(run, chosen)
    charts.cluster_cards(chosen.grouping, chosen.colours, chosen.every)


def which_k(run: Run, chosen: Chosen) -> None:
    grouping, derived = chosen.grouping, state.shared().derived

    def ask() -> Answer:
        return derived.choice(run, chosen.space, grouping.fuzzifier, grouping.method)

    answer = ask()
    if answer.later:
        st.info(
            "All tasks are grouped again and again on resampled training points, for every k:"
            f" {LATER}, and not anew after each epoch.",
            icon=":material/hourglass_empty:",
        )
    elif answer.pending:
        st.info(
            "All tasks are grouped again and again on resampled training points, for every k, once"
            " for this run and choice of data maps. What is done is kept.",
            icon=":material/hourglass_empty:",
        )
    elif choice := answer.value:
        text, button = st.columns([4, 1], vertical_alignment="center")
        text.markdown(f"**{choice.why}**")
        if choice.suggested is not None:
            button.button(
                f"Take k = {choice.suggested}",
                disabled=choice.suggested == grouping.k,
                on_click=state.keep,
                args=("k", str(choice.suggested)),
                width="stretch",
                help="Moves the slider to the suggested number of clusters.",
            )
        show_choice(choice, grouping.k)
    taken = state.kept("k")

    def show(so_far: Choice) -> None:
        if state.kept("k") != taken:
            st.rerun()  # a click on these charts runs nothing but them
        show_choice(so_far, grouping.k)

    widgets.wait_for(answer, ask, show)


def show_choice(choice: Choice, k: int) -> None:
    if choice.ks:
        charts.every_k(choice, k)


def distances(run: Run, chosen: Chosen) -> None:
    from stg_core.grouping.layout import dendrogram, distance_blocks

    space, grouping = chosen.space, chosen.grouping
    if len(space.tasks) > MANY:
        pair = Pair(grouping.k)
        block = pair.pair(state.kept("block", pair) or "")
        found = distance_blocks(space, grouping.labels, grouping.k)
        charts.distance_blocks(space, found, grouping, chosen.colours, block)
    else:
        charts.distances(space, dendrogram(space), grouping, chosen.colours, chosen.every)
    if chosen.space.adjusted >= WORTH_SAYING:
        st.caption(
            "Distances over the points that each two tasks share did not fit together:"
            f" {100 * chosen.space.adjusted:.0f} % of their inner products had to change."
        )


def export(run: Run, chosen: Chosen) -> None:
    grouping = chosen.grouping
    name = f"memberships-{run.spec.group.name}-k{grouping.k}-m{grouping.fuzzifier:.2f}"
    st.markdown("**Memberships** of this grouping, in full precision")
    with st.container(horizontal=True):
        st.download_button(
            "CSV",
            data=lambda: as_csv(table(chosen), index=True),
            file_name=f"{name}.csv",
            mime="text/csv",
            on_click="ignore",
            icon=":material/download:",
            help="A row per task, a column per cluster; a row sums to 1.",
        )
        st.download_button(
            "JSON",
            data=lambda: json.dumps(described(run, chosen), indent=1).encode(),
            file_name=f"{name}.json",
            mime="application/json",
            on_click="ignore",
            icon=":material/download:",
            help="The same with the run, the choices, the clusters and their quality.",
        )
    st.markdown("**Pictures**: each has its own buttons SVG and PNG, above it on the right.")
    st.markdown("**Link** to this very grouping, on every machine that has the run")
    st.code(link(chosen), language=None, wrap_lines=True)
    if not (grouping.problem or grouping.left_out):
        own_loop.offer(run, grouping)


def table(chosen: Chosen) -> pd.DataFrame:
    grouping = chosen.grouping
    columns = [f"cluster {j + 1}" for j in range(grouping.k)]
    index = pd.Index(grouping.tasks, name="task")
    return pd.DataFrame(grouping.memberships, index=index, columns=columns)


def described(run: Run, chosen: Chosen) -> dict[str, object]:
    grouping = chosen.grouping
    return {
        "run": run.id,
        "title": run.title,
        "k": grouping.k,
        "fuzzifier": grouping.fuzzifier,
        "method": grouping.method,
        "recorded_epochs": chosen.space.epochs,
        "features": chosen.space.features,
        "quality": grouping.quality,
        "problem": grouping.problem,
        "uncertain": grouping.uncertain,
        "not_grouped": grouping.left_out,
        "clusters": {
            task: int(label) + 1
            for task, label in zip(grouping.tasks, grouping.labels, strict=True)
        },
        "memberships": {
            task: row
            for task, row in zip(grouping.tasks, grouping.memberships.tolist(), strict=True)
        },
    }


def choices(chosen: Chosen) -> dict[str, list[str]]:
    """What the URL says of this grouping, and k and fuzzifier where they are at their defaults."""
    told = {name: st.query_params.get_all(name) for name in st.query_params if name != "show"}
    return told | {"k": [str(chosen.grouping.k)], "fuzzifier": [str(chosen.grouping.fuzzifier)]}


def link(chosen: Chosen) -> str:
    """The address of this page with every choice."""
    parts, query = urlsplit(st.context.url or ""), urlencode(choices(chosen), doseq=True)
    return urlunsplit((parts.scheme, parts.netloc, parts.path, query, ""))


VIEWS = {
    "Memberships": memberships,
    "Clusters": clusters,
    "Which k?": which_k,
    "Distances": distances,
    "Export": export,
}


@st.fragment
def explore(run: Run, given: Input, view: str) -> None:
    """In a fragment: a slider moves these pictures, and nothing else runs again."""
    with widgets.user_errors():
        # which k is best is told of the whole run: it takes too long for every epoch of it
        replayed = view != "Which k?"
        chosen = widgets.choose_clusters(run, given, followed=True, replayed=replayed)
        VIEWS[view](run, chosen)
        if not chosen.grouping.problem:
            query = choices(chosen) | {"result": "this plan"}
            if chosen.space.epochs != given.epochs:
                query["grouping_epochs"] = list(map(str, chosen.space.epochs))
            with widgets.answers("specialists"):
                st.page_link(
                    state.SPECIALISTS,
                    label=f"Does it pay? {'Log' if run.spec.logged else 'Train'}"
                    f" {chosen.grouping.k} specialists",
                    icon=":material/groups:",
                    query_params=query,
                )


@st.fragment
def views(run: Run, given: Input) -> None:
    tabs = st.tabs([*VIEWS], **in_url("show", OneOf([*VIEWS])), on_change="rerun")
    for tab, view in zip(tabs, VIEWS, strict=True):
        if tab.open:
            with tab:
                explore(run, given, view)


if head := widgets.grouping_head(
    "Grouping",
    "Tasks whose data maps look alike are learned alike. Move the sliders to see which of them"
    " share a cluster, and how much.",
):
    views(*head)
    say_default(head[0])
