"""Data maps: how the model learned each task, its regions, and the images in them."""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from app import images
from app.widgets import plain
from stg_core.engine.job import Job
from stg_core.results.run import Run
from stg_core.results.store import Store
from stg_core.tasks.data import TaskData, load_task_data
from stg_core.tasks.groups import GROUPS
from stg_core.tasks.images import load_images
from stg_core.training.loop import train
from stg_core.training.spec import TrainingSpec
from tests.pages.conftest import ROOT, OpenApp, StandInEngine, move, slider, texts

AMBIGUOUS = 5 / 16 * np.sqrt(0.5)


def picture(app: AppTest, title: str) -> tuple[dict[str, Any], np.ndarray]:
    """Header and numbers of the picture with this title."""
    messages = [element.proto.bytes for element in app.get("bidi_component")]
    for message in filter(None, messages):
        size = int.from_bytes(message[:4], "little")
        header = json.loads(message[4 : 4 + size])
        if header.get("title") == title:
            return header, np.frombuffer(message[4 + size :], dtype="<f4")
    raise AssertionError(f"no picture {title!r}")


def has_pictures(app: AppTest) -> bool:
    return any(element.proto.bytes for element in app.get("bidi_component"))


def shares(app: AppTest, task: str) -> dict[str, float]:
    """The regions' names and shares that stand on a data map, in percent."""
    said = " ".join(picture(app, f"Data map of {task}")[0]["regions"])
    return {name.strip(): float(share) for name, share in re.findall(r"([a-z ]+) ([\d.]+)%", said)}


def counted(confidence: np.ndarray, variability: np.ndarray) -> dict[str, Any]:
    """The same, counted from the data map itself."""
    moved = variability >= AMBIGUOUS
    sure = confidence >= 0.5
    regions = {"easy to learn": ~moved & sure, "ambiguous": moved, "hard to learn": ~moved & ~sure}
    return {name: pytest.approx(100 * inside.mean(), abs=0.051) for name, inside in regions.items()}


def map_of(run: Run, task: str, e: int = -1) -> np.ndarray:
    """The whole data map of a task, (2, N)."""
    maps = run.datamaps()
    assert maps is not None
    return maps[e, :, run.spec.tasks.index(task)].astype(float)


def labels_of(run: Run, task: str) -> np.ndarray:
    return load_task_data(run.spec.group).train_labels[:, run.spec.tasks.index(task)]


def image_texts(app: AppTest) -> list[str]:
    """Text alternatives of the images on the page."""
    return [image.alt for element in app.get("image") for image in element.proto.imgs]


def indices(app: AppTest) -> list[int]:
    found = (re.match(r"Training point (\d+)", text) for text in image_texts(app))
    return [int(match[1]) for match in found if match]


def bundled(open_app: OpenApp, tmp_path: Path, name: str, **url: str) -> AppTest:
    """The page on a bundled run, in a home that holds nothing else."""
    shutil.copytree(ROOT / "assets" / "bundles" / name, tmp_path / "no-bundles" / name)
    return open_app("data_maps", None, run=f"bundled:{name}", **url)


# --------------------------------------------------------------------------------- one data map


@pytest.mark.parametrize("task", ["Odd", "3"])
def test_a_map_shows_each_regions_share_of_the_points(
    open_app: OpenApp, trained: Run, task: str
) -> None:
    app = open_app("data_maps", trained, task=task)
    assert not app.exception and not app.error
    confidence, variability = map_of(trained, task)
    assert shares(app, task) == counted(confidence, variability)
    assert sum(shares(app, task).values()) == pytest.approx(100, abs=0.2)
    header, _ = picture(app, f"Data map of {task}")
    assert f"easy to learn {shares(app, task)['easy to learn']}%" in header["alt"]["data-map"]
    assert f"mean confidence {confidence.mean():.2f}" in texts(app)


