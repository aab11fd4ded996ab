"""Tables that people open in a spreadsheet: as they are, and harmless."""

from __future__ import annotations

import csv
import io

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.tables import as_csv
from stg_core.grouping.agreement import read_reference
from stg_core.system.spreadsheets import as_text, as_written

FORMULAS = [
    *("+1+2", "@SUM(A1)", "=1+1", "-2+3", "\t=1", "\r=1", "＝1+1", "＋1", "－1", "＠SUM(A1)"),
    *(" =1+1", "'=1+1", '"=1+1', "\u00a0=1", "  @x", '=HYPERLINK("http://x","y")', "-cat"),
]


@pytest.mark.parametrize("text", FORMULAS)
def test_what_would_be_computed_is_written_as_text(text: str) -> None:
    assert as_text(text) == f"'{text}"
    assert as_written(as_text(text)) == text


@pytest.mark.parametrize("text", ["Möbel", "a=b", "cat-dog", "", "7", "'s", "x@y", "3.5"])
def test_what_is_no_formula_stays_as_it_is(text: str) -> None:
    assert as_text(text) == as_written(text) == text


@given(st.text())
def test_every_text_comes_back(text: str) -> None:
    assert as_written(as_text(text)) == text
    assert not as_text(text).startswith(("=", "+", "-", "@", "\t", "\r"))


def test_a_table_is_read_by_spreadsheets_and_its_numbers_stay_numbers() -> None:
    frame = pd.DataFrame(
        {"task": ["Möbel", "+1+2", "@SUM(A1)"], "=share": [-0.25, 0.5, None], "n": [1, -2, 3]}
    )
    written = as_csv(frame)
    assert written.startswith("\ufeff".encode()), "by it a spreadsheet knows UTF-8"
    rows = list(csv.reader(io.StringIO(written.decode("utf-8-sig"))))
    assert rows == [
        ["task", "'=share", "n"],
        ["Möbel", "-0.25", "1"],
        ["'+1+2", "0.5", "-2"],
        ["'@SUM(A1)", "", "3"],
    ]
    assert list(frame.columns) == ["task", "=share", "n"], "the table itself is not changed"


def test_names_of_rows_are_harmless_too() -> None:
    frame = pd.DataFrame({"cluster 1": [1.0]}, index=pd.Index(["=1+1"], name="task"))
    assert as_csv(frame, index=True).decode("utf-8-sig") == "task,cluster 1\n'=1+1,1.0\n"


@pytest.mark.parametrize("tasks", [("Möbel", "+1+2"), ("-1", "@b")])
def test_a_table_of_labels_that_was_written_for_people_is_read_again(
    tasks: tuple[str, str],
) -> None:
    labels = ("=good", "bad")
    written = as_csv(pd.DataFrame({"task": tasks, "label": labels}))
    reference = read_reference(written, tasks)
    assert reference.labels == labels
