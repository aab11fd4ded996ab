"""MTG-Net: a small attention network that learns from trained groups what tasks gain in any group.

Song et al. 2022. It imports torch, so nothing that the app process imports may import it at the top
of a module.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from torch import Tensor, nn

from stg_core.affinity.selection import Bools, Floats, Integers
from stg_core.system.errors import UserError

WIDTH, LAYERS = 64, 2
TEMPERATURE = 0.2
LEARNING_RATE, WEIGHT_DECAY = 7e-3, 5e-4
SNAPSHOTS = 2
PATIENCE, MOST_EPOCHS = 5, 1_000
NEVER = -1e15  # an attention score


class MtgNet:
    """Predicts gains (R, n) of groups; an estimator in the manner of scikit-learn.

    As published: 2 attention layers of width 64 with one head, softmax temperature 0.2, L1 loss of
    the members, Adam with learning rate 0.007 and weight decay 0.0005 on all groups at once, until
    5 epochs bring no lower training loss; the prediction is the mean of the two snapshots of lowest
    training loss. Chosen here: no projection after the only head, a hidden layer as wide as the
    network, at most 1,000 epochs instead of 10,000, and gains in units of their mean size, so that
    the learning rate fits any.

    The same seed and groups give the same predictions, in any order of the groups, and torch's own
    random numbers are left as they were. After `fit`: n_epochs_, loss_ (lowest, in units of gains).
    """

    def __init__(
        self, seed: int = 0, width: int = WIDTH, layers: int = LAYERS, patience: int = PATIENCE
    ) -> None:
        self.seed, self.width, self.layers, self.patience = seed, width, layers, patience

    def fit(self, masks: Bools, gains: Floats) -> Self:
        """Learns from trained groups, masks and gains (R, n), NaN where a gain is missing.

        Single tasks may be among them, with a gain of 0. Raises UserError where no gain is known or
        shapes do not fit.
        """
        masks, gains = np.asarray(masks, np.bool_), np.asarray(gains, np.float64)
        if masks.shape != gains.shape:
            raise UserError(f"Gains {gains.shape} do not fit the groups {masks.shape}.")
        known = masks & np.isfinite(gains)
        if not known.any():
            raise UserError("MTG-Net learns from trained groups; train at least one.")
        gains = np.where(known, gains, 0)
        order = np.lexsort((*gains.T, *masks.T))
        self._unit = float(np.abs(gains[known]).mean()) or 1.0
        with _own_random_numbers(self.seed), _one_thread():
            network = _Network(masks.shape[1], self.width, self.layers)
            self._train(
                network,
                torch.from_numpy(masks[order]),
                torch.from_numpy(known[order]),
                torch.from_numpy(gains[order] / self._unit).float(),
            )
        return self

    def _train(self, network: _Network, masks: Tensor, known: Tensor, gains: Tensor) -> None:
        optimiser = torch.optim.Adam(
            network.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY
        )
        best: list[tuple[float, int, _Network]] = []
        for epoch in range(MOST_EPOCHS):
            loss = (network(masks) - gains)[known].abs().mean()
            if len(best) < SNAPSHOTS or loss.item() < best[-1][0]:
                best = sorted([*best, (loss.item(), epoch, deepcopy(network))])[:SNAPSHOTS]
            if epoch - best[0][1] >= self.patience:
                break
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        self._snapshots = [snapshot for _, _, snapshot in best]
        self.n_epochs_, self.loss_ = epoch + 1, best[0][0] * self._unit

    @torch.no_grad()
    def predict(self, masks: Bools) -> Floats:
        """Gains (R, n): 0 for a task alone, NaN outside the mask."""
        masks = np.asarray(masks, np.bool_)
        with _one_thread():
            outputs = [network(torch.from_numpy(masks)) for network in self._snapshots]
        gains = torch.stack(outputs).mean(dim=0).double().numpy() * self._unit
        alone = masks.sum(axis=1, keepdims=True) == 1
        return np.where(masks, np.where(alone, 0.0, gains), np.nan)


class _Network(nn.Module):
    """Masks (R, n) to gains (R, n); what it says of tasks that are not members means nothing."""

    def __init__(self, n_tasks: int, width: int, layers: int) -> None:
        super().__init__()
        self.tasks = nn.Parameter(torch.randn(n_tasks, width))
        self.layers = nn.ModuleList(_Layer(width) for _ in range(layers))
        self.gain = nn.Linear(width, 1)

    def forward(self, masks: Tensor) -> Tensor:
        both = masks[:, :, None] & masks[:, None]
        tokens = self.tasks.expand(len(masks), -1, -1)
        for layer in self.layers:
            tokens = layer(tokens, both)
        gains: Tensor = self.gain(tokens)[:, :, 0]
        return gains


class _Layer(nn.Module):
    """Attention among the members of a group, and a layer for each task by itself."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(width, width, bias=False) for _ in range(3))
        self.apart = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width))
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))

    def forward(self, tokens: Tensor, both: Tensor) -> Tensor:
        alike = self.query(tokens) @ self.key(tokens).transpose(1, 2) * tokens.shape[2] ** -0.5
        attention = (alike.masked_fill(~both, NEVER) / TEMPERATURE).softmax(dim=2)
        tokens = self.norms[0](tokens + attention @ self.value(tokens))
        tokens = self.norms[1](tokens + self.apart(tokens))
        return tokens


