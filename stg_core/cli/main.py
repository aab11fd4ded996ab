"""`python -m stg_core …`: all the app can do, for scripts.

With `--json` the last line printed is one JSON object. Errors go to stderr; exit code 2 means that
the message says what to mend.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stg_core.cli.printing import (
    affinity_text,
    agreement_text,
    choice_text,
    cost_line,
    grouping_text,
    judgement_text,
    layout_text,
    methods_text,
    plan_text,
    run_line,
    tell_of_all,
    tell_of_one,
)
from stg_core.engine.foreground import run_anywhere, train_all
from stg_core.maps.summary import FEATURES
from stg_core.results.store import Run, Store, without_nan
from stg_core.system.errors import Cancelled, UserError
from stg_core.system.files import atomic
from stg_core.tasks.groups import GROUPS, TaskGroup, custom_group, named_group
from stg_core.training.callbacks import Progress
from stg_core.training.spec import AUGMENTATIONS, BUILT_IN_MODELS, TrainingSpec

if TYPE_CHECKING:
    from stg_core.affinity.table import GroupTable
    from stg_core.grouping.agreement import Reference
    from stg_core.grouping.memberships import Grouping, TaskSpace
    from stg_core.judging.plan import Cost, Plan


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; returns 0, 2 for what the user can mend, or 130 if cancelled."""
    options = _parser().parse_args(arguments)
    try:
        answer, text = options.command(options)
    except UserError as error:
        print(f"stg_core: {error}", file=sys.stderr)
        return 2
    except (KeyboardInterrupt, Cancelled):
        print("Cancelled. The same command goes on after the last whole epoch.", file=sys.stderr)
        return 130
    print(json.dumps(without_nan(answer)) if options.json else text)
    return 0


# -------------------------------------------------------------------------------------- commands


def _groups(_: argparse.Namespace) -> tuple[dict[str, Any], str]:
    groups = [
        {"name": g.name, "dataset": g.dataset, "tasks": list(g.task_names)} for g in GROUPS.values()
    ]
    lines = [f"{g['name']}: {', '.join(g['tasks'])} ({g['dataset']})" for g in groups]
    return {"groups": groups}, "\n".join(lines)


def _extract(options: argparse.Namespace) -> tuple[dict[str, Any], str]:
    spec = _spec_from(options)
    run = _trained_with_data_maps(Store(), spec)
    return _described(run), f"{run_line(run)}\nNext: python -m stg_core group {run.id} --k 3"


def _trained_with_data_maps(store: Store, spec: TrainingSpec) -> Run:
    if not spec.recorded:
        raise UserError("Data maps need at least 2 epochs: variability is not defined for one.")
    print(f"{spec.title}: run {spec.key}", file=sys.stderr)
    return run_anywhere(store, spec, tell_of_one())


def _runs(_: argparse.Namespace) -> tuple[dict[str, Any], str]:
    store = Store()
    runs = store.runs()
    for sentence in store.damaged:
        print(sentence, file=sys.stderr)
    lines = [run_line(run) for run in runs] or [
        "No runs yet: python -m stg_core extract --group digits"
    ]
    return {"runs": [_described(run) for run in runs], "damaged": store.damaged}, "\n".join(lines)


def _group(options: argparse.Namespace) -> tuple[dict[str, Any], str]:
    run = Store().run(options.run)
    space, grouping = _grouping_from(options, run)
    answer = {
        **_described_grouping(run, space, grouping),
        "tasks": grouping.tasks,
        "memberships": grouping.memberships,
        "labels": grouping.labels,
        "quality": grouping.quality,
    }
    return answer, grouping_text(grouping)


def _choose(options: argparse.Namespace) -> tuple[dict[str, Any], str]:
    from stg_core.engine.derived import kept_choice

    store = Store()
    run = store.run(options.run)
    space = _space_from(options, run)
    choice = kept_choice(store, run, space, options.fuzzifier, options.method)
    answer = {
        "run": run.id,
        "fuzzifier": options.fuzzifier,
        "method": options.method,
        "recorded_epochs": space.epochs,
        "features": space.features,
        **asdict(choice),
    }
    return answer, choice_text(choice)


def _layout(options: argparse.Namespace) -> tuple[dict[str, Any], str]:
    from stg_core.engine.derived import kept_layout
    from stg_core.grouping.layout import dendrogram

    store = Store()
    run = store.run(options.run)
    space = _space_from(options, run)
    found = kept_layout(store, run, space, options.how)
    answer = {
        "run": run.id,
        "how": options.how,
        "recorded_epochs": space.epochs,
        "features": space.features,
        "tasks": space.tasks,
        **asdict(found),
        "dendrogram": asdict(dendrogram(space)),
    }
    return answer, layout_text(space.tasks, found)


