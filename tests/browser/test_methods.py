"""The Methods page in a real browser: a budget is moved, and own tasks are trained."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import keep_screenshot as screenshot
from tests.browser.conftest import settled

pytestmark = pytest.mark.browser


@pytest.mark.slow
def test_the_groups_follow_the_budget(address: str, open_page: Callable[..., Page]) -> None:
    page = open_page(f"{address}/methods?table=digits-8")
    chart = page.locator("[data-testid=stVegaLiteChart]")
    expect(chart).to_have_count(1)
    expect(chart.locator(".marks")).to_be_visible()
    slider = page.get_by_role("slider", name="Budget")
    expect(slider).to_have_attribute("aria-valuetext", "3")
    told = page.locator('[aria-label*="Grid: the groups"]').first
    before = told.get_attribute("aria-label")
    slider.press("ArrowRight")
    expect(page).to_have_url(re.compile(r"[?&]budget=4"))
    expect(told).not_to_have_attribute("aria-label", before or "")
    screenshot(page, "methods_groups")
    for view in ("Quality and cost", "Affinities", "Predictions", "Scalability"):
        page.get_by_role("tab", name=view).click()
        expect(page.locator("[data-testid=stVegaLiteChart] .marks").first).to_be_visible()
        settled(page)
        screenshot(page, f"methods_{view.split()[0].lower()}")


@pytest.mark.slow
def test_groups_of_own_tasks_are_trained_from_the_page(
    own_address: str, open_page: Callable[..., Page]
) -> None:
    tasks = "&".join(f"groups_of_digits={task}" for task in ("1", "8", "Odd"))
    address = f"{own_address}/methods?table=own&{tasks}&epochs=2&models=2"
    compared = ("All+together", "STG-MTL", "TAG", "DMTG")
    address += "".join(f"&compared={title}" for title in compared)
    page = open_page(address)
    expect(page.get_by_text("Expected duration of the rest")).to_contain_text("about")
    page.get_by_role("button", name="Train", exact=True).click()
    expect(page.get_by_role("button", name="Cancel")).to_be_visible()
    screenshot(page, "methods_own_training")

    page.goto(f"{own_address}/grouping")  # the page is left: it is trained no less
    expect(page.get_by_role("heading", name="Grouping")).to_be_visible()
    page.goto(address)
    expect(page.get_by_text("All of this is trained.")).to_be_visible(timeout=120_000)
    told = page.locator('[aria-label*="Grid: the groups"]').first
    expect(told).to_have_attribute("aria-label", re.compile("STG-MTL.*DMTG"))

    page.set_viewport_size({"width": 390, "height": 1500})
    settled(page)
    wide = page.evaluate("document.documentElement.scrollWidth")
    assert wide <= 390, "nothing is wider than a phone"
    screenshot(page, "methods_own_390")
    page.get_by_role("combobox", name="Tasks").first.click()
    expect(page.get_by_role("option", name=re.compile("^1, 8, Odd: 15 questions"))).to_be_visible()
