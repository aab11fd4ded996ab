"""How quickly the pages answer, in a real Chromium, and how much memory the app takes."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil
from playwright.sync_api import Browser, Page, sync_playwright

from tests.browser.conftest import listening, served
from tests.conftest import installed_chromium

CHANGES, TABS, REST_MS = 24, 10, 700
PAGES = {
    "Start": "Which tasks belong together?",
    "Data maps": "Data maps",
    "Grouping": "Grouping",
    "Superclasses": "Superclasses",
    "Lesson": "What is a task group?",
}

# Of each picture, by the class of its figure: when the browser had painted its last change. A
# picture of what is pointed at lies above the others and does not count.
WATCH = """
(() => {
  window.painted = {};
  const clear = CanvasRenderingContext2D.prototype.clearRect;
  CanvasRenderingContext2D.prototype.clearRect = function (...box) {
    const name = this.canvas.className === "above" ? null
      : this.canvas.closest?.("figure")?.className;
    if (name) {
      requestAnimationFrame(() => setTimeout(() => { painted[name] = performance.now(); }));
    }
    return clear.apply(this, box);
  };
  window.addEventListener("keydown", () => { window.pressed = performance.now(); }, true);
})();
"""
SINCE_KEY = """
(names) => Math.max(...names.map((name) => (painted[name] ?? Infinity) - pressed))
"""


@contextmanager
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=installed_chromium(),
            args=["--no-sandbox", "--disable-background-networking"],
        )
        yield browser
        browser.close()


def opened(browser: Browser, url: str) -> Page:
    page = browser.new_context(viewport={"width": 1280, "height": 800}).new_page()
    page.set_default_timeout(60_000)
    page.add_init_script(WATCH)
    page.goto(url)
    return page


def answers(page: Page, slider: str, pictures: Sequence[Sequence[str]]) -> list[list[float]]:
    """Milliseconds from a key on the slider to the painted pictures, per set of pictures."""
    thumb = page.get_by_role("slider", name=slider)
    thumb.wait_for()
    page.wait_for_timeout(5_000)  # what is computed ahead is not what is measured
    thumb.focus()
    taken: list[list[float]] = [[] for _ in pictures]
    for change in range(CHANGES + 1):
        thumb.press("ArrowLeft" if change % 8 < 4 else "ArrowRight")
        page.wait_for_timeout(REST_MS)
        for times, names in zip(taken, pictures, strict=True):
            times.append(page.evaluate(SINCE_KEY, list(names)))
    if any(not 0 < time < REST_MS for times in taken for time in times):
        raise SystemExit(f"A move of {slider} was not answered within {REST_MS} ms: {taken}")
    return [times[1:] for times in taken]


def told(what: str, times: Sequence[float], median: float, p95: float | None = None) -> None:
    ranked = sorted(times)
    late = ranked[round(0.95 * (len(ranked) - 1))]
    promise = f"promised {median:g}" + (f" and {p95:g}" if p95 else "")
    print(
        f"(f) {what}: median {statistics.median(ranked):.0f} ms, 95th percentile {late:.0f} ms,"
        f" {len(ranked)} times ({promise})",
        flush=True,
    )


# ------------------------------------------------------------------------------- what is measured


def sliders(browser: Browser, address: str) -> None:
    for slider in ("Fuzzifier (m)", "Clusters (k)"):
        page = opened(browser, f"{address}/grouping?run=bundled:g3&k=20")
        heatmap, linked = answers(page, slider, [["memberships"], ["memberships", "map"]])
        told(f"G3, {slider}: heatmap", heatmap, 100)
        told(f"G3, {slider}: all linked pictures", linked, 150, 300)
        page.context.close()
    page = opened(browser, f"{address}/data_maps?run=bundled:g3")
    told("Data maps, recorded epoch", answers(page, "Recorded epoch", [["data-map"]])[0], 150)
    page.context.close()


def openings(browser: Browser, address: str) -> None:
    """From a click on a page's name to its heading and the end of its script."""
    page = opened(browser, address)
    page.get_by_text("Grouping", exact=True).first.wait_for()
    page.wait_for_timeout(5_000)
    taken: dict[str, list[float]] = {title: [] for title in PAGES}
    for _ in range(6):
        for title, heading in PAGES.items():
            started = time.perf_counter()
            page.get_by_test_id("stSidebarNavLink").filter(has_text=title).click()
            page.get_by_role("heading", name=heading).first.wait_for()
            page.wait_for_function(
                "document.querySelector('[data-testid=stApp]')"
                ".dataset.testScriptState === 'notRunning'"
            )
            taken[title].append(1000 * (time.perf_counter() - started))
            page.wait_for_timeout(REST_MS)
    for title, times in taken.items():
        told(f"{title} opens (the first time {times[0]:.0f} ms)", times[1:], 1000)
    page.context.close()


def ten_tabs(browser: Browser, address: str, app: psutil.Process) -> None:
    pages = [opened(browser, f"{address}/grouping?run=bundled:g3&k=20") for _ in range(TABS)]
    thumbs = [page.get_by_role("slider", name="Fuzzifier (m)") for page in pages]
    for thumb in thumbs:
        thumb.wait_for()
    pages[0].wait_for_timeout(8_000)
    taken = []
    for _ in range(CHANGES // 4):
        for page, thumb in zip(pages, thumbs, strict=True):
            page.evaluate("painted = {}")
            thumb.press("ArrowRight")
        for page in pages:
            page.wait_for_function("painted.memberships && painted.map")
            taken.append(page.evaluate(SINCE_KEY, ["memberships", "map"]))
    told(f"{TABS} tabs move a slider at once", taken, 500)
    memory = app.memory_info().rss / 2**20
    print(f"(f) The app's process holds {memory:.0f} MB with {TABS} tabs (promised below 400)")
    failed = sum(page.get_by_test_id("stException").count() for page in pages)
    if failed:
        raise SystemExit(f"{failed} of {TABS} tabs show an error.")
    for page in pages:
        page.context.close()


def measure_pages() -> None:
    with (
        tempfile.TemporaryDirectory() as folder,
        served(Path(folder)) as address,
        chromium() as browser,
    ):
        sliders(browser, address)
        openings(browser, address)
        ten_tabs(browser, address, listening(int(address.rsplit(":", 1)[1])))
