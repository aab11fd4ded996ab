"""What the outputs of a model say about each task: losses, confidences and scores, by its kind."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from stg_core.maps.outputs import OutputReader, mean_and_deviation
from stg_core.tasks.data import pos_weight
from stg_core.tasks.groups import Task
from stg_core.training.scores import mean_over_known, task_losses, task_scores

CLOSE = 1e-3  # standard deviations of a regression's labels: an answer no further off is the same


class Heads:
    """The outputs (B, O) of a model, side by side in the order of the tasks.

    A binary task has one, a logit; a multi-class task one per class; a regression one, in units of
    the standard deviation of its training labels from their mean. With `labels`, (N, T) as in
    `TaskData`, of the training points.
    """

    def __init__(
        self, tasks: Sequence[Task], labels: NDArray[np.float32], device: torch.device | str = "cpu"
    ) -> None:
        self._reader = OutputReader(tasks, None, "logits")
        self.widths = tuple(task.width for task in tasks)
        self.kinds = tuple(task.kind for task in tasks)
        kinds = np.array(self.kinds)
        first = np.cumsum([0, *self.widths[:-1]])
        self.all_binary = bool((kinds == "binary").all())
        self._binary = torch.tensor(np.flatnonzero(kinds == "binary"), device=device)
        self._numbers = torch.tensor(np.flatnonzero(kinds == "regression"), device=device)
        self._logits = torch.tensor(first, device=device)[self._binary]
        self._predictions = torch.tensor(first, device=device)[self._numbers]
        self.complete = not bool(np.isnan(labels).any())  # whether no training label is missing
        self.pos_weight = torch.tensor(pos_weight(labels), device=device)
        self._classes = [
            (t, slice(int(first[t]), int(first[t]) + tasks[t].width))
            for t in np.flatnonzero(kinds == "multiclass").tolist()
        ]
        self._class_weights = [
            torch.tensor(class_weights(labels[:, t], tasks[t].width), device=device)
            for t, _ in self._classes
        ]
        self._mean, self._deviation = mean_and_deviation(
            labels, np.flatnonzero(kinds == "regression")
        )

    @property
    def n_outputs(self) -> int:
        """O."""
        return sum(self.widths)

    def scaled(self, labels: NDArray[np.float32]) -> NDArray[np.float32]:
        """Labels (N, T) as the outputs are compared with them: those of a regression scaled."""
        if self.all_binary:
            return labels
        return ((labels - self._mean) / self._deviation).astype(np.float32)

    def units(self) -> dict[int, tuple[float, float]]:
        """Of each regression, by its place among the tasks: mean and deviation of its labels."""
        each = zip(self._mean.tolist(), self._deviation.tolist(), strict=True)
        found = enumerate(each)
        return {t: unit for t, unit in found if self.kinds[t] == "regression"}

    def changed(self, before: Tensor, after: Tensor) -> int:
        """How many answers differ between outputs (B, O), of B × T.

        On the other side of the threshold; another class; of a regression, more than
        `CLOSE` standard deviations away. An answer that is no number differs.
        """
        others = ~after.isfinite()
        differ = others | ((before > 0) != (after > 0))
        numbers = self._predictions
        near = (before[:, numbers] - after[:, numbers]).abs() <= CLOSE
        differ[:, numbers] = others[:, numbers] | ~near
        count = differ[:, self._logits].sum() + differ[:, numbers].sum()
        for _, columns in self._classes:
            other = before[:, columns].argmax(1) != after[:, columns].argmax(1)
            count = count + (other | others[:, columns].any(1)).sum()
        return int(count)

    def losses(self, outputs: Tensor, targets: Tensor, complete: bool = False) -> Tensor:
        """The loss of each task, (T,): mean over the points (B) whose label is known.

        complete: no label is missing, which need not be looked at then. Binary cross-entropy with
        `pos_weight`, cross-entropy with weighted classes, squared error.
        """
        if self.all_binary:
            return task_losses(outputs, targets, self.pos_weight, complete)
        losses = outputs.new_zeros(len(self.widths))
        losses = losses.index_put(
            (self._binary,),
            task_losses(
                outputs[:, self._logits],
                targets[:, self._binary],
                self.pos_weight[self._binary],
            ),
        )
        numbers = targets[:, self._numbers]
        errors = (outputs[:, self._predictions] - numbers.nan_to_num()).square()
        losses = losses.index_put((self._numbers,), mean_over_known(errors, numbers))
        for (t, columns), weight in zip(self._classes, self._class_weights, strict=True):
            each = F.cross_entropy(
                outputs[:, columns],
                targets[:, t].nan_to_num().long(),
                weight=weight,
                reduction="none",
            )
            mean = mean_over_known(each[:, None], targets[:, t, None])
            losses = losses.index_put((torch.tensor([t], device=losses.device),), mean)
        return losses

    def confidence(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """How right the outputs are about every point, (B, T) in [0, 1]; NaN where y is NaN.

        The probability of the true class; of a regression exp(−½(y − ŷ)²), y and ŷ scaled.
        """
        return cast(Tensor, self._reader.confidences(outputs.detach().float(), targets))

    def scores(self, outputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Scores of each task by name, (T,); NaN where one is not defined.

        "f1" (of a multi-class task the mean over the classes that occur), "accuracy",
        "balanced_accuracy", and with a regression among the tasks "r2".
        """
        if self.all_binary:
            return task_scores(outputs, targets)
        names = ("f1", "accuracy", "balanced_accuracy", "r2")
        found = {name: torch.full_like(targets[0], torch.nan) for name in names}
        for name, values in task_scores(outputs[:, self._logits], targets[:, self._binary]).items():
            found[name][self._binary] = values.to(found[name].dtype)
        for t, columns in self._classes:
            known = ~targets[:, t].isnan()
            predicted = outputs[known][:, columns].argmax(1)
            for name, value in _class_scores(predicted, targets[known, t].long()).items():
                found[name][t] = value
        for t, column in zip(self._numbers.tolist(), self._predictions.tolist(), strict=True):
            found["r2"][t] = r2(outputs[:, column], targets[:, t])
        if not len(self._numbers):
            del found["r2"]
        return found


