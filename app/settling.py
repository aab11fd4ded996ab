"""How settled the grouping of a run that goes on is, said beside it, and the offer to end it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from app import state
from stg_core.results.growing import GrowingRun
from stg_core.results.run import Run
from stg_core.results.training_run import TrainingRun
from stg_core.system.errors import UserError
from stg_core.system.words import counted

if TYPE_CHECKING:
    from stg_core.grouping.memberships import Grouping, TaskSpace

ABOUT = (
    "The same grouping, of what the run had an epoch earlier, beside that of now. Adjusted Rand"
    " index: 1 where the same tasks are together, 0 as by chance. A membership is a share from 0"
    " to 1; the mean is over all tasks and clusters. Not moved: the same clusters, and memberships"
    " within 0.01 in the mean."
)
KEPT = 64  # spaces of earlier epochs


def say_settled(
    run: Run, grouping: Grouping, epochs: tuple[int, ...], features: tuple[str, ...]
) -> None:
    """A line about what the last epoch changed; nothing of a run that has ended.

    Nothing either where the visitor chose among the recorded epochs: those do not change.
    """
    if run.ended or not isinstance(run, GrowingRun) or epochs != run.spec.recorded:
        return
    try:
        earlier = [_earlier(run, e, features, grouping) for e in run.last_epochs[:-1]]
    except UserError:  # it has just gone on
        return
    if not earlier:
        return
    from stg_core.grouping.settling import RESTS_AFTER, changes, rests

    found = changes([*earlier, grouping])
    last = found[-1]
    st.caption(
        f"**Settled?** Since epoch {run.last_epochs[-2]}: adjusted Rand index {last.index:.3f},"
        f" memberships moved by {last.moved:.3f} in the mean.",
        help=ABOUT,
    )
    if rests(found):
        _offer_to_end(run, run.last_epochs[-1] - run.last_epochs[-1 - RESTS_AFTER])


def _earlier(
    run: GrowingRun, epoch: int, features: tuple[str, ...], grouping: Grouping
) -> Grouping:
    """The same grouping as it was after an earlier epoch."""
    from stg_core.grouping.memberships import group_tasks

    version = run.spec.group.digest  # a log that is begun anew has another one
    space = _space(str(run.folder), version, run.maps_after(epoch), features, run)
    return group_tasks(space, grouping.k, grouping.fuzzifier, grouping.method)


@st.cache_resource(show_spinner=False, max_entries=KEPT)
def _space(
    folder: str,
    version: str,
    epochs: tuple[int, ...],
    features: tuple[str, ...],
    _run: GrowingRun,
) -> TaskSpace:
    from stg_core.grouping.memberships import TaskSpace

    return TaskSpace(_run.summary_of(epochs), epochs, features)


def _offer_to_end(run: GrowingRun, epochs: int) -> None:
    told = f"It has not moved for {epochs} epochs."
    job = state.shared().engine.job(run.id) if isinstance(run, TrainingRun) else None
    if job is None or not job.active:
        st.caption(told)
        return
    text, button = st.columns([2, 3], vertical_alignment="center")
    text.caption(told)
    if button.button(
        f"End here, and keep {counted(run.spec.epochs, 'epoch')}",
        key="end here",
        icon=":material/flag:",
        help="Ends the training after its last whole epoch. What is kept is, to the last bit, what"
        " a training of so many epochs gives; the rest cannot be trained on from there.",
    ):
        with st.spinner("Ending after the last whole epoch"):
            ended = state.shared().engine.end_here(run.id)
        state.keep("run", ended)
        st.rerun()
