"""Grouping tasks of which labels are missing: they keep their place, or are said to have none."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from stg_core.cli.main import main
from stg_core.grouping.choosing import choose, stability
from stg_core.grouping.memberships import METHODS, TaskSpace, group_tasks
from stg_core.judging.plan import make_plan
from stg_core.maps.summary import DataMapSummary, summarise
from stg_core.results.run import Run
from stg_core.results.store import Store
from stg_core.system.errors import UserError
from stg_core.training.loop import TrainingResult
from tests.benchmarks.missing import filled_with_means, memberships_in, without
from tests.conftest import realistic_maps

EPOCHS = (2, 3)
PATTERNS = 3

Maps = tuple[np.ndarray, np.ndarray]


def named(maps: np.ndarray, labels: np.ndarray) -> DataMapSummary:
    return summarise(maps, labels, [f"task {t}" for t in range(labels.shape[1])], EPOCHS)


def planted(copies: int, points: int = 600) -> tuple[np.ndarray, np.ndarray]:
    """Noisy copies of three patterns of data maps: task t follows pattern t mod 3."""
    rng = np.random.default_rng(0)
    patterns = rng.uniform(0.3, 0.7, (2, 2, PATTERNS, points))
    maps = np.tile(patterns, (1, 1, copies, 1))
    maps += rng.normal(0, 0.1, maps.shape)
    labels = rng.integers(0, 2, (points, PATTERNS * copies)).astype(np.float32)
    return maps.astype(np.float16), labels


def apart(n_tasks: int) -> DataMapSummary:
    """Tasks of which each has all the labels of its own points, and none of the others'."""
    maps, labels = realistic_maps(n_tasks, 60 * n_tasks, EPOCHS)
    labels[::3] = 1
    others = np.arange(60 * n_tasks)[:, None] % n_tasks != np.arange(n_tasks)
    return named(*without(maps, labels, others))


@pytest.fixture(scope="module")
def digits(digits_result: TrainingResult) -> Maps:
    assert digits_result.datamaps is not None
    return np.array(digits_result.datamaps), digits_result.train_labels.astype(np.float32)


