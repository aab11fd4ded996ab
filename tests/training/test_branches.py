"""Branches of a model, among which every task chooses one while they are trained."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import adjusted_rand_score
from torch import nn

from stg_core.system.errors import Cancelled, UserError
from stg_core.tasks.data import TaskData
from stg_core.tasks.groups import GROUPS, Task, TaskGroup
from stg_core.training.branches import COLDEST, HOTTEST, Branches
from stg_core.training.callbacks import Callback, Training
from stg_core.training.loop import train
from stg_core.training.models import build
from stg_core.training.spec import TrainingSpec

DIGITS = GROUPS["digits"]


def spec_of(**more: Any) -> TrainingSpec:
    settings: dict[str, Any] = {"tasks": ("1", "Odd", "Small"), "epochs": 3, "branches": 2}
    return TrainingSpec(DIGITS, **{**settings, **more})


def built(branches: int, widths: Sequence[int] = (1, 1, 1)) -> Branches:
    """With other logits for every task than the zeros that it begins with."""
    torch.manual_seed(0)
    n_outputs = sum(widths)
    model = build("mlp", (6,), n_outputs, branches, widths=widths, hidden_widths=(5,), dropout=0.0)
    assert isinstance(model, Branches)
    with torch.no_grad():
        model.mixing.copy_(torch.randn(model.mixing.shape))
    return model


# ------------------------------------------------------------------------------------- the model


def test_each_task_is_answered_by_the_heads_of_the_branch_that_it_weighs_most() -> None:
    widths = (1, 3, 1)
    model, points = built(4, widths).eval(), torch.randn(7, 6)
    answered = torch.split(model(points), [*widths], dim=1)
    for task, branch in enumerate(model.mixing.argmax(dim=1).tolist()):
        of_branch = torch.split(model.copies[branch](points), [*widths], dim=1)
        assert torch.equal(answered[task], of_branch[task])


def test_while_it_trains_the_outputs_are_mixed_by_weights_that_sum_to_one() -> None:
    class Constant(nn.Module):
        def __init__(self, value: float) -> None:
            super().__init__()
            self.value = value

        def forward(self, points: torch.Tensor) -> torch.Tensor:
            return torch.full((len(points), 2), self.value)

    model = Branches([Constant(0.0), Constant(1.0)], (1, 1)).train()
    share = model(torch.zeros(3, 1))
    assert ((share > 0) & (share < 1)).all() and torch.equal(share[0], share[2])
    assert share[0, 0] != share[0, 1], "every task draws weights of its own"
    assert not torch.equal(model(torch.zeros(3, 1)), share), "and every batch"


def test_the_choice_hardens_while_it_trains() -> None:
    model = built(3).train()
    softest = []
    for epoch in range(1, 11):
        model.cool(epoch, 10)
        drawn = [nn.functional.gumbel_softmax(model.mixing, model.temperature) for _ in range(200)]
        softest.append(1 - torch.stack(drawn).amax(dim=2).mean().item())
    assert model.temperature == pytest.approx(COLDEST)
    assert softest[0] > 0.3 and softest[-1] < 0.1
    assert softest == sorted(softest, reverse=True)
    model.cool(1, 1)
    assert model.temperature == HOTTEST


def test_with_one_branch_it_is_the_plain_model() -> None:
    plain = build("mlp", (6,), 3, 1, hidden_widths=(5,), dropout=0.0)
    assert not isinstance(plain, Branches)
    points = torch.randn(7, 6)
    for only in (Branches([plain], (1, 1, 1)).train(), Branches([plain], (1, 1, 1)).eval()):
        assert torch.allclose(only(points), plain(points))


# ---------------------------------------------------------------------------------- the training


class Stop(Callback):
    """Ends the training in the middle of its second epoch."""

    def __init__(self) -> None:
        self.over = False

    def on_batch_end(self, training: Training) -> None:
        self.over = training.epoch == 2 and training.step == 2

    def cancelled(self) -> bool:
        return self.over


def test_resumed_it_is_bit_identical(digits_data: TaskData, tmp_path: Path) -> None:
    spec = spec_of()
    whole = train(spec, digits_data, folder=tmp_path / "whole")
    with pytest.raises(Cancelled):
        train(spec, digits_data, folder=tmp_path / "halves", callbacks=[Stop()])
    halves = train(spec, digits_data, folder=tmp_path / "halves")
    assert np.array_equal(halves.test_logits, whole.test_logits)
    for name, values in whole.weights.items():
        assert np.array_equal(halves.weights[name], values), name
    assert halves.metrics["branches"] == whole.metrics["branches"]
    assert halves.metrics["loss"] == whole.metrics["loss"]


def test_it_tells_which_branch_each_task_chose_after_every_epoch(digits_data: TaskData) -> None:
    result = train(spec_of(branches=3), digits_data)
    assert isinstance(result.model, Branches)
    told = result.metrics["branches"]
    assert np.shape(told) == (3, 3) and told[-1] == result.model.chosen.tolist()
    assert {*np.ravel(told).tolist()} <= {0, 1, 2}
    assert "branches" not in train(spec_of(branches=1), digits_data).metrics


def test_a_later_seed_draws_other_weights(digits_data: TaskData) -> None:
    one, again, other = (train(spec_of(seed=seed), digits_data) for seed in (1, 1, 2))
    assert one.metrics["loss"] == again.metrics["loss"] != other.metrics["loss"]


def planted() -> tuple[TaskGroup, TaskData]:
    """Six tasks about eight numbers: even ones are told by the first, odd ones by the second."""
    rng = np.random.default_rng(0)
    points = rng.normal(size=(1_200, 8)).astype(np.float32)
    levels = np.linspace(-0.6, 0.6, 3)
    labels = np.stack([points[:, t % 2] > levels[t // 2] for t in range(6)], axis=1)
    labels = labels.astype(np.float32)
    names = tuple(f"task {t}" for t in range(6))
    group = TaskGroup(
        "planted", "planted", tuple(Task(n, rule="column") for n in names), "0" * 32, (8,)
    )
    return group, TaskData(names, points[:600], labels[:600], points[600:], labels[600:])


def test_tasks_that_a_small_model_cannot_serve_at_once_choose_other_branches() -> None:
    """Chance deals six tasks out to two branches like that in 1 of 31 trainings."""
    group, data = planted()
    settings: dict[str, Any] = {"hidden_widths": (4,), "dropout": 0.0, "learning_rate": 0.03}
    found = []
    for seed in range(8):
        spec = TrainingSpec(group, epochs=30, batch_size=60, branches=2, seed=seed, **settings)
        chosen = train(spec, data).metrics["branches"][-1]
        found.append(adjusted_rand_score([0, 1, 0, 1, 0, 1], chosen))
    assert sum(score == 1 for score in found) >= 5, found


# -------------------------------------------------------------------------------------- the spec


def test_branches_are_a_training_of_their_own_and_change_no_other_key() -> None:
    usual = TrainingSpec(DIGITS)
    assert "branches" not in usual.to_json() and usual.key == "cf628c397f13456b"
    spec = spec_of()
    assert TrainingSpec.from_json(spec.to_json()) == spec and spec.recorded == ()
    assert "2 branches" in spec.title and spec.command() == ""
    assert spec.for_task("Odd").branches == 1


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"branches": 4}, "3 tasks can choose among 1 to 3 branches, and 4 were asked for"),
        ({"branches": 0}, "1 to 3 branches"),
        ({"recorded_epochs": (2, 3)}, "keeps no data maps"),
        ({"single_task_models": True}, "serves all tasks at once"),
        ({"starts_from": spec_of(branches=1)}, "is another"),
    ],
)
def test_what_cannot_be_trained_is_refused(wrong: dict[str, Any], told: str) -> None:
    with pytest.raises(UserError, match=told):
        spec_of(**wrong)
