"""What the points of a log are: a table or a folder of images, one for each."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from stg_core.maps.log import TaskLog
from stg_core.maps.log_points import image_of_point, points_table
from stg_core.results.logged import LoggedRun
from stg_core.results.store import Store
from stg_core.system.errors import UserError
from tests.conftest import random_images

N = 6


@pytest.fixture
def log() -> TaskLog:
    return TaskLog("points", ["a", "b"], np.zeros((N, 2)))


def run_of(log: TaskLog) -> LoggedRun:
    run = Store().run(log.run_id)
    assert isinstance(run, LoggedRun)
    return run


def test_a_table_is_kept_and_stays_the_users_own(log: TaskLog, tmp_path: Path) -> None:
    table = pd.DataFrame({0: range(N), "text": list("abcdef")}, index=range(10, 10 + N))
    log.points(table)
    assert list(table.columns) == [0, "text"]
    run = run_of(log)
    assert run.head.points == {"kind": "table", "columns": ["0", "text"]}
    assert points_table(run.folder)["text"].tolist() == list("abcdef")
    table.to_csv(tmp_path / "points.csv", index=False)
    log.points(tmp_path / "points.csv")
    assert points_table(run.folder)["text"].tolist() == list("abcdef")
    with pytest.raises(UserError, match="a row for each"):
        log.points(table[:3])


def test_images_are_taken_in_the_order_of_their_names(log: TaskLog, tmp_path: Path) -> None:
    from PIL import Image

    folder = tmp_path / "images"
    folder.mkdir()
    for i, pixels in enumerate(random_images(0, N)):
        Image.fromarray(pixels).save(folder / f"{i}.png")
    log.points(folder)
    run = run_of(log)
    assert image_of_point(run.folder, run.head.points, 4) == folder / "4.png"
    (folder / "5.png").unlink()
    with pytest.raises(UserError, match="has 5 images, and there are 6 points"):
        log.points(folder)


def test_what_is_no_table_is_refused(log: TaskLog, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read"):
        log.points(tmp_path / "nothing.csv")
