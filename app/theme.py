"""Light and dark: what was drawn for the one is drawn anew when the visitor turns to the other."""

from __future__ import annotations

import streamlit as st

from app import state

# Streamlit calls this again whenever the theme is another one, but runs no page again by itself;
# what Python drew would keep its colours. Told twice about one theme, nothing more is asked: where
# Python does not learn of it, asking again would never end. What lies outside the app's own
# element, such as dialogs, has its scheme from the root of the document.
JS = """
let asked;

export default function ({ data, parentElement, setTriggerValue }) {
  const style = getComputedStyle(parentElement.host);
  const brush = document.createElement("canvas").getContext("2d");
  brush.fillStyle = style.getPropertyValue("--st-background-color").trim();
  brush.fillRect(0, 0, 1, 1);
  const [r, g, b] = brush.getImageData(0, 0, 1, 1).data;
  const shown = r + g + b < 384 ? "dark" : "light";
  document.documentElement.style.colorScheme = shown;
  if (shown !== data.drawn && shown !== asked) setTriggerValue("switched", shown);
  asked = shown === data.drawn ? undefined : shown;
}
"""

_theme = st.components.v2.component("stg_explorer.theme", js=JS)


def follow_theme() -> None:
    """Has the whole page drawn anew, once, when the visitor switches the theme."""
    drawn = "dark" if state.dark() else "light"
    _theme(key="theme", data={"drawn": drawn}, on_switched_change=lambda: None)
