"""Grad-TAG: the losses of a joint model fine-tuned on any of its tasks, without training it.

Li, Sharma, Zhang 2024 (KDD, arXiv 2409.06091). Near the weights w* of a joint model its outputs are
linear in a move along d random directions, the columns of P, of entries ±1/√d:

    o(w* + P v) ≈ o(w*) + G v,    G = Pᵀ ∇o(w*) for every point and output

Fine-tuning on a subset S of the tasks is then a regularised regression in d numbers,

    v_S = argmin over v of Σ over i in S of L_i(o(w*) + G v) + λ |v|²

and f_i(S) = L_i(o(w*) + G v_S) is the loss of task i. The affinity of j for i is the mean gain of
i over sampled subsets with both, 1 − f_i(S)/f_i({i}): their mean of f_i(S), in each task's own
unit. Where they flip the signs of half of the points and leave o(w*) out, here the losses are those
of the training itself (with its weights of positives and classes), so that every kind of task has
its counterpart: a logistic regression for binary tasks, the softmax for multi-class ones, least
squares for numbers.

Half of the points are fitted, and f is of the other half. The model predicts as it does in the end:
with the statistics of batch norm, without dropout.

How good it is, on the digits with tiny_cnn, 10 epochs of joint training and 5 of fine-tuning, where
all training points are fitted and the test points scored: for 11 subsets of 5 tasks the estimates
are 20 % off the real losses in the mean, where the losses before fine-tuning are 70 % off; in which
subset a task fares better is told with a rank correlation of 0.76. Among subsets of one size, the
28 pairs of 8 tasks, it is 0.25 to 0.38 (three draws of the directions), and the losses are 22 to
24 % off. With 200 directions, as in the paper, those are 14 to 20 % off, at twice the cost, and the
rank correlation is 0.05 to 0.38.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from math import ceil, comb

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.func import functional_call, jvp, vmap

from stg_core.affinity.settings import GRADTAG_DIRECTIONS, GRADTAG_POINTS
from stg_core.tasks.data import TaskData, checked
from stg_core.tasks.groups import Task
from stg_core.training.heads import Heads
from stg_core.training.inputs import Normalisation
from stg_core.training.spec import TrainingSpec

Floats = NDArray[np.float64]

PENALTY = 0.1  # λ
AT_ONCE = 5  # directions
BATCH = 500  # points
ITERATIONS = 50  # of L-BFGS
LARGEST_SUBSET = 10  # tasks
MEETINGS = 20  # subsets that each two tasks are in, about


@dataclass(frozen=True)
class Linear:
    """A model near its weights, at N points: outputs (N, O), and slopes (N, O, d)."""

    outputs: Tensor
    slopes: Tensor

    def __getitem__(self, rows: slice) -> Linear:
        return Linear(self.outputs[rows], self.slopes[rows])

    def of(self, columns: Sequence[int]) -> Linear:
        """Some of its outputs."""
        chosen = list(columns)
        return Linear(self.outputs[:, chosen], self.slopes[:, chosen])

    def moved(self, v: Tensor) -> Tensor:
        """The outputs (N, O) after a move (d,)."""
        return self.outputs + self.slopes @ v


class FineTuning:
    """Estimates what a joint model of T tasks comes to, fine-tuned on any of them.

    labels (N, T): of all its training points, which say how positives and classes are weighted;
    fitted, scored: the model near its weights at points that are learned and points that are
    judged, with their labels as `Heads.scaled` has them, NaN where missing.
    """

    def __init__(
        self,
        tasks: Sequence[Task],
        labels: NDArray[np.float32],
        fitted: tuple[Linear, Tensor],
        scored: tuple[Linear, Tensor],
        penalty: float = PENALTY,
    ) -> None:
        self.tasks, self.penalty = tuple(tasks), penalty
        self._labels, self._fitted, self._scored = labels, fitted, scored
        ends = np.cumsum([0, *(task.width for task in tasks)]).tolist()
        self._columns = [range(start, end) for start, end in pairwise(ends)]

    def losses(self, subset: Sequence[int]) -> Tensor:
        """The estimated losses of the subset's tasks, numbers from 0 to T − 1, in its order."""
        chosen = list(subset)
        columns = [column for task in chosen for column in self._columns[task]]
        (fitted, fitted_labels), (scored, scored_labels) = (
            (linear.of(columns), labels[:, chosen])
            for linear, labels in (self._fitted, self._scored)
        )
        tasks = [self.tasks[task] for task in chosen]
        heads = Heads(tasks, self._labels[:, chosen], fitted.outputs.device)

        def objective(v: Tensor) -> Tensor:
            losses = heads.losses(fitted.moved(v), fitted_labels)
            return losses.sum() + self.penalty * v.square().sum()

        v = minimum(objective, fitted.slopes.new_zeros(fitted.slopes.shape[-1]))
        return heads.losses(scored.moved(v), scored_labels)

    def affinity(self, seed: int = 0) -> Floats:
        """The mean gain of each task from each other, (T, T): affinity[source, target].

        Over the subsets of `sampled_subsets`; on the diagonal over all that the task is in. NaN for
        two that are in none together, and for a task without labels among the points.
        """
        n_tasks = len(self.tasks)
        alone = np.array([self.losses([task]).item() for task in range(n_tasks)])
        sums, counts = np.zeros((2, n_tasks, n_tasks))
        for subset in sampled_subsets(n_tasks, seed):
            with np.errstate(invalid="ignore", divide="ignore"):
                gains = 1 - self.losses(subset).cpu().numpy() / alone[list(subset)]
            sums[np.ix_(subset, subset)] += gains
            counts[np.ix_(subset, subset)] += 1
        return np.asarray(np.where(counts > 0, sums / np.maximum(counts, 1), np.nan))


