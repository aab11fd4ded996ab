"""Commands of the peer methods: affinities of tasks, and what every method chooses."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from stg_core.cli.options import Answer, Command, add_training_options, spec_from, words
from stg_core.cli.printing import affinity_text, methods_text, tell_of_one
from stg_core.cli.trainings import trained_with_data_maps
from stg_core.results.store import Store
from stg_core.system.errors import UserError
from stg_core.training.callbacks import Progress
from stg_core.training.spec import TrainingSpec

if TYPE_CHECKING:
    from stg_core.affinity.table import GroupTable


def add_commands(command: Command) -> None:
    _add_affinity(command("affinity", _affinity, "Tell how much each task helps each other one."))
    _add_methods(command("methods", _methods, "Compare ways to choose groups of tasks."))


def _add_affinity(parser: argparse.ArgumentParser) -> None:
    add_training_options(parser)
    parser.add_argument(
        "--method",
        choices=("tag", "cosine", "etap", "datamaps"),
        default="tag",
        help="lookahead, gradient cosine, first-order lookahead, or alike data maps (default tag)",
    )
    parser.add_argument(
        "--every", type=int, default=10, help="record one step in so many (default 10)"
    )
    parser.add_argument(
        "--update",
        choices=("optimiser", "gradient"),
        default="optimiser",
        help="tag and etap: the update that is tried (default: the optimiser's own)",
    )


def _add_methods(parser: argparse.ArgumentParser) -> None:
    add_training_options(parser, required=False)
    parser.add_argument("--table", metavar="NAME", help="digits-8 or g1-6, which are here")
    parser.add_argument("--budget", type=int, default=3, help="number of models (default 3)")
    parser.add_argument(
        "--methods", type=words, default=(), metavar="tag,hoa,…", help="default: all"
    )
    parser.add_argument(
        "--bundle", action="store_true", help="train --table anew, and keep it among the bundles"
    )


def _methods(options: argparse.Namespace) -> Answer:
    from stg_core.affinity import methods
    from stg_core.affinity.table import bundled_table

    wanted = options.methods or tuple(methods.METHODS)
    methods.check_methods(wanted)
    if options.table and not options.bundle:
        table = bundled_table(options.table)
    else:
        table = _trained_table(options, wanted)
    judged = []
    for method in methods.available(table):
        if method in wanted:
            choice = methods.choose(table, method, options.budget, options.seed)
            judged.append(methods.judge(table, choice, options.budget))
    answer = {
        "table": options.table,
        "spec": table.spec.to_json(),
        "tasks": table.tasks,
        "budget": options.budget,
        "methods": {one.method: asdict(one) for one in judged},
    }
    return answer, methods_text(judged)


def _trained_table(options: argparse.Namespace, wanted: Sequence[str]) -> GroupTable:
    """A table of the user's own tasks, or a built-in one, with what the methods ask for trained."""
    from stg_core.affinity.methods import available, choose, prepare
    from stg_core.affinity.table import BUILT_IN, begin_table, save_table, table_path, train_rows

    def tell(what: str) -> None:
        print(what, file=sys.stderr, flush=True)

    if options.table:
        if options.table not in BUILT_IN:
            raise UserError(f"There is no table {options.table!r}; {', '.join(BUILT_IN)} are.")
        spec = BUILT_IN[options.table]
    elif options.group:
        spec = spec_from(options)
    else:
        raise UserError("Name a table with --table, or tasks to train with --group.")
    store = Store()
    table = begin_table(spec, store, tell)
    prepare(table, store, wanted, options.seed, tell)
    for method in set(wanted) & set(available(table)):
        choice = choose(table, method, options.budget, options.seed)
        train_rows(table, store, choice.groups, tell)
    if options.bundle:
        save_table(table, table_path(options.table))
    return table


def _affinity(options: argparse.Namespace) -> Answer:
    store, spec = Store(), spec_from(options)
    settings = {"method": options.method, "spec": spec.to_json()}
    if options.method == "datamaps":
        answer = {**settings, **_affinity_from_data_maps(store, spec)}
    else:
        from stg_core.affinity.joint import affinity_of

        progress = Progress(tell_of_one())
        found = affinity_of(
            store, spec, [options.method], options.every, options.update, [progress]
        ).to_json()
        matrices = {name: found[name][options.method] for name in ("affinity", "history")}
        answer = {**settings, **found, **matrices}
    return answer, affinity_text(answer)


def _affinity_from_data_maps(store: Store, spec: TrainingSpec) -> dict[str, Any]:
    from stg_core.affinity.joint import datamap_similarity
    from stg_core.grouping.memberships import TaskSpace

    run = trained_with_data_maps(store, spec)
    similarity = datamap_similarity(TaskSpace(run.summary))
    seconds = run.provenance["seconds"]
    return {
        "run": run.id,
        "tasks": run.spec.tasks,
        "affinity": similarity.tolist(),
        "seconds": seconds,
        "cost": 1.0,
        "counted_cost": 1.0,
    }
