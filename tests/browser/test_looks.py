"""Every page as it is seen: read by everybody, in light and in dark, and switched in between."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.resources import files
from typing import NamedTuple

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import keep_screenshot
from tests.browser.test_journey import settled

pytestmark = pytest.mark.browser

AXE = (files("axe_playwright_python") / "axe.min.js").read_text()
CONTRAST = "color-contrast"  # the only rule of axe-core that a theme can break

VEGA = "[data-testid=stVegaLiteChart] canvas"


class Shown(NamedTuple):
    """A page: its address, something that it ends with, a picture that it has, and its tabs."""

    path: str
    last: str
    picture: str = ""
    tabs: Sequence[str] = ()


PAGES = {
    "start": Shown("", "Tick a run to open it."),
    "start_own_tasks": Shown("?group=custom", "Tick a run to open it."),
    "data_maps": Shown(
        "data_maps?region=0,0.3,0.4,1", "Click one to see it large.", "figure.data-map canvas"
    ),
    "grouping": Shown(
        "grouping",
        "Does it pay?",
        "figure.memberships canvas",
        ("Clusters", "Which k?", "Distances", "Export"),
    ),
    "superclasses": Shown("superclasses?run=bundled:g3", "merged", VEGA),
    "specialists": Shown("specialists?run=bundled:g1", "Do they specialise?", VEGA),
    "methods": Shown(
        "methods",
        "Each task has the number",
        VEGA,
        ("Quality and cost", "Affinities", "Predictions", "Scalability", "How they work"),
    ),
    "lesson": Shown("lesson?step=8&answer_8=true", "Did it pay?", VEGA),
}
# What is drawn, as it is now: canvases pixel by pixel, and what has colours of clusters in HTML;
# sliders too, which are there only some time after their page.
DRAWN = """() => {
  const found = [...document.querySelectorAll("[data-testid=stVegaLiteChart] canvas, .stHtml li")];
  for (const { shadowRoot } of document.querySelectorAll("[data-testid=stBidiComponentIsolated]")) {
    if (!shadowRoot) continue;
    found.push(...shadowRoot.querySelectorAll("canvas:not([hidden]), .card, label, output"));
  }
  return found.map((each) => each.toDataURL?.() ?? each.innerHTML);
}"""


# A component's page is there before its script has run, on a busy machine for seconds.
BEGUN = """() => [...document.querySelectorAll("[data-testid=stBidiComponentIsolated]")].every(
  ({ shadowRoot }) => [...(shadowRoot?.querySelectorAll("label, figure") ?? [])].every(
    (each) => each.matches("label") ? each.textContent : each.querySelector("canvas")))"""


def drawn(page: Page) -> list[str]:
    """What is drawn, once nothing more comes."""
    page.wait_for_function(BEGUN)
    now, before = page.evaluate(DRAWN), None
    while now != before:
        page.wait_for_timeout(300)
        now, before = page.evaluate(DRAWN), now
    return now


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
    ]
    assert not problems, "\n".join(problems)


def look_at(page: Page, name: str) -> None:
    """Waits until a page is there as a whole."""
    shown = PAGES[name]
    expect(page.get_by_test_id("stMain").get_by_text(shown.last).last).to_be_visible()
    if shown.picture:
        expect(page.locator(shown.picture).first).to_be_visible()
    settled(page)


def open_tab(page: Page, name: str) -> None:
    page.get_by_role("tab", name=name).click()
    settled(page)


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


@pytest.mark.parametrize("name", PAGES)
def test_every_page_is_read_by_everybody_and_follows_the_theme(
    address: str, open_page: Callable[..., Page], name: str
) -> None:
    page, shown = open_page(f"{address}/{PAGES[name].path}"), PAGES[name]
    look_at(page, name)
    expect_access(page, "light")
    light = drawn(page)
    for tab in shown.tabs:
        open_tab(page, tab)
        expect_access(page, f"{tab}, light")

    switch(page, "Dark")
    for tab in reversed(shown.tabs):
        open_tab(page, tab)
        expect_access(page, f"{tab}, dark", CONTRAST)
    if shown.tabs:
        page.get_by_role("tab").first.click()
    look_at(page, name)
    expect_access(page, "dark", CONTRAST)
    dark = drawn(page)
    keep_screenshot(page, f"looks_{name}_dark")
    if shown.picture:
        assert len(dark) == len(light) and dark != light
        page.reload()  # Streamlit remembers the choice
        look_at(page, name)
        expect_drawn(page, dark, "only a reload makes the page dark")
