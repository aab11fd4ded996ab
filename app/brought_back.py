"""Specialists of a logged run: what to take along for one's own loop, and what came back."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import pandas as pd
import streamlit as st

from app import state, widgets
from app.charts.base import number
from app.charts.specialists import about_scheme, scheme_title
from app.widgets import Chosen
from stg_core.results.run import Run
from stg_core.results.store import LONGEST_TITLE
from stg_core.system.errors import UserError
from stg_core.system.words import counted, named

if TYPE_CHECKING:
    from stg_core.grouping.memberships import Grouping
    from stg_core.judging.brought_back import BroughtBack, Found, Missing

FRAMEWORKS = {"pytorch": "PyTorch", "lightning": "Lightning", "keras": "Keras"}
MIME = {"json": "application/json", "csv": "text/csv", "npy": "application/octet-stream"}
ABOUT_FORMATS = {
    "json": "Tasks, weights and how they were grouped.",
    "csv": "A row for each task, a column for each cluster.",
    "npy": "The array of tasks and clusters alone.",
}
LOOK = 2.0  # seconds between two looks at logs that go on
CODE_HEIGHT = 420  # pixels
MOST_SHOWN = 80_000  # characters of code
ROW, MOST_ROWS = 35, 14  # of the table: a row's height in pixels
MOST_NAMED = 3  # logs, in a sentence


def brought_back(run: Run, chosen: Chosen, seeds: Sequence[int]) -> BroughtBack:
    """What other logs there are of this grouping of a logged run."""
    from stg_core.judging.brought_back import BroughtBack

    return BroughtBack(state.shared().store, run, chosen.grouping, chosen.space, seeds)


# ------------------------------------------------------------------------------------ taken along


def take_along(back: BroughtBack) -> None:
    """The loss weights as files, and the code that trains and logs what is not back yet."""
    k = counted(back.grouping.k, "specialist")
    label = f"Train them in your own loop: {k} of {widgets.plain(back.run.title)}"
    is_back = "specialists" in back.whole
    with st.expander(label, expanded=not is_back, icon=":material/outbox:"):
        st.caption(
            "This run was logged, so its specialists are trained where it was. The memberships are"
            " the weights of the tasks in the loss of each specialist."
        )
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown("**Loss weights**", width="content")
            offer_weights(back.grouping, back.run.title, back.run.folder.name, "weights")
        show_code(back)


def offer_weights(grouping: Grouping, title: str, name: str, key: str) -> None:
    """Loss weights as files, in every format; name: of the run, in the files' names."""
    from stg_core.judging.loss_weights import FORMATS, weights_file

    for form in FORMATS:
        st.download_button(
            form.upper() if form != "npy" else form,
            data=partial(weights_file, grouping, form, title),
            file_name=f"weights-{name}-k{grouping.k}.{form}",
            mime=MIME[form],
            key=f"{key} {form}",
            on_click="ignore",
            icon=":material/download:",
            help=ABOUT_FORMATS[form],
        )


def show_code(back: BroughtBack) -> None:
    from stg_core.judging.snippets import snippet

    models = back.to_train()
    if not models:
        st.caption("All that it takes to judge this grouping is back.")
        return
    st.markdown(
        f"**Code** that trains and logs {counted(len(models), 'model')}: the specialists and their"
        " controls, where they are not back yet. Leave out what you do not want to compare with."
    )
    tasks = back.run.spec.group.tasks
    for tab, framework in zip(st.tabs([*FRAMEWORKS.values()]), FRAMEWORKS, strict=True):
        with tab:
            offer_code(snippet(framework, tasks, models, back.run.title), f"log-{framework}.py")


def offer_code(code: str, name: str) -> None:
    """Code to copy, or as a file: to colour that of a thousand tasks takes a browser a minute."""
    if len(code) <= MOST_SHOWN:
        st.code(code, language="python", height=CODE_HEIGHT)
        return
    lines = code.count("\n")
    st.caption(f"With the weights of so many tasks it has {lines:,} lines: take it as a file.")
    st.download_button(
        name,
        data=code,
        file_name=name,
        mime="text/x-python",
        key=f"code {name}",
        on_click="ignore",
        icon=":material/download:",
    )


# -------------------------------------------------------------------------------- what came back


