"""Does a grouping pay? What to train to find out, the weighted ensembles, and their comparison.

A scheme is a way to serve all tasks with some models. Every scheme comes down to trainings and
weights W (T, models): the output of task t is the models' outputs averaged with row t of W. It is
computed from the logits that the trainings kept, without images and without torch, so that logits
or probabilities, soft or hard routing, are compared without training anything again.
"""

from __future__ import annotations

import dataclasses
import json
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from stg_core.judging.ensembles import (
    AVERAGES,
    RESAMPLES,
    SCORES,
    Evaluation,
    Floats,
    Resampling,
    Truth,
    evaluate,
    strongest,
)
from stg_core.judging.verdict import SCHEME_NAMES, verdict
from stg_core.results import store as store_module
from stg_core.results.store import REPORTS, Run, Store, without_nan
from stg_core.system.errors import UserError
from stg_core.system.files import atomic
from stg_core.tasks.groups import superclass_of_tasks
from stg_core.training.spec import TrainingSpec

if TYPE_CHECKING:
    from stg_core.grouping.memberships import Grouping, TaskSpace

SCHEMES = ("mtl", "stl", "specialists", "plain", "random", "superclass")
ROUTED = ("specialists", "random", "superclass")  # the schemes that have memberships
ROUTINGS = ("soft", "hard")
SPLITS = ("test", "train")

SEED_STEP = 1_000
WEIGHT_DECIMALS = 6  # so that a key does not depend on how a machine rounds
INTERVAL = (2.5, 97.5)  # percentiles
MAX_BUNDLE_BYTES = 10_000_000

# ----------------------------------------------------------------------------------------- the plan


@dataclass(frozen=True)
class Ensemble:
    """One scheme with one seed: its trainings, and weights (T, models) whose rows sum to 1.

    names: what each model is, for people ("cluster 1", "model 2", a task).
    """

    scheme: str
    seed: int
    specs: tuple[TrainingSpec, ...]
    names: tuple[str, ...]
    weights: Floats


@dataclass(frozen=True)
class Cost:
    """trainings: of all schemes together; distinct: without those that schemes share; cached: of
    the distinct ones, already in the store; seconds: expected for the rest, None if unknown."""

    trainings: int
    distinct: int
    cached: int
    seconds: float | None


@dataclass(frozen=True)
class Plan:
    """All that is trained to judge a grouping: one ensemble per scheme and seed, in that order."""

    spec: TrainingSpec
    grouping: Grouping
    schemes: tuple[str, ...]
    seeds: tuple[int, ...]
    ensembles: tuple[Ensemble, ...]

    @property
    def trainings(self) -> tuple[TrainingSpec, ...]:
        """Every spec once, in the order in which they are trained."""
        return tuple({spec.key: spec for e in self.ensembles for spec in e.specs}.values())

    def place_of(self, spec: TrainingSpec) -> tuple[Ensemble, str]:
        """The first ensemble that needs a training, and which of its models that is."""
        ensemble = next(e for e in self.ensembles if spec in e.specs)
        return ensemble, ensemble.names[ensemble.specs.index(spec)]

    def name_of(self, spec: TrainingSpec) -> str:
        """What a training is for, for people: the first scheme that needs it."""
        ensemble, name = self.place_of(spec)
        return f"{ensemble.scheme}, {name}, seed {ensemble.seed}"

    def missing(self, store: Store) -> tuple[TrainingSpec, ...]:
        """The trainings that are not in the store yet."""
        return tuple(spec for spec in self.trainings if store.get(spec) is None)

    def cost(self, store: Store, seconds_per_epoch: Callable[[TrainingSpec], float | None]) -> Cost:
        """What is to be trained, and how long that takes at a speed in seconds per epoch."""
        distinct, missing = self.trainings, self.missing(store)
        seconds: float | None = 0.0
        for spec in missing:
            speed = seconds_per_epoch(spec)
            seconds = None if speed is None or seconds is None else seconds + speed * spec.epochs
        total = sum(len(ensemble.specs) for ensemble in self.ensembles)
        return Cost(total, len(distinct), len(distinct) - len(missing), seconds)


