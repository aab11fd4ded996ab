"""What the specialists of a logged run logged, matched by name, for the same judgement as ours.

A grouping of the log "my run" into 3 clusters is judged by other logs of its tasks and points:

    my run                        MTL itself; my run / mtl where it has no outputs for test points
    my run / k3 specialist 2      trained with the second column of the memberships
    my run / k3 random 2          the same weights on the wrong tasks
    my run / k3 longer            one model, as long as all specialists and the grouping together
    my run / k3 wider             one model, as large as all specialists together
    my run / plain 2              a model of all tasks alike; the first of them is my run
    my run / stl Odd              a single task
    my run / k3 warm 2            goes on from my run; k3 warm random 2, and warm plain 2

Of a grouping that is not soft with m = 2, the part "k3" is "k3 m1.5" or "k3 hard"; other seeds say
so: "my run / seed 1" and "my run / seed 1 / k3 specialist 2". A title counts like a name.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from stg_core.judging.ensembles import RESAMPLES
from stg_core.judging.loss_weights import MARK, mark_of
from stg_core.judging.plan import ROUTED, WARM, Ensemble, Plan, make_plan
from stg_core.judging.report import SPLITS, report_steps
from stg_core.judging.verdict import CONTROLS, SCHEME_NAMES, SLACK
from stg_core.maps.log_begin import LONGEST_NAME
from stg_core.results.logged import LoggedRun
from stg_core.results.run import Run
from stg_core.results.store import Store
from stg_core.system.errors import UserError
from stg_core.system.words import counted, named
from stg_core.training.spec import TrainingSpec

if TYPE_CHECKING:
    from stg_core.grouping.memberships import Grouping, TaskSpace

POSSIBLE = ("mtl", "stl", "specialists", "plain", "random", "longer", "wider", *WARM)
EXPECTED = ("mtl", "specialists", *CONTROLS["specialists"])  # told of where they are missing
BETWEEN = " / "  # the parts of a name


@dataclass(frozen=True)
class Due:
    """A log that a scheme needs.

    name: what it is to be called; model: what it is of the scheme, such as "cluster 2"; weights
    (T,): of all tasks of the run in its loss, those of `spec`, which are fewer where it is hard.
    """

    name: str
    scheme: str
    seed: int
    model: str
    spec: TrainingSpec

    @property
    def epochs(self) -> int:
        """For how many it is to be trained."""
        return self.spec.epochs

    @property
    def weights(self) -> tuple[float, ...]:
        own = dict(zip(self.spec.tasks, self.spec.task_weights, strict=True))
        return tuple(own.get(task, 0.0) for task in self.spec.group.task_names)

    @property
    def mark(self) -> str:
        """What a log gives as its source where it was trained with these weights."""
        return mark_of(self.spec.group.task_names, self.weights)


@dataclass(frozen=True)
class Found:
    """What came back for a log that is due.

    problem: why it cannot be judged, in a sentence, else empty; by_name: whether nothing but its
    name says with which weights it was trained.
    """

    due: Due
    run: LoggedRun | None
    problem: str = ""
    by_name: bool = False

    @property
    def is_whole(self) -> bool:
        return self.run is not None and not self.problem


@dataclass(frozen=True)
class Missing:
    """A scheme that cannot be judged yet: the logs that it lacks, and what they would cost.

    cost: in trainings of MTL; seconds: at the speed of the logged run, None where not known.
    """

    scheme: str
    logs: tuple[Found, ...]
    cost: float
    seconds: float | None


class BroughtBack:
    """The logs that belong to a grouping of a logged run, and what can be judged by them.

    run: what was grouped; space: its tasks; seeds: by default the run's own, and those of which all
    specialists are back. Raises UserError as `make_plan` does, and for a run that is no log.
    """

    def __init__(
        self,
        store: Store,
        run: Run,
        grouping: Grouping,
        space: TaskSpace,
        seeds: Sequence[int] = (),
    ) -> None:
        if not isinstance(run, LoggedRun):
            raise UserError(
                f"{named(run.title)} was not logged: its specialists are trained here, and nothing"
                " is to be brought back."
            )
        self.run, self.grouping, self.space = run, grouping, space
        self.logs = [one for one in store.runs() if isinstance(one, LoggedRun)]
        self._by_title = {_plain(one.title): one for one in reversed(self.logs)}  # the newest
        self.seeds = tuple(seeds) or self._seeds_that_are_back()

    # ---------------------------------------------------------------------------------- what is due

    @cached_property
    def plan(self) -> Plan:
        """Every scheme that can be logged, with its costs as they are counted beforehand."""
        return self._plan(self.seeds)

    def _plan(self, seeds: Sequence[int]) -> Plan:
        schemes = [scheme for scheme in POSSIBLE if scheme != "wider"]
        plan = make_plan(self.run.spec, self.grouping, self.space, schemes, seeds)
        if self.grouping.k == 1:
            return plan
        wider = [_wider(e, self.grouping.k) for e in plan.ensembles if e.scheme == "mtl"]
        return dataclasses.replace(
            plan, schemes=(*plan.schemes, "wider"), ensembles=(*plan.ensembles, *wider)
        )

    def _due(self, plan: Plan) -> dict[TrainingSpec, Due]:
        due: dict[TrainingSpec, Due] = {}
        for ensemble in plan.ensembles:
            for j, (spec, model) in enumerate(zip(ensemble.specs, ensemble.names, strict=True)):
                name = self._name(ensemble, j)
                due.setdefault(spec, Due(name, ensemble.scheme, ensemble.seed, model, spec))
        return due

    def _name(self, ensemble: Ensemble, j: int) -> str:
        k, number = f"k{self.grouping.k}", j + 1
        is_own = ensemble.seed == self.run.spec.seed
        what = {
            "mtl": "mtl" if is_own and not self.run.keeps_logits else "",
            "stl": f"stl {ensemble.names[j]}",
            "specialists": f"{self._cluster} specialist {number}",
            "plain": f"plain {number}",
            "random": f"{self._cluster} random {number}",
            "longer": f"{k} longer",
            "wider": f"{k} wider",
            "warm": f"{self._cluster} warm {number}",
            "plain_warm": f"warm plain {number}",
            "random_warm": f"{self._cluster} warm random {number}",
        }[ensemble.scheme]
        seed = "" if is_own else f"seed {ensemble.seed}"
        rest = "".join(BETWEEN + part for part in (seed, what) if part)
        return self.run.head.name[: LONGEST_NAME - len(rest)].rstrip() + rest

    @property
    def _cluster(self) -> str:
        """How a grouping is named: "k3", "k3 m1.5", "k3 hard"."""
        method, m = self.grouping.method, self.grouping.fuzzifier
        softness = f" m{m:g}" if method in ("soft", "fcm") and m != 2 else ""
        return f"k{self.grouping.k}{softness}" + f" {method}" * (method != "soft")

    # ------------------------------------------------------------------------------- what came back

    @cached_property
    def found(self) -> dict[TrainingSpec, Found]:
        """What came back for every log that is due, by what it is to be."""
        return self._found(self.plan)

    def _found(self, plan: Plan) -> dict[TrainingSpec, Found]:
        return {spec: self._find(due) for spec, due in self._due(plan).items()}

    def _find(self, due: Due) -> Found:
        run = self._by_title.get(_plain(due.name))
        if due.name == self.run.head.name:
            run = self.run
        if run is None:
            return Found(due, None)
        is_marked = run.head.source.startswith(MARK)
        return Found(due, run, self._problem_of(due, run), due.scheme in ROUTED and not is_marked)

    def _problem_of(self, due: Due, run: LoggedRun) -> str:
        problem = _of_tasks(due, run, self.run)
        if not problem and run.keeps_logits and self._mtl.keeps_logits:
            problem = _of_points(run, self._mtl, self._mtl.title)
        return problem or _of_epochs(due, run) or _of_weights(due, run)

    @cached_property
    def _mtl(self) -> LoggedRun:
        """The log whose points all others are compared with: the run, or what stands in for it."""
        stands_in = self._by_title.get(_plain(self.run.head.name + BETWEEN + "mtl"))
        return self.run if self.run.keeps_logits or stands_in is None else stands_in

    def _seeds_that_are_back(self) -> tuple[int, ...]:
        own = self.run.spec.seed
        pattern = re.compile(re.escape(_plain(self.run.head.name)) + r" / seed (\d{1,9})( / .*)?")
        named_ones = {int(m[1]) for title in self._by_title if (m := pattern.fullmatch(title))}
        seeds = [own]
        for seed in sorted(named_ones - {own}):
            with suppress(UserError):  # seeds whose plain ensembles would share models
                self._plan((*seeds, seed))
                seeds += [seed] * self._specialists_are_back(seed)
        return tuple(seeds)

    def _specialists_are_back(self, seed: int) -> bool:
        found = self._found(self._plan((seed,)))
        return all(one.is_whole for one in found.values() if one.due.scheme == "specialists")

    def get(self, spec: TrainingSpec, /) -> Run | None:
        """The log that is a training of the plan; None where it is not there, or not whole.

        Its points were compared with the run's, whose digest it gets: a log of fewer tasks has
        another one.
        """
        found = self.found.get(spec)
        if found is None or found.run is None or found.problem:
            return None
        images = self.run.provenance["images"]
        return dataclasses.replace(found.run, provenance={**found.run.provenance, "images": images})

    # ------------------------------------------------------------------------------- what is judged

    @cached_property
    def whole(self) -> tuple[str, ...]:
        """The schemes of which every log of every seed is back."""
        return tuple(scheme for scheme in self.plan.schemes if not self._lacking(scheme))

    def _lacking(self, scheme: str) -> list[Found]:
        specs = [spec for e in self.plan.ensembles if e.scheme == scheme for spec in e.trainings]
        found = [self.found[spec] for spec in dict.fromkeys(specs)]
        return [one for one in found if not one.is_whole]

    def shown(self) -> list[Found]:
        """What people look for: of MTL, specialists and their controls, and whatever else came."""
        return [
            one for one in self.found.values() if one.due.scheme in EXPECTED or one.run is not None
        ]

    def missing(self) -> list[Missing]:
        """What is expected or was begun, and is not whole; controls among it."""
        begun = {one.due.scheme for one in self.found.values() if one.run is not None}
        return [
            self._missing(scheme, lacking)
            for scheme in self.plan.schemes
            if (scheme in EXPECTED or scheme in begun) and (lacking := self._lacking(scheme))
        ]

    def _missing(self, scheme: str, lacking: Sequence[Found]) -> Missing:
        size = self.grouping.k if scheme == "wider" else 1
        cost = size * sum(one.due.epochs for one in lacking) / self.run.spec.epochs
        took = self.run.progress.seconds
        return Missing(scheme, tuple(lacking), cost, cost * took if took else None)

    def judged(self, schemes: Sequence[str] = ()) -> Plan:
        """The plan of what is judged, with what its logs did cost; schemes: by default all whole.

        Raises UserError where one of them is not whole, or nothing but MTL is.
        """
        for scheme in schemes:
            if scheme not in self.plan.schemes:
                raise UserError(
                    f"There is no scheme {scheme!r} of logs; choose from"
                    f" {', '.join(self.plan.schemes)}."
                )
            if lacking := self._lacking(scheme):
                raise UserError(_about_lacking(scheme, lacking))
        schemes = tuple(dict.fromkeys(schemes)) or self.whole
        if not self._mtl.keeps_logits:
            raise UserError(_about_lacking("mtl", self._lacking("mtl")))
        if not {*schemes} - {"mtl"}:
            raise UserError(_about_lacking("specialists", self._lacking("specialists")))
        ensembles = [
            self._with_costs(ensemble)
            for scheme in schemes
            for ensemble in self.plan.ensembles
            if ensemble.scheme == scheme
        ]
        return dataclasses.replace(self.plan, schemes=schemes, ensembles=tuple(ensembles))

    def _with_costs(self, ensemble: Ensemble) -> Ensemble:
        """Counted by the epochs that were logged; a model is as large as MTL's, unless wider."""
        runs = [self.found[spec].run for spec in ensemble.trainings]
        size = ensemble.serving_cost if ensemble.scheme == "wider" else 1.0
        epochs = sum(run.spec.epochs for run in runs if run)
        cost = size * epochs / self.run.spec.epochs + ensemble.groupings
        return dataclasses.replace(ensemble, training_cost=cost)

    def report_steps(
        self, plan: Plan, resamples: int = RESAMPLES
    ) -> Iterator[tuple[int, int, dict[str, Any] | None]]:
        """As `report.report_steps`, of a plan of `judged`; with "logs", which log is which."""
        for done, total, report in report_steps(plan, self, resamples):
            if report is not None:
                logs = {
                    one.due.name: one.run.id for s in plan.trainings if (one := self.found[s]).run
                }
                report |= {"run": self.run.id, "title": self.run.title, "logs": logs}
            yield done, total, report

    def to_train(self, schemes: Sequence[str] = ()) -> list[Due]:
        """The logs that one's own loop is to make.

        schemes: by default the specialists and their controls, those that are not back yet.
        """
        due = {spec: one.due for spec, one in self.found.items()}
        if schemes:
            own = self.run.head.name
            return [one for one in due.values() if one.scheme in schemes and one.name != own]
        back = {spec for spec, one in self.found.items() if one.is_whole}
        return [d for spec, d in due.items() if d.scheme in EXPECTED and spec not in back]


