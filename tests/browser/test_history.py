"""The Back button: one press per page and per choice, and none for a slider."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browser.looking import picture, slider

pytestmark = pytest.mark.browser


def length(page: Page) -> int:
    return int(page.evaluate("history.length"))


def at_rest(page: Page) -> None:
    """Until a page has written all that it writes into its address."""
    expect(page.get_by_test_id("stStatusWidget")).to_have_count(0)
    page.wait_for_timeout(1500)


@pytest.mark.slow
def test_back_walks_through_pages_and_choices_in_reverse(
    open_page: Callable[..., Page], address: str
) -> None:
    page = open_page(address)
    page.wait_for_function("history.stgExplorer")
    expect(page.get_by_role("heading", name="Task groups")).to_be_visible()
    at_rest(page)
    begun = length(page)

    page.get_by_role("link", name="Grouping", exact=True).first.click()
    expect(page.get_by_role("heading", name="Grouping")).to_be_visible()
    slider = page.get_by_role("slider", name="Clusters (k)")
    expect(slider).to_be_visible()
    at_rest(page)
    assert length(page) == begun + 1

    slider.focus()
    for _ in range(4):
        page.keyboard.press("ArrowRight")
    expect(page).to_have_url(re.compile(r"k=7"))
    at_rest(page)
    assert length(page) == begun + 1

    page.get_by_role("link", name="Lesson", exact=True).click()
    expect(page.get_by_text("Step 1 of 9")).to_be_visible()
    at_rest(page)
    assert length(page) == begun + 2
    page.get_by_role("button", name="Next").click()
    expect(page.get_by_text("Step 2 of 9")).to_be_visible()
    at_rest(page)
    assert length(page) == begun + 3

    page.go_back()
    expect(page.get_by_text("Step 1 of 9")).to_be_visible()
    at_rest(page)
    page.go_back()
    expect(page.get_by_role("heading", name="Grouping")).to_be_visible()
    expect(page.locator("output").first).to_have_text("7")
    expect(page).to_have_url(re.compile(r"k=7"))
    at_rest(page)
    page.go_back()
    expect(page.get_by_role("heading", name="Task groups")).to_be_visible()
    at_rest(page)
    assert length(page) == begun + 3


def move(page: Page, name: str, key: str, times: int, to: str) -> None:
    """Moves a slider with the keyboard, until the address has what it says then."""
    for _ in range(times):
        slider(page, name).press(key)
    expect(slider(page, name)).to_have_attribute("aria-valuetext", to)
    expect(page).to_have_url(re.compile(f"={to}(&|$)"))
    at_rest(page)


@pytest.mark.slow
def test_back_and_forward_move_the_sliders_of_a_grouping(
    open_page: Callable[..., Page], address: str
) -> None:
    """What was moved stays with the last choice that made an entry, here that of a view."""
    page = open_page(f"{address}/grouping?run=bundled:digits")
    k, fuzzifier = "Clusters (k)", "Fuzzifier (m)"
    move(page, k, "ArrowRight", 2, "5")
    move(page, fuzzifier, "ArrowLeft", 1, "1.99")
    drawn = picture(page, "memberships")
    page.get_by_role("tab", name="Clusters").click()
    expect(page).to_have_url(re.compile("show=Clusters"))
    at_rest(page)
    move(page, k, "ArrowRight", 1, "6")
    move(page, fuzzifier, "ArrowLeft", 2, "1.97")

    page.go_back()
    for name, value in ((k, "5"), (fuzzifier, "1.99")):
        expect(slider(page, name)).to_have_attribute("aria-valuetext", value)
    expect(page).to_have_url(re.compile("k=5"))
    at_rest(page)
    assert picture(page, "memberships") == drawn
    page.go_forward()
    for name, value in ((k, "6"), (fuzzifier, "1.97")):
        expect(slider(page, name)).to_have_attribute("aria-valuetext", value)


@pytest.mark.slow
def test_back_and_forward_move_the_recorded_epoch_of_a_data_map(
    open_page: Callable[..., Page], address: str
) -> None:
    page = open_page(f"{address}/data_maps?run=bundled:digits")
    name = "Recorded epoch"
    move(page, name, "ArrowLeft", 1, "24")
    drawn = picture(page, "data-map")
    page.get_by_role("radio", name="positives").click()
    expect(page).to_have_url(re.compile("points=positives"))
    at_rest(page)
    move(page, name, "ArrowLeft", 2, "12")

    page.go_back()
    expect(slider(page, name)).to_have_attribute("aria-valuetext", "24")
    at_rest(page)
    assert picture(page, "data-map") == drawn
    page.go_forward()
    expect(slider(page, name)).to_have_attribute("aria-valuetext", "12")


@pytest.mark.parametrize("late", [False, True], ids=["page first", "address first"])
def test_a_page_and_what_it_writes_are_one_entry_in_either_order(
    open_page: Callable[..., Page], address: str, late: bool
) -> None:
    """On a slow machine Streamlit writes what a page chose before it writes which page it is."""
    page = open_page(address)
    page.wait_for_function("history.stgExplorer")
    at_rest(page)
    begun = length(page)
    way = ["/grouping", "/grouping?run=some"]
    if late:
        way = ["/?run=some", "/grouping?run=some"]
    page.evaluate(
        """way => {
            window.dispatchEvent(new PointerEvent("pointerdown"));
            for (const address of way) history.pushState({}, "", address);
        }""",
        way,
    )
    assert length(page) == begun + 1
    assert page.url == f"{address}/grouping?run=some"