def make_plan(
    spec: TrainingSpec,
    grouping: Grouping,
    space: TaskSpace,
    schemes: Sequence[str] = ("mtl", "specialists", "plain", "random"),
    seeds: Sequence[int] = (),
) -> Plan:
    """The trainings of every scheme and seed, for a grouping of the tasks of `spec`.

    spec: the MTL training of its own seed (see `mtl_spec_of`); seeds: default to that one. Raises
    UserError for an unknown scheme, for seeds whose plain ensembles would share models, for a
    cluster without tasks, and for "superclass" where there is no such grouping.
    """
    if unknown := [scheme for scheme in schemes if scheme not in SCHEMES]:
        raise UserError(f"There is no scheme {unknown[0]!r}; choose from {', '.join(SCHEMES)}.")
    if not schemes:
        raise UserError(f"Choose at least one scheme from {', '.join(SCHEMES)}.")
    if tuple(grouping.tasks) != spec.tasks:
        raise UserError("The grouping is of other tasks than the run; group the tasks of this run.")
    schemes = tuple(dict.fromkeys(schemes))
    seeds = tuple(dict.fromkeys(seeds)) or (spec.seed,)
    if "plain" in schemes:
        _check_seeds(seeds, grouping.k)
    make = {
        "mtl": _mtl,
        "stl": _stl,
        "specialists": _specialists,
        "plain": _plain,
        "random": _random,
        "superclass": _superclass,
    }
    ensembles = [
        make[scheme](_with_seed(spec, seed), grouping, space)
        for scheme in schemes
        for seed in seeds
    ]
    return Plan(spec, grouping, schemes, seeds, tuple(ensembles))


def mtl_spec_of(run: Run, store: Store) -> TrainingSpec:
    """The spec whose result is the MTL model of a run's settings and seed: the run's own.

    Another one, without data maps, where the run has one model per task or weighted tasks, or was
    trained by a version that kept fewer logits.
    """
    spec = run.spec
    own = store.get(spec)
    kept = own is None or own.keeps_logits
    if kept and not spec.single_task_models and set(spec.task_weights) == {1.0}:
        return spec
    return dataclasses.replace(spec, task_weights=(), single_task_models=False, recorded_epochs=())


def recorded_speed(store: Store) -> Callable[[TrainingSpec], float | None]:
    """Seconds per epoch as this machine's runs took them, of the nearest number of tasks.

    None for a model, data set, batch size or augmentation that was not trained here yet.
    """
    own = [run for run in store.runs() if not (run.bundled or run.spec.single_task_models)]

    def kind(spec: TrainingSpec) -> tuple[object, ...]:
        settings = spec.batch_size, spec.augmentation, spec.training_images
        return spec.model, spec.group.dataset, *settings

    def seconds(spec: TrainingSpec) -> float | None:
        alike = [run for run in own if kind(run.spec) == kind(spec)]
        if not alike:
            return None
        run = min(alike, key=lambda run: abs(len(run.spec.tasks) - len(spec.tasks)))
        parts = (run.metrics["seconds"], run.metrics["evaluation_seconds"])
        return float(sum(statistics.median(part) for part in parts))

    return seconds


def _with_seed(spec: TrainingSpec, seed: int) -> TrainingSpec:
    """The MTL training of a seed; of the spec's own seed it is the spec itself."""
    if seed == spec.seed:
        return spec
    return dataclasses.replace(spec, seed=seed, recorded_epochs=())


def _member(mtl: TrainingSpec, j: int) -> TrainingSpec:
    """Model j of any ensemble, before its weights.

    Every scheme has the same seeds, so that schemes differ in their weights only: with one seed for
    all specialists, the plain ensemble alone would profit from models that began differently.
    """
    return _with_seed(mtl, mtl.seed + j * SEED_STEP)


def _check_seeds(seeds: Sequence[int], k: int) -> None:
    for i, seed in enumerate(seeds):
        for other in seeds[:i]:
            steps, rest = divmod(abs(seed - other), SEED_STEP)
            if rest == 0 and steps < k:
                raise UserError(
                    f"With the seeds {other} and {seed} the plain ensembles of {k} models, whose"
                    f" seeds are {SEED_STEP} apart, would share models: choose seeds such"
                    " as 0,1,2."
                )


def _mtl(mtl: TrainingSpec, grouping: Grouping, space: TaskSpace) -> Ensemble:
    return Ensemble("mtl", mtl.seed, (mtl,), ("all tasks",), np.ones((len(mtl.tasks), 1)))


