"""One line for a notebook: what `stg_core.group` finds, shows, refuses, and keeps."""

from __future__ import annotations

import os
import subprocess
import sys
import webbrowser
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import altair as alt
import numpy as np
import pandas as pd
import psutil
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, softmax

from app.charts.base import LIGHT
from stg_core.grouping.choosing import choose, stability
from stg_core.grouping.memberships import TaskSpace, group_tasks
from stg_core.grouping.one_call import group
from stg_core.grouping.pictures import COLOURS
from stg_core.grouping.result import GroupingResult
from stg_core.maps.log import TaskLog
from stg_core.results.store import Store
from stg_core.system.errors import UserError
from stg_core.tasks.data import TaskData
from stg_core.tasks.groups import GROUPS
from stg_core.training import loop
from stg_core.training.spec import TrainingSpec

ROOT = Path(__file__).resolve().parents[2]
SPEEDS = (3.0, 2.6, 1.2, 1.0, 0.1, 0.05)  # of six tasks, in three pairs that are learned alike
NAMES = ("cat", "dog", "ship", "plane", "coin", "die")
PAIRS = {frozenset({"cat", "dog"}), frozenset({"ship", "plane"}), frozenset({"coin", "die"})}


def learned(
    seed: int = 0, n_points: int = 200, n_epochs: int = 6, speeds: Sequence[float] = SPEEDS
) -> tuple[np.ndarray, np.ndarray]:
    """Logits (E, N, T) and labels (N, T): tasks of which some are learned sooner than others."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, (n_points, len(speeds))).astype(np.float32)
    rise = np.sqrt(np.arange(1, n_epochs + 1))[:, None, None] * np.array(speeds)
    noise = rng.normal(0, 0.6, (n_epochs, n_points, len(speeds)))
    return (rise * (2 * labels - 1) + noise).astype(np.float32), labels


def shares(result: GroupingResult) -> np.ndarray:
    return result.grouping.memberships


def as_sets(result: GroupingResult) -> set[frozenset[str]]:
    return {frozenset(members) for members in result.clusters}


@pytest.fixture(scope="module")
def result() -> GroupingResult:
    return group(*learned(), tasks=NAMES, k=3)


# ------------------------------------------------------------------------------------ what it finds


def test_a_training_of_our_own_is_grouped_as_the_app_groups_it(
    digits_data: TaskData, monkeypatch: pytest.MonkeyPatch
) -> None:
    record, kept = loop._Run.record, []

    def watched(run: loop._Run) -> None:
        kept.append(run.outputs.numpy().copy())
        record(run)

    monkeypatch.setattr(loop._Run, "record", watched)
    spec = TrainingSpec(GROUPS["digits"], epochs=3)
    trained = loop.train(spec, digits_data)
    assert trained.summary is not None
    expected = group_tasks(TaskSpace(trained.summary), 3)
    found = group(kept, digits_data.train_labels, tasks=spec.tasks, k=3)
    np.testing.assert_array_equal(found.labels, expected.labels)
    np.testing.assert_allclose(shares(found), expected.memberships, atol=1e-5)
    for name, value in expected.quality.items():
        assert found.quality[name] == pytest.approx(value, rel=1e-4)


def test_tasks_that_are_learned_alike_share_a_cluster(result: GroupingResult) -> None:
    assert as_sets(result) == PAIRS
    table = result.memberships
    assert list(table.index) == list(NAMES) and list(table.columns) == [
        *("cluster 1", "cluster 2", "cluster 3")
    ]
    np.testing.assert_allclose(table.sum(axis=1), 1)
    assert list(table.columns[result.labels]) == list(table.idxmax(axis=1))
    assert result.quality["silhouette"] == pytest.approx(
        group_tasks(result.space, 3).quality["silhouette"]
    )


def test_the_number_of_clusters_is_suggested_where_none_is_given() -> None:
    found = group(*learned(), tasks=NAMES)
    choice = choose(found.space, stability(found.space))
    assert (found.k, found.why_k) == (choice.suggested, choice.why) and found.why_k in str(found)
    assert frozenset({"coin", "die"}) in as_sets(found)
    assert found.regroup(fuzzifier=1.5).why_k == found.why_k
    assert not found.regroup(k=5).why_k


def test_epochs_are_recorded_as_in_a_training_unless_told() -> None:
    logits, labels = learned(n_epochs=12)
    usual = group(logits, labels, k=3)
    assert usual.summary.epochs.tolist() == [2, 5, 7, 10, 12]
    told = group(logits, labels, k=3, recorded=[12, 3])
    assert told.summary.epochs.tolist() == [3, 12]
    assert "epochs 3, 12 of 12" in told.notes[-1]


def test_grouping_again_is_grouping_the_same_outputs_anew(result: GroupingResult) -> None:
    again = result.regroup(k=2, fuzzifier=1.4, method="fcm")
    anew = group(*learned(), tasks=NAMES, k=2, fuzzifier=1.4, method="fcm")
    np.testing.assert_array_equal(shares(again), shares(anew))
    assert again.regroup(k=3).grouping.fuzzifier == 1.4
    assert again.regroup(k=3).grouping.method == "fcm"


class Foreign:
    """An array of a library that NumPy does not know, as JAX has them."""

    def __init__(self, values: np.ndarray) -> None:
        self.values, self.shape = values, values.shape

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self.values

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, place: Any) -> Foreign:
        return Foreign(self.values[place])


def forms() -> dict[str, Any]:
    logits, _ = learned()
    tensor = torch.from_numpy(logits)
    return {
        "float64": logits.astype(np.float64),
        "half": logits.astype(np.float16),
        "nested lists": logits.tolist(),
        "a list of epochs": list(logits),
        "data frames": [pd.DataFrame(epoch) for epoch in logits],
        "tensor with a gradient": tensor.clone().requires_grad_(),
        "bfloat16": tensor.bfloat16(),
        "tensors of epochs": list(tensor),
        "another library's array": Foreign(logits),
        "heads": list(np.moveaxis(logits, 2, 0)),
        "heads of one column": [logits[:, :, t : t + 1] for t in range(6)],
        "heads of each epoch": [list(epoch.T) for epoch in logits],
        "probabilities": expit(logits),
        "read-only": np.broadcast_to(logits, logits.shape),
    }


@pytest.mark.parametrize("form", forms())
def test_outputs_may_come_in_any_form(form: str, result: GroupingResult) -> None:
    found = group(forms()[form], learned()[1], NAMES, 3)
    np.testing.assert_allclose(shares(found), shares(result), atol=5e-3)


def test_a_data_frame_of_labels_names_the_tasks(result: GroupingResult) -> None:
    logits, labels = learned()
    found = group(logits, pd.DataFrame(labels, columns=list(NAMES)), k=3)
    assert found.tasks == NAMES
    assert group(logits, labels, k=3).tasks[0] == "task 1"


def all_kinds() -> tuple[list[np.ndarray], np.ndarray]:
    """Heads and labels of an easy and a hard question, easy classes, and a hard number."""
    rng = np.random.default_rng(0)
    logits, labels = learned(speeds=(3.0, 0.1))
    kind, number = rng.integers(0, 4, 200), rng.normal(20, 5, 200)
    steps = np.sqrt(np.arange(1, 7))[:, None, None]
    classes = 3 * steps * np.eye(4)[kind] + rng.normal(0, 0.6, (6, 200, 4))
    predicted = number + rng.normal(0, 30, (6, 200))
    heads = [logits[:, :, 0], logits[:, :, 1], classes, predicted]
    return heads, np.column_stack([labels, kind, number])


KINDS = ["easy", "hard", "easy class", "hard number"]


def test_tasks_of_all_kinds_are_grouped_together() -> None:
    heads, labels = all_kinds()
    found = group(heads, labels, KINDS, k=2)
    assert as_sets(found) == {
        frozenset({"easy", "easy class"}),
        frozenset({"hard", "hard number"}),
    }
    assert any("easy class for classes; the labels of hard number" in n for n in found.notes)
    columns = [head if head.ndim == 3 else head[:, :, None] for head in heads]
    side_by_side = group(np.concatenate(columns, axis=2), labels, KINDS, k=2)
    np.testing.assert_array_equal(shares(side_by_side), shares(found))
    of_each_epoch = [[head[epoch] for head in heads] for epoch in range(6)]
    np.testing.assert_array_equal(shares(group(of_each_epoch, labels, KINDS, k=2)), shares(found))
    likely = [*map(expit, heads[:2]), softmax(heads[2], axis=2), heads[3]]
    np.testing.assert_allclose(shares(group(likely, labels, KINDS, k=2)), shares(found), atol=1e-3)


def test_what_is_kept_as_a_log_is_grouped_the_same() -> None:
    heads, labels = all_kinds()
    labels[:20, 2] = labels[30:60, 0] = np.nan
    for head in heads:
        head[3, 100:120] = np.nan
    found = group(heads, labels, KINDS, k=2)
    run = Store().run(found._keep("all kinds"))
    space = TaskSpace(run.summary, found.space.epochs)
    np.testing.assert_array_equal(group_tasks(space, 2).memberships, shares(found))
    assert [task.kind for task in run.spec.group.tasks] == [t.kind for t in found.outputs.tasks]


def test_a_class_without_a_training_point_is_one_that_a_head_has_room_for() -> None:
    logits, labels = learned(speeds=(3.0, 0.1, 1.0))
    rng = np.random.default_rng(1)
    labels[:, 2] = rng.integers(0, 3, 200)
    head = np.eye(5)[labels[:, 2].astype(int)] * 2 + rng.normal(0, 0.6, (6, 200, 5))
    outputs = np.concatenate([logits[:, :, :2], head], axis=2)
    found = group(outputs, labels, k=2, kinds={"task 3": "multiclass"})
    assert [task.width for task in found.outputs.tasks] == [1, 1, 5]


def test_what_is_missing_counts_for_nothing() -> None:
    logits, labels = learned(n_points=400)
    rng = np.random.default_rng(0)
    labels[rng.random(labels.shape) < 0.2] = np.nan
    logits[:, np.isnan(labels)] = np.nan  # whatever stands there
    logits[2, :30] = np.nan
    found = group(logits, labels, tasks=NAMES, k=3)
    assert as_sets(found) == PAIRS
    assert any("30 of 400 in an epoch" in note for note in found.notes)


def test_a_task_without_labels_is_left_out_by_name() -> None:
    logits, labels = learned()
    labels[:, 1] = np.nan
    found = group(logits, labels, tasks=NAMES, k=3)
    assert "dog" not in found.tasks and len(found.memberships) == 5
    assert any(remark.startswith("Left out") and "dog" in remark for remark in found.remarks)


# ------------------------------------------------------------------------- what makes no difference


@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1), st.integers(2, 4))
def test_the_order_of_points_and_of_tasks_makes_no_difference(seed: int, k: int) -> None:
    logits, labels = learned(n_points=60, n_epochs=4)
    usual = group(logits, labels, NAMES, k)
    rng = np.random.default_rng(seed)
    points, tasks = rng.permutation(60), rng.permutation(6)
    other = group(
        logits[:, points][:, :, tasks], labels[points][:, tasks], [NAMES[t] for t in tasks], k
    )
    np.testing.assert_allclose(shares(other), shares(usual)[tasks], atol=1e-6)


@settings(max_examples=25)
@given(
    st.lists(
        st.text("abcαβ,() ", min_size=1).filter(str.strip), min_size=6, max_size=6, unique=True
    )
)
def test_other_names_only_rename(names: list[str]) -> None:
    logits, labels = learned(n_points=60, n_epochs=3)
    usual, renamed = (group(logits, labels, chosen, 3) for chosen in (NAMES, names))
    np.testing.assert_array_equal(shares(usual), shares(renamed))
    assert list(renamed.memberships.index) == names


@settings(max_examples=25)
@given(st.integers(0, 1_000), st.integers(2, 4))
def test_points_that_are_there_twice_make_no_difference(seed: int, times: int) -> None:
    logits, labels = learned(seed, n_points=60, n_epochs=4)
    usual = group(logits, labels, NAMES, 3)
    twice = group(np.tile(logits, (1, times, 1)), np.tile(labels, (times, 1)), NAMES, 3)
    np.testing.assert_allclose(shares(twice), shares(usual), atol=1e-6)


@settings(max_examples=25)
@given(st.integers(0, 1_000), st.integers(0, 5))
def test_the_opposite_question_is_the_same_task(seed: int, asked: int) -> None:
    logits, labels = learned(seed, n_points=60, n_epochs=4)
    more = np.append(logits, -logits[:, :, [asked]], axis=2)
    found = group(more, np.append(labels, 1 - labels[:, [asked]], axis=1), k=3)
    np.testing.assert_allclose(shares(found)[asked], shares(found)[-1], atol=1e-6)


# ---------------------------------------------------------------------------------- what it refuses


def refused(*arguments: Any, **options: Any) -> str:
    with pytest.raises(UserError) as error:
        group(*arguments, **options)
    return str(error.value)


def test_outputs_that_lie_another_way_are_told_how_to_turn() -> None:
    logits, labels = learned(n_epochs=4)
    assert "np.swapaxes(outputs, 0, 1)" in refused(np.swapaxes(logits, 0, 1), labels, k=2)
    assert "np.swapaxes(outputs, 1, 2)" in refused(np.swapaxes(logits, 1, 2), labels, k=2)
    assert "np.moveaxis(outputs, 0, 2)" in refused(np.moveaxis(logits, 2, 0), labels, k=2)
    assert "labels.T" in refused(logits, labels.T, k=2)
    assert "(4, 199, 6)" in refused(logits[:, :199], labels, k=2)
    for turned in (np.swapaxes(logits, 0, 1), np.swapaxes(logits, 1, 2)):
        assert "turn them" in refused(list(turned), labels, k=2)


def test_one_epoch_has_no_variability() -> None:
    logits, labels = learned()
    for one in (logits[:1], logits[0], [logits[0]], logits[:0]):
        assert "variability" in refused(one, labels, k=2)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda y: np.where(y == 0, -1, y), "put NaN there"),
        (lambda y: np.where(y == 0, 0.1, 0.9), "smoothed"),
        (lambda y: np.full_like(y, np.nan), "Only 0 of 6 tasks have labels"),
        (lambda y: y[:, :1], "(B, 1)"),
        (lambda y: np.where(y == 0, "no", "yes"), "cannot be read as numbers"),
        (lambda y: y[:150], "(150, 6)"),
    ],
)
def test_labels_that_mean_something_else_are_asked_about(change: Any, told: str) -> None:
    logits, labels = learned()
    assert told in refused(logits, change(labels), k=2)


def test_labels_are_of_the_kind_that_is_said() -> None:
    logits, labels = learned()
    labels[3, 2] = 4
    assert "“ship”" in refused(logits, labels, NAMES, 2, kinds="binary")
    assert "There is no task" in refused(logits, labels, NAMES, 2, kinds={"boat": "binary"})


def test_names_are_as_many_as_tasks_and_differ() -> None:
    logits, labels = learned()
    assert "5 names" in refused(logits, labels, tasks=NAMES[:5], k=2)
    assert "must differ" in refused(logits, labels, tasks=["a", "a", *NAMES[2:]], k=2)


def test_probabilities_that_cannot_be_are_refused() -> None:
    logits, labels = learned()
    likely = expit(logits)
    assert "Divide percentages by 100" in refused(100 * likely, labels, k=2)
    likely[4, 17, 2] = 1.2
    told = refused(likely, labels, k=2)
    assert "epoch 5" in told and "point 17" in told and "1.2" in told
    assert "epoch 1" in refused(logits, labels, k=2, outputs="probabilities")
    assert 'not "chances"' in refused(logits, labels, k=2, outputs="chances").replace("'", '"')


def test_probabilities_of_classes_sum_to_one() -> None:
    logits, labels = learned(speeds=(3.0, 0.1))
    labels[:, 1] = np.arange(200) % 3
    heads = [expit(logits[:, :, 0]), np.random.default_rng(0).random((6, 200, 3))]
    assert "sum" in refused(heads, labels, k=2)
    assert "“task 2”" in refused(heads, labels, k=2, outputs="probabilities")


def test_outputs_that_are_no_numbers_are_named() -> None:
    logits, labels = learned()
    one = logits.copy()
    one[4, 17, 2] = np.nan
    told = refused(one, labels, NAMES, 2)
    assert "epoch 5" in told and "point 17" in told and "“ship”" in told
    logits[3:] = np.nan
    assert "All outputs of epoch 4 are NaN" in refused(logits, labels, k=2)


def test_choices_that_cannot_be_are_refused_before_anything_is_computed() -> None:
    logits, labels = learned()
    assert "6 tasks can form 1 to 6 clusters, not 7" in refused(logits, labels, k=7)
    assert "not 0" in refused(logits, labels, k=0)
    assert "whole number" in refused(logits, labels, k=2.5)
    assert "fuzzifier" in refused(logits, labels, k=2, fuzzifier=1)
    assert "no method" in refused(logits, labels, k=2, method="best")
    for recorded in ([1, 3], [7], []):
        assert "between 2 and the last (6)" in refused(logits, labels, k=2, recorded=recorded)


def test_a_single_task_is_told_how_its_classes_can_be_grouped() -> None:
    labels = np.arange(200) % 5
    told = refused(np.random.default_rng(0).normal(size=(4, 200, 5)), labels, k=2)
    assert "np.eye(n_classes)[labels]" in told


def test_tasks_that_nothing_tells_apart_have_no_suggested_number() -> None:
    same = learned(speeds=(1.0,))
    logits, labels = np.tile(same[0], (1, 1, 4)), np.tile(same[1], (1, 4))
    assert "Say how many clusters" in refused(logits, labels)
    found = group(logits, labels, k=2)
    assert found.grouping.problem and found.grouping.problem in str(found)


# ----------------------------------------------------------------------------------- what it shows


def test_a_notebook_shows_the_clusters_and_what_is_to_be_known() -> None:
    logits, labels = learned()
    names = ["<script>alert(1)</script>", *NAMES[1:]]
    labels[12:, 5] = np.nan
    found = group(logits, labels, names, 3)
    html = found._repr_html_()
    assert "<script>" not in html and "&lt;script&gt;" in html
    for remark in found.remarks:
        assert remark in str(found)
    assert "die ?" in str(found) and "die ?" in html and "silhouette" in html
    assert "6 tasks in 3 clusters" in repr(found) and "\n" not in repr(found)


def test_a_long_cluster_is_listed_in_part() -> None:
    logits, labels = learned(n_points=80, speeds=np.linspace(0.1, 3, 60).tolist())
    html = group(logits, labels, k=2)._repr_html_()
    assert " more</td>" in html and html.count("task ") < 60


def test_the_plot_is_a_heatmap_of_the_shares(result: GroupingResult, tmp_path: Path) -> None:
    chart = result.plot().to_dict()
    cells = (
        next(iter(chart["datasets"].values())) if "datasets" in chart else chart["data"]["values"]
    )
    drawn = {(cell["task"], cell["cluster"]): cell["share"] for cell in cells}
    assert len(drawn) == 18
    for task, row in result.memberships.iterrows():
        assert [drawn[task, j + 1] for j in range(3)] == pytest.approx(row.tolist(), abs=1e-4)
    for form in ("html", "svg", "png"):
        result.plot().save(tmp_path / f"plot.{form}")
        assert (tmp_path / f"plot.{form}").stat().st_size > 1_000
    assert "cat" in (tmp_path / "plot.svg").read_text()


def test_many_tasks_can_be_drawn() -> None:
    logits, labels = learned(n_points=30, n_epochs=2, speeds=np.linspace(0.1, 3, 900).tolist())
    chart = group(logits, labels, k=6).plot()
    assert isinstance(chart, alt.LayerChart) and chart.to_dict()


def test_colours_are_those_of_the_app() -> None:
    assert COLOURS == LIGHT


def test_a_data_map_shows_the_points_of_a_task(result: GroupingResult, tmp_path: Path) -> None:
    chart = result.data_map("cat", epoch=4).to_dict()
    cells = (
        next(iter(chart["datasets"].values())) if "datasets" in chart else chart["data"]["values"]
    )
    assert sum(cell["points"] for cell in cells) == 200
    result.data_map("cat").save(tmp_path / "map.svg")
    assert "Data map of cat after epoch 6" in (tmp_path / "map.svg").read_text()
    with pytest.raises(UserError, match="There is no task"):
        result.data_map("tiger")
    with pytest.raises(UserError, match="2, 4, 5, 6"):
        result.data_map("cat", epoch=3)


# ------------------------------------------------------------------------- what it needs and leaves


def test_neither_torch_nor_streamlit_nor_a_store_is_needed(own_home: Path) -> None:
    program = """
