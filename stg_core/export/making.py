"""From a run and a grouping of it to the models that a file holds, and what it says of itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from stg_core.engine.derived import Tell, kept_report
from stg_core.export.about import About, Input, Model
from stg_core.judging.ensembles import Floats, strongest
from stg_core.judging.plan import (
    ROUTED,
    SCHEMES,
    WARM,
    WARM_SHARE,
    Ensemble,
    Plan,
    grouping_trainings_of,
    make_plan,
    mtl_spec_of,
)
from stg_core.judging.verdict import SCHEME_NAMES, verdict_in
from stg_core.results.run import Run
from stg_core.results.store import Store
from stg_core.system.errors import UserError
from stg_core.system.version import VERSION
from stg_core.system.words import counted
from stg_core.tasks.datasets import data_set_of
from stg_core.training.usage import Usage

if TYPE_CHECKING:
    from stg_core.grouping.memberships import Grouping, TaskSpace


@dataclass(frozen=True)
class Wanted:
    """Which predictor: of which scheme, and how its models are put together.

    seed: of its trainings, by default the run's own; beside: the schemes that are judged with it,
    by default all that are trained; warm_share: of MTL's epochs, for which warm models go on.
    """

    scheme: str = "specialists"
    routing: str = "soft"
    average: str = "logits"
    seed: int | None = None
    beside: tuple[str, ...] = ()
    warm_share: float = WARM_SHARE

    @property
    def variant(self) -> str:
        """As reports name it."""
        return f"{self.average}-{self.routing}"


@dataclass(frozen=True)
class Made:
    """What a file is made of: its plan and ensemble, their judgement, the runs of its models, and
    what it says of itself, before it is checked."""

    plan: Plan
    ensemble: Ensemble
    report: Mapping[str, Any]
    runs: tuple[Run, ...]
    about: About


def make(
    store: Store,
    run: Run,
    space: TaskSpace,
    grouping: Grouping,
    wanted: Wanted = Wanted(),
    tell: Tell = lambda _: None,
) -> Made:
    """Everything but the file itself. Judges all schemes of the same plan that are trained.

    Raises UserError for a scheme that is not trained, whose weights are not kept, or which has no
    memberships to route by.
    """
    _check_wanted(run, wanted)
    plan = trained_plan(store, run, space, grouping, wanted)
    ensemble = next(one for one in plan.ensembles if one.scheme == wanted.scheme)
    report = kept_report(store, run, space, plan, tell)
    weights, names = ensemble.weights, ensemble.names
    if wanted.routing == "hard":
        weights = strongest(weights)
    asked = np.flatnonzero(weights.any(axis=0)).tolist()
    runs = _with_weights(store, ensemble, asked)
    about = _about(plan, report, wanted, runs, [names[j] for j in asked], weights[:, asked])
    return Made(plan, ensemble, report, runs, about)


def trained_plan(
    store: Store, run: Run, space: TaskSpace, grouping: Grouping, wanted: Wanted
) -> Plan:
    """The plan of one seed of all schemes that are trained; UserError where the wanted is not."""
    spec = mtl_spec_of(run, store)
    seed = spec.seed if wanted.seed is None else wanted.seed

    def plan_of(schemes: Sequence[str]) -> Plan:
        trainings = grouping_trainings_of(run)
        return make_plan(spec, grouping, space, schemes, (seed,), wanted.warm_share, trainings)

    def is_trained(scheme: str) -> bool:
        try:
            return not plan_of([scheme]).missing(store)
        except UserError:  # there is no such scheme of these tasks
            return False

    missing = plan_of([wanted.scheme]).missing(store)
    if missing:
        raise UserError(
            f"{counted(len(missing), 'training')} of {SCHEME_NAMES[wanted.scheme]} with seed {seed}"
            f" {'is' if len(missing) == 1 else 'are'} not done yet. Train them first:"
            f" {training_command(run, grouping, wanted, seed)}"
            + ". Or say with which --warm-share they went on"
            * (wanted.scheme in WARM)
        )
    asked = {*(wanted.beside or SCHEMES), wanted.scheme}
    return plan_of([scheme for scheme in SCHEMES if scheme in asked and is_trained(scheme)])


def training_command(run: Run, grouping: Grouping, wanted: Wanted, seed: int) -> str:
    """The command line that trains a scheme of a grouping, MTL beside it."""
    schemes = ",".join(dict.fromkeys(("mtl", wanted.scheme)))
    return (
        f"python -m stg_core specialists {run.id} --k {grouping.k}"
        f" --fuzzifier {grouping.fuzzifier:g} --method {grouping.method} --schemes {schemes}"
        f" --seeds {seed}" + "".join(f" {words}" for words in _share_of(wanted))
    )


def _share_of(wanted: Wanted) -> list[str]:
    """What a command line says of the share of a warm scheme, where it is not the usual one."""
    unusual = wanted.scheme in WARM and wanted.warm_share != WARM_SHARE
    return [f"--warm-share {float(wanted.warm_share)!r}"] * unusual


def export_command(run: str, grouping: Grouping, wanted: Wanted) -> str:
    """The command line that exports it again."""
    options = {"scheme": wanted.scheme, "routing": wanted.routing, "average": wanted.average}
    usual = {"scheme": "specialists", "routing": "soft", "average": "logits"}
    others = [f"--{name} {said}" for name, said in options.items() if said != usual[name]]
    seed = [] if wanted.seed is None else [f"--seed {wanted.seed}"]
    return " ".join(
        [
            f"python -m stg_core export-model {run} --k {grouping.k}",
            f"--fuzzifier {grouping.fuzzifier:g} --method {grouping.method}",
            *others,
            *seed,
            *_share_of(wanted),
        ]
    )


def _check_wanted(run: Run, wanted: Wanted) -> None:
    if run.spec.logged:
        raise UserError(
            f"{run.title} was logged by another program, and its weights stayed there: only what"
            " was trained here can be exported as a model."
        )
    if wanted.scheme not in SCHEMES:
        raise UserError(f"There is no scheme {wanted.scheme!r}; choose from {', '.join(SCHEMES)}.")
    if wanted.routing == "hard" and wanted.scheme not in ROUTED:
        raise UserError(
            "Hard routing asks for every task the model in which it weighs most, and"
            f" {SCHEME_NAMES[wanted.scheme]} has no such weights: leave it at soft."
        )


def _with_weights(store: Store, ensemble: Ensemble, asked: Sequence[int]) -> tuple[Run, ...]:
    """The runs of these models of an ensemble; UserError that names those without weights."""
    found = {j: store.get(ensemble.specs[j]) for j in asked}
    runs = {j: run for j, run in found.items() if run and run.has_weights and run.usage is not None}
    lacking = {ensemble.specs[j].key: ensemble.names[j] for j in asked if j not in runs}
    if lacking:
        named = ", ".join(f"{name} ({key})" for key, name in lacking.items())
        deleted = "; ".join(f"python -m stg_core delete {key}" for key in lacking)
        raise UserError(
            f"These weights are not kept, as by an earlier version, or since they were deleted:"
            f" {named}. Delete what was trained ({deleted}), and train it again with the same plan:"
            " trainings keep their weights unless `weights --keep no` was said."
        )
    return tuple(runs[j] for j in asked)


def _about(
    plan: Plan,
    report: Mapping[str, Any],
    wanted: Wanted,
    runs: Sequence[Run],
    names: Sequence[str],
    weights: Floats,
) -> About:
    spec, grouping = plan.spec, plan.grouping
    tasks = [spec.group.task(name) for name in spec.tasks]
    usages = [usage for run in runs if (usage := run.usage) is not None]
    units = {task: unit for usage in usages for task, unit in usage.units.items()}
    several = f", {counted(len(runs), 'model')}" * (len(runs) > 1)
    return About(
        title=f"{spec.title}: {SCHEME_NAMES[wanted.scheme].removeprefix('the ')}{several}",
        group=spec.group.name,
        scheme=wanted.scheme,
        tasks=spec.tasks,
        kinds=tuple(task.kind for task in tasks),
        models=tuple(_model(run, name, spec.tasks) for run, name in zip(runs, names, strict=True)),
        weights=tuple(map(tuple, weights.T.tolist())),
        input=_input(runs[0], usages[0]),
        classes={task.name: task.values for task in tasks if task.kind == "multiclass"},
        routing=wanted.routing,
        average=wanted.average,
        data=runs[0].provenance["images"],
        run=spec.key,
        scores=scores_in(report, wanted),
        verdict=verdict_in(report, wanted.variant).headline,
        units={name: units[name] for name in spec.tasks if name in units},
        grouping={
            "k": grouping.k,
            "fuzzifier": float(grouping.fuzzifier),
            "method": grouping.method,
        },
        made={
            "by": f"STG Explorer {VERSION}",
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "trained": report["provenance"],
            "command": export_command(spec.key, grouping, wanted),
        },
    )


def _model(run: Run, name: str, tasks: Sequence[str]) -> Model:
    spec = run.spec
    return Model(
        name,
        tuple(tasks.index(task) for task in spec.tasks),
        {
            "model": spec.model,
            "width": spec.width,
            "hidden_widths": list(spec.hidden_widths),
            "dropout": spec.dropout,
            "epochs": spec.epochs,
            "seed": spec.seed,
            "run": spec.key,
        },
    )


def _input(run: Run, usage: Usage) -> Input:
    group = run.spec.group
    columns: tuple[str, ...] = ()
    if group.has_rows:
        columns = data_set_of(group).features[: usage.shape[0]]
    return Input(
        kind="image" if usage.of_images else "table",
        shape=usage.shape,
        columns=columns,
        mean=usage.mean,
        deviation=usage.deviation,
        gaps=usage.gaps,
    )


def scores_in(report: Mapping[str, Any], wanted: Wanted) -> dict[str, Any]:
    """What a report says of one scheme, as `About.scores`; its first measure is first."""
    found = {}
    for name, judged in report["variants"][wanted.variant]["measures"].items():
        scores = judged["schemes"][wanted.scheme]
        intervals = zip(*scores["per_task_ci"], strict=True)  # lower ends, upper ends
        each = zip(report["tasks"], scores["per_task"], intervals, strict=True)
        found[name] = {
            "mean": scores["mean"],
            "ci": scores["ci"],
            "tasks": {task: {"score": score, "ci": [*ci]} for task, score, ci in each},
        }
    return found
