"""Tasks of every kind, trained together: each against its formula in NumPy."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import datasets as sklearn_datasets
from sklearn import metrics as sklearn_metrics

from stg_core.grouping.memberships import TaskSpace, group_tasks
from stg_core.maps.recorder import DataMapRecorder, confidence
from stg_core.maps.summary import summarise
from stg_core.results.run import Run
from stg_core.results.store import Store
from stg_core.system.errors import UserError
from stg_core.tasks.data import TaskData, checked, load_task_data
from stg_core.tasks.datasets import DataSet, add
from stg_core.tasks.groups import GROUPS, Task, TaskGroup
from stg_core.training.heads import Heads
from stg_core.training.loop import TrainingResult, train
from stg_core.training.models import build
from stg_core.training.spec import TrainingSpec, default_model

CLASSES = Task("cultivar", (), "column", "multiclass", ("a", "b", "c"))
NUMBER = Task("alcohol", (), "column", "regression")
YES = Task("rich", (), "column")
TASKS = (CLASSES, NUMBER, YES)
RNG = np.random.default_rng(0)
N = 40
LABELS = np.column_stack([RNG.integers(0, 3, N), RNG.normal(13, 2, N), RNG.random(N) < 0.3]).astype(
    np.float32
)
LABELS[RNG.random(LABELS.shape) < 0.2] = np.nan
OUTPUTS = RNG.normal(size=(N, 5)).astype(np.float32)
CLASS, ALCOHOL, RICH = range(3)


@pytest.fixture
def heads() -> Heads:
    return Heads(TASKS, LABELS)


@pytest.fixture
def targets(heads: Heads) -> torch.Tensor:
    return torch.tensor(heads.scaled(LABELS))


def probabilities() -> np.ndarray:
    raised = np.exp(OUTPUTS[:, :3].astype(np.float64))
    return raised / raised.sum(axis=1, keepdims=True)


def known(task: int) -> np.ndarray:
    return np.flatnonzero(~np.isnan(LABELS[:, task]))


def scaled_numbers() -> np.ndarray:
    numbers = LABELS[known(ALCOHOL), ALCOHOL].astype(np.float64)
    return (numbers - numbers.mean()) / numbers.std()


def test_a_class_counts_by_its_share_so_that_all_classes_weigh_alike(
    heads: Heads, targets: torch.Tensor
) -> None:
    points = known(CLASS)
    true = LABELS[points, CLASS].astype(int)
    weights = len(true) / (3 * np.bincount(true, minlength=3))
    each = -np.log(probabilities()[points, true]) * weights[true]
    losses = heads.losses(torch.tensor(OUTPUTS), targets)
    assert losses[CLASS].item() == pytest.approx(each.mean(), rel=1e-5)


def test_a_number_costs_its_squared_error_in_standard_deviations(
    heads: Heads, targets: torch.Tensor
) -> None:
    error = OUTPUTS[known(ALCOHOL), 3] - scaled_numbers()
    losses = heads.losses(torch.tensor(OUTPUTS), targets)
    assert losses[ALCOHOL].item() == pytest.approx((error**2).mean(), rel=1e-5)


def test_a_yes_costs_what_it_cost_before(heads: Heads, targets: torch.Tensor) -> None:
    alone = Heads((YES,), LABELS[:, [RICH]])
    expected = alone.losses(torch.tensor(OUTPUTS[:, 4:]), targets[:, [RICH]])
    assert heads.losses(torch.tensor(OUTPUTS), targets)[RICH] == expected[0]


def test_confidence_is_the_probability_of_the_true_class_or_how_near_a_number_is(
    heads: Heads, targets: torch.Tensor
) -> None:
    found = heads.confidence(torch.tensor(OUTPUTS), targets).numpy()
    assert np.array_equal(np.isnan(found), np.isnan(LABELS))
    points = known(CLASS)
    expected = probabilities()[points, LABELS[points, CLASS].astype(int)]
    assert found[points, CLASS] == pytest.approx(expected, abs=1e-6)
    error = OUTPUTS[known(ALCOHOL), 3] - scaled_numbers()
    assert found[known(ALCOHOL), ALCOHOL] == pytest.approx(np.exp(-(error**2) / 2), abs=1e-6)
    points = known(RICH)
    said = 1 / (1 + np.exp(-OUTPUTS[points, 4]))
    expected = np.where(LABELS[points, RICH] == 1, said, 1 - said)
    assert found[points, RICH] == pytest.approx(expected, abs=1e-6)


def test_scores_are_scikit_learns(heads: Heads, targets: torch.Tensor) -> None:
    found = heads.scores(torch.tensor(OUTPUTS), targets)
    points = known(CLASS)
    true, said = LABELS[points, CLASS], OUTPUTS[points, :3].argmax(axis=1)
    for name, reference in {
        "f1": sklearn_metrics.f1_score(true, said, average="macro"),
        "accuracy": sklearn_metrics.accuracy_score(true, said),
        "balanced_accuracy": sklearn_metrics.balanced_accuracy_score(true, said),
    }.items():
        assert found[name][CLASS].item() == pytest.approx(reference)
        assert np.isnan(found[name][ALCOHOL].item())
    reference = sklearn_metrics.r2_score(scaled_numbers(), OUTPUTS[known(ALCOHOL), 3])
    assert found["r2"][ALCOHOL].item() == pytest.approx(reference, abs=1e-6)
    assert found["r2"].isnan().tolist() == [True, False, True]


@pytest.fixture(scope="module")
def wine(tmp_path_factory: pytest.TempPathFactory) -> DataSet:
    """scikit-learn's wine: its class, a number and a yes or no, some of them missing."""
    rows, cultivar = sklearn_datasets.load_wine(return_X_y=True)
    alcohol, rich = rows[:, 0].copy(), (rows[:, 12] > 700).astype(float)
    rich[::5] = np.nan
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STG_HOME", str(tmp_path_factory.mktemp("home")))
        return add("wine", rows[:, 1:12], {"cultivar": cultivar, "alcohol": alcohol, "rich": rich})


