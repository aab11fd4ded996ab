"""Grad-TAG: losses of fine-tuned models that are never trained, and how far they are off."""

from __future__ import annotations

import copy
import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from torch import Tensor, nn

from stg_core.affinity.gradtag import (
    FineTuning,
    Linear,
    fine_tuning_of,
    linearised,
    sampled_subsets,
)
from stg_core.affinity.joint import affinity_of, counted_cost, gradtag_share
from stg_core.results.store import Store
from stg_core.tasks.data import TaskData, checked
from stg_core.tasks.groups import GROUPS, Task
from stg_core.training.heads import Heads
from stg_core.training.inputs import Normalisation
from stg_core.training.loop import train
from stg_core.training.models import build, register
from stg_core.training.spec import TrainingSpec

DIGITS = GROUPS["digits"]
TASKS = ("1", "8", "Odd", "Small", "Downside")


# ------------------------------------------------------------------------------- what is linear


def test_inner_products_of_slopes_are_those_of_gradients() -> None:
    torch.manual_seed(0)
    model = build("tiny_cnn", (1, 8, 8), 2).train()
    points = torch.randn(3, 1, 8, 8)
    found = linearised(model, points, directions=2_000)
    assert not model.training  # as it predicts: with the statistics that it has
    outputs = model(points)
    assert found.outputs == pytest.approx(outputs.detach(), abs=1e-6)
    gradients = [
        torch.cat(
            [g.flatten() for g in torch.autograd.grad(o, [*model.parameters()], retain_graph=True)]
        )
        for o in outputs.flatten()
    ]
    expected = torch.stack(gradients) @ torch.stack(gradients).T
    slopes = found.slopes.flatten(0, 1)
    off = (slopes @ slopes.T - expected).abs() / expected.diagonal().max()
    assert float(off.max()) < 4 / math.sqrt(2_000)


