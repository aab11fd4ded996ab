"""Real images beside the lesson's pictures: CIFAR's, or handwritten digits where those are absent.

The digits come with scikit-learn, so there is always something real to see; a caption says which
images they are. Nothing is downloaded for them.
"""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from app import images
from app.examples import class_images
from app.images import RunImages
from stg_core.results.run import Run
from stg_core.system.errors import UserError
from stg_core.tasks.images import CLASS_NAMES, DATASET_TITLES, where_images_belong

WIDTH = 56  # pixels of the screen


def of_class(dataset: str, name: str) -> None:
    """An image of a class, and the same upside down; where it is absent, a digit in its place."""
    place = CLASS_NAMES[dataset].index(name)
    here = class_images(dataset)
    if here is None:
        here, said = class_images("digits"), f"A handwritten {place} instead"
        why = f": the images of {DATASET_TITLES[dataset]} are not on this machine"
    else:
        said, why = f"A training image of {DATASET_TITLES[dataset]}: {name}", ""
    assert here is not None
    left, right = st.columns([1, 3], vertical_alignment="center")
    left.image(
        [here[place], here[place][::-1]], alt=[said, f"{said}, upside down"], width=WIDTH - 8
    )
    right.caption(
        f"{said}, as it is and upside down, as half of the images are{why}.",
        help=where_images_belong(dataset) if why else None,
    )


def classes(dataset: str, names: Sequence[str]) -> None:
    """An image of each of some classes; where they are absent, says how to have them."""
    if class_images(dataset) is not None:
        _row(dataset, names)
        st.caption(f"Training images of {DATASET_TITLES[dataset]}, one of each class.")
    else:
        st.caption(
            f"Here would be an image of each, were those of {DATASET_TITLES[dataset]} on this"
            " machine.",
            help=where_images_belong(dataset),
        )


def _row(dataset: str, names: Sequence[str]) -> None:
    found = class_images(dataset, names)
    assert found is not None
    shown = [name.replace("_", " ") for name in names]
    alts = [f"A training image of class {name}" for name in shown]
    st.image(list(found), caption=shown, alt=alts, width=WIDTH + 16)


def with_images(*choices: tuple[Run, str]) -> tuple[Run, str, RunImages | None]:
    """The first of some runs, each with a task, whose images can be shown; None: they are prepared.

    The last one where no run's can.
    """
    for run, task in choices:
        try:
            return run, task, images.images_of(run)
        except UserError:
            continue
    return run, task, None


def point(run: Run, task: str, sampled: int, known: RunImages) -> None:
    """The image of a sampled point of a task, and what the model was told and thought of it."""
    summary = run.summary
    t = summary.tasks.tolist().index(task)
    index = int(summary.sample_indices[t, sampled])
    yes = "yes" if summary.sample_positive[t, sampled] else "no"
    sure = float(summary.sample[-1, 0, t, sampled])
    turned = ", upside down" if known.turned[index] else ""
    left, right = st.columns([1, 5], vertical_alignment="center")
    left.image(known.enlarged(index), alt=f"Training point {index}", width=images.SIDE)
    right.markdown(
        f"Training point {index} of {DATASET_TITLES[run.spec.group.dataset]}: an image of class"
        f" **{known.name(index)}**{turned}. Is it *{task}*? The true answer is **{yes}**, and its"
        f" confidence {sure:.2f}."
    )
