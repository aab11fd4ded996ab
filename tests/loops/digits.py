"""What the tests of other libraries' loops train on: twelve questions about real digits."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from sklearn.datasets import load_digits

from stg_core import Store, TaskLog
from stg_core.results.logged import LoggedRun

NAMES = [*(f"is {d}" for d in range(10)), "even", "above 4"]
_IMAGES, _DIGITS = load_digits(return_X_y=True)
_ANSWERS = np.stack([*(d == _DIGITS for d in range(10)), _DIGITS % 2 == 0, _DIGITS > 4], 1)
PIXELS = (_IMAGES / 16).astype(np.float32)[:600]
LABELS = _ANSWERS.astype(np.float32)[:600]
TEST_PIXELS = (_IMAGES / 16).astype(np.float32)[600:800]
TEST_LABELS = _ANSWERS.astype(np.float32)[600:800]

Batches = Iterable[tuple[Any, Any]]  # indices (B,), logits (B, T)


def network() -> torch.nn.Module:
    """The same weights each time."""
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Linear(64, 32), torch.nn.ReLU(), torch.nn.Linear(32, len(NAMES))
    )


def loss_of(logits: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.binary_cross_entropy_with_logits(logits, y)


def plainly_logged(name: str, epochs: Iterable[Batches]) -> LoggedRun:
    """The run of a plain loop of these batches."""
    with TaskLog(name, NAMES, LABELS) as log:
        for batches in epochs:
            for indices, logits in batches:
                log.update(indices, logits)
            log.end_epoch()
    return run_of(log)


def trained_plainly(name: str, epochs: int, batch_size: int) -> LoggedRun:
    """The run of a plain loop that trains the network, in the order of the data."""
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    x, y = torch.from_numpy(PIXELS), torch.from_numpy(LABELS)

    def batches() -> Batches:
        for indices in torch.arange(len(x)).split(batch_size):
            logits = model(x[indices])
            optimizer.zero_grad()
            loss_of(logits, y[indices]).backward()
            optimizer.step()
            yield indices, logits

    return plainly_logged(name, (batches() for _ in range(epochs)))


def run_of(log: TaskLog) -> LoggedRun:
    run = Store().run(log.run_id)
    assert isinstance(run, LoggedRun)
    return run


def maps_of(run: LoggedRun) -> np.ndarray:
    found = run.datamaps()
    assert found is not None
    return found


def points_of(pixels: np.ndarray) -> np.ndarray:
    """Which points these pixels (B, 64) are of, by looking at them."""
    same = (PIXELS[None] == np.asarray(pixels)[:, None]).all(axis=2)
    assert (same.sum(axis=1) == 1).all()
    return same.argmax(axis=1)
