"""Training dynamics of Dataset Cartography become a run, with all that is odd in some of them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.special import softmax

from stg_core.maps.formats.answers import Answers
from stg_core.maps.formats.bringing import bring, look
from stg_core.maps.log import TaskLog
from stg_core.results.store import Store
from stg_core.system.errors import UserError
from tests.maps.existing_logs import brought, in_order, outputs, write_dynamics

E, N, C = 4, 30, 3
IDS = [7 * i + 1 for i in range(N)]
LOGITS, GOLD = outputs(E, N, C)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_dynamics(tmp_path / "snli" / "training_dynamics", LOGITS, GOLD.tolist(), IDS)


def logged(labels: np.ndarray, epochs: np.ndarray, outputs: str, kinds: str) -> np.ndarray:
    """What a `TaskLog` of the same outputs has."""
    names = [f"t{t}" for t in range(labels.shape[1])]
    log = TaskLog("twin", names, labels, kinds=kinds, outputs=outputs, epochs=len(epochs))  # type: ignore[arg-type]
    for epoch in epochs:
        log.epoch(epoch)
    log.close()
    maps = Store().run(log.run_id).datamaps()
    assert maps is not None
    return maps


def test_the_task_of_all_classes_is_as_a_task_log_of_the_same_outputs(folder: Path) -> None:
    run = brought(folder, whole="whole")
    assert run.id == "log:snli" and run.title == "snli" and run.ended and not run.live
    assert run.spec.recorded_epochs == (2, 3, 4)
    expected = logged(GOLD[:, None].astype(float), LOGITS, "logits", "multiclass")
    np.testing.assert_array_equal(in_order(run, IDS), expected)


def test_a_task_for_each_class_is_as_a_task_log_of_the_same_probabilities(folder: Path) -> None:
    run = brought(folder, whole="each class", classes=("yes", "no, or (perhaps)", "?"))
    assert run.spec.tasks == ("yes", "no, or (perhaps)", "?") and run.spec.all_binary
    labels = (GOLD[:, None] == np.arange(C)).astype(float)
    probabilities = softmax(LOGITS.astype(np.float32), axis=2)
    expected = logged(labels, probabilities, "probabilities", "binary")
    np.testing.assert_array_equal(in_order(run, IDS), expected)
    assert run.summary.positives.tolist() == labels.sum(axis=0).tolist()


def test_what_a_log_does_not_say_is_asked(folder: Path) -> None:
    seen = look([folder])
    assert (seen.name, seen.points, seen.epochs) == ("snli", N, E) and not seen.points_are_estimated
    assert [question.field for question in seen.questions] == ["whole"] and not seen.ready
    assert look([folder], Answers(whole="whole")).ready
    with pytest.raises(UserError, match="is that one task, or is each class"):
        bring([folder])


def test_its_record_says_what_was_read_and_from_where(folder: Path) -> None:
    run = brought(folder, whole="whole", name="mine")
    origin = run.provenance["origin"]
    assert origin["paths"] == [str(folder)] and origin["files"] == E
    assert "Cartography" in origin["format"] and origin["answers"]["whole"] == "whole"
    assert "Cartography" in run.provenance["device"]


def test_a_name_that_is_taken_is_refused_or_replaced(folder: Path) -> None:
    before = brought(folder, whole="whole")
    assert look([folder], Answers(whole="whole")).name_is_taken
    with pytest.raises(UserError, match="already"):
        bring([folder], Answers(whole="whole"))
    after = brought(folder, whole="each class", replace=True)
    assert after.id == before.id and len(after.spec.tasks) == C
    assert [path.name for path in after.folder.parent.iterdir() if path.is_dir()] == ["snli"]


def test_the_official_sample_is_refused_since_its_epochs_share_no_point(tmp_path: Path) -> None:
    for e in range(5):
        ids = [f"{e}-{i}" for i in range(10)]
        write_dynamics(tmp_path / "sample", LOGITS[:1, :10], GOLD[:10].tolist(), ids, first=e)
    seen = look([tmp_path / "sample"], Answers(whole="whole"))
    assert "5 epochs of the log share no point: they have 50 ids" in seen.problem
    with pytest.raises(UserError, match="share no point"):
        bring([tmp_path / "sample"], Answers(whole="whole"))
    assert Store().runs() and not any(run.id.startswith("log:") for run in Store().runs())


def test_files_that_are_none_of_its_do_not_break_it(folder: Path) -> None:
    (folder / "README.md").write_text("about")
    (folder / "empty.jsonl").touch()
    (folder / ".DS_Store").write_bytes(b"\0")
    (folder / "picture.png").write_bytes(b"\x89PNG\r\n\0")
    (folder / "metrics.json").write_text(json.dumps({"loss": 1.5}))
    (folder / "list.json").write_text("[1, 2]")
    run = brought(folder, whole="whole")
    assert run.head.n_points == N and run.progress.epoch == E
    told = " ".join(run.progress.notes)
    assert "README.md" in told and "empty.jsonl" in told and "DS_Store" not in told


def test_several_folders_are_tasks_joined_by_their_ids(tmp_path: Path) -> None:
    names = ("a", "b, or (not b)")
    parts = [outputs(E, N, 2, seed=seed) for seed in (1, 2)]
    paths = [
        write_dynamics(tmp_path / "m" / name / "training_dynamics", logits, gold.tolist(), IDS)
        for name, (logits, gold) in zip(names, parts, strict=True)
    ]
    run = brought(paths)
    assert run.spec.tasks == names and run.title == "m"
    labels = np.stack([gold for _, gold in parts], axis=1).astype(float)
    columns = np.stack([logits[:, :, 1] - logits[:, :, 0] for logits, _ in parts], axis=2)
    expected = logged(labels, columns, "logits", "binary")
    np.testing.assert_allclose(in_order(run, IDS), expected, atol=1e-3)
    assert brought(tmp_path / "m", name="by the folder of both").spec.tasks == names
