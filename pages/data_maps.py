"""Data maps: how the model learned one task, point by point."""

import streamlit as st

from app import widgets
from app.charts.data_maps import data_map
from stg_core.store import Run

ABOUT = (
    "Each point is a training image. **Confidence** is the model's mean probability of the true"
    " label over the epochs so far, **variability** how much that probability moved. Points at the"
    " top left are easy, at the bottom left hard, on the right ambiguous."
)


def show(run: Run) -> None:
    summary = run.summary
    tasks, epochs = summary.tasks.tolist(), summary.epochs.tolist()
    left, right = st.columns([2, 3])
    task = left.selectbox(
        "Task",
        tasks,
        key="task",
        bind="query-params",
        help="One yes-or-no question, asked about every image.",
    )
    epoch = right.segmented_control(
        "Recorded epoch",
        epochs,
        default=epochs[-1],
        required=True,
        key="epoch",
        bind="query-params",
        help="The data map as it stood after this epoch.",
    )
    confidence, variability = summary.task_means[epochs.index(epoch), :, tasks.index(task)]
    cards = st.columns(3)
    cards[0].metric(
        "Mean confidence",
        f"{confidence:.3f}",
        border=True,
        help="Mean over all training points; 0.5 is guessing, 1 is sure and right.",
    )
    cards[1].metric(
        "Mean variability",
        f"{variability:.3f}",
        border=True,
        help="Mean standard deviation over the epochs so far, from 0 to 0.71.",
    )
    cards[2].metric(
        "Training points",
        f"{int(summary.n_points):,}",
        border=True,
        help=f"All are in the density; {summary.sample.shape[-1]:,} of them are drawn as points,"
        " as many positives as negatives where there are enough.",
    )
    data_map(summary, task, epoch)


st.title("Data maps")
st.markdown(ABOUT)
run = widgets.choose_run()
if run:
    show(run)
