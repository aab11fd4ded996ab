"""Trainings on a cluster: a real scheduler and real workers, each with a home of its own."""

from __future__ import annotations

import dataclasses
import gc
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from stg_core.cli.main import main
from stg_core.engine import connection, courier
from stg_core.engine import worker as worker_side
from stg_core.engine.courier import epochs_in
from stg_core.engine.foreground import train_all
from stg_core.engine.job import Job
from stg_core.engine.jobs import Engine
from stg_core.engine.studying import Listener, run_study
from stg_core.engine.worker import run_spec
from stg_core.grouping.memberships import TaskSpace, group_tasks
from stg_core.judging.plan import make_plan
from stg_core.judging.study import study_of
from stg_core.results.store import Store
from stg_core.system.errors import UserError
from stg_core.system.guard import environment
from stg_core.tasks.groups import GROUPS
from stg_core.training.spec import TrainingSpec
from tests.conftest import command_line

PATIENCE = 120


class Worker:
    """A nanny, and the process under it that trains."""

    def __init__(self, scheduler: str, home: Path, offers: str) -> None:
        self.store, self.offers = Store(home), offers
        words = "--nthreads 1 --nworkers 1 --nanny --preload-nanny tests.preload"
        words += f" --resources {offers} --memory-limit 0 --local-directory {home}"
        self.nanny = spawn("dask_worker", scheduler, *words.split(), home=home)

    @property
    def process(self) -> psutil.Process:
        children = psutil.Process(self.nanny.pid).children()
        return next(p for p in children if "spawn_main" in " ".join(command_line(p)))

    def runs(self) -> set[str]:
        return {path.name for path in (self.store.folder / "runs").iterdir()}

    def trains(self, key: str) -> bool:
        return (self.store.work_folder(key) / "checkpoint.pt").exists()

    @property
    def is_there(self) -> bool:
        return self.nanny.poll() is None

    def leave_for_good(self) -> None:
        end_at_once(self.nanny)


class Cluster:
    """A scheduler on loopback, and workers that share no disk.

    digits: a home with the digits prepared, of which every worker gets a copy.
    """

    def __init__(self, folder: Path, digits: Path) -> None:
        self.folder, self.digits, self.workers = folder, digits, list[Worker]()
        file = folder / "scheduler.json"
        options = f"--port 0 --preload tests.preload --scheduler-file {file}"
        self.scheduler = spawn("dask_scheduler", *options.split(), home=folder)
        wait_for(file.exists, "the scheduler did not start")
        self.address = str(json.loads(file.read_text())["address"])
        self._n_begun = 0

    def add_worker(self, offers: str = "device=1") -> Worker:
        self._n_begun += 1
        home = self.folder / f"worker-{self._n_begun}"
        shutil.copytree(self.digits, home)
        self.workers.append(Worker(self.address, home, offers))
        return self.workers[-1]

    def with_workers(self, count: int, monkeypatch: pytest.MonkeyPatch) -> Cluster:
        """Itself, with so many workers, as what the app and the commands of a test use."""
        self.have_workers(count)
        monkeypatch.setenv("STG_SCHEDULER", self.address)
        return self

    def have_workers(self, count: int) -> None:
        """Keeps so many of those that can train; others leave, and new ones make up the number."""
        from distributed import Client

        able = [w for w in self.workers if w.is_there and w.offers == "device=1"][:count]
        for worker in self.workers:
            if worker not in able:
                worker.leave_for_good()
        self.workers = able
        while len(self.workers) < count:
            self.add_worker()
        with Client(self.address, set_as_default=False) as client:
            wait_for(
                lambda: len(client.scheduler_info()["workers"]) == count,
                "the workers did not come, or did not leave",
            )

    def worker_that_trains(self, key: str) -> Worker:
        return next(worker for worker in self.workers if worker.trains(key))

    def stop(self) -> None:
        for process in (*(worker.nanny for worker in self.workers), self.scheduler):
            end_at_once(process)


def end_at_once(process: subprocess.Popen[bytes]) -> None:
    """A process, if it is still there, and those that it began."""
    if process.poll() is None:
        ended = psutil.Process(process.pid)
        for one in (ended, *ended.children(recursive=True)):  # first what would begin another
            one.kill()
        process.wait()


