"""Tables of one's own tasks, trained in the background: one after the other, with cancel.

What was asked for is noted in the store, so that a restarted app goes on with it. Each is trained
by a command in a process of its own, through the workers of the engine: one training at a time.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, Protocol

from stg_core.engine.command import Command
from stg_core.engine.errands import Errands
from stg_core.engine.job import for_people
from stg_core.results.store import Store
from stg_core.system.errors import UserError
from stg_core.system.extras import lacking_to_train
from stg_core.training.spec import TrainingSpec

PREFIX = "table:"


class Door(Protocol):
    """An engine, as far as it is needed here."""

    def door(self) -> dict[str, str]:
        """Environment variables by which another process trains with its workers."""


@dataclass
class Asked:
    """A table that was asked for: what to compare, and what became of it.

    problem: why it failed and what to do, or "".
    """

    spec: TrainingSpec
    methods: tuple[str, ...]
    budget: int
    state: Literal["queued", "running", "failed", "cancelled"] = "queued"
    problem: str = ""

    @property
    def key(self) -> str:
        return self.spec.key

    @property
    def active(self) -> bool:
        return self.state in ("queued", "running")

    def record(self) -> dict[str, Any]:
        """As plain JSON, for a later app: what is going on begins again there."""
        return {
            "spec": self.spec.to_json(),
            "methods": list(self.methods),
            "budget": self.budget,
            "state": "queued" if self.active else self.state,
            "problem": self.problem,
        }


def noted(store: Store, key: str) -> Asked | None:
    """What was asked for under that key; None where nothing is noted, or it cannot be read."""
    with suppress(Exception):
        plain = store.cache.get(PREFIX + key)
        spec, methods = TrainingSpec.from_json(plain["spec"]), tuple(plain["methods"])
        return Asked(spec, methods, plain["budget"], plain["state"], plain["problem"])
    return None


class Tables:
    """Has tables trained. Reading is cheap; nothing is trained before `ask` or `go_on`."""

    def __init__(self, store: Store, engine: Door) -> None:
        self.store, self._engine = store, engine
        self._errands, self._lock = Errands(), threading.RLock()
        self._command: Command | None = None
        keys = [key.removeprefix(PREFIX) for key in store.cache if key.startswith(PREFIX)]
        found = [asked for key in keys if (asked := noted(store, key))]
        self._asked = {asked.key: asked for asked in found}

    def all(self) -> list[Asked]:
        """What is going on or did not end well, in the order in which it was asked for."""
        with self._lock:
            return list(self._asked.values())

    def of(self, key: str) -> Asked | None:
        return self._asked.get(key)

    def ask(self, spec: TrainingSpec, methods: Sequence[str], budget: int) -> None:
        """Asks for a table, or for more of it; what is trained for it already stays.

        Raises UserError where this installation cannot train.
        """
        if lacking := lacking_to_train():
            raise UserError(lacking)
        with self._lock:
            known = self._asked.get(spec.key)
            if known and known.active:
                return
            self._begin(Asked(spec, tuple(methods), budget))

    def go_on(self) -> None:
        """Begins what an earlier app did not finish."""
        for asked in self.all():
            if asked.state == "queued":
                self._begin(asked)

    def cancel(self, key: str) -> None:
        """Takes it from the queue, or ends it after the batch it is at; trained groups stay."""
        with self._lock:
            asked = self._asked.get(key)
            if asked is None or not asked.active:
                return
            running, asked.state = asked.state == "running", "cancelled"
            self._note(asked)
            if running and self._command:
                self._command.end()

    def forget(self, key: str) -> None:
        """Leaves nothing of what failed or was cancelled, but for what was trained."""
        with self._lock:
            asked = self._asked.get(key)
            if asked and not asked.active:
                self._drop(key)

    def stop(self) -> None:
        """Ends what is going on; it goes on at the next start."""
        with self._lock:
            for asked in self._asked.values():
                asked.state = "queued" if asked.state == "running" else asked.state
            self._asked = {}
            if self._command:
                self._command.end()

    def _begin(self, asked: Asked) -> None:
        self._asked.pop(asked.key, None)
        self._asked[asked.key] = asked
        self._note(asked)
        self._errands.add(partial(self._train, asked))

    def _train(self, asked: Asked) -> None:
        """In the thread of the errands: begins the command, and waits until it has ended."""
        try:
            door = self._engine.door()
            with self._lock:
                if self._asked.get(asked.key) is not asked or asked.state != "queued":
                    return
                asked.state = "running"
                words = ("methods", "--asked", asked.key)
                self._command = Command(self.store, words, door)
            problem = self._command.wait()
        except Exception as error:
            problem = for_people(error)
        with self._lock:
            self._command = None
            if self._asked.get(asked.key) is not asked or asked.state == "cancelled":
                return
            if problem:
                asked.state, asked.problem = "failed", problem
                self._note(asked)
            else:
                self._drop(asked.key)

    def _note(self, asked: Asked) -> None:
        with suppress(Exception):  # what is not noted is trained no less
            self.store.cache[PREFIX + asked.key] = asked.record()

    def _drop(self, key: str) -> None:
        del self._asked[key]
        with suppress(Exception):
            self.store.cache.delete(PREFIX + key)
