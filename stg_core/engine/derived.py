"""Slow results that follow from a run: computed once per run and choice, and kept in the cache.

The command line computes them where it is (`kept_layout`, `kept_choice`). The app asks `Derived`,
which lets the command line do it in the background and says what there is so far.
"""

from __future__ import annotations

import hashlib
import json
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cache
from typing import IO, TYPE_CHECKING, Any, Generic, TypeVar

from threadpoolctl import threadpool_limits

from stg_core.results.store import BUNDLES, Run, Store
from stg_core.system.files import atomic
from stg_core.system.guard import environment

if TYPE_CHECKING:
    # slow to import, and the app's first page does without them
    from stg_core.grouping.choosing import Choice
    from stg_core.grouping.layout import TaskMap
    from stg_core.grouping.memberships import TaskSpace
    from stg_core.judging.plan import Plan

BUNDLED_ANSWERS = BUNDLES / "derived.json"
FORMAT = 1  # of the kept values, and of the methods behind them
REPORT_FORMAT = 4  # of reports and verdicts
QUALITY_FORMAT = 2  # of the quality of every k
AT_ONCE, LIMIT_SECONDS, REMEMBERED = 2, 900, 200
BEFOREHAND = ("soft", "hard")  # methods whose quality is quick once stability is known

T = TypeVar("T")


@dataclass(frozen=True)
class Answer(Generic[T]):
    """A value, or a problem in a sentence, or neither while it is being computed."""

    value: T | None = None
    problem: str = ""

    @property
    def pending(self) -> bool:
        return self.value is None and not self.problem


@dataclass(frozen=True)
class Question:
    """A slow result: its key in the cache, and the words of the command that puts it there."""

    key: str
    words: tuple[str, ...]


def layout_question(run: Run, space: TaskSpace, how: str) -> Question:
    return _question(run, space, "layout", "--how", how)


def stability_question(run: Run, space: TaskSpace) -> Question:
    return _question(run, space, "choose")


def quality_question(run: Run, space: TaskSpace, fuzzifier: float, method: str) -> Question:
    options = ["--method", method]
    if method != "points":  # on which it has no effect
        options += ["--fuzzifier", repr(float(fuzzifier))]
    asked = _question(run, space, "choose", *options)
    return Question(f"{asked.key} {QUALITY_FORMAT}", asked.words)


def report_question(store: Store, run: Run, space: TaskSpace, plan: Plan) -> Question:
    """The judgement of a plan; another question once one of its trainings is another."""
    grouping = plan.grouping
    asked = _question(
        run,
        space,
        "specialists",
        "--only-judge",
        *("--k", str(grouping.k), "--fuzzifier", repr(float(grouping.fuzzifier))),
        *("--method", grouping.method),
        *("--schemes", ",".join(plan.schemes), "--seeds", ",".join(map(str, plan.seeds))),
    )
    trainings = [(spec.key, store.get(spec)) for spec in plan.trainings]
    made = [[key, run and run.provenance.get("created")] for key, run in trainings]
    digest = hashlib.sha256(json.dumps([REPORT_FORMAT, made]).encode()).hexdigest()[:16]
    return Question(f"{asked.key} {digest}", asked.words)


def _question(run: Run, space: TaskSpace, command: str, *options: str) -> Question:
    epochs, features = ",".join(map(str, space.epochs)), ",".join(space.features)
    words = (command, run.id, "--recorded-epochs", epochs, "--features", features, *options)
    created = str(run.provenance.get("created", ""))
    return Question(" ".join(["derived", str(FORMAT), created, *words]), words)


# ------------------------------------------------------------------------------ computed here


def kept_layout(store: Store, run: Run, space: TaskSpace, how: str) -> TaskMap:
    """`task_map`, from the cache where it is slow and was computed before."""
    from stg_core.grouping.layout import task_map

    if how != "umap":
        return task_map(space, how)
    question = layout_question(run, space, how)
    return _map_from(_kept(store, question, lambda: _plain_map(task_map(space, how))))


def kept_choice(store: Store, run: Run, space: TaskSpace, fuzzifier: float, method: str) -> Choice:
    """`choose`, with what is slow from the cache where it was computed before."""
    from stg_core.grouping.choosing import (
        Quality,
        Stability,
        choose,
        quality_for_every_k,
        stability,
    )

    question = stability_question(run, space)
    found = Stability(**_kept(store, question, lambda: asdict(stability(space))))
    quality = None
    if method not in BEFOREHAND:
        question = quality_question(run, space, fuzzifier, method)
        quality = Quality(
            **_kept(store, question, lambda: asdict(quality_for_every_k(space, fuzzifier, method)))
        )
    return choose(space, found, fuzzifier, method, quality)


