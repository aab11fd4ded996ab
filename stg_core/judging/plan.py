"""Does a grouping pay? What to train to find out: a plan of schemes.

A scheme is a way to serve all tasks with some models. Every scheme comes down to trainings and
weights W (T, models): the output of task t is the models' outputs averaged with row t of W.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from stg_core.judging.ensembles import Floats
from stg_core.judging.verdict import Words
from stg_core.results.store import Run, Store
from stg_core.system.errors import UserError
from stg_core.tasks.groups import families_of_tasks
from stg_core.training.metrics import score_name
from stg_core.training.spec import TrainingSpec
from stg_core.training.speed import seconds_per_epoch

if TYPE_CHECKING:
    from stg_core.grouping.memberships import Grouping, TaskSpace

SCHEMES = ("mtl", "stl", "specialists", "plain", "random", "superclass")
ROUTED = ("specialists", "random", "superclass")  # the schemes that have memberships

SEED_STEP = 1_000
LONG = 3600.0  # seconds
WEIGHT_DECIMALS = 6  # so that a key does not depend on how a machine rounds


@dataclass(frozen=True)
class Ensemble:
    """One scheme with one seed: its trainings, and weights (T, models) whose rows sum to 1.

    names: what each model is, for people ("cluster 1", "model 2", a task).
    """

    scheme: str
    seed: int
    specs: tuple[TrainingSpec, ...]
    names: tuple[str, ...]
    weights: Floats


@dataclass(frozen=True)
class Cost:
    """trainings: of all schemes together; distinct: without those that schemes share; cached: of
    the distinct ones, already in the store; seconds: expected for the rest, None if unknown."""

    trainings: int
    distinct: int
    cached: int
    seconds: float | None


@dataclass(frozen=True)
class Plan:
    """All that is trained to judge a grouping: one ensemble per scheme and seed, in that order."""

    spec: TrainingSpec
    grouping: Grouping
    schemes: tuple[str, ...]
    seeds: tuple[int, ...]
    ensembles: tuple[Ensemble, ...]

    @property
    def trainings(self) -> tuple[TrainingSpec, ...]:
        """Every spec once, in the order in which they are trained."""
        return tuple({spec.key: spec for e in self.ensembles for spec in e.specs}.values())

    def place_of(self, spec: TrainingSpec) -> tuple[Ensemble, str]:
        """The first ensemble that needs a training, and which of its models that is."""
        ensemble = next(e for e in self.ensembles if spec in e.specs)
        return ensemble, ensemble.names[ensemble.specs.index(spec)]

    def name_of(self, spec: TrainingSpec) -> str:
        """What a training is for, for people: the first scheme that needs it."""
        ensemble, name = self.place_of(spec)
        return f"{ensemble.scheme}, {name}, seed {ensemble.seed}"

    def missing(self, store: Store) -> tuple[TrainingSpec, ...]:
        """The trainings that are not in the store yet."""
        return tuple(spec for spec in self.trainings if store.get(spec) is None)

    def cost(self, store: Store, seconds_per_epoch: Callable[[TrainingSpec], float | None]) -> Cost:
        """What is to be trained, and how long that takes at a speed in seconds per epoch."""
        distinct, missing = self.trainings, self.missing(store)
        seconds: float | None = 0.0
        for spec in missing:
            speed = seconds_per_epoch(spec)
            seconds = None if speed is None or seconds is None else seconds + speed * spec.epochs
        total = sum(len(ensemble.specs) for ensemble in self.ensembles)
        return Cost(total, len(distinct), len(distinct) - len(missing), seconds)


def make_plan(
    spec: TrainingSpec,
    grouping: Grouping,
    space: TaskSpace,
    schemes: Sequence[str] = ("mtl", "specialists", "plain", "random"),
    seeds: Sequence[int] = (),
) -> Plan:
    """The trainings of every scheme and seed, for a grouping of the tasks of `spec`.

    spec: the MTL training of its own seed (see `mtl_spec_of`); seeds: default to that one. Raises
    UserError for an unknown scheme, for seeds whose plain ensembles would share models, for a
    grouping with a problem, for a cluster without tasks, and for "superclass" where there is no
    such grouping.
    """
    if unknown := [scheme for scheme in schemes if scheme not in SCHEMES]:
        raise UserError(f"There is no scheme {unknown[0]!r}; choose from {', '.join(SCHEMES)}.")
    if not schemes:
        raise UserError(f"Choose at least one scheme from {', '.join(SCHEMES)}.")
    if grouping.left_out:
        raise UserError(
            f"No training point has a label for {', '.join(grouping.left_out)}: nothing can be"
            " trained for them. Train a run without them, and group that."
        )
    if tuple(grouping.tasks) != spec.tasks:
        raise UserError("The grouping is of other tasks than the run; group the tasks of this run.")
    if grouping.problem:
        raise UserError(grouping.problem)
    schemes = tuple(dict.fromkeys(schemes))
    seeds = tuple(dict.fromkeys(seeds)) or (spec.seed,)
    if "plain" in schemes:
        _check_seeds(seeds, grouping.k)
    make = {
        "mtl": _mtl,
        "stl": _stl,
        "specialists": _specialists,
        "plain": _plain,
        "random": _random,
        "superclass": _superclass,
    }
    ensembles = [
        make[scheme](_with_seed(spec, seed), grouping, space)
        for scheme in schemes
        for seed in seeds
    ]
    return Plan(spec, grouping, schemes, seeds, tuple(ensembles))


def words_of(spec: TrainingSpec) -> Words:
    """What the judgement of a run calls things."""
    tasks = [spec.group.task(name) for name in spec.tasks]
    return Words(
        score=score_name(tasks),
        answers="all classes" if any(t.kind == "multiclass" for t in tasks) else "yes and no",
        family="family" if spec.group.is_own else "superclass",
        point="point" if spec.group.has_rows else "image",
    )


def families_of(spec: TrainingSpec) -> tuple[str, ...] | None:
    """What people count the tasks of a run to, (T,); None where that is less than two families.

    A task that has no family is one of its own.
    """
    found = families_of_tasks(spec.group)
    if found is None:
        return None
    known = dict(zip(spec.group.task_names, found, strict=True))
    of_tasks = [f"family {known[t]}" if known[t] else f"task {t}" for t in spec.tasks]
    return tuple(of_tasks) if len({*of_tasks}) > 1 else None


def takes_long(seconds: float | None) -> bool:
    """Whether a plan is asked for before it starts: it takes more than an hour, or nobody knows."""
    return seconds is None or seconds > LONG


def mtl_spec_of(run: Run, store: Store) -> TrainingSpec:
    """The spec whose result is the MTL model of a run's settings and seed: the run's own.

    Another one, without data maps, where the run has one model per task or weighted tasks, or was
    trained by a version that kept fewer logits.
    """
    spec = run.spec
    own = store.get(spec)
    kept = own is None or own.keeps_logits
    if kept and not spec.single_task_models and set(spec.task_weights) == {1.0}:
        return spec
    return dataclasses.replace(spec, task_weights=(), single_task_models=False, recorded_epochs=())


def recorded_speed(store: Store) -> Callable[[TrainingSpec], float | None]:
    """Seconds per epoch as this machine's runs took them, of the nearest number of tasks.

    None for a model, data set, batch size or augmentation that was not trained here yet.
    """
    own = [run for run in store.runs() if not (run.bundled or run.spec.single_task_models)]

    def kind(spec: TrainingSpec) -> tuple[object, ...]:
        settings = spec.batch_size, spec.augmentation, spec.training_images, spec.width
        return spec.model, spec.group.dataset, *settings

    def seconds(spec: TrainingSpec) -> float | None:
        alike = [run for run in own if kind(run.spec) == kind(spec)]
        if not alike:
            return None
        run = min(alike, key=lambda run: abs(len(run.spec.tasks) - len(spec.tasks)))
        return seconds_per_epoch(run.metrics)

    return seconds


def _with_seed(spec: TrainingSpec, seed: int) -> TrainingSpec:
    """The MTL training of a seed; of the spec's own seed it is the spec itself."""
    if seed == spec.seed:
        return spec
    return dataclasses.replace(spec, seed=seed, recorded_epochs=())


