"""Judgements of tasks of every kind: yes or no, one of several classes, numbers, and mixtures."""

from __future__ import annotations

import dataclasses
import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.special import expit, softmax
from sklearn import metrics as sklearn_metrics

from stg_core.cli.specialists import _judged
from stg_core.grouping.memberships import Grouping, TaskSpace
from stg_core.judging.ensembles import (
    AVERAGES,
    SCORES,
    Answers,
    Resampling,
    Truth,
    ensemble_output,
    halves,
)
from stg_core.judging.evaluation import Course, Ending, Kept, course, ending
from stg_core.judging.measures import MEASURES, measures_of
from stg_core.judging.plan import Plan, families_of, make_plan, superclass_memberships
from stg_core.judging.report import make_report, specialisation
from stg_core.judging.verdict import verdict_in
from stg_core.maps.summary import summarise
from stg_core.results.run import Run
from stg_core.results.store import Store
from stg_core.system.errors import UserError
from stg_core.tasks.groups import GROUPS, Task, TaskGroup
from stg_core.training.spec import TrainingSpec
from tests.conftest import realistic_maps

ILL = Task("ill", rule="column", family="health")
RARE = Task("rare", rule="column", family="health")  # no test point has it
COLOUR = Task("colour", rule="column", kind="multiclass", values=("red", "blue", "grey", "pink"))
SHADE = Task("shade", rule="column", kind="multiclass", values=("dark", "light"))
SIZE = Task("size", rule="column", kind="regression", family="measures")
WEIGHT = Task("weight", rule="column", kind="regression", family="measures")
MIXED = (ILL, SIZE, COLOUR, WEIGHT, RARE)
POINTS = {"test": 300, "train": 200}
PROVENANCE = {
    "device": "cpu",
    "precision": "fp32",
    "threads": 1,
    "images": "made up",
    "versions": {},
    "python": "3",
    "seconds": 1.0,
}


def group_of(tasks: Sequence[Task]) -> TaskGroup:
    return TaskGroup("flowers", "flowers", tuple(tasks), "digest", (7,))


def labels_of(tasks: Sequence[Task], split: str, n_points: int = 0) -> np.ndarray:
    """Labels (N, T) float32, a fifth of them missing; nothing is pink in the test set."""
    n_points = n_points or POINTS[split]
    rng = np.random.default_rng([n_points, split == "test"])
    columns = {
        "ill": rng.random(n_points) < 0.3,
        "size": rng.normal(0.3, 1.2, n_points),
        "colour": rng.choice(3 if split == "test" else 4, n_points),
        "shade": rng.random(n_points) < 0.6,
        "weight": rng.normal(0, 0.9, n_points),
        "rare": np.zeros(n_points) if split == "test" else rng.random(n_points) < 0.05,
    }
    labels = np.stack([columns[task.name] for task in tasks], axis=1).astype(np.float32)
    labels[rng.random(labels.shape) < 0.2] = np.nan
    return labels


def outputs_for(tasks: Sequence[Task], labels: np.ndarray, seed: int, skill: float) -> np.ndarray:
    """What a model of that skill might answer, (N, O) float16."""
    rng = np.random.default_rng(seed)
    known = np.nan_to_num(labels)
    columns = []
    for t, task in enumerate(tasks):
        right = known[:, [t]]
        if task.kind == "binary":
            right = 2 * right - 1
        elif task.kind == "multiclass":
            right = 2 * (right == np.arange(task.width))
        columns.append(skill * right + rng.normal(0, 0.8, (len(labels), task.width)))
    return np.concatenate(columns, axis=1).astype(np.float16)


def scikit_learn(task: Task, labels: np.ndarray, outputs: np.ndarray) -> dict[str, float]:
    """The scores of one task from labels (N,) and its own outputs (N, width)."""
    known = ~np.isnan(labels)
    truth, outputs = labels[known], outputs[known].astype(np.float64)
    if task.kind == "regression":
        score = sklearn_metrics.r2_score(truth, outputs[:, 0])
        return dict.fromkeys(SCORES, score)
    if task.kind == "binary":
        said = outputs[:, 0] > 0
        f1 = sklearn_metrics.f1_score(truth, said) if truth.any() else np.nan
    else:
        said = outputs.argmax(axis=1)
        occurring = np.unique(truth)
        f1 = sklearn_metrics.f1_score(truth, said, labels=occurring, average="macro")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of classes that are said and never occur
        balanced = sklearn_metrics.balanced_accuracy_score(truth, said)
    return {"f1": f1, "balanced_accuracy": balanced, "accuracy": np.mean(truth == said)}


