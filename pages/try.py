"""Try: one point goes in, and every model says what it makes of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from app import answers_ahead, images, model_files, state, task_pictures, try_points, widgets
from app.answering import Answered
from app.charts import answers as charts
from app.gallery import gallery
from app.images import RunImages
from app.model_files import MTL, Models, models_to_try
from app.parameters import Number, OneOf, in_url
from app.row_form import row_by_hand
from app.try_points import ALL, DISPUTED, WRONG, Points, Said
from app.trying import about_models, answered_in_words, colours_of, place_of
from app.uploaded_picture import chosen_picture, show_seen
from stg_core.results.run import Run
from stg_core.system.words import counted
from stg_core.tasks.groups import Split
from stg_core.tasks.images import has_images

ABOUT = (
    "One point goes in, and you see what one model for all tasks (**MTL**) says of it, what each"
    " **specialist** says, and what they say **together**. Nothing leaves this machine."
)
TEST, TRAINING, UPLOAD, CAMERA, BY_HAND = (
    "Test",
    "Training",
    "Upload",
    "Camera",
    "By hand",
)
SPLITS: dict[str, Split] = {TEST: "test", TRAINING: "train"}
PER_PAGE = 40


@dataclass(frozen=True)
class Asked:
    """What is asked about: what it is called, what the models say, and what is known of it.

    at: which point of a gallery it is; every, send_ahead: by which name the browser finds what is
    said of all of them, and what sends it.
    """

    what: str
    said: Said
    truth: NDArray[np.float64] | None = None
    pixels: NDArray[np.uint8] | None = None
    place: charts.Place | None = None
    at: int | None = None
    every: str = ""
    send_ahead: Callable[[], None] = lambda: None


# -------------------------------------------------------------------------------- what goes in


def choose(models: Models, run: Run | None) -> Asked | None:
    """A point, a picture or a row; None where none is chosen yet."""
    how = widgets.one_of(
        "What goes in",
        ways(models, run),
        key="input",
        help="A test point, which no model was trained on; a training point, which has a place in"
        " the data maps; or one of your own.",
    )
    if how in SPLITS and run is not None:
        return choose_point(models, run, SPLITS[how])
    if how == BY_HAND:
        return choose_row(models, run)
    dataset = run.spec.group.dataset if run else ""
    pixels = chosen_picture(models.about.input, dataset, camera=how == CAMERA)
    if pixels is None:
        return None
    what = "The picture from the camera" if how == CAMERA else "The uploaded picture"
    return Asked(what, try_points.ask(models, pixels[None]), pixels=pixels)


def ways(models: Models, run: Run | None) -> list[str]:
    """How a point can be given, the best first: points need a run whose data are here."""
    table = models.about.input.kind == "table"
    others = [BY_HAND] if table else [UPLOAD, CAMERA]
    if run is None:
        return others
    group = run.spec.group
    here = group.is_own or has_images(group.dataset) or bool(images.prepared_images(group.dataset))
    points = [TEST, TRAINING]
    return [*points, *others] if here else [*others, *points]


def choose_point(models: Models, run: Run, split: Split) -> Asked | None:
    points = try_points.points_to_try(models, run, split)
    if points is None:
        images.wait_for_images(run)
        return None
    said = try_points.ask_all(models, points, run)
    found = filtered(models, points, said)
    if not len(found):
        st.info("No point is like that: choose another task, or all points.")
        return None
    page = shown_page(len(found))
    at = chosen_place(points, found[page * PER_PAGE])
    here = found[page * PER_PAGE : (page + 1) * PER_PAGE].tolist()
    pixels, every = None, ""
    if isinstance(points.known, RunImages):
        pixels, every = points.inputs[at], answers_ahead.name_of(models, points, run, here)
        gallery(
            "Gallery",
            [(int(points.indices[i]), points.inputs[i], points.called(i)) for i in here],
            int(points.indices[at]),
            keep_point,
            key=f"gallery {split}",
        )
    else:
        choose_from_list(points, here, at)
    return Asked(
        points.called(at),
        said.of(at),
        points.labels[at],
        pixels,
        place_of(run, models, points, at),
        int(points.indices[at]),
        every,
        partial(answers_ahead.send, every, models, points, said, run, here),
    )


def filtered(models: Models, points: Points, said: Said) -> NDArray[np.int64]:
    """Which points are shown, in which order: see `try_points.choose`."""
    several, tasks = len(models.about.models) > 1, list(models.about.tasks)
    options = [DISPUTED] * several + [WRONG] * (MTL in models.files) + [ALL]
    which = widgets.one_of(
        "Points",
        options,
        key="which",
        help="Disputed are those where specialists give different answers to a task: the most"
        " disputed come first. Where MTL is wrong: the surest mistakes first. Or all.",
    )
    task = st.selectbox(
        "Task",
        tasks,
        index=None,
        placeholder="Any task",
        **in_url("of_task", OneOf(tasks, empty=True)),
        help="Only this task counts; of all points, those whose true answer to it is yes.",
    )
    found = try_points.choose(models, said, points.labels, which, task)
    split = "training" if points.split == "train" else "test"
    of = "" if len(points) == points.there else f", of {points.there:,} in all"
    st.caption(f"{len(found):,} of {counted(len(points), f'{split} point')}{of}.")
    return found


def shown_page(n_found: int) -> int:
    pages = -(-n_found // PER_PAGE)
    if pages < 2:
        return 0
    if st.session_state.get("points_page", 1) > pages:
        st.session_state["points_page"] = 1
    kept = in_url("points_page", Number(1, pages, of="pages"))
    return int(st.pagination(pages, **kept, width="stretch")) - 1


def chosen_place(points: Points, first: int) -> int:
    """Which of the points is chosen: the one that the address names, else the first."""
    linked = state.kept("point", Number(0, int(points.indices[-1]), of="points"))
    index = int(linked) if linked else -1
    at = np.flatnonzero(points.indices == index)
    return int(at[0]) if len(at) else int(first)


def keep_point(index: int) -> None:
    state.keep("point", str(index))


def choose_from_list(points: Points, here: list[int], at: int) -> None:
    """Rows have no pictures: they are chosen by what they are called."""
    options = here if at in here else [at, *here]
    names = {i: points.called(i) for i in options}
    key = f"row of {points.split}"
    st.session_state[key] = at
    st.selectbox(
        "Row",
        options,
        format_func=names.__getitem__,
        key=key,
        on_change=lambda: keep_point(int(points.indices[st.session_state[key]])),
        help="Rows of the data set, by what its owner calls them.",
    )


def choose_row(models: Models, run: Run | None) -> Asked | None:
    given = models.about.input
    begun, text, key = np.full(given.shape, np.nan if given.raw else 0.0), "", models.key
    if run is None:
        st.caption("It begins with missing numbers: the data set of these models is not here.")
    else:
        with widgets.user_errors():
            points = try_points.points_to_try(models, run, "test")
            assert points is not None, "rows need not be prepared"
            at = chosen_place(points, 0)
            begun, key = points.inputs[at], f"{models.key} {points.indices[at]}"
            text = points.known.called(int(points.indices[at]))
            st.caption(f"It begins with the values of {points.called(at)}.")
    row = row_by_hand(given, begun, text, key)
    return Asked("The row by hand", try_points.ask(models, row[None]))


# ----------------------------------------------------------------------------- what comes out


@st.fragment
def try_point(models: Models) -> None:
    """In a fragment: another point is answered without the rest of the page."""
    run = models.run
    left, right = st.columns([2, 3], gap="large")
    asked = None
    with left, widgets.user_errors():
        if run is None:
            st.caption(
                "The training that these models come from is not on this machine, so that there are"
                " no points to choose from."
            )
        asked = choose(models, run)
    with right:
        if asked is None:
            st.caption("The answers are shown here.")
        else:
            show_answers(models, asked, run)


def show_answers(models: Models, asked: Asked, run: Run | None) -> None:
    answered = Answered(models, asked.said, asked.truth)
    with widgets.answers("try"):
        words = st.container()
        if asked.pixels is not None:
            seen, words = st.columns([2, 5], vertical_alignment="center")
            with seen:
                show_seen(asked.pixels, asked.what)
        with words:
            answered_in_words(answered)
    charts.answers(
        answered,
        asked.what,
        colours_of(models, run),
        "answers",
        asked.place,
        asked.at,
        asked.every,
    )
    if asked.place is None and run is not None:
        st.caption(
            "It has no place in the data maps: only training points have, which the models were"
            " trained on."
        )
    elif run is not None:
        task = task_pictures.marked(models.about.tasks) or models.about.tasks[0]
        st.page_link(
            state.DATA_MAPS,
            label=f"Data map of {widgets.plain(task)}",
            icon=":material/scatter_plot:",
            query_params={"run": run.id, "task": task},
        )
    with (
        widgets.answers("try_table"),
        st.expander("All of it as a table", icon=":material/table:"),
    ):
        table = answered.table()
        st.dataframe(
            table, hide_index=True, alt=f"Table of {len(table)} tasks: what each model answers"
        )
    asked.send_ahead()


# ------------------------------------------------------------------------------------- the page

head, chooser, opener = st.columns([4, 6, 3], vertical_alignment="bottom")
head.title("Try")
st.caption(ABOUT)
opening = opener.popover("Open a model file", icon=":material/upload_file:", width="stretch")
with opening, widgets.user_errors():
    model_files.open_files()
there = models_to_try()
if there:
    with chooser:
        chosen = widgets.titled_choice(
            "Models",
            {key: one.title for key, one in there.items()},
            key="models_of",
            help="Exported files of one training, side by side.",
        )
    try_point(there[chosen])
    about_models(there[chosen])
else:
    with st.container(border=True):
        st.markdown(
            "**There is no model to try yet.** Export one on Specialists, and open its file here."
        )
        st.page_link(state.SPECIALISTS, label="Go to Specialists", icon=":material/groups:")