def _member(mtl: TrainingSpec, j: int) -> TrainingSpec:
    """Model j of any ensemble, before its weights.

    Every scheme has the same seeds, so that schemes differ in their weights only: with one seed for
    all specialists, the plain ensemble alone would profit from models that began differently.
    """
    return _with_seed(mtl, mtl.seed + j * SEED_STEP)


def _check_seeds(seeds: Sequence[int], k: int) -> None:
    for i, seed in enumerate(seeds):
        for other in seeds[:i]:
            steps, rest = divmod(abs(seed - other), SEED_STEP)
            if rest == 0 and steps < k:
                raise UserError(
                    f"With the seeds {other} and {seed} the plain ensembles of {k} models, whose"
                    f" seeds are {SEED_STEP} apart, would share models: choose seeds such"
                    " as 0,1,2."
                )


def _mtl(mtl: TrainingSpec, grouping: Grouping, space: TaskSpace) -> Ensemble:
    return Ensemble("mtl", mtl.seed, (mtl,), ("all tasks",), np.ones((len(mtl.tasks), 1)))


def _stl(mtl: TrainingSpec, grouping: Grouping, space: TaskSpace) -> Ensemble:
    alone = dataclasses.replace(mtl, recorded_epochs=())
    specs = tuple(alone.for_task(task) for task in mtl.tasks)
    return Ensemble("stl", mtl.seed, specs, mtl.tasks, np.eye(len(mtl.tasks)))


