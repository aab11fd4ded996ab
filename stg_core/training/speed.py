"""How long an epoch takes, whatever else the machine is doing meanwhile."""

from __future__ import annotations

import dataclasses
import statistics
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from stg_core.tasks.groups import TaskData
from stg_core.tasks.images import IMAGE_COUNTS_AND_SHAPES
from stg_core.training.spec import TrainingSpec

if TYPE_CHECKING:
    import torch


def clock_of(device: torch.device) -> Callable[[], float]:
    """The clock, in seconds, by which a training on a device is timed for the next one.

    On the CPU the processor time of the thread that trains: it takes part in all that is computed,
    so that without other load its time is the time that passes, and under load it does not wait.
    A GPU is waited for, so there it is the time that passes.
    """
    return time.thread_time if device.type == "cpu" else time.perf_counter


def seconds_per_epoch(metrics: Mapping[str, Any]) -> float | None:
    """Of a finished training, with evaluation: the median epoch by `clock_of` where that was kept.

    Trainings of the first version kept only the time that passed. None where nothing was.
    """
    for prefix in ("own_", ""):
        parts = [metrics.get(f"{prefix}{part}") for part in ("seconds", "evaluation_seconds")]
        if all(parts):
            return float(sum(statistics.median(part) for part in parts if part))
    return None


def measure_seconds_per_epoch(spec: TrainingSpec) -> float:
    """How long an epoch of a spec takes on this machine, from a few steps on synthetic images."""
    from stg_core.training.loop import MEASURED_TRAINING_POINTS, train

    n_train, n_test, *shape = IMAGE_COUNTS_AND_SHAPES[spec.group.dataset]
    n_train = spec.training_images or n_train
    images = np.random.default_rng(0).integers(0, 256, (3 * spec.batch_size, *shape), np.uint8)
    labels = np.tile([0, 1], (len(images), len(spec.tasks)))[:, : len(spec.tasks)]
    labels = labels.astype(np.float32)
    data = TaskData(spec.tasks, images, labels, images[:8], labels[:8])
    short = dataclasses.replace(
        spec, epochs=2, recorded_epochs=(2,), single_task_models=False, training_images=0
    )
    metrics = train(short, data).metrics
    measured = min(n_train, MEASURED_TRAINING_POINTS) + n_test
    seconds: float = (
        n_train / len(images) * metrics["own_seconds"][-1]
        + measured / len(images) * metrics["own_evaluation_seconds"][-1]
    )
    return seconds * len(spec.tasks) if spec.single_task_models else seconds
