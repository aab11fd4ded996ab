"""Specialists: what is trained for a grouping, how the ensembles answer, and what is concluded."""

from __future__ import annotations

import dataclasses
import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sklearn_metrics
from torch import nn

from stg_core.cli.main import main
from stg_core.engine.worker import run_spec
from stg_core.grouping.memberships import Grouping, TaskSpace, group_tasks
from stg_core.judging import plan as specialists
from stg_core.judging.ensembles import (
    AVERAGES,
    Resampling,
    Truth,
    ensemble_output,
    halves,
    scores_of_counts,
    strongest,
)
from stg_core.judging.evaluation import Course, Ending, Kept, course, ending
from stg_core.judging.measures import MEASURES
from stg_core.judging.plan import (
    Plan,
    make_plan,
    mtl_spec_of,
    permuted_rows,
    recorded_speed,
    superclass_memberships,
)
from stg_core.judging.report import (
    bundle_report,
    bundled_reports,
    make_report,
    report_steps,
)
from stg_core.results.store import BUNDLES, Store
from stg_core.system.errors import UserError
from stg_core.tasks.data import TaskData
from stg_core.tasks.groups import GROUPS, label_matrix, superclass_of_tasks
from stg_core.tasks.images import CLASS_NAMES, load_images
from stg_core.training.callbacks import Callback, Training
from stg_core.training.loop import _derived_seed, train
from stg_core.training.models import build
from stg_core.training.scores import task_scores
from stg_core.training.spec import TrainingSpec

TASKS = ("0", "1", "7", "Odd", "Downside", "Random")
SPEC = TrainingSpec(GROUPS["digits"], tasks=TASKS, epochs=2, batch_size=64)
SCHEMES = ("mtl", "stl", "specialists", "plain", "random")


def grouping_of(memberships: Any, method: str = "soft", tasks: Sequence[str] = TASKS) -> Grouping:
    shares = np.asarray(memberships, dtype=np.float64)
    return Grouping(tuple(tasks), shares.shape[1], 2.0, method, shares, shares.argmax(axis=1), {})


SOFT = grouping_of([[1, 0], [0.7, 0.3], [0.2, 0.8], [0, 1], [0.5, 0.5], [0.1, 0.9]])
HARD = grouping_of(np.eye(2)[[0, 0, 1, 1, 0, 1]], "hard")


@pytest.fixture(scope="module")
def data(digits_data: TaskData) -> TaskData:
    """The first 330 training and 100 test images, some labels missing."""
    train_labels = digits_data.train_labels[::4][:330].copy()
    test_labels = digits_data.test_labels[::3][:100].copy()
    train_labels[::5, digits_data.tasks.index("Odd")] = np.nan
    test_labels[::4, digits_data.tasks.index("7")] = np.nan
    return dataclasses.replace(
        digits_data,
        train_points=digits_data.train_points[::4][:330],
        train_labels=train_labels,
        test_points=digits_data.test_points[::3][:100],
        test_labels=test_labels,
    )


