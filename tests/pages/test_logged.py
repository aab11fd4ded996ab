"""Runs that somebody's own loop logged: every page shows them, and says nothing of them that is
not so; while they are logged they are marked, and slow results wait."""

from __future__ import annotations

import dataclasses
import io
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

from app import live
from stg_core.engine.derived import Derived, stability_question
from stg_core.grouping.memberships import TaskSpace
from stg_core.maps.log import TaskLog
from stg_core.results.archive import export_run, import_run
from stg_core.results.logged import LoggedRun
from stg_core.results.store import Store
from tests.pages.conftest import OpenApp, move, picture, slider, texts

WRONG = ("images", "train it again", "seed", "tiny_cnn", "Traceback")
N_POINTS = 120


class Loop:
    """Somebody's training loop, of tasks of one kind or of all of them."""

    def __init__(
        self, name: str, n_tasks: int = 4, kind: str = "binary", missing: bool = False, **more: Any
    ) -> None:
        self.rng = np.random.default_rng(0)
        names = [f"task {t}" for t in range(n_tasks)]
        of_all = ("binary", "multiclass", "regression")
        kinds = [of_all[t % 3] if kind == "mixed" else kind for t in range(n_tasks)]
        self.values = self.rng.normal(size=(N_POINTS, n_tasks))
        ways = {"binary": lambda v: v > 0, "multiclass": lambda v: np.digitize(v, [-0.5, 0.5])}
        labels = [ways.get(k, np.asarray)(self.values[:, t]) for t, k in enumerate(kinds)]
        self.labels = np.stack(labels, axis=1).astype(np.float64)
        if missing:
            self.labels[self.rng.random(self.labels.shape) < 0.5] = np.nan
            self.labels[:, 1] = np.nan
        self.kinds = kinds
        self.log = TaskLog(
            name,
            names,
            self.labels,
            kinds=cast(Any, dict(zip(names, kinds, strict=True))),
            outputs="logits",
            **more,
        )

    def outputs(self) -> np.ndarray:
        noise = self.rng.normal(size=self.values.shape)
        columns = []
        for t, kind in enumerate(self.kinds):
            leans = (self.values + noise)[:, t : t + 1]
            columns.append(-np.abs(leans - [-1, 0, 1]) if kind == "multiclass" else leans)
        return np.concatenate(columns, axis=1).astype(np.float32)

    def epochs(self, count: int, test: bool = False) -> LoggedRun:
        for _ in range(count):
            if test:
                self.log.test(self.outputs(), self.labels)
            self.log.epoch(self.outputs())
        return self.run

    def ended(self, count: int, test: bool = False) -> LoggedRun:
        self.epochs(count, test)
        self.log.close()
        return self.run

    @property
    def run(self) -> LoggedRun:
        run = Store().run(self.log.run_id)
        assert isinstance(run, LoggedRun)
        return run


@pytest.fixture(autouse=True)
def nobody_logs_on() -> Iterator[None]:
    """A log that a test left open is let go with it."""
    yield
    from stg_core.maps.log import _OPEN

    for log in list(_OPEN.values()):
        log._let_go()


LOGS: dict[str, Callable[[], LoggedRun]] = {
    "binary, scored": lambda: Loop("b").ended(3, test=True),
    "binary, not scored": lambda: Loop("n").ended(3),
    "multi-class": lambda: Loop("c", kind="multiclass").ended(3, test=True),
    "regression": lambda: Loop("r", kind="regression").ended(3, test=True),
    "mixed": lambda: Loop("m", 6, "mixed").ended(3, test=True),
    "missing labels": lambda: Loop("l", missing=True).ended(3),
    "two epochs": lambda: Loop("e").ended(2),
    "forty epochs": lambda: Loop("f", epochs=40).ended(40),
    "two tasks": lambda: Loop("t", 2).ended(3),
    "many tasks": lambda: Loop("g", 174).ended(2),
    "still logging": lambda: Loop("s").epochs(3),
}


def said(app: AppTest) -> str:
    """All that a page says in words, but for what is not of the run."""
    found = [*app.markdown, *app.caption, *app.info, *app.warning, *app.error]
    return "\n".join(element.value for element in found)


@pytest.mark.parametrize("name", LOGS)
def test_every_page_shows_a_logged_run(open_app: OpenApp, name: str) -> None:
    run = LOGS[name]()
    for page in ("data_maps", "grouping", "agreement"):
        app = open_app(page, run, run=run.id, region="0,0.7,0,1")
        assert not app.exception and not app.error, (name, page)
        assert app.selectbox(key="run_choice").value == run.id
        assert not [word for word in WRONG if word in said(app)], (name, page, said(app))
    app = open_app("methods", run, table=run.id)
    assert not app.exception and not app.error
    assert "need gradients" in said(app)


