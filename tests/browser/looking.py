"""Pages as somebody looks at them: when all of one is there, what is drawn, what is cut."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import settled

VEGA = "[data-testid=stVegaLiteChart] canvas"
ANSWERS = "figure.answers canvas"


class Shown(NamedTuple):
    """A page: its address, something that it ends with, a picture that it has, and its tabs."""

    path: str
    last: str
    picture: str = ""
    tabs: Sequence[str] = ()


PAGES = {
    "start": Shown("", "Tick a run to open it."),
    "start_own_tasks": Shown("?group=custom", "Tick a run to open it."),
    "data_maps": Shown(
        "data_maps?region=0,0.3,0.4,1", "Click one to see it large.", "figure.data-map canvas"
    ),
    "grouping": Shown(
        "grouping",
        "Does it pay?",
        "figure.memberships canvas",
        ("Clusters", "Which k?", "Distances", "Export"),
    ),
    "agreement": Shown("agreement?run=bundled:g3", "merged", VEGA),
    "specialists": Shown("specialists?run=bundled:g1", "Do they specialise?", VEGA),
    "specialists_costs": Shown("specialists?result=tox21-k2", "Do they specialise?", VEGA),
    "methods": Shown(
        "methods?table=digits-8",
        "Each task has the number",
        VEGA,
        ("Quality and cost", "Affinities", "Predictions", "Scalability", "How they work"),
    ),
    "methods_seeds": Shown("methods", "Better than random groups", VEGA),
    "study": Shown("study", "Not run:", VEGA),
    "lesson_specialists": Shown("lesson?step=8&answer_8=true", "Did it pay?", VEGA),
    "lesson": Shown("lesson?step=9&answer_9=true", "Try other points", ANSWERS),
    "try": Shown("try", "About these models", ANSWERS),
    "try_training": Shown("try?input=Training", "About these models", "figure.place canvas"),
    "try_upload": Shown("try?input=Upload", "The answers are shown here."),
}
# Every page is looked at before a change; those that show more at another address, there too by
# `make slow`.
ELSEWHERE = (
    *("start_own_tasks", "specialists_costs", "methods_seeds", "lesson_specialists"),
    *("try_training", "try_upload"),
)
EVERY_PAGE = [pytest.param(n, marks=[pytest.mark.slow] * (n in ELSEWHERE)) for n in PAGES]

# What is drawn, as it is now: canvases pixel by pixel, and what has colours of clusters in HTML;
# sliders too, which are there only some time after their page.
DRAWN = """() => {
  const found = [...document.querySelectorAll("[data-testid=stVegaLiteChart] canvas, .stHtml li")];
  for (const { shadowRoot } of document.querySelectorAll("[data-testid=stBidiComponentIsolated]")) {
    if (!shadowRoot) continue;
    found.push(...shadowRoot.querySelectorAll("canvas:not([hidden]), .card, label, output"));
  }
  const pixels = (canvas) => canvas.width && canvas.height
    ? new Uint32Array(
        canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data.buffer)
    : [];
  return found.map((each) => each.matches("canvas")
    ? String(pixels(each).reduce((sum, pixel) => (Math.imul(sum, 31) + pixel) | 0, 0))
    : each.innerHTML);
}"""
# A component's page is there before its script has run, on a busy machine for seconds.
BEGUN = """() => [...document.querySelectorAll("[data-testid=stBidiComponentIsolated]")].every(
  ({ shadowRoot }) => [...(shadowRoot?.querySelectorAll("label, figure") ?? [])].every(
    (each) => each.matches("label") ? each.textContent : each.querySelector("canvas")))"""


def drawn(page: Page) -> list[str]:
    """What is drawn, once nothing more comes."""
    page.wait_for_function(BEGUN)
    now, before = page.evaluate(DRAWN), None
    while now != before:
        page.wait_for_timeout(300)
        now, before = page.evaluate(DRAWN), now
    return now


def look_at(page: Page, name: str) -> None:
    """Waits until a page is there as a whole."""
    shown = PAGES[name]
    expect(page.get_by_test_id("stMain").get_by_text(shown.last).last).to_be_visible()
    if shown.picture:
        expect(page.locator(shown.picture).first).to_be_visible()
    settled(page)


def open_tab(page: Page, name: str) -> None:
    page.get_by_role("tab", name=name).click()
    settled(page)


# -------------------------------------------------------------------------- cut or covered

# Notes where each canvas has which words, in pixels of the screen. What is drawn when a canvas was
# emptied counts; an angle turns the box about its corner.
LISTEN = """
const words = (window.words = new Map());
const pen = CanvasRenderingContext2D.prototype, { fillText, clearRect } = pen;
pen.clearRect = function (...box) {
  if (box[2] >= 0.9 * this.canvas.clientWidth) words.delete(this.canvas);
  return clearRect.apply(this, box);
};
const { set, get } = Object.getOwnPropertyDescriptor(HTMLCanvasElement.prototype, "width");
Object.defineProperty(HTMLCanvasElement.prototype, "width", {
  get, set(value) { words.delete(this); set.call(this, value); },
});
pen.fillText = function (text, x, y, ...rest) {
  const { a, b, c, d, e, f } = this.getTransform(), size = this.measureText(text);
  const scale = this.canvas.width / this.canvas.clientWidth, angle = Math.atan2(b, a);
  const corner = (px, py) => {
    const [sx, sy] = [(a * px + c * py + e) / scale, (b * px + d * py + f) / scale];
    return [sx, sy];
  };
  const corners = [
    corner(x - size.actualBoundingBoxLeft, y - size.actualBoundingBoxAscent),
    corner(x + size.actualBoundingBoxRight, y - size.actualBoundingBoxAscent),
    corner(x + size.actualBoundingBoxRight, y + size.actualBoundingBoxDescent),
    corner(x - size.actualBoundingBoxLeft, y + size.actualBoundingBoxDescent),
  ];
  if (!words.has(this.canvas)) words.set(this.canvas, new Map());
  words.get(this.canvas).set(corners.join(), { text, angle, corners });
  return fillText.call(this, text, x, y, ...rest);
};
"""
# Words that are cut by the edge of their picture, lie on other words or under a button.
COLLISIONS = """() => {
  const found = [], near = 1.5;
  const box = (corners) => {
    const [xs, ys] = [corners.map(([x]) => x), corners.map(([, y]) => y)];
    return [Math.min(...xs), Math.min(...ys), Math.max(...xs), Math.max(...ys)];
  };
  const turned = (corners, angle) => corners.map(([x, y]) => [
    x * Math.cos(angle) + y * Math.sin(angle), y * Math.cos(angle) - x * Math.sin(angle),
  ]);
  const meet = ([a, b, c, d], [e, f, g, h]) =>
    a + near < g && e + near < c && b + near < h && f + near < d;
  for (const [canvas, told] of window.words) {
    const picture = canvas.closest("[data-testid=stVegaLiteChart], .stage");
    if (!picture || !canvas.isConnected || !canvas.clientWidth) continue; // of a closed tab
    const all = [...told.values()].filter(({ text }) => String(text).trim());
    const { left, top } = canvas.getBoundingClientRect();
    const buttons = [...(canvas.closest("figure")?.querySelectorAll("button") ?? [])].map((one) => {
      const at = one.getBoundingClientRect();
      return [at.left - left, at.top - top, at.right - left, at.bottom - top];
    });
    all.forEach(({ text, angle, corners }, i) => {
      const [x, , to] = box(corners);
      if (x < -near || to > canvas.clientWidth + near) found.push(`cut: ${text}`);
      if (buttons.some((one) => meet(box(corners), one))) found.push(`under a button: ${text}`);
      for (const other of all.slice(i + 1)) {
        if (Math.abs(other.angle - angle) > 0.01) continue;
        const [one, two] = [corners, other.corners].map((each) => box(turned(each, angle)));
        const numbers = /^\\d+$/.test(text) && /^\\d+$/.test(other.text); // of points, as they lie
        if (!numbers && meet(one, two)) found.push(`${text} lies on ${other.text}`);
      }
    });
  }
  return found;
}"""
# Parts of the page that are wider than their room: cut, or to be scrolled sideways.
CUT = """() => [...document.querySelectorAll("[data-testid=stMain], [data-testid=stMain] *")]
  .filter((each) => {
    const { overflowX } = getComputedStyle(each);
    const scrolls = "[role=tablist], [data-testid=stDataFrame], [data-testid=stCode]";
    const may = each.closest(`${scrolls}, code, input, svg`);
    return each.clientWidth && each.textContent.trim() && overflowX !== "visible" && !may
      && each.scrollWidth > each.clientWidth + 1;
  }).map((each) => `cut: ${each.textContent.slice(0, 80)} (${each.className})`)"""


def problems(page: Page) -> list[Any]:
    drawn(page)
    return page.evaluate(COLLISIONS) + page.evaluate(CUT)


def slider(page: Page, name: str) -> Locator:
    return page.get_by_role("slider", name=name)


def picture(page: Page, name: str) -> str:
    """What is drawn there now."""
    canvas = page.locator(f"figure.{name} .stage canvas").first
    drawn: str = canvas.evaluate("canvas => canvas.toDataURL()")
    return drawn


def expect_another(page: Page, name: str, before: str) -> None:
    for _ in range(200):
        if picture(page, name) != before:
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"The picture {name} is still the same.")
