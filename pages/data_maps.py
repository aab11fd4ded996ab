"""Data maps: how the model learned each task, point by point."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from app import glances, images, points, state, widgets
from app.charts.base import number
from app.charts.data_maps import Epochs, Small, bounds_of, data_map, region_of, small_maps
from app.live_slider import live_slider
from app.parameters import Flag, Number, OneOf, Reading, Text, in_url, number_of
from stg_core.maps.labels import labels_in_words
from stg_core.maps.summary import KINDS, REGIONS, Region, TaskMap
from stg_core.results.logged import LoggedRun
from stg_core.results.run import Run
from stg_core.system.errors import UserError
from stg_core.system.words import counted, named
from stg_core.training.metrics import score_name, scores_by_epoch

ABOUT = (
    "Each point is a training example. **Confidence** is the model's mean probability of the true"
    " label over the epochs so far, or how near it came to a number; **variability** is how much"
    " that moved."
)
MEANING = {
    "easy to learn": "The model finds the true label probable, and does not change its mind.",
    "ambiguous": "The model changes its mind about them: variability of 0.22 and more.",
    "hard to learn": "The model finds the true label improbable, and does not change its mind.",
}
MOST_IMAGES = 60
PER_PAGE = 15
MEASURES = ("order in the group", "name", "mean confidence", "mean variability")


# ----------------------------------------------------------------------------- one task, or two


@st.fragment(key="maps")
def explore(run: Run) -> None:
    """In a fragment: a step through the epochs redraws these maps, and not those of all tasks."""
    with widgets.user_errors():
        task, beside, kind, epoch = controls(run)
        region = chosen_region()
        keep_region(region)  # on a page that opens, the URL may lack it
        pictured = glances.whose(run, "points")
        left, right = st.columns([1, 1] if beside else [4, 3], gap="medium")
        with left:
            one_map(run, task, epoch, kind, "map", region, pictured, keep_region)
        if beside:
            with right:
                one_map(run, beside, epoch, kind, "map beside", region, pictured)
        with st.container() if beside else right, widgets.answers("points"):
            region_points(run, task, epoch, kind, region)
        glances.answer(run, "points")


def controls(run: Run) -> tuple[str, str | None, str, int]:
    """Task, the task beside it or None, kind of points, and recorded epoch."""
    tasks, epochs = run.summary.tasks.tolist(), run.summary.epochs.tolist()
    first, second, third, fourth = st.columns([5, 5, 8, 7])
    task = first.selectbox(
        "Task",
        tasks,
        **in_url("task", OneOf(tasks)),
        help="One question, asked about every point.",
    )
    beside = second.selectbox(
        "Beside it",
        tasks,
        index=None,
        placeholder="No other task",
        **in_url("beside", OneOf(tasks, empty=True)),
        help="A second task on the same scales.",
    )
    with third:
        kind = widgets.one_of(
            "Points",
            KINDS,
            key="points",
            help="Positives are the points whose true answer to the task is yes, negatives the"
            " others.",
        )
        if run.spec.group.task(task).kind != "binary" and kind != "all":
            kind = "all"
            st.caption("Only a yes-or-no task has positives: all points are shown.")
    with fourth:
        epoch = live_slider(
            "Recorded epoch",
            epochs,
            epochs[-1],
            key="epoch",
            help="The data map as it stood after this epoch. Play walks through all of them.",
            play=True,
            disabled=len(epochs) < 2,
            thinned=run.spec.logged,
        )
    return task, beside, kind, epoch


def one_map(
    run: Run,
    task: str,
    epoch: int,
    kind: str,
    key: str,
    region: Region | None,
    pictured: str | None,
    on_brush: Callable[[Region | None], None] | None = None,
) -> None:
    summary, epochs = run.summary, every_epoch(state.version(run), run.id, task, kind, run)
    t = summary.tasks.tolist().index(task)
    measure, last = score_name([run.spec.group.task(task)]), scored_epoch(run)
    told = f"test {measure} {number(test_scores(run)[t], '.2f')}" if last else ""
    words = [points_in_words(epochs.maps[epoch][0]), means_in_words(run, task, epoch), told]
    with widgets.answers(key):
        st.caption(
            ", ".join(filter(None, [*words, labels_in_words(summary, task)])),
            help="The means are over all points of the task: a confidence of 0.5 is guessing a yes"
            " or no, 1 is sure and right."
            + (f" {measure}, on test points after epoch {last}: 1 is perfect." if last else "")
            + " In common: points labelled for both of those labelled for either, in the median"
            " over the other tasks.",
        )
    data_map(epochs, epoch, key, region, on_brush, pictured)


@st.cache_resource(show_spinner=False, max_entries=32)
def every_epoch(version: str, run_id: str, task: str, kind: str, _run: Run) -> Epochs:
    """The task's data maps at all recorded epochs, with their descriptions."""
    maps = {}
    for epoch in _run.summary.epochs.tolist():
        found = _run.summary.task_map(task, epoch, kind)
        maps[epoch] = (
            found,
            f"Data map of the task {task} after epoch {epoch}: density of"
            f" {points_in_words(found)} ({kind}), {means_in_words(_run, task, epoch)}.",
        )
    name = " ".join((run_id, version, kind, task))
    return Epochs(task, name, maps, int(_run.summary.n_points), _run.spec.group.task(task).kind)


