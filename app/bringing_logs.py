"""Logs that other programs left, on the Start page: looked at, asked about, and brought in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st

from app import adding, state, uploads, widgets
from stg_core.maps.formats.answers import Answers, Look, Question
from stg_core.maps.formats.bringing import bring, look, name_of
from stg_core.maps.log_begin import LONGEST_NAME
from stg_core.maps.log_folder import logs_folder
from stg_core.system.words import counted
from stg_core.tasks.groups import KINDS_OF_TASKS

BRING = "bring log"  # the key of its expander
PURPOSE = "log"  # of an upload
LARGEST_UPLOAD = 200  # MB
MOST_FILES = 1_000  # of a folder, that are looked at for changes
LONGEST_PATHS, LONGEST_NAMES = 20_000, 20_000  # characters
TOO_LARGE = (
    "There is not enough memory for this log: close other programs, or bring it where there is"
    " more, with python -m stg_core import-log PATH."
)
SAID: Mapping[str, str] = {  # what a choice is called on the page
    "whole": "One task",
    "each class": "A task for each class",
    **{str(kind): words for kind, words in KINDS_OF_TASKS.items()},
}
NAMED = ("tasks", "classes")  # what is answered with names


def bring_a_log() -> None:
    adding.bring(
        "Bring a log",
        ":material/history_edu:",
        BRING,
        "You have trained already, and logged how: training dynamics of Dataset Cartography,"
        " coordinates of data maps, tensors of STG-MTL, records of AUM, arrays (.npz), or a long"
        " table with id, task, epoch, probability and label. What a file is, is seen by what it"
        " holds; several folders are several tasks.",
        _ask,
        _keep,
    )


def _ask() -> None:
    if paths := _choose_paths():
        _preview(paths)


def _keep(run_id: str) -> None:
    uploads.forget(PURPOSE)
    state.keep("run", run_id)
    st.session_state["brought"] = run_id


def tell_what_was_brought() -> None:
    """Once, that a log is a run now."""
    if run := st.session_state.pop("brought", None):
        st.toast(
            f"{widgets.plain(state.shared().store.run(run).title)} is here, and chosen below.",
            icon=":material/check:",
        )


def _choose_paths() -> list[Path]:
    left, right = st.columns(2, gap="large")
    files = left.file_uploader(
        "The files of a log",
        key="log files",
        accept_multiple_files=True,
        max_upload_size=LARGEST_UPLOAD,
        help=f"Up to {LARGEST_UPLOAD} MB each. Larger ones, and folders, by their path.",
    )
    typed = right.text_area(
        "Or paths on this machine, one a line",
        key="log paths",
        height="content",
        max_chars=LONGEST_PATHS,
        placeholder="/home/me/run/training_dynamics",
        help="Files or folders of any size, where the app runs. Of several folders each is a task.",
    )
    if files:
        return uploads.kept(files, PURPOSE)
    return [Path(line.strip()).expanduser() for line in (typed or "").splitlines() if line.strip()]


def _preview(paths: list[Path]) -> None:
    """What would be brought, and what the log does not say of itself."""
    name = st.text_input(
        "Name of the run",
        value=name_of(paths),
        max_chars=LONGEST_NAME,
        key=f"name of log {paths[0]}",
        width=400,
    )
    answers = Answers(name=name.strip() or None)
    answers, found = _asked(paths, answers)
    st.caption(_described(found))
    for note in found.notes:
        st.caption(f":material/lightbulb: {widgets.plain(note)}")
    if found.rows:
        st.dataframe(
            pd.DataFrame([{k: str(v) for k, v in row.items()} for row in found.rows]),
            hide_index=True,
            alt=f"Table of the first {counted(len(found.rows), 'row')} of the log",
        )
    if found.problem:
        st.warning(widgets.plain(found.problem), icon=":material/help:")
    replaces = found.name_is_taken and st.toggle(
        f"Replace the log {widgets.plain(found.name)}, which is here already", key="replace a log"
    )
    if st.button(
        "Bring it",
        key="bring a log",
        type="primary",
        icon=":material/save:",
        disabled=not found.ready or (found.name_is_taken and not replaces),
        help="Reads the whole log, and makes a run of it that every page can open.",
    ):
        said = replace(answers, replace=bool(replaces))
        work = adding.Adding(
            f"Reading {paths[0].name}",
            lambda tell: bring(paths, said, progress=tell),
            TOO_LARGE,
        )
        adding.begin(BRING, work)


def _described(found: Look) -> str:
    about = "about " if found.points_are_estimated else ""
    points = "" if found.points is None else f"{about}{counted(found.points, 'point')}"
    tasks = counted(len(found.tasks), "task") if found.tasks else ""
    epochs = "" if found.epochs is None else counted(found.epochs, "epoch")
    return ", ".join(filter(None, [widgets.plain(found.format), points, tasks, epochs])) or "–"


# --------------------------------------------------------------------- what a log does not say


def _asked(paths: list[Path], answers: Answers) -> tuple[Answers, Look]:
    """Asks until nothing new is asked: one answer may lead to another question."""
    asked: set[str] = set()
    while True:
        found = _looked(paths, answers)
        new = [question for question in found.questions if question.field not in asked]
        if not new:
            return answers, found
        asked.add(new[0].field)
        answer = _answer(new[0], f"{new[0].field} of {paths[0]}")
        if answer is not None:
            answers = replace(answers, **{new[0].field: answer})


def _looked(paths: list[Path], answers: Answers) -> Look:
    """The beginning of large arrays takes seconds to read: not at every click."""
    files = [file for path in paths for file in (path, *islice(path.rglob("*"), MOST_FILES))]
    stamps = []
    for file in (*files, logs_folder()):
        with suppress(OSError):  # what is not there is said by the look
            known = file.stat()
            stamps.append((str(file), known.st_size, known.st_mtime_ns))
    return _looked_at(tuple(map(str, paths)), tuple(stamps), repr(answers), answers)


@st.cache_data(show_spinner="Looking at the log", max_entries=16)
def _looked_at(
    paths: tuple[str, ...], stamps: tuple[tuple[str, int, int], ...], said: str, _answers: Answers
) -> Look:
    return look([Path(path) for path in paths], _answers)


def _answer(question: Question, key: str) -> Any:
    """What somebody answers, or None."""
    text = widgets.plain(question.text)
    if question.field in NAMED:
        return _names(text, question.choices, key)
    if question.field == "labels":
        path = st.text_input(text, key=key, placeholder="/home/me/labels.csv", max_chars=4_000)
        return Path(path.strip()).expanduser() if path and path.strip() else None
    if question.field == "epochs":
        return st.number_input(text, min_value=1, value=None, step=1, key=key, width=300)
    return st.segmented_control(
        text,
        question.choices,
        default=question.default or None,
        format_func=lambda choice: SAID.get(choice, str(choice).capitalize()),
        key=key,
    )


def _names(text: str, choices: Sequence[str], key: str) -> tuple[str, ...] | None:
    if choices:
        chosen = st.multiselect(text, choices, key=key, help="In their order, all of them.")
        return tuple(chosen) if len(chosen) == len(choices) else None
    typed = st.text_area(text, key=key, placeholder="One a line", max_chars=LONGEST_NAMES)
    names = tuple(line.strip() for line in (typed or "").splitlines() if line.strip())
    return names or None
