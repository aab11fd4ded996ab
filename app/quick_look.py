"""A quick look at a task group: one click trains it, and one more the whole."""

from __future__ import annotations

import streamlit as st

from app import state
from app.words import plain
from stg_core.results.run import Run
from stg_core.tasks.groups import TaskGroup
from stg_core.training.quick_look import (
    EPOCHS,
    IMAGES,
    MODEL,
    is_quick_look,
    nearness,
    quick_look,
    whole,
)
from stg_core.training.spec import TrainingSpec

WHAT = f"{IMAGES:,} of the images, always the same ones, {MODEL}, {EPOCHS} epochs"


def offer_quick_look(group: TaskGroup, seed: int) -> None:
    """A button that trains it, where the whole training is not as quick."""
    spec = quick_look(group, seed)
    if spec is None:
        return
    here = state.shared().store.holds(spec.key)
    if st.button(
        "Quick look",
        key="quick look",
        icon=":material/bolt:",
        width="stretch",
        disabled=here,
        help=f"{WHAT}: a first idea, before the whole training. {plain(nearness(group))}"
        + (" It is among the runs below already." if here else ""),
    ):
        state.shared().engine.submit(spec)
        st.rerun()


def say_quick_look(run: Run) -> None:
    """What a run is that was a quick look, how far to trust it, and a button for the whole."""
    if not (run.ended and is_quick_look(run.spec)):
        return
    text, button = st.columns([5, 1], vertical_alignment="center")
    text.caption(f"**Quick look**: {WHAT}. {plain(nearness(run.spec.group))}")
    with button:
        train_in_full(run.spec)


def train_in_full(spec: TrainingSpec) -> None:
    """A button that asks for the whole training of what was looked at."""
    full = whole(spec)
    shared = state.shared()
    job = shared.engine.job(full.key)
    if shared.store.holds(full.key):
        st.page_link(
            state.GROUPING,
            label="See it in full",
            icon=":material/workspaces:",
            query_params={"run": full.key},
        )
    elif st.button(
        "Train in full",
        key=f"in full {spec.key}",
        icon=":material/model_training:",
        disabled=job is not None and job.active,
        help=f"{plain(full.title)}: it appears on Start.",
    ):
        shared.engine.submit(full)
        st.rerun()