@pytest.fixture(scope="module")
def trained(wine: DataSet) -> TrainingResult:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STG_HOME", str(wine.folder.parents[1]))
        return train(TrainingSpec(wine.group, epochs=30))


def test_a_mixture_is_learned_and_grouped(wine: DataSet, trained: TrainingResult) -> None:
    assert trained.spec.model == "mlp"
    test = trained.metrics["test"]
    assert test["f1"][-1][0] > 0.9 and test["r2"][-1][1] > 0.2 and test["f1"][-1][2] > 0.8
    assert trained.test_logits.shape == (20, wine.counts["test"], 5)
    assert trained.summary is not None
    assert trained.summary.positives.tolist()[:2] == [-1, -1]
    grouping = group_tasks(TaskSpace(trained.summary), 2, 2.0, "soft")
    assert grouping.memberships.sum(axis=1) == pytest.approx(1)


def test_a_run_of_any_kinds_is_kept_and_read(trained: TrainingResult, tmp_path: Any) -> None:
    run: Run = Store(tmp_path).save(trained)
    assert run.score_name == "score" and run.mean_score is not None
    labels = run.labels("test")
    assert labels.dtype == np.float32
    numbers = labels[:, 1]
    assert np.nanmean(numbers) == pytest.approx(0, abs=0.5)  # scaled by the training labels
    assert Store(tmp_path).run(run.id).spec == trained.spec


def test_models_alone_are_those_of_their_kind(wine: DataSet, monkeypatch: Any) -> None:
    monkeypatch.setenv("STG_HOME", str(wine.folder.parents[1]))
    spec = TrainingSpec(wine.group, epochs=2, single_task_models=True)
    merged = train(spec)
    alone = train(spec.for_task("alcohol"))
    assert merged.test_logits.shape[2] == 5
    assert np.array_equal(merged.test_logits[:, :, 3:4], alone.test_logits)
    assert merged.metrics["test"]["r2"][-1][1] == alone.metrics["test"]["r2"][-1][0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda y: np.hstack([y, y[:, :1]]), "1437 × 16 and should be 1437 × 15"),
        (lambda y: y.T, "They may lie on their side"),
        (lambda y: np.where(y == 0, -1, y), "such as -1: they should be 1 and 0.* put NaN there"),
        (lambda y: y * 2, "such as 2: they should be 1 and 0"),
        (lambda y: np.clip(y, 0.1, 0.9), "such as 0.[19]: they should be 1 and 0"),
        (lambda y: y.astype(str), "of type <U32 and should be numbers"),
    ],
)
def test_labels_that_cannot_be_are_refused_before_the_first_epoch(
    change: Callable[[np.ndarray], np.ndarray], message: str, digits_data: TaskData
) -> None:
    data = dataclasses.replace(digits_data, train_labels=change(digits_data.train_labels))
    with pytest.raises(UserError, match=message):
        train(TrainingSpec(GROUPS["digits"], epochs=1), data)


@pytest.mark.parametrize("kind", [bool, np.float64, np.int64])
def test_labels_of_another_type_are_converted(kind: type, digits_data: TaskData) -> None:
    data = dataclasses.replace(digits_data, train_labels=digits_data.train_labels.astype(kind))
    assert checked(data, GROUPS["digits"], data.tasks).train_labels.dtype == np.float32


