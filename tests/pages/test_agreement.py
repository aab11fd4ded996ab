"""Superclasses: a grouping against what people know of its tasks."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from streamlit.dataframe_util import convert_arrow_bytes_to_pandas_df
from streamlit.testing.v1 import AppTest

from app import score_curve
from app.charts.agreement import SCORES, p_text
from app.references import LONGEST, PLACES, as_csv, packed, unpacked
from app.score_curve import ScoreCurve
from stg_core.grouping.agreement import (
    Agreement,
    Reference,
    agreement_with,
    built_in_reference,
    read_reference,
    scores_by_k,
)
from stg_core.grouping.memberships import TaskSpace, group_tasks
from stg_core.results.archive import export_run, import_run
from stg_core.results.run import Run
from stg_core.results.store import Store
from stg_core.tasks.groups import GROUPS, custom_group
from stg_core.training.spec import TrainingSpec
from tests.pages.conftest import ROOT, OpenApp, move, picture, slider, texts, titles

DIGITS = GROUPS["digits"].task_names
PARITY = "".join(f"{digit},{'odd' if digit % 2 else 'even'}\n" for digit in range(10))
TEMPLATE = "task,label\n" + "".join(f"{task},\n" for task in DIGITS)


def chart(app: AppTest, title: str) -> dict[str, pd.DataFrame]:
    """The data of the chart with this title."""
    for found in app.get("vega_lite_chart"):
        if json.loads(found.proto.spec)["title"]["text"] == title:
            return {
                table.name: convert_arrow_bytes_to_pandas_df(table.data.data)
                for table in found.proto.datasets
            }
    raise AssertionError(f"there is no chart {title!r}, but {titles(app)}")


def lists(app: AppTest) -> list[str]:
    """The three lists, in HTML: kept whole, split, merged."""
    return [found.proto.body for found in app.html if "<li>" in found.proto.body]


def expected(run: Run, reference: Reference | None, k: int, method: str = "soft") -> Agreement:
    assert reference is not None
    return agreement_with(reference, group_tasks(TaskSpace(run.summary), k, 2.0, method))


def built_in(run: Run) -> Reference | None:
    return built_in_reference(run.spec.group, run.spec.tasks)


def assert_shows(app: AppTest, found: Agreement, noun: str) -> None:
    """The page shows these scores, this table, these panels and these lists."""
    assert not app.exception and not app.error
    rows = chart(app, "Scores beside chance")["rows"]
    assert rows["name"].tolist() == [SCORES[name][0] for name in found.scores]
    for row, score in zip(rows.itertuples(), found.scores.values(), strict=True):
        assert row.value == score.value and row.p == p_text(score.p_value)
        assert (row.low, row.mean, row.high) == (
            score.chance_low,
            score.chance_mean,
            score.chance_high,
        )
    header, _ = picture(app, "contingency")
    assert header["title"] == f"Tasks by {noun} and cluster"
    table = np.zeros_like(found.table)
    for row, cluster in zip(header["rowOf"], header["labels"], strict=True):
        if row >= 0:
            table[row, header["columns"].index(cluster)] += 1
    assert (header["rows"], header["columns"]) == ([*found.rows], [*found.columns])
    assert np.array_equal(table, found.table)
    assigned = [header["columns"][j] if j >= 0 else None for j in header["assigned"]]
    assert assigned == [*found.assigned]
    header, shares = picture(app, "panels")
    tasks = [[header["names"][t] for t in panel["tasks"]] for panel in header["panels"]]
    assert [panel["label"] for panel in header["panels"]] == [p.label for p in found.panels]
    assert tasks == [[*panel.tasks] for panel in found.panels]
    memberships = shares.reshape(len(header["names"]), -1)
    for drawn, panel in zip(header["panels"], found.panels, strict=True):
        assert memberships[drawn["tasks"]] == pytest.approx(panel.memberships, abs=1e-6)
        coherence = "–" if panel.coherence is None else f"{panel.coherence:.2f}"
        assert drawn["coherence"] == coherence
    for text in (
        f"**{len(found.whole)} kept whole**",
        f"**{len(found.split)} split**",
        f"**{len(found.merged)} merged**",
    ):
        assert text in texts(app)


# ----------------------------------------------------------------------------------- bundled runs


def test_g3_is_held_against_the_superclasses(open_app: OpenApp) -> None:
    app = open_app("agreement", bundles=True, run="bundled:g3")
    run = Store().run("bundled:g3")
    found = expected(run, built_in(run), 20)
    assert_shows(app, found, "superclass")
    whole, split, merged = lists(app)
    assert all(part.label in whole for part in found.whole)
    assert whole.count("<li>") == len(found.whole)
    assert split.count("<li>") == len(found.split)
    assert merged.count("<li>") == len(found.merged)
    assert "1,000 random relabellings" in texts(app)


def test_moving_k_moves_everything(open_app: OpenApp) -> None:
    app = open_app("agreement", bundles=True, run="bundled:g3", k="12")
    run = Store().run("bundled:g3")
    assert_shows(app, expected(run, built_in(run), 12), "superclass")
    move(app, "k", "13")
    assert_shows(app, expected(run, built_in(run), 13), "superclass")
    assert chart(app, "Scores for every k")["now"]["k"].tolist() == [13]


@pytest.mark.parametrize("name", ["g1", "g2"])
def test_g1_and_g2_are_held_against_living_or_not(open_app: OpenApp, name: str) -> None:
    app = open_app("agreement", bundles=True, run=f"bundled:{name}", k="3")
    run = Store().run(f"bundled:{name}")
    found = expected(run, built_in(run), 3)
    assert {*found.rows} == {"living", "not living"}
    assert_shows(app, found, "label")
    said = [line for line in texts(app).splitlines() if line.startswith("Left out")]
    if name == "g1":
        assert not said
    else:
        assert all(task in said[0] for task in found.reference.left_out)


def whole_curve(app: AppTest, ks: int) -> pd.DataFrame:
    """Waits until the scores of all k are there."""
    deadline = time.monotonic() + 60
    while len(chart(app, "Scores for every k")["chance"]) < ks:
        assert time.monotonic() < deadline
        time.sleep(0.1)
        app.run()
    assert not app.exception
    return chart(app, "Scores for every k")["lines"]


def test_scores_run_over_k_as_the_library_finds_them(open_app: OpenApp) -> None:
    app = open_app("agreement", bundles=True, run="bundled:g2", score="Purity")
    run = Store().run("bundled:g2")
    reference = built_in(run)
    assert reference is not None
    lines = whole_curve(app, 14)
    for k, scores in scores_by_k(reference, TaskSpace(run.summary)):
        shown = lines[lines.k == k].set_index("name")["value"]
        assert shown.to_dict() == {SCORES[name][0]: s.value for name, s in scores.items()}
    assert {*lines[lines.chosen].name} == {"Purity"}
    app.selectbox(key="score").set_value("homogeneity").run()
    assert {*chart(app, "Scores for every k")["lines"].query("chosen").name} == {"Homogeneity"}


@pytest.mark.parametrize("method", ["hard", "fcm", "points"])
@pytest.mark.parametrize("k", ["2", "10"])
def test_every_method_at_the_bounds_of_k(open_app: OpenApp, method: str, k: str) -> None:
    app = open_app("agreement", bundles=True, run="bundled:g1", method=method, k=k)
    run = Store().run("bundled:g1")
    assert_shows(app, expected(run, built_in(run), int(k), method), "label")


# ----------------------------------------------------------------------------- labels of one's own


def test_both_pictures_of_the_tasks_have_the_colours_of_the_grouping_page(
    open_app: OpenApp,
) -> None:
    app = open_app("grouping", bundles=True, run="bundled:g2", k="5", marked="cat")
    there, _ = picture(app, "memberships")
    app.switch_page(str(ROOT / "pages" / "agreement.py")).run()
    for name in ("contingency", "panels"):
        here, _ = picture(app, name)
        assert here["colours"] == there["colours"] and here["labels"] == there["labels"]
        assert here["chosen"] == "cat"
        assert len(here["order"]) == 10  # those that have a label


@pytest.mark.slow
def test_a_k_beyond_the_curve_is_not_marked_on_it(open_app: OpenApp) -> None:
    app = open_app("agreement", bundles=True, run="bundled:g3", k="100")
    run = Store().run("bundled:g3")
    assert_shows(app, expected(run, built_in(run), 100), "superclass")
    assert chart(app, "Scores for every k")["now"].empty


def type_labels(app: AppTest, text: str) -> AppTest:
    return app.text_area[0].set_value(text).run()


def test_typed_labels_and_the_link_to_them(open_app: OpenApp, trained: Run) -> None:
    app = open_app("agreement", trained)
    assert not app.exception and not app.error and not app.get("vega_lite_chart")
    assert app.text_area[0].value == TEMPLATE
    assert "Give the tasks labels" in app.info[0].value
    typed = TEMPLATE.replace("0,", "0,even").replace("1,", "1,odd").replace("2,", "2,even")
    type_labels(app, typed)
    reference = read_reference(typed, DIGITS)
    assert_shows(app, expected(trained, reference, 3), "label")
    assert "Left out, since they have no label: 3, 4" in texts(app)
    link = app.query_params["labels"]
    assert isinstance(link, str) and len(link) < 60

    other = open_app("agreement", trained, labels=link)
    assert_shows(other, expected(trained, reference, 3), "label")
    assert read_reference(other.text_area[0].value or "", DIGITS) == reference


def test_where_nothing_is_known_of_the_tasks_a_run_is_offered_of_which_it_is(
    open_app: OpenApp,
) -> None:
    app = open_app("agreement", bundles=True, run="bundled:digits")
    assert "Give the tasks labels" in app.info[0].value
    app.button(key="known").click().run()
    assert not app.exception and not app.error
    assert app.selectbox(key="run_choice").value == "bundled:g3"
    assert app.query_params["run"] == "bundled:g3"
    run = Store().run("bundled:g3")
    assert_shows(app, expected(run, built_in(run), 20), "superclass")


def test_typed_labels_survive_another_page(open_app: OpenApp, trained: Run) -> None:
    app = type_labels(open_app("agreement", trained), PARITY)
    app.switch_page(str(ROOT / "pages" / "grouping.py")).run()
    app.switch_page(str(ROOT / "pages" / "agreement.py")).run()
    assert app.text_area[0].value == PARITY
    assert_shows(app, expected(trained, read_reference(PARITY, DIGITS), 3), "label")


def test_wrong_labels_are_an_error_in_one_sentence_and_stay(
    open_app: OpenApp, trained: Run
) -> None:
    app = type_labels(open_app("agreement", trained), PARITY)
    for wrong, sentence in (
        (PARITY + "Odf,odd\n", "there is no task 'Odf'; is 'Odd' meant?"),
        (PARITY + "0,odd\n", "the task '0' stands there twice"),
        ("0,same\n1,same\n", "All tasks of the reference have the label 'same'"),
        ("0,alone\n", "labels for two tasks or more, and has 1"),
        ("", "labels for two tasks or more, and has 0"),
    ):
        type_labels(app, wrong)
        assert not app.exception and len(app.error) == 1
        assert sentence in app.error[0].value
        assert app.text_area[0].value == wrong
    type_labels(app, PARITY)
    assert not app.error and app.get("vega_lite_chart")


def upload(app: AppTest, content: bytes) -> AppTest:
    return app.file_uploader[0].set_value(("mine.csv", content, "text/csv")).run()


def test_uploaded_labels_replace_the_text(open_app: OpenApp, trained: Run) -> None:
    app = open_app("agreement", trained)
    upload(app, b"\xef\xbb\xbfTask;Label\r\n0;round\r\n8;round\r\n1;straight\r\nOdd;neither\r\n")
    reference = read_reference("0,round\n8,round\n1,straight\nOdd,neither\n", DIGITS)
    assert_shows(app, expected(trained, reference, 3), "label")
    assert app.text_area[0].value == as_csv(DIGITS, reference.labels)


def test_a_wrong_upload_changes_nothing_and_says_why(open_app: OpenApp, trained: Run) -> None:
    app = type_labels(open_app("agreement", trained), PARITY)
    for wrong, sentence in (
        (b"\x89PNG\r\n\x00", "mine.csv: The reference is not a text in UTF-8"),
        (b"0,even\nzero,odd\n", "mine.csv: Line 2: there is no task 'zero'"),
        (b"x" * 300_000, "mine.csv: The reference is longer"),
    ):
        upload(app, wrong)
        assert not app.exception and len(app.error) == 1
        assert sentence in app.error[0].value.replace("\\", "")
        assert app.text_area[0].value == PARITY and app.get("vega_lite_chart")
    type_labels(app, PARITY.replace("odd", "uneven"))
    assert not app.error


def test_labels_of_ones_own_for_a_run_that_has_a_reference(open_app: OpenApp) -> None:
    app = open_app("agreement", bundles=True, run="bundled:g1", k="2")
    assert not app.text_area
    app.toggle(key="own_labels").set_value(True).run()
    type_labels(app, "frog,green\ndeer,brown\nhorse,brown\n")
    run = Store().run("bundled:g1")
    reference = read_reference("frog,green\ndeer,brown\nhorse,brown\n", run.spec.tasks)
    assert_shows(app, expected(run, reference, 2), "label")
    app.toggle(key="own_labels").set_value(False).run()
    assert_shows(app, expected(run, built_in(run), 2), "label")


def test_as_many_labels_as_tasks(open_app: OpenApp, trained: Run) -> None:
    every = "".join(f"{task},label {t}\n" for t, task in enumerate(DIGITS))
    app = type_labels(open_app("agreement", trained, k="15"), every)
    assert_shows(app, expected(trained, read_reference(every, DIGITS), 15), "label")


def test_labels_of_another_run_are_not_taken_for_those_of_this_one(
    open_app: OpenApp, trained: Run
) -> None:
    link = packed([f"task {t}" for t in range(15)], ["a", "b"] * 7 + ["a"])
    assert link
    for text in (link, "nonsense", ".", "..", f"{link[:4]}.zz.a"):
        app = open_app("agreement", trained, labels=text)
        assert not app.exception and not app.error
        assert app.text_area[0].value == TEMPLATE


def test_labels_too_long_for_a_link_are_shown_all_the_same(open_app: OpenApp, trained: Run) -> None:
    app = type_labels(open_app("agreement", trained), f"0,{'long ' * LONGEST}\n1,short\n")
    assert not app.exception and not app.error and app.get("vega_lite_chart")
    assert "labels" not in app.query_params
    assert "too long for a link" in texts(app)


def test_labels_are_shown_as_they_were_written(open_app: OpenApp, trained: Run) -> None:
    bad = "<img src=//host/x> ![x](//host/y)"
    app = type_labels(open_app("agreement", trained), f"0,{bad}\n1,{bad}\n8,b\nOdd,b\n")
    assert not app.exception and not app.error
    shown = "".join(lists(app))
    assert "<img" not in shown and "&lt;img src=//host/x&gt;" in shown
    assert "//host" not in texts(app)


LABELS = st.lists(st.none() | st.text(min_size=1, max_size=9), min_size=1, max_size=40)


@given(LABELS)
def test_labels_come_back_from_a_link(labels: list[str | None]) -> None:
    tasks = [f"task {t}" for t in range(len(labels))]
    link = packed(tasks, labels)
    if link is not None:
        assert unpacked(link, tasks) == tuple(labels)
        assert unpacked(link, [*tasks, "more"]) is None
        assert unpacked(link, [*tasks[:-1], "other"]) is None
    assert link or len({*labels} - {None}) > len(PLACES) or len(str(labels)) > LONGEST / 9


@given(st.text())
def test_no_link_breaks_the_page(text: str) -> None:
    assert unpacked(text, DIGITS) is None


# ----------------------------------------------------------------------------------------- states


@pytest.fixture
def run_of(tmp_path: Path) -> Callable[[list[str]], Run]:
    """Trains a group of digits, in a results folder of its own."""
    from stg_core.training.loop import train

    def trained_on(classes: list[str]) -> Run:
        kept = Store(tmp_path / "few tasks")
        spec = TrainingSpec(custom_group("digits", classes), epochs=2)
        return kept.save(train(spec, folder=kept.work_folder(spec.key)))

    return trained_on


def test_a_single_task_has_no_grouping(
    open_app: OpenApp, run_of: Callable[[list[str]], Run]
) -> None:
    app = open_app("agreement", run_of(["8"]))
    assert not app.exception and not app.error
    assert "single task" in app.info[0].value
    assert not app.text_area and not app.get("vega_lite_chart")


def test_two_tasks_are_enough(open_app: OpenApp, run_of: Callable[[list[str]], Run]) -> None:
    run = run_of(["1", "8"])
    app = type_labels(open_app("agreement", run), "1,straight\n8,round\n")
    assert slider(app, "Clusters (k)").values == ["2"]
    reference = read_reference("1,straight\n8,round\n", ("1", "8"))
    assert_shows(app, expected(run, reference, 2), "label")


def test_a_link_to_a_missing_run_says_so(open_app: OpenApp, trained: Run) -> None:
    app = open_app("agreement", trained, run="0123456789abcdef")
    assert not app.exception
    assert "There is no run “0123456789abcdef”" in app.error[0].value


def test_a_damaged_run_is_an_error_in_one_sentence(
    open_app: OpenApp, trained: Run, tmp_path: Path
) -> None:
    file = io.BytesIO()
    export_run(trained, file)
    own = import_run(Store(tmp_path / "own results"), file)
    summary = own.folder / "summary.npz"
    summary.write_bytes(summary.read_bytes()[:-100])
    app = open_app("agreement", own, bundles=True, run=own.id)
    assert not app.exception and len(app.error) == 1
    assert own.id in app.error[0].value
    assert not app.get("vega_lite_chart")
    app.selectbox(key="run_choice").set_value("bundled:g1").run()
    assert not app.exception and not app.error and app.get("vega_lite_chart")


# ------------------------------------------------------------------------------------ the curve


def g2_curve() -> tuple[ScoreCurve, int]:
    run = Store().run("bundled:g2")
    reference = built_in(run)
    assert reference is not None
    return ScoreCurve(scores_by_k(reference, TaskSpace(run.summary))), len(run.spec.tasks)


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_curve_that_nobody_looks_at_rests_and_goes_on_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    curve, n_tasks = g2_curve()
    monkeypatch.setattr(score_curve, "PATIENCE", -1.0)
    for known in (1, 2):
        curve.look()
        wait_for(lambda: not curve._going_on)
        assert [*curve.scores] == [*range(2, 2 + known)] and not curve.complete
    monkeypatch.setattr(score_curve, "PATIENCE", 60.0)
    curve.look()
    wait_for(lambda: curve.complete)
    assert [*curve.look()] == [*range(2, n_tasks + 1)]


def test_a_curve_ends_where_no_larger_k_is_possible() -> None:
    def every_k() -> Any:
        yield 2, {}
        raise ValueError("no third cluster")

    curve = ScoreCurve(every_k())
    curve.look()
    wait_for(lambda: curve.complete or not curve._going_on)
    curve.look()
    wait_for(lambda: curve.complete)
    assert [*curve.scores] == [2]


@pytest.mark.parametrize(
    ("p", "text"),
    [
        (1 / 1001, "p < 0.001"),
        (0.001, "p = 0.001"),
        (0.006, "p = 0.006"),
        (0.03, "p = 0.03"),
        (0.106, "p = 0.11"),
        (1.0, "p = 1.00"),
    ],
)
def test_p_values_are_short(p: float, text: str) -> None:
    assert p_text(p) == text
