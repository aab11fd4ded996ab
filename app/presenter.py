"""Presenter mode: everything larger, and steps by key, as a presenter's remote sends them."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

SIZE = 1.25  # of the letters, of their usual size, on a window of LARGE pixels and less
LARGE = 1600
LEAST = 0.85  # what they shrink to where a step does not fit the window
REST = 120  # milliseconds without a change of the layout, before they do

# A slider that has the focus keeps its arrow keys; page keys always turn the page. Escape first
# closes what is open. Letters only ever shrink within a step: whoever looks on sees them come to
# rest. Streamlit may end an earlier call after a later one has begun, which then is left alone.
JS = """
const TURNS = { ArrowRight: 1, ArrowLeft: -1, PageDown: 1, PageUp: -1 };
const OPEN = "[role=dialog], [role=listbox], [role=menu]";
const USUAL = 16; // pixels

let latest;

export default function ({ data, setTriggerValue }) {
  const root = document.documentElement, main = document.querySelector("[data-testid=stMain]");
  const earlier = latest, call = (latest = {});
  earlier?.end();
  let open = false, size;
  const look = () => { open = Boolean(document.querySelector(OPEN)); };
  const turn = (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey || event.defaultPrevented) return;
    if (event.key === "Escape" && !open) return setTriggerValue("left", true);
    const target = event.composedPath()[0];
    const busy = event.key.startsWith("Arrow") && target.matches?.("input, textarea, [role]");
    if (!(event.key in TURNS) || busy) return;
    event.preventDefault();
    setTriggerValue("turn", TURNS[event.key]);
  };
  const set = (wanted) => {
    size = Math.max(wanted, USUAL * data.least);
    root.style.fontSize = `${size}px`;
  };
  const shrink = () => {
    const share = main.clientHeight / main.scrollHeight;
    if (latest === call && share < 1) set(size * Math.max(Math.sqrt(share), 0.95) - 0.05);
  };
  let waiting;  // what is still being laid out may be taller than it will be
  const fit = () => {
    clearTimeout(waiting);
    waiting = setTimeout(shrink, data.rest);
  };
  const begin = () => set(USUAL * data.size * Math.max(window.innerWidth / data.large, 1));
  const resized = new ResizeObserver(fit);

  root.dataset.presenting = "";
  begin();
  resized.observe(main.firstElementChild);
  window.addEventListener("resize", begin);
  window.addEventListener("keydown", look, true);
  window.addEventListener("keydown", turn);
  call.end = () => {
    clearTimeout(waiting);
    resized.disconnect();
    window.removeEventListener("resize", begin);
    window.removeEventListener("keydown", look, true);
    window.removeEventListener("keydown", turn);
    if (latest !== call) return;
    root.style.fontSize = "";
    delete root.dataset.presenting;
  };
  return call.end;
}
"""

_presenter = st.components.v2.component("stg_explorer.presenter", js=JS)


def presenter(step: int, on_turn: Callable[[int], None], on_leave: Callable[[], None]) -> None:
    """Enlarges the page while it is shown, as far as the step fits the window.

    A key asks for the next step (1) or the last (−1); Escape leaves.
    """

    def turned() -> None:
        on_turn(int(st.session_state["presenter"]["turn"] or 0))

    _presenter(
        key="presenter",
        data={"size": SIZE, "large": LARGE, "least": LEAST, "rest": REST, "step": step},
        on_turn_change=turned,
        on_left_change=on_leave,
    )
