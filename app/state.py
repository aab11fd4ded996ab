"""What the pages share: the results, the job engine, and the chosen run, which lives in the URL."""

from __future__ import annotations

import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from stg_core.home import home
from stg_core.jobs import Engine
from stg_core.store import Run, Store

if TYPE_CHECKING:
    from stg_core.grouping import TaskSpace

ROOT = Path(__file__).resolve().parents[1]
START, DATA_MAPS, GROUPING = (
    ROOT / "pages" / f"{name}.py" for name in ("start", "data_maps", "grouping")
)
FIRST_CHOICE = "bundled:g2"


class Shared:
    """The one store and job engine of this process, for all its visitors."""

    def __init__(self, folder: Path) -> None:
        self.store = Store(folder)
        self.engine = Engine(self.store)
        self._warming: threading.Thread | None = None

    def warm_up(self) -> None:
        """Starts once, after a page is on the screen, what would delay the first one."""
        if self._warming is None:
            self._warming = threading.Thread(target=self._warm_up, daemon=True)
            self._warming.start()

    def _warm_up(self) -> None:
        import stg_core.grouping  # noqa: F401

        with suppress(Exception):  # the engine says itself what its problem is
            self.engine.start()


@st.cache_resource(show_spinner=False)
def _shared(folder: Path) -> Shared:
    return Shared(folder)


def shared() -> Shared:
    return _shared(home())


def dark() -> bool:
    return st.context.theme.type == "dark"


# ------------------------------------------------------------------------------- the chosen run


def chosen_run(runs: list[Run]) -> Run:
    """The run that the URL names, else the last chosen one, else the first choice.

    Keeps it in the URL, from which a move to another page removes it. Raises UserError where the
    link names a run that is not on this machine.
    """
    wanted = st.query_params.get("run") or st.session_state.get("chosen_run")
    if wanted:
        run = shared().store.run(wanted)
    else:
        run = next((run for run in runs if run.id == FIRST_CHOICE), runs[0])
    choose_run(run.id)
    return run


def choose_run(run_id: str) -> None:
    st.session_state["chosen_run"] = run_id
    if st.query_params.get("run") != run_id:
        st.query_params["run"] = run_id


# ----------------------------------------------------------------------------- computed once


def task_space(run: Run, epochs: tuple[int, ...], features: tuple[str, ...]) -> TaskSpace:
    """The tasks of a run as points, with whatever was computed of them before."""
    version = str(run.provenance.get("created", ""))
    return _task_space(str(run.folder), version, epochs, features, run)


@st.cache_resource(show_spinner="Reading the data maps", max_entries=32)
def _task_space(
    folder: str, version: str, epochs: tuple[int, ...], features: tuple[str, ...], _run: Run
) -> TaskSpace:
    # scikit-learn takes a second to import; the Start page does without it
    from stg_core.grouping import TaskSpace

    return TaskSpace(_run.summary, epochs, features)
