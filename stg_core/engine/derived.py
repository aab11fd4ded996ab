"""Slow results that follow from a run: computed once per run and choice, and kept in the cache.

The command line computes them where it is (`kept_layout`, `kept_choice`). The app asks `Derived`,
which lets the command line do it in the background and says what there is so far.

Whoever computes notes in the cache how far it is and what there is of it: a page shows that, and
whoever computes it again, after a kill, goes on from there. No clock ends it: how much there is to
do is bounded before it begins (`largest_k`).
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import cache
from itertools import chain
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from threadpoolctl import threadpool_limits

from stg_core.engine.command import Command
from stg_core.results.run import Run
from stg_core.results.store import BUNDLES, Store
from stg_core.system.files import atomic

if TYPE_CHECKING:
    # slow to import, and the app's first page does without them
    from stg_core.grouping.choosing import Choice
    from stg_core.grouping.every_k import AtK
    from stg_core.grouping.layout import TaskMap
    from stg_core.grouping.memberships import TaskSpace
    from stg_core.judging.brought_back import BroughtBack
    from stg_core.judging.plan import Plan
    from stg_core.judging.report import Trained

BUNDLED_ANSWERS = BUNDLES / "derived.json"
FORMAT = 1  # of the kept values, and of the methods behind them
REPORT_FORMAT = 7  # of reports and verdicts
QUALITY_FORMAT = 2  # of the quality of every k
AT_ONCE, REMEMBERED = 2, 200
TABLES = 24  # groupings of every k that are kept in memory: 0.4 MB each for a hundred tasks
SO_FAR, PROGRESS = " so far", " progress"  # added to the key of a question that is not answered
NOTE_EVERY = 0.5  # seconds between two notes of how far it is
BEFOREHAND = ("soft", "hard")  # methods whose quality is quick once stability is known

T = TypeVar("T")

_worker = ThreadPoolExecutor(1, thread_name_prefix="every-k")


@dataclass(frozen=True)
class Progress:
    """How many of the steps of a slow result are done, and what they are ("values of k")."""

    done: int
    total: int
    unit: str

    @property
    def share(self) -> float:
        """In [0, 1]."""
        return min(self.done / max(self.total, 1), 1.0)

    def __str__(self) -> str:
        return f"{self.done} of {self.total} {self.unit}"


@dataclass(frozen=True)
class Answer(Generic[T]):
    """A value, or a problem in a sentence, or neither while it is being computed.

    progress: how far it is, where that is known; so_far: what there is of it; waits: whether it
    has not begun, since others are computed before it; later: whether it will not begin before its
    run has ended.
    """

    value: T | None = None
    problem: str = ""
    progress: Progress | None = None
    so_far: T | None = None
    waits: bool = False
    later: bool = False

    @property
    def pending(self) -> bool:
        return self.value is None and not self.problem


@dataclass(frozen=True)
class Question:
    """A slow result: its key in the cache, and the words of the command that puts it there.

    later: whether it is of a run that goes on, and would be another question after every epoch.
    """

    key: str
    words: tuple[str, ...]
    later: bool = False


def layout_question(run: Run, space: TaskSpace, how: str) -> Question:
    return question_of(run, space, "layout", "--how", how)


def stability_question(run: Run, space: TaskSpace) -> Question:
    return question_of(run, space, "choose")


def quality_question(run: Run, space: TaskSpace, fuzzifier: float, method: str) -> Question:
    options = ["--method", method]
    if method != "points":  # on which it has no effect
        options += ["--fuzzifier", repr(float(fuzzifier))]
    asked = question_of(run, space, "choose", *options)
    return replace(asked, key=f"{asked.key} {QUALITY_FORMAT}")


def report_question(trained: Trained, run: Run, space: TaskSpace, plan: Plan) -> Question:
    """The judgement of a plan; another question once one of its trainings is another.

    trained: what has them, the store or what was brought back.
    """
    from stg_core.judging.plan import WARM

    grouping = plan.grouping
    asked = question_of(
        run,
        space,
        "specialists",
        "--only-judge",
        *("--k", str(grouping.k), "--fuzzifier", repr(float(grouping.fuzzifier))),
        *("--method", grouping.method),
        *("--schemes", ",".join(plan.schemes), "--seeds", ",".join(map(str, plan.seeds))),
        *(("--warm-share", repr(float(plan.warm_share))) if {*WARM} & {*plan.schemes} else ()),
    )
    trainings = [(spec.key, trained.get(spec)) for spec in plan.trainings]
    made = [[key, run and run.provenance.get("created")] for key, run in trainings]
    digest = hashlib.sha256(json.dumps([REPORT_FORMAT, made]).encode()).hexdigest()[:16]
    return replace(asked, key=f"{asked.key} {digest}")


def question_of(run: Run, space: TaskSpace, command: str, *options: str) -> Question:
    """Of a command on a run and the data maps that its tasks are placed by."""
    epochs, features = ",".join(map(str, space.epochs)), ",".join(space.features)
    words = (command, run.id, "--recorded-epochs", epochs, "--features", features, *options)
    created = str(run.provenance.get("created", ""))
    return Question(" ".join(["derived", str(FORMAT), created, *words]), words, run.live)


# ------------------------------------------------------------------------------ computed here


Tell = Callable[[Progress], object]
Step = tuple[Progress, Any]  # with what there is so far, after the last step the answer


def _told_to_nobody(_: Progress) -> None:
    pass


def kept_layout(
    store: Store, run: Run, space: TaskSpace, how: str, tell: Tell = _told_to_nobody
) -> TaskMap:
    """`task_map`, from the cache where it is slow and was computed before."""
    from stg_core.grouping.layout import is_quick, task_map

    if is_quick(space, how):
        return task_map(space, how)

    def steps(_: Any) -> Iterator[Step]:
        yield Progress(1, 1, "maps"), _plain_map(task_map(space, how))

    return _map_from(_kept(store, layout_question(run, space, how), steps, tell))


def kept_choice(
    store: Store,
    run: Run,
    space: TaskSpace,
    fuzzifier: float,
    method: str,
    tell: Tell = _told_to_nobody,
) -> Choice:
    """`choose`, with what is slow from the cache where it was computed before."""
    from stg_core.grouping.choosing import (
        QUALITY,
        Quality,
        Stability,
        choose,
        every_k,
        quality_by_k,
        stability_by_k,
    )

    total = len(every_k(len(space.tasks)))

    def stability_steps(begun: Any) -> Iterator[Step]:
        first = Stability(**begun) if begun else Stability([], [], [])
        for found in chain([first], stability_by_k(space, first)):
            yield Progress(len(found.mean), total, "values of k"), asdict(found)

    def quality_steps(begun: Any) -> Iterator[Step]:
        first = Quality(**begun) if begun else Quality({name: [] for name in QUALITY}, [])
        for found in chain([first], quality_by_k(space, fuzzifier, method, first)):
            yield Progress(len(found.problems), total, "values of k"), asdict(found)

    found = Stability(**_kept(store, stability_question(run, space), stability_steps, tell))
    quality = None
    if method not in BEFOREHAND:
        question = quality_question(run, space, fuzzifier, method)
        quality = Quality(**_kept(store, question, quality_steps, tell))
    return choose(space, found, fuzzifier, method, quality)


def kept_report(
    store: Store,
    run: Run,
    space: TaskSpace,
    plan: Plan,
    tell: Tell = _told_to_nobody,
    back: BroughtBack | None = None,
) -> dict[str, Any]:
    """`make_report`, from the cache where the same trainings were judged before.

    back: of a logged run, which of the other logs are its trainings.
    """
    from stg_core.judging.report import report_steps

    def steps(_: Any) -> Iterator[Step]:
        for done, total, report in back.report_steps(plan) if back else report_steps(plan, store):
            yield Progress(done, total, "ensembles"), report

    question = report_question(back or store, run, space, plan)
    report: dict[str, Any] = _kept(store, question, steps, tell)
    return report


def bundle_answers(store: Store, run: Run) -> None:
    """Puts what a bundled run's pages ask for first into the bundles, for those who open them."""
    from stg_core.grouping.memberships import TaskSpace

    space = TaskSpace(run.summary)
    kept_choice(store, run, space, 2.0, "soft")
    kept_layout(store, run, space, "umap")
    answers = {
        question.key: _known(store, question.key)
        for question in (stability_question(run, space), layout_question(run, space, "umap"))
    }
    text = json.dumps({**bundled_answers(), **answers}, separators=(",", ":"), sort_keys=True)
    with atomic(BUNDLED_ANSWERS) as file:
        file.write(text.encode())


