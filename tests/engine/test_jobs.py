"""Trainings in the background survive what can happen to them; real processes are really killed."""

from __future__ import annotations

import dataclasses
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest

from stg_core.cli.main import main
from stg_core.engine.job import Job
from stg_core.engine.jobs import Engine
from stg_core.engine.notes import KEPT_JOBS
from stg_core.engine.worker import run_spec
from stg_core.results.store import Store
from stg_core.tasks.groups import GROUPS
from stg_core.training.callbacks import Callback, Progress
from stg_core.training.spec import TrainingSpec
from tests.conftest import command_line

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 120


def digits(epochs: int, seed: int = 0) -> TrainingSpec:
    return TrainingSpec(GROUPS["digits"], epochs=epochs, seed=seed)


def wait_for(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def job_of(engine: Engine, key: str) -> Job:
    job = engine.job(key)
    assert job is not None
    return job


def wait_until(engine: Engine, key: str, reached: Callable[[Job], bool]) -> Job:
    wait_for(lambda: reached(job_of(engine, key)) or engine.problem, "the job did not get there")
    assert not engine.problem
    return job_of(engine, key)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STG_THREADS", "1")  # as the tests have
        started = Engine(Store(tmp_path_factory.mktemp("engine-home")))
        started.start()
        yield started
        started.stop()


def engine_processes(parent: int) -> list[psutil.Process]:
    return [
        child
        for child in psutil.Process(parent).children(recursive=True)
        if any(name in " ".join(command_line(child)) for name in ("distributed", "spawn_main"))
    ]


def worker_process(engine: Engine) -> psutil.Process:
    nanny = psutil.Process(engine._connection.own.processes[1].pid)
    return next(p for p in nanny.children() if "spawn_main" in " ".join(command_line(p)))


def test_a_training_ends_in_the_store_and_tells_its_progress(engine: Engine) -> None:
    key = engine.submit(digits(epochs=6))
    job = wait_until(engine, key, lambda job: not job.active)
    assert job.state == "done" and job.epoch == 6 and job.fraction == 1
    assert len(job.metrics["loss"]) == len(job.metrics["mean_f1"]) == 6
    assert engine.store.run(key).summary.tasks.tolist() == list(GROUPS["digits"].task_names)


def test_the_same_run_asked_for_twice_is_one_job_and_trained_once(engine: Engine) -> None:
    spec = digits(epochs=8, seed=1)
    assert engine.submit(spec) == engine.submit(spec)
    assert sum(job.key == spec.key for job in engine.jobs()) == 1
    wait_until(engine, spec.key, lambda job: job.state == "done")
    created = engine.store.run(spec.key).provenance["created"]
    engine.submit(spec)
    assert job_of(engine, spec.key).state == "done"
    assert engine.store.run(spec.key).provenance["created"] == created


def test_a_deleted_run_is_no_job_any_more_and_can_be_trained_anew(engine: Engine) -> None:
    spec = digits(epochs=2, seed=10)
    engine.submit(spec)
    wait_until(engine, spec.key, lambda job: job.state == "done")
    engine.store.delete(engine.store.run(spec.key))
    for asked in (Engine(engine.store), engine):  # after a restart of the app, and without one
        assert asked.job(spec.key) is None
    engine.submit(spec)
    wait_until(engine, spec.key, lambda job: job.state == "done")
    assert engine.store.get(spec)


def test_jobs_wait_for_their_turn_and_know_their_place(engine: Engine) -> None:
    long, next_one = digits(epochs=2000, seed=2), digits(epochs=3, seed=2)
    engine.submit(long)
    wait_until(engine, long.key, lambda job: job.state == "running")
    engine.submit(next_one)
    assert job_of(engine, next_one.key).place == 1
    engine.cancel(long.key)
    wait_until(engine, long.key, lambda job: job.state == "cancelled")
    wait_until(engine, next_one.key, lambda job: job.state == "done")


def test_a_training_that_is_ended_is_kept_as_a_run_of_its_epochs(engine: Engine) -> None:
    spec = digits(epochs=90, seed=21)
    engine.submit(spec)
    wait_until(engine, spec.key, lambda job: job.epoch >= 2)
    key = engine.end_here(spec.key)
    wait_until(engine, key, lambda job: job.state == "done")
    kept = engine.store.run(key).spec
    assert 2 <= kept.epochs < 90 and kept == spec.ended_after(kept.epochs)
    assert engine.job(spec.key) is None and engine.store.get(spec) is None


def test_a_cancelled_run_goes_on_where_it_stopped(engine: Engine) -> None:
    spec = digits(epochs=30, seed=3)
    engine.submit(spec)
    stopped = wait_until(engine, spec.key, lambda job: job.epoch >= 3)
    engine.cancel(spec.key)
    wait_until(engine, spec.key, lambda job: job.state == "cancelled")
    assert (engine.store.work_folder(spec.key) / "checkpoint.pt").exists()
    engine.submit(spec)
    first = wait_until(engine, spec.key, lambda job: job.epoch > 0)
    assert first.epoch > stopped.epoch or first.epoch >= 3
    wait_until(engine, spec.key, lambda job: job.state == "done")


def test_a_job_cancelled_before_its_turn_never_begins(engine: Engine) -> None:
    long, waiting = digits(epochs=2000, seed=4), digits(epochs=3, seed=4)
    engine.submit(long)
    engine.submit(waiting)
    wait_until(engine, long.key, lambda job: job.state == "running")
    engine.cancel(waiting.key)
    assert job_of(engine, waiting.key).state == "cancelled"
    engine.cancel(long.key)
    wait_until(engine, long.key, lambda job: job.state == "cancelled")
    assert engine.store.get(waiting) is None


@pytest.mark.slow
def test_what_a_training_starts_from_is_trained_before_it(engine: Engine) -> None:
    joint = digits(epochs=3, seed=20)
    warm = [dataclasses.replace(digits(2, seed), starts_from=joint) for seed in (21, 22)]
    for spec in warm:
        engine.submit(spec)
    for spec in warm:
        job = wait_until(engine, spec.key, lambda job: not job.active)
        assert job.state == "done", job.message
    created = {key: engine.store.run(key).provenance["created"] for key in (joint.key, warm[0].key)}
    assert created[joint.key] <= created[warm[0].key]
    assert engine.store.run(joint.key).has_weights
    assert [job.key for job in reversed(engine.jobs())][-3:] == [joint.key, *(s.key for s in warm)]


def test_nothing_starts_from_what_was_cancelled(engine: Engine) -> None:
    joint = digits(epochs=2000, seed=23)
    warm = dataclasses.replace(digits(2, seed=24), starts_from=joint)
    engine.submit(warm)
    wait_until(engine, joint.key, lambda job: job.state == "running")
    assert job_of(engine, warm.key).state == "queued"
    engine.cancel(joint.key)
    failed = wait_until(engine, warm.key, lambda job: not job.active)
    assert failed.state == "failed"
    assert failed.message.startswith("What it starts from was not trained. Cancelled")


def test_a_plan_cancelled_half_way_trains_only_what_is_missing_when_it_is_resumed(
    engine: Engine,
) -> None:
    plan = [digits(epochs, seed=20 + i) for i, epochs in enumerate((3, 3, 30, 3))]
    for spec in plan:
        engine.submit(spec)
    wait_until(engine, plan[1].key, lambda job: job.state == "done")
    wait_until(engine, plan[2].key, lambda job: job.epoch >= 2)
    engine.cancel(*(spec.key for spec in plan))
    states = [job_of(engine, spec.key).state for spec in plan]
    assert states == ["done"] * 2 + ["cancelled"] * 2
    created = [engine.store.run(spec.key).provenance["created"] for spec in plan[:2]]
    for spec in plan:
        engine.submit(spec)
    assert [job_of(engine, spec.key).active for spec in plan] == [False] * 2 + [True] * 2
    resumed = wait_until(engine, plan[2].key, lambda job: job.epoch > 0)
    assert resumed.epoch >= 2
    for spec in plan[2:]:
        wait_until(engine, spec.key, lambda job: job.state == "done")
    assert all(engine.store.get(spec) for spec in plan)
    assert [engine.store.run(spec.key).provenance["created"] for spec in plan[:2]] == created


def test_a_long_plan_survives_a_restart_of_the_app_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Engine, "start", lambda self: None)
    before, plan = Engine(Store(tmp_path)), [digits(epochs=3, seed=seed) for seed in range(34)]
    for spec in plan:
        before.submit(spec, owner="someone")
    after = Engine(Store(tmp_path))
    assert [job.spec for job in reversed(after.jobs())] == plan
    assert all(job.active and job.owner == "someone" for job in after.jobs())
    assert [job.place for job in reversed(after.jobs())] == list(range(34))
    after.cancel(*(spec.key for spec in plan[:30]))
    kept = Engine(Store(tmp_path)).jobs()
    assert [job.spec for job in reversed(kept) if job.active] == plan[30:]
    assert len(kept) == 4 + KEPT_JOBS, "of those that have ended, the last ones stay"


