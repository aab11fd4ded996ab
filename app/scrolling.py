"""Moves the page to one of its headings: a link of Streamlit's within a page is no button."""

from __future__ import annotations

from itertools import count

import streamlit as st

# The keyboard follows: the next Tab goes on from the heading.
JS = """
export default function ({ data }) {
  const heading = document.getElementById(data.anchor);
  if (!heading) return;
  heading.scrollIntoView({ behavior: "smooth", block: "start" });
  heading.tabIndex = -1;
  heading.focus({ preventScroll: true });
}
"""

_scrolling = st.components.v2.component("stg_explorer.scrolling", js=JS)
_calls = count()


def scroll_to(anchor: str) -> None:
    """Once, for this run of the page: call it where a button was pressed."""
    _scrolling(key="scrolling", data={"anchor": anchor, "call": next(_calls)})
