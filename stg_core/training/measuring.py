"""How long an epoch of a training would take, from a short one."""

from __future__ import annotations

import dataclasses

import numpy as np

from stg_core.tasks.data import TaskData, counts_and_shape
from stg_core.training.loop import MEASURED_TRAINING_POINTS, train
from stg_core.training.spec import TrainingSpec


def measure_seconds_per_epoch(spec: TrainingSpec) -> float:
    """How long an epoch of a spec takes on this machine, from a few steps on synthetic points."""
    n_train, n_test, *shape = counts_and_shape(spec.group)
    n_train = spec.training_images or n_train
    size = (3 * spec.batch_size, *shape)
    pixels = np.random.default_rng(0).integers(0, 256, size, np.uint8)
    points = pixels.astype(np.float32) / 255 if spec.group.has_rows else pixels
    labels = np.tile([0, 1], (len(points), len(spec.tasks)))[:, : len(spec.tasks)]
    labels = labels.astype(np.float32)
    data = TaskData(spec.tasks, points, labels, points[:8], labels[:8])
    short = dataclasses.replace(
        spec,
        epochs=2,
        recorded_epochs=(2,),
        single_task_models=False,
        training_images=0,
        starts_from=None,
    )
    metrics = train(short, data).metrics
    measured = min(n_train, MEASURED_TRAINING_POINTS) + n_test
    seconds: float = (
        n_train / len(points) * metrics["own_seconds"][-1]
        + measured / len(points) * metrics["own_evaluation_seconds"][-1]
    )
    return seconds * len(spec.tasks) if spec.single_task_models else seconds
