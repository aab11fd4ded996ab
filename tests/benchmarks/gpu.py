"""What the design promises about a GPU, measured: `make gpu`, in about ten minutes.

Without a GPU `python -m tests.benchmarks.gpu --device cpu --points 1024 --model tiny_cnn` runs the
same on the CPU, to see that it runs: its figures say nothing about a GPU.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from stg_core.maps.recorder import DataMapRecorder, confidence
from stg_core.tasks.data import TaskData
from stg_core.tasks.groups import GROUPS, label_matrix
from stg_core.training.inputs import Normalisation, autocast, choose_device
from stg_core.training.loop import train
from stg_core.training.models import build
from stg_core.training.spec import TrainingSpec

TASKS = 100


class Step:
    """One training step in the shortest way: bf16 where the hardware has it, channels-last."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.device, self.precision = choose_device(options.device)
        torch.manual_seed(0)
        self.model: Any = build(options.model, (3, 32, 32), TASKS).to(self.device)
        self.model = self.model.to(memory_format=torch.channels_last).train()
        # for graphs, which record the addresses that the optimiser writes to
        self.optimizer = torch.optim.Adam(
            self.model.parameters(), lr=1e-3, fused=True, capturable=self.device.type == "cuda"
        )

    def __call__(self, images: Tensor, targets: Tensor) -> Tensor:
        with autocast(self.device, self.precision):
            logits = self.model(images)
        logits = logits.float()
        self.optimizer.zero_grad()
        F.binary_cross_entropy_with_logits(logits, targets).backward()
        self.optimizer.step()
        return logits.detach()

    def wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def data_of(points: int) -> TaskData:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (points, 32, 32, 3), dtype=np.uint8)
    labels = label_matrix(GROUPS["g3"], rng.integers(0, 100, points).astype(np.uint8), "train")
    return TaskData(GROUPS["g3"].task_names, images, labels, images[:100], labels[:100])


def seconds(step: Step, work: Callable[[], object]) -> float:
    step.wait()
    started = time.perf_counter()
    work()
    step.wait()
    return time.perf_counter() - started


def told(what: str, ratio: float, target: float | None) -> None:
    goal = "" if target is None else f" (promised: at most {target:g})"
    print(f"{what}: {ratio:.3f}{goal}", flush=True)


def batches(options: argparse.Namespace, step: Step, data: TaskData) -> list[tuple[Tensor, Tensor]]:
    """Of an epoch, on the device, as the model sees them."""
    points = torch.tensor(data.train_points, device=step.device)
    normalised = Normalisation(points)
    labels = torch.tensor(data.train_labels, device=step.device)
    return [
        (normalised(one).contiguous(memory_format=torch.channels_last), other)
        for one, other in zip(points.split(options.batch), labels.split(options.batch), strict=True)
    ]


def against_a_bare_loop(options: argparse.Namespace, step: Step, data: TaskData) -> None:
    ready = batches(options, step, data)

    def bare() -> None:
        for images, targets in ready:
            step(images, targets)

    spec = TrainingSpec(
        *(GROUPS["g3"],),
        model=options.model,
        epochs=options.repetitions + 1,
        batch_size=options.batch,
    )
    ours = train(spec, data, device=options.device).metrics["seconds"][1:]
    bare()
    theirs = [seconds(step, bare) for _ in range(options.repetitions)]
    ratio = statistics.median(ours) / statistics.median(theirs)
    told(
        f"an epoch of train() over a bare loop, {options.model}, batch {options.batch}", ratio, 1.05
    )
    print(f"    {len(data.train_points) / statistics.median(ours):,.0f} images per second")


def against_a_loader(options: argparse.Namespace, step: Step, data: TaskData) -> None:
    from PIL import Image
    from torchvision import transforms

    usual = transforms.Compose(
        [transforms.ToTensor(), transforms.Normalize((0.5,) * 3, (0.25,) * 3)]
    )

    class Items(torch.utils.data.Dataset[Any]):
        def __len__(self) -> int:
            return len(data.train_points)

        def __getitem__(self, index: int) -> tuple[Any, Any]:
            picture = usual(Image.fromarray(data.train_points[index]))
            return picture, torch.from_numpy(data.train_labels[index])

    loader: Any = torch.utils.data.DataLoader(
        Items(),
        batch_size=options.batch,
        shuffle=True,
        num_workers=options.workers,
        persistent_workers=options.workers > 0,
        pin_memory=step.device.type == "cuda",
    )

    def fed() -> None:
        for images, targets in loader:
            there = images.to(step.device, memory_format=torch.channels_last, non_blocking=True)
            step(there, targets.to(step.device, non_blocking=True))

    fed()
    theirs = seconds(step, fed)
    spec = TrainingSpec(GROUPS["g3"], model=options.model, epochs=2, batch_size=options.batch)
    ours = train(spec, data, device=options.device).metrics["seconds"][-1]
    told(
        f"an epoch of train() over one fed by a DataLoader of {options.workers}",
        ours / theirs,
        None,
    )


def record(recorder: DataMapRecorder, rows: slice, logits: Tensor, targets: Tensor) -> None:
    recorder.update(rows, confidence(logits, targets))


def of_the_recorder(options: argparse.Namespace, step: Step, data: TaskData) -> None:
    images, targets = batches(options, step, data)[0]
    recorder = DataMapRecorder(len(data.train_points), TASKS, step.device)
    rows = slice(0, len(images))
    for _ in range(5):
        recorder.update(rows, confidence(step(images, targets), targets))
    steps, records = [], []
    for _ in range(20 * options.repetitions):
        logits = step(images, targets)
        steps.append(seconds(step, partial(step, images, targets)))
        recorded = partial(record, recorder, rows, logits, targets)
        records.append(seconds(step, recorded))
    ratio = statistics.median(records) / statistics.median(steps)
    told(
        f"recording {TASKS} tasks over a step, {options.model}, batch {options.batch}", ratio, 0.01
    )


def of_compiling(options: argparse.Namespace, step: Step, data: TaskData) -> None:
    """`torch.compile`, which on a GPU with mode="reduce-overhead" records CUDA graphs."""
    images, targets = batches(options, step, data)[0]

    def median(tried: Step) -> float:
        for _ in range(5):
            tried(images, targets)
        return statistics.median(
            seconds(tried, lambda: tried(images, targets)) for _ in range(10 * options.repetitions)
        )

    eager = median(step)
    for name, mode in (
        ("torch.compile", "default"),
        ("torch.compile with CUDA graphs", "reduce-overhead"),
    ):
        tried = Step(options)
        tried.model = torch.compile(tried.model, mode=mode)
        try:
            first = seconds(tried, partial(tried, images, targets))
            told(f"a step with {name} over one without", median(tried) / eager, None)
            print(f"    the first step took {first:.0f} s")
        except Exception as error:  # a compiler that is not there
            print(f"{name} cannot be tried ({type(error).__name__}: {str(error)[:200]}).")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--model", default="resnet18")
    parser.add_argument("--batch", type=int, default=512)
    parser.add_argument("--points", type=int, default=50_000)
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--workers", type=int, default=8)
    options = parser.parse_args()
    if options.device == "cuda" and not torch.cuda.is_available():
        print("There is no GPU: nothing was measured.")
        sys.exit(0)
    step, data = Step(options), data_of(options.points)
    for measure in (against_a_bare_loop, against_a_loader, of_the_recorder, of_compiling):
        measure(options, step, data)


if __name__ == "__main__":
    main()
