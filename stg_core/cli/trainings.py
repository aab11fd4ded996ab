"""Commands that train with data maps, and tell on what."""

from __future__ import annotations

import argparse
import sys

from stg_core.cli.options import Answer, Command, add_training_options, spec_from
from stg_core.cli.printing import run_line
from stg_core.cli.progress import tell_of_one
from stg_core.cli.runs import described
from stg_core.engine.foreground import run_anywhere
from stg_core.results.run import Run
from stg_core.results.store import Store
from stg_core.system.errors import UserError
from stg_core.tasks.datasets import data_set_of, data_sets
from stg_core.tasks.groups import GROUPS
from stg_core.training.spec import TrainingSpec


def add_commands(command: Command) -> None:
    command("groups", _groups, "List the task groups: built-in ones, and your data sets.")
    extract = command("extract", _extract, "Train on a task group and keep its data maps.")
    add_training_options(extract)


def _groups(_: argparse.Namespace) -> Answer:
    groups = [
        {"name": g.name, "title": g.title, "dataset": g.dataset, "tasks": list(g.task_names)}
        for g in (*GROUPS.values(), *(one.group for one in data_sets()))
    ]
    lines = [f"{g['name']}: {g['title']}: {', '.join(g['tasks'])}" for g in groups]
    return {"groups": groups}, "\n".join(lines)


def _extract(options: argparse.Namespace) -> Answer:
    spec = spec_from(options)
    run = trained_with_data_maps(Store(), spec)
    return described(run), f"{run_line(run)}\nNext: python -m stg_core group {run.id} --k 3"


def trained_with_data_maps(store: Store, spec: TrainingSpec) -> Run:
    if not spec.recorded:
        raise UserError("Data maps need at least 2 epochs: variability is not defined for one.")
    print(f"{spec.title}: run {spec.key}", file=sys.stderr)
    if spec.group.is_own and not store.holds(spec.key):
        from stg_core.tasks.checks import before_training

        for sentence in before_training(data_set_of(spec.group), spec.tasks):
            print(f"Warning: {sentence}", file=sys.stderr)
    return run_anywhere(store, spec, tell_of_one())