@pytest.fixture(scope="module")
def trained(data: TaskData, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A store in which whatever is asked for is trained on the few digits."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("stg_core.tasks.data.load_task_data", lambda *_: data)
        yield Store(tmp_path_factory.mktemp("trained"))


def finished(plan: Plan, store: Store) -> Plan:
    for spec in plan.trainings:
        run_spec(store, spec)
    return plan


@pytest.fixture(scope="module")
def space(trained: Store) -> TaskSpace:
    return TaskSpace(run_spec(trained, SPEC).summary)


@pytest.fixture(scope="module")
def plan(trained: Store, space: TaskSpace) -> Plan:
    """All schemes but superclass with two seeds, trained."""
    return finished(make_plan(SPEC, SOFT, space, SCHEMES, (0, 1)), trained)


@pytest.fixture(scope="module")
def report(plan: Plan, trained: Store) -> dict[str, Any]:
    return make_report(plan, trained, resamples=200)


def ensembles(plan: Plan) -> dict[tuple[str, int], specialists.Ensemble]:
    return {(e.scheme, e.seed): e for e in plan.ensembles}


# --------------------------------------------------------------------------------------- the plan


def test_every_scheme_trains_what_it_is_said_to_be(plan: Plan) -> None:
    made = ensembles(plan)
    assert list(made) == [(scheme, seed) for scheme in SCHEMES for seed in (0, 1)]
    assert made["mtl", 0].specs == (SPEC,)
    assert made["mtl", 1].specs == (dataclasses.replace(SPEC, seed=1, recorded_epochs=()),)
    assert [spec.tasks for spec in made["stl", 0].specs] == [(task,) for task in TASKS]
    for j, spec in enumerate(made["specialists", 1].specs):
        assert spec.tasks == TASKS and spec.seed == made["plain", 1].specs[j].seed
        assert spec.task_weights == tuple(SOFT.memberships[:, j])
    assert [spec.seed for spec in made["plain", 1].specs] == [1, 1001]
    assert made["plain", 1].specs[0] == made["mtl", 1].specs[0]
    assert all(set(spec.task_weights) == {1.0} for spec in made["plain", 1].specs)
    assert made["random", 0].specs != made["random", 1].specs


def test_only_the_run_itself_keeps_data_maps(plan: Plan) -> None:
    assert [spec for spec in plan.trainings if spec.recorded] == [SPEC]


def test_no_training_is_done_twice_and_the_cost_says_so(plan: Plan, trained: Store) -> None:
    keys = [spec.key for spec in plan.trainings]
    assert len(keys) == len(set(keys)) == 2 + 12 + 4 + 2 + 4
    cost = plan.cost(trained, lambda spec: 1.0)
    assert (cost.trainings, cost.distinct, cost.cached, cost.seconds) == (26, 24, 24, 0)


def test_the_cost_of_what_is_missing_is_epochs_times_their_seconds(
    plan: Plan, tmp_path: Path
) -> None:
    empty = Store(tmp_path)
    speeds = {1: 0.5, len(TASKS): 2.0}
    cost = plan.cost(empty, lambda spec: speeds[len(spec.tasks)])
    assert cost.seconds == 12 * 2 * 0.5 + 12 * 2 * 2.0
    assert plan.cost(empty, lambda spec: None).seconds is None
    assert plan.cost(empty, recorded_speed(empty)).seconds is None


def test_the_expected_speed_is_that_of_the_runs_of_this_machine(plan: Plan, trained: Store) -> None:
    speed = recorded_speed(trained)
    seconds = speed(dataclasses.replace(SPEC, seed=7))
    assert seconds is not None and 0 < seconds < 60
    assert speed(dataclasses.replace(SPEC, model="small_cnn")) is None


def test_hard_specialists_are_models_of_their_own_tasks_only(space: TaskSpace) -> None:
    plan = make_plan(SPEC, HARD, space, ("specialists", "random"))
    [own, random] = plan.ensembles
    assert [spec.tasks for spec in own.specs] == [("0", "1", "Downside"), ("7", "Odd", "Random")]
    assert all(set(spec.task_weights) == {1.0} for spec in own.specs)
    assert sorted(task for spec in random.specs for task in spec.tasks) == sorted(TASKS)
    assert {spec.tasks for spec in random.specs} != {spec.tasks for spec in own.specs}


@pytest.mark.parametrize("method", ["soft", "hard"])
def test_one_cluster_is_mtl_itself(method: str, space: TaskSpace) -> None:
    plan = make_plan(SPEC, grouping_of(np.ones((6, 1)), method), space, ("mtl", *SCHEMES[2:]))
    assert plan.trainings == (SPEC,)


def test_the_last_bits_of_a_membership_do_not_change_what_is_trained(space: TaskSpace) -> None:
    noise = np.random.default_rng(0).normal(0, 1e-9, SOFT.memberships.shape)
    noisy = dataclasses.replace(SOFT, memberships=SOFT.memberships + noise)
    schemes = ("specialists", "random")
    assert (
        make_plan(SPEC, noisy, space, schemes).trainings
        == make_plan(SPEC, SOFT, space, schemes).trainings
    )


@given(
    memberships=st.lists(
        st.lists(st.integers(0, 4), min_size=3, max_size=3).filter(any), min_size=3, max_size=9
    ),
    seed=st.integers(0, 2**31 - 1),
)
def test_a_permuted_grouping_has_the_same_weights_on_other_tasks(
    memberships: list[list[int]], seed: int
) -> None:
    shares = np.array(memberships, dtype=np.float64)
    shares /= shares.sum(axis=1, keepdims=True)
    rows = permuted_rows(shares, seed)
    assert sorted(rows) == list(range(len(shares)))
    assert shares[rows].sum(axis=0) == pytest.approx(shares.sum(axis=0))
    assert np.array_equal(rows, permuted_rows(shares, seed))
    if len(shares) > 3 and len(np.unique(shares, axis=0)) == len(shares):
        assert not np.array_equal(shares[rows], shares)


def test_the_random_control_weighs_as_much_in_total_but_other_tasks(plan: Plan) -> None:
    for seed in (0, 1):
        weights = ensembles(plan)["random", seed].weights
        assert weights.sum(axis=0) == pytest.approx(SOFT.memberships.sum(axis=0))
        assert not np.array_equal(weights, SOFT.memberships)


def test_a_permutation_that_only_renumbers_the_clusters_is_refused() -> None:
    pairs = np.eye(2)[[0, 0, 1, 1]]
    for seed in range(30):
        labels = pairs[permuted_rows(pairs, seed)].argmax(axis=1)
        assert labels[0] != labels[1]


def test_where_all_tasks_are_alike_there_is_no_other_grouping() -> None:
    assert permuted_rows(np.full((4, 2), 0.5), 0).tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("schemes", "seeds", "sentence"),
    [
        (("mtl", "best"), (), "no scheme 'best'"),
        ((), (), "at least one scheme"),
        (("plain",), (0, 1000), "would share models"),
        (("superclass",), (), "classes of CIFAR-100"),
        (("mtl",), (-1,), "seed"),
    ],
)
def test_a_plan_that_makes_no_sense_is_refused_with_what_to_do(
    schemes: tuple[str, ...], seeds: tuple[int, ...], sentence: str, space: TaskSpace
) -> None:
    with pytest.raises(UserError, match=sentence):
        make_plan(SPEC, SOFT, space, schemes, seeds)


