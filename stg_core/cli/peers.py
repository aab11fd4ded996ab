"""Commands of the peer methods: affinities of tasks, and what every method chooses."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from stg_core.affinity.asked import noted
from stg_core.affinity.settings import CLUSTERINGS, CONTROLS
from stg_core.cli.options import (
    Answer,
    Command,
    add_training_options,
    spec_from,
    whole_numbers,
    words,
)
from stg_core.cli.printing import (
    affinity_text,
    foretelling_text,
    many_text,
    methods_text,
    truths_text,
)
from stg_core.cli.progress import tell_of_one
from stg_core.cli.trainings import trained_with_data_maps
from stg_core.judging.verdict import MEASURE_NAMES, say_coins
from stg_core.results.run import Run
from stg_core.results.store import Store
from stg_core.system.errors import UserError
from stg_core.training.callbacks import Progress
from stg_core.training.spec import TrainingSpec

if TYPE_CHECKING:
    from stg_core.affinity.many import ManyPlan
    from stg_core.affinity.preparing import TablePlan
    from stg_core.affinity.table import GroupTable


OF_WHAT_IS_KEPT = ("datamaps", "labels", "errors", "pvi")  # affinities without gradients


def add_commands(command: Command) -> None:
    _add_affinity(command("affinity", _affinity, "Tell how much each task helps each other one."))
    _add_methods(command("methods", _methods, "Compare ways to choose groups of tasks."))


def _add_affinity(parser: argparse.ArgumentParser) -> None:
    add_training_options(parser, required=False)
    parser.add_argument(
        "--method",
        choices=("tag", "cosine", "etap", "transfer", "gradtag", *OF_WHAT_IS_KEPT),
        default="tag",
        help="lookahead, gradient cosine, first-order lookahead, transfer gain of pairs (up to 12"
        " tasks), estimated fine-tuning, alike data maps, or of labels, errors, PVI (default tag)",
    )
    parser.add_argument(
        "--run", metavar="RUN", help="of a run that is here, such as log:NAME, without a training"
    )
    parser.add_argument(
        "--every",
        type=int,
        default=10,
        help="record one step in so many (default 10; gradtag: of no matter)",
    )
    parser.add_argument(
        "--update",
        choices=("optimiser", "gradient"),
        default="optimiser",
        help="tag, etap and transfer: the update that is tried (default: the optimiser's own)",
    )


def _add_methods(parser: argparse.ArgumentParser) -> None:
    add_training_options(parser, required=False)
    parser.add_argument(
        "--table",
        metavar="NAME",
        help="that came with the project, such as g1-6; with --seeds also yeast-8",
    )
    parser.add_argument(
        "--pairs",
        action="store_true",
        help="what foretells the own part of pairs, learned from all tables with several seeds but"
        " the one that it is told of",
    )
    parser.add_argument(
        "--run",
        metavar="RUN",
        help="groups that follow from what a run keeps, such as log:NAME, without a training",
    )
    parser.add_argument("--budget", type=int, default=3, help="number of models (default 3)")
    parser.add_argument(
        "--methods",
        type=words,
        default=(),
        metavar="tag,hoa,…",
        help="default: all; of more than 12 tasks stg,labels,errors,pvi, and on request"
        " datamaps,cosine,tag,gradtag,etap,surrogates,dmtg",
    )
    parser.add_argument(
        "--cluster-by",
        default="",
        metavar="|".join(CLUSTERINGS),
        help="what makes groups of an affinity of more than 12 tasks, of fewer if it is given"
        " (default semidefinite, of more than 300 tasks spectral)",
    )
    parser.add_argument(
        "--controls",
        type=words,
        default=(),
        metavar="mtl,plain,…",
        help=f"more than 12 tasks: what groups are compared with (default {','.join(CONTROLS)})",
    )
    parser.add_argument(
        "--measure",
        choices=tuple(MEASURE_NAMES),
        default="",
        help="more than 12 tasks: what the table is of (default: AUROC, R²)",
    )
    parser.add_argument(
        "--bundle", action="store_true", help="train --table anew, and keep it among the bundles"
    )
    parser.add_argument(
        "--seeds",
        type=whole_numbers,
        default=(),
        metavar="N",
        help="train every group of --table with so many seeds, or go on with it; with --bundle,"
        " keep it among the bundles. Of more than 12 tasks: which seeds, such as 0,1 (default"
        " --seed)",
    )
    parser.add_argument("--asked", metavar="KEY", help=argparse.SUPPRESS)  # by the app


def _methods(options: argparse.Namespace) -> Answer:
    from stg_core.affinity import methods

    if options.run:
        return _groups_of_kept(options)
    if options.pairs:
        return _foretelling()
    if many := _many_from(options):
        return _many_compared(many, options.measure)
    if options.table and options.seeds:
        return _seeds(options)
    wanted = options.methods or tuple(methods.METHODS)
    methods.check_methods(wanted)
    table, wanted, budget, seed = _table_for(options, wanted)
    judged = []
    for method in methods.available(table, budget):
        if method in wanted:
            choice = methods.choose(table, method, budget, seed)
            judged.append(methods.judge(table, choice, budget))
    answer = {
        "table": options.table,
        "spec": table.spec.to_json(),
        "tasks": table.tasks,
        "budget": budget,
        "methods": {one.method: asdict(one) for one in judged},
        "left_out": table.left_out,
    }
    return answer, "\n".join(filter(None, [methods_text(judged), say_coins(table.left_out)]))


def _groups_of_kept(options: argparse.Namespace) -> Answer:
    """Of a run that is not trained again, with a sentence on each method that cannot be had."""
    from stg_core.affinity.kept import OF_GRADIENTS, OF_OUTPUTS, OF_TRAININGS, groups_of_kept, needs

    if unknown := [m for m in options.methods if m not in OF_OUTPUTS]:
        known = unknown[0] in (*OF_GRADIENTS, *OF_TRAININGS)
        why = needs(unknown[0]) if known else f"There is no method {unknown[0]!r}."
        raise UserError(f"{why} Of a run choose from {', '.join(OF_OUTPUTS)}.")
    run = Store().run(options.run)
    found, lacking = groups_of_kept(run, options.budget, options.cluster_by)
    chosen = [one for one in found if not options.methods or one.method in options.methods]
    answer = {
        "run": run.id,
        "budget": options.budget,
        "tasks": run.summary.tasks.tolist(),
        "methods": {one.method: asdict(one) for one in chosen},
        "lacking": lacking,
    }
    lines = [
        f"{one.method:14}{' | '.join(' '.join(group) for group in one.groups)}" for one in chosen
    ]
    return answer, "\n".join([*lines, *lacking])


def _many_from(options: argparse.Namespace) -> ManyPlan | None:
    """What to compare of more tasks than a table can hold, if that is asked for."""
    from stg_core.affinity.many import plan_of_many
    from stg_core.affinity.table import MOST_TASKS

    if options.asked:
        asked = noted(Store(), options.asked)
        if asked is None or len(asked.spec.tasks) <= MOST_TASKS:
            return None
        return plan_of_many(asked.spec, asked.methods, asked.budget)
    if options.table or not options.group:
        return None
    spec = spec_from(options)
    if len(spec.tasks) <= MOST_TASKS and not options.cluster_by:
        return None
    controls = options.controls or CONTROLS
    settings = options.methods, options.budget, options.cluster_by, controls, options.seeds
    return plan_of_many(spec, *settings)


def _many_compared(plan: ManyPlan, measure: str) -> Answer:
    from stg_core.affinity.many import compare_many, measures_in, most_trainings
    from stg_core.affinity.preparing import forget_progress

    store = Store()
    _tell(f"At most {most_trainings(plan):,.0f} trainings, those that are here included.")
    answer = compare_many(store, plan, _tell)
    forget_progress(store, plan.key)
    if measure and measure not in (known := measures_in(answer)):
        raise UserError(f"These tasks have no measure {measure!r}; choose from {', '.join(known)}.")
    return answer, many_text(answer, measure)


def _seeds(options: argparse.Namespace) -> Answer:
    """A table with several seeds: what is missing of it is trained."""
    from stg_core.affinity.seed_methods import BUDGETS, note_methods
    from stg_core.affinity.seed_training import train_seed_table
    from stg_core.affinity.seeds import kept_seed_path, save_seed_table, seed_table_path
    from stg_core.affinity.truth import kept_methods, kept_truth, note_truths

    if not options.table:
        raise UserError("Name a table with --table: only those are trained with several seeds.")
    if options.budget not in BUDGETS:
        kept = ", ".join(map(str, BUDGETS))
        raise UserError(f"Choices are kept for budgets of {kept} only, not of {options.budget}.")
    store = Store()
    path = kept_seed_path(store, options.table)
    table = train_seed_table(options.table, options.seeds[0], path, _tell)
    if note_methods(table, store, _tell):
        _tell("Scores, regrets and reliabilities.")
        note_truths(table, BUDGETS)
        save_seed_table(table, path, 0)
    if options.bundle:
        save_seed_table(table, seed_table_path(options.table))
    truth, judged = kept_truth(table), kept_methods(table, options.budget)
    answer = {
        "table": options.table,
        "spec": table.spec.to_json(),
        "tasks": table.tasks,
        "budget": options.budget,
        "truth": asdict(truth),
        "methods": {one.method: asdict(one) for one in judged},
    }
    return answer, truths_text(truth, judged)


def _foretelling() -> Answer:
    """Cross-validation over the tables with several seeds that came with the project."""
    from stg_core.affinity.seeds import bundled_seed_tables, load_seed_table
    from stg_core.affinity.truth import foretelling

    found = foretelling({name: load_seed_table(p) for name, p in bundled_seed_tables().items()})
    if not found:
        raise UserError(
            "That takes two tables with several seeds among the bundles: train them with --table,"
            " --seeds and --bundle."
        )
    return {stop: asdict(one) for stop, one in found.items()}, foretelling_text(found)


def _tell(what: str) -> None:
    print(what, file=sys.stderr, flush=True)


def _table_for(
    options: argparse.Namespace, wanted: Sequence[str]
) -> tuple[GroupTable, Sequence[str], int, int]:
    """A bundled table or one of the user's own tasks; the methods, budget and seed to compare."""
    from stg_core.affinity.preparing import make_plan
    from stg_core.affinity.table import bundled_table

    budget, seed = options.budget, options.seed
    if options.asked:
        if (asked := noted(Store(), options.asked)) is None:
            raise UserError("Nothing is noted under that key: ask for the table again.")
        plan = make_plan(asked.spec, asked.methods, asked.budget)
        return _own_table(plan), asked.methods, asked.budget, asked.spec.seed
    if options.table and options.bundle:
        return _new_bundle(options, wanted), wanted, budget, seed
    if options.table:
        return bundled_table(options.table), wanted, budget, seed
    if not options.group:
        raise UserError("Name a table with --table, or tasks to train with --group.")
    return _own_table(make_plan(spec_from(options), wanted, budget)), wanted, budget, seed


