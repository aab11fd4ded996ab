"""A newcomer's way: explores bundled results, trains digits, moves both sliders."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import keep_screenshot as screenshot
from tests.browser.conftest import settled

pytestmark = pytest.mark.browser

TRAINING_MS = 240_000


def chart(page: Page) -> Locator:
    drawn = page.locator("[data-testid=stVegaLiteChart] .marks, figure .stage").first
    drawn.wait_for()
    return drawn


def expect_change(page: Page, before: bytes) -> bytes:
    """Waits until the chart no longer looks as it did; returns what it looks like now."""
    for _ in range(40):
        settled(page)
        now = chart(page).screenshot()
        if now != before:
            return now
    raise AssertionError("the heatmap did not change")


def test_a_fresh_machine_opens_on_bundled_results(
    address: str, open_page: Callable[..., Page]
) -> None:
    page = open_page(f"{address}/grouping")
    expect(page.get_by_role("heading", name="Grouping")).to_be_visible()
    expect(page.get_by_role("combobox", name="Run")).to_have_value(re.compile("bundled"))
    expect(page).to_have_url(re.compile("run=bundled(%3A|:)digits"))
    expect(page.get_by_role("slider", name="Clusters (k)")).to_have_attribute("aria-valuetext", "3")
    chart(page)


def test_digits_from_the_start_page_to_the_heatmap(
    own_address: str, open_page: Callable[..., Page]
) -> None:
    page = open_page(f"{own_address}/?epochs=4")
    expect(page.get_by_role("heading", name="Which tasks belong together?")).to_be_visible()
    expected = page.get_by_text("Expected duration")
    expect(expected).to_contain_text(re.compile("about"), timeout=TRAINING_MS)
    page.get_by_test_id("stMain").get_by_role("button", name="Run", exact=True).click()
    expect(
        page.get_by_text("15 questions about handwritten digits, tiny_cnn, 4 epochs").first
    ).to_be_visible()

    finished = page.get_by_text("Finished. Open it on:")
    expect(page.get_by_text("Time left").or_(finished)).to_be_visible()
    screenshot(page, "start_running")
    page.get_by_role("link", name="Data maps").first.click()
    expect(page.get_by_role("heading", name="Data maps")).to_be_visible()
    page.get_by_role("link", name="Start").first.click()
    expect(page.get_by_role("heading", name="Progress")).to_be_visible()
    page.reload()
    expect(finished).to_be_visible(timeout=TRAINING_MS)
    settled(page)
    screenshot(page, "start_finished")

    page.get_by_test_id("stMain").get_by_role("link", name="Grouping").last.click()
    expect(page.get_by_role("heading", name="Grouping")).to_be_visible()
    expect(page.get_by_role("combobox", name="Run")).to_have_value(
        re.compile("handwritten digits, tiny_cnn")
    )
    settled(page)
    seen = chart(page).screenshot()
    page.get_by_role("slider", name="Clusters (k)").press("ArrowRight")
    expect(page).to_have_url(re.compile(r"[?&]k=4"))
    seen = expect_change(page, seen)
    page.get_by_role("slider", name="Fuzzifier (m)").press("PageUp")
    expect(page).to_have_url(re.compile(r"[?&]fuzzifier=2\."))
    expect_change(page, seen)

    page.reload()
    expect(page.get_by_role("slider", name="Clusters (k)")).to_have_attribute("aria-valuetext", "4")
    expect(page.get_by_role("combobox", name="Run")).to_have_value(
        re.compile("handwritten digits, tiny_cnn")
    )


def test_a_link_to_a_run_of_another_machine_says_so(
    address: str, open_page: Callable[..., Page]
) -> None:
    page = open_page(f"{address}/data_maps?run=0123456789abcdef")
    expect(page.get_by_role("alert")).to_contain_text("There is no run “0123456789abcdef”")
