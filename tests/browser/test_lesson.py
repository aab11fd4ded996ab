"""The lesson, played to its end as a teacher does."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import ROOT, keep_screenshot, settled, stopped
from tests.browser.looking import LISTEN, drawn, expect_another, picture, problems

pytestmark = pytest.mark.browser

WRITTEN = tomllib.loads((ROOT / "assets" / "lesson.toml").read_text())["step"]
OpenPage = Callable[..., Page]


def at_step(page: Page, number: int) -> None:
    expect(page.get_by_role("heading", name=WRITTEN[number - 1]["title"])).to_be_visible()


@pytest.mark.slow
def test_the_lesson_is_played_to_its_end(address: str, open_page: OpenPage) -> None:
    page = open_page(f"{address}/lesson", script=LISTEN)
    cut_or_covered = []
    for number, written in enumerate(WRITTEN, start=1):
        at_step(page, number)
        settled(page)
        cut_or_covered += [f"step {number}: {problem}" for problem in problems(page)]
        answer = page.get_by_text("Show the answer")
        expect(answer).to_have_count(1)  # the last step's may still be there
        answer.click()
        first_words = " ".join(written["answer"].replace("*", "").split()[:4])
        expect(page.get_by_role("status").filter(has_text=first_words)).to_be_visible()
        if number == 5:
            keep_screenshot(page, "lesson")
        if number < len(WRITTEN):
            page.get_by_role("button", name="Next").click()
    expect(page.get_by_role("button", name="Next")).to_be_disabled()
    assert not cut_or_covered, "\n".join(cut_or_covered)


def test_the_fuzzifier_makes_shares_even_while_the_class_looks_on(
    address: str, open_page: OpenPage
) -> None:
    page = open_page(f"{address}/lesson?step=5")
    fuzzifier = page.get_by_role("slider", name="Fuzzifier (m)")
    fuzzifier.focus()
    fuzzifier.press("Home")
    expect(fuzzifier).to_have_attribute("aria-valuetext", "1.01")
    expect(page).to_have_url(f"{address}/lesson?step=5&lesson_fuzzifier=1.01")


@pytest.mark.parametrize("step", [4, 5])
def test_memberships_follow_a_slider_while_the_server_does_nothing(
    address: str, open_page: OpenPage, step: int
) -> None:
    page = open_page(f"{address}/lesson?step={step}")
    slider = page.get_by_role("slider")
    slider.focus()
    page.wait_for_function("window.stgExplorerHand?.sent.size > 0")
    settled(page)
    before = picture(page, "memberships")
    with stopped(address):
        slider.press("ArrowRight")
        expect_another(page, "memberships", before)


@pytest.mark.slow
def test_presenter_mode_is_larger_and_follows_the_keys(address: str, open_page: OpenPage) -> None:
    page = open_page(f"{address}/lesson")
    at_step(page, 1)
    size = "() => parseFloat(getComputedStyle(document.documentElement).fontSize)"
    before = page.evaluate(size)
    page.get_by_role("button", name="Presenter mode").click()
    expect(page.get_by_test_id("stSidebarNavLink")).to_have_count(0)
    page.wait_for_function(f"({size})() > {before}")
    page.locator("body").press("ArrowRight")
    at_step(page, 2)
    page.locator("body").press("PageDown")
    at_step(page, 3)
    page.locator("body").press("ArrowLeft")
    at_step(page, 2)
    keep_screenshot(page, "lesson_presented")
    page.reload()
    at_step(page, 2)
    page.get_by_role("button", name="Leave presenter mode").click()
    expect(page.get_by_test_id("stSidebarNavLink")).not_to_have_count(0)
    page.wait_for_function(f"({size})() === {before}")

    page.get_by_role("button", name="Presenter mode").click()
    page.get_by_role("button", name="Back").click()
    at_step(page, 1)
    page.get_by_role("combobox").click()
    page.keyboard.press("Escape")  # closes the list, and nothing else
    expect(page.get_by_role("listbox")).to_have_count(0)
    expect(page.get_by_test_id("stSidebarNavLink")).to_have_count(0)
    page.keyboard.press("Escape")
    expect(page.get_by_test_id("stSidebarNavLink")).not_to_have_count(0)
    page.wait_for_function(f"({size})() === {before}")
    expect(page).not_to_have_url(re.compile("present"))


@pytest.mark.slow
def test_a_step_that_is_presented_fits_the_window_with_its_answer(
    address: str, open_page: OpenPage
) -> None:
    page = open_page(f"{address}/lesson?present=1")
    page.set_viewport_size({"width": 1280, "height": 800})
    for number, written in enumerate(WRITTEN, start=1):
        at_step(page, number)
        for width, height in ((1280, 800), (1920, 1080)):
            page.set_viewport_size({"width": width, "height": height})
            expect_fits(page)
        page.get_by_text("Show the answer").last.click()
        first_words = " ".join(written["answer"].replace("*", "").split()[:4])
        expect(page.get_by_role("status").filter(has_text=first_words)).to_be_visible()
        for width, height in ((1920, 1080), (1280, 800)):
            page.set_viewport_size({"width": width, "height": height})
            expect_fits(page)
        keep_screenshot(page, f"lesson_presented_{number}")
        page.locator("body").press("PageDown")


def expect_fits(page: Page) -> None:
    """Nothing is below the window, with letters as large as on a usual page, or nearly so."""
    drawn(page)
    page.wait_for_timeout(300)
    main = "document.querySelector('[data-testid=stMain]')"
    page.wait_for_function(f"{main}.scrollHeight <= {main}.clientHeight")
    letters = page.evaluate("parseFloat(getComputedStyle(document.documentElement).fontSize)")
    assert letters >= 15, (page.url, letters)