def _specialists(options: argparse.Namespace) -> tuple[dict[str, Any], str]:
    from stg_core.engine.derived import kept_report
    from stg_core.judging.plan import make_plan, mtl_spec_of, recorded_speed
    from stg_core.judging.report import bundle_report

    store = Store()
    run = store.run(options.run)
    space, grouping = _grouping_from(options, run)
    plan = make_plan(mtl_spec_of(run, store), grouping, space, options.schemes, options.seeds)
    cost = plan.cost(store, recorded_speed(store))
    if options.dry_run:
        return _planned(plan, cost, store)
    print(cost_line(cost), file=sys.stderr)
    if not options.only_judge:
        train_all(store, plan.trainings, tell_of_all(plan, cost.distinct - cost.cached))
    report = kept_report(store, run, space, plan)
    if options.bundle:
        bundle_report(report, options.bundle)
    return _judged(report, options.average, options.routing)


def _methods(options: argparse.Namespace) -> tuple[dict[str, Any], str]:
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
        spec = _spec_from(options)
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


def _agreement(options: argparse.Namespace) -> tuple[dict[str, Any], str]:
    from stg_core.grouping.agreement import agreement_with, scores_by_k

    run = Store().run(options.run)
    space, grouping = _grouping_from(options, run)
    reference = _reference_from(options.reference, run, space.tasks)
    found = agreement_with(reference, grouping)
    answer = {
        **_described_grouping(run, space, grouping),
        "labels": grouping.labels,
        **asdict(found),
        "left_out": reference.left_out,
    }
    if options.every_k:
        by_k = scores_by_k(reference, space, options.fuzzifier, options.method)
        answer["scores_by_k"] = {
            k: {name: asdict(score) for name, score in scores.items()} for k, scores in by_k
        }
    return answer, agreement_text(found)


def _affinity(options: argparse.Namespace) -> tuple[dict[str, Any], str]:
    store, spec = Store(), _spec_from(options)
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

    run = _trained_with_data_maps(store, spec)
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


def _bundle(options: argparse.Namespace) -> tuple[dict[str, Any], str]:
    from stg_core.engine.derived import bundle_answers

    store = Store()
    folder = store.bundle(store.run(options.run), options.name)
    bundle_answers(store, store.run(f"bundled:{options.name}"))
    return {"bundled": f"bundled:{options.name}"}, f"Bundled as {folder.parent.name}/{folder.name}."


def _export(options: argparse.Namespace) -> tuple[dict[str, Any], str]:
    from stg_core.results.archive import export_run, file_name

    run = Store().run(options.run)
    path: Path = options.output
    if path.is_dir():
        path = path / file_name(run)
        if path.exists():
            raise UserError(f"{path} is here already: name the file with --output FILE.")
    try:
        with atomic(path) as file:
            export_run(run, file, options.with_arrays)
        size = path.stat().st_size
    except OSError as error:
        raise UserError(f"{path} cannot be written ({error.strerror}).") from error
    answer = {"run": run.id, "file": str(path), "bytes": size}
    return answer, f"{run.title} is in {path}, {size / 1e6:,.1f} MB."


def _import(options: argparse.Namespace) -> tuple[dict[str, Any], str]:
    from stg_core.results.archive import import_run

    try:
        with options.file.open("rb") as file:
            run = import_run(Store(), file)
    except OSError as error:
        raise UserError(f"{options.file} cannot be read ({error.strerror}).") from error
    return _described(run), run_line(run)


def _rename(options: argparse.Namespace) -> tuple[dict[str, Any], str]:
    store = Store()
    run = store.rename(store.run(options.run), options.title)
    return _described(run), run_line(run)


def _delete(options: argparse.Namespace) -> tuple[dict[str, Any], str]:
    store = Store()
    run = store.run(options.run)
    agreed = options.yes or run.bundled or _agreed(f"Delete {run.title} ({run.id}) for good?")
    if not agreed:
        return {"deleted": None}, "Nothing was deleted."
    store.delete(run)
    return {"deleted": run.id}, f"Deleted: {run.title}"


def _agreed(question: str) -> bool:
    if not sys.stdin.isatty():
        raise UserError(f"{question} Say so with --yes.")
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


# --------------------------------------------------------------------------------------- answers


def _described(run: Run) -> dict[str, Any]:
    return {
        "run": run.id,
        "title": run.title,
        "key": run.spec.key,
        "mean_f1": run.mean_f1,
        "bytes": run.size,
        "provenance": run.provenance,
        "spec": run.spec.to_json(),
    }


def _described_grouping(run: Run, space: TaskSpace, grouping: Grouping) -> dict[str, Any]:
    return {
        "run": run.id,
        "k": grouping.k,
        "fuzzifier": grouping.fuzzifier,
        "method": grouping.method,
        "recorded_epochs": space.epochs,
        "features": space.features,
    }


