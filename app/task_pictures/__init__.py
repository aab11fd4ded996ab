"""Pictures of tasks, drawn on canvas and linked in the browser.

What a slider moves is drawn here and not by Vega: a picture is redrawn in milliseconds. Where all
that it takes is in the browser (`send`), it follows a slider without asking Python, which hears
of it when the hand rests (see live_slider.js, hand.js, grouping.js). A task that is pointed at in
one picture is marked in all of them at once, without a rerun; a task that is clicked stays marked,
in the URL as `marked`. Each picture exports itself as SVG and PNG.

A picture's header holds what its JavaScript reads: `names` (of what can be pointed at) with what
each one `says`, `shown` where names stand with a mark, `alt` (a text alternative per picture) and
`file` (the end of an exported file's name), `glances` where there are images of what is pointed at
(see `app.glances`), and what the charts that draw with it add.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from app import state
from app.parameters import OneOf

FOLDER = Path(__file__).parent
SHARED = ("pen", "theme", "glance", "head", "message", "view")
GROUPING = ("hand", "formula", "grouping")
PICTURES = ("lens", "heatmap", "zoom", "map", "memberships")
WALK = "Arrow keys walk through the tasks, Enter marks one everywhere, Escape takes it back."

# Told the rectangle: variability from and to, confidence from and to; or None.
Brushed = Callable[[list[float] | None], None]

FIND = '<div class="find" hidden></div>'
HEATMAP = '<figure class="memberships"></figure>'
MAP = '<figure class="map"><div class="kinds" role="radiogroup" aria-label="Map"></div></figure>'


def _component(name: str, html: str, *scripts: str) -> Any:
    return st.components.v2.component(
        f"stg_explorer.{name}",
        html=f'<div class="view">{html}</div>',
        css=(FOLDER / "view.css").read_text(),
        js=_joined(*SHARED, *scripts),
    )


def _joined(*scripts: str) -> str:
    return "\n".join((FOLDER / f"{script}.js").read_text() for script in scripts)


_heatmap = _component("heatmap", HEATMAP, *GROUPING, *PICTURES)
_memberships = _component(
    "memberships",
    f'<dl class="quality"></dl>{FIND}<div class="pictures">{HEATMAP}{MAP}</div>',
    *GROUPING,
    "find",
    *PICTURES,
)
_clusters = _component(
    "clusters",
    f'{FIND}<div class="cards"></div><button type="button" class="rest" hidden></button>',
    *GROUPING,
    "find",
    "clusters",
)
_distances = _component(
    "distances",
    f'{FIND}<figure class="distances"></figure>',
    *GROUPING,
    "find",
    "heatmap",
    "tree",
    "distances",
)
_blocks = _component(
    "blocks",
    f'{FIND}<figure class="blocks"></figure><figure class="block"></figure>',
    *GROUPING,
    "find",
    "heatmap",
    "tree",
    "blocks",
)
_contingency = _component(
    "contingency",
    f'{FIND}<figure class="contingency"></figure>',
    "find",
    "heatmap",
    "contingency",
)
_panels = _component("panels", '<figure class="panels"></figure>', *GROUPING, "heatmap", "panels")
_choice = _component("choice", '<figure class="which-k"></figure>', "heatmap", "choice")

_data_map = _component(
    "data_map", '<figure class="data-map"></figure>', "hand", "density", "data_map"
)
_small_maps = _component(
    "small_maps", '<figure class="small-maps"></figure>', "density", "small_maps"
)

_answers = _component("answers", '<figure class="answers"></figure>', "hand", "density", "answers")
_answers_and_place = _component(
    "answers_and_place",
    '<div class="pictures"><figure class="answers"></figure><figure class="place"></figure></div>',
    "hand",
    "density",
    "answers",
)

_sent = st.components.v2.component("stg_explorer.sent", js=_joined("message", "hand", "sent"))

NOTHING: NDArray[np.float64] = np.empty(0)


def heatmap(header: dict[str, Any], memberships: NDArray[np.float64], key: str) -> None:
    """Membership heatmap alone."""
    _show_tasks(_heatmap, key, header, memberships)


def memberships(header: dict[str, Any], memberships: NDArray[np.float64]) -> None:
    """Quality, membership heatmap and map of the tasks, whose kind is kept in the URL as `map`."""
    key = "memberships pictures"

    def chosen() -> None:
        state.keep("map", st.session_state[key]["map"][0])

    _show_tasks(_memberships, key, header, memberships, map=chosen)


def all_of(
    name: str, each: Iterable[tuple[float, dict[str, Any], NDArray[np.floating[Any]]]]
) -> bytes:
    """A message with headers and numbers for each value that a slider may have."""
    parts = list(each)
    headers = [{"at": at, "size": values.size, **header} for at, header, values in parts]
    return message({"of": name, "each": headers}, np.concatenate([v.ravel() for *_, v in parts]))


def send(message: bytes, key: str) -> None:
    """Sends such a message to the browser, for the pictures whose header has its name as `every`.

    Streamlit sends the same bytes only once.
    """
    _sent(key=f"sent_{key}", data=message)


def clusters(header: dict[str, Any], memberships: NDArray[np.float64]) -> None:
    """A card per cluster."""
    _show_tasks(_clusters, "clusters pictures", header, memberships)


def distances(
    header: dict[str, Any], memberships: NDArray[np.float64], distances: NDArray[np.float64]
) -> None:
    """Clustered heatmap of the distances with its dendrogram."""
    values = np.concatenate([memberships.ravel(), distances.ravel()])
    _show_tasks(_distances, "distances pictures", header, values)


def blocks(header: dict[str, Any], *values: NDArray[np.float64]) -> None:
    """Mean distances between clusters, and those within the block that was chosen, kept as `block`.

    values: memberships, mean distances (k, k), and distances of the block's tasks, if one is.
    """
    key = "blocks pictures"

    def unfolded() -> None:
        state.keep("block", st.session_state[key]["block"][0])

    joined = np.concatenate([each.ravel() for each in values])
    _show_tasks(_blocks, key, header, joined, block=unfolded)


def contingency(header: dict[str, Any]) -> None:
    """Tasks by label and cluster."""
    _show_tasks(_contingency, "contingency pictures", header, NOTHING)


def panels(header: dict[str, Any], memberships: NDArray[np.float64]) -> None:
    """A small membership heatmap per label."""
    _show_tasks(_panels, "panels pictures", header, memberships)


def choice(header: dict[str, Any], k: int, kept_as: str) -> None:
    """Small charts over k; a click on them takes a k, as the slider of this key does."""
    key = "choice pictures"

    def chosen() -> None:
        state.keep(kept_as, st.session_state[key]["chosen"][0])

    told = {
        "keys": "Arrow keys walk through the numbers of clusters, Enter takes one.",
        "chosen": str(k),
        "required": True,
    }
    _show(_choice, key, {**header, **told}, NOTHING, chosen=chosen)


def answers(
    header: dict[str, Any], values: NDArray[np.float64], key: str, with_place: bool
) -> None:
    """What models say of a point; with_place: and where that is in the data map of a task."""
    _show_tasks(_answers_and_place if with_place else _answers, key, header, values)


def data_map(
    header: dict[str, Any], values: NDArray[np.float64], key: str, on_brush: Brushed | None
) -> None:
    """Data map of one task; with `on_brush`, which is told it, a rectangle can be dragged over."""

    def brushed() -> None:
        if on_brush:
            on_brush(st.session_state[key]["region"][0])

    keys = "Arrow keys walk through the single points, from the hardest to the easiest."
    if on_brush:
        keys += " Drag a rectangle to see its images; Escape removes it."
    _show(_data_map, key, {**header, "keys": keys, "brush": bool(on_brush)}, values, region=brushed)


def small_maps(
    header: dict[str, Any], values: NDArray[np.float64], on_click: Callable[[str], None]
) -> None:
    """Data maps of many tasks; `on_click` is told which task is clicked."""
    key = "small maps"

    def clicked() -> None:
        on_click(st.session_state[key]["chosen"][0])

    told = {"keys": "Arrow keys walk through the tasks, Enter shows one large.", "chosen": None}
    _show(_small_maps, key, {**header, **told}, values, chosen=clicked)


def marked(tasks: tuple[str, ...]) -> str | None:
    """The task that the visitor has clicked, or that a link names."""
    return state.kept("marked", OneOf(tasks, empty=True))


def message(header: dict[str, Any], values: NDArray[np.floating[Any]]) -> bytes:
    """Length of the JSON, the JSON, 32-bit floats: read in view.js."""
    described = json.dumps(header, separators=(",", ":")).encode()
    return struct.pack("<I", len(described)) + described + values.astype("<f4").tobytes()


def _show_tasks(
    component: Any,
    key: str,
    header: dict[str, Any],
    values: NDArray[np.float64],
    **changed: Callable[[], None],
) -> None:
    def chosen() -> None:
        state.keep("marked", st.session_state[key]["chosen"][0])

    task = marked(header["names"])
    state.keep("marked", task)
    told = {"keys": WALK, "chosen": task}
    _show(component, key, {**header, **told}, values, chosen=chosen, **changed)


def _show(
    component: Any,
    key: str,
    header: dict[str, Any],
    values: NDArray[np.float64],
    **changed: Callable[[], None],
) -> None:
    component(
        key=key,
        data=message(header, values),
        default=dict.fromkeys(changed),
        **{f"on_{name}_change": call for name, call in changed.items()},
    )
