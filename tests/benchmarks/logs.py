"""What a log takes beside the steps of the loop that it logs."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from stg_core.maps.log import TaskLog
from stg_core.training.models import build

TASKS, BATCH, POINTS = 100, 256, 50_000


def seconds_of_steps(model: str, repetitions: int) -> tuple[list[float], list[float]]:
    """Seconds of `log.update`, and of the plain training steps between, on CIFAR-shaped images."""
    torch.manual_seed(0)
    network = build(model, (3, 32, 32), TASKS).to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.Adam(network.parameters(), fused=True)
    labels = torch.randint(0, 2, (POINTS, TASKS)).float()
    images = torch.rand(BATCH, 3, 32, 32).contiguous(memory_format=torch.channels_last)
    updates, steps = [], []
    with tempfile.TemporaryDirectory() as folder:
        log = TaskLog("bench", None, labels, outputs="logits", folder=Path(folder))
        for _ in range(repetitions + 3):
            rows = torch.randperm(POINTS)[:BATCH]
            began = time.perf_counter()
            logits = network(images)
            loss = F.binary_cross_entropy_with_logits(logits, labels[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            middle = time.perf_counter()
            log.update(rows, logits)
            updates.append(time.perf_counter() - middle)
            steps.append(middle - began)
        log._let_go()
    return updates[3:], steps[3:]


def seconds_of_end(repetitions: int) -> tuple[list[float], int]:
    """Seconds of `log.end_epoch`, and of how many points."""
    labels = np.random.default_rng(0).integers(0, 2, (POINTS, TASKS)).astype(np.float32)
    ends = []
    with tempfile.TemporaryDirectory() as folder:
        log = TaskLog("bench", None, labels, outputs="logits", folder=Path(folder))
        for _ in range(repetitions + 1):
            log.update(np.arange(BATCH), np.zeros((BATCH, TASKS), np.float32))
            began = time.perf_counter()
            log.end_epoch()
            ends.append(time.perf_counter() - began)
        log._let_go()
    return ends[1:], POINTS
