"""Groups of more tasks than a table can hold: each method's groups, trained and judged.

Of more than 12 tasks not all groups can be trained, so that nobody knows the best. Each method's
affinity is clustered into as many groups as the budget allows; a specialist is trained for each
group, of its own tasks alone; and every method is judged beside the same controls.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stg_core.affinity.branched import branches_of
from stg_core.affinity.clustering import MOST_TASKS_SEMIDEFINITE, Floats, cluster, space_of
from stg_core.affinity.joint import affinity_of
from stg_core.affinity.methods import AFFINITY_OF, METHODS, joint_cost, recorded_every
from stg_core.affinity.outputs import OUTPUTS, affinity_from, overlap_warning
from stg_core.affinity.preparing import note_progress
from stg_core.affinity.selection import Bools
from stg_core.affinity.settings import CLUSTERINGS, CONTROLS, usual_clustering
from stg_core.affinity.surrogates import group_count, random_groups, standardised, surrogate
from stg_core.affinity.table import Tell, point_losses
from stg_core.engine.foreground import run_anywhere, train_all
from stg_core.grouping.memberships import Grouping, TaskSpace, group_tasks
from stg_core.judging.plan import Plan, make_plan, mtl_spec_of
from stg_core.judging.report import make_report
from stg_core.judging.verdict import Words
from stg_core.maps.labels import overlap
from stg_core.results.run import Run
from stg_core.results.store import TABLES, Store
from stg_core.system.errors import UserError
from stg_core.system.files import atomic
from stg_core.system.words import counted
from stg_core.tasks.data import weight_of_counts
from stg_core.training.spec import TrainingSpec

DEFAULT_METHODS = ("stg", "labels", "errors", "pvi")
OF_GRADIENTS = tuple(method for method in AFFINITY_OF if method != "transfer")  # too many pairs
OTHERS = ("datamaps", *OF_GRADIENTS, "surrogates", "dmtg")  # dearer ones, and STG's similarity
TITLES: Mapping[str, str] = {
    method: METHODS[method].title if method in METHODS else OUTPUTS[method].title
    for method in (*DEFAULT_METHODS, *OTHERS)
}
VARIANT = "logits-soft"  # of a report: hard groups are routed and averaged in one way only
FORMAT = 1
SAME = 1e-9  # relative difference of affinities that is none


@dataclass(frozen=True)
class ManyPlan:
    """What is compared: methods within a budget of models, beside controls, over some seeds.

    spec: the joint training, with data maps; cluster_by: one of CLUSTERINGS, which makes groups of
    every affinity; "stg" groups by k-means of the data maps in any case, and "dmtg" by what tasks
    choose. seeds: of the specialists and controls, by default that of the spec; the groups are
    those of the joint training.
    """

    spec: TrainingSpec
    methods: tuple[str, ...]
    budget: int
    cluster_by: str
    schemes: tuple[str, ...] = ("specialists", *CONTROLS)
    seeds: tuple[int, ...] = ()

    @property
    def key(self) -> str:
        return self.spec.key


def plan_of_many(
    spec: TrainingSpec,
    methods: Sequence[str] = (),
    budget: int = 5,
    cluster_by: str = "",
    controls: Sequence[str] = CONTROLS,
    seeds: Sequence[int] = (),
) -> ManyPlan:
    """Raises UserError for what cannot be compared.

    cluster_by: by default the semidefinite relaxation, which found planted groups in most noise;
    of more than 300 tasks or where that is not installed spectral clustering.
    """
    methods = tuple(dict.fromkeys(methods)) or DEFAULT_METHODS
    n_tasks = len(spec.tasks)
    if unknown := [method for method in methods if method not in TITLES]:
        raise UserError(
            f"Of {n_tasks} tasks there are no groups by the method {unknown[0]!r}; choose from"
            f" {', '.join(TITLES)}."
        )
    if not cluster_by:
        cluster_by, _ = usual_clustering(n_tasks <= MOST_TASKS_SEMIDEFINITE)
    if cluster_by not in CLUSTERINGS:
        raise UserError(
            f"There is no clustering {cluster_by!r}; choose from {', '.join(CLUSTERINGS)}."
        )
    if not 2 <= budget < n_tasks:
        raise UserError(
            f"{n_tasks} tasks can be served by 2 to {n_tasks - 1} groups, and the budget is"
            f" {budget}."
        )
    if spec.single_task_models or set(spec.task_weights) != {1.0} or not spec.recorded:
        raise UserError("Groups are compared from one model of all tasks, alike, with data maps.")
    if "surrogates" in methods and not spec.all_binary:
        raise UserError("Surrogates are learned from yes-or-no tasks only: leave them out.")
    schemes = tuple(dict.fromkeys(("specialists", *controls)))
    return ManyPlan(spec, methods, budget, cluster_by, schemes, tuple(seeds))


def counted_affinity(plan: ManyPlan, method: str) -> float:
    """Trainings that a method's affinity costs before any group is trained, by count."""
    if method == "labels":
        return 0.0
    n_tasks = len(plan.spec.tasks)
    if method in AFFINITY_OF:
        return joint_cost(plan.spec, method)
    if method == "dmtg":
        return float(plan.budget)
    return float(group_count(n_tasks)) if method == "surrogates" else 1.0


