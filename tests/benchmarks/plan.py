"""What a plan of specialists takes through the engine, over the shortest loop that trains them."""

from __future__ import annotations

import dataclasses
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from unittest import mock

import numpy as np

from stg_core.engine.jobs import Engine
from stg_core.engine.worker import DEVICE
from stg_core.results.store import Store
from stg_core.tasks.groups import GROUPS
from stg_core.training.spec import TrainingSpec

K, EPOCHS, N_TEST = 3, 3, 1_000


def plan_and_bare_loops(points: int, repetitions: int) -> tuple[list[float], list[float]]:
    """Seconds of a plan from submission to the last result in the store, and of as many bare loops.

    Both run in turn in the same warm worker, at its priority and with its threads.
    """
    ours, theirs = [], []
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        with mock.patch.dict(os.environ, STG_DATA=str(root / "data"), STG_HOME=str(root / "home")):
            _write_images(root / "data" / "cifar10", points)
            engine = Engine(Store())
            try:
                engine.start()
                _seconds_of_plan(engine, specialists(0)[:1])  # warms it, and prepares the images
                for seed in range(1, repetitions + 1):
                    ours.append(_seconds_of_plan(engine, specialists(seed)))
                    theirs.append(sum(_bare_seconds(engine, points) for _ in range(K)))
            finally:
                engine.stop()
    return ours, theirs


def specialists(seed: int) -> list[TrainingSpec]:
    memberships = np.random.default_rng(seed).dirichlet(np.ones(K), len(GROUPS["g1"].tasks))
    mtl = TrainingSpec(GROUPS["g1"], model="small_cnn", epochs=EPOCHS, recorded_epochs=())
    return [
        dataclasses.replace(mtl, seed=1_000 * j + seed, task_weights=tuple(column.tolist()))
        for j, column in enumerate(memberships.T)
    ]


def _seconds_of_plan(engine: Engine, specs: Sequence[TrainingSpec]) -> float:
    started = time.perf_counter()
    for spec in specs:
        engine.submit(spec)
    while any(job.active for job in engine.jobs()):
        time.sleep(0.01)
    taken = time.perf_counter() - started
    assert all(engine.store.get(spec) for spec in specs), engine.jobs()
    return taken


def _bare_seconds(engine: Engine, points: int) -> float:
    assert engine._connection.client is not None
    future = engine._connection.client.submit(bare_loop, points, resources=DEVICE, pure=False)
    return float(future.result())


def bare_loop(points: int) -> float:
    """Runs in the worker: seconds of one training in plain torch, whose images are normalised.

    The same model, batches, precision and optimiser, and after every epoch the same passes over
    test and training images; no data set to load, no scores, no checkpoint, no result, and nothing
    said to the C library about its memory.
    """
    import torch
    import torch.nn.functional as F

    from stg_core.training.inputs import choose_device
    from stg_core.training.models import build

    device, precision = choose_device()
    model = build("small_cnn", (3, 32, 32), 10).to(device).to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)
    images = torch.randn(points, 3, 32, 32, device=device)
    images = images.contiguous(memory_format=torch.channels_last)
    targets = (torch.rand(points, 10, device=device) < 0.1).float()
    test_images = images[:N_TEST]
    weight = torch.full((10,), 9.0, device=device)
    cast = torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")
    started = time.perf_counter()
    for _ in range(EPOCHS):
        model.train()
        for batch in torch.randperm(points, device=device).split(256):
            with cast:
                logits = model(images[batch])
            loss = F.binary_cross_entropy_with_logits(
                logits.float(), targets[batch], pos_weight=weight
            )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        model.eval()
        with torch.inference_mode(), cast:
            for part in (*images.split(1_000), *test_images.split(1_000)):
                model(part)
    if device.type != "cpu":
        torch.accelerator.synchronize()
    return time.perf_counter() - started


def _write_images(folder: Path, points: int) -> None:
    """A tree of random images: what they show makes no step faster or slower."""
    from PIL import Image

    from stg_core.tasks.images import CLASS_NAMES

    rng = np.random.default_rng(0)
    for split, count in (("train", points), ("test", N_TEST)):
        for i in range(count):
            place = folder / split / CLASS_NAMES["cifar10"][i % 10]
            place.mkdir(parents=True, exist_ok=True)
            pixels = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(place / f"{i:05}.png")
