"""A person explores the bundled G2: drags, points, follows a link, exports, chooses k."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import keep_screenshot, settled, stopped
from tests.browser.looking import drawn

pytestmark = pytest.mark.browser

OpenPage = Callable[..., Page]
# How opaque something is, with all around it.
SEEN = """(one) => { let seen = 1;
  for (; one; one = one.parentElement) seen *= getComputedStyle(one).opacity; return seen; }"""
SVG = "{http://www.w3.org/2000/svg}"
COMPUTED_MS = 240_000  # stability and UMAP are computed in the background, at a low priority


def stage(page: Page, name: str) -> Locator:
    """The picture with this name, once it is drawn."""
    found = page.locator(f"figure.{name} .stage")
    found.wait_for()
    return found


def marks(page: Page, name: str) -> int:
    """How many pixels mark something above a picture."""
    return int(
        stage(page, name)
        .locator("canvas.above")
        .evaluate(
            """canvas => canvas.hidden ? 0 : canvas.getContext("2d")
               .getImageData(0, 0, canvas.width, canvas.height)
              .data.filter((value, i) => i % 4 === 3 && value > 0).length"""
        )
    )


def expect_marks(page: Page, name: str, shown: bool) -> None:
    for _ in range(100):
        if (marks(page, name) > 0) == shown:
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"{name} {'shows no mark' if shown else 'still shows a mark'}")


def point_at_task(page: Page, row: int) -> tuple[float, float]:
    """Moves the pointer over the name in a row of the heatmap; G2 has 15 rows of equal height."""
    box = stage(page, "memberships").bounding_box()
    assert box
    top, height = 96, (box["height"] - 102) / 15
    x, y = box["x"] + 40, box["y"] + top + (row + 0.5) * height
    page.mouse.move(x, y)
    return x, y


def exported(page: Page, name: str, kind: str) -> bytes:
    with page.expect_download() as download:
        page.locator(f"figure.{name}").get_by_role("button", name=f"as {kind}").click()
    assert re.fullmatch(rf"{name}-.*\.{kind.lower()}", download.value.suggested_filename)
    return Path(download.value.path()).read_bytes()


def colour_by_task(page: Page) -> dict[str, str]:
    """Each task's colour in the heatmap, as its export as SVG tells it."""
    picture = ElementTree.fromstring(exported(page, "memberships", "SVG"))
    drawn = list(picture)
    return {
        element.text or "": drawn[i + 1].attrib["fill"]
        for i, element in enumerate(drawn)
        if element.attrib.get("text-anchor") == "end" and drawn[i + 1].attrib.get("width") == "4"
    }


# ------------------------------------------------------------------------------------- the sliders


@pytest.mark.slow
def test_the_numbers_change_while_the_slider_is_dragged(address: str, open_page: OpenPage) -> None:
    page = open_page(f"{address}/grouping?run=bundled:g2")
    slider = page.get_by_role("slider", name="Clusters (k)")
    expect(stage(page, "memberships")).to_have_attribute("aria-label", re.compile("in 3 clusters"))
    settled(page)
    inertia = page.locator(".quality dd").first.inner_text()
    box = slider.bounding_box()
    assert box
    slider.evaluate(
        """range => { window.seen = []; const look = () => { window.seen.push(Number(range.value));
        requestAnimationFrame(look); }; look(); }"""
    )
    y, width = box["y"] + box["height"] / 2, box["width"] - 16
    page.mouse.move(box["x"] + 8 + width / 13, y)
    page.mouse.down()
    for step in range(1, 61):
        page.mouse.move(box["x"] + 8 + width * (1 + 8 * step / 60) / 13, y)
        page.wait_for_timeout(30)
    expect(stage(page, "memberships")).to_have_attribute("aria-label", re.compile("in 11 clusters"))
    expect(page.locator(".quality dd").first).not_to_have_text(inertia)
    keep_screenshot(page, "grouping_dragged")
    page.mouse.up()
    settled(page)
    seen = page.evaluate("window.seen")
    assert seen == sorted(seen), "the thumb was pulled back"
    assert slider.input_value() == "9"  # the tenth of 2, 3, …
    expect(page).to_have_url(re.compile(r"[?&]k=11\b"))
    expect(stage(page, "memberships")).to_have_attribute("aria-label", re.compile("in 11 clusters"))


