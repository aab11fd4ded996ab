"""Trainings in the background: queue, progress, cancel, resume.

Dask's `distributed` is the engine. By default `Engine` starts a scheduler and one worker on this
machine, which nobody else can reach; with `STG_SCHEDULER` it uses that cluster. What was asked for
is noted in the store, so that a restarted app goes on with it.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from stg_core.callbacks import Callback, Progress
from stg_core.errors import Cancelled, UserError
from stg_core.guard import environment
from stg_core.spec import TrainingSpec
from stg_core.store import Run, Store, free_space

if TYPE_CHECKING:
    from distributed import Client, Future, Security

State = Literal["queued", "running", "done", "failed", "cancelled"]
TOPIC = "stg-progress"
DEVICE = {"device": 1}  # a worker offers one, so it trains one model at a time
START_SECONDS = 60
KEPT_JOBS = 20


@dataclass
class Job:
    """A training that was asked for, as far as its events have told.

    place: how many are to be trained before it; epoch: finished epochs; fraction: share done, in
    [0, 1]; seconds_left: None while unknown; metrics: "loss" and "mean_f1" (test) per finished
    epoch; message: what goes on, or why it failed and what to do.
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

    @property
    def active(self) -> bool:
        return self.state in ("queued", "running")


# ------------------------------------------------------------------------ where a training happens


def run_spec(store: Store, spec: TrainingSpec, callbacks: Sequence[Callback] = ()) -> Run:
    """The result of a spec: from the store, or trained now, after its checkpoint if there is one.

    Whoever else trains the same spec on this machine is waited for. Raises UserError, Cancelled.
    """
    from stg_core.tasks import load_task_data
    from stg_core.training import train

    with store.lock(spec.key):
        if run := store.get(spec):
            return run
        try:
            data = load_task_data(spec.group, lambda what, share: _tell(callbacks, what, share))
            result = train(spec, data, folder=store.work_folder(spec.key), callbacks=callbacks)
            return store.save(result)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                raise
            raise UserError(
                f"The disk that holds {store.folder} is full"
                f" ({free_space(store.folder) / 2**20:.0f} MB left). Make room and start the run"
                " again: it goes on after its last whole epoch."
            ) from error


def _tell(callbacks: Sequence[Callback], what: str, share: float) -> None:
    for callback in callbacks:
        callback.on_preparation(what, share)


def run_anywhere(store: Store, spec: TrainingSpec, tell: Callable[[dict[str, Any]], None]) -> Run:
    """`run_spec` here, or on the cluster of `STG_SCHEDULER`; tells what Progress tells."""
    if not os.environ.get("STG_SCHEDULER"):
        return run_spec(store, spec, [Progress(tell)])
    engine = Engine(store)
    try:
        engine.start()
        key = engine.submit(spec)
        while (job := engine.job(key)) and job.active:
            time.sleep(0.5)
            tell({**vars(job), **job.metrics})
        if job is None or job.state != "done":
            raise UserError(job.message if job else "The job was lost; start it again.")
        return store.run(key)
    finally:
        engine.stop()


# ------------------------------------------------------------------------------ inside the worker

_cancelled_keys: set[str] = set()


def _cancel_here(key: str) -> None:
    _cancelled_keys.add(key)


def _train_job(plain: Mapping[str, Any], home: str) -> str:
    """Runs in the worker: trains a spec, telling its progress as Dask events; returns its key."""
    from distributed import get_worker

    spec = TrainingSpec.from_json(plain)
    worker = get_worker()
    _use_all_cores()
    _cancelled_keys.discard(spec.key)
    progress = Progress(
        lambda record: worker.log_event(TOPIC, {"key": spec.key, **record}),
        lambda: spec.key in _cancelled_keys,
    )
    run_spec(Store(Path(home)), spec, [progress])
    return spec.key


def _measure_job(plain: Mapping[str, Any]) -> float:
    from stg_core.training import measure_seconds_per_epoch

    _use_all_cores()
    return measure_seconds_per_epoch(TrainingSpec.from_json(plain))


def _use_all_cores() -> None:
    # Dask gives a worker's libraries one thread, and a training is to use the whole machine
    import psutil
    import torch

    torch.set_num_threads(psutil.cpu_count(logical=False) or os.cpu_count() or 1)


# --------------------------------------------------------------------------------- inside the app


