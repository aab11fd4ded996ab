"""The spec of a training, and the key that names its result."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stg_core.maps.recorder import default_recorded_epochs
from stg_core.system.errors import UserError
from stg_core.tasks.groups import GROUPS, custom_group
from stg_core.training.spec import TrainingSpec

DIGITS = GROUPS["digits"]


def test_the_key_of_a_spec_never_changes() -> None:
    """Otherwise every result that users have on disk would be trained again."""
    assert TrainingSpec(DIGITS).key == "cf628c397f13456b"
    assert TrainingSpec(GROUPS["g2"], seed=3, epochs=5).key == "b6255d2d99827158"


def test_a_title_says_what_is_trained() -> None:
    usual, task = TrainingSpec(GROUPS["g2"]), TrainingSpec(DIGITS, tasks=("Odd",), seed=3)
    assert usual.title == "15 questions about CIFAR-10 (G2), resnet18, 10 epochs, seed 0"
    assert task.title == (
        "15 questions about handwritten digits, tiny_cnn, 10 epochs, seed 3, task Odd alone"
    )
    assert "title" not in usual.to_json()["group"]
    wide = TrainingSpec(DIGITS, width=1.5)
    assert "tiny_cnn 1.5 times as wide" in wide.title
    assert wide.command().endswith(" --width 1.5")
    assert "width" not in TrainingSpec(DIGITS, width=1).to_json()


def test_a_bare_spec_takes_the_paper_s_settings() -> None:
    spec = TrainingSpec(GROUPS["g1"])
    assert (spec.model, spec.batch_size, spec.learning_rate) == ("resnet18", 256, 1e-3)
    assert (spec.tasks, spec.task_weights) == (GROUPS["g1"].task_names, (1.0,) * 10)
    assert (spec.epochs, spec.recorded, spec.augmentation) == (10, (2, 4, 6, 8, 10), "none")
    assert TrainingSpec(DIGITS).model == "tiny_cnn"


def test_what_is_said_or_left_to_the_default_is_the_same_training() -> None:
    said = TrainingSpec(
        DIGITS,
        tasks=DIGITS.task_names,
        task_weights=(1,) * 15,
        model="tiny_cnn",
        recorded_epochs=(10, 8, 6, 4, 2, 2),
    )
    assert said == TrainingSpec(DIGITS)
    assert said.key == TrainingSpec(DIGITS).key


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"epochs": 11},
        {"model": "small_cnn"},
        {"recorded_epochs": ()},
        {"batch_size": 128},
        {"learning_rate": 1e-2},
        {"augmentation": "shift"},
        {"single_task_models": True},
        {"tasks": ("0", "1")},
        {"task_weights": (0.5,) * 15},
        {"group": GROUPS["g1"]},
        {"width": 1.5},
        {"branches": 2},
        {"starts_from": TrainingSpec(DIGITS, seed=1)},
    ],
)
def test_another_training_has_another_key(change: dict[str, Any]) -> None:
    assert TrainingSpec(**{"group": DIGITS, **change}).key != TrainingSpec(DIGITS).key


@pytest.mark.parametrize(
    ("epochs", "recorded"),
    [
        (1, ()),
        (2, (2,)),
        (3, (2, 3)),
        (4, (2, 3, 4)),
        (5, (2, 3, 4, 5)),
        (10, (2, 4, 6, 8, 10)),
        (50, (10, 20, 30, 40, 50)),
    ],
)
def test_five_recorded_epochs_are_spread_evenly_to_the_last(
    epochs: int, recorded: tuple[int, ...]
) -> None:
    assert default_recorded_epochs(epochs) == recorded


@given(st.integers(1, 500))
def test_recorded_epochs_are_never_before_the_second_nor_after_the_last(epochs: int) -> None:
    recorded = default_recorded_epochs(epochs)
    assert len(recorded) == min(5, epochs) - (epochs <= 5)
    assert all(2 <= e <= epochs for e in recorded)
    assert epochs == 1 or recorded[-1] == epochs


specs = st.builds(
    TrainingSpec,
    group=st.sampled_from(
        [DIGITS, GROUPS["g2"], custom_group("cifar10", ["cat"], {"Pets": ["cat", "dog"]})]
    ),
    model=st.sampled_from(["", "small_cnn", "my_models:wide"]),
    epochs=st.integers(1, 30),
    recorded_epochs=st.sampled_from([None, ()]),
    seed=st.integers(0, 2**31 - 1),
    batch_size=st.integers(2, 1024),
    learning_rate=st.floats(1e-6, 1),
    augmentation=st.sampled_from(["none", "shift", "shift+flip"]),
    single_task_models=st.booleans(),
    width=st.sampled_from([1, 0.5, 1.736]),
)


@given(specs, st.data())
def test_a_spec_survives_being_written_as_json(spec: TrainingSpec, data: st.DataObject) -> None:
    chosen = data.draw(st.lists(st.sampled_from(spec.group.task_names), unique=True))
    weights = [data.draw(st.floats(0, 1)) for _ in chosen]
    spec = dataclasses.replace(
        spec,
        tasks=tuple(chosen),
        task_weights=tuple(weights),
    )
    again = TrainingSpec.from_json(json.loads(json.dumps(spec.to_json())))
    assert again == spec
    assert again.key == spec.key


def test_a_spec_holds_what_it_starts_from_as_a_spec() -> None:
    joint = TrainingSpec(DIGITS, epochs=10)
    warm = TrainingSpec(DIGITS, epochs=5, seed=3, recorded_epochs=(), starts_from=joint)
    assert TrainingSpec.from_json(json.loads(json.dumps(warm.to_json()))) == warm
    assert warm.title.endswith("seed 3, goes on from 10 epochs of seed 0")
    assert warm.command() == "", "no command trains it"
    assert warm.key != dataclasses.replace(warm, starts_from=dataclasses.replace(joint, seed=1)).key
    assert warm.for_task("0").starts_from is None


@pytest.mark.parametrize("plain", [{}, {"group": 3}, {"group": {"name": "x"}}, {"epochs": 3}])
def test_json_that_is_not_a_spec_is_refused(plain: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="not a training spec"):
        TrainingSpec.from_json(plain)


def test_json_with_an_unknown_setting_is_refused() -> None:
    with pytest.raises(UserError, match="not a training spec"):
        TrainingSpec.from_json({**TrainingSpec(DIGITS).to_json(), "epoch": 3})


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"tasks": ("0", "zero")}, "no task zero"),
        ({"tasks": ("0", "0")}, "once only"),
        ({"task_weights": (1.0, 2.0)}, "15 tasks need 15 task weights, and 2"),
        ({"task_weights": (-1.0,) * 15}, "0 or more"),
        ({"task_weights": (float("nan"),) * 15}, "finite"),
        ({"epochs": 0}, "at least 1 epoch"),
        ({"recorded_epochs": (1, 2)}, r"between 2 and the last .*1 cannot"),
        ({"recorded_epochs": (11,)}, "11 cannot be recorded"),
        ({"batch_size": 1}, "at least 2"),
        ({"learning_rate": 0.0}, "positive"),
        ({"learning_rate": float("inf")}, "positive"),
        ({"seed": -1}, "seed"),
        ({"seed": 2**31}, "seed"),
        ({"augmentation": "mixup"}, "none, shift"),
        ({"width": 0.0}, "positive factor"),
        ({"width": float("inf")}, "positive factor"),
        ({"starts_from": TrainingSpec(DIGITS, width=2)}, "same model of the same tasks"),
        ({"starts_from": TrainingSpec(DIGITS, tasks=("0",))}, "same model of the same tasks"),
        ({"starts_from": TrainingSpec(DIGITS, single_task_models=True)}, "One model per task"),
    ],
)
def test_settings_that_cannot_be_trained_are_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        TrainingSpec(DIGITS, **wrong)


def test_a_spec_tells_the_command_that_trains_it() -> None:
    assert TrainingSpec(DIGITS, epochs=4, learning_rate=0.01).command() == (
        "python -m stg_core extract --group digits --model tiny_cnn --epochs 4 --seed 0"
        " --learning-rate 0.01"
    )
    assert TrainingSpec(custom_group("cifar10", ["cat"])).command() == ""


def test_one_task_alone_is_the_same_training_with_one_task() -> None:
    alone = TrainingSpec(DIGITS, seed=5, task_weights=(0.5,) * 15).for_task("Odd")
    assert (alone.tasks, alone.task_weights, alone.seed) == (("Odd",), (1.0,), 5)
