"""Lesson: nine steps on the bundled runs."""

from __future__ import annotations

import time
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from stg_core.results.run import Run
from stg_core.results.store import Store
from stg_core.tasks.images import load_images
from tests.conftest import write_tree
from tests.pages.conftest import ROOT, OpenApp, texts

WRITTEN = tomllib.loads((ROOT / "assets" / "lesson.toml").read_text())["step"]


@pytest.fixture
def lesson(open_app: OpenApp) -> OpenApp:
    """Opens the lesson as a new visitor has it: with the bundled runs."""
    return lambda **url: open_app("lesson", bundles=True, **url)


def test_nine_steps_are_written() -> None:
    assert len(WRITTEN) == 9
    assert all(step[part].strip() for step in WRITTEN for part in ("title", "question", "answer"))


@pytest.mark.parametrize("step", range(1, 10))
def test_each_step_has_a_picture_a_control_and_a_question(lesson: OpenApp, step: int) -> None:
    app = lesson(step=str(step))
    if app.status:  # it waits for another process
        load_images("digits")
        app.run()
    assert not app.exception and not app.error, [error.value for error in app.error]
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


@pytest.mark.parametrize("step", ["0", "10", "-1", "two"])
def test_a_step_that_is_not_there_shows_one_that_is(lesson: OpenApp, step: str) -> None:
    app = lesson(step=step)
    assert not app.exception and not app.error, [error.value for error in app.error]
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


# ---------------------------------------------------------------------------------- real images


def image_texts(app: AppTest) -> list[str]:
    return [image.alt for element in app.get("image") for image in element.proto.imgs]


def test_without_cifar_digits_stand_for_its_images(lesson: OpenApp) -> None:
    app = lesson(lesson_class="frog")
    assert not app.exception and not app.error, [error.value for error in app.error]
    assert image_texts(app) == [f"A handwritten 6 instead{how}" for how in ("", ", upside down")]
    assert "images of CIFAR-10 are not on this machine" in texts(app)

    load_images("digits")  # otherwise another process does, and the page waits for it
    app = lesson(step="2", lesson_point="1")
    assert not app.exception and not app.error, [error.value for error in app.error]
    (alt,) = image_texts(app)
    run = Store().run("bundled:digits")
    assert alt == f"Training point {run.summary.task_map('9', 30).indices[0]}"
    assert f"{alt} of handwritten digits" in texts(app)

    app = lesson(step="7")
    assert not app.exception and not image_texts(app)
    assert "were those of CIFAR-100 on this machine" in texts(app)


def test_with_cifar_the_lesson_shows_its_images(
    lesson: OpenApp, cifar10_tree: Path, tmp_path: Path
) -> None:
    app = lesson(lesson_class="frog")
    assert image_texts(app)[0] == "A training image of CIFAR-10: frog"
    assert "not on this machine" not in texts(app)
    write_tree(tmp_path / "data" / "cifar100", per_class=1, dataset="cifar100")
    app = lesson(step="7", lesson_superclass="people")
    assert not app.exception and not app.error, [error.value for error in app.error]
    names = ("baby", "boy", "girl", "man", "woman")
    assert image_texts(app) == [f"A training image of class {name}" for name in names]


def test_the_lesson_waits_for_digits_that_are_not_prepared(
    lesson: OpenApp, begin_preparing: Callable[[], None]
) -> None:
    app = lesson(step="2")
    assert not app.exception and not app.error and not image_texts(app)
    assert "Preparing the images of handwritten digits" in app.status[0].label
    begin_preparing()
    deadline = time.monotonic() + 60
    while app.status and time.monotonic() < deadline:
        time.sleep(0.3)
        app.run()
    assert len(image_texts(app)) == 1
