"""Trainings in the background: queue, progress, cancel, resume.

Dask's `distributed` is the engine. By default `Engine` starts a scheduler and one worker on this
machine, which nobody else can reach; with `STG_SCHEDULER` it uses that cluster. A worker trains in
a store of its own, which may be the app's; if it is not, `courier` brings home what comes out. What
was asked for is noted in the store, so that a restarted app goes on with it.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from stg_core.engine import courier
from stg_core.engine.connection import ANSWER_SECONDS, Connection
from stg_core.engine.courier import Known
from stg_core.engine.errands import Errands
from stg_core.engine.job import WAITS, Job, State, follow, for_people, is_lost, noted
from stg_core.engine.notes import JobNotes
from stg_core.engine.speeds import Speeds
from stg_core.engine.worker import DEVICE, measure_job, train_job
from stg_core.results.store import Store
from stg_core.system.errors import Cancelled, UserError
from stg_core.system.extras import lacking_to_train
from stg_core.training.spec import TrainingSpec

if TYPE_CHECKING:
    from distributed import Future

logger = logging.getLogger(__name__)


class Engine:
    """Submits trainings and knows how far they are. Reading is cheap; `start` takes seconds.

    keeps_queue: whether a later engine goes on with what this one did not finish.
    """

    def __init__(self, store: Store, keeps_queue: bool = True) -> None:
        self.store = store
        self._connection = Connection(store.folder, self._on_event, self.start, self._on_lack)
        self._speeds = Speeds(store, self._measured)
        self._notes = JobNotes(store) if keeps_queue else None
        self._errands = Errands()
        self._jobs: dict[str, Job] = {}
        self._futures: dict[str, Future[Any]] = {}
        self._state = threading.RLock()
        self._name = uuid4().hex
        self._kept_on: dict[str, str] = {}  # key → the worker that has more of it than is here
        self._known: dict[str, tuple[str, Known]] = {}  # key → worker, and what is here from it
        self._sent_at: dict[str, float] = {}  # key → share that was done when it was sent
        for key, record in self._notes.all() if self._notes else ():
            job = noted(key, record)
            self._admit(job)
            if job.state == "done" and (run := store.get(job.spec)):
                job.end_with(run.metrics)

    # -------------------------------------------------------------------------------- what it says

    def jobs(self) -> list[Job]:
        """All jobs, newest first, with their place in the queue; none whose result was deleted."""
        with self._state:
            for job in list(self._jobs.values()):
                if job.state == "done" and not self.store.holds(job.key):
                    self._forget(job.key)
            active = [job for job in self._jobs.values() if job.active]
            running = [job for job in active if job.state == "running"]
            queued = [job for job in active if job.state == "queued"]
            queued.sort(key=lambda job: job.turn)
            for place, job in enumerate([*running, *queued]):
                job.place = place if job.state == "queued" else 0
            return list(reversed(self._jobs.values()))

    def job(self, key: str) -> Job | None:
        return next((job for job in self.jobs() if job.key == key), None)

    @property
    def problem(self) -> str:
        """Why nothing can be trained or noted, for people; empty where all is well."""
        said = self._connection.problem, self._connection.lack
        return next(filter(None, (*said, self._notes.problem if self._notes else "")), "")

    @property
    def lack(self) -> str:
        """What the scheduler lacks to train anything, and what to do; empty where it can."""
        return self._connection.lack

    @property
    def busy(self) -> bool:
        """Whether a training is going on, which makes what is measured meanwhile rough."""
        return any(job.state == "running" for job in list(self._jobs.values()))

    def seconds_per_epoch(self, spec: TrainingSpec) -> float | None:
        """Seconds of an epoch on this machine; None while it is measured, or nothing can train.

        From the last run of the same model on the same data where there is one, else from a short
        measurement in the worker. Raises UserError where the spec cannot be measured.
        """
        return None if lacking_to_train() else self._speeds.of(spec)

    # ------------------------------------------------------------------------------- what it takes

    def submit(self, spec: TrainingSpec, owner: str = "") -> str:
        """Asks for a training and returns its key at once; the same spec twice is one job.

        Owners take turns: each one's first training goes before any second one. What a training
        starts from is trained before it, and asked for where it is not here. Raises UserError where
        this installation cannot train and the result is not here.
        """
        if not self.store.holds(spec.key) and (lacking := lacking_to_train()):
            raise UserError(lacking)
        start = spec.starts_from
        if start and not (self.store.holds(spec.key) or self.store.holds(start.key)):
            self.submit(start, owner)
        with self._state:
            job = self._jobs.get(spec.key)
            if job and job.active:
                return spec.key
            self._admit(Job(spec.key, spec, owner=owner))
            if self.store.get(spec):
                self._settle(spec.key, "done", "Trained before.")
                return spec.key
            self._note(spec.key)
        self._in_background(lambda: self._send(spec.key))
        return spec.key

    def cancel(self, *keys: str) -> None:
        """Takes jobs from the queue, or ends them after the batch they are at.

        Their checkpoints stay. What another app wants too is trained for that one.
        """
        with self._state:
            for key in keys:
                job, future = self._jobs.get(key), self._futures.pop(key, None)
                if future is not None:
                    future.release()
                self.store.elsewhere.discard(key)
                if job is not None and job.active:
                    begun = job.state == "running"
                    again = "run it again to go on from here." if begun else "it had not begun."
                    job.state, job.message = "cancelled", f"Cancelled; {again}"
                    self._note(key)
            for key in keys:
                self._let_go_on(key)
            if self._notes:
                self._notes.forget_old()

    def end_here(self, key: str) -> str:
        """Ends a training after its last whole epoch, and keeps that as a run of so many epochs.

        Returns the key of that run: that of its spec, so that it is what a training of so many
        epochs gives. Waits until the batch has ended that it is at. Raises UserError where it has
        no two epochs, or somebody else wants it too.
        """
        job = self.job(key)
        self.cancel(key)
        spec = self.store.end_training(key)
        with self._state:
            if spec.key != key and key in self._jobs:
                self._forget(key)
        return self.submit(spec, job.owner if job else "")

    def result_of(
        self, function: Callable[..., Any], *arguments: Any, name: str, priority: int = 0
    ) -> Any:
        """What a function returns in a worker, in turn with the trainings: it is waited for.

        name: the same of all who ask for the same. Raises UserError where it cannot be had.
        """
        try:
            self.start()
            client = self._connection.client
            if client is None:
                raise UserError("Trainings have been stopped.")
            future = client.submit(
                function, *arguments, key=name, resources=DEVICE, priority=priority
            )
            while not future.done():
                if self._connection.lack or self._connection.problem:
                    future.cancel()
                    raise UserError(self._connection.lack or self._connection.problem)
                time.sleep(0.2)
            return future.result()
        except Exception as error:
            raise UserError(for_people(error)) from error

    def door(self) -> dict[str, str]:
        """Environment variables by which another process of this user trains with its workers."""
        self.start()
        return self._connection.own.door

    def start(self) -> None:
        """Starts scheduler and worker, or connects to `STG_SCHEDULER`; sends what is not done."""
        if self._connection.open():
            with self._state:
                self._futures.clear()
            for job in reversed(self.jobs()):
                if job.active:
                    self._send(job.key)

    def stop(self) -> None:
        """Ends the engine's processes; what was running goes on at the next start."""
        self._connection.close()

    # ------------------------------------------------------------------------------------- sending

    def _admit(self, job: Job) -> None:
        """Puts a job behind all others, after those of the same owner that have not ended."""
        self._jobs.pop(job.key, None)
        job.turn = sum(other.active and other.owner == job.owner for other in self._jobs.values())
        self._jobs[job.key] = job

    def _send(self, key: str) -> None:
        self.start()
        client, name = self._connection.client, f"train-{key}"
        if client is None:
            return
        deadline = time.monotonic() + ANSWER_SECONDS
        while name in client.futures and key not in self._futures and time.monotonic() < deadline:
            time.sleep(0.01)  # until it has taken leave of a future of that name that has ended
        with self._state:
            job = self._jobs[key]
            if not job.active or key in self._futures or self._connection.client is not client:
                return
            if (before := self._before(job)) and before.active:
                return  # it is sent when that has ended
            future = client.submit(
                train_job,
                job.spec.to_json(),
                self.store.identity,
                key=name,
                resources=DEVICE,
                priority=-job.turn,
            )
            self._futures[key] = future
            self._sent_at[key] = job.fraction
            self._known.pop(key, None)
        future.add_done_callback(lambda ended: self._on_end(key, ended))

    def _measured(self, spec: TrainingSpec, name: str) -> float:
        """Seconds per epoch as a worker measures them; UserError where none can."""
        return float(self.result_of(measure_job, spec.to_json(), name=name, priority=10))

    def _send_once_more(self, key: str, why_not: str) -> None:
        """Where a job advanced since it was sent, it may well end; else it fails."""
        if self._jobs[key].fraction > self._sent_at[key]:
            self._in_background(lambda: self._send(key))
        else:
            self._settle(key, "failed", why_not)

    def _before(self, job: Job) -> Job | None:
        """The job whose weights another one starts from, if there is one."""
        start = job.spec.starts_from
        return None if start is None else self._jobs.get(start.key)

    def _let_go_on(self, key: str) -> None:
        """Sends what waited for a job that has ended; it fails where there are no weights now."""
        ended = self._jobs.get(key)
        if ended is None or ended.active:
            return
        for job in [job for job in self._jobs.values() if job.active]:
            if self._before(job) is not ended:
                continue
            if ended.state == "done":
                self._in_background(partial(self._send, job.key))
            elif job.key not in self._futures:
                why = f"What it starts from was not trained. {ended.message}"
                self._settle(job.key, "failed", why)

    def _in_background(self, act: Callable[[], None]) -> None:
        def guarded() -> None:
            with contextlib.suppress(Exception):  # the connection says itself what its problem is
                act()

        threading.Thread(target=guarded, daemon=True, name="engine-act").start()

    # ----------------------------------------------------------------------------------- listening

    def _on_event(self, event: tuple[float, Any]) -> None:
        _, record = event
        key, address = record["key"], record["address"]
        with self._state:
            job = self._jobs.get(key)
            if job is None or not job.active:
                return
            job.state = "running"
            if "message" in record:
                follow(job, record)
            elif "has" in record:
                theirs, lacks = record["has"], record.get("lacks", "")
                self._in_background(partial(self._hand_over, key, address, theirs, lacks))
            elif "kept" in record:
                if key not in self._kept_on:
                    self._errands.add(partial(self._bring_checkpoint, key))
                self._kept_on[key] = address

    def _on_lack(self, lack: str) -> None:
        """Tells all that wait why they do; once it has passed, speeds are measured again."""
        if not lack:
            self._speeds.ask_again()
        with self._state:
            for job in self._jobs.values():
                if job.active:
                    job.message = lack or WAITS

    def _on_end(self, key: str, future: Future[Any]) -> None:
        with self._state:
            if self._futures.get(key) is not future:
                return
            del self._futures[key]
        status = future.status
        error = future.exception() if status == "error" else None
        future.release()
        if status == "finished":
            if self.store.holds(key):
                self._finish(key)
            else:
                self._errands.add(partial(self._bring_result, key))
        elif isinstance(error, Cancelled):  # it was cancelled, and then asked for again
            self._in_background(lambda: self._send(key))
        elif is_lost(error):
            self._send_once_more(key, for_people(error))
        elif status == "error":
            self._settle(key, "failed", for_people(error))
        # else the scheduler went away: the job stays, and is sent again when the engine is back

    def _finish(self, key: str) -> None:
        with self._state:
            if self._jobs[key].active:
                self._speeds.remember(self._jobs[key].spec)
                self._settle(key, "done", "Done.")

    # ------------------------------------------------------- what travels, if disks are not shared

    def _hand_over(self, key: str, address: str, theirs: int, lacks: str) -> None:
        client = self._connection.client
        if client is None:
            return
        try:
            courier.hand_over(client, self.store, key, address, theirs, self._name, lacks)
        except Exception as error:
            logger.warning("A checkpoint was not handed over (%r); the worker has its own.", error)

    def _bring_checkpoint(self, key: str) -> None:
        with self._state:
            address, client = self._kept_on.pop(key), self._connection.client
            if client is None or not self._jobs[key].active:
                return
            if self._known.get(key, ("",))[0] != address:
                self._known[key] = address, {}
            known = self._known[key][1]
        try:
            courier.fetch_checkpoint(client, self.store, key, address, self._name, known)
            if self._jobs[key].active:
                self.store.elsewhere.add(key)
        except Exception as error:
            if key in self._futures:  # else it has just ended, and its work folder is gone
                logger.warning("A checkpoint did not arrive (%r); the next one may.", error)

    def _bring_result(self, key: str) -> None:
        job, client = self._jobs[key], self._connection.client
        if client is None or not job.active:
            return
        job.message, job.seconds_left = "Bringing the result here.", None
        try:
            courier.fetch_result(client, self.store, key)
            self._finish(key)
        except courier.Gone:
            self._send_once_more(
                key,
                "Its result was lost, more than once, with the worker that had it. Run it again.",
            )
        except Exception as error:
            if self.store.holds(key):  # someone else has just brought it
                self._finish(key)
            else:
                self._settle(key, "failed", for_people(error))

    # -------------------------------------------------------------------------------- what is kept

    def _settle(self, key: str, state: State, message: str) -> None:
        with self._state:
            job = self._jobs[key]
            job.state, job.message = state, message
            self.store.elsewhere.discard(key)
            if state == "done":
                job.epoch, job.fraction, job.seconds_left = job.spec.epochs, 1.0, 0.0
            self._note(key)
            self._let_go_on(key)
            if self._notes:
                self._notes.forget_old()

    def _note(self, key: str) -> None:
        if self._notes:
            self._notes.write(key, self._jobs[key].record())

    def _forget(self, key: str) -> None:
        del self._jobs[key]
        if self._notes:
            self._notes.delete(key)
