"""Does a grouping pay? What to train to find out: a plan of schemes.

A scheme is a way to serve all tasks with some models. Every scheme comes down to trainings and
weights W (T, models): the output of task t is the models' outputs averaged with row t of W.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from stg_core.judging.ensembles import Floats
from stg_core.judging.verdict import Words
from stg_core.results.run import Run
from stg_core.results.store import Store
from stg_core.system.errors import UserError
from stg_core.tasks.groups import families_of_tasks
from stg_core.tasks.images import IMAGE_COUNTS_AND_SHAPES
from stg_core.training.costs import multiply_adds, width_of_multiple
from stg_core.training.metrics import score_name
from stg_core.training.spec import TrainingSpec
from stg_core.training.speed import seconds_per_epoch

if TYPE_CHECKING:
    from stg_core.grouping.memberships import Grouping, TaskSpace

WARM = ("warm", "plain_warm", "random_warm")  # the schemes that go on from the joint model
SCHEMES = (
    *("mtl", "stl", "specialists", "plain", "random", "superclass"),
    *("longer", "wider", *WARM),
)
# the schemes that have memberships
ROUTED = ("specialists", "random", "superclass", "warm", "random_warm")
WARM_SHARE = 0.5  # of the joint model's epochs, for which a warm training goes on

SEED_STEP = 1_000
LONG = 3600.0  # seconds
WEIGHT_DECIMALS = 6  # so that a key does not depend on how a machine rounds


@dataclass(frozen=True)
class Ensemble:
    """One scheme with one seed: its trainings, and weights (T, models) whose rows sum to 1.

    names: what each model is, for people ("cluster 1", "model 2", a task); training_cost: of all
    that it trains, what it starts from and the grouping's own trainings included, in trainings of
    the MTL model; serving_cost: of one input, in MTL models. Both by count, of multiply-adds.
    groupings: how much of the training cost the grouping's own trainings are.
    """

    scheme: str
    seed: int
    specs: tuple[TrainingSpec, ...]
    names: tuple[str, ...]
    weights: Floats
    training_cost: float
    serving_cost: float
    groupings: float = 0.0

    @property
    def joint(self) -> TrainingSpec | None:
        """What its trainings start from, where they do."""
        return self.specs[0].starts_from

    @property
    def trainings(self) -> dict[TrainingSpec, str]:
        """All that is trained for it, in the order in which that is possible, with its name."""
        before = {} if self.joint is None else {self.joint: "joint model"}
        return before | dict(zip(self.specs, self.names, strict=True))


@dataclass(frozen=True)
class Cost:
    """trainings: of all schemes together; distinct: without those that schemes share; cached: of
    the distinct ones, already in the store; anew: of those, how many are trained once more, since
    others start from them and their weights were not kept; seconds: expected for all that is to be
    trained, None if unknown."""

    trainings: int
    distinct: int
    cached: int
    seconds: float | None
    anew: int = 0


@dataclass(frozen=True)
class Plan:
    """All that is trained to judge a grouping: one ensemble per scheme and seed, in that order."""

    spec: TrainingSpec
    grouping: Grouping
    schemes: tuple[str, ...]
    seeds: tuple[int, ...]
    ensembles: tuple[Ensemble, ...]
    warm_share: float = WARM_SHARE

    @property
    def trainings(self) -> tuple[TrainingSpec, ...]:
        """Every spec once, in the order in which they are trained."""
        return tuple({spec.key: spec for e in self.ensembles for spec in e.trainings}.values())

    def place_of(self, spec: TrainingSpec) -> tuple[Ensemble, str]:
        """The first ensemble that needs a training, and which of its models that is."""
        ensemble = next(e for e in self.ensembles if spec in e.trainings)
        return ensemble, ensemble.trainings[spec]

    def name_of(self, spec: TrainingSpec) -> str:
        """What a training is for, for people: the first scheme that needs it."""
        ensemble, name = self.place_of(spec)
        return f"{ensemble.scheme}, {name}, seed {ensemble.seed}"

    def missing(self, store: Store) -> tuple[TrainingSpec, ...]:
        """The trainings that are not in the store yet."""
        return tuple(spec for spec in self.trainings if store.get(spec) is None)

    def trained_anew(self, store: Store) -> tuple[TrainingSpec, ...]:
        """Those in the store whose weights were not kept, and are needed for what is missing."""
        starts = {spec.starts_from for spec in self.missing(store) if spec.starts_from}
        runs = [store.get(spec) for spec in self.trainings if spec in starts]
        return tuple(run.spec for run in runs if run is not None and not run.has_weights)

    def cost(self, store: Store, seconds_per_epoch: Callable[[TrainingSpec], float | None]) -> Cost:
        """What is to be trained, and how long that takes at a speed in seconds per epoch."""
        distinct, missing, anew = self.trainings, self.missing(store), self.trained_anew(store)
        seconds: float | None = 0.0
        for spec in (*missing, *anew):
            speed = seconds_per_epoch(spec)
            seconds = None if speed is None or seconds is None else seconds + speed * spec.epochs
        total = sum(len(ensemble.trainings) for ensemble in self.ensembles)
        return Cost(total, len(distinct), len(distinct) - len(missing), seconds, len(anew))


def make_plan(
    spec: TrainingSpec,
    grouping: Grouping,
    space: TaskSpace,
    schemes: Sequence[str] = ("mtl", "specialists", "plain", "random"),
    seeds: Sequence[int] = (),
    warm_share: float = WARM_SHARE,
    grouping_trainings: int = 1,
) -> Plan:
    """The trainings of every scheme and seed, for a grouping of the tasks of `spec`.

    spec: the MTL training of its own seed (see `mtl_spec_of`); seeds: default to that one;
    warm_share: for which share of its epochs warm trainings go on, 0 or more; grouping_trainings:
    what the data maps of the grouping cost, in MTL trainings. Raises UserError for an unknown
    scheme, for seeds whose plain ensembles would share models, for a grouping with a problem, for a
    cluster without tasks, for "superclass" where there is no such grouping, and for "wider" of a
    model whose multiply-adds are not known.
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
    if not (math.isfinite(warm_share) and warm_share >= 0):
        raise UserError("Warm trainings go on for a share of the epochs of 0 or more, such as 0.5.")
    ensembles = [
        _Maker(_with_seed(spec, seed), grouping, space, warm_share, grouping_trainings).make(scheme)
        for scheme in schemes
        for seed in seeds
    ]
    return Plan(spec, grouping, schemes, seeds, tuple(ensembles), warm_share)


