"""Parts that several pages show."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import streamlit as st

from app import live, state
from app.charts.training import learning_curve
from app.every_k import send_every_k
from app.live_slider import live_slider
from app.parameters import OneOf, SeveralOf, in_url, nearest
from app.quick_look import say_quick_look, train_in_full
from app.settling import say_settled
from app.stability import say_stability
from app.words import plain
from stg_core.engine.derived import Answer, Derived
from stg_core.engine.job import Job
from stg_core.maps.labels import has_labels
from stg_core.maps.many import MANY
from stg_core.maps.summary import FEATURES
from stg_core.results.run import Run
from stg_core.system.errors import UserError
from stg_core.system.words import counted
from stg_core.training.metrics import score_name
from stg_core.training.quick_look import is_quick_look, nearness

if TYPE_CHECKING:
    from streamlit.delta_generator import DeltaGenerator

    from stg_core.grouping.memberships import Grouping, TaskSpace

POLL = 0.5  # seconds between two looks at a running job
MOST_CLUSTERS = 100  # of more than 300 tasks: a slider has no place for more
USUAL_K = {"g1": 2, "g2": 3, "g3": 20}
METHODS = ("soft", "hard", "fcm", "points")
FUZZIFIERS = tuple(round(1.01 + step / 100, 2) for step in range(200))


@contextmanager
def user_errors() -> Iterator[None]:
    """Shows what the user can mend as its sentence; what follows the block is still shown."""
    try:
        yield
    except UserError as error:
        st.error(plain(str(error)), icon=":material/error:")


def duration(seconds: float) -> str:
    """Such as "45 s", "3 min 20 s", "1 h 5 min"."""
    whole = max(round(seconds), 1)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s" if whole < 600 else f"{round(whole / 60)} min"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


# ------------------------------------------------------------------------------------------ runs


def page_head(title: str, about: str) -> tuple[Run | None, DeltaGenerator]:
    """Title, run chooser and a place beside them; the run, and that place."""
    left, middle, right = st.columns([4, 5, 3], vertical_alignment="bottom")
    left.title(title)
    with middle:
        run = choose_run()
    st.caption(about)
    if run:
        live.follow(run)
        with user_errors():
            say_quick_look(run)
    return run, right


def choose_run() -> Run | None:
    """The run chooser; None, and what to do, where there is no run to choose."""
    runs = [run for run in state.shared().store.runs() if run.has_data_maps]
    if not runs:
        with st.container(border=True):
            st.markdown("**There are no runs yet.** Train a model on the Start page first.")
            st.page_link(state.START, label="Go to Start", icon=":material/play_circle:")
        return None
    chosen = None
    with user_errors():
        chosen = state.chosen_run(runs)
    said = state.kept("run")
    st.fragment(_run_chooser, run_every=live.SELDOM)(said)
    if said and not chosen:
        with suppress(UserError):  # which is told above
            live.follow(state.shared().store.run(said))
    return chosen


def _run_chooser(chosen: str | None) -> None:
    """In a fragment that looks again and again: a run that comes is among them without a reload."""
    if state.kept("run") != chosen:
        st.rerun()  # of the whole page: another one was chosen
    runs = [run for run in state.shared().store.runs() if run.has_data_maps]
    titles = {run.id: run.title_now for run in runs}
    st.session_state["run_choice"] = chosen if chosen in titles else None
    st.selectbox(
        "Run",
        list(titles),
        format_func=lambda run_id: titles.get(run_id, run_id),
        key="run_choice",
        placeholder="Choose a run",
        on_change=lambda: keep_choice(titles),
        help="A training, finished or still logging: its tasks, its model, its epochs and seed.",
    )


def keep_choice(titles: Mapping[str, str]) -> None:
    """Keeps the chosen run, of which the browser may say the title that it had an epoch ago."""
    said = st.session_state["run_choice"]
    by_title = {title: run_id for run_id, title in titles.items()}
    if said is None or said in titles or said in by_title:
        state.keep("run", by_title.get(said, said))


def open_run(run_id: str) -> None:
    """Links that open a run on the pages that show one."""
    with st.container(horizontal=True):
        for page, label, icon in (
            (state.DATA_MAPS, "Data maps", ":material/scatter_plot:"),
            (state.GROUPING, "Grouping", ":material/workspaces:"),
            (state.AGREEMENT, "Agreement", ":material/account_tree:"),
            (state.SPECIALISTS, "Specialists", ":material/groups:"),
        ):
            st.page_link(page, label=label, icon=icon, query_params={"run": run_id})


def training_place() -> str:
    """Where the engine trains, and on what as far as the last training there told."""
    if address := os.environ.get("STG_SCHEDULER"):
        return f"the cluster at {address}"
    own = [run for run in state.shared().store.runs() if not (run.bundled or run.spec.logged)]
    return f"this machine ({own[0].provenance['device']})" if own else "this machine"


def when(run: Run) -> datetime | None:
    created = run.provenance.get("created")
    return datetime.fromisoformat(created) if created else None


# -------------------------------------------------------------------------------------- grouping


@dataclass(frozen=True)
class Input:
    """What of a run is compared, and how its tasks are grouped."""

    method: str
    epochs: tuple[int, ...]
    features: tuple[str, ...]


@dataclass(frozen=True)
class Chosen:
    """What the grouping controls say: the tasks as points, their grouping, a colour per cluster."""

    space: TaskSpace
    grouping: Grouping
    colours: list[int]  # colour index of each cluster, see charts.base.cluster_colour
    every: str | None = None  # where pictures follow the sliders by themselves, see `send_every_k`


def grouping_head(title: str, about: str) -> tuple[Run, Input] | None:
    """The head of a page about groupings, with its run and input; None where none can be shown."""
    return with_input(*page_head(title, about))


def with_input(run: Run | None, place: DeltaGenerator) -> tuple[Run, Input] | None:
    """A run with what of it is grouped and how, chosen in a place; None where none can be."""
    if run and len(run.summary.tasks) < 2:
        st.info("This run has a single task: grouping needs two or more.")
    elif run and has_labels(run.summary).sum() < 2:
        st.info("Fewer than two tasks of this run have labels: grouping needs two or more.")
    elif run:
        with place.popover("Method and input", icon=":material/tune:", width="stretch"):
            return run, choose_input(run)
    return None


def choose_clusters(
    run: Run, given: Input, followed: bool = False, replayed: bool = False
) -> Chosen:
    """The two sliders of a grouping, for use within a fragment.

    followed: whether there are pictures that follow the sliders by themselves; replayed: whether a
    third one goes back to what the grouping was after an earlier recorded epoch.
    """
    from stg_core.grouping.memberships import cluster_colours, group_tasks

    n_tasks = int(has_labels(run.summary).sum())
    most = n_tasks if n_tasks <= MANY else MOST_CLUSTERS
    replayed = replayed and run.ended and len(given.epochs) > 1
    left, right, *third = st.columns(3 if replayed else 2, gap="large")
    with left:
        k = live_slider(
            "Clusters (k)",
            range(2, most + 1),
            min(USUAL_K.get(run.spec.group.name, 3), n_tasks),
            key="k",
            of="tasks" if most == n_tasks else "clusters",
            help="How many clusters of tasks, and so how many specialists."
            + ("" if most == n_tasks else f" Of so many tasks pages show up to {most}."),
        )
    with right:
        fuzzifier = live_slider(
            "Fuzzifier (m)",
            FUZZIFIERS,
            2.0,
            key="fuzzifier",
            help="Near 1 every task belongs to one cluster; larger shares it out. Of no effect on"
            " the methods hard and points.",
            disabled=given.method in ("hard", "points"),
            show="{:.2f}".format,
        )
    epochs = given.epochs
    for place in third:
        with place:
            until = choose_until(run, epochs)
        epochs = tuple(epoch for epoch in epochs if epoch <= until)
    space = state.task_space(run, epochs, given.features)
    with left, answers("stability"):
        if epochs == given.epochs:
            say_stability(run, space, k, given.method)
        else:
            st.caption("Stability of this k: told after the last epoch.")
    grouping = group_tasks(space, k, fuzzifier, given.method)
    usual = state.task_space(run, tuple(run.summary.epochs.tolist()), FEATURES)
    colours = cluster_colours(usual, grouping.labels, k)
    with st.container():  # always there: what comes and goes would make all below it anew
        say_settled(run, grouping, given.epochs, given.features)
    state.when_at_rest(look_ahead, state.shared().derived, run, space, k)
    if grouping.problem:
        with answers("problem"):
            st.warning(plain(grouping.problem), icon=":material/warning:")
    if grouping.few_labels:
        st.caption(plain(grouping.few_labels))
    if grouping.way:
        st.caption(grouping.way)
    every = send_every_k(run, space, usual, given.method) if followed else None
    return Chosen(space, grouping, colours.tolist(), every)


def choose_until(run: Run, epochs: Sequence[int]) -> int:
    """The last of the recorded epochs that are compared, so that the learning can be replayed."""
    return live_slider(
        "Until epoch",
        epochs,
        epochs[-1],
        key="until",
        help="The grouping as it stood after this epoch: only data maps up to it are compared. Play"
        " walks through all of them, and shows how the tasks came to where they are.",
        play=True,
        thinned=run.spec.logged,
    )


def answers(name: str) -> DeltaGenerator:
    """A place for what Python says of where the sliders are: paler while they are ahead of it."""
    return st.container(key=f"answers_{name}")


def look_ahead(derived: Derived, run: Run, space: TaskSpace, k: int) -> None:
    """Spares the next move of a slider k-means."""
    if not state.knows_every_k(space, run, derived):
        space.compute_ahead(k)


def choose_input(run: Run) -> Input:
    """Method, recorded epochs and features."""
    recorded = run.summary.epochs.tolist()
    before = st.session_state.get("recorded epochs", (run.id, recorded))
    if before[1] != recorded:
        # another run's choice would leave those that happen to be in both
        chosen = st.session_state.get("grouping_epochs", before[1])
        stays = before[0] == run.id and chosen != before[1]
        st.session_state["grouping_epochs"] = nearest(chosen, recorded) if stays else recorded
    st.session_state["recorded epochs"] = run.id, recorded
    method = st.selectbox(
        "Method",
        METHODS,
        **in_url("method", OneOf(METHODS)),
        help="soft: k-means, then shares by distance. hard: k-means alone. fcm: fuzzy c-means,"
        " iterated. points: each training point votes.",
    )
    epochs = st.pills(
        "Recorded epochs",
        recorded,
        selection_mode="multi",
        wrap=True,
        default=recorded,
        **in_url("grouping_epochs", SeveralOf(recorded, thinned=run.spec.logged or not run.ended)),
        help="The data maps of these epochs are compared.",
    )
    features = st.pills(
        "Features",
        FEATURES,
        selection_mode="multi",
        wrap=True,
        default=FEATURES,
        **in_url("features", SeveralOf(FEATURES)),
        help="What of the data maps is compared.",
    )
    return Input(method, tuple(sorted(epochs)), tuple(f for f in FEATURES if f in features))


def one_of(
    label: str,
    options: Sequence[str],
    *,
    key: str,
    help: str,
    format_func: Callable[[str], str] = str,
) -> str:
    """A choice among a few, side by side: at first the first of them. The address has it."""
    chosen: str = st.segmented_control(
        label,
        options,
        default=options[0],
        required=True,
        format_func=format_func,
        **in_url(key, OneOf([format_func(option) for option in options])),
        help=help,
    )
    return chosen


def titled_choice(label: str, titles: Mapping[str, str], *, key: str, help: str) -> str:
    """A choice among names, by their titles: at first the first. The address has the name.

    A bound selectbox of Streamlit's would write the title there.
    """
    usual = next(iter(titles))
    chosen = state.kept(key, OneOf([*titles])) or usual
    state.keep(key, chosen, default=usual)
    st.session_state[key] = chosen
    st.selectbox(
        label,
        list(titles),
        format_func=titles.__getitem__,
        key=key,
        on_change=lambda: state.keep(key, st.session_state[key], default=usual),
        help=help,
    )
    return chosen


# ---------------------------------------------------------------------------------- slow results


def wait_for(
    answer: Answer[Any],
    ask: Callable[[], Answer[Any]],
    show: Callable[[Any], None] | None = None,
) -> None:
    """Looks again until a slow result is there; where it failed, says so and offers it again.

    Meanwhile it says how far it is; what there is so far is given to `show`.
    """

    def look() -> None:
        now = ask()
        if not now.pending:
            st.rerun()
        if now.waits:
            st.caption("It waits until other results are computed.")
        elif now.progress and now.progress.total > 1:
            st.progress(now.progress.share, text=f"{now.progress} are done.")
        if show and now.so_far is not None:
            show(now.so_far)

    if answer.later:
        return
    if answer.pending:
        st.fragment(look, run_every=POLL)()
    elif answer.problem:
        st.warning(plain(answer.problem), icon=":material/warning:")
        st.button("Try again", on_click=state.shared().derived.ask_again, icon=":material/refresh:")


# ------------------------------------------------------------------------------------------ jobs


def progress_panel() -> None:
    """All jobs of this machine, looked at again and again only while one is going on."""
    polling = bool(_going_on())
    st.session_state["jobs_going_on"] = _going_on()
    st.fragment(_progress, run_every=POLL if polling else None)()


def _going_on() -> list[str]:
    jobs = state.shared().engine.jobs()
    return [job.key for job in jobs if job.active]


def _progress() -> None:
    if _going_on() != st.session_state.get("jobs_going_on"):
        st.rerun()  # of the whole page: what ended is a run now, and the polling may stop
    engine = state.shared().engine
    if engine.problem:
        st.warning(engine.problem, icon=":material/warning:")
    everything = engine.jobs()
    jobs = [job for job in everything if job.spec.recorded]
    if of_plans := sum(job.active for job in everything if not job.spec.recorded):
        st.page_link(
            state.SPECIALISTS,
            label=f"{counted(of_plans, 'training')} of specialists going on",
            icon=":material/groups:",
        )
    elif not jobs:
        st.caption("What you train appears here, with its progress.")
    ended = 0
    for job in jobs:
        ended += not job.active
        if ended <= 3:
            with st.container(border=True), user_errors():
                _job(job)


def _job(job: Job) -> None:
    run = state.shared().store.get(job.spec) if job.state == "done" else None
    st.markdown(f"**{plain(run.title if run else job.spec.title)}**")
    {
        "queued": _queued,
        "running": _running,
        "done": _done,
        "failed": _failed,
        "cancelled": _cancelled,
    }[job.state](job)


def _queued(job: Job) -> None:
    before = f"{job.place} before it" if job.place else "it is next"
    st.caption(f"Waiting in the queue: {before}. {job.message}")
    _cancel_button(job)


def _running(job: Job) -> None:
    current = min(job.epoch + 1, job.spec.epochs)
    st.progress(min(max(job.fraction, 0.0), 1.0), text=job.message or "Training")
    epoch, speed, left = st.columns(3)
    epoch.metric("Epoch", f"{current} of {job.spec.epochs}")
    speed.metric("Points/s", f"{job.images_per_second:,.0f}" if job.images_per_second else "–")
    left.metric("Time left", "–" if job.seconds_left is None else duration(job.seconds_left))
    _curves(job)
    if state.shared().store.training_run(job.key):
        st.caption("It can be looked at while it trains:")
        open_run(job.key)
    _cancel_button(job)


def _done(job: Job) -> None:
    st.success("Finished. Open it on:", icon=":material/check_circle:")
    open_run(job.key)
    if is_quick_look(job.spec):
        st.caption(f"A quick look. {plain(nearness(job.spec.group))}")
        train_in_full(job.spec)
    _curves(job)


def _failed(job: Job) -> None:
    st.error(job.message or "This training failed.", icon=":material/error:")
    _resume_button(job)


def _cancelled(job: Job) -> None:
    st.info(job.message or "This training was cancelled.", icon=":material/cancel:")
    _resume_button(job)


def _curves(job: Job) -> None:
    loss, mean_f1 = job.metrics.get("loss") or [], job.metrics.get("mean_f1") or []
    if loss or mean_f1:
        left, right = st.columns(2)
        with left:
            learning_curve(loss, "Loss", key=f"loss {job.key}")
        with right:
            measure = f"Mean {score_name([job.spec.group.task(name) for name in job.spec.tasks])}"
            defined = [value for value in mean_f1 if value is not None]
            learning_curve(defined, measure, share=measure == "Mean F1", key=f"f1 {job.key}")


def _cancel_button(job: Job) -> None:
    if st.button("Cancel", key=f"cancel {job.key}", icon=":material/cancel:"):
        state.shared().engine.cancel(job.key)
        st.rerun()


def _resume_button(job: Job) -> None:
    if st.button(
        "Resume",
        key=f"resume {job.key}",
        icon=":material/resume:",
        help="Goes on after the last whole epoch.",
    ):
        state.shared().engine.submit(job.spec)
        st.rerun()