def _plain(name: str) -> str:
    return " ".join(name.casefold().split())


def _wider(mtl: Ensemble, times: int) -> Ensemble:
    """One model of all tasks that is as large as all specialists; how large, its name says."""
    spec = dataclasses.replace(mtl.specs[0], width=float(times), recorded_epochs=())
    cost = float(times)
    return dataclasses.replace(
        mtl, scheme="wider", specs=(spec,), training_cost=cost, serving_cost=cost
    )


# ------------------------------------------------------------------------ why a log is not judged


def _of_tasks(due: Due, run: LoggedRun, grouped: LoggedRun) -> str:
    names, known = run.spec.tasks, grouped.spec.group
    if lacking := [task for task in due.spec.tasks if task not in names]:
        return f"It lacks the task{'s' * (len(lacking) > 1)} {', '.join(lacking)}."
    if strange := [task for task in names if task not in known.task_names]:
        return f"It has other tasks than {named(grouped.title)}: {', '.join(strange)}."
    for name in names:
        own, other = run.spec.group.task(name), known.task(name)
        if (own.kind, own.width) != (other.kind, other.width):
            return (
                f"{name} is {_kind(own.kind, own.width)} there, and"
                f" {_kind(other.kind, other.width)} in {named(grouped.title)}."
            )
    return ""


