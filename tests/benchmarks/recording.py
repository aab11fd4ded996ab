"""Records assets/live.webp: a data map and memberships, as the app shows them while digits train.

python -m tests.benchmarks.recording
"""

from __future__ import annotations

import io
import re
import tempfile
import time
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, ViewportSize, expect, sync_playwright

from tests.browser.conftest import CHROMIUM_OPTIONS, ROOT, served
from tests.conftest import installed_chromium

EPOCHS, FRAMES, TASK = 500, 20, "Odd"
SIZE: ViewportSize = {"width": 1000, "height": 860}  # of a page
SIDE = 560  # width of each of both pages in a frame
PATIENCE_MS, MOST_SECONDS = 300_000, 900
FRAME_MS, LAST_MS, QUALITY = 450, 2500, 70
GOING_ON = re.compile(r"Epoch (\d+) of \d+, still training")


def epoch_of(page: Page) -> int:
    """How far the page says that the training is; 0 before it says so."""
    said = page.get_by_text(GOING_ON)
    found = GOING_ON.search(said.first.inner_text()) if said.count() else None
    return int(found[1]) if found else 0


def shot(page: Page) -> Image.Image:
    picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    return picture.resize((SIDE, SIDE * SIZE["height"] // SIZE["width"]), Image.Resampling.LANCZOS)


def beside(left: Image.Image, right: Image.Image) -> Image.Image:
    both = Image.new("RGB", (left.width + right.width, left.height), "white")
    both.paste(left, (0, 0))
    both.paste(right, (left.width, 0))
    return both


def recorded(pages: list[Page]) -> list[Image.Image]:
    """A frame whenever the pages show the same, later epoch, as far as they do within a while."""
    frames: list[Image.Image] = []
    last, begun = 0, time.monotonic()
    while len(frames) < FRAMES and time.monotonic() - begun < MOST_SECONDS:
        epochs = [epoch_of(page) for page in pages]
        if min(epochs) > last:
            pages[0].wait_for_timeout(600)  # until what came with the epoch is drawn
            frames.append(beside(*(shot(page) for page in pages)))
            last = max(epochs)
            print(f"Frame {len(frames)}: epochs {epochs}", flush=True)
        pages[0].wait_for_timeout(100)
    return frames


def record(to: Path) -> None:
    with (
        tempfile.TemporaryDirectory() as home,
        served(Path(home)) as address,
        sync_playwright() as playwright,
    ):
        chromium = playwright.chromium.launch(
            executable_path=installed_chromium(), args=CHROMIUM_OPTIONS
        )
        expect.set_options(timeout=PATIENCE_MS)
        start, *pages = [chromium.new_page(viewport=SIZE) for _ in range(3)]
        for page in (start, *pages):
            page.set_default_timeout(PATIENCE_MS)
        for page, name in zip(pages, ("data_maps", "grouping"), strict=True):
            page.goto(f"{address}/{name}")  # so that it is drawn at once later
            expect(page.locator("figure .stage canvas").first).to_be_visible()
        start.goto(f"{address}/?group=digits&epochs={EPOCHS}")
        main = start.get_by_test_id("stMain")
        main.get_by_role("button", name="Run", exact=True).click()
        opened = start.locator("a[href*='data_maps?run=']").first
        opened.wait_for()
        run = (opened.get_attribute("href") or "").partition("run=")[2]
        pages[0].goto(f"{address}/data_maps?run={run}&task={TASK}")
        pages[1].goto(f"{address}/grouping?run={run}")
        start.close()
        frames = recorded(pages)
        chromium.close()
    durations = [FRAME_MS] * (len(frames) - 1) + [LAST_MS]
    first, *others = frames
    first.save(
        to,
        save_all=True,
        append_images=others,
        duration=durations,
        loop=0,
        quality=QUALITY,
        method=6,
    )
    print(f"{to}: {len(frames)} frames, {to.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    record(ROOT / "assets" / "live.webp")
