"""Start: the method in four steps, task groups, a training and its progress, and all runs."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st

from app import state, widgets
from app.examples import contact_sheet
from stg_core.results.archive import export_run, file_name, import_run
from stg_core.results.store import LONGEST_TITLE, Run
from stg_core.system.errors import UserError
from stg_core.tasks.groups import GROUPS, TaskGroup, custom_group
from stg_core.tasks.images import CLASS_NAMES, has_images, where_images_belong
from stg_core.training.spec import (
    AUGMENTATIONS,
    BUILT_IN_MODELS,
    TrainingSpec,
    default_model,
    default_recorded_epochs,
)

STEPS: tuple[tuple[str, Path, dict[str, str], str, str], ...] = (
    ("train", state.START, {}, "1. Train one model", "It learns all tasks at once."),
    (
        "data_maps",
        state.DATA_MAPS,
        {},
        "2. Keep its data maps",
        "How sure it was of every image, and how steadily.",
    ),
    (
        "group",
        state.GROUPING,
        {},
        "3. Group the tasks",
        "Tasks with similar data maps share a cluster.",
    ),
    (
        "specialists",
        state.SPECIALISTS,
        {},
        "4. Train specialists",
        "One model for each cluster, weighted by its tasks.",
    ),
)
ABOUT_GROUPS = {
    "digits": "Handwritten digits, and five more questions about them.",
    "g1": "The ten classes of CIFAR-10.",
    "g2": "G1, three unions of its classes, images upside down, and coin flips.",
    "g3": "The hundred classes of CIFAR-100.",
}
TASKS_SHOWN = 15
LARGEST_UPLOAD = 64  # MB: an upload is held in memory


def show_steps() -> None:
    for column, step in zip(st.columns(len(STEPS)), STEPS, strict=True):
        picture, page, choices, title, text = step
        with column.container(border=True, height="stretch"):
            st.image(state.ROOT / "assets" / f"step_{picture}.svg", width="stretch", alt=text)
            st.page_link(page, label=f"**{title}**", query_params=choices)
            st.caption(text)


# ------------------------------------------------------------------------------- what to train


@st.fragment
def train_a_model() -> None:
    st.header(
        "Task groups",
        help="Tasks that one model learns together. A task is a yes-or-no"
        " question, asked about every image.",
    )
    for column, group in zip(st.columns(len(GROUPS)), GROUPS.values(), strict=True):
        with column.container(border=True, height="stretch", vertical_alignment="distribute"):
            show_group(group)
    st.header("Train a model")
    with widgets.user_errors():
        spec = choose_spec()
        run, told = st.columns([1, 5], vertical_alignment="center")
        with told:
            expected_duration(spec)
        if run.button(
            "Run", key="start", type="primary", icon=":material/play_arrow:", width="stretch"
        ):
            state.shared().engine.submit(spec)
            st.rerun()
    st.header("Progress")
    widgets.progress_panel()


def show_group(group: TaskGroup) -> None:
    wanted = st.session_state.get("group") or st.query_params.get("group")
    chosen = group.name == (wanted or next(iter(GROUPS)))
    with st.container():
        if sheet := contact_sheet(group):
            st.image(sheet, width="stretch", alt=f"Ten training images of {group.name}")
        st.markdown(f"**{group.name}** · {len(group.tasks)} tasks")
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
    st.button(
        "Chosen" if chosen else "Choose",
        key=f"choose {group.name}",
        icon=":material/check:" if chosen else None,
        disabled=chosen,
        on_click=lambda: st.session_state.update(group=group.name),
        help="Puts this group into the settings below.",
    )


def choose_spec() -> TrainingSpec:
    columns = st.columns([3, 3, 2, 2])
    name = columns[0].selectbox(
        "Task group",
        [*GROUPS, "custom"],
        key="group",
        bind="query-params",
        help="One of the groups above, or custom: tasks of your own.",
    )
    group = choose_custom_group() if name == "custom" else GROUPS[name]
    suited = default_model(group.dataset)
    model = columns[1].selectbox(
        "Model",
        BUILT_IN_MODELS,
        index=BUILT_IN_MODELS.index(suited),
        accept_new_options=True,
        key=f"model_{group.dataset}",
        bind="query-params",
        help="The backbone. For one of your own, write module:name, such as my_models:tiny_vit.",
    )
    epochs = columns[2].number_input(
        "Epochs",
        min_value=2,
        max_value=1000,
        value=10,
        key="epochs",
        bind="query-params",
        help="Passes over all training images; data maps need at least 2.",
    )
    seed = columns[3].number_input(
        "Seed",
        min_value=0,
        max_value=2**31 - 1,
        value=0,
        key="seed",
        bind="query-params",
        help="The same choices with the same seed give the same result.",
    )
    with st.expander("More settings", icon=":material/tune:"):
        more = choose_more(int(epochs))
    return TrainingSpec(group, model=model or suited, epochs=int(epochs), seed=int(seed), **more)


def choose_more(epochs: int) -> dict[str, Any]:
    columns = st.columns(4)
    recorded = columns[0].text_input(
        "Recorded epochs",
        key="recorded_epochs",
        bind="query-params",
        placeholder=", ".join(map(str, default_recorded_epochs(epochs))),
        help="After these epochs the data maps are kept as they are then: numbers from 2 to the"
        " last, with commas. Empty: five spread evenly.",
    )
    augmentation = columns[1].selectbox(
        "Augmentation",
        AUGMENTATIONS,
        key="augmentation",
        bind="query-params",
        help="Random changes to the images in every epoch: moved by up to 4 pixels, mirrored.",
    )
    batch_size = columns[2].number_input(
        "Batch size",
        min_value=2,
        max_value=4096,
        value=256,
        key="batch_size",
        bind="query-params",
        help="Images between two steps of the optimiser.",
    )
    learning_rate = columns[3].number_input(
        "Learning rate",
        min_value=1e-6,
        max_value=1.0,
        value=1e-3,
        step=1e-4,
        format="%g",
        key="learning_rate",
        bind="query-params",
        help="Length of a step of the optimiser (Adam).",
    )
    single_task_models = st.toggle(
        "One model per task",
        key="single_task_models",
        bind="query-params",
        help="Trains a model for each task alone instead of one for all; it takes as many times"
        " longer as there are tasks.",
    )
    return {
        "recorded_epochs": read_epochs(recorded or ""),
        "batch_size": int(batch_size),
        "learning_rate": float(learning_rate),
        "augmentation": augmentation,
        "single_task_models": single_task_models,
    }


def read_epochs(text: str) -> tuple[int, ...] | None:
    try:
        return tuple(int(part) for part in text.split(",") if part.strip()) or None
    except ValueError:
        raise UserError(f"Write recorded epochs as 2, 4, 6; “{text}” is not a list.") from None


def choose_custom_group() -> TaskGroup:
    columns = st.columns([2, 4, 4])
    dataset = columns[0].selectbox(
        "Data set",
        list(CLASS_NAMES),
        key="dataset",
        bind="query-params",
        help="The images that the tasks are about.",
    )
    classes = columns[1].multiselect(
        "Classes",
        CLASS_NAMES[dataset],
        default=CLASS_NAMES[dataset][:4],
        key=f"classes_{dataset}",
        bind="query-params",
        help="Each becomes a task: this class, or another one.",
    )
    unions = columns[2].text_area(
        "Unions",
        key=f"unions_{dataset}",
        bind="query-params",
        placeholder=f"Mine = {CLASS_NAMES[dataset][0]}, {CLASS_NAMES[dataset][1]}",
        help="One task a line: its name, an equals sign, and the classes that are positive.",
    )
    return custom_group(dataset, classes, read_unions(unions or ""))


def read_unions(text: str) -> dict[str, list[str]]:
    unions = {}
    for line in filter(None, map(str.strip, text.splitlines())):
        name, equals, members = line.partition("=")
        if not equals or not name.strip():
            raise UserError(f"Write a union as “name = class, class”; “{line}” is not one.")
        unions[name.strip()] = [c.strip() for c in members.split(",") if c.strip()]
    return unions


def expected_duration(spec: TrainingSpec) -> None:
    """In a fragment that looks again only until the measurement is there."""
    if state.shared().store.holds(spec.key):
        st.caption(f"{len(spec.tasks)} tasks. This run is here already: it is not trained again.")
        return
    known = state.shared().engine.seconds_per_epoch(spec) is not None
    st.fragment(show_duration, run_every=None if known else 1.0)(spec)


def show_duration(spec: TrainingSpec) -> None:
    with widgets.user_errors():
        seconds = state.shared().engine.seconds_per_epoch(spec)
        whole = None if seconds is None else widgets.duration(seconds * spec.epochs)
        shown = f"about {whole}" if whole else "measuring…"
        st.caption(f"{len(spec.tasks)} tasks. Expected duration on this machine: {shown}")


# ------------------------------------------------------------------------------------ all runs


@st.fragment
def show_runs() -> None:
    title, button = st.columns([5, 1], vertical_alignment="bottom")
    title.header(
        "Runs",
        help="Finished trainings of this machine, and those that came with the"
        " project. Tick one to open it.",
    )
    if button.button(
        "Import",
        key="import",
        icon=":material/upload:",
        width="stretch",
        help="Takes a run from a .zip file that was exported.",
    ):
        ask_for_file()
    with widgets.user_errors():
        everything = state.shared().store.runs()
        runs = [run for run in everything if run.has_data_maps]
        hidden = len(everything) - len(runs)
        if hidden and st.toggle(
            f"Also {hidden} without data maps",
            key="all_runs",
            bind="query-params",
            help="Specialists and their rivals: the Specialists page has what they found.",
        ):
            runs = everything
        if runs:
            list_runs(runs)
        if wanted := state.kept("run"):
            show_run(state.shared().store.run(wanted))
        elif runs:
            st.caption("Tick a run to open it.")
        else:
            st.caption("None yet: the first one takes a minute with the task group digits.")


def list_runs(runs: list[Run]) -> None:
    ids = [run.id for run in runs]
    # the key names the runs: what is ticked is a row, and rows move when runs come and go
    key = f"runs {' '.join(ids)}"
    chosen = state.kept("run")
    st.dataframe(
        pd.DataFrame(
            {
                "Run": [run.title for run in runs],
                "Group": [run.spec.group.name for run in runs],
                "Model": [run.spec.model for run in runs],
                "Epochs": [run.spec.epochs for run in runs],
                "Mean F1": [run.mean_f1 for run in runs],
                "When": [widgets.when(run) for run in runs],
                "Took": [widgets.duration(run.provenance["seconds"]) for run in runs],
                "Size": [run.size for run in runs],
            }
        ),
        hide_index=True,
        key=key,
        on_select=lambda: tick(key, ids),
        selection_mode="single-row",
        selection_default={"selection": {"rows": [ids.index(chosen)] if chosen in ids else []}},
        alt=f"Table of {len(runs)} runs",
        column_config={
            "Group": st.column_config.TextColumn(help="Task group."),
            "Epochs": st.column_config.NumberColumn(help="Passes over all training images."),
            "Mean F1": st.column_config.NumberColumn(
                format="%.3f",
                help="Mean over the tasks, on the test images, after the last epoch: 0 to 1.",
            ),
            "When": st.column_config.DatetimeColumn(format="YYYY-MM-DD HH:mm"),
            "Took": st.column_config.TextColumn(help="On the machine where it was trained."),
            "Size": st.column_config.NumberColumn(format="bytes", help="On this disk."),
        },
    )


def tick(key: str, ids: list[str]) -> None:
    rows = st.session_state[key]["selection"].get("rows") or []
    state.keep("run", ids[rows[0]] if rows else None)


def show_run(run: Run) -> None:
    own = "Bundled runs stay as they are; an imported copy is yours to change."
    st.markdown(f"**{widgets.plain(run.title)}**")
    with st.container(horizontal=True, vertical_alignment="center"):
        if run.has_data_maps:
            widgets.open_run(run.id)
        if st.button(
            "Rename",
            key="rename",
            icon=":material/edit:",
            disabled=run.bundled,
            help=own if run.bundled else "Gives it a title of your own.",
        ):
            ask_for_title(run)
        st.download_button(
            "Export",
            data=lambda: exported(run),
            file_name=file_name(run),
            mime="application/zip",
            key="export",
            on_click="ignore",
            icon=":material/download:",
            help="A .zip file for another machine, with all that the pages show. With the arrays of"
            f" every point: `python -m stg_core export {run.id} --with-arrays`",
        )
        if st.button(
            "Delete",
            key="delete",
            icon=":material/delete:",
            disabled=run.bundled,
            help=own if run.bundled else "Asks again before it does.",
        ):
            ask_for_deletion(run)


def exported(run: Run) -> bytes:
    file = io.BytesIO()
    export_run(run, file)
    return file.getvalue()


@st.dialog("Rename this run")
def ask_for_title(run: Run) -> None:
    title = st.text_input(
        "Title",
        value=run.own_title,
        max_chars=LONGEST_TITLE,
        placeholder=run.spec.title,
        key=f"title {run.id}",
        help="Shown wherever this run is. Empty: what it was trained with.",
    )
    if st.button("Save", key="save title", type="primary"):
        with widgets.user_errors():
            state.shared().store.rename(run, title)
            st.rerun()


@st.dialog("Delete this run?")
def ask_for_deletion(run: Run) -> None:
    st.markdown(
        f"**{widgets.plain(run.title)}** will be gone for good, and training it again takes"
        f" {widgets.duration(run.provenance['seconds'])}."
    )
    with st.container(horizontal=True):
        if st.button("Delete", key="delete for good", type="primary"):
            with widgets.user_errors():
                state.shared().store.delete(run)
                state.keep("run", None)
                st.rerun()
        if st.button("Keep", key="keep"):
            st.rerun()


@st.dialog("Import a run")
def ask_for_file() -> None:
    file = st.file_uploader(
        "A .zip file that was exported",
        type="zip",
        max_upload_size=LARGEST_UPLOAD,
        key="file",
        help=f"Up to {LARGEST_UPLOAD} MB; larger ones with `python -m stg_core import FILE`.",
    )
    if file:
        with widgets.user_errors():
            state.keep("run", import_run(state.shared().store, file).id)
            st.rerun()


# ------------------------------------------------------------------------------------ the page

st.title("Which tasks belong together?")
st.markdown(
    "A model that learns several tasks at once does better when they suit each other. STG Explorer"
    " finds out which do, from how the model learned every single image."
)
show_steps()
train_a_model()
show_runs()
for sentence in state.shared().store.damaged:
    st.warning(widgets.plain(sentence), icon=":material/warning:")