def most_trainings(plan: ManyPlan) -> float:
    """How many trainings a plan takes at most, the joint one included; one that takes longer, for
    its epochs, its width or what it records, counts for as many as it costs."""
    k, found = plan.budget, {round(counted_affinity(plan, method)) for method in plan.methods}
    per_seed = {"mtl": 1, "longer": sum(k + cost for cost in found), "wider": k, "plain": k}
    shared = sum(per_seed.get(scheme, 0) for scheme in plan.schemes)
    own = k * sum(scheme in ("specialists", "random") for scheme in plan.schemes)
    affinities = sum(
        counted_affinity(plan, method)
        for method in plan.methods
        if method in AFFINITY_OF or method in ("surrogates", "dmtg")
    )
    seeds = len(plan.seeds) or 1
    return 1 + affinities + seeds * (shared + own * len(plan.methods))


# ------------------------------------------------------------------------------------ the groups


@dataclass(frozen=True)
class Found:
    """The groups of one method: a hard grouping in the space that it is made in; what finding them
    cost, in trainings by count."""

    grouping: Grouping
    space: TaskSpace
    cost: float


def find_groups(store: Store, plan: ManyPlan, run: Run, method: str, tell: Tell) -> Found:
    """The groups that a method finds, for which something may have to be trained.

    run: the joint training. Raises UserError where the method says nothing of these tasks.
    """
    cost = counted_affinity(plan, method)
    if method == "stg":
        space = TaskSpace(run.summary)
        return Found(group_tasks(space, plan.budget, method="hard"), space, cost)
    if method == "dmtg":
        tell(f"{TITLES[method]} trains {plan.budget} branches.")
        return _chosen_branches(store, plan, cost)
    affinity = _affinity(store, plan, run, method, tell)
    others = affinity[~np.eye(len(affinity), dtype=np.bool_)]
    others = others[~np.isnan(others)]
    if not others.size or np.ptp(others) <= SAME * np.abs(others).max():
        what = "is the same for each two of them" if others.size else "is known of no two of them"
        raise UserError(f"{TITLES[method]} says nothing of these tasks: it {what}.")
    labels = cluster(affinity, plan.budget, plan.cluster_by)
    return Found(hard_grouping(plan.spec.tasks, labels), space_of(affinity, plan.spec.tasks), cost)


def _chosen_branches(store: Store, plan: ManyPlan, cost: float) -> Found:
    """Those of "dmtg": the affinity of two tasks is 1 where they chose the same branch, else 0."""
    tasks, chosen = plan.spec.tasks, branches_of(store, plan.spec, plan.budget).groups
    k = int(chosen.max()) + 1
    if k == 1:
        raise UserError(f"{TITLES['dmtg']} makes no groups: all tasks chose the same branch.")
    space = space_of((chosen[:, None] == chosen).astype(np.float64), tasks)
    return Found(hard_grouping(tasks, space.numbering(chosen, k)[chosen]), space, cost)


def hard_grouping(tasks: Sequence[str], labels: np.ndarray[Any, np.dtype[np.int64]]) -> Grouping:
    """Groups of tasks, labels (T,) from 0, as a grouping that specialists are planned for."""
    k = int(labels.max()) + 1
    return Grouping(tuple(tasks), k, 2.0, "hard", np.eye(k)[labels], labels, {})


