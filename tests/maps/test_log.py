"""The log of any training loop: equal to our own recorder, whole whatever ends it, or refused."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
import tracemalloc
import warnings
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stg_core.maps.log import LogNote, TaskLog
from stg_core.maps.log_folder import LogFolder, kept_epochs
from stg_core.maps.recorder import NUMPY, DataMapRecorder
from stg_core.results.logged import LoggedRun
from stg_core.results.store import Store
from stg_core.system.errors import UserError
from stg_core.tasks.data import TaskData
from stg_core.tasks.groups import GROUPS
from stg_core.training.callbacks import Callback
from stg_core.training.loop import train
from stg_core.training.spec import TrainingSpec

N, T = 40, 3
NAMES = ("red", "green", "blue")


@pytest.fixture(autouse=True)
def quiet(own_home: Path) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LogNote)
        yield


def labels_of(seed: int = 0, n: int = N, missing: float = 0.1) -> np.ndarray:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, (n, T)).astype(np.float32)
    labels[rng.random(labels.shape) < missing] = np.nan
    return labels


def logits_of(epoch: int, n: int = N, width: int = T) -> np.ndarray:
    drawn = np.random.default_rng(1000 + epoch).normal(size=(n, width))
    return (epoch**0.5 * drawn).astype(np.float32)


def log_epochs(log: TaskLog, epochs: range, as_: Any = np.asarray, batch: int = 16) -> None:
    for epoch in epochs:
        logits = logits_of(epoch, len(log.labels))
        order = np.random.default_rng(epoch).permutation(len(logits))
        for start in range(0, len(order), batch):
            rows = order[start : start + batch]
            log.update(as_(rows), as_(logits[rows]))
        log.end_epoch()


def run_of(log: TaskLog) -> LoggedRun:
    run = Store().run(log.run_id)
    assert isinstance(run, LoggedRun)
    return run


def maps_of(log: TaskLog) -> np.ndarray:
    maps = run_of(log).datamaps()
    assert maps is not None
    return maps


# ----------------------------------------------------------------------- equal to our own recorder


def test_the_log_of_a_plain_loop_equals_our_own_recorder_bit_for_bit(
    digits_data: TaskData, tmp_path: Path
) -> None:
    class Hands(Callback):
        """Takes indices and outputs of each batch to a log, as a plain loop would."""

        def on_batch_end(self, training: Any) -> None:
            if training.step == 1:
                torch_state = torch.get_rng_state()
                torch.manual_seed(seed_of(training.spec.seed, training.epoch))
                self.order = torch.randperm(len(training.points))
                torch.set_rng_state(torch_state)
            size = training.spec.batch_size
            start = (training.step - 1) * size
            whole = training.step < training.steps_per_epoch
            rows = self.order[start : start + size if whole else len(self.order)]
            log.update(rows, seen.pop())

        def on_epoch_end(self, training: Any) -> None:
            log.end_epoch()

    from stg_core.training.loop import _derived_seed as seed_of
    from stg_core.training.models import build

    seen: list[torch.Tensor] = []

    def watched(*args: Any, **more: Any) -> torch.nn.Module:
        model = build(*args, **more)
        model.register_forward_hook(
            lambda module, _, out: seen.append(out.detach().float()) if module.training else None
        )
        return model

    spec = TrainingSpec(GROUPS["digits"], epochs=4, recorded_epochs=(2, 3, 4))
    names = GROUPS["digits"].task_names
    log = TaskLog("digits", names, digits_data.train_labels, outputs="logits")
    with patch("stg_core.training.loop.build", watched):
        train(spec, digits_data, folder=tmp_path, callbacks=[Hands()])
    own = np.load(tmp_path / "datamaps.npy")
    assert run_of(log).progress.maps == (2, 3, 4)
    np.testing.assert_array_equal(maps_of(log), own)


def test_numpy_and_torch_give_the_same_data_maps() -> None:
    one, other = (TaskLog(name, NAMES, labels_of()) for name in ("numpy", "torch"))
    log_epochs(one, range(1, 5))
    log_epochs(other, range(1, 5), torch.as_tensor)
    np.testing.assert_allclose(maps_of(one), maps_of(other), atol=1e-3)  # a half's last digit


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_tensors_of_any_precision_are_logged(kind: torch.dtype) -> None:
    log, exact = TaskLog("any", NAMES, labels_of()), TaskLog("exact", NAMES, labels_of())
    for epoch in range(1, 4):
        values = torch.tensor(logits_of(epoch), requires_grad=True).to(kind)
        log.update(torch.arange(N), values)
        exact.update(np.arange(N), values.detach().float().numpy())
        log.end_epoch()
        exact.end_epoch()
    np.testing.assert_allclose(maps_of(log), maps_of(exact), atol=1e-3)


def test_jax_arrays_are_logged() -> None:
    jnp = pytest.importorskip("jax.numpy")
    one, other = TaskLog("jax", NAMES, labels_of()), TaskLog("numpy", NAMES, labels_of())
    log_epochs(one, range(1, 4), jnp.asarray)
    log_epochs(other, range(1, 4))
    np.testing.assert_array_equal(maps_of(one), maps_of(other))


def test_heads_and_tasks_of_all_kinds_are_what_their_formulas_say() -> None:
    rng = np.random.default_rng(0)
    labels = np.stack([rng.integers(0, 2, N), np.arange(N) % 4, rng.normal(5, 2, N)], 1)
    labels = labels.astype(np.float32)
    labels[0] = np.nan
    kinds = {"a": "binary", "b": "multiclass", "c": "regression"}
    two = rng.normal(size=(2, N, 2)).astype(np.float32)
    classes = rng.normal(size=(2, N, 4)).astype(np.float32)
    number = rng.normal(5, 2, (2, N)).astype(np.float32)
    log = TaskLog("kinds", tuple("abc"), labels, kinds=kinds, outputs="logits")  # type: ignore[arg-type]
    together = TaskLog("columns", tuple("abc"), labels, kinds=kinds, outputs="logits")  # type: ignore[arg-type]
    tensors = TaskLog("tensors", tuple("abc"), labels, kinds=kinds, outputs="logits")  # type: ignore[arg-type]
    for e in range(2):
        heads = [two[e], classes[e], number[e]]
        log.update(np.arange(N), heads)
        tensors.update(torch.arange(N), [torch.tensor(head) for head in heads])
        side = [two[e][:, 1:] - two[e][:, :1], classes[e], number[e][:, None]]
        together.update(np.arange(N), np.concatenate(side, axis=1))
        for each in (log, together, tensors):
            each.end_epoch()
    p = np.exp(two[..., 1]) / np.exp(two).sum(-1)
    y = labels.T
    right = np.where(y[0] == 1, p, 1 - p)
    share = np.exp(classes) / np.exp(classes).sum(-1, keepdims=True)
    true = np.stack([share[:, i, int(np.nan_to_num(y[1, i]))] for i in range(N)], 1)
    near = np.exp(-(((number - y[2]) / np.nanstd(y[2])) ** 2) / 2)
    expected = np.stack([right, true, near], 1).mean(0)
    expected[:, 0] = np.nan
    np.testing.assert_allclose(maps_of(log)[-1, 0], expected, atol=1e-3)
    np.testing.assert_array_equal(maps_of(log), maps_of(together))
    np.testing.assert_allclose(maps_of(log), maps_of(tensors), atol=1e-3)


@given(st.lists(st.lists(st.integers(0, 5), min_size=1, max_size=12), min_size=1, max_size=4))
def test_a_point_counts_each_time_it_is_there(batches: list[list[int]]) -> None:
    rng = np.random.default_rng(len(batches))
    arrays, tensors = DataMapRecorder(6, 2, NUMPY), DataMapRecorder(6, 2)
    seen: list[list[np.ndarray]] = [[] for _ in range(6)]
    for batch in batches:
        found = rng.random((len(batch), 2)).astype(np.float32)
        arrays.update(np.array(batch), found)
        tensors.update(torch.tensor(batch), torch.tensor(found))
        for point, row in zip(batch, found, strict=True):
            seen[point].append(row)
    for recorder in (arrays, tensors):
        confidence, variability = np.asarray(recorder.snapshot(), np.float64)
        for point, rows in enumerate(seen):
            mean = np.mean(rows, 0) if rows else [np.nan] * 2
            spread = np.std(rows, 0, ddof=1) if len(rows) > 1 else [np.nan] * 2
            np.testing.assert_allclose(confidence[:, point], mean, atol=1e-3)
            np.testing.assert_allclose(variability[:, point], spread, atol=1e-3)


def test_the_recorder_takes_lists_and_bytes_and_refuses_other_shapes() -> None:
    for recorder in (DataMapRecorder(4, 1, NUMPY), DataMapRecorder(4, 1)):
        recorder.update([0, 0, 1], [[0.2], [0.4], [1.0]])
        assert np.asarray(recorder.state)[:, 0, 0].tolist() == [2, 1, 0, 0]
        recorder.update(np.array([1, 0, 2], np.uint8), [[0.2], [0.4], [1.0]])
        assert np.asarray(recorder.state)[:, 0, 0].tolist() == [3, 2, 1, 0]
        for rows, found in (
            ([0, 1], [[0.5]]),
            ([0, 1], [0.5, 0.5]),
            ([0], [[0.5, 0.5]]),
            ([4], [[0.5]]),
            ([-1], [[0.5]]),
            ([0.0], [[0.5]]),
            ([True], [[0.5]]),
            (slice(0, 2), [[0.5]]),
        ):
            with pytest.raises(UserError):
                recorder.update(rows, np.asarray(found, np.float32))


# --------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("indices", "outputs", "sentence"),
    [
        ([0, 1], np.zeros(2), r"\(2,\) and should be \(B, 3\)"),
        ([0, 1], np.zeros((2, 1)), r"\(2, 1\) and should be \(B, 3\)"),
        ([0, 1, 2, 3], np.zeros((3, 4)), "lie on their side"),
        ([0], np.zeros((2, 3)), "give one for each"),
        ([0, N], np.zeros((2, 3)), f"no point {N}"),
        ([0, -1], np.zeros((2, 3)), "no point -1"),
        ([0.0, 1.0], np.zeros((2, 3)), "whole numbers"),
        ([True, False], np.zeros((2, 3)), "whole numbers"),
        ([0, 1], np.full((2, 3), np.nan), "epoch 1, batch 1 are not numbers"),
        ([0, 1], [np.zeros(2), np.zeros(2)], "2 heads and 3 tasks"),
        ([0, 1], "nothing", "cannot be read"),
        ([0, 1], np.zeros((2, 3), complex), "cannot be read|no real numbers"),
        ({0, 1}, np.zeros((2, 3)), "no list of numbers"),
    ],
)
@pytest.mark.parametrize("tensors", [False, True])
def test_a_batch_that_is_not_of_these_points_and_tasks_is_refused(
    indices: Any, outputs: Any, sentence: str, tensors: bool
) -> None:
    log = TaskLog("refused", NAMES, labels_of(missing=0), outputs="logits")
    if tensors and isinstance(outputs, np.ndarray):
        indices = torch.tensor(indices) if isinstance(indices, list) else indices
        outputs = torch.tensor(outputs)
    with pytest.raises(UserError, match=sentence):
        log.update(indices, outputs)
    log_epochs(log, range(1, 3))  # nothing of it was kept
    assert run_of(log).progress.rows == (N, N)


def test_probabilities_above_one_and_logits_after_them_are_refused() -> None:
    log = TaskLog("p", NAMES, labels_of())
    log.update([0, 1], np.full((2, 3), 0.5))
    assert "taken for probabilities" in log.notes[0]
    with pytest.raises(UserError, match="epoch 1, batch 2 are no probabilities"):
        log.update([2, 3], np.full((2, 3), 1.5))
    again = TaskLog("p", NAMES, labels_of(), outputs="logits", test_labels=labels_of(1))
    again.update([2, 3], np.full((2, 3), 1.5))
    log = TaskLog("p2", NAMES, labels_of(), outputs="probabilities", test_labels=labels_of(1))
    with pytest.raises(UserError, match="no probabilities"):
        log.test(np.full((N, T), 1.5))


def test_what_is_masked_sparse_or_empty_is_what_it_means() -> None:
    hidden = np.zeros((N, T), bool)
    hidden[3, 1] = True
    log = TaskLog("masked", NAMES, np.ma.masked_array(np.ones((N, T)), hidden), epochs=np.int64(9))  # type: ignore[arg-type]
    assert np.isnan(log.labels[3, 1]) and np.isnan(log.labels).sum() == 1
    log.update([], np.zeros((0, T)))
    log.update(torch.arange(N), torch.full((N, T), 2.0).to_sparse())
    log.end_epoch()
    answers = np.ma.masked_array(np.ones((2, T)), hidden[2:4])
    log.update([0, 3], answers)  # hidden where the label is
    with pytest.raises(UserError, match="not numbers"):
        log.update([3, 0], answers)
    with pytest.raises(UserError, match="no real numbers with values"):
        log.update(torch.arange(2), torch.zeros(2, T, device="meta"))


def test_test_labels_that_are_refused_are_not_kept() -> None:
    log = TaskLog("late", NAMES, labels_of(), outputs="logits")
    labels = labels_of(1)
    for outputs, own, sentence in (
        (logits_of(1), labels[1:], "rows of test outputs"),
        (logits_of(1), labels + 5, "0 or 1"),
        (logits_of(1) * np.nan, labels, "not numbers"),
    ):
        with pytest.raises(UserError, match=sentence):
            log.test(outputs, own)
        assert log.test_labels is None
    log.test(logits_of(1), labels)
    log.test(logits_of(1), labels)
    with pytest.raises(UserError, match="have changed"):
        log.test(logits_of(1), 1 - labels)


def test_a_title_given_while_the_first_batch_is_written_stays() -> None:
    log = TaskLog("untitled", NAMES, labels_of())
    store = Store()
    store.rename(store.run(log.run_id), "the fourth try")
    log_epochs(log, range(1, 3))
    log.points({"row": range(N)})
    assert run_of(log).title == "the fourth try" and run_of(log).head.outputs == "logits"


def test_logits_and_probabilities_are_told_apart_and_named() -> None:
    log = TaskLog("logits", NAMES, labels_of())
    log.update(np.arange(N), logits_of(1))
    assert "taken for logits" in log.notes[0]
    two = TaskLog("two columns", ["one"], labels_of()[:, :1])
    two.update([0, 1], np.array([[1.0, 1.5], [3.0, 3.5]]))  # whose difference lies in [0, 1]
    assert "taken for logits" in two.notes[0]
    with pytest.raises(UserError, match="do not sum to 1"):
        TaskLog("classes", ["one"], np.arange(N) % 3, kinds="multiclass").update(
            [0], np.full((1, 3), 0.9)
        )


@pytest.mark.parametrize(
    ("labels", "more", "sentence"),
    [
        (None, {}, "needs the labels"),
        (np.zeros((0, 3)), {}, "should be points × tasks"),
        (np.float32(1), {}, "a single number"),
        (np.zeros((N, 2)), {}, "3 names of tasks, and the labels have 2 columns"),
        (np.zeros((3, N)), {}, "lie on their side"),
        (np.full((N, 3), -1.0), {}, "put NaN there"),
        (np.full((N, 3), 2.0), {"kinds": "binary"}, "should be 0 or 1"),
        (np.full((N, 3), 0.5), {"kinds": "multiclass"}, "whole numbers"),
        (np.where(np.arange(N * 3).reshape(N, 3) % 2, 0.9, 0.1), {}, "as smoothed ones"),
        (np.full((N, 3), np.inf), {"kinds": "regression"}, "infinite"),
        (np.full((N, 3), "x"), {}, "cannot be read as numbers"),
        (np.full((N, 3), 1e300), {}, "infinite"),
        (np.full((N, 3), 1j), {}, "cannot be read as numbers"),
        (np.full((N, 3), "2026-01-01", "datetime64[D]"), {}, "cannot be read as numbers"),
        (np.zeros((N, 3)), {"tasks": {"a", "b", "c"}}, "no order"),
        (np.zeros((N, 3)), {"epochs": 2.5}, "epochs are planned"),
        (np.zeros((N, 3)), {"epochs": 0}, "epochs are planned"),
        (np.zeros((N, 3)), {"rank": "first", "ranks": 2}, "no whole numbers"),
        (np.zeros((N, 3)), {"rank": 0, "ranks": 0}, "1 process, ranks are 0 to 0"),
        ([[0, 1, 0], [1]], {}, "cannot be read as an array"),
        ({"a": [0, 1], "b": [0], "c": [1]}, {}, "same length"),
        (np.zeros((N, 3)), {"kinds": {"grey": "binary"}}, "no task “?.*grey"),
        (np.zeros((N, 3)), {"kinds": "odd"}, "A task is one of"),
        (np.zeros((N, 3)), {"kinds": ["binary"]}, "Say kinds="),
        (np.zeros((N, 3)), {"outputs": "odd"}, "logits"),
        (np.zeros((N, 3)), {"rank": 2, "ranks": 2}, "ranks are 0 to 1"),
        (np.zeros((N, 3)), {"test_labels": np.full((N, 3), 2.0)}, "test labels"),
    ],
)
def test_labels_that_are_not_what_they_should_be_are_refused(
    labels: Any, more: Any, sentence: str
) -> None:
    with pytest.raises(UserError, match=sentence):
        TaskLog("refused", labels=labels, **{"tasks": NAMES, **more})
    assert Store().runs() == [run for run in Store().runs() if run.bundled]


def test_a_log_goes_on_only_with_what_it_was_begun_with() -> None:
    log = TaskLog("one", NAMES, labels_of(), outputs="logits", test_labels=labels_of(1))
    log_epochs(log, range(1, 3))
    other = labels_of()
    other[0] = 1 - np.nan_to_num(other[0])
    for labels, more, sentence in (
        (other, {}, "labels have changed"),
        (labels_of(), {"kinds": "regression"}, "other tasks"),
        (labels_of(), {"outputs": "probabilities"}, "is one of logits"),
        (labels_of(), {"rank": 0, "ranks": 2}, "begun by 1 process"),
        (labels_of(), {"test_labels": labels_of(2)}, "test labels have changed"),
    ):
        with pytest.raises(UserError, match=sentence):
            TaskLog("one", NAMES, labels, **more)
    again = TaskLog("one", NAMES, labels_of())
    assert again.done == 2 and again.test_labels is not None
    with pytest.raises(UserError, match="has taken its place"):
        log.update([0], np.zeros((1, 3)))
    log_epochs(again, range(3, 4))
    again.close()
    with pytest.raises(UserError, match=r"finished log.* of 3 epochs"):
        TaskLog("one", NAMES, labels_of())
    anew = TaskLog("one", NAMES, other, anew=True)
    assert anew.done == 0 and anew.notes == []
    with pytest.raises(UserError, match="Nothing was logged in epoch 1"):
        anew.end_epoch()


def test_an_epoch_of_other_rows_is_kept_and_told() -> None:
    log = TaskLog("partial", NAMES, labels_of(missing=0), outputs="logits")
    log.update(np.arange(N // 2), np.zeros((N // 2, T)))
    log.end_epoch()
    assert any(f"had {N // 2} rows of outputs for {N} points" in note for note in log.notes)
    whole = np.zeros((N, T), np.float32)
    whole[5:] = np.nan
    log.epoch(whole)
    maps = maps_of(log)[-1]
    assert np.isnan(maps[1][:, 5:]).all() and not np.isnan(maps[1][:, :5]).any()
    assert np.isnan(maps[0][:, N // 2 :]).all()
    with pytest.raises(UserError, match="give a row for each"):
        log.epoch(np.zeros((3, T)))


# ------------------------------------------------------------------------------ what is on its disk


@pytest.mark.parametrize("name", ["progress.json", "log.json", "state-2.npy"])
@pytest.mark.parametrize("content", [b"", b"[]", b'{"epoch": "two"}', b"\x00\x01"])
def test_a_damaged_log_is_told_and_kept_until_it_is_begun_anew(name: str, content: bytes) -> None:
    log = TaskLog("damaged", NAMES, labels_of(), outputs="logits")
    log_epochs(log, range(1, 3))
    log.close()
    path = LogFolder.named("damaged", Path(os.environ["STG_HOME"], "logs")).path
    (path / name).write_bytes(content)
    Store().runs()
    with pytest.raises(UserError, match=f"{name} is damaged.*anew=True"):
        TaskLog("damaged", NAMES, labels_of())
    assert (path / name).read_bytes() == content
    anew = TaskLog("damaged", NAMES, labels_of(), anew=True, outputs="logits")
    log_epochs(anew, range(1, 3))
    assert maps_of(anew).shape == (1, 2, T, N)


def test_a_home_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(UserError, match=r"cannot be kept.*STG_HOME"):
        TaskLog("nowhere", NAMES, labels_of(), folder=tmp_path / "file" / "logs")


def test_a_full_disk_is_told_and_loses_nothing() -> None:
    log = TaskLog("full", NAMES, labels_of(), outputs="logits")
    log_epochs(log, range(1, 3))
    before = maps_of(log)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    log.update(np.arange(N), logits_of(3))
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (200, hard))
        with pytest.raises(UserError, match="Make room"):
            log.end_epoch()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
    np.testing.assert_array_equal(maps_of(log), before)
    log.end_epoch()
    assert run_of(log).progress.epoch == 3


@given(st.integers(1, 200), st.booleans())
def test_at_most_ten_evenly_spread_epochs_are_kept(done: int, planned: bool) -> None:
    total = 200 if planned else None
    on_disk: set[int] = set()
    for epoch in range(1, done + 1):
        if epoch >= 2:
            on_disk.add(epoch)
        kept = kept_epochs(epoch, 10, total)
        assert set(kept) <= on_disk, "an epoch that was dropped is asked for"
        on_disk = set(kept)
        assert len(kept) <= 10 and (epoch < 2 or kept[-1] == epoch)
    gaps = np.diff(kept)[:-1]  # all but the last, which is on its way
    assert len(set(gaps.tolist())) <= 1


def test_the_files_are_those_of_the_kept_epochs() -> None:
    log = TaskLog("thin", NAMES, labels_of(), outputs="logits", test_labels=labels_of(1))
    for epoch in range(1, 31):
        as_ = (np.asarray, torch.as_tensor)[epoch % 2]
        log.update(as_(np.arange(N)), as_(logits_of(epoch)))
        log.test(logits_of(epoch))
        log.end_epoch()
    run = run_of(log)
    for kind, epochs in {
        "maps": run.progress.maps,
        "test": run.progress.logits,
        "train": run.progress.logits,
        "state": (30,),
    }.items():
        names = {path.name for path in run.folder.glob(f"{kind}-*.npy")}
        assert names == {f"{kind}-{e}.npy" for e in epochs}
    assert len(run.progress.maps) <= 10 and run.progress.maps[-1] == 30


def test_memory_does_not_grow_with_the_batches() -> None:
    log = TaskLog("memory", NAMES, labels_of(n=20_000), outputs="logits")
    logits, rows = logits_of(1, 256), np.arange(256)

    def traced(batches: int) -> int:
        tracemalloc.reset_peak()
        for _ in range(batches):
            log.update(rows, logits)
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        first = traced(20)
        assert traced(1_000) - first < 20_000
        assert tracemalloc.get_traced_memory()[1] < 12 * 20_000 * T + 1_000_000
    finally:
        tracemalloc.stop()


# ------------------------------------------------------------------------------- on an accelerator


def test_on_an_accelerator_nothing_waits_within_a_batch_and_the_epoch_tells() -> None:
    """The CPU, said to be an accelerator: what the log then asks of torch within a batch."""
    from torch.utils._python_dispatch import TorchDispatchMode

    asked: list[str] = []

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None):  # type: ignore[no-untyped-def]
            asked.append(str(func))
            masks = args[1] if "index" in str(func) and len(args) > 1 else ()
            for mask in masks if isinstance(masks, (list, tuple)) else ():
                assert mask is None or mask.dtype != torch.bool, "a mask waits"
            return func(*args, **(kwargs or {}))

    labels = np.stack([np.arange(N) % 2, np.arange(N) % 3, np.linspace(0, 1, N)], 1)
    kinds: Any = dict(zip(NAMES, ("binary", "multiclass", "regression"), strict=True))
    log = TaskLog("gpu", NAMES, labels, kinds=kinds, outputs="probabilities")
    probabilities = torch.full((N, 5), 1 / 3)
    waits = ("_local_scalar", "nonzero", "unique", "is_nonzero", "item", "masked_select")
    with (
        patch("stg_core.maps.log_batches.on_cpu", lambda array: isinstance(array, np.ndarray)),
        patch("stg_core.maps.recorder.on_cpu", lambda array: isinstance(array, np.ndarray)),
    ):
        log.epoch(probabilities)
        before = log._folder.recorder(1).state
        log.update(torch.arange(8), probabilities[:8])
        with Watch():
            log.update(torch.arange(8), probabilities[:8])
        assert asked and not [name for name in asked if any(wait in name for wait in waits)]
        for rows, values, sentence in (
            (torch.tensor([0, N]), probabilities[:2], "indices of epoch 2, batch . are of points"),
            (torch.tensor([0]), probabilities[:1] * np.nan, "batch . are not numbers"),
            (torch.tensor([0]), probabilities[:1] * 9, "batch . are no probabilities"),
        ):
            log.update(rows, values)
            with pytest.raises(UserError, match=sentence):
                log.end_epoch()
        with pytest.raises(UserError, match="whole numbers"):
            log.update(torch.tensor([0.0]), probabilities[:1])
        log.update(torch.arange(N), probabilities)
        log.end_epoch()
    after = log._folder.recorder(2).state
    np.testing.assert_array_equal(after[:, 0] - before[:, 0], 1)  # of the bad epochs, nothing


# -------------------------------------------------------------------------------- other processes

LOOP = """
import sys, time, warnings
warnings.simplefilter("ignore")
import numpy as np
from stg_core.maps.log import TaskLog
name, epochs, rank, ranks, pause = sys.argv[1], *map(int, sys.argv[2:5]), float(sys.argv[5])
anew = len(sys.argv) > 6
n = 600
rng = np.random.default_rng(0)
labels = rng.integers(0, 2, (n, 3)).astype(np.float32)
log = TaskLog(name, ("a", "b", "c"), labels, rank=rank, ranks=ranks, outputs="logits", anew=anew)
print("joined", flush=True)
for epoch in range(log.done + 1, epochs + 1):
    logits = np.random.default_rng(epoch).normal(size=(n, 3)).astype(np.float32)
    order = np.random.default_rng(-epoch % 1000).permutation(n)[rank::ranks]
    for rows in np.array_split(order, 6):
        log.update(rows, logits[rows])
        time.sleep(pause)
    log.end_epoch()
    print(epoch, flush=True)
