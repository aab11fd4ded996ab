"""The command that trains specialists and judges a grouping; of a logged run, what came back."""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stg_core.cli.options import (
    Answer,
    Command,
    add_grouping_options,
    grouping_from,
    whole_numbers,
    words,
)
from stg_core.cli.printing import (
    about_missing,
    agreed,
    cost_line,
    found_line,
    judgement_text,
    plan_text,
)
from stg_core.cli.progress import tell_of_all, tell_of_steps
from stg_core.engine.foreground import train_all
from stg_core.judging.loss_weights import FORMATS, loss_weights, weights_file
from stg_core.judging.plan import WARM_SHARE
from stg_core.judging.snippets import FRAMEWORKS
from stg_core.judging.verdict import MEASURE_NAMES
from stg_core.results.logged import LoggedRun
from stg_core.results.run import Run
from stg_core.results.store import Store
from stg_core.system.errors import UserError
from stg_core.system.files import atomic
from stg_core.system.words import counted

if TYPE_CHECKING:
    from stg_core.grouping.memberships import Grouping
    from stg_core.judging.brought_back import BroughtBack, Due
    from stg_core.judging.plan import Cost, Plan

USUAL = ("mtl", "specialists", "plain", "random")  # schemes of a run of the own engine


def add_commands(command: Command) -> None:
    specialists = command(
        "specialists", _specialists, "Train one specialist per cluster and judge the grouping."
    )
    add_grouping_options(specialists)
    specialists.add_argument(
        "--schemes",
        type=words,
        default=(),
        help="mtl; stl; specialists; plain: as many models without any grouping; random: the same"
        " weights on the wrong tasks; superclass: of families of any tasks; longer, wider: one"
        " model that costs as much to train, or to serve, as the specialists; warm: specialists"
        " that go on from the MTL model, with plain_warm and random_warm (default: mtl,"
        " specialists, plain, random; of a log, all that came back)",
    )
    specialists.add_argument(
        "--warm-share",
        type=float,
        default=WARM_SHARE,
        metavar="SHARE",
        help=f"of MTL's epochs, for which warm specialists go on: default {WARM_SHARE:g}",
    )
    specialists.add_argument(
        "--seeds", type=whole_numbers, default=(), help="default: the run's own"
    )
    specialists.add_argument("--average", choices=("logits", "probabilities"), default="logits")
    specialists.add_argument("--routing", choices=("soft", "hard"), default="soft")
    specialists.add_argument(
        "--measure",
        choices=tuple(MEASURE_NAMES),
        help="that the verdict is by (default: AUROC, R²)",
    )
    specialists.add_argument("--bundle", metavar="NAME", help="keep the report among the bundles")
    specialists.add_argument("--dry-run", action="store_true", help="only tell what is to be done")
    specialists.add_argument(
        "--yes", action="store_true", help="do not ask before a plan that takes more than an hour"
    )
    specialists.add_argument("--only-judge", action="store_true", help="train nothing")
    specialists.add_argument(
        "--weights",
        type=Path,
        metavar="FILE",
        help=f"only write the loss weights, as .{', .'.join(FORMATS)}",
    )
    specialists.add_argument(
        "--snippet",
        choices=FRAMEWORKS,
        help="of a log: only print the code that trains and logs what is not back yet",
    )


def _specialists(options: argparse.Namespace) -> Answer:
    from stg_core.engine.derived import kept_report
    from stg_core.judging.brought_back import BroughtBack
    from stg_core.judging.plan import (
        grouping_trainings_of,
        make_plan,
        mtl_spec_of,
        recorded_speed,
    )
    from stg_core.judging.report import bundle_report

    store = Store()
    run = store.run(options.run)
    space, grouping = grouping_from(options, run)
    if options.weights:
        return _weights(options.weights, run, grouping)
    if options.snippet:
        return _snippet(options, BroughtBack(store, run, grouping, space, options.seeds))
    if isinstance(run, LoggedRun):
        back = BroughtBack(store, run, grouping, space, options.seeds)
        return _brought_back(options, store, back)
    plan = make_plan(
        mtl_spec_of(run, store),
        grouping,
        space,
        options.schemes or USUAL,
        options.seeds,
        options.warm_share,
        grouping_trainings_of(run),
    )
    cost = plan.cost(store, recorded_speed(store))
    if options.dry_run:
        return _planned(plan, cost, store)
    print(cost_line(cost), file=sys.stderr)
    if not (options.only_judge or options.yes or agreed(cost.distinct - cost.cached, cost.seconds)):
        return {**asdict(cost), "started": False}, "Nothing was started."
    if not options.only_judge:
        train_all(store, plan.trainings, tell_of_all(plan, cost.distinct - cost.cached))
    report = kept_report(store, run, space, plan, tell_of_steps())
    if options.bundle:
        bundle_report(report, options.bundle)
    return _judged(report, f"{options.average}-{options.routing}", options.measure)


