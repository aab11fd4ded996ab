"""What a worker does: it trains a spec in a store of its own, and tells how far it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from stg_core.engine import courier
from stg_core.engine.courier import EpochCount, Outpost
from stg_core.results.store import Run, Store
from stg_core.system.threads import wanted_threads
from stg_core.training.callbacks import Callback, Progress, preparation_told_to
from stg_core.training.spec import TrainingSpec

TOPIC = "stg-progress"
DEVICE = {"device": 1}  # a worker offers one, so it trains one model at a time


def run_spec(store: Store, spec: TrainingSpec, callbacks: Sequence[Callback] = ()) -> Run:
    """The result of a spec: from the store, or trained now, after its checkpoint if there is one.

    Whoever else trains the same spec on this machine is waited for. Raises UserError, Cancelled.
    """
    from stg_core.tasks.data import load_task_data
    from stg_core.training.loop import train

    with store.training(spec.key):
        if run := store.get(spec):
            return run
        data = load_task_data(spec.group, preparation_told_to(callbacks))
        folder = store.work_folder(spec.key)
        counted = [EpochCount(folder), *callbacks]
        return store.save(train(spec, data, folder=folder, callbacks=counted))


def train_job(plain: Mapping[str, Any], app: str) -> str:
    """Runs in the worker: trains a spec in the worker's own store, and returns its key.

    Tells its progress as Dask events. `app` is the identity of the store that it is trained for.
    """
    from distributed import get_worker

    spec, store, worker = TrainingSpec.from_json(plain), courier.own_store(), get_worker()

    def tell(record: dict[str, Any]) -> None:
        worker.log_event(TOPIC, {"key": spec.key, "address": worker.address, **record})

    use_own_cores()
    unwanted = unwanted_here()
    callbacks: list[Callback] = [Progress(tell, unwanted)]
    if store.identity != app and not store.holds(spec.key):
        callbacks.append(Outpost(spec.key, tell))
        courier.await_checkpoint(spec.key, tell, unwanted)
    run_spec(store, spec, callbacks)
    courier.tidy(spec.key)
    return spec.key


def unwanted_here() -> Callable[[], bool]:
    """Says whether nobody wants what this worker is computing any more."""
    from distributed import get_worker

    worker = get_worker()
    task = worker.get_current_task()

    def unwanted() -> bool:
        known = worker.state.tasks.get(task)  # "cancelled" once nobody wants it any more
        return known is None or known.state == "cancelled"

    return unwanted


def measure_job(plain: Mapping[str, Any]) -> float:
    from stg_core.training.measuring import measure_seconds_per_epoch

    use_own_cores()
    return measure_seconds_per_epoch(TrainingSpec.from_json(plain))


def use_own_cores() -> None:
    """As many threads as there are cores for each worker of the machine; Dask gives only one.

    `STG_THREADS` says another number, which stays the same when workers come and go.
    """
    import psutil
    import torch
    from dask.system import CPU_COUNT
    from distributed import get_worker
    from distributed.utils import sync

    if wanted := wanted_threads():
        torch.set_num_threads(wanted)
        return
    worker = get_worker()
    workers = sync(worker.loop, worker.scheduler.identity)["workers"].values()
    here = sum(w["host"] == worker.ip and "device" in w["resources"] for w in workers)
    cores = psutil.cpu_count(logical=False) or CPU_COUNT
    # CPU_COUNT knows what a container or a cluster manager allows this process
    torch.set_num_threads(max(1, min(CPU_COUNT, cores // max(1, here))))
