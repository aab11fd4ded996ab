"""The command that judges many groupings at once: where does it pay?"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stg_core.cli.options import Answer, Command
from stg_core.cli.printing import agreed, study_line
from stg_core.cli.progress import tell_of_cell, tell_of_one, tell_of_steps
from stg_core.results.store import STUDIES, Store
from stg_core.system.errors import UserError
from stg_core.system.words import counted

if TYPE_CHECKING:
    from stg_core.engine.studying import Listener, StudyCost, TellTraining
    from stg_core.judging.plan import Plan
    from stg_core.judging.study import Cell, Study
    from stg_core.judging.study_table import Row


def add_commands(command: Command) -> None:
    study = command("study", _study, "Judge groupings over a grid: where does grouping pay?")
    study.add_argument("plan", type=Path, nargs="?", metavar="PLAN.toml")
    study.add_argument(
        "--output", type=Path, metavar="DIR", help="default: studies/<name> in STG_HOME"
    )
    study.add_argument("--dry-run", action="store_true", help="only tell what is to be done")
    study.add_argument("--yes", action="store_true", help="do not ask before more than an hour")
    study.add_argument("--list", action="store_true", help="the studies of this machine")


def _study(options: argparse.Namespace) -> Answer:
    from stg_core.engine.studying import cost_of, run_study
    from stg_core.judging.study import read_study

    if options.list:
        return _listed()
    if options.plan is None:
        raise UserError("Name a plan, such as assets/studies/default.toml, or ask for --list.")
    store, study = Store(), read_study(options.plan)
    cost = cost_of(study, store)
    if options.dry_run:
        return _told(study, cost), study_line(cost)
    print(study_line(cost), file=sys.stderr)
    if not (options.yes or agreed(cost.distinct - cost.cached, cost.seconds)):
        return {**_told(study, cost), "started": False}, "Nothing was started."
    folder = options.output or store.folder / STUDIES / study.name
    rows = run_study(study, store, folder, _listener(len(study.cells)))
    return _found(study, folder, rows)


def _told(study: Study, cost: StudyCost) -> dict[str, Any]:
    not_run = [{"cell": str(cell), "reason": reason} for cell, reason in cost.not_run]
    counts = {"cells": cost.cells, "trainings": cost.distinct, "cached": cost.cached}
    return {"study": study.name, **counts, "seconds": cost.seconds, "not_run": not_run}


def _listener(total: int) -> Listener:
    """Tells on stderr, as other commands tell of their trainings."""
    from stg_core.engine.studying import Listener

    def cell(number: int, cell: Cell, plan: Plan, missing: int) -> TellTraining:
        head = f"Cell {number} of {total}, {cell}"
        print(f"{head}: {counted(missing, 'training')} to do.", file=sys.stderr, flush=True)
        return tell_of_cell(head, plan, missing)

    one = tell_of_one()
    return Listener(lambda _, record: one(record), cell, tell_of_steps())


def _found(study: Study, folder: Path, rows: Sequence[Row]) -> Answer:
    from stg_core.judging.comparing import measures_of
    from stg_core.judging.findings import findings

    measures = measures_of(rows)
    told = findings(rows, measures[0]) if measures else "No cell could be judged."
    not_run = Counter((row["group"], row["not_run"]) for row in rows if row["not_run"])
    answer = {
        "study": study.name,
        "folder": str(folder),
        "cells": len(study.cells),
        "rows": len(rows),
        "not_run": [{"group": g, "reason": why, "cells": n} for (g, why), n in not_run.items()],
        "findings": told,
    }
    left = [f"Not run, {counted(n, 'cell')} of {g}: {why}" for (g, why), n in not_run.items()]
    return answer, "\n".join([told, *left, f"The table is in {folder}."])


def _listed() -> Answer:
    from stg_core.judging.study_table import bundled_studies, kept_studies, read_plan

    studies: list[dict[str, Any]] = []
    lines = []
    for folders, bundled in ((bundled_studies(), True), (kept_studies(Store()), False)):
        for name, folder in folders.items():
            plan = read_plan(folder)
            known = {"study": name, "title": plan.title, "cells": len(plan.cells)}
            studies.append({**known, "bundled": bundled, "folder": str(folder)})
            mark, cells = " (bundled)" * bundled, counted(len(plan.cells), "cell")
            lines.append(f"{name}{mark}: {plan.title}, {cells}, {folder}")
    none = "No studies yet: python -m stg_core study assets/studies/default.toml"
    return {"studies": studies}, "\n".join(lines) or none