def test_density_covers_all_points_and_single_ones_are_drawn_where_they_are_few(
    open_app: OpenApp, trained: Run
) -> None:
    app = open_app("data_maps", trained, task="7")
    histogram = trained.summary.histogram[-1, trained.spec.tasks.index("7")].sum(axis=0)
    header, values = picture(app, "Data map of 7")
    assert np.array_equal(values[: 64 * 64].reshape(64, 64), histogram)

    # The sample of the digits is all of them, so those in cells of fewer than ten are counted.
    variability, confidence, positive = values[64 * 64 :].reshape(-1, 3).T
    points = np.array(header["names"]).astype(int)
    assert len(points) == len(positive) == histogram[histogram < 10].sum() > 0
    maps = map_of(trained, "7")[:, points]
    assert np.array_equal(confidence, maps[0]) and np.array_equal(variability, maps[1])
    assert np.array_equal(positive, labels_of(trained, "7")[points])


@pytest.mark.parametrize(("kind", "label"), [("positives", 1), ("negatives", 0)])
def test_positives_and_negatives_can_be_separated(
    open_app: OpenApp, trained: Run, kind: str, label: int
) -> None:
    app = open_app("data_maps", trained, task="Small", beside="1")
    app.segmented_control(key="points").set_value(kind).run()
    assert not app.exception
    for task in ("Small", "1"):
        chosen = labels_of(trained, task) == label
        maps = map_of(trained, task)
        assert shares(app, task) == counted(*maps[:, chosen])
        header, values = picture(app, f"Data map of {task}")
        assert values[: 64 * 64].sum() == chosen.sum()
        assert chosen[np.array(header["names"]).astype(int)].all()
        assert f"{chosen.sum():,} points" in texts(app)


def test_a_slider_with_a_play_button_walks_through_the_recorded_epochs(
    open_app: OpenApp, smaller: Run
) -> None:
    app = open_app("data_maps", smaller, run=smaller.id, task="8")
    assert slider(app, "Recorded epoch").values == ["2", "3", "4"]
    assert slider(app, "Recorded epoch").value == "4"
    for e, epoch in enumerate(("2", "3", "4")):
        move(app, "epoch", epoch)
        assert not app.exception
        maps = map_of(smaller, "8", e)
        assert shares(app, "8") == counted(*maps)
        header, _ = picture(app, "Data map of 8")
        assert f"after epoch {epoch}" in header["alt"]["data-map"]


def test_every_recorded_epoch_is_sent_at_once(open_app: OpenApp, smaller: Run) -> None:
    app = open_app("data_maps", smaller, run=smaller.id, task="8", epoch="3")
    header, now = picture(app, "Data map of 8")
    (message,) = (
        element.proto.bytes
        for element in app.get("bidi_component")
        if element.proto.component_name == "stg_explorer.sent"
    )
    size = int.from_bytes(message[:4], "little")
    sent, values = json.loads(message[4 : 4 + size]), np.frombuffer(message[4 + size :], "<f4")
    assert header["every"] == sent["of"]
    assert [one["at"] for one in sent["each"]] == [2, 3, 4]
    ends = np.cumsum([one["size"] for one in sent["each"]])
    for e, (one, own) in enumerate(zip(sent["each"], np.split(values, ends)[:-1], strict=True)):
        of_epoch = smaller.summary.histogram[e, smaller.spec.tasks.index("8")].sum(axis=0)
        assert np.array_equal(own[: 64 * 64].reshape(64, 64), of_epoch)
        assert f"after epoch {one['at']}" in one["alt"]["data-map"]
        if one["at"] == 3:
            assert np.array_equal(own, now)
            assert all(header[name] == one[name] for name in ("names", "regions", "alt"))


def test_a_second_task_stands_beside_on_the_same_scales(open_app: OpenApp, trained: Run) -> None:
    app = open_app("data_maps", trained, task="Small")
    app.selectbox(key="beside").set_value("Not small").run()
    headers = [picture(app, f"Data map of {task}")[0] for task in ("Small", "Not small")]
    for scale in ("bins", "variability", "most"):
        assert headers[0][scale] == headers[1][scale]
    for task in ("Small", "Not small"):
        assert shares(app, task) == counted(*map_of(trained, task))
    app.selectbox(key="beside").set_value(None).run()
    with pytest.raises(AssertionError, match="no picture"):
        picture(app, "Data map of Not small")


# ------------------------------------------------------------------------------ images of a region


