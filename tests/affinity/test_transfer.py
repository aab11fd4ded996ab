"""Principled transfer gain: trial steps of one task, and of two together."""

from __future__ import annotations

import copy
import math
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from stg_core.affinity.joint import affinity_of, counted_cost
from stg_core.affinity.transfer import TransferRecorder
from stg_core.results.store import Store
from stg_core.system.errors import UserError
from stg_core.tasks.data import TaskData
from stg_core.tasks.groups import GROUPS
from stg_core.training import loop as training_module
from stg_core.training.callbacks import Callback, Training
from stg_core.training.heads import Heads
from stg_core.training.loop import train
from stg_core.training.spec import TrainingSpec

DIGITS = GROUPS["digits"]
TASKS = ("0", "7", "Odd")


def one_step(targets: list[float], heads: tuple[float, float]) -> np.ndarray:
    """Of a shared weight 1 and a head for each of two tasks, with learning rate 1, on a pixel 1."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(1, 1, bias=False), nn.Linear(1, 2, bias=False))
    with torch.no_grad():
        shared, weights = model.parameters()
        shared.fill_(1)
        weights.copy_(torch.tensor(heads)[:, None])
    pixel = torch.ones(1, 1, 1, 1)
    labels = torch.tensor([targets])
    training = Training(
        spec=TrainingSpec(DIGITS, tasks=TASKS[:2], epochs=1),
        device=torch.device("cpu"),
        precision="fp32",
        model=model,
        optimizer=torch.optim.SGD(model.parameters(), lr=1.0),
        points=pixel,
        labels=labels,
        heads=Heads(DIGITS.tasks[:2], np.zeros((1, 2), np.float32)),
        recorder=None,
        steps_per_epoch=1,
        metrics={},
        epoch=1,
        step=1,
    )
    recorder = TransferRecorder(every=1)
    recorder.on_batch_start(training)
    recorder.on_losses(training, pixel, labels, training.heads.losses(model(pixel), labels))
    return recorder.affinity["transfer"]


@pytest.mark.parametrize("heads", [(2.0, -1.0), (0.5, 1.5)])
def test_the_transfer_gain_of_two_tasks_worked_out_by_hand(heads: tuple[float, float]) -> None:
    # of the label 1 the loss is log(1 + e^−z), and −σ(−z) its slope by the logit z = w · head
    slopes = [-1 / (1 + math.exp(head)) for head in heads]
    by_shared = [slope * head for slope, head in zip(slopes, heads, strict=True)]

    def loss(task: int, movers: list[int]) -> float:
        shared = 1 - sum(by_shared[mover] for mover in movers)
        return math.log(1 + math.exp(-shared * (heads[task] - slopes[task])))

    found = one_step([1.0, 1.0], heads)
    expected = [[0, 1 - loss(1, [0, 1]) / loss(1, [1])], [1 - loss(0, [0, 1]) / loss(0, [0]), 0]]
    assert found == pytest.approx(np.array(expected), rel=1e-5, abs=1e-7)
    assert (np.sign(found[0, 1]) > 0) == (heads[0] * heads[1] > 0)  # they pull the same way


def test_a_task_without_a_label_in_the_batch_tells_nothing() -> None:
    found = one_step([1.0, math.nan], (2.0, -1.0))
    assert np.isnan(found).tolist() == [[False, True], [True, True]]


class Naive(Callback):
    """The same as one would write it down: a copy of model and optimiser for every trial."""

    def __init__(self) -> None:
        self.steps = list[np.ndarray]()

    def on_batch_start(self, training: Training) -> None:
        self.model, self.drawn = copy.deepcopy(training.model), torch.get_rng_state()

    def on_losses(
        self, training: Training, points: Tensor, targets: Tensor, losses: Tensor
    ) -> bool:
        def after(*movers: int) -> Tensor:
            model = copy.deepcopy(self.model)
            optimizer = torch.optim.Adam(model.parameters(), lr=training.spec.learning_rate)
            optimizer.load_state_dict(copy.deepcopy(training.optimizer.state_dict()))
            losses_of(model)[list(movers)].sum().backward()
            optimizer.step()
            return losses_of(model).detach()

        def losses_of(model: nn.Module) -> Tensor:
            now = torch.get_rng_state()
            torch.set_rng_state(self.drawn)
            outputs = model(points)
            torch.set_rng_state(now)
            return training.heads.losses(outputs, targets)

        gains = np.zeros((len(losses), len(losses)))
        for i, j in combinations(range(len(losses)), 2):
            gains[j, i] = 1 - after(i, j)[i] / after(i)[i]
            gains[i, j] = 1 - after(i, j)[j] / after(j)[j]
        self.steps.append(gains)
        return False


def test_it_is_what_copies_of_the_whole_model_give(
    digits_data: TaskData, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training_module, "choose_device", lambda _: (torch.device("cpu"), "fp32"))
    naive, recorder = Naive(), TransferRecorder(every=1)
    spec = TrainingSpec(
        DIGITS, tasks=TASKS, epochs=2, training_images=200, batch_size=100, learning_rate=0.003
    )
    train(spec, digits_data, callbacks=[naive, recorder])
    expected = np.array(naive.steps)
    assert len(expected) == recorder.recorded_steps == 4 and np.abs(expected).max() > 1e-3
    assert recorder.affinity["transfer"] == pytest.approx(expected.mean(0), abs=1e-4)


def test_more_than_12_tasks_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="at most 12 tasks, and there are 15"):
        affinity_of(Store(tmp_path), TrainingSpec(DIGITS, epochs=2), ["transfer"], every=4)


def test_its_passes_are_counted() -> None:
    # of 4 tasks: a forward pass, 4 backward passes, 4 of single trials and 6 of pairs
    assert counted_cost(["transfer"], 4, 1.0) == pytest.approx((1 + 8 + 4 + 6) / 3)
