"""What a person does with data maps: play the epochs, drag a rectangle, see its images, compare."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Locator, Page, expect

from stg_core.results.run import Run
from stg_core.results.store import Store
from stg_core.tasks.groups import GROUPS
from stg_core.training.loop import train
from stg_core.training.spec import TrainingSpec
from tests.browser.conftest import keep_screenshot, served, settled, stopped

pytestmark = pytest.mark.browser

LEFT, TOP, RIGHT, HEIGHT = 50, 34, 8, 350  # of the plane within its picture, in pixels
ACROSS = 0.7071  # variability


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("app")


@pytest.fixture(scope="module")
def digits(folder: Path) -> Run:
    """A real run on the digits, four epochs, recorded at 2, 3 and 4."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STG_HOME", str(folder / "results"))
        kept = Store(folder / "results")
        spec = TrainingSpec(GROUPS["digits"], epochs=4, learning_rate=0.003)
        return kept.save(train(spec, folder=kept.work_folder(spec.key)))


@pytest.fixture(scope="module")
def address(folder: Path, digits: Run) -> Iterator[str]:
    with served(folder) as url:
        yield f"{url}/data_maps?run={digits.id}"


def stage(page: Page, n: int = 0) -> Locator:
    return page.locator("figure.data-map .stage").nth(n)


def drag(page: Page, begin: tuple[float, float], end: tuple[float, float]) -> None:
    """From one (variability, confidence) to another, over the first data map."""
    expect(stage(page)).to_be_visible()
    settled(page)  # what is drawn above it would move it
    box = stage(page).bounding_box()
    assert box is not None
    spots = [
        (
            box["x"] + LEFT + v / ACROSS * (box["width"] - LEFT - RIGHT),
            box["y"] + TOP + (1 - c) * HEIGHT,
        )
        for v, c in (begin, end)
    ]
    page.mouse.move(*spots[0])
    page.mouse.down()
    page.mouse.move(*spots[1], steps=5)
    page.mouse.up()


def region_of(page: Page) -> list[float]:
    """Variability from and to, confidence from and to, as the URL says."""
    (text,) = parse_qs(urlsplit(page.url).query)["region"]
    return [float(bound) for bound in text.split(",")]


def images(page: Page) -> Locator:
    return page.get_by_alt_text(re.compile("^Training point"))


@pytest.mark.slow
def test_a_dragged_rectangle_shows_its_images(
    address: str, open_page: Callable[..., Page], digits: Run
) -> None:
    page = open_page(f"{address}&task=Odd")
    drag(page, (0.02, 0.9), (0.3, 0.4))
    expect(page).to_have_url(re.compile("region="))
    assert region_of(page) == pytest.approx([0.02, 0.3, 0.4, 0.9], abs=0.01)
    expect(images(page)).not_to_have_count(0)
    expect(images(page).first).to_be_visible()
    maps = digits.datamaps()
    assert maps is not None
    confidence, variability = maps[-1, :, digits.spec.tasks.index("Odd")].astype(float)
    v, v_to, c, c_to = region_of(page)
    inside = (variability >= v) & (variability < v_to) & (confidence >= c) & (confidence < c_to)
    expect(images(page)).to_have_count(min(60, inside.sum()))
    expect(page.get_by_text(f"of the {inside.sum():,} in the rectangle")).to_be_visible()
    for image in images(page).all():
        match = re.search(r"Training point (\d+)", image.get_attribute("alt") or "")
        assert match and inside[int(match[1])]
        assert image.evaluate("image => image.complete && image.naturalWidth > 0")
    keep_screenshot(page, "data_maps_images")

    page.reload()
    expect(images(page)).to_have_count(min(60, inside.sum()))
    drag(page, (0.5, 0.2), (0.5, 0.2))  # a click beside the rectangle takes it away
    expect(page).not_to_have_url(re.compile("region="))
    expect(images(page)).to_have_count(0)


