"""How long an epoch takes, whatever else the machine is doing meanwhile."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

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
    parts = _epochs_and_evaluations(metrics)
    return float(sum(statistics.median(part) for part in parts)) if all(parts) else None


def total_seconds(metrics: Mapping[str, Any]) -> float:
    """The same of a whole training."""
    return float(sum(sum(part) for part in _epochs_and_evaluations(metrics)))


def _epochs_and_evaluations(metrics: Mapping[str, Any]) -> list[list[float]]:
    names = ("seconds", "evaluation_seconds")
    own = [metrics.get(f"own_{name}") or [] for name in names]
    return own if all(own) else [metrics.get(name) or [] for name in names]
