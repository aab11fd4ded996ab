"""The batches of a log's epoch: checked, and added to the data maps where the outputs are."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from stg_core.maps.log_folder import LogFolder
from stg_core.maps.outputs import OutputReader, as_numpy
from stg_core.maps.recorder import (
    NUMPY,
    DataMapRecorder,
    check_indices,
    check_whole,
    on_cpu,
)
from stg_core.system.errors import UserError
from stg_core.system.words import counted

MEASURED_POINTS = 10_000  # training points whose outputs are kept, where test points are judged
HINTS = {
    "are not numbers (NaN)": "The training may have diverged: try a lower learning rate.",
    "are no probabilities from 0 to 1": 'Say outputs="logits" if that is what they are.',
}


class Batches:
    """What the batches leave: the state of the data maps, or one's own part of an epoch.

    labels: of the training points, (N, T); folder: of the log, which has `done` epochs; in_parts:
    whether other processes log the same epochs, so that confidences wait for theirs.

    epoch: that is being logged, counted from 1; rows: of outputs in it so far; pending: points (B,)
    and confidences (B, T) of each batch, of a part. On an accelerator nothing waits for a value
    within a batch: what is wrong is told at the end of the epoch, by `check`.
    """

    def __init__(
        self, labels: NDArray[np.float32], folder: LogFolder, done: int, in_parts: bool
    ) -> None:
        self.labels, self._folder, self._in_parts = labels, folder, in_parts
        self.epoch = done + 1
        self.rows = self._batch = 0
        self.recorder: DataMapRecorder | None = None
        self.pending: list[tuple[Any, Any]] = []
        self._flags: list[tuple[str, int, Any]] = []
        self._targets: Any = None
        self._measured: Any = None
        self._places: Any = None
        self._measures = self._is_numpy = False

    def add(self, indices: Any, values: Any, reader: OutputReader) -> None:
        """A batch: which points it is of, (B,), and outputs (B, O) that were read."""
        rows = self._checked(indices, values)
        self._batch += 1
        if self.recorder is None:
            self._start(values, reader)
        values, rows = self._at_home(values, rows)
        targets = self._targets.take(rows, 0) if self._is_numpy else self._targets[rows]
        found = self._confidences(values, targets, reader)
        self._watch("are not numbers (NaN)", ((found != found) & (targets == targets)).any())
        if reader.outputs == "probabilities":
            self._watch("are no probabilities from 0 to 1", reader.strange(values))
            found = found.clip(0, 1)
        self.rows += len(rows)
        if self._in_parts:
            self.pending.append((rows, found))
        else:
            cast(DataMapRecorder, self.recorder).add(rows, found)
        if self._measured is not None:
            self._measured[self._places[rows]] = as_numpy(values) if self._is_numpy else values

    def check(self) -> None:
        """Raises UserError for what was wrong in this epoch, which then begins again."""
        flags, self._flags = self._flags, []
        if not flags:
            return
        import torch

        set_ = torch.stack([flag for _, _, flag in flags]).cpu().tolist()
        for (what, batch, _), is_set in zip(flags, set_, strict=True):
            if is_set:
                self.recorder = None  # as it was at the end of the last epoch
                self._empty()
                raise self._refused(what, batch)

    def begin_next(self) -> None:
        self.epoch += 1
        self._empty()

    def let_go(self) -> None:
        """Of its memory."""
        self._empty()
        self.recorder = self._targets = self._measured = self._places = None

    def sample(self) -> NDArray[np.float32] | None:
        """The last outputs of the measured training points; NaN where one was not seen yet."""
        return None if self._measured is None else as_numpy(self._measured)[:-1]

    def _empty(self) -> None:
        self.rows = self._batch = 0
        self.pending = []

    # --------------------------------------------------------------------------- where outputs are

    def _start(self, values: Any, reader: OutputReader) -> None:
        """Puts state and labels there; beside the CPU's threads of torch NumPy is the quicker."""
        self._is_numpy = on_cpu(values)
        device = NUMPY if self._is_numpy else values.device
        self._targets = self.labels
        if not self._is_numpy:
            import torch

            self._targets = torch.from_numpy(self.labels).to(device)
        n_points, n_tasks = self.labels.shape
        if self._in_parts:
            self.recorder = DataMapRecorder(0, n_tasks, device)
        elif self.epoch > 1:
            self.recorder = self._folder.recorder(self.epoch - 1)
            if not self._is_numpy:
                self.recorder = self.recorder.to(device)
        else:
            self.recorder = DataMapRecorder(n_points, n_tasks, device)
        if self._measures:
            self._measure(reader)

    def measure(self, reader: OutputReader) -> None:
        """Keeps the last outputs of some training points: thresholds are chosen on them."""
        self._measures = True
        if self.recorder is not None:
            self._measure(reader)

    def _measure(self, reader: OutputReader) -> None:
        n_points = len(self.labels)
        chosen = np.sort(np.random.default_rng(0).permutation(n_points)[:MEASURED_POINTS])
        places = np.full(n_points, len(chosen))  # a last row for all others
        places[chosen] = np.arange(len(chosen))
        shape = len(chosen) + 1, reader.n_outputs
        if self._is_numpy:
            self._places = places
            self._measured = np.full(shape, np.nan, np.float32)
        else:
            import torch

            device = cast(DataMapRecorder, self.recorder).state.device
            self._places = torch.from_numpy(places).to(device)
            self._measured = torch.full(shape, torch.nan, device=device)
        if not self._folder.has("train_labels"):
            self._folder.write("train_labels", reader.scaled(self.labels[chosen]))

    def _at_home(self, values: Any, rows: Any) -> tuple[Any, Any]:
        """Both on the device of the recorder."""
        if self._is_numpy:
            values = values if on_cpu(values) else as_numpy(values)
            return values, as_numpy(rows).astype(np.int64, copy=False)
        import torch

        device = cast(DataMapRecorder, self.recorder).state.device
        if not hasattr(rows, "detach"):
            rows = torch.from_numpy(np.ascontiguousarray(rows, dtype=np.int64))
        values = values if hasattr(values, "detach") else torch.from_numpy(values)
        rows = rows.long().to(device, non_blocking=True)
        return values.to(device, non_blocking=True), rows

    def _confidences(self, values: Any, targets: Any, reader: OutputReader) -> Any:
        """Of outputs (B, O) about labels (B, T); by the library that the outputs are of."""
        if not self._is_numpy or isinstance(values, np.ndarray):
            return reader.confidences(values, targets)
        import torch

        return reader.confidences(values, torch.from_numpy(targets)).numpy()

    # ------------------------------------------------------------------------------ what is checked

    def _checked(self, indices: Any, values: Any) -> Any:
        """Which points a batch is of, (B,), checked where that takes no accelerator."""
        if not hasattr(indices, "detach"):
            indices = np.asarray(indices)
            indices = indices if indices.size else indices.astype(np.int64)
        elif on_cpu(indices):
            indices = indices.detach().numpy()
        if indices.ndim != 1 or len(indices) != len(values):
            raise UserError(
                f"There are {counted(len(values), 'row')} of outputs, and the indices are"
                f" {' × '.join(map(str, indices.shape)) or 'no list of numbers'}: give one for"
                " each."
            )
        if on_cpu(indices):
            check_indices(indices, len(self.labels))
            return indices
        check_whole(indices)
        n_points = len(self.labels)
        self._watch(
            "are of points that there are not", ((indices < 0) | (indices >= n_points)).any()
        )
        return indices.clamp(0, n_points - 1)

    def _watch(self, what: str, flag: Any) -> None:
        """Raises UserError where a flag is set; of an accelerator, at the end of the epoch."""
        if not isinstance(flag, np.generic | bool) and not on_cpu(flag):
            self._flags.append((what, self._batch, flag))
        elif bool(flag):
            raise self._refused(what, self._batch)

    def _refused(self, what: str, batch: int) -> UserError:
        indices = f"Indices are 0 to {len(self.labels) - 1}, in the order of the labels."
        kept = " The epochs before are kept." if self.epoch > 1 else ""
        whose = "indices" if "points" in what else "outputs"
        hint = HINTS.get(what, indices)
        return UserError(f"The {whose} of epoch {self.epoch}, batch {batch} {what}. {hint}{kept}")
