"""How long an answer takes, and how large its file is: measured in turns, with one thread."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stg_core.export.predictor import Predictor

TURNS, MANY = 15, 256
LONGEST = 2.0  # seconds that the turns of one batch size may take


@dataclass(frozen=True)
class Serving:
    """bytes: of the file; models: that it asks; one, many: milliseconds for an answer about one
    point, and about each of `MANY` points that are asked at once, medians."""

    bytes: int
    models: int
    one: float
    many: float

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def measure(files: Mapping[str, bytes], points: NDArray[Any]) -> dict[str, Serving]:
    """Of each file by its name. points: some that they take, at least one.

    The files take turns, so that whatever else the machine does meets them alike.
    """
    predictors = {name: Predictor(content) for name, content in files.items()}
    many = np.resize(points, (MANY, *points.shape[1:]))
    one, each = (_medians(predictors, batch) for batch in (points[:1], many))
    return {
        name: Serving(len(content), len(predictors[name].models), one[name], each[name] / MANY)
        for name, content in files.items()
    }


def _medians(predictors: Mapping[str, Predictor], points: NDArray[Any]) -> dict[str, float]:
    """Milliseconds for all of the points, of each."""
    for predictor in predictors.values():
        predictor.predict(points)  # the first time takes longer
    took: dict[str, list[float]] = {name: [] for name in predictors}
    began = time.perf_counter()
    for _ in range(TURNS):
        for name, predictor in predictors.items():
            start = time.perf_counter()
            predictor.predict(points)
            took[name].append(1e3 * (time.perf_counter() - start))
        if time.perf_counter() - began > LONGEST:
            break
    return {name: median(values) for name, values in took.items()}
