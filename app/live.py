"""Runs that go on while a page shows them: how far they are, and pages that move on with them."""

from __future__ import annotations

from datetime import UTC, datetime

import streamlit as st

from app.words import plain
from stg_core.results.logged import LoggedRun
from stg_core.results.run import Run
from stg_core.system.words import counted

LOOK = 2.0  # seconds between two looks at a run that goes on
SELDOM = 5.0  # seconds between two looks at which runs there are
LATER = "once the run has ended"  # slow results of a run that goes on


def follow(run: Run) -> None:
    """Says how far a run is that has not ended, and draws the page anew whenever it has gone on."""
    if run.ended:
        return

    def look() -> None:
        if run.outdated:
            st.rerun()
        say_how_far(run)

    st.fragment(look, run_every=LOOK)()


def say_how_far(run: Run) -> None:
    """Also what is wrong with it, and what was guessed or noticed."""
    if run.live:
        st.badge(f"{run.how_far.capitalize()}, still logging", icon=":material/sensors:")
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


def ago(run: LoggedRun) -> str:
    """Such as "the last epoch was 12 minutes ago"."""
    written = datetime.fromisoformat(run.progress.updated or run.head.created)
    minutes = int((datetime.now(UTC) - written).total_seconds() // 60)
    for unit, size in (("day", 24 * 60), ("hour", 60), ("minute", 1)):
        if minutes >= size:
            return f"the last epoch was {counted(minutes // size, unit)} ago"
    return "the last epoch was just now"
