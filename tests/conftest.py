"""What the tests share: an empty home for every test, and small real data to train on."""

from __future__ import annotations

import math
import os
import shutil
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from hypothesis import settings
from PIL import Image
from threadpoolctl import threadpool_limits

from stg_core.tasks.data import TaskData, load_task_data
from stg_core.tasks.groups import GROUPS
from stg_core.tasks.images import CLASS_NAMES
from stg_core.training.loop import TrainingResult, train
from stg_core.training.spec import TrainingSpec

# The same examples on every machine, and no failure because the machine is busy.
settings.register_profile("repeatable", derandomize=True, deadline=None, database=None)
settings.load_profile("repeatable")

# Threads that wait for each other are slow beside other work, here and in what tests start.
os.environ.setdefault("OMP_NUM_THREADS", "1")
torch.set_num_threads(1)
threadpool_limits(1)

CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def installed_chromium() -> str | None:
    """Path of the machine's Chromium; None where Playwright's own is to be used."""
    return next((path for name in CHROMIUM_NAMES if (path := shutil.which(name))), None)


def command_line(process: psutil.Process) -> list[str]:
    """What a process was started with; empty for one that has ended."""
    with suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
        return process.cmdline()
    return []


def realistic_maps(
    n_tasks: int, n_points: int, epochs: tuple[int, ...], seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Data maps (E, 2, T, N) and labels (N, T), with one class per task, as a training leaves them.

    Logits grow with the epoch, points differ in difficulty, and every epoch adds noise.
    """
    rng = np.random.default_rng(seed)
    classes = np.arange(n_points) % n_tasks
    labels = (classes[:, None] == np.arange(n_tasks)).astype(np.float32)
    ease = rng.normal(1.0, 1.0, (n_tasks, n_points)).astype(np.float32)
    ease += rng.normal(0.0, 0.7, n_points).astype(np.float32)
    mean, m2 = np.zeros_like(ease), np.zeros_like(ease)
    maps = np.empty((len(epochs), 2, n_tasks, n_points), dtype=np.float16)
    for epoch in range(1, epochs[-1] + 1):
        noise = rng.standard_normal(ease.shape, dtype=np.float32)
        confidence = 1 / (1 + np.exp(-math.sqrt(epoch) * ease - noise))
        delta = confidence - mean
        mean += delta / epoch
        m2 += delta * (confidence - mean)
        if epoch in epochs:
            maps[epochs.index(epoch)] = mean, np.sqrt(m2 / max(epoch - 1, 1))
    return maps, labels


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No test sees what another one, or the user, has on disk."""
    monkeypatch.setenv("STG_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("STG_DATA", str(tmp_path / "data"))
    return tmp_path / "home"


@pytest.fixture(scope="session")
def digits_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home that has the digits prepared and nothing else; to be copied."""
    home = tmp_path_factory.mktemp("digits") / "home"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STG_HOME", str(home))
        load_task_data(GROUPS["digits"])
    return home


@pytest.fixture(scope="session")
def digits_data(digits_home: Path) -> TaskData:
    """The real digits with their 15 tasks."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STG_HOME", str(digits_home))
        return load_task_data(GROUPS["digits"])


@pytest.fixture(scope="session")
def few_digits(digits_data: TaskData) -> TaskData:
    """Every fourth of them: enough where it counts what is trained, and not how well."""
    return replace(
        digits_data,
        train_points=digits_data.train_points[::4],
        train_labels=digits_data.train_labels[::4],
        test_points=digits_data.test_points[::4],
        test_labels=digits_data.test_labels[::4],
    )


@pytest.fixture(scope="session")
def digits_result(
    digits_data: TaskData, tmp_path_factory: pytest.TempPathFactory
) -> TrainingResult:
    """A real training on the digits, 4 epochs, recorded at 2, 3 and 4."""
    spec = TrainingSpec(GROUPS["digits"], epochs=4, seed=0)
    return train(spec, digits_data, folder=tmp_path_factory.mktemp("digits-run"))


def random_images(seed: int, count: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)


def write_tree(folder: Path, per_class: int = 4, dataset: str = "cifar10") -> Path:
    """An ImageFolder tree of random pixels, with every class of the data set."""
    for s, split in enumerate(("train", "test")):
        for c, name in enumerate(CLASS_NAMES[dataset]):
            (folder / split / name).mkdir(parents=True)
            for i, pixels in enumerate(random_images(1000 * s + c, per_class)):
                Image.fromarray(pixels).save(folder / split / name / f"{i:04}.png")
    return folder


@pytest.fixture
def cifar10_tree(tmp_path: Path) -> Path:
    """A small CIFAR-10 tree where `STG_DATA` expects it."""
    return write_tree(tmp_path / "data" / "cifar10")
