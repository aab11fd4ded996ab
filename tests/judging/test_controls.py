"""Controls of equal cost: longer, wider and warm models, and what every scheme costs."""

from __future__ import annotations

import dataclasses
import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from stg_core.engine.derived import report_question
from stg_core.engine.worker import run_spec
from stg_core.grouping.memberships import Grouping, TaskSpace
from stg_core.judging import plan as specialists
from stg_core.judging.plan import Plan, make_plan, recorded_speed
from stg_core.judging.report import make_report
from stg_core.results.archive import export_run, import_run
from stg_core.results.run import Run
from stg_core.results.store import Store, write_spec
from stg_core.system.errors import UserError
from stg_core.training.models import build
from stg_core.training.spec import TrainingSpec
from tests.judging.test_judgement import (
    HARD,
    SCHEMES,
    SOFT,
    SPEC,
    TASKS,
    data,
    finished,
    grouping_of,
    space,
    trained,
)

__all__ = ["data", "space", "trained"]  # fixtures

CONTROLS = ("longer", "wider", "warm", "plain_warm", "random_warm")


def outputs(spec: TrainingSpec, store: Store) -> np.ndarray:
    """Its test outputs after the last epoch."""
    return run_spec(store, spec).logits("test")[-1]


def one(plan: Plan, scheme: str) -> specialists.Ensemble:
    return next(ensemble for ensemble in plan.ensembles if ensemble.scheme == scheme)


def test_a_longer_model_is_trained_as_long_as_the_specialists_and_their_grouping(
    space: TaskSpace,
) -> None:
    longer = one(make_plan(SPEC, SOFT, space, ("longer",)), "longer")
    assert [spec.epochs for spec in longer.specs] == [3 * SPEC.epochs]
    assert (longer.training_cost, longer.serving_cost) == (3, 1)
    of_single = make_plan(SPEC, SOFT, space, ("longer",), grouping_trainings=6)
    assert one(of_single, "longer").training_cost == 8


def test_as_long_as_once_is_mtl_itself(trained: Store, space: TaskSpace) -> None:
    everyone = grouping_of(np.ones((6, 1)))
    longer = one(make_plan(SPEC, everyone, space, ("longer",), grouping_trainings=0), "longer")
    assert np.array_equal(outputs(longer.specs[0], trained), outputs(SPEC, trained))
    assert longer.training_cost == 1


def test_a_wider_model_costs_as_much_to_serve_as_all_specialists(space: TaskSpace) -> None:
    plan = make_plan(SPEC, SOFT, space, ("specialists", "wider"))
    several, wider = one(plan, "specialists"), one(plan, "wider")
    assert len(wider.specs) == 1 and wider.specs[0].width > 1
    assert several.serving_cost == 2
    assert wider.serving_cost == pytest.approx(2, rel=0.02)
    alone = make_plan(SPEC, grouping_of(np.ones((6, 1))), space, ("wider",))
    assert one(alone, "wider").specs == (SPEC,)


def test_a_wider_model_is_expected_to_take_as_long_as_it_computes(
    trained: Store, space: TaskSpace
) -> None:
    wider = one(make_plan(SPEC, SOFT, space, ("wider",)), "wider")
    speed = recorded_speed(Store(trained.folder))
    usual, wide = speed(SPEC), speed(wider.specs[0])
    assert usual and wide == pytest.approx(wider.serving_cost * usual)


def test_a_model_whose_cost_is_not_known_has_no_wider_one(space: TaskSpace) -> None:
    own = dataclasses.replace(SPEC, model="my_models:net")
    with pytest.raises(UserError, match=r"wider counts multiply-adds.*my_models:net"):
        make_plan(own, SOFT, space, ("wider",))
    plan = make_plan(own, SOFT, space, ("mtl", "specialists", "longer", "warm"))
    assert [ensemble.training_cost for ensemble in plan.ensembles] == [1, 3, 3, 2]


