"""A person drops a table of their own on Start, and ends at a heatmap and a verdict."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from playwright.sync_api import Page, expect
from sklearn.datasets import load_breast_cancer

from tests.browser.conftest import keep_screenshot as screenshot
from tests.browser.conftest import settled

pytestmark = pytest.mark.browser

TRAINING_MS = 240_000


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """569 tumours: 27 measures of each, and four questions about it."""
    frame = load_breast_cancer(as_frame=True).frame
    tasks = {"task:benign": frame.pop("target")}
    for measure, name in {"area": "large", "texture": "rough", "symmetry": "uneven"}.items():
        values = frame.pop(f"mean {measure}")
        tasks[f"task:{name}"] = (values > values.median()).astype(int)
    tasks["task:uneven"] = tasks["task:uneven"].where(frame.index % 5 > 0)  # a fifth is missing
    frame.insert(0, "patient_id", [f"P{i:03}" for i in range(len(frame))])
    path = tmp_path / "tumours.csv"
    frame.assign(**tasks).to_csv(path, index=False)
    return path


@pytest.mark.slow
def test_from_a_table_to_a_heatmap_and_a_verdict(
    own_address: str, open_page: Callable[..., Page], table: Path
) -> None:
    page = open_page(own_address)
    page.get_by_text("Bring your own data").click()
    page.locator("input[type=file]").set_input_files(table)
    expect(page.get_by_text("Tasks: 4 columns whose names begin with")).to_be_visible()
    expect(page.get_by_text("569 points of 27 numbers")).to_be_visible()
    page.get_by_role("textbox", name="Name", exact=True).fill("tumours of 1995")
    page.keyboard.press("Enter")
    expect(page.get_by_text("cannot name a data set")).to_be_visible()
    page.get_by_role("textbox", name="Name", exact=True).fill("tumours")
    page.keyboard.press("Enter")
    expect(page.get_by_text("cannot name a data set")).to_be_hidden()
    screenshot(page, "start_preview")
    page.get_by_role("button", name="Keep it").click()

    expect(page.get_by_text("4 tasks of tumours").first).to_be_visible()
    expect(page.get_by_role("combobox", name="Task group")).to_have_value("4 tasks of tumours")
    expect(page.get_by_role("combobox", name="Model")).to_have_value("mlp")
    page.get_by_test_id("stMain").get_by_role("button", name="Run", exact=True).click()
    expect(page.get_by_text("Finished. Open it on:")).to_be_visible(timeout=TRAINING_MS)
    settled(page)

    page.get_by_test_id("stMain").get_by_role("link", name="Data maps").last.click()
    page.get_by_role("button", name="easy to learn").click()
    rows = page.get_by_role("region", name=re.compile("Table of .* training points"))
    expect(rows.or_(page.get_by_test_id("stDataFrame")).first).to_be_visible()
    with page.expect_download() as started:
        page.get_by_role("button", name="CSV", exact=True).click()
    points = pd.read_csv(Path(started.value.path()))
    assert points.columns.tolist() == ["index", "id", "confidence", "variability", "label"]
    assert points["id"].str.match(r"P\d{3}").all() and set(points["label"]) <= {"yes", "no"}
    screenshot(page, "points_of_a_region")

    page.get_by_test_id("stSidebar").get_by_role("link", name="Grouping").click()
    expect(page.get_by_role("combobox", name="Run")).to_have_value(re.compile("tumours"))
    page.locator("figure .stage").first.wait_for()
    expect(page.get_by_text("how the prevalence of the 4 yes-or-no tasks varies")).to_be_visible()
    page.get_by_role("link", name=re.compile("Train [0-9] specialists")).click()
    page.get_by_role("button", name=re.compile("Train [0-9]+ models")).click()
    expect(page.get_by_text("Does the grouping pay?").nth(1)).to_be_visible(timeout=TRAINING_MS)
    screenshot(page, "own_verdict")


def test_a_table_that_can_be_read_in_two_ways_is_asked_about(
    address: str, open_page: Callable[..., Page], tmp_path: Path
) -> None:
    rows = [f"{i / 7:.3f},{i % 5 / 4},{(-1, 1)[i % 2]}" for i in range(60)]
    path = tmp_path / "asked.csv"
    path.write_text("\n".join(["a,b,task:toxic", *rows]))
    page = open_page(address)
    page.get_by_text("Bring your own data").click()
    page.get_by_role("textbox", name="Or a path on this machine").fill(str(path))
    page.keyboard.press("Enter")
    asked = page.get_by_text("Is that a missing label or a no?").first
    expect(asked).to_contain_text("Say -1 as “Stands for a missing label” or “−1 means no”")
    expect(page.get_by_role("button", name="Keep it")).to_be_disabled()
    page.get_by_text("−1 means no", exact=True).click()
    expect(page.get_by_role("button", name="Keep it")).to_be_enabled()
    page.get_by_role("textbox", name="Or a path on this machine").fill("/nowhere/at/all.csv")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert").first).to_contain_text("/nowhere/at/all.csv")
