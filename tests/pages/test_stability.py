"""Beside every slider of k stands how stable that k is."""

from __future__ import annotations

import time
from typing import Any

import pytest

from app.stability import stability_text
from stg_core.engine.derived import Answer, bundled_answers
from tests.pages.conftest import OpenApp, StandInDerived, move, texts

PAGES = ("grouping", "agreement", "specialists")
STABILITY = {"mean": [0.95] + [0.7, 0.99, 0.64] * 4, "error": [0.0] * 13, "labels": []}


def bundled_stability(run: str) -> Answer[Any]:
    """Without labels: a slider that rests takes them over for whatever run it is of."""
    (found,) = (v for key, v in bundled_answers().items() if f"choose {run} " in key)
    return Answer({**found, "labels": []})


@pytest.fixture
def known(derived: type[StandInDerived]) -> None:
    derived.given["choose"] = Answer(STABILITY)


@pytest.mark.usefixtures("known")
@pytest.mark.parametrize("page", PAGES)
def test_every_page_with_a_slider_of_k_says_how_stable_it_is(
    open_app: OpenApp, trained: Any, page: str
) -> None:
    app = open_app(page, trained, k="5")
    assert not app.exception
    assert "Stability 0.640**: other points would give rather different clusters" in texts(app)
    assert "k = 4 (0.990)" in texts(app)
    app = move(app, "k", "4")
    assert "Stability 0.990**: other points would give nearly the same clusters" in texts(app)


@pytest.mark.parametrize("page", PAGES)
def test_while_stability_is_not_known_the_page_is_there_and_says_so(
    open_app: OpenApp, trained: Any, derived: type[StandInDerived], page: str
) -> None:
    app = open_app(page, trained, k="5")
    assert "Stability of this k: being computed." in texts(app)
    derived.given["choose"] = Answer(problem="Its process was ended (SIGKILL).")
    app.run()
    assert not app.exception and "Stability" not in texts(app)


@pytest.mark.usefixtures("known")
def test_nothing_is_said_where_stability_is_not_defined(open_app: OpenApp, trained: Any) -> None:
    assert "Stability" not in texts(open_app("agreement", trained, k="15"))
    assert "Stability" not in texts(open_app("agreement", trained, k="5", method="points"))


@pytest.mark.parametrize(("step", "k", "told"), [("4", "lesson_k", "0.836"), ("6", "k", "0.899")])
def test_the_lesson_says_it_too(
    open_app: OpenApp, derived: type[StandInDerived], step: str, k: str, told: str
) -> None:
    name = {"4": "bundled:g2", "6": "bundled:g1"}[step]
    derived.given["choose"] = bundled_stability(name)
    app = open_app("lesson", bundles=True, step=step, **{k: "4"})
    assert f"Stability {told}" in texts(app)


def test_g3_opens_with_the_stability_of_its_twenty_clusters(
    open_app: OpenApp, derived: type[StandInDerived]
) -> None:
    derived.given["choose"] = bundled_stability("bundled:g3")
    for url in ({"run": "bundled:g3"}, {"run": "bundled:g3", "show": "Clusters"}):
        app = open_app("grouping", bundles=True, **url)
        assert "Stability 0.595**: other points would give rather different" in texts(app)
        assert "Most stable up to k = 50: k = 4 (0.964)" in texts(app)


@pytest.mark.parametrize(
    ("mean", "k", "n_tasks", "told"),
    [
        ([1.0], 2, 3, "No k up to 2 is more stable"),
        ([0.9, 0.95], 3, 1000, "No k up to 3 is more stable"),
        ([0.9, 0.95], 4, 1000, ""),
        ([], 2, 5, ""),
        ([0.7, 0.95, 0.99], 4, 5, "nearly the same clusters."),
        ([0.65, 0.95, 0.99], 2, 8, "similar clusters. Most stable up to k = 4: k = 4 (0.990)"),
    ],
)
def test_what_is_known_so_far_is_said(mean: list[float], k: int, n_tasks: int, told: str) -> None:
    text = stability_text(mean, k, n_tasks)
    assert told in text and bool(text) == bool(told)


def test_saying_it_delays_no_slider() -> None:
    began = time.perf_counter()
    for _ in range(100):
        stability_text([0.5] * 98, 20, 100)
    assert time.perf_counter() - began < 1.0, "of the 85 ms of a move, not one in ten"