def _stl(mtl: TrainingSpec, grouping: Grouping, space: TaskSpace) -> Ensemble:
    alone = dataclasses.replace(mtl, recorded_epochs=())
    specs = tuple(alone.for_task(task) for task in mtl.tasks)
    return Ensemble("stl", mtl.seed, specs, mtl.tasks, np.eye(len(mtl.tasks)))


def _plain(mtl: TrainingSpec, grouping: Grouping, space: TaskSpace) -> Ensemble:
    """k MTL models that differ in their seed, all with the same weight."""
    k = grouping.k
    specs = tuple(_member(mtl, j) for j in range(k))
    names = tuple(f"model {j + 1}" for j in range(k))
    return Ensemble("plain", mtl.seed, specs, names, np.full((len(mtl.tasks), k), 1 / k))


def _specialists(mtl: TrainingSpec, grouping: Grouping, space: TaskSpace) -> Ensemble:
    return _weighted("specialists", mtl, grouping, grouping.memberships)


def _random(mtl: TrainingSpec, grouping: Grouping, space: TaskSpace) -> Ensemble:
    rows = permuted_rows(grouping.memberships.round(WEIGHT_DECIMALS), mtl.seed)
    return _weighted("random", mtl, grouping, grouping.memberships[rows])


def _superclass(mtl: TrainingSpec, grouping: Grouping, space: TaskSpace) -> Ensemble:
    return _weighted("superclass", mtl, grouping, superclass_memberships(mtl, grouping, space))


def _weighted(scheme: str, mtl: TrainingSpec, grouping: Grouping, memberships: Floats) -> Ensemble:
    """One model per cluster: all tasks weighted with its memberships, or its own tasks only."""
    weights = memberships.round(WEIGHT_DECIMALS)
    specs = []
    for j, column in enumerate(weights.T):
        if not column.any():
            raise UserError(
                f"Cluster {j + 1} of {SCHEME_NAMES[scheme]} has no task, so that nothing can be"
                " trained for it: choose a smaller k or a larger fuzzifier."
            )
        model = _member(mtl, j)
        if (column == 1).all():
            specs.append(model)
        elif grouping.method == "hard":
            own = tuple(task for task, share in zip(mtl.tasks, column, strict=True) if share)
            specs.append(dataclasses.replace(model, tasks=own, task_weights=(), recorded_epochs=()))
        else:
            specs.append(
                dataclasses.replace(model, task_weights=tuple(column.tolist()), recorded_epochs=())
            )
    names = tuple(f"cluster {j + 1}" for j in range(grouping.k))
    return Ensemble(
        scheme, mtl.seed, tuple(specs), names, weights / weights.sum(axis=1, keepdims=True)
    )


def permuted_rows(memberships: Floats, seed: int) -> NDArray[np.int64]:
    """An order of the rows of W, drawn at random, that is another grouping wherever one exists.

    A draw that gives W itself, or W with its clusters renumbered, is drawn again.
    """
    rng = np.random.default_rng(seed)
    grouping = _without_numbers(memberships)
    for _ in range(1_000):
        rows = rng.permutation(len(memberships))
        if not np.array_equal(_without_numbers(memberships[rows]), grouping):
            return rows
    return np.arange(len(memberships))


def _without_numbers(memberships: Floats) -> Floats:
    """The columns in an order that does not depend on how the clusters are numbered."""
    return memberships[:, np.lexsort(memberships)]


def superclass_memberships(spec: TrainingSpec, grouping: Grouping, space: TaskSpace) -> Floats:
    """Memberships (T, k) in k groups of CIFAR-100 superclasses, with the grouping's fuzzifier.

    Superclasses stay together; where there are more than k, the nearest ones are merged (Ward's
    method on the means of their tasks in the task space). One-hot for a hard grouping, else from
    the distances to the groups' centroids. Raises UserError where the tasks have no superclasses or
    fewer than k.
    """
    from scipy.cluster.hierarchy import cut_tree, ward

    from stg_core.grouping.memberships import memberships_from_distances

    of_group = superclass_of_tasks(spec.group)
    if of_group is None:
        raise UserError(
            "The superclass grouping needs tasks that are classes of CIFAR-100, such as those of"
            " the group g3; leave the scheme superclass out."
        )
    known = dict(zip(spec.group.task_names, of_group, strict=True))
    names, of_task = np.unique([known[task] for task in spec.tasks], return_inverse=True)
    k, points = grouping.k, space.coordinates
    if k > len(names):
        raise UserError(
            f"The tasks are of {len(names)} superclasses, which cannot form {k} groups: choose k up"
            f" to {len(names)}, or leave the scheme superclass out."
        )
    merged = np.arange(len(names))
    if k < len(names):
        means = np.stack([points[of_task == s].mean(axis=0) for s in range(len(names))])
        merged = cut_tree(ward(means), n_clusters=k)[:, 0].astype(np.int64)
    labels = merged[of_task]
    labels = space.numbering(labels, k)[labels]
    if grouping.method == "hard":
        return np.eye(k)[labels]
    centroids = np.stack([points[labels == j].mean(axis=0) for j in range(k)])
    distances = np.sqrt(((points[:, None] - centroids) ** 2).sum(axis=-1))
    return memberships_from_distances(distances, grouping.fuzzifier)