def _own_table(plan: TablePlan) -> GroupTable:
    """Trained as far as the plan asks for, and kept: the page Methods shows it too."""
    from stg_core.affinity.preparing import Noting, prepared_table

    store = Store()
    noting = Noting(store, plan, _tell)
    table = prepared_table(store, plan, noting)
    noting.forget()
    return table


def _new_bundle(options: argparse.Namespace, wanted: Sequence[str]) -> GroupTable:
    """A built-in table, trained anew and kept among what comes with the project."""
    from stg_core.affinity.preparing import fill_table
    from stg_core.affinity.table import BUILT_IN, begin_table, save_table, table_path

    if options.table not in BUILT_IN:
        raise UserError(f"There is no table {options.table!r}; {', '.join(BUILT_IN)} are.")
    store = Store()
    table = begin_table(BUILT_IN[options.table], store, _tell)
    fill_table(table, store, wanted, options.budget, options.seed, _tell)
    save_table(table, table_path(options.table))
    return table


def _affinity(options: argparse.Namespace) -> Answer:
    if options.run:
        return _affinity_of_run(options)
    if not options.group:
        raise UserError("Name tasks to train with --group, or a run that is here with --run.")
    store, spec = Store(), spec_from(options)
    settings = {"method": options.method, "spec": spec.to_json()}
    if options.method in OF_WHAT_IS_KEPT:
        run = trained_with_data_maps(store, spec)
        answer = {**settings, **_kept_affinity(run, options.method, run.provenance["seconds"])}
    else:
        from stg_core.affinity.joint import affinity_of

        progress = Progress(tell_of_one())
        found = affinity_of(
            store, spec, [options.method], options.every, options.update, [progress]
        ).to_json()
        matrices = {name: found[name][options.method] for name in ("affinity", "history")}
        answer = {**settings, **found, **matrices}
    answer["overlap"] = _overlap_warning(spec)
    return answer, affinity_text(answer)