def _weights(path: Path, run: Run, grouping: Grouping) -> Answer:
    """Writes the loss weights as the name of their file says."""
    try:
        content = weights_file(grouping, path.suffix.removeprefix(".").lower(), run.title)
        with atomic(path) as file:
            file.write(content)
    except OSError as error:
        raise UserError(f"{path} cannot be written ({error.strerror}).") from error
    answer = {"file": str(path), "tasks": list(grouping.tasks), "weights": loss_weights(grouping)}
    n_tasks = counted(len(grouping.tasks), "task")
    return answer, f"The weights of {n_tasks} in the losses of {grouping.k} models are in {path}."


def _snippet(options: argparse.Namespace, back: BroughtBack) -> Answer:
    from stg_core.judging.snippets import snippet

    models = back.to_train(options.schemes)
    code = snippet(options.snippet, back.run.spec.group.tasks, models, back.run.title)
    return {"snippet": code, "logs": [_due(due) for due in models]}, code.rstrip()


def _brought_back(options: argparse.Namespace, store: Store, back: BroughtBack) -> Answer:
    """Judges what others logged, and says what is missing and what it would cost."""
    from stg_core.engine.derived import kept_report

    told: dict[str, Any] = {
        "found": [
            {
                **_due(one.due),
                "log": one.run.id if one.run else None,
                "problem": one.problem or None,
                "known_by": None if one.run is None else "name" if one.by_name else "weights",
            }
            for one in back.shown()
        ],
        "missing": [
            {
                "scheme": one.scheme,
                "logs": [found.due.name for found in one.logs],
                "cost": one.cost,
                "seconds": one.seconds,
            }
            for one in back.missing()
        ],
    }
    missing = "\n".join(about_missing(one) for one in back.missing())
    if options.dry_run:
        return told, "\n".join(filter(None, ["\n".join(map(found_line, back.shown())), missing]))
    try:
        plan = back.judged(options.schemes)
    except UserError as error:
        raise UserError(
            f"{error} See with --dry-run what came back, and with --snippet the code that logs it."
        ) from error
    report = kept_report(store, back.run, back.space, plan, tell_of_steps(), back)
    answer, text = _judged(report, f"{options.average}-{options.routing}", options.measure)
    return answer | told, "\n\n".join(filter(None, [text, missing]))


def _due(due: Due) -> dict[str, Any]:
    return {
        "name": due.name,
        "scheme": due.scheme,
        "seed": due.seed,
        "model": due.model,
        "epochs": due.epochs,
        "weights": due.weights,
    }


def _planned(plan: Plan, cost: Cost, store: Store) -> Answer:
    models: list[dict[str, Any]] = [
        {
            "scheme": ensemble.scheme,
            "seed": ensemble.seed,
            "model": name,
            "key": spec.key,
            "cached": store.get(spec) is not None,
        }
        for ensemble in plan.ensembles
        for spec, name in ensemble.trainings.items()
    ]
    return {**asdict(cost), "plan": models}, plan_text(models, cost)


def _judged(report: dict[str, Any], variant: str, measure: str | None = None) -> Answer:
    """One variant of a report by one measure, with what each scheme costs beside its scores."""
    from stg_core.judging.verdict import Words, verdict_in

    measure = measure or report["measures"][0]
    found = report["variants"][variant]
    if measure not in found["measures"]:
        raise UserError(
            f"These tasks have no measure {measure!r}; choose from {', '.join(report['measures'])}."
        )
    judged, told = found["measures"][measure], verdict_in(report, variant, measure)
    schemes = {
        scheme: {**scores, **report["trainings"][scheme], "costs": report["costs"][scheme]}
        for scheme, scores in judged["schemes"].items()
    }
    rest = {name: v for name, v in report.items() if name not in ("variants", "trainings", "costs")}
    average, routing = variant.split("-")
    answer = {**rest, "average": average, "routing": routing, "measure": measure, **judged}
    answer |= {"schemes": schemes, "curves": found["schemes"]}
    means = {
        name: {scheme: scores["mean"] for scheme, scores in other["schemes"].items()}
        for name, other in found["measures"].items()
    }
    return answer | {"means": means}, judgement_text(
        schemes, told, Words.of(report).measure(measure)
    )
