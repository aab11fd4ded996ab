"""What the pages share: the results, the job engine, and the chosen run, which lives in the URL."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from app.parameters import Flag, Kind, read
from stg_core.affinity.asked import Tables
from stg_core.engine.derived import Derived, stability_question
from stg_core.engine.jobs import Engine
from stg_core.results.run import Run
from stg_core.results.store import Store
from stg_core.system.errors import UserError
from stg_core.system.extras import lacking_to_train
from stg_core.system.home import home

if TYPE_CHECKING:
    from stg_core.grouping.memberships import TaskSpace

ROOT = Path(__file__).resolve().parents[1]
START, DATA_MAPS, GROUPING, AGREEMENT, SPECIALISTS, METHODS, STUDY, LESSON, TRY = (
    ROOT / "pages" / f"{name}.py"
    for name in (
        "start",
        "data_maps",
        "grouping",
        "agreement",
        "specialists",
        "methods",
        "study",
        "lesson",
        "try",
    )
)
FIRST_CHOICE = "bundled:digits"
REST = 0.6  # seconds after the last move of a slider
MOVING = "choices that the URL does not say yet"
FIRST_PAGE = "where the visit began"
ATTEMPTS = 3
BELATED = 10.0  # seconds after a choice in which a browser may still send what the URL said before


class Shared:
    """What this process has one of, for all its visitors.

    store: results; engine: trainings; derived: slow results; tables: of groups of own tasks.
    """

    def __init__(self, folder: Path) -> None:
        self.store = Store(folder)
        self.engine = Engine(self.store)
        self.derived = Derived(self.store)
        self.tables = Tables(self.store, self.engine)
        self._warming: threading.Thread | None = None

    def warm_up(self) -> None:
        """Starts once, after a page is on the screen, what would delay the first one."""
        if self._warming is None:
            self._warming = threading.Thread(target=self._warm_up, daemon=True)
            self._warming.start()

    def _warm_up(self) -> None:
        import pyarrow.parquet  # noqa: F401

        import stg_core.grouping.layout  # noqa: F401

        waiting = any(job.active for job in self.engine.jobs())
        with suppress(Exception):  # the engine says itself what its problem is
            if waiting or not lacking_to_train():  # else it is said to whoever asks to train
                self.engine.start()
        self.tables.go_on()


@st.cache_resource(show_spinner=False)
def _shared(folder: Path) -> Shared:
    return Shared(folder)


def shared() -> Shared:
    return _shared(home())


def visitor() -> str:
    """Whose turn a training takes: each visitor's, of whoever shares the engine."""
    return str(st.session_state.setdefault("visitor", uuid.uuid4().hex))


def dark() -> bool:
    return st.context.theme.type == "dark"


# ------------------------------------------------------------------- what the URL remembers
#
# A widget of Streamlit's keeps its value in the URL by itself (bind="query-params"). These do it
# for all else. The session holds what was chosen; the URL is read when a whole page runs, since a
# link or a move to another page may have changed it, and written when a choice is made.


def went_back() -> bool:
    """Whether the visitor came to this address by Back or Forward: it says all that was chosen."""
    context = get_script_run_ctx()
    return context is not None and context.is_history_navigation


def read_url() -> None:
    """At the start of a whole run: what a link says counts more than what was chosen last."""
    say_url()
    if went_back():
        for name in [name for name in st.session_state if str(name).startswith("kept ")]:
            del st.session_state[name]
    stays = _stays_on_its_page()
    for name in list(st.query_params):
        linked = st.query_params[name]
        # a browser that asked for a run before it heard of the choice sends its old address
        said, when = st.session_state.get(f"replaced {name}", (None, -BELATED))
        if stays and linked == said and time.monotonic() - when < BELATED:
            _say(name, kept(name))
        else:
            st.session_state[f"kept {name}"] = linked


def _stays_on_its_page() -> bool:
    """Whether this visitor has neither gone to another page since the last whole run, nor back."""
    context = get_script_run_ctx()
    page = None if context is None else context.page_script_hash
    # the first run of a visit has another hash than all later ones of the same page
    stayed = st.session_state.get("page") in (FIRST_PAGE, page) and not went_back()
    st.session_state["page"] = page if "page" in st.session_state else FIRST_PAGE
    return stayed