import sys
import numpy as np
import stg_core
rng = np.random.default_rng(0)
labels = rng.integers(0, 2, (50, 4))
logits = rng.normal(2 * labels - 1, 1, (5, 50, 4))
result = stg_core.group(logits, labels, k=2)
result.plot().to_dict(), result.memberships, str(result), result._repr_html_()
stg_core.group(logits, labels)
print(sorted({"torch", "torchvision", "streamlit", "distributed"} & set(sys.modules)))
"""
    answer = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert answer.stdout.splitlines()[-1] == "[]"
    assert not own_home.exists()


def test_what_is_opened_is_a_run_of_the_app(
    result: GroupingResult,
    own_home: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", opened.append)
    address = result.open("my tasks")
    printed = capsys.readouterr().out
    process = psutil.Process(int(printed.split("process ")[1].split(",")[0]))
    try:
        assert opened == [address] and address in printed
        assert "run=log%3Amy-tasks&k=3" in address
        run = Store().run("log:my-tasks")
        assert run.summary.tasks.tolist() == list(NAMES)
        space = TaskSpace(run.summary, result.space.epochs)
        np.testing.assert_array_equal(group_tasks(space, 3).memberships, shares(result))
        assert result.regroup(k=2).open("my tasks", browser=False).startswith(address.split("?")[0])
        assert str(process.pid) in capsys.readouterr().out, "another app was started"
    finally:
        process.terminate()
        process.wait(20)


def test_no_log_of_a_training_is_replaced(result: GroupingResult) -> None:
    with TaskLog("mine", labels=learned()[1]) as log:
        log.epoch(learned()[0][0])
    for name in ("mine", " mine  "):
        with pytest.raises(UserError, match="another name"):
            result._keep(name)
    assert result._keep("other") == "log:other" == result._keep("other")


def test_who_has_the_library_only_is_told(
    result: GroupingResult, own_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stg_core.system.app_process.ENTRY", Path("app", "nowhere.py"))
    with pytest.raises(UserError, match="Only the library is installed"):
        result.open()
    assert not own_home.exists()


def test_an_app_that_does_not_start_says_where_to_look(
    result: GroupingResult, monkeypatch: pytest.MonkeyPatch, own_home: Path
) -> None:
    monkeypatch.setattr("sys.executable", os.devnull if os.name == "nt" else "/bin/false")
    with pytest.raises(UserError, match=r"app\.log"):
        result.open()