def class_weights(labels: NDArray[np.float32], n_classes: int) -> NDArray[np.float32]:
    """Weights (C,) with which all classes count alike; 1 for one that does not occur."""
    counts = np.bincount(labels[~np.isnan(labels)].astype(np.int64), minlength=n_classes)
    total = counts.sum()
    occurring = np.maximum(counts, 1) * max(1, np.count_nonzero(counts))
    return np.where(counts > 0, total / occurring, 1).astype(np.float32)


def r2(outputs: Tensor, targets: Tensor) -> Tensor:
    """1 − SSE/SST over the points (N,) whose label is known; NaN where those labels are alike."""
    known = ~targets.isnan()
    y, predicted = targets[known].double(), outputs[known].double()
    if len(y) < 2:
        return torch.tensor(torch.nan)
    total = (y - y.mean()).square().sum()
    error = (y - predicted).square().sum()
    return 1 - error / total if total > 0 else torch.tensor(torch.nan)


def _class_scores(predicted: Tensor, true: Tensor) -> dict[str, Tensor]:
    """Of a multi-class task; NaN without labels."""
    occurring = torch.unique(true)
    f1, recalls = [], []
    for c in occurring:
        hits = ((predicted == c) & (true == c)).sum()
        recalls.append(hits / (true == c).sum())
        f1.append(2 * hits / ((predicted == c).sum() + (true == c).sum()))
    if not f1:
        return {}
    return {
        "f1": torch.stack(f1).mean(),
        "balanced_accuracy": torch.stack(recalls).mean(),
        "accuracy": (predicted == true).float().mean(),
    }
