"""What the groupings of every k follow from, sent to the browser once, for pictures of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
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
    with st.container(key="every_k"):
        if answer.value:
            name = " ".join(map(str, (run.id, state.version(run), space.epochs, space.features)))
            task_pictures.every_k(_message(name, answer.value))
            return name
        if answer.pending and not answer.later:

            def look() -> None:
                if not derived.every_k(run, space, usual).pending:
                    st.rerun()

            st.fragment(look, run_every=LOOK)()
    return None


@st.cache_resource(show_spinner=False, max_entries=16)
def _message(name: str, _found: Mapping[int, AtK]) -> bytes:
    at = [
        {
            "k": k,
            "labels": one.labels.tolist(),
            "colours": one.colours.tolist(),
            "inertia": one.inertia,
            "silhouette": one.silhouette,
            "separation": one.separation,
            "nothing": one.nothing,
        }
        for k, one in _found.items()
    ]
    distances = [one.distances.ravel() for one in _found.values()]
    return task_pictures.message({"of": name, "at": at}, np.concatenate(distances))
