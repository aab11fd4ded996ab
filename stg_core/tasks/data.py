"""What a training reads: the points and labels of a task group."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stg_core.system.errors import UserError
from stg_core.system.words import counted, named
from stg_core.tasks.datasets import data_set_of
from stg_core.tasks.groups import SPLITS, Split, Task, TaskGroup, label_matrix, upside_down
from stg_core.tasks.images import CLASS_NAMES, IMAGE_COUNTS_AND_SHAPES, load_images

SAMPLE_SEED = 59


@dataclass(frozen=True)
class TaskData:
    """The points and labels of a task group, ready to train on.

    Points are images, uint8 (N, H, W, C), or rows, float32 (N, F). Labels are float32, (N, T), with
    NaN where one is missing: 1 or 0 of a binary task, the number of the class of a multi-class
    one, any number of a regression. Data with the same `digest` are equal, byte for byte.
    `scaling` says how rows were made of raw numbers, where that is known (see `DataSet.scaling`).
    """

    tasks: tuple[str, ...]
    train_points: NDArray[Any]
    train_labels: NDArray[np.float32]
    test_points: NDArray[Any]
    test_labels: NDArray[np.float32]
    digest: str = ""
    scaling: Mapping[str, Any] | None = None

    def select(self, tasks: Sequence[str]) -> TaskData:
        """The same points with the labels of some tasks only."""
        columns = [self.tasks.index(task) for task in tasks]
        return TaskData(
            tuple(tasks),
            self.train_points,
            self.train_labels[:, columns],
            self.test_points,
            self.test_labels[:, columns],
            self.digest,
            self.scaling,
        )

    def labelled(self, tasks: Sequence[str]) -> TaskData:
        """The same without the training points that have a label of none of some tasks."""
        columns = [self.tasks.index(task) for task in tasks]
        there = ~np.isnan(self.train_labels[:, columns]).all(axis=1)
        if there.all():
            return self
        return dataclasses.replace(
            self, train_points=self.train_points[there], train_labels=self.train_labels[there]
        )

    def sample(self, wanted: int) -> TaskData:
        """The same with so many training points, always the same ones; with all of them if 0.

        Raises UserError where there are not as many.
        """
        there = len(self.train_points)
        if wanted > there:
            raise UserError(
                f"There are {there:,} training points, and {wanted:,} were asked for;"
                " ask for fewer, or for all with 0."
            )
        if wanted in (0, there):
            return self
        drawn = sampled_points(there, wanted)
        return dataclasses.replace(
            self, train_points=self.train_points[drawn], train_labels=self.train_labels[drawn]
        )


def sampled_points(there: int, wanted: int) -> NDArray[np.int64]:
    """Which of `there` training points are trained on when `wanted` are, ascending; 0 for all."""
    order = np.random.default_rng(SAMPLE_SEED).permutation(there)
    return np.sort(order[: wanted or there])


def counts_and_shape(group: TaskGroup) -> tuple[int, ...]:
    """Training points, test points, and the shape of a point; UserError where they are unknown."""
    if group.dataset in IMAGE_COUNTS_AND_SHAPES:
        return IMAGE_COUNTS_AND_SHAPES[group.dataset]
    counts = data_set_of(group).counts
    return (counts["train"], counts["test"], *group.point_shape)


def load_task_data(
    group: TaskGroup, progress: Callable[[str, float], None] | None = None
) -> TaskData:
    """Points and labels of a group; raises UserError where the data are absent or damaged."""
    if group.dataset not in CLASS_NAMES:
        found = data_set_of(group)
        columns = found.columns_of(group)
        train_points, train_labels = found.split("train")
        test_points, test_labels = found.split("test")
        return TaskData(
            group.task_names,
            train_points,
            train_labels[:, columns],
            test_points,
            test_labels[:, columns],
            found.digest,
            found.scaling,
        )
    images = load_images(group.dataset, progress)
    arrays: dict[Split, tuple[NDArray[np.uint8], NDArray[np.float32]]] = {}
    for split in SPLITS:
        pixels, classes = images.split(split)
        if group.flips_images:
            turned = upside_down(len(pixels), split)
            pixels = np.array(pixels)
            pixels[turned] = pixels[turned, ::-1]
        arrays[split] = pixels, label_matrix(group, classes, split)
    return TaskData(group.task_names, *arrays["train"], *arrays["test"], images.digest)


def checked(data: TaskData, group: TaskGroup, tasks: Sequence[str]) -> TaskData:
    """The data of some tasks of a group, sure to be what can be trained on.

    Labels that only have another type (bool, whole numbers, doubles) are converted. Raises
    UserError, which names task and value, for labels of another shape, and for one that its task
    does not have.
    """
    train, test = (
        _checked_labels(labels, len(points), split, data.tasks)
        for split, points, labels in (
            ("train", data.train_points, data.train_labels),
            ("test", data.test_points, data.test_labels),
        )
    )
    if lacking := [name for name in tasks if name not in data.tasks]:
        raise UserError(f"The data have no labels of the task {named(lacking[0])}.")
    for name in tasks:
        for labels in (train, test):
            _check_values(labels[:, data.tasks.index(name)], group.task(name))
    return dataclasses.replace(data, train_labels=train, test_labels=test).select(tasks)


def _checked_labels(
    found: Any, n_points: int, split: str, tasks: Sequence[str]
) -> NDArray[np.float32]:
    """Labels (N, T) as float32; UserError where they are of another shape or no numbers."""
    labels = np.asarray(found)
    expected = (n_points, len(tasks))
    if labels.shape != expected:
        turned = " They may lie on their side: give them as points × tasks." * (
            labels.shape == expected[::-1]
        )
        raise UserError(
            f"The {split} labels are {' × '.join(map(str, labels.shape))} and should be"
            f" {' × '.join(map(str, expected))}: one row for each of"
            f" {counted(n_points, 'point')}, one column for each of"
            f" {counted(len(tasks), 'task')}.{turned}"
        )
    if labels.dtype.kind not in "buif":
        raise UserError(f"The {split} labels are of type {labels.dtype} and should be numbers.")
    return labels.astype(np.float32, copy=False)


def _check_values(labels: NDArray[np.float32], task: Task) -> None:
    """Raises UserError for a label that a task does not have; NaN is a missing one."""
    known = labels[~np.isnan(labels)]
    if task.kind == "regression":
        if not np.isfinite(known).all():
            raise UserError(f"A label of {named(task.name)} is infinite: leave it empty.")
        return
    answers = np.arange(2 if task.kind == "binary" else task.width)
    strange = known[~np.isin(known, answers)]
    if len(strange):
        missing = " If −1 stands for a missing label, put NaN there." * bool((strange == -1).any())
        expected = "1 and 0" if task.kind == "binary" else f"whole numbers from 0 to {answers[-1]}"
        raise UserError(
            f"{counted(len(strange), 'label')} of {named(task.name)} cannot be, such as"
            f" {strange[0]:g}: they should be {expected}, and NaN where one is missing.{missing}"
        )


def pos_weight(labels: NDArray[np.float32]) -> NDArray[np.float32]:
    """Negatives over positives of each task, shape (T,); missing labels count nowhere.

    A task without positives or without negatives gets weight 1.
    """
    return weight_of_counts((labels == 1).sum(axis=0), (labels == 0).sum(axis=0))


def weight_of_counts(
    positives: NDArray[np.integer], negatives: NDArray[np.integer]
) -> NDArray[np.float32]:
    """The same from how many labels (T,) there are of either kind."""
    usable = (positives > 0) & (negatives > 0)
    return np.where(usable, negatives / np.maximum(positives, 1), 1).astype(np.float32)