def test_warm_models_go_on_from_the_joint_model(space: TaskSpace) -> None:
    plan = make_plan(SPEC, SOFT, space, CONTROLS[2:])
    warm, plain, random = plan.ensembles
    for ensemble in plan.ensembles:
        assert {spec.starts_from for spec in ensemble.specs} == {SPEC}
        assert {(spec.epochs, spec.recorded) for spec in ensemble.specs} == {(1, ())}
        assert len({spec.seed for spec in ensemble.specs} | {SPEC.seed}) == 3
        assert (ensemble.training_cost, ensemble.serving_cost) == (2, 2)
    assert [spec.task_weights for spec in warm.specs] == [(*c,) for c in SOFT.memberships.T]
    assert {spec.task_weights for spec in plain.specs} == {(1.0,) * 6}
    assert np.array_equal(np.sort(random.weights, axis=0), np.sort(warm.weights, axis=0))
    assert not np.array_equal(random.weights, warm.weights)
    assert {"warm", "random_warm"} <= {*specialists.ROUTED}
    assert "plain_warm" not in specialists.ROUTED


def test_hard_warm_models_keep_all_heads(space: TaskSpace) -> None:
    warm = one(make_plan(SPEC, HARD, space, ("warm",)), "warm")
    assert {spec.tasks for spec in warm.specs} == {TASKS}
    assert warm.specs[0].task_weights == (1, 1, 0, 0, 1, 0)


def test_what_others_start_from_is_trained_before_them(space: TaskSpace) -> None:
    plan = make_plan(SPEC, SOFT, space, ("warm", "mtl"), (0, 1))
    assert len(plan.trainings) == 2 + 2 * 2
    for i, spec in enumerate(plan.trainings):
        assert spec.starts_from is None or spec.starts_from in plan.trainings[:i]
    assert plan.name_of(SPEC) == "warm, joint model, seed 0"


def test_warm_models_of_no_epochs_are_mtl_itself(trained: Store, space: TaskSpace) -> None:
    plan = finished(make_plan(SPEC, SOFT, space, ("mtl", *CONTROLS[2:]), warm_share=0), trained)
    found = make_report(plan, trained, resamples=50)["variants"]["logits-soft"]
    for scores in (found["schemes"], *(each["schemes"] for each in found["measures"].values())):
        assert scores["warm"] == scores["plain_warm"] == scores["random_warm"] == scores["mtl"]
    assert {ensemble.training_cost for ensemble in plan.ensembles} == {1}


def test_the_app_asks_for_the_judgement_of_the_same_share(space: TaskSpace, trained: Store) -> None:
    run = trained.run(SPEC.key)
    for share, words in ((0.0, ("--warm-share", "0.0")), (0.5, ("--warm-share", "0.5"))):
        plan = make_plan(SPEC, SOFT, space, ("mtl", "warm"), warm_share=share)
        assert report_question(trained, run, space, plan).words[-2:] == words
    usual = report_question(trained, run, space, make_plan(SPEC, SOFT, space))
    assert "--warm-share" not in usual.words


def test_a_run_that_started_from_another_travels_with_what_that_was(
    trained: Store, space: TaskSpace, tmp_path: Path
) -> None:
    run = run_spec(trained, one(make_plan(SPEC, SOFT, space, ("warm",)), "warm").specs[0])
    file = io.BytesIO()
    export_run(run, file, with_arrays=True)
    arrived = import_run(Store(tmp_path / "elsewhere"), file)
    assert arrived.spec == run.spec and arrived.spec.starts_from == SPEC


@pytest.mark.parametrize("share", [-0.5, float("nan"), float("inf")])
def test_a_share_of_epochs_that_cannot_be_is_refused(share: float, space: TaskSpace) -> None:
    with pytest.raises(UserError, match="share of the epochs of 0 or more"):
        make_plan(SPEC, SOFT, space, ("warm",), warm_share=share)


