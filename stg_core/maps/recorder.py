"""Recording data maps during a training: the confidence and variability of every point."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from stg_core.system.errors import UserError

if TYPE_CHECKING:
    import torch

NUMPY = "numpy"  # in place of a device: arrays of NumPy, and no torch
RECORDED_BY_DEFAULT = 5
TURNED_AT_ONCE = 1024  # points of which the tasks come first: as many as the cache holds


def default_recorded_epochs(epochs: int) -> tuple[int, ...]:
    """Five recorded epochs spread evenly to the last; fewer where there are not as many.

    A recorded epoch is 2 or later: the variability of a single epoch is not defined.
    """
    steps = range(1, RECORDED_BY_DEFAULT + 1)
    spread = {max(2, round(epochs * step / RECORDED_BY_DEFAULT)) for step in steps}
    return tuple(sorted(e for e in spread if e <= epochs))


class DataMapRecorder:
    """Running mean and variance of confidence, one row per training point, on the model's device.

    Usable in any training loop, with the logits (B, T) of the forward pass the loss is made of,
    targets `y` (B, T) in {0, 1} or NaN where the label is missing, and the points' `indices` (B,):

    >>> import torch
    >>> recorder = DataMapRecorder(n_points=4, n_tasks=1)
    >>> for epoch in range(2):
    ...     indices = torch.tensor([0, 1, 2, 3])
    ...     logits, y = torch.zeros(4, 1), torch.ones(4, 1)
    ...     recorder.update(indices, confidence(logits, y))
    >>> recorder.snapshot()[0]
    tensor([[0.5000, 0.5000, 0.5000, 0.5000]], dtype=torch.float16)

    With device="numpy" it takes and gives arrays of NumPy, and needs no torch. Welford's algorithm
    in float32 (Sherif et al. 2023, section 3, with the sample variance).
    """

    def __init__(self, n_points: int, n_tasks: int, device: torch.device | str = "cpu") -> None:
        # count, mean, sum of squared deviations side by side: one gather and one scatter a batch
        shape = n_points, 3, n_tasks
        self._xp: Any = np
        self.state: Any
        if device == NUMPY:
            self.state = np.zeros(shape, np.float32)
        else:
            import torch

            self._xp = torch
            self.state = torch.zeros(shape, device=device)

    def to(self, device: torch.device | str) -> DataMapRecorder:
        """The same on another device, with tensors."""
        import torch

        moved = DataMapRecorder(0, self.state.shape[2], device)
        moved.state = torch.as_tensor(self.state, device=device)
        return moved

    def update(self, indices: Any, confidence: Any) -> None:
        """Adds one confidence per (point, task), shape (B, T) in [0, 1]; NaN adds nothing.

        `indices` (B,) are tensors or arrays like the state, or a slice of points, which is quicker.
        A point that is there several times counts each time. Raises UserError for another shape,
        and on the CPU for indices of points that there are not; an accelerator reports those in
        its own way.
        """
        n_points, _, n_tasks = self.state.shape
        confidence = self._as_state(confidence)
        if confidence.ndim != 2 or confidence.shape[1] != n_tasks:
            raise UserError(
                f"Confidences are {' × '.join(map(str, confidence.shape))} and should be one row"
                f" for each point of the batch, with {n_tasks} columns, one for each task."
            )
        if isinstance(indices, slice):
            rows = self.state[indices]
            if len(rows) != len(confidence):
                raise UserError(
                    f"There are {len(confidence)} rows of confidences for a slice of {len(rows)}"
                    " points: give one for each."
                )
            self._add(rows, confidence)
            return
        if not hasattr(indices, "shape"):
            indices = np.asarray(indices)
        check_whole(indices)
        indices = self._as_indices(indices)
        if tuple(indices.shape) != (len(confidence),):
            raise UserError(
                f"There are {len(confidence)} rows of confidences, and the indices are"
                f" {' × '.join(map(str, indices.shape)) or 'a single number'}: give one for each."
            )
        if on_cpu(indices):
            check_indices(indices, n_points)
        self.add(indices, confidence)

    def add(self, indices: Any, confidence: Any) -> None:
        """The same of indices and confidences that were checked, and are like the state."""
        repeats = True  # to look costs an accelerator a pause
        if on_cpu(indices):
            repeats = len({*indices.tolist()}) < len(indices)
        if repeats:
            self._add_each(indices, confidence)
        else:
            rows = self.state.take(indices, 0) if self._xp is np else self.state[indices]
            self._add(rows, confidence)
            self.state[indices] = rows

    def _as_state(self, confidence: Any) -> Any:
        if self._xp is np:
            return np.asarray(confidence, np.float32)
        return self._xp.as_tensor(confidence).to(self.state.dtype)

    def _as_indices(self, indices: Any) -> Any:
        if self._xp is np:
            return np.asarray(indices)
        return self._xp.as_tensor(indices).long()  # bytes would be a mask

    def _add(self, rows: Any, confidence: Any) -> None:
        """In place, to rows (B, 3, T) of the state."""
        count, mean, m2 = rows[:, 0], rows[:, 1], rows[:, 2]
        delta = confidence - mean
        seen = delta == delta
        count += seen
        delta = self._xp.where(seen, delta, 0.0)
        step = delta / count.clip(1)
        mean += step
        step -= delta  # minus the distance to the new mean
        step *= delta
        m2 -= step

    def _add_each(self, indices: Any, confidence: Any) -> None:
        """The same where a point may be there several times: sums over its rows take their place.

        What a point's rows add to the sum of squared deviations is the sum of (x − old mean)
        (x − new mean), as of a single one.
        """
        xp = self._xp
        count, mean, m2 = self.state[:, 0], self.state[:, 1], self.state[:, 2]
        seen = ~xp.isnan(confidence)
        delta = xp.where(seen, confidence - mean[indices], 0.0)
        _add_at(count, indices, xp.where(seen, 1.0, 0.0))
        _add_at(mean, indices, delta / xp.clip(count[indices], 1, None))
        _add_at(m2, indices, delta * xp.where(seen, confidence - mean[indices], 0.0))

    def snapshot(self) -> Any:
        """Confidence and variability so far, (2, T, N) float16; NaN where undefined.

        Confidence is defined from the first update on, variability from the second.
        """
        if not on_cpu(self.state):
            return _maps_of(self._xp, self.state).half()
        state = np.asarray(self.state)  # beside whose square roots those of torch are not exact
        n_points, _, n_tasks = state.shape
        maps = np.empty((2, n_tasks, n_points), np.float16)
        for start in range(0, n_points, TURNED_AT_ONCE):
            rows = slice(start, start + TURNED_AT_ONCE)
            maps[:, :, rows] = _maps_of(np, state[rows])
        return maps if self._xp is np else self._xp.from_numpy(maps)

    def merge(self, other: DataMapRecorder) -> None:
        """Adds what another recorder saw, as after data-parallel training (Chan et al. 1979)."""
        xp, state, others = self._xp, self.state, other.state
        if xp is not np:
            others = others.to(state.device)
        count, mean, m2 = state[:, 0], state[:, 1], state[:, 2]
        count_b, mean_b, m2_b = others[:, 0], others[:, 1], others[:, 2]
        total = count + count_b
        share = count_b / xp.clip(total, 1, None)
        delta = mean_b - mean
        parts = total, mean + delta * share, m2 + m2_b + delta * delta * count * share
        self.state = xp.stack(parts, 1)


def _maps_of(xp: Any, rows: Any) -> Any:
    """Confidence and variability, (2, T, B), of rows (B, 3, T) of a state."""
    count, mean, m2 = rows[:, 0], rows[:, 1], rows[:, 2]
    confidence = xp.where(count > 0, mean, xp.nan)
    spread = xp.sqrt(m2 / (count - 1).clip(1))
    variability = xp.where(count > 1, spread, xp.nan)
    return xp.stack([confidence.T, variability.T])


def check_whole(indices: Any) -> None:
    """Raises UserError where indices, on any device, are no whole numbers."""
    array = isinstance(indices, np.ndarray)
    if not (indices.dtype.kind in "iu" if array else "int" in str(indices.dtype)):
        raise UserError(
            f"Indices are whole numbers, those of the points of a batch, and not {indices.dtype}."
        )


def check_indices(indices: Any, n_points: int) -> None:
    """Raises UserError where indices (B,), on the CPU, are no whole numbers or of no point."""
    check_whole(indices)
    if len(indices) and not (indices.min() >= 0 and indices.max() < n_points):
        wrong = indices[(indices < 0) | (indices >= n_points)]
        raise UserError(
            f"There is no point {int(wrong[0])}: the {n_points:,} points have the indices 0 to"
            f" {n_points - 1}, in the order of the labels, whatever the order of a batch."
        )


def on_cpu(array: Any) -> bool:
    """Whether to look at its values takes no accelerator."""
    return isinstance(array, np.ndarray) or array.device.type == "cpu"


def _add_at(target: Any, indices: Any, values: Any) -> None:
    """Adds every row of values to its row of the target, in place."""
    if isinstance(target, np.ndarray):
        np.add.at(target, indices, values)
    else:
        target.index_add_(0, indices, values.to(target.dtype))


def confidence(logits: Any, targets: Any) -> Any:
    """Probability of the true class, 1 − |y − sigmoid(o)|, shape (B, T); NaN where y is NaN."""
    found = sigmoid(logits)
    found -= targets
    return 1 - abs(found)


def sigmoid(logits: Any) -> Any:
    """Of tensors or arrays, in single precision; a tensor's without a gradient."""
    if hasattr(logits, "detach"):
        return logits.detach().float().sigmoid()
    from scipy.special import expit

    return expit(np.asarray(logits, np.float32))
