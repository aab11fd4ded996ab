"""What it takes, beside an epoch, to show a training while it goes on: at most 2 % is promised.

`python -m tests.benchmarks.showing [group] [model] [points] [epochs]`, on random images of a
group's shape. By the processor time of the thread that trains, so that other work does not count.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from stg_core.tasks.data import TaskData, counts_and_shape
from stg_core.tasks.groups import GROUPS
from stg_core.training import loop
from stg_core.training.spec import TrainingSpec


def shares(group: str, model: str, points: int, epochs: int) -> tuple[float, list[float]]:
    """Median seconds of an epoch with its evaluation, and what showing takes in each, beyond the
    data maps of recorded epochs."""
    spec = TrainingSpec(
        GROUPS[group], model=model, epochs=epochs, recorded_epochs=(epochs,), batch_size=256
    )
    n_train, n_test, *shape = counts_and_shape(spec.group)
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (points or n_train, *shape), dtype=np.uint8)
    labels = (rng.random((len(images), len(spec.tasks))) < 0.1).astype(np.float32)
    test = min(len(images), n_test) if not points else points // 5
    data = TaskData(spec.tasks, images, labels, images[:test], labels[:test])
    spent: list[float] = []

    def timed(method: Callable[..., Any], counts: Callable[[Any], bool]) -> Callable[..., Any]:
        def run(self: Any, *arguments: Any) -> Any:
            began = time.thread_time()
            try:
                return method(self, *arguments)
            finally:
                if counts(self):
                    spent.append(time.thread_time() - began)

        return run

    class Run(loop._Run):
        keep_map = timed(loop._Run.keep_map, lambda run: 2 <= run.training.epoch < epochs)
        show = timed(loop._Run.show, lambda run: 2 <= run.training.epoch < epochs)

    usual, loop._Run = loop._Run, Run  # type: ignore[misc]
    try:
        metrics = loop.train(spec, data).metrics
    finally:
        loop._Run = usual  # type: ignore[misc]
    both = zip(metrics["own_seconds"], metrics["own_evaluation_seconds"], strict=True)
    each = [sum(pair) for pair in zip(spent[::2], spent[1::2], strict=True)]
    return statistics.median(map(sum, both)), each


def main() -> None:
    words = [*sys.argv[1:], *("digits", "tiny_cnn", "0", "6")[len(sys.argv) - 1 :]]
    epoch, spent = shares(words[0], words[1], int(words[2]), int(words[3]))
    shown = statistics.median(spent)
    print(
        f"{words[0]}, {words[1]}: showing takes {1000 * shown:.1f} ms of an epoch of {epoch:.2f} s,"
        f" {shown / epoch:.2%} (promised: at most 2 %)"
    )


if __name__ == "__main__":
    main()
