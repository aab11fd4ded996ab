"""The scores of every k, computed in the background: sliders answer meanwhile."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import streamlit as st

from stg_core.results.run import Run

if TYPE_CHECKING:
    from stg_core.grouping.agreement import Reference, Score
    from stg_core.grouping.memberships import Grouping, TaskSpace

PATIENCE = 3.0  # seconds after the last look at a curve, after which its computing rests

_worker = ThreadPoolExecutor(1, thread_name_prefix="score-curve")


class ScoreCurve:
    """Scores for k = 2, 3, … as far as they are known; more are computed while one looks at it."""

    def __init__(self, every_k: Iterator[tuple[int, dict[str, Score]]]) -> None:
        self.scores: dict[int, dict[str, Score]] = {}
        self.complete = False
        self._every_k = every_k
        self._looked = 0.0
        self._going_on = False

    def look(self) -> dict[int, dict[str, Score]]:
        """The scores by k, so far."""
        self._looked = time.monotonic()
        if not (self.complete or self._going_on):
            self._going_on = True
            _worker.submit(self._go_on)
        return dict(self.scores)

    def _go_on(self) -> None:
        try:
            for k, scores in self._every_k:
                self.scores[k] = scores
                if time.monotonic() - self._looked > PATIENCE:
                    return
            self.complete = True  # also where no larger k was possible: what raised has ended
        finally:
            self._going_on = False


def score_curve(run: Run, reference: Reference, space: TaskSpace, grouping: Grouping) -> ScoreCurve:
    """The curve to which a grouping belongs, whatever its k."""
    return _score_curve(
        str(run.folder),
        str(run.provenance.get("created", "")),
        space.epochs,
        space.features,
        grouping.method,
        grouping.fuzzifier if grouping.method == "fcm" else None,  # no other cluster depends on it
        reference.labels,
        reference,
        space,
    )


@st.cache_resource(show_spinner=False, max_entries=64)
def _score_curve(
    folder: str,
    version: str,
    epochs: tuple[int, ...],
    features: tuple[str, ...],
    method: str,
    fuzzifier: float | None,
    labels: tuple[str | None, ...],
    _reference: Reference,
    _space: TaskSpace,
) -> ScoreCurve:
    from stg_core.grouping.agreement import scores_by_k

    return ScoreCurve(scores_by_k(_reference, _space, fuzzifier or 2.0, method))