def _affinity(store: Store, plan: ManyPlan, run: Run, method: str, tell: Tell) -> Floats:
    if method in OUTPUTS:
        return affinity_from(run, method)
    if method in AFFINITY_OF:
        tell(f"Recording for {TITLES[method]} during a joint training.")
        kind = AFFINITY_OF[method]
        found = affinity_of(store, plan.spec, [kind], recorded_every(plan.spec))
        return found.affinity[kind]
    masks = random_groups(len(plan.spec.tasks), plan.spec.seed)
    specs = [_of_group(plan.spec, mask) for mask in masks]
    _train(store, specs, "random groups", tell)
    scores = np.full(masks.shape, np.nan)
    for row, (spec, mask) in enumerate(zip(specs, masks, strict=True)):
        scores[row, mask] = -_losses_of_half(store.run(spec.key), run, mask)
    return surrogate(masks, standardised(masks, scores))


def _of_group(spec: TrainingSpec, mask: Bools) -> TrainingSpec:
    members = tuple(task for task, there in zip(spec.tasks, mask, strict=True) if there)
    return dataclasses.replace(spec, tasks=members, task_weights=(), recorded_epochs=())


def _losses_of_half(run: Run, joint: Run, mask: Bools) -> Floats:
    """Mean losses of a group's tasks on every other test point: half of them stay unseen."""
    negatives, positives = joint.summary.histogram[-1].sum(axis=(2, 3), dtype=np.int64)[mask].T
    labels = np.array(run.labels("test")[::2])
    each = point_losses(run.logits("test")[-1][::2], labels, weight_of_counts(positives, negatives))
    return np.asarray(each.sum(axis=0) / np.maximum((labels >= 0).sum(axis=0), 1))


# ------------------------------------------------------------------------------------- comparing


def compare_many(store: Store, plan: ManyPlan, tell: Tell) -> dict[str, Any]:
    """All of a plan, trained as far as the store lacks it, judged, and kept in the store.

    As plain JSON: "methods", per method its title, "groups" (names of tasks), "counted" (trainings
    of the affinity and of the groups), "affinity_trainings", and its "report" (`make_report`, one
    variant); "left_out", why a method says nothing of these tasks; "overlap", which affinities
    are noise for want of common points, else empty.
    """
    most = most_trainings(plan)

    def told(what: str) -> None:
        tell(what)
        note_progress(store, plan.key, _trained(store, plans), round(most), what)

    plans: dict[str, Plan] = {}
    told(f"All {len(plan.spec.tasks)} tasks together.")
    run = run_anywhere(store, plan.spec, lambda _: None)
    mtl, found, left_out = mtl_spec_of(run, store), dict[str, Found](), dict[str, str]()
    for method in plan.methods:
        told(f"{TITLES[method]} finds groups.")
        try:
            groups = find_groups(store, plan, run, method, told)
            plans[method] = make_plan(
                mtl,
                groups.grouping,
                groups.space,
                plan.schemes,
                plan.seeds,
                grouping_trainings=round(groups.cost),
            )
            found[method] = groups
        except UserError as problem:
            left_out[method] = str(problem)
    if not found:
        raise UserError(f"No method finds groups. {' '.join(left_out.values())}")
    distinct = {spec.key: spec for one in plans.values() for spec in one.trainings}
    _train(store, list(distinct.values()), "trainings", told)
    methods = {}
    for method, groups in found.items():
        told(f"{TITLES[method]} is judged.")
        methods[method] = _judged(plan, method, groups, plans[method], store)
    answer = {
        "format": FORMAT,
        "spec": plan.spec.to_json(),
        "title": plan.spec.title,
        "tasks": list(plan.spec.tasks),
        "budget": plan.budget,
        "cluster_by": plan.cluster_by,
        "schemes": list(plan.schemes),
        "methods": methods,
        "left_out": left_out,
        "overlap": overlap_warning(plan.spec.tasks, overlap(run.summary)),
    }
    keep_comparison(store, plan, answer)
    return answer


def _trained(store: Store, plans: Mapping[str, Plan]) -> int:
    """How many trainings are done of those that are known so far."""
    keys = {spec.key for plan in plans.values() for spec in plan.trainings}
    return sum(store.holds(key) for key in keys)