class Engine:
    """Submits trainings and knows how far they are. Reading is cheap; `start` takes seconds."""

    def __init__(self, store: Store) -> None:
        self.store = store
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
        for key, record in self._records():
            spec = TrainingSpec.from_json(record["spec"])
            job = self._jobs[key] = Job(key, spec, record["state"], message=record["message"])
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

    def submit(self, spec: TrainingSpec) -> str:
        """Asks for a training and returns its key at once; the same spec twice is one job."""
        with self._state:
            job = self._jobs.get(spec.key)
            if job and job.active:
                return spec.key
            self._jobs.pop(spec.key, None)
            self._jobs[spec.key] = Job(spec.key, spec)
            if self.store.get(spec):
                self._settle(spec.key, "done", "Trained before.")
                return spec.key
            self._note(spec.key)
        self._in_background(lambda: self._send(spec.key))
        return spec.key

    def cancel(self, key: str) -> None:
        """Takes a job from the queue, or ends it after the batch it is at; its checkpoint stays."""
        with self._state:
            job, future = self._jobs.get(key), self._futures.get(key)
            if job is None or not job.active:
                return
            job.message = "Cancelling."
            client = self._client
            if job.state == "queued":
                self._settle(key, "cancelled", "Cancelled before it began.")
                self._futures.pop(key, None)
        if client is not None and future is not None:
            # both, since a job may have begun before its first event is here
            client.run(_cancel_here, key)
            if job.state == "cancelled":
                client.cancel([future], force=True)

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
            if self._processes:
                threading.Thread(target=self._watch, daemon=True, name="engine-watch").start()
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

    def _send(self, key: str) -> None:
        self.start()
        with self._state:
            job = self._jobs[key]
            if not job.active or key in self._futures or self._client is None:
                return
            future = self._client.submit(
                _train_job,
                job.spec.to_json(),
                str(self.store.folder),
                key=f"train-{key}",
                resources=DEVICE,
            )
            self._futures[key] = future
        future.add_done_callback(lambda ended: self._on_end(key, ended))

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
        with self._state:
            job = self._jobs.get(record["key"])
            if job is None or not job.active:
                return
            job.state = "running"
            job.message = record["message"] if job.message != "Cancelling." else job.message
            if "epoch" in record:
                job.epoch, job.images_per_second = record["epoch"], record["images_per_second"]
                job.fraction, job.seconds_left = record["fraction"], record["seconds_left"]
                job.metrics = {name: list(record[name]) for name in ("loss", "mean_f1")}
                if job.spec.single_task_models:
                    _place_among_tasks(job, record["tasks"][0])

    def _on_end(self, key: str, future: Future[Any]) -> None:
        with self._state:
            if self._futures.get(key) is not future:
                return
            del self._futures[key]
        if future.status == "finished":
            self._remember_speed(self._jobs[key].spec)
            self._settle(key, "done", "Done.")
        elif future.status == "error":
            error = future.exception()
            if isinstance(error, Cancelled):
                self._settle(key, "cancelled", "Cancelled; run it again to go on from here.")
            else:
                self._settle(key, "failed", _for_people(error))
        # else the scheduler went away: the job stays, and is sent again when the engine is back

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

    def _note(self, key: str) -> None:
        """Notes a job in the store; a full disk costs the note, not the job."""
        job = self._jobs[key]
        record = {
            "spec": job.spec.to_json(),
            "state": "queued" if job.active else job.state,
            "message": "Goes on after the restart." if job.active else job.message,
            "asked": time.time(),
        }
        try:
            self.store.cache[f"job:{key}"] = record
            for old, _ in self._records()[:-KEPT_JOBS]:
                if not self._jobs[old].active:
                    del self.store.cache[f"job:{old}"]
        except Exception as error:
            self.problem = f"The queue cannot be saved: {error}"

    def _forget(self, key: str) -> None:
        del self._jobs[key]
        try:
            self.store.cache.delete(f"job:{key}")
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
                return Client(address, timeout=10, set_as_default=False)
            except OSError as error:
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
        options = "--port 0 --protocol tls --preload stg_core.guard"
        file = ["--scheduler-file", str(address_file)]
        self._spawn("dask_scheduler", *options.split(), *file, *door)
        address = self._wait_for_address(address_file)
        options = "--nthreads 1 --nworkers 1 --nanny --preload-nanny stg_core.guard"
        options += " --resources device=1 --memory-limit 0"
        file = ["--local-directory", str(folder)]
        self._spawn("dask_worker", address, *options.split(), *file, *door)
        return address, made

    def _spawn(self, program: str, *words: str) -> None:
        command = [sys.executable, "-m", f"distributed.cli.{program}", *words]
        log = open(self.store.folder / "engine.log", "ab")  # noqa: SIM115, its processes keep it
        with log:
            process = subprocess.Popen(
                command, env=environment(), stdin=subprocess.DEVNULL, stdout=log, stderr=log
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

    def _watch(self) -> None:
        """Starts the engine again when one of its processes has died."""
        processes = list(self._processes)
        while all(process.poll() is None for process in processes):
            time.sleep(0.5)
        with self._starting:
            if self._stopped or self._client is None:
                return
            client, self._client = self._client, None
            self._futures.clear()
            self._end_processes()
        with contextlib.suppress(Exception):  # it cannot take leave of a scheduler that is gone
            client.close(timeout=1)
        self._in_background(self.start)

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
    return ":".join(["speed", *map(str, parts), *(["separate"] * spec.single_task_models)])


def _place_among_tasks(job: Job, task: str) -> None:
    """Turns the progress of one single-task model into that of the whole job."""
    n_tasks, place = len(job.spec.tasks), job.spec.tasks.index(task)
    if job.seconds_left is not None:
        whole_task = job.seconds_left / max(1 - job.fraction, 1e-3)
        job.seconds_left += whole_task * (n_tasks - place - 1)
    job.fraction = (place + job.fraction) / n_tasks
    job.message = f"Task {place + 1} of {n_tasks}. {job.message}"


def _for_people(error: BaseException | None) -> str:
    from distributed import KilledWorker

    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, KilledWorker):
        return (
            "The process that trains died several times, as it does when memory runs out."
            " Close other programs or take a smaller model or batch, then run it again."
        )
    return (
        f"It failed unexpectedly ({type(error).__name__}: {error}). Run it again; if it fails"
        " again, engine.log in the results folder has more."
    )