def spawn(program: str, *words: str, home: Path) -> subprocess.Popen[bytes]:
    door = ["--host", "127.0.0.1", "--dashboard-address", "127.0.0.1:0", "--no-dashboard"]
    home.mkdir(parents=True, exist_ok=True)
    with open(home / f"{program}.log", "ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", f"distributed.cli.{program}", *words, *door],
            # one thread, as the tests have: another number of threads may round otherwise
            env={**environment(), "STG_HOME": str(home), "STG_THREADS": "1"},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, digits_home: Path) -> Iterator[Cluster]:
    """For all tests that leave its scheduler in place; each says how many workers it needs.

    Tests in the order in which they stand here begin the fewest: a new worker takes its time.
    """
    started = Cluster(tmp_path_factory.mktemp("cluster"), digits_home)
    yield started
    started.stop()


@pytest.fixture
def pair(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    return cluster.with_workers(2, monkeypatch)


@pytest.fixture
def one_worker(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    return cluster.with_workers(1, monkeypatch)


@pytest.fixture
def no_worker(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    return cluster.with_workers(0, monkeypatch)


@pytest.fixture
def engines(tmp_path: Path) -> Iterator[Callable[[str], Engine]]:
    """Makes engines of apps on other machines, by name."""
    made = []

    def make(name: str) -> Engine:
        engine = Engine(Store(tmp_path / name))
        made.append(engine)
        engine.start()
        return engine

    yield make
    for engine in made:
        engine.stop()


def wait_for(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def job_of(engine: Engine, key: str) -> Job:
    job = engine.job(key)
    assert job is not None
    return job


def wait_until_done(*engines: Engine) -> None:
    def ended() -> bool:
        return not any(job.active for engine in engines for job in engine.jobs())

    wait_for(ended, "the trainings did not end")
    states = {(job.state, job.message) for engine in engines for job in engine.jobs()}
    assert states == {("done", "Done.")}


def digits(seed: int, epochs: int = 4, **settings: Any) -> TrainingSpec:
    return TrainingSpec(GROUPS["digits"], epochs=epochs, seed=seed, **settings)


def slow(seed: int, epochs: int = 8) -> TrainingSpec:
    """Small batches, so that an epoch takes long enough to be interrupted."""
    return digits(seed, epochs, batch_size=24, recorded_epochs=(2, epochs))


def assert_same_numbers(a: Store, b: Store, specs: Sequence[TrainingSpec]) -> None:
    for spec in specs:
        one, other = a.run(spec.key), b.run(spec.key)
        assert one.metrics["loss"] == other.metrics["loss"]
        assert one.metrics["test"] == other.metrics["test"]
        for split in ("test", "train"):
            np.testing.assert_array_equal(one.logits(split), other.logits(split))
            np.testing.assert_array_equal(one.labels(split), other.labels(split))
        if spec.recorded:
            np.testing.assert_array_equal(one.datamaps(), other.datamaps())
            np.testing.assert_array_equal(one.summary.gram, other.summary.gram)


def test_a_command_says_what_its_cluster_lacks(no_worker: Cluster) -> None:
    command = "-m stg_core extract --group digits --epochs 2".split()
    with subprocess.Popen(
        [sys.executable, *command], env=environment(), stderr=subprocess.PIPE, text=True
    ) as extract:
        assert extract.stderr is not None
        said = [extract.stderr.readline() for _ in range(2)]
        extract.kill()
    assert "has no worker" in said[-1] and "dask worker" in said[-1]


@pytest.mark.slow
def test_a_cluster_that_cannot_train_says_what_it_lacks_and_trains_once_it_does_not(
    no_worker: Cluster, monkeypatch: pytest.MonkeyPatch, engines: Callable[[str], Engine]
) -> None:
    monkeypatch.setattr(connection, "PATIENCE_SECONDS", 1)
    engine, spec = engines("app"), digits(seed=73)
    engine.submit(spec)
    wait_for(lambda: "has no worker" in said_of(engine, spec), "it was not said")
    start = f"dask worker {no_worker.address} --nthreads 1 --resources device=1"
    assert start in said_of(engine, spec) and start in engine.problem
    wait_for(lambda: gave_up(engine, spec), "the speed was awaited for ever")

    no_worker.add_worker(offers="other=1")
    wait_for(
        lambda: "1 worker, and none that offers the resource" in said_of(engine, spec),
        "what is missing was not said",
    )
    no_worker.add_worker()
    wait_until_done(engine)
    assert engine.problem == ""
    assert (engine.seconds_per_epoch(spec) or 0) > 0, "as its training told"


def said_of(engine: Engine, spec: TrainingSpec) -> str:
    job = engine.job(spec.key)
    return job.message if job else ""


def gave_up(engine: Engine, spec: TrainingSpec) -> bool:
    try:
        return engine.seconds_per_epoch(spec) is not None
    except UserError as error:
        return "has no worker" in str(error)


def train_all_here(store: Store, specs: Sequence[TrainingSpec]) -> None:
    for spec in specs:
        run_spec(store, spec)


@pytest.mark.slow
def test_a_plan_of_6_trainings_gives_the_same_numbers_on_two_workers_as_on_one_machine(
    pair: Cluster, tmp_path: Path
) -> None:
    alone, app = Store(tmp_path / "alone"), Store(tmp_path / "app")
    spec = digits(seed=0)
    space = TaskSpace(run_spec(alone, spec).summary)
    plan = make_plan(spec, group_tasks(space, 3, 2.0), space, ("specialists", "random"))
    assert len(plan.missing(app)) == 6
    train_all_here(alone, plan.trainings)

    told: dict[str, list[int]] = {}
    train_all(app, plan.trainings, lambda s, r: told.setdefault(s.key, []).append(r["epoch"]))
    assert plan.missing(app) == ()
    assert_same_numbers(alone, app, plan.trainings)
    keys = {training.key for training in plan.trainings}
    shares = [worker.runs() & keys for worker in pair.workers]
    assert all(shares), "one of the workers did nothing"
    assert shares[0] | shares[1] == keys and not shares[0] & shares[1]
    assert set(told) == keys and all(epochs[-1] == 4 for epochs in told.values())
    assert not list((app.folder / "work").glob("*.part")), "something was left behind"

    again: list[str] = []
    train_all(app, plan.trainings, lambda s, _: again.append(s.key))
    assert again == []


@pytest.mark.slow
def test_a_study_is_spread_over_two_workers(pair: Cluster, tmp_path: Path) -> None:
    study = study_of(
        'defaults.epochs = 2\n[[grid]]\ngroup = "digits"\nk = [2, 3]\nseeds = [90, 91]', "two"
    )
    app, before = Store(tmp_path / "app"), [worker.runs() for worker in pair.workers]
    rows = run_study(study, app, tmp_path / "two", Listener())
    assert [row["not_run"] for row in rows] == [None] * len(rows)
    assert {row["k"] for row in rows} == {2, 3}
    made = [w.runs() - known for w, known in zip(pair.workers, before, strict=True)]
    assert all(made), "one of the workers did nothing"
    assert made[0] | made[1] == {run.id for run in app.runs() if not run.bundled}
    assert not made[0] & made[1]


def test_users_of_one_app_take_turns_and_know_their_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Engine, "start", lambda self: None)
    engine = Engine(Store(tmp_path))
    for seed in range(3):
        engine.submit(digits(seed), owner="a")
    engine.submit(digits(10), owner="b")
    engine.submit(digits(11), owner="b")
    places = {job.spec.seed: job.place for job in engine.jobs()}
    assert places == {0: 0, 10: 1, 1: 2, 11: 3, 2: 4}


def test_two_apps_that_ask_for_the_same_training_share_it(
    pair: Cluster, engines: Callable[[str], Engine]
) -> None:
    spec, one, other = slow(seed=30, epochs=6), engines("one"), engines("other")
    one.submit(spec)
    other.submit(spec)
    wait_until_done(one, other)
    assert sum(spec.key in worker.runs() for worker in pair.workers) == 1
    assert one.store.run(spec.key).provenance == other.store.run(spec.key).provenance
    assert_same_numbers(one.store, other.store, [spec])


def test_what_one_app_cancels_is_still_trained_for_the_other(
    pair: Cluster, engines: Callable[[str], Engine]
) -> None:
    spec, one, other = slow(seed=31, epochs=6), engines("one"), engines("other")
    one.submit(spec)
    other.submit(spec)
    wait_for(lambda: job_of(other, spec.key).epoch >= 1, "it did not begin")
    wait_for(lambda: spec.key in one._futures, "it was not sent")
    one.cancel(spec.key)
    assert job_of(one, spec.key).state == "cancelled"
    wait_until_done(other)
    assert one.store.get(spec) is None and other.store.get(spec)


def test_a_cancelled_training_ends_on_its_worker_and_goes_on_when_asked_again(
    pair: Cluster, engines: Callable[[str], Engine]
) -> None:
    long, engine = slow(seed=32, epochs=400), engines("app")
    waiting = [slow(seed=33 + i, epochs=400) for i in range(5)]
    for spec in (long, *waiting):
        engine.submit(spec)
    wait_for(lambda: epochs_in(engine.store.work_folder(long.key)) >= 2, "it did not begin")
    engine.cancel(*(job.key for job in engine.jobs()))
    assert {job.state for job in engine.jobs()} == {"cancelled"}
    after = digits(seed=40), digits(seed=41)
    for spec in after:  # one for each worker: both are free
        engine.submit(spec)
    wait_for(lambda: all(engine.store.get(spec) for spec in after), "a worker still trains")
    engine.submit(long)
    epochs = epochs_in(engine.store.work_folder(long.key))
    wait_for(lambda: job_of(engine, long.key).epoch, "it did not go on")
    assert job_of(engine, long.key).epoch >= epochs >= 2
    engine.cancel(long.key)


def test_a_result_that_comes_damaged_is_refused_and_sent_again_when_asked(
    pair: Cluster, engines: Callable[[str], Engine]
) -> None:
    spec, engine = digits(seed=50), engines("app")
    parcels = [worker.store.folder / "work" / f"{spec.key}.parcel" for worker in pair.workers]
    for parcel in parcels:
        parcel.write_bytes(b"PK" + bytes(10_000))
    engine.submit(spec)
    wait_for(lambda: not job_of(engine, spec.key).active, "it did not end")
    failed = job_of(engine, spec.key)
    assert failed.state == "failed" and "came damaged from the worker tcp://" in failed.message
    assert engine.store.get(spec) is None
    assert sum(parcel.exists() for parcel in parcels) == 1, "the damaged one is kept"
    created = [w.store.run(spec.key) for w in pair.workers if spec.key in w.runs()]
    engine.submit(spec)
    wait_until_done(engine)
    assert [engine.store.run(spec.key).provenance] == [run.provenance for run in created]


def test_a_large_result_travels_in_pieces_and_arrives_whole(
    pair: Cluster, monkeypatch: pytest.MonkeyPatch, engines: Callable[[str], Engine]
) -> None:
    spec, engine = digits(seed=51, recorded_epochs=(2, 3, 4)), engines("app")
    pieces: list[int] = []
    ask = courier._ask

    def counted(client: Any, address: str, act: Any, *words: Any) -> Any:
        answer = ask(client, address, act, *words)
        pieces.extend([len(answer)] if isinstance(answer, bytes) else [])
        return answer

    monkeypatch.setattr(courier, "_ask", counted)
    monkeypatch.setattr(courier, "PIECE", 1)  # of what this side sends; the workers have their own
    engine.submit(spec)
    wait_until_done(engine)
    run = engine.store.run(spec.key)
    assert run.summary.n_points == 1437 and run.keeps_logits
    assert sum(pieces) >= run.size and max(pieces) <= 4 * 2**20


def test_a_result_that_was_lost_with_its_worker_is_made_again(
    pair: Cluster, monkeypatch: pytest.MonkeyPatch, engines: Callable[[str], Engine]
) -> None:
    spec, engine, attempts = digits(seed=52), engines("app"), []
    fetch = courier.fetch_result

    def lost_once(client: Any, store: Store, key: str) -> Any:
        attempts.append(key)
        if len(attempts) > 1:
            return fetch(client, store, key)
        [worker] = [worker for worker in pair.workers if key in worker.runs()]
        worker.store.delete(worker.store.run(key))
        return fetch(client, store, key)

    monkeypatch.setattr(courier, "fetch_result", lost_once)
    engine.submit(spec)
    wait_until_done(engine)
    assert len(attempts) == 2 and engine.store.get(spec)


def test_a_run_that_a_worker_has_from_before_is_not_trained_again(
    pair: Cluster, engines: Callable[[str], Engine]
) -> None:
    spec = digits(seed=53)
    for worker in pair.workers:
        run_spec(worker.store, spec)
    engine = engines("app")
    engine.submit(spec)
    wait_until_done(engine)
    created = {worker.store.run(spec.key).provenance["created"] for worker in pair.workers}
    assert engine.store.run(spec.key).provenance["created"] in created


@pytest.mark.slow
def test_the_weights_of_a_joint_model_reach_the_workers_that_go_on_from_it(
    pair: Cluster, engines: Callable[[str], Engine], tmp_path: Path
) -> None:
    """Of one that was trained on a worker, and of one that was trained where the app is."""
    alone, engine = Store(tmp_path / "alone"), engines("app")
    for joint in (slow(seed=54, epochs=2), slow(seed=55, epochs=2)):
        warm = [dataclasses.replace(slow(seed, 2), starts_from=joint) for seed in (70, 71, 72)]
        train_all_here(alone, [joint, *warm])
        if joint.seed == 55:
            run_spec(engine.store, joint)
        for spec in warm:
            engine.submit(spec)
        wait_until_done(engine)
        assert engine.store.run(joint.key).has_weights
        assert_same_numbers(alone, engine.store, [joint, *warm])
        trained = [joint.key in worker.runs() for worker in pair.workers]
        assert sum(trained) == (joint.seed == 54), "it was trained where it need not be"


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:1", "tls://127.0.0.1:1", "nonsense://x"])
def test_a_scheduler_that_nobody_answers_for_is_told_in_a_sentence(
    address: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from distributed import Client

    monkeypatch.setenv("STG_SCHEDULER", address)
    monkeypatch.setattr(connection, "ANSWER_SECONDS", 1)
    assert main(["extract", "--group", "digits", "--epochs", "2"]) == 2
    said = capsys.readouterr().err
    assert f"The scheduler {address} does not answer" in said and "unset STG_SCHEDULER" in said
    clients = [found for found in gc.get_objects() if type(found) is Client]
    assert all(client.status == "closed" for client in clients), "one was left to the collector"


def test_the_machine_s_cores_are_shared_among_its_workers(pair: Cluster) -> None:
    from distributed import Client

    cores = psutil.cpu_count(logical=False) or os.cpu_count() or 1
    with Client(pair.address, set_as_default=False) as client:
        wanted, alone = (
            client.submit(threads_of_a_job, said, resources=worker_side.DEVICE, pure=False).result()
            for said in ("3", "")
        )
    assert wanted == 3
    assert alone == max(1, cores // 2)


def threads_of_a_job(said: str) -> int:
    """Runs in a worker."""
    import torch

    os.environ["STG_THREADS"] = said
    try:
        worker_side.use_own_cores()
        return torch.get_num_threads()
    finally:
        os.environ["STG_THREADS"] = "1"
        torch.set_num_threads(1)


def interrupted(
    engine: Engine, key: str, cluster: Cluster, interrupt: Callable[[Worker], None]
) -> tuple[int, list[int]]:
    """Interrupts a training half-way; the epochs that had come home, and those told afterwards."""
    folder = engine.store.work_folder(key)
    wait_for(lambda: 3 <= epochs_in(folder) == job_of(engine, key).epoch, "no checkpoint came home")
    at_home = epochs_in(folder)
    assert job_of(engine, key).epoch < 6, "the training is not half-way any more"
    interrupt(cluster.worker_that_trains(key))
    told: list[int] = []

    def goes_on() -> bool:
        told.append(job_of(engine, key).epoch)
        return not job_of(engine, key).active

    wait_for(goes_on, "the training did not go on")
    return at_home, told


@pytest.mark.slow
def test_a_worker_killed_half_way_costs_at_most_the_epoch_it_was_in(
    pair: Cluster, engines: Callable[[str], Engine], tmp_path: Path
) -> None:
    specs = [slow(seed) for seed in (1, 2)]
    engine = engines("app")
    for spec in specs:
        engine.submit(spec)
    at_home, told = interrupted(engine, specs[0].key, pair, lambda worker: worker.process.kill())
    assert min(told) >= at_home
    wait_until_done(engine)
    alone = Store(tmp_path / "alone")
    train_all_here(alone, specs)
    assert_same_numbers(alone, engine.store, specs)


@pytest.mark.slow
def test_a_worker_that_is_gone_for_good_costs_at_most_the_epoch_it_was_in(
    pair: Cluster, engines: Callable[[str], Engine], tmp_path: Path
) -> None:
    spec, engine = slow(seed=4), engines("app")
    engine.submit(spec)
    at_home, told = interrupted(engine, spec.key, pair, Worker.leave_for_good)
    assert min(told) >= at_home
    wait_until_done(engine)
    [heir] = [worker for worker in pair.workers if worker.is_there]
    assert spec.key in heir.runs()
    assert not heir.store.work_folder(spec.key).exists()
    assert not engine.store.work_folder(spec.key).exists()
    alone = Store(tmp_path / "alone")
    train_all_here(alone, [spec])
    assert_same_numbers(alone, engine.store, [spec])


def wait_until_sent(engine: Engine, *specs: TrainingSpec) -> None:
    names = {f"train-{spec.key}" for spec in specs}

    def sent() -> bool:
        client = engine._connection.client
        return client is not None and names <= set(
            client.run_on_scheduler(lambda dask_scheduler: list(dask_scheduler.tasks))
        )

    wait_for(sent, "not all were sent")


def test_a_plan_of_one_user_lets_the_single_training_of_another_go_first(
    one_worker: Cluster, engines: Callable[[str], Engine]
) -> None:
    one, other = engines("one"), engines("other")
    long, *plan = slow(seed=10, epochs=400), *(digits(seed) for seed in range(11, 14))
    for spec in (long, *plan):
        one.submit(spec)
    wait_for(lambda: job_of(one, long.key).state == "running", "nothing began")
    wait_until_sent(one, *plan)
    other.submit(single := digits(seed=20))
    wait_until_sent(other, single)
    one.cancel(long.key)
    wait_for(lambda: all(one.store.get(spec) for spec in plan), "the trainings did not end")
    wait_until_done(other)
    [worker] = one_worker.workers
    created = {
        spec.key: worker.store.run(spec.key).provenance["created"] for spec in (single, *plan)
    }
    assert sorted(created, key=lambda key: created[key]) == list(created)


@pytest.mark.slow
def test_a_worker_that_joins_late_takes_trainings_that_wait(
    one_worker: Cluster, engines: Callable[[str], Engine]
) -> None:
    engine, long = engines("app"), slow(seed=70, epochs=400)
    waiting = [digits(seed) for seed in (71, 72)]
    for spec in (long, *waiting):
        engine.submit(spec)
    wait_for(lambda: job_of(engine, long.key).state == "running", "nothing began")
    late = one_worker.add_worker()
    wait_for(lambda: all(engine.store.get(spec) for spec in waiting), "they were not trained")
    assert late.runs() == {spec.key for spec in waiting}
    engine.cancel(long.key)


def test_a_scheduler_that_goes_away_ends_a_command_with_a_sentence(
    tmp_path: Path, digits_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = Cluster(tmp_path / "cluster", digits_home)
    cluster.add_worker()
    monkeypatch.setenv("STG_SCHEDULER", cluster.address)
    monkeypatch.setattr(connection, "ANSWER_SECONDS", 1)

    def tell(_: TrainingSpec, record: dict[str, Any]) -> None:
        cluster.stop()

    try:
        with pytest.raises(UserError, match="does not answer"):
            train_all(Store(tmp_path / "app"), [slow(seed=60, epochs=400)], tell)
    finally:
        cluster.stop()


def test_names_that_are_none_of_a_work_folder_are_never_written() -> None:
    good = ["epochs", "checkpoint.pt", "test-4.npy", "progress.json", "task-12/checkpoint.pt"]
    evil = ["../spec.json", "/etc/passwd", "task-1/../../x.npy", "checkpoint.pt\n", "a/b.npy", ""]
    assert [name for name in (*good, *evil) if courier._order(name)] == good
