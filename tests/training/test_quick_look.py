"""A quick look: which groups have one, what it trains, and how it is known later."""

from __future__ import annotations

import dataclasses

import pytest

from stg_core.tasks.groups import GROUPS
from stg_core.training.quick_look import MEASURED, is_quick_look, nearness, quick_look, whole
from stg_core.training.spec import TrainingSpec


@pytest.mark.parametrize("name", ["g1", "g2", "g3"])
def test_a_quick_look_trains_a_small_model_on_some_images(name: str) -> None:
    spec = quick_look(GROUPS[name], seed=3)
    assert spec is not None and is_quick_look(spec)
    assert (spec.model, spec.epochs, spec.training_images) == ("small_cnn", 6, 10_000)
    assert whole(spec) == TrainingSpec(GROUPS[name], seed=3) and not is_quick_look(whole(spec))


def test_a_group_of_few_points_has_none() -> None:
    assert quick_look(GROUPS["digits"]) is None


def test_a_training_with_other_settings_is_no_quick_look() -> None:
    spec = quick_look(GROUPS["g1"])
    assert spec is not None
    some = dataclasses.replace(spec, tasks=("cat", "dog"), task_weights=())
    for other in (dataclasses.replace(spec, batch_size=64), dataclasses.replace(spec, width=2)):
        assert not is_quick_look(other)
    assert not is_quick_look(some)


def test_how_near_it_comes_is_said_and_where_it_does_not_too() -> None:
    assert set(MEASURED) == {"g1", "g2", "g3"}
    assert "1.00 between its 2 clusters" in nearness(GROUPS["g1"])
    assert "0.42" in nearness(GROUPS["g3"]) and "Do not take" in nearness(GROUPS["g3"])
    assert "not measured" in nearness(GROUPS["digits"])