def test_a_command_leaves_the_queue_of_the_app_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Engine, "start", lambda self: None)
    app = Engine(Store(tmp_path))
    app.submit(digits(epochs=3))
    command = Engine(Store(tmp_path), keeps_queue=False)
    command.submit(digits(epochs=3, seed=1))
    assert [job.spec.seed for job in command.jobs()] == [1]
    assert [job.spec.seed for job in Engine(Store(tmp_path)).jobs()] == [0]


def test_a_killed_worker_costs_nothing_but_the_epoch_it_was_in(
    engine: Engine, tmp_path: Path
) -> None:
    spec = digits(epochs=20, seed=5)
    engine.submit(spec)
    wait_until(engine, spec.key, lambda job: job.epoch >= 3)
    worker_process(engine).kill()
    wait_until(engine, spec.key, lambda job: job.state == "done")
    alone, killed = run_spec(Store(tmp_path), spec), engine.store.run(spec.key)
    assert alone.metrics["loss"] == killed.metrics["loss"]
    np.testing.assert_array_equal(alone.datamaps(), killed.datamaps())
    np.testing.assert_array_equal(alone.test_logits(), killed.test_logits())


@pytest.mark.slow
def test_a_killed_scheduler_is_started_again_and_the_job_goes_on(engine: Engine) -> None:
    spec = digits(epochs=20, seed=6)
    engine.submit(spec)
    wait_until(engine, spec.key, lambda job: job.epoch >= 3)
    os.kill(engine._connection.own.processes[0].pid, signal.SIGKILL)
    wait_until(engine, spec.key, lambda job: job.state == "done")