def points_in_words(found: TaskMap) -> str:
    return counted(int(found.histogram.sum()), "point")


def means_in_words(run: Run, task: str, epoch: int) -> str:
    t, e = run.summary.tasks.tolist().index(task), run.summary.epochs.tolist().index(epoch)
    confidence, variability = run.summary.task_means[e, :, t]
    return f"mean confidence {confidence:.2f}, variability {variability:.2f}"


# ------------------------------------------------------------------------------ points of a region


class Rectangle:
    """Kind of parameter: variability from and to, confidence from and to."""

    def read(self, values: Sequence[str]) -> Reading:
        bounds = [number_of(bound) for bound in values[-1].split(",")]
        sound = [bound for bound in bounds if bound is not None]
        if len(sound) == len(bounds) and region_of(sound):
            return Reading([values[-1]])
        return Reading(None, f"{named(values[-1])} is no rectangle on a map: none is shown")


def keep_region(region: Region | None) -> None:
    bounds = bounds_of(region) or ()
    state.keep("region", ",".join(f"{bound:g}" for bound in bounds) or None)


def chosen_region() -> Region | None:
    """The region that the URL names; None where it names none."""
    linked = state.kept("region", Rectangle())
    return region_of([float(bound) for bound in linked.split(",")]) if linked else None


def region_points(run: Run, task: str, epoch: int, kind: str, region: Region | None) -> None:
    with st.container(
        horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"
    ):
        st.markdown("**Points of a region**", width="content", help="Those in a rectangle.")
        st.button("Clear", type="tertiary", on_click=keep_region, args=(None,), disabled=not region)
    with st.container(horizontal=True, gap="small"):
        for name, bounds in REGIONS.items():
            st.button(name, on_click=keep_region, args=(bounds,), help=MEANING[name])
    if not region:
        st.caption(f"Drag a rectangle over the map of {widgets.plain(task)}, or choose a region.")
        return
    found = run.summary.task_map(task, epoch, kind)
    inside = found.within(region)
    shown = inside[np.linspace(0, len(inside) - 1, min(len(inside), MOST_IMAGES)).astype(int)]
    st.caption(
        f"{len(shown)} of the {len(inside):,} in the rectangle, of a sample of"
        f" {len(found.indices):,} of {counted(int(found.histogram.sum()), 'point')}. By rising"
        " confidence, with label, confidence and variability, and index."
    )
    points.download(run, task, found, inside)
    try:
        if run.spec.logged:
            logged_points(run, task, found, shown)
            return
        if run.spec.group.has_rows:
            points.show_rows(run, points.Rows(run), task, found, shown)
            return
        pictures = images.images_of(run)
    except UserError as error:
        st.info(widgets.plain(str(error)), icon=":material/image_not_supported:")
        st.button("Look again", on_click=images.look_again)
        return
    if pictures:
        with st.container(height=330, border=False):
            images.show_images(pictures, found, shown)
    else:
        images.wait_for_images(run)


def logged_points(run: Run, task: str, found: TaskMap, shown: NDArray[np.int64]) -> None:
    known = points.LoggedPoints(run) if isinstance(run, LoggedRun) else None
    if known is None or known.kind != "images":
        points.show_logged(run, known, task, found, shown)
        return
    labels = known.answers(run.spec.group.task(task), found.indices[shown])
    with st.container(height=330, border=False):
        images.show_images(known, found, shown, labels)


# ---------------------------------------------------------------------------------- all the tasks


