"""Tables of groups of one's own tasks on the Methods page: what they cost, and their trainings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import pandas as pd
import streamlit as st

from app import many_groups, state, widgets
from app.parameters import Flag, Number, SeveralOf, in_url
from app.training_choices import (
    CUSTOM,
    choose_custom_group,
    choose_name_of_group,
    choose_settings,
    is_being_measured,
    not_known_yet,
    speed_of,
)
from stg_core.affinity.asked import Asked
from stg_core.affinity.many import ManyPlan
from stg_core.affinity.methods import METHODS
from stg_core.affinity.preparing import TablePlan, how_far, make_plan
from stg_core.affinity.table import MOST_TASKS, groups_of
from stg_core.system.errors import UserError
from stg_core.system.extras import lacking_to_train
from stg_core.system.words import counted
from stg_core.tasks.datasets import find_group
from stg_core.tasks.groups import TaskGroup
from stg_core.training.spec import TrainingSpec

FIRST_TASKS, USUAL_BUDGET = 4, 3
TASKS_NAMED = 4  # in a title
LOOK = 1.0  # seconds between two looks at trainings
SEARCH = "exhaustive"
OVERHEAD = 10  # seconds: a process begins, and some methods learn from what was trained


def title_of(spec: TrainingSpec) -> str:
    """Such as "1, 8, Odd: Handwritten digits, tiny_cnn, 10 epochs, seed 0, 3 of 15 tasks"."""
    more = len(spec.tasks) - TASKS_NAMED
    named = ", ".join(spec.tasks[:TASKS_NAMED])
    return f"{named}{f' and {more} more' if more > 0 else ''}: {spec.title}"


# -------------------------------------------------------------------------------------- the plan


def choose_plan() -> TablePlan | ManyPlan:
    """Of all groups of a few tasks, or of more tasks than have a table."""
    columns = st.columns([5, 3, 2, 2])
    with columns[0]:
        name = choose_name_of_group()
    group = choose_custom_group() if name == CUSTOM else find_group(name)
    tasks = choose_tasks(group)
    spec = TrainingSpec(group, tasks=tasks, **choose_settings(columns[1:], group))
    if len(tasks) > MOST_TASKS:
        return many_groups.choose_plan(spec)
    reference = groups_of(spec).reference
    methods, budget = choose_methods(len(tasks), reference is not None)
    return make_plan(spec, methods, budget)


def choose_tasks(group: TaskGroup) -> tuple[str, ...]:
    if len(group.tasks) > MOST_TASKS and st.toggle(
        f"All {len(group.tasks)} tasks",
        **in_url("all_tasks", Flag()),
        help=f"Of up to {MOST_TASKS} tasks, groups are compared in a table of trained groups; of"
        " more, each method’s groups are trained and judged.",
    ):
        return group.task_names
    possible = [task.name for task in group.tasks if task.kind == "binary"]
    others = len(group.tasks) - len(possible)
    if len(possible) < 2:
        raise UserError(
            "Ways to choose groups are compared on yes-or-no tasks only, and this task group has"
            f" {'none' if not possible else 'one'}: choose another one."
        )
    chosen = st.multiselect(
        "Tasks that groups are made of",
        possible,
        default=possible[:FIRST_TASKS],
        **in_url(f"groups_of_{group.name}", SeveralOf(possible)),
        help=f"Of n tasks there are 2ⁿ − 1 groups: of more than {MOST_TASKS} tasks only those that"
        " methods find are trained.",
    )
    if others:
        st.caption(
            f"{counted(others, 'task')} of this group {'is' if others == 1 else 'are'} left out:"
            " ways to choose groups are compared on yes-or-no tasks only."
        )
    if len(chosen) < 2:
        raise UserError(
            f"Ways to choose groups are compared on 2 tasks or more, and {len(chosen) or 'none'}"
            " is chosen: choose more."
        )
    return tuple(task for task in possible if task in chosen)


def choose_methods(n_tasks: int, with_reference: bool) -> tuple[list[str], int]:
    """The methods to compare, and how many models may serve the tasks in the end."""
    quick = [m for m in METHODS if m != SEARCH and (m != "superclasses" or with_reference)]
    titles = {name: METHODS[name].title for name in quick}
    left, right = st.columns([5, 1], vertical_alignment="bottom")
    methods = left.pills(
        "Methods",
        quick,
        selection_mode="multi",
        wrap=True,
        default=quick,
        format_func=titles.__getitem__,
        **in_url("compared", SeveralOf([*titles.values()])),
        help="\n".join(f"- **{METHODS[name].title}**: {METHODS[name].how}" for name in quick),
    )
    budget = right.number_input(
        "Models",
        min_value=1,
        max_value=MOST_TASKS,
        value=USUAL_BUDGET,
        **in_url("models", Number(1, MOST_TASKS)),
        help="How many may serve the tasks in the end: the budget.",
    )
    search = st.toggle(
        f"Exhaustive search: all {2**n_tasks - 1:,} groups",
        **in_url(SEARCH, Flag()),
        help="Every group is trained, so that the truth is known: which choice is the best, and"
        " what random groupings come to. The other methods do without.",
    )
    return [*methods, *([SEARCH] if search else [])], min(int(budget), n_tasks)


# ------------------------------------------------------------------------------------ its cost


def show_cost(plan: TablePlan) -> None:
    """What is to be trained and how long it takes; looks again until the speed is measured."""
    unknown = False
    with suppress(UserError):  # which is told where it is described
        unknown = bool(missing(plan)) and is_being_measured(plan.spec)
    st.fragment(describe_cost, run_every=LOOK if unknown else None)(plan)


def describe_cost(plan: TablePlan) -> None:
    with widgets.user_errors():
        store = state.shared().store
        speed = speed_of(plan.spec) if missing(plan) else 0.0
        here, recorded = plan.here(store), plan.recorded(store)
        rows = [cost_row(plan, m, here, m in recorded, speed) for m in plan.methods]
        st.dataframe(
            pd.DataFrame(rows),
            hide_index=True,
            placeholder="–",
            alt=f"Table of {counted(len(plan.methods), 'method')} and what they cost",
            column_config={
                "Trainings": st.column_config.NumberColumn(
                    help="At most: methods share groups, and may choose what is trained already."
                    " All need each task alone and all together."
                ),
                "Here": st.column_config.NumberColumn(help="Trained before."),
                "Time": st.column_config.TextColumn(help="Expected for those that are not here."),
            },
        )
        st.caption(in_all(plan, speed))


def cost_row(
    plan: TablePlan, method: str, all_here: set[int], recorded: bool, speed: float | None
) -> dict[str, Any]:
    """all_here: rows that are trained; recorded: whether the method's joint training is."""
    need = plan.needs[method]
    here = all_here & need.rows
    left = len(need.rows) - len(here) + need.open + need.joint * (not recorded)
    return {
        "Method": METHODS[method].title,
        "Trainings": len(need.rows) + need.open + (need.joint > 0),
        "Here": len(here) + recorded,
        "Time": expected(plan, left, speed) if left else "–",
    }