@cache
def bundled_answers() -> dict[str, Any]:
    """Answers that came with the bundled runs, by the key of their question."""
    try:
        return dict(json.loads(BUNDLED_ANSWERS.read_text()))
    except (OSError, ValueError):  # they are computed then
        return {}


def _known(store: Store, key: str) -> Any:
    value = store.cache.get(key)
    return bundled_answers().get(key) if value is None else value


def _kept(
    store: Store, question: Question, steps: Callable[[Any], Iterator[Step]], tell: Tell
) -> Any:
    """The answer, from the cache; or the last of the steps, which go on from what is noted there.

    The two notes: how far it is, which is read again and again, and what there is so far.
    """
    key, value = question.key, _known(store, question.key)
    if value is not None:
        return value
    noted = 0.0
    with threadpool_limits(1):  # many small steps, at which two threads wait for each other
        for progress, value in steps(store.cache.get(key + SO_FAR)):
            tell(progress)
            if time.monotonic() - noted < NOTE_EVERY:
                continue
            with suppress(Exception):  # it is no less true where it cannot be kept
                if value is not None:
                    store.cache[key + SO_FAR] = value
                store.cache[key + PROGRESS] = asdict(progress)
            noted = time.monotonic()
    with suppress(Exception):
        store.cache[key] = value
        for note in (SO_FAR, PROGRESS):
            store.cache.delete(key + note)
    return value


