"""A study: where does grouping pay? A grid of judgements, as a plan in TOML says it.

title = "Where does it pay?"
[defaults]                          # of every grid
seeds = [0, 1, 2, 3, 4]
[[grid]]                            # every combination of these is a cell
group = ["digits", "yeast"]
training_images = ["all", "half"]   # a share of the training points, or how many
k = [2, 3, 5]
fuzzifier = [1.5, 2.0, "hard"]
"""

from __future__ import annotations

import itertools
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from stg_core.judging.ensembles import AVERAGES
from stg_core.judging.plan import SCHEMES
from stg_core.judging.report import ROUTINGS
from stg_core.system.errors import UserError
from stg_core.system.words import counted, named
from stg_core.tasks.data import counts_and_shape
from stg_core.tasks.datasets import find_group
from stg_core.training.spec import TrainingSpec, default_epochs

HARD = "hard"  # in place of a fuzzifier: k-means alone
SHARES: Mapping[str, int] = {"all": 1, "half": 2, "quarter": 4}
MOST_CELLS = 5_000


@dataclass(frozen=True)
class Cell:
    """One judgement of a study: a training to group, how it is grouped, and what is compared.

    tasks, training_images: how many of the group's, or one of SHARES; tasks are taken at even
    distances in the group's order. model: "" and epochs: 0 stand for what suits the group.
    fuzzifier: above 1, or HARD. The data maps that are grouped are those of the first seed.
    """

    group: str
    k: int
    tasks: int | str = "all"
    model: str = ""
    epochs: int = 0
    training_images: int | str = "all"
    fuzzifier: float | str = 2.0
    routing: tuple[str, ...] = ("soft",)
    average: tuple[str, ...] = ("logits",)
    schemes: tuple[str, ...] = ("mtl", "specialists", "plain", "random")
    seeds: tuple[int, ...] = (0,)

    @property
    def method(self) -> str:
        """Of `group_tasks`."""
        return "hard" if self.fuzzifier == HARD else "soft"

    @property
    def m(self) -> float:
        """The fuzzifier as a number, of no effect where the grouping is hard."""
        return 2.0 if isinstance(self.fuzzifier, str) else float(self.fuzzifier)

    @property
    def place(self) -> tuple[object, ...]:
        """What tells it from other cells of its study."""
        return tuple(getattr(self, axis) for axis in AXES)

    def spec(self) -> TrainingSpec:
        """The training whose data maps are grouped, which is MTL's of the first seed.

        Raises UserError where the group is not on this machine or has not as many tasks or points.
        """
        group = find_group(self.group)
        n_points = counts_and_shape(group)[0]
        points = _how_many(self.training_images, n_points, "training point")
        n_tasks = _how_many(self.tasks, len(group.tasks), "task")
        if self.k > n_tasks:
            raise UserError(f"{n_tasks} tasks cannot form {self.k} clusters.")
        places = (i * len(group.tasks) // n_tasks for i in range(n_tasks))
        return TrainingSpec(
            group,
            tasks=tuple(group.task_names[i] for i in places),
            model=self.model,
            epochs=self.epochs or default_epochs(group),
            seed=self.seeds[0],
            training_images=0 if points == n_points else points,
        )

    def __str__(self) -> str:
        parts = [self.group, f"{self.tasks} tasks", f"{self.training_images} training points"]
        parts += [self.model] * bool(self.model)
        parts += [counted(self.epochs, "epoch")] * bool(self.epochs)
        return ", ".join([*parts, f"k = {self.k}", f"m = {self.fuzzifier}"])


def _how_many(wanted: int | str, there: int, noun: str) -> int:
    count = there // SHARES[wanted] if isinstance(wanted, str) else wanted
    if count > there:
        raise UserError(f"There are {counted(there, noun)}, and {wanted:,} were asked for.")
    return count


@dataclass(frozen=True)
class Study:
    """A plan as it was read: its name, title, cells, and the text itself."""

    name: str
    title: str
    cells: tuple[Cell, ...]
    text: str


# --------------------------------------------------------------------------------- what may be said


def _is_number(value: object, least: float = 1) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value >= least


def _is_count(value: object, least: int = 1) -> bool:
    return isinstance(value, int) and _is_number(value, least)


def _is_part(value: object) -> bool:
    return _is_count(value, 2) or value in tuple(SHARES)


def _is_fuzzifier(value: object) -> bool:
    return value == HARD or (_is_number(value) and value != 1 and value != float("inf"))


def _is_name(value: object) -> bool:
    return isinstance(value, str) and bool(value)


Check = Callable[[object], bool]
_PARTS = "a whole number of 2 or more, or one of all, half, quarter"

# Each value of an axis makes a cell of its own; a list of values belongs to one cell.
AXES: Mapping[str, tuple[Check, str]] = {
    "group": (_is_name, "the name of a task group"),
    "tasks": (_is_part, _PARTS),
    "model": (_is_name, "the name of a model"),
    "epochs": (lambda value: _is_count(value, 2), "a whole number of 2 or more"),
    "training_images": (_is_part, _PARTS),
    "k": (lambda value: _is_count(value, 2), "a whole number of 2 or more"),
    "fuzzifier": (_is_fuzzifier, "a number above 1, or hard"),
}
LISTS: Mapping[str, tuple[Check, str]] = {
    "routing": (lambda value: value in ROUTINGS, f"one of {', '.join(ROUTINGS)}"),
    "average": (lambda value: value in AVERAGES, f"one of {', '.join(AVERAGES)}"),
    "schemes": (lambda value: value in SCHEMES, f"one of {', '.join(SCHEMES)}"),
    "seeds": (lambda value: _is_count(value, 0), "a whole number of 0 or more"),
}
NEEDED = tuple(f.name for f in fields(Cell))[:2]  # have no default


def read_study(path: Path) -> Study:
    """The study of a plan; its name is that of the file. UserError for what cannot be read."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"The plan {path} cannot be read ({error}).") from error
    return study_of(text, path.stem)


def study_of(text: str, name: str) -> Study:
    """The study that a text in TOML describes. Raises UserError that names what cannot be."""
    if not name.replace("-", "").replace("_", "").isalnum():
        raise UserError(f"Name a plan with letters, digits and hyphens, and not {named(name)}.")
    try:
        told = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"The plan {named(name)} is not TOML: {error}.") from error
    _check_keys(told, ("title", "defaults", "grid"), "the plan")
    defaults, grids = told.get("defaults", {}), told.get("grid", [])
    if not isinstance(defaults, dict):
        raise UserError("In the plan, defaults is not a table: write [defaults].")
    if not (isinstance(grids, list) and grids and all(isinstance(grid, dict) for grid in grids)):
        raise UserError("The plan has no grid: write [[grid]], and below it its values.")
    known = _checked(defaults, "the defaults")
    cells: dict[tuple[object, ...], Cell] = {}
    for number, grid in enumerate(grids, 1):
        for cell in _cells_of({**known, **_checked(grid, f"grid {number}")}, number):
            if cells.setdefault(cell.place, cell) != cell:
                raise UserError(
                    f"The cell {cell} stands in grid {number} and in one before it, with other"
                    " schemes, seeds, routings or averages: keep one of them."
                )
            if len(cells) > MOST_CELLS:
                raise UserError(f"The plan has more than {MOST_CELLS:,} cells: take fewer values.")
    return Study(name, str(told.get("title", name)), tuple(cells.values()), text)


def _check_keys(told: Mapping[str, Any], possible: Sequence[str], where: str) -> None:
    if unknown := [key for key in told if key not in possible]:
        raise UserError(
            f"In {where}, {named(unknown[0])} is no key; choose from {', '.join(possible)}."
        )


def _checked(told: Mapping[str, Any], where: str) -> dict[str, tuple[Any, ...]]:
    """The values of every key, as several ones."""
    checks = {**AXES, **LISTS}
    _check_keys(told, tuple(checks), where)
    found = {}
    for key, value in told.items():
        check, wanted = checks[key]
        values = tuple(value) if isinstance(value, list) else (value,)
        if not values:
            raise UserError(f"In {where}, {key} has no value: give at least one.")
        for one in values:
            if not check(one):
                raise UserError(f"In {where}, {key} = {one!r} cannot be: it is {wanted}.")
        found[key] = tuple(dict.fromkeys(values))
    return found


def _cells_of(values: Mapping[str, tuple[Any, ...]], number: int) -> Iterator[Cell]:
    if missing := [key for key in NEEDED if key not in values]:
        raise UserError(f"Grid {number} says nothing of {' and '.join(missing)}: add a line.")
    axes = {key: values[key] for key in AXES if key in values}
    lists: dict[str, Any] = {key: values[key] for key in LISTS if key in values}
    for combination in itertools.product(*axes.values()):
        yield Cell(**dict(zip(axes, combination, strict=True)), **lists)
