"""Data sets of one's own on the Start page: their cards, and a way to bring another one in."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import pandas as pd
import streamlit as st
from PIL import Image

from app import adding, uploads, widgets
from app.examples import CELL, COLUMNS, GAP
from app.images import as_picture
from app.training_choices import choose_button, choose_group
from stg_core.system.errors import UserError
from stg_core.system.words import counted
from stg_core.tasks.choices import ROLES, Choices, Part
from stg_core.tasks.datasets import (
    LONGEST_DATA_SET_NAME,
    DataSet,
    data_sets,
    remove,
    rename,
    source_changed,
)
from stg_core.tasks.groups import KINDS_OF_TASKS, Kind
from stg_core.tasks.sources import Preview, TaskGlance, add_source, look, name_of

CARDS_A_ROW = 4
TASKS_SHOWN = 12
LARGEST_UPLOAD = 200  # MB
LONGEST_PATH = 4_000  # characters
ON_PAGE = (  # options of the command line, and where they are on the page
    (r"--missing=(\S+?)(?=[.,;]? |[.,;]?$)", r"\1 as “Stands for a missing label”"),
    (r"--no=-1", "“−1 means no”"),
    (r"--kind '([^']+)=(\w+)'", r"in the table of tasks that \1 is \2"),
    (r"--task ('[^']+'|\S+)", r"in the table of columns that \1 is a task"),
    (r"--feature ('[^']+'|\S+)", r"in the table of columns that \1 is a feature"),
)
BRING = "bring data"  # the key of its expander
PURPOSE = "data set"  # of an upload
TOO_LARGE = (
    "There is not enough memory for this source: keep it as CSV or Parquet, which are read in"
    " parts, and add it with python -m stg_core add FILE."
)


# ------------------------------------------------------------------------------ those that are here


def show_own() -> None:
    """A card for each data set of one's own, and the way to bring in another one."""
    own = data_sets()
    for start in range(0, len(own), CARDS_A_ROW):
        row = own[start : start + CARDS_A_ROW]
        for column, found in zip(st.columns(CARDS_A_ROW), row, strict=False):
            with column.container(border=True, height="stretch", vertical_alignment="distribute"):
                _show_card(found)
    add_another()


def _show_card(found: DataSet) -> None:
    with st.container():
        if found.has_images:
            sheet = _contact_sheet(str(found.folder), found.digest)
            st.image(sheet, width="stretch", alt=f"Training images of {found.name}")
        st.markdown(f"**{widgets.plain(found.group.title)}**")
        counts, shape = found.counts, found.shape
        of_what = f"images of {shape[1]} × {shape[0]}" if found.has_images else "rows"
        width = "" if found.has_images else f", {counted(len(found.features), 'feature')}"
        st.caption(f"{counts['train']:,} {of_what} to train on, {counts['test']:,} to test{width}")
        names = found.group.task_names
        more = len(names) - TASKS_SHOWN
        listed = widgets.plain(", ".join(names[:TASKS_SHOWN]))
        st.caption(f"{listed} and {more} more" if more > 0 else listed)
        if found.of_a_file and source_changed(found):
            st.caption(":material/update: Its source has changed since it was added.")
    with st.container(horizontal=True, gap="small"):
        choose_button(found.name)
        if st.button(
            "Check",
            key=f"check {found.name}",
            help="Prevalence, missing labels and overlap of its tasks; rename or remove it.",
        ):
            _check(found)


@st.cache_resource(show_spinner=False, max_entries=32)
def _contact_sheet(folder: str, digest: str) -> bytes:
    """Ten training images as one PNG."""
    images = np.load(Path(folder) / "train_points.npy", mmap_mode="r", allow_pickle=False)
    places = np.linspace(0, len(images) - 1, min(len(images), 2 * COLUMNS)).astype(int)
    sheet = Image.new("RGBA", (COLUMNS * (CELL + GAP) - GAP, 2 * (CELL + GAP) - GAP))
    for i, place in enumerate(places):
        row, column = divmod(i, COLUMNS)
        picture = Image.fromarray(as_picture(np.array(images[place])).squeeze()).convert("RGB")
        large = picture.resize((CELL, CELL), Image.Resampling.BICUBIC)
        sheet.paste(large, (column * (CELL + GAP), row * (CELL + GAP)))
    file = io.BytesIO()
    sheet.save(file, "PNG")
    return file.getvalue()


