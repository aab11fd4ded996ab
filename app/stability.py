"""How stable the chosen number of clusters is, said beside its slider."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import streamlit as st

from app import state
from app.live import LATER
from stg_core.engine.derived import stability_question
from stg_core.results.run import Run

if TYPE_CHECKING:
    from stg_core.grouping.memberships import TaskSpace

LOOK = 2.0  # seconds between two looks at a stability that is being computed
ABOUT = (
    "Tasks are grouped anew on resampled training points, by k-means, and these groupings are"
    " compared: the mean adjusted Rand index of two of them is 0 for chance and 1 where they are"
    " always the same. Below 0.65 other points would have made other clusters."
)


def say_stability(run: Run, space: TaskSpace, k: int, method: str = "soft") -> None:
    """A line about k: what is known of its stability, or that it is being computed.

    Nothing where stability is not defined ("points", every task alone) or could not be computed.
    Asking costs microseconds, so that the slider waits for nothing.
    """
    n_tasks, derived = len(space.tasks), state.shared().derived
    question = stability_question(run, space)
    if method == "points" or k >= n_tasks:
        return
    answer = derived.get(question)
    if answer.value:
        if text := stability_text(answer.value["mean"], k, n_tasks):
            st.caption(text, help=ABOUT)
    elif answer.later:
        st.caption(f"Stability of this k: {LATER}.", help=ABOUT)
    elif answer.pending:

        def look() -> None:
            if not derived.get(question).pending:
                st.rerun()
            st.caption("Stability of this k: being computed.", help=ABOUT)

        st.fragment(look, run_every=LOOK)()


def stability_text(mean: Sequence[float], k: int, n_tasks: int) -> str:
    """mean: stability of k = 2, 3, … as far as it is known; empty where that of k is not."""
    from stg_core.grouping.choosing import EXCELLENT, MODERATE, candidates

    if k - 2 >= len(mean):
        return ""
    here = mean[k - 2]
    known = [other for other in candidates(n_tasks) if other - 2 < len(mean)]
    best = max(known, key=lambda other: mean[other - 2])
    clusters = "nearly the same" if here >= EXCELLENT else "similar"
    if here < MODERATE:
        clusters = "rather different"
    told = f"**Stability {here:.3f}**: other points would give {clusters} clusters."
    if mean[best - 2] > here:
        return f"{told} Most stable up to k = {known[-1]}: k = {best} ({mean[best - 2]:.3f})."
    return f"{told} No k up to {known[-1]} is more stable." if k in known else told
