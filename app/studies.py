"""Studies as pages read them, and what they say to do by default."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import streamlit as st

from app import state
from app.words import plain
from stg_core.judging.study_table import PARQUET, Row, bundled_studies, kept_studies, read_rows
from stg_core.results.run import Run
from stg_core.system.errors import UserError

DEFAULT = "default"  # the study that the recommendation follows


def studies() -> dict[str, Path]:
    """Folders by name; of a name that came with the project and was run here, one's own."""
    return {**bundled_studies(), **kept_studies(state.shared().store)}


def rows_of(folder: Path) -> list[Row]:
    """The rows of a study, read again once its table is another."""
    return _rows(str(folder), (folder / PARQUET).stat().st_mtime_ns)


@st.cache_resource(show_spinner="Reading the study", max_entries=4)
def _rows(folder: str, stamp: int) -> list[Row]:
    return read_rows(Path(folder))


def say_default(run: Run) -> None:
    """What the bundled study says to do by default with the tasks of a run, and a link to it."""
    from stg_core.judging.findings import recommendation

    if (folder := bundled_studies().get(DEFAULT)) is None:
        return
    with suppress(UserError):  # the page Study says what is wrong with it
        told = recommendation(rows_of(folder), len(run.spec.tasks), int(run.summary.n_points))
        if told:
            st.caption(plain(told))
            st.page_link(state.STUDY, label="Where does grouping pay?", icon=":material/grid_on:")
