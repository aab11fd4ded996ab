"""Every page on a phone and on a small laptop: nothing is cut, and no words lie on others."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import keep_screenshot
from tests.browser.test_journey import settled
from tests.browser.test_looks import PAGES, drawn, look_at, open_tab

pytestmark = pytest.mark.browser

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
    const may = each.closest("[role=tablist], [data-testid=stDataFrame], code, input, svg");
    return each.clientWidth && each.textContent.trim() && overflowX !== "visible" && !may
      && each.scrollWidth > each.clientWidth + 1;
  }).map((each) => `cut: ${each.textContent.slice(0, 80)} (${each.className})`)"""


def problems(page: Page) -> list[Any]:
    drawn(page)
    return page.evaluate(COLLISIONS) + page.evaluate(CUT)


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("name", PAGES)
def test_nothing_is_cut_and_no_words_lie_on_others(
    address: str, open_page: Callable[..., Page], name: str, width: int
) -> None:
    page = open_page(f"{address}/{PAGES[name].path}", script=LISTEN, width=width)
    look_at(page, name)
    found = problems(page)
    keep_screenshot(page, f"{name}_{width}")
    for tab in PAGES[name].tabs:
        open_tab(page, tab)
        found += [f"{tab}: {problem}" for problem in problems(page)]
    for step in range(7, 0, -1) if name == "lesson" else ():
        page.get_by_role("button", name="Back").click()
        settled(page)
        found += [f"step {step}: {problem}" for problem in problems(page)]
    assert not found, "\n".join(map(str, found))


def test_a_finger_draws_a_frame_on_a_data_map_and_scrolls_beside_it(
    address: str, browser: Browser
) -> None:
    context = browser.new_context(
        viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True
    )
    page = context.new_page()
    page.goto(f"{address}/data_maps?run=bundled:g2&task=cat")
    plane = page.locator("figure.data-map .stage")
    plane.wait_for()
    settled(page)
    plane.evaluate("stage => stage.scrollIntoView({block: 'center'})")
    box, main = plane.bounding_box(), page.get_by_test_id("stMain")
    assert box is not None
    fingers = context.new_cdp_session(page)

    def move(x: float, y: float, to_x: float, to_y: float) -> None:
        """One finger, from one place of the picture to another, in pixels."""
        way = [(x + (to_x - x) * i / 8, y + (to_y - y) * i / 8) for i in range(9)]
        for i, (at, down) in enumerate(way):
            points = [{"x": box["x"] + at, "y": box["y"] + down}]
            kind = "touchMove" if i else "touchStart"
            fingers.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
            page.wait_for_timeout(20)
        fingers.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})

    scrolled = main.evaluate("main => main.scrollTop")
    move(80, 80, 220, 280)
    expect(page).to_have_url(re.compile("region="))
    assert main.evaluate("main => main.scrollTop") == scrolled
    expect(page.get_by_text("in the rectangle")).to_be_visible()
    keep_screenshot(page, "data_maps_touched")

    move(20, 300, 20, 100)  # left of the plane
    page.wait_for_function(
        "before => document.querySelector('[data-testid=stMain]').scrollTop > before", arg=scrolled
    )
    context.close()
