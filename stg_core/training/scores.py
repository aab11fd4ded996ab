"""Losses and scores of every task, and the metrics that a training keeps of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

TIMES = ("seconds", "evaluation_seconds", "own_seconds", "own_evaluation_seconds")


def task_losses(
    logits: Tensor, targets: Tensor, pos_weight: Tensor, complete: bool = False
) -> Tensor:
    """Binary cross-entropy of each task, (T,): mean over the points (B) whose label is known.

    complete: all of them are, which need not be looked at then.
    """
    if complete:
        each = F.binary_cross_entropy_with_logits(
            logits, targets, pos_weight=pos_weight, reduction="none"
        )
        return each.sum(0) / len(each)
    each = F.binary_cross_entropy_with_logits(
        logits, targets.nan_to_num(), pos_weight=pos_weight, reduction="none"
    )
    return mean_over_known(each, targets)


def mean_over_known(each: Tensor, targets: Tensor) -> Tensor:
    """Mean of values (B, T) over the points whose label is known, (T,); 0 where none is."""
    known = ~targets.isnan()
    return (each * known).sum(0) / known.sum(0).clamp(min=1)


def task_scores(logits: Tensor, targets: Tensor) -> dict[str, Tensor]:
    """F1, accuracy and balanced accuracy of each task, (T,), at the threshold logit > 0.

    F1 is 0 where there are no true positives, and NaN where no label is positive. Balanced accuracy
    is the mean recall of the classes that occur. Missing labels count nowhere; a task without any
    label scores NaN.
    """
    predicted, positive, negative = logits > 0, targets == 1, targets == 0
    tp, fn = (predicted & positive).sum(0), (~predicted & positive).sum(0)
    fp, tn = (predicted & negative).sum(0), (~predicted & negative).sum(0)
    recalls = torch.stack([tp / (tp + fn), tn / (tn + fp)])
    return {
        "f1": (2 * tp / (2 * tp + fp + fn).clamp(min=1)).where(tp + fn > 0, torch.nan),
        "accuracy": (tp + tn) / (tp + tn + fp + fn),
        "balanced_accuracy": recalls.nanmean(0),
    }


def empty_metrics() -> dict[str, Any]:
    """See `Training.metrics`."""
    per_task = ("loss", "f1", "accuracy", "balanced_accuracy")
    return {
        **{name: [] for name in ("loss", "images_per_second", *TIMES)},
        "train": {name: [] for name in per_task},
        "test": {name: [] for name in per_task},
    }


def merged_metrics(parts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Metrics of single-task trainings as those of one: losses and times add up."""
    merged = empty_metrics()
    for name in ("loss", *TIMES):
        merged[name] = np.sum([part[name] for part in parts], axis=0).tolist()
    rates = [part["images_per_second"] for part in parts]
    merged["images_per_second"] = (1 / np.sum(1 / np.array(rates), axis=0)).tolist()
    for split in ("train", "test"):
        merged[split] = {name: [] for part in parts for name in part[split]}
        for name in merged[split]:
            columns = [_of_task(part, split, name) for part in parts]
            merged[split][name] = np.concatenate(columns, axis=1).tolist()
    return merged


def _of_task(metrics: dict[str, Any], split: str, name: str) -> NDArray[np.float64]:
    """A score of a single task per epoch, (E, 1); NaN where it has none of that name."""
    unknown = [[None]] * len(metrics["loss"])
    return np.array(metrics[split].get(name, unknown), dtype=np.float64)
