"""Lesson: eight steps on the bundled runs."""

from __future__ import annotations

import tomllib

import pytest

from stg_core.results.store import Run
from tests.pages.conftest import ROOT, OpenApp, texts

WRITTEN = tomllib.loads((ROOT / "assets" / "lesson.toml").read_text())["step"]


@pytest.fixture
def lesson(open_app: OpenApp) -> OpenApp:
    """Opens the lesson as a new visitor has it: with the bundled runs."""
    return lambda **url: open_app("lesson", bundles=True, **url)


def test_eight_steps_are_written() -> None:
    assert len(WRITTEN) == 8
    assert all(step[part].strip() for step in WRITTEN for part in ("title", "question", "answer"))


@pytest.mark.parametrize("step", range(1, 9))
def test_each_step_has_a_picture_a_control_and_a_question(lesson: OpenApp, step: int) -> None:
    app = lesson(step=str(step))
    assert not app.exception and not app.error
    written = WRITTEN[step - 1]
    assert app.header[0].value == written["title"]
    assert written["question"].strip() in texts(app)
    controls = [*app.selectbox, *app.get("bidi_component")]
    pictures = [*app.get("vega_lite_chart"), *app.get("bidi_component")]
    assert controls and pictures


def test_an_answer_is_behind_a_click(lesson: OpenApp) -> None:
    app = lesson(step="4")
    assert not app.info
    app.toggle(key="answer_4").set_value(True).run()
    assert app.info[0].value.strip() == WRITTEN[3]["answer"].strip()


def test_the_buttons_walk_to_the_end_and_back(lesson: OpenApp) -> None:
    app = lesson()
    assert app.button(key="back").disabled
    for written in WRITTEN:
        assert app.header[0].value == written["title"] and not app.exception
        if not app.button(key="next").disabled:
            app.button(key="next").click().run()
    assert app.header[0].value == WRITTEN[-1]["title"]
    app.button(key="back").click().run()
    assert app.header[0].value == WRITTEN[-2]["title"]


@pytest.mark.parametrize("step", ["0", "9", "-1", "two"])
def test_a_step_that_is_not_there_shows_one_that_is(lesson: OpenApp, step: str) -> None:
    app = lesson(step=step)
    assert not app.exception and not app.error
    assert app.header[0].value in (WRITTEN[0]["title"], WRITTEN[-1]["title"])


def test_presenter_mode_and_back(lesson: OpenApp) -> None:
    app = lesson()
    app.button(key="presenter_mode").click().run()
    assert not app.exception and not app.title
    app.button(key="presenter_mode").click().run()
    assert app.title[0].value == "Lesson"


def test_without_bundled_runs_the_lesson_says_what_to_do(open_app: OpenApp, trained: Run) -> None:
    app = open_app("lesson", trained)
    assert not app.exception
    assert "import it from a .zip file" in app.error[0].value
