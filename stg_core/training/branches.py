"""Copies of a model, each with heads for all tasks, among which every task comes to choose one.

Differentiable multi-task grouping (DMTG, Gao et al., ICML 2024, arXiv 2407.05082): the outputs for
a task are those of all branches, mixed by a sample of the Gumbel-softmax whose logits are learned
with the model. Once trained, each task is answered by the branch of its largest logit, and tasks of
one branch are a group.

The choice hardens, since the temperature falls from epoch to epoch, and is learned as far in a
short training as in a long one. The schedule, its ends and that reach are ours; so are outputs that
are mixed, in place of losses.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

HOTTEST, COLDEST = 4.0, 0.1  # temperatures of the first epoch and of the last
REACH = 10.0  # how far a logit can come in a whole training, by steps of Adam


class Branches(nn.Module):
    """K copies of a model of T tasks with O outputs each, mixed task by task.

    widths (T,): how many of the outputs each task has. While it trains, every forward pass draws
    one sample of mixing weights (T, K) from torch's own generator, and answers with (B, O); else it
    answers with the outputs of the chosen branches.
    """

    task_of_output: Tensor

    def __init__(self, copies: Sequence[nn.Module], widths: Sequence[int]) -> None:
        super().__init__()
        self.copies = nn.ModuleList(copies)
        self.mixing = nn.Parameter(torch.zeros(len(widths), len(copies)))
        self.temperature = HOTTEST
        owners = [task for task, width in enumerate(widths) for _ in range(width)]
        self.register_buffer("task_of_output", torch.tensor(owners), persistent=False)

    @property
    def chosen(self) -> Tensor:
        """The branch of each task, (T,)."""
        return self.mixing.detach().argmax(dim=1)

    def cool(self, epoch: int, epochs: int) -> None:
        """Sets the temperature of an epoch, counted from 1: it falls by the same factor in each."""
        share = (epoch - 1) / max(1, epochs - 1)
        self.temperature = HOTTEST * (COLDEST / HOTTEST) ** share

    def forward(self, points: Tensor) -> Tensor:
        outputs = torch.stack([copy(points) for copy in self.copies], dim=-1)  # (B, O, K)
        if self.training:
            weights = F.gumbel_softmax(self.mixing, tau=self.temperature)
            return (outputs * weights[self.task_of_output]).sum(dim=-1)
        served_by = self.chosen[self.task_of_output]
        return outputs[:, torch.arange(len(served_by), device=served_by.device), served_by]


def parameters_of(model: nn.Module, steps: int) -> Iterator[nn.Parameter] | list[dict[str, Any]]:
    """What Adam learns of a model in so many steps: of branches, the mixing at a rate of its own.

    Adam moves a number by its rate in a step, at most, whatever the gradient.
    """
    if not isinstance(model, Branches):
        return model.parameters()
    return [
        {"params": list(model.copies.parameters())},
        {"params": [model.mixing], "lr": REACH / steps},
    ]