def _kind(kind: str, width: int) -> str:
    return f"a task of {width} classes" if kind == "multiclass" else f"a {kind} task"


def _of_points(run: LoggedRun, mtl: LoggedRun, title: str) -> str:
    """Whether its test points, and the training points that are measured, are those of MTL."""
    shared = [task for task in run.spec.tasks if task in mtl.spec.tasks]
    for split in SPLITS:
        if _are_equal(run, mtl, split):
            continue
        kind = "test" if split == "test" else "training"
        one, other = (_labels(log, split, shared) for log in (run, mtl))
        if len(one) != len(other):
            return (
                f"It has {counted(len(one), f'{kind} point')}, and {named(title)} has"
                f" {len(other):,}: log the same points, in the same order."
            )
        alike = np.isclose(one, other, rtol=1e-4, equal_nan=True).all(axis=1)
        if differing := int((~alike).sum()):
            return (
                f"Its {kind} points are others: {differing:,} of {len(one):,} have other labels"
                f" than in {named(title)}. Log the same points, in the same order."
            )
    return ""


def _are_equal(run: LoggedRun, other: LoggedRun, split: str) -> bool:
    """Whether two logs have the same tasks and labels: the usual case, which is quick."""
    if run.spec.tasks != other.spec.tasks:
        return False
    if split == "train" and run.head.labels == other.head.labels:
        return True
    one, two = (log.log.array(f"{split}_labels") for log in (run, other))
    return np.array_equal(one, two, equal_nan=True)


