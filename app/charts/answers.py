"""Charts of what models say of one point, and of where it is in the data maps of its tasks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app import task_pictures
from app.answering import HARD, TOGETHER, TRUTH, Answered, most_worth_showing, title
from app.charts.base import palette
from app.state import dark
from stg_core.maps.summary import MAX_VARIABILITY, DataMapSummary

MOST_TASKS = 60  # rows
BINS = 32  # cells along each axis of a data map
WRONG = ("#D55E00", "#FF8A3D")  # a corner, light and dark


@dataclass(frozen=True)
class Place:
    """Where a training point is in the data maps of a run, after its last recorded epoch.

    places: confidence and variability for each task, by its name; None where that is not kept.
    """

    summary: DataMapSummary
    places: dict[str, tuple[float, float] | None]


def answers(
    answered: Answered, what: str, colours: Sequence[int], key: str, place: Place | None = None
) -> None:
    """What each model says: a row per task, a column per model; beside it the data map of a task.

    what: is asked about, for the title; colours: index of each specialist's. With a place, the task
    that is pointed at has its data map, with the point marked in it.
    """
    shown = most_worth_showing(answered, MOST_TASKS)
    columns = answered.columns()
    tasks = [answered.models.about.tasks[t] for t in shown]
    hues = palette(dark())
    header: dict[str, Any] = {
        "title": what,
        "note": _note(answered, len(shown)),
        "names": tasks,
        "says": [answered.sentence(t) for t in shown],
        "columns": [
            {
                "title": title(who),
                "said": _named(answered, who),
                "colour": hues[colours[int(who) - 1] % len(hues)] if who.isdecimal() else None,
                "apart": who in ("1", TOGETHER, TRUTH) and i > 0,
            }
            for i, who in enumerate(columns)
        ],
        "group": answered.noun + "s" if answered.several else "",
        "texts": [[answered.written(who, t) for who in columns] for t in shown],
        "words": [[answered.in_words(who, t) for who in columns] for t in shown],
        "weights": answered.models.weights[:, shown].T.round(4).tolist()
        if answered.several
        else [],
        "wrong": [[answered.wrong(who, t) for who in columns] for t in shown],
        "decisive": [list(answered.decisions[t].decisive) for t in shown]
        if answered.several
        else [],
        "decided": [answered.who_decided(t) for t in shown] if answered.several else [],
        "corner": WRONG[dark()],
        "alt": {
            "answers": f"{what}: what {len(columns)} columns say of {len(tasks)} tasks. The table"
            " below has all of it.",
            "place": f"Data map of the task that is pointed at, with {what} in it.",
        },
        "file": "answers",
        "place": None if place is None else _place(place, tasks),
    }
    sure = [[answered.sure(who, t) for who in columns] for t in shown]
    values = [np.array(sure, dtype=np.float64).ravel()]
    if place is not None:
        values += [_density(place.summary, task).ravel() for task in tasks]
    task_pictures.answers(header, np.concatenate(values), key, place is not None)


def _named(answered: Answered, who: str) -> str:
    if who.isdecimal():
        return f"{answered.noun.capitalize()} {who}"
    return {TOGETHER: "All together", HARD: "Hard routing", TRUTH: "The truth"}.get(who, title(who))


def _note(answered: Answered, shown: int) -> str:
    note = "Probability of a yes, or the answer."
    if answered.several:
        note += (
            " The bar below a cell is the weight of that"
            f" {answered.noun}; framed: without it the answer of all would be another."
        )
    if answered.truth is not None:
        note += " A corner: wrong."
    n_tasks = len(answered.models.tasks)
    if shown < n_tasks:
        note += f" {shown} of {n_tasks} tasks: those with a yes, and the most disputed."
    return note


def _place(place: Place, tasks: Sequence[str]) -> dict[str, Any]:
    return {
        "at": [place.places.get(task) for task in tasks],
        "bins": min(BINS, place.summary.histogram.shape[-1]),
        "variability": MAX_VARIABILITY,
        "most": max(int(place.summary.n_points) / 10, 10),
        "epoch": int(place.summary.epochs[-1]),
    }


def _density(summary: DataMapSummary, task: str) -> NDArray[np.float64]:
    t = summary.tasks.tolist().index(task)
    counts = summary.histogram[-1, t].sum(axis=0, dtype=np.int64)
    bins = min(BINS, len(counts))
    merged = len(counts) // bins
    return counts.reshape(bins, merged, bins, merged).sum(axis=(1, 3)).astype(np.float64)