def test_pages_of_what_came_with_the_project_do_not_mind_a_logged_run(open_app: OpenApp) -> None:
    run = Loop("here").ended(2)
    for page in ("lesson", "study"):
        assert not open_app(page, run, bundles=True, run=run.id).exception


@pytest.mark.parametrize("view", ["Memberships", "Clusters", "Which k?", "Distances", "Export"])
def test_every_view_of_a_grouping_is_there(open_app: OpenApp, view: str) -> None:
    for run in (Loop("mixed", 6, "mixed").ended(3), Loop("live").epochs(3)):
        app = open_app("grouping", run, run=run.id, show=view)
        assert not app.exception and not app.error
        assert slider(app, "Clusters (k)").value == "3"


def test_a_log_of_one_epoch_says_from_when_on_it_can_be_opened(open_app: OpenApp) -> None:
    loop = Loop("short")
    run = loop.epochs(1)
    app = open_app("grouping", run, bundles=True, run=run.id)
    assert not app.exception
    assert "can be opened from its second epoch on" in app.error[0].value
    assert "Epoch 1, still logging" in texts(app)
    loop.epochs(1)
    assert picture(app.run(), "memberships")


# --------------------------------------------------------------------------------- while it is live


def test_a_live_run_is_marked_with_how_far_it_is(open_app: OpenApp) -> None:
    planned, open_end = Loop("planned", epochs=10), Loop("open end")
    assert "Epoch 4 of 10, still logging" in texts(open_app("grouping", planned.epochs(4)))
    open_end.epochs(2)
    app = open_app("data_maps", planned.run, run=open_end.run.id)
    assert "Epoch 2, still logging" in texts(app)
    open_end.log.close()
    assert "still logging" not in texts(app.run())


def test_a_page_moves_on_and_keeps_what_was_chosen(open_app: OpenApp) -> None:
    loop = Loop("going on")
    run = loop.epochs(3)
    app = open_app("grouping", run, run=run.id)
    app = move(move(app, "k", "2"), "fuzzifier", "1.5")
    before = picture(app, "memberships")[1]
    loop.epochs(1)
    app.run()
    assert "Epoch 4, still logging" in texts(app)
    assert slider(app, "Clusters (k)").value == "2" and slider(app, "Fuzzifier (m)").value == "1.50"
    assert not np.array_equal(picture(app, "memberships")[1], before)
    assert app.pills(key="grouping_epochs").value == [2, 3, 4]
    assert slider(open_app("data_maps", run, run=run.id), "Recorded epoch").value == "4"


def test_chosen_recorded_epochs_stay_and_of_thinned_ones_the_nearest_is_shown(
    open_app: OpenApp,
) -> None:
    loop = Loop("thinning")
    run = loop.epochs(8)
    app = open_app("grouping", run, run=run.id)
    app.pills(key="grouping_epochs").set_value([3, 5]).run()
    maps = open_app("data_maps", run, run=run.id, epoch="5")
    loop.epochs(1)
    assert app.run().pills(key="grouping_epochs").value == [3, 5]
    loop.epochs(11)  # of 20 epochs every second is kept
    assert 5 not in loop.run.progress.maps
    for page in (app.run(), maps.run()):
        assert not page.exception and not page.error and not page.toast
    assert app.pills(key="grouping_epochs").value == [2, 4]
    assert slider(maps, "Recorded epoch").value == "4"
    linked = open_app("grouping", run, run=run.id, grouping_epochs="5")
    assert linked.pills(key="grouping_epochs").value == [4] and not linked.toast


def test_slow_results_wait_until_the_log_has_ended(open_app: OpenApp) -> None:
    loop = Loop("slow")
    run = loop.epochs(3)
    for url, where in (
        ({}, "Stability of this k: once the run has ended"),
        ({"show": "Which k?"}, "once the run has ended, and not anew after each epoch"),
    ):
        assert where in said(open_app("grouping", run, run=run.id, **url))
    header = picture(open_app("grouping", run, run=run.id, map="umap"), "memberships")[0]
    assert "UMAP comes once the run has ended" in json.dumps(header, ensure_ascii=False)
    loop.log.close()
    assert "being computed" in said(open_app("grouping", run, run=run.id))


def test_nothing_is_computed_in_the_background_for_a_live_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begun: list[tuple[str, ...]] = []

    class NoProcess:
        def __init__(self, _: Store, words: tuple[str, ...]) -> None:
            begun.append(words)

        def problem(self) -> None:
            return None

    monkeypatch.setattr("stg_core.engine.derived.Command", NoProcess)
    loop, derived = Loop("quiet"), Derived(Store())
    for _ in range(3):
        run = loop.epochs(2)
        question = stability_question(run, TaskSpace(run.summary))
        answer = derived.get(question)
        assert answer.later and answer.pending and not begun
        assert derived.choice(run, TaskSpace(run.summary), 2.0, "soft").later
    run = loop.ended(1)
    assert not derived.get(stability_question(run, TaskSpace(run.summary))).later
    assert len(begun) == 1 and begun[0][:2] == ("choose", run.id)