def _overlap_warning(spec: TrainingSpec) -> str:
    """Which affinities are noise for want of common labels, as only data of one's own can lack."""
    if not spec.group.is_own:
        return ""
    from stg_core.affinity.outputs import overlap_of_labels, overlap_warning
    from stg_core.tasks.data import load_task_data

    labels = load_task_data(spec.group).select(spec.tasks).train_labels
    return overlap_warning(spec.tasks, overlap_of_labels(labels == labels))


def _affinity_of_run(options: argparse.Namespace) -> Answer:
    from stg_core.affinity.kept import needs
    from stg_core.affinity.outputs import overlap_warning
    from stg_core.maps.labels import overlap

    if options.method not in OF_WHAT_IS_KEPT:
        kept = ", ".join(OF_WHAT_IS_KEPT)
        raise UserError(f"{needs(options.method)} Choose a --method from {kept}.")
    run = Store().run(options.run)
    summary = run.summary
    answer = _kept_affinity(run, options.method, 0.0) | {"method": options.method}
    answer["overlap"] = overlap_warning(summary.tasks.tolist(), overlap(summary))
    return answer, affinity_text(answer)


def _kept_affinity(run: Run, method: str, seconds: float) -> dict[str, Any]:
    """From what a run keeps; seconds: that its training took, 0 where none was needed."""
    from stg_core.affinity.joint import datamap_similarity
    from stg_core.affinity.outputs import affinity_from
    from stg_core.grouping.memberships import TaskSpace

    if method == "datamaps":
        found = datamap_similarity(TaskSpace(run.summary))
    else:
        found = affinity_from(run, method)
    cost = 1.0 if seconds else 0.0
    return {
        "run": run.id,
        "tasks": run.spec.tasks,
        "affinity": found.tolist(),
        "seconds": seconds,
        "cost": cost,
        "counted_cost": cost,
    }
