"""Charts of what models say of one point, and of where it is in the data maps of its tasks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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
    answered: Answered,
    what: str,
    colours: Sequence[int],
    key: str,
    place: Place | None = None,
    at: int | None = None,
    every: str = "",
) -> None:
    """What each model says: a row per task, a column per model; beside it the data map of a task.

    what: is asked about, for the title; colours: index of each specialist's. With a place, the task
    that is pointed at has its data map, with the point marked in it. at: which point of a gallery
    it is; every: by which name `all_answers` are sent of all of that, where they are.
    """
    own, values = _of_point(answered, what, place)
    hues = palette(dark())
    header: dict[str, Any] = {
        **own,
        "at": at,
        "every": every,
        "note": _note(answered, len(own["names"])),
        "columns": [
            {
                "title": title(who),
                "said": _named(answered, who),
                "colour": hues[colours[int(who) - 1] % len(hues)] if who.isdecimal() else None,
                "apart": who in ("1", TOGETHER, TRUTH) and i > 0,
            }
            for i, who in enumerate(answered.columns())
        ],
        "group": answered.noun + "s" if answered.several else "",
        "corner": WRONG[dark()],
        "file": "answers",
        "place": None if place is None else _scales(place.summary),
    }
    if place is not None:
        maps = [_density(place.summary, task).ravel() for task in own["names"]]
        values = np.concatenate([values, *maps])
    task_pictures.answers(header, values, key, place is not None)


def all_answers(name: str, each: Iterable[tuple[int, Answered, str, Place | None]]) -> bytes:
    """What a gallery's points are answered, to be sent once: each with which one it is.

    Without the data maps, which are the same for all points of the same tasks.
    """
    drawn = ((at, *_of_point(answered, what, place)) for at, answered, what, place in each)
    return task_pictures.all_of(name, drawn)


def _of_point(
    answered: Answered, what: str, place: Place | None
) -> tuple[dict[str, Any], NDArray[np.float64]]:
    """What a picture says of this point and no other, and the shades of its cells."""
    shown = most_worth_showing(answered, MOST_TASKS)
    columns = answered.columns()
    tasks = [answered.models.about.tasks[t] for t in shown]
    several = shown if answered.several else []
    header = {
        "title": what,
        "names": tasks,
        "says": [answered.sentence(t) for t in shown],
        "texts": [[answered.written(who, t) for who in columns] for t in shown],
        "words": [[answered.in_words(who, t) for who in columns] for t in shown],
        "weights": answered.models.weights[:, several].T.round(4).tolist(),
        "wrong": [[answered.wrong(who, t) for who in columns] for t in shown],
        "decisive": [list(answered.decisions[t].decisive) for t in several],
        "decided": [answered.who_decided(t) for t in several],
        "alt": {
            "answers": f"{what}: what {len(columns)} columns say of {len(tasks)} tasks. The table"
            " below has all of it.",
            "place": f"Data map of the task that is pointed at, with {what} in it.",
        },
        "places": None if place is None else [place.places.get(task) for task in tasks],
    }
    sure = [[answered.sure(who, t) for who in columns] for t in shown]
    return header, np.array(sure, dtype=np.float64).ravel()


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


def _scales(summary: DataMapSummary) -> dict[str, Any]:
    return {
        "bins": min(BINS, summary.histogram.shape[-1]),
        "variability": MAX_VARIABILITY,
        "most": max(int(summary.n_points) / 10, 10),
        "epoch": int(summary.epochs[-1]),
    }


def _density(summary: DataMapSummary, task: str) -> NDArray[np.float64]:
    t = summary.tasks.tolist().index(task)
    counts = summary.histogram[-1, t].sum(axis=0, dtype=np.int64)
    bins = min(BINS, len(counts))
    merged = len(counts) // bins
    return counts.reshape(bins, merged, bins, merged).sum(axis=(1, 3)).astype(np.float64)
