"""Training dynamics of Dataset Cartography become a run, with all that is odd in some of them."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax

from stg_core.maps.formats.answers import Answers
from stg_core.maps.formats.bringing import bring, look
from stg_core.maps.log import TaskLog
from stg_core.results.store import Store
from stg_core.system.errors import Cancelled, UserError
from tests.maps.existing_logs import brought, in_order, logged, outputs, write_dynamics

E, N, C = 4, 30, 3
IDS = [7 * i + 1 for i in range(N)]
LOGITS, GOLD = outputs(E, N, C)
RNG = np.random.default_rng(2)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_dynamics(tmp_path / "snli" / "training_dynamics", LOGITS, GOLD.tolist(), IDS)


def test_the_task_of_all_classes_is_as_a_task_log_of_the_same_outputs(folder: Path) -> None:
    run = brought(folder, whole="whole")
    assert run.id == "log:snli" and run.title == "snli" and run.ended and not run.live
    assert run.spec.recorded_epochs == (2, 3, 4)
    expected = logged(GOLD[:, None].astype(float), LOGITS, "logits", kinds="multiclass")
    np.testing.assert_array_equal(in_order(run, IDS), expected)


def test_a_task_for_each_class_is_as_a_task_log_of_the_same_probabilities(folder: Path) -> None:
    run = brought(folder, whole="each class", classes=("yes", "no, or (perhaps)", "?"))
    assert run.spec.tasks == ("yes", "no, or (perhaps)", "?") and run.spec.all_binary
    labels = (GOLD[:, None] == np.arange(C)).astype(float)
    probabilities = softmax(LOGITS.astype(np.float32), axis=2)
    expected = logged(labels, probabilities, "probabilities", kinds="binary")
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
    expected = logged(labels, columns, "logits", kinds="binary")
    np.testing.assert_allclose(in_order(run, IDS), expected, atol=1e-3)
    assert brought(tmp_path / "m", name="by the folder of both").spec.tasks == names


# ------------------------------------------------------------------------------- variants and traps


def rewritten(folder: Path, change: object) -> Path:
    """The folder with each record as `change(record, epoch)` makes it, or a list of records."""
    for path in folder.glob("*.jsonl"):
        if path.is_symlink():
            continue
        epoch = int(path.stem[-1])
        lines = [change(json.loads(line), epoch) for line in path.read_text().splitlines()]  # type: ignore[operator]
        flat = [r for each in lines for r in (each if isinstance(each, list) else [each])]
        path.write_text("".join(json.dumps(record) + "\n" for record in flat))
    return folder


def plain(folder: Path) -> np.ndarray:
    """The data maps of the same log without its oddity."""
    write_dynamics(folder, LOGITS, GOLD.tolist(), IDS)
    return in_order(brought(folder, whole="whole", name="plain"), IDS)


def test_a_point_that_fills_up_a_batch_counts_once(folder: Path, tmp_path: Path) -> None:
    rewritten(folder, lambda r, e: [r, r] if r["guid"] < 50 else {**r, "device": "cuda:1"})
    run = brought(folder, whole="whole")
    np.testing.assert_array_equal(in_order(run, IDS), plain(tmp_path / "plain"))
    assert "repeated a point of its epoch with the same output" in " ".join(run.progress.notes)


def test_a_point_that_is_drawn_twice_counts_twice_as_in_a_task_log(folder: Path) -> None:
    other = [5.0, 0.0, 0.0]

    def twice(record: dict, epoch: int) -> list:
        return (
            [record, {**record, f"logits_epoch_{epoch}": other}]
            if record["guid"] == 1
            else [record]
        )

    run = brought(rewritten(folder, twice), whole="whole")
    log = TaskLog("twin", ["t"], GOLD[:, None], kinds="multiclass", outputs="logits", epochs=E)
    for epoch in LOGITS:
        log.update(np.arange(N), epoch)
        log.update(np.array([0]), np.array([other]))
        log.end_epoch()
    log.close()
    expected = Store().run(log.run_id).datamaps()
    assert expected is not None
    np.testing.assert_allclose(in_order(run, IDS), expected, atol=1e-3)


def test_every_idx_twice_and_probabilities_with_labels_elsewhere(tmp_path: Path) -> None:
    """The layout {"idx", "prob_epoch_<e>"}, without labels."""
    probabilities = softmax(LOGITS, axis=2)
    folder = write_dynamics(
        tmp_path / "prob", probabilities, GOLD.tolist(), IDS, 0, "prob", ("idx", "gold")
    )
    rewritten(folder, lambda r, e: [{k: v for k, v in r.items() if k != "gold"}] * 2)
    assert [question.field for question in look([folder]).questions] == ["whole", "labels"]
    labels = tmp_path / "labels.csv"
    labels.write_text("id,prob\n" + "".join(f"{i},{g}\n" for i, g in zip(IDS, GOLD, strict=True)))
    run = brought(folder, whole="whole", labels=labels)
    np.testing.assert_allclose(in_order(run, IDS), plain(tmp_path / "plain"), atol=1e-3)


def test_probabilities_under_the_name_of_logits(tmp_path: Path) -> None:
    folder = write_dynamics(tmp_path / "p", softmax(LOGITS, axis=2), GOLD.tolist(), IDS)
    run = brought(folder, whole="whole")
    np.testing.assert_allclose(in_order(run, IDS), plain(tmp_path / "plain"), atol=1e-3)
    assert "were taken for probabilities" in " ".join(run.progress.notes)


def test_labels_that_are_texts_ask_for_the_order_of_the_classes(tmp_path: Path) -> None:
    words = np.array(["entailment", "neutral", "contradiction"])[GOLD]
    folder = write_dynamics(
        tmp_path / "t", LOGITS, words.tolist(), IDS, 0, "logits", ("id", "gold")
    )
    asked = look([folder], Answers(whole="whole")).questions
    assert [question.field for question in asked] == ["classes"]
    assert set(asked[0].choices) == set(words)
    order = ("entailment", "neutral", "contradiction")
    run = brought(folder, whole="whole", classes=order)
    assert run.spec.group.tasks[0].values == order
    np.testing.assert_array_equal(in_order(run, IDS), plain(tmp_path / "plain"))
    with pytest.raises(UserError, match="“neutral” is none of the classes"):
        bring([folder], Answers("other", None, "whole", ("entailment", "b", "contradiction")))


@pytest.mark.parametrize("missing", [-1, None, float("nan"), "-1"])
def test_a_missing_label_is_no_label(folder: Path, missing: object) -> None:
    rewritten(folder, lambda r, e: {**r, "gold": missing} if r["guid"] == 1 else r)
    run = brought(folder, whole="whole")
    assert int(run.summary.labelled[0, 0]) == N - 1
    assert np.isnan(in_order(run, IDS)[..., 0]).all()


def test_points_with_fewer_epochs_are_kept_with_what_they_have(folder: Path) -> None:
    """As of a training that was resumed within an epoch; one point comes later than all others."""
    rewritten(folder, lambda r, e: [] if (r["guid"] == 1 and e in (0, 2)) else r)
    run = brought(folder, whole="whole")
    nan = np.array(LOGITS)
    nan[[0, 2], 0] = np.nan
    expected = logged(GOLD[:, None].astype(float), nan, "logits", kinds="multiclass")
    np.testing.assert_array_equal(in_order(run, IDS), expected)
    assert "1 point of 30 are in fewer than 4 epochs, at least in 2" in " ".join(run.progress.notes)


def test_a_list_of_labels_is_a_task_each(folder: Path) -> None:
    yes = RNG.integers(0, 2, (N, C))
    rewritten(folder, lambda r, e: {**r, "gold": yes[IDS.index(r["guid"])].tolist()})
    run = brought(folder, classes=("a", "b", "c"))
    expected = logged(yes.astype(float), LOGITS, "logits", kinds="binary")
    np.testing.assert_array_equal(in_order(run, IDS), expected)


def test_the_last_line_of_a_writer_that_was_killed_is_left_out(folder: Path) -> None:
    path = folder / f"dynamics_epoch_{E - 1}.jsonl"
    path.write_text(path.read_text()[:-20])
    run = brought(folder, whole="whole")
    assert "was cut short" in " ".join(run.progress.notes)
    assert run.progress.rows == (N, N, N, N - 1)


def test_a_file_may_be_gzipped_and_epochs_have_any_names_and_numbers(folder: Path) -> None:
    for e, name in enumerate(("z", "b.txt", "m", "a.log")):
        path = folder / f"dynamics_epoch_{e}.jsonl"
        text = path.read_text().replace(f"_epoch_{e}", f"_epoch_{e * 10 + 3}")
        (folder / name).write_bytes(gzip.compress(text.encode()))
        path.unlink()
    run = brought(folder, whole="whole")
    expected = logged(GOLD[:, None].astype(float), LOGITS, "logits", kinds="multiclass")
    np.testing.assert_array_equal(in_order(run, IDS), expected)
    assert "numbered 3, 13, 23, 33" in " ".join(run.progress.notes)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"logits_epoch_2": [1.0, float("nan"), 0.0]}, "line 3 has the output nan"),
        ({"logits_epoch_2": [1.0, float("inf"), 0.0]}, "line 3 has the output inf"),
        ({"logits_epoch_2": [1.0, 2.0]}, "line 3 has 2 outputs, and the records before have 3"),
        ({"logits_epoch_2": "none"}, "line 3 has"),
        ({"gold": 3}, "line 3: the label is 3, and there are 3 classes, 0 to 2"),
        ({"gold": 0.9}, "line 3: the label is 0.9, and should be the number of a class"),
        ({"gold": {"a": 1}}, "line 3: the label is"),
        ({"guid": None}, "line 3 has no “guid”"),
    ],
)
def test_what_is_wrong_is_told_with_file_and_line(folder: Path, change: dict, told: str) -> None:
    path = folder / "dynamics_epoch_2.jsonl"
    lines = path.read_text().splitlines()
    lines[2] = json.dumps(json.loads(lines[2]) | change)
    path.write_text("\n".join(lines))
    with pytest.raises(UserError) as caught:
        bring([folder], Answers(whole="whole"))
    assert f"dynamics_epoch_2.jsonl, {told}" in str(caught.value)
    assert not list((folder.parents[1] / "home" / "logs").glob("*[!k]"))  # but for the lock


def test_a_label_that_changes_between_epochs_is_refused(folder: Path) -> None:
    rewritten(folder, lambda r, e: {**r, "gold": (r["gold"] + (e == 2 and r["guid"] == 8)) % C})
    with pytest.raises(UserError, match=r"label of the point “8” changes from .* in epoch 3"):
        bring([folder], Answers(whole="whole"))


def test_a_single_epoch_an_empty_folder_and_nothing_are_refused(folder: Path) -> None:
    for e in range(1, E):
        (folder / f"dynamics_epoch_{e}.jsonl").unlink()
    assert "of 1 epoch" in look([folder]).problem
    (folder / "dynamics_epoch_0.jsonl").write_text("")
    assert "is empty" in look([folder]).problem
    (folder / "dynamics_epoch_0.jsonl").unlink()
    assert "no files" in look([folder]).problem
    assert "no file or folder" in look([folder / "nowhere"]).problem
    (folder / "page.html").write_text("<html></html>")
    assert "No log is recognised in “page.html”" in look([folder]).problem


@given(seed=st.integers(0, 2**16), epochs=st.integers(2, 14), points=st.integers(2, 12))
@settings(max_examples=8)
def test_whatever_was_logged_the_run_is_as_a_task_log_of_it(
    tmp_path_factory: pytest.TempPathFactory, seed: int, epochs: int, points: int
) -> None:
    """With points that some epochs did not see, labels that are missing, and any order."""
    logits, gold = outputs(epochs, points, C, seed)
    rng = np.random.default_rng(seed)
    unseen = rng.random((epochs, points)) < 0.3
    unseen[:, 0] = False
    logits[unseen] = np.nan
    known = np.where((rng.random(points) < 0.2) & (np.arange(points) > 0), -1, gold)
    folder = write_dynamics(tmp_path_factory.mktemp("log"), logits, known.tolist())
    rewritten_without_nan(folder)
    run = brought(folder, whole="whole", name="log", replace=True)
    labels = np.where(known < 0, np.nan, known)[:, None]
    log = TaskLog(
        "twin",
        ["t"],
        labels,
        kinds="multiclass",
        classes={"t": ["0", "1", "2"]},
        outputs="logits",
        epochs=epochs,
        anew=True,
    )
    for epoch in logits:
        log.epoch(epoch)
    log.close()
    expected = Store().run(log.run_id).datamaps()
    assert expected is not None
    table = run.folder / "points.parquet"
    seen = np.flatnonzero(~unseen.all(axis=0))
    own = pd.read_parquet(table)["id"].astype(int) if table.exists() else np.arange(len(seen))
    maps = run.datamaps()
    assert maps is not None
    np.testing.assert_array_equal(maps, expected[..., np.asarray(own)])


def rewritten_without_nan(folder: Path) -> None:
    """A point that was not seen is not there."""
    for path in folder.glob("*.jsonl"):
        lines = [line for line in path.read_text().splitlines() if "NaN" not in line]
        path.write_text("".join(line + "\n" for line in lines))


KILLED = """
import sys, time
from stg_core.maps.formats.answers import Answers
from stg_core.maps.formats.bringing import bring
def progress(what, share):
    print(what, flush=True)
    time.sleep(0.01)