def kept_report(store: Store, run: Run, space: TaskSpace, plan: Plan) -> dict[str, Any]:
    """`make_report`, from the cache where the same trainings were judged before."""
    from stg_core.judging.report import make_report

    question = report_question(store, run, space, plan)
    report: dict[str, Any] = _kept(store, question, lambda: make_report(plan, store))
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


def _kept(store: Store, question: Question, compute: Callable[[], Any]) -> Any:
    value = _known(store, question.key)
    if value is None:
        with threadpool_limits(1):  # many small steps, at which two threads wait for each other
            value = compute()
        with suppress(Exception):  # it is no less true where it cannot be kept
            store.cache[question.key] = value
    return value


def _plain_map(found: TaskMap) -> dict[str, Any]:
    return {**asdict(found), "positions": found.positions.tolist()}


def _map_from(value: dict[str, Any]) -> TaskMap:
    import numpy as np

    from stg_core.grouping.layout import TaskMap

    return TaskMap(**{**value, "positions": np.array(value["positions"])})


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
        self._running: dict[str, _Process] = {}
        self._lock = threading.Lock()

    def layout(self, run: Run, space: TaskSpace, how: str) -> Answer[TaskMap]:
        """`task_map`; "pca" and "mds" at once, "umap" in the background."""
        question = layout_question(run, space, how)
        if how != "umap" and question.key not in self._known:
            from stg_core.grouping.layout import task_map

            self._remember(question.key, _plain_map(task_map(space, how)))
        answer = self.get(question)
        return Answer(None if answer.value is None else _map_from(answer.value), answer.problem)

    def choice(self, run: Run, space: TaskSpace, fuzzifier: float, method: str) -> Answer[Choice]:
        """`choose`; all that is slow in the background, for "soft" and "hard" once for all."""
        found = self.get(stability_question(run, space))
        quality: Answer[Any] = Answer()
        if found.value is not None and method not in BEFOREHAND:
            quality = self.get(quality_question(run, space, fuzzifier, method))
        if found.value is None or (method not in BEFOREHAND and quality.value is None):
            return Answer(None, found.problem or quality.problem)
        from stg_core.grouping.choosing import Quality, Stability, choose

        stability = Stability(**found.value)
        known = quality.value and Quality(**quality.value)
        return Answer(choose(space, stability, fuzzifier, method, known))

    def report(self, run: Run, space: TaskSpace, plan: Plan) -> Answer[dict[str, Any]]:
        """`make_report`, in the background."""
        return self.get(report_question(self.store, run, space, plan))

    def get(self, question: Question) -> Answer[Any]:
        """The answer as plain values; asks for it where nobody has."""
        key = question.key
        with self._lock:
            self._collect()
            if not (key in self._known or key in self._problems or key in self._running):
                value = _known(self.store, key)
                if value is not None:
                    self._remember(key, value)
                elif len(self._running) < AT_ONCE:
                    self._running[key] = _Process(self.store, question)
            return Answer(self._known.get(key), self._problems.get(key, ""))

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


class _Process:
    """One command that computes the answer to a question."""

    def __init__(self, store: Store, question: Question) -> None:
        self._began = time.monotonic()
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115, read when it ends
        self._process = subprocess.Popen(
            [sys.executable, "-m", "stg_core", *question.words, "--json"],
            env={**environment(), "STG_HOME": str(store.folder)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=self._errors,
        )

    def problem(self) -> str | None:
        """None while it runs; then empty, or what went wrong."""
        code = self._process.poll()
        if code is None:
            if time.monotonic() - self._began < LIMIT_SECONDS:
                return None
            self.end()
            return f"It took longer than {LIMIT_SECONDS // 60} minutes and was given up."
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        self._errors.close()
        if code == 0:
            return ""
        if code == 2 and lines:
            return lines[-1].removeprefix("stg_core: ")
        if code < 0:
            return f"Its process was ended ({signal.Signals(-code).name})."
        return f"It failed unexpectedly ({lines[-1] if lines else f'exit code {code}'})."

    def end(self) -> None:
        self._process.kill()
        self._process.wait()
        self._errors.close()
