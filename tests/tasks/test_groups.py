"""The task groups: which tasks there are, and what is positive in each."""

from __future__ import annotations

import numpy as np
import pytest

from stg_core.system.errors import UserError
from stg_core.tasks.data import TaskData, load_task_data, pos_weight, sampled_points
from stg_core.tasks.groups import (
    CIFAR100_SUPERCLASSES,
    GROUPS,
    SPLITS,
    TaskGroup,
    custom_group,
    label_matrix,
    named_group,
    superclass_of_tasks,
    upside_down,
)
from stg_core.tasks.images import CLASS_NAMES

CIFAR_TRAIN = np.repeat(np.arange(10, dtype=np.uint8), 500)


def labels_of(name: str, classes: np.ndarray = CIFAR_TRAIN) -> dict[str, np.ndarray]:
    group = GROUPS[name]
    return dict(zip(group.task_names, label_matrix(group, classes, "train").T, strict=True))


@pytest.mark.parametrize(
    ("name", "dataset", "count"),
    [
        ("g1", "cifar10", 10),
        ("g2", "cifar10", 15),
        ("g3", "cifar100", 100),
        ("digits", "digits", 15),
    ],
)
def test_each_built_in_group_has_its_tasks(name: str, dataset: str, count: int) -> None:
    group = named_group(name.upper())
    assert (group.dataset, len(group.tasks)) == (dataset, count)
    assert group.task_names[: len(CLASS_NAMES[dataset])] == CLASS_NAMES[dataset]


def test_an_unknown_group_is_answered_with_the_known_ones() -> None:
    with pytest.raises(UserError, match=r"'g9'.*digits, g1, g2, g3"):
        named_group("g9")


def test_a_class_task_is_positive_for_exactly_its_class() -> None:
    labels = labels_of("g1")
    for index, name in enumerate(CLASS_NAMES["cifar10"]):
        assert np.array_equal(labels[name] == 1, index == CIFAR_TRAIN)
        assert set(np.unique(labels[name])) == {0, 1}


def test_g2_adds_five_tasks_that_overlap_or_mean_nothing() -> None:
    labels = labels_of("g2")
    assert list(labels)[10:] == [
        "Living being",
        "Odd-numbered",
        "Downside",
        "Not living being",
        "Random",
    ]
    living = sum(labels[c] for c in ("bird", "cat", "deer", "dog", "frog", "horse"))
    assert np.array_equal(labels["Living being"], living)
    assert np.array_equal(labels["Not living being"], 1 - labels["Living being"])
    assert np.array_equal(labels["Odd-numbered"], CIFAR_TRAIN % 2)


def test_digits_add_the_same_idea() -> None:
    digits = np.repeat(np.arange(10, dtype=np.uint8), 100)
    labels = labels_of("digits", digits)
    assert list(labels)[10:] == ["Odd", "Small", "Not small", "Downside", "Random"]
    assert np.array_equal(labels["Odd"], digits % 2)
    assert np.array_equal(labels["Small"], digits < 5)
    assert np.array_equal(labels["Not small"], digits >= 5)


def test_downside_and_random_are_drawn_once_and_for_all() -> None:
    first, again = labels_of("g2"), labels_of("g2")
    for name in ("Downside", "Random"):
        assert np.array_equal(first[name], again[name])
    assert first["Downside"].sum() == len(CIFAR_TRAIN) // 2
    assert abs(first["Random"].mean() - 0.5) < 0.03
    # A model that learnt one of the two must know nothing of the other, nor of the classes.
    for other in ("Downside", "Living being", "airplane"):
        assert abs(np.corrcoef(first["Random"], first[other])[0, 1]) < 0.05


def test_training_and_test_images_are_turned_by_separate_draws() -> None:
    assert not np.array_equal(upside_down(1000, "train"), upside_down(1000, "test"))
    assert [upside_down(1001, split).sum() for split in SPLITS] == [500, 500]


def test_the_images_labelled_downside_are_those_turned_upside_down(digits_data: TaskData) -> None:
    plain = load_task_data(custom_group("digits", ["0"]))
    column = digits_data.tasks.index("Downside")
    for turned, upright, labels in (
        (digits_data.train_points, plain.train_points, digits_data.train_labels),
        (digits_data.test_points, plain.test_points, digits_data.test_labels),
    ):
        down = labels[:, column] == 1
        assert down.sum() == len(down) // 2
        assert np.array_equal(turned[down], upright[down, ::-1])
        assert np.array_equal(turned[~down], upright[~down])


def test_groups_without_downside_leave_the_images_on_disk() -> None:
    data = load_task_data(custom_group("digits", ["0"]))
    assert isinstance(data.train_points, np.memmap)


