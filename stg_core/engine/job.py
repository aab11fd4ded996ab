"""A training that was asked for, as people see it: how far it is, and why it failed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from stg_core.system.errors import UserError
from stg_core.training.metrics import mean_scores
from stg_core.training.spec import TrainingSpec

State = Literal["queued", "running", "done", "failed", "cancelled"]
WAITS = "Waiting for its turn."


@dataclass
class Job:
    """A training that was asked for, as far as its events have told.

    place: how many, of all that this engine knows, are to be trained before it; epoch: finished
    epochs; fraction: share done, in [0, 1]; seconds_left: None while unknown; metrics: "loss" and
    "mean_f1" (the mean test score, see `mean_scores`) per finished epoch; message: what goes on, or
    why it failed and what to do; owner: who takes turns with other owners; turn: how many of the
    same owner go before it.
    """

    key: str
    spec: TrainingSpec
    state: State = "queued"
    place: int = 0
    epoch: int = 0
    fraction: float = 0.0
    images_per_second: float = 0.0
    seconds_left: float | None = None
    metrics: dict[str, list[Any]] = field(default_factory=lambda: {"loss": [], "mean_f1": []})
    message: str = WAITS
    owner: str = ""
    turn: int = 0

    @property
    def active(self) -> bool:
        return self.state in ("queued", "running")

    def end_with(self, metrics: Mapping[str, Any]) -> None:
        """Takes over what the metrics of its finished run tell."""
        self.epoch, self.fraction = self.spec.epochs, 1.0
        mean_f1 = mean_scores(metrics["test"])
        self.metrics = {"loss": list(metrics["loss"]), "mean_f1": mean_f1}

    def record(self) -> dict[str, Any]:
        """What a later engine needs to know of it, as plain JSON."""
        return {
            "spec": self.spec.to_json(),
            "owner": self.owner,
            "state": "queued" if self.active else self.state,
            "message": "Goes on after the restart." if self.active else self.message,
        }


def noted(key: str, record: Mapping[str, Any]) -> Job:
    """The inverse of `Job.record`."""
    spec, owner = TrainingSpec.from_json(record["spec"]), record.get("owner", "")
    return Job(key, spec, record["state"], message=record["message"], owner=owner)


def follow(job: Job, record: Mapping[str, Any]) -> None:
    """Takes over what Progress tells."""
    job.message = record["message"]
    if "epoch" in record:
        job.epoch, job.images_per_second = record["epoch"], record["images_per_second"]
        job.fraction, job.seconds_left = record["fraction"], record["seconds_left"]
        job.metrics = {name: list(record[name]) for name in ("loss", "mean_f1")}
        if job.spec.single_task_models:
            _place_among_tasks(job, record["tasks"][0])


def _place_among_tasks(job: Job, task: str) -> None:
    """Turns the progress of one single-task model into that of the whole job."""
    n_tasks, place = len(job.spec.tasks), job.spec.tasks.index(task)
    if job.seconds_left is not None:
        whole_task = job.seconds_left / max(1 - job.fraction, 1e-3)
        job.seconds_left += whole_task * (n_tasks - place - 1)
    job.fraction = (place + job.fraction) / n_tasks
    job.message = f"Task {place + 1} of {n_tasks}. {job.message}"


def is_lost(error: BaseException | None) -> bool:
    """Whether a job failed only because the workers that had it left, one after the other."""
    from distributed import KilledWorker

    return isinstance(error, KilledWorker)


def for_people(error: BaseException | None) -> str:
    """Why a training failed, and what to do."""
    if isinstance(error, UserError):
        return str(error)
    if is_lost(error):
        return (
            "The process that trains died several times, as it does when memory runs out."
            " Close other programs or take a smaller model or batch, then run it again."
        )
    return (
        f"It failed unexpectedly ({type(error).__name__}: {error}). Run it again; if it fails"
        " again, engine.log in the results folder has more."
    )