@st.dialog("A data set of yours", width="large")
def _check(found: DataSet) -> None:
    from stg_core.tasks.checks import facts_of

    facts = facts_of(found)
    st.markdown(f"**{widgets.plain(found.group.title)}**")
    for sentence in found.manifest["notes"]:
        st.caption(widgets.plain(sentence))
    for sentence in facts.warnings:
        st.warning(widgets.plain(sentence), icon=":material/warning:")
    if source_changed(found):
        st.warning(
            f"Its source has changed since it was added: {found.manifest['source']['path']}",
            icon=":material/update:",
        )
    st.dataframe(
        pd.DataFrame(
            [
                {
                    "Task": one.task.name,
                    "Kind": KINDS_OF_TASKS[one.task.kind],
                    "Yes": one.prevalence,
                    "Missing": one.missing,
                    "Train": one.labelled["train"],
                    "Test": one.labelled["test"],
                    "Family": one.task.family or None,
                }
                for one in facts.tasks
            ]
        ),
        hide_index=True,
        placeholder="–",
        alt=f"Table of {counted(len(facts.tasks), 'task')}: kind, prevalence, missing labels",
        column_config={
            "Yes": st.column_config.NumberColumn(
                format="percent", help="Share of positives among the training labels."
            ),
            "Missing": st.column_config.NumberColumn(
                format="percent", help="Share of all points without a label."
            ),
            "Train": st.column_config.NumberColumn(help="Training points with a label."),
            "Test": st.column_config.NumberColumn(help="Test points with a label."),
        },
    )
    if len(facts.tasks) > 1:
        st.caption(
            f"Median overlap of two tasks: {facts.median_overlap:.0%} of the training points that"
            " have a label for either have one for both."
        )
    with st.container(horizontal=True, vertical_alignment="bottom"):
        name = st.text_input("Name", value=found.name, max_chars=LONGEST_DATA_SET_NAME)
        if st.button("Rename", disabled=name == found.name):
            with widgets.user_errors():
                rename(found.name, name)
                st.rerun()
        sure = st.toggle("Remove it for good", help="Runs of it stay; its points are gone.")
        if st.button("Remove", disabled=not sure, icon=":material/delete:"):
            with widgets.user_errors():
                remove(found.name)
                st.rerun()


# -------------------------------------------------------------------------------- to bring one in


def add_another() -> None:
    adding.bring(
        "Bring your own data",
        ":material/upload_file:",
        BRING,
        "A table with a column for each task (CSV, TSV, Parquet), arrays (.npz), MULAN’s ARFF, or a"
        " folder of images.",
        _ask,
        _keep,
    )


def _ask() -> None:
    if source := _choose_source():
        _preview(source)


def _keep(found: DataSet) -> None:
    uploads.forget(PURPOSE)
    choose_group(found.name)
    st.session_state["added"] = found.name


def tell_what_was_added() -> None:
    """Once, that a data set is here."""
    if name := st.session_state.pop("added", None):
        st.toast(f"{name} is here, and chosen below.", icon=":material/check:")


def _choose_source() -> Path | None:
    left, right = st.columns(2, gap="large")
    file = left.file_uploader(
        "A file",
        key="source file",
        max_upload_size=LARGEST_UPLOAD,
        help=f"Up to {LARGEST_UPLOAD} MB. Larger ones, and folders, by their path.",
    )
    typed = right.text_input(
        "Or a path on this machine",
        key="source path",
        max_chars=LONGEST_PATH,
        placeholder="/home/me/tox21.csv",
        help="A file of any size, or a folder of images, where the app runs.",
    )
    if file:
        return uploads.kept([file], PURPOSE)[0]
    return Path(typed.strip()).expanduser() if typed and typed.strip() else None


def _preview(source: Path) -> None:
    """What would be kept, and what can be changed of it."""
    choices = _choose_more(source)
    first = _looked(source, choices)
    if first.columns:
        choices = _choose_roles(source, first.columns, choices)
    found = _looked(source, choices)
    size = "" if found.points is None else counted(found.points, "point")
    size = f"about {size}" if found.points_are_estimated else size
    shape = " × ".join(map(str, found.shape))
    of_shape = f"of {shape} numbers" if shape else ""
    counts = " ".join(filter(None, [size, of_shape]))
    st.caption(", ".join(filter(None, [widgets.plain(found.what), counts])) or "–")
    for note in found.notes:
        st.caption(f":material/lightbulb: {widgets.plain(for_page(note))}")
    if found.tasks:
        choices = _choose_kinds(source, found, choices)
        found = _looked(source, choices)
    if found.problem:
        st.warning(widgets.plain(for_page(found.problem)), icon=":material/help:")
    replaces = found.name_is_taken and st.toggle(
        f"Replace the data set {found.name}, which is here already", key="replace a data set"
    )
    if st.button(
        "Keep it",
        key="keep a data set",
        type="primary",
        icon=":material/save:",
        disabled=bool(found.problem) or (found.name_is_taken and not replaces),
        help="Prepares the points and labels for training, below the folder of results.",
    ):
        chosen = replace(choices, replace=bool(replaces))
        work = adding.Adding(
            f"Reading {source.name}", lambda tell: add_source(source, chosen, tell), TOO_LARGE
        )
        adding.begin(BRING, work)


def for_page(sentence: str) -> str:
    """What is said to those who type commands, for those who have the fields of this page."""
    for option, field in ON_PAGE:
        sentence = re.sub(option, field, sentence)
    return sentence


