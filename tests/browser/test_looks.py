"""Every page as it is seen: read by everybody, in light and in dark, and switched in between."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.resources import files

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import keep_screenshot, settled
from tests.browser.looking import EVERY_PAGE, LISTEN, PAGES, drawn, look_at, open_tab, problems

pytestmark = pytest.mark.browser

AXE = (files("axe_playwright_python") / "axe.min.js").read_text()
CONTRAST = "color-contrast"  # the only rule of axe-core that a theme can break
# a rule, and what breaks it whatever we do
OF_STREAMLIT = ("presentation-role-conflict", "stFileUploaderDropzone")


def expect_access(page: Page, what: str, rules: str = "") -> None:
    """Nothing that axe-core finds, by some or all rules, keeps anybody from reading or using it."""
    drawn(page)
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE)
    options = {"resultTypes": ["violations"], **({"runOnly": rules} if rules else {})}
    found = page.evaluate("options => axe.run(document, options)", options)
    problems = [
        f"{what}: {rule['impact']} {rule['id']}: {node['html'][:200]} {node['failureSummary']}"
        for rule in found["violations"]
        for node in rule["nodes"]
        if rule["id"] != OF_STREAMLIT[0] or OF_STREAMLIT[1] not in node["html"]
    ]
    assert not problems, "\n".join(problems)


def switch(page: Page, theme: str) -> None:
    page.get_by_test_id("stMainMenu").click()
    page.get_by_test_id(f"stMainMenuItem-theme-{theme}").click()
    page.keyboard.press("Escape")
    expect(page.get_by_test_id("stMainMenuPopover")).to_have_count(0)
    settled(page)


def expect_drawn(page: Page, expected: Sequence[str], what: str) -> None:
    """What is drawn comes to be what is expected; components may come late."""
    now = drawn(page)
    for _ in range(20):
        if now == expected:
            return
        page.wait_for_timeout(300)
        now = drawn(page)
    raise AssertionError(f"{what}: {len(now)} of {len(expected)} parts, or other ones")


@pytest.mark.parametrize("name", EVERY_PAGE)
def test_every_page_is_read_by_everybody_and_has_room(
    address: str, open_page: Callable[..., Page], name: str
) -> None:
    page = open_page(f"{address}/{PAGES[name].path}", script=LISTEN)
    look_at(page, name)
    cut_or_covered = problems(page)
    expect_access(page, "light")
    for tab in PAGES[name].tabs:
        open_tab(page, tab)
        cut_or_covered += [f"{tab}: {problem}" for problem in problems(page)]
        expect_access(page, f"{tab}, light")
    assert not cut_or_covered, "\n".join(map(str, cut_or_covered))


@pytest.mark.slow
@pytest.mark.parametrize("name", PAGES)
def test_every_page_follows_the_theme(
    address: str, open_page: Callable[..., Page], name: str
) -> None:
    page, shown = open_page(f"{address}/{PAGES[name].path}"), PAGES[name]
    look_at(page, name)
    light = drawn(page)
    switch(page, "Dark")
    look_at(page, name)
    expect_access(page, "dark", CONTRAST)
    dark = drawn(page)
    keep_screenshot(page, f"looks_{name}_dark")
    if shown.picture:
        assert len(dark) == len(light) and dark != light
        page.reload()  # Streamlit remembers the choice
        look_at(page, name)
        expect_drawn(page, dark, "only a reload makes the page dark")
    for tab in shown.tabs:
        open_tab(page, tab)
        expect_access(page, f"{tab}, dark", CONTRAST)
