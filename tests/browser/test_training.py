"""A person watches digits train: the pages move on by themselves, and lose nothing meanwhile."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import settled
from tests.browser.looking import PAGES, expect_another, picture, slider

pytestmark = [pytest.mark.browser, pytest.mark.slow]

EPOCHS = 1000  # more than are waited for
STARTS_MS = 180_000  # until the process that trains has loaded its libraries, and two epochs
SCROLLED = "document.querySelector('[data-testid=stMain]').scrollTop"


def epoch_of(page: Page) -> int:
    """How far the page says that the training is."""
    text = page.get_by_text(f"of {EPOCHS}, still training").first.inner_text()
    found = re.search(r"Epoch (\d+)", text)
    assert found, text
    return int(found[1])


def test_pages_follow_a_training_and_keep_what_was_chosen(
    own_address: str, open_page: Callable[..., Page]
) -> None:
    start = open_page(f"{own_address}/?group=digits&epochs={EPOCHS}")
    start.set_default_timeout(STARTS_MS)
    start.get_by_test_id("stMain").get_by_role("button", name="Run", exact=True).click()
    opened = start.locator("a[href*='data_maps?run=']").first
    opened.wait_for()
    run = (opened.get_attribute("href") or "").partition("run=")[2]

    maps = open_page(f"{own_address}/data_maps?run={run}&task=Odd&region=0,0.3,0,0.5")
    grouping = open_page(f"{own_address}/grouping?run={run}")
    slider(grouping, "Clusters (k)").press("ArrowRight")
    slider(grouping, "Fuzzifier (m)").press("ArrowLeft")
    expect(grouping).to_have_url(re.compile("k=4"))
    maps.get_by_text(PAGES["data_maps"].last).wait_for()  # before that there is nothing below
    settled(maps)
    maps.mouse.move(400, 700)
    maps.mouse.wheel(0, 400)
    maps.wait_for_function(f"{SCROLLED} > 0")
    maps.wait_for_timeout(500)
    place = maps.evaluate(SCROLLED)

    for page, name in ((maps, "data-map"), (grouping, "memberships")):
        for _ in range(2):
            epoch, before = epoch_of(page), picture(page, name)
            expect_another(page, name, before)
            assert epoch_of(page) > epoch
    assert maps.evaluate(SCROLLED) == place
    expect(maps.get_by_role("combobox", name="Task")).to_have_value("Odd")
    expect(maps).to_have_url(re.compile("region=0"))
    expect(slider(grouping, "Clusters (k)")).to_have_attribute("aria-valuetext", "4")
    expect(slider(grouping, "Fuzzifier (m)")).to_have_attribute("aria-valuetext", "1.99")

    start.get_by_role("button", name="Cancel").click()
    expect(start.get_by_text("Cancelled; run it again to go on from here.")).to_be_visible()
    for page in (maps, grouping):
        expect(page.get_by_text("still training")).to_have_count(0)
