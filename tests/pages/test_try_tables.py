"""Try on rows of a table: tasks of every kind, texts, words and gaps, with trained models."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from app import model_files
from stg_core.cli.main import main
from stg_core.export import Predictor
from stg_core.results.run import Run
from stg_core.results.store import Store
from tests.pages.conftest import OpenApp, picture, texts

ROWS = 120


def write_things(path: Path) -> None:
    """size has gaps, colour is a word, sentence a text; a yes or no, a class, and a number."""
    rng = np.random.default_rng(3)
    size = rng.normal(5, 2, ROWS)
    heavy = size > 5
    frame = pd.DataFrame(
        {
            "size": np.where(np.arange(ROWS) % 7 == 0, np.nan, size.round(3)),
            "colour": rng.choice(["red", "blue", "green"], ROWS),
            "sentence": np.where(heavy, "a large and heavy thing", "something small"),
            "task:ill": heavy.astype(int),
            "task:kind": np.array(["x", "y", "z"])[np.digitize(size, [4, 6])],
            "task:weight": (100 * size).round(2),
        }
    )
    frame.to_csv(path, index=False)


@pytest.fixture(scope="module")
def things(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """A training on such a table, of which MTL and two specialists were exported."""
    folder = tmp_path_factory.mktemp("things")
    write_things(folder / "things.csv")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STG_HOME", str(folder / "home"))
        features = ["--feature", "size", "--feature", "colour", "--hash-text", "sentence"]
        assert main(["add", str(folder / "things.csv"), *features]) == 0
        assert main(["extract", "--group", "things", "--epochs", "4"]) == 0
        (run,) = (run for run in Store().runs() if not run.bundled)
        plan = ["--k", "2", "--schemes", "mtl,specialists"]
        assert main(["specialists", run.id, *plan]) == 0
        assert main(["export-model", run.id, "--scheme", "mtl"]) == 0
        assert main(["export-model", run.id, "--k", "2"]) == 0
    yield run


@pytest.fixture
def open_things(
    open_app: OpenApp, things: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> OpenApp:
    monkeypatch.setattr(model_files, "bundled_folder", lambda: tmp_path / "none")

    def opened(**url: Any) -> AppTest:
        app = open_app("try", things, **url)
        assert not app.exception and not app.error
        return app

    return opened


def said(header: dict[str, Any], task: str, who: str) -> str:
    titles = [column["title"] for column in header["columns"]]
    return str(header["words"][header["names"].index(task)][titles.index(who)])


def predictor(things: Run) -> Predictor:
    """Of the specialists, the last that were exported."""
    folders = (things.folder.parents[1] / "exports").glob("*/model.onnx")
    return next(one for one in map(Predictor, folders) if one.scheme == "specialists")


def test_a_row_of_every_kind_of_task_is_answered(open_things: OpenApp, things: Run) -> None:
    app = open_things(which="all")
    header, shades = picture(app, "answers")
    heads = [column["title"] for column in header["columns"]]
    assert heads == ["MTL", "1", "2", "together", "hard", "truth"]
    assert header["names"] == ["ill", "kind", "weight"]
    assert re.fullmatch(r"(yes|no) \(0\.\d\d\)", said(header, "ill", "together"))
    assert re.fullmatch(r"[xyz] \(0\.\d\d\)", said(header, "kind", "together"))
    assert said(header, "kind", "truth") in {"x", "y", "z"}
    assert 0 < float(said(header, "weight", "truth")) < 1200
    cells = shades.reshape(3, 6)
    assert np.isnan(cells[2]).all(), "a number has no shade"
    assert not any(header["wrong"][2]), "and is never simply wrong"
    assert re.search(r"Right answers to \d tasks?", texts(app))
    (rows,) = (box for box in app.selectbox if box.label == "Row")
    assert len(rows.options) == 24
    other = open_things(which="all", point="3")
    assert picture(other, "answers")[0]["words"] != header["words"]
    assert "data maps" in texts(app)


@pytest.mark.parametrize("which", ["disputed", "MTL is wrong"])
@pytest.mark.parametrize("task", ["ill", "kind", "weight"])
def test_rows_are_found_by_task_or_it_is_said_that_there_is_none(
    open_things: OpenApp, which: str, task: str
) -> None:
    app = open_things(which=which, of_task=task)
    if task == "weight":
        assert "No point is like that" in app.info[0].value
    else:
        assert app.info or picture(app, "answers")[0]["names"]


def test_a_training_row_has_its_place_in_the_data_maps(open_things: OpenApp) -> None:
    header, _ = picture(open_things(input="Training", which="all"), "answers_and_place")
    assert all(len(at) == 2 for at in header["places"])


def test_a_row_is_begun_from_one_of_the_table_and_answered_as_the_file_answers_it(
    open_things: OpenApp, things: Run
) -> None:
    app = open_things(input="By hand", point="0")
    header, _ = picture(app, "answers")
    assert header["title"] == "The row by hand"
    assert {row[-1] for row in header["words"]} == {"–"}, "nobody knows the truth"
    (table,) = (frame.value for frame in app.dataframe if "feature" in frame.value)
    assert table["feature"].tolist() == [
        "size",
        *(f"colour is {colour}" for colour in ("blue", "green", "red")),
    ]
    assert table["value"][1:].isin([0, 1]).all() and table["value"][1:].sum() == 1
    (text,) = app.text_area
    assert "sentence" in text.label and text.value in {"a large and heavy thing", "something small"}

    from stg_core.tasks.tables import hashed_pieces

    own, row = predictor(things), np.empty(1028, dtype=np.float32)
    text.set_value("something small").run()
    for words in ("something small", "a large and heavy thing", ""):
        app.text_area[0].set_value(words).run()
        assert not app.exception and not app.error
        row[:4], row[4:] = table["value"], hashed_pieces([words])[0]
        number = own.predict(row[None]).probabilities[0, own.columns("weight")][0]
        header, _ = picture(app, "answers")
        assert float(said(header, "weight", "together").replace("−", "-")) == pytest.approx(
            float(number), rel=1e-2
        )


def test_a_gap_in_a_row_is_the_mean_and_no_end_of_the_page(
    open_things: OpenApp, things: Run
) -> None:
    gap = next(
        place
        for place in range(24)
        if np.isnan(_first_value(open_things(input="By hand", point=str(place))))
    )
    header, _ = picture(open_things(input="By hand", point=str(gap)), "answers")
    assert re.fullmatch(r"−?\d+(\.\d+)?", said(header, "weight", "together"))


def _first_value(app: AppTest) -> float:
    (table,) = (frame.value for frame in app.dataframe if "feature" in frame.value)
    return float(table["value"][0])
