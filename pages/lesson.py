"""Lesson: a guided tour of the method in nine steps, for a class, on the bundled runs."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from app import images, lesson_images, model_files, state, try_points, widgets
from app.answering import Answered
from app.charts import agreement as agreement_charts
from app.charts import answers as answer_charts
from app.charts import grouping as grouping_charts
from app.charts import lesson as charts
from app.every_k import send_every_k
from app.live_slider import live_slider
from app.parameters import Flag, Number, OneOf, in_url
from app.presenter import presenter
from app.stability import say_stability
from app.trying import answered_in_words, colours_of
from stg_core.maps.summary import FEATURES
from stg_core.results.run import Run
from stg_core.tasks.groups import CIFAR100_SUPERCLASSES
from stg_core.tasks.images import CLASS_NAMES

if TYPE_CHECKING:
    from stg_core.grouping.memberships import Grouping, TaskSpace

TEXTS = state.ROOT / "assets" / "lesson.toml"
SHOWN = ("inertia", "silhouette", "stability")  # of the measures, those that the text names
DIGITS = 50
POINTS = 100  # of a task's sample, spread evenly from hard to easy


def bundled(name: str) -> Run:
    return state.shared().store.run(f"bundled:{name}")


def space_of(run: Run) -> TaskSpace:
    return state.task_space(run, tuple(run.summary.epochs.tolist()), FEATURES)


def grouped(run: Run, k: int, fuzzifier: float = 2.0) -> tuple[Grouping, list[int]]:
    """The tasks of a run in k clusters, and the colour of each cluster."""
    from stg_core.grouping.memberships import cluster_colours, group_tasks

    space = space_of(run)
    grouping = group_tasks(space, k, fuzzifier)
    return grouping, cluster_colours(space, grouping.labels, k).tolist()


# ------------------------------------------------------------- one control and picture per step


def task_group() -> None:
    classes = CLASS_NAMES["cifar10"]
    image_class = st.selectbox(
        "An image of a …",
        classes,
        index=classes.index("frog"),
        **in_url("lesson_class", OneOf(classes)),
        help="The class of an image in CIFAR-10.",
    )
    group = bundled("g2").spec.group
    lesson_images.of_class(group.dataset, image_class)
    charts.answers(group, image_class, tuple(classes))


def confidence() -> None:
    run, task, known = lesson_images.with_images((bundled("g1"), "cat"), (bundled("digits"), "9"))
    summary = run.summary
    t = summary.tasks.tolist().index(task)
    hardest_first = np.argsort(summary.sample[-1, 0, t], kind="stable")
    place = live_slider(
        "Image, from the hardest to the easiest",
        range(1, POINTS + 1),
        POINTS // 2,
        key="lesson_point",
        help="A hundred training images in the order of their confidence after the last epoch.",
    )
    chosen = hardest_first[round((place - 1) * (len(hardest_first) - 1) / (POINTS - 1))]
    if run.id != "bundled:g1":
        st.caption(
            "Handwritten digits, and the task *9* for *cat*: the images of CIFAR-10 are not on this"
            " machine."
        )
    if known:
        lesson_images.point(run, task, int(chosen), known)
    else:
        images.wait_for_images(run)
    charts.path(summary, task, int(chosen))


def complementary() -> None:
    run = bundled("g2")
    first, others = "Living being", [t for t in run.spec.tasks if t != "Living being"]
    second = st.selectbox(
        f"Compare {first} with",
        others,
        index=others.index("Not living being"),
        **in_url("lesson_task", OneOf(others)),
        help="Another task of G2.",
    )
    space = space_of(run)
    here = space.distances[space.tasks.index(first), space.tasks.index(second)]
    usual = space.distances[np.triu_indices(len(space.tasks), 1)].mean()
    st.metric(
        "Distance between the two",
        f"{here / usual:.2f} of the mean",
        help="Of their data maps, image by image, over the mean distance of two tasks of G2.",
    )
    for column, task in zip(st.columns(2), (first, second), strict=True):
        with column:
            st.markdown(f"**{task}**")
            charts.density(run.summary, task, key=f"map of {task}")


def random() -> None:
    k = live_slider(
        "Clusters (k)",
        range(2, 10),
        2,
        key="lesson_k",
        help="How many clusters the fifteen tasks of G2 are put in.",
    )
    with widgets.answers("stability"):
        say_stability(bundled("g2"), space_of(bundled("g2")), k)
    show_memberships("lesson random", {"k": "lesson_k"}, k)


def fuzzifier() -> None:
    chosen = live_slider(
        "Fuzzifier (m)",
        widgets.FUZZIFIERS,
        2.0,
        key="lesson_fuzzifier",
        help="Near 1 every task belongs to one cluster; larger shares it out.",
        show="{:.2f}".format,
    )
    show_memberships("lesson fuzzifier", {"fuzzifier": "lesson_fuzzifier"}, 3, chosen)


def show_memberships(key: str, sliders: dict[str, str], k: int, fuzzifier: float = 2.0) -> None:
    """Of G2, following these sliders in the browser."""
    run = bundled("g2")
    every = send_every_k(run, space_of(run), space_of(run), "soft")
    grouping_charts.membership_heatmap(*grouped(run, k, fuzzifier), key, every, sliders)


def choosing_k() -> None:
    run = bundled("g1")
    k = live_slider(
        "Clusters (k)",
        range(2, len(run.spec.tasks)),
        5,
        key="k",
        help="How many clusters the ten tasks of G1 are put in.",
    )
    say_stability(run, space_of(run), k)
    grouping, _ = grouped(run, k)
    st.markdown(
        "  ·  ".join(
            f"**{j + 1}** {', '.join(np.array(grouping.tasks)[grouping.labels == j])}"
            for j in range(k)
        )
    )
    space, derived = space_of(run), state.shared().derived
    answer = derived.choice(run, space, 2.0, "soft")
    if answer.value:
        grouping_charts.every_k(answer.value, k, shown=SHOWN)
    elif answer.pending:
        st.info("The tasks are being grouped for every k; this takes some seconds, once.")
    widgets.wait_for(answer, lambda: derived.choice(run, space, 2.0, "soft"))


def superclasses() -> None:
    from stg_core.grouping.agreement import agreement_with, built_in_reference

    run = bundled("g3")
    grouping, colours = grouped(run, len(CIFAR100_SUPERCLASSES))
    reference = built_in_reference(run.spec.group, grouping.tasks)
    assert reference is not None
    chosen = st.selectbox(
        "Superclass",
        list(CIFAR100_SUPERCLASSES),
        **in_url("lesson_superclass", OneOf([*CIFAR100_SUPERCLASSES])),
        help="Five classes of CIFAR-100 that people put together by their meaning.",
    )
    panel = next(p for p in agreement_with(reference, grouping).panels if p.label == chosen)
    lesson_images.classes("cifar100", panel.tasks)
    agreement_charts.membership_panels(
        [panel], grouping, colours, "Memberships in the twenty clusters"
    )
    of = dict(zip(grouping.tasks, grouping.labels, strict=True))
    st.markdown("**Where they are, and with whom**")
    clusters = []
    for j in sorted({of[task] for task in panel.tasks}):
        together = [task for task in grouping.tasks if of[task] == j]
        named = (f"**{task}**" if task in panel.tasks else task for task in together)
        clusters.append(f"- cluster {j + 1}: {', '.join(named)}")
    st.markdown("\n".join(clusters).replace("_", " "))


def specialists() -> None:
    grouping, colours = grouped(bundled("g2"), 3)
    cluster = live_slider(
        "Specialist",
        range(1, 4),
        1,
        key="lesson_specialist",
        help="One for each cluster of G2 at k = 3.",
    )
    weights = grouping.memberships[:, cluster - 1]
    charts.loss_weights(grouping.tasks, weights, cluster, colours[cluster - 1])
    if not state.presenting():
        st.page_link(
            state.SPECIALISTS,
            label="Did it pay? What we found",
            icon=":material/groups:",
            query_params={"result": "g2-k3"},
        )


def try_it() -> None:
    models = model_files.bundled("digits")
    run = models.run
    assert run is not None, "it is bundled too"
    points = try_points.points_to_try(models, run, "test")
    if points is None:
        images.wait_for_images(run)
        return
    said = try_points.ask_all(models, points, run)
    order = try_points.choose(models, said, points.labels, try_points.DISPUTED, None)
    place = live_slider(
        "Digit, the most disputed first",
        range(1, min(DIGITS, len(order)) + 1),
        1,
        key="lesson_digit",
        help="Test images, by how far apart specialists are that give different answers.",
    )
    at = int(order[place - 1])
    answered = Answered(models, said.of(at), points.labels[at])
    left, right = st.columns([1, 5], vertical_alignment="center")
    left.image(images.enlarged(points.inputs[at]), alt=points.called(at), width=images.SIDE)
    with right:
        answered_in_words(answered)
    answer_charts.answers(answered, points.called(at), colours_of(models, run), "lesson answers")
    if not state.presenting():
        st.page_link(state.TRY, label="Try other points", icon=":material/photo_camera:")


STEPS: tuple[Callable[[], None], ...] = (
    task_group,
    confidence,
    complementary,
    random,
    fuzzifier,
    choosing_k,
    superclasses,
    specialists,
    try_it,
)


# ------------------------------------------------------------------------------------- the page


def current() -> int:
    """The step that the URL names, from 1."""
    return int(state.kept("step", Number(1, len(STEPS), of="steps")) or 1)


def turn(by: int) -> None:
    state.keep("step", str(min(max(current() + by, 1), len(STEPS))), default="1")


def present(wanted: bool) -> None:
    state.keep("present", "1" if wanted else None)


@st.fragment
def picture(step: int) -> None:
    """In a fragment: a control moves its picture, and nothing else runs again."""
    with widgets.user_errors():
        STEPS[step - 1]()


def show() -> None:
    step = current()
    written = tomllib.loads(TEXTS.read_text())["step"][step - 1]
    stepping(step)
    words, right = st.columns([2, 3], gap="large")
    with words:
        st.header(written["title"])
        text = st.container()
        st.markdown(f"**{written['question'].strip()}**")
        answered = st.toggle("Show the answer", **in_url(f"answer_{step}", Flag()))
        if answered:
            st.info(written["answer"])
        if not (answered and state.presenting()):  # a window has room for one of them
            text.markdown(written["text"])
    with right:
        picture(step)


def stepping(step: int) -> None:
    presenting = state.presenting()
    with st.container(horizontal=True, vertical_alignment="bottom"):
        if not presenting:
            st.title("Lesson", width="content")
        st.progress(step / len(STEPS), text=f"Step {step} of {len(STEPS)}")
        st.button(
            "Back",
            icon=":material/arrow_back:",
            on_click=turn,
            args=(-1,),
            disabled=step == 1,
            key="back",
        )
        st.button(
            "Next",
            icon=":material/arrow_forward:",
            type="primary",
            on_click=turn,
            args=(1,),
            disabled=step == len(STEPS),
            key="next",
        )
        st.button(
            "Leave presenter mode" if presenting else "Presenter mode",
            icon=":material/slideshow:",
            on_click=present,
            args=(not presenting,),
            key="presenter_mode",
            help="Larger, without the sidebar; arrow keys or a presenter's remote turn the steps,"
            " Escape leaves.",
        )


if state.presenting():
    presenter(current(), turn, lambda: present(False))
show()
