"""Trainings in the background: queue, progress, cancel, resume.

Dask's `distributed` is the engine. By default `Engine` starts a scheduler and one worker on this
machine, which nobody else can reach; with `STG_SCHEDULER` it uses that cluster. A worker trains in
a store of its own, which may be the app's; if it is not, `courier` brings home what comes out. What
was asked for is noted in the store, so that a restarted app goes on with it.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import queue
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from uuid import uuid4

from stg_core.engine import courier
from stg_core.engine.courier import EpochCount, Known, Outpost
from stg_core.results.store import Run, Store
from stg_core.system.errors import Cancelled, UserError
from stg_core.system.guard import environment
from stg_core.system.home import data_folder
from stg_core.training.callbacks import Callback, Progress, preparation_told_to
from stg_core.training.spec import TrainingSpec

if TYPE_CHECKING:
    from distributed import Client, Future, Security

State = Literal["queued", "running", "done", "failed", "cancelled"]
TOPIC = "stg-progress"
DEVICE = {"device": 1}  # a worker offers one, so it trains one model at a time
START_SECONDS = 60
ANSWER_SECONDS = 10  # for a scheduler that runs
AGAIN_SECONDS = 5
KEPT_JOBS = 20  # that have ended

logger = logging.getLogger(__name__)


@dataclass
class Job:
    """A training that was asked for, as far as its events have told.

    place: how many, of all that this engine knows, are to be trained before it; epoch: finished
    epochs; fraction: share done, in [0, 1]; seconds_left: None while unknown; metrics: "loss" and
    "mean_f1" (test) per finished epoch; message: what goes on, or why it failed and what to do;
    owner: who takes turns with other owners; turn: how many of the same owner go before it.
    """

    key: str
    spec: TrainingSpec
    state: State = "queued"
    place: int = 0
    epoch: int = 0
    fraction: float = 0.0
    images_per_second: float = 0.0
    seconds_left: float | None = None
    metrics: dict[str, list[float]] = field(default_factory=lambda: {"loss": [], "mean_f1": []})
    message: str = "Waiting for its turn."
    owner: str = ""
    turn: int = 0

    @property
    def active(self) -> bool:
        return self.state in ("queued", "running")


# ------------------------------------------------------------------------ where a training happens


def run_spec(store: Store, spec: TrainingSpec, callbacks: Sequence[Callback] = ()) -> Run:
    """The result of a spec: from the store, or trained now, after its checkpoint if there is one.

    Whoever else trains the same spec on this machine is waited for. Raises UserError, Cancelled.
    """
    from stg_core.tasks.groups import load_task_data
    from stg_core.training.loop import train

    with store.training(spec.key):
        if run := store.get(spec):
            return run
        data = load_task_data(spec.group, preparation_told_to(callbacks))
        folder = store.work_folder(spec.key)
        counted = [EpochCount(folder), *callbacks]
        return store.save(train(spec, data, folder=folder, callbacks=counted))


def run_anywhere(store: Store, spec: TrainingSpec, tell: Callable[[dict[str, Any]], None]) -> Run:
    """The result of a spec, trained as `train_all` does; tells what Progress tells."""
    train_all(store, [spec], lambda _, record: tell(record))
    return store.run(spec.key)


def train_all(
    store: Store,
    specs: Sequence[TrainingSpec],
    tell: Callable[[TrainingSpec, dict[str, Any]], None],
) -> None:
    """Trains what the store lacks: one after the other here, or all at once on `STG_SCHEDULER`.

    Tells of each spec what Progress tells. Whatever interrupts it cancels what is not done. Raises
    UserError when all have ended and some could not be trained, or the scheduler does not answer.
    """
    missing = [spec for spec in specs if store.get(spec) is None]
    if missing and os.environ.get("STG_SCHEDULER"):
        _train_on_cluster(store, missing, tell)
    else:
        for spec in missing:
            run_spec(store, spec, [Progress(partial(tell, spec))])


def _train_on_cluster(
    store: Store,
    specs: Sequence[TrainingSpec],
    tell: Callable[[TrainingSpec, dict[str, Any]], None],
) -> None:
    keys = {spec.key for spec in specs}
    engine = Engine(store, keeps_queue=False)
    try:
        engine.start()
        for spec in specs:
            engine.submit(spec)
        jobs, told = engine.jobs(), dict[str, tuple[object, ...]]()
        while any(job.active for job in jobs):
            time.sleep(0.2)
            jobs = [job for job in engine.jobs() if job.key in keys]
            for job in reversed(jobs):
                now = job.state, job.fraction, job.message
                if job.state != "queued" and told.get(job.key) != now:
                    told[job.key] = now
                    tell(job.spec, {**vars(job), **job.metrics})
            if engine.problem:
                raise UserError(engine.problem)
    except BaseException:
        engine.cancel(*keys)
        raise
    finally:
        engine.stop()
    failed = [job for job in jobs if job.state != "done"]
    if failed:
        of_several = f"{len(failed)} of {len(specs)} trainings failed. " * (len(specs) > 1)
        raise UserError(of_several + failed[-1].message)


# ------------------------------------------------------------------------------ inside the worker


def _train_job(plain: Mapping[str, Any], app: str) -> str:
    """Runs in the worker: trains a spec in the worker's own store, and returns its key.

    Tells its progress as Dask events. `app` is the identity of the store that it is trained for.
    """
    from distributed import get_worker

    spec, store, worker = TrainingSpec.from_json(plain), courier.own_store(), get_worker()
    task = worker.get_current_task()

    def tell(record: dict[str, Any]) -> None:
        worker.log_event(TOPIC, {"key": spec.key, "address": worker.address, **record})

    def unwanted() -> bool:
        known = worker.state.tasks.get(task)  # "cancelled" once nobody wants it any more
        return known is None or known.state == "cancelled"

    _use_own_cores()
    callbacks: list[Callback] = [Progress(tell, unwanted)]
    if store.identity != app and not store.holds(spec.key):
        callbacks.append(Outpost(spec.key, tell))
        courier.await_checkpoint(spec.key, tell, unwanted)
    run_spec(store, spec, callbacks)
    courier.tidy(spec.key)
    return spec.key


def _measure_job(plain: Mapping[str, Any]) -> float:
    from stg_core.training.loop import measure_seconds_per_epoch

    _use_own_cores()
    return measure_seconds_per_epoch(TrainingSpec.from_json(plain))


def _use_own_cores() -> None:
    """As many threads as there are cores for each worker of the machine; Dask gives only one.

    `STG_THREADS` says another number, which stays the same when workers come and go.
    """
    import psutil
    import torch
    from dask.system import CPU_COUNT
    from distributed import get_worker
    from distributed.utils import sync

    wanted = os.environ.get("STG_THREADS", "")
    if wanted.isdecimal() and int(wanted) > 0:
        torch.set_num_threads(int(wanted))
        return
    worker = get_worker()
    workers = sync(worker.loop, worker.scheduler.identity)["workers"].values()
    here = sum(w["host"] == worker.ip and "device" in w["resources"] for w in workers)
    cores = psutil.cpu_count(logical=False) or CPU_COUNT
    # CPU_COUNT knows what a container or a cluster manager allows this process
    torch.set_num_threads(max(1, min(CPU_COUNT, cores // max(1, here))))


# --------------------------------------------------------------------------------- inside the app


class Engine:
    """Submits trainings and knows how far they are. Reading is cheap; `start` takes seconds.

    keeps_queue: whether a later engine goes on with what this one did not finish.
    """

    def __init__(self, store: Store, keeps_queue: bool = True) -> None:
        self.store, self.keeps_queue = store, keeps_queue
        self.problem = ""  # why the engine could not start, for people
        self._jobs: dict[str, Job] = {}
        self._futures: dict[str, Future[Any]] = {}
        self._client: Client | None = None
        self._processes: list[subprocess.Popen[bytes]] = []
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._starting = threading.Lock()
        self._state = threading.RLock()
        self._stopped = False
        self._measuring: set[str] = set()
        self._not_measured: dict[str, str] = {}  # question → why there is no answer
        self._name = uuid4().hex
        self._errands: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._errand_runner: threading.Thread | None = None
        self._kept_on: dict[str, str] = {}  # key → the worker that has more of it than is here
        self._known: dict[str, tuple[str, Known]] = {}  # key → worker, and what is here from it
        self._sent_at: dict[str, float] = {}  # key → share that was done when it was sent
        for key, record in self._records() if keeps_queue else ():
            spec, owner = TrainingSpec.from_json(record["spec"]), record.get("owner", "")
            job = Job(key, spec, record["state"], message=record["message"], owner=owner)
            self._admit(job)
            if job.state == "done" and (run := store.get(spec)):
                f1 = run.metrics["test"]["f1"]
                job.epoch, job.fraction = spec.epochs, 1.0
                job.metrics = {
                    "loss": run.metrics["loss"],
                    "mean_f1": [sum(e) / len(e) for e in f1],
                }

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

    def seconds_per_epoch(self, spec: TrainingSpec) -> float | None:
        """Seconds of an epoch on this machine; None while it is being measured.

        From the last run of the same model on the same data where there is one, else from a short
        measurement in the worker. Raises UserError where the spec cannot be measured.
        """
        question = _speed_question(spec)
        if question in self._not_measured:
            raise UserError(self._not_measured[question])
        known = self.store.cache.get(question)
        if known is None and question not in self._measuring:
            self._measuring.add(question)
            self._in_background(lambda: self._measure(question, spec))
        return None if known is None else float(known)

    # ------------------------------------------------------------------------------- what it takes

    def submit(self, spec: TrainingSpec, owner: str = "") -> str:
        """Asks for a training and returns its key at once; the same spec twice is one job.

        Owners take turns: each one's first training goes before any second one.
        """
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
                if job is not None and job.active:
                    begun = job.state == "running"
                    again = "run it again to go on from here." if begun else "it had not begun."
                    job.state, job.message = "cancelled", f"Cancelled; {again}"
                    self._note(key)
            self._forget_old_notes()

    def start(self) -> None:
        """Starts scheduler and worker, or connects to `STG_SCHEDULER`; sends what is not done."""
        with self._starting:
            if self._client is not None or self._stopped:
                return
            try:
                self._client = self._connect()
            except Exception as error:
                self._end_processes()
                self.problem = f"Trainings cannot start: {error}"
                raise
            self.problem = ""
            self._client.subscribe_topic(TOPIC, self._on_event)
            watch = partial(self._watch, self._client, self._client.scheduler_comm)
            threading.Thread(target=watch, daemon=True, name="engine-watch").start()
        for job in reversed(self.jobs()):
            if job.active:
                self._send(job.key)

    def stop(self) -> None:
        """Ends the engine's processes; what was running goes on at the next start."""
        self._stopped = True
        with self._starting:
            if self._client is not None:
                self._client.close(timeout=5)
                self._client = None
            self._end_processes()

    # ------------------------------------------------------------------------------------- sending

    def _admit(self, job: Job) -> None:
        """Puts a job behind all others, after those of the same owner that have not ended."""
        self._jobs.pop(job.key, None)
        job.turn = sum(other.active and other.owner == job.owner for other in self._jobs.values())
        self._jobs[job.key] = job

    def _send(self, key: str) -> None:
        self.start()
        client, name = self._client, f"train-{key}"
        if client is None:
            return
        deadline = time.monotonic() + ANSWER_SECONDS
        while name in client.futures and key not in self._futures and time.monotonic() < deadline:
            time.sleep(0.01)  # until it has taken leave of a future of that name that has ended
        with self._state:
            job = self._jobs[key]
            if not job.active or key in self._futures or self._client is not client:
                return
            future = client.submit(
                _train_job,
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

    def _send_once_more(self, key: str, why_not: str) -> None:
        """Where a job advanced since it was sent, it may well end; else it fails."""
        if self._jobs[key].fraction > self._sent_at[key]:
            self._in_background(lambda: self._send(key))
        else:
            self._settle(key, "failed", why_not)

    def _measure(self, question: str, spec: TrainingSpec) -> None:
        try:
            self.start()
            if self._client is not None:
                future = self._client.submit(
                    _measure_job, spec.to_json(), key=question, resources=DEVICE, priority=10
                )
                self.store.cache[question] = float(future.result())
        except Exception as error:
            self._not_measured[question] = _for_people(error)
        finally:
            self._measuring.discard(question)

    def _in_background(self, act: Callable[[], None]) -> None:
        def guarded() -> None:
            try:
                act()
            except Exception as error:
                self.problem = self.problem or f"Trainings cannot start: {error}"

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
                _follow(job, record)
            elif "has" in record:
                self._in_background(partial(self._hand_over, key, address, record["has"]))
            elif "kept" in record:
                if key not in self._kept_on:
                    self._run_errand(partial(self._bring_checkpoint, key))
                self._kept_on[key] = address

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
                self._run_errand(partial(self._bring_result, key))
        elif isinstance(error, Cancelled):  # it was cancelled, and then asked for again
            self._in_background(lambda: self._send(key))
        elif _is_lost(error):
            self._send_once_more(key, _for_people(error))
        elif status == "error":
            self._settle(key, "failed", _for_people(error))
        # else the scheduler went away: the job stays, and is sent again when the engine is back

    def _finish(self, key: str) -> None:
        with self._state:
            if self._jobs[key].active:
                self._remember_speed(self._jobs[key].spec)
                self._settle(key, "done", "Done.")

    # ------------------------------------------------------- what travels, if disks are not shared

    def _hand_over(self, key: str, address: str, theirs: int) -> None:
        if self._client is None:
            return
        try:
            courier.hand_over(self._client, self.store, key, address, theirs, self._name)
        except Exception as error:
            logger.warning("A checkpoint was not handed over (%r); the worker has its own.", error)

    def _bring_checkpoint(self, key: str) -> None:
        with self._state:
            address, client = self._kept_on.pop(key), self._client
            if client is None or not self._jobs[key].active:
                return
            if self._known.get(key, ("",))[0] != address:
                self._known[key] = address, {}
            known = self._known[key][1]
        try:
            courier.fetch_checkpoint(client, self.store, key, address, self._name, known)
        except Exception as error:
            if key in self._futures:  # else it has just ended, and its work folder is gone
                logger.warning("A checkpoint did not arrive (%r); the next one may.", error)

    def _bring_result(self, key: str) -> None:
        job, client = self._jobs[key], self._client
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
                self._settle(key, "failed", _for_people(error))

    def _run_errand(self, act: Callable[[], None]) -> None:
        """Does what may take long, one after the other, behind the app's back."""
        self._errands.put(act)
        with self._state:
            if self._errand_runner is None:
                self._errand_runner = threading.Thread(
                    target=self._run_errands, daemon=True, name="engine-errands"
                )
                self._errand_runner.start()

    def _run_errands(self) -> None:
        while not self._stopped:
            act = self._errands.get()
            try:
                act()
            except Exception:
                logger.exception("What a training left could not be brought here.")

    # -------------------------------------------------------------------------------- what is kept

    def _remember_speed(self, spec: TrainingSpec) -> None:
        if run := self.store.get(spec):
            seconds = (run.metrics["seconds"], run.metrics["evaluation_seconds"])
            with contextlib.suppress(Exception):  # a full disk: it will be measured instead
                self.store.cache[_speed_question(spec)] = sum(statistics.median(s) for s in seconds)

    def _settle(self, key: str, state: State, message: str) -> None:
        with self._state:
            job = self._jobs[key]
            job.state, job.message = state, message
            if state == "done":
                job.epoch, job.fraction, job.seconds_left = job.spec.epochs, 1.0, 0.0
            self._note(key)
            self._forget_old_notes()

    def _note(self, key: str) -> None:
        """Notes a job in the store; a full disk costs the note, not the job."""
        job = self._jobs[key]
        record = {
            "spec": job.spec.to_json(),
            "owner": job.owner,
            "state": "queued" if job.active else job.state,
            "message": "Goes on after the restart." if job.active else job.message,
            "asked": time.time(),
        }
        with self._noting():
            if self.keeps_queue:
                self.store.cache[f"job:{key}"] = record

    def _forget_old_notes(self) -> None:
        with self._noting():
            ended = [key for key, record in self._records() if record["state"] != "queued"]
            for key in ended[:-KEPT_JOBS]:
                self.store.cache.delete(f"job:{key}")

    def _forget(self, key: str) -> None:
        del self._jobs[key]
        with self._noting():
            self.store.cache.delete(f"job:{key}")

    @contextlib.contextmanager
    def _noting(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            self.problem = f"The queue cannot be saved: {error}"

    def _records(self) -> list[tuple[str, dict[str, Any]]]:
        cache = self.store.cache
        keys = [key for key in cache.iterkeys() if str(key).startswith("job:")]
        found = [(key.removeprefix("job:"), cache.get(key)) for key in keys]
        kept = [(key, record) for key, record in found if record is not None]
        return sorted(kept, key=lambda pair: float(pair[1]["asked"]))

    # --------------------------------------------------------------------------- its own processes

    def _connect(self) -> Client:
        from distributed import Client

        if address := os.environ.get("STG_SCHEDULER"):
            try:
                return Client(address, timeout=ANSWER_SECONDS, set_as_default=False)
            except (OSError, ValueError, TypeError) as error:  # as it says what it cannot reach
                raise UserError(
                    f"The scheduler {address} does not answer ({error}). Start it, or unset"
                    " STG_SCHEDULER to train on this machine."
                ) from error
        address, security = self._start_processes()
        return Client(address, security=security, timeout=START_SECONDS, set_as_default=False)

    def _start_processes(self) -> tuple[str, Security]:
        """A scheduler and one worker, on loopback only, behind TLS with certificates made now."""
        from distributed import Security

        self._folder = tempfile.TemporaryDirectory(prefix="stg-engine-")  # of mode 0700
        folder = Path(self._folder.name)
        made = Security.temporary()
        written = {}
        for option, pem in {
            "tls-ca-file": made.tls_ca_file,
            "tls-cert": made.tls_scheduler_cert,
            "tls-key": made.tls_scheduler_key,
        }.items():
            written[option] = folder / f"{option}.pem"
            written[option].write_text(str(pem))
            written[option].chmod(0o600)
        door = ["--host", "127.0.0.1", "--dashboard-address", "127.0.0.1:0", "--no-dashboard"]
        door += [word for option, path in written.items() for word in (f"--{option}", str(path))]
        address_file = folder / "scheduler.json"
        options = "--port 0 --protocol tls --preload stg_core.system.guard"
        file = ["--scheduler-file", str(address_file)]
        self._spawn("dask_scheduler", *options.split(), *file, *door)
        address = self._wait_for_address(address_file)
        options = "--nthreads 1 --nworkers 1 --nanny --preload-nanny stg_core.system.guard"
        options += " --resources device=1 --memory-limit 0"
        file = ["--local-directory", str(folder)]
        self._spawn("dask_worker", address, *options.split(), *file, *door)
        return address, made

    def _spawn(self, program: str, *words: str) -> None:
        command = [sys.executable, "-m", f"distributed.cli.{program}", *words]
        # first what depends on the home of this process, which need not be that of its store
        folders = {"STG_DATA": str(data_folder()), "STG_HOME": str(self.store.folder)}
        log = open(self.store.folder / "engine.log", "ab")  # noqa: SIM115, its processes keep it
        with log:
            process = subprocess.Popen(
                command,
                env={**environment(), **folders},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self._processes.append(process)

    def _wait_for_address(self, path: Path) -> str:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            try:
                return str(json.loads(path.read_text())["address"])
            except (OSError, ValueError):
                time.sleep(0.05)
            if self._processes[0].poll() is not None:
                break
        raise UserError(
            f"the background engine did not start; see {self.store.folder / 'engine.log'}."
        )

    def _watch(self, client: Client, connection: object) -> None:
        """Starts the engine again when a process of its own died, or the scheduler went away."""
        while client.scheduler_comm is connection and client.status == "running":
            if any(process.poll() is not None for process in self._processes):
                break
            time.sleep(0.5)
        with self._starting:
            if self._stopped or self._client is not client:
                return
            self._client = None
            self._futures.clear()
            self._end_processes()
        with contextlib.suppress(Exception):  # it cannot take leave of a scheduler that is gone
            client.close(timeout=1)
        while not self._stopped:
            with contextlib.suppress(Exception):  # it says itself what its problem is
                return self.start()
            time.sleep(AGAIN_SECONDS)

    def _end_processes(self) -> None:
        """At once: a training loses nothing but the epoch it is in."""
        import psutil

        for process in self._processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                for child in psutil.Process(process.pid).children(recursive=True):
                    child.kill()
            process.kill()
            process.wait()
        self._processes.clear()
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None


def _speed_question(spec: TrainingSpec) -> str:
    """What the speed of a training depends on, as a key of the cache."""
    parts = [spec.model, spec.group.dataset, len(spec.tasks), spec.batch_size, spec.augmentation]
    parts += [spec.training_images] * bool(spec.training_images)
    return ":".join(["speed", *map(str, parts), *(["separate"] * spec.single_task_models)])


def _follow(job: Job, record: Mapping[str, Any]) -> None:
    """Takes over what Progress tells."""
    job.message = record["message"]
    if "epoch" in record:
        job.epoch, job.images_per_second = record["epoch"], record["images_per_second"]
        job.fraction, job.seconds_left = record["fraction"], record["seconds_left"]
        job.metrics = {name: list(record[name]) for name in ("loss", "mean_f1")}
        if job.spec.single_task_models:
            _place_among_tasks(job, record["tasks"][0])


def _place_among_tasks(job: Job, task: str) -> None:
    """Turns the progress of one single-task model into that of the whole job."""
    n_tasks, place = len(job.spec.tasks), job.spec.tasks.index(task)
    if job.seconds_left is not None:
        whole_task = job.seconds_left / max(1 - job.fraction, 1e-3)
        job.seconds_left += whole_task * (n_tasks - place - 1)
    job.fraction = (place + job.fraction) / n_tasks
    job.message = f"Task {place + 1} of {n_tasks}. {job.message}"


def _is_lost(error: BaseException | None) -> bool:
    """Whether a job failed only because the workers that had it left, one after the other."""
    from distributed import KilledWorker

    return isinstance(error, KilledWorker)


def _for_people(error: BaseException | None) -> str:
    if isinstance(error, UserError):
        return str(error)
    if _is_lost(error):
        return (
            "The process that trains died several times, as it does when memory runs out."
            " Close other programs or take a smaller model or batch, then run it again."
        )
    return (
        f"It failed unexpectedly ({type(error).__name__}: {error}). Run it again; if it fails"
        " again, engine.log in the results folder has more."
    )