@pytest.fixture
def with_images(trained: Run, monkeypatch: pytest.MonkeyPatch) -> Run:
    """The run, and its images ready to be read, as they are where it was trained."""
    monkeypatch.setenv("STG_HOME", str(trained.folder.parents[1]))
    load_images("digits")
    return trained


def test_a_link_shows_the_same_picture(open_app: OpenApp, smaller: Run, with_images: Run) -> None:
    link = {"task": "8", "beside": "1", "points": "negatives", "epoch": "3"}
    link |= {"region": "0,0.7,0.3,1", "sort": "name", "backwards": "true"}
    app = open_app("data_maps", smaller, run=smaller.id, **link)
    assert not app.exception and not app.error
    assert app.selectbox(key="task").value == "8" and app.selectbox(key="beside").value == "1"
    assert app.segmented_control(key="points").value == "negatives"
    assert slider(app, "Recorded epoch").value == "3"
    assert app.selectbox(key="sort").value == "name" and app.toggle(key="backwards").value
    for task in ("8", "1"):
        assert picture(app, f"Data map of {task}")[0]["region"] == [0, 0.7, 0.3, 1]
    assert image_texts(app)
    move(app, "epoch", "2")
    assert app.query_params["region"] in ("0,0.7,0.3,1", ["0,0.7,0.3,1"])


def test_a_rectangle_shows_up_to_sixty_of_its_images(open_app: OpenApp, with_images: Run) -> None:
    app = open_app("data_maps", with_images, task="5", region="0,0.1,0.4,0.6")
    assert not app.exception and not app.error
    confidence, variability = map_of(with_images, "5")
    inside = (variability < 0.1) & (confidence >= 0.4) & (confidence < 0.6)
    assert f"60 of the {inside.sum():,} in the rectangle" in texts(app)
    assert len(indices(app)) == 60 and inside[indices(app)].all()
    assert (np.diff(confidence[indices(app)]) >= 0).all()
    labels = labels_of(with_images, "5")
    for index, text in zip(indices(app), image_texts(app), strict=True):
        assert ("positive" if labels[index] else "negative") in text
        assert f"confidence {confidence[index]:.2f}, variability {variability[index]:.2f}" in text


def test_a_region_can_be_chosen_by_its_name_and_cleared(
    open_app: OpenApp, with_images: Run
) -> None:
    app = open_app("data_maps", with_images, task="5")
    assert not image_texts(app)
    confidence, variability = map_of(with_images, "5")
    for name, inside in {
        "hard to learn": (variability < AMBIGUOUS) & (confidence < 0.5),
        "easy to learn": (variability < AMBIGUOUS) & (confidence >= 0.5),
    }.items():
        next(button for button in app.button if button.label == name).click().run()
        assert not app.exception
        assert f"of the {inside.sum():,} in the rectangle" in texts(app)
        assert inside[indices(app)].all()
    next(button for button in app.button if button.label == "Clear").click().run()
    assert not image_texts(app) and picture(app, "Data map of 5")[0]["region"] is None


@pytest.mark.parametrize("region", ["nonsense", "1,2", "0,nan,0,1", ",,,", "0,inf,0,1", "1,0,1,0"])
def test_a_link_with_a_region_that_is_none_shows_no_images(
    open_app: OpenApp, trained: Run, region: str
) -> None:
    app = open_app("data_maps", trained, region=region)
    assert not app.exception and not app.error and not image_texts(app)


def test_an_empty_rectangle_says_that_it_is_empty(open_app: OpenApp, with_images: Run) -> None:
    app = open_app("data_maps", with_images, region="0.6,0.7,0.9,1")
    assert not app.exception and not app.error and not image_texts(app)
    assert "0 of the 0 in the rectangle" in texts(app)


def test_images_are_those_the_model_saw(open_app: OpenApp, with_images: Run) -> None:
    """Point i is training image i, upside down where the group turned it."""
    open_app("data_maps", with_images)
    saw = load_task_data(with_images.spec.group)
    found = images.images_of(with_images)
    assert found is not None and found.turned.any() and isinstance(found.pixels, np.memmap)
    downside = saw.tasks.index("Downside")
    for index in (0, 1, 2, 700, 1436):
        shown = found.enlarged(index)[6::12, images.MARGIN + 6 : -images.MARGIN : 12]
        assert np.array_equal(shown[..., 0], saw.train_points[index, ..., 0])
        assert (shown[..., 3] == 255).all()
        assert found.turned[index] == saw.train_labels[index, downside]
        assert saw.train_labels[index, saw.tasks.index(found.name(index))] == 1


