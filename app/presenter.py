"""Presenter mode: everything larger, and steps by key, as a presenter's remote sends them."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

SIZE = "max(20px, 1.25vw)"  # of a root em, of which all else is a multiple; usually 16px

# A slider that has the focus keeps its arrow keys; page keys always turn the page.
JS = """
const TURNS = { ArrowRight: 1, ArrowLeft: -1, PageDown: 1, PageUp: -1 };

let undo = () => {};

export default function ({ data, setTriggerValue }) {
  const turn = (event) => {
    const target = event.composedPath()[0];
    const busy = event.key.startsWith("Arrow") && target.matches?.("input, textarea, [role]");
    if (!(event.key in TURNS) || busy || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    setTriggerValue("turn", TURNS[event.key]);
  };
  undo();
  document.documentElement.style.fontSize = data.size;
  window.addEventListener("keydown", turn);
  undo = () => {
    document.documentElement.style.fontSize = "";
    window.removeEventListener("keydown", turn);
  };
  return undo;
}
"""

_presenter = st.components.v2.component("stg_explorer.presenter", js=JS)


def presenter(on_turn: Callable[[int], None]) -> None:
    """Enlarges the page while it is shown; a key asks for the next step (1) or the last (−1)."""

    def turned() -> None:
        on_turn(int(st.session_state["presenter"]["turn"] or 0))

    _presenter(key="presenter", data={"size": SIZE}, on_turn_change=turned)