def kept(name: str, kind: Kind | None = None) -> str | None:
    """What this visitor last chose, or followed a link to; read as its kind where one is given."""
    chosen: str | None = st.session_state.get(f"kept {name}")
    if kind is None or chosen is None:
        return chosen
    linked = st.query_params.get_all(name)
    values = read(name, linked if linked[-1:] == [chosen] else [chosen], kind)
    return values[-1] if values else None


def keep(name: str, value: str | None, default: str | None = None) -> None:
    """Remembers a choice, for this visitor and in the URL, where a default is left out."""
    st.session_state[f"kept {name}"] = value
    if name not in st.session_state.get(MOVING, ()):
        _say(name, None if value == default else value)


def keep_moving(name: str, value: str | None) -> None:
    """Remembers a choice for this visitor, and for the URL once it rests (see `address_bar`).

    A browser that is told another address draws the whole page anew, and the pictures wait for it.
    """
    st.session_state[f"kept {name}"] = value
    st.session_state.setdefault(MOVING, set()).add(name)


def say_url() -> None:
    """Tells the URL what was moved."""
    for name in st.session_state.pop(MOVING, ()):
        _say(name, kept(name))


def _say(name: str, value: str | None) -> None:
    said = st.query_params.get(name)
    if said == value:
        return
    st.session_state[f"replaced {name}"] = said, time.monotonic()
    if value is None:
        del st.query_params[name]
    else:
        st.query_params[name] = value


def presenting() -> bool:
    """Whether the lesson is shown to a class: larger, and without the sidebar."""
    return kept("present", Flag(yes="1", no="0")) == "1"


def first_run(runs: list[Run]) -> Run:
    """The run that the pages open on while none is chosen."""
    return next((run for run in runs if run.id == FIRST_CHOICE), runs[0])


def chosen_run(runs: list[Run]) -> Run:
    """The run that the URL names, else the last chosen one, else the first choice.

    Raises UserError where the link names a run that is not on this machine or has no data maps.
    """
    wanted = kept("run")
    if wanted:
        run = shared().store.run(wanted)
        run.require_data_maps()
        if run.live:
            run = _as_it_is(run)
    else:
        run = first_run(runs)
    keep("run", run.id)
    return run


def _as_it_is(run: Run) -> Run:
    """A live run with its summary; it may thin its epochs between the two."""
    for _ in range(ATTEMPTS):
        with suppress(UserError):
            run.summary  # noqa: B018
            break
        run = shared().store.run(run.id)
    return run


# ----------------------------------------------------------------------------- computed once


def when_at_rest(work: Callable[..., object], *arguments: object) -> None:
    """Does it in the background once this visitor's pages rest: it would slow down a moving slider.

    Only what was asked for last is done.
    """
    if waiting := st.session_state.get("when_at_rest"):
        waiting.cancel()
    waiting = threading.Timer(REST, work, arguments)
    waiting.daemon = True
    waiting.start()
    st.session_state["when_at_rest"] = waiting


def task_space(run: Run, epochs: tuple[int, ...], features: tuple[str, ...]) -> TaskSpace:
    """The tasks of a run as points, with whatever was computed of them before."""
    return _task_space(str(run.folder), version(run), epochs, features, run)


def version(run: Run) -> str:
    """Another one once a run that goes on has gone on."""
    return str(run.provenance.get("created", ""))


@st.cache_resource(show_spinner="Reading the data maps", max_entries=32)
def _task_space(
    folder: str, version: str, epochs: tuple[int, ...], features: tuple[str, ...], _run: Run
) -> TaskSpace:
    # scikit-learn takes a second to import; the Start page does without it
    from stg_core.grouping.memberships import TaskSpace

    space = TaskSpace(_run.summary, epochs, features)
    knows_every_k(space, _run, shared().derived)
    return space


def knows_every_k(space: TaskSpace, run: Run, derived: Derived) -> bool:
    """Whether k-means is known for every k: it is found on the way to stability, once computed."""
    stability = derived.get(stability_question(run, space)).value
    if stability:
        space.remember({max(labels) + 1: labels for labels in stability["labels"]})
    return bool(stability)