def test_pictures_follow_the_sliders_while_the_server_stands_still(
    own_address: str, open_page: OpenPage
) -> None:
    pages = [
        open_page(f"{own_address}/grouping?run=bundled:g2&map=pca&show={view}")
        for view in ("Memberships", "Clusters")
    ]
    for page in pages:
        page.wait_for_function("window.stgExplorerHand?.sent.size > 0", timeout=COMPUTED_MS)
        settled(page)
    page, cards = pages
    before = drawn(page)
    with stopped(own_address):
        page.get_by_role("slider", name="Clusters (k)").press("ArrowRight")
        told = stage(page, "memberships").get_attribute("aria-label") or ""
        assert "in 4 clusters" in told and "cluster 4: " in told
        assert "cluster 4: " in (stage(page, "map").get_attribute("aria-label") or "")
        followed = drawn(page)
        assert followed != before, "heatmap and map are drawn anew"
        quality = page.locator(".quality dd").all_inner_texts()
        page.get_by_role("slider", name="Fuzzifier (m)").press("ArrowLeft")
        assert drawn(page) != followed
        now = page.locator(".quality dd").all_inner_texts()
        assert now[:2] == quality[:2] and float(now[2]) > float(quality[2]), "clearer, not tighter"
        link = page.get_by_text("Does it pay?")
        assert link.inner_text().endswith("Train 3 specialists")
        assert link.evaluate(SEEN) < 0.5, "what the server has not said yet is not shown as true"
        cards.get_by_role("slider", name="Clusters (k)").press("ArrowRight")
        assert cards.locator(".card").count() == 4
    expect(page).to_have_url(re.compile(r"[?&]k=4\b.*fuzzifier=1\.99|fuzzifier=1\.99.*[?&]k=4\b"))
    expect(link).to_have_text(re.compile("Train 4 specialists"))
    page.wait_for_function("!document.documentElement.hasAttribute('data-hand-is-ahead')")
    assert link.evaluate(SEEN) == 1
    assert drawn(page) != before
    told = stage(page, "memberships").get_attribute("aria-label") or ""
    fresh = open_page(page.url)
    expect(stage(fresh, "memberships")).to_have_attribute("aria-label", told)
    assert drawn(fresh) == drawn(page), "the library's own numbers look the same"


def test_colours_stay_while_k_moves_by_one_and_back(address: str, open_page: OpenPage) -> None:
    page = open_page(f"{address}/grouping?run=bundled:g2&k=4")
    slider = page.get_by_role("slider", name="Clusters (k)")

    def step(key: str, k: int) -> dict[str, str]:
        slider.press(key)
        expect(stage(page, "memberships")).to_have_attribute(
            "aria-label", re.compile(f"in {k} clusters")
        )
        return colour_by_task(page)

    expect(stage(page, "memberships")).to_have_attribute("aria-label", re.compile("in 4 clusters"))
    before = colour_by_task(page)
    assert len(before) == 15 and len(set(before.values())) == 4
    between = step("ArrowRight", 5)
    kept = [task for task in before if between[task] == before[task]]
    assert len(set(between.values())) == 5
    assert len(kept) >= 10, "most tasks stay in their cluster, and so keep their colour"
    assert step("ArrowLeft", 4) == before


# --------------------------------------------------------------------------------------- the marks


def test_a_task_is_marked_in_all_pictures(address: str, open_page: OpenPage) -> None:
    page = open_page(f"{address}/grouping?run=bundled:g2&map=pca")
    settled(page)
    for name in ("memberships", "map"):
        expect_marks(page, name, False)
    x, y = point_at_task(page, 2)
    for name in ("memberships", "map"):
        expect_marks(page, name, True)
    expect(page.locator(".tip")).to_contain_text("cluster 1 with 0.")
    page.mouse.move(5, 5)
    for name in ("memberships", "map"):
        expect_marks(page, name, False)

    page.mouse.click(x, y)
    expect(page).to_have_url(re.compile(r"[?&]marked=\w+"))
    page.mouse.move(5, 5)
    for name in ("memberships", "map"):
        expect_marks(page, name, True)
    keep_screenshot(page, "grouping_marked")
    page.reload()
    for name in ("memberships", "map"):
        expect_marks(page, name, True)
    task = re.search(r"[?&]marked=(\w+)", page.url)
    assert task
    page.get_by_role("tab", name="Clusters").click()
    expect(page.locator(".card [aria-pressed=true]")).to_have_attribute("value", task[1])
    page.get_by_role("tab", name="Distances").click()
    expect_marks(page, "distances", True)


def test_a_task_is_marked_with_the_keyboard(address: str, open_page: OpenPage) -> None:
    page = open_page(f"{address}/grouping?run=bundled:g2&map=pca")
    settled(page)
    picture = stage(page, "map")
    picture.focus()
    picture.press("ArrowDown")
    picture.press("ArrowDown")
    expect(page.locator(".spoken")).to_contain_text("cluster 1 with")
    expect_marks(page, "memberships", True)
    picture.press("Enter")
    expect(page).to_have_url(re.compile(r"[?&]marked="))
    picture.press("Escape")
    expect(page).not_to_have_url(re.compile(r"[?&]marked="))
    expect_marks(page, "memberships", False)


# ---------------------------------------------------------------------------------- links and files


