"""The page Study: what came out, over two axes, cell by cell, and what was not run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from app.words import plain
from stg_core.judging.findings import findings
from stg_core.judging.study import study_of
from stg_core.judging.study_table import row_not_run, write_study
from stg_core.judging.verdict import SCHEME_NAMES
from stg_core.results.run import Run
from tests.judging.test_study import LOSES, OPEN, WINS, cell_rows
from tests.pages.conftest import OpenApp, texts, titles

PLAN = """
title = "Yeast and digits"
[[grid]]
group = "yeast"
k = [2, 3]
[[grid]]
group = "digits"
k = 2
fuzzifier = [2.0, "hard"]
[[grid]]
group = "chemical"
k = [2, 3, 4]
"""


@pytest.fixture
def rows(tmp_path: Path) -> list[Any]:
    """A study in the home of `open_app`, in which two cells are still to come."""
    study = study_of(PLAN, "mine")
    rows = [
        *cell_rows(WINS, 2, "yeast"),
        *cell_rows(LOSES, 3, "yeast"),
        *cell_rows(OPEN, 2, "digits"),
        *cell_rows(WINS, 2, "digits", measure="f1"),
        *[row_not_run(cell, "Nothing to _compare_.") for cell in study.cells if cell.k == 4],
    ]
    write_study(tmp_path / "studies" / "mine", study, rows)
    return rows


def charted(app: AppTest) -> str:
    (chart,) = app.get("vega_lite_chart")
    assert "Heatmap: " in chart.proto.alt
    return str(chart.proto.alt)


def test_what_came_out_is_said_first(open_app: OpenApp, rows: list[Any]) -> None:
    app = open_app("study")
    assert not app.exception and not app.error
    assert app.title[0].value == "Study"
    assert app.markdown[0].value == plain(findings(rows, "auroc"))
    assert app.markdown[0].value.startswith("In 1 of 3 cells the specialists beat every control")


def test_a_field_tells_the_difference_and_whether_its_interval_excludes_0(
    open_app: OpenApp, rows: list[Any]
) -> None:
    app = open_app("study")
    assert titles(app) == {"Difference in AUROC"}
    told = charted(app)
    assert "the specialists minus the best control at equal cost, AUROC" in told
    for field in ("yeast, 2: +0.0200 ▲", "yeast, 3: −0.0200 ▼", "digits, 2: −0.0005."):
        assert field in told
    frame = app.dataframe[0].value
    assert frame["Difference"].tolist() == [
        "+0.0200 (+0.0190 to +0.0210)",
        "−0.0200 (−0.0210 to −0.0190)",
        "−0.0005 (−0.0015 to +0.0005)",
    ]
    assert frame["Against every control"].tolist() == ["better", "worse", "cannot be told"]
    assert frame["Compared with"].tolist() == [SCHEME_NAMES["longer"]] * 3


def test_what_was_not_run_is_said_with_its_reason(open_app: OpenApp, rows: list[Any]) -> None:
    app = open_app("study")
    assert app.expander[0].label == "Not run: 4 cells"
    assert "**1 cell of chemical**: Nothing to \\_compare\\_." in texts(app)
    assert "**3 cells** of the plan still to come." in texts(app)


def test_an_address_says_what_is_compared(open_app: OpenApp, rows: list[Any]) -> None:
    app = open_app(
        "study",
        study="mine",
        study_measure="f1",
        study_scheme="plain",
        study_other="mtl",
        across="fuzzifier",
        down="k",
    )
    assert not app.exception and not app.error
    assert titles(app) == {"Difference in F1"}
    told = "the plain ensemble minus MTL, F1, by clusters (k) and fuzzifier (m)"
    assert told in charted(app)
    assert app.markdown[0].value == plain(findings(rows, "f1", "plain"))
    assert app.dataframe[0].value["Difference"].tolist() == ["+0.0200 (+0.0190 to +0.0210)"]


def test_only_some_cells_are_shown(open_app: OpenApp, rows: list[Any]) -> None:
    app = open_app("study", only_group="yeast", only_k="3")
    assert app.dataframe[0].value["k"].tolist() == [3]
    assert "digits" not in charted(app)


def test_what_an_address_cannot_say_is_named(open_app: OpenApp, rows: list[Any]) -> None:
    app = open_app("study", study="none", study_measure="beauty", across="nowhere", only_k="99")
    assert not app.exception and not app.error
    assert len(app.toast) == 4
    assert app.dataframe[0].value["k"].tolist() == [2, 3, 2]


def test_a_comparison_that_nobody_tried_is_said(open_app: OpenApp, rows: list[Any]) -> None:
    app = open_app("study", study_measure="f1", study_scheme="plain", only_group="all of them")
    assert not app.exception
    app = open_app("study", study_scheme="mtl")
    assert "No cell of this study has both" in app.info[0].value


def test_a_study_of_which_no_cell_was_judged(open_app: OpenApp, tmp_path: Path) -> None:
    study = study_of(PLAN, "mine")
    write_study(tmp_path / "studies" / "mine", study, [row_not_run(study.cells[0], "No.")])
    app = open_app("study")
    assert not app.exception and not app.error
    assert "No cell of this study could be judged." in app.info[0].value


def test_without_studies_the_page_says_how_to_begin(open_app: OpenApp) -> None:
    app = open_app("study")
    assert not app.exception and "stg_core study" in app.code[0].value


def test_a_damaged_study_is_named(open_app: OpenApp, rows: list[Any], tmp_path: Path) -> None:
    (tmp_path / "studies" / "mine" / "study.parquet").write_bytes(b"PAR1")
    app = open_app("study")
    assert not app.exception and "Run it again" in app.error[0].value


@pytest.mark.parametrize("page", ["grouping", "specialists"])
def test_pages_about_a_grouping_say_what_to_do_by_default(
    open_app: OpenApp, trained: Run, page: str, tmp_path: Path
) -> None:
    study = study_of(PLAN, "default")
    rows = [row for k in (2, 3) for row in cell_rows(LOSES, k, "digits", points=1_437)]
    write_study(tmp_path / "no-bundles" / "studies" / "default", study, rows)
    app = open_app(page, trained, run=trained.id, k="2")
    assert not app.exception and not app.error
    told = "after the study of digits (15 tasks, 1,437 points) with mlp: train one model of all"
    assert plain(told) in texts(app)
    assert "Where does grouping pay?" in {link.proto.label for link in app.get("page_link")}