def test_a_region_chosen_by_name_is_drawn_and_let_go_with_escape(
    address: str, open_page: Callable[..., Page]
) -> None:
    page = open_page(f"{address}&task=3&beside=Random")
    expect(stage(page, 1)).to_be_visible()
    before = stage(page, 1).screenshot()
    page.get_by_role("button", name="hard to learn", exact=True).click()
    expect(page).to_have_url(re.compile(r"region=0%2C0\.22097%2C0%2C0\.5"))
    expect(page.get_by_text("in the rectangle")).to_be_visible()
    page.wait_for_timeout(300)
    assert stage(page, 1).screenshot() != before  # the same rectangle on the second task's map
    stage(page).press("Escape")
    expect(page).not_to_have_url(re.compile("region="))


def test_play_walks_through_the_recorded_epochs_without_the_server(
    address: str, open_page: Callable[..., Page]
) -> None:
    page = open_page(f"{address}&task=3&beside=7&epoch=2")
    expect(stage(page)).to_have_attribute("aria-label", re.compile("after epoch 2"))
    expect(page.locator("figure.small-maps .stage")).to_be_visible()
    page.wait_for_function("window.stgExplorerHand?.sent.size === 2")
    settled(page)
    stage(page).evaluate(
        """stage => { window.seen = []; new MutationObserver(() => {
          const canvas = stage.querySelector("canvas"), look = canvas.getContext("2d");
          const { data } = look.getImageData(0, 0, canvas.width, canvas.height);
          seen.push([stage.ariaLabel.match(/after epoch (\\d+)/)[1],
            data.reduce((sum, value) => (Math.imul(sum, 31) + value) | 0, 0)]);
        }).observe(stage, { attributes: true, attributeFilter: ["aria-label"] }); }"""
    )
    with stopped(address):
        page.get_by_role("button", name="Play Recorded epoch").click()
        for n in (0, 1):  # of the maps beside each other
            label = re.compile("after epoch 4")
            expect(stage(page, n)).to_have_attribute("aria-label", label)
        expect(page.get_by_role("button", name="Play Recorded epoch")).to_be_visible()
        seen = page.evaluate("seen")
        assert [epoch for epoch, _ in seen] == ["3", "4"]
        assert seen[0][1] != seen[1][1], "another epoch, another picture"
        expect(page).to_have_url(re.compile("epoch=2"))
    expect(page).not_to_have_url(re.compile("epoch="))  # the last one is the default
    keep_screenshot(page, "data_maps")


def test_a_small_map_opens_large(address: str, open_page: Callable[..., Page]) -> None:
    page = open_page(address)
    small = page.locator("figure.small-maps .stage")
    expect(small).to_be_visible()
    box = small.bounding_box()
    assert box is not None
    small.click(position={"x": box["width"] * 0.5, "y": 100})  # the third of five
    expect(stage(page)).to_have_attribute("aria-label", re.compile("of the task 2 "))
    expect(page).to_have_url(re.compile("task=2"))
    small.press("ArrowRight")
    small.press("Enter")
    expect(page).to_have_url(re.compile("task=3"))
    expect(page.get_by_role("combobox", name="Task", exact=True)).to_have_value("3")


def test_a_map_is_saved_as_svg_and_png(address: str, open_page: Callable[..., Page]) -> None:
    page = open_page(f"{address}&task=Odd&region=0,0.2,0.4,1")
    expect(stage(page)).to_be_visible()
    for kind, begins in (("SVG", b"<svg"), ("PNG", b"\x89PNG")):
        with page.expect_download() as saved:
            page.locator("figure.data-map").get_by_role("button", name=f"as {kind}").click()
        assert saved.value.suggested_filename == f"data-map-Odd.{kind.lower()}"
        content = Path(saved.value.path()).read_bytes()
        assert content.startswith(begins) and len(content) > 5_000
        if kind == "SVG":
            assert b"Data map of Odd" in content and b"easy to learn" in content
