"""Affinities from what a run of all tasks keeps: its labels, outputs and data maps; no training.

Each is (T, T) over the tasks of the run; larger is better together, symmetric, NaN where unknown.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from stg_core.affinity.associations import associations, balanced_agreement
from stg_core.grouping.memberships import TaskSpace
from stg_core.judging.ensembles import Answers
from stg_core.maps.labels import LEAST_OVERLAP, overlap_of_counts, prevalence
from stg_core.maps.summary import BINS, FEATURES, MAX_VARIABILITY, DataMapSummary
from stg_core.results.run import Run
from stg_core.system.errors import UserError
from stg_core.system.words import counted, named
from stg_core.tasks.data import weight_of_counts
from stg_core.tasks.groups import Kind

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]

CELLS = (np.arange(BINS) + 0.5) / BINS  # the middles of the histogram's cells
QUANTILES = (np.arange(1_000) + 0.5) / 1_000
PAIRS_NAMED = 3


@dataclass(frozen=True)
class Output:
    """An affinity that costs no training beyond the run itself."""

    title: str
    of: Callable[[Run], Floats]


def affinity_from(run: Run, name: str) -> Floats:
    """One of the `OUTPUTS` of a run, (T, T) in the order of its tasks.

    Raises UserError for one that there is not, and for a run that has not kept what it needs.
    """
    if name not in OUTPUTS:
        raise UserError(f"There is no affinity {name!r}; choose from {', '.join(OUTPUTS)}.")
    return OUTPUTS[name].of(run)


# --------------------------------------------------------------------------------------- labels


def label_correlation(run: Run) -> Floats:
    """How well the labels of two tasks go together: |φ|, or what `associations` takes for it.

    Over the measured training points, at most 10,000, that have labels for both. It needs no model,
    and is the baseline that every other affinity should beat.
    """
    labels = known_labels(run)
    return associations(labels, labels, _kinds(run))


def known_labels(run: Run) -> Floats:
    """Labels of the measured training points, (N, T), NaN where one is missing."""
    labels = run.labels("train")
    found = labels.astype(np.float64)
    if labels.dtype.kind == "i":
        found[labels < 0] = np.nan
    return found


# -------------------------------------------------------------------------------------- outputs


def cross_task_errors(run: Run) -> Floats:
    """How alike two tasks are told by the outputs of all tasks: the cosine of their rows of S.

    S[i, j]: how well the answers of task j's output after the last epoch fit the labels of task i,
    on the measured training points: |1 − 2 · balanced error|, so that a task and its opposite are
    near; of other than yes-or-no tasks, `associations`. After RMB-CLE (arXiv 2602.14231), which
    has 1/error of a model per task in place of S; here the outputs of the joint model are taken.
    """
    kinds, labels = _kinds(run), known_labels(run)
    said = _answers(run, kinds)
    fits = associations(labels, said, kinds)
    binary = [t for t, kind in enumerate(kinds) if kind == "binary"]
    fits[np.ix_(binary, binary)] = balanced_agreement(labels[:, binary], said[:, binary])
    known, filled = (~np.isnan(fits)).astype(np.float64), np.nan_to_num(fits)
    lengths = np.sqrt((filled**2 @ known.T) * (known @ filled.T**2))
    return np.where(lengths > 0, filled @ filled.T / np.where(lengths > 0, lengths, 1), np.nan)


def _answers(run: Run, kinds: Sequence[Kind]) -> Floats:
    """What the outputs say after the last epoch, (N, T): 1 or 0, the class, or the number."""
    answers = Answers.of([run.spec.group.task(name) for name in run.spec.tasks])
    outputs = np.array(run.logits("train")[-1], dtype=np.float64)
    said = np.empty((len(outputs), len(kinds)))
    for t, kind in enumerate(kinds):
        own = outputs[:, answers.outputs_of([t])]
        if kind == "multiclass":
            said[:, t] = own.argmax(axis=1)
        else:
            said[:, t] = own[:, 0] > 0 if kind == "binary" else own[:, 0]
    return said


# ------------------------------------------------------------------------------------ data maps


def pvi_similarity(summary: DataMapSummary) -> Floats:
    """How alike the distributions of pointwise V-information of two tasks are: `alike`, in bits.

    PVI = log₂ g(y|x) − log₂ g₀(y) (Ethayarajh et al. 2022; Li et al. 2024 group tasks by it). For
    g(y|x) stands the confidence at the last recorded epoch, for g₀(y) the share of that answer
    among the labels. Trainings weight positives until both answers count alike, and a confidence is
    meant likewise: that weight is divided out first, so that a confidence of one half is worth 0
    bits. Distance: that of Wasserstein, between the distributions over training points. NaN for
    tasks that are not answered by yes or no, and for those with one kind of labels only.
    """
    counts = summary.histogram[-1].sum(axis=3, dtype=np.int64)  # no and yes, (T, 2, BINS)
    negatives, positives = counts.sum(axis=2).T
    weight, share = weight_of_counts(positives, negatives), prevalence(summary)
    log_odds = np.log(CELLS) - np.log1p(-CELLS)
    quantiles = np.full((len(share), len(QUANTILES)), np.nan)
    for t in np.flatnonzero((positives > 0) & (negatives > 0) & ~np.isnan(share)):
        told = log_odds + np.log(weight[t]) * np.array([[1], [-1]])
        bits = -np.logaddexp(0, -told) - np.log([[1 - share[t]], [share[t]]])
        quantiles[t] = _quantiles(bits.ravel() / np.log(2), counts[t].ravel())
    return alike(cdist(quantiles, quantiles, "cityblock") / len(QUANTILES))


def positives_similarity(summary: DataMapSummary) -> Floats:
    """How alike the data maps of the positives of two tasks look, whichever points those are.

    `alike` of the Wasserstein distances of their confidences and of their variabilities, added, at
    the last recorded epoch. NaN for tasks without positives.
    """
    maps = summary.histogram[-1, :, 1].astype(np.int64)
    quantiles = np.full((len(maps), 2 * len(QUANTILES)), np.nan)
    for t in np.flatnonzero(maps.sum(axis=(1, 2))):
        confidence = _quantiles(CELLS, maps[t].sum(axis=1))
        variability = _quantiles(CELLS * MAX_VARIABILITY, maps[t].sum(axis=0))
        quantiles[t] = np.concatenate([confidence, variability])
    return alike(cdist(quantiles, quantiles, "cityblock") / len(QUANTILES))


def map_similarity(
    summary: DataMapSummary,
    epochs: Sequence[int] | None = None,
    features: Sequence[str] | None = None,
) -> Floats:
    """How alike the data maps of two tasks are, point by point: `alike` of their distances.

    epochs, features: see `TaskSpace`. NaN for tasks without a training label.
    """
    space = TaskSpace(summary, epochs, features)
    places = np.flatnonzero(np.isin(summary.tasks, space.tasks))
    distances = np.full((len(summary.tasks),) * 2, np.nan)
    distances[np.ix_(places, places)] = space.distances
    return alike(distances)


def alike(distances: Floats) -> Floats:
    """Distances (T, T) as an affinity: 1 less the distance over the mean distance of two tasks.

    1 for none, 0 for tasks as far apart as the average; NaN stays.
    """
    apart = distances[~np.eye(len(distances), dtype=np.bool_)]
    apart = apart[~np.isnan(apart)]
    scale = apart.mean() if apart.any() else 1.0
    return np.asarray(1 - distances / scale)


def _quantiles(values: Floats, counts: NDArray[np.int64]) -> Floats:
    """1,000 quantiles, evenly spread, of values that occur so many times."""
    order = np.argsort(values, kind="stable")
    upto = np.cumsum(counts[order])
    return np.asarray(values[order][np.searchsorted(upto, QUANTILES * upto[-1])])


def _kinds(run: Run) -> list[Kind]:
    return [run.spec.group.task(name).kind for name in run.spec.tasks]


OUTPUTS: Mapping[str, Output] = {
    "labels": Output("Label correlation", label_correlation),
    "errors": Output("Cross-task errors", cross_task_errors),
    "pvi": Output("PVI", lambda run: pvi_similarity(run.summary)),
    "datamaps": Output("Data-map similarity", lambda run: map_similarity(run.summary)),
    "confidence": Output(
        "Data maps, confidence alone", lambda run: map_similarity(run.summary, None, FEATURES[:1])
    ),
    "variability": Output(
        "Data maps, variability alone", lambda run: map_similarity(run.summary, None, FEATURES[1:])
    ),
    "early": Output(
        "Data maps, first recorded epoch",
        lambda run: map_similarity(run.summary, run.summary.epochs[:1].tolist()),
    ),
    "positives": Output(
        "Data maps, positives alone", lambda run: positives_similarity(run.summary)
    ),
}


# ----------------------------------------------------------------------------------------- guard


def overlap_of_labels(known: Bools) -> Floats:
    """Share of labelled points that tasks have in common, (T, T), of which are known, (N, T)."""
    counts = known.astype(np.float32)  # whose products are exact up to 2^24 points
    return overlap_of_counts((counts.T @ counts).astype(np.int64))


def little_in_common(shares: Floats) -> Bools:
    """Which pairs of tasks share less than 0.3 of their labelled points, (T, T): not the diagonal.

    shares (T, T): see `stg_core.maps.labels.overlap`. Of such pairs any affinity is mostly noise
    (arXiv 2604.07848).
    """
    return np.asarray((shares < LEAST_OVERLAP) & ~np.eye(len(shares), dtype=np.bool_))


def overlap_warning(tasks: Sequence[str], shares: Floats) -> str:
    """Which affinities are not to be trusted for want of common points, in a sentence; else ""."""
    pairs = np.argwhere(np.triu(little_in_common(shares)))
    if not len(pairs):
        return ""
    pairs = pairs[np.argsort([shares[a, b] for a, b in pairs], kind="stable")]
    told = [f"{named(tasks[a])} and {named(tasks[b])}" for a, b in pairs[:PAIRS_NAMED].tolist()]
    more = f", and {len(pairs) - PAIRS_NAMED:,} more" if len(pairs) > PAIRS_NAMED else ""
    return (
        f"{len(pairs):,} of {counted(len(tasks) * (len(tasks) - 1) // 2, 'pair')} of tasks share"
        f" less than {100 * LEAST_OVERLAP:.0f} % of their labelled points"
        f" ({'; '.join(told)}{more}): affinities between them are mostly noise."
    )
