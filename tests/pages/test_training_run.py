"""A run that trains on the pages: marked, moving on with its epochs, and to be ended."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from stg_core.engine.job import Job
from stg_core.grouping import settling
from stg_core.results.run import Run
from stg_core.results.store import Store
from stg_core.system.errors import Cancelled
from stg_core.tasks.groups import GROUPS
from stg_core.training.callbacks import Callback, Training
from stg_core.training.loop import train
from stg_core.training.spec import TrainingSpec
from tests.pages.conftest import OpenApp, StandInEngine, move, picture, slider, texts

SPEC = TrainingSpec(
    GROUPS["digits"], tasks=("0", "1", "7", "Odd"), epochs=9, training_images=200, batch_size=100
)


class Until(Callback):
    def __init__(self, epoch: int) -> None:
        self.last, self.done = epoch, 0

    def on_epoch_end(self, training: Training) -> None:
        self.done = training.epoch

    def cancelled(self) -> bool:
        return self.done >= self.last


class Going:
    """A training that goes on when it is told to, and is held in between."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.lock = store.lock(SPEC.key)
        self.lock.acquire()

    def to(self, epoch: int) -> Run:
        with pytest.raises(Cancelled):
            train(SPEC, folder=self.store.work_folder(SPEC.key), callbacks=[Until(epoch)])
        return self.store.run(SPEC.key)

    def end(self) -> Run:
        run = self.store.save(train(SPEC, folder=self.store.work_folder(SPEC.key)))
        self.lock.release()
        return run


@pytest.fixture
def going(digits_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Going]:
    monkeypatch.setenv("STG_HOME", str(digits_home))
    held = Going(Store(tmp_path / "home"))
    yield held
    held.lock.release()


def test_every_page_shows_a_run_that_trains_and_moves_on_with_it(
    open_app: OpenApp, going: Going
) -> None:
    run = going.to(4)
    for page in ("data_maps", "agreement", "specialists"):
        app = open_app(page, run, run=run.id)
        assert not app.exception and not app.error, page
    app = open_app("grouping", run, run=run.id)
    assert "Epoch 4 of 9, still training" in texts(app)
    assert "Settled?** Since epoch 3: adjusted Rand index" in texts(app)
    app = move(move(app, "k", "2"), "fuzzifier", "1.5")
    before = picture(app, "memberships")[1]
    going.to(5)
    app.run()
    assert "Epoch 5 of 9, still training" in texts(app)
    assert slider(app, "Clusters (k)").value == "2" and slider(app, "Fuzzifier (m)").value == "1.50"
    assert not np.array_equal(picture(app, "memberships")[1], before)
    maps = open_app("data_maps", run, run=run.id, task="7")
    assert slider(maps, "Recorded epoch").value == "5"
    going.end()
    for shown in (app.run(), maps.run()):
        assert not shown.exception and not shown.error and not shown.toast
        assert "still training" not in texts(shown) and "Settled?" not in texts(shown)
    assert slider(app, "Clusters (k)").value == "2"
    assert maps.selectbox(key="task").value == "7"


def test_a_run_that_rests_is_offered_to_be_ended_and_kept(
    open_app: OpenApp, going: Going, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settling, "rests", lambda found: len(found) >= 3)
    run = going.to(5)
    StandInEngine.known = [Job(run.id, SPEC, "running")]
    app = open_app("grouping", run, run=run.id)
    assert "It has not moved for 3 epochs." in texts(app)
    app.button(key="end here").click().run()
    assert StandInEngine.ended == [run.id]


def test_an_interrupted_run_says_that_nobody_trains_it(open_app: OpenApp, going: Going) -> None:
    run = going.to(3)
    going.lock.release()
    app = open_app("grouping", run, run=run.id)
    assert not app.exception
    assert app.info[0].value == "Epoch 3 of 9; nobody trains it now."
    start = open_app("start", run, run=run.id)
    assert start.button(key="rename").disabled and not start.button(key="delete").disabled