def _train(store: Store, specs: Sequence[TrainingSpec], what: str, tell: Tell) -> None:
    missing = {spec.key for spec in specs if store.get(spec) is None}
    done: set[str] = set()

    def told(spec: TrainingSpec, record: Mapping[str, Any]) -> None:
        if "waits" in record:
            tell(record["waits"])
        elif record.get("fraction") == 1 and spec.key not in done:
            done.add(spec.key)
            tell(f"{len(done)} of {len(missing)} {what} done: {counted(len(spec.tasks), 'task')}.")

    train_all(store, specs, told)


def _judged(
    plan: ManyPlan, method: str, found: Found, judged: Plan, store: Store
) -> dict[str, Any]:
    report = make_report(judged, store)
    groups: list[list[str]] = [[] for _ in range(found.grouping.k)]
    for task, label in zip(found.grouping.tasks, found.grouping.labels.tolist(), strict=True):
        groups[label].append(task)
    return {
        "title": TITLES[method],
        "groups": groups,
        "affinity_trainings": found.cost,
        "counted": found.cost + len(groups),
        "report": {**report, "variants": {VARIANT: report["variants"][VARIANT]}},
    }


# ------------------------------------------------------------------------------- what it came to


@dataclass(frozen=True)
class ManyScore:
    """What a method's specialists came to: a row of the table.

    mean, with its 95 % interval `ci`; differences: by control, "mean" and "ci" of the specialists
    less that; cost: trainings by count, the affinity included; headline: of the verdict; left_out:
    tasks that nothing learned, which are in no mean of this row.
    """

    method: str
    title: str
    groups: int
    mean: float | None
    ci: tuple[float, float]
    differences: dict[str, dict[str, Any]]
    cost: float
    headline: str
    left_out: tuple[str, ...]


def measures_in(answer: Mapping[str, Any]) -> dict[str, str]:
    """What a comparison can be told by, and its name within a sentence; the first decides."""
    report = next(iter(answer["methods"].values()))["report"]
    return {name: Words.of(report).measure(name) for name in report["measures"]}


def scores_of_many(answer: Mapping[str, Any], measure: str = "") -> list[ManyScore]:
    """A row per method of a comparison, the best first; by the first measure if none is given."""
    measure = measure or next(iter(measures_in(answer)))
    rows = []
    for method, one in answer["methods"].items():
        judged = one["report"]["variants"][VARIANT]["measures"][measure]
        own = judged["schemes"]["specialists"]
        rows.append(
            ManyScore(
                method,
                one["title"],
                len(one["groups"]),
                own["mean"],
                own["ci"],
                _to_specialists(judged["differences"]),
                one["counted"],
                judged["headline"],
                tuple(one["report"]["left_out"]),
            )
        )
    return sorted(rows, key=lambda row: np.inf if row.mean is None else -row.mean)


def _to_specialists(differences: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Of the specialists less each other scheme: "mean" and "ci"; both None where undefined."""
    found = {}
    for d in differences:
        mean, (low, high) = d["mean"], d["ci"]
        if d["scheme"] == "specialists":
            found[d["other"]] = {"mean": mean, "ci": [low, high]}
        elif d["other"] == "specialists":
            turned = None if mean is None else [-mean, -high, -low]
            mean, low, high = turned or (None, None, None)
            found[d["scheme"]] = {"mean": mean, "ci": [low, high]}
    return found


# -------------------------------------------------------------------------------- what is kept


def comparison_path(store: Store, key: str, budget: int) -> Path:
    """Where the comparison of a joint training within a budget is, or belongs."""
    return store.folder / TABLES / f"{key}-{budget}.json"


def keep_comparison(store: Store, plan: ManyPlan, answer: Mapping[str, Any]) -> None:
    path = comparison_path(store, plan.key, plan.budget)
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic(path) as file:
        file.write(json.dumps(answer, allow_nan=False, separators=(",", ":")).encode())


def kept_comparisons(store: Store) -> dict[str, Path]:
    """The comparisons that were made on this machine, by name, newest first."""
    paths = (store.folder / TABLES).glob("*-*.json")
    made = sorted(((path.stat().st_mtime, path) for path in paths), reverse=True)
    return {path.stem: path for _, path in made}


def read_comparison(path: Path) -> dict[str, Any]:
    """What `compare_many` kept; UserError, with how to mend it, where it is damaged."""
    with suppress(OSError, ValueError, TypeError, KeyError):
        answer = dict(json.loads(path.read_bytes()))
        if answer["format"] == FORMAT:
            return answer
    raise UserError(f"The comparison {path.name} is damaged. Delete {path} and make it again.")
