"""A quick look: a short training of a small model on some of the images, before the whole one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from stg_core.tasks.data import counts_and_shape
from stg_core.tasks.groups import TaskGroup
from stg_core.training.spec import TrainingSpec

MODEL, EPOCHS, IMAGES = "small_cnn", 6, 10_000
RIVAL = "resnet18, 10 epochs, all images"
TRUSTED = 0.9  # adjusted Rand index of clusters that are nearly the same (Steinley 2004)


@dataclass(frozen=True)
class Nearness:
    """How near the grouping of a quick look comes to that of the bundled run, soft, fuzzifier 2.

    k: clusters of both; index: adjusted Rand index, 1 for the same clusters; difference: of a
    membership, mean over tasks and clusters.
    """

    k: int
    index: float
    difference: float


# of seed 0, by `python -m tests.benchmarks.quick_look`
MEASURED: Mapping[str, Nearness] = {
    "g1": Nearness(2, 1.0, 0.016),
    "g2": Nearness(3, 0.839, 0.084),
    "g3": Nearness(20, 0.418, 0.014),
}


def quick_look(group: TaskGroup, seed: int = 0) -> TrainingSpec | None:
    """Of a group of many images; None where the whole training is quick itself.

    Raises UserError where it is not known how many there are.
    """
    if group.has_rows or counts_and_shape(group)[0] <= IMAGES:
        return None
    return TrainingSpec(group, model=MODEL, epochs=EPOCHS, seed=seed, training_images=IMAGES)


def is_quick_look(spec: TrainingSpec) -> bool:
    """Whether a spec is that of a quick look, of all tasks of its group."""
    alike = (spec.model, spec.epochs, spec.training_images) == (MODEL, EPOCHS, IMAGES)
    return alike and spec == TrainingSpec(
        spec.group, model=MODEL, epochs=EPOCHS, seed=spec.seed, training_images=IMAGES
    )


def whole(spec: TrainingSpec) -> TrainingSpec:
    """The training as usual, of the same tasks and seed."""
    return TrainingSpec(spec.group, seed=spec.seed)


def nearness(group: TaskGroup) -> str:
    """How near it comes to the whole training, in a sentence, which says where it is not known."""
    known = MEASURED.get(group.name)
    if known is None:
        return "How near its grouping comes to that of the whole training was not measured here."
    told = f"adjusted Rand index {known.index:.2f} between its {known.k} clusters and those of"
    told += f" the whole training ({RIVAL}), memberships different by {known.difference:.3f} in the"
    told += " mean"
    warning = "" if known.index >= TRUSTED else " Do not take its clusters for those of the whole."
    return f"Measured once, for one seed: {told}.{warning}"