def movements(digits: Maps, missing: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How far each task's memberships move in the same clusters, (T,), the way before and now."""
    maps, labels = digits
    truth = group_tasks(TaskSpace(of_digits(maps, labels)), 4)
    hidden, known = without(maps, labels, missing)
    old, new = (
        np.abs(memberships_in(truth.labels, of_digits(one, known)) - truth.memberships).mean(axis=1)
        for one in (filled_with_means(hidden), hidden)
    )
    return old, new


def of_digits(maps: np.ndarray, labels: np.ndarray) -> DataMapSummary:
    return summarise(maps, labels, [str(t) for t in range(15)], (2, 3, 4))


# ------------------------------------------------------------------------------ a place that stays


@pytest.mark.parametrize(("kept", "most"), [(0.5, 0.01), (0.25, 0.02), (0.1, 0.03)])
def test_a_task_thinned_to_some_of_its_labels_keeps_its_memberships(
    digits: Maps, kept: float, most: float
) -> None:
    """Before, it took the mean of the others for what it lacks, and so moved to their middle."""
    before, now = [], []
    for t in range(15):
        missing = np.zeros(digits[1].shape, dtype=bool)
        missing[:, t] = np.random.default_rng(t).random(len(missing)) >= kept
        old, new = movements(digits, missing)
        before.append(old[t])
        now.append(new[t])
    assert np.mean(now) < 0.5 * np.mean(before)
    assert np.mean(now) < most


@pytest.mark.parametrize(("share", "most"), [(0.1, 0.8), (0.4, 0.8), (0.6, 0.8), (0.8, 1)])
def test_labels_missing_at_random_move_memberships_less_than_means_did(
    digits: Maps, share: float, most: float
) -> None:
    """most: of the movement before; of 80 % missing two tasks share 57 points."""
    found = [
        movements(digits, np.random.default_rng(seed).random(digits[1].shape) < share)
        for seed in range(6)
    ]
    before, now = np.mean(found, axis=(0, 2))
    assert now < most * before


def test_a_few_labels_do_not_make_a_task_the_surest_member() -> None:
    """Of a group of twelve, the one with a tenth of the labels."""
    maps, labels = planted(4, points=2_000)
    missing = np.zeros(labels.shape, dtype=bool)
    missing[:, 4] = np.arange(2_000) % 10 > 0
    whole = group_tasks(TaskSpace(named(maps, labels)), PATTERNS).memberships
    sparse = named(*without(maps, labels, missing))
    thinned = group_tasks(TaskSpace(sparse), PATTERNS).memberships
    assert thinned[4].max() == pytest.approx(whole[4].max(), abs=0.05)


@pytest.mark.parametrize("share", [0.3, 0.6])
def test_which_k_is_found_beside_missing_labels(share: float) -> None:
    maps, labels = planted(4)
    missing = np.random.default_rng(1).random(labels.shape) < share
    space = TaskSpace(named(*without(maps, labels, missing)))
    np.testing.assert_allclose(space.block_gram().sum(axis=0), space.gram, rtol=1e-5)
    choice = choose(space, stability(space))
    assert choice.suggested == PATTERNS
    assert choice.measures["stability"][PATTERNS - 2] == pytest.approx(1)


# ------------------------------------------------------------------------------- without any label


def one_without_labels() -> tuple[DataMapSummary, DataMapSummary]:
    """Eight tasks of which the third has no label, and the other seven alone."""
    maps, labels = realistic_maps(8, 400, EPOCHS)
    missing = np.zeros(labels.shape, dtype=bool)
    missing[:, 2] = True
    hidden, known = without(maps, labels, missing)
    others = [t for t in range(8) if t != 2]
    names = [f"task {t}" for t in others]
    return named(hidden, known), summarise(maps[:, :, others], labels[:, others], names, EPOCHS)


@pytest.mark.parametrize("method", METHODS)
def test_a_task_without_any_label_is_left_out_and_named(method: str) -> None:
    summary, others = one_without_labels()
    space = TaskSpace(summary)
    grouping = group_tasks(space, 3, method=method)
    assert grouping.left_out == ("task 2",) and "task 2" not in grouping.tasks
    assert grouping.few_labels == "Left out, having no training label: task 2."
    expected = group_tasks(TaskSpace(others), 3, method=method)
    assert grouping.tasks == expected.tasks
    np.testing.assert_allclose(grouping.memberships, expected.memberships, atol=1e-6)
    found = stability(space)
    assert found.mean == pytest.approx(stability(TaskSpace(others)).mean, abs=0.02)


def test_tasks_that_all_lack_labels_cannot_be_grouped() -> None:
    maps, labels = realistic_maps(3, 50, EPOCHS)
    summary = named(*without(maps, labels, np.ones(labels.shape, dtype=bool)))
    with pytest.raises(UserError, match="No task has a training label"):
        TaskSpace(summary)


def test_nothing_is_planned_for_a_task_without_labels(digits_result: TrainingResult) -> None:
    maps, labels = realistic_maps(15, 300, EPOCHS)
    missing = np.zeros(labels.shape, dtype=bool)
    missing[:, 0] = True
    hidden, known = without(maps, labels, missing)
    space = TaskSpace(summarise(hidden, known, digits_result.spec.tasks, EPOCHS))
    with pytest.raises(UserError, match="has a label for 0: nothing can be trained"):
        make_plan(digits_result.spec, group_tasks(space, 3), space)


# -------------------------------------------------------------------------------- no common points


@pytest.mark.parametrize("method", METHODS)
def test_ten_tasks_that_share_no_points_cannot_be_told_by_data_maps(method: str) -> None:
    space = TaskSpace(apart(10))
    for k in (2, 5, 10):
        assert group_tasks(space, k, method=method).problem.startswith("Data maps cannot tell")
    choice = choose(space, stability(space), method=method)
    assert choice.suggested is None and "Data maps cannot tell" in choice.why


def test_a_few_common_points_are_told_to_be_few() -> None:
    """One point for all of them is no nothing."""
    maps, labels = realistic_maps(4, 400, EPOCHS)
    labels[::3] = 1
    others = np.arange(400)[:, None] % 4 != np.arange(4)
    others[:2] = False
    grouping = group_tasks(TaskSpace(named(*without(maps, labels, others))), 2)
    assert grouping.problem == ""
    assert len(grouping.uncertain) == 4
    reasons = {*grouping.uncertain.values()}
    assert reasons == {"less than 1 % of labelled points in common with the others"}


# --------------------------------------------------------------------------------------- the words


@pytest.fixture
def sparse_run(digits: Maps, digits_result: TrainingResult, own_home: Path) -> Run:
    """Of its tasks the first has few labels, the second few positives and the third none."""
    maps, labels = digits
    missing = np.zeros(labels.shape, dtype=bool)
    missing[:, 0] = np.arange(len(labels)) % 8 > 0
    missing[:, 1] = (labels[:, 1] == 1) & (labels[:, 1].cumsum() > 7)
    missing[:, 2] = True
    hidden, known = without(maps, labels, missing)
    spec = digits_result.spec
    summary = summarise(hidden, known, spec.tasks, spec.recorded)
    return Store().save(replace(digits_result, summary=summary))


def test_the_commands_mark_tasks_whose_place_is_uncertain(
    sparse_run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    words = f"group {sparse_run.id} --k 3"
    assert main([*words.split()]) == 0
    lines = capsys.readouterr().out.splitlines()
    shown = {line.split("  ")[0].strip() for line in lines}
    assert {"0 ?", "1 ?", "3"} <= shown and not {"0", "1", "2", "2 ?", "3 ?"} & shown
    assert lines[-1] == (
        "Marked ?, since few labels make their place uncertain: 0 (13 % of labelled points in"
        " common with the others, 18 positives), 1 (7 positives). Left out, having no training"
        " label: 2."
    )
    assert main([*words.split(), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert answer["uncertain"] == {
        "0": "13 % of labelled points in common with the others, 18 positives",
        "1": "7 positives",
    }
    assert answer["not_grouped"] == ["2"] and "2" not in answer["tasks"]
    assert len(answer["memberships"]) == len(answer["tasks"]) == 14
    assert 0 <= answer["adjusted"] < 0.05
    assert answer["missing_share"][0] == pytest.approx(7 / 8, abs=1e-3)
    assert answer["overlap"][0][2] == pytest.approx(1 / 8, abs=1e-3)
    assert answer["prevalence"][2] == pytest.approx(0.1, abs=0.01) and answer["overlap"][2][2] == 1


def test_the_commands_say_nothing_where_nothing_is_uncertain(
    own_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for bundle in ("digits", "g1", "g2", "g3"):
        assert main(f"group bundled:{bundle} --k 2".split()) == 0
        text = capsys.readouterr().out
        assert "?" not in text and "uncertain" not in text and "Left out" not in text
        assert main(f"group bundled:{bundle} --k 2 --json".split()) == 0
        answer = json.loads(capsys.readouterr().out.splitlines()[-1])
        assert answer["uncertain"] == {} and answer["not_grouped"] == []
