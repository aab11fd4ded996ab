"""A log of a thousand tasks: every page about groupings shows it, in parts that can be read."""

from __future__ import annotations

import time

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from app.references import as_csv
from stg_core.results.run import Run
from stg_core.results.store import Store
from tests.many import log_many
from tests.pages.conftest import OpenApp, move, picture, texts

N_TASKS, N_POINTS = 1_000, 200
NAMES = [f"task {t}" for t in range(N_TASKS)]
SECONDS = 2  # of the processor


@pytest.fixture(scope="module")
def logged(tmp_path_factory: pytest.TempPathFactory) -> Run:
    home = tmp_path_factory.mktemp("many")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STG_HOME", str(home))
        return Store(home).run(log_many(N_TASKS, N_POINTS))


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


def test_distances_come_by_cluster_and_a_block_with_its_tasks(
    logged: Run, open_app: OpenApp
) -> None:
    app = open_app("grouping", logged, run=logged.id, k="20", show="Distances", block="3-7")
    assert not app.exception
    header, values = picture(app, "blocks")
    rows, columns = (header["unfolded"][side] for side in ("rows", "columns"))
    labels = np.array(header["labels"])
    assert set(labels[rows]) == {2} and set(labels[columns]) == {6}
    inside = len(rows) * len(columns)
    assert values.size == N_TASKS * 20 + 20**2 + inside < N_TASKS**2 / 10
    means = values[N_TASKS * 20 :][: 20**2].reshape(20, 20)
    assert means[2, 6] == pytest.approx(values[-inside:].mean(), rel=1e-4)
    move(app, "k", "5")
    assert picture(app, "blocks")[0]["unfolded"] is None, "there is no cluster 7 of 5"
    move(app, "k", "500")
    assert len(picture(app, "blocks")[0]["sizes"]) == 100
    assert "more than 100 clusters" in app.toast[0].value


def test_code_with_the_weights_of_so_many_tasks_comes_as_a_file(
    logged: Run, open_app: OpenApp
) -> None:
    for page, files in (("grouping", "specialists"), ("specialists", "log")):
        app = open_app(page, logged, run=logged.id, k="20", show="Export")
        assert not app.exception
        assert "lines: take it as a file" in texts(app)
        labels = [button.proto.label for button in app.get("download_button")]
        assert f"{files}-pytorch.py" in labels
        assert not any(len(block.value) > 2_000 for block in app.code)


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
    for page in ("data_maps", "grouping", "agreement"):
        app = open_app(page, logged, run=logged.id, k="20")
        before = time.process_time()
        app.run()
        assert time.process_time() - before < SECONDS, page
