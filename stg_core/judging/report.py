"""The judgement of a plan: every scheme's scores with their intervals, differences, the verdict.

It is computed from the logits that the trainings kept, without images and without torch, so that
logits or probabilities, soft or hard routing, are compared without training anything again.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from stg_core.judging.ensembles import (
    AVERAGES,
    RESAMPLES,
    Answers,
    Floats,
    Resampling,
    Truth,
    halves,
    strongest,
)
from stg_core.judging.evaluation import Bools, Course, Ending, Kept, course, ending
from stg_core.judging.first_version import upgraded
from stg_core.judging.intervals import half_width, interval
from stg_core.judging.measures import chance_of, mean_of_defined, measures_of
from stg_core.judging.plan import ROUTED, Ensemble, Plan, words_of
from stg_core.judging.verdict import coins_of, verdict_in
from stg_core.results import store as store_module
from stg_core.results.run import Run
from stg_core.results.store import REPORTS, without_nan
from stg_core.system.errors import UserError
from stg_core.system.files import atomic
from stg_core.system.words import counted
from stg_core.training.metrics import scores_by_epoch
from stg_core.training.spec import TrainingSpec

ROUTINGS = ("soft", "hard")
VARIANTS = tuple(f"{average}-{routing}" for average in AVERAGES for routing in ROUTINGS)
SPLITS = ("test", "train")
TASK_DECIMALS = 4  # of intervals and differences of single tasks: most numbers of a report
MAX_BUNDLE_BYTES = 10_000_000

E = TypeVar("E")  # an ending or a course
Outputs = Mapping[str, Sequence[NDArray[np.float16]]]  # per split, of each kept epoch (N, O)


class Trained(Protocol):
    """What trainings are taken from: a store, or what others brought back."""

    def get(self, spec: TrainingSpec, /) -> Run | None:
        """The run of a training; None where there is none."""


def make_report(plan: Plan, store: Trained, resamples: int = RESAMPLES) -> dict[str, Any]:
    """The last of `report_steps`."""
    *_, (_, _, report) = report_steps(plan, store, resamples)
    assert report is not None
    return report


def report_steps(
    plan: Plan, store: Trained, resamples: int = RESAMPLES
) -> Iterator[tuple[int, int, dict[str, Any] | None]]:
    """All that is known about a plan whose trainings are done, as plain JSON; always the same.

    Yields how many ensembles are evaluated, of how many; with the last one the report, else None.

    "variants" has, for each of the four ways to average and to route ("logits-soft", …), what
    `_variant` says; "measures", what schemes are compared by, of which the first decides;
    "left_out", the tasks that no scheme learns better than chance, which are in no mean; "costs",
    per scheme, "training" and "serving" as DESIGN says, the "seconds" that its trainings took, and
    "measured", own processor seconds of its trainings over those of MTL's; "intervals", whether
    they are over points or over points and seeds; "specialists", each specialist's own F1 (T,)
    beside its weights; "accuracy_baseline", what always giving each task's usual answer scores on
    the test points. "score" says what the curves by epoch are of, and is left out where that is F1,
    as "kinds" (T,) is where all tasks are binary. What is not defined is null, and in no mean.
    Raises UserError where a training is missing or was made from other data.
    """
    runs = _trained(plan, store)
    answers = Answers.of([plan.spec.group.task(name) for name in plan.spec.tasks])
    truth = {split: Truth(labels_of(plan, runs, split, answers), answers) for split in SPLITS}
    resampling, half = Resampling(truth["test"], resamples), halves(truth["test"])
    epochs = _shared_epochs(plan, runs)
    models = [_models(ensemble, plan.spec.tasks, runs, epochs) for ensemble in plan.ensembles]
    each = list(zip(plan.ensembles, models, strict=True))
    kept = {variant: [_kept(one, *own, variant) for one, own in each] for variant in VARIANTS}
    done, total = 0, 2 * len(VARIANTS) * len(plan.ensembles)
    endings: dict[str, list[Ending]] = {variant: [] for variant in VARIANTS}
    courses: dict[str, list[Course]] = {variant: [] for variant in VARIANTS}
    known_endings: dict[tuple[int, str, bytes], Ending] = {}
    for variant in VARIANTS:
        for i, one in enumerate(kept[variant]):
            yield done, total, None
            place = i, one.average, one.weights.tobytes()
            if place not in known_endings:
                known_endings[place] = ending(one, truth, resampling)
            endings[variant].append(known_endings[place])
            done += 1
    left_out = _left_out(plan, answers, endings[VARIANTS[0]])
    in_means = np.array([task not in left_out for task in plan.spec.tasks])
    known_courses: dict[tuple[int, str, bytes], Course] = {}
    for variant in VARIANTS:
        for i, one in enumerate(kept[variant]):
            yield done, total, None
            place = i, one.average, one.weights.tobytes()
            if place not in known_courses:
                known_courses[place] = course(one, truth, half, in_means)
            courses[variant].append(known_courses[place])
            done += 1
    grouping = plan.grouping
    report: dict[str, Any] = {
        "version": 2,
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
        "measures": measures_of(answers),
        "left_out": left_out,
        "intervals": "points and seeds" if len(plan.seeds) > 1 else "points",
        "epochs": epochs[plan.schemes[0]],
        "points": {split: len(truth[split]) for split in SPLITS},
        "resamples": resamples,
        "trainings": {scheme: _trainings(plan, scheme, runs) for scheme in plan.schemes},
        "costs": {scheme: _costs(plan, scheme, runs) for scheme in plan.schemes},
        "distinct_trainings": len(runs),
        "accuracy_baseline": truth["test"].usual_answer,
        "seconds": sum(run.provenance["seconds"] for run in runs.values()),
        "specialists": _specialists_alone(plan, runs),
        "variants": {
            variant: _variant(plan, answers, endings[variant], courses[variant], in_means, epochs)
            for variant in VARIANTS
        },
        "provenance": _provenance(runs),
        **words_of(plan.spec).told(),
        **({} if answers.all_binary else {"kinds": answers.kinds}),
    }
    report = _rounded(without_nan(report))
    for variant, found in report["variants"].items():
        for measure, judged in found["measures"].items():
            told = verdict_in(report, variant, measure)
            judged |= {"headline": told.headline, "verdict": told.text}
    yield total, total, report


def _shared_epochs(plan: Plan, runs: Mapping[str, Run]) -> dict[str, tuple[int, ...]]:
    """Per scheme, the epochs of which all its models have outputs, and the last of the longest.

    Logs of others keep fewer epochs than were trained, and need not all have as many.
    """
    epochs = {}
    for scheme in plan.schemes:
        specs = [spec for e in plan.ensembles if e.scheme == scheme for spec in e.specs]
        kept = [runs[spec.key].logit_epochs for spec in specs]
        shared = set.intersection(*(set(own[:-1]) for own in kept))
        epochs[scheme] = (*sorted(shared), max(own[-1] for own in kept))
    return epochs


def _models(
    ensemble: Ensemble,
    tasks: Sequence[str],
    runs: Mapping[str, Run],
    epochs: Mapping[str, tuple[int, ...]],
) -> tuple[list[Outputs], list[list[int]]]:
    """The outputs of each model of an ensemble after the epochs of its scheme, memory-mapped; and
    which of the tasks it answers."""
    models = [runs[spec.key] for spec in ensemble.specs]
    *shared, _ = epochs[ensemble.scheme]
    outputs: list[Outputs] = []
    for run in models:
        places = [*map(run.logit_epochs.index, shared), -1]
        each = {split: run.logits_by_epoch(split) for split in SPLITS}
        outputs.append({split: [each[split][place] for place in places] for split in SPLITS})
    return outputs, [[tasks.index(task) for task in run.spec.tasks] for run in models]


def _kept(
    ensemble: Ensemble, outputs: Sequence[Outputs], served: Sequence[Sequence[int]], variant: str
) -> Kept:
    """How a variant puts the outputs of an ensemble together."""
    average, routing = variant.split("-")
    weights = ensemble.weights
    if routing == "hard" and ensemble.scheme in ROUTED:
        weights = strongest(weights)
    if (weights.max(axis=1) == 1).all():
        average = "logits"  # one model per task: nothing to average
    logits = {split: [model[split] for model in outputs] for split in SPLITS}
    return Kept(logits, served, weights, average)


def _trained(plan: Plan, store: Trained) -> dict[str, Run]:
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


def labels_of(
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


# ------------------------------------------------------------------------------- one variant


def _by_scheme(plan: Plan, each: Sequence[E]) -> dict[str, list[E]]:
    """Of every ensemble of a plan something, per scheme: of each seed."""
    found: dict[str, list[E]] = {scheme: [] for scheme in plan.schemes}
    for ensemble, one in zip(plan.ensembles, each, strict=True):
        found[ensemble.scheme].append(one)
    return found


def _left_out(plan: Plan, answers: Answers, endings: Sequence[Ending]) -> list[str]:
    """The tasks that no scheme learns better than chance.

    Those are coin flips, and tasks whose interval by the first measure begins at chance or below
    with every scheme. It is over points only: where nothing is learned, seeds differ by the chance
    of the points alone, and a few seeds that differ would hide what is learned.
    """
    first, chance = measures_of(answers)[0], chance_of(answers)
    low = []
    for seeds in _by_scheme(plan, endings).values():
        values, drawn = _values(seeds, first)
        low.append(interval(values.mean(axis=0)[None], drawn.mean(axis=0)[None])[0])
    lows = np.array(low)
    learned = (np.isnan(lows) | (lows > chance)).any(axis=0)
    coins = coins_of(plan.spec.group, plan.spec.tasks)
    each = zip(plan.spec.tasks, learned, strict=True)
    return [task for task, better in each if task in coins or not better]


def _variant(
    plan: Plan,
    answers: Answers,
    endings: Sequence[Ending],
    courses: Sequence[Course],
    in_means: Bools,
    epochs: Mapping[str, tuple[int, ...]],
) -> dict[str, Any]:
    """One way to average and to route: {"schemes", "measures"}.

    schemes: per scheme the "epochs" that were kept, and per split the mean F1 (R² of numbers) after
    each, with its 95 % interval; measures: by name, what `_measure` says.
    """
    ends, ways = _by_scheme(plan, endings), _by_scheme(plan, courses)
    lowest = -np.inf if "regression" in answers.kinds else 0.0
    return {
        "schemes": {
            scheme: {
                "epochs": epochs[scheme],
                **{split: _curve(seeds, split, in_means) for split in SPLITS},
            }
            for scheme, seeds in ways.items()
        },
        "measures": {
            name: _measure(name, ends, ways, in_means, lowest) for name in measures_of(answers)
        },
    }


def _measure(
    name: str,
    endings: Mapping[str, Sequence[Ending]],
    courses: Mapping[str, Sequence[Course]],
    in_means: Bools,
    lowest: float,
) -> dict[str, Any]:
    """One measure: {"schemes", "differences", "to_mtl"}, and later its "headline" and "verdict".

    schemes: per scheme the mean over tasks and seeds with its 95 % interval, and both per task;
    "best_epoch", the mean if each seed had been stopped at the epoch that is best on one half of
    the test points, scored on the other, both ways round. differences: of the mean, of each two
    schemes; to_mtl: per scheme and task, the difference to MTL. All of them are paired: over the
    same resampled points. Under "seeds", each has what it is of every seed alone. lowest: what
    the measure can be.
    """
    means = {
        scheme: [mean_of_defined(values[..., in_means]) for values in _values(seeds, name)]
        for scheme, seeds in endings.items()
    }
    schemes = {}
    for scheme, seeds in endings.items():
        per_task = _values(seeds, name)
        schemes[scheme] = {
            "mean": float(means[scheme][0].mean()),
            "ci": interval(*means[scheme]).clip(lowest, 1),
            "seeds": means[scheme][0],
            "per_task": per_task[0].mean(axis=0),
            "per_task_ci": interval(*per_task).clip(lowest, 1).round(TASK_DECIMALS),
            "best_epoch": _best_epoch(courses[scheme], name, in_means),
        }
    differences = [
        {"scheme": a, "other": b, **_difference(means[a], means[b])}
        for b, a in combinations(endings, 2)
    ]
    to_mtl = {
        scheme: {
            what: each.round(TASK_DECIMALS)
            for what, each in _difference(
                _values(seeds, name), _values(endings["mtl"], name)
            ).items()
        }
        for scheme, seeds in endings.items()
        if "mtl" in endings and scheme != "mtl"
    }
    return {"schemes": schemes, "differences": differences, "to_mtl": to_mtl}


def _values(seeds: Sequence[Ending], name: str) -> tuple[Floats, NDArray[np.float32]]:
    """A measure of every task with each seed, (S, T), and on resampled points, (S, B, T)."""
    return (
        np.stack([one.values[name] for one in seeds]),
        np.stack([one.resampled[name] for one in seeds]),
    )


def _difference(a: Sequence[NDArray[Any]], b: Sequence[NDArray[Any]]) -> dict[str, Any]:
    """Of two schemes, from what each has with every seed and on the same resampled points."""
    seeds, drawn = (one - other for one, other in zip(a, b, strict=True))
    return {"mean": seeds.mean(axis=0), "ci": interval(seeds, drawn), "seeds": seeds}


def _best_epoch(seeds: Sequence[Course], name: str, in_means: Bools) -> dict[str, Any]:
    """The mean of the epoch that one half of the points chooses, on the other half."""
    each = [mean_of_defined(one.halves[name][..., in_means]) for one in seeds]  # (E', 2) each
    scores = np.array(
        [
            np.nan if np.isnan(m).any() else (m[m[:, 0].argmax(), 1] + m[m[:, 1].argmax(), 0]) / 2
            for m in each
        ]
    )
    return {"mean": float(scores.mean()), "seeds": scores}


def _curve(seeds: Sequence[Course], split: str, in_means: Bools) -> dict[str, Any]:
    """The mean score after every kept epoch, with its 95 % interval."""
    each = np.stack([mean_of_defined(one.scores[split][:, in_means]) for one in seeds])
    deviation = np.stack([one.deviation[split] for one in seeds])  # (S, E', N)
    mean, n_seeds = each.mean(axis=0), len(seeds)
    of_points, of_seeds = (deviation.mean(axis=0) ** 2).sum(axis=1), np.zeros(len(mean))
    if n_seeds > 1:
        added = deviation.var(axis=0, ddof=1).sum(axis=1)
        of_points = (of_points - added / n_seeds).clip(0)
        of_seeds = each.var(axis=0, ddof=1) / n_seeds
    reach = half_width(of_points, of_seeds, n_seeds)
    return {"mean": mean, "low": mean - reach, "high": mean + reach, "seeds": each}


# -------------------------------------------------------------------------------- what it took


def _trainings(plan: Plan, scheme: str, runs: Mapping[str, Run]) -> dict[str, Any]:
    """Of all seeds of a scheme: how many trainings, their seconds; and the models of one seed."""
    ensembles = [ensemble for ensemble in plan.ensembles if ensemble.scheme == scheme]
    keys = dict.fromkeys(spec.key for ensemble in ensembles for spec in ensemble.trainings)
    return {
        "trainings": len(keys),
        "models": len(ensembles[0].specs),
        "seconds": sum(runs[key].provenance["seconds"] for key in keys),
        "keys": list(keys),
    }


def _costs(plan: Plan, scheme: str, runs: Mapping[str, Run]) -> dict[str, float | None]:
    """What one seed of a scheme costs, counted and measured; seconds are of all its seeds.

    What the grouping itself cost is measured as it is counted: in MTL trainings.
    """
    ensemble = next(e for e in plan.ensembles if e.scheme == scheme)
    mtl, own = (_own_seconds(plan, of, runs) for of in ("mtl", scheme))
    return {
        "training": ensemble.training_cost,
        "serving": ensemble.serving_cost,
        "seconds": _trainings(plan, scheme, runs)["seconds"],
        "measured": own / mtl + ensemble.groupings if own and mtl else None,
    }


def _own_seconds(plan: Plan, scheme: str, runs: Mapping[str, Run]) -> float | None:
    """Own processor seconds of training of all seeds of a scheme; None where not measured."""
    specs = [spec for e in plan.ensembles if e.scheme == scheme for spec in e.trainings]
    each: list[list[float] | None] = [runs[spec.key].metrics.get("own_seconds") for spec in specs]
    known = [sum(seconds) for seconds in each if seconds is not None]
    return sum(known) if len(known) == len(each) else None


def _specialists_alone(plan: Plan, runs: Mapping[str, Run]) -> list[dict[str, Any]]:
    """Each specialist's own test F1 on every task, None where it has none."""
    alone = []
    for ensemble in plan.ensembles:
        if ensemble.scheme != "specialists":
            continue
        for j, spec in enumerate(ensemble.specs):
            run = runs[spec.key]
            scores = scores_by_epoch(run.metrics["test"])[-1]
            f1 = dict(zip(run.spec.tasks, scores.tolist(), strict=True))
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
    """The reports that come with the project, by name, all of version 2.

    UserError for one that is damaged.
    """
    reports = {}
    for path in sorted((store_module.BUNDLES / REPORTS).glob("*.json")):
        try:
            reports[path.stem] = upgraded(json.loads(path.read_bytes()))
        except (OSError, ValueError, TypeError, KeyError) as error:
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
