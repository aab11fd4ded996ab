"""The engine's way to a scheduler: one on this machine, or the cluster of `STG_SCHEDULER`."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stg_core.engine.own_processes import START_SECONDS, OwnProcesses
from stg_core.engine.worker import DEVICE, TOPIC
from stg_core.system.errors import UserError
from stg_core.system.extras import lacking_to_train

if TYPE_CHECKING:
    from distributed import Client

ANSWER_SECONDS = 10  # for a scheduler that runs
AGAIN_SECONDS = 5
LOOK_SECONDS = 0.5
PATIENCE_SECONDS = 5  # for a cluster to have a worker that can train


class Connection:
    """Opened when it is first needed, watched, and opened again when it breaks.

    folder: of results; hear: takes every event of a training; again: is called when it broke, until
    it is open once more; lacks: is told why nothing can train, and "" when it can again.

    client: None while there is no connection; problem: why it could not be opened, for people;
    lack: what the scheduler lacks, for people.
    """

    def __init__(
        self,
        folder: Path,
        hear: Callable[[tuple[float, Any]], None],
        again: Callable[[], None],
        lacks: Callable[[str], None],
    ) -> None:
        self.client: Client | None = None
        self.problem = self.lack = ""
        self.own = OwnProcesses(folder)
        self.closed = False
        self._hear, self._again, self._lacks = hear, again, lacks
        self._opening = threading.Lock()

    def open(self) -> bool:
        """Whether it had to be opened; takes seconds then. Raises what keeps it from opening."""
        with self._opening:
            if self.client is not None or self.closed:
                return False
            try:
                self.client = self._connect()
            except Exception as error:
                self.own.end()
                self.problem = f"Trainings cannot start: {error}"
                raise
            self.problem = ""
            self.client.subscribe_topic(TOPIC, self._hear)
            watch = partial(self._watch, self.client, self.client.scheduler_comm)
            threading.Thread(target=watch, daemon=True, name="engine-watch").start()
            return True

    def close(self) -> None:
        """For good, and with it the processes that are its own."""
        self.closed = True
        with self._opening:
            if self.client is not None:
                self.client.close(timeout=5)
                self.client = None
            self.own.end()

    def _connect(self) -> Client:
        if lacking := lacking_to_train():
            raise UserError(lacking)
        if address := os.environ.get("STG_SCHEDULER"):
            try:
                return _client(address, timeout=ANSWER_SECONDS)
            except (OSError, ValueError, TypeError) as error:  # as it says what it cannot reach
                raise UserError(
                    f"The scheduler {address} does not answer ({error}). Start it, or unset"
                    " STG_SCHEDULER to train on this machine."
                ) from error
        address, security = self.own.start()
        return _client(address, security=security, timeout=START_SECONDS)

    def _watch(self, client: Client, connection: object) -> None:
        """Looks for what it lacks, until a process of its own died or the scheduler went away."""
        could_train = time.monotonic()
        while client.scheduler_comm is connection and client.status == "running":
            if self.own.any_ended:
                break
            with contextlib.suppress(Exception):  # of a scheduler that is just going away
                lack = self._lack_of(client.scheduler_info()["workers"])
                could_train = could_train if lack else time.monotonic()
                patience = START_SECONDS if self.own.processes else PATIENCE_SECONDS
                self._say_lack(lack if time.monotonic() - could_train >= patience else "")
            time.sleep(LOOK_SECONDS)
        with self._opening:
            if self.closed or self.client is not client:
                return
            self.client = None
            self.own.end()
        with contextlib.suppress(Exception):  # it cannot take leave of a scheduler that is gone
            client.close(timeout=1)
        while not self.closed:
            with contextlib.suppress(Exception):  # it says itself what its problem is
                return self._again()
            time.sleep(AGAIN_SECONDS)

    def _lack_of(self, workers: Mapping[str, Mapping[str, Any]]) -> str:
        """Why no worker can train, and what to do; empty where one can."""
        [(resource, amount)] = DEVICE.items()
        if any(worker["resources"].get(resource, 0) >= amount for worker in workers.values()):
            return ""
        if self.own.processes:
            return f"The process that trains does not start; {self.own.log} may say why."
        address, offer = os.environ.get("STG_SCHEDULER", ""), f"{resource}={amount}"
        has = "no worker"
        if workers:
            has = "1 worker" if len(workers) == 1 else f"{len(workers)} workers"
            has += f", and none that offers the resource {offer}"
        return (
            f"Nothing can be trained: the scheduler {address} has {has}. Start one that does, on"
            f" any machine that has this project: dask worker {address} --nthreads 1"
            f" --resources {offer}"
        )

    def _say_lack(self, lack: str) -> None:
        if lack != self.lack:
            self.lack = lack
            self._lacks(lack)


def _client(address: str, **options: Any) -> Client:
    """A client that is connected, or else closed at once.

    Left to the garbage collector, one that is not may be closed while another one starts: both wait
    for the same lock then, and that one does not start.
    """
    from distributed import Client

    client = Client.__new__(Client)
    try:
        client.__init__(address, set_as_default=False, **options)  # type: ignore[misc]
    except BaseException:
        client.close()
        raise
    return client