bring([sys.argv[1]], Answers(whole="whole", replace=True), progress=progress)
"""


def test_a_process_that_is_killed_leaves_what_was_there_and_it_works_again(folder: Path) -> None:
    before = brought(folder, whole="each class")
    maps = before.datamaps()
    for after in (1, 3, 4):
        child = subprocess.Popen(
            [sys.executable, "-c", KILLED, str(folder)], stdout=subprocess.PIPE, text=True
        )
        assert child.stdout
        for _ in range(after):
            child.stdout.readline()
        child.kill()
        child.wait()
        runs = [run for run in Store().runs() if run.id.startswith("log:")]
        assert [run.id for run in runs] == ["log:snli"]
        np.testing.assert_array_equal(runs[0].datamaps(), maps)
    brought(folder, whole="whole", replace=True)
    assert [path.name for path in before.folder.parent.iterdir() if path.is_dir()] == ["snli"]


def test_what_progress_raises_ends_it_and_nothing_is_kept(folder: Path) -> None:
    told: list[float] = []

    def progress(what: str, share: float) -> None:
        told.append(share)
        if share > 0.7:
            raise Cancelled

    with pytest.raises(Cancelled):
        bring([folder], Answers(whole="whole"), progress=progress)
    assert told == sorted(told) and told[0] < 0.5
    assert not [run for run in Store().runs() if run.id.startswith("log:")]


@pytest.mark.parametrize("damage", [b"\xe9", b"\0", b"\x1f\x8b"])
def test_a_damaged_file_of_outputs_is_not_left_out_in_silence(folder: Path, damage: bytes) -> None:
    path = folder / "dynamics_epoch_2.jsonl"
    content = path.read_bytes()
    if damage == b"\x1f\x8b":
        path.write_bytes(gzip.compress(content)[:-20])
    else:
        path.write_bytes(content.replace(b'"guid": ', b'"guid": ' + damage, 1))
    with pytest.raises(UserError, match=r"dynamics_epoch_2\.jsonl"):
        bring([folder], Answers(whole="whole"))


def test_links_in_circles_and_to_nowhere_and_ids_of_a_table_are_read(folder: Path) -> None:
    (folder / "circle").symlink_to(folder)
    (folder / "nowhere").symlink_to(folder / "gone")
    (folder / "dynamics_epoch_9.jsonl").symlink_to(folder / "dynamics_epoch_1.jsonl")
    rewritten_ids = rewritten(folder, lambda r, e: {**r, "guid": float(r["guid"])} if e else r)
    run = brought(rewritten_ids, whole="whole")
    assert (run.head.n_points, run.progress.epoch) == (N, E)


@pytest.mark.parametrize("how", ["after each other", "in turn", "in one record"])
def test_a_file_may_hold_several_epochs(folder: Path, tmp_path: Path, how: str) -> None:
    parts = [path.read_text().splitlines() for path in sorted(folder.glob("*.jsonl"))]
    lines = [line for part in parts for line in part]
    if how == "in turn":
        lines = [line for several in zip(*parts, strict=True) for line in several]
    elif how == "in one record":
        whole: dict[int, dict] = {}
        for record in map(json.loads, lines):
            whole.setdefault(record["guid"], {}).update(record)
        lines = [json.dumps(record) for record in whole.values()]
    one = tmp_path / "all.jsonl"
    one.write_text("\n".join(lines))
    assert look([one]).epochs is None and look([one], Answers(whole="whole")).ready
    run = brought(one, whole="whole")
    np.testing.assert_array_equal(in_order(run, IDS), plain(tmp_path / "plain"))
    assert run.progress.epoch == E and not list(run.folder.glob("scratch*"))
