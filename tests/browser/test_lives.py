"""How long a picture lives: Streamlit says late, and in any order, which of its showings ended."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import BrowserContext

from app.task_pictures import FOLDER, SHARED

pytestmark = pytest.mark.browser

SHOWN = """() => {
  const host = document.body.appendChild(document.createElement("div"));
  const root = host.attachShadow({ mode: "open" });
  root.innerHTML = '<div class="view"><figure class="one"></figure></div>';
  const make = () => new View(root, [{ name: "one" }], "it");
  const closes = [1, 2].map(() => viewOf(root, make).close);
  const canvases = [];
  const look = () => canvases.push(root.querySelectorAll("canvas").length);
  for (const close of closes.toReversed()) { close(); look(); }
  host.remove();
  for (const close of closes) { close(); look(); }
  return canvases;
}"""


def test_a_picture_ends_when_it_leaves_the_page_and_not_before(context: BrowserContext) -> None:
    page = context.new_page()
    page.add_script_tag(content="\n".join((FOLDER / f"{one}.js").read_text() for one in SHARED))
    canvases: list[Any] = page.evaluate(SHOWN)
    page.close()
    assert canvases == [2, 2, 0, 0], "the base and what is drawn above it"