def test_agreement_of_a_live_run_scores_the_chosen_k_alone(open_app: OpenApp) -> None:
    loop = Loop("agreeing")
    run = loop.epochs(3)
    app = open_app("agreement", run, run=run.id)
    app.text_area[0].set_value("task,label\ntask 0,a\ntask 1,a\ntask 2,b\ntask 3,b").run()
    assert not app.exception and not app.error
    assert "The scores of every other k: once the run has ended" in said(app)
    loop.epochs(1)
    app.run()
    assert "task 2,b" in (app.text_area[0].value or "") and picture(app, "panels")


def test_a_log_that_nobody_goes_on_with_is_told(
    open_app: OpenApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = Loop("left alone")
    run = loop.epochs(2)
    loop.log._let_go()
    progress = run.log.progress()
    earlier = pd.Timestamp(progress.updated) - pd.Timedelta(minutes=12, seconds=5)
    run.log.write_progress(dataclasses.replace(progress, updated=earlier.isoformat()))
    app = open_app("grouping", run, run=run.id)
    assert "The last epoch was 12 minutes ago; nobody is logging." in said(app)
    assert app.selectbox(key="run_choice").options[-1] == "left alone (stopped, epoch 2)"


@pytest.mark.parametrize(
    ("minutes", "told"), [(0.5, "just now"), (1.5, "1 minute"), (150, "2 hours"), (3000, "2 days")]
)
def test_how_long_ago_an_epoch_was(minutes: float, told: str) -> None:
    run = Loop("ago").epochs(1)
    then = pd.Timestamp.now("UTC") - pd.Timedelta(minutes=minutes)
    old = dataclasses.replace(run.progress, updated=then.isoformat())
    assert told in live.ago(dataclasses.replace(run, progress=old))


def test_a_rank_that_died_is_told(open_app: OpenApp) -> None:
    first, second = (Loop("ranks", rank=rank, ranks=2) for rank in (0, 1))
    for _ in range(2):
        first.epochs(1)
        run = second.epochs(1)
    second.log._let_go()
    app = open_app("grouping", run, run=run.id)
    assert not app.exception and not app.error
    assert "Of 2 processes, rank 1 no longer logs" in app.warning[0].value


def test_a_run_that_came_is_among_the_others(open_app: OpenApp) -> None:
    run = Loop("first").ended(2)
    app, start = open_app("grouping", run, run=run.id), open_app("start", run)
    second = Loop("second", epochs=9)
    second.epochs(2)
    assert "second (logging, epoch 2 of 9)" in app.run().selectbox(key="run_choice").options
    assert app.selectbox(key="run_choice").value == run.id
    rows = start.run().dataframe[0].value
    assert rows["Run"].tolist() == ["second (logging, epoch 2 of 9)", "first"]


# ------------------------------------------------------------------------------------ what it is of


def test_the_list_of_runs_says_who_logged_a_run(open_app: OpenApp) -> None:
    run = Loop("scored", source="my cluster").ended(3, test=True)
    Loop("not scored").ended(2)
    rows = open_app("start", run).dataframe[0].value.set_index("Run")
    assert rows.loc["scored", "Logged by"] == "my cluster"
    assert rows.loc["scored", "Epochs"] == 3 and float(rows["Mean F1"]["scored"]) > 0.5
    assert rows["Model"].isna().all() and np.isnan(float(rows["Mean F1"]["not scored"]))


def test_a_logged_run_is_renamed_exported_and_deleted(open_app: OpenApp, tmp_path: Path) -> None:
    run = Loop("mine").ended(3, test=True)
    app = open_app("start", run, run=run.id)
    app.button(key="rename").click().run()
    assert app.text_input(key=f"title {run.id}").placeholder == "mine"
    Store().rename(run, "Ours")
    file = io.BytesIO()
    export_run(Store().run(run.id), file)
    taken = import_run(Store(tmp_path / "elsewhere"), file)
    assert taken.title == "Ours" and taken.mean_score == run.mean_score and taken.spec.logged
    for page in ("data_maps", "grouping", "agreement", "methods"):
        there = open_app(page, taken, run=taken.id, region="0,0.7,0,1", table=taken.id)
        assert not there.exception and not there.error, page
        assert not [word for word in WRONG if word in said(there)], (page, said(there))
    app = open_app("start", run, run=run.id)
    app.button(key="delete").click().run()
    assert "only what trained it can log it again" in texts(app)


def test_a_live_run_is_not_deleted(open_app: OpenApp) -> None:
    loop = Loop("busy")
    run = loop.epochs(2)
    app = open_app("start", run, run=run.id)
    app.button(key="delete").click().run()
    app.button(key="delete").click()
    app.button(key="delete for good").click().run()
    assert "Somebody is logging into busy now" in app.error[0].value
    assert loop.epochs(1).progress.epoch == 3


def test_an_export_of_arrays_says_where_they_are() -> None:
    run = Loop("arrays").ended(2)
    with pytest.raises(Exception, match="its arrays stay where they are"):
        export_run(run, io.BytesIO(), with_arrays=True)


def test_no_score_is_shown_where_no_test_points_were_logged(open_app: OpenApp) -> None:
    run, scored = Loop("without").ended(2), Loop("with").ended(2, test=True)
    app = open_app("data_maps", run, run=run.id)
    assert "test F1" not in said(app)
    assert "test F1" not in app.selectbox(key="sort").options
    app = open_app("data_maps", run, run=scored.id)
    assert "test F1" in said(app) and "test F1" in app.selectbox(key="sort").options


# ---------------------------------------------------------------------------------- what a point is


@pytest.fixture
def table() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "length": np.arange(N_POINTS),
            "text": [f"sentence {i}" for i in range(N_POINTS)],
            "label": ["theirs"] * N_POINTS,
        }
    )