def test_every_port_of_the_engine_is_on_loopback(engine: Engine) -> None:
    listening = [
        connection.laddr.ip
        for process in engine_processes(os.getpid())
        for connection in process.net_connections()
        if connection.status == psutil.CONN_LISTEN
    ]
    assert len(listening) >= 3
    assert set(listening) == {"127.0.0.1"}


def test_a_client_without_the_certificate_is_refused(engine: Engine) -> None:
    from distributed import Client, Security

    assert engine._connection.client is not None
    address = str(engine._connection.client.scheduler_info()["address"])
    assert address.startswith("tls://127.0.0.1")
    host, port = address.removeprefix("tls://").split(":")
    with pytest.raises((OSError, TimeoutError)):
        Client(f"tcp://{host}:{port}", timeout=3, set_as_default=False)
    with pytest.raises((OSError, TimeoutError)):
        Client(address, security=Security.temporary(), timeout=3, set_as_default=False)
    with socket.create_connection((host, int(port)), timeout=3) as plain:
        plain.sendall(b"GET / HTTP/1.0\r\n\r\n")
        try:
            answer = plain.recv(100)
        except OSError:
            answer = b""
    assert b"HTTP" not in answer


APP = """
import sys, time
from stg_core.engine.jobs import Engine
from stg_core.training.spec import TrainingSpec
from stg_core.results.store import Store
from stg_core.tasks.groups import GROUPS
engine = Engine(Store())
key = engine.submit(TrainingSpec(GROUPS["digits"], epochs=20, seed=7))
while True:
    print(engine.job(key).epoch, flush=True)
    time.sleep(0.1)
"""