# --------------------------------------------------------------------------------------- the report


def make_report(plan: Plan, store: Store, resamples: int = RESAMPLES) -> dict[str, Any]:
    """All that is known about a plan whose trainings are done, as plain JSON; always the same.

    "variants" has, for each of the four ways to average and to route ("logits-soft", …), what
    `_variant` says; "specialists", each specialist's own F1 (T,) beside its weights. Raises
    UserError where a training is missing or was made from other images.
    """
    runs = _trained(plan, store)
    kept = [_Kept(ensemble, plan.spec.tasks, runs) for ensemble in plan.ensembles]
    truth = {split: Truth(_labels(plan, runs, split)) for split in SPLITS}
    resampling = Resampling(truth["test"], resamples)
    known: dict[tuple[int, str, bytes], Evaluation] = {}

    def evaluated(i: int, average: str, routing: str) -> Evaluation:
        weights, ensemble = kept[i].weights, kept[i].ensemble
        if routing == "hard" and ensemble.scheme in ROUTED:
            weights = strongest(weights)
        if (weights.max(axis=1) == 1).all():
            average = "logits"  # one model per task: nothing to average
        place = i, average, weights.tobytes()
        if place not in known:
            known[place] = evaluate(
                kept[i].logits, kept[i].served, weights, truth, resampling, average
            )
        return known[place]

    variants = {}
    for average in AVERAGES:
        for routing in ROUTINGS:
            found: dict[str, list[Evaluation]] = {scheme: [] for scheme in plan.schemes}
            for i, ensemble in enumerate(plan.ensembles):
                found[ensemble.scheme].append(evaluated(i, average, routing))
            variants[f"{average}-{routing}"] = _variant(plan, found)
    grouping = plan.grouping
    report = {
        "run": plan.spec.key,
        "group": plan.spec.group.name,
        "title": plan.spec.title,
        "tasks": plan.spec.tasks,
        "k": grouping.k,
        "fuzzifier": grouping.fuzzifier,
        "method": grouping.method,
        "memberships": grouping.memberships,
        "labels": grouping.labels,
        "schemes": plan.schemes,
        "seeds": plan.seeds,
        "epochs": plan.spec.logit_epochs,
        "points": {split: len(truth[split].known) for split in SPLITS},
        "resamples": resamples,
        "trainings": {scheme: _trainings(plan, scheme, runs) for scheme in plan.schemes},
        "distinct_trainings": len(runs),
        "seconds": sum(run.provenance["seconds"] for run in runs.values()),
        "specialists": _specialists_alone(plan, runs),
        "variants": variants,
        "provenance": _provenance(runs),
    }
    plain: dict[str, Any] = _rounded(without_nan(report))
    return plain


class _Kept:
    """The kept logits of one ensemble, memory-mapped, and the tasks that each model serves."""

    def __init__(self, ensemble: Ensemble, tasks: Sequence[str], runs: Mapping[str, Run]) -> None:
        self.ensemble, self.weights = ensemble, ensemble.weights
        models = [runs[spec.key] for spec in ensemble.specs]
        self.logits = {split: [run.logits(split) for run in models] for split in SPLITS}
        self.served = [[tasks.index(task) for task in spec.tasks] for spec in ensemble.specs]


def _trained(plan: Plan, store: Store) -> dict[str, Run]:
    runs = {spec.key: store.get(spec) for spec in plan.trainings}
    found = {key: run for key, run in runs.items() if run is not None}
    if len(found) < len(runs):
        raise UserError(
            f"{len(runs) - len(found)} of {len(runs)} trainings of this plan are not done yet:"
            " start it, and those that are done are not trained again."
        )
    if len({run.provenance["images"] for run in found.values()}) > 1:
        raise UserError(
            "The trainings of this plan were made from different images. Delete those from before"
            " the data set changed, and start the plan again."
        )
    return found


