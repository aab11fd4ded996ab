"""A slider that answers while it is dragged; Streamlit's own one answers when it is let go."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import streamlit as st

from app import state
from app.parameters import Step
from app.task_pictures import FOLDER

Value = TypeVar("Value", int, float)

HTML = """
<div class="head">
  <label for="range"></label><span class="help" tabindex="0" role="note">?</span>
</div>
<div class="row">
  <button type="button"></button>
  <input id="range" type="range" min="0" step="1">
  <output for="range"></output>
</div>
"""

CSS = """
:host, .head, .row { font-family: var(--st-font); color: var(--st-text-color); }
.head { display: flex; gap: .5rem; align-items: center; font-size: .875rem; }
.row { display: flex; gap: .75rem; align-items: center; height: 2.25rem; }
input { flex: 1; min-width: 0; accent-color: var(--st-primary-color); cursor: pointer; }
input:disabled { cursor: not-allowed; opacity: .4; }
output { min-width: 3ch; text-align: right; font-variant-numeric: tabular-nums; font-weight: 600; }
button { width: 2.25rem; height: 2.25rem; cursor: pointer; color: inherit; font-size: 1rem;
  background: var(--st-secondary-background-color);
  border: 1px solid var(--st-border-color); border-radius: var(--st-button-radius); }
.help { width: 1.1rem; height: 1.1rem; line-height: 1.1rem; border-radius: 50%; cursor: help;
  text-align: center; font-size: .75rem; border: 1px solid var(--st-border-color); opacity: .8; }
"""

_slider = st.components.v2.component(
    "stg_explorer.live_slider",
    html=HTML,
    css=CSS,
    js="\n".join(
        path.read_text() for path in (FOLDER / "hand.js", Path(__file__).with_suffix(".js"))
    ),
)


def live_slider(
    label: str,
    options: Sequence[Value],
    default: Value,
    *,
    key: str,
    help: str,
    of: str = "",
    play: bool = False,
    disabled: bool = False,
    thinned: bool = False,
    show: Callable[[Value], str] = str,
) -> Value:
    """One of the ascending `options`, kept in the URL as `key`; `play` adds a button that walks on.

    of: what the largest option counts, such as "tasks"; thinned: see `Step`.

    Inside a fragment, only that fragment runs again while the slider is dragged, and only when it
    rests where pictures follow it by themselves: see `app.task_pictures`.
    """
    mounted = f"{key} slider"

    def said(value: Value) -> str | None:
        # another run may have another default, and is not to inherit this one
        return None if value == default else str(value)

    def moved() -> None:
        index, rested, _ = st.session_state[mounted]["moved"]
        if 0 <= int(index) < len(options):
            keep = state.keep if rested else state.keep_moving
            keep(key, said(options[int(index)]))

    linked = state.kept(key, Step(options, of, thinned))
    value = next((option for option in options if str(option) == linked), default)
    state.keep(key, said(value))
    _slider(
        key=mounted,
        data={
            "name": key,
            "values": list(options),
            "label": label,
            "texts": [show(option) for option in options],
            "index": list(options).index(value),
            "help": help,
            "play": play,
            "disabled": disabled,
        },
        default={"moved": None},
        on_moved_change=moved,
    )
    return value
