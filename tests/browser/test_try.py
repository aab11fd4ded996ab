"""Try, as a visitor uses it: a digit is chosen, and a picture is uploaded."""

from __future__ import annotations

import io
import re
from collections.abc import Callable

import pytest
from PIL import Image, ImageDraw
from playwright.sync_api import FilePayload, Page, expect

from tests.browser.conftest import settled, stopped

pytestmark = pytest.mark.browser


def drawn_one() -> bytes:
    """A one, as one would draw it: light on dark."""
    image = Image.new("RGB", (300, 400), "black")
    ImageDraw.Draw(image).line([(160, 40), (150, 360)], fill="white", width=70)
    file = io.BytesIO()
    image.save(file, "JPEG")
    return file.getvalue()


def test_a_digit_is_chosen_and_a_picture_is_uploaded(
    address: str, open_page: Callable[..., Page]
) -> None:
    page = open_page(f"{address}/try?which=all")
    answers = page.locator("figure.answers .stage")
    digits = page.get_by_role("radiogroup", name="Gallery").get_by_role("radio")
    expect(digits.first).to_have_attribute("aria-checked", "true")
    expect(answers).to_have_attribute("aria-label", re.compile("Test point 0, class 0"))

    digits.first.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("point=1"))
    expect(answers).to_have_attribute("aria-label", re.compile("Test point 1, class 0"))
    answers.focus()
    answers.press("ArrowDown")
    spoken = page.locator("figure.answers ~ .spoken")
    expect(spoken).to_contain_text("specialist 1 of weight 0.86 yes")

    page.get_by_role("radio", name="Upload").click()
    uploader = page.locator("[data-testid=stFileUploader] input[type=file]").last
    notes = FilePayload(name="notes.png", mimeType="image/png", buffer=b"some notes")
    uploader.set_input_files(notes)
    expect(page.get_by_text("is no picture that can be read here")).to_be_visible()
    one = FilePayload(name="one.jpg", mimeType="image/jpeg", buffer=drawn_one())
    uploader.set_input_files(one)
    expect(answers).to_have_attribute("aria-label", re.compile("The uploaded picture"))
    expect(page.get_by_text("is no picture that can be read here")).to_have_count(0)
    settled(page)


@pytest.mark.parametrize("split", ["Test", "Training"])
def test_a_point_of_the_gallery_is_answered_before_the_app_has_heard_of_it(
    address: str, open_page: Callable[..., Page], split: str
) -> None:
    page = open_page(f"{address}/try?which=all&input={split}")
    answers = page.locator("figure.answers .stage")
    digits = page.get_by_role("radiogroup", name="Gallery").get_by_role("radio")
    words = page.locator(".st-key-answers_try")
    expect(answers).to_have_attribute("aria-label", re.compile(f"{split} point 0, "))
    page.wait_for_function("window.stgExplorerHand?.sent.size > 0")
    settled(page)
    with stopped(address):
        digits.nth(2).click()
        expect(answers).to_have_attribute("aria-label", re.compile(f"{split} point 2, "))
        expect(words).to_have_css("opacity", "0.35")  # they are of the point before
        digits.nth(3).click()
        expect(answers).to_have_attribute("aria-label", re.compile(f"{split} point 3, "))
        expect(page).not_to_have_url(re.compile("point="))
    expect(page).to_have_url(re.compile("point=3"))
    expect(words).to_have_css("opacity", "1")
    settled(page)
    expect(answers).to_have_attribute("aria-label", re.compile(f"{split} point 3, "))
    expect(digits.nth(3)).to_have_attribute("aria-checked", "true")
    page.go_back()
    expect(answers).to_have_attribute("aria-label", re.compile(f"{split} point [02], "))


@pytest.mark.parametrize(("width", "upright"), [(390, True), (1280, False)])
def test_all_titles_of_columns_can_be_read_on_a_phone_too(
    address: str, open_page: Callable[..., Page], width: int, upright: bool
) -> None:
    page = open_page(f"{address}/try?which=all", width=width)
    page.locator("figure.answers canvas").first.wait_for()
    with page.expect_download() as download:
        page.locator("figure.answers").get_by_role("button", name="SVG").click()
    drawn = download.value.path().read_text()
    for title in ("MTL", "plain", "together", "hard", "truth"):
        assert f">{title}</text>" in drawn
    assert ("rotate(-90)" in drawn) == upright