def test_a_grouping_of_other_tasks_or_with_an_empty_cluster_is_refused(space: TaskSpace) -> None:
    with pytest.raises(UserError, match="other tasks"):
        make_plan(SPEC, grouping_of(np.ones((2, 1)), tasks=("0", "1")), space)
    with pytest.raises(UserError, match="Cluster 2 of the specialists has no task"):
        make_plan(SPEC, grouping_of(np.eye(2)[[0] * 6], "hard"), space)


# -------------------------------------------------------------------------- superclasses as control


@pytest.fixture(scope="module")
def g3(tmp_path_factory: pytest.TempPathFactory) -> tuple[TrainingSpec, TaskSpace]:
    run = Store(tmp_path_factory.mktemp("home")).run("bundled:g3")
    return run.spec, TaskSpace(run.summary)


@pytest.mark.parametrize("k", [5, 20])
def test_superclasses_stay_together_in_as_many_groups_as_the_grouping_has(
    k: int, g3: tuple[TrainingSpec, TaskSpace]
) -> None:
    spec, space = g3
    reference = superclass_of_tasks(spec.group)
    assert reference is not None
    shares = superclass_memberships(spec, group_tasks(space, k, method="hard"), space)
    assert shares.shape == (100, k) and set(shares.ravel()) == {0, 1}
    groups: dict[str, set[int]] = {name: set() for name in reference}
    for name, row in zip(reference, shares, strict=True):
        groups[name].add(int(row.argmax()))
    assert all(len(group) == 1 for group in groups.values())
    assert set.union(*groups.values()) == set(range(k))


def test_soft_superclasses_have_the_fuzzifier_of_the_grouping(
    g3: tuple[TrainingSpec, TaskSpace],
) -> None:
    spec, space = g3
    soft = [
        superclass_memberships(spec, group_tasks(space, 5, fuzzifier), space)
        for fuzzifier in (1.5, 2, 4)
    ]
    for shares in soft:
        assert shares.sum(axis=1) == pytest.approx(1)
    sharpness = [float((shares**2).sum()) for shares in soft]
    assert sharpness == sorted(sharpness, reverse=True)


def test_more_clusters_than_superclasses_have_no_superclass_grouping(
    g3: tuple[TrainingSpec, TaskSpace],
) -> None:
    spec, space = g3
    with pytest.raises(UserError, match="cannot form 21 groups"):
        make_plan(spec, group_tasks(space, 21), space, ("superclass",))


# -------------------------------------------------------------------------------------- ensembles


def random_models(
    seed: int, n_models: int = 3, n_points: int = 1_234, n_tasks: int = 7
) -> tuple[list[np.ndarray], np.ndarray]:
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 3, (n_models, n_points, n_tasks)).astype(np.float16)
    weights = rng.random((n_tasks, n_models))
    return list(logits), weights / weights.sum(axis=1, keepdims=True)


def test_an_ensemble_of_logits_is_their_weighted_sum() -> None:
    models, weights = random_models(0)
    direct = np.einsum("jnt,tj->nt", np.stack(models).astype(np.float64), weights)
    outputs = ensemble_output(models, [range(7)] * 3, weights)
    assert outputs == pytest.approx(direct, abs=1e-5)


def test_an_ensemble_of_probabilities_is_their_weighted_sum_less_a_half() -> None:
    models, weights = random_models(1)
    probabilities = 1 / (1 + np.exp(-np.stack(models).astype(np.float64)))
    direct = np.einsum("jnt,tj->nt", probabilities, weights)
    outputs = ensemble_output(models, [range(7)] * 3, weights, "probabilities")
    assert outputs + 0.5 == pytest.approx(direct, abs=1e-6)


@pytest.mark.parametrize("average", AVERAGES)
def test_models_of_some_tasks_serve_those_alone(average: str) -> None:
    models, _ = random_models(2)
    served = [[0, 1, 4], [2, 6], [3, 5]]
    weights = np.zeros((7, 3))
    for j, columns in enumerate(served):
        weights[columns, j] = 1
    parts = [model[:, columns] for model, columns in zip(models, served, strict=True)]
    outputs = ensemble_output(parts, served, weights, average)
    for model, columns in zip(models, served, strict=True):
        alone = ensemble_output([model], [range(7)], np.ones((7, 1)), average)
        assert np.array_equal(outputs[:, columns], alone[:, columns])


def test_a_membership_of_one_gives_exactly_that_specialist_s_output() -> None:
    models, weights = random_models(3)
    weights[2], weights[5] = (0, 1, 0), (0, 0, 1)
    outputs = ensemble_output(models, [range(7)] * 3, weights)
    assert np.array_equal(outputs[:, 2], models[1][:, 2])
    assert np.array_equal(outputs[:, 5], models[2][:, 5])


