"""The Methods page in a real browser: a budget is moved, and the groups follow."""

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
    page = open_page(f"{address}/methods")
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
