"""Points of a run as its exported models take them, what these say of all, and a choice of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from app import state
from app.images import RunImages, images_of
from app.model_files import MTL, Models
from app.points import Rows
from stg_core.export.about import Input
from stg_core.maps.summary import DataMapSummary
from stg_core.results.run import Run
from stg_core.system.errors import UserError
from stg_core.tasks.groups import Split, label_matrix
from stg_core.tasks.images import prepared_images

MOST = 1_500  # points that can be chosen of a split: the models answer all of them first
USUAL = 4  # standard deviations from the mean, within which numbers are
DISPUTED, WRONG, ALL = "disputed", "MTL is wrong", "all"


@dataclass(frozen=True)
class Points:
    """Some points of a split, at even distances where it has more.

    indices: which of the run's own they are, (n,); inputs: raw, (n, …); labels: of the models'
    tasks, (n, T), NaN where one is missing; known: their images, or rows; there: how many the split
    has.
    """

    split: Split
    indices: NDArray[np.int64]
    inputs: NDArray[Any]
    labels: NDArray[np.float64]
    known: RunImages | Rows
    there: int

    def __len__(self) -> int:
        return len(self.indices)

    def called(self, i: int) -> str:
        """Such as "Test point 17, class 3, upside down"."""
        index, known = int(self.indices[i]), self.known
        said = known.called(index)
        turned = ", upside down" if isinstance(known, RunImages) and known.turned[index] else ""
        return f"{'Training' if self.split == 'train' else 'Test'} point {index}, {said}{turned}"


def points_to_try(models: Models, run: Run, split: Split) -> Points | None:
    """The points of a run for its models; None while another process prepares their images.

    Raises UserError where they are not on this machine, or have not the shape of the models'.
    """
    known: RunImages | Rows | None
    known = Rows(run, split) if run.spec.group.has_rows else images_of(run, split)
    if known is None:
        return None
    return _points(models.key, models.stamp, run.id, state.version(run), split, models, run, known)


@st.cache_resource(show_spinner=False, max_entries=8)
def _points(
    key: str,
    stamp: str,
    run_id: str,
    version: str,
    split: Split,
    _models: Models,
    _run: Run,
    _known: RunImages | Rows,
) -> Points:
    given, there = _models.about.input, len(_known.points)
    indices = offered(there, _run.summary if split == "train" and _run.has_data_maps else None)
    if isinstance(_known, Rows):
        rows = _known.rows(indices)
        inputs = raw_rows(rows, given) if given.raw else rows
    else:
        inputs = np.stack([_known.image(i) for i in indices.tolist()])
    if inputs.shape[1:] != given.shape:
        raise UserError("The points of this run have not the shape that these models take.")
    columns = [_run.spec.group.task_names.index(task) for task in _models.about.tasks]
    labels = labels_of(_run, _known)[indices][:, columns].astype(np.float64)
    return Points(split, indices, inputs, labels, _known, there)


def offered(there: int, summary: DataMapSummary | None) -> NDArray[np.int64]:
    """Which of so many points can be chosen: of those with data maps the ones that most tasks have.

    Not all of many points are kept in the summary of data maps.
    """
    best = np.arange(there)
    if summary is not None:
        best, times = np.unique(summary.sample_indices, return_counts=True)
        best = best[times >= np.sort(times)[-min(MOST, len(times))]].astype(np.int64)
    return best[np.linspace(0, len(best) - 1, min(MOST, len(best))).astype(np.int64)]


def raw_rows(rows: NDArray[np.float32], given: Input) -> NDArray[np.float32]:
    """Rows as they stood in their table, (n, F), NaN where a number was missing.

    rows: as the training saw them, (n, F) and a number for each gap; they are single precision, and
    what that left of a number is rounded to: a 0 is not 1e-8.
    """
    mean, deviation = np.array(given.mean), np.array(given.deviation)
    error = 2 * np.finfo(np.float32).eps * (np.abs(mean) + USUAL * deviation)
    step = 10.0 ** np.ceil(np.log10(error))
    raw = np.round((rows[:, : len(mean)] * deviation + mean) / step) * step
    for place, j in enumerate(given.gaps, start=len(mean)):
        raw[rows[:, place] > 0.5, j] = np.nan
    return raw.astype(np.float32)


def labels_of(run: Run, known: RunImages | Rows) -> NDArray[np.float32]:
    """Labels of all tasks of a run's group, (N, T), of the points of a split."""
    group = run.spec.group
    if known.own is not None:
        _, labels = known.own.split(known.split)
        return labels[known.points][:, known.own.columns_of(group)]
    found = prepared_images(group.dataset)
    assert found is not None, "its images are known"
    _, classes = found.split(known.split)
    return label_matrix(group, classes, known.split)[known.points]