def _labels(run: LoggedRun, split: str, tasks: Sequence[str]) -> NDArray[np.float32]:
    """Of some tasks, (N, tasks), NaN where one is missing."""
    labels = run.labels(split)[:, [run.spec.tasks.index(task) for task in tasks]]
    if labels.dtype.kind == "i":
        return np.where(labels < 0, np.nan, labels).astype(np.float32)
    return labels.astype(np.float32)


def _of_epochs(due: Due, run: LoggedRun) -> str:
    epochs, wanted = run.progress.epoch, due.epochs
    if run.live:
        return f"It is being logged: {epochs} of {counted(wanted, 'epoch')}."
    if epochs * SLACK < wanted and due.scheme == "longer":
        return f"It has {counted(epochs, 'epoch')}, and at equal cost it would have {wanted}."
    if epochs * SLACK < wanted and not run.progress.finished:
        return (
            f"It ended after {epochs} of {counted(wanted, 'epoch')}: log the rest, or end it with"
            " log.close() if these are all."
        )
    if not run.keeps_logits:
        return (
            "It has no outputs for test points: call log.test(outputs) before every"
            " log.end_epoch(), of a TaskLog(…, test_labels=…)."
        )
    if run.logit_epochs[-1] != epochs:
        return (
            f"Its last outputs for test points are of epoch {run.logit_epochs[-1]} of {epochs}:"
            " call log.test(outputs) before the last log.end_epoch() too."
        )
    return ""


def _of_weights(due: Due, run: LoggedRun) -> str:
    source = run.head.source
    if due.scheme not in ROUTED or not source.startswith(MARK) or source == due.mark:
        return ""
    return (
        "It was trained with other loss weights than this grouping's: those of another fuzzifier,"
        " of other data maps, or of another cluster."
    )


def _about_lacking(scheme: str, lacking: Sequence[Found]) -> str:
    first = lacking[0]
    name = named(first.due.name, LONGEST_NAME)
    state = f"cannot be judged. {first.problem}" if first.run else "is not there."
    more = f" Nor can {len(lacking) - 1} more of its logs be judged." if len(lacking) > 1 else ""
    return f"Not judged yet, for {SCHEME_NAMES[scheme]}: the log {name} {state}{more}"