def test_hard_routing_asks_the_strongest_specialist_only() -> None:
    models, weights = random_models(4)
    outputs = ensemble_output(models, [range(7)] * 3, strongest(weights))
    for t, row in enumerate(weights):
        assert np.array_equal(outputs[:, t], models[row.argmax()][:, t])
    assert strongest(np.array([[0.5, 0.5]])).tolist() == [[1, 0]]


@pytest.mark.parametrize("average", AVERAGES)
def test_the_smallest_positive_logit_still_predicts_the_class(average: str) -> None:
    tiny = np.array([[6e-8], [-6e-8], [0]], dtype=np.float16)
    outputs = ensemble_output([tiny], [[0]], np.ones((1, 1)), average)
    assert (outputs > 0).ravel().tolist() == [True, False, False]


# ----------------------------------------------------------------------------------------- scores


def random_truth(seed: int, n_points: int = 400, n_tasks: int = 5) -> np.ndarray:
    rng = np.random.default_rng(seed)
    labels = (rng.random((n_points, n_tasks)) < [0.5, 0.3, 0.1, 0.02, 0.5]).astype(np.int8)
    labels[rng.random(labels.shape) < 0.2] = -1
    labels[:, 4] = -1  # a task without any label
    return labels


def scores_of(outputs: np.ndarray, labels: np.ndarray) -> dict[str, np.ndarray]:
    truth = Truth(labels)
    predicted, right = truth.predicted(outputs)
    counts = right.sum(0).astype(float), predicted.sum(0).astype(float)
    return scores_of_counts(*counts, truth.totals.positives, truth.totals.negatives)


def test_scores_are_those_of_a_training_and_missing_labels_count_nowhere() -> None:
    labels = random_truth(0)
    logits = np.random.default_rng(1).normal(size=labels.shape).astype(np.float32)
    scores = scores_of(logits, labels)
    reference = task_scores(
        torch.tensor(logits), torch.tensor(np.where(labels < 0, np.nan, labels))
    )
    for name, values in scores.items():
        assert values[:4] == pytest.approx(reference[name].numpy()[:4])
    for t in range(4):
        known = labels[:, t] >= 0
        f1 = sklearn_metrics.f1_score(labels[known, t], logits[known, t] > 0)
        assert scores["f1"][t] == pytest.approx(f1)
    assert np.isnan(scores["f1"][4]) and np.isnan(scores["accuracy"][4])


def kept(labels: np.ndarray, seed: int = 0) -> Kept:
    """One model, three epochs, better from epoch to epoch, on test and training points alike."""
    rng = np.random.default_rng(seed)
    signal = np.where(labels == 1, 1.0, -1.0)
    logits = np.stack([signal * e + rng.normal(0, 2, labels.shape) for e in range(3)])
    models = [logits.astype(np.float16)]
    n_tasks = labels.shape[1]
    return Kept({"test": models, "train": models}, [range(n_tasks)], np.ones((n_tasks, 1)))


def evaluated(labels: np.ndarray, resamples: int = 50) -> tuple[Ending, Course]:
    truth = {"test": Truth(labels), "train": Truth(labels)}
    every, model = np.ones(labels.shape[1], dtype=bool), kept(labels)
    return (
        ending(model, truth, Resampling(truth["test"], resamples)),
        course(model, truth, halves(truth["test"]), every),
    )


def test_a_resample_scores_as_if_its_images_were_the_test_set() -> None:
    labels = random_truth(2)
    rng = np.random.default_rng(0)  # the draws as documented: seeded, with replacement
    drawn = rng.integers(0, len(labels), len(labels))
    truth = Truth(labels)
    resampling = Resampling(truth, 3)
    assert np.array_equal(resampling.times[0], np.bincount(drawn, minlength=len(labels)))
    found, _ = evaluated(labels)
    logits = kept(labels).logits["test"][0][-1]
    direct = scores_of(logits[drawn], labels[drawn])
    for name, values in direct.items():
        assert found.resampled[name][0] == pytest.approx(values, nan_ok=True)


def test_the_bands_agree_with_the_bootstrap() -> None:
    found, over_epochs = evaluated(random_truth(3, n_points=5_000), resamples=1_000)
    spread = np.nanmean(found.resampled["f1"], axis=1).std()
    reach = np.sqrt((over_epochs.deviation["test"][-1] ** 2).sum())
    assert reach == pytest.approx(spread, rel=0.1)


def test_two_halves_share_no_image_and_are_judged_like_any_others() -> None:
    labels = random_truth(4)
    half = halves(Truth(labels))
    assert (half.times.sum(axis=0) == 1).all() and (half.times.sum(axis=1) == 200).all()
    _, over_epochs = evaluated(labels)
    logits = kept(labels).logits["test"][0]
    for e in range(3):
        for h, times in enumerate(half.times):
            own = times > 0
            direct = scores_of(logits[e][own], labels[own])["f1"]
            assert over_epochs.halves["f1"][e, h] == pytest.approx(direct, nan_ok=True)


