"""The Specialists page of a run that was logged: what to take along, and what came back."""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stg_core.engine.derived import Answer
from stg_core.grouping.memberships import TaskSpace, group_tasks
from stg_core.judging.brought_back import BroughtBack
from stg_core.judging.loss_weights import weights_file
from stg_core.judging.snippets import snippet
from stg_core.maps.log import TaskLog
from stg_core.results.run import Run
from stg_core.results.store import Store
from tests.judging.logging_digits import (
    NAMES,
    TEST_LABELS,
    TRAIN_LABELS,
    log_training,
    run_snippet,
)
from tests.pages.conftest import OpenApp, StandInDerived, texts

LABELS = {"train": TRAIN_LABELS, "test": TEST_LABELS}


@pytest.fixture(scope="module")
def logged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with the log "my run" alone."""
    home = tmp_path_factory.mktemp("logged")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STG_HOME", str(home))
        log_training("my run")
    return home


@pytest.fixture(scope="module")
def complete(logged: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with its two specialists and all controls but a wider model."""
    home = tmp_path_factory.mktemp("complete") / "home"
    shutil.copytree(logged, home)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STG_HOME", str(home))
        back = back_of(home)
        models = back.to_train(("specialists", "plain", "random", "longer"))
        run_snippet(snippet("pytorch", back.run.spec.group.tasks, models, "my run"))
    return home


@pytest.fixture
def my_run(logged: Path, tmp_path: Path) -> Run:
    shutil.copytree(logged, tmp_path / "own")
    return Store(tmp_path / "own").run("log:my-run")


def back_of(home: Path, k: int = 2) -> BroughtBack:
    store = Store(home)
    run = store.run("log:my-run")
    space = TaskSpace(run.summary)
    return BroughtBack(store, run, group_tasks(space, k, 2.0), space)


def opened(open_app: OpenApp, run: Run, **url: Any) -> Any:
    app = open_app("specialists", run, run="log:my-run", k="2", **url)
    assert not app.exception and not app.error
    return app


def came_back(app: Any) -> dict[str, str]:
    """What the page says of each log."""
    (frame,) = (f.value for f in app.dataframe if "Log" in f.value)
    return dict(zip(frame["Log"], frame["State"], strict=True))


def test_what_was_logged_elsewhere_is_not_trained_here(open_app: OpenApp, my_run: Run) -> None:
    app = opened(open_app, my_run)
    assert "train" not in [button.key for button in app.button]
    assert "Compared" not in [group.label for group in app.button_group]


def test_the_weights_are_taken_along_with_code_that_has_them(
    open_app: OpenApp, my_run: Run
) -> None:
    app = opened(open_app, my_run)
    assert [tab.label for tab in app.tabs] == ["PyTorch", "Lightning", "Keras"]
    codes = [code.value for code in app.code]
    assert len(codes) == 3 and all("my run / k2 specialist 2" in code for code in codes)
    back = back_of(my_run.folder.parents[1])
    assert codes == [
        snippet(one, back.run.spec.group.tasks, back.to_train(), "my run").rstrip()
        for one in ("pytorch", "lightning", "keras")
    ]
    labels = [one.proto.label for one in app.get("download_button")]
    assert labels[:3] == ["JSON", "CSV", "npy"]


def test_what_is_missing_is_named_with_its_cost(open_app: OpenApp, my_run: Run) -> None:
    app = opened(open_app, my_run)
    states = came_back(app)
    assert states.pop("my run") == "there"
    assert len(states) == 7 and set(states.values()) == {"not there"}
    shown = texts(app)
    assert "**Longer model**, missing" in shown
    assert "as much as 3 trainings of MTL" in shown and "Log it as “my run / k2 longer”" in shown
    (info,) = app.info
    assert "the log “my run / k2 specialist 1” is not there" in info.value


def test_what_came_back_is_judged_as_own_trainings_are(
    open_app: OpenApp, complete: Path, derived: type[StandInDerived]
) -> None:
    back = back_of(complete)
    *_, (_, _, report) = back.report_steps(back.judged(), resamples=100)
    assert report is not None
    derived.given["specialists"] = Answer(report)
    app = opened(open_app, back.run)
    states = came_back(app)
    assert states.pop("my run / k2 wider") == "not there" and set(states.values()) == {"there"}
    assert "Does the grouping pay?** my run, k = 2, seed 0" in texts(app)
    scores = next(f.value for f in app.dataframe if "Serving cost" in f.value)
    assert scores["Scheme"].tolist() == [
        *("MTL", "Specialists", "Plain ensemble", "Random grouping", "Longer model")
    ]
    assert scores["Training cost"].tolist() == ["1.00", "3.00", "2.00", "2.00", "3.00"]
    assert "**Wider model**, missing" in texts(app) and not app.info


def test_a_log_of_another_name_is_said_to_be_a_specialist(open_app: OpenApp, my_run: Run) -> None:
    home = my_run.folder.parents[1]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STG_HOME", str(home))
        log_training("the one for curves", (0.2, 0.2, 0.2, 1, 1, 1))
    app = opened(open_app, my_run)
    assert app.selectbox(key="log by hand").options == ["the one for curves"]
    app.selectbox(key="due by hand").set_value("my run / k2 specialist 1")
    app.button(key="entitle").click().run()
    assert not app.exception
    state = came_back(app)["my run / k2 specialist 1"]
    assert state == "there; its weights are known by its name alone"


def test_a_log_that_does_not_fit_says_why(open_app: OpenApp, my_run: Run) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STG_HOME", str(my_run.folder.parents[1]))
        log_training("my run / k2 specialist 1", test_labels=TEST_LABELS[:150])
    states = came_back(opened(open_app, my_run))
    assert "150 test points, and “my run” has 200" in states["my run / k2 specialist 1"]


def test_a_log_that_goes_on_says_how_far_it_is(open_app: OpenApp, my_run: Run) -> None:
    answers = {split: np.nan_to_num(labels) for split, labels in LABELS.items()}
    folder = my_run.folder.parent
    log = TaskLog(
        *("my run / plain 2", NAMES, LABELS["train"]), test_labels=LABELS["test"], folder=folder
    )
    for epoch in (1, 2):
        log.test(answers["test"])
        log.epoch(answers["train"])
        states = came_back(opened(open_app, my_run))
        assert states["my run / plain 2"] == f"It is being logged: {epoch} of 3 epochs."
    log.close()
    assert came_back(opened(open_app, my_run))["my run / plain 2"] == "there"


def test_weights_are_the_same_in_every_file(my_run: Run) -> None:
    grouping = back_of(my_run.folder.parents[1]).grouping
    plain = json.loads(weights_file(grouping, "json", "my run"))
    assert plain["run"] == "my run" and plain["tasks"] == list(grouping.tasks)
    expected = np.array(plain["weights"])
    assert np.abs(expected - grouping.memberships).max() < 1e-6
    array = np.load(io.BytesIO(weights_file(grouping, "npy", "")), allow_pickle=False)
    assert (array == expected).all()
    head, *rows = csv.reader(weights_file(grouping, "csv", "").decode("utf-8-sig").splitlines())
    assert head == ["task", "cluster 1", "cluster 2"]
    assert [row[0] for row in rows] == list(grouping.tasks)
    assert (np.array([row[1:] for row in rows], float) == expected).all()
