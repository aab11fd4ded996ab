"""What the groupings of every k follow from, sent to the browser once, for pictures of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import streamlit as st

from app import state, task_pictures
from stg_core.engine.derived import BEFOREHAND
from stg_core.results.run import Run

if TYPE_CHECKING:
    from stg_core.grouping.every_k import AtK
    from stg_core.grouping.memberships import TaskSpace

LOOK = 0.5  # seconds between two looks at what is being computed


def send_every_k(run: Run, space: TaskSpace, usual: TaskSpace, method: str) -> str | None:
    """The name by which pictures find it in the browser.

    None while it is being computed, and for methods whose every move of a slider asks Python.
    """
    if method not in BEFOREHAND:
        return None
    derived = state.shared().derived
    answer = derived.every_k(run, space, usual)
    if answer.value:
        name = " ".join(map(str, (run.id, state.version(run), space.epochs, space.features)))
        task_pictures.send(_message(name, answer.value), "every_k")
        return name
    if answer.pending and not answer.later:

        def look() -> None:
            if not derived.every_k(run, space, usual).pending:
                st.rerun()

        with st.container(key="sent_later"):
            st.fragment(look, run_every=LOOK)()
    return None


@st.cache_resource(show_spinner=False, max_entries=16)
def _message(name: str, _found: Mapping[int, AtK]) -> bytes:
    return task_pictures.all_of(
        name, ((k, _header(one), one.distances) for k, one in _found.items())
    )


def _header(at: AtK) -> dict[str, object]:
    return {
        "labels": at.labels.tolist(),
        "colours": at.colours.tolist(),
        "inertia": at.inertia,
        "silhouette": at.silhouette,
        "separation": at.separation,
        "nothing": at.nothing,
    }