def _plain(mtl: TrainingSpec, grouping: Grouping, space: TaskSpace) -> Ensemble:
    """k MTL models that differ in their seed, all with the same weight."""
    k = grouping.k
    specs = tuple(_member(mtl, j) for j in range(k))
    names = tuple(f"model {j + 1}" for j in range(k))
    return Ensemble("plain", mtl.seed, specs, names, np.full((len(mtl.tasks), k), 1 / k))


def _specialists(mtl: TrainingSpec, grouping: Grouping, space: TaskSpace) -> Ensemble:
    return _weighted("specialists", mtl, grouping, grouping.memberships)


def _random(mtl: TrainingSpec, grouping: Grouping, space: TaskSpace) -> Ensemble:
    rows = permuted_rows(grouping.memberships.round(WEIGHT_DECIMALS), mtl.seed)
    return _weighted("random", mtl, grouping, grouping.memberships[rows])


def _superclass(mtl: TrainingSpec, grouping: Grouping, space: TaskSpace) -> Ensemble:
    return _weighted("superclass", mtl, grouping, superclass_memberships(mtl, grouping, space))


def _weighted(scheme: str, mtl: TrainingSpec, grouping: Grouping, memberships: Floats) -> Ensemble:
    """One model per cluster: all tasks weighted with its memberships, or its own tasks only."""
    weights = memberships.round(WEIGHT_DECIMALS)
    specs = []
    for j, column in enumerate(weights.T):
        if not column.any():
            raise UserError(
                f"Cluster {j + 1} of {words_of(mtl).scheme(scheme)} has no task, so that nothing"
                " can be trained for it: choose a smaller k or a larger fuzzifier."
            )
        model = _member(mtl, j)
        if (column == 1).all():
            specs.append(model)
        elif grouping.method == "hard":
            own = tuple(task for task, share in zip(mtl.tasks, column, strict=True) if share)
            specs.append(dataclasses.replace(model, tasks=own, task_weights=(), recorded_epochs=()))
        else:
            specs.append(
                dataclasses.replace(model, task_weights=tuple(column.tolist()), recorded_epochs=())
            )
    names = tuple(f"cluster {j + 1}" for j in range(grouping.k))
    return Ensemble(
        scheme, mtl.seed, tuple(specs), names, weights / weights.sum(axis=1, keepdims=True)
    )


def permuted_rows(memberships: Floats, seed: int) -> NDArray[np.int64]:
    """An order of the rows of W, drawn at random, that is another grouping wherever one exists.

    A draw that gives W itself, or W with its clusters renumbered, is drawn again.
    """
    rng = np.random.default_rng(seed)
    grouping = _without_numbers(memberships)
    for _ in range(1_000):
        rows = rng.permutation(len(memberships))
        if not np.array_equal(_without_numbers(memberships[rows]), grouping):
            return rows
    return np.arange(len(memberships))


def _without_numbers(memberships: Floats) -> Floats:
    """The columns in an order that does not depend on how the clusters are numbered."""
    return memberships[:, np.lexsort(memberships)]


def superclass_memberships(spec: TrainingSpec, grouping: Grouping, space: TaskSpace) -> Floats:
    """Memberships (T, k) in k groups of families, or superclasses, with the grouping's fuzzifier.

    Families stay together; where there are more than k, the nearest ones are merged (Ward's method
    on the means of their tasks in the task space). One-hot for a hard grouping, else from the
    distances to the groups' centroids. Raises UserError where the tasks have no families or fewer
    than k.
    """
    from scipy.cluster.hierarchy import cut_tree, ward

    from stg_core.grouping.memberships import distances_between, memberships_from_distances

    families = families_of(spec)
    if families is None:
        raise UserError(
            "The scheme superclass needs tasks of at least two families, or tasks that are classes"
            " of CIFAR-100, such as those of the group g3; leave it out."
        )
    names, of_task = np.unique(families, return_inverse=True)
    k, points = grouping.k, space.coordinates
    if k > len(names):
        called = "families" if spec.group.is_own else "superclasses"
        raise UserError(
            f"The tasks are of {len(names)} {called}, which cannot form {k} groups: choose k up to"
            f" {len(names)}, or leave the scheme superclass out."
        )
    merged = np.arange(len(names))
    if k < len(names):
        means = np.stack([points[of_task == s].mean(axis=0) for s in range(len(names))])
        merged = cut_tree(ward(means), n_clusters=k)[:, 0].astype(np.int64)
    labels = merged[of_task]
    labels = space.numbering(labels, k)[labels]
    if grouping.method == "hard":
        return np.eye(k)[labels]
    centroids = np.stack([points[labels == j].mean(axis=0) for j in range(k)])
    distances = distances_between(points, centroids)
    return memberships_from_distances(distances, grouping.fuzzifier)
