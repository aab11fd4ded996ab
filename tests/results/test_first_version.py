"""What the first version left in a user's folder stays readable: runs, cache, queue, checkpoint.

`first_version/home` was written by it, with five tasks over 120 handwritten digits; `expected.json`
is what it said of them.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stg_core.engine.derived import layout_question, stability_question
from stg_core.engine.jobs import Engine
from stg_core.engine.worker import run_spec
from stg_core.grouping.memberships import TaskSpace, group_tasks
from stg_core.results.archive import import_run
from stg_core.results.store import Store
from stg_core.training.callbacks import Callback, Training
from stg_core.training.spec import TrainingSpec

LEFT = Path(__file__).parent / "first_version"


@pytest.fixture(scope="module")
def expected() -> dict[str, Any]:
    return dict(json.loads((LEFT / "expected.json").read_text()))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    shutil.copytree(LEFT / "home", tmp_path / "home")
    return Store(tmp_path / "home")


def test_its_runs_are_here_under_their_titles_with_their_groupings(
    store: Store, expected: dict[str, Any]
) -> None:
    own = [run for run in store.runs() if not run.bundled]
    assert len(own) == 3
    assert not store.damaged
    run = store.run(expected["run"])
    assert run.title == expected["title"]
    assert run.mean_score == pytest.approx(expected["mean_f1"])
    grouping = group_tasks(TaskSpace(run.summary), 2, 2.0, "soft")
    assert list(grouping.tasks) == expected["tasks"]
    np.testing.assert_allclose(grouping.memberships, expected["memberships"], atol=1e-5)


def test_the_same_training_has_the_same_key(store: Store) -> None:
    for run in store.runs():
        plain = json.loads((run.folder / "spec.json").read_text())["spec"]
        assert TrainingSpec.from_json(plain).to_json() == plain
        assert run.bundled or run.id == run.spec.key


def test_slow_results_are_not_computed_again(store: Store, expected: dict[str, Any]) -> None:
    run = store.run(expected["run"])
    space = TaskSpace(run.summary)
    for question in (stability_question(run, space), layout_question(run, space, "umap")):
        assert question.key in expected["cache"]
        assert store.cache.get(question.key) is not None


def test_its_export_is_taken(tmp_path: Path, expected: dict[str, Any]) -> None:
    with (LEFT / "export.zip").open("rb") as file:
        run = import_run(Store(tmp_path / "elsewhere"), file)
    assert (run.id, run.title) == (expected["run"], expected["title"])


def test_its_queue_goes_on(store: Store, expected: dict[str, Any]) -> None:
    jobs = {job.key: job.state for job in Engine(store).jobs()}
    assert jobs == {expected["run"]: "done", expected["interrupted"]: "queued"}


def test_an_interrupted_training_goes_on_after_its_last_whole_epoch(
    store: Store, expected: dict[str, Any]
) -> None:
    spec = next(job.spec for job in Engine(store).jobs() if job.key == expected["interrupted"])
    epochs: list[int] = []

    class Watch(Callback):
        def on_epoch_end(self, training: Training) -> None:
            epochs.append(training.epoch)

    run = run_spec(store, spec, [Watch()])
    assert epochs == [3]
    assert run.has_data_maps
