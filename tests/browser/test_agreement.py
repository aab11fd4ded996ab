"""A person holds the bundled G3 against its superclasses, and G1 against labels of their own."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, Page, expect

from stg_core.grouping.agreement import (
    Agreement,
    agreement_with,
    built_in_reference,
    read_reference,
)
from stg_core.grouping.memberships import TaskSpace, group_tasks
from stg_core.results.run import Run
from stg_core.results.store import Store
from tests.browser.conftest import keep_screenshot, settled

pytestmark = pytest.mark.browser

OWN = "task,label\nbird,flies\nairplane,flies\nship,swims\nfrog,swims\n"


def chart(page: Page, described: str) -> Locator:
    """The chart whose text alternative has these words."""
    found = page.get_by_label(re.compile(re.escape(described))).and_(
        page.get_by_test_id("stVegaLiteChart")
    )
    found.locator("canvas.marks").first.wait_for()
    return found


def expect_scores(page: Page, found: Agreement) -> None:
    rand = f"{found.scores['adjusted_rand_index'].value:.2f}".replace("-", "−")
    chart(page, f"random relabellings: Adjusted Rand index {rand}, chance")
    for title, labels in (
        ("kept whole", [part.label for part in found.whole]),
        ("split", [parts[0].label for parts in found.split]),
        ("merged", [part.label for parts in found.merged for part in parts]),
    ):
        column = page.get_by_test_id("stColumn").filter(
            has=page.get_by_text(re.compile(rf"^\d+ {title}$"))
        )
        for label in labels:
            expect(column).to_contain_text(label)


def grouped(run: Run, k: int) -> tuple[TaskSpace, Agreement]:
    space = TaskSpace(run.summary)
    reference = built_in_reference(run.spec.group, space.tasks)
    assert reference is not None
    return space, agreement_with(reference, group_tasks(space, k))


@pytest.mark.slow
def test_g3_against_its_superclasses(address: str, open_page: Callable[..., Page]) -> None:
    run = Store().run("bundled:g3")
    page = open_page(f"{address}/superclasses?run=bundled:g3")  # a link of the first version
    expect(page.get_by_role("heading", name="Agreement")).to_be_visible()
    expect(page).to_have_url(re.compile(r"/agreement\?.*run=bundled"))
    expect_scores(page, grouped(run, 20)[1])
    chart(page, "four other scores for every number of clusters")
    panels = page.get_by_role("img", name=re.compile("^Memberships by superclass"))
    before = panels.screenshot()

    page.get_by_role("slider", name="Clusters (k)").press("ArrowRight")
    expect(page).to_have_url(re.compile(r"[?&]k=21"))
    expect_scores(page, grouped(run, 21)[1])
    settled(page)
    assert panels.screenshot() != before
    keep_screenshot(page, "agreement_g3")

    page.get_by_role("link", name="Grouping").first.click()
    expect(page.get_by_role("slider", name="Clusters (k)")).to_have_value("19")


@pytest.mark.slow
def test_g1_against_labels_of_ones_own(address: str, open_page: Callable[..., Page]) -> None:
    run = Store().run("bundled:g1")
    space, _ = grouped(run, 2)
    found = agreement_with(read_reference(OWN, space.tasks), group_tasks(space, 2))
    page = open_page(f"{address}/agreement?run=bundled:g1")
    page.get_by_text("Labels of my own").click()
    typed = page.get_by_role("textbox", name="One line for each task")
    expect(typed).to_have_value(re.compile("^task,label\nairplane,\n"))
    uploader = page.get_by_test_id("stFileUploader").locator("input[type=file]")
    uploader.set_input_files({"name": "a.csv", "mimeType": "text/csv", "buffer": OWN.encode()})
    expect_scores(page, found)
    expect(typed).to_have_value(re.compile("ship,swims"))

    typed.fill(OWN.replace("ship,", "boat,"))
    typed.press("Control+Enter")
    expect(page.get_by_role("alert")).to_contain_text("there is no task 'boat'")
    expect(typed).to_have_value(re.compile("boat,swims"))
    typed.fill(OWN)
    typed.press("Control+Enter")
    expect_scores(page, found)

    expect(page).to_have_url(re.compile("labels="))
    colleague = open_page(page.url, "dark")
    expect_scores(colleague, found)
    settled(colleague)
    keep_screenshot(colleague, "agreement_own_labels_dark")
