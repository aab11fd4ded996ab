"""The same training on another device: run by `make gpu` where there is a GPU.

Each body also runs against the CPU itself, on less, so that it is known to execute.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from torch import nn

from stg_core.grouping.memberships import TaskSpace, group_tasks
from stg_core.grouping.settling import Change, change_between
from stg_core.system.errors import Cancelled, UserError
from stg_core.tasks.data import TaskData
from stg_core.tasks.groups import GROUPS, label_matrix
from stg_core.training import peak
from stg_core.training.callbacks import Callback, Training
from stg_core.training.loop import TrainingResult, train
from stg_core.training.models import build
from stg_core.training.spec import TrainingSpec

NEAR = 0.02  # largest difference of a membership
GPU = pytest.param(
    "cuda",
    marks=[
        pytest.mark.gpu,
        pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU"),
    ],
)
DEVICES = pytest.mark.parametrize("device", ["cpu", GPU])


def images_of_classes(n_classes: int, per_class: int, seed: int = 0) -> TaskData:
    """Images (32, 32, 3) whose class is a pattern under noise, some classes like each other, and
    a task for each of G3's classes."""
    rng = np.random.default_rng(seed)
    families = rng.normal(size=(n_classes // 5 + 1, 32, 32, 3))
    patterns = families[np.arange(n_classes) // 5] + 0.5 * rng.normal(size=(n_classes, 32, 32, 3))
    classes = np.tile(np.arange(n_classes), per_class).astype(np.uint8)
    noise = rng.normal(size=(len(classes), 32, 32, 3), scale=2.0)
    pixels = np.clip(128 + 25 * (patterns[classes] + noise), 0, 255).astype(np.uint8)
    labels = label_matrix(GROUPS["g3"], classes, "train")
    held = len(classes) // 5
    return TaskData(
        GROUPS["g3"].task_names, pixels[held:], labels[held:], pixels[:held], labels[:held]
    )


def differences(a: TrainingResult, b: TrainingResult, k: int) -> tuple[Change, float]:
    """Between the groupings of two trainings; also the largest difference of a membership."""
    assert a.summary is not None and b.summary is not None
    one, other = (group_tasks(TaskSpace(summary), k) for summary in (a.summary, b.summary))
    return change_between(one, other), float(np.abs(one.memberships - other.memberships).max())


@DEVICES
def test_digits_are_grouped_as_on_the_cpu(
    device: str, digits_data: TaskData, digits_result: TrainingResult
) -> None:
    spec = digits_result.spec if device == "cuda" else short(digits_result.spec)
    reference = digits_result if device == "cuda" else train(spec, digits_data, device="cpu")
    found = train(spec, digits_data, device=device)
    change, most = differences(reference, found, 3)
    assert change.index == 1 and most <= NEAR


@DEVICES
def test_a_hundred_tasks_are_grouped_as_on_the_cpu(device: str) -> None:
    n_points = 200 if device == "cuda" else 3
    spec = TrainingSpec(GROUPS["g3"], model="small_cnn", epochs=5 if device == "cuda" else 2)
    data = images_of_classes(100, n_points)
    change, most = differences(
        train(spec, data, device="cpu"), train(spec, data, device=device), 20
    )
    assert change.index == 1 and most <= NEAR


@DEVICES
def test_resuming_is_bit_identical(
    device: str, digits_data: TaskData, tmp_path_factory: pytest.TempPathFactory
) -> None:
    class Stop(Callback):
        done = 0

        def on_epoch_end(self, training: Training) -> None:
            self.done = training.epoch

        def cancelled(self) -> bool:
            return self.done == 2

    spec, folder = short(TrainingSpec(GROUPS["digits"], epochs=4), 3), tmp_path_factory.mktemp("r")
    with pytest.raises(Cancelled):
        train(spec, digits_data, folder=folder, device=device, callbacks=[Stop()])
    resumed = train(spec, digits_data, folder=folder, device=device)
    whole = train(spec, digits_data, device=device)
    assert np.array_equal(resumed.test_logits, whole.test_logits)
    assert resumed.datamaps is not None and whole.datamaps is not None
    assert np.array_equal(resumed.datamaps, whole.datamaps)
    for name, values in whole.weights.items():
        assert np.array_equal(resumed.weights[name], values), name


def short(spec: TrainingSpec, epochs: int = 2) -> TrainingSpec:
    return dataclasses.replace(spec, epochs=epochs, recorded_epochs=(2,), training_images=300)


# --------------------------------------------------------------------------- memory, before it ends


def test_what_a_batch_keeps_is_found_without_running_it() -> None:
    """Of a layer with nothing but a product, it is the layer's input; of ReLU, what it gives."""
    model = nn.Sequential(nn.Linear(100, 50), nn.ReLU(), nn.Linear(50, 10))
    assert peak.batch_bytes(model, torch.zeros(2, 100), 64) == 64 * 4 * (100 + 50)
    network = build("small_cnn", (3, 32, 32), 10)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    small = peak.batch_bytes(network, torch.zeros(2, 3, 32, 32), 128)
    assert peak.batch_bytes(network, torch.zeros(2, 3, 32, 32), 256) == 2 * small
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())


def test_a_training_that_cannot_fit_says_what_it_takes_before_it_begins(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (4_000_000_000, 8_000_000_000))
    with pytest.raises(UserError, match=r"about 5\.0 GB .* 4\.0 GB are free\. Take a smaller"):
        peak.check_fits(torch.device("cuda"), lambda: 5_000_000_000)
    peak.check_fits(torch.device("cuda"), lambda: 3_000_000_000)
    peak.check_fits(torch.device("cpu"), lambda: 10**15)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_what_is_told_is_what_a_training_takes() -> None:
    spec = TrainingSpec(GROUPS["g3"], model="resnet18", epochs=2, batch_size=512)
    data = images_of_classes(100, 100)
    model = build("resnet18", (3, 32, 32), 100)
    told = peak.peak_bytes(model, data, 100, 512)
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    train(spec, data, device="cuda")
    taken = torch.cuda.max_memory_allocated() - before
    assert 0.4 * told <= taken <= 1.5 * told  # bf16 keeps half of what float32 would
