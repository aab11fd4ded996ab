"""What models say of all points of a gallery, sent to the browser before one of them is chosen."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import streamlit as st

from app import state, task_pictures
from app.answering import Answered
from app.charts import answers as charts
from app.model_files import Models
from app.try_points import Points, Said
from app.trying import place_of
from stg_core.results.run import Run

MOST_CELLS = 25_000  # of all points together; 40 points of 60 tasks with k = 5 have 21,600


def name_of(models: Models, points: Points, run: Run, here: Sequence[int]) -> str:
    """By which name the browser finds the answers about these of the points; "" for too many.

    With more tasks than a picture shows, points of a training have different data maps beside them.
    """
    shown = min(len(models.tasks), charts.MOST_TASKS)
    of_training = points.split == "train" and shown < len(models.tasks)
    columns = len(models.about.models) + len(models.files) + 3
    if of_training or shown * columns * len(here) > MOST_CELLS:
        return ""
    parts = (models.key, models.stamp, run.id, state.version(run), points.split, *here)
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def send(name: str, models: Models, points: Points, said: Said, run: Run, here: list[int]) -> None:
    """Call it below the answers, which are drawn first."""
    if name:
        task_pictures.send(_message(name, models, points, said, run, here), "answers")


@st.cache_resource(show_spinner=False, max_entries=32)
def _message(
    name: str, _models: Models, _points: Points, _said: Said, _run: Run, _here: list[int]
) -> bytes:
    return charts.all_answers(
        name,
        (
            (
                int(_points.indices[i]),
                Answered(_models, _said.of(i), _points.labels[i]),
                _points.called(i),
                place_of(_run, _models, _points, i),
            )
            for i in _here
        ),
    )
