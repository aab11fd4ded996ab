"""Start: the method in four steps, task groups, a training and its progress, and all runs."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from app import state, widgets
from app.adding import tell_what_was_not_kept
from app.bringing_logs import bring_a_log, tell_what_was_brought
from app.data_sets import show_own, tell_what_was_added
from app.examples import contact_sheet
from app.live import SELDOM
from app.parameters import Flag, in_url
from app.quick_look import offer_quick_look
from app.run_list import ask_for_file, list_runs, show_run, weights_of_all
from app.scrolling import scroll_to
from app.training_choices import choose_button, choose_spec, expected_duration
from stg_core.tasks.groups import GROUPS, TaskGroup
from stg_core.tasks.images import has_images, where_images_belong

# Picture, title and text of each step of the method, and the page that shows it, but for this one.
STEPS: tuple[tuple[str, str, str, Path | None, str], ...] = (
    ("train", "1. Train one model", "It learns all tasks at once.", None, ""),
    (
        "data_maps",
        "2. Keep its data maps",
        "How sure it was of every point, and how steadily.",
        state.DATA_MAPS,
        "Data maps",
    ),
    (
        "group",
        "3. Group the tasks",
        "Tasks with similar data maps share a cluster.",
        state.GROUPING,
        "Grouping",
    ),
    (
        "specialists",
        "4. Train specialists",
        "One model for each cluster, weighted by its tasks.",
        state.SPECIALISTS,
        "Specialists",
    ),
)
ABOUT_GROUPS = {
    "digits": "Handwritten digits, and five more questions about them.",
    "g1": "The ten classes of CIFAR-10.",
    "g2": "The same ten, three unions of them, images upside down, and coin flips.",
    "g3": "The hundred classes of CIFAR-100.",
}
TASKS_SHOWN = 15
TRAINING = "train-a-model"


def show_ways() -> None:
    """Where to begin."""
    runs = [run for run in state.shared().store.runs() if run.has_data_maps]
    with st.container(horizontal=True):
        if st.button(
            "Begin with the lesson",
            key="begin",
            type="primary",
            icon=":material/school:",
            help="The method in eight short steps, on real results.",
        ):
            st.switch_page(state.LESSON)
        if st.button(
            "Explore a finished run",
            key="explore",
            icon=":material/scatter_plot:",
            disabled=not runs,
            help="Opens the data maps of a training that came with the project."
            if runs
            else "There is none on this machine yet.",
        ):
            st.switch_page(state.DATA_MAPS)
        if st.button(
            "Train",
            key="train",
            icon=":material/model_training:",
            help="Further down on this page: choose a task group, and train a model on it.",
        ):
            scroll_to(TRAINING)


def show_steps() -> None:
    for column, step in zip(st.columns(len(STEPS)), STEPS, strict=True):
        picture, title, text, page, name = step
        with column.container(border=True, height="stretch", vertical_alignment="distribute"):
            with st.container():
                st.image(state.ROOT / "assets" / f"step_{picture}.svg", width="stretch", alt=text)
                st.markdown(f"**{title}**")
                st.caption(text)
            if page:
                st.page_link(page, label=name, icon=":material/arrow_forward:")


# ------------------------------------------------------------------------------- what to train


@st.fragment
def train_a_model() -> None:
    st.header(
        "Task groups",
        help="Tasks that one model learns together. A task is a yes-or-no"
        " question, a choice of classes, or a number, asked about every point.",
    )
    for column, group in zip(st.columns(len(GROUPS)), GROUPS.values(), strict=True):
        with column.container(border=True, height="stretch", vertical_alignment="distribute"):
            show_group(group)
    show_own()
    st.header("Train a model", anchor=TRAINING)
    with widgets.user_errors():
        spec = choose_spec()
        run, quick, told = st.columns([1, 1, 4], vertical_alignment="center")
        with told:
            expected_duration(spec)
        with quick:
            offer_quick_look(spec.group, spec.seed)
        if run.button(
            "Run", key="start", type="primary", icon=":material/play_arrow:", width="stretch"
        ):
            state.shared().engine.submit(spec)
            st.rerun()
    st.header("Progress")
    widgets.progress_panel()


def show_group(group: TaskGroup) -> None:
    with st.container():
        if sheet := contact_sheet(group):
            st.image(sheet, width="stretch", alt=f"Ten training images: {group.title}")
        st.markdown(f"**{group.title}**")
        st.caption(ABOUT_GROUPS[group.name])
        names = ", ".join(group.task_names[:TASKS_SHOWN])
        more = len(group.tasks) - TASKS_SHOWN
        st.caption(f"{names} and {more} more" if more > 0 else names)
        if not sheet:
            here = has_images(group.dataset)
            st.caption(
                f"The first run {'prepares' if here else 'downloads'} its images.",
                help=where_images_belong(group.dataset),
            )
    choose_button(group.name)


# ------------------------------------------------------------------------------------ all runs


@st.fragment
def show_runs() -> None:
    title, weights, button = st.columns([4, 1, 1], vertical_alignment="bottom")
    title.header(
        "Runs",
        help="Trainings of this machine, logs of other programs, and what came with the project."
        " Tick one to open it.",
    )
    if button.button(
        "Import",
        key="import",
        icon=":material/upload:",
        width="stretch",
        help="Takes a run from a .zip file that was exported.",
    ):
        ask_for_file()
    bring_a_log()
    with weights.popover("Weights", icon=":material/save:", width="stretch"):
        weights_of_all()
    st.fragment(list_all_runs, run_every=SELDOM, key="runs")()
    show_chosen_run()


def list_all_runs() -> None:
    """In a fragment that looks again and again: logs come and go on without a word to this page."""
    with widgets.user_errors():
        everything = state.shared().store.runs()
        runs = [run for run in everything if run.has_data_maps]
        hidden = len(everything) - len(runs)
        if hidden and st.toggle(
            f"Also {hidden} without data maps",
            **in_url("all_runs", Flag()),
            help="Specialists and their rivals, of which the Specialists page has what they found;"
            " and logs before their second epoch.",
        ):
            runs = everything
        if runs:
            list_runs(runs)
        if not runs:
            st.caption("None yet: the first one takes a minute with the task group digits.")
        elif not state.kept("run"):
            st.caption("Tick a run to open it.")


@st.fragment(key="chosen run")
def show_chosen_run() -> None:
    with widgets.user_errors():
        if wanted := state.kept("run"):
            show_run(state.shared().store.run(wanted))


# ------------------------------------------------------------------------------------ the page

st.title("Which tasks belong together?")
st.markdown(
    "A model that learns several tasks at once may do better for it, or worse. STG Explorer finds"
    " out which tasks are *learned alike*, from how the model learned every single point, and lets"
    " you test whether training them apart pays."
)
tell_what_was_added()
tell_what_was_brought()
tell_what_was_not_kept()
show_ways()
show_steps()
train_a_model()
show_runs()
for sentence in state.shared().store.damaged:
    st.warning(widgets.plain(sentence), icon=":material/warning:")
