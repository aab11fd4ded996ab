"""Missing labels on the pages: tasks are marked, left out or told to be beyond data maps."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from stg_core.maps.summary import summarise
from stg_core.results.run import Run
from tests.benchmarks.missing import without
from tests.conftest import realistic_maps
from tests.pages.conftest import OpenApp, picture, slider, texts

VIEWS = ("Memberships", "Clusters", "Distances", "Export")


def said(app: AppTest) -> str:
    """The texts of a page, as its reader sees them."""
    return texts(app).replace("\\", "")


@pytest.fixture
def show(monkeypatch: pytest.MonkeyPatch, trained: Run) -> Callable[[np.ndarray], None]:
    """Lets every run have tasks of which labels (900, 15) are missing."""

    def let(missing: np.ndarray) -> None:
        tasks, recorded = trained.spec.tasks, trained.spec.recorded
        maps, labels = realistic_maps(len(tasks), 900, recorded)
        hidden, known = without(maps, labels, missing)
        monkeypatch.setattr(Run, "summary", summarise(hidden, known, tasks, recorded))

    return let


def sparse() -> np.ndarray:
    """The first task has an eighth of the labels, the third none."""
    missing = np.zeros((900, 15), dtype=bool)
    missing[:, 0] = np.arange(900) % 8 > 0
    missing[:, 2] = True
    return missing


@pytest.mark.parametrize("view", VIEWS)
def test_a_task_whose_place_is_uncertain_is_marked_and_one_without_labels_left_out(
    open_app: OpenApp, trained: Run, show: Callable[[np.ndarray], None], view: str
) -> None:
    show(sparse())
    app = open_app("grouping", trained, show=view)
    assert not app.exception and not app.error
    assert "Marked ?, since few labels make their place uncertain: 0" in said(app)
    assert "Left out, having no training label: 2." in said(app)
    assert slider(app, "Clusters (k)").values[-1] == "14"


@pytest.mark.parametrize("share", [0.1, 0.9])
def test_distances_say_how_much_they_had_to_change(
    open_app: OpenApp, trained: Run, show: Callable[[np.ndarray], None], share: float
) -> None:
    show(np.random.default_rng(0).random((900, 15)) < share)
    app = open_app("grouping", trained, show="Distances")
    assert not app.exception and not app.error
    assert ("of their inner products had to change" in said(app)) == (share > 0.5)


@pytest.mark.parametrize("name", ["memberships", "clusters", "distances"])
def test_every_picture_of_the_tasks_shows_the_mark(
    open_app: OpenApp, trained: Run, show: Callable[[np.ndarray], None], name: str
) -> None:
    show(sparse())
    header = picture(open_app("grouping", trained, show=name.capitalize()), name)[0]
    assert header["names"][:2] == ["0", "1"] and "2" not in header["names"]
    assert header["shown"][:2] == ["0 ?", "1"]
    assert header["uncertain"]["0"].startswith("13 %") and "1" not in header["uncertain"]


def test_superclasses_mark_the_same_tasks(
    open_app: OpenApp, trained: Run, show: Callable[[np.ndarray], None]
) -> None:
    show(sparse())
    app = open_app("agreement", trained)
    assert not app.exception and not app.error
    assert "Marked ?, since few labels make their place uncertain: 0" in said(app)
    lines = (app.text_area[0].value or "").splitlines()
    assert "2," not in lines  # it is in no cluster
    typed = "\n".join(f"{line}{'even' if line < '3' else 'odd'}" for line in lines[1:])
    app.text_area[0].set_value(typed).run()
    assert not app.exception and not app.error
    header = picture(app, "panels")[0]
    assert header["shown"][0] == "0 ?" and "uncertain" in header["says"][0]


@pytest.mark.parametrize("page", ["grouping", "agreement"])
def test_tasks_that_share_no_points_are_told_to_be_beyond_data_maps(
    open_app: OpenApp, trained: Run, show: Callable[[np.ndarray], None], page: str
) -> None:
    show(np.arange(900)[:, None] % 15 != np.arange(15))
    app = open_app(page, trained)
    assert not app.exception and not app.error
    assert app.warning[0].value.startswith("Data maps cannot tell which of these tasks belong")
    assert "no training point is labelled for two of them" in app.warning[0].value


@pytest.mark.parametrize("page", ["grouping", "agreement"])
def test_nothing_is_said_where_every_task_has_its_labels(
    open_app: OpenApp, trained: Run, page: str
) -> None:
    app = open_app(page, trained)
    assert not app.exception
    assert "uncertain" not in texts(app) and "Left out, having" not in said(app)
    if page == "grouping":
        header = picture(app, "memberships")[0]
        assert header["shown"] == header["names"]
        assert not header["uncertain"]


def test_a_single_task_with_labels_cannot_be_grouped(
    open_app: OpenApp, trained: Run, show: Callable[[np.ndarray], None]
) -> None:
    missing = np.ones((900, 15), dtype=bool)
    missing[:, 4] = False
    show(missing)
    app = open_app("grouping", trained)
    assert not app.exception and not app.error
    assert "needs two or more" in app.info[0].value


def test_specialists_are_not_offered_for_a_task_without_labels(
    open_app: OpenApp, trained: Run, show: Callable[[np.ndarray], None]
) -> None:
    show(sparse())
    app = open_app("specialists", trained)
    assert not app.exception
    said = [element.value for element in (*app.error, *app.warning, *app.info)]
    assert any("has a label for 2" in one for one in said), said


def test_the_data_map_of_a_task_says_how_many_labels_it_has(
    open_app: OpenApp, trained: Run, show: Callable[[np.ndarray], None]
) -> None:
    show(sparse())
    app = open_app("data_maps", trained, task="0")
    assert not app.exception and not app.error
    assert "87 % of labels missing, 13 % in common with another task" in said(app)
