"""A person watches a log grow that another process writes."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import ROOT, served, settled
from tests.browser.conftest import keep_screenshot as screenshot
from tests.browser.looking import expect_another, picture, slider

pytestmark = [pytest.mark.browser, pytest.mark.slow]

# It logs an epoch for every line that it reads, and closes the log at the end of its input.
LOOP = """
import sys
import numpy as np
from stg_core.maps.log import TaskLog

rng = np.random.default_rng(0)
true, noise = rng.normal(size=(300, 8)), rng.normal(size=(300, 8))
names = [f"task {t}" for t in range(8)]
log = TaskLog(sys.argv[1], names, true > 0, outputs="logits", epochs=6)
for epoch, _ in enumerate(sys.stdin, start=1):
    noise += rng.normal(size=noise.shape)
    outputs = 0.5 * epoch * true + noise
    for batch in np.array_split(rng.permutation(300), 5):
        log.update(batch, outputs[batch])
    log.end_epoch()
    print(epoch, flush=True)
log.close()
"""


class Loop:
    """Somebody's training, in a process of its own."""

    def __init__(self, home: Path, name: str) -> None:
        self.name, self.run = name, f"log:{name}"
        self._process = subprocess.Popen(
            [sys.executable, "-c", LOOP, name],
            cwd=ROOT,
            env={**os.environ, "STG_HOME": str(home)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def epochs(self, count: int) -> None:
        """Waits until so many more are finished."""
        assert self._process.stdin and self._process.stdout
        for _ in range(count):
            self._process.stdin.write("\n")
            self._process.stdin.flush()
            assert self._process.stdout.readline().strip()

    def end(self) -> None:
        """Closes the log."""
        assert self._process.stdin
        self._process.stdin.close()
        assert self._process.wait(60) == 0

    def kill(self) -> None:
        self._process.kill()
        self._process.wait(60)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """Address of an app, and its results."""
    folder = tmp_path_factory.mktemp("app")
    with served(folder) as address:
        yield address, folder / "results"


@pytest.fixture
def loop(place: tuple[str, Path], request: pytest.FixtureRequest) -> Iterator[Loop]:
    started = Loop(place[1], "watched" if "grows_in" in request.node.name else "typed")
    yield started
    started.kill()


def mark(page: Page, text: str) -> Locator:
    return page.get_by_text(text)


def test_a_log_grows_in_the_open_app(
    place: tuple[str, Path], open_page: Callable[..., Page], loop: Loop
) -> None:
    start, grouping = open_page(place[0]), open_page(f"{place[0]}/grouping")
    expect(grouping.get_by_role("combobox", name="Run")).to_have_value(re.compile("digits"))
    expect(start.get_by_text("Tick a run to open it.")).to_be_visible()
    expect(start.get_by_text("watched")).to_have_count(0)
    loop.epochs(2)

    expect(start.get_by_text("watched (logging, epoch 2 of 6)").last).to_be_attached()
    screenshot(start, "live_start")
    grouping.get_by_role("combobox", name="Run").click()
    grouping.get_by_role("option", name="watched (logging, epoch 2 of 6)").click()
    expect(mark(grouping, "Epoch 2 of 6, still logging")).to_be_visible()

    slider(grouping, "Clusters (k)").press("ArrowRight")
    slider(grouping, "Fuzzifier (m)").press("ArrowLeft")
    settled(grouping)
    expect(grouping.get_by_text("Stability of this k: once the run has ended.")).to_be_visible()
    screenshot(grouping, "live_grouping")
    for epoch in (3, 4):
        before = picture(grouping, "memberships")
        loop.epochs(1)
        expect(mark(grouping, f"Epoch {epoch} of 6, still logging")).to_be_visible()
        expect_another(grouping, "memberships", before)
        expect(slider(grouping, "Clusters (k)")).to_have_attribute("aria-valuetext", "4")
        expect(slider(grouping, "Fuzzifier (m)")).to_have_attribute("aria-valuetext", "1.99")

    maps = open_page(f"{place[0]}/data_maps?run=log:watched&task=task+3&region=0,0.3,0,0.5")
    epochs = slider(maps, "Recorded epoch")
    expect(epochs).to_have_attribute("aria-valuetext", "4")
    before = picture(maps, "data-map")
    loop.epochs(1)
    expect(epochs).to_have_attribute("aria-valuetext", "5")
    expect_another(maps, "data-map", before)
    expect(maps.get_by_role("combobox", name="Task")).to_have_value("task 3")
    expect(maps).to_have_url(re.compile("region=0"))

    epochs.press("Home")  # an epoch that was chosen stays
    settled(maps)
    maps.mouse.wheel(0, 400)
    maps.wait_for_timeout(500)
    scrolled = "document.querySelector('[data-testid=stMain]').scrollTop"
    place_before = maps.evaluate(scrolled)
    loop.epochs(1)
    expect(mark(maps, "Epoch 6 of 6, still logging")).to_be_attached()
    expect(epochs).to_have_attribute("aria-valuetext", "2")
    assert maps.evaluate(scrolled) == place_before

    loop.end()
    for page in (grouping, maps):
        expect(page.get_by_text("still logging")).to_have_count(0)
    expect(start.get_by_text("watched (logging").last).not_to_be_attached()
    expect(grouping.get_by_text("once the run has ended")).to_have_count(0)
    expect(slider(grouping, "Clusters (k)")).to_have_attribute("aria-valuetext", "4")


def test_what_a_person_types_stays_while_a_log_grows_and_its_end_is_told(
    place: tuple[str, Path], open_page: Callable[..., Page], loop: Loop
) -> None:
    loop.epochs(2)
    start = open_page(f"{place[0]}/?run=bundled:g2")
    expect(start.get_by_text(f"{loop.name} (logging, epoch 2 of 6)").last).to_be_attached()
    start.get_by_test_id("stMain").get_by_role("button", name="Import", exact=True).click()
    expect(start.get_by_role("dialog")).to_be_visible()
    agreement = open_page(f"{place[0]}/agreement?run={loop.run}")
    labels = agreement.get_by_role("textbox", name="One line for each task")
    labels.fill("task,label\ntask 0,half typed")

    loop.epochs(1)
    expect(start.get_by_text(f"{loop.name} (logging, epoch 3 of 6)").last).to_be_attached()
    expect(start.get_by_role("dialog")).to_be_visible()
    expect(mark(agreement, "Epoch 3 of 6, still logging")).to_be_visible()
    expect(labels).to_have_value("task,label\ntask 0,half typed")

    loop.kill()
    expect(agreement.get_by_text("nobody is logging")).to_be_visible()
    expect(agreement.get_by_text("still logging")).to_have_count(0)