def test_points_of_a_region_are_rows_of_the_table(open_app: OpenApp, table: pd.DataFrame) -> None:
    loop = Loop("rows")
    loop.log.points(table)
    run = loop.ended(2)
    app = open_app("data_maps", run, run=run.id, task="task 1", region="0,0.7,0,1")
    rows = app.dataframe[0].value
    assert list(rows)[:4] == ["index", "length", "text", "label (logged)"]
    assert (rows["text"] == [f"sentence {i}" for i in rows["index"]]).all()
    expected = ["yes" if loop.labels[i, 1] else "no" for i in rows["index"]]
    assert rows["label"].tolist() == expected


def test_points_of_a_region_are_images_of_the_folder(open_app: OpenApp, tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for i in range(N_POINTS):
        Image.new("RGB", (600, 300), (i, 0, 0)).save(folder / f"{i:03}.png")
    loop = Loop("pictures", kind="mixed")
    loop.log.points(folder)
    run = loop.ended(2)
    app = open_app("data_maps", run, run=run.id, task="task 1", region="0,0.7,0,1")
    assert not app.exception and not app.error
    shown = [image for element in app.get("image") for image in element.proto.imgs]
    told = [
        re.match(r"Training point (\d+), an image of (\d+).png, (?:class )?(\d)[,:]", i.alt)
        for i in shown
    ]
    assert len(told) == 60 and all(told)
    for index, file, label in (one.groups() for one in told if one):
        assert int(index) == int(file) and int(label) == loop.labels[int(index), 1]
    for picture_file in folder.iterdir():
        picture_file.unlink()
    app = open_app("data_maps", run, run=run.id, task="task 0", region="0,0.7,0,1")
    assert not app.exception
    assert "cannot be read" in app.info[0].value


def test_points_that_nobody_described_are_numbers(open_app: OpenApp) -> None:
    run = Loop("numbers").ended(2)
    app = open_app("data_maps", run, run=run.id, region="0,0.7,0,1")
    assert list(app.dataframe[0].value) == ["index", "label", "confidence", "variability"]
    assert "log.points(table)" in said(app)


def test_a_point_that_is_pointed_at_says_its_row(open_app: OpenApp, table: pd.DataFrame) -> None:
    loop = Loop("glances")
    loop.log.points(table)
    run = loop.ended(2)
    app = open_app("data_maps", run, run=run.id)
    asked = f"points of {run.id}", "17"
    app.session_state["glances of points asked"] = asked
    app.run()
    shown = [component.proto.json for component in app.get("bidi_component")]
    (glance,) = [json.loads(one)["glance"] for one in shown if "glance" in one]
    assert glance["lines"] == ["sentence 17"]


# ----------------------------------------------------------------------------------------- methods


def test_methods_that_need_outputs_only_group_the_tasks_of_a_log(open_app: OpenApp) -> None:
    run = Loop("grouped", 6).ended(3, test=True)
    app = open_app("methods", run, table=run.id)
    charts = {chart.proto.spec for chart in app.get("vega_lite_chart")}
    names = [json.loads(spec).get("title") for spec in charts]
    assert {"STG-MTL", "Label correlation", "Cross-task errors", "PVI"} <= {
        name if isinstance(name, str) else (name or {}).get("text") for name in names
    }


def test_a_method_that_a_log_has_not_enough_for_says_why(open_app: OpenApp) -> None:
    run = Loop("poor", kind="regression").ended(3)
    told = said(open_app("methods", run, table=run.id))
    assert "PVI" in told and "It says nothing of these tasks" in told
    assert "has no outputs for test points" in told