@st.fragment(key="all tasks")
def all_tasks(run: Run) -> None:
    st.header("All tasks")
    measures = [*MEASURES, test_score(run)] if scored_epoch(run) else [*MEASURES]
    n_tasks = len(run.summary.tasks)
    by, order, find, turn = st.columns([4, 3, 3, 4], vertical_alignment="bottom", gap="medium")
    measure = by.selectbox(
        "Sorted by",
        measures,
        **in_url("sort", OneOf(measures)),
        help="Means are over all points of a task. F1, on test points after the last epoch: 1 is"
        " perfect; of a regression it is R². The number stands beside the name.",
    )
    backwards = order.toggle(
        "Backwards", **in_url("backwards", Flag()), help="The last, or the highest, first."
    )
    wanted = ""
    if n_tasks > PER_PAGE:
        wanted = find.text_input(
            "Search",
            **in_url("search", Text(100)),
            on_change=first_page,
            help="Tasks whose name has these letters.",
        )
    found = sorted_tasks(run, measure, backwards, wanted)
    if not len(found):
        st.info(f"No task has {named(wanted)} in its name.", icon=":material/search_off:")
        return
    page, pages = 1, -(-len(found) // PER_PAGE)
    if pages > 1:
        with turn:
            page = st.pagination(
                pages, **in_url("tasks_page", Number(1, pages, of="pages")), width="stretch"
            )
    st.caption(
        f"{f'{len(found)} of {n_tasks} tasks. ' * (len(found) < n_tasks)}After epoch"
        f" {run.summary.epochs[-1]}, all points, on the same scales. Click one to see it large."
    )
    small_maps(
        maps_of(run, found[(page - 1) * PER_PAGE : page * PER_PAGE], measure),
        int(run.summary.epochs[-1]),
        int(run.summary.n_points),
        on_click=open_large,
    )


def first_page() -> None:
    """Of what is found now there may be fewer pages."""
    if "tasks_page" in st.session_state:
        st.session_state["tasks_page"] = 1


def measured(run: Run) -> dict[str, list[float]]:
    """Numbers by which tasks are sorted, (T,) each, after the last recorded epoch."""
    values = {
        "mean confidence": run.summary.task_means[-1, 0].tolist(),
        "mean variability": run.summary.task_means[-1, 1].tolist(),
    }
    if scored_epoch(run):
        values[test_score(run)] = np.nan_to_num(test_scores(run)).tolist()
    return values


def sorted_tasks(run: Run, measure: str, backwards: bool, wanted: str) -> list[int]:
    """Those with these letters in their names, in the chosen order."""
    names = [name.lower() for name in run.summary.tasks.tolist()]
    keys = measured(run) | {"order in the group": list(range(len(names))), "name": names}
    found = [t for t, name in enumerate(names) if wanted.strip().lower() in name]
    return sorted(found, key=keys[measure].__getitem__, reverse=backwards)


def maps_of(run: Run, tasks: Sequence[int], measure: str) -> list[Small]:
    """Their data maps after the last recorded epoch."""
    summary, values = run.summary, measured(run)
    names = summary.tasks.tolist()
    return [
        Small(
            names[t],
            summary.histogram[-1, t].sum(axis=0, dtype=np.int64),
            f"{values[measure][t]:.2f}" if measure in values else "",
            ", ".join(f"{name} {of_tasks[t]:.2f}" for name, of_tasks in values.items()),
        )
        for t in tasks
    ]


def test_score(run: Run) -> str:
    """What the scores of a run's tasks are called."""
    return f"test {run.score_name}"


def scored_epoch(run: Run) -> int:
    """After which the test points were scored last; 0 where none were logged."""
    every = scores_by_epoch(run.metrics.get("test", {}))
    scored = run.metrics.get("scored_epochs") or [run.spec.epochs]
    return int(scored[-1]) if len(every) else 0


def test_scores(run: Run) -> NDArray[np.float64]:
    """F1, or R² of a regression, of each task after that epoch, (T,); NaN where undefined."""
    every = scores_by_epoch(run.metrics.get("test", {}))
    return every[-1] if len(every) else np.full(len(run.spec.tasks), np.nan)


def open_large(task: str) -> None:
    st.session_state["task"] = task
    st.rerun("maps")


run, _ = widgets.page_head("Data maps", ABOUT)
if run and run.summary:
    explore(run)
    all_tasks(run)