def test_images_models_refuse_rows_and_rows_are_not_augmented(wine: DataSet) -> None:
    with pytest.raises(UserError, match="points are rows: use mlp"):
        build("small_cnn", (13,), 2)
    with pytest.raises(UserError, match="these points are rows: choose none"):
        TrainingSpec(wine.group, augmentation="shift")


@pytest.mark.parametrize(
    ("shape", "model"),
    [
        ((13,), "mlp"),
        ((8, 8, 1), "tiny_cnn"),
        ((28, 28, 1), "small_cnn"),
        ((224, 160, 3), "resnet18"),
    ],
)
def test_the_default_model_suits_the_points(shape: tuple[int, ...], model: str) -> None:
    group = TaskGroup("mine", "mine", (YES,), "00", shape)
    assert default_model(group) == model
    point = shape if len(shape) == 1 else (shape[2], *shape[:2])
    built = build(model, point, 3).eval()
    assert built(torch.zeros(2, *point)).shape == (2, 3)


def test_the_key_of_a_run_is_that_of_its_data_and_not_of_their_name(wine: DataSet) -> None:
    spec = TrainingSpec(wine.group)
    renamed = dataclasses.replace(wine.group, name="vino", dataset="vino")
    in_families = dataclasses.replace(
        wine.group, tasks=tuple(dataclasses.replace(t, family="x") for t in wine.group.tasks)
    )
    others = dataclasses.replace(wine.group, digest="0" * 32)
    assert TrainingSpec(renamed).key == TrainingSpec(in_families).key == spec.key
    assert TrainingSpec(others).key != spec.key
    assert TrainingSpec.from_json(spec.to_json()) == spec


def test_a_run_whose_data_are_gone_is_a_run_like_any_other(
    trained: TrainingResult, tmp_path: Any, monkeypatch: Any
) -> None:
    monkeypatch.setenv("STG_HOME", str(tmp_path))
    store = Store(tmp_path)
    run = store.save(trained)
    assert [found.id for found in Store(tmp_path).runs() if not found.bundled] == [run.id]
    with pytest.raises(UserError, match="“wine” is not on this machine: add it"):
        load_task_data(run.spec.group)


def test_exact_complements_have_the_same_memberships(tmp_path: Any, monkeypatch: Any) -> None:
    monkeypatch.setenv("STG_HOME", str(tmp_path))
    rows, digits = sklearn_datasets.load_digits(return_X_y=True)
    asked = {str(digit): digits == digit for digit in range(4)} | {"Odd": digits % 2 == 1}
    asked |= {"Small": digits < 5, "Not small": digits >= 5}
    found = add("digits-as-a-table", rows, {name: yes * 1 for name, yes in asked.items()})
    summary = train(TrainingSpec(found.group)).summary
    assert summary is not None
    for k in (2, 3, 4):
        grouping = group_tasks(TaskSpace(summary), k, 2.0, "soft")
        small, not_small = grouping.memberships[-2:]
        assert small == pytest.approx(not_small, abs=0.01)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**31 - 1))
def test_a_missing_label_is_as_if_the_point_were_left_out(seed: int) -> None:
    """Of one task: its data map and its distance to others come from the points it has."""
    rng = np.random.default_rng(seed)
    outputs, labels = rng.normal(size=(4, N, 2)), rng.integers(0, 2, (N, 2)).astype(np.float32)
    labels[rng.random(N) < 0.3, 1] = np.nan
    here = np.flatnonzero(~np.isnan(labels[:, 1]))

    def maps(points: np.ndarray) -> np.ndarray:
        recorder = DataMapRecorder(len(points), 2)
        for epoch in outputs:
            order = torch.tensor(rng.permutation(len(points)))  # batches in any order
            for batch in order.split(7):
                at = points[batch.numpy()]
                known = torch.tensor(labels[at])
                recorder.update(batch, confidence(torch.tensor(epoch[at]), known))
        return recorder.snapshot().numpy()[None]

    every, left = maps(np.arange(N)), maps(here)
    assert np.array_equal(every[:, :, :, here], left)
    whole = summarise(every, labels, ["a", "b"], [4])
    part = summarise(left, labels[here], ["a", "b"], [4])
    assert whole.task_means[:, :, 1] == pytest.approx(part.task_means[:, :, 1])
    assert np.array_equal(whole.histogram[:, 1], part.histogram[:, 1])
    if not whole.adjusted.any():  # else lengths and distances gave way a little
        for gram_of_all, gram_of_part in zip(whole.gram[0], part.gram[0], strict=True):
            apart = [g[0, 0] + g[1, 1] - 2 * g[0, 1] for g in (gram_of_all, gram_of_part)]
            assert apart[0] == pytest.approx(apart[1] * N / len(here), rel=1e-6)
