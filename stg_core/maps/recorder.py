"""Recording data maps during a training: the confidence and variability of every point."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


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

    Welford's algorithm in float32 (Sherif et al. 2023, section 3, with the sample variance).
    """

    def __init__(self, n_points: int, n_tasks: int, device: torch.device | str = "cpu") -> None:
        import torch

        # count, mean, sum of squared deviations side by side: one gather and one scatter a batch
        self.state = torch.zeros(n_points, 3, n_tasks, device=device)

    def update(self, indices: torch.Tensor | slice, confidence: torch.Tensor) -> None:
        """Adds one confidence per (point, task), shape (B, T) in [0, 1]; NaN adds nothing.

        `indices` (B,) must not repeat within a call; a slice of points is quicker.
        """
        confidence = confidence.to(self.state.dtype)
        if isinstance(indices, slice):
            self._add(self.state[indices], confidence)
        else:
            rows = self.state.index_select(0, indices)
            self._add(rows, confidence)
            self.state[indices] = rows

    @staticmethod
    def _add(rows: torch.Tensor, confidence: torch.Tensor) -> None:
        """In place, to rows (B, 3, T) of the state."""
        count, mean, m2 = rows.unbind(1)
        seen = ~confidence.isnan()
        count += seen
        delta = (confidence - mean).where(seen, 0.0)
        mean += delta / count.clamp(min=1)
        m2 += delta * (confidence - mean).where(seen, 0.0)

    def snapshot(self) -> torch.Tensor:
        """Confidence and variability so far, (2, T, N) float16; NaN where undefined.

        Confidence is defined from the first update on, variability from the second.
        """
        import torch

        count, mean, m2 = self.state.unbind(1)
        confidence = mean.where(count > 0, torch.nan)
        variability = (m2 / (count - 1)).sqrt().where(count > 1, torch.nan)
        return torch.stack([confidence.T, variability.T]).half()

    def merge(self, other: DataMapRecorder) -> None:
        """Adds what another recorder saw, as after data-parallel training (Chan et al. 1979)."""
        count, mean, m2 = self.state.unbind(1)
        count_b, mean_b, m2_b = other.state.to(self.state.device).unbind(1)
        total = count + count_b
        share = count_b / total.clamp(min=1)
        delta = mean_b - mean
        self.state = self._stack(
            total, mean + delta * share, m2 + m2_b + delta.square() * count * share
        )

    @staticmethod
    def _stack(*parts: torch.Tensor) -> torch.Tensor:
        import torch

        return torch.stack(parts, dim=1)


def confidence(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Probability of the true class, 1 − |y − sigmoid(o)|, shape (B, T); NaN where y is NaN."""
    return 1 - (targets - logits.detach().float().sigmoid()).abs()
