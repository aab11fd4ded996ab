"""Pages on a phone: nothing is cut, no words lie on others, and a finger does what a mouse does."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import keep_screenshot, settled
from tests.browser.looking import EVERY_PAGE, LISTEN, PAGES, look_at, open_tab, problems

pytestmark = pytest.mark.browser

PHONE = 390  # pixels


@pytest.mark.parametrize("name", EVERY_PAGE)
def test_on_a_phone_nothing_is_cut_and_no_words_lie_on_others(
    address: str, open_page: Callable[..., Page], name: str
) -> None:
    page = open_page(f"{address}/{PAGES[name].path}", script=LISTEN, width=PHONE)
    look_at(page, name)
    found = problems(page)
    keep_screenshot(page, f"{name}_{PHONE}")
    for tab in PAGES[name].tabs:
        open_tab(page, tab)
        found += [f"{tab}: {problem}" for problem in problems(page)]
    assert not found, "\n".join(map(str, found))


@pytest.mark.slow
def test_on_a_phone_every_step_of_the_lesson_has_room(
    address: str, open_page: Callable[..., Page]
) -> None:
    page = open_page(f"{address}/lesson", script=LISTEN, width=PHONE)
    found = []
    for step in range(1, 9):  # the last one is among the pages
        expect(page.get_by_text(f"Step {step} of 9")).to_be_visible()
        settled(page)
        found += [f"step {step}: {problem}" for problem in problems(page)]
        page.get_by_role("button", name="Next").click()
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