# --------------------------------------------------------------------------- with real trainings


def test_one_cluster_gives_exactly_the_results_of_mtl(trained: Store, space: TaskSpace) -> None:
    everyone = grouping_of(np.ones((6, 1)))
    plan = finished(make_plan(SPEC, everyone, space, ("mtl", *SCHEMES[2:])), trained)
    report = make_report(plan, trained, resamples=50)
    for variant in report["variants"].values():
        scores = variant["schemes"]
        assert scores["specialists"] == scores["mtl"] == scores["plain"] == scores["random"]
        for judged in variant["measures"].values():
            scores = judged["schemes"]
            assert scores["specialists"] == scores["mtl"] == scores["plain"] == scores["random"]
            assert all(d["ci"] == [0, 0] and d["mean"] == 0 for d in judged["differences"])
            assert "It cannot be told whether the grouping pays" in judged["verdict"]


def test_a_weight_of_zero_gives_that_output_no_gradient(data: TaskData, space: TaskSpace) -> None:
    plan = make_plan(SPEC, SOFT, space, ("specialists",))
    spec = plan.trainings[0]
    assert spec.task_weights[3] == 0
    gradients = []

    class Watch(Callback):
        def on_batch_end(self, training: Training) -> None:
            assert isinstance(training.model, nn.Sequential)
            weight = training.model[-1].weight
            assert isinstance(weight, torch.Tensor) and weight.grad is not None
            gradients.append(weight.grad.clone())

    model = train(spec, data, callbacks=[Watch()]).model
    assert isinstance(model, nn.Sequential)
    torch.manual_seed(_derived_seed(spec.seed, 0))
    fresh = build(spec.model, (1, 8, 8), len(TASKS))
    assert isinstance(fresh, nn.Sequential)
    for name in ("weight", "bias"):
        before, after = getattr(fresh[-1], name), getattr(model[-1], name)
        assert torch.equal(before[3], after[3])
        assert not torch.equal(before[0], after[0])
    assert all((gradient[3] == 0).all() and gradient[0].any() for gradient in gradients)


def test_the_report_s_scores_are_those_that_were_measured_while_training(
    plan: Plan, report: dict[str, Any], trained: Store
) -> None:
    scores = report["variants"]["logits-soft"]["schemes"]
    runs = {spec.seed: trained.get(spec) for e in plan.ensembles[:2] for spec in e.specs}
    for split in ("test", "train"):
        each = [
            np.mean(np.array(run.metrics[split]["f1"])[:, :-1], axis=1)  # all but the coin
            for run in runs.values()
            if run
        ]
        assert scores["mtl"][split]["seeds"] == pytest.approx(np.array(each), abs=1e-5)
        assert scores["mtl"][split]["mean"] == pytest.approx(np.mean(each, axis=0), abs=1e-5)
    found = report["variants"]["logits-soft"]["measures"]["f1"]["schemes"]
    assert found["mtl"]["mean"] == pytest.approx(scores["mtl"]["test"]["mean"][-1], abs=1e-5)
    alone = [
        run.metrics["test"]["f1"][-1][0]
        for spec in ensembles(plan)["stl", 0].specs[:-1]
        if (run := trained.get(spec))
    ]
    assert found["stl"]["seeds"][0] == pytest.approx(np.mean(alone), abs=1e-5)


def test_the_report_has_what_the_page_shows(report: dict[str, Any], plan: Plan) -> None:
    assert json.loads(json.dumps(report)) == report
    assert set(report["variants"]) == {
        "logits-soft",
        "logits-hard",
        "probabilities-soft",
        "probabilities-hard",
    }
    assert report["version"] == 2 and report["intervals"] == "points and seeds"
    assert report["measures"] == list(MEASURES)
    assert report["left_out"] == ["Random"]
    for variant in report["variants"].values():
        for scores in variant["schemes"].values():
            assert scores["epochs"] == report["epochs"] == [1, 2]
            for split in ("test", "train"):
                curve = scores[split]
                ends = zip(curve["low"], curve["mean"], curve["high"], strict=True)
                assert all(low <= mean <= high for low, mean, high in ends)
                assert np.shape(curve["seeds"]) == (2, 2)
        assert list(variant["measures"]) == report["measures"]
        for judged in variant["measures"].values():
            assert list(judged["schemes"]) == list(SCHEMES)
            for scores in judged["schemes"].values():
                low, high = scores["ci"]
                assert 0 <= low <= scores["mean"] <= high <= 1
                learned = np.array(scores["per_task"])[:-1]
                assert scores["mean"] == pytest.approx(learned.mean(), abs=1e-5)
                assert np.shape(scores["per_task_ci"]) == (2, len(TASKS))
                assert len(scores["best_epoch"]["seeds"]) == 2
            assert set(judged["to_mtl"]) == set(SCHEMES[1:])
            for difference in judged["to_mtl"].values():
                assert len(difference["mean"]) == len(TASKS)
                assert np.shape(difference["ci"]) == (2, len(TASKS))
            assert len(judged["differences"]) == 10
            assert judged["headline"] and judged["verdict"].startswith(judged["headline"])
            assert "Random is a coin flip: left out." in judged["verdict"]
    trainings = {name: t["trainings"] for name, t in report["trainings"].items()}
    assert trainings == {"mtl": 2, "stl": 12, "specialists": 4, "plain": 4, "random": 4}
    assert report["distinct_trainings"] == 24
    for alone in report["specialists"]:
        assert alone["weights"] == pytest.approx(SOFT.memberships[:, alone["cluster"]])
        assert len(alone["f1"]) == len(TASKS)


