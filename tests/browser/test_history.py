"""The Back button: one press per page and per choice, and none for a slider."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

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
