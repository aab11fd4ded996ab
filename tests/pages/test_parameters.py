"""What every page promises about the addresses that it is opened with."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from streamlit.testing.v1 import AppTest

from stg_core.results.run import Run
from tests.pages.conftest import ROOT, OpenApp, slider

PAGES = ("start", "data_maps", "grouping", "agreement", "specialists", "methods", "lesson", "try")
TRIED, TRIED_LONG = 5, 286  # addresses of each page; of all pages about 2,000
NAMES = sorted(
    {
        name
        for file in (*ROOT.glob("pages/*.py"), *ROOT.glob("app/**/*.py"))
        for name in re.findall(
            r'(?:in_url\(|key=|state\.keep?t?\()\s*"([a-z_]+)"', file.read_text("utf-8")
        )
    }
    | {"model_digits", "classes_digits", "unions_digits", "answer_1", "answer_9"}
)
STRANGE = (
    *("", " ", "nan", "inf", "-inf", "1e999", "-1", "0", "1", "3", "5", "20", "999", "2.5", "1,5"),
    *("٣", "²", "𝟛", "9" * 5_000, "true", "True", "yes", "🙂", "\x00", "\x1b[31m", "\u202e", "%ZZ"),
    *("bundled:", "bundled:..", "bundled:g1/../g2", "bundled:" + "a" * 300, "bundled:derived"),
    *("bundled:g1", "bundled:g3", "custom", "g3", "soft", "points", "Labels", "cat", "Even"),
    *("../../etc/passwd", "a" * 3_000, "**bold** ![x](https://example.org/x.png)", "$x$ :red[y]"),
    *("Living being", "this plan", "Export", "pca", "0,1,0,1", "0.1,0.2,0.3,nan", "x.y.z"),
)
VALUES = st.one_of(st.sampled_from(STRANGE), st.text(max_size=12), st.integers().map(str))
ADDRESSES = st.dictionaries(
    st.one_of(st.sampled_from(NAMES), st.text(min_size=1, max_size=6)),
    st.lists(VALUES, min_size=1, max_size=3),
    min_size=1,
    max_size=4,
)


def writable(address: dict[str, list[str]]) -> dict[str, list[str]]:
    """What a browser can send: no half of a surrogate pair."""
    return {
        name.encode("utf-8", "replace").decode(): [
            value.encode("utf-8", "replace").decode() for value in values
        ]
        for name, values in address.items()
    }


def told(app: AppTest) -> list[str]:
    return [str(toast.value) for toast in app.toast]


def try_addresses(open_app: OpenApp, page: str, run: Run, count: int) -> None:
    @settings(
        max_examples=count,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(ADDRESSES)
    def holds(address: dict[str, list[str]]) -> None:
        url: dict[str, Any] = writable(address)
        app = open_app(page, run, bundles=True, **url)
        assert not app.exception, (url, app.exception[0].message, app.exception[0].stack_trace)

    holds()


@pytest.mark.parametrize("page", PAGES)
def test_no_address_shows_a_traceback(open_app: OpenApp, trained: Run, page: str) -> None:
    try_addresses(open_app, page, trained, TRIED)


@pytest.mark.soak
@pytest.mark.parametrize("page", PAGES)
def test_none_of_many_addresses_shows_a_traceback(
    open_app: OpenApp, trained: Run, page: str
) -> None:
    try_addresses(open_app, page, trained, TRIED_LONG)


@pytest.mark.parametrize(
    ("page", "name", "value", "sentence"),
    [
        ("data_maps", "points", "", "points = “” (empty) is not one of its choices"),
        ("data_maps", "task", "frog", "task = “frog” is not one of its choices"),
        ("data_maps", "epoch", "7", "epoch = 7 is more than 2: 2 is shown"),
        ("data_maps", "region", "0,1,nan,1", "region = “0,1,nan,1” is no rectangle"),
        ("data_maps", "backwards", "maybe", "backwards = “maybe” is neither true nor false"),
        ("grouping", "k", "999", "k = 999 is more than 15 tasks: 15 is shown"),
        ("grouping", "k", "-3", "k = -3 is less than 2: 2 is shown"),
        ("grouping", "k", "٣", "k = “٣” is not a number"),
        ("grouping", "k", "nan", "k = “nan” is not a number"),
        ("grouping", "k", "2.5", "k = 2.5 is not one of its steps: 2 is shown"),
        ("grouping", "map", "globe", "map = “globe” is not one of its choices"),
        ("grouping", "features", "love", "features = “love” is not one of its choices"),
        ("grouping", "show", "", "show = “” (empty) is not one of its choices"),
        ("specialists", "average", "", "average = “” (empty) is not one of its choices"),
        ("specialists", "routing", "", "routing = “” (empty) is not one of its choices"),
        ("specialists", "measure", "luck", "measure = “luck” is not one of its choices"),
        ("start", "epochs", "1e999", "epochs = 1e999 is more than 1000: 1000 is shown"),
        ("start", "seed", "1.5", "seed = 1.5 is not a whole number: 2 is shown"),
        ("start", "group", "g9", "group = “g9” is not one of its choices"),
        ("lesson", "step", "9" * 5_000, "is more than 9 steps: 9 is shown"),
        ("lesson", "step", "²", "step = “²” is not a number"),
        ("lesson", "present", "yes", "present = “yes” is neither 1 nor 0"),
    ],
)
def test_a_value_that_cannot_be_is_named_once(
    open_app: OpenApp, trained: Run, page: str, name: str, value: str, sentence: str
) -> None:
    judged = name in ("average", "routing", "measure", "specialisation")
    place = {"result": "g1-k2"} if judged else {}  # where those are
    app = open_app(page, trained, bundles=judged or page == "lesson", **{name: value}, **place)
    assert not app.exception
    (said,) = told(app)
    assert sentence in said.replace("\\", "") and len(said) < 200
    assert not told(app.run())


def test_a_named_value_is_shown_as_it_was_written(open_app: OpenApp, trained: Run) -> None:
    app = open_app("data_maps", trained, task="![x](https://a.b/c)\x07")
    (said,) = told(app)
    assert "!\\[x\\](https\\://a.b/c)�" in said


def test_of_a_parameter_given_twice_the_last_counts_and_the_visitor_is_told(
    open_app: OpenApp, trained: Run
) -> None:
    app = open_app("grouping", trained, k=["3", "5"], method=["hard", "fcm"])
    assert slider(app, "Clusters (k)").value == "5"
    assert app.selectbox(key="method").value == "fcm"
    assert sorted(told(app)) == [
        "k = “5” counts, the last of 2.",
        "method = “fcm” counts, the last of 2.",
    ]


def test_a_sound_address_is_followed_without_a_word(open_app: OpenApp, trained: Run) -> None:
    app = open_app(
        "grouping", trained, k="4", fuzzifier="1.5", method="hard", grouping_epochs=["2"]
    )
    assert not told(app) and not app.exception and not app.error
    assert slider(app, "Clusters (k)").value == "4"
    assert slider(app, "Fuzzifier (m)").value == "1.50"
    assert app.selectbox(key="method").value == "hard"


@pytest.mark.parametrize("name", ["..", "", "g1/../g2", "derived", "specialists", "a" * 300])
def test_a_name_that_is_no_bundled_run_is_answered_with_titles(
    open_app: OpenApp, trained: Run, name: str
) -> None:
    app = open_app("grouping", trained, bundles=True, run=f"bundled:{name}")
    assert not app.exception
    (error,) = app.error
    assert "There is no run" in error.value and trained.title in error.value.replace("\\", "")
    assert trained.id not in error.value and len(error.value) < 600


def test_every_widget_reads_its_parameter_through_its_kind() -> None:
    files = [*ROOT.glob("pages/*.py"), *ROOT.glob("app/**/*.py")]
    by_itself = [f.name for f in files if 'bind="query-params",' in f.read_text("utf-8")]
    assert not by_itself
