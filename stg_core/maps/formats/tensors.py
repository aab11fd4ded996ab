"""Data maps as the official STG-MTL saves them (Sherif et al. 2023): a tensor of torch.

(T, E, N, 2), the last axis mean and sample deviation, in a file `datamap.pt` or one for each time
they were saved; `descriptor.txt` beside it lists the epochs, counted from 0.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stg_core.maps.formats.answers import Answers, Question
from stg_core.maps.formats.keeping import Keeper
from stg_core.maps.formats.label_files import LabelFile
from stg_core.maps.formats.lines import Tell
from stg_core.maps.formats.torch_files import tensors_of
from stg_core.maps.formats.unlabelled import UNKNOWN, unlabelled
from stg_core.maps.log_folder import MOST_MAPS
from stg_core.maps.on_disk import SLACK, require_in_range
from stg_core.maps.outputs import sizes
from stg_core.maps.summary import MAX_VARIABILITY
from stg_core.system.errors import UserError
from stg_core.system.words import counted
from stg_core.tasks.groups import Task

FORMAT = "data maps of STG-MTL (a tensor of torch)"
DESCRIPTOR = "descriptor.txt"
LACKS = "The log has data maps and nothing else: no outputs and no scores."


@dataclass(frozen=True)
class TensorLog:
    """Files of tensors, in the order of their names' numbers."""

    paths: Sequence[Path]
    answers: Answers
    format: str = FORMAT

    @cached_property
    def _scratch(self) -> TemporaryDirectory[str]:
        """Gone with the log, or the process."""
        return TemporaryDirectory(prefix="stg-tensors-", ignore_cleanup_errors=True)

    @cached_property
    def _parts(self) -> list[NDArray[Any]]:
        """Tensors (T, e, N, 2), side by side along the epochs; those of the largest file alone
        where each has the epochs of the one before."""
        scratch = Path(mkdtemp(dir=self._scratch.name))
        found = [_checked(tensor, path) for path, tensor in tensors_of(self.paths, scratch)]
        if not found:
            raise UserError(f"{self.paths[0].name} holds no tensor.")
        shapes = {(t.shape[0], t.shape[2]) for t in found}
        if len(shapes) > 1:
            raise UserError(
                "The tensors are of different numbers of tasks or points:"
                f" {', '.join(sizes(t.shape) for t in found[:4])}."
            )
        longest = max(found, key=lambda tensor: int(tensor.shape[1]))
        return found if all(t.shape[1] == 1 for t in found) else [longest]

    @cached_property
    def _epochs(self) -> list[int]:
        """Of each data map, counted from 1."""
        count = sum(int(tensor.shape[1]) for tensor in self._parts)
        return self._described(count) or list(range(1, count + 1))

    def _described(self, count: int) -> list[int]:
        """As `descriptor.txt` says; [] where it is not there or of others."""
        try:
            text = (self.paths[0].parent / DESCRIPTOR).read_text(errors="replace")
        except OSError:
            return []
        epochs = [int(number) + 1 for number in re.findall(r"\d+", text)]
        return epochs if len(epochs) == count and epochs == sorted(set(epochs)) else []

    @property
    def files(self) -> list[Path]:
        return list(self.paths)

    @property
    def n_tasks(self) -> int:
        return int(self._parts[0].shape[0])

    @property
    def tasks(self) -> tuple[Task, ...]:
        names = self.answers.tasks
        assert names is not None, "it was asked"
        if len(names) != self.n_tasks:
            raise UserError(
                f"{counted(len(names), 'name')} of tasks for the {counted(self.n_tasks, 'task')} on"
                " the first axis of the tensor: give one for each."
            )
        if self.answers.labels is not None:
            return LabelFile.read(self.answers.labels).tasks_of(names, self.answers)
        return tuple(map(unlabelled, names))

    @property
    def n_epochs(self) -> int:
        return self._epochs[-1]

    @property
    def points(self) -> tuple[int, bool]:
        return int(self._parts[0].shape[2]), False

    @property
    def rows(self) -> list[dict[str, Any]]:
        last = self._parts[-1][0, -1, :5]
        first, second = self._order
        return [
            {"point": i, "confidence": float(row[first]), "variability": float(row[second])}
            for i, row in enumerate(last)
        ]

    @property
    def questions(self) -> list[Question]:
        if self.answers.tasks is not None:
            return []
        return [
            Question(
                "tasks",
                f"The tensor has {counted(self.n_tasks, 'task')} and no names: what are they"
                " called, in the order of its first axis?",
            )
        ]

    @property
    def notes(self) -> list[str]:
        found = [LACKS, *([] if self.answers.labels else [UNKNOWN])]
        epochs = self._epochs
        told = ", ".join(map(str, epochs[:12])) + " …" * (len(epochs) > 12)
        described = bool(self._described(len(epochs)))
        found.append(
            f"The epochs are {told}, counted from 1, "
            + (f"by {DESCRIPTOR}." if described else f"one after the other: no {DESCRIPTOR} says.")
        )
        if self._order == (1, 0):
            found.append("The deviation stands before the mean, as the numbers show.")
        return found

    @property
    def problem(self) -> str:
        if self.n_epochs < 2:
            return "The tensor is of 1 epoch: variability is defined from the second on."
        return ""

    @cached_property
    def _order(self) -> tuple[int, int]:
        """Where confidence and variability stand on the last axis: it is the mean that exceeds
        √½."""
        last = np.nan_to_num(self._parts[-1][:, -1])
        tops = [float(last[..., i].max(initial=0)) for i in (0, 1)]
        return (1, 0) if tops[1] > MAX_VARIABILITY + SLACK >= tops[0] else (0, 1)

    def prepared(self, scratch: Path, tell: Tell) -> TensorLog:
        return self

    def read(self, keeper: Keeper, tell: Tell) -> None:
        count = self.points[0]
        keeper.places_of([str(i) for i in range(count)])
        if self.answers.labels is not None:
            keeper.take_labels(LabelFile.read(self.answers.labels), self.answers)
        slices = [(part, e) for part in self._parts for e in range(int(part.shape[1]))]
        kept = [i for i, epoch in enumerate(self._epochs) if epoch >= 2]
        spread = np.unique(np.linspace(0, len(kept) - 1, min(len(kept), MOST_MAPS)).round())
        chosen = {kept[int(i)] for i in spread}
        size = sum(path.stat().st_size for path in self.paths) // len(slices)
        for i, (part, e) in enumerate(slices):
            tell(f"Epoch {self._epochs[i]}", size)
            if i in chosen:
                maps = np.stack([part[:, e, :, axis] for axis in self._order])
                require_in_range(maps, f"The tensor at epoch {self._epochs[i]}")
                tops = np.reshape([1, MAX_VARIABILITY], (2, 1, 1))
                keeper.keep_maps(self._epochs[i], maps.clip(0, tops).astype(np.float16))


def _checked(tensor: NDArray[Any], path: Path) -> NDArray[Any]:
    """A tensor (T, e, N, 2)."""
    if tensor.ndim == 3 and tensor.shape[-1] == 2:
        tensor = tensor[:, None]
    if tensor.ndim != 4 or tensor.shape[-1] != 2 or tensor.dtype.kind != "f":
        raise UserError(
            f"The tensor of {path.name} is {sizes(tensor.shape)}, and data maps are (T, E, N, 2):"
            " of T tasks, E epochs and N points, mean and deviation."
        )
    return tensor