log.close()
"""


def started(*arguments: Any, prelude: str = "") -> subprocess.Popen[str]:
    command = [sys.executable, "-c", prelude + LOOP, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def ended_well(*processes: subprocess.Popen[str]) -> None:
    for process in processes:
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors


@pytest.mark.slow
def test_twenty_kills_at_random_moments_lose_no_finished_epoch() -> None:
    ended_well(started("never killed", 300, 0, 1, 0))
    rng, reached = np.random.default_rng(0), 0
    for _ in range(20):
        process = started("killed", 300, 0, 1, 0.001)
        assert process.stdout and process.stdout.readline() == "joined\n"
        time.sleep(rng.uniform(0, 0.5))
        process.kill()
        told = process.communicate()[0].split()
        run = Store().run("log:killed")
        assert isinstance(run, LoggedRun) and not run.live
        assert run.progress.epoch >= max([reached, *map(int, told)])
        reached = run.progress.epoch
        if reached >= 2:
            maps = run.datamaps()
            assert maps is not None and len(maps) == len(run.progress.maps)
            assert run.summary.epochs.tolist() == list(run.progress.maps)
    assert 2 <= reached < 300, "the moments should lie within the training"
    ended_well(started("killed", 300, 0, 1, 0))
    one, other = Store().run("log:never-killed"), Store().run("log:killed")
    np.testing.assert_array_equal(one.datamaps(), other.datamaps())
    assert not list(other.folder.glob(".*.part"))


def test_two_processes_together_equal_one() -> None:
    ended_well(started("one", 5, 0, 1, 0))
    for anew in ((), ("anew",)):
        ended_well(started("two", 5, 0, 2, 0, *anew), started("two", 5, 1, 2, 0, *anew))
        one, two = Store().run("log:one"), Store().run("log:two")
        assert isinstance(two, LoggedRun)
        assert two.progress.finished and two.progress.rows == (600,) * 5
        np.testing.assert_array_equal(one.datamaps(), two.datamaps())
        assert not list(two.folder.glob("parts/*"))


def test_a_process_that_died_is_told() -> None:
    survivor, other = started("dead", 40, 0, 2, 0.03), started("dead", 40, 1, 2, 0.03)
    try:
        assert other.stdout and survivor.stdout
        while other.stdout.readline() not in ("3\n", ""):
            pass
        other.kill()
        other.communicate()
        while int(line := (survivor.stdout.readline().strip() or "0").replace("joined", "1")) < 9:
            assert line != "0"
        run = Store().run("log:dead")
        assert isinstance(run, LoggedRun)
        assert run.live and run.dead_ranks == [1]
        assert any("Rank 1 of 2 no longer logs" in note for note in run.progress.notes)
        assert run.progress.epoch >= 3 and list(run.folder.glob("parts/*.rank-0.npz"))
        while int(survivor.stdout.readline().strip() or "99") < run.progress.epoch + 12:
            pass
        notes = Store().run("log:dead").progress.notes  # type: ignore[attr-defined]
        assert any("no longer kept: start all processes again" in note for note in notes)
        assert not list(run.folder.glob("parts/*.rank-0.npz"))  # the disk does not fill up
    finally:
        survivor.kill()
        survivor.communicate()


def test_another_process_under_the_name_is_refused() -> None:
    process = started("taken", 200, 0, 1, 0.05)
    try:
        assert process.stdout and process.stdout.readline()
        with pytest.raises(UserError, match="Another process is logging"):
            TaskLog("taken", NAMES, labels_of())
    finally:
        process.kill()
        process.communicate()


def test_arrays_are_logged_without_torch() -> None:
    prelude = "import sys; sys.modules['torch'] = None\n"
    ended_well(started("no torch", 3, 0, 1, 0, prelude=prelude))
    assert Store().run("log:no-torch").has_data_maps


def test_a_head_is_json_that_others_can_read() -> None:
    log = TaskLog("json", NAMES, labels_of())
    plain = json.loads((run_folder(log) / "log.json").read_bytes())
    assert plain["name"] == "json" and plain["n_points"] == N


def run_folder(log: TaskLog) -> Path:
    return Path(os.environ["STG_HOME"], "logs", log.run_id.removeprefix("log:"))


def test_names_that_stand_there_twice_are_refused() -> None:
    with pytest.raises(UserError, match=r"must differ, and a stands there twice"):
        TaskLog("twice", ["a", "a"], np.zeros((4, 2)))


def test_weights_that_begin_at_zero_give_logits() -> None:
    log = TaskLog("zeros", ["a", "b"], np.eye(2))
    log.epoch(np.zeros((2, 2)))
    log.epoch(np.array([[2.0, -1.0], [-3.0, 0.5]]))
    assert "all of the first are 0" in log.notes[0]
    assert log.done == 2


def test_a_rank_that_is_no_number_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "two")
    with pytest.raises(UserError, match="WORLD_SIZE"):
        TaskLog("ranks", ["a"], np.zeros((4, 1)))


def test_several_processes_without_a_rank_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RANK", raising=False)
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UserError, match=r"2 processes train, and RANK .* torchrun"):
        TaskLog("ranks", ["a"], np.zeros((4, 1)))
    with pytest.raises(UserError, match="torchrun"):
        TaskLog("ranks", ["a"], np.zeros((4, 1)), ranks=3)
    assert TaskLog("ranks", ["a"], np.zeros((4, 1)), rank=1).ranks == 2
