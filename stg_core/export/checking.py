"""Before a file is offered: does it answer as torch does, and score as it was judged?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from stg_core.export.about import About
from stg_core.export.making import Made
from stg_core.export.predictor import Prediction, Predictor
from stg_core.export.served import Served
from stg_core.judging.ensembles import Answers, Singles, Truth, all_points
from stg_core.judging.measures import mean_of_defined, measured
from stg_core.judging.report import labels_of
from stg_core.judging.verdict import MEASURE_NAMES
from stg_core.system.errors import UserError
from stg_core.tasks.data import TaskData

AT_ONCE = 1_000  # points
AGREE = 1e-4  # of probabilities, and of numbers in standard deviations of their labels
ROUNDING = 1e-3  # by which a mean may differ: what was judged was kept in half precision
OF_INTERVAL = 0.1  # or by this share of half its 95 % interval
HALF = 2.0**-6  # of the largest output of a task: what layers in bfloat16 may change of any
NOT_RECOMPUTED = "f1_tuned"  # its thresholds are of training points


@dataclass(frozen=True)
class Check:
    """What the check found on the test points.

    points: how many; difference: the largest between onnxruntime and torch, of a probability, or of
    a number in standard deviations of its labels; scores: by measure, the mean over tasks as it is
    of the file ("file") and as it was judged ("judged").
    """

    points: int
    difference: float
    scores: Mapping[str, Mapping[str, float]]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def check(predictor: Predictor, served: Served, made: Made, data: TaskData) -> Check:
    """Raises UserError, with the reason, for a file that is not to be given to anybody.

    data: of the tasks that were trained, of which the test points are taken.
    """
    if data.digest != made.about.data:
        raise UserError(
            "The data set has changed since the training, so that the file cannot be checked:"
            " train the run again."
        )
    points = raw_points(made.about, np.asarray(data.test_points))
    found = _in_batches(predictor, points)
    difference = _difference(made.about, found, _of_torch(served, points))
    if not difference <= AGREE:
        raise UserError(
            f"The file is not offered: it answers otherwise than the model it was made of, by"
            f" {difference:.2g} at most. Please report this, with the name of the model."
        )
    scores = _scores(made, found.probabilities)
    for name, both in scores.items():
        low, high = made.about.scores[name]["ci"]
        allowed = max(ROUNDING, OF_INTERVAL * (high - low) / 2)
        apart = abs(both["file"] - both["judged"])
        if not apart <= allowed and not _as_judged(served, made, points):
            raise UserError(
                f"The file is not offered: its mean {MEASURE_NAMES[name]} on the test points is"
                f" {both['file']:.4f}, and {both['judged']:.4f} was judged. Its weights are others"
                " than those that were judged: delete its runs, and train them again."
            )
    return Check(len(points), difference, scores)


def raw_points(about: About, points: NDArray[Any]) -> NDArray[Any]:
    """Test points as they come into the file: rows as they were before they were standardised."""
    if about.input.kind == "image" or not about.input.raw:
        return points
    n_raw = about.input.shape[0]
    rows = points[:, :n_raw] * np.array(about.input.deviation) + np.array(about.input.mean)
    for place, gap in enumerate(about.input.gaps):
        rows[points[:, n_raw + place] == 1, gap] = np.nan
    return np.asarray(rows, dtype=np.float32)


def _in_batches(predictor: Predictor, points: NDArray[Any]) -> Prediction:
    starts = range(0, len(points), AT_ONCE)
    parts = [predictor.predict(points[start : start + AT_ONCE]) for start in starts]
    return Prediction(
        np.concatenate([part.probabilities for part in parts]),
        np.concatenate([part.each for part in parts]),
    )


@torch.inference_mode()
def _of_torch(served: Served, points: NDArray[Any]) -> Prediction:
    parts = [
        served(torch.tensor(points[start : start + AT_ONCE]))
        for start in range(0, len(points), AT_ONCE)
    ]
    answer, each = (torch.cat(part).numpy() for part in zip(*parts, strict=True))
    return Prediction(answer, each)


def _difference(about: About, one: Prediction, other: Prediction) -> float:
    """The largest; NaN where one of them answers what the other does not."""
    unit = np.ones(about.n_outputs)
    for task, (_, deviation) in about.units.items():
        unit[about.columns[task]] = deviation
    largest = 0.0
    for a, b in ((one.probabilities, other.probabilities), (one.each, other.each)):
        if not np.array_equal(np.isnan(a), np.isnan(b)):
            return float("nan")
        largest = max(largest, float(np.nanmax(np.abs(a - b) / unit, initial=0)))
    return largest


@torch.inference_mode()
def _as_judged(served: Served, made: Made, points: NDArray[Any]) -> bool:
    """Whether every model answers as when it was judged, but for the half precision of then.

    Of a few points, whose outputs lie near each other, that alone may change ranks, and so scores.
    """
    parts = [
        served.outputs(torch.tensor(points[start : start + AT_ONCE]))
        for start in range(0, len(points), AT_ONCE)
    ]
    for run, own in zip(made.runs, zip(*parts, strict=True), strict=True):
        found, kept = torch.cat(own).numpy(), run.logits_by_epoch("test")[-1].astype(np.float32)
        if (
            found.shape != kept.shape
            or (np.abs(found - kept) > HALF * np.abs(kept).max(axis=0)).any()
        ):
            return False
    return True


def _scores(made: Made, probabilities: Singles) -> dict[str, dict[str, float]]:
    """By measure the mean over the tasks that are in means, of the file and as judged."""
    answers = Answers.of([made.plan.spec.group.task(name) for name in made.about.tasks])
    runs = {run.spec.key: run for run in made.runs}
    truth = Truth(labels_of(made.plan, runs, "test", answers), answers)
    outputs = _as_outputs(made.about, probabilities)
    none = np.zeros(outputs.shape[1], dtype=np.float32)
    found = measured(outputs, truth, all_points(truth), none, "probabilities")
    counted = np.array([task not in made.report["left_out"] for task in made.about.tasks])
    judged = {name: one["mean"] for name, one in made.about.scores.items()}
    return {
        name: {"file": float(mean_of_defined(values[0, counted])), "judged": judged[name]}
        for name, values in found.items()
        if name != NOT_RECOMPUTED and judged[name] is not None
    }


def _as_outputs(about: About, probabilities: Singles) -> Singles:
    """As scores take them: above 0 says yes, and numbers in standard deviations of their labels."""
    outputs = probabilities.astype(np.float64)
    for kind, task in zip(about.kinds, about.tasks, strict=True):
        own = about.columns[task]
        if kind == "binary":
            with np.errstate(divide="ignore"):
                outputs[:, own] = np.log(outputs[:, own]) - np.log1p(-outputs[:, own])
        elif kind == "regression":
            mean, deviation = about.units[task]
            outputs[:, own] = (outputs[:, own] - mean) / deviation
    return np.asarray(outputs.clip(-1e30, 1e30), dtype=np.float32)
