"""The judgement of a plan: every scheme's scores with their intervals, differences, the verdict.

It is computed from the logits that the trainings kept, without images and without torch, so that
logits or probabilities, soft or hard routing, are compared without training anything again.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stg_core.judging.ensembles import (
    AVERAGES,
    RESAMPLES,
    SCORES,
    Answers,
    Evaluation,
    Floats,
    Resampling,
    Truth,
    evaluate,
    strongest,
)
from stg_core.judging.plan import ROUTED, Ensemble, Plan, words_of
from stg_core.judging.verdict import Verdict, Words, verdict_of
from stg_core.results import store as store_module
from stg_core.results.store import REPORTS, Run, Store, without_nan
from stg_core.system.errors import UserError
from stg_core.system.files import atomic
from stg_core.system.words import counted
from stg_core.tasks.groups import GROUPS, TaskGroup
from stg_core.training.metrics import scores_by_epoch

ROUTINGS = ("soft", "hard")
SPLITS = ("test", "train")
INTERVAL = (2.5, 97.5)  # percentiles
MAX_BUNDLE_BYTES = 10_000_000


def make_report(
    plan: Plan, store: Store, resamples: int = RESAMPLES, grouping_trainings: int = 1
) -> dict[str, Any]:
    """The last of `report_steps`."""
    *_, (_, _, report) = report_steps(plan, store, resamples, grouping_trainings)
    assert report is not None
    return report


def report_steps(
    plan: Plan, store: Store, resamples: int = RESAMPLES, grouping_trainings: int = 1
) -> Iterator[tuple[int, int, dict[str, Any] | None]]:
    """All that is known about a plan whose trainings are done, as plain JSON; always the same.

    Yields how many ensembles are evaluated, of how many; with the last one the report, else None.

    "variants" has, for each of the four ways to average and to route ("logits-soft", …), what
    `_variant` says; "specialists", each specialist's own F1 (T,) beside its weights;
    "accuracy_baseline", what always giving each task's usual answer scores on the test points.
    Everything that is called F1 is R² of a regression; "score" says which it is of all tasks, and
    is left out where that is F1, as "kinds" (T,) is where all tasks are binary. What is not defined
    is null, and in no mean. grouping_trainings: what the data maps of the grouping cost, in MTL
    trainings. Raises UserError where a training is missing or was made from other data.
    """
    runs = _trained(plan, store)
    kept = [_Kept(ensemble, plan.spec.tasks, runs) for ensemble in plan.ensembles]
    answers = Answers.of([plan.spec.group.task(name) for name in plan.spec.tasks])
    truth = {split: Truth(_labels(plan, runs, split, answers), answers) for split in SPLITS}
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

    done, total = 0, len(AVERAGES) * len(ROUTINGS) * len(kept)
    variants = {}
    for average in AVERAGES:
        for routing in ROUTINGS:
            found: dict[str, list[Evaluation]] = {scheme: [] for scheme in plan.schemes}
            for i, ensemble in enumerate(plan.ensembles):
                yield done, total, None
                found[ensemble.scheme].append(evaluated(i, average, routing))
                done += 1
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
        "points": {split: len(truth[split]) for split in SPLITS},
        "resamples": resamples,
        "trainings": {scheme: _trainings(plan, scheme, runs) for scheme in plan.schemes},
        "distinct_trainings": len(runs),
        "grouping_trainings": grouping_trainings,
        "accuracy_baseline": truth["test"].usual_answer,
        "seconds": sum(run.provenance["seconds"] for run in runs.values()),
        "specialists": _specialists_alone(plan, runs),
        "variants": variants,
        "provenance": _provenance(runs),
        **words_of(plan.spec).told(),
        **({} if answers.all_binary else {"kinds": answers.kinds}),
    }
    yield total, total, _rounded(without_nan(report))


def training_cost(report: Mapping[str, Any], scheme: str) -> int:
    """Of one seed of a scheme, in MTL trainings by count, the grouping of specialists included."""
    grouping: int = report.get("grouping_trainings", 1) if scheme == "specialists" else 0
    models: int = report["trainings"][scheme]["models"]
    return models + grouping


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
            f"{len(runs) - len(found)} of {counted(len(runs), 'training')} of this plan not done"
            " yet: start it, and those that are done are not trained again."
        )
    if len({run.provenance["images"] for run in found.values()}) > 1:
        raise UserError(
            "The trainings of this plan were made from different data. Delete those from before"
            " the data set changed, and start the plan again."
        )
    return found


def _labels(
    plan: Plan, runs: Mapping[str, Run], split: str, answers: Answers
) -> NDArray[np.int8] | NDArray[np.float32]:
    """Labels (N, T) of all tasks, from whichever trainings have them."""
    columns = {
        task: column
        for run in runs.values()
        for task, column in zip(run.spec.tasks, run.labels(split).T, strict=True)
    }
    labels = [columns[task] for task in plan.spec.tasks]
    if answers.all_binary:
        return np.stack(labels, axis=1)
    # a model of binary tasks alone has whole numbers, among which -1 stands for a missing one
    whole = [
        np.where(column < 0, np.nan, column) if column.dtype.kind == "i" else column
        for column in labels
    ]
    return np.stack(whole, axis=1).astype(np.float32)


def _variant(plan: Plan, found: Mapping[str, Sequence[Evaluation]]) -> dict[str, Any]:
    """One way to average and to route: {"schemes", "to_mtl", "differences", "headline", "verdict"}.

    schemes: per scheme the final scores, each a mean over tasks and seeds with its 95 % bootstrap
    interval over test images, and the mean F1 per epoch; to_mtl: per scheme and task, the
    difference of F1 to MTL; differences: of the mean F1, of each two schemes, and under
    "balanced_accuracy" the same of that. Under "seeds", each has what it is of every seed alone.
    """
    differences = [
        {
            "scheme": a,
            "other": b,
            **_difference(found[a], found[b], "f1"),
            "balanced_accuracy": _difference(found[a], found[b], "balanced_accuracy"),
        }
        for i, b in enumerate(plan.schemes)
        for a in plan.schemes[i + 1 :]
    ]
    to_mtl = {
        scheme: _difference_of_tasks(found[scheme], found["mtl"])
        for scheme in plan.schemes
        if "mtl" in plan.schemes and scheme != "mtl"
    }
    variant = without_nan(
        {
            "schemes": {scheme: _scheme_scores(seeds) for scheme, seeds in found.items()},
            "to_mtl": to_mtl,
            "differences": differences,
        }
    )
    coins = _coins(plan.spec.group, plan.spec.tasks)
    words = words_of(plan.spec)
    told = verdict_of(variant, plan.schemes, plan.seeds, plan.spec.tasks, coins, words)
    return {**variant, "headline": told.headline, "verdict": told.text}


def _coins(group: TaskGroup | None, tasks: Sequence[str]) -> list[str]:
    """Those of the tasks that are coin flips."""
    rules = {task.name: task.rule for task in group.tasks} if group else {}
    return [task for task in tasks if rules.get(task) == "random"]


def _final(seeds: Sequence[Evaluation], name: str) -> Floats:
    """A score on the test points after the last epoch, (seeds, T)."""
    return np.stack([one.scores["test"][name][-1] for one in seeds])


def _drawn(seeds: Sequence[Evaluation], name: str) -> Floats:
    """The same on resampled points, its mean over seeds, (B, T)."""
    return np.asarray(np.mean([one.resampled[name] for one in seeds], axis=0))


def _difference(a: Sequence[Evaluation], b: Sequence[Evaluation], name: str) -> dict[str, Any]:
    """Of the mean of a score of two schemes, over the same resampled points."""
    seeds = _mean_over_tasks(_final(a, name)) - _mean_over_tasks(_final(b, name))
    drawn = _mean_over_tasks(_drawn(a, name)) - _mean_over_tasks(_drawn(b, name))
    return {"mean": float(seeds.mean()), "ci": _interval(drawn), "seeds": seeds}


def _difference_of_tasks(a: Sequence[Evaluation], b: Sequence[Evaluation]) -> dict[str, Any]:
    """The same of the F1 of every task alone."""
    seeds = _final(a, "f1") - _final(b, "f1")
    drawn = _drawn(a, "f1") - _drawn(b, "f1")
    return {"mean": seeds.mean(axis=0), "ci": _interval(drawn), "seeds": seeds}


def verdict_in(report: Mapping[str, Any], variant: str) -> Verdict:
    """The verdict of one variant of a report, those of the first version too."""
    coins = _coins(GROUPS.get(report["group"]), report["tasks"])
    found = report["variants"][variant]
    words = Words.of(report)
    return verdict_of(found, report["schemes"], report["seeds"], report["tasks"], coins, words)


def _scheme_scores(seeds: Sequence[Evaluation]) -> dict[str, Any]:
    answer: dict[str, Any] = {}
    for name, title in zip(SCORES, ("mean_f1", "balanced_accuracy", "accuracy"), strict=True):
        final, drawn = _final(seeds, name), _drawn(seeds, name)
        answer[title] = float(_mean_over_tasks(final.mean(axis=0)))
        answer["ci" if name == "f1" else f"{title}_ci"] = _interval(_mean_over_tasks(drawn))
        answer["seeds" if name == "f1" else f"{title}_seeds"] = _mean_over_tasks(final)
        if name == "f1":
            answer["per_task_f1"] = final.mean(axis=0)
            answer["per_task_ci"] = _interval(drawn)
    for split in SPLITS:
        each = np.stack([_mean_over_tasks(one.scores[split]["f1"]) for one in seeds])
        deviation = np.mean([one.deviation[split] for one in seeds], axis=0)
        reach = 1.96 * np.sqrt((deviation**2).sum(axis=1))
        mean = each.mean(axis=0)
        answer[split] = {"mean": mean, "low": mean - reach, "high": mean + reach, "seeds": each}
    return answer


def _mean_over_tasks(scores: Floats) -> Floats:
    """Of the last axis; a task that has no such score counts nowhere. NaN where none has one."""
    defined = ~np.isnan(scores)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(defined, scores, 0).sum(axis=-1) / defined.sum(axis=-1))


def _interval(resampled: Floats) -> Floats:
    """The 95 % interval, (2,) or (2, T), of resampled values, (B,) or (B, T); NaN if all are."""
    columns = resampled.reshape(len(resampled), -1)
    defined = ~np.isnan(columns).all(axis=0)
    ends = np.full((2, columns.shape[1]), np.nan)
    ends[:, defined] = np.nanpercentile(columns[:, defined], INTERVAL, axis=0)
    return ends.reshape(2, *resampled.shape[1:])


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
    """Each specialist's own test F1 on every task, None where it has none."""
    alone = []
    for ensemble in plan.ensembles:
        if ensemble.scheme != "specialists":
            continue
        for j, spec in enumerate(ensemble.specs):
            scores = scores_by_epoch(runs[spec.key].metrics["test"])[-1]
            f1 = dict(zip(spec.tasks, scores.tolist(), strict=True))
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
