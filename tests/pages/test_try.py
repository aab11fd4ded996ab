"""Try: a point goes in, and every exported model answers, without torch."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

from app import answers_ahead, model_files, try_points
from stg_core.export.about import Input
from stg_core.export.folders import EXPORTS, ONNX, WEIGHTS
from stg_core.results.run import Run
from stg_core.tasks.data import TaskData
from stg_core.tasks.images import load_images
from tests.pages.conftest import ROOT, OpenApp, picture, texts
from tests.pages.model_files import about, as_exports, digits_models, write_model

SPECIALISTS = 3


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory, digits_data: TaskData, trained: Run) -> Path:
    folder = tmp_path_factory.mktemp("models")
    digits_models(folder, digits_data, trained.spec)
    return folder


@pytest.fixture
def with_models(monkeypatch: pytest.MonkeyPatch, models: Path) -> None:
    monkeypatch.setattr(model_files, "bundled_folder", lambda: models)


@pytest.fixture
def open_try(open_app: OpenApp, trained: Run, with_models: None, own_home: Path) -> OpenApp:
    """Opens the page on models of the digits, whose images are prepared."""

    def opened(**url: Any) -> AppTest:
        app = open_app("try", trained, **url)
        assert not app.exception
        return app

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STG_HOME", str(trained.folder.parents[1]))
        load_images("digits")
    return opened


def shown(app: AppTest, name: str = "answers") -> tuple[dict[str, Any], np.ndarray]:
    return picture(app, name)


def gallery_of(app: AppTest) -> dict[str, Any]:
    """What the gallery is told."""
    shown = [component.proto for component in app.get("bidi_component")]
    (data,) = (json.loads(p.json) for p in shown if p.component_name == "stg_explorer.gallery")
    return data


def heads(header: dict[str, Any]) -> list[str]:
    return [column["title"] for column in header["columns"]]


def png(level: int = 255, mode: str = "L") -> bytes:
    file = io.BytesIO()
    Image.new(mode, (40, 40), level).save(file, "PNG")
    return file.getvalue()


def upload(app: AppTest, data: bytes, name: str = "mine.png") -> AppTest:
    app.file_uploader(key="try_upload").upload(name, data).run()
    assert not app.exception
    return app


def test_without_a_model_the_page_says_how_to_have_one(
    open_app: OpenApp, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(model_files, "bundled_folder", lambda: tmp_path / "none")
    app = open_app("try")
    assert not app.exception and not app.error
    assert "There is no model to try yet" in texts(app)


def test_a_test_point_is_answered_by_everybody(open_try: OpenApp) -> None:
    app = open_try(which="all", point="5")
    header, shades = shown(app)
    assert heads(header) == ["MTL", "1", "2", "3", "together", "hard", "truth"]
    assert header["title"].startswith("Test point 5, class ")
    assert header["names"][:2] == ["0", "1"] and len(header["names"]) == 15
    truth = [row[-1] for row in header["texts"]]
    assert set(truth) == {"yes", "no"}
    cells = shades.reshape(15, 7)
    for i, row in enumerate(header["wrong"]):
        for j, wrong in enumerate(row):
            assert wrong == ((cells[i, j] > 0.5) != (truth[i] == "yes"))
    assert header["weights"][0] == [0.5, 0.25, 0.25]
    right = sum(not row[4] for row in header["wrong"])
    assert f"Right answers to 15 tasks: together **{right}**" in texts(app)
    assert "only training points have" in texts(app)


def test_hard_routing_is_what_the_strongest_says(open_try: OpenApp) -> None:
    header, shades = shown(open_try(which="all", point="7"))
    cells = shades.reshape(15, 7)
    strongest = np.argmax(header["weights"], axis=1)
    assert np.array_equal(cells[:, 5], cells[np.arange(15), 1 + strongest])


def test_points_are_found_by_dispute_mistakes_and_task(open_try: OpenApp) -> None:
    app = open_try()
    _, shades = shown(app)
    each = shades.reshape(15, 7)[:, 1:4] > 0.5
    assert (each.any(axis=1) & ~each.all(axis=1)).any(), "specialists disagree about it"
    wrong, _ = shown(open_try(which="MTL is wrong", of_task="Odd"))
    assert wrong["wrong"][wrong["names"].index("Odd")][0]
    yes, _ = shown(open_try(which="all", of_task="9"))
    assert yes["texts"][yes["names"].index("9")][-1] == "yes"


def test_a_gallery_of_some_of_many_points_tells_them_by_what_they_are_called(
    open_try: OpenApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(try_points, "MOST", 50)  # of 360 test points
    app = open_try(which="all")
    pictures = gallery_of(app)["pictures"]
    assert len(pictures) == 40 and pictures[1]["at"] > 1
    assert all(one["name"].startswith(f"Test point {one['at']}, ") for one in pictures)
    linked = open_try(which="all", point=str(pictures[3]["at"]))
    assert gallery_of(linked)["chosen"] == pictures[3]["at"]
    assert shown(linked)[0]["title"] == pictures[3]["name"]


@pytest.mark.parametrize("split", ["Test", "Training"])
def test_the_browser_has_the_answers_of_all_points_of_the_gallery(
    open_try: OpenApp, split: str
) -> None:
    """What it draws before the app has heard of a click is what the app would say."""
    picture = "answers" if split == "Test" else "answers_and_place"
    app = open_try(input=split, which="all", point="0")
    sent, numbers = shown(app, "sent")
    told, _ = shown(app, picture)
    assert sent["of"] == told["every"] and told["at"] == 0
    places = [one["at"] for one in gallery_of(app)["pictures"]]
    assert [one["at"] for one in sent["each"]] == places
    for i in (1, 7):
        ahead = sent["each"][i]
        begin = sum(one["size"] for one in sent["each"][:i])
        said, values = shown(open_try(input=split, which="all", point=str(places[i])), picture)
        assert said["every"] == sent["of"]
        both = {name for name in ahead if name in said}
        assert both >= {"title", "says", "texts", "words", "wrong", "decisive", "alt", "at"}
        assert {name: ahead[name] for name in both} == {name: said[name] for name in both}
        cells = numbers[begin : begin + ahead["size"]]
        np.testing.assert_array_equal(cells, values[: len(cells)])


def test_nothing_is_sent_ahead_where_it_would_be_too_much(
    open_try: OpenApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answers_ahead, "MOST_CELLS", 100)
    app = open_try(which="all")
    assert not shown(app)[0]["every"]
    with pytest.raises(ValueError):
        shown(app, "sent")


def test_a_training_point_has_a_place_in_the_data_map_of_each_task(
    open_try: OpenApp, trained: Run
) -> None:
    header, numbers = shown(open_try(input="Training", which="all", point="3"), "answers_and_place")
    place = header["place"]
    at = header["places"]
    t = header["names"].index("Odd")
    whole = trained.datamaps()
    assert whole is not None
    assert at[t] == pytest.approx(whole[-1, :, t, 3].tolist(), abs=1e-3)
    cells = numbers[15 * 7 :].reshape(15, place["bins"], place["bins"])
    assert (cells.sum(axis=(1, 2)) == 1_437).all()


def test_an_uploaded_picture_is_answered_and_a_bad_one_is_not_the_end(open_try: OpenApp) -> None:
    app = open_try(input="Upload")
    assert "light on dark" in texts(app) and "The answers are shown here." in texts(app)
    upload(app, b"no picture", "mine.png")
    assert "no picture that can be read" in app.error[0].value
    upload(app, png())
    header, _ = shown(app)
    assert not app.error and header["title"] == "The uploaded picture"
    assert {row[-1] for row in header["texts"]} == {"–"}, "nobody knows the truth"
    assert "Its edge is bright" in app.info[0].value
    app.toggle(key="try_inverted").set_value(True).run()
    assert not app.info and not app.exception
    before = header["texts"]
    assert shown(app)[0]["texts"] != before


def test_a_photo_of_the_camera_is_answered_and_can_be_taken_again(open_try: OpenApp) -> None:
    app = open_try(input="Camera")
    for level in (255, 0):
        file = io.BytesIO()
        Image.new("RGB", (640, 480), (level,) * 3).save(file, "JPEG")
        photo = "photo.jpg", file.getvalue(), "image/jpeg"
        app.camera_input(key="try_camera").set_value(photo).run()
        assert not app.exception and not app.error
        assert shown(app)[0]["title"] == "The picture from the camera"
        assert bool(app.info) == (level == 255), "its edge is bright"
    app.camera_input(key="try_camera").set_value(("photo.jpg", b"\xff\xd8 no", "image/jpeg")).run()
    assert not app.exception and "“the camera”" in app.error[0].value
    app.camera_input(key="try_camera").set_value(None).run()
    assert not app.error and "The answers are shown here." in texts(app)


def test_camera_and_addresses_that_cannot_be(open_try: OpenApp) -> None:
    assert "The answers are shown here." in texts(open_try(input="Camera"))
    app = open_try(input="Telepathy", which="x", point="99999", of_task="zebra", models_of="y")
    assert not app.error and shown(app)


# ------------------------------------------------------------------------------ files of one's own


def test_an_opened_file_is_tried_without_its_training(
    open_app: OpenApp, monkeypatch: pytest.MonkeyPatch, models: Path, tmp_path: Path
) -> None:
    monkeypatch.setattr(model_files, "bundled_folder", lambda: tmp_path / "none")
    app = open_app("try")
    files = [(path.name, path.read_bytes(), "") for path in sorted(models.glob("*.onnx"))]
    app.file_uploader(key="model_files").upload(*files[1][:2]).run()
    assert not app.exception and not app.error
    assert "is not on this machine" in texts(app)
    assert app.get("file_uploader")
    app.file_uploader(key="model_files").upload("worse.onnx", b"no model").run()
    assert not app.exception
    assert "worse" in app.error[0].value and "no ONNX model" in app.error[0].value


def choices(app: AppTest) -> list[str]:
    """The titles of models that can be tried."""
    (box,) = (box for box in app.selectbox if box.label == "Models")
    return list(box.options)


def test_what_was_exported_here_can_be_tried(
    open_try: OpenApp, models: Path, trained: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    exports = trained.folder.parents[1] / EXPORTS
    of_two = {"grouping": {"k": 2}, "made": {"created": "2026-11-29T20:42:00+00:00"}}
    of_three = {"grouping": {"k": 3}, "made": {"created": "2026-11-30T20:42:00+00:00"}}
    paths = sorted(models.glob("*.onnx"))  # MTL, specialists
    try:
        mtl, _ = as_exports(paths, exports, **of_two)
        _, later = as_exports(paths[1:] * 2, exports, **of_three)
        app = open_try(which="all", point="5")
        assert not app.error
        titles = choices(app)
        assert len(titles) == 4 and sum("k = 3, exported 2026-11-30" in one for one in titles) == 2
        assert any("specialists, MTL, k = 2, exported 2026-11-29 20:42" in one for one in titles)
        assert all("MTL" in one for one in titles), "it is the same for every k"
        header, _ = shown(app)
        assert heads(header) == ["MTL", "1", "2", "3", "together", "hard", "truth"]
        assert model_files.key_of_export(later.name) in {
            "exported:" + path.name for path in exports.glob("*")
        }
        assert shown(open_try(which="all", models_of=f"exported:{later.name}"))

        (later / WEIGHTS).write_bytes(b"damaged")
        app = open_try(which="all")
        assert len(choices(app)) == 3 and "safetensors cannot be read" in app.error[0].value
        (mtl / ONNX).write_bytes(b"damaged")
        app = open_try(which="all", models_of=f"exported:{'3'.zfill(16)}")
        assert not app.exception and "no ONNX model, or damaged" in app.error[-1].value
    finally:
        shutil.rmtree(exports)


def test_a_row_of_a_table_is_changed_by_hand(
    open_app: OpenApp, monkeypatch: pytest.MonkeyPatch, own_home: Path, tmp_path: Path
) -> None:
    """One model says yes where x is positive, the other always no."""
    given = Input("table", (2,), ("x", "y"), (0.0, 0.0), (1.0, 1.0))
    one = about(("a",), "specialists", np.array([[0.75], [0.25]]), given, run="elsewhere")
    slopes, offsets = np.zeros((2, 2, 1)), np.array([[0.0], [-4.0]])
    slopes[0, 0, 0] = 2.0
    folder = tmp_path / "of-rows"
    folder.mkdir()
    write_model(folder / "rows-specialists.onnx", one, slopes, offsets)
    monkeypatch.setattr(model_files, "bundled_folder", lambda: folder)
    app = open_app("try")
    assert not app.exception and not app.error
    assert "It begins with missing numbers" in texts(app)
    header, _ = shown(app)
    assert header["title"] == "The row by hand"


def test_an_answer_takes_less_than_a_tenth_of_a_second_of_the_processor(
    models: Path, digits_data: TaskData, with_models: None
) -> None:
    """Here of small models: what the page itself does to a point, from pixels to words."""
    from app.answering import Answered
    from app.try_points import ask

    found = next(iter(model_files.models_to_try().values()))
    inputs = digits_data.test_points[:1]
    Answered(found, ask(found, inputs)).table()
    begun = time.process_time()
    for _ in range(5):
        answered = Answered(found, ask(found, inputs), np.ones(15))
        assert len(answered.table()) == 15
    assert (time.process_time() - begun) / 5 < 0.1


def test_no_torch_comes_into_the_app_process(models: Path, trained: Run) -> None:
    code = f"""
import os, sys
from pathlib import Path
import stg_core.engine.jobs as jobs
jobs.Engine.start = lambda self: None
from app import answers_ahead, model_files, try_points
model_files.bundled_folder = lambda: Path({str(models)!r})
from streamlit.testing.v1 import AppTest
app = AppTest.from_file("app/main.py", default_timeout=60).run()
app.query_params["which"] = "all"
app.switch_page("../pages/try.py").run()
assert app.title and not app.exception
print("onnxruntime" in sys.modules, "torch" in sys.modules, flush=True)
os._exit(0)
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, "STG_HOME": str(trained.folder.parents[1])},
        capture_output=True,
        text=True,
    )
    assert done.stdout.strip() == "True False", done.stderr
