"""Task groups: named lists of binary tasks over one data set, and their label matrices."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from stg_core.system.errors import UserError
from stg_core.tasks.images import CLASS_NAMES, DATASET_TITLES, load_images
from stg_core.tasks.names import check_names

Split = Literal["train", "test"]
Rule = Literal["classes", "downside", "random"]

SPLITS: tuple[Split, ...] = ("train", "test")
# Label draws belong to the task, not to a run: every run of a group sees the same labels.
DOWNSIDE_SEED, RANDOM_SEED = 67, 61
SAMPLE_SEED = 59

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
    """A binary classification over all images.

    `rule` says what is positive: "classes", an image of one of `classes`; "downside", an image
    that the group turned upside down; "random", a coin flip per image.
    """

    name: str
    classes: tuple[str, ...] = ()
    rule: Rule = "classes"


@dataclass(frozen=True)
class TaskGroup:
    """A named list of tasks over one data set. Raises UserError where it cannot be trained."""

    name: str
    dataset: str
    tasks: tuple[Task, ...]

    def __post_init__(self) -> None:
        if self.dataset not in CLASS_NAMES:
            known = ", ".join(CLASS_NAMES)
            raise UserError(f"There is no data set {self.dataset!r}; choose one of {known}.")
        if not self.tasks:
            raise UserError("A task group needs at least one task; name some classes.")
        if len(set(self.task_names)) < len(self.tasks):
            twice = sorted({n for n in self.task_names if self.task_names.count(n) > 1})
            raise UserError(f"Task names must differ, and {', '.join(twice)} stands there twice.")
        classes = CLASS_NAMES[self.dataset]
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

    @property
    def task_names(self) -> tuple[str, ...]:
        return tuple(task.name for task in self.tasks)

    @property
    def title(self) -> str:
        """For people, and no part of any key: such as "15 questions about CIFAR-10 (G2)"."""
        count = len(self.tasks)
        about = DATASET_TITLES.get(self.dataset, self.dataset)
        said = f"{count} {'question' if count == 1 else 'questions'} about {about}"
        if self.name == self.dataset:
            return said
        return f"{said} ({self.name.upper() if self.name in PAPERS_GROUPS else self.name})"

    @property
    def flips_images(self) -> bool:
        """Whether half of the images are turned upside down, as the Downside task needs."""
        return any(task.rule == "downside" for task in self.tasks)


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


@dataclass(frozen=True)
class TaskData:
    """The images and labels of a task group, ready to train on.

    Images are uint8, shape (N, H, W, C); labels float32, shape (N, T), with NaN where a label is
    missing. Data sets with the same `digest` are equal pixel for pixel.
    """

    tasks: tuple[str, ...]
    train_images: NDArray[np.uint8]
    train_labels: NDArray[np.float32]
    test_images: NDArray[np.uint8]
    test_labels: NDArray[np.float32]
    digest: str = ""

    def select(self, tasks: Sequence[str]) -> TaskData:
        """The same images with the labels of some tasks only."""
        columns = [self.tasks.index(task) for task in tasks]
        return TaskData(
            tuple(tasks),
            self.train_images,
            self.train_labels[:, columns],
            self.test_images,
            self.test_labels[:, columns],
            self.digest,
        )

    def sample(self, training_images: int) -> TaskData:
        """The same with so many training images, always the same ones; with all of them if 0.

        Raises UserError where there are not as many.
        """
        there = len(self.train_images)
        if training_images > there:
            raise UserError(
                f"There are {there:,} training images, and {training_images:,} were asked for;"
                " ask for fewer, or for all with 0."
            )
        if training_images in (0, there):
            return self
        drawn = sampled_points(there, training_images)
        return dataclasses.replace(
            self, train_images=self.train_images[drawn], train_labels=self.train_labels[drawn]
        )


def sampled_points(there: int, wanted: int) -> NDArray[np.int64]:
    """Which of `there` training images are trained on when `wanted` are, ascending; 0 for all."""
    order = np.random.default_rng(SAMPLE_SEED).permutation(there)
    return np.sort(order[: wanted or there])


def load_task_data(
    group: TaskGroup, progress: Callable[[str, float], None] | None = None
) -> TaskData:
    """Images and labels of a group; raises UserError where the images are absent or damaged."""
    images = load_images(group.dataset, progress)
    arrays: dict[Split, tuple[NDArray[np.uint8], NDArray[np.float32]]] = {}
    for split in SPLITS:
        pixels, classes = images.split(split)
        if group.flips_images:
            turned = upside_down(len(pixels), split)
            pixels = np.array(pixels)
            pixels[turned] = pixels[turned, ::-1]
        arrays[split] = pixels, label_matrix(group, classes, split)
    return TaskData(group.task_names, *arrays["train"], *arrays["test"], images.digest)


def pos_weight(labels: NDArray[np.float32]) -> NDArray[np.float32]:
    """Negatives over positives of each task, shape (T,); missing labels count nowhere.

    A task without positives or without negatives gets weight 1.
    """
    return weight_of_counts((labels == 1).sum(axis=0), (labels == 0).sum(axis=0))


def weight_of_counts(
    positives: NDArray[np.integer], negatives: NDArray[np.integer]
) -> NDArray[np.float32]:
    """The same from how many labels (T,) there are of either kind."""
    usable = (positives > 0) & (negatives > 0)
    return np.where(usable, negatives / np.maximum(positives, 1), 1).astype(np.float32)