@contextmanager
def _own_random_numbers(seed: int) -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


@contextmanager
def _one_thread() -> Iterator[None]:
    """The matrices are small: threads would only wait for each other, and round differently."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


# ---------------------------------------------------------------------------------- active sampling


@dataclass(frozen=True)
class Sampled:
    """rows: the groups that were trained, in their order; gains (len(rows), n): of each; model:
    what was learned from them and from single tasks, whose gain is 0."""

    rows: list[int]
    gains: Floats
    model: MtgNet


def active_learning(
    gains_of: Callable[[Integers], Floats],
    masks: Bools,
    added: int | None = None,
    seed: int = 0,
) -> Sampled:
    """Trains the group of all tasks, and then `added` groups, each chosen by what was learned.

    gains_of: gains (k, n) of some rows of the candidates, masks (R, n); it is asked for a row once,
    and never for a task alone. added: K·n in the paper, n(n − 1)/2 by default, as many as HOA's
    pairs; fewer where there are no more candidates. With the single tasks, which the gains refer
    to, that is n + 1 + added trainings. Raises UserError where the group of all tasks is not among
    the candidates.
    """
    masks = np.asarray(masks, np.bool_)
    n_tasks = masks.shape[1]
    whole = np.flatnonzero(masks.all(axis=1))[:1]
    if not len(whole):
        raise UserError("The group of all tasks is not among the candidates; add it.")
    added = n_tasks * (n_tasks - 1) // 2 if added is None else added
    rows, gains = whole.tolist(), np.asarray(gains_of(whole), dtype=np.float64)
    model, turn = _learned(masks, rows, gains, seed), 0
    while len(rows) <= added and len(open_rows(masks, rows)):
        asked = next_rows(masks, model.predict(masks), rows, turn)[: added + 1 - len(rows)]
        turn += 1
        if len(asked):
            rows += asked.tolist()
            gains = np.vstack([gains, gains_of(asked)])
            model = _learned(masks, rows, gains, seed)
    return Sampled(rows, gains, model)


def next_rows(masks: Bools, predicted: Floats, labelled: list[int], turn: int) -> Integers:
    """The groups to train in a turn, counted from 0; perhaps none.

    Turn r looks at task r mod n: of its groups that are not labelled, those with the largest
    predicted gain or loss, one in each of the first n turns and n in each later one. Of equal ones
    the first. Song et al. call this rule "activeper"; the "active" of their code adds no group.
    """
    n_tasks = masks.shape[1]
    task = turn % n_tasks
    candidates = open_rows(masks, labelled)
    candidates = candidates[masks[candidates, task]]
    order = np.argsort(-np.abs(predicted[candidates, task]), kind="stable")
    return np.asarray(candidates[order[: 1 if turn < n_tasks else n_tasks]])


def open_rows(masks: Bools, labelled: list[int]) -> Integers:
    """The groups of two tasks or more that are not labelled."""
    return np.setdiff1d(np.flatnonzero(masks.sum(axis=1) > 1), labelled)


def _learned(masks: Bools, rows: list[int], gains: Floats, seed: int) -> MtgNet:
    alone = np.eye(masks.shape[1], dtype=np.bool_)
    return MtgNet(seed).fit(
        np.vstack([alone, masks[rows]]), np.vstack([np.zeros(alone.shape), gains])
    )