def _planned(plan: Plan, cost: Cost, store: Store) -> tuple[dict[str, Any], str]:
    models: list[dict[str, Any]] = [
        {
            "scheme": ensemble.scheme,
            "seed": ensemble.seed,
            "model": name,
            "key": spec.key,
            "cached": store.get(spec) is not None,
        }
        for ensemble in plan.ensembles
        for name, spec in zip(ensemble.names, ensemble.specs, strict=True)
    ]
    return {**asdict(cost), "plan": models}, plan_text(models, cost)


def _judged(report: dict[str, Any], average: str, routing: str) -> tuple[dict[str, Any], str]:
    """One variant of a report, with what each scheme cost beside its scores."""
    variant = report["variants"][f"{average}-{routing}"]
    schemes = {
        name: {**scores, **report["trainings"][name]} for name, scores in variant["schemes"].items()
    }
    rest = {name: v for name, v in report.items() if name not in ("variants", "trainings")}
    answer = {**rest, "average": average, "routing": routing, **variant, "schemes": schemes}
    return answer, judgement_text(schemes, variant["verdict"])


# --------------------------------------------------------------------------------------- options


def _spec_from(options: argparse.Namespace) -> TrainingSpec:
    return TrainingSpec(
        group=_group_from(options),
        tasks=options.tasks,
        model=options.model or "",
        epochs=options.epochs,
        recorded_epochs=options.recorded_epochs,
        seed=options.seed,
        batch_size=options.batch_size,
        learning_rate=options.learning_rate,
        augmentation=options.augmentation,
        single_task_models=options.single_task_models,
        training_images=options.training_images,
    )


def _group_from(options: argparse.Namespace) -> TaskGroup:
    if options.group != "custom":
        if options.classes or options.union or options.dataset:
            raise UserError("--dataset, --classes and --union belong to --group custom.")
        return named_group(options.group)
    unions = {}
    for union in options.union:
        name, equals, members = union.partition("=")
        if not (name and equals and members):
            raise UserError(f"Write a union as NAME=class,class and not as {union!r}.")
        unions[name] = members.split(",")
    return custom_group(options.dataset or "cifar10", options.classes, unions)


def _space_from(options: argparse.Namespace, run: Run) -> TaskSpace:
    from stg_core.grouping.memberships import TaskSpace

    return TaskSpace(run.summary, options.recorded_epochs, options.features)


def _grouping_from(options: argparse.Namespace, run: Run) -> tuple[TaskSpace, Grouping]:
    from stg_core.grouping.memberships import group_tasks

    space = _space_from(options, run)
    return space, group_tasks(space, options.k, options.fuzzifier, options.method)


def _reference_from(path: Path | None, run: Run, tasks: Sequence[str]) -> Reference:
    from stg_core.grouping.agreement import MAX_REFERENCE_BYTES, built_in_reference, read_reference

    if path:
        try:
            with path.open("rb") as file:
                return read_reference(file.read(MAX_REFERENCE_BYTES + 1), tasks)
        except OSError as error:
            raise UserError(f"Cannot read {path}: {error.strerror}.") from None
    reference = built_in_reference(run.spec.group, tasks)
    if reference is None:
        raise UserError(
            f"No labels of the tasks of {run.id} are known: give them with --reference FILE.csv,"
            " one line task,label for each."
        )
    return reference


