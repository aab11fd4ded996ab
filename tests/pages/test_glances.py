"""Images of what is pointed at: of the points of a data map, and an example of each task."""

from __future__ import annotations

import base64
import io
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

from app.glances import Things
from stg_core.results.run import Run
from stg_core.tasks.data import TaskData, load_task_data
from tests.pages.conftest import OpenApp, move, picture

LARGEST = 6_000  # bytes of a message


@pytest.fixture
def saw(trained: Run, open_app: OpenApp, monkeypatch: pytest.MonkeyPatch) -> TaskData:
    """What the run was trained on, read as a training reads it; it is prepared from then on."""
    monkeypatch.setenv("STG_HOME", str(trained.folder.parents[1]))
    return load_task_data(trained.spec.group)


def glance(app: AppTest) -> dict[str, Any] | None:
    """What was sent of what is pointed at; None where nothing was."""
    shown = [component.proto for component in app.get("bidi_component")]
    (message,) = (p.json for p in shown if p.component_name == "stg_explorer.glances")
    assert len(message) < LARGEST
    found: dict[str, Any] | None = json.loads(message)["glance"]
    return found


def point_at(app: AppTest, run: Run, things: Things, name: str) -> dict[str, Any]:
    """As the browser asks when a pointer rests."""
    app.session_state[f"glances of {things} asked"] = (f"{things} of {run.id}", name)
    found = glance(app.run())
    assert not app.exception and found and found["name"] == name
    return found


def pixels(found: dict[str, Any]) -> np.ndarray:
    kind, _, content = found["image"].partition(",")
    assert kind == "data:image/png;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(content))))


def test_a_point_shows_its_image_and_what_it_is(
    open_app: OpenApp, trained: Run, saw: TaskData
) -> None:
    app = open_app("data_maps", trained, run=trained.id, task="Odd")
    assert picture(app, "data_map")[0]["glances"] == f"points of {trained.id}"
    assert glance(app) is None
    turned = saw.train_labels[:, saw.tasks.index("Downside")]
    for index in (0, 700, 1436):
        found = point_at(app, trained, "points", str(index))
        np.testing.assert_array_equal(pixels(found), saw.train_points[index, ..., 0])
        digit = saw.tasks[int(saw.train_labels[index, :10].argmax())]
        upside_down = ", upside down" * int(turned[index])
        assert found["lines"] == [f"An image of class {digit}{upside_down}"]


def test_what_a_slider_moves_sends_no_image(open_app: OpenApp, trained: Run, saw: TaskData) -> None:
    app = open_app("data_maps", trained, run=trained.id)
    point_at(app, trained, "points", "12")
    assert glance(move(app, "epoch", "2")) is None


@pytest.mark.parametrize("name", ["1437", "-1", "", "²", "9" * 5000, "cat"])
def test_a_point_that_is_not_there_shows_nothing(
    open_app: OpenApp, trained: Run, saw: TaskData, name: str
) -> None:
    app = open_app("data_maps", trained, run=trained.id)
    found = point_at(app, trained, "points", name)
    assert (found["image"], found["lines"]) == ("", [])


def test_each_task_on_the_map_shows_an_example_of_a_yes(
    open_app: OpenApp, trained: Run, saw: TaskData
) -> None:
    app = open_app("grouping", trained, run=trained.id, map="pca")
    assert picture(app, "memberships")[0]["glances"] == f"tasks of {trained.id}"
    downside = saw.train_labels[:, saw.tasks.index("Downside")]
    for t, task in enumerate(saw.tasks):
        shown = pixels(point_at(app, trained, "tasks", task))
        same = (saw.train_points[..., 0] == shown).all(axis=(1, 2))
        assert (saw.train_labels[same, t] == 1).any(), task
        assert downside[same].any() == (task == "Downside")
    found = point_at(app, trained, "tasks", "no task")
    assert (found["image"], found["lines"]) == ("", [])


@pytest.mark.parametrize("page", ["data_maps", "grouping"])
def test_where_images_are_absent_nothing_is_asked(open_app: OpenApp, page: str) -> None:
    app = open_app(page, None, bundles=True, run="bundled:g2", map="pca")
    assert not app.exception and not app.error
    drawn = {"data_maps": "data_map", "grouping": "memberships"}[page]
    assert picture(app, drawn)[0]["glances"] is None
    names = [component.proto.component_name for component in app.get("bidi_component")]
    assert "stg_explorer.glances" not in names


def test_other_images_than_those_of_the_run_are_not_shown(
    open_app: OpenApp, cifar10_tree: Path
) -> None:
    app = open_app("data_maps", None, bundles=True, run="bundled:g2")
    run_id = "bundled:g2"
    app.session_state["glances of points asked"] = (f"points of {run_id}", "5")
    deadline = time.monotonic() + 60  # they are prepared first, by another process
    while not (found := glance(app.run())) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not app.exception and not app.error
    assert found and found["image"] == ""
