"""A study cell by cell: a scheme beside another one, or beside the best control of its cost."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from stg_core.judging.study_table import CELL, Row, minus
from stg_core.judging.verdict import SLACK
from stg_core.system.words import counted

CONTROLS = ("mtl", "stl", "longer", "wider", "plain", "random", "plain_warm", "random_warm")
AT_RANDOM: Mapping[str, str] = {"specialists": "random", "warm": "random_warm"}
BEST = "best control"


def variant_of(
    rows: Sequence[Row], measure: str, average: str = "logits", routing: str = "soft"
) -> list[Row]:
    """The rows of one variant and measure."""
    wanted = measure, average, routing
    return [row for row in rows if (row["measure"], row["average"], row["routing"]) == wanted]


def measures_of(rows: Sequence[Row]) -> list[str]:
    """The measures of a study, that by which it decides first."""
    return list(dict.fromkeys(row["measure"] for row in rows if row["measure"]))


# -------------------------------------------------------------------------------- cell by cell


@dataclass(frozen=True)
class Compared:
    """A scheme in one cell of a study beside another one.

    cell: the values of CELL; mean, other_mean: of the measure; difference, low, high: of the two,
    with its 95 % interval; cost, other_cost: of training, None where not known; sign: 1 where the
    interval lies above 0, -1 below, else 0. of_all: 1 where it lies above 0 against every control,
    -1 where it lies below against any; at_random: the sign against the random grouping, None where
    that was not tried; controls: all that cost no more to train.
    """

    cell: Row
    mean: float
    other: str
    other_mean: float
    difference: float
    low: float
    high: float
    cost: float | None
    other_cost: float | None
    sign: int
    of_all: int
    at_random: int | None
    controls: tuple[str, ...]


def compared(
    rows: Sequence[Row],
    measure: str,
    scheme: str = "specialists",
    other: str = BEST,
    average: str = "logits",
    routing: str = "soft",
) -> list[Compared]:
    """Every cell in which a scheme was tried beside another one, or beside any control.

    BEST is the control with the highest mean of those that cost no more to train than the scheme.
    """
    found = []
    for cell in by_cell(variant_of(rows, measure, average, routing)):
        own = cell.get(scheme)
        if own is None or own["mean"] is None:
            continue
        controls = tuple(name for name in CONTROLS if _is_control(name, scheme, cell))
        named = max(controls, key=lambda name: float(cell[name]["mean"]), default="")
        against = named if other == BEST else other
        if against not in cell or against == scheme or own[minus(against)[1]] is None:
            continue
        difference, low, high = (own[column] for column in minus(against))
        at_random = AT_RANDOM.get(scheme, "")
        found.append(
            Compared(
                {column: own[column] for column in CELL},
                own["mean"],
                against,
                cell[against]["mean"],
                *(difference, low, high),
                own["training_cost"],
                cell[against]["training_cost"],
                sign_of(own, against),
                min((sign_of(own, name) for name in controls), default=0),
                sign_of(own, at_random) if at_random in cell else None,
                controls,
            )
        )
    return found


def by_cell(rows: Sequence[Row]) -> list[dict[str, Row]]:
    """Of every cell its rows, by scheme."""
    cells: dict[tuple[object, ...], dict[str, Row]] = {}
    for row in rows:
        cells.setdefault(tuple(row[column] for column in CELL), {})[row["scheme"]] = row
    return list(cells.values())


def _is_control(name: str, scheme: str, cell: Mapping[str, Row]) -> bool:
    """Whether a scheme was tried that costs no more, and whose score is defined.

    What it costs is not known of models of one's own: then it counts.
    """
    if name == scheme or name not in cell or cell[name]["mean"] is None:
        return False
    cost, own = cell[name]["training_cost"], cell[scheme]["training_cost"]
    return cost is None or own is None or cost <= SLACK * own


def sign_of(row: Row, other: str) -> int:
    """1 where the interval of the difference to another scheme lies above 0, -1 below, else 0."""
    _, low, high = (row[column] for column in minus(other))
    return 0 if low is None else int(low > 0) - int(high < 0)


@dataclass(frozen=True)
class Bin:
    """The cells that share a value of two axes, as `value_of` tells it."""

    x: str
    y: str
    cells: tuple[Compared, ...]

    @property
    def mean(self) -> float:
        """Of the cells' differences."""
        return statistics.mean(one.difference for one in self.cells)

    def count(self, sign: int) -> int:
        """How many of the cells have this sign."""
        return sum(one.sign == sign for one in self.cells)


AXES: Mapping[str, str] = {
    "group": "Task group",
    "k": "Clusters (k)",
    "fuzzifier": "Fuzzifier (m)",
    "of_points": "Training points",
    "of_tasks": "Tasks",
    "model": "Model",
    "epochs": "Epochs",
}
SHARES: Mapping[float, str] = {1.0: "all", 0.5: "half", 0.25: "a quarter"}
SAME_SHARE = 0.04  # half of 15 tasks are 7


def value_of(cell: Row, axis: str) -> str:
    """What a cell has on one of the AXES, for people."""
    value = cell[axis]
    if axis in ("of_points", "of_tasks"):
        near = next((name for n, name in SHARES.items() if abs(n - value) < SAME_SHARE), "")
        return near or f"{value:.0%}"
    if axis == "fuzzifier":
        return "hard" if cell["method"] == "hard" else f"{value:g}"
    return str(value)


def values_of(cells: Sequence[Compared], axis: str) -> list[str]:
    """All values that cells have on an axis: numbers ascending, words as they come."""
    found = {value_of(one.cell, axis): one.cell[axis] for one in cells}
    if axis in ("group", "model"):
        return list(found)
    return sorted(found, key=lambda name: (found[name] is None, found[name] or 0))


def binned(cells: Sequence[Compared], x: str, y: str) -> list[Bin]:
    """The cells by their values on two of the AXES."""
    found: dict[tuple[str, str], list[Compared]] = {}
    for one in cells:
        found.setdefault((value_of(one.cell, x), value_of(one.cell, y)), []).append(one)
    return [Bin(*place, tuple(own)) for place, own in found.items()]


def describe(cell: Row) -> str:
    """Such as "yeast, 14 tasks, 1,500 training points, k = 3, m = 2"."""
    m = "hard" if cell["method"] == "hard" else f"m = {cell['fuzzifier']:g}"
    tasks, points = counted(cell["tasks"], "task"), counted(cell["points"], "training point")
    return f"{cell['group']}, {tasks}, {points}, k = {cell['k']}, {m}"
