"""The address bar: one entry of the history per page and choice, none for a slider or a default."""

from __future__ import annotations

import streamlit as st

from app import state

REST = 300  # milliseconds after the answer to a slider's last move
SLIDERS = (  # what is moved rather than chosen
    *("k", "fuzzifier", "until", "epoch", "budget", "affinity_epoch"),
    *("lesson_point", "lesson_k", "lesson_fuzzifier", "lesson_specialist"),
)

# Streamlit makes an entry for a page and another for whatever the page then writes into its
# address, in either order, but none for a choice in one of its own widgets. Here an entry is made
# where the visitor has acted since the last one, and the address differs in more than a slider.
JS = """
let forget = () => {};

function keepHistory(sliders) {
  if (history.stgExplorer) return;
  const push = history.pushState.bind(history), replace = history.replaceState.bind(history);
  let acted = false, entered = false;  // whether the visitor acted, and an entry is made of that
  const chosen = (url) => {
    const parameters = new URLSearchParams(url.search);
    sliders.forEach((name) => parameters.delete(name));
    parameters.sort();
    return parameters.toString();
  };
  const write = (original) => (data, title, address) => {
    const here = new URL(location.href), there = new URL(address ?? here, here);
    const turned = there.pathname !== here.pathname;
    const entry = turned ? !entered : acted && chosen(there) !== chosen(here);
    if (turned || entry) [acted, entered] = [false, true];
    return (!entry ? replace : turned ? original : push)(data, title, address);
  };
  history.pushState = write(push);
  history.replaceState = write(replace);
  history.stgExplorer = true;
  for (const what of ["pointerdown", "keydown"])
    window.addEventListener(what, () => { [acted, entered] = [true, false]; }, true);
  window.addEventListener("popstate", () => { acted = entered = false; }, true);
}

export default function ({ data, setTriggerValue }) {
  keepHistory(data.sliders);
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
    _address_bar(
        key="address bar",
        data={"rest": REST, "sliders": SLIDERS},
        on_rested_change=state.say_url,
    )
