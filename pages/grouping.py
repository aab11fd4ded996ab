"""Grouping: which tasks belong together, for any number of clusters and fuzzifier."""

import numpy as np
import pandas as pd
import streamlit as st
from numpy.typing import NDArray

from app import charts, state, widgets
from stg_core.datamap import FEATURES
from stg_core.store import Run

USUAL_K = {"g1": 2, "g2": 3, "g3": 20}
METHODS = ("soft", "hard", "fcm", "points")
QUALITY = {
    "inertia": (
        "Inertia",
        ",.0f",
        "Squared distances of the tasks to their cluster; lower is tighter.",
    ),
    "silhouette": (
        "Silhouette",
        ".3f",
        "How much nearer a task is to its own cluster than to the next: −1 to 1, higher is better.",
    ),
    "partition_coefficient": (
        "Partition coefficient",
        ".3f",
        "How clear-cut the memberships are: 1/k is undecided, 1 is hard.",
    ),
    "xie_beni": (
        "Xie–Beni",
        ".3f",
        "Spread within clusters over distance between them; lower is better.",
    ),
}


@st.fragment
def explore(run: Run) -> None:
    """In a fragment: a slider moves the heatmap, and nothing else runs again."""
    with widgets.user_errors():
        n_tasks = len(run.summary.tasks)
        if n_tasks < 2:
            st.info("This run has a single task: grouping needs two or more.")
            return
        left, right = st.columns(2)
        with left:
            k = choose_k(run, n_tasks)
        with st.expander("Method, epochs and features", icon=":material/tune:"):
            method, epochs, features = choose_input(run)
        with right:
            fuzzifier = choose_fuzzifier(method)
        show(run, k, fuzzifier, method, epochs, features)


def choose_k(run: Run, n_tasks: int) -> int:
    if n_tasks == 2:
        st.markdown("Clusters (k): **2**, as there are two tasks.")
        return 2
    return st.slider(
        "Clusters (k)",
        min_value=2,
        max_value=n_tasks,
        value=min(USUAL_K.get(run.spec.group.name, 3), n_tasks - 1),
        key="k",
        bind="query-params",
        help="How many clusters of tasks, and so how many specialists.",
    )


def choose_fuzzifier(method: str) -> float:
    return st.slider(
        "Fuzzifier (m)",
        min_value=1.01,
        max_value=3.0,
        value=2.0,
        step=0.01,
        key="fuzzifier",
        bind="query-params",
        disabled=method in ("hard", "points"),
        help="Near 1 every task belongs to one cluster; larger shares it out. Of no effect on the"
        " methods hard and points.",
    )


def choose_input(run: Run) -> tuple[str, tuple[int, ...], tuple[str, ...]]:
    recorded = run.summary.epochs.tolist()
    columns = st.columns(3)
    method = columns[0].selectbox(
        "Method",
        METHODS,
        key="method",
        bind="query-params",
        help="soft: k-means, then shares by distance. hard: k-means alone. fcm: fuzzy c-means,"
        " iterated. points: each training point votes.",
    )
    epochs = columns[1].pills(
        "Recorded epochs",
        recorded,
        selection_mode="multi",
        default=recorded,
        key="grouping_epochs",
        bind="query-params",
        help="The data maps of these epochs are compared.",
    )
    features = columns[2].pills(
        "Features",
        FEATURES,
        selection_mode="multi",
        default=FEATURES,
        key="features",
        bind="query-params",
        help="What of the data maps is compared.",
    )
    return method, tuple(sorted(epochs)), tuple(f for f in FEATURES if f in features)


def show(
    run: Run,
    k: int,
    fuzzifier: float,
    method: str,
    epochs: tuple[int, ...],
    features: tuple[str, ...],
) -> None:
    from stg_core.grouping import group_tasks

    space = state.task_space(run, epochs, features)
    grouping = group_tasks(space, k, fuzzifier, method)
    for column, (name, (label, style, explanation)) in zip(
        st.columns(len(QUALITY)), QUALITY.items(), strict=True
    ):
        value = grouping.quality[name]
        shown = "–" if value is None else format(value, style)
        column.metric(label, shown, border=True, help=explanation)
    charts.membership_heatmap(grouping.tasks, grouping.memberships, grouping.labels)
    st.download_button(
        "Download memberships (CSV)",
        data=lambda: table(grouping.tasks, grouping.memberships).to_csv().encode(),
        file_name=f"memberships-{run.spec.group.name}-k{k}.csv",
        mime="text/csv",
        on_click="ignore",
        icon=":material/download:",
    )
    space.compute_ahead(k)


def table(tasks: tuple[str, ...], memberships: NDArray[np.float64]) -> pd.DataFrame:
    frame = pd.DataFrame(memberships, index=pd.Index(tasks, name="task"))
    frame.columns = [f"cluster {j + 1}" for j in range(frame.shape[1])]
    return frame


st.title("Grouping")
st.markdown(
    "Tasks whose data maps look alike are learned alike. Each row says how much of a task belongs"
    " to each cluster; a row sums to 1."
)
run = widgets.choose_run()
if run:
    explore(run)
