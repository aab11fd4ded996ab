"""Methods on a run that is not trained here, such as a log: those that need only what it keeps."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from app import state, widgets
from app.charts import methods as charts
from app.live_slider import live_slider
from stg_core.results.run import Run

if TYPE_CHECKING:
    from stg_core.affinity.kept import Kept

USUAL_BUDGET = 3
MOST_DRAWN = 30  # tasks of a matrix that can be read


def logged_runs() -> dict[str, str]:
    """Titles of the runs whose tasks can be grouped so, by id."""
    runs = state.shared().store.runs()
    return {
        run.id: run.title_now
        for run in runs
        if run.spec.logged and run.has_data_maps and len(run.spec.tasks) > 1
    }


@st.fragment
def show(run: Run) -> None:
    """In a fragment: the slider moves these pictures, and nothing else runs again."""
    from stg_core.affinity.methods import METHODS, rank_correlations
    from stg_core.affinity.outputs import overlap_warning
    from stg_core.maps.labels import overlap

    with widgets.user_errors():
        run.require_data_maps()
        summary = run.summary
        tasks = summary.tasks.tolist()
        st.caption(
            "These methods need the labels, outputs and data maps of one training, and no other."
        )
        if warning := overlap_warning(tasks, overlap(summary)):
            st.warning(widgets.plain(warning), icon=":material/join_inner:")
        budget = live_slider(
            "Budget",
            range(1, len(tasks) + 1),
            min(USUAL_BUDGET, len(tasks)),
            key="budget",
            help="How many models may serve the tasks in the end.",
        )
        found, lacking = _groups(run.id, str(run.provenance.get("created", "")), budget, run)
        titles = {one.method: METHODS[one.method].title for one in found}
        if found:
            charts.groups(found, titles, tasks)
        for sentence in lacking:
            st.info(widgets.plain(sentence), icon=":material/info:")
        if len(tasks) <= MOST_DRAWN:
            for one, place in zip(found, st.columns(len(found) or 1), strict=False):
                with place:
                    charts.affinity(one.affinity, tasks, titles[one.method], f"kept {one.method}")
        if len(found) > 1 and len(tasks) > 2:
            correlations = rank_correlations({one.method: one.affinity for one in found})
            charts.correlations(correlations, [*titles.values()])
        say_what_cannot_be()


@st.cache_data(show_spinner="Grouping the tasks", max_entries=64)
def _groups(run_id: str, version: str, budget: int, _run: Run) -> tuple[list[Kept], list[str]]:
    from stg_core.affinity.kept import groups_of_kept

    return groups_of_kept(_run, budget)


def say_what_cannot_be() -> None:
    from stg_core.affinity.kept import OF_GRADIENTS, OF_TRAININGS
    from stg_core.affinity.methods import METHODS

    gradients, trainings = (
        ", ".join(METHODS[method].title for method in methods)
        for methods in (OF_GRADIENTS, OF_TRAININGS)
    )
    st.caption(
        f"{gradients} need gradients, and {trainings} need further trainings: a log has outputs"
        " only. With its data among “Tasks of my own” they can be compared here."
    )
