"""Small logged runs of the real digits: a loop of somebody's own, and the replay of trainings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional as F

from stg_core.maps.log import TaskLog
from stg_core.results.logged import LoggedRun
from stg_core.results.run import Run
from stg_core.results.store import Store

NAMES = ("zero", "one", "seven", "odd", "large", "round")
N_TRAIN, N_TEST, EPOCHS = 400, 200, 3


def digits() -> tuple[Any, Any, Any, Any]:
    """train_inputs, train_labels (N, T), test_inputs, test_labels: some labels missing."""
    images, digit = load_digits(return_X_y=True)
    inputs = (images / 16).astype(np.float32)
    answers = [
        digit == 0,
        digit == 1,
        digit == 7,
        digit % 2 == 1,
        digit > 4,
        np.isin(digit, [0, 6, 8, 9]),
    ]
    labels = np.stack(answers, axis=1).astype(np.float32)
    labels[::7, 3] = np.nan
    split = slice(N_TRAIN), slice(N_TRAIN, N_TRAIN + N_TEST)
    (train, test) = split
    return inputs[train], labels[train], inputs[test], labels[test]


TRAIN_INPUTS, TRAIN_LABELS, TEST_INPUTS, TEST_LABELS = digits()


def make_model(size: float = 1, warm: bool = False, n_tasks: int = len(NAMES)) -> nn.Module:
    """Of `size` times the multiply-adds; none was kept to go on from."""
    hidden = round(32 * size)
    return nn.Sequential(nn.Linear(64, hidden), nn.ReLU(), nn.Linear(hidden, n_tasks))


class Loader:
    """Batches of indices, inputs and labels, in another order every epoch."""

    def __iter__(self) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
        for rows in torch.randperm(N_TRAIN).split(100):
            yield rows, torch.from_numpy(TRAIN_INPUTS)[rows], torch.from_numpy(TRAIN_LABELS)[rows]

    def __len__(self) -> int:
        return N_TRAIN // 100


def log_training(
    name: str,
    weights: Sequence[float] = (1.0,) * len(NAMES),
    *,
    seed: int = 0,
    epochs: int = EPOCHS,
    names: Sequence[str] = NAMES,
    train_labels: Any = TRAIN_LABELS,
    test_labels: Any = TEST_LABELS,
    test: bool = True,
    source: str = "TaskLog",
    close: bool = True,
) -> str:
    """A plain loop that logs; the id of its run."""
    torch.manual_seed(seed)
    model, shares = make_model(n_tasks=len(names)), torch.tensor(weights)
    targets = torch.from_numpy(train_labels)
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    log = TaskLog(
        *(name, names, train_labels),
        outputs="logits",
        test_labels=test_labels if test else None,
        source=source,
    )
    for _ in range(epochs):
        for rows, inputs, _ in Loader():
            logits, labels = model(inputs), targets[rows]
            each = F.binary_cross_entropy_with_logits(logits, labels.nan_to_num(), reduction="none")
            loss = ((each * ~labels.isnan()).mean(0) * shares).sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            log.update(rows, logits)
        if test:
            with torch.no_grad():
                log.test(model(torch.from_numpy(TEST_INPUTS))[: len(test_labels)])
        log.end_epoch()
    if close:
        log.close()
    log._let_go()
    return log.run_id


def replay(run: Run, name: str, folder: Path, **options: Any) -> LoggedRun:
    """Logs what a training of the own engine kept, as if somebody's loop had answered that."""
    tasks = run.spec.tasks
    labels = {split: np.array(run.labels(split), np.float32) for split in ("train", "test")}
    for each in labels.values():
        each[each < 0] = np.nan
    with TaskLog(
        *(name, tasks, labels["train"]),
        kinds="binary",
        outputs="logits",
        test_labels=labels["test"],
        folder=folder / "logs",
        **options,
    ) as log:
        outputs = zip(run.logits("train"), run.logits("test"), strict=True)
        for train, test in outputs:
            log.test(np.array(test, np.float32))
            log.epoch(np.array(train, np.float32))
    found = Store(folder).run(log.run_id)
    assert isinstance(found, LoggedRun)
    return found


def run_snippet(code: str) -> None:
    """Runs a snippet with what its first lines ask for."""
    given = {
        "make_model": make_model,
        "loader": Loader(),
        "train_labels": TRAIN_LABELS,
        "test_inputs": torch.from_numpy(TEST_INPUTS),
        "test_labels": TEST_LABELS,
    }
    exec(compile(code, "snippet.py", "exec"), given)
