"""What a person does with runs on the Start page: export, import, rename, delete."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import FilePayload, Locator, Page, expect

from tests.browser.conftest import keep_screenshot as screenshot
from tests.browser.conftest import settled

pytestmark = pytest.mark.browser

TITLE = "Ours ![](http://example.com/picture.png)"  # as Markdown, a picture of another host


def main_button(page: Page, name: str) -> Locator:
    return page.get_by_test_id("stMain").get_by_role("button", name=name, exact=True)


def test_a_run_is_exported_imported_renamed_and_deleted(
    own_address: str, open_page: Callable[..., Page], tmp_path: Path
) -> None:
    page = open_page(f"{own_address}/?run=bundled:g2")
    expect(main_button(page, "Delete")).to_be_disabled()
    with page.expect_download() as download:
        main_button(page, "Export").click()
    file = tmp_path / download.value.suggested_filename
    download.value.save_as(file)
    assert file.name == "15-questions-about-CIFAR-10-G2-resnet18-10-epochs-seed-0-bundled.zip"
    with zipfile.ZipFile(file) as archive:
        assert archive.namelist() == ["metrics.json", "summary.npz", "spec.json"]

    main_button(page, "Import").click()
    wrong = FilePayload(name="wrong.zip", mimeType="application/zip", buffer=b"PK")
    page.locator("input[type=file]").set_input_files(wrong)
    expect(page.get_by_role("dialog").get_by_role("alert")).to_contain_text("not a whole export")
    page.locator("input[type=file]").set_input_files(file)
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(main_button(page, "Delete")).to_be_enabled()
    settled(page)  # what is clicked while the page is still drawn anew is lost

    main_button(page, "Rename").click()
    page.get_by_role("textbox", name="Title").fill(TITLE)
    page.get_by_role("dialog").get_by_role("button", name="Save").click()
    expect(page.get_by_text(TITLE).last).to_be_visible()  # the table has it too
    settled(page)
    screenshot(page, "start_runs")

    page.get_by_test_id("stMain").get_by_role("link", name="Grouping").first.click()
    expect(page.get_by_role("combobox", name="Run")).to_have_value(TITLE)
    page.get_by_role("link", name="Start").first.click()

    main_button(page, "Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(page.get_by_text("Tick a run to open it.")).to_be_visible()
    expect(page.get_by_text("Ours")).to_have_count(0)


@pytest.mark.slow
def test_a_card_of_a_task_group_fills_the_settings_and_the_address(
    address: str, open_page: Callable[..., Page]
) -> None:
    page = open_page(address)
    page.get_by_role("button", name="Choose").nth(2).click()
    expect(page.get_by_role("combobox", name="Task group")).to_have_value(re.compile(r"\(G3\)"))
    expect(page).to_have_url(f"{address}/?group=g3")
    page.reload()
    expect(page.get_by_role("combobox", name="Task group")).to_have_value(re.compile(r"\(G3\)"))


def test_a_run_that_is_ticked_is_opened_below_the_table(
    address: str, open_page: Callable[..., Page]
) -> None:
    page = open_page(address)
    expect(page.get_by_text("Tick a run to open it.")).to_be_visible()
    expect(main_button(page, "Rename")).to_have_count(0)
    table = page.get_by_test_id("stDataFrame")
    table.scroll_into_view_if_needed()
    for chosen in (True, False):
        table.click(position={"x": 18, "y": 52})  # the box before the first row
        expect(main_button(page, "Rename")).to_have_count(int(chosen))
        expect(page.get_by_text("Tick a run to open it.")).to_have_count(int(not chosen))
        expect(page).to_have_url(re.compile(r"run=bundled" if chosen else r"/$"))
