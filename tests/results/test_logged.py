"""Runs that somebody's own training logged: among the others, scored, renamed, deleted, sent."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import f1_score

from stg_core.maps.log import TaskLog
from stg_core.results.archive import export_run, import_run
from stg_core.results.logged import LoggedRun
from stg_core.results.store import Store
from stg_core.system.errors import UserError

N, NAMES = 60, ("red", "green", "blue")


def logged(own_labels_later: bool = False) -> TaskLog:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, (N, 3)).astype(np.float32)
    test = rng.integers(0, 2, (30, 3)).astype(np.float32)
    test[0, 0] = np.nan
    given = None if own_labels_later else test
    log = TaskLog("my run", NAMES, labels, outputs="logits", test_labels=given)
    for _ in range(3):
        log.update(np.arange(N), rng.normal(size=(N, 3)))
        log.test(np.random.default_rng(log.done).normal(size=(30, 3)), test)
        log.end_epoch()
    return log


def run_of(log: TaskLog) -> LoggedRun:
    run = Store().run(log.run_id)
    assert isinstance(run, LoggedRun)
    return run


def test_test_points_are_scored_as_by_others() -> None:
    run = run_of(logged())
    labels, logits = run.labels("test"), run.logits("test")
    assert run.logit_epochs == (1, 2, 3) and run.keeps_logits
    for epoch, scores in enumerate(run.metrics["test"]["f1"]):
        expected = np.random.default_rng(epoch).normal(size=(30, 3)).astype(np.float16)
        np.testing.assert_array_equal(logits[epoch], expected)
        for t, score in enumerate(scores):
            known = labels[:, t] >= 0
            truth = f1_score(labels[known, t], expected[known, t] > 0)
            assert score == pytest.approx(truth)
    assert run.logits("train").shape == (3, N, 3) and run.labels("train").shape == (N, 3)


def test_test_labels_that_come_with_the_first_test_serve_as_well() -> None:
    run = run_of(logged(own_labels_later=True))
    assert run.keeps_logits and run.logit_epochs[-1] == 3
    assert len(run.logits("train")) == len(run.logits("test")) == len(run.logit_epochs)


def test_a_logged_run_is_listed_renamed_and_deleted_when_nobody_logs() -> None:
    log, store = logged(), Store()
    run = run_of(log)
    assert log.run_id in [each.id for each in store.runs()]
    assert run.live and run.spec.model == "logged" and run.spec.group.is_own
    store.rename(run, "another title")
    assert run_of(log).title == "another title"
    with pytest.raises(UserError, match="logging into"):
        store.delete(run_of(log))
    log.update(np.arange(N), np.zeros((N, 3)))  # and it goes on
    log.end_epoch()
    log.close()
    assert not run_of(log).live and run_of(log).title == "another title"
    store.delete(run_of(log))
    assert log.run_id not in [each.id for each in store.runs()]


def test_a_logged_run_can_be_sent_and_opened_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = logged()
    log.close()
    run = run_of(log)
    file = io.BytesIO()
    export_run(run.kept(), file)
    monkeypatch.setenv("STG_HOME", str(tmp_path / "elsewhere"))
    file.seek(0)
    copy = import_run(Store(), file)
    assert copy.title == "my run" and tuple(copy.spec.tasks) == NAMES
    assert copy.mean_score == run.mean_score
    assert copy.id in [each.id for each in Store().runs()]
    for name, gram in vars(run.summary).items():
        if isinstance(gram, np.ndarray):
            np.testing.assert_array_equal(getattr(copy.summary, name), gram)


def test_a_damaged_data_map_and_one_that_was_thinned_meanwhile_are_told() -> None:
    run = run_of(logged())
    path = run.folder / f"maps-{run.progress.maps[-1]}.npy"
    path.write_bytes(path.read_bytes()[:100])
    for look in (lambda: run.summary, run.datamaps):
        with pytest.raises(UserError, match="is damaged"):
            look()
    path.unlink()
    for look in (lambda: run.summary, run.datamaps):
        with pytest.raises(UserError, match="look at it again"):
            look()


def test_a_log_is_read_again_only_once_it_has_gone_on() -> None:
    store, log = Store(), logged()
    first = store.run(log.run_id)
    assert store.run(log.run_id) is first and first in store.runs()
    log.update(np.arange(N), np.ones((N, 3)))
    log.end_epoch()
    again = store.run(log.run_id)
    assert again is not first and again.spec.epochs == first.spec.epochs + 1


@pytest.mark.parametrize("name", ["log.json", "test-3.npy"])
def test_a_damaged_log_is_reported_and_hides_no_other(name: str) -> None:
    log = logged()
    with TaskLog("another", NAMES, np.eye(3), outputs="logits") as other:
        other.epoch(np.ones((3, 3)))
        other.epoch(np.ones((3, 3)))
    folder = run_of(log).folder
    (folder / "scores.json").unlink()
    (folder / name).write_bytes(b"no such thing")
    store = Store()
    assert [run.title for run in store.runs() if not run.bundled] == ["another"]
    assert len(store.damaged) == 1 and "my-run is damaged" in store.damaged[0]
    with pytest.raises(UserError, match="is damaged"):
        store.run(log.run_id)
