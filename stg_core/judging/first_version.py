"""Reports of the first version, as they come with the project, read as those of the second."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from stg_core.judging.verdict import verdict_in

Values = Sequence[float | None]

TITLES = {"f1": "mean_f1", "balanced_accuracy": "balanced_accuracy", "accuracy": "accuracy"}


def upgraded(report: Mapping[str, Any]) -> dict[str, Any]:
    """A report of version 2, with the measures that the first version had; itself, if it is one.

    Those are F1, balanced accuracy and accuracy, or R² alone of regressions. What was not kept is
    null: scores by best epoch; of all but F1 and R² scores per task (their "to_mtl" is empty) and
    some intervals of differences. No task is left out of its means. Costs are counts of models.
    """
    if report.get("version") == 2:
        return dict(report)
    names = ["r2"] if report.get("score") == "R²" else list(TITLES)
    new = {
        **report,
        "version": 2,
        "measures": names,
        "left_out": [],
        "intervals": "points",
        "costs": {scheme: _cost(report, scheme) for scheme in report["schemes"]},
        "variants": {
            name: _variant(report, variant, names) for name, variant in report["variants"].items()
        },
    }
    for name, variant in new["variants"].items():
        for measure, judged in variant["measures"].items():
            told = verdict_in(new, name, measure)
            judged |= {"headline": told.headline, "verdict": told.text}
    return new


def _cost(report: Mapping[str, Any], scheme: str) -> dict[str, float | None]:
    trainings = report["trainings"][scheme]
    grouping = report.get("grouping_trainings", 1) if scheme == "specialists" else 0
    return {
        "training": float(trainings["models"] + grouping),
        "serving": float(trainings["models"]),
        "seconds": trainings["seconds"],
        "measured": None,
    }


def _variant(
    report: Mapping[str, Any], variant: Mapping[str, Any], names: Sequence[str]
) -> dict[str, Any]:
    curves = {
        scheme: {
            "epochs": report["epochs"],
            **{split: scores[split] for split in ("test", "train")},
        }
        for scheme, scores in variant["schemes"].items()
    }
    return {
        "schemes": curves,
        "measures": {name: _measure(report, variant, name) for name in names},
    }


def _measure(report: Mapping[str, Any], variant: Mapping[str, Any], name: str) -> dict[str, Any]:
    decides = name in ("f1", "r2")
    title = "mean_f1" if decides else TITLES[name]
    schemes = {
        scheme: {
            "mean": scores[title],
            "ci": scores["ci" if decides else f"{title}_ci"],
            "seeds": scores["seeds" if decides else f"{title}_seeds"],
            **_per_task(scores, len(report["tasks"]), decides),
            "best_epoch": {"mean": None, "seeds": [None] * len(report["seeds"])},
        }
        for scheme, scores in variant["schemes"].items()
    }
    told = {
        (d["scheme"], d["other"]): d if decides else d.get(name) for d in variant["differences"]
    }
    differences = [
        {
            "scheme": a,
            "other": b,
            "mean": _minus(schemes[a]["mean"], schemes[b]["mean"]),
            "ci": found["ci"] if found else [None, None],
            "seeds": [
                _minus(*each) for each in zip(schemes[a]["seeds"], schemes[b]["seeds"], strict=True)
            ],
        }
        for (a, b), found in told.items()
    ]
    return {
        "schemes": schemes,
        "differences": differences,
        "to_mtl": variant["to_mtl"] if decides else {},
    }


def _per_task(scores: Mapping[str, Any], n_tasks: int, decides: bool) -> dict[str, Any]:
    if decides:
        return {"per_task": scores["per_task_f1"], "per_task_ci": scores["per_task_ci"]}
    return {"per_task": [None] * n_tasks, "per_task_ci": [[None] * n_tasks] * 2}


def _minus(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else round(one - other, 6)