def test_a_link_shows_the_same_grouping(address: str, open_page: OpenPage) -> None:
    page = open_page(f"{address}/grouping?run=bundled:g2&k=6&fuzzifier=1.4&map=mds&marked=cat")
    settled(page)
    seen = stage(page, "memberships").get_attribute("aria-label")
    looks = stage(page, "memberships").screenshot()
    page.get_by_role("tab", name="Export").click()
    link = page.get_by_test_id("stCode").first.inner_text().strip()
    assert link.startswith(f"{address}/grouping?")
    again = open_page(link)
    expect(stage(again, "memberships")).to_have_attribute("aria-label", seen or "")
    expect(again.get_by_role("radio", name="MDS")).to_have_attribute("aria-checked", "true")
    settled(again)
    assert stage(again, "memberships").screenshot() == looks


def test_memberships_are_exported_as_csv_and_json(address: str, open_page: OpenPage) -> None:
    page = open_page(f"{address}/grouping?run=bundled:g2&k=4&show=Export")
    files = {}
    for kind in ("CSV", "JSON"):
        with page.expect_download() as download:
            page.get_by_role("button", name=kind).first.click()
        assert download.value.suggested_filename == f"memberships-g2-k4-m2.00.{kind.lower()}"
        files[kind] = Path(download.value.path()).read_text("utf-8-sig")
    header, *rows = csv.reader(io.StringIO(files["CSV"]))
    assert header == ["task", "cluster 1", "cluster 2", "cluster 3", "cluster 4"]
    assert len(rows) == 15
    told = json.loads(files["JSON"])
    assert (told["run"], told["k"], told["fuzzifier"]) == ("bundled:g2", 4, 2.0)
    for task, *shares in rows:
        values = [float(share) for share in shares]
        assert sum(values) == pytest.approx(1)
        assert values == told["memberships"][task]
        assert values[told["clusters"][task] - 1] == max(values)


@pytest.mark.parametrize(
    ("view", "names"), [("Memberships", ("memberships", "map")), ("Distances", ("distances",))]
)
def test_every_picture_is_exported_as_svg_and_png(
    address: str, open_page: OpenPage, view: str, names: tuple[str, ...]
) -> None:
    page = open_page(f"{address}/grouping?run=bundled:g2&map=pca&show={view}")
    settled(page)
    for name in names:
        box = stage(page, name).bounding_box()
        assert box
        picture = ElementTree.fromstring(exported(page, name, "SVG"))
        assert picture.tag == f"{SVG}svg"
        assert float(picture.attrib["height"]) == pytest.approx(box["height"], abs=1)
        written = {element.text for element in picture.iter(f"{SVG}text")}
        assert {"Random", "dog", "truck"} <= written
        png = exported(page, name, "PNG")
        assert png.startswith(b"\x89PNG\r\n\x1a\n")
        assert int.from_bytes(png[16:20], "big") == 2 * round(box["width"])


# ------------------------------------------------------------------------------------- slow results


def test_which_k_is_computed_suggested_and_taken_over(address: str, open_page: OpenPage) -> None:
    page = open_page(f"{address}/grouping?run=bundled:g2&k=9&show=Which+k%3F")
    take = page.get_by_role("button", name="Take k =")
    expect(take).to_be_visible(timeout=COMPUTED_MS)
    suggested = (take.inner_text()).removeprefix("Take k = ")
    expect(page.get_by_text(f"k = {suggested}").first).to_be_visible()
    expect(stage(page, "which-k")).to_have_attribute(
        "aria-label", re.compile(f"Suggested: k = {suggested}")
    )
    keep_screenshot(page, "grouping_which_k")
    assert exported(page, "which-k", "SVG").startswith(b"<svg")
    take.click()
    expect(page.get_by_role("slider", name="Clusters (k)")).to_have_attribute(
        "aria-valuetext", suggested
    )
    picture = stage(page, "which-k")
    picture.focus()
    picture.press("ArrowRight")
    picture.press("Enter")
    expect(page.get_by_role("slider", name="Clusters (k)")).to_have_attribute(
        "aria-valuetext", str(int(suggested) + 1)
    )


def test_umap_takes_the_place_of_pca_when_it_is_computed(address: str, open_page: OpenPage) -> None:
    page = open_page(f"{address}/grouping?run=bundled:g2&map=umap")
    label = re.compile(r"Map of the tasks \(UMAP\)")
    expect(stage(page, "map")).to_have_attribute("aria-label", label, timeout=COMPUTED_MS)
    page.get_by_role("radio", name="PCA").click()
    expect(stage(page, "map")).to_have_attribute("aria-label", re.compile(r"\(PCA\)"))
    expect(page).to_have_url(re.compile(r"[?&]map=pca"))


@pytest.mark.slow
def test_every_view_of_a_hundred_tasks_is_drawn(address: str, open_page: OpenPage) -> None:
    page = open_page(f"{address}/grouping?run=bundled:g3&map=pca")
    for view, seen in (
        ("Memberships", "figure.memberships .stage"),
        ("Clusters", ".card"),
        ("Distances", "figure.distances .stage"),
        ("Export", "[data-testid=stCode]"),
    ):
        page.get_by_role("tab", name=view).click()
        expect(page.locator(seen).first).to_be_visible()
        settled(page)
        keep_screenshot(page, f"grouping_{view.lower()}")
