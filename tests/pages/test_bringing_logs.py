"""Start: logs of other programs are looked at, asked about, and brought in."""

from __future__ import annotations

import io
import time
from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from stg_core.results.store import Store
from tests.maps.existing_logs import outputs, write_dynamics
from tests.pages.conftest import OpenApp, texts


@pytest.fixture
def dynamics(tmp_path: Path) -> Path:
    """Of forty points and three classes over four epochs."""
    logits, gold = outputs(4, 40, 3)
    return write_dynamics(tmp_path / "snli" / "training_dynamics", logits, gold.tolist())


@pytest.fixture
def bring(open_app: OpenApp) -> AppTest:
    app = open_app()
    app.session_state["bring log"] = True
    return app.run()


def looked(app: AppTest, *paths: Path) -> AppTest:
    return app.text_area(key="log paths").set_value("\n".join(map(str, paths))).run()


def button(app: AppTest):
    return app.button(key="bring a log")


def wait(app: AppTest) -> AppTest:
    """Until what was asked for is brought, or is not."""
    for _ in range(100):
        if "being brought: bring log" not in app.session_state:
            break
        time.sleep(0.1)
        app.run()
    return app


def test_a_log_is_shown_asked_about_and_brought(bring: AppTest, dynamics: Path) -> None:
    app = looked(bring, dynamics)
    assert not app.exception and not app.error
    assert "about 40 points" in texts(app) or "40 points" in texts(app)
    assert button(app).disabled  # what becomes of the three classes is not said
    question = app.get("button_group")[0]
    assert [option.content for option in question.proto.options] == [
        "One task",
        "A task for each class",
    ]
    app.session_state[f"whole of {dynamics}"] = "each class"
    app.run()
    assert not button(app).disabled
    button(app).click().run()
    app = wait(app)
    assert not app.exception and not app.error
    (run,) = [run for run in Store().runs() if run.id == "log:snli"]
    assert run.has_data_maps and len(run.spec.tasks) == 3
    assert app.query_params["run"] == "log:snli"


def test_an_uploaded_file_is_a_log_as_well(bring: AppTest) -> None:
    rng = np.random.default_rng(0)
    file = io.BytesIO()
    np.savez(
        file,
        probabilities=rng.random((3, 50, 2)),
        labels=rng.integers(0, 2, (50, 2)).astype(float),
    )
    bring.file_uploader(key="log files").set_value(
        [("mine.npz", file.getvalue(), "application/octet-stream")]
    )
    app = bring.run()
    assert not app.exception and not app.error
    names = next(area for area in app.text_area if "called" in area.label)
    assert button(app).disabled
    names.set_value("dark, or not\nround").run()
    assert not button(app).disabled
    button(app).click().run()
    wait(app)
    assert Store().run("log:mine").spec.tasks == ("dark, or not", "round")


def test_a_name_that_is_taken_is_replaced_only_when_said(bring: AppTest, dynamics: Path) -> None:
    bring.session_state[f"whole of {dynamics}"] = "whole"
    app = looked(bring, dynamics)
    button(app).click().run()
    wait(app)
    app.session_state["bring log"] = True
    app = looked(app.run(), dynamics)
    assert button(app).disabled
    app.toggle(key="replace a log").set_value(True).run()
    assert not button(app).disabled


@pytest.mark.parametrize(
    ("name", "content"), [("notes.txt", b"hello"), ("empty.jsonl", b""), ("x.npz", b"PK\x03\x04")]
)
def test_what_is_no_log_is_refused_in_a_sentence(
    bring: AppTest, tmp_path: Path, name: str, content: bytes
) -> None:
    (tmp_path / name).write_bytes(content)
    app = looked(bring, tmp_path / name)
    assert not app.exception
    assert len(app.warning) + len(app.error) == 1
    assert button(app).disabled


def test_a_path_that_is_not_there_is_said(bring: AppTest, tmp_path: Path) -> None:
    app = looked(bring, tmp_path / "nowhere")
    assert not app.exception and "nowhere" in app.warning[0].value