def test_the_grouping_counts_where_the_data_maps_are_needed(space: TaskSpace) -> None:
    """The joint model of warm ones is their extraction, but not of data maps of single models."""

    def costs(groupings: int) -> list[float]:
        plan = make_plan(SPEC, SOFT, space, ALL, grouping_trainings=groupings)
        return [ensemble.training_cost for ensemble in plan.ensembles]

    ALL = ("mtl", "specialists", "plain", "random", "warm", "plain_warm", "random_warm")
    assert costs(1) == [1, 3, 2, 2, 2, 2, 2]
    assert costs(6) == [1, 8, 2, 2, 8, 2, 2]


def test_a_run_that_kept_no_weights_is_trained_anew_for_what_starts_from_it(
    trained: Store, space: TaskSpace, tmp_path: Path
) -> None:
    store = Store(tmp_path / "old")
    run = forget_weights(store, run_spec(store, SPEC))
    plan = make_plan(SPEC, SOFT, space, ("mtl", "warm"))
    cost = plan.cost(store, lambda _: 10.0)
    assert (cost.cached, cost.anew, cost.seconds) == (1, 1, 10.0 * (2 + 1 + 1))
    finished(plan, store)
    again = store.run(run.id)
    assert again.has_weights and again.provenance == run.provenance
    assert not store.work_folder(run.id).exists()
    assert plan.cost(store, lambda _: 10.0).anew == 0
    for spec in plan.trainings:
        assert np.array_equal(outputs(spec, store), outputs(spec, trained))


def test_a_run_of_elsewhere_that_is_not_the_same_anew_is_said_to_be(
    trained: Store, space: TaskSpace, tmp_path: Path
) -> None:
    store = Store(tmp_path / "elsewhere")
    run = forget_weights(store, run_spec(store, SPEC))
    metrics = json.loads((run.folder / "metrics.json").read_text())
    metrics["test"]["loss"][-1][0] += 1e-6
    (run.folder / "metrics.json").write_text(json.dumps(metrics))
    write_spec(run.folder, run.spec, run.provenance)
    with pytest.raises(UserError, match=r"gave other results.*STG_THREADS.*or delete it"):
        finished(make_plan(SPEC, SOFT, space, ("warm",)), store)
    assert not store.run(run.id).has_weights


def forget_weights(store: Store, run: Run) -> Run:
    """As runs were before weights were kept."""
    assert run.has_weights
    run.weights_file.unlink()
    write_spec(run.folder, run.spec, run.provenance)
    return store.run(run.id)


@pytest.mark.parametrize("grouping", [SOFT, HARD])
def test_counted_costs_are_measured_costs(grouping: Grouping, space: TaskSpace) -> None:
    """Multiply-adds of all training steps, backward passes too, as torch counts them."""
    plan = make_plan(SPEC, grouping, space, (*SCHEMES, *CONTROLS))
    mtl = flops_of_a_step(SPEC) * SPEC.epochs
    for ensemble in plan.ensembles:
        own = sum(flops_of_a_step(spec) * spec.epochs for spec in ensemble.trainings)
        groupings = mtl * (ensemble.scheme == "specialists")
        assert ensemble.training_cost == pytest.approx((own + groupings) / mtl, rel=0.1)
        served = sum(flops_of_an_answer(spec) for spec in ensemble.specs)
        assert ensemble.serving_cost == pytest.approx(served / flops_of_an_answer(SPEC), rel=0.001)


def network_of(spec: TrainingSpec) -> nn.Module:
    return build(spec.model, (1, 8, 8), len(spec.tasks), width=spec.width)


def flops_of_a_step(spec: TrainingSpec) -> int:
    network, points = network_of(spec), torch.zeros(spec.batch_size, 1, 8, 8)
    with FlopCounterMode(display=False) as counter:
        network(points).sum().backward()
    return counter.get_total_flops()


def flops_of_an_answer(spec: TrainingSpec) -> int:
    network = network_of(spec).eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.zeros(1, 1, 8, 8))
    return counter.get_total_flops()