def test_where_the_images_are_absent_the_page_says_how_to_get_them(
    open_app: OpenApp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(dataset: str) -> None:
        raise AssertionError("nothing may be begun, and so nothing downloaded")

    monkeypatch.setattr(images, "Preparation", refuse)
    app = bundled(open_app, tmp_path, "g2", region="0,0.2,0,0.4")
    assert not app.exception and not app.error and not image_texts(app)
    (said,) = app.info
    assert "images of CIFAR-10 are not on this machine" in said.value
    assert plain(f"{tmp_path / 'data' / 'cifar10'}/train/<class>") in said.value
    assert plain("STG_DATA") in said.value


@pytest.fixture
def of_cifar(cifar10_tree: Path, tmp_path: Path) -> Run:
    """A run on a small CIFAR-10 tree, whose images are no longer prepared."""
    kept = Store(tmp_path / "home")
    spec = TrainingSpec(GROUPS["g2"], model="tiny_cnn", epochs=2)
    run = kept.save(train(spec, folder=kept.work_folder(spec.key)))
    shutil.rmtree(tmp_path / "home" / "datasets")
    return run


def when_prepared(app: AppTest) -> AppTest:
    """The page as it is when the images are no longer being prepared."""
    deadline = time.monotonic() + 60
    while any("Preparing" in status.label for status in app.status):
        assert time.monotonic() < deadline
        time.sleep(0.3)
        app.run()
    return app


def test_images_that_are_files_are_prepared_while_the_page_waits(
    open_app: OpenApp, of_cifar: Run, begin_preparing: Callable[[], None]
) -> None:
    app = open_app("data_maps", of_cifar, task="Downside", region="0,1,0,1")
    assert not app.exception and not image_texts(app)
    begin_preparing()
    assert not when_prepared(app).exception
    assert sorted(indices(app)) == list(range(40))


def test_images_of_another_copy_are_not_shown_as_the_runs_own(
    open_app: OpenApp, of_cifar: Run, cifar10_tree: Path
) -> None:
    shutil.copy(cifar10_tree / "train/cat/0000.png", cifar10_tree / "train/dog/0001.png")
    app = when_prepared(open_app("data_maps", of_cifar, region="0,1,0,1"))
    assert not app.exception and not image_texts(app)
    assert "are not those that this run was trained on" in app.info[0].value


def test_a_damaged_copy_is_named_and_looked_at_again_when_mended(
    open_app: OpenApp, of_cifar: Run, cifar10_tree: Path
) -> None:
    damaged = cifar10_tree / "train" / "frog" / "0002.png"
    whole = damaged.read_bytes()
    damaged.write_bytes(b"no image")
    app = when_prepared(open_app("data_maps", of_cifar, region="0,1,0,1"))
    assert not app.exception and not image_texts(app)
    assert plain(str(damaged)) in app.info[0].value
    damaged.write_bytes(whole)
    next(button for button in app.button if button.label == "Look again").click().run()
    assert len(indices(when_prepared(app))) == 40


# ----------------------------------------------------------------------------------- all the tasks


def test_all_tasks_are_drawn_small_on_the_same_scales(open_app: OpenApp, trained: Run) -> None:
    app = open_app("data_maps", trained)
    header, values = picture(app, "Data maps after epoch 2")
    assert header["names"] == list(trained.spec.tasks)
    for t, counts in enumerate(values.reshape(15, 16, 16)):
        histogram = trained.summary.histogram[-1, t].sum(axis=0)
        assert np.array_equal(counts, histogram.reshape(16, 4, 16, 4).sum((1, 3)))
        f1 = trained.metrics["test"]["f1"][-1][t]
        assert f"test F1 {f1:.2f}" in header["says"][t]


def test_a_hundred_tasks_come_page_by_page_and_sorted(open_app: OpenApp, tmp_path: Path) -> None:
    app = bundled(open_app, tmp_path, "g3")
    assert not app.exception and not app.error
    run = Store(tmp_path).run("bundled:g3")
    names = np.array(run.spec.tasks)
    title = "Data maps after epoch 10"
    assert picture(app, title)[0]["names"] == names[:15].tolist()

    measures = {
        "mean confidence": run.summary.task_means[-1, 0],
        "mean variability": run.summary.task_means[-1, 1],
        "test F1": np.array(run.metrics["test"]["f1"][-1]),
        "name": np.argsort(np.argsort(names)),
    }
    for measure, values in measures.items():
        app.selectbox(key="sort").set_value(measure).run()
        for backwards in (False, True):
            app.toggle(key="backwards").set_value(backwards).run()
            assert not app.exception
            shown = picture(app, title)[0]["names"]
            expected = values[np.argsort(-values if backwards else values, kind="stable")][:15]
            assert [values[names.tolist().index(task)] for task in shown] == expected.tolist()

    app.selectbox(key="sort").set_value("order in the group").run()
    app.toggle(key="backwards").set_value(False).run()
    app.session_state["tasks_page"] = 7
    app.run()
    assert not app.exception
    assert picture(app, title)[0]["names"] == names[90:].tolist()


# ------------------------------------------------------------------------- what may be missing


def test_a_run_without_recorded_epochs_says_what_to_do(
    open_app: OpenApp, trained: Run, tmp_path: Path
) -> None:
    kept = Store(tmp_path / "home")
    spec = TrainingSpec(GROUPS["digits"], epochs=1, recorded_epochs=())
    run = kept.save(train(spec, folder=kept.work_folder(spec.key)))
    app = open_app("data_maps", run, bundles=True, run=run.id)
    assert not app.exception and not has_pictures(app)
    assert "train it with recorded epochs" in app.error[0].value


def test_a_task_with_missing_labels_shows_the_points_it_has(
    open_app: OpenApp, digits_data: TaskData, tmp_path: Path
) -> None:
    labels = digits_data.train_labels.copy()
    labels[:1000, 0], labels[:, 1] = np.nan, np.nan
    data = TaskData(
        *(digits_data.tasks, digits_data.train_points, labels),
        *(digits_data.test_points, digits_data.test_labels, digits_data.digest),
    )
    kept = Store(tmp_path / "home")
    spec = TrainingSpec(GROUPS["digits"], epochs=2)
    run = kept.save(train(spec, data, folder=kept.work_folder(spec.key)))
    app = open_app("data_maps", run, task="0", beside="1", region="0,1,0,1")
    assert not app.exception and not app.error
    maps = map_of(run, "0")[:, 1000:]
    assert shares(app, "0") == counted(*maps)
    assert "437 points" in texts(app)
    shown = indices(when_prepared(app))
    assert set(shown) <= set(range(1000, 1437)) and len(shown) == 60
    regions = picture(app, "Data map of 1")[0]["regions"]
    assert regions == [f"{n}: no points" for n in ("easy to learn", "ambiguous", "hard to learn")]


def test_a_link_to_a_damaged_run_says_what_there_is_instead(
    open_app: OpenApp, trained: Run, smaller: Run, tmp_path: Path
) -> None:
    runs = tmp_path / "home" / "runs"
    shutil.copytree(trained.folder.parent, runs)
    (runs / trained.id / "summary.npz").write_bytes(b"damaged")
    app = open_app("data_maps", Store(tmp_path / "home").run(smaller.id), run=trained.id)
    assert not app.exception and not has_pictures(app)
    assert "no run" in app.error[0].value and smaller.id not in app.error[0].value
    app.selectbox(key="run_choice").set_value(smaller.id).run()
    assert not app.exception and not app.error and shares(app, "0")


def test_a_training_that_goes_on_leaves_the_page_as_it_is(
    open_app: OpenApp, trained: Run, engine: type[StandInEngine]
) -> None:
    spec = TrainingSpec(GROUPS["digits"], epochs=20)
    engine.known = [Job(spec.key, spec, "running", 3, 20, 0.2)]
    app = open_app("data_maps", trained, task="Odd")
    assert not app.exception and not app.error
    assert shares(app, "Odd")
