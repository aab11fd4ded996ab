"""What watches a training, or takes part in it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stg_core.training.metrics import mean_scores

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from stg_core.maps.recorder import DataMapRecorder
    from stg_core.training.heads import Heads
    from stg_core.training.spec import TrainingSpec

RECORDS_PER_SECOND = 2


@dataclass
class Training:
    """A training in progress, as callbacks see it.

    metrics: lists with one entry per finished epoch: "loss" (mean over the epoch's batches),
    "images_per_second", "seconds", "evaluation_seconds", the same two by `speed.clock_of` as
    "own_seconds" and "own_evaluation_seconds", and under "train" and "test" the per-task lists
    "loss" and the scores of `Heads.scores`, NaN where one is not defined. Of a model with branches
    also "branches", the one that each task chooses.
    """

    spec: TrainingSpec
    device: torch.device
    precision: str
    model: nn.Module
    optimizer: torch.optim.Optimizer
    points: Tensor
    labels: Tensor
    heads: Heads
    recorder: DataMapRecorder | None
    steps_per_epoch: int
    metrics: dict[str, Any]
    epoch: int = 0  # counted from 1 while it runs
    step: int = 0  # of this epoch, counted from 1
    seconds: float = 0.0


class Callback:
    """The callback protocol of `train`; override what you need."""

    def on_preparation(self, what: str, share: float) -> None:
        """While images are downloaded or read for the first time; share done in [0, 1]."""

    def on_batch_start(self, training: Training) -> None:
        """Before every forward pass: what it draws at random is not drawn yet."""

    def on_losses(
        self, training: Training, points: Tensor, targets: Tensor, losses: Tensor
    ) -> bool:
        """Between forward and backward pass: the batch as the model saw it, and its task losses.

        points (B, C, H, W), normalised and augmented, or (B, F); targets (B, T), NaN where
        missing; losses (T,), without task weights. Leave model, optimiser and random numbers as
        they were. True says that every parameter has its gradient of the weighted loss already, and
        no backward pass is made; before False, differentiate with `retain_graph=True` only.
        """
        return False

    def on_batch_end(self, training: Training) -> None:
        """After every optimiser step."""

    def on_epoch_end(self, training: Training) -> None:
        """After every epoch, when `training.metrics` has it and its checkpoint is written."""

    def cancelled(self) -> bool:
        """Asked after every batch; True ends the training with `Cancelled`."""
        return False

    def state(self) -> dict[str, Any]:
        """What its checkpoint keeps after every epoch: tensors and plain values."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Takes back what `state` gave, when the training goes on after its checkpoint."""


def preparation_told_to(callbacks: Sequence[Callback]) -> Callable[[str, float], None]:
    """What loads images takes as `progress`."""

    def tell(what: str, share: float) -> None:
        for callback in callbacks:
            callback.on_preparation(what, share)

    return tell


class Progress(Callback):
    """Tells how far a training is, twice a second and after every epoch, as a plain record.

    Keys: message and, once it trains, tasks, epoch (finished ones), fraction in [0, 1],
    images_per_second, seconds_left (None while unknown), loss, and as mean_f1 the mean test score
    (see `mean_scores`), per finished epoch.
    """

    def __init__(
        self, tell: Callable[[dict[str, Any]], None], cancelled: Callable[[], bool] | None = None
    ) -> None:
        self._tell, self._cancelled = tell, cancelled
        self._told = self._epoch_started = 0.0

    def cancelled(self) -> bool:
        return self._cancelled is not None and self._cancelled()

    def on_preparation(self, what: str, share: float) -> None:
        if self._due():
            self._tell({"message": f"{what}: {share:.0%}."})

    def on_batch_end(self, training: Training) -> None:
        if training.step == 1:
            self._epoch_started = time.perf_counter()
        if self._due():
            self._report(training, training.step / training.steps_per_epoch)

    def on_epoch_end(self, training: Training) -> None:
        self._report(training, 1.0)

    def _due(self) -> bool:
        due = time.perf_counter() - self._told >= 1 / RECORDS_PER_SECOND
        if due:
            self._told = time.perf_counter()
        return due

    def _report(self, training: Training, share: float) -> None:
        spec, metrics = training.spec, training.metrics
        done = training.epoch - 1 + share
        rate, epoch_seconds = self._speed(training)
        self._tell(
            {
                "message": f"Epoch {training.epoch} of {spec.epochs}.",
                "tasks": list(spec.tasks),
                "epoch": len(metrics["loss"]),
                "fraction": done / spec.epochs,
                "images_per_second": rate,
                "seconds_left": (spec.epochs - done) * epoch_seconds if epoch_seconds else None,
                "loss": list(metrics["loss"]),
                "mean_f1": mean_scores(metrics["test"]),
            }
        )

    def _speed(self, training: Training) -> tuple[float, float | None]:
        """Images per second and seconds per epoch: of the last epoch, else of the steps so far."""
        metrics = training.metrics
        if metrics["seconds"]:
            seconds = metrics["seconds"][-1] + metrics["evaluation_seconds"][-1]
            return metrics["images_per_second"][-1], seconds
        steps = training.step - 1  # the clock started when the first was done
        if steps < 1:
            return 0.0, None
        seconds = time.perf_counter() - self._epoch_started
        return (
            steps * training.spec.batch_size / seconds,
            seconds / steps * training.steps_per_epoch,
        )