def _labels(plan: Plan, runs: Mapping[str, Run], split: str) -> NDArray[np.int8]:
    """Labels (N, T) of all tasks, from whichever trainings have them."""
    columns = {
        task: column
        for run in runs.values()
        for task, column in zip(run.spec.tasks, run.labels(split).T, strict=True)
    }
    return np.stack([columns[task] for task in plan.spec.tasks], axis=1)


def _variant(plan: Plan, found: Mapping[str, Sequence[Evaluation]]) -> dict[str, Any]:
    """One way to average and to route: {"schemes", "to_mtl", "differences", "verdict"}.

    schemes: per scheme the final scores, each a mean over tasks and seeds with its 95 % bootstrap
    interval over test images, and the mean F1 per epoch; to_mtl: per scheme and task, the
    difference of F1 to MTL; differences: of the mean F1, of each two schemes. Under "seeds", each
    has what it is of every seed alone.
    """
    resampled = {
        scheme: np.mean([one.resampled["f1"] for one in seeds], axis=0)
        for scheme, seeds in found.items()
    }
    final = {
        scheme: np.stack([one.scores["test"]["f1"][-1] for one in seeds])
        for scheme, seeds in found.items()
    }
    differences = [
        {
            "scheme": a,
            "other": b,
            "mean": float((final[a] - final[b]).mean()),
            "ci": _interval((resampled[a] - resampled[b]).mean(axis=1)),
            "seeds": (final[a] - final[b]).mean(axis=1),
        }
        for i, b in enumerate(plan.schemes)
        for a in plan.schemes[i + 1 :]
    ]
    to_mtl = {
        scheme: {
            "mean": (final[scheme] - final["mtl"]).mean(axis=0),
            "ci": _interval(resampled[scheme] - resampled["mtl"]),
            "seeds": final[scheme] - final["mtl"],
        }
        for scheme in plan.schemes
        if "mtl" in plan.schemes and scheme != "mtl"
    }
    return {
        "schemes": {scheme: _scheme_scores(seeds) for scheme, seeds in found.items()},
        "to_mtl": to_mtl,
        "differences": differences,
        "verdict": verdict(differences, plan.schemes, plan.seeds),
    }


def _scheme_scores(seeds: Sequence[Evaluation]) -> dict[str, Any]:
    answer: dict[str, Any] = {}
    for name, title in zip(SCORES, ("mean_f1", "balanced_accuracy", "accuracy"), strict=True):
        final = np.stack([one.scores["test"][name][-1] for one in seeds])
        drawn = np.mean([one.resampled[name] for one in seeds], axis=0)
        answer[title] = float(_mean_over_tasks(final.mean(axis=0)))
        answer["ci" if name == "f1" else f"{title}_ci"] = _interval(_mean_over_tasks(drawn))
        answer["seeds" if name == "f1" else f"{title}_seeds"] = _mean_over_tasks(final)
        if name == "f1":
            answer["per_task_f1"] = final.mean(axis=0)
            answer["per_task_ci"] = _interval(drawn)
    for split in SPLITS:
        each = np.stack([one.scores[split]["f1"].mean(axis=1) for one in seeds])
        deviation = np.mean([one.deviation[split] for one in seeds], axis=0)
        reach = 1.96 * np.sqrt((deviation**2).sum(axis=1))
        mean = each.mean(axis=0)
        answer[split] = {"mean": mean, "low": mean - reach, "high": mean + reach, "seeds": each}
    return answer


def _mean_over_tasks(scores: Floats) -> Floats:
    """Of the last axis; a task without labels, which has no accuracy, counts nowhere."""
    defined = ~np.isnan(scores)
    return np.asarray(np.where(defined, scores, 0).sum(axis=-1) / defined.sum(axis=-1).clip(1))


def _interval(resampled: Floats) -> Floats:
    """The 95 % interval, (2,) or (2, T), of resampled values, (B,) or (B, T)."""
    return np.asarray(np.nanpercentile(resampled, INTERVAL, axis=0))