def show(run: Run, chosen: Chosen, seeds: Sequence[int], back: BroughtBack) -> None:
    """Which log is what, which of them cannot be judged and why, and what is missing."""
    st.header("What came back")
    if any(one.run is not None and one.run.live for one in back.shown()):
        st.fragment(watch, run_every=LOOK)(run, chosen, seeds, states(back))
    else:
        table(back)
    with st.container(horizontal=True):
        by_hand(back)
        st.button(
            "Look again", key="look for logs", icon=":material/refresh:", help="For new logs."
        )
    if missing := back.missing():
        st.markdown("\n".join(f"- {about_missing(one)}" for one in missing))
        st.caption(
            "The code above logs them so; of another size, or with the weights of this run to begin"
            " with, is what your own make_model makes. Any log counts that has the name, the same"
            " tasks and points in the same order, and outputs for the test points:"
            " log.test(outputs) before every log.end_epoch()."
        )


def watch(run: Run, chosen: Chosen, seeds: Sequence[int], seen: list[tuple[str, str]]) -> None:
    back = brought_back(run, chosen, seeds)
    if states(back) != seen:
        st.rerun()
    table(back)


def states(back: BroughtBack) -> list[tuple[str, str]]:
    return [(one.due.name, state_of(one)) for one in back.shown()]


def state_of(found: Found) -> str:
    if found.run is None:
        return "not there"
    if found.problem:
        return found.problem
    return "there; its weights are known by its name alone" if found.by_name else "there"


def table(back: BroughtBack) -> None:
    rows = [row_of(one, len(back.seeds) > 1) for one in back.shown()]
    st.dataframe(
        pd.DataFrame(rows),
        hide_index=True,
        height=ROW * (min(len(rows), MOST_ROWS) + 1) + 2,
        placeholder="–",
        alt=f"Table of {counted(len(rows), 'log')} and whether each is there",
        column_config={
            "Log": st.column_config.TextColumn(
                width="medium",
                help="The name in TaskLog(name, …) by which it is found; the title of a log counts"
                " in its stead.",
            ),
            "Epochs": st.column_config.TextColumn(help="Logged, and as many as are due."),
            "State": st.column_config.TextColumn(width="large"),
        },
    )


def row_of(found: Found, with_seed: bool) -> dict[str, Any]:
    due = found.due
    epochs = 0 if found.run is None else found.run.progress.epoch
    seed = {"Seed": due.seed} if with_seed else {}
    return {
        "Scheme": scheme_title(due.scheme),
        "Model": due.model,
        **seed,
        "Log": due.name,
        "Epochs": f"{epochs} of {due.epochs}",
        "State": state_of(found),
    }


def about_missing(missing: Missing) -> str:
    """What would be compared, what that costs, and how its logs are to be called."""
    trainings = f"{number(missing.cost, '.4g')} training{'s' * (missing.cost != 1)} of MTL"
    took = "" if missing.seconds is None else f", about {widgets.duration(missing.seconds)}"
    names = [widgets.plain(named(one.due.name, LONGEST_TITLE)) for one in missing.logs]
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    lacks = "not whole" if any(one.run for one in missing.logs) else "missing"
    return (
        f"**{scheme_title(missing.scheme)}**, {lacks}: {about_scheme(missing.scheme)}. It would"
        f" cost as much as {trainings}{took}. Log it as {', '.join(names[:MOST_NAMED])}{more}."
    )


def by_hand(back: BroughtBack) -> None:
    """For logs of other names: which of them is which."""
    store = state.shared().store
    due = [one.due.name for one in back.found.values() if one.run is None]
    used = {one.run.id for one in back.found.values() if one.run is not None}
    logs = {log.id: log.title for log in back.logs if log.id not in {*used, back.run.id}}
    if not (due and logs):
        return
    with st.popover("Logs of other names", icon=":material/label:"):
        st.caption("A log is found by its title. Say here which one it is: it gets that title.")
        log = st.selectbox("This log", list(logs), format_func=logs.__getitem__, key="log by hand")
        name = st.selectbox("is", due, key="due by hand")
        if st.button("Give it this title", key="entitle", type="primary"):
            with widgets.user_errors():
                store.rename(store.run(log), name)
                st.rerun()


def why_not_judged(back: BroughtBack) -> str:
    """In a sentence; empty where something can be judged."""
    try:
        back.judged()
    except UserError as error:
        return str(error)
    return ""
