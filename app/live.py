"""Runs that go on while a page shows them: how far they are, and pages that move on with them."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor, wait
from datetime import UTC, datetime

import streamlit as st

from app import state
from app.words import plain
from stg_core.results.logged import LoggedRun
from stg_core.results.run import Run
from stg_core.results.training_run import TrainingRun
from stg_core.system.errors import UserError
from stg_core.system.words import counted

LOOK = 2.0  # seconds between two looks at a run that goes on
BRIEFLY = 0.3  # seconds that a page waits for a summary; that of a large log takes some
SELDOM = 5.0  # seconds between two looks at which runs there are
LATER = "once the run has ended"  # slow results of a run that goes on

_worker = ThreadPoolExecutor(1, thread_name_prefix="summaries")


def follow(run: Run) -> None:
    """Says how far a run is that has not ended, and draws the page anew whenever it has gone on.

    Of one that was read from another program's log, what it cannot have.
    """
    if run.ended:
        say_where_from(run)
        return

    def look() -> None:
        if run.outdated and is_summarised(run.id):
            st.rerun()
        say_how_far(run)

    st.fragment(look, run_every=LOOK)()


def is_summarised(run_id: str) -> bool:
    """Whether a page need not wait for the summary of a run as it is now; else it is begun."""
    try:
        run = state.shared().store.run(run_id)
    except UserError:  # the page says so
        return True
    summing = _summing(run_id, str(run.provenance["created"]), run)
    return bool(wait([summing], BRIEFLY).done)


@st.cache_resource(show_spinner=False, max_entries=16)
def _summing(run_id: str, version: str, _run: Run) -> Future[object]:
    return _worker.submit(lambda: _run.summary)


def say_how_far(run: Run) -> None:
    """Also what is wrong with it, and what was guessed or noticed."""
    if run.live:
        st.badge(f"{run.how_far.capitalize()}, still {run.going_on}", icon=":material/sensors:")
    elif isinstance(run, TrainingRun):
        st.info(f"{run.how_far.capitalize()}; nobody trains it now.", icon=":material/sensors_off:")
    if not isinstance(run, LoggedRun):
        return
    if not run.live:
        st.info(f"{ago(run).capitalize()}; nobody is logging.", icon=":material/sensors_off:")
    elif dead := run.dead_ranks:
        named = f"rank {dead[0]}" if len(dead) == 1 else f"ranks {', '.join(map(str, dead))}"
        st.warning(
            f"Of {counted(run.head.ranks, 'process', 'processes')}, {named} no longer"
            f" {'logs' if len(dead) == 1 else 'log'}: an epoch is finished once all have logged"
            " their part of it.",
            icon=":material/warning:",
        )
    for note in run.progress.notes:
        st.caption(plain(note))


def say_where_from(run: Run) -> None:
    """Which log of another program a run was read from, and what was noticed in it."""
    if not isinstance(run, LoggedRun) or not (origin := run.head.origin):
        return
    with st.expander(f"Read from {plain(origin['format'])}", icon=":material/input:"):
        st.caption(plain(f"From {', '.join(origin['paths'])}, {counted(origin['files'], 'file')}."))
        for note in run.progress.notes:
            st.caption(plain(note))


def ago(run: LoggedRun) -> str:
    """Such as "the last epoch was 12 minutes ago"."""
    written = datetime.fromisoformat(run.progress.updated or run.head.created)
    minutes = int((datetime.now(UTC) - written).total_seconds() // 60)
    for unit, size in (("day", 24 * 60), ("hour", 60), ("minute", 1)):
        if minutes >= size:
            return f"the last epoch was {counted(minutes // size, unit)} ago"
    return "the last epoch was just now"
