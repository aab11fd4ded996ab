"""A log of a thousand tasks: every page about groupings shows it, in parts that can be read."""

from __future__ import annotations

import time

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from app.references import as_csv
from stg_core.maps.log import TaskLog
from stg_core.results.run import Run
from stg_core.results.store import Store
from tests.many import pattern_of
from tests.pages.conftest import OpenApp, picture, texts

N_TASKS, N_POINTS = 1_000, 200
NAMES = [f"task {t}" for t in range(N_TASKS)]
SECONDS = 2  # of the processor


@pytest.fixture(scope="module")
def logged(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Two epochs of a thousand tasks, in twenty groups of tasks that are learned alike."""
    home = tmp_path_factory.mktemp("many")
    rng = np.random.default_rng(0)
    labels = (rng.random((N_POINTS, N_TASKS)) < 0.3).astype(np.float32)
    ease = rng.normal(1, 1, (N_POINTS, 20))[:, pattern_of(N_TASKS)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STG_HOME", str(home))
        with TaskLog("many", NAMES, labels, outputs="logits") as log:
            for epoch in (1, 2):
                logits = epoch * ease + rng.normal(0, 0.3, ease.shape)
                log.epoch(((2 * labels - 1) * logits).astype(np.float32))
        return Store(home).run(log.run_id)


def address(app: AppTest) -> str:
    return "&".join(f"{name}={value}" for name, each in app.query_params.items() for value in each)


def test_data_maps_are_paged_and_found_by_name(logged: Run, open_app: OpenApp) -> None:
    app = open_app("data_maps", logged, run=logged.id)
    assert not app.exception
    header, _ = picture(app, "small_maps")
    assert header["names"] == NAMES[:15]
    app.text_input(key="search").set_value("TASK 99").run()
    header, values = picture(app, "small_maps")
    assert header["names"] == ["task 99", *(f"task 99{i}" for i in range(10))]
    assert values.size == 11 * 16 * 16 and "11 of 1000 tasks" in texts(app)
    app.text_input(key="search").set_value("none of them").run()
    assert "No task has" in app.info[0].value and not app.exception


def test_a_grouping_says_what_of_so_many_tasks_is_kept(logged: Run, open_app: OpenApp) -> None:
    app = open_app("grouping", logged, run=logged.id, k="20")
    assert not app.exception
    assert "Of 1,000 tasks, more than 300" in texts(app)
    header, values = picture(app, "memberships")
    assert len(header["names"]) == N_TASKS and values.size == N_TASKS * 20
    assert len(address(app)) < 2_000


def test_a_hundred_labels_are_paged(logged: Run, open_app: OpenApp) -> None:
    app = open_app("agreement", logged, run=logged.id, k="20")
    app.text_area[0].set_value(as_csv(NAMES, [f"label {t % 100}" for t in range(N_TASKS)])).run()
    assert not app.exception
    header, _ = picture(app, "panels")
    assert len(header["panels"]) == 25 and "page 1 of 4" in header["title"]
    rows, _ = picture(app, "contingency")
    assert len(rows["rows"]) == 100
    assert len(address(app)) < 2_000


def test_no_page_takes_longer_than_two_seconds_once_it_was_open(
    logged: Run, open_app: OpenApp
) -> None:
    for page in ("data_maps", "grouping"):
        app = open_app(page, logged, run=logged.id, k="20")
        before = time.process_time()
        app.run()
        assert time.process_time() - before < SECONDS, page