def _trainings(plan: Plan, scheme: str, runs: Mapping[str, Run]) -> dict[str, Any]:
    """Of all seeds of a scheme: how many trainings, their seconds; and the models of one seed."""
    ensembles = [ensemble for ensemble in plan.ensembles if ensemble.scheme == scheme]
    keys = dict.fromkeys(spec.key for ensemble in ensembles for spec in ensemble.specs)
    return {
        "trainings": len(keys),
        "models": len(ensembles[0].specs),
        "seconds": sum(runs[key].provenance["seconds"] for key in keys),
        "keys": list(keys),
    }


def _specialists_alone(plan: Plan, runs: Mapping[str, Run]) -> list[dict[str, Any]]:
    """Each specialist's own test F1 on every task, None where it does not have it."""
    alone = []
    for ensemble in plan.ensembles:
        if ensemble.scheme != "specialists":
            continue
        for j, spec in enumerate(ensemble.specs):
            f1 = dict(zip(spec.tasks, runs[spec.key].metrics["test"]["f1"][-1], strict=True))
            alone.append(
                {
                    "seed": ensemble.seed,
                    "cluster": j,
                    "weights": ensemble.weights[:, j],
                    "f1": [f1.get(task) for task in plan.spec.tasks],
                }
            )
    return alone


def specialisation(report: Mapping[str, Any]) -> tuple[list[dict[str, Any]], float | None]:
    """Whether specialists are better at what they are weighted for.

    Rows: seed, specialist (its cluster, from 1), task, weight, f1 (its own, alone) and advantage
    (f1 minus the mean of that seed's specialists on the task). With them Spearman's correlation of
    weight and advantage over all rows, in [-1, 1]; None where one of them is constant.
    """
    rows = []
    for seed in report["seeds"]:
        own = [one for one in report["specialists"] if one["seed"] == seed]
        for t, task in enumerate(report["tasks"]):
            f1 = {one["cluster"]: one["f1"][t] for one in own if one["f1"][t] is not None}
            weights = {one["cluster"]: one["weights"][t] for one in own}
            rows += [
                {
                    "seed": seed,
                    "specialist": cluster + 1,
                    "task": task,
                    "weight": weights[cluster],
                    "f1": value,
                    "advantage": value - statistics.mean(f1.values()),
                }
                for cluster, value in f1.items()
            ]
    return rows, _rank_correlation(
        [row["weight"] for row in rows], [row["advantage"] for row in rows]
    )


def _rank_correlation(a: Sequence[float], b: Sequence[float]) -> float | None:
    from scipy.stats import spearmanr

    if len(set(a)) < 2 or len(set(b)) < 2:
        return None
    return float(spearmanr(a, b).statistic)


def _provenance(runs: Mapping[str, Run]) -> dict[str, Any]:
    """Where and with what the trainings were made; a list where they differ."""
    answer = {}
    for name in ("device", "precision", "threads", "images", "versions", "python"):
        values = [run.provenance[name] for run in runs.values()]
        different = [value for i, value in enumerate(values) if value not in values[:i]]
        answer[name] = different[0] if len(different) == 1 else different
    return answer


def bundle_report(report: Mapping[str, Any], name: str) -> Path:
    """Keeps a report among the bundles that come with the project, as specialists/<name>.json."""
    if not name.replace("-", "").isalnum():
        raise UserError(f"Name a bundle with letters, digits and hyphens, and not {name!r}.")
    content = json.dumps(report, allow_nan=False, separators=(",", ":")).encode()
    if len(content) > MAX_BUNDLE_BYTES:
        raise UserError(
            f"The report has {len(content) / 1e6:.1f} MB; a bundle has at most"
            f" {MAX_BUNDLE_BYTES / 1e6:.0f} MB."
        )
    path = store_module.BUNDLES / REPORTS / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic(path) as file:
        file.write(content)
    return path


def bundled_reports() -> dict[str, dict[str, Any]]:
    """The reports that come with the project, by name; UserError for one that is damaged."""
    reports = {}
    for path in sorted((store_module.BUNDLES / REPORTS).glob("*.json")):
        try:
            reports[path.stem] = dict(json.loads(path.read_bytes()))
        except (OSError, ValueError, TypeError) as error:
            raise UserError(
                f"The bundled report {path.name} is damaged ({error}). Restore assets/bundles."
            ) from error
    return reports


def _rounded(value: Any) -> Any:
    """Six decimals: what is beyond them depends on the machine."""
    if isinstance(value, dict):
        return {name: _rounded(v) for name, v in value.items()}
    if isinstance(value, list):
        return [_rounded(v) for v in value]
    return round(value, 6) if isinstance(value, float) else value