def in_all(plan: TablePlan, speed: float | None) -> str:
    from stg_core.affinity.preparing import total

    store, n_trainings, left = state.shared().store, total(plan), missing(plan)
    here = len(plan.here(store)) + len(plan.recorded(store))
    most = "At most " if plan.open else ""
    text = f"**{most}{counted(n_trainings, 'training')}** in all, {here} of them here."
    if SEARCH in plan.methods:
        groups = counted(len(plan.groups.masks), "group")
        text += f" The exhaustive search alone is {groups}; without it there are fewer."
    if left:
        place = widgets.plain(widgets.training_place())
        text += (
            f" Expected duration of the rest on {place}: {expected(plan, left, speed, OVERHEAD)}"
        )
    return text


def missing(plan: TablePlan) -> float:
    """Trainings that are not here, at most; a recorded one counts for as many as it costs."""
    store = state.shared().store
    recorded = plan.recorded(store)
    joint = sum(need.joint for name, need in plan.needs.items() if name not in recorded)
    return len(plan.keys) - len(plan.here(store)) + plan.open + joint


def expected(plan: TablePlan, trainings: float, speed: float | None, more: float = 0) -> str:
    """more: seconds beside the trainings."""
    if speed is None:
        return not_known_yet()
    rough = ", roughly" if state.shared().engine.busy else ""
    return f"about {widgets.duration(speed * plan.spec.epochs * trainings + more)}{rough}"


# --------------------------------------------------------------------------------- its trainings


def is_going_on(key: str) -> bool:
    asked = state.shared().tables.of(key)
    return asked is not None and asked.active