def test_twenty_superclasses_of_five_cover_the_hundred_classes() -> None:
    assert len(CIFAR100_SUPERCLASSES) == 20
    assert {len(members) for members in CIFAR100_SUPERCLASSES.values()} == {5}
    members = [c for group in CIFAR100_SUPERCLASSES.values() for c in group]
    assert sorted(members) == sorted(CLASS_NAMES["cifar100"])


def test_g3_keeps_the_superclass_of_every_task() -> None:
    superclasses = superclass_of_tasks(GROUPS["g3"])
    assert superclasses is not None
    of = dict(zip(GROUPS["g3"].task_names, superclasses, strict=True))
    assert {t for t, s in of.items() if s == "people"} == {"baby", "boy", "girl", "man", "woman"}
    assert superclass_of_tasks(GROUPS["g2"]) is None
    assert superclass_of_tasks(custom_group("cifar100", [], {"both": ["boy", "girl"]})) is None


def test_a_custom_group_takes_classes_and_unions_of_classes() -> None:
    group = custom_group("cifar10", ["cat", "truck"], {"Pets": ["cat", "dog"]})
    assert group.task_names == ("cat", "truck", "Pets")
    labels = label_matrix(group, np.array([3, 5, 9, 0], dtype=np.uint8), "train")
    assert labels.tolist() == [[1, 0, 1], [0, 0, 1], [0, 1, 0], [0, 0, 0]]


@pytest.mark.parametrize(
    ("dataset", "classes", "unions", "message"),
    [
        ("mnist", ["1"], {}, "no image data set 'mnist'"),
        ("cifar10", [], {}, "at least one task"),
        ("cifar10", ["cat", "unicorn"], {}, "no class unicorn"),
        ("cifar10", ["cat", "cat"], {}, "cat stands there twice"),
        ("cifar10", ["cat"], {"cat": ["dog"]}, "cat stands there twice"),
        ("cifar10", [], {"Nothing": []}, "'Nothing' needs at least one class"),
        ("cifar10", [], {"All": CLASS_NAMES["cifar10"]}, "not all of them"),
    ],
)
def test_a_custom_group_that_cannot_be_trained_is_refused(
    dataset: str, classes: list[str], unions: dict[str, list[str]], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        custom_group(dataset, classes, unions)


def test_pos_weight_is_negatives_over_positives_of_the_known_labels() -> None:
    labels = np.array(
        [[1, 0, 1, np.nan], [0, 0, 1, 1], [0, 0, 1, 0], [0, 0, 1, 0]], dtype=np.float32
    )
    assert pos_weight(labels).tolist() == [3, 1, 1, 2]


def test_a_rare_class_weighs_as_much_as_all_others_together() -> None:
    weights = pos_weight(label_matrix(GROUPS["g1"], CIFAR_TRAIN, "train"))
    assert np.allclose(weights, 9)


def test_selecting_tasks_keeps_their_labels_and_all_images(digits_data: TaskData) -> None:
    two = digits_data.select(["Odd", "3"])
    assert two.tasks == ("Odd", "3")
    assert np.array_equal(two.train_labels, digits_data.train_labels[:, [10, 3]])
    assert two.train_points is digits_data.train_points


def test_a_sample_of_the_training_images_is_always_the_same(digits_data: TaskData) -> None:
    sample = digits_data.sample(100)
    assert len(sample.train_points) == len(sample.train_labels) == 100
    assert np.array_equal(sample.train_points, digits_data.sample(100).train_points)
    points = sampled_points(len(digits_data.train_points), 100)
    assert np.array_equal(sample.train_points, digits_data.train_points[points])
    assert np.array_equal(sample.train_labels, digits_data.train_labels[points])
    assert sample.test_points is digits_data.test_points
    assert digits_data.sample(0) is digits_data


def test_more_training_images_than_there_are_cannot_be_had(digits_data: TaskData) -> None:
    with pytest.raises(UserError, match="ask for fewer"):
        digits_data.sample(5_000)


@pytest.mark.parametrize(
    ("group", "title"),
    [
        (GROUPS["digits"], "15 questions about handwritten digits"),
        (GROUPS["g3"], "100 questions about CIFAR-100 (G3)"),
        (custom_group("cifar10", ["cat"]), "1 question about CIFAR-10 (custom)"),
        (
            custom_group("digits", ["1", "7"], name="mine"),
            "2 questions about handwritten digits (mine)",
        ),
    ],
)
def test_a_group_says_what_it_is(group: TaskGroup, title: str) -> None:
    assert group.title == title