@pytest.mark.slow
def test_a_run_survives_the_end_of_the_app_and_no_process_is_left_behind(
    own_home: Path, digits_home: Path
) -> None:
    shutil.copytree(digits_home, own_home)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "STG_THREADS": "1"}
    app = subprocess.Popen(
        [sys.executable, "-c", APP], env=environment, stdout=subprocess.PIPE, text=True
    )
    assert app.stdout is not None
    for line in app.stdout:
        if int(line) >= 3:
            break
    processes = engine_processes(app.pid)
    assert len(processes) >= 3
    app.kill()
    app.wait()
    psutil.wait_procs(processes, timeout=20)
    assert not any(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in processes)

    restarted = Engine(Store(own_home))
    try:
        [job] = restarted.jobs()
        assert job.active
        restarted.start()
        first = wait_until(restarted, job.key, lambda job: job.epoch > 0)
        assert first.epoch >= 3
        wait_until(restarted, job.key, lambda job: job.state == "done")
    finally:
        restarted.stop()


def test_whoever_asks_second_waits_and_takes_the_result_of_the_first(own_home: Path) -> None:
    spec, store = digits(epochs=10, seed=8), Store(own_home)
    begun = threading.Event()
    second_epochs: list[dict] = []

    class Begun(Callback):
        def on_epoch_end(self, training: object) -> None:
            begun.set()

    first = threading.Thread(target=run_spec, args=(store, spec, [Begun()]))
    first.start()
    begun.wait(PATIENCE)
    run = run_spec(Store(own_home), spec, [Progress(second_epochs.append)])
    first.join()
    assert second_epochs == []
    assert run.spec == spec


def limited(home: Path, command: str, limit: int) -> subprocess.CompletedProcess:
    """A command in a process of its own; `limit` is the largest file it may write, in bytes."""

    def set_limit() -> None:
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    return subprocess.run(
        [sys.executable, "-m", "stg_core", *command.split()],
        env={**os.environ, "STG_HOME": str(home), "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        preexec_fn=set_limit,
        check=False,
    )


@pytest.mark.parametrize(
    ("command", "limit"),
    [
        (
            "extract --group digits --epochs 10 --recorded-epochs 2,3,4,5,6,7,8,9,10",
            600_000,
        ),
        pytest.param("affinity --group digits --epochs 10", 230_000, marks=pytest.mark.slow),
    ],
)
def test_a_quota_stops_a_training_with_a_sentence_and_it_goes_on_afterwards(
    command: str,
    limit: int,
    own_home: Path,
    digits_home: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shutil.copytree(digits_home, own_home)
    short = limited(own_home, command, limit)
    assert short.returncode == 2
    assert "Make room" in short.stderr and "Traceback" not in short.stderr
    assert main(command.split()) == 0
    assert "Epoch 1 of" not in capsys.readouterr().err


def test_a_full_disk_stops_a_run_with_a_sentence_and_it_goes_on_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1600k", "tmpfs", str(disk)],
        capture_output=True,
        check=False,
    )
    if mounted.returncode != 0:
        pytest.skip("this user cannot mount a small disk; the quota test stands in for it")
    monkeypatch.setenv("STG_HOME", str(disk))
    command = "extract --group digits --epochs 10".split()
    try:
        assert main(command) == 2
        said = capsys.readouterr().err
        assert "Make room" in said and "Epoch 1 of" in said
        subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)
        assert main(command) == 0
        assert "Epoch 1 of" not in capsys.readouterr().err
    finally:  # lazily: this process still has files open there
        subprocess.run(["umount", "--lazy", str(disk)], check=True)
