"""The reference of a run: the built-in one, or labels that the visitor types, uploads or links to.

Labels of one's own are a CSV text, task,label. The session keeps it as it was typed; the URL keeps
its labels in a compact form, so that a link shows the same.
"""

from __future__ import annotations

import csv
import io
import string
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

import streamlit as st

from app import state, widgets
from app.parameters import Flag, Reading, in_url
from stg_core.maps.labels import has_labels
from stg_core.results.run import Run
from stg_core.system.errors import UserError
from stg_core.system.words import named

if TYPE_CHECKING:
    from stg_core.grouping.agreement import Reference

LARGEST_UPLOAD = 1  # MB
LONGEST = 1_500  # characters in the URL: a few programs cut a link after 2,000
PLACES, NO_LABEL, BETWEEN = string.digits + string.ascii_letters, "-", "~"


def choose_reference(run: Run) -> Reference | None:
    """What to hold a grouping against, for use within a fragment; None while there is nothing.

    A run without a built-in reference shows the editor at once. Raises UserError where the labels
    are no reference.
    """
    from stg_core.grouping.agreement import built_in_reference

    tasks = tuple(run.summary.tasks[has_labels(run.summary)].tolist())
    built_in = built_in_reference(run.spec.group, tasks)
    if built_in is None or st.toggle(
        "Labels of my own",
        **in_url("own_labels", Flag()),
        help=f"Type or upload labels of the tasks, instead of {built_in.name}.",
    ):
        return _own_reference(run, tasks)
    return built_in


@dataclass(frozen=True)
class Labels:
    """Kind of parameter: labels of these tasks, as `packed` writes them."""

    tasks: tuple[str, ...]

    def read(self, values: Sequence[str]) -> Reading:
        if unpacked(values[-1], self.tasks):
            return Reading([values[-1]])
        return Reading(None, f"{named(values[-1])} are no labels of these tasks: none are shown")


def _own_reference(run: Run, tasks: tuple[str, ...]) -> Reference | None:
    from stg_core.grouping.agreement import read_reference

    linked = unpacked(state.kept("labels", Labels(tasks)) or "", tasks)
    template = as_csv(tasks, [None] * len(tasks))
    text = _editor(run, tasks, as_csv(tasks, linked) if linked else template)
    if text.strip() == template.strip():
        state.keep("labels", None)
        st.info("Give the tasks labels, and the grouping is held against them here.")
        return None
    reference = read_reference(text, tasks)
    link = packed(tasks, reference.labels)
    state.keep("labels", link)
    if link is None:
        st.caption("These labels are too long for a link; whoever opens it has to upload them.")
    return reference


def _editor(run: Run, tasks: tuple[str, ...], first: str) -> str:
    """The text of the labels; it begins with `first`."""
    typed, uploaded, problem = (f"{what} of {run.id}" for what in ("labels", "upload", "problem"))
    if typed not in st.session_state:
        st.session_state[typed] = first
    with st.expander("Labels of the tasks", expanded=True, icon=":material/edit:"):
        left, right = st.columns(2, gap="large")
        text = left.text_area(
            "One line for each task: task,label",
            key=typed,
            height=260,
            persist_state="session",
            on_change=st.session_state.pop,
            args=(problem, None),
            help="Write the label behind the comma: any word; tasks that belong together have the"
            " same. A task without a label is left out. Ctrl+Enter applies.",
        )
        file = right.file_uploader(
            "Or upload them (CSV: task, label)",
            ["csv", "tsv", "txt"],
            key=uploaded,
            max_upload_size=LARGEST_UPLOAD,
            on_change=_take_upload,
            args=(tasks, typed, uploaded, problem),
            help="Columns task and label, separated by commas, semicolons or tabs, in UTF-8. They"
            " replace what stands in the text.",
        )
        if file and problem in st.session_state:
            right.error(widgets.plain(st.session_state[problem]), icon=":material/error:")
    return text or ""


def _take_upload(tasks: tuple[str, ...], typed: str, uploaded: str, problem: str) -> None:
    """Puts an uploaded reference into the text; one that is wrong changes nothing there."""
    from stg_core.grouping.agreement import read_reference

    st.session_state.pop(problem, None)
    if file := st.session_state[uploaded]:
        try:
            labels = read_reference(file.getvalue(), tasks).labels
            st.session_state[typed] = as_csv(tasks, labels)
        except UserError as error:
            st.session_state[problem] = f"{file.name}: {error}"


# --------------------------------------------------------------------------------------- formats


def as_csv(tasks: Sequence[str], labels: Sequence[str | None]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(
        [("task", "label"), *zip(tasks, labels, strict=True)]
    )
    return text.getvalue()


def packed(tasks: Sequence[str], labels: Sequence[str | None]) -> str | None:
    """Labels for the URL: a check of the tasks, a character per task, and the different labels.

    None where there are too many of them, or they are too long.
    """
    names = sorted({label for label in labels if label is not None})
    if len(names) > len(PLACES):
        return None
    places = "".join(NO_LABEL if label is None else PLACES[names.index(label)] for label in labels)
    text = ".".join([_check(tasks), places, BETWEEN.join(map(_quoted, names))])
    return text if len(text) <= LONGEST else None


def unpacked(text: str, tasks: Sequence[str]) -> tuple[str | None, ...] | None:
    """The labels of `packed`; None where the text is of other tasks, or is no such text."""
    try:
        check, places, joined = text.split(".", 2)
        names = [unquote(name) for name in joined.split(BETWEEN)]
        labels = tuple(None if p == NO_LABEL else names[PLACES.index(p)] for p in places)
    except (ValueError, IndexError):
        return None
    return labels if check == _check(tasks) and len(labels) == len(tasks) else None


def _quoted(name: str) -> str:
    return quote(name).replace(BETWEEN, f"%{ord(BETWEEN):X}")


def _check(tasks: Sequence[str]) -> str:
    return f"{zlib.crc32(chr(0).join(tasks).encode()):08x}"[:4]
