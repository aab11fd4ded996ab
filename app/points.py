"""Training points of a data set of one's own as a table, and those of any run as CSV."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import streamlit as st
from numpy.typing import NDArray

from app.images import points_of
from app.logged_points import NOT_SAID, LoggedPoints
from app.tables import as_csv
from app.words import answer_of
from stg_core.maps.summary import TaskMap
from stg_core.results.logged import LoggedRun
from stg_core.results.run import Run
from stg_core.system.errors import UserError
from stg_core.tasks.datasets import DataSet, data_set_of
from stg_core.tasks.groups import Split, Task

STANDING_OUT = 3  # features of a row that are named
MISSING = " is missing"  # ends the name of the feature that says so
TWO_DECIMALS = {
    name: st.column_config.NumberColumn(format="%.2f") for name in ("confidence", "variability")
}


class Rows:
    """The training points of a run on a data set of one's own, in the order of its data maps.

    Or its test points. Raises UserError where the data are not on this machine, or are others.
    """

    def __init__(self, run: Run, split: Split = "train") -> None:
        self.own: DataSet = data_set_of(run.spec.group)
        self.split = split
        self.values, self.labels = self.own.split(split)
        self.points = points_of(run, len(self.values), split)

    def rows(self, indices: NDArray[np.integer]) -> NDArray[np.float32]:
        """Some of them as they are kept, standardised, (n, F)."""
        return np.asarray(self.values[self.points[indices]])

    def called(self, index: int) -> str:
        """What its owner calls a point: its text, or else its id."""
        about = self.about(np.array([index]))[0]
        return about.get("text") or about["id"]

    def about(self, indices: NDArray[np.integer]) -> list[dict[str, str]]:
        """Id and, if it has one, text of some points."""
        return self.own.about(self.points[indices].tolist(), self.split)

    def answers(self, task: Task, indices: NDArray[np.integer]) -> list[str]:
        """Their labels as the source had them."""
        column = self.own.group.task_names.index(task.name)
        known = np.asarray(self.labels[self.points[indices], column])
        return [answer_of(task, value) for value in known.tolist()]

    def standing_out(self, index: int) -> str:
        """The features of a row that differ most from the mean, in standard deviations."""
        row = np.asarray(self.values[self.points[index]], dtype=np.float64)
        most = np.argsort(-np.abs(row), kind="stable")[:STANDING_OUT]
        return ", ".join(
            name if (name := self.own.features[j]).endswith(MISSING) else f"{name} {row[j]:+.1f}"
            for j in most.tolist()
            if row[j]
        )


def known_points(run: Run) -> Rows | LoggedPoints | None:
    """What its owner says of the points of a run; None for those of the built-in data sets."""
    if isinstance(run, LoggedRun):
        return LoggedPoints(run)
    return Rows(run) if run.spec.group.is_own else None


def show_logged(
    run: Run,
    known: LoggedPoints | None,
    task: str,
    found: TaskMap,
    positions: NDArray[np.int64],
) -> None:
    """A table of points of a logged run, with what was said of them; None of an imported one."""
    frame = region_frame(run, task, found, positions, known)
    said = known.rows(found.indices[positions]) if known else pd.DataFrame(index=frame.index)
    said.columns = [f"{name} (logged)" if name in frame else name for name in said.columns]
    measured = frame[["index", "label", "confidence", "variability"]].set_index(said.index)
    st.dataframe(
        pd.concat([measured[["index"]], said, measured.drop(columns="index")], axis=1),
        hide_index=True,
        height=330,
        placeholder="–",
        alt=f"Table of {len(frame)} training points: index, label, confidence and variability",
        column_config=TWO_DECIMALS,
    )
    if known is None:
        st.caption("What a point is stayed where this run was logged.")
    elif not known.kind:
        st.caption(NOT_SAID)


def show_rows(
    run: Run, rows: Rows, task: str, found: TaskMap, positions: NDArray[np.int64]
) -> None:
    """A table of points of a data map: id, text, label, and what stands out of their features."""
    frame = region_frame(run, task, found, positions, rows)
    has_text = "text" in frame
    frame["stands out"] = [rows.standing_out(int(i)) for i in found.indices[positions]]
    order = ["id", *(["text"] if has_text else []), "label", "confidence", "variability"]
    st.dataframe(
        frame[[*order, "stands out", "index"]],
        hide_index=True,
        height=330,
        placeholder="–",
        alt=f"Table of {len(frame)} training points: id, label, confidence and variability",
        column_config={
            **TWO_DECIMALS,
            "stands out": st.column_config.TextColumn(
                help="The features that differ most from the mean, in standard deviations."
            ),
        },
    )


def region_frame(
    run: Run,
    task: str,
    found: TaskMap,
    positions: NDArray[np.int64],
    rows: Rows | LoggedPoints | None,
) -> pd.DataFrame:
    """index, id, confidence, variability and label of points of a data map, and their text."""
    asked = run.spec.group.task(task)
    indices = found.indices[positions]
    columns: dict[str, Any] = {"index": indices, "id": indices.astype(str)}
    labels = ["yes" if yes else "no" for yes in found.positive[positions]]
    if asked.kind != "binary":
        labels = ["–"] * len(indices)
    if isinstance(rows, LoggedPoints):
        labels = rows.answers(asked, indices)
        if rows.kind == "images":
            columns["id"] = [rows.file(int(i)) for i in indices]
    elif rows is not None:
        about = rows.about(indices)
        columns["id"] = [one["id"] for one in about]
        labels = rows.answers(asked, indices)
        if about and "text" in about[0]:
            columns["text"] = [one["text"] for one in about]
    columns |= {
        "confidence": found.confidence[positions].round(4),
        "variability": found.variability[positions].round(4),
        "label": labels,
    }
    return pd.DataFrame(columns)


def download(run: Run, task: str, found: TaskMap, inside: NDArray[np.int64]) -> None:
    """A button that gives the points of a region as CSV."""

    def content() -> bytes:
        try:
            rows = known_points(run)
        except UserError:  # the data set is not here: indices and labels are known without it
            rows = None
        frame = region_frame(run, task, found, inside, rows)
        return as_csv(frame[["index", "id", "confidence", "variability", "label"]])

    st.download_button(
        "CSV",
        data=content,
        file_name="points.csv",
        mime="text/csv",
        key="region csv",
        on_click="ignore",
        icon=":material/download:",
        disabled=not len(inside),
        help="Index, id, confidence, variability and label of the sampled points in the rectangle.",
    )