def test_the_directions_are_drawn_from_the_seed_and_leave_the_model_alone() -> None:
    model, points = build("tiny_cnn", (1, 8, 8), 2), torch.randn(4, 1, 8, 8)
    before = copy.deepcopy(model.state_dict())
    first, again, other = (linearised(model, points, 10, seed).slopes for seed in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert first.shape == (4, 2, 10)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


# ----------------------------------------------------------------------------- what is estimated


def made_up(tasks: list[Task], labels: np.ndarray, penalty: float = 0.1) -> FineTuning:
    """Of outputs that are 0 and move along three directions, in points that are also scored."""
    rng = np.random.default_rng(0)
    n_outputs = sum(task.width for task in tasks)
    slopes = torch.tensor(rng.normal(size=(len(labels), n_outputs, 3)).astype(np.float32))
    linear = Linear(torch.zeros(len(labels), n_outputs), slopes)
    scaled = torch.tensor(Heads(tasks, labels).scaled(labels))
    return FineTuning(tasks, labels, (linear, scaled), (linear, scaled), penalty)


def test_numbers_are_estimated_by_ridge_regression() -> None:
    rng = np.random.default_rng(1)
    labels = rng.normal(size=(50, 2)).astype(np.float32)
    labels[:20, 1] = np.nan
    found = made_up([Task(name, kind="regression") for name in "ab"], labels)
    slopes, scaled = found._fitted[0].slopes.double().numpy(), found._fitted[1].double().numpy()
    # Σ over both tasks of the mean squared error, and 0.1 |v|²
    rows = [slopes[:, 0] / math.sqrt(50), slopes[20:, 1] / math.sqrt(30)]
    goals = [scaled[:, 0] / math.sqrt(50), scaled[20:, 1] / math.sqrt(30)]
    a, b = np.concatenate(rows), np.concatenate(goals)
    v = np.linalg.solve(a.T @ a + 0.1 * np.eye(3), a.T @ b)
    expected = [np.square(row @ v - goal).sum() for row, goal in zip(rows, goals, strict=True)]
    assert found.losses([0, 1]) == pytest.approx(np.array(expected), rel=1e-4)
    assert found.losses([1, 0]).tolist() == pytest.approx(
        found.losses([0, 1]).tolist()[::-1], rel=1e-4
    )


def test_every_kind_of_task_has_an_estimate_and_alone_it_is_best() -> None:
    """Each fits best what it is fitted to alone, on the points that it is fitted to."""
    rng = np.random.default_rng(2)
    tasks = [
        Task("yes or no"),
        Task("which", kind="multiclass", values=("a", "b", "c")),
        Task("how much", kind="regression"),
    ]
    columns = [rng.integers(0, 2, 60), rng.integers(0, 3, 60), rng.normal(size=60)]
    found = made_up(tasks, np.stack(columns, axis=1).astype(np.float32), penalty=0.0)
    untouched = [math.log(2), math.log(3), 1.0]
    together = found.losses([0, 1, 2])
    for task, before in enumerate(untouched):
        alone = found.losses([task]).item()
        assert alone < before and alone < together[task]


def test_missing_labels_count_nowhere() -> None:
    labels = np.random.default_rng(3).integers(0, 2, (40, 1)).astype(np.float32)
    there = made_up([Task("a")], labels)
    (linear, scaled), half = there._fitted, labels.copy()
    half[10:] = np.nan
    some = made_up([Task("a")], half)
    kept = FineTuning(
        [Task("a")], labels[:10], (linear[:10], scaled[:10]), (linear[:10], scaled[:10]), 0.1
    )
    assert some.losses([0]).item() == pytest.approx(kept.losses([0]).item(), rel=1e-4)
    assert some.losses([0]).item() != pytest.approx(there.losses([0]).item(), rel=1e-2)


@pytest.mark.parametrize(("n_tasks", "size", "count"), [(2, 2, 1), (8, 2, 28), (100, 10, 2_200)])
def test_subsets_are_a_quarter_of_the_tasks_and_each_two_meet(
    n_tasks: int, size: int, count: int
) -> None:
    subsets = sampled_subsets(n_tasks, seed=0)
    assert len(subsets) == count and {len(set(subset)) for subset in subsets} == {size}
    met = np.zeros((n_tasks, n_tasks), int)
    for subset in subsets:
        met[np.ix_(subset, subset)] += 1
    assert met.min() >= 1
    assert subsets == sampled_subsets(n_tasks, seed=0)


# --------------------------------------------------------------------- against models that are true

JOINT = TrainingSpec(DIGITS, tasks=TASKS, epochs=10, recorded_epochs=())
SUBSETS = [(0,), (1,), (2,), (3,), (4,), (0, 2), (1, 3), (0, 4), (2, 3), (0, 1, 4), (0, 1, 2, 3, 4)]
STARTED_FROM = dict[str, Tensor]()


@register("fine_tuned")
def fine_tuned(image_shape: tuple[int, int, int], n_tasks: int) -> nn.Module:
    """A model that begins where another one ended."""
    model = build("tiny_cnn", image_shape, n_tasks)
    model.load_state_dict(STARTED_FROM)
    return model


def really_fine_tuned(subset: tuple[int, ...], data: TaskData) -> list[float]:
    """Test losses of the tasks of a subset, after 5 epochs more that learn them alone."""
    weights = tuple(float(task in subset) for task in range(len(TASKS)))
    spec = dataclasses.replace(JOINT, model="fine_tuned", task_weights=weights, epochs=5, seed=1)
    losses = train(spec, data).metrics["test"]["loss"][-1]
    return [losses[task] for task in subset]


@pytest.mark.slow
def test_the_estimate_is_near_what_fine_tuned_models_come_to(digits_data: TaskData) -> None:
    joint = train(JOINT, digits_data)
    assert joint.model is not None
    STARTED_FROM.update(copy.deepcopy(joint.model.state_dict()))
    data = checked(digits_data, DIGITS, TASKS)
    points = torch.tensor(np.concatenate([data.train_points, data.test_points]))
    n_train = len(data.train_points)
    linear = linearised(joint.model, Normalisation(points[:n_train])(points))
    estimates = FineTuning(
        [DIGITS.task(name) for name in TASKS],
        data.train_labels,
        (linear[:n_train], torch.tensor(data.train_labels)),
        (linear[n_train:], torch.tensor(data.test_labels)),
    )
    before = np.array(joint.metrics["test"]["loss"][-1])
    true = np.concatenate([really_fine_tuned(subset, digits_data) for subset in SUBSETS])
    told = np.concatenate([estimates.losses(subset).tolist() for subset in SUBSETS])
    unmoved = np.concatenate([before[list(subset)] for subset in SUBSETS])

    def error(losses: np.ndarray) -> float:
        return float(np.mean(np.abs(losses - true) / true))

    of = np.concatenate(SUBSETS)
    ranks = [spearmanr(told[of == task], true[of == task]).statistic for task in range(len(TASKS))]
    assert error(unmoved) > 0.6  # fine-tuning changes the losses much
    assert error(told) < 0.27
    assert np.mean(ranks) > 0.55  # in which company a task fares better


def test_an_affinity_is_a_gain_over_being_fine_tuned_alone(digits_data: TaskData) -> None:
    spec = dataclasses.replace(JOINT, epochs=2)
    joint = train(spec, digits_data)
    assert joint.model is not None
    estimates = fine_tuning_of(joint.model, spec, digits_data)
    affinity = estimates.affinity()
    together, alone = estimates.losses([2, 0]), estimates.losses([0])
    assert affinity[2, 0] == pytest.approx(1 - float(together[1]) / float(alone[0]), abs=1e-4)
    assert affinity.shape == (5, 5) and np.isfinite(affinity).all()


def test_it_is_kept_with_its_cost(tmp_path: Path) -> None:
    store, spec = Store(tmp_path), dataclasses.replace(JOINT, epochs=2)
    found = affinity_of(store, spec, ["gradtag"])
    again = affinity_of(store, spec, ["gradtag"])
    assert np.array_equal(found.affinity["gradtag"], again.affinity["gradtag"])
    assert (found.seconds, found.cost) == (again.seconds, again.cost)
    assert np.isnan(found.history["gradtag"][0]).all()
    assert np.array_equal(found.history["gradtag"][1], found.affinity["gradtag"])
    # 100 directions at 1,437 points, in a training of 2 epochs
    assert found.counted_cost == counted_cost(["gradtag"], 5, gradtag_share(1_437, 2)) == 51
    assert found.cost > 1
