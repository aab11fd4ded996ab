"""Data sets of one's own on every page: any names, any kinds, with and without their points."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest

from stg_core.cli.main import main
from stg_core.results.archive import export_run, import_run
from stg_core.results.run import Run
from stg_core.results.store import Store
from stg_core.tasks.datasets import DataSet, add, data_sets, remove
from stg_core.training.spec import TrainingSpec
from tests.pages.conftest import OpenApp, texts
from tests.pages.test_data_maps import image_texts

NAMES = (
    "=1+1, (a)",
    "+Grüße; ß/ü",
    "-minus | pipe",
    "@at 🦠 emoji",
    "[x]*_`$y$`<b>",
    "ein ziemlich langer Name " * 8,
    'quoted "name", twice',
)
PAGES = ("start", "data_maps", "grouping", "agreement", "specialists")
N = 80


def train_here(found: DataSet, home: Path) -> Run:
    from stg_core.training.loop import train

    store = Store(home)
    spec = TrainingSpec(found.group, epochs=3)
    return store.save(train(spec, folder=store.work_folder(spec.key)))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("own")


@pytest.fixture
def named(home: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Seven tasks with names of all sorts, in families; texts that a page must not read as code."""
    monkeypatch.setenv("STG_HOME", str(home))
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(N, 5))
    labels = {name.strip(): (rows[:, t % 5] > 0) * 1 for t, name in enumerate(NAMES)}
    families = {name: "first" if t < 3 else "=second" for t, name in enumerate(labels)}
    if not data_sets():
        texts_ = [f"molecule <b>{i}</b>" for i in range(N)]
        add("odd.names-1", rows, labels, families=families, texts=texts_)
    return train_here(data_sets()[0], home)


@pytest.fixture
def numbers(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Two numbers and a choice of three; no task has an F1 of a yes or no."""
    monkeypatch.setenv("STG_HOME", str(tmp_path))
    rng = np.random.default_rng(1)
    rows = rng.normal(size=(N, 5))
    labels = {"weight": rows[:, 0] + rng.normal(size=N), "height": rows[:, 1] * 2}
    return train_here(add("people", rows, labels), tmp_path)


@pytest.mark.parametrize("page", PAGES)
def test_names_of_all_sorts_are_shown(open_app: OpenApp, named: Run, page: str) -> None:
    app = open_app(page, named, run=named.id, task=NAMES[4])
    assert not app.exception and not [error.value for error in app.error]
    if page == "data_maps":
        assert app.selectbox(key="task").value == NAMES[4]
    if page == "agreement":
        assert "Reference: families. Of 2 families" in texts(app)


def test_points_of_a_region_are_rows_with_text_and_what_stands_out(
    open_app: OpenApp, named: Run
) -> None:
    app = open_app("data_maps", named, run=named.id, task=NAMES[0], region="0,0.71,0,1")
    assert not app.exception and not app.error
    shown = app.dataframe[0].value
    assert shown["text"].str.match(r"molecule <b>\d+</b>").all()
    assert set(shown["label"]) <= {"yes", "no"}
    assert shown["stands out"].str.contains("feature").all()


def test_a_run_goes_to_another_machine_without_its_data(
    open_app: OpenApp, named: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = io.BytesIO()
    export_run(named, file, True)
    monkeypatch.setenv("STG_HOME", str(tmp_path))
    there = import_run(Store(tmp_path), file)
    assert there.spec == named.spec and there.id == named.id
    for page in PAGES[1:]:
        app = open_app(page, there, run=there.id, region="0,0.71,0,1")
        assert not app.exception and not app.error, page
        if page == "data_maps":
            assert "is not on this machine" in app.info[0].value
    assert [run.id for run in Store(tmp_path).runs() if not run.bundled] == [named.id]
    assert not list((tmp_path / "damaged").iterdir())


@pytest.mark.parametrize("page", PAGES)
def test_a_run_without_f1_breaks_no_page(open_app: OpenApp, numbers: Run, page: str) -> None:
    app = open_app(page, numbers, run=numbers.id, region="0,0.71,0,1")
    assert not app.exception and not app.error
    if page == "start":
        assert app.dataframe[0].value["Mean R²"].notna().all()
    if page == "data_maps":
        assert "test R²" in texts(app)


def test_affinities_work_on_every_kind_and_tables_say_that_they_do_not(
    numbers: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["--group", "people", "--epochs", "2", "--batch-size", "8"]
    assert main(["affinity", *asked, "--method", "tag", "--every", "2"]) == 0
    assert "weight" in capsys.readouterr().out
    assert main(["methods", *asked]) == 2
    assert "compared on yes-or-no tasks only" in capsys.readouterr().err


def test_data_sets_are_cards_and_are_trained_by_mlp(open_app: OpenApp, named: Run) -> None:
    app = open_app("start", named, group="odd.names-1")
    assert not app.exception and not app.error
    assert any("7 tasks of odd" in element.value for element in app.markdown)
    assert app.selectbox(key="model_odd.names-1").options == ["mlp"]
    assert app.number_input(key="epochs_of_rows").value == 30


def test_a_data_set_that_is_gone_leaves_its_runs(
    open_app: OpenApp, numbers: Run, tmp_path: Path
) -> None:
    remove("people")
    app = open_app("start", numbers, run=numbers.id, group="people")
    assert not app.exception and numbers.title in texts(app).replace("\\", "")
    assert not list((tmp_path / "damaged").iterdir())


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_images_of_any_size_and_channels_are_seen(
    open_app: OpenApp, channels: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STG_HOME", str(tmp_path))
    rng = np.random.default_rng(channels)
    pixels = rng.integers(0, 256, (40, 20, 14, channels), np.uint8)
    bright = pixels.mean(axis=(1, 2, 3)) > pixels.mean()
    names = [f"picture-{i}.png" for i in range(40)]
    found = add("pictures", pixels, {"bright": bright, "dark": ~bright}, ids=names)
    run = train_here(found, tmp_path)
    assert run.spec.model == "small_cnn"
    app = open_app("data_maps", run, run=run.id, task="bright", region="0,0.71,0,1")
    assert not app.exception and not app.error and not app.info
    assert any("an image of picture-" in text for text in image_texts(app))
    app = open_app("start", run, group="pictures")
    assert not app.exception and any("images of 14 × 20" in c.value for c in app.caption)


def test_a_folder_of_images_is_asked_for_its_side(
    open_app: OpenApp, named: Run, tmp_path: Path
) -> None:
    from PIL import Image

    rng = np.random.default_rng(0)
    for kind in ("cat", "dog"):
        (tmp_path / "pets" / kind).mkdir(parents=True)
        for i in range(8):
            pixels = rng.integers(0, 256, (30 + i, 25, 3), np.uint8)
            Image.fromarray(pixels).save(tmp_path / "pets" / kind / f"{i}.png")
    app = open_app("start", named)
    app.session_state["bring data"] = True  # opens the way for own data
    app.run()
    app.text_input(key="source path").set_value(str(tmp_path / "pets")).run()
    assert not app.exception and not app.error
    app.number_input(key="side of images").set_value(20).run()
    app.toggle(key="one task per class").set_value(True).run()
    assert not app.exception and any("20 × 20 × 3" in c.value for c in app.caption)
