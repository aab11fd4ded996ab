"""What somebody new does first: one of three buttons, and pointing at what is on the maps."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.browser.conftest import PATIENCE_MS, keep_screenshot, settled

pytestmark = pytest.mark.browser

OpenPage = Callable[..., Page]
LARGEST = 20_000  # bytes that may come when a pointer rests


def heading(page: Page, name: str) -> Locator:
    return page.get_by_role("heading", name=name, exact=True)


def drawn(page: Page, picture: str) -> Locator:
    stage = page.locator(f"figure.{picture} .stage").first
    expect(stage).to_be_visible()
    page.wait_for_timeout(500)
    return stage


def tip(page: Page) -> Locator:
    return page.locator(".tip:visible")


def expect_image(page: Page) -> None:
    image = tip(page).locator("img")
    expect(image).to_be_visible(timeout=2 * PATIENCE_MS)  # digits are prepared first
    assert image.evaluate("image => image.complete && image.naturalWidth > 0")


def test_three_buttons_lead_a_newcomer(address: str, open_page: OpenPage) -> None:
    page = open_page(address)
    page.set_viewport_size({"width": 1280, "height": 720})
    menu = page.get_by_test_id("stSidebarNavLink")
    expect(menu).to_have_count(9)
    assert [link.inner_text().split()[-1] for link in menu.all()][:2] == ["Start", "Lesson"]
    expect(heading(page, "Train a model")).not_to_be_in_viewport()
    settled(page)  # what is clicked while the page is still drawn is lost
    page.get_by_role("button", name="Train", exact=True).click()
    expect(heading(page, "Train a model")).to_be_in_viewport()
    expect(page.get_by_role("button", name="Run", exact=True)).to_be_in_viewport()
    page.get_by_test_id("stDataFrame").hover()
    downloads = page.locator('button[aria-label^="Download as CSV"]')
    expect(downloads).to_have_count(1)
    expect(downloads).to_be_hidden()  # it would hand a spreadsheet formulas
    page.get_by_role("button", name="Begin with the lesson").click()
    expect(heading(page, "Lesson")).to_be_visible()
    page.get_by_role("link", name="Start").first.click()
    page.get_by_role("button", name="Explore a finished run").click()
    expect(heading(page, "Data maps")).to_be_visible(timeout=2 * PATIENCE_MS)
    expect(page).to_have_url(re.compile("run=bundled(%3A|:)digits"))


def place_of(page: Page) -> tuple[float, float]:
    """Where on its picture the thing is that a tip shows."""
    left, top = tip(page).evaluate("({ style }) => [parseFloat(style.left), parseFloat(style.top)]")
    return left - 16, top - 16  # pixels that a tip is away from a pointer


def test_what_is_pointed_at_shows_its_image(address: str, open_page: OpenPage) -> None:
    page = open_page(f"{address}/data_maps?run=bundled:digits&task=9")
    stage = drawn(page, "data-map")
    stage.press("ArrowRight")  # with the keyboard: the hardest point
    expect(tip(page)).to_contain_text("Training point")
    expect_image(page)
    expect(tip(page)).to_contain_text("An image of class")
    expect(page.locator(".spoken").first).to_contain_text("An image of class")
    keep_screenshot(page, "data_map_image")
    stage.press("Escape")
    expect(tip(page)).to_have_count(0)

    page.goto(f"{address}/grouping?run=bundled:digits&map=mds")
    stage = drawn(page, "map")
    stage.press("ArrowRight")
    expect_image(page)
    expect(tip(page)).to_contain_text("A yes, for example: an image of class")
    keep_screenshot(page, "task_map_image")


@pytest.mark.slow
def test_a_mouse_and_a_finger_show_the_same(
    address: str, browser: Browser, open_page: OpenPage
) -> None:
    """The hardest point of a map, which nothing else lies on."""
    url = f"{address}/data_maps?run=bundled:digits&task=Random"
    page = open_page(url)
    sizes: list[int] = []
    page.on("websocket", lambda ws: ws.on("framereceived", lambda frame: sizes.append(len(frame))))
    page.reload()
    stage = drawn(page, "data-map")
    stage.press("ArrowRight")
    expect_image(page)
    said, (x, y) = tip(page).inner_text(), place_of(page)
    stage.press("Escape")
    sizes.clear()
    stage.press("ArrowLeft")  # the easiest: another one
    expect_image(page)
    assert sum(sizes) < LARGEST, sizes
    stage.press("Escape")
    page.mouse.move(0, 0)
    stage.hover(position={"x": x, "y": y})
    expect_image(page)
    assert tip(page).inner_text() == said

    context = browser.new_context(has_touch=True, viewport={"width": 1280, "height": 1500})
    phone = context.new_page()
    phone.goto(url)
    drawn(phone, "data-map").tap(position={"x": x, "y": y})
    expect_image(phone)
    assert tip(phone).inner_text() == said
    context.close()