def test_differences_are_paired_over_the_same_images(space: TaskSpace, trained: Store) -> None:
    plan = finished(make_plan(SPEC, SOFT, space, ("mtl", "plain", "specialists")), trained)
    report = make_report(plan, trained, resamples=200)
    assert report["intervals"] == "points"
    for judged in report["variants"]["logits-soft"]["measures"].values():
        for difference in judged["differences"]:
            a, b = (judged["schemes"][difference[name]] for name in ("scheme", "other"))
            assert difference["mean"] == pytest.approx(a["mean"] - b["mean"], abs=2e-6)
            low, high = difference["ci"]
            unpaired = (a["ci"][1] - b["ci"][0]) - (a["ci"][0] - b["ci"][1])
            assert low <= difference["mean"] <= high and high - low < unpaired


def test_costs_are_counted_and_measured(report: dict[str, Any]) -> None:
    costs = report["costs"]
    assert {scheme: cost["training"] for scheme, cost in costs.items()}["specialists"] == 3
    assert costs["mtl"]["training"] == costs["mtl"]["serving"] == costs["mtl"]["measured"] == 1
    assert all(cost["seconds"] > 0 and cost["measured"] > 0 for cost in costs.values())


def test_routing_changes_specialists_but_neither_mtl_nor_the_plain_ensemble(
    report: dict[str, Any],
) -> None:
    soft, hard = (
        report["variants"][f"logits-{routing}"]["schemes"] for routing in ("soft", "hard")
    )
    for scheme in ("mtl", "stl", "plain"):
        assert soft[scheme] == hard[scheme]
    assert soft["specialists"] != hard["specialists"]


def test_hard_specialists_answer_for_their_own_tasks(trained: Store, space: TaskSpace) -> None:
    plan = finished(make_plan(SPEC, HARD, space, ("specialists",)), trained)
    report = make_report(plan, trained, resamples=50)
    own = {
        task: f1
        for spec in plan.trainings
        if (run := trained.get(spec))
        for task, f1 in zip(spec.tasks, run.metrics["test"]["f1"][-1], strict=True)
    }
    for variant in report["variants"].values():
        found = variant["measures"]["f1"]["schemes"]["specialists"]["per_task"]
        assert found == pytest.approx([own[task] for task in TASKS], abs=1e-5)
    assert [None in alone["f1"] for alone in report["specialists"]] == [True, True]


def test_the_same_trainings_give_the_same_report(
    plan: Plan, report: dict[str, Any], trained: Store
) -> None:
    assert make_report(plan, Store(trained.folder), resamples=200) == report


def test_a_judgement_counts_the_ensembles_that_it_has_evaluated(
    plan: Plan, trained: Store, report: dict
) -> None:
    steps = list(report_steps(plan, trained, resamples=200))
    total = 8 * len(plan.ensembles)
    assert [(done, of) for done, of, _ in steps] == [(i, total) for i in range(total + 1)]
    assert [found for *_, found in steps[:-1]] == [None] * total
    assert steps[-1][2] == report


def test_a_plan_that_is_not_finished_has_no_report(trained: Store, space: TaskSpace) -> None:
    plan = make_plan(SPEC, SOFT, space, ("mtl", "plain"), (0, 7))
    with pytest.raises(UserError, match=r"2 of 4 trainings of this plan not done yet"):
        make_report(plan, trained)