# -------------------------------------------------------------------------- what the models say


@dataclass(frozen=True)
class Said:
    """What models say of n points, as their `predict` has it.

    by_scheme: (n, O) each; each: of the first one's k models, (n, k, O).
    """

    by_scheme: Mapping[str, NDArray[np.float32]]
    each: NDArray[np.float32]

    def of(self, i: int) -> Said:
        """Of one of the points."""
        by_scheme = {scheme: found[i : i + 1] for scheme, found in self.by_scheme.items()}
        return Said(by_scheme, self.each[i : i + 1])


def ask(models: Models, inputs: NDArray[Any]) -> Said:
    """What all models say of raw points (n, …)."""
    found = {scheme: one.predict(inputs) for scheme, one in models.by_scheme.items()}
    first = models.first.scheme
    return Said({scheme: one.probabilities for scheme, one in found.items()}, found[first].each)


def ask_all(models: Models, points: Points, run: Run) -> Said:
    """The same of all points that can be chosen; they are asked once."""
    return _asked(models.key, models.stamp, run.id, points.split, len(points), models, points)


@st.cache_resource(show_spinner="The models answer all points", max_entries=8)
def _asked(
    key: str, stamp: str, run_id: str, split: Split, n: int, _models: Models, _points: Points
) -> Said:
    return ask(_models, _points.inputs)


def answers(models: Models, probabilities: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Answers as labels write them, (…, T), of probabilities (…, O)."""
    found = np.empty((*probabilities.shape[:-1], len(models.tasks)))
    for t, task in enumerate(models.tasks):
        own = probabilities[..., models.columns[t]]
        if task.kind == "binary":
            found[..., t] = own[..., 0] > models.first.threshold
        else:
            found[..., t] = own.argmax(-1) if task.kind == "multiclass" else own[..., 0]
    return found


def disputed(models: Models, said: Said) -> NDArray[np.float64]:
    """How far apart the models of the first file are that give different answers, (n, T), else 0.

    Of the probability of a yes, or of the class that is chosen together; of those models that count
    for the task. Numbers always differ, and are not disputed.
    """
    first = models.first
    found = np.zeros((len(said.each), len(models.tasks)))
    given = answers(models, said.each)
    for t, task in enumerate(models.tasks):
        asked = np.flatnonzero(models.weights[:, t] > 0)
        if task.kind == "regression" or len(asked) < 2:
            continue
        columns = models.columns[t]
        chosen = said.by_scheme[first.scheme][:, columns].argmax(1)
        each = said.each[:, asked][..., columns]
        each = np.take_along_axis(each, chosen[:, None, None], 2)[..., 0]
        differ = np.ptp(given[:, asked, t], axis=1) > 0
        found[:, t] = np.ptp(each, axis=1) * differ
    return found


def mistaken(models: Models, said: Said, labels: NDArray[np.float64]) -> NDArray[np.float64]:
    """How sure MTL is of its mistakes, (n, T), 0 where it is right; numbers are never mistakes."""
    found = np.zeros(labels.shape)
    given = answers(models, said.by_scheme[MTL])
    for t, task in enumerate(models.tasks):
        if task.kind == "regression":
            continue
        own = said.by_scheme[MTL][:, models.columns[t]]
        sure = own.max(1) if task.kind == "multiclass" else np.maximum(own[:, 0], 1 - own[:, 0])
        wrong = (given[:, t] != labels[:, t]) & ~np.isnan(labels[:, t])
        found[:, t] = sure * wrong
    return found


def choose(
    models: Models, said: Said, labels: NDArray[np.float64], which: str, task: str | None
) -> NDArray[np.int64]:
    """Which points are shown, the most disputed, or the surest mistakes, first.

    task: of this one alone, else of all that are learned; of all points those with a yes to it, or
    with a label.
    """
    columns = np.flatnonzero(models.learned).tolist()
    if task is not None:
        columns = [models.about.tasks.index(task)]
    if which == ALL:
        if task is None:
            return np.arange(len(labels))
        binary = models.tasks[columns[0]].kind == "binary"
        own = labels[:, columns[0]]
        return np.flatnonzero(own == 1 if binary else ~np.isnan(own))
    found = disputed(models, said) if which == DISPUTED else mistaken(models, said, labels)
    much = found[:, columns].max(axis=1, initial=0)
    order = np.argsort(-much, kind="stable")
    return order[much[order] > 0]
