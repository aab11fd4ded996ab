"""What is pointed at in a picture: a point of a data map, or an example of a task.

An image where the points are images, and what people call the point.

The browser asks for it when a pointer rests, and keeps it. All images of a data map's sample would
be megabytes, of which a visitor looks at a few; one of them is some kilobytes, and what a slider
moves sends none. Where the images are not on this machine, pictures have none and nothing is asked.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import streamlit as st
from numpy.typing import NDArray
from PIL import Image

from app import images
from app.images import RunImages, as_picture
from app.logged_points import LoggedPoints
from app.points import Rows
from stg_core.results.logged import LoggedRun
from stg_core.results.run import Run
from stg_core.system.errors import UserError
from stg_core.tasks.datasets import has_data_set
from stg_core.tasks.images import has_images, prepared_images

Things = Literal["points", "tasks"]
Glance = dict[str, Any]
Known = RunImages | Rows | LoggedPoints
LONGEST = 12  # digits of a point: a browser may send anything

# A picture says LOOKS and hears SEEN: see task_pictures/glance.js.
JS = """
const LOOKS = "stg-explorer-looks", SEEN = "stg-explorer-seen", MOST = 500;
const known = new Map();
let forget = () => {};

export default function ({ data, setTriggerValue }) {
  const { of, glance } = data;
  const key = (name) => JSON.stringify([of, name]);
  const tell = (name) => {
    const detail = { of, name, ...known.get(key(name)) };
    window.dispatchEvent(new CustomEvent(SEEN, { detail }));
  };
  const looks = ({ detail }) => {
    if (detail.of !== of) return;
    if (known.has(key(detail.name))) tell(detail.name);
    else setTriggerValue("looks", detail.name);
  };
  if (glance) {
    if (known.size >= MOST) known.clear();
    known.set(key(glance.name), glance);
    tell(glance.name);
  }
  forget();
  window.addEventListener(LOOKS, looks);
  forget = () => window.removeEventListener(LOOKS, looks);
  return forget;
}
"""

_glances = st.components.v2.component("stg_explorer.glances", js=JS)


def whose(run: Run, things: Things) -> str | None:
    """What a picture of such things calls its `glances`; None where the images are not here."""
    group = run.spec.group
    if isinstance(run, LoggedRun):
        here = bool(LoggedPoints(run).kind)
    elif group.is_own:
        here = has_data_set(group)
    else:
        here = has_images(group.dataset) or prepared_images(group.dataset) is not None
    return f"{things} of {run.id}" if here else None


@st.fragment
def answer(run: Run, things: Things) -> None:
    """Answers who points at such a thing; call it once, below the pictures.

    In a fragment: nothing else runs again when something is pointed at.
    """
    of, key, find = whose(run, things), f"glances of {things}", FIND[things]
    if of is None:
        return
    asked = f"{key} asked"

    def looked() -> None:
        st.session_state[asked] = of, str(st.session_state[key]["looks"])

    asker, name = st.session_state.get(asked) or (None, "")
    found, glance = True, None
    if asker == of:
        try:
            known = _known(run)
            found = known is not None
            glance = known and (find(run, known, name) or _nothing(name))
        except UserError:  # they are not those of this run
            glance = _nothing(name)
    if found:
        st.session_state.pop(asked, None)
    else:
        images.draw_again_when_prepared(run)
    _glances(key=key, data={"of": of, "glance": glance}, on_looks_change=looked)


def _known(run: Run) -> Known | None:
    if isinstance(run, LoggedRun):
        return LoggedPoints(run)
    return Rows(run) if run.spec.group.has_rows else images.images_of(run)


def _of_point(run: Run, known: Known, name: str) -> Glance | None:
    index = int(name) if name.isdecimal() and len(name) < LONGEST else -1
    n_points = len(known) if isinstance(known, LoggedPoints) else len(known.points)
    if not 0 <= index < n_points:
        return None
    return _glance(name, known, index, "")


def _of_task(run: Run, known: Known, name: str) -> Glance | None:
    """Of the sampled points whose true answer is yes, the one that the model was surest of.

    One that is not upside down, where there is one: that is another task's question.
    """
    summary = run.summary
    if name not in summary.tasks.tolist():
        return None
    yes = summary.task_map(name, int(summary.epochs[-1]), "positives").indices
    if not len(yes):
        return None
    upright = yes[~known.turned[yes]] if isinstance(known, RunImages) else yes
    index = int(upright[-1] if len(upright) else yes[-1])
    return _glance(name, known, index, "A yes, for example: ")


def _glance(name: str, known: Known, index: int, before: str) -> Glance:
    if isinstance(known, Rows | LoggedPoints):
        image = ""
        if isinstance(known, LoggedPoints) and known.kind == "images":
            image = as_url(known.image(index))
        return {"name": name, "image": image, "lines": [before + known.called(index)]}
    turned = ", upside down" if known.turned[index] else ""
    said = f"an image of {known.called(index)}{turned}"
    lines = [before + said if before else said[0].upper() + said[1:]]
    return {"name": name, "image": as_url(known.image(index)), "lines": lines}


FIND: dict[Things, Callable[[Run, Known, str], Glance | None]] = {
    "points": _of_point,
    "tasks": _of_task,
}


def _nothing(name: str) -> Glance:
    return {"name": name, "image": "", "lines": []}


def as_url(image: NDArray[np.uint8]) -> str:
    """An image (H, W, C) as a browser shows it without asking for it."""
    file = io.BytesIO()
    Image.fromarray(as_picture(image).squeeze()).save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
