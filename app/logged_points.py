"""Training points of a logged run: rows of a table, images of a folder, or their numbers alone."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import streamlit as st
from numpy.typing import NDArray
from PIL import Image

from app.images import enlarged
from app.words import answer_of
from stg_core.maps.log_points import TABLE, image_of_point, points_table
from stg_core.results.logged import LoggedRun
from stg_core.system.errors import UserError
from stg_core.tasks.groups import Task

LARGEST = 192  # pixels: photographs are shown smaller
MOST_COLUMNS = 8
NOT_SAID = (
    "What a point is was not logged: log.points(table) or log.points(folder), with a row or an"
    " image for each point, shows it here and where a point is pointed at."
)


class LoggedPoints:
    """The training points of a log, in the order of its data maps."""

    def __init__(self, run: LoggedRun) -> None:
        self._run, self._what = run, run.head.points

    @property
    def kind(self) -> str:
        """ "table", "images", or "" where nobody said what a point is."""
        return str(self._what.get("kind", ""))

    def __len__(self) -> int:
        return self._run.head.n_points

    @cached_property
    def labels(self) -> NDArray[np.float32]:
        """As they were logged, (N, T), memory-mapped."""
        return self._run.log.array("labels")

    @property
    def table(self) -> pd.DataFrame:
        """A row for each point."""
        return _table(self._run.folder, (self._run.folder / TABLE).stat().st_mtime_ns)

    def file(self, index: int) -> str:
        """Of the image of a point, within its folder."""
        path = image_of_point(self._run.folder, self._what, index)
        return str(path.relative_to(self._what["folder"]))

    def image(self, index: int) -> NDArray[np.uint8]:
        """One image, (H, W, 3); raises UserError where it cannot be read."""
        path = image_of_point(self._run.folder, self._what, index)
        try:
            with Image.open(path) as found:
                small = found.convert("RGB")
                small.thumbnail((LARGEST, LARGEST))
                return np.array(small)
        except (OSError, ValueError, Image.DecompressionBombError) as error:
            raise UserError(
                f"The image {path.name} cannot be read ({error}): is it still in {path.parent}?"
            ) from error

    def enlarged(self, index: int) -> NDArray[np.uint8]:
        """The same for the screen, as RGBA."""
        return enlarged(self.image(index))

    def name(self, index: int) -> str:
        """What people call a point: its file, or what its row says."""
        if self.kind == "images":
            return self.file(index)
        row = self.table.iloc[index]
        texts = [str(value) for value in row if isinstance(value, str) and value]
        return texts[0] if texts else ", ".join(f"{name} {value}" for name, value in row.items())

    called = name

    def answers(self, task: Task, indices: NDArray[np.integer]) -> list[str]:
        """Their labels."""
        column = [task.name for task in self._run.head.tasks].index(task.name)
        return [answer_of(task, value) for value in self.labels[indices, column].tolist()]

    def rows(self, indices: NDArray[np.integer]) -> pd.DataFrame:
        """What is known of some points, in their order; without a column where nothing is."""
        if self.kind == "table":
            return self.table.iloc[indices, :MOST_COLUMNS].reset_index(drop=True)
        if self.kind == "images":
            return pd.DataFrame({"file": [self.file(int(i)) for i in indices]})
        return pd.DataFrame(index=range(len(indices)))


@st.cache_resource(show_spinner=False, max_entries=4)
def _table(folder: Path, stamp: int) -> pd.DataFrame:
    return points_table(folder)
