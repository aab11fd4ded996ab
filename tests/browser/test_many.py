"""Somebody looks for one of a thousand tasks: it is marked everywhere and brought into view."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import keep_screenshot, served, settled
from tests.browser.looking import COLLISIONS, LISTEN, open_tab, problems
from tests.browser.test_grouping import expect_marks, exported, stage
from tests.many import log_many

pytestmark = [pytest.mark.browser, pytest.mark.slow]

OpenPage = Callable[..., Page]
TALLEST = 800  # pixels: a picture that fits on a screen
MEMORY = 500 * 10**6  # bytes of a tab


@pytest.fixture(scope="module")
def grouping(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of the grouping of a thousand tasks in twenty clusters."""
    folder = tmp_path_factory.mktemp("many")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STG_HOME", str(folder / "results"))
        run = log_many(1_000, 200)
    with served(folder) as address:
        yield f"{address}/grouping?run={run}&k=20&map=pca"


def find(page: Page, text: str) -> None:
    box = page.get_by_role("searchbox", name="Find a task")
    box.fill(text)
    expect(page.locator(".find output")).to_contain_text(text)


def height(page: Page, name: str) -> float:
    box = stage(page, name).bounding_box()
    assert box
    return box["height"]


def words(page: Page, name: str) -> list[str]:
    """What stands in a picture."""
    told = page.evaluate(
        """name => [...window.words].filter(([canvas]) => canvas.isConnected
             && canvas.className !== "above" && canvas.closest(`figure.${name}`))
           .flatMap(([, told]) => [...told.values()].map(({ text }) => text))""",
        name,
    )
    return [str(text) for text in told]


def heap(page: Page) -> float:
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable")
    told = session.send("Performance.getMetrics")["metrics"]
    return next(one["value"] for one in told if one["name"] == "JSHeapUsedSize")


def test_a_task_is_found_in_heatmap_and_map(grouping: str, open_page: OpenPage) -> None:
    page = open_page(grouping, script=LISTEN)
    page.set_default_timeout(180_000)  # it is the first page of this app
    stage(page, "memberships")
    lens = page.get_by_role("slider", name="First of the rows")
    expect(lens).to_have_attribute("aria-valuetext", "Rows 1 to 36 of 1000")
    assert height(page, "memberships") < TALLEST and height(page, "map") < TALLEST
    assert "task 777" not in words(page, "memberships")
    assert not [word for word in words(page, "map") if word.startswith("task ")]
    find(page, "task 777")
    for name in ("memberships", "map"):
        expect_marks(page, name, True)
    assert {"task 777", "task 757"} <= {*words(page, "memberships")}, "and its neighbours"
    assert [word for word in words(page, "map") if word.startswith("task ")], "it is nearer"
    keep_screenshot(page, "grouping_1000_found")
    page.get_by_role("searchbox").press("Enter")
    expect(page).to_have_url(re.compile(r"[?&]marked=task\+777\b|[?&]marked=task%20777\b"))
    assert len(page.url) < 2_000

    lens.press("End")
    expect(lens).to_have_attribute("aria-valuetext", "Rows 965 to 1000 of 1000")
    box = stage(page, "memberships").bounding_box()
    assert box
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.wheel(0, -160)
    expect(lens).to_have_attribute("aria-valuetext", "Rows 955 to 990 of 1000")
    for sign in ("All", "Nearer"):
        page.locator(".zoom").get_by_role("button", name=sign).first.click()
    picture = stage(page, "map")
    picture.focus()
    picture.press("0")
    expect(page.get_by_role("button", name="Further")).to_be_disabled()
    assert exported(page, "memberships", "SVG").count(b"<image") == 1
    assert not page.evaluate(COLLISIONS)
    assert heap(page) < MEMORY


def test_clusters_unfold_for_what_is_found(grouping: str, open_page: OpenPage) -> None:
    page = open_page(f"{grouping}&show=Clusters")
    expect(page.locator(".card")).to_have_count(20)
    settled(page)
    assert page.locator(".card li").count() == 20 * 6
    assert (
        page.locator(".card").evaluate_all(
            "cards => Math.max(...cards.map((card) => card.offsetHeight))"
        )
        < TALLEST
    )
    find(page, "task 123")
    expect(page.locator(".card li button.hovered")).to_have_text(re.compile("task 123"))
    expect(page.locator(".card li button.hovered")).to_be_in_viewport()
    expect(page.get_by_text("Show fewer")).to_have_count(1)


def test_a_block_of_distances_unfolds_into_its_tasks(grouping: str, open_page: OpenPage) -> None:
    page = open_page(f"{grouping}&show=Distances", script=LISTEN, width=390)
    picture = stage(page, "blocks")
    settled(page)
    expect(page.locator("figure.block")).to_be_hidden()
    picture.focus()
    for key in ("ArrowDown", "ArrowRight", "Enter"):
        picture.press(key)
    expect(page).to_have_url(re.compile(r"[?&]block=\d+-\d+"))
    expect(page.locator("figure.block .stage")).to_be_visible()
    settled(page)
    assert not problems(page)
    assert height(page, "blocks") < TALLEST
    picture.press("Escape")
    expect(page.locator("figure.block")).to_be_hidden()
    open_tab(page, "Memberships")
    assert not problems(page)


def test_every_picture_of_a_page_takes_little_memory(grouping: str, open_page: OpenPage) -> None:
    page = open_page(grouping)
    for tab in ("Clusters", "Distances", "Export", "Memberships"):
        open_tab(page, tab)
    page.wait_for_function("window.stgExplorerHand?.sent.size > 0")
    assert heap(page) < MEMORY
    slider = page.get_by_role("slider", name="Clusters (k)")
    slider.press("ArrowRight")
    told = stage(page, "memberships").get_attribute("aria-label") or ""
    assert "1000 tasks in 21 clusters" in told and len(told) < 3_000
