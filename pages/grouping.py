"""Grouping: which tasks belong together, for any number of clusters and fuzzifier."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import streamlit as st
from numpy.typing import NDArray

from app import widgets
from app.charts.grouping import membership_heatmap
from stg_core.store import Run

if TYPE_CHECKING:
    from stg_core.grouping import Grouping

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
    """In a fragment: a slider moves the pictures, and nothing else runs again."""
    with widgets.user_errors():
        if chosen := widgets.choose_grouping(run):
            show(run, chosen.grouping)


def show(run: Run, grouping: Grouping) -> None:
    for column, (name, (label, style, explanation)) in zip(
        st.columns(len(QUALITY)), QUALITY.items(), strict=True
    ):
        value = grouping.quality[name]
        shown = "–" if value is None else format(value, style)
        column.metric(label, shown, border=True, help=explanation)
    membership_heatmap(grouping.tasks, grouping.memberships, grouping.labels)
    st.download_button(
        "Download memberships (CSV)",
        data=lambda: table(grouping.tasks, grouping.memberships).to_csv().encode(),
        file_name=f"memberships-{run.spec.group.name}-k{grouping.k}.csv",
        mime="text/csv",
        on_click="ignore",
        icon=":material/download:",
    )


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
