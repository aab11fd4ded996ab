"""Studies at work: what is missing of a plan is trained, cell by cell, and judged.

Cells share trainings, which have keys: none is made twice, whatever ended the study before.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

from stg_core.engine.derived import Tell, kept_report
from stg_core.engine.foreground import run_anywhere, train_all
from stg_core.grouping.memberships import Grouping, TaskSpace, group_tasks
from stg_core.judging.plan import Plan, make_plan, mtl_spec_of, recorded_speed
from stg_core.judging.study import Cell, Study
from stg_core.judging.study_table import Row, row_not_run, rows_of, write_study
from stg_core.results.run import Run
from stg_core.results.store import Store
from stg_core.system.errors import UserError
from stg_core.training.spec import TrainingSpec

TellTraining = Callable[[TrainingSpec, dict[str, Any]], None]


@dataclass(frozen=True)
class StudyCost:
    """What a study takes: distinct trainings, those in the store, and seconds for the rest.

    seconds: None where nobody knows; not_run: the cells that cannot be, as far as that is known
    before anything is trained, each with its reason.
    """

    cells: int
    distinct: int
    cached: int
    seconds: float | None
    not_run: tuple[tuple[Cell, str], ...]


def cost_of(study: Study, store: Store) -> StudyCost:
    """Counts what is to be trained; where nothing like it was trained here, an epoch is measured.

    Before the data maps of a cell are there, another grouping into as many clusters stands for its
    own: it takes as many trainings.
    """
    specs: dict[str, TrainingSpec] = {}
    not_run = []
    for cell in study.cells:
        try:
            specs |= {spec.key: spec for spec in _trainings_of(cell, store)}
        except UserError as error:
            not_run.append((cell, str(error)))
    missing = [spec for key, spec in specs.items() if not store.holds(key)]
    seconds = _expected(missing, store)
    cached = len(specs) - len(missing)
    return StudyCost(len(study.cells), len(specs), cached, seconds, tuple(not_run))


def _trainings_of(cell: Cell, store: Store) -> tuple[TrainingSpec, ...]:
    spec = cell.spec()
    if run := store.get(spec):
        return _plan_of(cell, run, store)[1].trainings
    trainings = list(_stand_in(cell, spec, cell.schemes, 0).trainings)
    if "superclass" in cell.schemes:
        trainings += _stand_in(cell, spec, ("specialists",), 1).trainings
    return (spec, *trainings)


def _stand_in(cell: Cell, spec: TrainingSpec, schemes: Sequence[str], draw: int) -> Plan:
    """The plan of a grouping drawn at random; without superclasses, which need data maps."""
    rng = np.random.default_rng([draw, *str(cell).encode()])
    labels = rng.permutation(len(spec.tasks)) % cell.k
    shares = np.eye(cell.k)[labels]
    if cell.method != "hard":
        shares = rng.dirichlet(np.ones(cell.k), len(spec.tasks))
    grouping = Grouping(spec.tasks, cell.k, cell.m, cell.method, shares, labels, {})
    schemes = [scheme for scheme in schemes if scheme != "superclass"]
    # only superclasses ask the space of the data maps
    return make_plan(spec, grouping, cast(TaskSpace, None), schemes, cell.seeds)


def _expected(specs: Sequence[TrainingSpec], store: Store) -> float | None:
    """Seconds for some trainings, one after the other; None where nobody knows."""
    known, measured = recorded_speed(store), dict[tuple[object, ...], float]()

    def per_epoch(spec: TrainingSpec) -> float | None:
        if (seconds := known(spec)) is not None or os.environ.get("STG_SCHEDULER"):
            return seconds
        kind = spec.model, spec.group, spec.training_images, spec.width
        if kind not in measured:
            from stg_core.training.measuring import measure_seconds_per_epoch

            measured[kind] = measure_seconds_per_epoch(spec)
        return measured[kind]

    seconds = [(per_epoch(spec), spec.epochs) for spec in specs]
    if any(one is None for one, _ in seconds):
        return None
    return sum(one * epochs for one, epochs in seconds if one is not None)


# -------------------------------------------------------------------------------------- at work


def _nobody(*_: Any) -> None:
    pass


@dataclass(frozen=True)
class Listener:
    """Who is told of a study at work.

    maps: what Progress tells of trainings whose data maps are grouped, which come first; cell: that
    a cell begins, its number from 1, and how many trainings it lacks: it returns who is told of
    those; judgement: how far that of a cell is.
    """

    maps: TellTraining = _nobody
    cell: Callable[[int, Cell, Plan, int], TellTraining] = lambda *_: _nobody
    judgement: Tell = _nobody


def run_study(study: Study, store: Store, folder: Path, listener: Listener) -> list[Row]:
    """Trains what is missing, judges every cell, and keeps the table in a folder after each.

    Whatever ends it, the same call goes on. A cell that cannot be is noted with its reason.
    """
    specs = {}
    for cell in study.cells:
        with suppress(UserError):
            specs[cell] = cell.spec()
    with suppress(UserError):  # its own cells say which training failed, and why
        train_all(store, list({s.key: s for s in specs.values()}.values()), listener.maps)
    rows: list[Row] = []
    for number, cell in enumerate(study.cells, 1):
        try:
            rows += _judged(number, cell, store, listener)
        except UserError as error:
            rows.append(row_not_run(cell, str(error)))
        write_study(folder, study, rows)
    return rows


def _judged(number: int, cell: Cell, store: Store, listener: Listener) -> list[Row]:
    spec = cell.spec()
    run = run_anywhere(store, spec, lambda record: listener.maps(spec, record))
    space, plan = _plan_of(cell, run, store)
    missing = plan.missing(store)
    train_all(store, missing, listener.cell(number, cell, plan, len(missing)))
    return list(
        rows_of(
            cell,
            spec,
            kept_report(store, run, space, plan, listener.judgement),
        )
    )


def _plan_of(cell: Cell, run: Run, store: Store) -> tuple[TaskSpace, Plan]:
    space = TaskSpace(run.summary)
    grouping = group_tasks(space, cell.k, cell.m, cell.method)
    spec = mtl_spec_of(run, store)
    return space, make_plan(spec, grouping, space, cell.schemes, cell.seeds)