def _plain_map(found: TaskMap) -> dict[str, Any]:
    return {**asdict(found), "positions": found.positions.tolist()}


def _map_from(value: dict[str, Any]) -> TaskMap:
    import numpy as np

    from stg_core.grouping.layout import TaskMap

    return TaskMap(**{**value, "positions": np.array(value["positions"])})


def kept_every_k(store: Store, run: Run, space: TaskSpace, usual: TaskSpace) -> dict[int, AtK]:
    """`groupings_of_every_k`, with the k-means labels from the cache if computed before."""
    from stg_core.grouping.every_k import every_k, groupings_of_every_k

    key, ks = question_of(run, space, "every-k").key, every_k(len(space.tasks))
    known = _known(store, key)
    if known:
        space.remember({max(labels) + 1: labels for labels in known})
    labels = [space.kmeans_labels(k).tolist() for k in ks]
    if not known:
        with suppress(Exception):  # it is no less true where it cannot be kept
            store.cache[key] = labels
    return groupings_of_every_k(space, usual)


# ------------------------------------------------------------------------------ in the background


class Derived:
    """Answers at once with what is known, and has the rest computed by processes of its own.

    At most two at a time, never two for one question, at a low priority; they end with this
    process. Ask as often as you like: an answer that is not there yet costs some microseconds.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self._known: dict[str, Any] = {}
        self._problems: dict[str, str] = {}
        self._so_far: dict[str, tuple[Progress, Any]] = {}
        self._running: dict[str, Command] = {}
        self._tables: dict[str, Future[dict[int, AtK]]] = {}
        self._lock = threading.Lock()

    def layout(self, run: Run, space: TaskSpace, how: str) -> Answer[TaskMap]:
        """`task_map`; "pca", and "mds" of few tasks, at once, else in the background."""
        from stg_core.grouping.layout import is_quick, task_map

        question = layout_question(run, space, how)
        if is_quick(space, how) and question.key not in self._known:
            self._remember(question.key, _plain_map(task_map(space, how)))
        answer = self.get(question)
        if answer.value is not None:
            return Answer(_map_from(answer.value))
        return replace(answer, so_far=None)

    def choice(self, run: Run, space: TaskSpace, fuzzifier: float, method: str) -> Answer[Choice]:
        """`choose`; all that is slow in the background, for "soft" and "hard" once for all."""
        from stg_core.grouping.choosing import Quality, Stability, choose

        found = self.get(stability_question(run, space))
        quality: Answer[Any] = Answer()
        if found.value is not None and method not in BEFOREHAND:
            quality = self.get(quality_question(run, space, fuzzifier, method))
        last = found if found.value is None or method in BEFOREHAND else quality
        stability, known = found.value or found.so_far, quality.value or quality.so_far
        choice = None
        if stability and (known or method in BEFOREHAND):
            qualities = Quality(**known) if known else None
            choice = choose(space, Stability(**stability), fuzzifier, method, qualities)
        if last.value is not None:
            return Answer(choice)
        return replace(last, value=None, so_far=choice)

    def every_k(self, run: Run, space: TaskSpace, usual: TaskSpace) -> Answer[dict[int, AtK]]:
        """`kept_every_k`, by a thread of this process: a command would take longer to begin."""
        question = question_of(run, space, "every-k")
        if question.later:
            return Answer(later=True)
        with self._lock:
            table = self._tables.get(question.key)
            if table is None:
                table = _worker.submit(kept_every_k, self.store, run, space, usual)
                self._tables[question.key] = table
                while len(self._tables) > TABLES:
                    self._tables.pop(next(iter(self._tables))).cancel()
        if not table.done():
            return Answer()
        problem = table.exception()
        return Answer(problem=str(problem)) if problem else Answer(table.result())

    def report(
        self, run: Run, space: TaskSpace, plan: Plan, back: BroughtBack | None = None
    ) -> Answer[dict[str, Any]]:
        """`make_report`, in the background; back: as for `kept_report`."""
        return self.get(report_question(back or self.store, run, space, plan))

    def get(self, question: Question) -> Answer[Any]:
        """The answer as plain values; asks for it where nobody has."""
        key = question.key
        if question.later and key not in self._known:
            return Answer(later=True)
        with self._lock:
            self._collect()
            if not (key in self._known or key in self._problems or key in self._running):
                value = _known(self.store, key)
                if value is not None:
                    self._remember(key, value)
                elif len(self._running) < AT_ONCE:
                    self._running[key] = Command(self.store, question.words)
            if key in self._known:
                return Answer(self._known[key])
            problem = self._problems.get(key, "")
            waits = not problem and key not in self._running
            return Answer(None, problem, *self._noted(key), waits)

    def _noted(self, key: str) -> tuple[Progress | None, Any]:
        """How far a result is, and what there is of it; read anew once it is further."""
        noted = self.store.cache.get(key + PROGRESS)
        if noted is None:
            return None, None
        progress, so_far = self._so_far.get(key, (None, None))
        if progress != Progress(**noted):
            progress, so_far = Progress(**noted), self.store.cache.get(key + SO_FAR)
            self._so_far[key] = progress, so_far
        return progress, so_far

    def forget(self, question: Question) -> None:
        """Of an answer that no longer holds: the next question for it begins anew."""
        with self._lock:
            self._known.pop(question.key, None)
            self.store.cache.delete(question.key)

    def ask_again(self) -> None:
        """Forgets what failed, so that the next question for it begins anew."""
        with self._lock:
            self._problems.clear()

    def stop(self) -> None:
        """Ends what is being computed."""
        with self._lock:
            for process in self._running.values():
                process.end()
            self._running.clear()

    def _collect(self) -> None:
        for key, process in list(self._running.items()):
            problem = process.problem()
            if problem is None:
                continue
            del self._running[key]
            self._so_far.pop(key, None)
            value = self.store.cache.get(key)
            if value is None:
                self._problems[key] = (
                    problem
                    or "It was computed, but the cache in the results folder did not keep it."
                )
            else:
                self._remember(key, value)

    def _remember(self, key: str, value: Any) -> None:
        self._known[key] = value
        while len(self._known) > REMEMBERED:
            del self._known[next(iter(self._known))]