def words_of(spec: TrainingSpec) -> Words:
    """What the judgement of a run calls things."""
    tasks = [spec.group.task(name) for name in spec.tasks]
    return Words(
        score=score_name(tasks),
        answers="all classes" if any(t.kind == "multiclass" for t in tasks) else "yes and no",
        family="family" if spec.group.is_own else "superclass",
        point="point" if spec.group.has_rows or spec.logged else "image",
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

    Another one, without data maps, where the run has one model per task or weighted tasks, starts
    from another one, or was trained by a version that kept fewer logits.
    """
    spec = run.spec
    own = store.get(spec)
    kept = own is None or own.keeps_logits
    plain = not spec.single_task_models and set(spec.task_weights) == {1.0}
    if kept and plain and spec.starts_from is None:
        return spec
    return dataclasses.replace(
        spec,
        task_weights=(),
        single_task_models=False,
        recorded_epochs=(),
        starts_from=None,
    )


def grouping_trainings_of(run: Run) -> int:
    """What the data maps of a run cost, in MTL trainings by count."""
    return len(run.spec.tasks) if run.spec.single_task_models else 1


def recorded_speed(store: Store) -> Callable[[TrainingSpec], float | None]:
    """Seconds per epoch as this machine's runs took them, of the nearest width and number of tasks.

    Of another width they count in proportion to the multiply-adds. None for a model, data set,
    batch size or augmentation that was not trained here yet.
    """
    own = [
        run
        for run in store.runs()
        if run.ended and not (run.bundled or run.spec.single_task_models)
    ]

    def kind(spec: TrainingSpec) -> tuple[object, ...]:
        settings = spec.batch_size, spec.augmentation, spec.training_images, spec.branches
        return spec.model, spec.group.dataset, *settings

    def seconds(spec: TrainingSpec) -> float | None:
        alike = [run for run in own if kind(run.spec) == kind(spec)]
        if not alike:
            return None
        run = min(
            alike,
            key=lambda run: (
                abs(run.spec.width - spec.width),
                abs(len(run.spec.tasks) - len(spec.tasks)),
            ),
        )
        known = seconds_per_epoch(run.metrics)
        if known is None or run.spec.width == spec.width:
            return known
        return known * relative_cost(spec, run.spec)

    return seconds


def _with_seed(spec: TrainingSpec, seed: int) -> TrainingSpec:
    """The MTL training of a seed; of the spec's own seed it is the spec itself."""
    if seed == spec.seed:
        return spec
    return dataclasses.replace(spec, seed=seed, recorded_epochs=())


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


class _Maker:
    """Makes the ensembles of one seed, whose MTL training is `mtl`."""

    def __init__(
        self,
        mtl: TrainingSpec,
        grouping: Grouping,
        space: TaskSpace,
        warm_share: float,
        grouping_trainings: int,
    ) -> None:
        self.mtl, self.grouping, self.space = mtl, grouping, space
        self.warm_epochs = max(round(warm_share * mtl.epochs), 1) if warm_share else 0
        self.grouping_trainings = grouping_trainings

    def make(self, scheme: str) -> Ensemble:
        """One scheme; its clusters, where it has any, are those of the grouping or in their stead.

        Warm ones need no training of their own to group by: the joint model they start from is
        that, unless the data maps came from one model per task.
        """
        k, shares, groupings = self.grouping.k, self.grouping.memberships, self.grouping_trainings
        match scheme:
            case "mtl":
                return self._ensemble(scheme, (self.mtl,))
            case "stl":
                return self._stl()
            case "specialists":
                return self._weighted(scheme, shares, groupings)
            case "plain":
                return self._alike(scheme, [self._member(j) for j in range(k)])
            case "random":
                return self._weighted(scheme, self._permuted())
            case "longer":
                return self._longer()
            case "wider":
                return self._wider()
            case "warm":
                return self._warm(scheme, shares, groupings if groupings != 1 else 0)
            case "plain_warm":
                return self._warm(scheme, np.ones_like(shares))
            case "random_warm":
                return self._warm(scheme, self._permuted())
        families = superclass_memberships(self.mtl, self.grouping, self.space)
        return self._weighted(scheme, families)

    def _member(self, j: int) -> TrainingSpec:
        """Model j of any ensemble, before its weights.

        Every scheme has the same seeds, so that schemes differ in their weights only: with one seed
        for all specialists, the plain ensemble alone would profit from models that began
        differently.
        """
        return _with_seed(self.mtl, self.mtl.seed + j * SEED_STEP)

    def _ensemble(
        self,
        scheme: str,
        specs: Sequence[TrainingSpec],
        names: Sequence[str] = ("all tasks",),
        weights: Floats | None = None,
        groupings: float = 0,
    ) -> Ensemble:
        """With its costs; weights: 1 of the only model where none are given."""
        weights = np.ones((len(self.mtl.tasks), 1)) if weights is None else weights
        made = Ensemble(scheme, self.mtl.seed, tuple(specs), tuple(names), weights, 0.0, 0.0)
        training = sum(relative_cost(spec, self.mtl) * spec.epochs for spec in made.trainings)
        return dataclasses.replace(
            made,
            training_cost=training / self.mtl.epochs + groupings,
            serving_cost=sum(relative_cost(spec, self.mtl) for spec in specs),
            groupings=groupings,
        )

    def _alike(self, scheme: str, specs: Sequence[TrainingSpec]) -> Ensemble:
        """Models of all tasks alike that differ in their seed, all with the same weight."""
        k = len(specs)
        names = [f"model {j + 1}" for j in range(k)]
        return self._ensemble(scheme, specs, names, np.full((len(self.mtl.tasks), k), 1 / k))

    def _stl(self) -> Ensemble:
        alone = dataclasses.replace(self.mtl, recorded_epochs=())
        specs = [alone.for_task(task) for task in self.mtl.tasks]
        return self._ensemble("stl", specs, self.mtl.tasks, np.eye(len(self.mtl.tasks)))

    def _longer(self) -> Ensemble:
        """One model of all tasks with the epochs of the specialists and of their grouping."""
        factor = self.grouping.k + self.grouping_trainings
        if factor == 1:
            return self._ensemble("longer", (self.mtl,))
        epochs = self.mtl.epochs * factor
        longer = dataclasses.replace(self.mtl, epochs=epochs, recorded_epochs=())
        return self._ensemble("longer", (longer,))

    def _wider(self) -> Ensemble:
        """One model of all tasks with the multiply-adds of the specialists together."""
        serving = self._weighted("specialists", self.grouping.memberships).serving_cost
        width = width_as_costly(self.mtl, serving)
        if width is None:
            raise UserError(
                f"The scheme wider counts multiply-adds, and those of {self.mtl.model} are not"
                " known: leave it out, or take a built-in model."
            )
        if width == self.mtl.width:
            return self._ensemble("wider", (self.mtl,))
        wider = dataclasses.replace(self.mtl, width=width, recorded_epochs=())
        return self._ensemble("wider", (wider,))

    def _permuted(self) -> Floats:
        """The memberships on the wrong tasks."""
        shares = self.grouping.memberships
        return shares[permuted_rows(shares.round(WEIGHT_DECIMALS), self.mtl.seed)]

    def _weighted(self, scheme: str, memberships: Floats, groupings: float = 0) -> Ensemble:
        """One model per cluster: all tasks weighted with its memberships, or its own tasks only."""
        weights = self._checked(scheme, memberships)
        specs = []
        for j, column in enumerate(weights.T):
            model = self._member(j)
            if (column == 1).all():
                specs.append(model)
            elif self.grouping.method == "hard":
                own = tuple(t for t, share in zip(self.mtl.tasks, column, strict=True) if share)
                changes: dict[str, Any] = {"tasks": own, "task_weights": ()}
                specs.append(dataclasses.replace(model, **changes, recorded_epochs=()))
            else:
                shares = tuple(column.tolist())
                specs.append(dataclasses.replace(model, task_weights=shares, recorded_epochs=()))
        return self._of_clusters(scheme, specs, weights, groupings)

    def _warm(self, scheme: str, memberships: Floats, groupings: float = 0) -> Ensemble:
        """One model per cluster that goes on from the joint model: all tasks, weighted.

        For no epochs they are all the joint model itself. Their seeds are others than its own, so
        that none repeats the order in which that saw the points.
        """
        if not self.warm_epochs:
            return self._ensemble(scheme, (self.mtl,), groupings=groupings)
        weights = self._checked(scheme, memberships)
        specs = [
            dataclasses.replace(
                self._member(j + 1),
                epochs=self.warm_epochs,
                recorded_epochs=(),
                task_weights=tuple(column.tolist()),
                starts_from=self.mtl,
            )
            for j, column in enumerate(weights.T)
        ]
        if scheme == "plain_warm":
            return self._alike(scheme, specs)
        return self._of_clusters(scheme, specs, weights, groupings)

    def _checked(self, scheme: str, memberships: Floats) -> Floats:
        """Memberships as they are trained with; UserError for a cluster without tasks."""
        weights: Floats = memberships.round(WEIGHT_DECIMALS)
        for j in np.flatnonzero(~weights.any(axis=0)):
            raise UserError(
                f"Cluster {j + 1} of {words_of(self.mtl).scheme(scheme)} has no task, so that"
                " nothing can be trained for it: choose a smaller k or a larger fuzzifier."
            )
        return weights

    def _of_clusters(
        self, scheme: str, specs: Sequence[TrainingSpec], weights: Floats, groupings: float
    ) -> Ensemble:
        names = [f"cluster {j + 1}" for j in range(self.grouping.k)]
        shares = weights / weights.sum(axis=1, keepdims=True)
        return self._ensemble(scheme, specs, names, shares, groupings)


def multiply_adds_of(spec: TrainingSpec) -> int | None:
    """Of one input of its model; None for a model of one's own, and of a run that was logged."""
    if spec.logged:
        return None
    shape, outputs = _point_shape(spec), spec.n_outputs
    return multiply_adds(spec.model, shape, outputs, spec.width, spec.hidden_widths, spec.branches)


def relative_cost(spec: TrainingSpec, other: TrainingSpec) -> float:
    """Multiply-adds of one input over those of another spec's model.

    1 for a model of one's own: those of a plan differ in their outputs only.
    """
    own, others = multiply_adds_of(spec), multiply_adds_of(other)
    return own / others if own and others else 1.0


def width_as_costly(spec: TrainingSpec, factor: float) -> float | None:
    """The width with which a model has `factor` times its multiply-adds; None if not known."""
    now, usual = multiply_adds_of(spec), multiply_adds_of(dataclasses.replace(spec, width=1.0))
    if not (now and usual):
        return None
    wanted, shape = factor * now / usual, _point_shape(spec)
    return width_of_multiple(wanted, spec.model, shape, spec.n_outputs, spec.hidden_widths)


def _point_shape(spec: TrainingSpec) -> tuple[int, ...]:
    """Of a point as a model sees it: (C, H, W) or (F,)."""
    of_images = IMAGE_COUNTS_AND_SHAPES.get(spec.group.dataset)
    shape = of_images[2:] if of_images else spec.group.point_shape
    return shape if len(shape) == 1 else (shape[2], shape[0], shape[1])


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
