"""Task groups: named lists of tasks over one data set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from stg_core.system.errors import UserError
from stg_core.system.words import counted
from stg_core.tasks.images import CLASS_NAMES, DATASET_TITLES
from stg_core.tasks.names import check_names

Split = Literal["train", "test"]
Rule = Literal["classes", "downside", "random", "column"]
Kind = Literal["binary", "multiclass", "regression"]

SPLITS: tuple[Split, ...] = ("train", "test")
# Label draws belong to the task, not to a run: every run of a group sees the same labels.
DOWNSIDE_SEED, RANDOM_SEED = 67, 61

PAPERS_GROUPS = ("g1", "g2", "g3")  # which Sherif et al. 2023 write G1, G2, G3

LIVING = ("bird", "cat", "deer", "dog", "frog", "horse")

CIFAR100_SUPERCLASSES: Mapping[str, tuple[str, ...]] = {
    "aquatic mammals": ("beaver", "dolphin", "otter", "seal", "whale"),
    "fish": ("aquarium_fish", "flatfish", "ray", "shark", "trout"),
    "flowers": ("orchid", "poppy", "rose", "sunflower", "tulip"),
    "food containers": ("bottle", "bowl", "can", "cup", "plate"),
    "fruit and vegetables": ("apple", "mushroom", "orange", "pear", "sweet_pepper"),
    "household electrical devices": ("clock", "keyboard", "lamp", "telephone", "television"),
    "household furniture": ("bed", "chair", "couch", "table", "wardrobe"),
    "insects": ("bee", "beetle", "butterfly", "caterpillar", "cockroach"),
    "large carnivores": ("bear", "leopard", "lion", "tiger", "wolf"),
    "large man-made outdoor things": ("bridge", "castle", "house", "road", "skyscraper"),
    "large natural outdoor scenes": ("cloud", "forest", "mountain", "plain", "sea"),
    "large omnivores and herbivores": ("camel", "cattle", "chimpanzee", "elephant", "kangaroo"),
    "medium-sized mammals": ("fox", "porcupine", "possum", "raccoon", "skunk"),
    "non-insect invertebrates": ("crab", "lobster", "snail", "spider", "worm"),
    "people": ("baby", "boy", "girl", "man", "woman"),
    "reptiles": ("crocodile", "dinosaur", "lizard", "snake", "turtle"),
    "small mammals": ("hamster", "mouse", "rabbit", "shrew", "squirrel"),
    "trees": ("maple_tree", "oak_tree", "palm_tree", "pine_tree", "willow_tree"),
    "vehicles 1": ("bicycle", "bus", "motorcycle", "pickup_truck", "train"),
    "vehicles 2": ("lawn_mower", "rocket", "streetcar", "tank", "tractor"),
}


@dataclass(frozen=True)
class Task:
    """One question about every point.

    `rule` says where its labels come from: "classes", positive is an image of one of `classes`;
    "downside", an image that the group turned upside down; "random", a coin flip per image;
    "column", the labels of a data set of one's own. `values`: the answers of a multi-class task, in
    the order of their numbers; `family`: what people count the task to, or "".
    """

    name: str
    classes: tuple[str, ...] = ()
    rule: Rule = "classes"
    kind: Kind = "binary"
    values: tuple[str, ...] = ()
    family: str = ""

    @property
    def width(self) -> int:
        """How many outputs of a model answer it."""
        return len(self.values) if self.kind == "multiclass" else 1

    def to_json(self) -> dict[str, Any]:
        """As plain JSON; what came after the first version is left out at its default."""
        plain = asdict(self)
        for field in fields(self)[3:]:
            if plain[field.name] == field.default:
                del plain[field.name]
        return plain

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Task:
        """The inverse of `to_json`; raises KeyError, TypeError or UserError for anything else."""
        task = cls(
            plain["name"],
            tuple(plain["classes"]),
            plain.get("rule", "classes"),
            plain.get("kind", "binary"),
            tuple(plain.get("values", ())),
            plain.get("family", ""),
        )
        words = (task.name, task.rule, task.kind, task.family, *task.classes, *task.values)
        if not all(type(word) is str for word in words) or task.kind not in KINDS_OF_TASKS:
            raise TypeError("a task is described in another way")
        if task.kind == "multiclass" and len(task.values) < 2:
            raise TypeError(f"the multi-class task {task.name} has no two classes")
        return task


KINDS_OF_TASKS: Mapping[Kind, str] = {
    "binary": "yes or no",
    "multiclass": "one of several classes",
    "regression": "a number",
}


@dataclass(frozen=True)
class TaskGroup:
    """A named list of tasks over one data set. Raises UserError where it cannot be one.

    Of a data set of one's own `digest` says which data it holds, and `point_shape` is that of a
    point, (F,) of a row or (H, W, C) of an image; of the built-in image data sets both are empty.
    """

    name: str
    dataset: str
    tasks: tuple[Task, ...]
    digest: str = ""
    point_shape: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if not self.tasks:
            raise UserError("A task group needs at least one task; name some.")
        if len(set(self.task_names)) < len(self.tasks):
            twice = sorted({n for n in self.task_names if self.task_names.count(n) > 1})
            raise UserError(f"Task names must differ, and {', '.join(twice)} stands there twice.")
        if self.dataset in CLASS_NAMES:
            self._check_classes(CLASS_NAMES[self.dataset])

    def _check_classes(self, classes: Sequence[str]) -> None:
        for task in self.tasks:
            if unknown := [c for c in task.classes if c not in classes]:
                raise UserError(
                    f"{self.dataset} has no class {', '.join(unknown)} (task {task.name!r});"
                    f" its classes are {', '.join(classes)}."
                )
            if task.rule == "classes" and not 0 < len(set(task.classes)) < len(classes):
                raise UserError(
                    f"Task {task.name!r} needs at least one class, and not all of them:"
                    " otherwise every image has the same label."
                )

    @cached_property
    def task_names(self) -> tuple[str, ...]:
        return tuple(task.name for task in self.tasks)

    @property
    def title(self) -> str:
        """For people, and no part of any key: such as "15 questions about CIFAR-10 (G2)"."""
        if self.is_own:
            return f"{counted(len(self.tasks), 'task')} of {self.dataset}"
        about = DATASET_TITLES.get(self.dataset, self.dataset)
        said = f"{counted(len(self.tasks), 'question')} about {about}"
        if self.name == self.dataset:
            return said
        return f"{said} ({self.name.upper() if self.name in PAPERS_GROUPS else self.name})"

    @property
    def is_own(self) -> bool:
        """Whether it is of a data set that somebody added."""
        return bool(self.digest)

    @property
    def has_rows(self) -> bool:
        """Whether its points are rows of numbers and no images."""
        return len(self.point_shape) == 1

    @property
    def all_binary(self) -> bool:
        return all(task.kind == "binary" for task in self.tasks)

    @property
    def flips_images(self) -> bool:
        """Whether half of the images are turned upside down, as the Downside task needs."""
        return any(task.rule == "downside" for task in self.tasks)

    def task(self, name: str) -> Task:
        return self.tasks[self.task_names.index(name)]

    def to_json(self) -> dict[str, Any]:
        plain: dict[str, Any] = {
            "name": self.name,
            "dataset": self.dataset,
            "tasks": [task.to_json() for task in self.tasks],
        }
        own = {"digest": self.digest, "point_shape": list(self.point_shape)}
        return plain | (own if self.is_own else {})

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> TaskGroup:
        """The inverse of `to_json`; raises KeyError, TypeError or UserError for anything else."""
        tasks = tuple(Task.from_json(task) for task in plain["tasks"])
        shape = tuple(plain.get("point_shape", ()))
        if not all(type(n) is int and n > 0 for n in shape) or len(shape) not in (0, 1, 3):
            raise TypeError("the shape of a point is described in another way")
        return cls(plain["name"], plain["dataset"], tasks, plain.get("digest", ""), shape)


def families_of_tasks(group: TaskGroup) -> tuple[str | None, ...] | None:
    """What people count each task to, shape (T,): its family, or its CIFAR-100 superclass.

    None for a task that has no family; None altogether where no task has one.
    """
    if any(task.family for task in group.tasks):
        return tuple(task.family or None for task in group.tasks)
    return superclass_of_tasks(group)


def superclass_of_tasks(group: TaskGroup) -> tuple[str, ...] | None:
    """CIFAR-100 superclass of each task, shape (T,); None unless every task is a class of it."""
    if group.dataset != "cifar100" or any(len(task.classes) != 1 for task in group.tasks):
        return None
    superclass = {c: name for name, members in CIFAR100_SUPERCLASSES.items() for c in members}
    return tuple(superclass[task.classes[0]] for task in group.tasks)


def living_of_tasks(group: TaskGroup) -> tuple[str | None, ...] | None:
    """Whether each task is of a "living" or "not living" class of CIFAR-10, shape (T,).

    None for a task that is not a single class; None altogether for another data set.
    """
    if group.dataset != "cifar10":
        return None
    words = {c: "living" if c in LIVING else "not living" for c in CLASS_NAMES["cifar10"]}
    return tuple(words[t.classes[0]] if len(t.classes) == 1 else None for t in group.tasks)


def custom_group(
    dataset: str,
    classes: Sequence[str] = (),
    unions: Mapping[str, Sequence[str]] | None = None,
    name: str = "custom",
) -> TaskGroup:
    """One task per class, then one task per named union of classes.

    Raises UserError for what cannot be trained, or not be shown afterwards.
    """
    if dataset not in CLASS_NAMES:
        known = ", ".join(CLASS_NAMES)
        raise UserError(f"There is no image data set {dataset!r}; choose one of {known}.")
    single = [Task(c, (c,)) for c in classes]
    united = [Task(title, tuple(members)) for title, members in (unions or {}).items()]
    check_names((name, *(unions or {})))
    return TaskGroup(name, dataset, (*single, *united))


def _built_in_groups() -> dict[str, TaskGroup]:
    digits, cifar10, cifar100 = (CLASS_NAMES[d] for d in ("digits", "cifar10", "cifar100"))
    downside, random = Task("Downside", rule="downside"), Task("Random", rule="random")
    g1 = custom_group("cifar10", cifar10, name="g1")
    g2_extras = (
        Task("Living being", LIVING),
        Task("Odd-numbered", cifar10[1::2]),
        downside,
        Task("Not living being", tuple(c for c in cifar10 if c not in LIVING)),
        random,
    )
    digits_extras = (
        Task("Odd", digits[1::2]),
        Task("Small", digits[:5]),
        Task("Not small", digits[5:]),
        downside,
        random,
    )
    return {
        "digits": TaskGroup(
            "digits", "digits", (*custom_group("digits", digits).tasks, *digits_extras)
        ),
        "g1": g1,
        "g2": TaskGroup("g2", "cifar10", (*g1.tasks, *g2_extras)),
        "g3": custom_group("cifar100", cifar100, name="g3"),
    }


GROUPS: Mapping[str, TaskGroup] = _built_in_groups()


def named_group(name: str) -> TaskGroup:
    """The built-in group of that name, in any case; UserError where there is none."""
    try:
        return GROUPS[name.lower()]
    except KeyError:
        raise UserError(
            f"There is no task group {name!r}; choose one of {', '.join(GROUPS)}."
        ) from None


def upside_down(n_points: int, split: Split) -> NDArray[np.bool_]:
    """The seeded half of the points that the Downside task turns over, shape (N,)."""
    order = np.random.default_rng([DOWNSIDE_SEED, SPLITS.index(split)]).permutation(n_points)
    turned = np.zeros(n_points, dtype=bool)
    turned[order[: n_points // 2]] = True
    return turned


def label_matrix(
    group: TaskGroup, class_indices: NDArray[np.uint8], split: Split
) -> NDArray[np.float32]:
    """Labels of every point for every task, shape (N, T), 1 positive, 0 negative."""
    n_points = len(class_indices)
    labels = np.empty((n_points, len(group.tasks)), dtype=np.float32)
    for t, task in enumerate(group.tasks):
        if task.rule == "downside":
            labels[:, t] = upside_down(n_points, split)
        elif task.rule == "random":
            rng = np.random.default_rng([RANDOM_SEED, SPLITS.index(split)])
            labels[:, t] = rng.random(n_points) < 0.5
        else:
            positive = [CLASS_NAMES[group.dataset].index(c) for c in task.classes]
            labels[:, t] = np.isin(class_indices, positive)
    return labels
