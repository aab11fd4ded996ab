"""From a grouping of the digits to the answer whether it pays, in a real browser."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from stg_core.engine.worker import run_spec
from stg_core.results.store import Store
from stg_core.tasks.groups import GROUPS
from stg_core.training.spec import TrainingSpec
from tests.browser.conftest import keep_screenshot as screenshot
from tests.browser.conftest import served
from tests.browser.looking import LISTEN, problems

pytestmark = pytest.mark.browser

VERDICT_MS = 400_000  # on a busy machine; half a minute else


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """Address of an app that has a run of the digits, and the run's key."""
    folder = tmp_path_factory.mktemp("app")
    run = run_spec(Store(folder / "results"), TrainingSpec(GROUPS["digits"], epochs=4))
    with served(folder) as address:
        yield address, run.id


def expect_read_while_it_trains(page: Page) -> None:
    """No column is cut, none says None, and the chart has an axis to read its lines by."""
    assert page.viewport_size and page.viewport_size["width"] == 1280
    for table in page.locator(".dvn-scroller").all():
        assert table.evaluate("table => table.scrollWidth <= table.clientWidth")
    expect(page.get_by_test_id("stDataFrame").locator("td", has_text="None")).to_have_count(0)
    chart = page.get_by_label(re.compile("models that are in training or done"))
    expect(chart.locator("canvas.marks")).to_be_visible(timeout=VERDICT_MS)
    assert problems(page) == []
    words = "canvas => [...words.get(canvas).values()].map(({ text }) => String(text))"
    ticks = [word for word in chart.locator("canvas.marks").evaluate(words) if "." in word]
    assert len(ticks) >= 3, ticks


def downloaded(page: Page, label: str) -> str:
    with page.expect_download() as started:
        page.get_by_role("button", name=label, exact=True).click()
    return Path(started.value.path()).read_text("utf-8-sig")


@pytest.mark.slow
def test_a_plan_of_the_digits_from_the_grouping_to_the_verdict(
    digits: tuple[str, str], open_page: Callable[..., Page]
) -> None:
    address, run = digits
    page = open_page(f"{address}/grouping?run={run}&k=3", script=LISTEN)
    page.get_by_role("link", name="Train 3 specialists").click()
    expect(page.get_by_role("heading", name="Specialists", exact=True)).to_be_visible()
    expect(page.get_by_text("11 trainings in all, 1 of them here")).to_be_visible()
    expect(page.get_by_text("Expected duration")).to_contain_text("about")

    page.get_by_role("button", name="Train 10 models").click()
    expect(page.get_by_text(re.compile(r"[1-9] of 11 trainings done"))).to_be_visible()
    page.get_by_role("button", name="Cancel").click()
    resume = page.get_by_role("button", name=re.compile(r"Resume [1-9]\d* model"))
    expect(resume).to_be_visible()
    resume.click()
    expect(page.get_by_role("button", name="Cancel")).to_be_visible()
    expect_read_while_it_trains(page)
    screenshot(page, "specialists_running")

    expect(page.get_by_text("Does the grouping pay?").nth(1)).to_be_visible(timeout=VERDICT_MS)
    page.get_by_text("What else the comparison says").click()
    expect(page.get_by_text("All this is of one seed")).to_be_visible()
    expect(page.get_by_text("11 trainings in all, 11 of them here")).to_be_visible()
    expect(page.get_by_text(re.compile("Specialists: .* tasks gain"))).to_be_visible()

    report = json.loads(downloaded(page, "JSON"))
    assert report["schemes"] == ["mtl", "specialists", "plain", "random", "longer", "wider"]
    soft = report["variants"]["logits-soft"]["measures"]["auroc"]["verdict"]
    expect(page.get_by_text(soft[:60])).to_be_visible()
    assert downloaded(page, "CSV").startswith("measure,scheme,task,cluster")
    html = downloaded(page, "HTML report")
    assert html.count("<svg") == 10 and soft[:60] in html
    assert not re.search(r'(src|href)="http', html)

    page.get_by_role("radio", name="hard").click()
    hard = report["variants"]["logits-hard"]["measures"]["auroc"]["verdict"]
    expect(page.get_by_text(hard[:60]).first).to_be_visible()
    screenshot(page, "specialists_verdict")


def test_a_fresh_machine_shows_bundled_judgements(
    address: str, open_page: Callable[..., Page]
) -> None:
    page = open_page(f"{address}/specialists?run=bundled:g1")
    expect(page.get_by_role("combobox", name="Judgement")).to_have_value(re.compile(r"\(G1\)"))
    expect(page.get_by_text("The grouping does not pay: the plain ensemble")).to_be_visible()
    expect(page.get_by_text("better than MTL")).to_be_hidden()
    expect(page.locator("[data-testid=stVegaLiteChart] .marks")).to_have_count(5)
    screenshot(page, "specialists_bundled")


@pytest.mark.parametrize("width", [390, 1280, 1920])
def test_every_scheme_is_named_in_the_picture_of_quality_and_cost(
    address: str, open_page: Callable[..., Page], width: int
) -> None:
    page = open_page(f"{address}/specialists?result=tox21-k2", script=LISTEN, width=width)
    chart = page.get_by_label(re.compile("AUROC of 11 schemes by training cost"))
    expect(chart.locator("canvas.marks")).to_be_visible()
    assert problems(page) == []
    words = "canvas => [...words.get(canvas).values()].map(({ text }) => String(text))"
    drawn = {*chart.locator("canvas.marks").evaluate(words)}
    names = {"MTL, 1", "Specialists, 3", "Longer model, 3", "Warm random, 2"}
    assert names <= drawn
    screenshot(page, f"specialists_quality_{width}")


def test_another_measure_is_one_click_and_stays_in_the_address(
    address: str, open_page: Callable[..., Page]
) -> None:
    page = open_page(f"{address}/specialists?result=tox21-k2")
    expect(page.get_by_label(re.compile("^Scatter plot: mean AUROC of 11 schemes"))).to_be_visible()
    page.get_by_role("radio", name="Average precision").click()
    expect(
        page.get_by_label(re.compile("^Scatter plot: mean average precision of 11 schemes"))
    ).to_be_visible()
    expect(page.get_by_text("mean average precision of 0.426 to 0.418").first).to_be_visible()
    assert "measure=Average+precision" in page.url
