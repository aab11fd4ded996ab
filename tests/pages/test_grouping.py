"""Grouping: memberships, and all that follows them."""

from __future__ import annotations

import pytest

from stg_core.store import Run
from tests.pages.conftest import OpenApp, move, slider


def test_grouping_follows_both_sliders(open_app: OpenApp, trained: Run) -> None:
    app = open_app("grouping", trained)
    assert not app.exception and not app.error
    k, fuzzifier = slider(app, "Clusters (k)"), slider(app, "Fuzzifier (m)")
    assert (k.values[0], k.values[-1], k.value) == ("2", "15", "3")
    assert (fuzzifier.values[0], fuzzifier.values[-1], fuzzifier.value) == ("1.01", "3.00", "2.00")
    before = {metric.label: metric.value for metric in app.metric}
    assert set(before) == {"Inertia", "Silhouette", "Partition coefficient", "Xie–Beni"}
    move(app, "k", "6")
    move(app, "fuzzifier", "1.01")
    after = {metric.label: metric.value for metric in app.metric}
    assert not app.exception
    assert float(after["Inertia"]) < float(before["Inertia"])
    assert float(after["Partition coefficient"]) > float(before["Partition coefficient"])


@pytest.mark.parametrize("k", ["2", "15"])
def test_grouping_at_the_bounds_of_k(open_app: OpenApp, trained: Run, k: str) -> None:
    app = open_app("grouping", trained, k=k)
    assert not app.exception and not app.error
    assert slider(app, "Clusters (k)").value == k


@pytest.mark.parametrize(("k", "taken"), [("1", "2"), ("16", "15"), ("many", "3")])
def test_a_k_that_cannot_be_is_replaced(
    open_app: OpenApp, trained: Run, k: str, taken: str
) -> None:
    app = open_app("grouping", trained, k=k)
    assert not app.exception and not app.error
    assert slider(app, "Clusters (k)").value == taken


@pytest.mark.parametrize("method", ["soft", "hard", "fcm", "points"])
def test_every_method(open_app: OpenApp, trained: Run, method: str) -> None:
    app = open_app("grouping", trained, method=method)
    assert not app.exception and not app.error
    assert app.selectbox(key="method").value == method
    assert slider(app, "Fuzzifier (m)").disabled == (method in ("hard", "points"))


def test_no_feature_is_an_error_in_one_sentence(open_app: OpenApp, trained: Run) -> None:
    app = open_app("grouping", trained)
    app.button_group(key="features").set_value([]).run()
    assert not app.exception
    assert "Choose features" in app.error[0].value
