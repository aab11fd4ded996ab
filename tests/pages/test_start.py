"""Start: a training, its progress, and all runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from stg_core.jobs import Job
from stg_core.spec import TrainingSpec
from stg_core.store import Run
from stg_core.tasks import GROUPS, custom_group
from tests.pages.conftest import OpenApp, StandInEngine, texts


def test_start_without_runs(open_app: OpenApp) -> None:
    app = open_app()
    assert not app.exception and not app.error
    assert "about 2 min 0 s" in texts(app)
    assert "None yet" in texts(app)


def test_start_lists_runs(open_app: OpenApp, trained: Run) -> None:
    app = open_app("start", trained)
    assert not app.exception and not app.error
    (row,) = app.dataframe[0].value.to_dict("records")
    assert row["Run"] == trained.title and row["Epochs"] == 2 and row["Tasks"] == 15
    assert row["Mean F1"] == pytest.approx(trained.mean_f1)


def test_a_damaged_result_is_reported(open_app: OpenApp, trained: Run, tmp_path: Path) -> None:
    (tmp_path / "runs" / trained.id).mkdir(parents=True)
    app = open_app()
    assert not app.exception and not app.error
    assert "damaged" in app.warning[0].value


def test_run_submits_what_is_chosen(open_app: OpenApp, engine: type[StandInEngine]) -> None:
    app = open_app("start", None, group="g1", model_cifar10="small_cnn", epochs="3", seed="5")
    (run,) = (button for button in app.button if button.label == "Run")
    run.click().run()
    assert not app.exception
    assert engine.submitted == [TrainingSpec(GROUPS["g1"], model="small_cnn", epochs=3, seed=5)]


def test_a_custom_group(open_app: OpenApp, engine: type[StandInEngine]) -> None:
    app = open_app("start", None, group="custom")
    app.multiselect(key="classes_digits").set_value(["1", "7"])
    app.text_area(key="unions_digits").set_value("Round = 0, 6, 8, 9").run()
    (run,) = (button for button in app.button if button.label == "Run")
    run.click().run()
    expected = custom_group("digits", ["1", "7"], {"Round": ["0", "6", "8", "9"]})
    assert [spec.group for spec in engine.submitted] == [expected]
    app.text_area(key="unions_digits").set_value("Round").run()
    assert not app.exception
    assert "name = class, class" in app.error[0].value


def test_progress_cancel_and_resume(open_app: OpenApp, engine: type[StandInEngine]) -> None:
    spec, other = (TrainingSpec(GROUPS["digits"], seed=seed) for seed in (1, 2))
    curves = {"loss": [3.0, 2.0], "mean_f1": [0.5, 0.7]}
    engine.known = [
        Job(other.key, other, "queued", place=1),
        Job(spec.key, spec, "running", 0, 2, 0.25, 800.0, 75.0, curves, "Training epoch 3."),
    ]
    app = open_app()
    assert not app.exception and not app.error
    shown = {metric.label: metric.value for metric in app.metric}
    assert shown == {"Epoch": "3 of 10", "Images/s": "800", "Time left": "1 min 15 s"}
    assert "1 before it" in texts(app)
    assert len(app.get("vega_lite_chart")) == 2
    app.button(key=f"cancel {spec.key}").click().run()
    assert engine.cancelled == [spec.key]

    engine.known = [Job(spec.key, spec, "failed", message="The disk is full. Make room.")]
    app.run()
    assert not app.exception
    assert app.error[0].value == "The disk is full. Make room."
    app.button(key=f"resume {spec.key}").click().run()
    assert engine.submitted == [spec]
