"""A slider that answers while it is dragged; Streamlit's own one answers when it is let go."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import streamlit as st

from app import state
from app.parameters import Step

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

# While one value is on its way, later ones wait, and only the last of them is sent after the
# answer: a fast drag makes no backlog. The thumb belongs to the hand that moves it: an answer that
# comes late must not pull it back.
JS = """
const PATIENCE = 3000, STEP = 900;

export default function ({ data, parentElement, setStateValue }) {
  const find = (what) => parentElement.querySelector(what);
  const range = find("input"), shown = find("output"), play = find("button"), help = find(".help");
  const tell = () => {
    shown.textContent = data.texts[range.value];
    range.setAttribute("aria-valuetext", data.texts[range.value]);
  };
  const answered = () => {
    clearTimeout(range.patience);
    range.sent = undefined;
  };
  const tellAddressBar = () => window.dispatchEvent(new Event("stg-explorer-moved"));
  const send = () => {
    const wanted = Number(range.value);
    if (range.sent !== undefined || wanted === range.known) return;
    range.sent = wanted;
    range.patience = setTimeout(() => {
      answered();
      tellAddressBar();
      if (Number(range.value) !== wanted) send();
    }, PATIENCE);
    setStateValue("moved", [wanted, Date.now()]);
  };
  const stop = () => {
    clearInterval(range.timer);
    range.timer = null;
    play.textContent = "\\u25B6";
    play.setAttribute("aria-label", "Play " + data.label);
  };
  const advance = () => {
    if (range.sent !== undefined) return;
    if (Number(range.value) >= data.texts.length - 1) return stop();
    range.value = Number(range.value) + 1;
    tell();
    send();
  };

  find("label").textContent = data.label;
  help.title = data.help;
  help.setAttribute("aria-label", data.help);
  range.max = data.texts.length - 1;
  range.disabled = data.disabled;
  play.hidden = !data.play;
  range.known = data.index;
  if (range.sent === data.index) {
    answered();
    tellAddressBar();
    requestAnimationFrame(() => setTimeout(send));  // what came with the answer is drawn first
  } else if (range.sent === undefined) {
    range.value = data.index;
  }
  tell();
  if (!range.timer) stop();

  range.oninput = () => { stop(); tell(); send(); };
  play.onclick = () => {
    if (range.timer) return stop();
    const ended = Number(range.value) >= data.texts.length - 1;
    range.value = ended ? 0 : Number(range.value) + 1;
    range.timer = setInterval(advance, STEP);
    play.textContent = "\\u23F8";
    play.setAttribute("aria-label", "Pause " + data.label);
    tell();
    send();
  };
  return () => { stop(); answered(); };
}
"""

_slider = st.components.v2.component("stg_explorer.live_slider", html=HTML, css=CSS, js=JS)


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

    Inside a fragment, only that fragment runs again while the slider is dragged.
    """
    mounted = f"{key} slider"

    def said(value: Value) -> str | None:
        # another run may have another default, and is not to inherit this one
        return None if value == default else str(value)

    def moved() -> None:
        index, _ = st.session_state[mounted]["moved"]
        if 0 <= int(index) < len(options):
            state.keep_moving(key, said(options[int(index)]))

    linked = state.kept(key, Step(options, of, thinned))
    value = next((option for option in options if str(option) == linked), default)
    state.keep(key, said(value))
    _slider(
        key=mounted,
        data={
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
