"""Facts of a data set that decide whether its data maps can be trusted, and warnings of them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow.parquet as parquet
from numpy.typing import NDArray

from stg_core.system.errors import UserError
from stg_core.system.words import counted, named
from stg_core.tasks.choices import listed
from stg_core.tasks.datasets import DataSet
from stg_core.tasks.groups import SPLITS, Split, Task

FEWEST_POSITIVES = 20
SMALLEST_OVERLAP = 0.3
STAND_INS = (-1.0, -9.0, -99.0, -999.0, -9999.0, 999.0, 9999.0)  # for a missing number, to some
LARGEST_PREVALENCE = 0.95
ROWS_AT_ONCE, PRINTED_AT_ONCE = 2**14, 2**11


@dataclass(frozen=True)
class TaskFacts:
    """labelled: labels of each split that are not missing; counts: of each answer, (V,) — no and
    yes, or the classes — () of a regression; missing: share of all points without a label."""

    task: Task
    labelled: Mapping[Split, int]
    counts: Mapping[Split, tuple[int, ...]]
    missing: float

    def positives(self, split: Split) -> int | None:
        """None unless the task is binary."""
        return self.counts[split][1] if self.task.kind == "binary" else None

    @property
    def prevalence(self) -> float | None:
        """Share of positives in the training labels; None unless binary, or without labels."""
        positives, labelled = self.positives("train"), self.labelled["train"]
        return positives / labelled if positives is not None and labelled else None


@dataclass(frozen=True)
class Facts:
    """overlap: share (T, T) of training points with a label for one of two tasks that have labels
    for both; warnings: sentences, the gravest first."""

    tasks: tuple[TaskFacts, ...]
    overlap: NDArray[np.float64]
    warnings: tuple[str, ...]

    @property
    def median_overlap(self) -> float:
        """Of two different tasks; 1 where there is only one task."""
        pairs = self.overlap[np.triu_indices(len(self.overlap), 1)]
        return float(np.median(pairs)) if len(pairs) else 1.0


def facts_of(found: DataSet) -> Facts:
    """Reads all labels and points of a data set once."""
    # columns in one piece: each is looked at several times
    labels = {split: np.asfortranarray(found.split(split)[1]) for split in SPLITS}
    tasks = tuple(_task_facts(task, t, labels) for t, task in enumerate(found.group.tasks))
    facts = Facts(tasks, overlap_of(labels["train"]), ())
    warnings = [
        *_about_splits(tasks),
        *_about_same_tasks(found.group.tasks, labels),
        *_about_overlap(facts),
        *_about_strange_labels(found.group.tasks, labels["train"]),
        *_about_repeated_points(found),
    ]
    return Facts(tasks, facts.overlap, tuple(warnings))


def before_training(found: DataSet, tasks: Sequence[str]) -> list[str]:
    """Warnings that some tasks lack labels, or an answer, in a split; reads the labels only."""
    labels = {split: np.asarray(found.split(split)[1]) for split in SPLITS}
    every = enumerate(found.group.tasks)
    return list(_about_splits([_task_facts(t, i, labels) for i, t in every if t.name in tasks]))


def overlap_of(labels: NDArray[np.float32]) -> NDArray[np.float64]:
    """Of labels (N, T), NaN where one is missing: (T, T), labelled for both over for either."""
    known = ~np.isnan(labels)
    whole = known.all(axis=1)  # those count for every pair
    gappy = known[~whole].astype(np.float32)
    both = np.full((labels.shape[1],) * 2, float(whole.sum()))
    for start in range(0, len(gappy), ROWS_AT_ONCE):  # float32 counts exactly up to 2²⁴
        block = gappy[start : start + ROWS_AT_ONCE]
        both += block.T @ block
    each = np.diag(both)
    either = each[:, None] + each[None] - both
    return np.asarray(both / np.maximum(either, 1))


def _task_facts(task: Task, t: int, labels: Mapping[Split, NDArray[np.float32]]) -> TaskFacts:
    labelled: dict[Split, int] = {}
    counts: dict[Split, tuple[int, ...]] = {}
    for split in SPLITS:
        column = labels[split][:, t]
        known = column[~np.isnan(column)]
        labelled[split] = len(known)
        answers = 0 if task.kind == "regression" else max(2, task.width)
        found = np.bincount(known.astype(np.int64), minlength=answers) if answers else ()
        counts[split] = tuple(int(count) for count in found)
    n_points = sum(len(labels[split]) for split in SPLITS)
    return TaskFacts(task, labelled, counts, 1 - sum(labelled.values()) / max(1, n_points))


# --------------------------------------------------------------------------------------- warnings


def _told(names: Sequence[str], one: str, several: str) -> Iterator[str]:
    """A warning about some tasks, if there are any."""
    if names:
        what = one if len(names) == 1 else several
        yield f"{counted(len(names), 'task')} {what}: {listed(names)}."


def _about_splits(tasks: Sequence[TaskFacts]) -> Iterator[str]:
    for split in SPLITS:
        where = "for training" if split == "train" else "for testing"
        yield from _told(
            [one.task.name for one in tasks if not one.labelled[split]],
            f"has no label {where}",
            f"have no label {where}",
        )
        for answer, what in ((1, "positive"), (0, "negative")):
            lacking = [
                one.task.name
                for one in tasks
                if one.task.kind == "binary"
                and one.labelled[split]
                and not one.counts[split][answer]
            ]
            yield from _told(lacking, f"has no {what} {where}", f"have no {what} {where}")
        yield from _told(
            [
                one.task.name
                for one in tasks
                if one.task.kind == "multiclass" and one.labelled[split] and 0 in one.counts[split]
            ],
            f"has a class without a point {where}",
            f"have classes without a point {where}",
        )
    few = [
        f"{one.task.name} ({positives})"
        for one in tasks
        if (positives := one.positives("train")) and positives < FEWEST_POSITIVES
    ]
    yield from _told(
        few,
        f"has fewer than {FEWEST_POSITIVES} positives for training, too few to say how it is"
        " learned",
        f"have fewer than {FEWEST_POSITIVES} positives for training, too few to say how they are"
        " learned",
    )
    much = [o.task.name for o in tasks if LARGEST_PREVALENCE < (o.prevalence or 0) < 1]
    yield from _told(
        much,
        "is positive for nearly all points: is yes written as 1",
        "are positive for nearly all points: is yes written as 1",
    )


def _about_same_tasks(
    tasks: Sequence[Task], labels: Mapping[Split, NDArray[np.float32]]
) -> Iterator[str]:
    """Tasks with the same labels as an earlier one, and exact complements."""
    seen: dict[tuple[int, int], str] = {}
    for t, task in enumerate(tasks):
        column = np.concatenate([labels[split][:, t] for split in SPLITS]) + np.float32(0)
        binary = task.kind == "binary"
        key, complement = _hashes(column), _hashes(np.float32(1) - column) if binary else (0, 0)
        if same := seen.get(key):
            yield f"Task {named(task.name)} has the same labels as {named(same)}: leave one out."
        elif binary and (other := seen.get(complement)):
            yield (
                f"Task {named(task.name)} is the exact complement of {named(other)}: the two are"
                " learned as one."
            )
        seen.setdefault(key, task.name)
        known = column[~np.isnan(column)]
        if task.kind == "regression" and len(known) and (known == known[0]).all():
            yield f"All labels of {named(task.name)} are alike ({known[0]:g}): leave it out."


def _hashes(column: NDArray[np.float32]) -> tuple[int, int]:
    """The same for columns with the same labels, missing ones included."""
    known = ~np.isnan(column)
    return hash(known.tobytes()), hash(np.where(known, column, 0).tobytes())


def _about_overlap(facts: Facts) -> Iterator[str]:
    if facts.median_overlap < SMALLEST_OVERLAP:
        yield (
            f"Two tasks have labels for the same points in {facts.median_overlap:.0%} of the cases"
            " (median). Data maps are compared point by point: with so few points in common, what"
            " is alike cannot be told."
        )


def _about_strange_labels(tasks: Sequence[Task], labels: NDArray[np.float32]) -> Iterator[str]:
    for t, task in enumerate(tasks):
        if task.kind == "multiclass":
            forms = Counter(re.sub(r"\W+", "", value).casefold() for value in task.values)
            for form in (form for form, count in forms.items() if form and count > 1):
                alike = [v for v in task.values if re.sub(r"\W+", "", v).casefold() == form]
                if not all(value.replace("-", "").replace(".", "").isdigit() for value in alike):
                    yield (f"Task {named(task.name)} has classes that may be one: {listed(alike)}.")
        elif task.kind == "regression":
            known = labels[~np.isnan(labels[:, t]), t]
            for stand_in in STAND_INS:
                rest = known[known != stand_in]
                count = len(known) - len(rest)
                if count >= 3 and len(rest) and not rest.min() <= stand_in <= rest.max():
                    yield (
                        f"Task {named(task.name)} has {counted(count, 'label')} of {stand_in:g},"
                        f" outside of all others: if those are missing, say --missing={stand_in:g}."
                    )


def _about_repeated_points(found: DataSet) -> Iterator[str]:
    ids = [one for split in SPLITS for one in _ids(found, split)]
    if repeated := len(ids) - len(set(ids)):
        [(most, _)] = Counter(ids).most_common(1)
        yield (
            f"{counted(repeated, 'point')} {'has' if repeated == 1 else 'have'} the id of another"
            f" one, such as {named(most)}."
        )
    train, test = (_prints(found.split(split)[0]) for split in SPLITS)
    if inside := len(train) - len(np.unique(train)):
        yield (
            f"{counted(inside, 'training point')} {'repeats' if inside == 1 else 'repeat'} others,"
            " number for number."
        )
    if shared := int(np.isin(test, train).sum()):
        yield (
            f"{counted(shared, 'test point')} {'is' if shared == 1 else 'are'} among the training"
            " points too, number for number: what is learned by heart looks like knowledge there."
        )


def _ids(found: DataSet, split: Split) -> list[str]:
    try:
        table = parquet.read_table(found.folder / f"{split}_about.parquet", columns=["id"])
    except (OSError, ValueError) as error:
        raise UserError(f"The data set {found.name} is damaged ({error}): add it again.") from error
    ids: list[str] = table.column("id").to_pylist()
    return ids


def _prints(points: NDArray[np.generic]) -> NDArray[np.int64]:
    """A number (N,) for each point, the same for equal ones and, in all likelihood, no others."""
    size = points.dtype.itemsize * int(np.prod(points.shape[1:]))
    prints = np.empty(len(points), dtype=np.int64)
    for start in range(0, len(points), PRINTED_AT_ONCE):
        block = np.ascontiguousarray(points[start : start + PRINTED_AT_ONCE])
        rows = block.reshape(len(block), -1).view(f"V{size}").ravel().tolist()  # as bytes
        prints[start : start + len(block)] = [hash(row) for row in rows]
    return prints