def expected_scores(
    tasks: Sequence[Task], labels: np.ndarray, outputs: np.ndarray
) -> dict[str, np.ndarray]:
    """Those of all tasks, (T,) each."""
    ends = np.cumsum([task.width for task in tasks])
    found = [
        scikit_learn(task, labels[:, t], outputs[:, end - task.width : end])
        for t, (task, end) in enumerate(zip(tasks, ends, strict=True))
    ]
    return {name: np.array([scores[name] for scores in found]) for name in SCORES}


def measured_of(tasks: Sequence[Task], scores: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """By the names of measures: numbers alone have R² alone."""
    return {"r2": scores["f1"]} if measures_of(Answers.of(tasks)) == ("r2",) else scores


def evaluated(
    tasks: Sequence[Task], labels: np.ndarray, outputs: np.ndarray, resamples: int = 20
) -> tuple[Ending, Course]:
    """One model that serves all tasks, at one epoch, on test and training points alike."""
    own = Truth(labels, Answers.of(tasks))
    truth = {"test": own, "train": own}
    kept = Kept(
        {split: [outputs[None]] for split in truth}, [range(len(tasks))], np.ones((len(tasks), 1))
    )
    return (
        ending(kept, truth, Resampling(own, resamples)),
        course(kept, truth, halves(own), np.ones(len(tasks), dtype=bool)),
    )


# ------------------------------------------------------------------------------------- scores


@pytest.mark.parametrize(
    "tasks", [(COLOUR,), (SIZE,), (SIZE, WEIGHT), (ILL, COLOUR), MIXED, MIXED[::-1]]
)
def test_scores_are_those_of_scikit_learn_without_the_missing_labels(
    tasks: tuple[Task, ...],
) -> None:
    labels = labels_of(tasks, "test")
    outputs = outputs_for(tasks, labels, 1, skill=0.7)
    found, over_epochs = evaluated(tasks, labels, outputs)
    for name, expected in measured_of(tasks, expected_scores(tasks, labels, outputs)).items():
        assert found.values[name] == pytest.approx(expected, nan_ok=True)
        if name in ("f1", "r2"):
            assert over_epochs.scores["test"][0] == pytest.approx(expected, nan_ok=True)


@pytest.mark.parametrize("tasks", [(COLOUR,), (SIZE, WEIGHT), MIXED])
def test_a_resample_scores_as_if_its_points_were_the_test_set(tasks: tuple[Task, ...]) -> None:
    labels = labels_of(tasks, "test", 40)
    outputs = outputs_for(tasks, labels, 2, skill=0.7)
    found, _ = evaluated(tasks, labels, outputs, resamples=5)
    rng = np.random.default_rng(0)  # the draws as documented: seeded, with replacement
    for b in range(5):
        drawn = rng.integers(0, 40, 40)
        direct = expected_scores(tasks, labels[drawn], outputs[drawn])
        for name, expected in measured_of(tasks, direct).items():
            assert found.resampled[name][b] == pytest.approx(expected, nan_ok=True)


@pytest.mark.parametrize("tasks", [(COLOUR,), (SIZE, WEIGHT), MIXED])
def test_the_bands_agree_with_the_bootstrap(tasks: tuple[Task, ...]) -> None:
    labels = labels_of(tasks, "test", 3_000)
    outputs = outputs_for(tasks, labels, 3, 0.6)
    found, over_epochs = evaluated(tasks, labels, outputs, resamples=1_000)
    score = "f1" if "f1" in found.resampled else "r2"
    spread = np.nanmean(found.resampled[score], axis=1).std()
    reach = np.sqrt((over_epochs.deviation["test"][0] ** 2).sum())
    assert reach == pytest.approx(spread, rel=0.1)


def test_what_is_not_defined_is_no_number() -> None:
    tasks = (ILL, COLOUR, SIZE, WEIGHT)
    labels = labels_of(tasks, "test")
    labels[:, 0] = 0  # nobody is ill
    labels[:, 1] = np.nan  # no colour is known
    labels[:, 2] = 0.1  # all of one size
    labels[1:, 3] = np.nan  # one weight
    found, over_epochs = evaluated(tasks, labels, outputs_for(tasks, labels, 4, 1.0))
    for name in ("auroc", "average_precision", "f1", "f1_tuned"):
        assert np.isnan(found.values[name]).all() and np.isnan(found.resampled[name]).all()
    assert np.isfinite(found.values["accuracy"][0])
    assert np.isnan(found.values["accuracy"][1:]).all()
    assert np.isnan(over_epochs.scores["test"]).all() and not over_epochs.deviation["test"].any()


def test_a_yes_or_no_scores_the_same_beside_other_kinds() -> None:
    labels = labels_of(MIXED, "test")
    outputs = outputs_for(MIXED, labels, 5, 0.7)
    beside, _ = evaluated(MIXED, labels, outputs)
    whole = np.nan_to_num(labels[:, [0, 4]], nan=-1).astype(np.int8)
    alone, _ = evaluated((ILL, RARE), whole, outputs[:, [0, 7]])
    for name in MEASURES:
        both = beside.values[name][[0, 4]]
        assert np.array_equal(both, alone.values[name], equal_nan=True)
        drawn = beside.resampled[name][:, [0, 4]]
        assert np.array_equal(drawn, alone.resampled[name], equal_nan=True)


def test_the_usual_answer_is_right_as_often_as_the_largest_class() -> None:
    labels = np.array([[1, 2, 0.5], [1, 2, 3], [1, 0, 1], [0, 1, 2], [np.nan, 2, 0]])
    truth = Truth(labels.astype(np.float32), Answers.of((ILL, COLOUR, SIZE)))
    assert truth.usual_answer == pytest.approx((3 / 4 + 3 / 5) / 2)
    assert np.isnan(Truth(labels[:, 2:], Answers.of((SIZE,))).usual_answer)


# ----------------------------------------------------------------------------------- averages


def test_probabilities_of_classes_are_averaged_and_numbers_as_they_are() -> None:
    rng = np.random.default_rng(6)
    models = list(rng.normal(0, 2, (3, 50, 8)).astype(np.float16))
    weights = rng.dirichlet(np.ones(3), 5)
    found = {
        average: ensemble_output(models, [range(5)] * 3, weights, average, Answers.of(MIXED))
        for average in AVERAGES
    }
    each = np.stack(models).astype(np.float64)
    for t, (task, own) in enumerate(zip(MIXED, ([0], [1], [2, 3, 4, 5], [6], [7]), strict=True)):
        outputs = each[..., own]
        logits = np.einsum("jno,j->no", outputs, weights[t])
        assert found["logits"][:, own] == pytest.approx(logits, abs=1e-5)
        if task.kind == "binary":
            outputs = expit(outputs) - 0.5
        elif task.kind == "multiclass":
            outputs = softmax(outputs, axis=-1)
        averaged = np.einsum("jno,j->no", outputs, weights[t])
        assert found["probabilities"][:, own] == pytest.approx(averaged, abs=1e-5)


@pytest.mark.parametrize("average", AVERAGES)
def test_models_of_some_tasks_answer_for_those_alone(average: str) -> None:
    rng = np.random.default_rng(7)
    whole = rng.normal(0, 2, (2, 50, 8)).astype(np.float16)
    served, own = [[2, 0], [1, 3, 4]], [[2, 3, 4, 5, 0], [1, 6, 7]]
    weights = np.array([[1.0, 0], [0, 1], [1, 0], [0, 1], [0, 1]])
    parts = [model[:, columns] for model, columns in zip(whole, own, strict=True)]
    answers = Answers.of(MIXED)
    found = ensemble_output(parts, served, weights, average, answers)
    for model, columns in zip(whole, own, strict=True):
        alone = ensemble_output([model], [range(5)], np.ones((5, 1)), average, answers)
        assert np.array_equal(found[:, columns], alone[:, columns])
        numbers = [o for o in columns if o in (1, 6)]
        assert np.array_equal(found[:, numbers], model[:, numbers])


# ------------------------------------------------------------------- a report of made-up outputs


class MadeUp(Store):
    """Runs as trainings leave them, whose outputs nobody trained for."""

    def get(self, spec: TrainingSpec) -> Run:
        folder = self.folder / "runs" / spec.key
        folder.mkdir(parents=True, exist_ok=True)
        tasks = [spec.group.task(name) for name in spec.tasks]
        columns = [spec.group.tasks.index(task) for task in tasks]
        binary = all(task.kind == "binary" for task in tasks)
        for split, n_points in POINTS.items():
            labels = labels_of(spec.group.tasks, split)[:, columns]
            seed = int(spec.key[:8], 16) + n_points
            outputs = [outputs_for(tasks, labels, seed, skill) for skill in (0.5, 0.8)]
            np.save(folder / f"{split}_logits.npy", np.stack(outputs))
            kept = np.nan_to_num(labels, nan=-1).astype(np.int8) if binary else labels
            np.save(folder / f"{split}_labels.npy", kept)
            if split == "test":
                scores = [expected_scores(tasks, labels, each)["f1"] for each in outputs]
        numbers = np.array([task.kind == "regression" for task in tasks])
        test = {
            "f1": np.where(numbers, np.nan, scores).tolist(),
            "r2": np.where(numbers, scores, np.nan).tolist(),
        }
        files = {"train_logits.npy": {"bytes": 1}}
        return Run(spec.key, folder, spec, PROVENANCE, {"test": test}, files)


def space_of(tasks: Sequence[Task]) -> TaskSpace:
    maps, labels = realistic_maps(len(tasks), 60, (2,))
    return TaskSpace(summarise(maps, labels, [task.name for task in tasks], (2,)))


def plan_of(tasks: Sequence[Task], schemes: Sequence[str], method: str = "soft") -> Plan:
    """Of two clusters, with two seeds."""
    shares = np.linspace(0, 1, len(tasks))
    if method == "hard":
        shares = shares.round()
    memberships = np.stack([shares, 1 - shares], axis=1)
    names = tuple(task.name for task in tasks)
    labels = memberships.argmax(axis=1)
    grouping = Grouping(names, 2, 2.0, method, memberships, labels, {})
    spec = TrainingSpec(group_of(tasks), epochs=2)
    return make_plan(spec, grouping, space_of(tasks), schemes, (0, 1))


SCHEMES = ("mtl", "stl", "specialists", "plain", "random", "superclass")


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return make_report(
        plan_of(MIXED, SCHEMES), MadeUp(tmp_path_factory.mktemp("mixed")), resamples=100
    )


def test_a_mixture_is_judged_by_scores_of_every_kind(mixed: dict[str, Any], tmp_path: Path) -> None:
    assert json.loads(json.dumps(mixed, allow_nan=False)) == mixed
    assert mixed["score"] == "score" and mixed["kinds"] == [task.kind for task in MIXED]
    store, plan = MadeUp(tmp_path), plan_of(MIXED, ("mtl",))
    each = []
    for spec in plan.trainings:
        outputs = store.get(spec).logits("test")[-1]
        each.append(expected_scores(MIXED, labels_of(MIXED, "test"), outputs))
    assert mixed["measures"] == list(MEASURES)
    for name in SCORES:
        scores = mixed["variants"]["logits-soft"]["measures"][name]["schemes"]["mtl"]
        of_tasks = np.mean([found[name] for found in each], axis=0)
        told = [None if np.isnan(score) else pytest.approx(score, abs=1e-6) for score in of_tasks]
        assert scores["per_task"] == told and (told[-1] is None) == (name == "f1")
        counted = [t for t, task in enumerate(mixed["tasks"]) if task not in mixed["left_out"]]
        assert scores["mean"] == pytest.approx(np.nanmean(of_tasks[counted]), abs=1e-6)


def test_a_task_without_positives_has_no_score_and_is_in_no_mean(mixed: dict[str, Any]) -> None:
    counted = [t for t, task in enumerate(mixed["tasks"]) if task not in mixed["left_out"]]
    assert 4 in counted and len(counted) > 2
    for variant in mixed["variants"].values():
        found = variant["measures"]["auroc"]
        for scheme, scores in found["schemes"].items():
            assert scores["per_task"][4] is None
            assert [ends[4] for ends in scores["per_task_ci"]] == [None, None]
            own = [scores["per_task"][t] for t in counted if t != 4]
            assert scores["mean"] == pytest.approx(np.mean(own), abs=1e-5)
            assert scores["ci"][0] <= scores["mean"] <= scores["ci"][1]
            by_f1 = variant["measures"]["f1"]["schemes"][scheme]["mean"]
            curve = variant["schemes"][scheme]["test"]["mean"]
            assert curve[-1] == pytest.approx(by_f1, abs=1e-5)
        assert all(differences["mean"][4] is None for differences in found["to_mtl"].values())
    assert all(alone["f1"][4] is None for alone in mixed["specialists"])
    rows, correlation = specialisation(mixed)
    assert {row["task"] for row in rows} == {"ill", "size", "colour", "weight"}
    assert correlation is not None


def test_the_sentences_say_what_the_score_is(mixed: dict[str, Any]) -> None:
    told = verdict_in(mixed, "logits-soft")
    assert "mean AUROC or R²" in told.headline
    assert "the family grouping" in told.details and "superclass" not in told.text
    assert mixed["variants"]["logits-soft"]["measures"]["auroc"]["verdict"] == told.text


def test_what_nobody_learns_is_in_no_mean_and_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks = (ILL, SIZE, COLOUR, WEIGHT)

    made = outputs_for

    def learned(tasks: Sequence[Task], labels: np.ndarray, seed: int, skill: float) -> np.ndarray:
        """Of weight and of being ill nothing."""
        outputs = made(tasks, labels, seed, 2 * skill)
        noise = made(tasks, np.zeros_like(labels), seed, 0)
        ends = np.cumsum([task.width for task in tasks])
        for t, task in enumerate(tasks):
            if task in (ILL, WEIGHT):
                outputs[:, ends[t] - 1] = noise[:, ends[t] - 1]
        return outputs

    monkeypatch.setattr(f"{__name__}.outputs_for", learned)
    plan = plan_of(tasks, ("mtl", "specialists", "plain"))
    report = make_report(plan, MadeUp(tmp_path), resamples=200)
    assert report["left_out"] == ["ill", "weight"]
    for variant in report["variants"].values():
        for judged in variant["measures"].values():
            assert "ill and weight are not learned better than chance" in judged["verdict"]
            for scores in judged["schemes"].values():
                learned_ones = [scores["per_task"][t] for t in (1, 2)]
                assert scores["mean"] == pytest.approx(np.mean(learned_ones), abs=1e-5)
                assert all(score is not None for score in scores["per_task"]), "but shown"
        f1 = variant["measures"]["f1"]["schemes"]["plain"]["mean"]
        assert variant["schemes"]["plain"]["test"]["mean"][-1] == pytest.approx(f1, abs=1e-5)


def test_hard_specialists_of_one_kind_alone_answer_in_a_mixture(tmp_path: Path) -> None:
    tasks = (ILL, RARE, SIZE, COLOUR)
    plan = plan_of(tasks, ("mtl", "specialists"), "hard")
    store = MadeUp(tmp_path)
    binary, others = sorted(plan.ensembles[2].specs, key=lambda spec: "size" in spec.tasks)
    assert binary.tasks == ("ill", "rare") and others.tasks == ("size", "colour")
    report = make_report(plan, store, resamples=20)
    expected: dict[str, list[float]] = {}
    for ensemble in plan.ensembles[2:]:
        for spec in ensemble.specs:
            own = [spec.group.task(name) for name in spec.tasks]
            outputs = store.get(spec).logits("test")[-1]
            labels = labels_of(tasks, "test")[:, [tasks.index(task) for task in own]]
            for task, score in zip(own, expected_scores(own, labels, outputs)["f1"], strict=True):
                expected.setdefault(task.name, []).append(score)
    for variant in report["variants"].values():
        scores = variant["measures"]["f1"]["schemes"]["specialists"]
        found = np.array(scores["per_task"], dtype=float)
        means = [np.mean(expected[task.name]) for task in tasks]
        assert found == pytest.approx(np.array(means), abs=1e-5, nan_ok=True)


def test_numbers_alone_are_judged_by_r2_and_nothing_is_said_of_accuracy(tmp_path: Path) -> None:
    report = make_report(
        plan_of((SIZE, WEIGHT), ("mtl", "specialists", "plain")), MadeUp(tmp_path), resamples=50
    )
    assert report["score"] == "R²" and report["accuracy_baseline"] is None
    assert report["measures"] == ["r2"]
    for variant, found in report["variants"].items():
        told = verdict_in(report, variant)
        assert "mean R²" in told.headline
        assert not {"accuracy", "F1", "AUROC"} & {*told.text.split()}
        for scores in found["measures"]["r2"]["schemes"].values():
            assert scores["ci"][0] <= scores["mean"] <= scores["ci"][1] <= 1
    answer, text = _judged(report, "logits-soft")
    assert json.dumps(answer, allow_nan=False) and "Means are of R²" in text


def test_classes_alone_have_no_threshold_to_be_tuned(tmp_path: Path) -> None:
    plan = plan_of((COLOUR, SHADE), ("mtl", "specialists", "plain"))
    report = make_report(plan, MadeUp(tmp_path), resamples=50)
    assert "score" not in report and report["kinds"] == ["multiclass"] * 2
    assert report["measures"] == [name for name in MEASURES if name != "f1_tuned"]
    assert "mean AUROC" in verdict_in(report, "probabilities-soft").headline


def test_where_no_task_has_a_score_nothing_can_be_told(tmp_path: Path) -> None:
    grouping = Grouping(("rare",), 2, 2.0, "soft", np.array([[0.6, 0.4]]), np.array([0]), {})
    spec = TrainingSpec(group_of((RARE,)), epochs=2)
    plan = make_plan(spec, grouping, space_of((RARE,)), ("mtl", "specialists", "plain"))
    report = make_report(plan, MadeUp(tmp_path), resamples=20)
    assert "score" not in report and "kinds" not in report, "all is a yes or no"
    for variant, found in report["variants"].items():
        assert found["measures"]["auroc"]["schemes"]["plain"]["mean"] is None
        told = verdict_in(report, variant)
        assert told.text == "Nothing can be told: AUROC is not defined for any of the tasks."
    _, text = _judged(report, "logits-soft")
    assert "–" in text
    assert specialisation(report) == ([], None)


# -------------------------------------------------------------------------------- families


def test_families_stay_together_and_a_task_without_one_is_alone() -> None:
    spec = TrainingSpec(group_of(MIXED), epochs=2)
    names = families_of(spec)
    assert names is not None and len(set(names)) == 3
    assert names[0] == names[4] and names[1] == names[3]
    eye = np.eye(3)[[0, 1, 2, 1, 0]]
    grouping = Grouping(spec.tasks, 3, 2.0, "hard", eye, eye.argmax(axis=1), {})
    shares = superclass_memberships(spec, grouping, space_of(MIXED))
    assert set(shares.ravel()) == {0, 1} and (shares.sum(axis=0) > 0).all()
    assert np.array_equal(shares[0], shares[4]) and np.array_equal(shares[1], shares[3])
    with pytest.raises(UserError, match="3 families, which cannot form 4 groups"):
        superclass_memberships(spec, dataclasses.replace(grouping, k=4), space_of(MIXED))


def test_a_single_family_is_no_grouping() -> None:
    assert families_of(TrainingSpec(group_of((SIZE, WEIGHT)), epochs=2)) is None
    assert families_of(TrainingSpec(group_of((ILL, RARE, COLOUR)), epochs=2)) is not None
    assert families_of(TrainingSpec(GROUPS["g1"], epochs=2)) is None
    fish = TrainingSpec(GROUPS["g3"], tasks=("ray", "shark"), epochs=2)
    assert families_of(fish) is None and families_of(TrainingSpec(GROUPS["g3"], epochs=2))
    with pytest.raises(UserError, match="at least two families"):
        plan_of((SIZE, WEIGHT), ("superclass",))