def fine_tuning_of(model: nn.Module, spec: TrainingSpec, data: TaskData) -> FineTuning:
    """Of the joint model that a spec trained on some data, as its affinities need it.

    At most `GRADTAG_POINTS` of the training points are looked at, drawn by the seed of the spec.
    """
    data = checked(data, spec.group, spec.tasks).sample(spec.training_images)
    tasks = [spec.group.task(name) for name in spec.tasks]
    device = device_of(model)
    points = torch.tensor(data.train_points, device=device)
    drawn = np.random.default_rng(spec.seed).permutation(len(points))[:GRADTAG_POINTS]
    labels = Heads(tasks, data.train_labels).scaled(data.train_labels)
    of_points = torch.tensor(labels[drawn], device=device)
    linear = linearised(model, Normalisation(points)(points[drawn]), seed=spec.seed)
    half = slice(0, len(drawn) // 2), slice(len(drawn) // 2, None)
    fitted, scored = ((linear[rows], of_points[rows]) for rows in half)
    return FineTuning(tasks, data.train_labels, fitted, scored)


def linearised(
    model: nn.Module, points: Tensor, directions: int = GRADTAG_DIRECTIONS, seed: int = 0
) -> Linear:
    """A model near its weights, at points as it sees them, along seeded random directions.

    By forward-mode products, of 1 to 3 forward passes for each direction, whatever the number of
    outputs. A backward pass per point and output instead takes, for 8 tasks, half as long with
    convolutions and four times as long with mlp, for 16 twice that; and it needs all directions in
    memory, d numbers for each weight.
    """
    model.eval()
    weights = {name: p.detach() for name, p in model.named_parameters() if p.requires_grad}
    generator = torch.Generator().manual_seed(seed)
    batches = torch.split(points, BATCH)

    def outputs(weights: dict[str, Tensor], batch: Tensor) -> Tensor:
        found: Tensor = functional_call(model, weights, (batch,))
        return found

    def slope(direction: dict[str, Tensor], batch: Tensor) -> Tensor:
        found: Tensor = jvp(lambda w: outputs(w, batch), (weights,), (direction,))[1]
        return found

    slopes = []
    for start in range(0, directions, AT_ONCE):
        count = min(AT_ONCE, directions - start)
        drawn = {
            name: _signs((count, *p.shape), generator).to(p) / directions**0.5
            for name, p in weights.items()
        }
        parts = [vmap(slope, in_dims=(0, None))(drawn, batch) for batch in batches]
        slopes.append(torch.cat(parts, dim=1))
    with torch.no_grad():
        found = torch.cat([outputs(weights, batch) for batch in batches])
    return Linear(found, torch.cat(slopes).permute(1, 2, 0).contiguous())


def device_of(model: nn.Module) -> torch.device:
    return next(model.parameters()).device


def minimum(objective: Callable[[Tensor], Tensor], start: Tensor) -> Tensor:
    """Where a smooth convex objective is least, by L-BFGS."""
    v = start.clone().requires_grad_()
    optimizer = torch.optim.LBFGS([v], max_iter=ITERATIONS, line_search_fn="strong_wolfe")

    def closure() -> float:
        optimizer.zero_grad()
        value = objective(v)
        value.backward()  # type: ignore[no-untyped-call]
        return value.item()

    optimizer.step(closure)  # type: ignore[no-untyped-call]
    return v.detach()


def sampled_subsets(n_tasks: int, seed: int) -> list[tuple[int, ...]]:
    """Subsets of a quarter of the tasks, of 2 to 10: each two meet in about 20, at random.

    Where there are fewer subsets of that size, all of them. Of 100 tasks they are 2,200 of 10 (the
    paper: 2,500).
    """
    size = min(LARGEST_SUBSET, max(2, n_tasks // 4))
    wanted = ceil(MEETINGS * n_tasks * (n_tasks - 1) / (size * (size - 1)))
    if comb(n_tasks, size) <= wanted:
        return list(combinations(range(n_tasks), size))
    rng = np.random.default_rng(seed)
    return [tuple(rng.choice(n_tasks, size, replace=False).tolist()) for _ in range(wanted)]


def _signs(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """±1 at random."""
    return torch.randint(0, 2, shape, generator=generator, dtype=torch.int8) * 2 - 1
