"""Every page as it is seen: read by everybody, in light and in dark, and switched in between."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.resources import files

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import keep_screenshot
from tests.browser.test_journey import settled

pytestmark = pytest.mark.browser

AXE = (files("axe_playwright_python") / "axe.min.js").read_text()

# Of each page: its address, something that it ends with, and the tabs that it has besides.
PAGES: dict[str, tuple[str, str, Sequence[str]]] = {
    "start": ("", "Tick a run to open it.", ()),
    "start_own_tasks": ("?group=custom", "Tick a run to open it.", ()),
    "data_maps": ("data_maps?region=0,0.3,0.4,1", "Click one to see it large.", ()),
    "grouping": (
        "grouping",
        "Does it pay?",
        ("Clusters", "Which k?", "Distances", "Export"),
    ),
    "superclasses": ("superclasses?run=bundled:g3", "merged", ()),
    "specialists": ("specialists?run=bundled:g1", "Do they specialise?", ()),
    "methods": (
        "methods",
        "Each task has the number",
        ("Quality and cost", "Affinities", "Predictions", "Scalability", "How they work"),
    ),
    "lesson": ("lesson?step=8&answer_8=true", "Did it pay?", ()),
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


def expect_access(page: Page, what: str) -> None:
    """Nothing that axe-core finds keeps anybody from reading or using what is shown."""
    drawn(page)
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE)
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    problems = [
        f"{what}: {rule['impact']} {rule['id']}: {node['html'][:200]} {node['failureSummary']}"
        for rule in found["violations"]
        for node in rule["nodes"]
    ]
    assert not problems, "\n".join(problems)


def look_at(page: Page, address: str, name: str) -> None:
    path, last, _ = PAGES[name]
    page.goto(f"{address}/{path}")
    expect(page.get_by_test_id("stMain").get_by_text(last).last).to_be_visible()
    settled(page)


def switch(page: Page, theme: str) -> None:
    page.get_by_test_id("stMainMenu").click()
    page.get_by_test_id(f"stMainMenuItem-theme-{theme}").click()
    page.keyboard.press("Escape")
    expect(page.get_by_test_id("stMainMenuPopover")).to_have_count(0)
    settled(page)


def test_every_page_is_read_by_everybody_and_follows_the_theme(
    address: str, open_page: Callable[..., Page]
) -> None:
    page = open_page(address)
    for name, (_, _, tabs) in PAGES.items():
        look_at(page, address, name)
        expect_access(page, f"{name}, light")
        before = drawn(page)

        switch(page, "Dark")
        expect_access(page, f"{name}, dark")
        switched = drawn(page)
        keep_screenshot(page, f"looks_{name}_dark")
        look_at(page, address, name)  # where Streamlit remembers the choice
        assert drawn(page) == switched, f"{name} needs a reload to be dark"
        assert switched != before or not before

        for theme in ("Dark", "Light") if tabs else ():
            switch(page, theme)
            for tab in tabs:
                page.get_by_role("tab", name=tab).click()
                settled(page)
                expect_access(page, f"{name}, {tab}, {theme}")