def _whole_numbers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a list such as 2,4,6") from None


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split(","))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m stg_core",
        description="Which tasks of a multi-task model belong together.",
        epilog="STG_HOME names the folder of results, STG_DATA the folder of data sets.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run: Any, text: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=text, description=text)
        added.add_argument("--json", action="store_true", help="print one JSON object")
        added.set_defaults(command=run)
        return added

    command("groups", _groups, "List the built-in task groups.")

    extract = command("extract", _extract, "Train on a task group and keep its data maps.")
    affinity = command("affinity", _affinity, "Tell how much each task helps each other one.")
    methods = command("methods", _methods, "Compare ways to choose groups of tasks.")
    for training in (extract, affinity, methods):
        _add_training_options(training, required=training is not methods)
    methods.add_argument("--table", metavar="NAME", help="digits-8 or g1-6, which are here")
    methods.add_argument("--budget", type=int, default=3, help="number of models (default 3)")
    methods.add_argument(
        "--methods", type=_words, default=(), metavar="tag,hoa,…", help="default: all"
    )
    methods.add_argument(
        "--bundle", action="store_true", help="train --table anew, and keep it among the bundles"
    )
    affinity.add_argument(
        "--method",
        choices=("tag", "cosine", "etap", "datamaps"),
        default="tag",
        help="lookahead, gradient cosine, first-order lookahead, or alike data maps (default tag)",
    )
    affinity.add_argument(
        "--every", type=int, default=10, help="record one step in so many (default 10)"
    )
    affinity.add_argument(
        "--update",
        choices=("optimiser", "gradient"),
        default="optimiser",
        help="tag and etap: the update that is tried (default: the optimiser's own)",
    )

    command("runs", _runs, "List the runs of this machine, bundled ones first.")

    group = command("group", _group, "Group the tasks of a run.")
    agreement = command("agreement", _agreement, "Hold a grouping against labels of the tasks.")
    agreement.add_argument(
        "--reference", type=Path, metavar="FILE.csv", help="lines task,label (default: built in)"
    )
    agreement.add_argument(
        "--every-k", action="store_true", help="with --json also the scores for k from 2 to 40"
    )
    specialists = command(
        "specialists", _specialists, "Train one specialist per cluster and judge the grouping."
    )
    specialists.add_argument(
        "--schemes",
        type=_words,
        default=("mtl", "specialists", "plain", "random"),
        help="mtl, stl, specialists, plain, random, superclass (default: all but stl, superclass)",
    )
    specialists.add_argument(
        "--seeds", type=_whole_numbers, default=(), help="default: the run's own"
    )
    specialists.add_argument("--average", choices=("logits", "probabilities"), default="logits")
    specialists.add_argument("--routing", choices=("soft", "hard"), default="soft")
    specialists.add_argument("--bundle", metavar="NAME", help="keep the report among the bundles")
    specialists.add_argument("--dry-run", action="store_true", help="only tell what is to be done")
    specialists.add_argument("--only-judge", action="store_true", help="train nothing")
    choose = command("choose", _choose, "Tell how good every k is, and suggest one.")
    layout = command("layout", _layout, "Lay the tasks out as a map and as a dendrogram.")
    layout.add_argument("--how", default="umap", help="pca, mds or umap (default umap)")
    for grouping in (group, agreement, specialists):
        grouping.add_argument("--k", type=int, required=True, help="number of clusters")
    for grouping in (group, agreement, specialists, choose):
        grouping.add_argument(
            "--fuzzifier", type=float, default=2.0, help="above 1; larger is softer"
        )
        grouping.add_argument("--method", default="soft", help="soft, hard, fcm or points")
    for grouping in (group, agreement, specialists, choose, layout):
        grouping.add_argument("run", metavar="RUN", help="bundled:g2, a key, or its beginning")
        grouping.add_argument("--recorded-epochs", type=_whole_numbers, metavar="2,4,…")
        grouping.add_argument("--features", type=_words, metavar=",".join(FEATURES))

    export = command("export", _export, "Write a run to a .zip file, for another machine.")
    export.add_argument("run", metavar="RUN")
    export.add_argument(
        "--output", type=Path, default=Path(), metavar="FILE", help="default: after its title, here"
    )
    export.add_argument(
        "--with-arrays", action="store_true", help="also data maps and logits of every point"
    )

    command("import", _import, "Take a run from a .zip file.").add_argument(
        "file", type=Path, metavar="FILE"
    )

    rename = command("rename", _rename, "Give a run a title of your own.")
    rename.add_argument("run", metavar="RUN")
    rename.add_argument("title", metavar="TITLE", help='"" takes the generated one back')

    delete = command("delete", _delete, "Delete a run for good.")
    delete.add_argument("run", metavar="RUN")
    delete.add_argument("--yes", action="store_true", help="do not ask")

    bundle = command("bundle", _bundle, "Copy a run into the bundles that come with the project.")
    bundle.add_argument("run", metavar="RUN")
    bundle.add_argument("name", metavar="NAME")
    return parser


def _add_training_options(parser: argparse.ArgumentParser, required: bool) -> None:
    parser.add_argument("--group", required=required, help=f"{', '.join(GROUPS)} or custom")
    parser.add_argument("--tasks", type=_words, default=(), help="some of the group: task,task,…")
    parser.add_argument("--dataset", help="custom: the data set (default cifar10)")
    parser.add_argument("--classes", type=_words, default=(), help="custom: class,class,…")
    parser.add_argument(
        "--union", action="append", default=[], metavar="NAME=CLASS,CLASS", help="custom: one task"
    )
    parser.add_argument("--model", help=f"{', '.join(BUILT_IN_MODELS)} or your_module:name")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--recorded-epochs", type=_whole_numbers, metavar="2,4,…")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--augmentation", choices=AUGMENTATIONS, default="none")
    parser.add_argument(
        "--training-images", type=int, default=0, metavar="N", help="of all, always the same ones"
    )
    parser.add_argument(
        "--single-task-models", action="store_true", help="one model per task, merged"
    )
