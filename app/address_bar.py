"""Writes into the address bar what the sliders say, once they rest."""

from __future__ import annotations

import streamlit as st

from app import state

REST = 300  # milliseconds after the answer to a slider's last move

JS = """
let forget = () => {};

export default function ({ data, setTriggerValue }) {
  let waiting;
  const moved = () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => setTriggerValue("rested", true), data.rest);
  };
  forget();
  window.addEventListener("stg-explorer-moved", moved);
  forget = () => {
    clearTimeout(waiting);
    window.removeEventListener("stg-explorer-moved", moved);
  };
  return forget;
}
"""

_address_bar = st.components.v2.component("stg_explorer.address_bar", js=JS)


@st.fragment
def address_bar() -> None:
    """In a fragment: nothing else runs again when the sliders rest."""
    _address_bar(key="address bar", data={"rest": REST}, on_rested_change=state.say_url)