def test_results_of_other_data_are_not_mixed(
    plan: Plan, trained: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = trained.get(SPEC)
    assert run is not None
    monkeypatch.setitem(run.provenance, "images", "others")
    with pytest.raises(UserError, match="different data"):
        make_report(plan, trained)


def test_a_run_that_kept_fewer_logits_is_trained_again_without_data_maps(
    data: TaskData, trained: Store, tmp_path: Path
) -> None:
    run = run_spec(trained, SPEC)
    assert mtl_spec_of(run, trained) == SPEC
    store = Store(tmp_path)
    old = store.save(train(SPEC, data))
    head = json.loads((old.folder / "spec.json").read_text())
    for name in ("train_logits.npy", "test_labels.npy", "train_labels.npy"):
        (old.folder / name).unlink()
        del head["files"][name]
    (old.folder / "spec.json").write_text(json.dumps(head))
    old = store.run(old.id)
    assert old.test_logits() is not None
    assert mtl_spec_of(old, store) == dataclasses.replace(SPEC, recorded_epochs=())
    with pytest.raises(UserError, match="train it again"):
        old.logits("test")


def test_single_task_models_are_compared_with_an_mtl_of_their_settings(trained: Store) -> None:
    separate = dataclasses.replace(SPEC, single_task_models=True)
    run = dataclasses.replace(run_spec(trained, SPEC), spec=separate)
    assert mtl_spec_of(run, trained) == dataclasses.replace(SPEC, recorded_epochs=())


# --------------------------------------------------------------------------------- the command


@pytest.fixture
def digits_run(
    data: TaskData, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> str:
    """The key of a small run on the digits, in this test's own home."""
    monkeypatch.setattr("stg_core.tasks.data.load_task_data", lambda *_: data)
    assert main("extract --group digits --epochs 2 --batch-size 64 --json".split()) == 0
    return str(json.loads(capsys.readouterr().out)["run"])


def specialists_command(run: str, *words: str) -> int:
    return main(["specialists", run, "--k", "2", "--fuzzifier", "2", *words])


def test_the_command_trains_and_answers_as_json(
    digits_run: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--schemes", "mtl,specialists,plain,random", "--seeds", "0,1", "--json")
    assert specialists_command(digits_run, *words) == 0
    captured = capsys.readouterr()
    answer = json.loads(captured.out.splitlines()[-1])
    assert answer["run"] == digits_run and answer["seeds"] == [0, 1]
    assert list(answer["schemes"]) == ["mtl", "specialists", "plain", "random"]
    assert answer["measure"] == "auroc" and set(answer["means"]) == set(MEASURES)
    for scores in answer["schemes"].values():
        assert {"mean", "ci", "per_task", "best_epoch", "trainings", "seconds"} <= set(scores)
        assert scores["ci"][0] <= scores["mean"] <= scores["ci"][1]
        assert scores["seconds"] > 0
    costs = [scores["costs"]["training"] for scores in answer["schemes"].values()]
    assert costs == [1, 3, 2, 2], "the grouping included"
    assert [s["trainings"] for s in answer["schemes"].values()] == [2, 4, 4, 4]
    assert "plain ensemble" in answer["verdict"]
    assert "specialists, cluster 2, seed 1" in captured.err
    assert specialists_command(digits_run, *words, "--average", "probabilities") == 0
    again = capsys.readouterr()
    assert "Training" not in again.err
    assert json.loads(again.out)["average"] == "probabilities"
    assert specialists_command(digits_run, *words[:-1]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == answer["headline"], "the verdict begins with one line"
    assert "best epoch" in lines[2] and " ".join((lines[0], lines[-1])) == answer["verdict"]
    assert specialists_command(digits_run, *words, "--measure", "f1") == 0
    by_f1 = json.loads(capsys.readouterr().out)
    assert by_f1["measure"] == "f1" and "mean F1" in by_f1["headline"]
    assert by_f1["schemes"]["mtl"]["mean"] == answer["means"]["f1"]["mtl"]
    assert specialists_command(digits_run, *words, "--measure", "r2") == 2
    assert "choose from auroc, average_precision" in capsys.readouterr().err


def test_the_plan_is_told_without_training(
    digits_run: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--schemes", "mtl,stl,specialists,plain", "--dry-run")
    assert specialists_command(digits_run, *words, "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["trainings"], answer["distinct"], answer["cached"]) == (20, 19, 1)
    assert answer["seconds"] > 0
    assert [row["key"] for row in answer["plan"] if row["cached"]] == [digits_run] * 2
    assert specialists_command(digits_run, *words) == 0
    assert "20 trainings, 19 of them distinct, 1 trained before" in capsys.readouterr().out
    assert len(Store().runs()) == 1 + len([run for run in Store().runs() if run.bundled])


def test_a_cancelled_plan_goes_on_where_it_was(
    digits_run: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    began: list[str] = []
    stop_at: list[int] = [3]

    def watched(store: Store, spec: TrainingSpec, callbacks: Any) -> Any:
        began.append(spec.key)

        class Stop(Callback):
            def cancelled(self) -> bool:
                return len(began) in stop_at

        return run_spec(store, spec, [Stop()])

    monkeypatch.setattr("stg_core.engine.foreground.run_spec", watched)
    assert specialists_command(digits_run) == 130
    assert "goes on after the last whole epoch" in capsys.readouterr().err
    assert len(began) == 3
    first = began[:2]
    stop_at.clear()
    began.clear()
    assert specialists_command(digits_run, "--json") == 0
    assert not set(began) & set(first) and len(began) == len(set(began)) == 3
    resumed = json.loads(capsys.readouterr().out)["schemes"]
    assert resumed["specialists"]["trainings"] == 2


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("speed", [1800.5, None])
def test_a_plan_of_hours_or_of_unknown_length_asks_on_a_terminal(
    speed: float | None,
    digits_run: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("stg_core.judging.plan.recorded_speed", lambda _: lambda spec: speed)
    plan = ("--schemes", "plain")  # one of its two models is trained; the other has two epochs
    monkeypatch.setattr("sys.stdin", Terminal("n\n"))
    assert specialists_command(digits_run, *plan) == 0
    captured = capsys.readouterr()
    assert ("1.0 h" if speed else "nobody knows yet how long") in captured.err
    assert captured.out == "Nothing was started.\n"
    assert specialists_command(digits_run, *plan, "--dry-run") == 0, "which asks nothing"
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    assert specialists_command(digits_run, *plan) == 0
    assert "start?" not in capsys.readouterr().err, "a script is not asked"
    monkeypatch.setattr("sys.stdin", Terminal("n\n"))
    assert specialists_command(digits_run, *plan) == 0
    assert "start?" not in capsys.readouterr().err, "nothing is left to train"


@pytest.mark.parametrize(
    ("words", "answer", "asks"), [((), "y", True), (("--yes",), "n", False), ((), "n", False)]
)
def test_yes_starts_a_long_plan_and_a_short_one_is_not_asked_for(
    words: tuple[str, ...],
    answer: str,
    asks: bool,
    digits_run: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    long = asks or bool(words)
    speed = 1801.0 if long else 1799.0
    monkeypatch.setattr("stg_core.judging.plan.recorded_speed", lambda _: lambda spec: speed)
    monkeypatch.setattr("sys.stdin", Terminal(f"{answer}\n"))
    assert specialists_command(digits_run, "--schemes", "plain", "--json", *words) == 0
    captured = capsys.readouterr()
    assert ("start?" in captured.err) == asks
    assert json.loads(captured.out)["schemes"]["plain"]["trainings"] == 2


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("--schemes mtl,best", "no scheme 'best'"),
        ("--schemes superclass", "classes of CIFAR-100"),
        ("--seeds 0,1000", "would share models"),
        ("--method magic", "no method 'magic'"),
    ],
)
def test_what_the_user_can_mend_ends_with_exit_code_2(
    words: str, sentence: str, digits_run: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert specialists_command(digits_run, *words.split()) == 2
    captured = capsys.readouterr()
    assert sentence in captured.err and not captured.out


# ------------------------------------------------------------------------------------ bundled


def test_a_finished_plan_is_bundled_and_read_back(
    report: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stg_core.results.store.BUNDLES", tmp_path / "bundles")
    assert bundled_reports() == {}
    path = bundle_report(report, "digits-k2")
    assert path == tmp_path / "bundles" / "specialists" / "digits-k2.json"
    assert bundled_reports() == {"digits-k2": report}
    assert {"device", "versions", "images"} <= set(report["provenance"])
    assert all(len(t["keys"]) == t["trainings"] for t in report["trainings"].values())
    store = Store(tmp_path / "home")
    assert store.runs() == [] and store.damaged == []


def test_bundles_that_are_too_large_misnamed_or_damaged_are_refused(
    report: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stg_core.results.store.BUNDLES", tmp_path)
    with pytest.raises(UserError, match="letters, digits and hyphens"):
        bundle_report(report, "../g1")
    with pytest.raises(UserError, match="at most"):
        bundle_report({**report, "padding": "x" * 10_000_001}, "g1")
    bundle_report(report, "g1").write_text("{")
    with pytest.raises(UserError, match=r"g1\.json is damaged"):
        bundled_reports()


def test_cost_is_counted_and_does_not_follow_the_seconds(
    report: dict[str, Any], space: TaskSpace
) -> None:
    cost = {scheme: costs["training"] for scheme, costs in report["costs"].items()}
    assert cost.pop("stl") == pytest.approx(len(TASKS), rel=0.1), "each has one output"
    assert cost == {"mtl": 1, "specialists": 3, "plain": 2, "random": 2}
    of_single = make_plan(SPEC, SOFT, space, ("specialists",), grouping_trainings=len(TASKS))
    assert of_single.ensembles[0].training_cost == 2 + len(TASKS)


def test_accuracy_has_its_baseline_beside_it(
    report: dict[str, Any], plan: Plan, trained: Store
) -> None:
    labels = np.array(trained.run(plan.spec.key).labels("test")).astype(float)
    labels[labels < 0] = np.nan
    yes = np.nanmean(labels, axis=0)
    expected = np.maximum(yes, 1 - yes).mean()
    assert report["accuracy_baseline"] == pytest.approx(expected, abs=1e-5)


def test_baselines_of_bundled_reports_are_those_of_their_labels() -> None:
    for name, bundled in bundled_reports().items():
        if bundled["group"] not in GROUPS:
            continue  # whose labels are not here
        group = GROUPS[bundled["group"]]
        n_classes = len(CLASS_NAMES[group.dataset])
        classes = np.repeat(np.arange(n_classes), 10_000 // n_classes).astype(np.uint8)
        if group.dataset == "digits":
            classes = load_images("digits").split("test")[1]
        yes = label_matrix(group, classes, "test").mean(axis=0, dtype=np.float64)
        expected = np.maximum(yes, 1 - yes).mean()
        assert bundled["accuracy_baseline"] == pytest.approx(expected, abs=1e-5), name


def test_bundled_reports_stay_small() -> None:
    for path in (BUNDLES / "specialists").glob("*.json"):
        assert path.stat().st_size <= 10_000_000