def offer_training(plan: TablePlan | ManyPlan, label: str = "Train") -> None:
    """The button that begins, where nothing of this table is going on."""
    if not is_going_on(plan.key) and st.button(
        label,
        key=f"train {plan.key} {plan.budget}",
        type="primary",
        icon=":material/play_arrow:",
        help="In the background: you may close the page meanwhile.",
    ):
        begin(plan)


def begin(plan: TablePlan | ManyPlan) -> None:
    """Begins; asks before, where that takes long or nobody knows how long.

    Raises UserError where nothing can be trained here.
    """
    if lacking := lacking_to_train():
        raise UserError(lacking)
    from stg_core.judging.plan import takes_long

    left = many_groups.missing(plan) if isinstance(plan, ManyPlan) else missing(plan)
    speed = None
    with suppress(UserError):  # the plan says already that it cannot be measured
        speed = speed_of(plan.spec)
    seconds = None if speed is None else speed * plan.spec.epochs * left
    if left and takes_long(seconds):
        confirm(plan, speed)
    else:
        ask(plan.spec, plan.methods, plan.budget)


@st.dialog("Train these groups?")
def confirm(plan: TablePlan | ManyPlan, speed: float | None) -> None:
    told = many_groups.in_all(plan) if isinstance(plan, ManyPlan) else in_all(plan, speed)
    st.markdown(told)
    if speed is None:
        st.markdown("How long that takes is **not known yet**: it is being measured.")
    st.caption("You may cancel at any time: what is trained by then is kept.")
    with st.container(horizontal=True):
        if st.button("Start", key="confirm groups", type="primary"):
            ask(plan.spec, plan.methods, plan.budget)
        if st.button("Not now", key="decline groups"):
            st.rerun()


def ask(spec: TrainingSpec, methods: Sequence[str], budget: int) -> None:
    state.shared().tables.ask(spec, methods, budget)
    st.rerun()


def show_progress() -> None:
    """All tables that are being trained, or did not end well; on whatever table is shown."""
    seen = active_tables()
    st.fragment(progress, run_every=LOOK if seen else None)(seen)


def active_tables() -> list[str]:
    return [asked.key for asked in state.shared().tables.all() if asked.active]


def progress(seen: list[str]) -> None:
    if active_tables() != seen:
        st.rerun()  # of the whole page: what ended is a table now, and the polling may stop
    for asked in state.shared().tables.all():
        with st.container(border=True):
            st.markdown(f"**{widgets.plain(title_of(asked.spec))}**")
            SHOWN[asked.state](asked)


def show_queued(asked: Asked) -> None:
    st.caption("It waits until another table is trained, or the engine has started.")
    offer_cancel(asked)


def show_running(asked: Asked) -> None:
    noted: Mapping[str, Any] = how_far(state.shared().store, asked.key) or {}
    done, most = noted.get("done", 0), noted.get("total", 0)
    told = f"{done} of at most {counted(most, 'training')}: " if most else ""
    what = widgets.plain(noted.get("what", "It begins."))
    st.progress(min(done / most, 1.0) if most else 0.0, text=f"{told}{what}")
    if state.shared().engine.busy:
        st.caption("Other trainings are going on: they take turns.")
    offer_cancel(asked)


def show_failed(asked: Asked) -> None:
    st.error(widgets.plain(asked.problem), icon=":material/error:")
    offer_to_go_on(asked)


def show_cancelled(asked: Asked) -> None:
    st.info("Cancelled. What was trained is kept.", icon=":material/cancel:")
    offer_to_go_on(asked)


SHOWN = {
    "queued": show_queued,
    "running": show_running,
    "failed": show_failed,
    "cancelled": show_cancelled,
}


def offer_cancel(asked: Asked) -> None:
    if st.button("Cancel", key=f"cancel {asked.key}", icon=":material/cancel:"):
        state.shared().tables.cancel(asked.key)
        st.rerun()


def offer_to_go_on(asked: Asked) -> None:
    with st.container(horizontal=True):
        if st.button("Go on", key=f"go on {asked.key}", icon=":material/resume:"):
            ask(asked.spec, asked.methods, asked.budget)
        if st.button("Dismiss", key=f"dismiss {asked.key}", icon=":material/close:"):
            state.shared().tables.forget(asked.key)
            st.rerun()