def _choose_more(source: Path) -> Choices:
    """Name, missing labels, split and families."""
    first, second, third, fourth = st.columns([3, 3, 3, 2])
    name = first.text_input(
        "Name",
        value=name_of(source),
        max_chars=LONGEST_DATA_SET_NAME,
        key=f"name of {source}",
        help="Letters, digits, hyphens, dots and underscores.",
    )
    missing = second.text_input(
        "Stands for a missing label",
        key="missing labels",
        placeholder="such as -1, 999",
        help="Values with commas between them. Empty cells and NaN are missing in any case.",
    )
    before = third.text_input(
        "Families by the name before",
        key="family before",
        placeholder="such as -",
        help="With a hyphen the tasks NR-AR and NR-ER are of the family NR: what the page Agreement"
        " holds groupings against.",
    )
    share = fourth.number_input(
        "Test share",
        min_value=0.05,
        max_value=0.5,
        value=0.2,
        step=0.05,
        key="test share",
        help="Of the points, drawn at random and stratified, where the source has no split.",
    )
    without = tuple(value.strip() for value in missing.split(",") if value.strip())
    no = None
    if "-1" not in without and st.toggle(
        "−1 means no", key="minus one means no", help="For tables with 1 for yes and −1 for no."
    ):
        no = "-1"
    said = Choices(name=name, missing=without, no=no, family_before=before, test_share=float(share))
    return _choose_of_images(said) if source.is_dir() else said


def _choose_of_images(choices: Choices) -> Choices:
    """What is asked of a folder of images only."""
    left, right = st.columns([2, 9], vertical_alignment="bottom")
    side = left.number_input(
        "Side in pixels",
        min_value=4,
        max_value=512,
        value=choices.side,
        key="side of images",
        help="Every image is resized to a square of this side, once.",
    )
    alone = right.toggle(
        "A yes or no for each class",
        key="one task per class",
        help="Where a folder holds the images of a class: a task for each class, instead of one"
        " task with all of them.",
    )
    return replace(choices, side=int(side), one_task_per_class=alone)


@st.cache_data(show_spinner="Looking at the data", max_entries=16)
def _looked_at(path: str, stamp: tuple[int, int], said: str, _choices: Choices) -> Preview:
    return look(Path(path), _choices)


def _looked(source: Path, choices: Choices) -> Preview:
    try:
        known = source.stat()
    except OSError as error:
        raise UserError(f"{source} cannot be read ({error.strerror}).") from error
    return _looked_at(str(source), (known.st_size, known.st_mtime_ns), repr(choices), choices)


def _choose_roles(source: Path, parts: Sequence[Part], choices: Choices) -> Choices:
    """What each column is taken for, to be changed in the table."""
    st.markdown("**Columns**", help="What each is taken for: change it in the second column.")
    edited = st.data_editor(
        pd.DataFrame(
            {
                "Column": [part.column for part in parts],
                "Taken for": [part.role for part in parts],
                "Why": [
                    part.why + " (looks like a task)" * (part.hint == "task") for part in parts
                ],
                "Such as": [", ".join(part.examples) for part in parts],
            }
        ),
        hide_index=True,
        disabled=["Column", "Why", "Such as"],
        key=f"roles of {source}",
        height=min(35 * len(parts) + 38, 320),
        column_config={"Taken for": st.column_config.SelectboxColumn(options=list(ROLES))},
    )
    roles = edited["Taken for"].tolist()
    if roles == [part.role for part in parts]:
        return choices

    def with_role(role: str) -> tuple[str, ...]:
        return tuple(
            part.column for part, chosen in zip(parts, roles, strict=True) if chosen == role
        )

    def single(role: str) -> str:
        return next(iter(with_role(role)), "")

    return replace(
        choices,
        tasks=with_role("task"),
        features=with_role("feature"),
        left_out=with_role("left out"),
        id=single("id"),
        text=single("text"),
        split=single("split"),
    )


def _choose_kinds(source: Path, found: Preview, choices: Choices) -> Choices:
    """The kind of each task, to be changed in the table."""
    names = [task.name for task in found.tasks]
    st.markdown("**Tasks**", help="Of the first points: change the kind in the second column.")
    edited = st.data_editor(
        pd.DataFrame([_task_row(task) for task in found.tasks]),
        hide_index=True,
        disabled=["Task", "Yes", "Missing", "Why"],
        key=f"kinds of {source} {hash(tuple(names))}",
        height=min(35 * len(names) + 38, 320),
        column_config={
            "Kind": st.column_config.SelectboxColumn(options=list(KINDS_OF_TASKS.values())),
            "Yes": st.column_config.NumberColumn(format="percent"),
            "Missing": st.column_config.NumberColumn(format="percent"),
        },
    )
    kind_of: Mapping[str, Kind] = {words: kind for kind, words in KINDS_OF_TASKS.items()}
    before = [_kind_words(task) for task in found.tasks]
    said = {
        name: kind_of[cast("str", kind)]
        for name, kind, guessed in zip(names, edited["Kind"], before, strict=True)
        if kind and kind != guessed
    }
    return replace(choices, kinds=said) if said else choices


def _task_row(task: TaskGlance) -> dict[str, object]:
    return {
        "Task": task.name,
        "Kind": _kind_words(task),
        "Yes": task.prevalence,
        "Missing": None if task.problem else task.missing,
        "Why": task.problem or task.why,
    }


def _kind_words(task: TaskGlance) -> str | None:
    return KINDS_OF_TASKS[task.task.kind] if task.task else None
