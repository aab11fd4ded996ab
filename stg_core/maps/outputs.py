"""What a model of anybody's answered: batches in many shapes, read as one, or refused."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from stg_core.maps.recorder import confidence
from stg_core.system.errors import UserError
from stg_core.system.words import counted, named
from stg_core.tasks.groups import Task

Outputs = Literal["logits", "probabilities"]

SLACK = 1e-4  # by which a probability, or the sum of some, may be off: half precision rounds
SAID = 'outputs="logits" or outputs="probabilities"'


class OutputReader:
    """Reads the outputs of a model of some tasks, (B, O), side by side in the order of the tasks.

    A yes-or-no task has one column, a multi-class task one for each class, a regression one. Also
    read: a list of T heads, two columns for a single yes-or-no task, (B,) for a single column; of
    torch tensors on any device, or of whatever NumPy makes an array of.

    tasks: (T,); outputs: what the columns are, None until `tell_apart` has seen some; labels
    (N, T): of the training points, whose deviation is the unit of a regression's errors; None where
    outputs and targets are in that unit already.
    """

    def __init__(
        self,
        tasks: Sequence[Task],
        labels: NDArray[np.float32] | None,
        outputs: Outputs | None = None,
    ) -> None:
        self.tasks, self.outputs = tuple(tasks), outputs
        kinds = np.array([task.kind for task in tasks])
        self.widths = [task.width for task in tasks]
        self.n_outputs = sum(self.widths)  # O
        first = np.cumsum([0, *self.widths[:-1]])
        self.all_binary = bool((kinds == "binary").all())
        self.binary, self.numbers = (
            np.flatnonzero(kinds == kind) for kind in ("binary", "regression")
        )
        self.first_binary, self.first_number = first[self.binary], first[self.numbers]
        self.classes = [
            (t, slice(int(first[t]), int(first[t]) + self.widths[t]))
            for t in np.flatnonzero(kinds == "multiclass").tolist()
        ]
        self.asked = np.flatnonzero(~np.isin(np.arange(self.n_outputs), self.first_number))
        self._two_columns: Outputs | None = None  # what two columns of a yes-or-no task were
        self._on_device: dict[tuple[str, Any], Any] = {}
        self.mean, self.deviation = np.zeros(len(kinds)), np.ones(len(kinds))
        if labels is not None:
            self.mean, self.deviation = mean_and_deviation(labels, self.numbers)

    def read(self, outputs: Any) -> Any:
        """A batch as a tensor without a gradient, or an array, (B, O); UserError for others."""
        if _is_list_of_heads(outputs):
            if len(outputs) != len(self.tasks):
                raise UserError(
                    f"There are {counted(len(outputs), 'head')} and"
                    f" {counted(len(self.tasks), 'task')}: give one head for each task, in the"
                    " order of their names."
                )
            heads = [
                self._head(as_array(head), task)
                for head, task in zip(outputs, self.tasks, strict=True)
            ]
            if any(len(head) != len(heads[0]) for head in heads):
                raise UserError("The heads are of different numbers of points: give a batch.")
            return _concatenated(heads)
        return self._side_by_side(as_array(outputs))

    def _side_by_side(self, values: Any) -> Any:
        shape, expected = tuple(values.shape), self.n_outputs
        if len(self.tasks) == 1:
            return self._head(values, self.tasks[0])
        if len(shape) == 2 and shape[1] == expected:
            return values
        columns = (
            f"{expected} columns, one for each task"
            if expected == len(self.tasks)
            else f"{expected} columns: one for each class of a multi-class task, one for any other"
        )
        turned = " They may lie on their side." * (len(shape) == 2 and shape[0] == expected)
        raise UserError(
            f"The outputs are {sizes(shape)} and should be (B, {expected}): a row for each point"
            f" of the batch, and {columns}.{turned} Or give a list of {len(self.tasks)} heads."
        )

    def _head(self, values: Any, task: Task) -> Any:
        """The outputs of one task, (B, its width)."""
        shape = tuple(values.shape)
        if len(shape) == 1 and task.width == 1:
            return values[:, None]
        if len(shape) == 2 and shape[1] == task.width:
            return values
        if len(shape) == 2 and shape[1] == 2 and task.kind == "binary":
            if self.outputs is None:
                apart = "probabilities" if _are_probabilities(values) else "logits"
                self._two_columns = cast(Outputs, apart)
            if (self.outputs or self._two_columns) == "probabilities":
                return values[:, 1:]
            return values[:, 1:] - values[:, :1]
        raise UserError(
            f"The outputs of {named(task.name)} are {sizes(shape)} and should be"
            f" (B, {task.width}): a row for each point of the batch"
            + (f", a column for each of {task.width} classes." if task.width > 1 else ".")
        )

    def tell_apart(self, values: Any) -> str:
        """Settles what the columns (B, O) are, if nobody said; the sentence that says why, or "".

        They are probabilities if all lie in [0, 1], and those of classes sum to 1. Raises UserError
        where that is not clear.
        """
        if self.outputs is not None or len(self.numbers) == len(self.tasks):
            self.outputs = self.outputs or "logits"
            return ""
        array = as_numpy(values)
        asked = array[:, self.asked]
        within = bool(((asked >= -SLACK) & (asked <= 1 + SLACK) | np.isnan(asked)).all())
        within = within and self._two_columns != "logits"  # whose difference may lie anywhere
        sums = [array[:, own].sum(axis=1) for _, own in self.classes]
        to_one = all(np.allclose(s[~np.isnan(s)], 1, atol=1e-2) for s in sums)
        if not asked.any():  # of weights that begin at 0: a model is never sure of every no
            self.outputs = "logits"
            return "The outputs were taken for logits: all of the first are 0."
        if within and not to_one:
            raise UserError(
                "All outputs lie between 0 and 1, but those of the classes of a point do not sum to"
                f" 1: say what they are with {SAID}."
            )
        self.outputs = "probabilities" if within else "logits"
        if within:
            return "The outputs were taken for probabilities: all of the first lie in [0, 1]."
        return "The outputs were taken for logits: some of the first lie outside of [0, 1]."

    def confidences(self, values: Any, targets: Any) -> Any:
        """How right the outputs (B, O) are about every point, (B, T); NaN where y (B, T) is.

        The probability of the true class; of a regression exp(−½((y − ŷ)/s)²), s the deviation of
        the training labels.
        """
        if self.all_binary:
            return self._of_binary(values, targets)
        found = targets + 0.0
        if len(self.binary):
            columns = self._columns("binary", values)
            own = values[:, self._columns("first_binary", values)]
            found[:, columns] = self._of_binary(own, targets[:, columns])
        for t, r in zip(self.numbers.tolist(), self.first_number.tolist(), strict=True):
            error = (values[:, r] - targets[:, t]) / float(self.deviation[t])
            found[:, t] = _exp(-error * error / 2)
        for t, own in self.classes:
            found[:, t] = self._of_classes(values[:, own], targets[:, t])
        return found

    def _columns(self, name: str, like: Any) -> Any:
        """Numbers of columns where the values are: to send them with each batch would wait."""
        columns = getattr(self, name)
        if isinstance(like, np.ndarray):
            return columns
        key = name, like.device
        if key not in self._on_device:
            import torch

            self._on_device[key] = torch.from_numpy(columns).to(like.device)
        return self._on_device[key]

    def _of_binary(self, values: Any, targets: Any) -> Any:
        if self.outputs == "logits":
            return confidence(values, targets)
        return 1 - abs(targets - values)

    def _of_classes(self, values: Any, targets: Any) -> Any:
        """The probability of the true class, (B,)."""
        probabilities = values if self.outputs == "probabilities" else _softmax(values)
        missing = targets != targets
        if isinstance(targets, np.ndarray):
            true = np.where(missing, 0, targets).astype(np.int64)
            found = np.take_along_axis(probabilities, true[:, None], axis=1)[:, 0]
            return np.where(missing, np.nan, found)
        true = targets.nan_to_num().long()
        return probabilities.gather(1, true[:, None])[:, 0].masked_fill(missing, float("nan"))

    def strange(self, values: Any) -> Any:
        """Whether there is a probability among the outputs (B, O) that cannot be; of one element.

        NaN is none: a point without labels may have it.
        """
        asked = values[:, self._columns("asked", values)] if len(self.numbers) else values
        return ((asked < -SLACK) | (asked > 1 + SLACK)).any()

    def as_logits(self, values: Any) -> NDArray[np.float32]:
        """Outputs (N, O) of any kind as logits, and numbers in deviations from the mean label."""
        array = as_numpy(values).astype(np.float32)
        logits = array.copy()
        if self.outputs == "probabilities":
            clipped = np.clip(array, 1e-7, 1 - 1e-7)
            logits = np.log(clipped).astype(np.float32)
            logits[:, self.first_binary] -= np.log1p(-clipped[:, self.first_binary])
        logits[:, self.first_number] = (
            array[:, self.first_number] - self.mean[self.numbers]
        ) / self.deviation[self.numbers]
        return logits

    def scaled(self, labels: NDArray[np.float32]) -> NDArray[np.float32]:
        """Labels (N, T) as those outputs are compared with them: numbers in deviations."""
        return ((labels - self.mean) / self.deviation).astype(np.float32)


def as_array(values: Any) -> Any:
    """A tensor in single precision without its gradient, or an array; UserError for others."""
    if hasattr(values, "detach"):
        if values.is_meta or values.is_complex():
            raise UserError("The outputs are no real numbers with values: give what was computed.")
        return (values.to_dense() if values.is_sparse else values).detach().float()
    try:
        array = filled(values)
        if np.iscomplexobj(array):
            raise TypeError("they are complex")
        return array if array.dtype == np.float32 else array.astype(np.float32)
    except (TypeError, ValueError) as error:
        raise UserError(f"The outputs cannot be read as an array of numbers ({error}).") from error


def filled(values: Any) -> NDArray[Any]:
    """An array of anything that is one, NaN where it is masked."""
    if isinstance(values, np.ma.MaskedArray):
        return np.asarray(np.ma.filled(values.astype(np.float64), np.nan))
    return np.asarray(values)


def as_numpy(values: Any) -> NDArray[Any]:
    """An array of anything that is one, on whatever device."""
    if hasattr(values, "detach"):
        return np.asarray(values.detach().float().cpu())
    return np.asarray(values)


def _is_list_of_heads(outputs: Any) -> bool:
    return isinstance(outputs, (list, tuple)) and all(hasattr(head, "shape") for head in outputs)


def _concatenated(heads: Sequence[Any]) -> Any:
    if all(isinstance(head, np.ndarray) for head in heads):
        return np.concatenate(heads, axis=1)
    import torch

    return torch.cat([torch.as_tensor(head) for head in heads], dim=1)


def _are_probabilities(values: Any) -> bool:
    array = as_numpy(values)
    return bool((array >= -SLACK).all() and np.allclose(array.sum(axis=1), 1, atol=1e-2))


def _softmax(values: Any) -> Any:
    if not isinstance(values, np.ndarray):
        return values.softmax(1)
    from scipy.special import softmax

    return softmax(values, axis=1)


def _exp(values: Any) -> Any:
    return np.exp(values) if isinstance(values, np.ndarray) else values.exp()


def sizes(shape: Sequence[int]) -> str:
    """A shape as people write it.

    >>> sizes((3,)), sizes((3, 4))
    ('(3,)', '(3, 4)')
    """
    return f"({', '.join(map(str, shape))}{',' * (len(shape) == 1)})"


def mean_and_deviation(
    labels: NDArray[np.float32], numbers: NDArray[np.intp]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Of labels (N, T), of the tasks that are `numbers`, (T,) each; a missing label counts nowhere.

    0 and 1 of the other tasks, and a deviation of 1 of labels that are all alike.
    """
    mean, deviation = np.zeros(labels.shape[1]), np.ones(labels.shape[1])
    for t in numbers:
        known = labels[~np.isnan(labels[:, t]), t].astype(np.float64)
        if len(known):
            mean[t] = known.mean()
        if len(known) and known.std() > 0:
            deviation[t] = known.std()
    return mean, deviation
