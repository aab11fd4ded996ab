"""How quickly the pages answer, in a real Chromium, and how much memory the app takes."""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import psutil
from playwright.sync_api import Browser, Locator, Page, sync_playwright

from tests.browser.conftest import listening, served
from tests.conftest import installed_chromium
from tests.many import log_many

CHANGES, TABS, REST_MS = 24, 30, 900
MOVE_MS, MOVES = 200, 4  # between two moves of a hand that does not rest; moves before it rests
MEDIAN, P95 = 20, 35  # promised, in milliseconds
SENT = "window.stgExplorerHand?.sent.size > 0"  # whether pictures follow the sliders by themselves
PAGES = {
    "Start": "Which tasks belong together?",
    "Data maps": "Data maps",
    "Grouping": "Grouping",
    "Agreement": "Agreement",
    "Lesson": "What is a task group?",
}

MANY_TASKS = 1_000
MANY_PAGES = {  # with a picture that each shows
    "data_maps?": "figure.data-map canvas",
    "grouping?k=20": "figure.memberships canvas",
    "grouping?k=20&show=Clusters": ".cards .card",
    "grouping?k=20&show=Distances": "figure.blocks canvas",
    "agreement?k=20": "textarea",
    "specialists?k=20": "[data-testid=stMain] h1",
    "study?": "[data-testid=stVegaLiteChart] canvas",
}

# Of each picture, by the class of its figure: when the browser had first painted it since a key was
# pressed. A picture of what is pointed at lies above the others and does not count.
WATCH = """
(() => {
  window.painted = {};
  const clear = CanvasRenderingContext2D.prototype.clearRect;
  CanvasRenderingContext2D.prototype.clearRect = function (...box) {
    const name = this.canvas.className === "above" ? null
      : this.canvas.closest?.("figure")?.className;
    if (name) {
      const since = window.pressed;
      requestAnimationFrame(() => setTimeout(() => {
        if (since === window.pressed) painted[name] ??= performance.now();
      }));
    }
    return clear.apply(this, box);
  };
  window.addEventListener("keydown", () => {
    [window.pressed, window.painted] = [performance.now(), {}];
  }, true);
})();
"""
SINCE_KEY = """
(names) => Math.max(...names.map((name) => (painted[name] ?? Infinity) - pressed))
"""
PAINTED = "(names) => names.every((name) => painted[name])"


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


def ready(page: Page, slider: str) -> Locator:
    """The slider, once all is sent that pictures need to follow it."""
    thumb = page.get_by_role("slider", name=slider)
    thumb.wait_for()
    page.wait_for_function(SENT)
    page.wait_for_timeout(5_000)  # what is computed ahead is not what is measured
    thumb.focus()
    return thumb


def moved(page: Page, thumb: Locator, change: int, pictures: Sequence[str]) -> float:
    """Milliseconds from a key on the slider to the painted pictures."""
    thumb.press("ArrowLeft" if change % 8 < 4 else "ArrowRight")
    page.wait_for_function(PAINTED, arg=list(pictures))
    return float(page.evaluate(SINCE_KEY, list(pictures)))


def answers(page: Page, slider: str, pictures: Sequence[str]) -> list[float]:
    """The same for many keys, some at rest in between."""
    thumb = ready(page, slider)
    taken = []
    for change in range(CHANGES + 1):
        taken.append(moved(page, thumb, change, pictures))
        page.wait_for_timeout(MOVE_MS if change % MOVES else REST_MS)
    return taken[1:]


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
        taken = answers(page, slider, ["memberships", "map"])
        told(f"G3, {slider}: heatmap and map", taken, MEDIAN, P95)
        page.context.close()
    page = opened(browser, f"{address}/data_maps?run=bundled:g3")
    told("Data maps, recorded epoch", answers(page, "Recorded epoch", ["data-map"]), MEDIAN, P95)
    page.context.close()


def first_pictures(browser: Browser, address: str) -> None:
    """From an address that is entered to the first picture of its page."""
    for name, path, picture in (
        ("Grouping of G3", "grouping?run=bundled:g3&k=20", "memberships"),
        ("Data maps of G3", "data_maps?run=bundled:g3", "data-map"),
    ):
        taken = []
        for _ in range(6):
            started = time.perf_counter()
            page = opened(browser, f"{address}/{path}")
            page.locator(f"figure.{picture} canvas").first.wait_for()
            taken.append(1000 * (time.perf_counter() - started))
            page.context.close()
        told(f"{name}: first picture", taken[1:], 1500)


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


def many_tabs(browser: Browser, address: str, app: psutil.Process) -> None:
    """Each has a hand that moves its slider on and on; the app is to have next to nothing to do."""
    pages = [opened(browser, f"{address}/grouping?run=bundled:g3&k=20") for _ in range(TABS)]
    thumbs = [ready(page, "Fuzzifier (m)") for page in pages]
    taken, begun, before = [], time.monotonic(), app.cpu_times()
    for change in range(CHANGES // 4):
        for page, thumb in zip(pages, thumbs, strict=True):
            taken.append(moved(page, thumb, change, ["memberships", "map"]))
    lasted, after = time.monotonic() - begun, app.cpu_times()
    told(f"{TABS} tabs move a slider", taken, 2 * MEDIAN, 2 * P95)
    busy = (after.user + after.system - before.user - before.system) / lasted
    memory = app.memory_info().rss / 2**20
    print(
        f"(f) Meanwhile, for {lasted:.0f} s, the app takes {busy:.0%} of a core (promised below"
        f" 20 %), and holds {memory:.0f} MB (promised below 400)"
    )
    failed = sum(page.get_by_test_id("stException").count() for page in pages)
    if failed:
        raise SystemExit(f"{failed} of {TABS} tabs show an error.")
    for page in pages:
        page.context.close()


def tabs_of_many_tasks(browser: Browser, address: str, run: str) -> None:
    """How much memory a tab takes: of its process, not only what its scripts hold."""
    for path, picture in MANY_PAGES.items():
        page = opened(browser, f"{address}/{path}&run={run}")
        page.locator(picture).first.wait_for()
        page.wait_for_timeout(3_000)
        rss, pss = renderer_memory(browser)
        heap = page.evaluate("performance.memory.usedJSHeapSize")
        print(
            f"(f) Tab of {path}, {MANY_TASKS:,} tasks: {pss / 1e6:.0f} MB with its part of what"
            f" processes share, {rss / 1e6:.0f} MB with all of it (promised below 500);"
            f" {heap / 1e6:.0f} MB hold its scripts",
            flush=True,
        )
        page.context.close()


def renderer_memory(browser: Browser) -> tuple[int, int]:
    """Bytes of the largest process that draws pages: resident, and its proportional share."""
    told = browser.new_browser_cdp_session().send("SystemInfo.getProcessInfo")["processInfo"]
    found = [psutil.Process(one["id"]) for one in told if one["type"] == "renderer"]
    memory = max((one.memory_full_info() for one in found), key=lambda one: one.pss)
    return memory.rss, memory.pss


def measure_pages() -> None:
    with tempfile.TemporaryDirectory() as folder, chromium() as browser:
        with patch.dict(os.environ, STG_HOME=f"{folder}/results"):
            run = log_many(MANY_TASKS, 1_000)
        with served(Path(folder)) as address:
            tabs_of_many_tasks(browser, address, run)
    with (
        tempfile.TemporaryDirectory() as folder,
        served(Path(folder)) as address,
        chromium() as browser,
    ):
        sliders(browser, address)
        first_pictures(browser, address)
        openings(browser, address)
        many_tabs(browser, address, listening(int(address.rsplit(":", 1)[1])))
